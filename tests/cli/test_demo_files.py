"""The demo: what the README's first command shows."""

from __future__ import annotations

import cv2
from conftest import run

from darkshare.analysis.frozen import compare_trunks
from darkshare.cli.demo_files import HERE, NETWORKS, K, demonstrate
from darkshare.darknet.model import load


def test_merged_heads_equal_the_separate_ones_bit_for_bit(tmp_path):
    shown = demonstrate(tmp_path)
    assert [row.task for row in shown.comparisons] == ["shapes", "shapes", "text", "text"]
    assert all(row.largest_difference == 0 for row in shown.comparisons)
    assert all(row.values > 1000 for row in shown.comparisons)
    merged = load(tmp_path / "both.cfg")
    assert [(task.name, task.k) for task in merged.tasks] == [("shapes", 0), ("text", K)]
    assert cv2.imread(str(shown.picture)).shape == (480, 480, 3)


# What photo.png shows, measured by hand: x1, y1, x2, y2 in pixels.
SHOWN = [
    ("circle", (60, 50, 180, 170)),
    ("square", (270, 50, 390, 170)),
    ("text", (60, 350, 236, 380)),
    ("text", (220, 412, 380, 448)),
    ("triangle", (170, 200, 310, 310)),
]


def test_one_pass_sees_everything_that_is_drawn_and_nothing_else(tmp_path):
    shown = demonstrate(tmp_path)
    seen = [(name, box) for found in shown.found for name, _, box in found]
    assert sorted(name for name, _ in seen) == [name for name, _ in SHOWN]
    for name, there in SHOWN:
        assert max(overlap(box, there) for one, box in seen if one == name) > 0.6, (name, there)


def overlap(one, other):
    """The IoU of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def test_the_networks_share_their_trunk_and_are_small():
    shapes, text = (load(HERE / f"{name}.cfg") for name in NETWORKS)
    assert compare_trunks(shapes, text, K).identical == K
    assert all((HERE / f"{name}.weights").stat().st_size < 1_000_000 for name in NETWORKS)


def test_the_command_tells_what_it_sees(tmp_path):
    result = run("demo", "-o", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert "share their first 13" in result.stdout
    assert all(name in result.stdout for name, _ in SHOWN)
    assert result.output.index("Note: the heads have 1 and 3 classes") > result.output.index("both.png")
    _, hint = result.stderr.splitlines()  # and no warning before what it is about
    assert hint.startswith("next: darkshare detect ")
