"""k by short trainings, more of them where there is doubt."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import needs_torch, run
from sweeps import trained_here

from darkshare import load, suggest_k
from darkshare.choose_k import halving
from darkshare.choose_k.halving import (
    CutLoss,
    Halving,
    Round,
    halved,
    is_sure,
    kept_to,
    largest,
    lasting,
    losses_of,
    next_round,
    saved_by,
    spread,
)
from darkshare.choose_k.results import Choice
from darkshare.errors import BadArguments, BadValue
from darkshare.training.timing import Times


def loss(k: int, points: float, error: float | None = 0.2, seeds: int = 2) -> CutLoss:
    return CutLoss(k, points, error, seeds, k / 200)


def choice(k: int, lost: float | None, deviation: float | None, seeds: int) -> Choice:
    return Choice(k, seeds, 0.5, 0.4, 0.6, None, None, None, lost, deviation, 0.1, 0.3, 1.0, pareto=False)


SHARES = {k: k / 200 for k in (9, 22, 43, 66, 76, 89, 99, 109)}
CURVE = [loss(9, 0.1), loss(22, 0.5), loss(66, 0.9), loss(89, 2.0), loss(109, 4.0)]


@pytest.mark.parametrize(
    ("allowed", "k", "kept", "sure"),
    [
        (1.0, 66, 22, False),  # 0.9 ± 0.2 may be more
        (1.5, 66, 66, True),
        (0.05, None, None, False),  # 0.1 ± 0.2 may be less
        (0.2, 9, None, False),
        (-1.0, None, None, True),
        (9.0, 109, 109, True),  # nothing is beyond it
        (2.1, 89, 66, False),
    ],
)
def test_the_largest_that_loses_no_more(allowed, k, kept, sure):
    assert largest(CURVE, allowed) == k
    assert kept_to(CURVE, allowed) == kept
    assert is_sure(CURVE, allowed) is sure


@pytest.mark.parametrize(
    ("allowed", "ks", "seeds"),
    [
        (1.0, [43], 2),  # of 43 and 76 in the middle of 22, which is kept to, and 89; with as many seeds as there are
        (1.5, [76], 2),  # 66 and 89 are clear, but not what lies between
        (0.05, [9], 3),
        (3.9, [99], 2),
        (9.0, [], 1),
        (-1.0, [], 1),
    ],
)
def test_what_is_trained_next(allowed, ks, seeds):
    assert next_round(CURVE, allowed, SHARES, 1) == Round(ks, seeds)


def test_two_cuts_at_once():
    """Thirds of 22..89 are at 0.22 and 0.33 of the FLOPs; a sixth cut is the last."""
    few = [one for one in CURVE if one.k in (22, 89, 109)]
    assert next_round(few, 1.0, SHARES, 2) == Round([43, 66], 2)
    assert next_round(CURVE, 1.0, SHARES, 2) == Round([43], 2)


@pytest.mark.parametrize(("allowed", "ks", "seeds"), [(1.0, [66], 3), (1.5, [], 1), (3.9, [109], 3)])
def test_further_seeds_where_no_cut_lies_between(allowed, ks, seeds):
    assert next_round(CURVE, allowed, {one.k: one.flops for one in CURVE}, 1) == Round(ks, seeds)


def test_no_more_than_six_cuts():
    assert next_round([*CURVE, loss(76, 1.8)], 1.0, SHARES, 2) == Round([66], 3)


def test_two_cuts_get_a_second_seed_and_who_has_fewest_comes_first():
    two = [loss(66, 0.9, None, 1), loss(89, 2.0, None, 1)]
    assert next_round(two, 1.0, {66: 0.3, 89: 0.4}, 2) == Round([66, 89], 2)
    few = [loss(22, 0.0), loss(66, 0.9, seeds=3), loss(76, 1.1, seeds=2)]
    assert next_round(few, 1.0, {one.k: one.flops for one in few}, 1) == Round([76], 3)


def test_how_long_trainings_last():
    """The longest first: 5 and 4, then 3 behind the 4."""
    assert lasting([3, 5, 4], 2) == 7
    assert lasting([3, 5, 4], 1) == 12
    assert lasting([], 2) == 0


def test_one_seed_is_never_sure():
    assert not is_sure([loss(9, 0.0, None, 1)], 1.0)
    assert not is_sure([], 1.0)


def test_errors_come_from_what_all_seeds_say():
    """Deviations of 1 and 3 points give sqrt((1 + 9) / 2) = sqrt(5) points, over the root of the seeds."""
    found = losses_of(
        [choice(0, 0.0, 0.0, 4), choice(9, 0.01, 0.01, 4), choice(22, 0.02, 0.03, 2), choice(66, 0.03, None, 1)]
    )
    assert [(one.k, one.seeds) for one in found] == [(9, 4), (22, 2), (66, 1)]
    assert [one.points for one in found] == pytest.approx([1, 2, 3])
    assert [one.error for one in found] == pytest.approx([math.sqrt(5) / 2, math.sqrt(5) / math.sqrt(2), math.sqrt(5)])


@pytest.mark.parametrize(("most", "ks"), [(1, [5]), (2, [1, 5]), (3, [1, 4, 5]), (5, [1, 2, 3, 4, 5])])
def test_cuts_are_spread_over_what_they_save(most, ks):
    assert spread({1: 0.1, 2: 0.12, 3: 0.15, 4: 0.5, 5: 0.9}, most) == ks


def test_what_is_said():
    told = Halving(66, tuple(CURVE), 1.5, True, 12, 240, 1512.0, (), False)
    assert told.notes() == [
        "share k=66: it loses 0.9 ± 0.2 points of mAP and saves 33 % of a further network's FLOPs;"
        " k=89 loses 2.0 ± 0.2",
        "seeds agree (12 trainings of 240 updates, 2 seeds at most, 25.2 minutes)",
    ]
    none = replace(told, k=None, allowed=0.05, is_sure=False)
    assert none.notes()[0] == "no cut loses at most 0.05 points: k=9 loses least, 0.1 ± 0.2 points of mAP"
    assert "do not separate" in none.notes()[1]
    assert replace(none, allowed=0.2).summary().startswith("no cut loses at most 0.2 points for sure: k=9")
    last = replace(told, k=109, allowed=5)
    assert last.summary().endswith(", and is the largest that was tried")


def test_a_cut_that_gains_points_is_told_of():
    told = Halving(22, (loss(9, -0.9), loss(22, -4.8, 1.2), loss(66, 3.0)), 1.5, True, 12, 240, 1512.0, (), False)
    assert told.notes()[2] == "k=22 gains 4.8 ± 1.2 points, as sharing can where pictures are few;"
    assert "give more minutes and a new -o" in told.notes()[3]
    assert len(replace(told, losses=(loss(9, -0.9), loss(22, -1.1, 0.2))).notes()) == 2


@pytest.mark.parametrize(
    ("minutes", "rounds", "seeds"),
    [
        (3, [[0, 4], [0, 4]], {4: 2}),
        (5, [[0, 2, 4], [0, 4], [0, 2], [0, 2, 4]], {2: 3, 4: 3}),  # 2 is asked once seeds leave doubt about 4
        (40, [[0, 2, 4], [0, 4], [0, 2], *[[0, 2, 4]] * 7], {2: 9, 4: 9}),
    ],
)
def test_trainings_until_the_time_is_over(base, data, tmp_path, monkeypatch, minutes, rounds, seeds):
    """An update takes 1 s, a training 3.5 s more, and two run at once; a look at the clock finds it 40 s later.

    So 61 updates take 64.5 s, two trainings as long as one, and three twice as long. In five minutes the first seed has
    time for three (97 of 108 s), and what follows for two, for one and for three (129 of 140 s that are left), but not
    once more; in three minutes there is time for k=0 and one cut, and for these once more.
    """
    clock, asked = count(0, 40), list[dict[str, Any]]()
    made = {0: set[int](), 2: set[int](), 4: set[int]()}

    def sweep(base, data, **how):
        asked.append(how)
        for k in how["k"]:
            made[k].update(how["seeds"])
        choices = [choice(k, 0.1 * bool(k), 0.01 if len(own) > 1 else None, len(own)) for k, own in made.items() if own]
        trials = [None] * sum(map(len, made.values()))
        return SimpleNamespace(choices=choices, trials=trials, failed=(), stopped=False, files=())

    monkeypatch.setattr(halving, "monotonic", lambda: next(clock))
    monkeypatch.setattr(halving, "timed", lambda *_: Times(61, 1.0, 0.5))
    monkeypatch.setattr(halving, "sweep", sweep)
    told = halved(load(base), str(data), (2, 4), allowed=10, minutes=minutes, output=tmp_path, seed=4, threads=2)
    assert {one.k: one.seeds for one in told.losses} == seeds
    assert [how["k"] for how in asked] == rounds
    assert {how["batches"] for how in asked} == {told.batches}
    assert (asked[0]["jobs"], asked[0]["threads"], list(asked[-1]["seeds"])) == (2, 1, list(range(5, 5 + seeds[4])))
    monkeypatch.delattr(halving, "timed")  # what goes on times nothing again
    again = halved(load(base), str(data), (2, 4), allowed=10, minutes=minutes, output=tmp_path, seed=4, threads=2)
    assert (again.batches, {one.k: one.seeds for one in again.losses}) == (told.batches, seeds)


@pytest.mark.slow
def test_real_trainings(base, data, tmp_path, monkeypatch):
    """And none of them twice."""
    needs_torch()
    monkeypatch.setattr(halving, "timed", lambda *_: Times(2, 0.1, 0.1))
    monkeypatch.setattr("darkshare.choose_k.sweep.run_here", trained_here)
    monkeypatch.setattr(halving, "_SEEDS", 1)
    words = (
        "suggest-k",
        base,
        data,
        "--k",
        "4",
        "--minutes",
        "3",
        "--max-loss",
        "100",
        "-o",
        tmp_path / "out",
        "--boxes",
        "20",
        "--size",
        "64x32",
    )
    said = run(*words, code=0)
    assert "share k=4: it loses " in said.stdout
    assert "2 trainings of 2 updates, 1 seeds at most" in said.stdout
    written = (tmp_path / "out" / "trials" / "k4-seed1" / "net.weights").stat().st_mtime_ns
    assert (tmp_path / "out" / "results.png").exists()
    made = load(tmp_path / "out" / "trials" / "k4-seed1" / "net.cfg").network.input
    assert (made.w, made.h) == (64, 32)
    found = json.loads(run(*words, "--format", "json", code=0).stdout)
    assert found["measured"]["rows"][0]["k"] == 4
    assert (tmp_path / "out" / "trials" / "k4-seed1" / "net.weights").stat().st_mtime_ns == written


def test_too_little_time(base, data, tmp_path, monkeypatch):
    """It says how much would do."""
    needs_torch()
    monkeypatch.setattr(halving, "timed", lambda *_: Times(1000, 3.0, 6.0))
    with pytest.raises(BadValue, match=r"minutes=1 are too few to train k=0 and one cut: give (\d+) or more") as caught:
        suggest_k(load(base), data=data, k=4, minutes=1, output=tmp_path / "out", threads=1, boxes=20)
    needed = int(str(caught.value).split("give ")[1].split()[0])
    course = halving._planned(load(base), str(data), saved_by(load(base), [4]), needed, None, 1)
    assert course.updates >= 60
    with pytest.raises(BadArguments, match=r"give a \.data file"):
        suggest_k(load(base), minutes=1)
