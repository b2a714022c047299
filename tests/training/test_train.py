"""`darkshare.train`: from files to files, in one call."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from labelled import NAMES, Said, draw, draw_classes, write_data
from models import WITH_STAGES, model

torch = pytest.importorskip("torch", reason="training needs PyTorch")

import darkshare  # noqa: E402
from darkshare import load, save, train  # noqa: E402
from darkshare._tables import to_json  # noqa: E402
from darkshare.data import Box, Dataset, read_data, read_options  # noqa: E402
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning  # noqa: E402
from darkshare.evaluation import evaluate_model  # noqa: E402

QUICK = {"batch": 4, "threads": 1, "workers": 0, "device": "cpu"}
CLASSIFIER = """\
[net]
width=32
height=32
channels=3
batch=4
max_batches=2
learning_rate=0.01

[convolutional]
filters=4
size=3
stride=2
activation=leaky

[avgpool]

[convolutional]
filters=2
size=1
activation=linear

[softmax]
"""
pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_side_is_trained_with_the_layers_behind_the_trunk(tmp_path):
    save(model(WITH_STAGES, "plain"), tmp_path / "plain")
    base, said = load(tmp_path / "plain.cfg"), Said()
    how = {**QUICK, "batches": 2, "validate_every": 0, "watch": said, "output": tmp_path / "out"}
    train(base, draw(tmp_path, 8), k=8, side="ladder:4", **how)
    assert any(text.endswith("a side of 11 layers, 8..18, adds 8.85 % of the network's FLOPs") for text in said.texts)
    found = load(tmp_path / "out.cfg")
    assert found.network.layers[8].inputs == (1,)
    assert all(one.identical for one in darkshare.frozen(base, found, k=8))
    zeros = [found.tensors(at)["scales"] for at in (13, 17)]
    assert all(one.any() for one in zeros)  # they began as 0
    with pytest.raises(BadValue, match="with k=0 none does"):
        train(base, draw(tmp_path, 8), k=0, side="ladder", **how)


def test_a_data_file_is_learned_from_and_validated_on(base, data, tmp_path):
    said = Said()
    found = train(load(base), data, k=4, output=tmp_path / "out", batches=2, validate_every=1, watch=said, **QUICK)
    assert (found.done, found.stopped, found.measure) == (2, False, "mAP")
    assert found.rule.startswith("Darknet's rule")
    assert len(said.losses) == 2
    assert load(tmp_path / "out.cfg").tasks[0].names == NAMES
    assert [row["batch"] for row in found.rows()] == [1, 2]
    assert list(found.to_dataframe()["map"]) == [entry.map for entry in found.entries]
    assert found.notes()[0] == f"{tmp_path}/out.cfg: {found.summary()}"
    assert repr(found) == f"<Outcome: after batch 2 of 2, mAP {100 * found.map:.2f} % ({found.mistakes})>"
    assert found.mistakes == evaluate_model(load(tmp_path / "out.cfg"), read_data(data, "valid")).mistakes
    assert f"{100 * found.best:.2f} % ({found.best_mistakes})" in found.notes()[1]
    assert '"best_batch": ' in to_json(found.as_dict())


def test_a_test_part_is_measured_at_the_end(base, data, tmp_path):
    with open(data, "a", encoding="utf-8") as file:
        file.write(f"test = {read_options(data).options['valid'].value}\n")
    with pytest.warns(DarkshareWarning, match="4 of 4 test pictures are valid pictures too"):
        found = train(load(base), data, k=4, output=tmp_path / "out", batches=2, validate_every=1, **QUICK)
    assert found.tested == found.best
    kept = read_data(tmp_path / "out.data", "test")
    assert [sample.boxes for sample in kept.samples] == [sample.boxes for sample in read_data(data, "valid").samples]


def test_a_notebook_shows_the_course(base, data, tmp_path):
    found = train(load(base), data, k=4, output=tmp_path / "out", batches=2, validate_every=0, **QUICK)
    assert found._repr_html_().startswith('<img src="data:image/png;base64,iVBOR')
    assert "after batch 2 of 2" in found._repr_html_()
    found.plot(tmp_path / "course.svg")
    assert b"loss per picture" in (tmp_path / "course.svg").read_bytes() or (tmp_path / "course.svg").stat().st_size


def test_data_sets_in_memory(base, tmp_path):
    learn, valid = draw(tmp_path / "learn", 6), draw(tmp_path / "valid", 2, seed=1)
    how = {"k": 4, "batches": 2, **QUICK}
    with pytest.warns(DarkshareWarning, match="no pictures to validate on, so nothing is measured"):
        alone = train(load(base), learn, output=tmp_path / "a", **how)
    assert alone.map is None
    both = train(load(base), (learn, valid), output=tmp_path / "b", validate_every=2, **how)
    assert both.map is not None
    weights = [(tmp_path / f"{name}.weights").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_a_folder_of_classes_is_split(tmp_path):
    (tmp_path / "net.cfg").write_text(CLASSIFIER)
    folder, said = draw_classes(tmp_path / "squares", 5), Said()
    found = train(load(tmp_path / "net.cfg"), folder, k=0, output=tmp_path / "out", split=0.4, watch=said, **QUICK)
    assert found.measure == "top-1"
    assert "4 of 10 pictures are set aside for validation" in said.texts
    with pytest.warns(DarkshareWarning, match="no pictures to validate on"):
        train(load(tmp_path / "net.cfg"), folder, k=0, output=tmp_path / "all", split=0, **QUICK)


def test_findings_are_warned_of_and_counted(base, tmp_path):
    data = write_data(tmp_path, draw(tmp_path, 12), valid=2)
    for number in range(7):
        (tmp_path / "labels" / f"{number}.txt").write_text("7 0.5 0.5 0.1 0.1\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(load(base), data, k=4, output=tmp_path / "out", batches=1, validate_every=0, **QUICK)
    texts = [str(one.message) for one in caught if one.category is DarkshareWarning]
    assert len(texts) == 4
    assert "labels/0.txt:1: " in texts[0]
    assert texts[3] == "7 findings of this kind (unknown class), 3 are shown; darkshare check has all"
    assert {one.filename for one in caught if one.category is DarkshareWarning} == {__file__}


@pytest.mark.parametrize(("most", "said"), [(3, 1), (4, 0)])
def test_boxes_that_max_leaves_out_are_told(base, tmp_path, most, said):
    (first, second, *_), names = draw(tmp_path / "learn", 3).samples, NAMES
    boxes = tuple(Box(0, 0.2 * i, 0.5, 0.1, 0.1) for i in range(1, 5))
    learn = Dataset("crowd", names, (first, second._replace(boxes=boxes)))
    path = Path(base)
    path.write_text(path.read_text().replace("[yolo]", f"[yolo]\nmax={most}"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(load(base), learn, k=4, output=tmp_path / "out", batches=1, validate_every=0, **QUICK)
    assert sum("max=4 in each head's section" in str(one.message) for one in caught) == said


def test_a_share_is_not_split_off_what_is_divided(base, data, tmp_path):
    with pytest.warns(DarkshareWarning, match=r"squares\.data has parts of its own, so --split is not used"):
        train(load(base), data, k=4, output=tmp_path / "out", batches=1, validate_every=0, split=0.5, **QUICK)


def test_the_base_is_not_replaced(base, data, tmp_path):
    before = base.read_bytes()
    with pytest.raises(DarkshareError, match=r"base\.cfg: is one of the inputs"):
        train(load(base), data, k=4, output=tmp_path / "base", batches=1, **QUICK)
    assert base.read_bytes() == before


def test_a_trunk_in_memory_is_kept_too(base, data, tmp_path):
    model = load(base)
    train(model, data, k=4, output=tmp_path / "out", batches=1, validate_every=0, **QUICK)
    for index in range(4):
        for name, values in load(tmp_path / "out.cfg").tensors(index).items():
            np.testing.assert_array_equal(values, model.tensors(index)[name])


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"epochs": 0}, "epochs=0 must be more than 0"),
        ({"lr": -1}, "lr=-1 must be more than 0"),
        ({"lr": float("nan")}, "lr=nan must be more than 0"),
        ({"batches": 0}, "batches=0 must be at least 1"),
        ({"ema": 1.0}, "ema=1 must be less than 1"),
        ({"workers": -1}, "workers=-1 must be at least 0"),
        ({"threads": 0}, "threads=0 must be at least 1"),
        ({"device": "tpu"}, "there is no device tpu"),
        ({"split": 1.5}, "a share of 1.5 cannot be split off"),
    ],
    ids=str,
)
def test_numbers_out_of_range(tmp_path, how, text):
    (tmp_path / "net.cfg").write_text(CLASSIFIER)
    folder = draw_classes(tmp_path / "squares", 3)
    with pytest.raises(DarkshareError, match=text):
        darkshare.train(load(tmp_path / "net.cfg"), folder, **{"k": 0, "output": tmp_path / "out", **QUICK, **how})
    assert list(tmp_path.glob("out*")) == []


def test_k_must_leave_something_to_train(base, data, tmp_path):
    with pytest.raises(BadValue, match=r"k=13 must be 0\.\.12"):
        train(load(base), data, k=13, output=tmp_path / "out", **QUICK)


def test_the_data_file_that_is_written_keeps_the_lists(base, data, tmp_path, monkeypatch):
    (tmp_path / "hard.txt").write_text("")
    data.write_text(f"{data.read_text()}test=missing.txt\ndifficult={tmp_path / 'hard.txt'}\ntop=3\nbackup=x\n")
    with pytest.warns(
        DarkshareWarning, match=r"test=missing\.txt: no such file, .*; so the best network is not tested"
    ):
        train(load(base), data, k=4, output=tmp_path / "far" / "out", batches=1, **QUICK)
    for stem in ("out", "out-best"):
        options = read_options(tmp_path / "far" / f"{stem}.data").options
        assert {key: one.value for key, one in options.items()} == {
            "classes": "2",
            "names": f"{stem}.names",
            "train": f"{tmp_path}/train.txt",
            "valid": f"{tmp_path}/valid.txt",
            "difficult": f"{tmp_path}/hard.txt",
            "backup": "backup",
        }
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = darkshare.evaluate(load(tmp_path / "far" / "out.cfg"), tmp_path / "far" / "out.data")
    assert again.means == darkshare.evaluate(load(tmp_path / "far" / "out.cfg"), data).means


def test_relative_lists_are_relative_to_the_new_file(base, data, tmp_path, monkeypatch):
    data.write_text(data.read_text().replace(f"{tmp_path}/", ""))
    monkeypatch.chdir(tmp_path)
    train(load("base.cfg"), "squares.data", k=4, output="far/out", batches=1, **QUICK)
    assert read_options("far/out.data").options["valid"].value == "../valid.txt"
    assert len(read_data("far/out.data", "valid").samples) == 4


def test_classes_in_another_order_keep_no_lists(base, data, tmp_path):
    """The labels are numbered as the data's classes, not as the network's."""
    base.with_suffix(".names").write_text("blue\nred\n")
    train(load(base), data, k=4, output=tmp_path / "out", batches=1, validate_every=0, **QUICK)
    assert set(read_options(tmp_path / "out.data").options) == {"classes", "names", "backup"}


def test_a_classifiers_data_file_says_that_it_is_for_one(tmp_path):
    from conftest import network_of, seeded_floats, write_model

    draw_classes(tmp_path / "set", 4)
    pictures = sorted((tmp_path / "set").rglob("*.png"))
    for name, some in {"train": pictures[::2], "valid": pictures[1::2]}.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{picture}\n" for picture in some))
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in NAMES))
    (tmp_path / "set.data").write_text("classes=2\ntrain=train.txt\nvalid=valid.txt\nlabels=labels.txt\n")
    cfg = write_model(tmp_path / "c", CLASSIFIER, seeded_floats(network_of(CLASSIFIER), 1), names=NAMES)
    train(load(cfg), tmp_path / "set.data", k=0, output=tmp_path / "out", batches=1, **QUICK)
    found = darkshare.evaluate(load(tmp_path / "out.cfg"), tmp_path / "out.data")
    before = darkshare.evaluate(load(tmp_path / "out.cfg"), tmp_path / "set.data")
    assert [row | {"data": ""} for row in found.rows()] == [row | {"data": ""} for row in before.rows()]
