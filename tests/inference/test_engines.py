"""The engines behind one interface: what is here, order, settings, refusals, and what each of them really runs."""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from architectures import yolov3_tiny_text
from conftest import tiny_text
from models import model, quiet_concat, retrained

from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, Unsupported
from darkshare.inference import engines
from darkshare.inference.engines import DEFAULT, NAMES, PRECISIONS, available, open_engine
from darkshare.inference.engines.files import File, engine_file
from darkshare.inference.engines.worker import Worker, run_in_turns
from darkshare.inference.onnx import output_name, write_onnx, writing

HERE = available()
INSTALLED = [name for name, one in HERE.items() if one.version]
IS_5 = hasattr(cv2.dnn, "ENGINE_NEW")
K = 5  # of the merged tiny network: 3 of its base's 6 convolutions are in the trunk
each_engine = pytest.mark.parametrize("engine", INSTALLED)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, File]:
    """base, text and both: two tiny networks and what they become."""
    folder = tmp_path_factory.mktemp("engines")
    base = model(tiny_text(2), "base")
    text = retrained(base, tiny_text(5), "text", K)
    models = {"base": base, "text": text, "both": quiet_concat([base, text], K)}
    return {name: written(one, folder / f"{name}.onnx") for name, one in models.items()}


def written(one, path: Path) -> File:
    write_onnx(one, path)
    outputs = [output_name(one.network.layers[index]) for index in one.heads]
    return File(str(path), outputs, [1, *one.network.input[:3]])


