"""Classes kept, dropped, put in another order, renamed and added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import residuals
from conftest import tiny_text
from models import floats, model, quiet_concat, retrained

from darkshare.analysis.check import check
from darkshare.darknet.initial import drawn
from darkshare.darknet.model import Model, save
from darkshare.errors import BadArguments, BadValue, DarkshareError, DarkshareWarning, Unsupported
from darkshare.inference.detector import Detector
from darkshare.surgery.classes import ClassChange, Classes, afresh, classes, edited, matched, relabelled, wanted_names
from darkshare.surgery.residual import branch
from darkshare.surgery.splice import split

NAMES = ("person", "bus", "car", "a,b", "7")


@pytest.mark.parametrize(
    ("how", "names", "rows"),
    [
        ({}, NAMES, (0, 1, 2, 3, 4)),
        ({"keep": ["car", "person"]}, ("car", "person"), (2, 0)),
        ({"drop": ["bus", "a,b"]}, ("person", "car", "7"), (0, 2, 4)),
        ({"keep": ["1", "7"]}, ("bus", "7"), (1, 4)),  # 7 is a name, 1 is none
        ({"rename": {"bus": "van"}, "add": ["x"]}, ("person", "van", "car", "a,b", "7", "x"), (0, 1, 2, 3, 4, None)),
        ({"keep": ["car"], "rename": {"2": "van"}}, ("van",), (2,)),
        ({"keep": ["person", "bus"], "rename": {"person": "bus", "bus": "person"}}, ("bus", "person"), (0, 1)),
    ],
)
def test_a_list_of_classes_is_edited(how, names, rows):
    assert edited(NAMES, **how) == Classes(names, rows)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"keep": ["tram"]}, "no class 'tram'; the classes are person, bus"),
        ({"drop": ["9"]}, "no class '9'"),
        ({"keep": ["bus"], "drop": ["bus"]}, "both kept and dropped"),
        ({"keep": ["bus"], "rename": {"car": "van"}}, "'car' is renamed, but not kept"),
        ({"keep": ["bus", "bus"]}, "'bus' would be there twice"),
        ({"add": ["bus"]}, "'bus' would be there twice"),
        ({"drop": NAMES}, "no class would be left"),
        ({"add": [" logo"]}, "cannot be in a .names file"),
    ],
)
def test_what_cannot_be_meant_is_an_error(how, why):
    with pytest.raises(BadValue, match=why):
        edited(NAMES, **how)


def test_a_file_of_names_says_all_classes(tmp_path):
    path = tmp_path / "own.names"
    path.write_text("car\nlogo\nperson\n")
    assert matched(NAMES, wanted_names(path)) == Classes(("car", "logo", "person"), (2, None, 0))
    assert afresh(wanted_names(path)) == Classes(("car", "logo", "person"), (None, None, None))


@pytest.mark.parametrize(("text", "why"), [("", "no class names"), ("a\n\nb\n", "empty line"), ("a\na\n", "again")])
def test_a_file_that_is_no_list_of_names_is_refused(text, why, tmp_path):
    (tmp_path / "bad.names").write_text(text)
    with pytest.raises(DarkshareError, match=why):
        wanted_names(tmp_path / "bad.names")


def picture() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 255, (40, 30, 3), dtype=np.uint8)


def planes(m: Model, head: int) -> np.ndarray:
    """The raw output of a head by box and value."""
    raw = Detector(m).raw(picture())[head]
    return raw.reshape(m.network.layers[head].kind.boxes, -1, *raw.shape[-2:])


def test_classes_that_stay_have_the_same_boxes_and_scores_bit_for_bit():
    base = model(tiny_text(5))
    names = base.tasks[0].names
    changed = relabelled(base, edited(names, keep=[names[3], names[0]], add=["logo"]))
    for head in (6, 12):
        old, new = planes(base, head), planes(changed, head)
        assert new[:, :7].tobytes() == old[:, [0, 1, 2, 3, 4, 5 + 3, 5 + 0]].tobytes()
        assert (new[:, 7] == -20).all()  # a class that no box ever has
    assert changed.tasks[0].names == ("base_3", "base_0", "logo")
    assert [d.names for d in Detector(changed, threshold=0.1).detect(picture())] == [changed.tasks[0].names]


def test_gaussian_heads_keep_their_nine_entries():
    text = tiny_text(3).replace("[yolo]", "[Gaussian_yolo]").replace("filters=16\nact", "filters=24\nact")
    base = model(text)
    changed = relabelled(base, edited(base.tasks[0].names, keep=["base_2"]))
    old, new = base.tensors(5)["weights"], changed.tensors(5)["weights"]
    rows = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11]  # x, ux, y, uy, w, uw, h, uh, objectness, then class 2
    assert np.array_equal(new, old[[*rows, *(row + 12 for row in rows)]])


REGION = """\
[net]
width=8
height=8
channels=3

