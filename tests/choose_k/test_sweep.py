"""`darkshare.sweep`: in one call."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import TRAINABLE, needs_torch, network_of

from darkshare import SweepWatch, load, sweep
from darkshare._tables import to_json
from darkshare.choose_k.processes import Message
from darkshare.choose_k.trial_run import run_trial
from darkshare.errors import BadValue, DarkshareError
from darkshare.training.settings import TrainingWatch

QUICK = {"batches": 2, "batch": 4, "threads": 1, "workers": 0, "device": "cpu"}
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def here(monkeypatch):
    """Trials run in this process; those with seed 9 fail."""
    needs_torch()

    def run_all(trials, jobs):
        for trial in trials:
            if trial.options.seed == 9:
                yield Message(trial, "failed", text="it broke")
                continue
            run_trial(trial, TrainingWatch())
            yield Message(trial, "done", text="mAP")

    monkeypatch.setattr("darkshare.choose_k.sweep.run_here", run_all)


class Seen(SweepWatch):
    def __init__(self) -> None:
        self.events: list[str] = []

    def begin(self, plan, waiting) -> None:
        self.events.append(f"{len(waiting)} of {len(plan.trials)}")

    def show(self, message) -> None:
        self.events.append(f"{message.trial.name} {message.event}")


def test_a_sweep_in_one_call(base, data, tmp_path, here):
    seen = Seen()
    found = sweep(load(base), data, k=(0, 3), seeds=1, output=tmp_path / "out", watch=seen, **QUICK)
    assert seen.events == ["2 of 2", "k=0 seed=1 done", "k=3 seed=1 done"]
    assert [(row["k"], row["seeds"]) for row in found.rows()] == [(0, 1), (3, 1)]
    assert [row["mAP %"] for row in found.table()] == [round(100 * one.map, 2) for one in found.choices]
    assert repr(found) == "<Sweep: 2 trainings for k=0, 3>"
    assert found._repr_html_().startswith("<table>")
    assert found.notes()[0].startswith("mAP: Darknet's rule")
    assert '"conditions": ' in to_json(found.as_dict())
    found.plot(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out" / "results.png").read_bytes()
    more = sweep(load(base), data, k=3, seeds=(1, 9), output=tmp_path / "out", watch=seen, **QUICK)
    assert seen.events[3:] == ["1 of 2", "k=3 seed=9 failed"]
    assert more.failed == ({"k": 3, "seed": 9, "error": "it broke"},)
    assert more.notes()[-1] == "k=3 seed=9 failed: it broke"
    assert repr(more) == "<Sweep: 2 trainings for k=0, 3, 1 failed>"


def test_a_sweep_of_which_nothing_is_done(base, data, tmp_path, here):
    found = sweep(load(base), data, k=3, seeds=9, output=tmp_path / "out", **QUICK)
    assert (found.rows(), found.notes()) == ([], ["k=3 seed=9 failed: it broke"])
    assert repr(found) == "<Sweep: no trainings, 1 failed>"
    assert [path.name for path in found.files] == ["results.csv", "results.json"]


def changed(model):
    floats = model.weights.view(0, model.weights.size).copy()
    floats[0] += 1
    return replace(model, weights=replace(model.weights, runs=(floats,)))


@pytest.mark.parametrize(
    "change",
    [
        changed,
        lambda model: replace(model, network=network_of(TRAINABLE.replace("learning_rate=0.002", "learning_rate=0.1"))),
        lambda model: replace(model, weights=None),
        lambda model: replace(model, weights=replace(model.weights, path="")),
        lambda model: replace(model, tasks=(replace(model.tasks[0], names=("a", "b")),)),
    ],
    ids=["weights", "cfg", "without weights", "weights of no file", "names"],
)
def test_each_training_reads_the_files_so_the_base_must_be_as_they_are(base, data, tmp_path, change):
    needs_torch()
    with pytest.raises(DarkshareError):
        sweep(change(load(base)), data, k=3, output=tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


def test_what_is_in_memory_only_is_refused_with_what_to_do(base, data, tmp_path):
    needs_torch()
    with pytest.raises(BadValue, match=r"base\.cfg: differs from its files, .*; save it first"):
        sweep(changed(load(base)), data, k=3, output=tmp_path / "out", **QUICK)


@pytest.mark.parametrize(
    ("how", "text"), [({"jobs": 0}, "jobs=0 must be at least 1"), ({"seeds": ()}, r"1\.\.10000 trials, not 0")], ids=str
)
def test_numbers_of_a_sweep(base, data, tmp_path, how, text):
    needs_torch()
    with pytest.raises(BadValue, match=text):
        sweep(load(base), data, **{"k": 3, "output": tmp_path / "out", **QUICK, **how})
