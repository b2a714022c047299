"""The demo: what the README's first command shows."""

from __future__ import annotations

import shlex

import cv2
import pytest
from conftest import run

from darkshare.analysis.frozen import compare_trunks
from darkshare.cli.demo_files import HERE, NETWORKS, PICTURES, K, demonstrate
from darkshare.darknet.model import load


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return demonstrate(tmp_path_factory.mktemp("demo"))


def test_merged_heads_equal_the_separate_ones_bit_for_bit(shown):
    assert [row.task for row in shown.comparisons] == ["street", "street", "marks", "text"]
    assert all(row.largest_difference == 0 for row in shown.comparisons)
    assert all(row.values > 1000 for row in shown.comparisons)
    merged = load(shown.picture.with_suffix(".cfg"))
    assert [(task.name, task.k) for task in merged.tasks] == [("street", 0), ("marks", K), ("text", K)]


def test_the_picture_shows_the_street_above_the_network(shown):
    both, street = cv2.imread(str(shown.picture)), cv2.imread(str(HERE / "street.png"))
    high, wide = street.shape[:2]
    left = (both.shape[1] - wide) // 2
    assert both.shape[0] > high + 400
    assert (both[:high, left : left + wide] == street).all(axis=2).mean() > 0.8  # all but boxes and labels
    assert (both[high:] == 255).all(axis=2).mean() > 0.5
    assert len({tuple(pixel) for pixel in both[high:].reshape(-1, 3)[::7]}) > 20  # and what is drawn there


# What street.png shows, as examples/demo-models/pictures.py drew it: x1, y1, x2, y2 in pixels.
SHOWN = [
    ("lamp", (230, 299, 269, 578)),
    ("person", (78, 453, 119, 587)),
    ("person", (284, 435, 334, 599)),
    ("person", (152, 435, 214, 609)),
    ("bus", (368, 444, 868, 648)),
    ("car", (968, 548, 1236, 658)),
    ("car", (727, 625, 983, 733)),
    ("car", (271, 649, 526, 751)),
    ("fox", (243, 221, 298, 269)),
    ("fox", (389, 215, 447, 266)),
    ("leaf", (556, 135, 624, 202)),
    ("sun", (773, 221, 829, 277)),
    ("sun", (1047, 330, 1107, 391)),
    ("sun", (399, 544, 450, 595)),
    ("text", (38, 337, 231, 398)),
    ("text", (345, 342, 495, 385)),
    ("text", (577, 338, 704, 392)),
    ("text", (805, 335, 1004, 386)),
    ("text", (1158, 343, 1280, 393)),
    ("text", (529, 554, 771, 585)),
]


def test_one_pass_sees_everything_that_is_drawn_and_nothing_else(shown):
    seen = [(name, box) for found in shown.found for name, _, box in found]
    assert sorted(name for name, _ in seen) == sorted(name for name, _ in SHOWN)
    for name, there in SHOWN:
        assert max(overlap(box, there) for one, box in seen if one == name) > 0.5, (name, there)


def test_boxes_hit_and_most_of_them_fit(shown):
    assert [row["task"] for row in shown.measured()] == list(NETWORKS)
    assert all(row["truths"] > 40 and row["mAP"] > 0.9 and 0.5 < row["AP75"] <= row["mAP"] for row in shown.measured())


def overlap(one, other):
    """The IoU of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def test_the_networks_share_their_trunk_and_all_is_small():
    base, *others = (load(HERE / f"{name}.cfg") for name in NETWORKS)
    assert [compare_trunks(base, other, K).identical for other in others] == [K, K]
    assert len(list(PICTURES.glob("*.jpg"))) == 12
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < 4_000_000


def test_the_command_tells_what_it_sees_and_ends_with_the_next_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("demo")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Three networks share their first 13 layers.")  # and with no warning
    assert all(name in result.stdout for name, _ in SHOWN)
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.output.index("Note: the heads have 1, 3 and 4 classes") > result.output.index("both.png")
    _, hint = result.stderr.splitlines()
    command, program, *words = shlex.split(hint)
    assert (command, program, words[0]) == ("next:", "darkshare", "detect")
    assert f"{len(SHOWN)} boxes" in run(*words, code=0).stderr
