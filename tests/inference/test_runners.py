"""The programs that `export --runner` writes: they find what `detect` finds."""

from __future__ import annotations

import importlib.util
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from classifiers import classifier
from conftest import run, tiny_text, zoo_path
from models import model, quiet_concat, retrained
from onnxruns import HEADS, boxes_model, model_of, net

import darkshare
from darkshare.darknet.model import Model, load
from darkshare.errors import BadArguments, BadValue, DarkshareError, Unsupported
from darkshare.inference import engines
from darkshare.inference.detector import Detector
from darkshare.inference.onnx import TARGETS

PICTURE = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
STUB = Path(__file__).parent / "opencv_stub"
RAW = [name for name in HEADS if "gaussian" not in name]


def letter_boxed(text: str) -> str:
    return text.replace("[net]\n", "[net]\nletter_box=1\n")


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def own_rows(given: Model | Path, picture: np.ndarray, **how: object) -> list[tuple]:
    detector = Detector(given, **how) if isinstance(given, Model) else Detector.of_file(given, **how)
    return [(task.task, name, score, *box) for task in detector.detect(picture) for name, score, box in task]


@pytest.fixture
def both() -> Model:
    base = model(letter_boxed(tiny_text(4)), "base")
    return quiet_concat([base, retrained(base, letter_boxed(tiny_text(3)), "masks", 3)], k=3)


@pytest.mark.parametrize("target", ["opencv", "onnxruntime", "openvino", "frigate"])
def test_the_runner_in_python_gives_the_boxes_of_detect(both, tmp_path, target):
    """To the last bit, of two tasks, on a picture that is fitted into gray."""
    engine = "onnxruntime" if target == "frigate" else target
    if not engines.presence(engine).version:
        pytest.skip(f"needs {engine}")
    path = tmp_path / f"x{TARGETS[target].suffixes[0]}"
    found = darkshare.export(both, path, target=target, runner="python")
    assert found.paths[-1] == tmp_path / "x.py"
    for threshold, nms in ((0.25, 0.45), (0.28, 0), (0.25, 0.2)):
        wanted = own_rows(found.path, PICTURE, threshold=threshold, nms=nms, engine=engine)
        assert wanted
        assert module_at(tmp_path / "x.py").find(PICTURE, threshold, nms) == wanted


def test_every_head_is_decoded_to_the_bit(tmp_path):
    given = all_heads()
    darkshare.export(given, tmp_path / "x.onnx", target="opencv", runner="python")
    for threshold, nms in ((0.1, 0.45), (0, 0.3), (0.3, 0)):
        found = module_at(tmp_path / "x.py").find(PICTURE, threshold, nms)
        assert {task for task, *_ in found} == set(RAW)
        assert found == own_rows(given, PICTURE, threshold=threshold, nms=nms)


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
def test_region_without_softmax(tmp_path, dialect):
    text = net(3, 4, 4) + "[convolutional]\nfilters=7\nactivation=linear\n[region]\nanchors=1,1\nclasses=2\nnum=1\n"
    given = model_of(text, np.random.default_rng(0).standard_normal(28), dialect=dialect)
    darkshare.export(given, tmp_path / "x.onnx", target="opencv", runner="python")
    wanted = own_rows(given, PICTURE, threshold=0.2)
    assert wanted
    assert module_at(tmp_path / "x.py").find(PICTURE, 0.2) == wanted


