"""Tasks that are trained side by side come to what each comes to alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text, write_model, zoo_path
from labelled import Said, draw, draw_classes, write_data

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare import load, train  # noqa: E402
from darkshare._tables import to_json  # noqa: E402
from darkshare.data import read_data  # noqa: E402
from darkshare.errors import BadValue, DarkshareError  # noqa: E402
from darkshare.training.run import Training  # noqa: E402
from darkshare.training.settings import Changes, Options  # noqa: E402
from darkshare.training.side_by_side import named, run_side_by_side  # noqa: E402
from darkshare.training.stepping import Trainer  # noqa: E402

NET = "channels=3\nbatch=4\nsubdivisions=2\nlearning_rate=0.002\nmomentum=0.9\ndecay=0.0005\nmax_batches=6"
TEXT = tiny_text().replace("channels=3", NET)
QUICK = {"k": 4, "batch": 4, "threads": 1, "workers": 0, "device": "cpu"}
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def base(tmp_path):
    return load(write_model(tmp_path / "base", TEXT, seeded_floats(network_of(TEXT), 1), names=("cat", "dog")))


@pytest.fixture
def tasks(tmp_path):
    """Two tasks of 4 and 7 pictures, with validation."""
    found = {}
    for name, count in (("a", 4), ("b", 7)):
        learn, valid = draw(tmp_path / name, count, seed=count), draw(tmp_path / f"{name}2", 2, seed=count + 1)
        found[name] = learn, valid
    return found


def content(stem, suffixes=(".cfg", ".weights", ".names", ".data")) -> list[bytes]:
    return [(stem.parent / f"{stem.name}{suffix}").read_bytes() for suffix in suffixes]


def course(stem) -> list[list[str]]:
    """The lines of a journal without the seconds."""
    rows = [line.split(",") for line in (stem.parent / f"{stem.name}.csv").read_text().splitlines()]
    return [row[:9] + row[10:] for row in rows]


def alone(base, tasks, folder, **how) -> None:
    for name, data in tasks.items():
        train(base, data, output=folder / f"out-{name}", **{**QUICK, **how})


def same(folder, other) -> None:
    for name in "ab":
        assert content(folder / f"out-{name}") == content(other / f"out-{name}")
        assert course(folder / f"out-{name}") == course(other / f"out-{name}")


@pytest.mark.parametrize(
    "how",
    [
        {"epochs": 4},
        pytest.param({"epochs": 4, "recipe": "darknet", "validate_every": 2}, marks=pytest.mark.slow),
        {"batches": 3, "cache_features": 2, "cache_anyway": True, "augment": False},
        pytest.param({"batches": 3, "k": 0, "workers": 2}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_two_tasks_in_one_run_are_the_two_alone(base, tasks, tmp_path, how):
    """Four epochs are 4 updates of one task, and 7 of the other."""
    alone(base, tasks, tmp_path / "alone", **how)
    said = Said()
    found = train(base, tasks, output=tmp_path / "both" / "out", watch=said, **{**QUICK, **how})
    same(tmp_path / "both", tmp_path / "alone")
    assert [*found.tasks] == ["a", "b"]
    assert (found.failed, found.stopped) == ({}, False)
    assert len(said.losses) == sum(one.done for one in found.tasks.values())
    assert any(text.startswith("a: schedule for") or text.startswith("b: ") for text in said.texts)
    assert not [*(tmp_path / "both").glob("*.checkpoint"), *(tmp_path / "both").glob("*.features")]


def test_dropout_draws_for_each_task_what_it_draws_alone(tmp_path, tasks):
    text = TEXT.replace("[upsample]", "[dropout]\nprobability=.5\n\n[upsample]")
    base = load(write_model(tmp_path / "base", text, seeded_floats(network_of(text), 1)))
    alone(base, tasks, tmp_path / "alone", batches=3)
    train(base, tasks, output=tmp_path / "both" / "out", batches=3, **QUICK)
    same(tmp_path / "both", tmp_path / "alone")


@pytest.mark.zoo
@pytest.mark.slow
def test_a_real_network_on_real_pictures(tmp_path):
    """One thread and batches of 8: there, what pictures give together differs from what they give apart."""
    folder = zoo_path("models", "f10-coco")
    base = load(folder / "f10-coco.cfg")
    tasks = {}
    for name, place in (("a", "plates"), ("b", "logos-27")):
        data = read_data(zoo_path("datasets", place, f"{place}.data"), "train")
        tasks[name] = replace(data, samples=data.samples[:16])
    how = {"k": 109, "batch": 8, "batches": 2, "size": (160, 160), "validate_every": 0}
    alone(base, tasks, tmp_path / "alone", **how)
    train(base, tasks, output=tmp_path / "both" / "out", **{**QUICK, **how})
    same(tmp_path / "both", tmp_path / "alone")


def test_the_layers_that_stay_are_held_once(base, tasks, tmp_path):
    options = Options(k=4, device="cpu", changes=Changes(batches=2))
    first = Training(base, tasks["a"][0], tmp_path / "a", options, watch=Said())
    other = Training(base, tasks["b"][0], tmp_path / "b", options, watch=Said(), beside=first)
    places = [
        {index: [block.data_ptr() for block in given.values()] for index, given in one.trainer.net._given.items()}
        for one in (first, other)
    ]
    shared = [index for index, blocks in places[0].items() if blocks and blocks == places[1][index]]
    assert shared == [0, 1]  # 2 and 3 hold nothing


# --- stopped, resumed, failed -----------------------------------------------------------------------------------------


class Struck(Said):
    """Raises Ctrl-C behind so many updates of all tasks."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, entry) -> None:
        super().step(entry)
        if len(self.losses) == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("recipe", ["steady", "darknet"])
