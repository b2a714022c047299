"""Pictures as networks take them: paths, arrays, pictures of PIL, and the numbers that enter the network."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import network_of
from PIL import Image

from darkshare import Detector, load
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.inference.preprocess import as_picture, as_pictures, preprocess, reads_alpha

NET = "[net]\nwidth={}\nheight={}\nchannels={}\n{}\n[avgpool]\n"


def network(w=8, h=4, c=3, more="", **how):
    return network_of(NET.format(w, h, c, more), **how)


def test_the_input_is_rgb_from_0_to_1():
    image = np.zeros((4, 8, 3), np.uint8)
    image[1, 2] = (51, 102, 255)  # blue, green, red
    made = preprocess(image, network())
    assert made.shape == (1, 3, 4, 8)
    assert made.dtype == np.float32
    assert made[0, :, 1, 2] == pytest.approx([1, 0.4, 0.2])
    assert made.sum() == pytest.approx(1.6)


def test_the_input_stretches():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = 255
    made = preprocess(image, network())
    assert made[0, 0].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 4


@pytest.mark.parametrize(("more", "dialect"), [("letter_box=1", "alexeyab"), ("", "pjreddie")])
def test_the_input_fits_into_gray(more, dialect):
    """letterbox_image: an 8x8 picture in 8x4 becomes 4x4 with two gray columns on each side."""
    made = preprocess(np.full((8, 8, 3), 255, np.uint8), network(more=more, dialect=dialect))
    assert made[0, 1].tolist() == [[0.5, 0.5, 1, 1, 1, 1, 0.5, 0.5]] * 4


def test_the_input_of_other_channels():
    gray = np.full((4, 8), 51, np.uint8)
    assert preprocess(gray, network())[0, :, 0, 0] == pytest.approx([0.2] * 3)
    assert preprocess(gray[..., None], network())[0, :, 0, 0] == pytest.approx([0.2] * 3)
    assert preprocess(np.dstack([gray] * 3), network(c=1)).shape == (1, 1, 4, 8)
    assert preprocess(gray, network(c=1))[0, 0, 0, 0] == pytest.approx(0.2)
    assert preprocess(np.dstack([gray, gray, 2 * gray, gray]), network())[0, :, 0, 0] == pytest.approx([0.4, 0.2, 0.2])


@pytest.mark.parametrize("image", [np.zeros((4, 8, 3)), np.zeros((4, 0, 3), np.uint8), np.zeros(9, np.uint8)])
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(BadValue, match="a picture must be uint8"):
        preprocess(image, network())
    with pytest.raises(BadValue, match="a picture must be uint8"):
        as_picture(image)


@pytest.mark.parametrize("channels", [2, 5, 6, 9])
@pytest.mark.parametrize("options", ["", "letter_box=1"])
def test_as_many_channels_as_an_array_has_are_taken_each_as_it_is(channels, options):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, channels), np.uint8)
    made = preprocess(image, network(16, 8, channels, options))
    assert made.flags.c_contiguous
    apart = [preprocess(image[..., [i]], network(16, 8, 1, options))[0, 0] for i in range(channels)]
    np.testing.assert_allclose(made, [apart], atol=1e-7)


def test_channels_that_do_not_fit_are_refused():
    with pytest.raises(BadValue, match="3 channels cannot be given to a network that reads 6"):
        preprocess(np.zeros((4, 8, 3), np.uint8), network(c=6))


# Whatever holds a picture


@pytest.fixture
def photo(tmp_path):
    """A picture of four quarters in different colours, with an alpha channel that must not matter."""
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8)
    image[:20, :30, :3] = (250, 10, 40)
    cv2.imwrite(str(tmp_path / "rgba.png"), image)
    cv2.imwrite(str(tmp_path / "rgb.png"), image[..., :3])
    cv2.imwrite(str(tmp_path / "gray.png"), image[..., 0])
    Image.open(tmp_path / "rgb.png").quantize(16).save(tmp_path / "palette.png")
    Image.open(tmp_path / "gray.png").convert("1").save(tmp_path / "bilevel.png")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "mode"), [("rgb", "RGB"), ("rgba", "RGBA"), ("gray", "L"), ("palette", "P"), ("bilevel", "1")]
)
def test_a_picture_of_pil_is_what_opencv_reads(photo, name, mode, tiny):
    path = photo / f"{name}.png"
    picture = Image.open(path)
    assert picture.mode == mode
    np.testing.assert_array_equal(as_picture(picture), cv2.imread(str(path)))
    detector = Detector(load(tiny), threshold=0.05)
    found = [detector.detect(one)[0] for one in (picture, str(path), path, cv2.imread(str(path)))]
    assert len(found[0]) > 0
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].boxes, other.boxes)
        np.testing.assert_array_equal(found[0].scores, other.scores)
    assert [len(one[0]) for one in detector.detect_batch([picture, path])] == [len(found[0])] * 2


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_numbers_of_pil_that_are_not_light_are_refused(dtype):
    with pytest.raises(BadValue, match=r"a picture of mode [IF] has no 8 bits per channel; convert it to RGB"):
        as_picture(Image.fromarray(np.zeros((4, 4), dtype)))


def test_16_bits_are_scaled_by_65535():
    deep = np.array([[0, 128, 129, 257, 30000, 65535]], np.uint16)
    shallow = [[0, 0, 1, 1, 117, 255]]  # rounded: 30000 / 257 = 116.7
    assert as_picture(deep).tolist() == shallow
    assert as_picture(Image.fromarray(deep)).tolist() == shallow
    made = preprocess(np.repeat(deep[..., None], 3, 2), network(6, 1))
    assert made[0, 1, 0].tolist() == pytest.approx([value / 255 for value in shallow[0]])


def test_a_network_of_4_channels_reads_rgba():
    image = np.full((4, 8, 4), (51, 102, 255, 204), np.uint8)  # blue, green, red, alpha
    made = preprocess(image, network(c=4))
    assert made[0, :, 1, 2] == pytest.approx([1, 0.4, 0.2, 0.8])


def test_alpha_is_taken_from_files_and_from_pil_where_it_is_wanted(photo):
    path = photo / "rgba.png"
    whole = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(as_picture(path, alpha=True), whole)
    np.testing.assert_array_equal(as_picture(Image.open(path), alpha=True), whole)
    for given in (photo / "rgb.png", Image.open(photo / "rgb.png"), photo / "gray.png"):
        with pytest.raises(DarkshareError, match="has no alpha, which a network of 4 channels reads"):
            as_picture(given, alpha=True)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_have_the_channels_that_networks_read(channels):
    assert reads_alpha(network(c=channels)) == (channels == 4)


@pytest.mark.parametrize("channels", [2, 5, 6])
def test_channels_that_pictures_do_not_have_are_named(channels):
    with pytest.raises(Unsupported, match=f":4: channels={channels}: pictures have 1, 3 or, with alpha, 4"):
        reads_alpha(network(c=channels))


def test_an_array_interface_without_a_mode_is_an_array():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(as_picture(SimpleNamespace(__array_interface__=image.__array_interface__)), image)


@pytest.mark.parametrize("given", [None, 7, [[1, 2], [3, 4]], b"bytes", object()])
def test_anything_else_is_one_error(given, tiny):
    with pytest.raises(BadValue, match="a picture is a path, a uint8 array or something with __array_interface__, not"):
        Detector(load(tiny)).detect(given)


def test_a_path_that_cannot_be_read_is_named(tiny):
    with pytest.raises(DarkshareError, match=r"nope\.png: cannot be read"):
        Detector(load(tiny)).detect("nope.png")


@pytest.mark.parametrize("given", ["a.png", np.zeros((4, 4, 3), np.uint8), None, 7])
def test_a_batch_is_not_a_single_picture(given):
    with pytest.raises(BadValue, match="a batch is a list of pictures"):
        as_pictures(given)


def test_an_array_of_pictures_is_a_batch():
    assert [one.shape for one in as_pictures(np.zeros((2, 4, 5, 3), np.uint8))] == [(4, 5, 3)] * 2
