"""Exported files as models: what their numbers mean is written in them, and any engine that reads them can run them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from darkshare._files import reading, require_itself, require_regular
from darkshare.darknet.cfg import parse
from darkshare.darknet.model import Model
from darkshare.darknet.network import resolve
from darkshare.darknet.tasks import tasks_from_json
from darkshare.errors import DarkshareError, Unsupported

ONNX, IR = ".onnx", ".xml"  # what ONNX Runtime and OpenCV read; OpenVINO's own form, with its weights in a .bin
SUFFIXES = (ONNX, IR)
SECTION = "darkshare"  # of an .xml file's rt_info


class Exported(NamedTuple):
    """An exported file.

    Attributes:
        path: the file.
        model: network and tasks; the weights are in the file alone.
        engine: the one that it was made for; "" for all of them.
        precision: of its weights.
    """

    path: Path
    model: Model
    engine: str
    precision: str


def read_exported(path: str | os.PathLike[str]) -> Exported:
    """Read the description that an .onnx or .xml file of ours carries.

    Raises:
        DarkshareError: it cannot be read, is none of ours, or its boxes are decoded already.
    """
    file = str(path)
    texts = (_rt_info if Path(path).suffix == IR else _metadata)(Path(path))
    if "model" not in texts:
        raise DarkshareError("does not say which network it is; write it with darkshare export", file=file)
    try:
        facts = {key: json.loads(text) for key, text in texts.items()}
        decoded = [head["output"] for head in facts["heads"] if head["values"] != "raw"]
        text, dialect, tasks = (facts["model"][key] for key in ("cfg", "dialect", "tasks"))
        engine = str(facts.get("quantised", {}).get("engine", ""))
        precision = "int8" if engine else str(facts.get("precision", "fp32"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DarkshareError(f"is damaged: what it says of its network is unreadable ({error!r})", file=file) from None
    if decoded:
        raise Unsupported(f"gives boxes ({decoded[0]}) instead of raw heads; export it without --decode", file=file)
    network = resolve(parse(text, file), dialect=dialect)
    return Exported(Path(path), Model(network, None, tasks_from_json(tasks, network, file)), engine, precision)


def _metadata(path: Path) -> dict[str, str]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        with reading(path):
            require_regular(path)
            message = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        require_itself(path)
        raise DarkshareError("is not an ONNX file", file=str(path)) from None
    return {entry.key: entry.value for entry in message.metadata_props if _is_ours(entry.key)}


def _rt_info(path: Path) -> dict[str, str]:
    try:
        with reading(path):
            require_regular(path)
            root = ElementTree.parse(path).getroot()  # noqa: S314  expat itself limits what entities grow to
    except ElementTree.ParseError as error:
        require_itself(path)
        raise DarkshareError(f"is not an OpenVINO file: {error}", file=str(path)) from None
    if not path.with_suffix(".bin").is_file():
        raise DarkshareError(f"its weights {path.with_suffix('.bin').name} are not beside it", file=str(path))
    section: Any = root.find(f"rt_info/{SECTION}")
    return {} if section is None else {entry.tag: entry.get("value", "") for entry in section}


def _is_ours(key: str) -> bool:
    return key in ("input", "bn_epsilon", "precision", "tasks", "heads", "model", "quantised")