def test_the_runner_prints_what_it_finds(both, tmp_path, monkeypatch, capsys):
    darkshare.export(both, tmp_path / "x.onnx", target="opencv", runner="python")
    deep = np.uint16(257) * PICTURE - np.uint16(120) * (PICTURE > 0)  # rounded to 8 bits, not cut off
    cv2.imwrite(str(tmp_path / "p.png"), deep)
    monkeypatch.setattr(sys, "argv", ["x.py", str(tmp_path / "p.png"), "--threshold", "0.4"])
    runpy.run_path(str(tmp_path / "x.py"), run_name="__main__")
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    wanted = own_rows(both, PICTURE, threshold=0.4)
    assert [line[1:4] for line in lines] == [[task, name, f"{score:.4f}"] for task, name, score, *_ in wanted]
    monkeypatch.setattr(sys, "argv", ["x.py", str(tmp_path / "x.onnx")])
    with pytest.raises(SystemExit, match=r"x\.onnx: is not a picture that OpenCV reads"):
        runpy.run_path(str(tmp_path / "x.py"), run_name="__main__")
    monkeypatch.setattr(sys, "argv", ["x.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="Is a directory"):
        runpy.run_path(str(tmp_path / "x.py"), run_name="__main__")


def compiled(source: Path, *flags: str) -> Path:
    program = source.with_suffix("")
    words = ["g++", "-O1", "-std=c++17", "-Wall", "-Wextra", "-Werror", source, "-o", program, *flags]
    subprocess.run(words, check=True)
    return program


def output_of(*words: object) -> str:
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True).stdout


def all_heads() -> Model:
    """A network with a head of each kind that is read raw, a task each, and three ways to suppress."""
    text = letter_boxed(net(3, 32, 48)) + "[maxpool]\nsize=8\nstride=8\npadding=0\n"
    kinds = ("default", "greedynms", "diounms")
    for at, (name, nms_kind) in enumerate(zip(RAW, kinds, strict=True)):
        filters, head = HEADS[name]
        activation = "logistic" if name == "new_coords" else "linear"
        text += "[route]\nlayers=-3\n" if at else ""
        text += f"[convolutional]\nsize=1\nfilters={filters}\nactivation={activation}\n{head}"
        text += "" if name == "region" else f"nms_kind={nms_kind}\n"
    given = model_of(text, 2 * np.random.default_rng(7).standard_normal(3 * 64))
    tasks = [
        replace(given.tasks[0], name=name, names=("a", "b", "c"), heads=(2 + 3 * at,)) for at, name in enumerate(RAW)
    ]
    return replace(given, tasks=tuple(tasks))


needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("one_output", [False, True])
def test_the_runner_in_cpp_reads_outputs_as_python_does(tmp_path, one_output):
    """On numbers from a file, in place of OpenCV: decoding, places in a picture that is fitted in, and suppression."""
    given = all_heads()
    for language in ("python", "cpp"):
        darkshare.export(given, tmp_path / "x.onnx", target="opencv", one_output=one_output, runner=language)
    module = module_at(tmp_path / "x.py")
    numbers = [one.copy() for one in module.run(module.preprocess(PICTURE))]
    for one in numbers:
        one[0, 2].flat[::3] = 1e35  # a width that is infinite, so that there is not a box
    module.run = lambda blob: numbers
    with open(tmp_path / "numbers", "wb") as file:
        for one in numbers:
            file.write(np.array([*one.shape, 0], np.int32).tobytes() + one.astype(np.float32).tobytes())
    program = compiled(tmp_path / "x.cpp", "-isystem", str(STUB))
    wanted = module.find(PICTURE, 0.1)
    assert {task for task, *_ in wanted} == set(RAW)
    assert_near(output_of(program, tmp_path / "numbers", 0.1, 0.45, "70x50"), wanted)
    odd = subprocess.run([program, tmp_path / "numbers", "a lot", "0.45", "70x50"], capture_output=True, check=False)
    assert (odd.returncode, odd.stdout, odd.stderr) == (1, b"", b"a lot: is not a number\n")


def assert_near(text: str, wanted: list[tuple]) -> None:
    found = [line.split("\t")[1:] for line in text.splitlines()]
    assert [row[:2] for row in found] == [list(row[:2]) for row in wanted]
    numbers = [np.array([list(map(float, row[2:])) for row in rows]) for rows in (found, wanted)]
    np.testing.assert_allclose(*(one[:, :1] for one in numbers), atol=1e-5)
    np.testing.assert_allclose(*(one[:, 1:] for one in numbers), atol=2e-3)


def has_opencv() -> bool:
    words = ["pkg-config", "--exists", "opencv4"]
    return shutil.which(words[0]) is not None and subprocess.run(words, check=False).returncode == 0


PAIR = ("f10-coco", "f10-mask-frozen-exact-made")


@pytest.mark.zoo
@pytest.mark.parametrize("language", ["python", pytest.param("cpp", marks=needs_compiler)])
def test_photos(tmp_path, language):
    """A merged network of 80 classes and 3 of masks; in C++ against OpenCV itself, where its headers are."""
    if language == "cpp" and not has_opencv():
        pytest.skip("needs OpenCV's headers (pkg-config opencv4)")
    pair = [load(*(zoo_path("models", name, name + end) for end in (".cfg", ".weights"))) for name in PAIR]
    merged = quiet_concat(pair, k=109)
    darkshare.export(merged, tmp_path / "x.onnx", target="opencv", runner=language)
    detector, photos = Detector(merged), sorted(zoo_path("media").glob("*.jpg"))
    wanted = {
        photo: [(task.task, name, score, *box) for task in detector.detect(photo) for name, score, box in task]
        for photo in photos
    }
    assert sum(map(len, wanted.values())) > 20
    if language == "python":
        module = module_at(tmp_path / "x.py")
        assert {photo: module.find(cv2.imread(str(photo))) for photo in photos} == wanted
        return
    flags = output_of("pkg-config", "--cflags", "--libs", "opencv4").replace("-I", "-isystem ").split()
    program = compiled(tmp_path / "x.cpp", *flags)
    for photo in photos:
        assert_near(output_of(program, tmp_path / "x.onnx", 0.25, 0.45, photo), wanted[photo])


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"target": "tensorrt"}, BadArguments, "a runner in python needs the target opencv or onnxruntime or openvino"),
        ({"target": "onnxruntime", "runner": "cpp"}, BadArguments, "a runner in cpp needs the target opencv, whose"),
        ({}, BadArguments, "a runner in python needs the target"),
        ({"target": "opencv", "runner": "rust"}, BadValue, "unknown runner rust; use python or cpp"),
        ({"target": "opencv", "batch": 4}, BadValue, "a runner reads raw heads or one output, of one picture"),
        ({"target": "opencv", "decode": True}, BadValue, "a runner reads raw heads or one output, of one picture"),
        ({"precision": "int8", "calibrate": "x"}, BadArguments, "a runner in python needs the target"),
    ],
)
def test_what_a_runner_does_not_do(tmp_path, how, error, says):
    with pytest.raises(error, match=says):
        darkshare.export(model_of(tiny_text(2)), tmp_path / "x.onnx", **{"runner": "python", **how})
    assert not list(tmp_path.iterdir())


