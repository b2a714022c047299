"""The guesses and statistics of benchmarks/which_k.py, by hand."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darkshare.choose_k.candidates import kendall
from darkshare.choose_k.trials import TrialResult
from darkshare.evaluation.curves import average_precision, curve

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import loss_won_back
import which_k
from k_allowances import allowance_rows
from k_guesses import Guess, by_beginnings, by_halving, guess_of, plain, results, without_looking
from k_verdicts import Pair, judged
from records import Record, Training
from regret import Outcomes, by_ranks, by_signs, drawn_pictures, holm, interval, mean_ap, over_seeds, regret, tau


def outcomes(pictures, hit, truths, classes=None, truth_classes=None) -> Outcomes:
    """Detections, best first, of one class without `classes`."""
    own = np.zeros(len(hit), int) if classes is None else np.array(classes)
    true = np.zeros(len(truths), int) if truth_classes is None else np.array(truth_classes)
    return Outcomes(own, np.array(pictures, int), np.array(hit, bool), true, np.array(truths))


def test_average_precision_of_drawn_pictures_by_hand():
    """Picture 0: a hit and a miss above it; picture 1: a hit and an object that nothing finds."""
    found = outcomes([0, 0, 1], [False, True, True], [0, 1, 1])
    once = (2 / 3 + 2 / 3) / 3  # precision 1/2, then 2/3, which is the envelope of both
    twice_first = (2 * 1 / 2) / 2  # only picture 0, twice: 2 wrong, 2 right
    twice_second = 2 / 4  # only picture 1: all that is found is right, half is found
    maps = mean_ap(found, np.array([[1, 1], [2, 0], [0, 2]]))
    assert maps == pytest.approx([once, twice_first, twice_second])


def test_average_precision_is_the_packages_own():
    rng = np.random.default_rng(0)
    hit, classes = rng.random(300) < 0.4, rng.integers(0, 2, 300)
    true = np.repeat([0, 1], [100, 120])
    found = outcomes(rng.integers(0, 20, 300), hit, rng.integers(0, 20, 220), classes, true)
    own = [average_precision(curve(np.arange(300.0)[::-1][classes == c], hit[classes == c], n), 0)
           for c, n in ((0, 100), (1, 120))]  # fmt: skip
    assert mean_ap(found, np.ones((60, 20))) == pytest.approx(np.full(60, np.mean(own)))


def test_a_class_without_objects_in_a_draw_does_not_count():
    found = outcomes([0, 1], [True, True], [0, 1], classes=[0, 1], truth_classes=[0, 1])
    assert mean_ap(found, np.array([[2, 0], [1, 1]])) == pytest.approx([1, 1])


def test_resamples_have_as_many_pictures_and_seeds():
    rng = np.random.default_rng(0)
    weights = drawn_pictures(9, 400, rng)
    assert (weights.sum(axis=1) == 9).all()
    assert weights.mean() == 1
    assert weights.var() == pytest.approx(8 / 9, rel=0.1)  # binomial: 9 draws of 1/9
    maps = np.broadcast_to([[1.0, 3.0], [5.0, 5.0]], (400, 2, 2))
    assert over_seeds(maps)[0] == pytest.approx([2, 5])
    first, second = over_seeds(maps, rng).T
    assert set(first) == {1, 2, 3}
    assert np.isclose((first == 2).mean(), 0.5, atol=0.1)
    assert (second == 5).all()


def test_regret_and_interval_by_hand():
    assert regret(np.array([[0.5, 0.7, 0.6], [0.5, 0.4, 0.3]]), 0) == pytest.approx([0.2, 0])
    assert interval(np.arange(1001.0)) == (25, 975)


@pytest.mark.parametrize("values", [(3, 1, 2, 0), (1, 1, 2, 2), (5, 5, 5, 5)])
def test_tau_is_kendalls(values):
    truth = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.3, 0.2, 0.4], [0.1, 0.1, 0.2, 0.3]])
    assert tau(values, truth) == pytest.approx([kendall(values, row) or 0 for row in truth.tolist()])


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 2, 3, 4], 1 / 16),
        ([1, 2, 3, 0], 1 / 8),  # equal ones say nothing
        ([-1, 2, 3], 2 / 8),  # 4, and 6 of the other signs
        ([-1, -2], 1),
        ([], 1),
    ],
)
def test_signs_by_hand(differences, p):
    assert by_signs(differences) == p


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([0.1, 9, 2], 1 / 8),
        ([-1, 20, 3], 2 / 8),  # ranks of 1, 3, 2
        ([30, -20, 1], 3 / 8),  # 3 - 2 + 1; also 3 + 2 + 1 and 3 + 2 - 1
        ([7, 7, -7], 4 / 8),  # of equal ones each has the mean rank
    ],
)
def test_signed_ranks_by_hand(differences, p):
    assert by_ranks(differences) == p


def test_too_many_pairs_are_refused():
    with pytest.raises(ValueError, match="19 pairs"):
        by_signs([1] * 19)


def test_holms_correction_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []


def trial(k: int, seed: int, mean: float) -> TrialResult:
    given: dict[str, Any] = {"k": k, "seed": seed, "map": mean, "batches": 240, "train_seconds": 8.0}
    return TrialResult(**{**dict.fromkeys(one.name for one in fields(TrialResult)), **given})


def test_a_training_that_had_ended_early():
    made = {(k, 1): Training(np.array([0.8]), {60: mean, 240: 0.9}, 8.0, 5) for k, mean in ((22, 0.4), (66, 0.5))}
    guess = by_beginnings(results(made, 60), [22, 66], "early")["early"]
    assert guess == Guess([0.4, 0.5], 4.0, [1], losses=[])  # a quarter of 8 s, twice
    assert guess.chosen([22, 66]) == 1
    with pytest.raises(SystemExit, match="no mAP after 61 updates"):
        results(made, 61)


def test_a_record_says_what_was_put_into_it(tmp_path):
    record = Record.read(tmp_path / "new" / "d-b.json")
    assert not record.trainings
    record.require({"batch": 16, "test pictures": "ab"})
    record.shares[22] = (0.1, 0.2)
    guess = Guess([1.0, 2.0], 3.0, [1], 22, [0.5, 1.5], {3.0: 22})
    record.guesses["one"] = {"of": {"cuts": [22]}, "guesses": {"g": plain(guess)}}
    record.trainings["plain", 22, 1] = Training(np.array([0.12346, 0, 1]), {60: 0.25, 240: 0.5}, 8.5, 77)
    record.write()
    again = Record.read(record.path)
    assert (again.of, again.shares) == (record.of, record.shares)
    assert guess_of(again.guesses["one"]["guesses"]["g"]) == guess
    found = again.trainings["plain", 22, 1]
    assert found.test == pytest.approx([0.12346, 0, 1])
    assert found[1:] == ({60: 0.25, 240: 0.5}, 8.5, 77)
    again.require(record.of)
    with pytest.raises(SystemExit, match="another batch; give --records"):
        again.require({"batch": 8, "test pictures": "ab"})


def test_halving_stops_where_seeds_agree():
    maps = {0: 0.6, 22: 0.6, 66: 0.5}
    trials = [trial(k, seed, mean) for seed in (1, 2, 3) for k, mean in maps.items()]
    found = by_halving(trials, {0: (0, 0), 22: (0.1, 0.3), 66: (0.2, 0.6)}, [22, 66], [1.0, 12.0])
    assert found.values == pytest.approx([0, -10])
    assert (found.choice, found.seen, found.seconds) == (22, [1, 2], 48)
    assert found.choices == {1.0: 22, 12.0: 66}
    assert found.among([1], [0, 66]).choice is None


def drawn_maps(nets) -> np.ndarray:
    """mAP of all of two pictures, then of 20 resamples, for each k and seed."""
    weights = np.vstack([[1, 1], drawn_pictures(2, 20, np.random.default_rng(0))])
    return np.stack([np.stack([mean_ap(net, weights) for net in row], axis=1) for row in nets], axis=1)


def test_verdicts_by_hand():
    """Seed 1 says k=1, seed 2 k=2; both together say k=1."""
    every, half, none = (outcomes(range(n), [True] * n, [0, 1]) for n in (2, 1, 0))
    guesses = {**without_looking([1, 2]), "first": Guess([1, 0], 3.0, [1]), "second": Guess([0, 1], 4.0, [1])}
    pair = Pair(
        "d", "b", {}, [0, 1, 2], [1, 2], drawn_maps([[every, every], [every, half], [none, every]]),
        {1: 0.1, 2: 0.5}, guesses,
    )  # fmt: skip
    found = {one.name: one for one in judged([pair])}
    assert [(one.regrets, one.taus) for one in found.values()] == [
        ([0], [1]),
        ([25], [-1]),  # 75 and 50
        ([50], [-1]),  # 50 and 100 by seed 2, as it saw seed 1
        ([0], [1]),
    ]
    assert [one.p for one in found.values()] == [None, 1, 1, 1]
    assert found["second"].row()["saves FLOPs %"] == "50"
    low, high = found["first"].regret_between
    assert 0 <= low < high <= 100
    assert [one.regrets for one in judged([pair.deeper(2)])] == [[0]] * 4


def test_the_largest_k_that_loses_no_more_by_hand():
    """k=1 loses 0 points by seed 1 and 25 by seed 2, k=2 100 and 0; both together lose 12.5 and 50."""
    every, half, none = (outcomes(range(n), [True] * n, [0, 1]) for n in (2, 1, 0))
    guesses = {**without_looking([1, 2]), "silent": Guess([1, 0], 3.0), "bold": Guess([0, 1], 4.0, [1], losses=[9, 20])}
    pairs = [
        Pair(data, "b", {}, [0, 1, 2], [1, 2], drawn_maps([[every, every], [every, half], [none, every]]),
             {0: 0, 1: 0.1, 2: 0.5}, guesses)
        for data in "de"
    ]  # fmt: skip
    pairs[1] = replace(pairs[1], tests=drawn_maps([[every] * 2] * 3))
    rows = {(row["may lose"], row["guess"]): row for row in allowance_rows(pairs, [20.0, 5.0])}
    told = ["smallest k", "largest k (FLOPs)", "bold", "as other sets lost", "the truth"]
    assert list(rows) == [(points, name) for points in ("5", "20") for name in told]
    assert rows["20", "bold"]["loses"] == "0.00"  # k=2, which loses 0 by seed 2, and 0 on the other set
    assert rows["5", "bold"]["saves FLOPs %"] == "0"  # none
    assert (rows["5", "the truth"]["saves FLOPs %"], rows["5", "the truth"]["kept"]) == ("25", "2 of 2")  # 0 and 2
    beyond = rows["20", "largest k (FLOPs)"]
    assert (beyond["kept"], beyond["points beyond"], beyond["saves FLOPs %"]) == ("1 of 2", "15.00", "50")
    assert rows["20", "as other sets lost"]["loses"] == "25.00"  # k=2 and k=1: each does as the other set says


PAGES = Path(__file__).parent.parent / "docs" / "explanation"
GIVEN = [
    *(word for one in ("cells:128", "receipts:160", "logos:128", "raccoon:128", "plates:160", "masks:160")
      for word in ("--data", one.replace(":", ".data:"))),
    "--base", "f10-coco.cfg", "--no-train",
]  # fmt: skip


def printed(program, words: list[str], monkeypatch, capsys) -> list[str]:
    """The lines of tables that a program prints."""
    monkeypatch.setattr(sys, "argv", ["program", *GIVEN, *words])
    program.main()
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]


def test_which_k_is_what_the_records_say(tmp_path, monkeypatch, capsys):
    """Of both bases; and what `--minutes` said, which was asked of one."""
    lines = printed(which_k, ["-o", str(tmp_path), "--base", "xl10-coco.cfg"], monkeypatch, capsys)
    assert len(lines) > 80
    asked = printed(which_k, ["-o", str(tmp_path), "--minutes", "6"], monkeypatch, capsys)
    told = [line for line in asked if line.startswith("| 3 ") and ("--minutes 6" in line or "the truth" in line)]
    assert len(told) == 2
    lines += told
    page = (PAGES / "which-k.md").read_text(encoding="utf-8")
    assert [line for line in lines if line not in page] == []


MEASURED = (
    "ladder,teacher,ladder-teacher,solved-ladder-teacher,earlier-ladder-teacher,column,wide,cut,random,scratch,twice"
)


def test_the_loss_won_back_is_what_the_records_say(monkeypatch, capsys):
    lines = printed(loss_won_back, ["--ways", MEASURED], monkeypatch, capsys)
    assert len(lines) == 2 * (2 + 2 + len(MEASURED.split(",")))
    page = (PAGES / "loss-won-back.md").read_text(encoding="utf-8")
    assert [line for line in lines if line not in page] == []
    assert MEASURED in page