[convolutional]
batch_normalize=1
filters=16
size=1
activation=linear

[region]
anchors=1,2, 3,4
classes=3
coords=4
num=2
softmax={softmax}
"""


def test_region_heads_behind_batch_norm():
    base = model(REGION.format(softmax=0))
    changed = relabelled(base, edited(base.tasks[0].names, keep=["base_1"], add=["logo"]))
    rows = [0, 1, 2, 3, 4, 6, None]
    for name, tensor in changed.tensors(0).items():
        kept = [row for row in rows if row is not None]
        assert np.array_equal(tensor[:6], base.tensors(0)[name][kept])
    assert [changed.tensors(0)[name][6] for name in ("biases", "scales", "rolling_variance")] == [-20, 1, 1]


def test_a_softmax_without_a_class_is_told():
    base = model(REGION.format(softmax=1))
    with pytest.warns(DarkshareWarning, match="softmax shares its scores"):
        relabelled(base, edited(base.tasks[0].names, drop=["base_0"]))
    relabelled(base, edited(base.tasks[0].names, keep=["base_2", "base_1", "base_0"]))  # all of them: no warning


def test_fresh_classes_are_drawn_and_boxes_stay():
    base = model(tiny_text(2))
    changed = relabelled(base, afresh(["x", "y", "z"]), initial=drawn(1))
    old, new = base.tensors(5), changed.tensors(5)
    assert np.array_equal(new["weights"][:5], old["weights"][:5])
    assert new["weights"][5:8].std() > 0.1
    assert not new["biases"][5:8].any()
    again = relabelled(base, afresh(["x", "y", "z"]), initial=drawn(1))
    assert np.array_equal(again.tensors(5)["weights"], new["weights"])


def test_numbers_per_class_follow_their_classes():
    text = tiny_text(3).replace("classes=3", "classes=3\ncounters_per_class=10,20,30")
    base = model(text)
    names = base.tasks[0].names
    changed = relabelled(base, edited(names, keep=["base_2", "base_0"]))
    assert [head.kind.counters_per_class for head in changed.network.heads] == [(30, 10)] * 2
    with pytest.warns(DarkshareWarning, match="counters_per_class= is left out"):
        changed = relabelled(base, edited(names, add=["logo"]))
    assert [head.kind.counters_per_class for head in changed.network.heads] == [()] * 2


def merged(**how) -> Model:
    base = model(tiny_text(2), "base")
    return quiet_concat([base, retrained(base, tiny_text(3), "text", 4)], 4, **how)


def test_one_task_of_a_merged_model_changes_and_the_other_does_not():
    both = merged()
    changed = relabelled(both, edited(both.tasks[1].names, keep=["text_2"]), task="text")
    before, after = (split(m) for m in (both, changed))
    assert after[0].network.cfg == before[0].network.cfg
    assert floats(after[0]).tobytes() == floats(before[0]).tobytes()
    assert after[1].tasks[0].names == ("text_2",)
    assert np.array_equal(after[1].tensors(5)["weights"][5], before[1].tensors(5)["weights"][5 + 2])


def test_a_padded_model_stays_padded():
    both = merged(layout="padded")
    changed = relabelled(both, edited(both.tasks[0].names, drop=["base_0"]), task="base")
    assert {head.kind.classes for head in changed.network.heads} == {4}
    assert [(task.padded, task.offset, len(task.names)) for task in changed.tasks] == [(True, 0, 1), (True, 1, 3)]
    native = relabelled(merged(), edited(both.tasks[0].names, drop=["base_0"]), task="base")
    for own, other in zip(split(changed), split(native), strict=True):
        assert floats(own).tobytes() == floats(other).tobytes()


@pytest.mark.parametrize("combine", ["logits", "none"])
def test_an_ensemble_s_classes_are_renamed_in_all_its_tasks_only(combine):
    small = residuals.small_darknet()
    other = replace(small, tasks=(replace(small.tasks[0], name="other"),))
    both = quiet_concat([other, branch(small, "block 2", 2, combine=combine, tolerance=1.0)], 3)
    names = both.tasks[1].names
    changed = relabelled(both, edited(names, rename={"class_1": "bus"}), task="net-2")
    new = ("class_0", "bus", *names[2:])
    assert [task.names for task in changed.tasks] == [names, *[new] * (len(both.tasks) - 1)]
    assert changed.network is both.network
    for task in both.tasks[1:]:
        for how in ({"drop": ["class_1"]}, {"add": ["bus"]}, {"keep": names[::-1]}):
            with pytest.raises(Unsupported, match=r"the ensemble net .* renamed only; .* before `darkshare branch`"):
                relabelled(both, edited(names, **how), task=task.name)
    assert relabelled(both, edited(names, add=["bus"]), task="other").tasks[0].names == (*names, "bus")


def test_the_task_has_to_be_said_and_known():
    both = merged()
    with pytest.raises(BadValue, match=r"has the tasks base, text; say which one"):
        classes(both)
    with pytest.raises(BadValue, match="no task bus; it has base, text"):
        classes(both, task="bus")


def test_heads_that_cannot_be_changed_are_named():
    base = model(tiny_text(2))
    shared = replace(base, tasks=(base.tasks[0], replace(base.tasks[0], name="other")))
    with pytest.raises(Unsupported, match=r"layer 6 \[yolo\] cannot be changed: it belongs to other as well"):
        relabelled(shared, afresh(["x"]), task="base")
    unequal = replace(base, tasks=(replace(base.tasks[0], names=("a", "b", "c")),))
    with pytest.raises(Unsupported, match="it has 2 classes, but there are 3 names"):
        relabelled(unequal, afresh(["x"]))


def test_check_finds_nothing_wrong_with_the_product(tmp_path):
    base = model(tiny_text(5))
    names = base.tasks[0].names
    save(relabelled(base, edited(names, keep=[names[3], names[0]]), initial=drawn(1)), tmp_path / "small")
    assert (tmp_path / "small.names").read_text() == "base_3\nbase_0\n"
    assert len(check(tmp_path / "small.cfg")) == 0


@pytest.mark.parametrize(
    ("how", "names", "was"),
    [
        ({}, ("base_0", "base_1", "base_2"), (0, 1, 2)),
        ({"keep": "base_2,base_0", "rename": {"base_0": "thing"}}, ("base_2", "thing"), (2, 0)),
        ({"keep": ["2", "0"], "rename": "base_0=thing", "add": "new"}, ("base_2", "thing", "new"), (2, 0, None)),
        ({"drop": ["base_1"]}, ("base_0", "base_2"), (0, 2)),
        ({"names": ["base_2", "new"]}, ("base_2", "new"), (2, None)),
        ({"fresh": ["base_2"]}, ("base_2",), (None,)),
    ],
)
def test_all_in_one_call(how, names, was):
    changed = classes(model(tiny_text(3), "base"), **how)
    assert changed.tasks[0].names == names
    report = changed.report
    assert isinstance(report, ClassChange)
    assert [row["was"] for row in report.rows()] == list(was)
    assert repr(report) == f"<ClassChange: {len(names)} instead of 3 classes>"
    assert "<th>old_name</th>" in report._repr_html_()


@pytest.mark.parametrize(("how", "is_drawn"), [({}, True), ({"init": "silent"}, False), ({"seed": 5}, True)])
def test_fresh_classes_are_drawn_unless_said_otherwise(how, is_drawn):
    base = model(tiny_text(1), "base")
    kernel = classes(base, fresh=["one"], **how).tensors(5)["weights"][5]
    assert kernel.any() == is_drawn
    assert np.array_equal(kernel, classes(base, fresh=["one"]).tensors(5)["weights"][5]) == (how == {})


@pytest.mark.parametrize("how", [{"names": ["a"], "fresh": ["a"]}, {"names": ["a"], "drop": ["b"]}])
def test_classes_are_said_in_one_way(how):
    with pytest.raises(BadArguments, match="--from and --fresh each say all classes"):
        classes(model(tiny_text(1)), **how)


def test_an_unknown_start_of_weights():
    with pytest.raises(BadValue, match="init zero must be silent or random"):
        classes(model(tiny_text(1)), init="zero")