def test_ctrl_c_saves_all_and_resume_goes_on_with_all(base, tasks, tmp_path, recipe):
    """4 and 7 updates: after 3 both are under way, after 10 one is finished, and stays so."""
    how = {**QUICK, "epochs": 4, "recipe": recipe, "validate_every": 3}
    alone(base, tasks, tmp_path / "alone", **how)
    output, made = tmp_path / "both" / "out", 0
    for after, stopped, resume in ((3, {"a", "b"}, False), (10, {"b"}, True), (99, set(), True)):
        said = Struck(after - made)
        found = train(base, tasks, output=output, watch=said, resume=resume, **how)
        made += len(said.losses)
        assert {name for name, one in found.tasks.items() if one.stopped} == stopped
        assert found.stopped == bool(stopped)
        assert {text[0] for text in said.texts if "--resume goes on" in text} == stopped
        assert bool([*output.parent.glob("*.checkpoint")]) == bool(stopped)
        if stopped:
            with pytest.raises(DarkshareError, match=r"out-a\.checkpoint: is of a training that was stopped"):
                train(base, tasks, output=output, **how)
    assert made == 4 + 7
    same(tmp_path / "both", tmp_path / "alone")


def breaking(monkeypatch, batch: int) -> None:
    """Let the weights of the task of 7 pictures break before an update, whenever it comes."""
    real = Trainer.launch

    def launch(self, number, parts):
        if number == batch and self.net.model.tasks[0].name == "out-b":
            with torch.no_grad():
                self.net.state_dict()["5.weights"].fill_(float("nan"))
        return real(self, number, parts)

    monkeypatch.setattr(Trainer, "launch", launch)


@pytest.mark.parametrize(("recipe", "restarts"), [("darknet", 0), ("steady", 3)])
def test_a_task_that_diverges_ends_no_other(base, tasks, tmp_path, monkeypatch, recipe, restarts):
    how = {**QUICK, "epochs": 4, "recipe": recipe, "validate_every": 0}
    alone(base, tasks, tmp_path / "alone", **how)
    said = Said()
    breaking(monkeypatch, 2)
    found = train(base, tasks, output=tmp_path / "both" / "out", watch=said, **how)
    assert "the loss of batch 2 is nan" in found.failed["b"]
    assert sum("at half the rate" in text for text in said.texts) == restarts
    assert content(tmp_path / "both/out-a") == content(tmp_path / "alone/out-a")
    assert found.notes()[-1] == f"b failed: {found.failed['b']}"
    assert found.summary() == f"a {found.tasks['a'].summary()}; b failed"
    assert '"failed"' in to_json(found.as_dict())
    assert [row["task"] for row in found.rows()] == ["a"]
    monkeypatch.undo()
    again = train(base, tasks, output=tmp_path / "both" / "out", resume=True, **how)
    assert [one.stopped for one in again.tasks.values()] == [False, False]
    same(tmp_path / "both", tmp_path / "alone")


