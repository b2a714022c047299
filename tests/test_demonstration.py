"""The demo: what the README's first command shows."""

from __future__ import annotations

import cv2
import pytest
from click.testing import CliRunner

from darkshare.cli import main
from darkshare.demonstration import K, demonstrate
from darkshare.model import load


@pytest.mark.filterwarnings("ignore::darkshare.DarkshareWarning")  # the two tasks have 3 and 1 classes
def test_merged_heads_equal_the_separate_ones_bit_for_bit(tmp_path):
    shown = demonstrate(tmp_path)
    assert [row.task for row in shown.comparisons] == ["shapes", "shapes", "text", "text"]
    assert all(row.largest_difference == 0 for row in shown.comparisons)
    assert all(row.values > 1000 for row in shown.comparisons)
    merged = load(tmp_path / "both.cfg")
    assert [(task.name, task.k) for task in merged.tasks] == [("shapes", 0), ("text", K)]
    assert cv2.imread(str(shown.picture)).shape == (480, 480, 3)


def test_the_command_says_that_the_weights_are_not_trained(tmp_path):
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "demo")])
    assert result.exit_code == 0, result.output
    assert "seeded, not trained" in result.stdout
    assert "share their first 13" in result.stdout