def noise(file: File, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(0).random((batch, *file.shape[1:]), np.float32)


# What is here


def test_every_engine_is_here_or_says_why_not():
    assert list(HERE) == list(NAMES) == ["opencv", "opencv-classic", "onnxruntime", "openvino"]
    assert DEFAULT == "opencv"
    for one in HERE.values():
        assert bool(one.version) == bool(one.precisions) != bool(one.reason)
    assert HERE["opencv"].version == cv2.__version__
    assert bool(HERE["opencv-classic"].version) == IS_5


def test_an_engine_that_is_not_installed_names_its_extra(files, monkeypatch):
    for name in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
        with pytest.raises(Unsupported, match=rf"engine {name} cannot be used: .*pip install 'darkshare\[{name}\]'"):
            open_engine(name, files["both"].path, files["both"].outputs)
        assert not available()[name].version


def test_the_extras_are_those_of_the_package():
    settings = ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    assert {maker.extra for maker in NAMES.values()} - {""} <= settings["options.extras_require"].keys()


def test_opencv_4_has_one_engine_only(files, monkeypatch):
    for name in ("ENGINE_NEW", "ENGINE_CLASSIC"):
        monkeypatch.delattr(cv2.dnn, name, raising=False)
    with pytest.raises(Unsupported, match="has one engine only, which is opencv"):
        open_engine("opencv-classic", files["both"].path, files["both"].outputs)


# What they compute


@each_engine
def test_outputs_come_in_our_order(files, engine):
    file = files["both"]
    assert file.outputs == ["L6_yolo", "L12_yolo", "L15_yolo", "L21_yolo"]  # no engine's own order on OpenCV 4
    shapes = {"L6_yolo": (14, 8, 8), "L12_yolo": (14, 16, 16), "L15_yolo": (20, 8, 8), "L21_yolo": (20, 16, 16)}
    for outputs in (file.outputs, file.outputs[::-1]):
        found = open_engine(engine, file.path, outputs).run(noise(file))
        assert [values.shape for values in found] == [(1, *shapes[name]) for name in outputs]
        assert {values.dtype for values in found} == {np.dtype("f4")}


@each_engine
def test_an_engine_gives_what_the_reference_of_onnx_gives(files, engine):
    from onnx.reference import ReferenceEvaluator

    file = files["both"]
    wanted = ReferenceEvaluator(file.path).run(file.outputs, {"image": noise(file)})
    for one, other in zip(open_engine(engine, file.path, file.outputs).run(noise(file)), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@each_engine
def test_a_batch_gives_what_its_parts_give(files, engine):
    file = files["both"]
    loaded = open_engine(engine, file.path, file.outputs)
    batch = noise(file, 3)
    together = loaded.run(batch)
    for i in range(3):
        for whole, part in zip(together, loaded.run(batch[i : i + 1]), strict=True):
            np.testing.assert_allclose(whole[i : i + 1], part, atol=1e-5)


@each_engine
def test_a_file_of_a_fixed_batch_takes_any_number(files, engine, tmp_path):
    """What lacks is filled up."""
    file, other = files["base"], tmp_path / "two.onnx"
    write_onnx(model(tiny_text(2), "base"), other, batch=2)
    fixed, loaded = (open_engine(engine, str(path), file.outputs) for path in (other, file.path))
    for batch in (noise(file, count) for count in (1, 2, 3)):
        for given, wanted in zip(fixed.run(batch), loaded.run(batch), strict=True):
            np.testing.assert_allclose(given, wanted, atol=1e-5)


@each_engine
def test_tensors_in_files_of_their_own_are_the_same_to_the_bit(files, engine, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "APART", 1024)
    apart = engine_file(model(tiny_text(2), "base"), tmp_path / "a.onnx", [engine, DEFAULT])
    own = sorted(tmp_path.glob("a-L*_weights"))
    assert bool(own) == IS_5
    assert all(1024 <= path.stat().st_size < Path(files["base"].path).stat().st_size for path in own)
    loaded = open_engine(engine, apart.path, apart.outputs)
    for path in (Path(apart.path), *own):
        path.unlink()  # as `open_engine` allows
    wanted = open_engine(engine, files["base"].path, apart.outputs).run(noise(apart))
    assert all(map(np.array_equal, loaded.run(noise(apart)), wanted))


@pytest.mark.parametrize("names", [[], ["opencv", "onnxruntime"], ["of another one"]])
def test_all_is_in_one_file_where_an_engine_needs_that(files, names, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "APART", 1024)
    monkeypatch.delattr(cv2.dnn, "ENGINE_NEW", raising=False)  # as in OpenCV 4
    file = Path(engine_file(model(tiny_text(2), "base"), tmp_path / "base.onnx", names).path)
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_bytes() == Path(files["base"].path).read_bytes()


@each_engine
def test_merged_is_bit_for_bit_what_the_networks_give(files, engine):
    def run(name: str) -> list[np.ndarray]:
        return open_engine(engine, files[name].path, files[name].outputs).run(noise(files[name]))

    for one, other in zip(run("both"), [*run("base"), *run("text")], strict=True):
        np.testing.assert_array_equal(one, other)


@each_engine
def test_the_file_may_go(files, engine, tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(Path(files["base"].path).read_bytes())
    loaded = open_engine(engine, path, files["base"].outputs)
    path.unlink()
    assert len(loaded.run(noise(files["base"]))) == 2


# The trunk is computed once


def nodes(file: File) -> int:
    return sum(node.op_type == "Conv" for node in onnx.load(file.path).graph.node)


def test_the_merged_file_holds_the_trunk_once(files):
    """Six convolutions each, of which layers 0, 1 and 4 lie below k=5."""
    assert [nodes(files[name]) for name in ("base", "text", "both")] == [6, 6, 9]


@each_engine
def test_an_engine_runs_the_trunk_once(files, engine):
    found = []
    for name in ("base", "text", "both"):
        loaded = open_engine(engine, files[name].path, files[name].outputs, profile=True)
        loaded.run(noise(files[name]))
        loaded.run(noise(files[name]))
        found.append(loaded.convolutions())
    assert found == [6, 6, 9]


@each_engine
def test_an_engine_runs_the_trunk_of_two_yolov3_tiny_once(engine, tmp_path):
    """13 convolutions each; 7 of them lie below k=13, the paper's trunk of this network."""
    base = model(yolov3_tiny_text(4, size=64), "base")
    both = written(
        quiet_concat([base, retrained(base, yolov3_tiny_text(2, size=64), "text", 13)], 13), tmp_path / "x.onnx"
    )
    loaded = open_engine(engine, both.path, both.outputs, profile=True)
    loaded.run(noise(both))
    assert nodes(both) == loaded.convolutions() == 13 + 6


@pytest.mark.skipif("onnxruntime" not in INSTALLED, reason="onnxruntime is not installed")
def test_no_record_is_left(files, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    loaded = open_engine("onnxruntime", files["base"].path, files["base"].outputs, profile=True)
    loaded.run(noise(files["base"]))
    assert loaded.convolutions() == 6
    assert not list(tmp_path.iterdir())


# Settings


@each_engine
def test_threads_do_not_change_the_numbers(files, engine):
    before = cv2.getNumThreads()
    try:
        one, two = (
            open_engine(engine, files["both"].path, files["both"].outputs, threads=n).run(noise(files["both"]))
            for n in (1, 2)
        )
        assert engine not in ("opencv", "opencv-classic") or cv2.getNumThreads() == 2  # for all of OpenCV
    finally:
        cv2.setNumThreads(before)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


THREADS = """
import sys, threading, os
import numpy as np
from darkshare.inference.engines import open_engine
before = len(os.listdir("/proc/self/task"))
engine = open_engine(sys.argv[1], sys.argv[2], sys.argv[4:], threads=int(sys.argv[3]))
engine.run(np.zeros((1, 3, 32, 32), np.float32))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no list of threads here")
@pytest.mark.parametrize("engine", [name for name in INSTALLED if name == "onnxruntime"])
def test_threads_are_as_many_as_asked_for(files, engine):
    """The session's pool: the calling thread is one of them."""

    def started(threads: int) -> int:
        file = files["base"]
        words = [sys.executable, "-c", THREADS, engine, file.path, str(threads), *file.outputs]
        environment = {**os.environ, "PYTHONPATH": str(Path(engines.__file__).parents[3])}
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
        return int(done.stdout)

    assert started(4) - started(1) == 3


@pytest.mark.parametrize("engine", [name for name in INSTALLED if name != "openvino"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_precision_that_an_engine_does_not_have_is_refused(files, engine, precision):
    with pytest.raises(Unsupported, match=f"engine {engine} cannot compute in {precision} here; it has fp32"):
        open_engine(engine, files["base"].path, files["base"].outputs, precision=precision)


@pytest.mark.skipif("openvino" not in INSTALLED, reason="openvino is not installed")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_openvino_computes_in_the_precision_asked_for(files, precision):
    """Its own choice would be bf16 where the processor has it: then fp32 would be off by thousandths."""
    from onnx.reference import ReferenceEvaluator

    file = files["both"]
    if precision not in HERE["openvino"].precisions:
        with pytest.raises(Unsupported, match=f"cannot compute in {precision} here"):
            open_engine("openvino", file.path, file.outputs, precision=precision)
        return
    wanted = ReferenceEvaluator(file.path).run(file.outputs, {"image": noise(file)})
    found = open_engine("openvino", file.path, file.outputs, precision=precision).run(noise(file))
    off = max(np.abs(a - b).max() for a, b in zip(found, wanted, strict=True))
    digits = {"fp32": 24, "fp16": 11, "bf16": 8}[precision]  # of the significand, in bits
    size = max(np.abs(values).max() for values in wanted)
    assert 0.02 < off / (size * 2.0**-digits) < 64


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"precision": "int3"}, "unknown precision int3; use fp32, bf16, fp16"),
    ],
)
def test_settings_without_sense_are_refused(files, how, message):
    with pytest.raises(BadValue, match=message):
        open_engine("opencv", files["base"].path, files["base"].outputs, **how)


# Refusals


def test_an_engine_of_no_such_name():
    with pytest.raises(BadValue, match="unknown engine fast; use opencv, opencv-classic, onnxruntime, openvino"):
        open_engine("fast", "x.onnx", [])


@each_engine
def test_a_file_that_is_none_gives_one_line(engine, tmp_path, capfd):
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(DarkshareError, match="cannot do it: ") as caught:
        open_engine(engine, path, ["L6_yolo"])
    assert "\n" not in str(caught.value)
    capfd.readouterr()  # the engines speak to stderr themselves


@each_engine
def test_an_input_of_another_size_is_refused_or_run(files, engine):
    """OpenCV takes any size of such a network, the others take the file at its word."""
    file = files["base"]
    loaded = open_engine(engine, file.path, file.outputs)
    larger = np.zeros((1, 3, 64, 64), np.float32)
    if engine.startswith("opencv"):
        assert loaded.run(larger)[0].shape == (1, 14, 16, 16)
    else:
        with pytest.raises(DarkshareError, match="cannot do it: "):
            loaded.run(larger)


# OpenCV's own traps

FORCED = """
import sys, warnings
from darkshare.inference.engines import open_engine
from darkshare.errors import DarkshareWarning
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    open_engine(sys.argv[1], sys.argv[2], sys.argv[3:])
print(*[w.message for w in caught if w.category is DarkshareWarning], sep="\\n")
"""


@pytest.mark.skipif(not IS_5, reason="OpenCV 4 has one engine only")
@pytest.mark.parametrize(("force", "engine", "warned"), [("1", "opencv", True), ("1", "opencv-classic", False)])
def test_an_engine_forced_by_the_environment_is_reported(files, force, engine, warned):
    """OpenCV reads the variable once, so it needs a process of its own."""
    environment = {**os.environ, "OPENCV_FORCE_DNN_ENGINE": force}
    environment["PYTHONPATH"] = str(Path(engines.__file__).parents[3])
    words = [sys.executable, "-c", FORCED, engine, files["base"].path, *files["base"].outputs]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    said = "OpenCV took its classic engine instead of the new one, because OPENCV_FORCE_DNN_ENGINE=1 is set; unset it"
    assert done.stdout.strip() == (said if warned else "")


@pytest.mark.skipif(not IS_5, reason="OpenCV 4 has one engine only")
def test_each_name_gives_its_engine(files):
    """The classic importer puts a prefix before the names of layers."""
    for engine, prefix in (("opencv", "L0"), ("opencv-classic", "onnx_node!L0")):
        loaded: Any = open_engine(engine, files["base"].path, files["base"].outputs)
        assert any(name.startswith(prefix) for name in loaded._net.getLayerNames())


# Processes of their own

PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-c", "import numpy"], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def peak_of_numpy() -> int:
    """The bytes that Python and numpy take without any network."""
    return int(subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout)


@each_engine
def test_a_worker_runs_measures_and_counts(files, engine):
    with Worker(engine, [files["base"], files["text"]], profile=True, threads=1) as worker:
        assert worker.loading.load > 0
        assert worker.loading.first > 0
        assert worker.convolutions() == [6, 6]
        assert len(worker.run()) == 2
        assert all(seconds > 0 for seconds in worker.run())
        assert 1 < worker.peak() / peak_of_numpy() < 100  # it is in bytes, not in KiB
        outputs = worker.outputs()
    assert [values.shape[1:] for values in outputs] == [(14, 8, 8), (14, 16, 16), (20, 8, 8), (20, 16, 16)]
    wanted = open_engine(engine, files["text"].path, files["text"].outputs).run(noise(files["text"]))
    np.testing.assert_allclose(outputs[2], wanted[0], atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells less exactly")
def test_the_peak_is_the_workers_own(files):
    """Not what this process held when it started the other one."""
    with Worker("opencv", [files["base"]]) as worker:
        before = worker.peak()
    ballast = np.ones(300 * 2**17)
    with Worker("opencv", [files["base"]]) as worker:
        assert worker.peak() - before < ballast.nbytes / 3


def test_a_worker_says_what_its_engine_refuses(files, tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(DarkshareError, match=r"OpenCV .* cannot do it: "):
        Worker("opencv", [File(str(path), ["x"], [1, 3, 32, 32])])


@pytest.mark.skipif(not IS_5, reason="OpenCV 4 has one engine only")
def test_a_worker_passes_warnings_on(files, monkeypatch):
    monkeypatch.setenv("OPENCV_FORCE_DNN_ENGINE", "1")
    with pytest.warns(DarkshareWarning, match="OPENCV_FORCE_DNN_ENGINE=1 is set"), Worker("opencv", [files["base"]]):
        pass


def test_a_worker_that_is_killed_is_reported(files):
    with Worker("opencv", [files["base"]]) as worker:
        worker._process.kill()
        with pytest.raises(DarkshareError, match="the engine opencv died: it was killed; is there too little memory"):
            worker.run()


def test_a_worker_that_breaks_is_reported(files):
    broken = pytest.raises(DarkshareError, match="the engine opencv died: exit code 1: KeyError: 'nonsense'")
    with Worker("opencv", [files["base"]]) as worker, broken:
        worker.ask("nonsense")


class Recorder:
    """A worker that notes when it was asked."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def run(self) -> list[float]:
        self.calls.append(self.name)
        return [float(len(self.calls))]


def test_turns_go_there_and_back():
    calls: list[str] = []
    found = run_in_turns([Recorder("a", calls), Recorder("b", calls), Recorder("c", calls)], 3, warm_up=1)
    assert "".join(calls) == "cba" + "abc" + "cba" + "abc"
    assert found[0] == [[4.0], [9.0], [10.0]]  # the warm-up's third call does not count
    assert [len(one) for one in found] == [3, 3, 3]
