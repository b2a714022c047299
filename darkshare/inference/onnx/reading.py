"""Exported files as models: what their numbers mean is written in them, and any engine that reads them can run them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from darkshare.darknet.cfg import parse
from darkshare.darknet.model import Model
from darkshare.darknet.network import resolve
from darkshare.darknet.pairing import EXPORTED
from darkshare.darknet.tasks import tasks_from_json
from darkshare.errors import DarkshareError, Unsupported
from darkshare.inference.onnx.checking import expected_graph, form_of, require_graph
from darkshare.inference.onnx.facts import UNITED
from darkshare.inference.onnx.graph import ExportForm
from darkshare.inference.onnx.ir import facts as ir_facts
from darkshare.inference.onnx.ir import read_ir, require_ir
from darkshare.inference.onnx.wire import read_message

SUFFIXES = EXPORTED
ONNX, IR = SUFFIXES  # what ONNX Runtime and OpenCV read; OpenVINO's own form, with its weights in a .bin
_ENGINES = {IR: "openvino"}  # those that alone read such a file
_READ = ("model", "heads", "precision", "quantised")  # of what a file says


class Exported(NamedTuple):
    """An exported file.

    Attributes:
        path: the file.
        model: network and tasks; the weights are in the file alone.
        engine: the one that it was made for; "" for all of them.
        precision: of its weights.
        one_output: whether the boxes of all tasks come in one output.
    """

    path: Path
    model: Model
    engine: str
    precision: str
    one_output: bool = False


def read_exported(path: str | os.PathLike[str]) -> Exported:
    """Read an .onnx or .xml file of ours and hold its graph against the cfg in it, before an engine opens it.

    The values of weights are not looked at, and so take neither time nor memory.

    Raises:
        DarkshareError: it cannot be read, is not one of ours, is damaged, or its graph is not that of its cfg; or its
            boxes are decoded already.
    """
    try:
        return _exported(Path(path))
    except DarkshareError as error:
        raise error.locate(str(path), None) from None


def _exported(path: Path) -> Exported:
    content: Any = read_ir(path) if path.suffix == IR else read_message(path)
    facts = _facts(ir_facts(content) if path.suffix == IR else _metadata(content))
    model, engine = _described(facts, str(path))
    form, quantised = ExportForm(), "quantised" in facts
    if path.suffix == IR:
        require_ir(content, path, expected_graph(model, form))
    else:
        form = form_of(content, facts.get("precision"))
        require_graph(content, expected_graph(model, form), quantised=quantised)
    precision = "int8" if quantised else form.precision
    return Exported(path, model, engine or _ENGINES.get(path.suffix, ""), precision, form.one_output)


def _facts(texts: Iterator[tuple[str, str]]) -> dict[str, Any]:
    """Read what a file says of its network, which is JSON."""
    known: dict[str, Any] = {}
    for key, text in texts:
        if key not in _READ:
            continue
        if key in known:
            raise DarkshareError(f"says twice what its {key} is; export it again")
        try:
            known[key] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _damaged(error) from None
    return known


def _described(facts: dict[str, Any], file: str) -> tuple[Model, str]:
    """The model that a file describes, and its engine."""
    if "model" not in facts:
        raise DarkshareError("does not say which network it is; write it with darkshare export")
    try:
        decoded = [head["output"] for head in facts["heads"] if head["values"] not in ("raw", UNITED)]
        text, dialect, tasks = (facts["model"][key] for key in ("cfg", "dialect", "tasks"))
        engine = facts.get("quantised", {}).get("engine", "")
        if not all(isinstance(one, str) for one in (text, dialect, tasks, engine)):
            raise TypeError("a number or list in place of a text")
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(error) from None
    if decoded:
        raise Unsupported(f"gives boxes ({str(decoded[0])[:60]}) instead of raw heads; export it without --decode")
    network = resolve(parse(text, file), dialect=dialect)
    return Model(network, None, tasks_from_json(tasks, network, file)), engine


def _damaged(error: Exception) -> DarkshareError:
    return DarkshareError(
        f"is damaged: what it says of its network is unreadable ({repr(error)[:200]}); export it again"
    )


def _metadata(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    return ((entry.get("key", ""), entry.get("value", "")) for entry in message.get("metadata_props", ()))
