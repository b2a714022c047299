"""One side of `alternatives.py`, in a process and, if need be, a virtual environment of its own.

The first line of stdin says, as JSON, what to load; then each line "run" answers with the seconds of one pass over all
networks, by the clock that the job names, and "heads" with a file of what their last heads say. Only the side that is
darkshare imports darkshare.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from asking import answering

Run = Callable[[], Any]  # computes all heads of a network; the last is the array that `heads` compares


def darkshare(job: dict[str, Any], network: dict[str, Any], blob: np.ndarray) -> Run:
    from darkshare.inference.engines import open_engine

    engine = open_engine(job["engine"], network["onnx"], network["outputs"], threads=job["threads"])
    return lambda: engine.run(blob)


def onnxruntime(job: dict[str, Any], network: dict[str, Any], blob: np.ndarray) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if job["threads"]:
        options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(network["onnx"], options, ["CPUExecutionProvider"])
    return lambda: session.run(network["outputs"], {"image": blob})


def opencv4(job: dict[str, Any], network: dict[str, Any], blob: np.ndarray) -> Run:
    """The importer that OpenCV 5 has no more, asked for the convolutions before the heads."""
    import cv2

    if job["threads"]:
        cv2.setNumThreads(job["threads"])
    dnn: Any = cv2.dnn  # OpenCV 4's: what is typed is OpenCV 5's, which has no importer
    net = dnn.readNetFromDarknet(network["cfg"], network["weights"])

    def run() -> Any:
        net.setInput(blob)
        return net.forward(network["convolutions"])

    return run


def darknet(job: dict[str, Any], network: dict[str, Any], blob: np.ndarray) -> Run:
    """AlexeyAB's library through its C functions; its last head is activated already."""
    import ctypes

    library = ctypes.CDLL(job["library"])
    library.load_network_custom.restype = ctypes.c_void_p
    library.network_predict_ptr.restype = ctypes.POINTER(ctypes.c_float)
    library.network_predict_ptr.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    net = library.load_network_custom(network["cfg"].encode(), network["weights"].encode(), 0, 1)
    shape = (1, *network["heads"][-1])

    def run() -> Any:
        return [np.ctypeslib.as_array(library.network_predict_ptr(net, blob.ctypes.data), shape)]

    return run


def version(job: dict[str, Any]) -> str:
    """Of what runs here: the parent knows it, or it is a module's; Darknet's library has none."""
    modules = {"opencv4": "cv2", "onnxruntime": "onnxruntime"}
    name = modules.get(job["kind"])
    return str(sys.modules[name].__version__) if name else str(job.get("version", ""))


def probabilities(found: np.ndarray, anchors: int, activated: bool) -> np.ndarray:
    """Objectness and classes of a head."""
    planes = found.reshape(anchors, -1, *found.shape[-2:])[:, 4:].astype(float)
    return planes if activated else 1 / (1 + np.exp(-planes))


KINDS = {kind.__name__: kind for kind in (darkshare, onnxruntime, opencv4, darknet)}


def serve() -> None:
    answer = answering()
    job = json.loads(sys.stdin.readline())
    blob = np.load(job["blob"])
    try:
        runs = [KINDS[job["kind"]](job, network, blob) for network in job["networks"]]
        last = [run() for run in runs]
    except Exception as error:  # whatever this side cannot do is said, and the others go on
        answer({"error": f"{type(error).__name__}: {error}".splitlines()[0]})
        return
    answer({"version": version(job)})
    for line in sys.stdin:
        answer(saved(job, last) if line.strip() == "heads" else seconds(job, runs))


def seconds(job: dict[str, Any], runs: list[Run]) -> float:
    """Of one pass over all networks."""
    clock = getattr(time, job.get("clock", "perf_counter"))
    begin = clock()
    for run in runs:
        run()
    return float(clock() - begin)


def saved(job: dict[str, Any], outputs: list[Any]) -> str:
    """A file with what the last head of each network says."""
    activated = job["kind"] == "darknet"
    found = [
        probabilities(np.asarray(heads[index]), network["anchors"], activated)
        for network, heads in zip(job["networks"], outputs, strict=True)
        for index in ([-1] if activated else network["compared"])
    ]
    np.savez(job["answers"], *found)
    return str(job["answers"])


if __name__ == "__main__":
    serve()
