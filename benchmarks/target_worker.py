"""Networks in one engine, in a process and, if need be, an environment of its own: `target_runs.Side` starts it.

It needs numpy and the engine, and not darkshare. The first line of its input is a job, {"engine", "networks", "input",
"answers", "threads"}, each network a {"file", "outputs"} and what its engine needs besides. It answers with what it
found, in JSON, and writes the heads of all networks into the file `answers`. For each further line "run" it answers
with the seconds of each network, for "cpu" with the processor time of one pass, for "peak" with the bytes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from asking import answering

Run = Callable[[], list[Any]]
Job = dict[str, Any]


def onnxruntime(job: Job, network: Job, x: np.ndarray) -> Run:
    import onnxruntime as engine

    options = engine.SessionOptions()
    if job["threads"]:
        options.intra_op_num_threads = options.inter_op_num_threads = job["threads"]
    session = engine.InferenceSession(network["file"], options, providers=["CPUExecutionProvider"])
    return lambda: session.run(network["outputs"], {session.get_inputs()[0].name: x})


def opencv(job: Job, network: Job, x: np.ndarray) -> Run:
    """A .cfg with the .weights beside it goes through the importer that OpenCV 5 has no more."""
    import cv2

    if job["threads"]:
        cv2.setNumThreads(job["threads"])
    dnn: Any = cv2.dnn
    file = network["file"]
    own = file.endswith(".cfg")
    net = dnn.readNetFromDarknet(file, f"{file[:-4]}.weights") if own else dnn.readNetFromONNX(file)

    def run() -> list[Any]:
        net.setInput(x)
        return list(net.forward(network["outputs"]))

    return run


def openvino(job: Job, network: Job, x: np.ndarray) -> Run:
    import openvino as engine

    core = engine.Core()
    options: Job = {"INFERENCE_PRECISION_HINT": "f32"}
    if job["threads"]:
        options["INFERENCE_NUM_THREADS"] = job["threads"]
    compiled = core.compile_model(core.read_model(network["file"]), "CPU", options)
    request, ports = compiled.create_infer_request(), [compiled.output(name) for name in network["outputs"]]

    def run() -> list[Any]:
        found = request.infer([x])
        return [found[port] for port in ports]

    return run


def ncnn(job: Job, network: Job, x: np.ndarray) -> Run:
    """With fp16 off, which ncnn would compute in where the processor can."""
    import ncnn as engine

    net = engine.Net()
    if job["threads"]:
        net.opt.num_threads = job["threads"]
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, name, False)
    if net.load_param(network["file"]) or net.load_model(str(Path(network["file"]).with_suffix(".bin"))):
        raise ValueError("ncnn does not load it")
    given = engine.Mat(x[0]).clone()

    def run() -> list[Any]:
        extractor = net.create_extractor()
        extractor.input("in0", given)
        return [np.array(extractor.extract(f"out{at}")[1]) for at in range(len(network["outputs"]))]

    return run


def tract(job: Job, network: Job, x: np.ndarray) -> Run:
    """In one thread: it has no choice."""
    import tract as engine

    runnable = engine.onnx().load(network["file"]).into_model().into_runnable()
    return lambda: [value.to_numpy() for value in runnable.run([x])]


def rknn(job: Job, network: Job, x: np.ndarray) -> Run:
    """The simulator of an RK3588, which computes as that does, in fp16."""
    from rknn.api import RKNN

    toolkit, made = RKNN(), str(Path(network["file"]).with_suffix(".rknn"))
    channels = x.shape[1]
    toolkit.config(mean_values=[[0] * channels], std_values=[[1] * channels], target_platform="rk3588")
    steps: list[Callable[[], Any]] = [
        lambda: toolkit.load_onnx(model=network["file"]),
        lambda: toolkit.build(do_quantization=False),
        lambda: toolkit.export_rknn(made),
        toolkit.init_runtime,
    ]
    for step in steps:
        if step():
            raise ValueError("the toolkit refuses it")
    job["written"] = [made]
    nhwc = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return lambda: list(toolkit.inference(inputs=[nhwc], data_format=["nhwc"]))


def darknet(job: Job, network: Job, x: np.ndarray) -> Run:
    """AlexeyAB's library through its C functions; it gives its last head alone, activated already."""
    import ctypes

    library = ctypes.CDLL(job["library"])
    library.load_network_custom.restype = ctypes.c_void_p
    library.network_predict_ptr.restype = ctypes.POINTER(ctypes.c_float)
    library.network_predict_ptr.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    file = network["file"]
    net = library.load_network_custom(file.encode(), f"{file[:-4]}.weights".encode(), 0, 1)
    return lambda: [np.ctypeslib.as_array(library.network_predict_ptr(net, x.ctypes.data), network["shape"])]


ENGINES = {one.__name__: one for one in (onnxruntime, opencv, openvino, ncnn, tract, rknn, darknet)}
PACKAGES = {
    "opencv": ("opencv-python-headless", "opencv-python"),
    "ncnn": ("ncnn", "pnnx"),
    "rknn": ("rknn-toolkit2",),
    "darknet": (),
}


def versions(engine: str) -> dict[str, str]:
    """By package, of those that are here."""
    found = {}
    for name in PACKAGES.get(engine, (engine,)):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def seconds(act: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    begin = clock()
    act()
    return clock() - begin


def peak() -> int:
    """See `darkshare.inference.engines.worker`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def serve() -> None:
    answer = answering()
    job = json.loads(sys.stdin.readline())
    runs: list[Run] = []
    try:
        x = np.load(job["input"])
        loading = seconds(lambda: runs.extend(ENGINES[job["engine"]](job, one, x) for one in job["networks"]))
        heads: list[Any] = []
        first = seconds(lambda: heads.extend(head for run in runs for head in run()))
        np.savez(job["answers"], *(np.asarray(head, np.float32).ravel() for head in heads))
    except Exception as error:  # whatever this target cannot do is said, and the others go on
        answer({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]})
        return
    heads.clear()
    found = {"versions": versions(job["engine"]), "written": job.get("written", []), "seconds": [loading, first]}
    answer(found)
    acts: dict[str, Callable[[], Any]] = {
        "run": lambda: [seconds(run) for run in runs],
        "cpu": lambda: seconds(lambda: [run() for run in runs], time.process_time),
        "peak": peak,
    }
    for line in sys.stdin:
        answer(acts[line.strip()]())


if __name__ == "__main__":
    serve()
