"""One network in one engine of a target: the process that `target_runs.py` starts in that target's environment.

It needs numpy and the engine, and not darkshare. The first line of its input is a job, {"engine", "file", "input",
"outputs", "answers"}; it answers with what it found, in JSON, and then with the processor time of a pass for each
further line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from asking import answering

Run = Callable[[], list[Any]]
Job = dict[str, Any]


def onnxruntime(job: Job, x: np.ndarray) -> tuple[Run, list[str]]:
    import onnxruntime as engine

    options = engine.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = engine.InferenceSession(job["file"], options, providers=["CPUExecutionProvider"])
    return lambda: session.run(job["outputs"], {session.get_inputs()[0].name: x}), ["onnxruntime"]


def opencv(job: Job, x: np.ndarray) -> tuple[Run, list[str]]:
    import cv2

    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromONNX(job["file"])

    def run() -> list[Any]:
        net.setInput(x)
        return list(net.forward(job["outputs"]))

    return run, ["opencv-python-headless"]


def openvino(job: Job, x: np.ndarray) -> tuple[Run, list[str]]:
    import openvino as engine

    core = engine.Core()
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(job["file"]), "CPU", options)
    request, ports = compiled.create_infer_request(), [compiled.output(name) for name in job["outputs"]]

    def run() -> list[Any]:
        found = request.infer([x])
        return [found[port] for port in ports]

    return run, ["openvino"]


def ncnn(job: Job, x: np.ndarray) -> tuple[Run, list[str]]:
    """With fp16 off, which ncnn would compute in where the processor can."""
    import ncnn as engine

    net = engine.Net()
    net.opt.num_threads = 1
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, name, False)
    if net.load_param(job["file"]) or net.load_model(str(Path(job["file"]).with_suffix(".bin"))):
        raise ValueError("ncnn does not load it")
    given = engine.Mat(x[0]).clone()

    def run() -> list[Any]:
        extractor = net.create_extractor()
        extractor.input("in0", given)
        return [np.array(extractor.extract(f"out{at}")[1]) for at in range(len(job["outputs"]))]

    return run, ["ncnn", "pnnx"]


def tract(job: Job, x: np.ndarray) -> tuple[Run, list[str]]:
    import tract as engine

    runnable = engine.onnx().load(job["file"]).into_model().into_runnable()
    return lambda: [value.to_numpy() for value in runnable.run([x])], ["tract"]


def rknn(job: Job, x: np.ndarray) -> tuple[Run, list[str]]:
    """The simulator of an RK3588, which computes as that does, in fp16."""
    from rknn.api import RKNN

    toolkit, made = RKNN(), str(Path(job["file"]).with_suffix(".rknn"))
    channels = x.shape[1]
    toolkit.config(mean_values=[[0] * channels], std_values=[[1] * channels], target_platform="rk3588")
    steps: list[Callable[[], Any]] = [
        lambda: toolkit.load_onnx(model=job["file"]),
        lambda: toolkit.build(do_quantization=False),
        lambda: toolkit.export_rknn(made),
        toolkit.init_runtime,
    ]
    for step in steps:
        if step():
            raise ValueError("the toolkit refuses it")
    job["written"] = [made]
    nhwc = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return lambda: list(toolkit.inference(inputs=[nhwc], data_format=["nhwc"])), ["rknn-toolkit2"]


ENGINES = {one.__name__: one for one in (onnxruntime, opencv, openvino, ncnn, tract, rknn)}


def serve() -> None:
    answer = answering()
    job = json.loads(sys.stdin.readline())
    try:
        run, packages = ENGINES[job["engine"]](job, np.load(job["input"]))
        np.savez(job["answers"], *(np.asarray(head, np.float32).ravel() for head in run()))
    except Exception as error:  # whatever this target cannot do is said, and the others go on
        answer({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]})
        return
    answer({"versions": {name: version(name) for name in packages}, "written": job.get("written", [])})
    for _ in sys.stdin:
        begin = time.process_time()
        run()
        answer(time.process_time() - begin)


if __name__ == "__main__":
    serve()