def test_weights_that_cannot_be_saved_keep_no_other_from_saving(base, tasks, tmp_path, monkeypatch):
    how = {**QUICK, "epochs": 4, "recipe": "darknet", "validate_every": 0}
    real = Training.finish

    def finish(self, **keep):
        if self.files.stem.name == "out-a":
            raise DarkshareError("the disk is full")
        return real(self, **keep)

    monkeypatch.setattr(Training, "finish", finish)
    found = train(base, tasks, output=tmp_path / "out", watch=Struck(4), **how)
    assert found.failed == {"a": "the disk is full"}
    assert found.tasks["b"].stopped
    assert (tmp_path / "out-b.checkpoint").exists()


# --- one pass through the trunk ---------------------------------------------------------------------------------------


def test_on_a_gpu_the_pictures_of_all_tasks_go_through_the_trunk_together(base, tasks, tmp_path, monkeypatch):
    """A CPU stands in for it: two parts of two pictures per update of each task are two passes of four."""
    alone(base, tasks, tmp_path / "alone", epochs=4, recipe="darknet", validate_every=0)
    monkeypatch.setattr("darkshare.training.side_by_side.is_gpu", lambda device: True)
    trainings, passes = {}, []

    def seen(x):
        passes.append(len(x))
        return x

    for name, (data, _) in tasks.items():
        options = Options(
            k=4, recipe="darknet", device="cpu", threads=1, workers=0, validate_every=0, changes=Changes(epochs=4)
        )
        trainings[name] = Training(base, data, tmp_path / f"out-{name}", options, watch=Said())
        net = trainings[name].trainer.net
        monkeypatch.setattr(net, "trunk", lambda x, real=net.trunk: real(seen(x)))
    run_side_by_side(trainings)
    assert passes == [4] * 2 * 4 + [2] * 2 * 3
    for name in tasks:
        found, wanted = load(tmp_path / f"out-{name}.cfg"), load(tmp_path / f"alone/out-{name}.cfg")
        floats = [one.weights.view(0, one.weights.size) for one in (found, wanted)]
        np.testing.assert_allclose(*floats, rtol=1e-4, atol=1e-6)


# --- names ------------------------------------------------------------------------------------------------------------


def test_tasks_are_named_like_their_data(tmp_path):
    folder = draw_classes(tmp_path / "signs.v2", 2)
    data = draw(tmp_path, 2)
    found = named([str(folder), tmp_path / "x.y.data", (data, data), "z.data"], tmp_path / "o")
    assert {name: path.name for name, (path, _) in found.items()} == {
        "signs.v2": "o-signs.v2", "x.y": "o-x.y", "squares": "o-squares", "z": "o-z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (["x/train.data", "y/train.data"], "two data sets are called train"),
        ({"a": "a.data", "A": "b.data"}, "a and A would have files of the same name"),
        ({"a": "a.data", "a-best": "b.data"}, "a and a-best would have files of the same name"),
        ({"a/b": "a.data"}, "a task cannot be called 'a/b'"),
        ({"": "a.data"}, "a task cannot be called ''"),
        ([], "there is no data set"),
        ({}, "there is no data set"),
        ([3], "3 is not a data set"),
    ],
    ids=str,
)
def test_names_that_clash_are_refused(base, tmp_path, data, text):
    with pytest.raises(BadValue, match=text):
        train(base, data, output=tmp_path / "out", **QUICK)
    assert not list(tmp_path.glob("out*"))


def test_no_output_may_be_an_input_of_another_task(base, tasks, tmp_path):
    write_data(tmp_path, tasks["a"][0])
    (tmp_path / "squares.data").rename(tmp_path / "base-a.data")
    write_data(tmp_path, tasks["b"][0])
    given = {"a": str(tmp_path / "squares.data"), "b": str(tmp_path / "base-a.data")}
    with pytest.raises(DarkshareError, match=r"base-a\.data: is one of the inputs"):
        train(base, given, output=tmp_path / "base", validate_every=0, **QUICK)


def test_classes_of_pictures_are_not_for_a_detector(base, tasks, tmp_path):
    given = {"a": tasks["a"], "b": str(draw_classes(tmp_path / "signs", 2))}
    with pytest.raises(DarkshareError, match="signs: is a folder, but the network finds boxes"):
        train(base, given, output=tmp_path / "out", validate_every=0, **QUICK)
    assert not list(tmp_path.glob("out*"))