def test_heads_without_a_runner_lead_to_one_output(tmp_path):
    given = boxes_model("gaussian")
    with pytest.raises(Unsupported, match=r"\[Gaussian_yolo\] of task test: a runner reads .*; use one output"):
        darkshare.export(given, tmp_path / "x.onnx", target="opencv", runner="python")
    found = darkshare.export(given, tmp_path / "x.onnx", target="opencv", one_output=True, runner="python")
    assert module_at(tmp_path / "x.py").find(PICTURE, 0.1) == own_rows(found.path, PICTURE, threshold=0.1)


@pytest.mark.parametrize("target", ["opencv", "frigate"])
def test_a_classifier_has_no_runner(tmp_path, target):
    with pytest.raises(Unsupported, match=r"\[softmax\] of task colour gives no boxes, which a runner finds"):
        darkshare.export(classifier(), tmp_path / "x.onnx", target=target, runner="python")
    assert not list(tmp_path.iterdir())


def test_odd_names_end_neither_a_text_nor_a_comment(tmp_path):
    """Of classes and of files."""
    given = model_of(tiny_text(2))
    given = replace(given, tasks=(replace(given.tasks[0], names=('"@TASKS@\\', "''' ü")),))
    stem = tmp_path / 'a"""b@NAME@'
    for language in ("python", "cpp"):
        darkshare.export(given, stem.with_suffix(".onnx"), target="opencv", runner=language)
    assert module_at(stem.with_suffix(".py")).TASKS[0]["names"] == list(given.tasks[0].names)
    assert '{"\\"@TASKS@\\\\", "\'\'\' ü"}' in stem.with_suffix(".cpp").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["python", "cpp"])
def test_names_that_are_not_utf_8_and_trigraphs(tmp_path, language):
    """They are printed as Darknet reads them, byte by byte."""
    given = model_of(tiny_text(2))
    given = replace(given, tasks=(replace(given.tasks[0], names=("caf\udce9", "what??/")),))
    darkshare.export(given, tmp_path / "x.onnx", target="opencv", runner=language)
    assert "caf\\udce9" in (tmp_path / "x.json").read_text(encoding="utf-8")
    if language == "cpp":
        assert b'{"caf\xe9", "what\\?\\?/"}' in (tmp_path / "x.cpp").read_bytes()
        return
    assert module_at(tmp_path / "x.py").TASKS[0]["names"] == list(given.tasks[0].names)
    with pytest.raises(DarkshareError, match="the path holds bytes that are not UTF-8, which opencv cannot open"):
        darkshare.export(given, tmp_path / "caf\udce9.onnx", target="opencv", runner=language)


@pytest.mark.parametrize(("name", "target"), [("json", "opencv"), ("numpy", "opencv"), ("openvino", "openvino")])
def test_a_program_does_not_hide_a_module(tmp_path, name, target):
    path = tmp_path / f"{name}{TARGETS[target].suffixes[0]}"
    with pytest.raises(BadValue, match=f"Python would take {name}.py for its module {name}; choose another name"):
        darkshare.export(model_of(tiny_text(2)), path, target=target, runner="python")


def test_the_command_wants_to_know_what_runs_it(tiny, tmp_path):
    result = run("export", tiny, "--runner", "cpp", "-o", tmp_path / "x.onnx", code=2)
    assert "--runner needs --for: what runs the file" in result.stderr
