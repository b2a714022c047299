"""All boxes that a Darknet gives for an input, by the C functions that its own `detector test` calls.

python benchmarks/darknet_boxes.py FORK libdarknet.so NET.cfg NET.weights INPUT.npy OUTPUT.npy

A process of its own, since Darknet ends the program where it fails. A row of the output holds x, y, w, h, objectness
and the score of each class. Nothing is suppressed: this is all that Darknet's suppression gets to see.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, c_float, c_int, c_void_p
from pathlib import Path

import numpy as np

THRESHOLD = 0.005
_FIRST = [("box", c_float * 4), ("classes", c_int)]
_LAST = [("scores", POINTER(c_float)), ("mask", POINTER(c_float)), ("objectness", c_float), ("sort_class", c_int)]


class Pjreddie(ctypes.Structure):
    """The struct `detection`."""

    _fields_ = (*_FIRST, *_LAST)


class Alexeyab(ctypes.Structure):
    """Likewise."""

    _fields_ = (
        *_FIRST, ("best_class", c_int), *_LAST, ("uncertainty", POINTER(c_float)), ("points", c_int),
        ("embeddings", POINTER(c_float)), ("embedding_size", c_int), ("similarity", c_float), ("track", c_int),
    )  # fmt: skip


class HankAi(ctypes.Structure):
    """Likewise."""

    _fields_ = (
        *_FIRST, ("best_class", c_int), *_LAST, ("sort_score", c_float), ("uncertainty", POINTER(c_float)),
        ("points", c_int), ("embeddings", POINTER(c_float)), ("embedding_size", c_int), ("similarity", c_float),
        ("track", c_int),
    )  # fmt: skip


FORKS = {"pjreddie": Pjreddie, "alexeyab": Alexeyab, "hank-ai": HankAi}


def boxes(fork: str, library: str, cfg: str, weights: str, x: np.ndarray) -> np.ndarray:
    """Every box of all heads, in Darknet's order."""
    lib, kind = ctypes.CDLL(library), FORKS[fork]
    files = cfg.encode(), weights.encode(), 0
    load = lib.load_network if fork == "pjreddie" else lib.load_network_custom
    load.restype = c_void_p
    network = c_void_p(load(*files) if fork == "pjreddie" else load(*files, 1))
    if fork == "pjreddie":
        lib.set_batch_network(network, 1)
    predict = lib.network_predict if fork == "pjreddie" else lib.network_predict_ptr
    predict(network, x.ctypes.data_as(POINTER(c_float)))
    lib.get_network_boxes.restype = POINTER(kind)
    count, (height, width) = c_int(0), x.shape[-2:]
    words = [network, width, height, c_float(THRESHOLD), c_float(0.5), None, 1, ctypes.byref(count)]
    found = lib.get_network_boxes(*words, *([] if fork == "pjreddie" else [0]))
    rows = [[*one.box, one.objectness, *one.scores[: one.classes]] for one in found[: count.value]]
    return np.array(rows, np.float32)


if __name__ == "__main__":
    name, shared, text, floats, source, target = sys.argv[1:]
    np.save(Path(target), boxes(name, shared, text, floats, np.load(source)))
