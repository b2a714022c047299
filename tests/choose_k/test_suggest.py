"""`darkshare.suggest_k`: in one call."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TRAINABLE, needs_torch, network_of, seeded_floats, write_model

from darkshare import load, suggest_k
from darkshare.errors import BadArguments, BadValue


def tuned(folder: Path) -> Path:
    floats = seeded_floats(network_of(TRAINABLE), 2)
    return write_model(folder / "tuned", TRAINABLE, floats, names=("red", "blue"))


def test_a_base_alone_is_listed(base):
    model = load(base)
    found = suggest_k(model)
    assert repr(found) == "<Suggestion: 5 cuts, not ranked>"
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
        load(base), load(tuned(tmp_path)), data, k=(2, 4), budget="flops<=0.9", recalibrate=4, threads=1, watch=watch
    )
    assert {row["k"] for row in found.rows()} == {2, 4}
    assert all(row["swap"] is not None and row["moved"] > 0 for row in found.rows())
    assert [one for one in seen if isinstance(one, int)] == [2, 4]
    assert repr(found) == f"<Suggestion: 2 cuts, first k={found.candidates[0].k} by swap>"
    assert set(found.as_dict()) == {"rows", "notes", "advice", "trained_map", "agreement", "measured"}
    assert "smallest within flops<=0.9" in found.advice
    assert found.notes()[0].startswith("the trained network itself: mAP ")


def test_batch_norm_is_recalibrated_for_swaps_only(base, data):
    with pytest.raises(BadArguments, match="recalibrate is for a trained network and data; give both"):
        suggest_k(load(base), data=data, recalibrate=4)


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        ("ms<=3", "milliseconds are measured by `darkshare plan`"),
        ("flops<=0.001", r"the least that a cut adds is flops=0\.\d+, at k=4"),
        ("50", "is not a budget; write flops<=0.5"),
    ],
)
def test_budgets_that_cannot_be_kept(base, budget, why):
    with pytest.raises(BadValue, match=why):
        suggest_k(load(base), k=(2, 4), budget=budget)


def test_a_budget_leaves_the_cuts_that_add_no_more(base):
    """In FLOPs as a share of the network's own, and in 10^6 bytes of its weights."""
    network = load(base).network
    above = {k: sum(layer.flops for layer in network.layers[k:]) / network.flops for k in (2, 4)}
    stored = {k: 4e-6 * (network.params - network.start(k)) for k in (2, 4)}
    for unit, adds in {"flops": above, "mb": stored}.items():
        for most in (1.001 * adds[2], 1.001 * adds[4]):
            found = suggest_k(load(base), k=(2, 4), budget=f"{unit}<={most:.9f}").advice
            assert found == {f"smallest within {unit}<={most:.9f}": min(k for k in adds if adds[k] <= most)}
