"""int8 files: which pictures, how far the heads are off, what stays in fp32, and that they run."""

from __future__ import annotations

import json
import platform
import runpy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import onnx
import pytest
from conftest import tiny_text, zoo_path
from models import floats, model, quiet_concat, retrained

from darkshare._images import read_picture
from darkshare.darknet.model import load
from darkshare.darknet.network import Network
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, Unsupported
from darkshare.evaluation.exporting import quantise
from darkshare.inference.boxes import Detections
from darkshare.inference.detector import Detector
from darkshare.inference.engines import available
from darkshare.inference.int8 import QUANTISERS, SUFFIXES, Int8, agreement, attempted, choose, layers, missing, prepared
from darkshare.inference.int8 import onnxruntime as by_onnxruntime
from darkshare.inference.int8.calibration import Blobs
from darkshare.inference.onnx import TARGETS, read_exported, write_onnx

pytest.importorskip("onnxruntime", reason="int8 files are made by ONNX Runtime")
each_quantiser = pytest.mark.parametrize("engine", [engine for engine in QUANTISERS if not missing(engine)])
K = 5


@pytest.fixture
def photos(tmp_path) -> Path:
    """Twelve small pictures in a folder, each with a bright square somewhere."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        picture = rng.integers(0, 60, (48, 64, 3), np.uint8)
        x, y = rng.integers(0, 32, 2)
        picture[y : y + 16, x : x + 16] = rng.integers(150, 255, 3)
        cv2.imwrite(str(folder / f"{i:02}.png"), picture)
    return folder


def two_tasks():
    """Two tiny detectors in one; with less objectness than drawn weights give, there are some boxes, not hundreds."""
    base = model(tiny_text(2), "base")
    both = quiet_concat([base, retrained(base, tiny_text(5), "text", K)], K)
    data = floats(both).copy()
    for head in both.network.heads:
        biases = both.network.start(layers.last_layer(both.network, head.index))
        values = 5 + head.kind.classes
        data[biases + 4 : biases + 2 * values : values] -= 0.5
    return replace(both, weights=replace(both.weights, runs=(data,)))


def run_of(file, engine="onnxruntime"):
    from darkshare.inference.engines import open_engine

    return open_engine(engine, file.path, file.outputs).run


# Which pictures


def test_pictures_are_drawn_by_lot_and_others_judge(photos):
    chosen = choose(str(photos), 6, seed=1)
    assert len(chosen.calibration) == 6
    assert len(chosen.trial) == 6
    assert len({*chosen.calibration, *chosen.trial}) == 12
    assert choose(str(photos), 6, seed=1) == chosen
    assert choose(str(photos), 6, seed=2) != chosen


def test_of_few_pictures_a_quarter_judges_and_of_very_few_all_do_both(photos):
    chosen = choose(str(photos), 64)
    assert (len(chosen.calibration), len(chosen.trial)) == (9, 3)
    for path in sorted(photos.iterdir())[3:]:
        path.unlink()
    chosen = choose(str(photos), 64)
    assert chosen.calibration == chosen.trial
    assert len(chosen.trial) == 3


def test_lists_patterns_and_data_files_are_sources_too(photos, tmp_path):
    names = sorted(map(str, photos.iterdir()))
    listed = tmp_path / "train.txt"
    listed.write_text("\n".join(names[:9]))
    (tmp_path / "x.names").write_text("a\n")
    (tmp_path / "x.data").write_text(f"classes=1\ntrain={listed}\nnames={tmp_path / 'x.names'}\n")
    for name in names:
        Path(name).with_suffix(".txt").write_text("0 .5 .5 .2 .2\n")
    for source in (listed, tmp_path / "x.data"):
        chosen = choose(str(source))
        assert {*chosen.calibration, *chosen.trial} == set(names[:9])
    assert len(choose(str(photos / "*.png")).calibration) == 9


def test_what_is_no_picture_is_named_and_left_out(photos, tmp_path):
    (photos / "00.png").write_bytes(b"no picture")
    with pytest.warns(DarkshareWarning, match=r"left out: .*00\.png: is not a picture"):
        chosen = choose(str(photos), 8)
    assert len({*chosen.calibration, *chosen.trial}) == 11
    (tmp_path / "clip.avi").write_bytes(b"")
    with pytest.raises(BadValue, match=r"clip\.avi: is not a picture; calibrate with pictures"):
        choose(str(tmp_path / "clip.avi"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DarkshareError, match="is a folder without"):
        choose(str(tmp_path / "empty"))
    with pytest.raises(BadValue, match="at least one picture"):
        choose(str(photos), 0)


# How far the heads are off


def found(*rows) -> Detections:
    """Boxes as (x1, y1, x2, y2, score, class)."""
    values = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(values[:, :4], values[:, 4], values[:, 5].astype(int), ("a", "b"), "t")


def test_boxes_in_common_by_hand():
    a = found((0, 0, 10, 10, 0.9, 0), (20, 20, 30, 30, 0.8, 1), (50, 50, 60, 60, 0.7, 0))
    b = found((0, 0, 10, 9, 0.7, 0), (20, 20, 30, 30, 0.5, 0), (50, 50, 60, 53, 0.7, 0))
    # The first overlap by .9; the second are of other classes; the third overlap by .3 only.
    pairs = agreement._boxes_in_common(a, b)
    assert pairs[:2] == (5, 1)
    assert pairs.scores == pytest.approx(0.2)
    assert agreement._boxes_in_common(a, a) == (3, 3, 0)
    assert agreement._boxes_in_common(a, found()) == (3, 0, 0)
    assert agreement._boxes_in_common(found(), found()) == (0, 0, 0)


def test_a_box_that_is_a_little_below_the_threshold_counts_where_the_other_is_above():
    a, low = found((0, 0, 10, 10, 0.26, 0)), found((0, 0, 10, 10, 0.22, 0))
    pairs = agreement._boxes_in_common(a, low)
    assert pairs[:2] == (1, 1)
    assert pairs.scores == pytest.approx(0.04)
    assert agreement._boxes_in_common(low, low) == (0, 0, 0)
    assert agreement._boxes_in_common(low, found()) == (0, 0, 0)


def test_a_box_is_paired_once_and_with_its_best():
    a = found((0, 0, 10, 10, 0.9, 0))
    b = found((0, 0, 10, 8, 0.8, 0), (0, 0, 10, 10, 0.6, 0))
    pairs = agreement._boxes_in_common(a, b)
    assert pairs[:2] == (2, 1)
    assert pairs.scores == pytest.approx(0.3)


def test_fp32_agrees_with_itself_and_not_with_noise(photos, tmp_path):
    both = two_tasks()
    chosen = choose(str(photos))
    run = Detector(both)._engine.run
    trial = agreement.Reference(both, chosen.trial, run)
    same = trial.judge(run)
    assert [(head.task, head.output) for head in same] == [
        ("base", "L6_yolo"), ("base", "L12_yolo"), ("text", "L15_yolo"), ("text", "L21_yolo"),
    ]  # fmt: skip
    assert all(head.difference == 0 and head.both == 1 and head.score_difference == 0 for head in same)
    noise = trial.judge(lambda values: [head + 3 for head in run(values)])
    assert all(head.difference > 0.5 and head.level < 1 for head in noise)
    without = trial.judge(lambda values: [head - 50 for head in run(values)])
    assert all(head.both == 0 and head.score_difference is None for head in without)


def test_classifiers_agree_in_their_best_class(photos):
    text = "[net]\nwidth=16\nheight=16\nchannels=3\n[convolutional]\nfilters=4\n[avgpool]\n[softmax]\n"
    from onnxruns import model_of

    one = model_of(text)
    one = replace(one, tasks=(replace(one.tasks[0], heads=(2,), names=("a", "b", "c", "d")),))
    run = Detector(one)._engine.run
    trial = agreement.Reference(one, choose(str(photos)).trial, run)
    (same,) = trial.judge(run)
    assert (same.found, same.both, same.score_difference) == (3, 1, 0)
    (other,) = trial.judge(lambda values: [np.roll(head, 1, axis=1) for head in run(values)])
    assert other.both == 0


# What stays in fp32


def test_the_last_layer_of_a_head_and_the_worst_below_it():
    network: Network = model(tiny_text(2)).network
    first, second = (layer.index for layer in network.heads)
    assert (layers.last_layer(network, first), layers.last_layer(network, second)) == (first - 1, second - 1)
    errors = {layer.index: 0.01 for layer in network.layers if layer.tensors}
    errors |= {2: 0.2, 4: 0.3, 5: 0.3}
    # Layer 2 adds .19, layer 4 adds .1, layer 5 passes on what it got.
    assert layers.worst_layers(network, first, errors, ()) == [2]
    assert layers.worst_layers(network, first, errors, (2,)) == [4]


@pytest.mark.slow
@each_quantiser
def test_heads_that_come_out_badly_get_layers_back_in_fp32(photos, engine, monkeypatch):
    """Judged as if int8 were hopeless until the third attempt."""
    both = two_tasks()
    judge = agreement.Reference.judge

    tries = 0

    def strict(self, run):
        nonlocal tries
        tries += 1
        return tuple(replace(head, both=1.0 if tries == 3 else 0.5) for head in judge(self, run))

    monkeypatch.setattr(agreement.Reference, "judge", strict)
    with attempted(both, choose(str(photos)), Int8(engine, 0.9)) as best:
        assert tries == 3
        assert {5, 11, 14, 20} < set(best.kept)  # the heads' own convolutions, then the worst of the others
        kept = json.loads(facts_of(Path(best.file.path))["quantised"])["kept"]
    assert tuple(kept) == best.kept


def facts_of(path: Path) -> dict[str, str]:
    if path.suffix == ".onnx":
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    section = ElementTree.parse(path).getroot().find("rt_info/darkshare")
    assert section is not None
    return {entry.tag: entry.attrib["value"] for entry in section}


@each_quantiser
def test_a_layer_that_is_kept_is_exact(photos, engine, tmp_path):
    """With all layers in fp32 nothing is off; with none, all is."""
    both = two_tasks()
    pictures = choose(str(photos))
    write_onnx(both, tmp_path / "fp32.onnx")
    quantiser = QUANTISERS[engine](tmp_path / "fp32.onnx", Blobs(both.network, pictures.calibration))
    every = [layer.index for layer in both.network.layers]
    errors = {}
    for name, kept in (("all", every), ("none", [])):
        path = tmp_path / f"{name}{quantiser.suffix}"
        quantiser.write(path, kept, {})
        blobs = Blobs(both.network, pictures.trial)
        errors[name] = layers.layer_errors(quantiser, tmp_path / "fp32.onnx", path, both.network, blobs)
    assert set(errors["all"]) == {layer.index for layer in both.network.layers if layer.tensors}
    assert max(errors["all"].values()) < 1e-5
    assert min(errors["none"].values()) > 1e-4
    assert max(errors["none"].values()) < 0.5


def test_what_cannot_be_reached_is_reported(photos):
    said = pytest.warns(DarkshareWarning, match=r"heads that agree with fp32 in less than 1")
    with said, attempted(two_tasks(), choose(str(photos)), Int8(agreement=1)) as best:
        assert best.worst < 1


def test_layers_that_hardly_help_are_not_kept(photos, monkeypatch):
    """Of attempts that all fail, the first that is nearly as good as the best."""
    judge, levels = agreement.Reference.judge, iter((0.5, 0.6, 0.61, 0.615))

    def given(self, run):
        level = next(levels)
        return tuple(replace(head, both=level) for head in judge(self, run))

    monkeypatch.setattr(agreement.Reference, "judge", given)
    said = pytest.warns(DarkshareWarning, match=r"less than 0\.9: L6_yolo 0\.60")
    with said, attempted(two_tasks(), choose(str(photos)), Int8()) as best:
        assert best.kept == (5, 11, 14, 20)


def test_onnxruntime_gets_a_fourth_channel_of_zeros(photos, tmp_path):
    """Where the first layer has as many filters as it computes at once; integers are the same."""
    one = model(tiny_text(2).replace("filters=8", "filters=16", 1), "base")
    blobs = Blobs(one.network, choose(str(photos)).calibration)
    write_onnx(one, tmp_path / "plain.onnx")
    facts = {"precision": '"int8"', "quantised": '{"engine": "onnxruntime"}'}
    found = []
    static = QUANTISERS["onnxruntime"](tmp_path / "plain.onnx", blobs)
    for quantiser in (prepared(one, "onnxruntime", tmp_path, blobs), static):
        quantiser.write(tmp_path / "int8.onnx", (), facts)
        stored = {tensor.name: list(tensor.dims) for tensor in onnx.load(tmp_path / "int8.onnx").graph.initializer}
        raw = Detector.of_file(tmp_path / "int8.onnx").raw(read_picture(result_picture(photos)))
        found.append((stored["L0_weights_quantized"], raw))
    (wide, own), (plain, wanted) = found
    assert (wide, plain) == ([16, 4, 3, 3], [16, 3, 3, 3])
    for head, values in wanted.items():
        np.testing.assert_array_equal(own[head], values)


# The file


@each_quantiser
def test_quantise_writes_a_file_that_runs_alone(photos, tmp_path, engine):
    """With its manifest, and a program that finds what `detect` finds, to the last bit."""
    both = two_tasks()
    path = tmp_path / f"both{SUFFIXES[engine]}"
    result = quantise(
        both, path, calibrate=str(photos), target=engine, runner="python", rounds=6, threads=1, agreement=0
    )
    assert [one.name for one in result.paths] == [
        *(f"both{suffix}" for suffix in TARGETS[engine].suffixes), "both.json", "both.py",
    ]  # fmt: skip
    assert [row["task"] for row in result.rows()] == ["base", "base", "text", "text"]
    assert "layers kept in fp32: none" in result.notes()
    assert "calibrated with 9 pictures, compared on 3 other ones" in result.notes()
    assert repr(result).startswith(f"<Quantised: {path} for {engine}, agrees with fp32 in ")
    described: dict[str, Any] = result.as_dict()
    assert len(described["speed"]["exact"]["seconds"]) == 6
    assert all(head.difference < 0.3 for head in result.heads)
    known = read_exported(path)
    assert (known.engine, known.model.weights) == (engine, None)
    assert [(task.name, task.names, task.heads, task.runs) for task in known.model.tasks] == [
        (task.name, task.names, task.heads, task.runs) for task in both.tasks
    ]
    assert facts_of(path)["precision"] == '"int8"'
    picture = read_picture(result_picture(photos))
    own, exact = Detector.of_file(path).raw(picture), Detector(both, engine=engine).raw(picture)
    for head in both.heads:
        apart = np.abs(own[head] - exact[head]).mean() / np.abs(exact[head]).mean()
        assert 0 < apart < 0.3
    said = json.loads((tmp_path / "both.json").read_text())
    assert (said["target"], said["precision"]) == (engine, "int8")
    assert said["quantised"] == json.loads(facts_of(path)["quantised"])
    assert said["heads"] == json.loads(facts_of(path)["heads"])
    found = runpy.run_path(str(tmp_path / "both.py"))["find"](picture, 0.1)
    wanted = Detector.of_file(path, threshold=0.1).detect(picture)
    assert found
    assert found == [(task.task, name, score, *box) for task in wanted for name, score, box in task]


def result_picture(photos: Path) -> Path:
    return sorted(photos.iterdir())[0]


def test_an_fp32_file_runs_alone_too_and_gives_the_same(photos, tmp_path):
    both = two_tasks()
    write_onnx(both, tmp_path / "both.onnx")
    picture = read_picture(result_picture(photos))
    alone, model_itself = Detector.of_file(tmp_path / "both.onnx"), Detector(both)
    for own, wanted in zip(alone.detect(picture), model_itself.detect(picture), strict=True):
        assert (own.task, own.names) == (wanted.task, wanted.names)
        np.testing.assert_array_equal(own.boxes, wanted.boxes)
    for head, values in model_itself.raw(picture).items():
        np.testing.assert_array_equal(alone.raw(picture)[head], values)


def test_the_cfg_in_a_file_is_the_one_that_was_exported(tmp_path):
    one = model(tiny_text(2).replace("[net]", "# caf\udce9\n[net]", 1))
    write_onnx(one, tmp_path / "x.onnx")
    assert read_exported(tmp_path / "x.onnx").model.network.layers == one.network.layers
    assert "caf\udce9" in json.loads(facts_of(tmp_path / "x.onnx")["model"])["cfg"]


def test_files_of_others_and_decoded_ones_are_refused(tmp_path):
    one = model(tiny_text(2))
    write_onnx(one, tmp_path / "boxes.onnx", decode=True)
    with pytest.raises(Unsupported, match=r"gives boxes .* export it without --decode"):
        read_exported(tmp_path / "boxes.onnx")
    write_onnx(one, tmp_path / "x.onnx")
    message = onnx.load(tmp_path / "x.onnx")
    for entry in message.metadata_props:
        entry.value = "{" if entry.key == "model" else entry.value
    onnx.save(message, str(tmp_path / "damaged.onnx"))
    del message.metadata_props[:]
    onnx.save(message, str(tmp_path / "bare.onnx"))
    (tmp_path / "text.onnx").write_bytes(b"\xff\xffno protobuf")
    (tmp_path / "x.xml").write_text("<net></net>")
    (tmp_path / "text.xml").write_text("no xml")
    for name, says in {
        "damaged.onnx": "is damaged",
        "bare.onnx": "does not say which network it is",
        "text.onnx": "is not an ONNX file",
        "missing.onnx": "cannot be read",
        "x.xml": "its weights x.bin are not beside it",
        "text.xml": "is not an OpenVINO file",
        "missing.xml": "cannot be read",
    }.items():
        with pytest.raises(DarkshareError, match=rf"{name}: {says}"):
            read_exported(tmp_path / name)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(DarkshareError, match="does not say which network"):
        read_exported(tmp_path / "x.xml")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"engine": "opencv"}, "engine opencv has no quantiser; use onnxruntime or openvino"),
        ({"agreement": 1.5}, "an agreement lies between 0 and 1, not at 1.5"),
        ({"rounds": 2}, "2 rounds are too few"),
        ({"path": "x.xml"}, r"x\.xml: int8 for onnxruntime is a file with the suffix \.onnx"),
    ],
)
def test_what_cannot_be_is_reported_before_anything_is_computed(photos, how, says):
    how = {"path": "x.onnx", **how}
    with pytest.raises(DarkshareError, match=says):
        quantise(two_tasks(), how.pop("path"), calibrate=str(photos), **how)


def test_a_data_set_of_other_classes_is_refused_at_once(photos):
    from darkshare.data import Dataset

    with pytest.raises(BadValue, match="no task has all classes of zoo, such as 'zebra'"):
        quantise(two_tasks(), "x.onnx", calibrate=str(photos), data=Dataset("zoo", ("base_0", "zebra"), ()))


@pytest.mark.parametrize("step", ["__init__", "write"])
def test_what_a_quantiser_raises_is_one_line(photos, monkeypatch, step):
    """On a full disk, ONNX Runtime's reads what was cut off, and OpenVINO's has no name for it."""

    def fail(*_):
        raise RuntimeError("iostream\nerror")

    broken = type("Broken", (), {"suffix": ".onnx", "__init__": lambda self, *_: None, step: fail})
    monkeypatch.setitem(QUANTISERS, "onnxruntime", broken)
    trying = attempted(two_tasks(), choose(str(photos)), Int8("onnxruntime", 0))
    with pytest.raises(DarkshareError, match=r"^onnxruntime cannot do it: iostream error$"), trying:
        pass


def test_a_quantiser_that_is_not_installed_names_its_extra(monkeypatch):
    from darkshare.inference.int8 import search

    monkeypatch.setattr(search, "find_spec", lambda name: None)
    for engine, extra in (("onnxruntime", "onnxruntime"), ("openvino", "nncf")):
        if available()[engine].version:
            assert f"pip install 'darkshare[{extra}]'" in missing(engine)


def test_processors_whose_products_do_not_fit_get_weights_of_seven_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(by_onnxruntime, "CPU", tmp_path / "cpuinfo")
    for machine, flags, wanted in (
        ("x86_64", "avx2 fma", True),
        ("x86_64", "avx2 avx512_vnni", False),
        ("x86_64", "avx_vnni", False),
        ("aarch64", "asimd", False),
    ):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
        assert by_onnxruntime.saturates() == wanted


# On real pictures


@pytest.mark.slow
@pytest.mark.zoo
@each_quantiser
def test_a_real_detector_keeps_its_accuracy(tmp_path, engine):
    """Within a point of fp32 on the whole test set of a public mask detector."""
    from darkshare.data import read_list

    names = ("good", "bad", "none")
    one = load(zoo_path("models/f10-mask-a/f10-mask-a.cfg"))
    data = zoo_path("datasets/face-mask-yolo/test.txt")
    dataset = read_list(data, names, "masks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DarkshareWarning)
        result = quantise(
            one, tmp_path / f"x{SUFFIXES[engine]}", calibrate=str(data.with_name("train.txt")), engine=engine, count=16,
            rounds=6, threads=1, data=dataset, agreement=0.85,
        )  # fmt: skip
    (score,) = result.scores
    assert score.exact > 0.5
    assert abs(score.exact - score.quantised) < 0.015
    assert min(head.level for head in result.heads) > 0.85
