"""`darkshare.suggest_k`: in one call."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TRAINABLE, needs_torch, network_of, seeded_floats, write_model

from darkshare import load, suggest_k
from darkshare.errors import BadArguments


def tuned(folder: Path) -> Path:
    floats = seeded_floats(network_of(TRAINABLE), 2)
    return write_model(folder / "tuned", TRAINABLE, floats, names=("red", "blue"))


def test_a_base_alone_is_listed(base):
    model = load(base)
    found = suggest_k(model)
    assert repr(found) == "<Suggestion: 6 cuts, not ranked>"
    assert [one.k for one in suggest_k(model, k=4).candidates] == [4]
    assert list(found.table()[0]) == ["k", "block", "FLOPs %", "weights %"]
    assert found.notes()[0].startswith("By k, not by accuracy: nothing here shows what mAP a k costs")
    assert all(len(line) <= 80 for line in str(found).splitlines())
    assert "<td>" in found._repr_html_()


@pytest.mark.slow
def test_everything_at_once(base, data, tmp_path):
    needs_torch()
    seen: list[object] = []

    def watch(items):
        for item in items:
            seen.append(item)
            yield item

    found = suggest_k(
        load(base), load(tuned(tmp_path)), data, k=(2, 4), budget=10, recalibrate=4, threads=1, watch=watch
    )
    assert {row["k"] for row in found.rows()} == {2, 4}
    assert all(row["swap"] is not None and row["moved"] > 0 for row in found.rows())
    assert [one for one in seen if isinstance(one, int)] == [2, 4]
    assert repr(found) == f"<Suggestion: 2 cuts, first k={found.candidates[0].k} by swap>"
    assert set(found.as_dict()) == {"rows", "notes", "advice", "trained_map", "agreement", "measured"}
    assert "smallest that saves 10 % of the FLOPs" in found.advice
    assert found.notes()[0].startswith("the trained network itself: mAP ")


def test_batch_norm_is_recalibrated_for_swaps_only(base, data):
    with pytest.raises(BadArguments, match="recalibrate is for a trained network and data; give both"):
        suggest_k(load(base), data=data, recalibrate=4)
