"""The programs that run networks, behind one small interface: `open_engine` loads a file, `Engine.run` computes.

Every engine gets the same ONNX file and gives the same outputs in the same order. What each of them needs to do so
is in its own module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from darkshare.errors import BadValue, Unsupported
from darkshare.inference.engines import onnxruntime, opencv, openvino
from darkshare.inference.engines.base import PRECISIONS, Engine, Settings

__all__ = ["DEFAULT", "NAMES", "PRECISIONS", "Engine", "Presence", "available", "open_engine", "presence"]

DEFAULT = "opencv"
_OWN = ".xml"  # OpenVINO's form of a network


class Maker(NamedTuple):
    """The functions that open an engine.

    Attributes:
        version: imports the engine; ImportError, or `Unsupported` where this engine is not in the library.
        precisions: those that it has on this processor.
        load: from a file, with the names of the wanted outputs.
        bounds: by precision, how far the same head may be apart in two networks that share layers, as a share of its
            largest number; see `verify`.
        extra: the extra of darkshare that installs it; "" for what always comes along.
        reads_apart: whether it reads tensors that lie in files beside that of the network.
    """

    version: Callable[[], str]
    precisions: Callable[[], tuple[str, ...]]
    load: Callable[[str, Sequence[str], Settings], Engine]
    bounds: Mapping[str, float]
    extra: str = ""
    reads_apart: Callable[[], bool] = lambda: True


_EXACT = {"fp32": 0.0}
_ROUNDED = {**_EXACT, "bf16": 0.05, "fp16": 0.05}  # 0.015 was the most that was seen, in bf16
NAMES: dict[str, Maker] = {
    "opencv": Maker(opencv.version, opencv.precisions, opencv.load, _EXACT, reads_apart=opencv.has_new_engine),
    "opencv-classic": Maker(opencv.classic_version, opencv.precisions, opencv.load_classic, _EXACT),
    "onnxruntime": Maker(onnxruntime.version, onnxruntime.precisions, onnxruntime.load, _EXACT, "onnxruntime"),
    "openvino": Maker(openvino.version, openvino.precisions, openvino.load, _ROUNDED, "openvino"),
}


class Presence(NamedTuple):
    """An engine's version and precisions, or the reason why it cannot be used."""

    version: str
    precisions: tuple[str, ...] = ()
    reason: str = ""


def available() -> dict[str, Presence]:
    """Look up all engines on this machine; it imports every one that is installed."""
    return {name: presence(name) for name in NAMES}


def presence(name: str) -> Presence:
    """Look up one of `NAMES` on this machine."""
    maker = NAMES[name]
    try:
        return Presence(maker.version(), maker.precisions())
    except Unsupported as error:
        return Presence("", reason=error.message)
    except ImportError as error:
        reason = " ".join(str(error).split())
        cure = f"; pip install 'darkshare[{maker.extra}]'" if maker.extra else ""
        return Presence("", reason=reason + cure)


def open_engine(
    name: str,
    path: str | os.PathLike[str],
    outputs: Sequence[str],
    *,
    threads: int | None = None,
    precision: str = "fp32",
    profile: bool = False,
) -> Engine:
    """Load an ONNX file of ours into an engine. It and what lies beside it may be removed afterwards.

    Args:
        name: one of `NAMES`.
        path: the file; OpenVINO also takes its own form, an .xml with its .bin.
        outputs: the names of all of its outputs, in the order in which `run` is to give them.
        threads: how many to compute with; without it, the engine's choice. OpenCV's number holds for
            everything that OpenCV does in this process.
        precision: what to multiply in: fp32, or bf16 and fp16 where engine and processor can.
        profile: let the engine keep a record of what it runs, for `Engine.convolutions`.

    Raises:
        DarkshareError: an engine that is not there, that cannot do what is asked, or that refuses the file.
    """
    if name not in NAMES:
        raise BadValue(f"unknown engine {name}; use {', '.join(NAMES)}")
    if threads is not None and threads < 1:
        raise BadValue(f"threads must be at least 1, not {threads}")
    if precision not in PRECISIONS:
        raise BadValue(f"unknown precision {precision}; use {', '.join(PRECISIONS)}")
    found = presence(name)
    if found.reason:
        raise Unsupported(f"engine {name} cannot be used: {found.reason}")
    if precision not in found.precisions:
        raise Unsupported(f"engine {name} cannot compute in {precision} here; it has {', '.join(found.precisions)}")
    if os.fspath(path).endswith(_OWN) and name != "openvino":
        raise Unsupported(f"engine {name} reads ONNX files only; this one is OpenVINO's: use openvino")
    return NAMES[name].load(os.fspath(path), outputs, Settings(threads, precision, profile))
