"""Tiles of pictures and the boxes found in them, joined: places and boxes worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from conftest import zoo_path

import darkshare
from darkshare.darknet.model import load
from darkshare.errors import BadArguments, BadValue
from darkshare.inference.boxes import Candidates, views_of
from darkshare.inference.boxes.tiles import View, joined
from darkshare.inference.detector import Detector
from darkshare.inference.engines import available

ENGINES = [name for name, one in available().items() if one.version]
F = np.float32
PICTURE = (1000, 1000)
HALVES = views_of(PICTURE, (2, 1), 0.25)


def test_tiles_by_hand():
    """Two of length t that share 0.2 t: 1.8 t = 100, so 56 pixels, and likewise 1.8 t = 60, so 34."""
    assert views_of((100, 60), (2, 2), 0.2) == [
        View(0, 0, 100, 60),
        *(View(left, top, 56, 34) for top in (0, 26) for left in (0, 44)),
    ]
    assert views_of((1000, 1000), (2, 1), 0.25)[1:] == [View(0, 0, 572, 1000), View(428, 0, 572, 1000)]


def test_tiles_that_would_be_the_picture_are_there_once():
    assert views_of((7, 5), (1, 1), 0.2) == [View(0, 0, 7, 5)]
    assert views_of((1, 1), (9, 9), 0.5) == [View(0, 0, 1, 1)]


@pytest.mark.parametrize("picture", [(640, 480), (17, 901), (3, 2), (1000, 1)])
@pytest.mark.parametrize("tiles", [(2, 2), (3, 1), (5, 7)])
@pytest.mark.parametrize("overlap", [0, 0.2, 0.5, 0.9])
def test_tiles_cover_the_picture_and_share_what_they_should(picture, tiles, overlap):
    whole, *tiled = views_of(picture, tiles, overlap)
    parts = tiled or [whole]  # of a very small picture a tile is all of it
    covered = np.zeros(picture, bool)
    for left, top, width, height in parts:
        assert min(left, top) >= 0 < min(width, height)
        assert left + width <= picture[0]
        assert top + height <= picture[1]
        covered[left : left + width, top : top + height] = True
    assert covered.all()
    for axis in (0, 1):
        begins = sorted({view[axis] for view in parts})
        for one, other in pairwise(begins):
            assert one + parts[0][axis + 2] - other >= overlap * parts[0][axis + 2] - 1


def seen(view: View, *rows: tuple[float, ...]) -> Candidates:
    """Boxes x1, y1, x2, y2 in pixels of the picture, score and class, as a view gives them."""
    table = np.array(rows, F).reshape(-1, 6)
    size, corner = np.array(view[2:], F), np.array(view[:2], F)
    low, high = (table[:, :2] - corner) / size, (table[:, 2:4] - corner) / size
    boxes = np.concatenate([(low + high) / 2, high - low], axis=1)
    return Candidates(boxes, table[:, 4], table[:, 5].astype(int))


def join(*views: list[tuple[float, ...]], level: float = 0.45, agnostic: bool = False) -> list[tuple[float, ...]]:
    """The boxes that stay of those in the whole picture and its halves, in pixels, rounded."""
    parts = [seen(view, *rows) for view, rows in zip(HALVES, views, strict=True)]
    found = joined(parts, HALVES, level, agnostic=agnostic)
    low, high = found.boxes[:, :2] - found.boxes[:, 2:] / 2, found.boxes[:, :2] + found.boxes[:, 2:] / 2
    corners = np.round(np.concatenate([low, high], axis=1) * 1000).astype(int).tolist()
    return [(*box, round(float(score), 2), int(i)) for box, score, i in zip(*(corners, *found[1:]), strict=True)]


# The halves share x from 428 to 572.
SMALL = (480, 500, 520, 540, 0.6, 0)  # lies in what both halves share
LEFT, RIGHT = (300, 100, 572, 300, 0.9, 0), (428, 100, 700, 300, 0.8, 0)  # of one object, what each half shows
WHOLE = (300, 100, 700, 300, 0.3, 0)  # that object; it shares 272 / 400 of its area with each
FAR = (20, 20, 60, 60, 0.5, 0)


@pytest.mark.parametrize(
    ("views", "left"),
    [
        ([[], [], []], []),
        ([[FAR], [FAR], []], [FAR]),
        ([[], [SMALL], [(*SMALL[:4], 0.7, 0)]], [(*SMALL[:4], 0.7, 0)]),  # the better one
        ([[WHOLE], [LEFT], [RIGHT]], [WHOLE]),  # a part does not stay beside its whole, nor in place of it
        ([[], [LEFT], [RIGHT]], [(300, 100, 700, 300, 0.9, 0)]),  # parts alone become what they are parts of
        ([[], [LEFT], []], [LEFT]),
        ([[WHOLE], [(*LEFT[:5], 1)], []], [(*LEFT[:5], 1), WHOLE]),  # another class is another object
        ([[], [(300, 100, 440, 300, 0.9, 0)], [(560, 100, 800, 300, 0.8, 0)]], None),  # neighbours that do not meet
        ([[(500, 100, 900, 300, 0.9, 0)], [], [(440, 100, 500, 300, 0.8, 0)]], None),
        ([[(0, 0, 1000, 1000, 0.9, 0)], [SMALL, FAR], []], None),  # small ones in front of a large one
        ([[], [(300, 100, 572, 300, 0.9, 0), (350, 600, 540, 700, 0.5, 0)], [RIGHT]],
         [(300, 100, 700, 300, 0.9, 0), (350, 600, 540, 700, 0.5, 0)]),
        ([[WHOLE], [(450, 100, 572, 200, 0.9, 0)], []], [WHOLE]),  # a part of what the left half shows of it
        ([[WHOLE], [], [(600, 100, 650, 200, 0.9, 0)]], None),  # it ends at no seam, so it is one in front of the other
        ([[WHOLE], [(530, 150, 560, 180, 0.9, 0)], [(531, 150, 561, 180, 0.8, 0)]],
         [(531, 150, 561, 180, 0.8, 0), WHOLE]),
        ([[], [(480, 100, 572, 300, 0.9, 0)], [(480, 100, 600, 300, 0.5, 0)]], [(480, 100, 600, 300, 0.5, 0)]),
    ],
)  # fmt: skip
def test_each_object_stays_once(views, left):
    wanted = [row for rows in views for row in rows] if left is None else left
    assert join(*views) == sorted(wanted, key=lambda row: -row[4])


def test_a_part_whose_overlap_with_the_whole_is_small_goes():
    """A tenth of the object lies in the left half: IoU 0.1, but of what that half shows it is all."""
    whole, part = (532, 100, 932, 300, 0.3, 0), (532, 100, 572, 300, 0.9, 0)
    assert join([whole], [part], []) == join([], [part], [whole]) == [whole]


def test_boxes_at_the_edge_of_the_picture_are_whole():
    edge = (0, 0, 100, 1000, 0.9, 0)
    assert join([(0, 0, 110, 1000, 0.3, 0)], [edge], []) == [edge]


def test_agnostic_and_level():
    other = (*SMALL[:4], 0.7, 1)
    assert join([], [SMALL], [other]) == [other, SMALL]
    assert join([], [SMALL], [other], agnostic=True) == [other]
    assert len(join([WHOLE], [LEFT, SMALL], [RIGHT, SMALL], level=0)) == 5
    shifted = (500, 500, 540, 540, 0.7, 0)  # IoU with SMALL is 20 / 60
    assert len(join([], [SMALL], [shifted], level=0.34)) == 2
    assert len(join([], [SMALL], [shifted], level=0.33)) == 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch", [1, 4])
def test_a_detector_finds_what_it_finds_in_each_tile(model, engine, batch):
    rng = np.random.default_rng(7)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((60, 90), (41, 33))]
    how = {"engine": engine, "threshold": 0.05, "nms": 0}
    alone = Detector(load(model), **how)
    tiled = Detector(load(model), **how, tiles=(2, 1), overlap=0.5, batch=batch)
    for image, (found,) in zip(images, tiled.detect_batch(images), strict=True):
        wanted = []
        for left, top, width, height in views_of((image.shape[1], image.shape[0]), (2, 1), 0.5):
            (part,) = alone.detect(image[top : top + height, left : left + width].copy())
            wanted += np.column_stack([part.scores, part.boxes + np.array([left, top, left, top])]).tolist()
        assert len(found) == len(wanted) > 3
        got = np.column_stack([found.scores, found.boxes]).tolist()
        np.testing.assert_allclose(sorted(got), sorted(wanted), rtol=1e-3, atol=2e-2)
        assert (np.diff(found.scores) <= 0).all()


def test_an_exported_file_and_an_ensemble_take_tiles(model, tmp_path):
    from darkshare.surgery.residual import branch

    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    how = {"threshold": 0.3, "tiles": (2, 2)}
    (wanted,) = Detector(load(model), **how).detect(image)
    darkshare.export(load(model), tmp_path / "tiny.onnx")
    (file,) = Detector.of_file(tmp_path / "tiny.onnx", **how).detect(image)
    vote = Detector(branch(load(model), 3, 2, widths=(4, 16)), **how).detect(image)[0]
    for found in (file, vote):
        assert found.class_ids.tolist() == wanted.class_ids.tolist()
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.05)
    assert len(wanted)


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"tiles": (0, 2)}, BadValue, "tiles=0 must be at least 1"),
        ({"tiles": (2, 2), "overlap": 1.0}, BadValue, "overlap=1.0 must be at least 0 and below 1"),
        ({"tiles": (2, 2), "overlap": -0.1}, BadValue, "overlap=-0.1 must be at least 0 and below 1"),
        ({"overlap": 0.3}, BadArguments, "overlap is that of tiles; give tiles too"),
        ({"tiles": (2, 2), "batch": 0}, BadValue, "batch=0 must be at least 1"),
    ],
)
def test_tiles_that_cannot_be_are_refused(tiny, how, error, says):
    with pytest.raises(error, match=says):
        Detector(load(tiny), **how)


@pytest.mark.zoo
def test_the_player_in_the_background_is_found_with_tiles():
    """He is 85 pixels wide of 1296, so 21 in the network's input of 320; where he stands was read off the photo."""
    model, photo = load(zoo_path("models", "f10-coco", "f10-coco.cfg")), zoo_path("media", "messi.jpg")
    whole, tiled = ((Detector(model, threshold=0.5, **how).detect(photo)[0]) for how in ({}, {"tiles": (2, 2)}))
    assert len(whole) == 2
    assert [name for name, _, _ in tiled] == ["person"] * 3
    np.testing.assert_allclose(tiled.boxes[:2], whole.boxes, atol=1e-3)
    np.testing.assert_allclose(tiled.boxes[2], [1207, 480, 1292, 690], atol=15)
