"""Augmentations against Darknet's formulas, written out here by hand or with Python's own colorsys."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import network_of, tiny_text

from darkshare.data import Box
from darkshare.errors import BadValue, Unsupported
from darkshare.training.pictures import augmenting, colours, geometry, mosaics
from darkshare.training.pictures.augmenting import Augmentation, Labelled
from darkshare.training.pictures.geometry import Window
from darkshare.training.pictures.mosaics import Shot

STILL = Augmentation.of(network_of(tiny_text()))
NOTHING = replace(STILL, jitter=0.0, flip=False)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def rows(*boxes: tuple[float, ...]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 5)


def augmented(how: Augmentation, picture: np.ndarray, truths: np.ndarray, size=(32, 32), seed: int = 0, count: int = 4):
    return augmenting.augmented(how, lambda i: Labelled(picture, truths), 0, count, size, rng(seed))


# --- what the cfg says ---------------------------------------------------------------------------------------------


def test_the_last_head_and_net_say_how():
    text = tiny_text().replace(
        "channels=3", "channels=3\nhue=.1\nsaturation=1.5\nexposure=1.6\nmosaic=1\nblur=3\nflip=0"
    )
    first, last = text.rsplit("[yolo]", 1)
    how = Augmentation.of(network_of(first + "[yolo]\njitter=.3\nresize=1.5\nmax=50" + last))
    assert (how.hue, how.saturation, how.exposure, how.mosaic, how.blur, how.flip) == (0.1, 1.5, 1.6, True, 3, False)
    assert (how.jitter, how.resize, how.most, how.gray) == (0.3, 1.5, 50, False)


def test_the_forks_keep_another_number_of_boxes():
    assert STILL.most == 200
    assert Augmentation.of(network_of(tiny_text(), dialect="pjreddie")).most == 90
    assert Augmentation.of(network_of(tiny_text() + "max=200\n", dialect="pjreddie")).most == 200


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        ("channels=3", "channels=3\nletter_box=1\nmosaic=1", BadValue, r"test.cfg:6: letter_box=1 and mosaic=1"),
        (
            "channels=3",
            "channels=4",
            Unsupported,
            r"test.cfg:4: channels=4: training reads pictures of 1 or 3, without alpha",
        ),
    ],
)
def test_what_cannot_be_done_is_said_with_its_line(old, new, error, says):
    with pytest.raises(error, match=says):
        Augmentation.of(network_of(tiny_text().replace(old, new)))


# --- geometry ------------------------------------------------------------------------------------------------------


def test_boxes_move_with_a_window():
    # A window of the right half: x = 2 * (x - 0.5), w = 2 * w. The second box is cut at the left edge, the third gone.
    truths = rows((1, 0.75, 0.5, 0.2, 0.4), (0, 0.5, 0.5, 0.2, 0.2), (2, 0.2, 0.5, 0.1, 0.1))
    found = geometry.moved(truths, (2, 1), (-1, 0), flip=False, smallest=(1 / 32, 1 / 32))
    np.testing.assert_allclose(found, rows((1, 0.5, 0.5, 0.4, 0.4), (0, 0.1, 0.5, 0.2, 0.2)), atol=1e-6)
    mirrored = geometry.moved(truths, (2, 1), (-1, 0), flip=True, smallest=(1 / 32, 1 / 32))
    np.testing.assert_allclose(mirrored[1], (0, 0.9, 0.5, 0.2, 0.2), atol=1e-6)


def test_boxes_below_a_pixel_or_a_thousandth_are_dropped():
    truths = rows((0, 0.5, 0.5, 0.03, 0.5))
    assert (
        len(geometry.moved(truths, (1, 1), (0, 0), flip=False, smallest=geometry.smallest_of((32, 32), "alexeyab")))
        == 0
    )
    assert (
        len(geometry.moved(truths, (1, 1), (0, 0), flip=False, smallest=geometry.smallest_of((32, 32), "pjreddie")))
        == 1
    )


def test_a_window_that_is_cut_off_and_one_that_adds():
    picture = noise(20, 40)
    assert np.array_equal(geometry.cropped(picture, Window(20, 0, 0, 0), (20, 20)), picture[:, 20:])
    added = geometry.cropped(picture, Window(-10, -10, 0, 0), (60, 20))
    assert np.array_equal(added[:, 10:50], picture)
    mean = np.rint(picture.reshape(-1, 3).mean(axis=0))
    assert np.array_equal(added[0, 0], mean)
    assert np.array_equal(added[19, 59], mean)


def test_random_windows_stay_within_jitter_and_resize():
    found = [geometry.drawn_window((100, 50), 0.2, 1.0, rng(seed)) for seed in range(300)]
    assert {min(w) < 0 < max(w) for w in found} >= {True}
    for sides, reach in (((0, 1), 20), ((2, 3), 10)):
        values = [w[side] for w in found for side in sides]
        assert (min(values), max(values)) == (1 - reach, reach - 1)
    # resize=1.5: each side between ow * (1 - 1.5) / 2 = -25 and ow * (1 - 1 / 1.5) / 2 = 16; below 1, only outwards
    both = [geometry.drawn_window((100, 50), 0.0, 1.5, rng(seed)).left for seed in range(300)]
    assert min(both) >= -25
    assert max(both) <= 16
    assert min(both) < -20
    assert max(both) > 12
    assert max(geometry.drawn_window((100, 50), 0.0, 0.5, rng(seed)).left for seed in range(300)) <= 0


def test_letter_box_adds_what_lacks_to_the_aspect_ratio():
    assert geometry.letterboxed(Window(0, 0, 0, 0), (100, 50), (32, 32)) == Window(0, 0, -25, -25)
    assert geometry.letterboxed(Window(0, 0, 0, 0), (50, 100), (32, 32)) == Window(-25, -25, 0, 0)


def test_a_picture_moves_to_the_corner_where_the_mosaic_shows_it():
    window = Window(3, 5, 7, 11)
    # the upper left quarter shows the lower right corner of its picture, so nothing is cut off or added there
    assert geometry.to_corner(window, 0, flip=False) == Window(0, 8, 0, 18)
    assert geometry.to_corner(window, 1, flip=False) == Window(8, 0, 0, 18)
    assert geometry.to_corner(window, 2, flip=False) == Window(0, 8, 18, 0)
    assert geometry.to_corner(window, 3, flip=True) == Window(0, 8, 18, 0)


def test_pjreddie_places_a_picture_on_gray():
    """Every pixel by hand: sampled at x / w, black behind the last one, and gray around."""
    picture = rng().random((4, 5, 3)).astype(np.float32)
    wide, high, x0, y0 = 8, 6, 3, -1
    found = geometry.placed(picture, (wide, high), (x0, y0), (12, 7))
    expected = np.full((7, 12, 3), 0.5)
    padded = np.pad(picture, ((0, 1), (0, 1), (0, 0)))
    for y in range(high):
        for x in range(wide):
            rx, ry = x / wide * 5, y / high * 4
            ix, iy = int(rx), int(ry)
            dx, dy = rx - ix, ry - iy
            top = (1 - dx) * padded[iy, ix] + dx * padded[iy, ix + 1]
            bottom = (1 - dx) * padded[iy + 1, ix] + dx * padded[iy + 1, ix + 1]
            if 0 <= y + y0 < 7 and 0 <= x + x0 < 12:
                expected[y + y0, x + x0] = (1 - dy) * top + dy * bottom
    np.testing.assert_allclose(found, expected, atol=1 / 32)  # OpenCV rounds places to 1/32 pixel


# --- colours -------------------------------------------------------------------------------------------------------


def test_pjreddie_colours_go_round():
    pixels = rng(3).random((1, 200, 3)).astype(np.float32)
    found = colours.distorted_floats(pixels, 0.3, 1.4, 0.8)
    for (r, g, b), seen in zip(pixels[0], found[0], strict=True):
        h, s, v = colorsys.rgb_to_hsv(r, g, b)
        index, s, v = (h + 0.3) % 1 * 6, s * 1.4, v * 0.8
        f, (p, q, t) = index - int(index), (v * (1 - s), v * (1 - s * (index % 1)), v * (1 - s * (1 - index % 1)))
        assert 0 <= f < 1
        expected = [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)][int(index)]
        np.testing.assert_allclose(seen, np.clip(expected, 0, 1), atol=2e-3)


def test_alexeyab_colours_are_bytes_that_saturate():
    red = np.full((1, 1, 3), (200, 0, 0), np.uint8)
    assert np.array_equal(colours.distorted_bytes(red, 0.0, 1.0, 1.0), red)
    assert colours.distorted_bytes(red, 0.0, 1.0, 0.5)[0, 0].tolist() == [100, 0, 0]
    assert colours.distorted_bytes(red, 0.0, 1.0, 2.0)[0, 0].tolist() == [255, 0, 0]
    # hue 0 - 18 saturates at 0 and stays red; upwards, 179 / 3 is almost green
    assert colours.distorted_bytes(red, -0.1, 1.0, 1.0)[0, 0].tolist() == [200, 0, 0]
    r, g, b = colours.distorted_bytes(red, 1 / 3, 1.0, 1.0)[0, 0].tolist()
    assert g == 200
    assert max(r, b) < 8
    gray = np.full((2, 2), 200, np.uint8)
    assert colours.distorted_bytes(gray, 0.1, 1.5, 0.5)[0, 0] == 100


def test_blur_spares_boxes_or_nothing():
    picture, truths = noise(40, 40), rows((0, 0.5, 0.5, 0.5, 0.5))
    behind, all_over = colours.blurred(picture, 1, truths), colours.blurred(picture, 5, truths)
    assert np.array_equal(behind[10:30, 10:30], picture[10:30, 10:30])
    assert np.array_equal(behind[:10], cv2.GaussianBlur(picture, (17, 17), 0)[:10])
    assert np.array_equal(all_over, cv2.GaussianBlur(picture, (5, 5), 0))
    assert colours.blurred(picture, 0, truths) is picture


def test_noise_only_brightens():
    picture = noise(40, 40)
    found = colours.noisy(picture, 20, rng()).astype(int) - picture
    assert found.min() == 0
    assert 15 < (found[picture < 150] ** 2).mean() ** 0.5 * 2**0.5 < 25  # half of a normal distribution of 20


# --- mosaic --------------------------------------------------------------------------------------------------------


def shot(value: int, truths: np.ndarray) -> Shot:
    return Shot(np.full((32, 32, 3), value, np.uint8), truths, Window(0, 0, 0, 0), (32, 32))


def test_a_mosaic_by_hand():
    box = rows((0, 0.5, 0.5, 0.25, 0.25))
    cut = (20, 12)
    canvas, truths = mosaics.assembled(
        [shot(i, box + rows((i, 0, 0, 0, 0))) for i in range(4)], cut, (32, 32), bound=True
    )
    assert (canvas[:12, :20] == 0).all()
    assert (canvas[:12, 20:] == 1).all()
    assert (canvas[12:, :20] == 2).all()
    assert (canvas[12:, 20:] == 3).all()
    # Picture 0 shows its lower right 20 x 12: its box of 12..20 moves by (-12, -20), so rows -8..0 are outside.
    # Picture 1 moves by (20, -20), 2 by (-12, 12): columns 0..8, rows 24..32; 3 by (20, 12), columns 32..40.
    assert truths[:, 0].tolist() == [2]
    np.testing.assert_allclose(truths[0, 1:], (4 / 32, 28 / 32, 8 / 32, 8 / 32), atol=1e-6)


def test_a_mosaic_cuts_boxes_at_quarters_only_with_mosaic_bound():
    none = rows()
    long = rows((5, 0.5, 0.9, 1.0, 0.1))
    shots = [shot(0, long), shot(1, none), shot(2, none), shot(3, none)]
    # Picture 0 moves by (-16, -16): its box of columns 0..32 comes to -16..16 and rows 27..30 to 11..14.
    _, cut_off = mosaics.assembled(shots, (16, 16), (32, 32), bound=True)
    np.testing.assert_allclose(cut_off[0, [1, 3]], (8 / 32, 16 / 32), atol=1e-6)
    shots[0] = shot(0, rows((5, 0.9, 0.9, 0.4, 0.1)))  # columns 22..35 come to 6..19, beyond the quarter
    _, bound = mosaics.assembled(shots, (16, 16), (32, 32), bound=True)
    _, free = mosaics.assembled(shots, (16, 16), (32, 32), bound=False)
    np.testing.assert_allclose(bound[0, 1] + bound[0, 3] / 2, 16 / 32, atol=1e-6)
    assert free[0, 1] + free[0, 3] / 2 > 18 / 32


def test_padding_is_moved_out_of_a_mosaic():
    """A picture with 16 of 64 columns of padding at its right moves right by half of that, so it shows less of it."""
    small = Shot(
        np.arange(32, dtype=np.uint8)[None, :, None].repeat(32, 0).repeat(3, 2), rows(), Window(0, -16, 0, 0), (48, 32)
    )
    canvas, _ = mosaics.assembled([small] * 4, (16, 16), (32, 32), bound=True)
    assert canvas[0, :16, 0].tolist() == list(range(16 - 32 * 16 // 48, 32 - 32 * 16 // 48))


def test_mosaic_and_mixup_take_half_of_the_pictures():
    picture, truths = noise(32, 32), rows((1, 0.5, 0.5, 0.5, 0.5))
    mixed = [len(augmented(replace(NOTHING, mixup=True), picture, truths, seed=s).truths) for s in range(60)]
    assert set(mixed) == {1, 2}
    assert 15 < mixed.count(2) < 45
    seen: list[int] = []

    def read(index: int) -> Labelled:
        seen.append(index)
        return Labelled(picture, truths)

    for seed in range(60):
        augmenting.augmented(replace(NOTHING, mosaic=True), read, 0, 9, (32, 32), rng(seed))
    assert 60 + 3 * 15 < len(seen) < 60 + 3 * 45
    assert set(seen) == set(range(9))


def test_mixup_is_the_mean_of_two():
    dark, bright = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 200, np.uint8)
    pictures = [Labelled(dark, rows((0, 0.5, 0.5, 0.5, 0.5))), Labelled(bright, rows((1, 0.25, 0.25, 0.5, 0.5)))]
    values = set()
    for seed in range(40):
        found = augmenting.augmented(replace(NOTHING, mixup=True), lambda i: pictures[i], 0, 2, (32, 32), rng(seed))
        values.add(round(float(found.image.max()), 4))
    assert values == {0.0, round(100 / 255, 4)}


# --- whole examples ------------------------------------------------------------------------------------------------


def test_without_jitter_a_picture_is_only_stretched():
    picture, truths = noise(20, 40), rows((1, 0.25, 0.5, 0.2, 0.4))
    found = augmented(NOTHING, picture, truths)
    stretched = cv2.resize(picture[..., ::-1], (32, 32), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(found.image, stretched.transpose(2, 0, 1) / 255, atol=1e-6)
    np.testing.assert_allclose(found.truths, truths, atol=1e-6)


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
def test_boxes_stay_on_their_object(dialect):
    """A white square on black: wherever it lands, its box is where the white is."""
    how = replace(STILL, dialect=dialect, jitter=0.3, resize=1.3)
    picture = np.zeros((90, 120, 3), np.uint8)
    picture[30:60, 50:90] = 255
    truths = rows((0, 70 / 120, 45 / 90, 40 / 120, 30 / 90))
    for seed in range(40):
        image, found = augmented(how, picture, truths, size=(96, 64), seed=seed)
        ((_, x, y, w, h),) = found
        ys, xs = np.nonzero(image.min(axis=0) > 0.75)
        assert abs(xs.min() - (x - w / 2) * 96) < 2
        assert abs(xs.max() + 1 - (x + w / 2) * 96) < 2
        assert abs(ys.min() - (y - h / 2) * 64) < 2
        assert abs(ys.max() + 1 - (y + h / 2) * 64) < 2


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
def test_an_example_is_what_its_seed_says(dialect):
    how = replace(STILL, dialect=dialect, hue=0.1, saturation=1.5, exposure=1.5, mosaic=dialect == "alexeyab", blur=5)
    picture, truths = noise(30, 30), rows((0, 0.5, 0.5, 0.9, 0.9), (1, 0.4, 0.4, 0.7, 0.7))
    a, again, other = (augmented(how, picture, truths, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(a.image, again.image)
    assert np.array_equal(a.truths, again.truths)
    assert not np.array_equal(a.image, other.image)
    assert a.image.dtype == np.float32
    assert a.image.min() >= 0
    assert a.image.max() <= 1


def test_a_gray_network_reads_one_channel():
    how = Augmentation.of(network_of(tiny_text().replace("channels=3", "channels=1")))
    for dialect in ("alexeyab", "pjreddie"):
        found = augmented(replace(how, dialect=dialect, exposure=1.5), noise(20, 20), rows((0, 0.5, 0.5, 0.5, 0.5)))
        assert found.image.shape == (1, 32, 32)


def test_no_more_boxes_than_darknet_keeps():
    many = rows(*[(0, 0.5, 0.5, 0.3, 0.3)] * 8)
    for dialect in ("alexeyab", "pjreddie"):
        assert len(augmented(replace(STILL, dialect=dialect, most=5), noise(20, 20), many).truths) <= 5


def test_a_picture_as_inference_sees_it():
    network = network_of(tiny_text())
    picture, truths = noise(20, 40), geometry.truths_of([Box(1, 0.25, 0.5, 0.2, 0.4)])
    stretched = augmenting.undistorted(network, Labelled(picture, truths))
    np.testing.assert_allclose(stretched.truths, truths)
    letterboxed = augmenting.undistorted(network_of(tiny_text(), dialect="pjreddie"), Labelled(picture, truths))
    assert (letterboxed.image[:, :8] == 0.5).all()
    assert (letterboxed.image[:, 24:] == 0.5).all()
    np.testing.assert_allclose(letterboxed.truths, rows((1, 0.25, 0.5, 0.2, 0.2)), atol=1e-6)
