"""Programs to take along: one file that runs a model's ONNX file, in Python or C++, without darkshare.

Each language has a template beside this module; what differs from model to model is filled in.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.resources import files
from pathlib import Path
from pprint import pformat
from typing import Any

from darkshare._files import unicode_path
from darkshare._texts import raw_bytes
from darkshare.darknet.kinds import GaussianYolo, Kind, Region, Yolo
from darkshare.darknet.kinds.base import P
from darkshare.darknet.letterbox import is_letterboxed
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer
from darkshare.darknet.tasks import Task
from darkshare.errors import BadArguments, BadValue, Unsupported
from darkshare.inference.boxes.nms import diou_exponent
from darkshare.inference.onnx import INPUT, ONE_OUTPUT, ExportForm, output_name
from darkshare.inference.onnx.decoding import DECODE
from darkshare.inference.onnx.one_output import all_first_ids, columns_of, heads_of

LANGUAGES = {"python": ".py", "cpp": ".cpp"}  # and the suffix of what is written
_OPENCV = """NET = cv2.dnn.readNetFromONNX(str(Path(__file__).with_name({file!r})))


def run(blob):
    NET.setInput(blob)
    return NET.forward(OUTPUTS)"""
_ONNXRUNTIME = """SESSION = onnxruntime.InferenceSession(str(Path(__file__).with_name({file!r})))


def run(blob):
    return SESSION.run(OUTPUTS, {{{input!r}: blob}})"""
_OPENVINO = """NET = openvino.Core().compile_model(
    str(Path(__file__).with_name({file!r})), "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}}
)


def run(blob):
    found = NET(blob)
    return [found[name] for name in OUTPUTS]"""
ENGINES = {  # of the runner in Python, by target: its module, and the lines that run the file
    "opencv": ("", _OPENCV),
    "onnxruntime": ("onnxruntime", _ONNXRUNTIME),
    "openvino": ("openvino", _OPENVINO),
    "frigate": ("onnxruntime", _ONNXRUNTIME),
}
_LIBRARIES = ("cv2", "numpy", *(module for module, _ in ENGINES.values() if module))
TARGETS_OF = {"python": tuple(ENGINES), "cpp": ("opencv",)}


def runner(model: Model, language: str, file: Path, form: ExportForm) -> bytes:
    """Write the program that finds a model's objects with its exported file.

    Args:
        model: that was exported.
        language: one of `LANGUAGES`.
        file: the exported file, which the program looks for beside itself; in C++ it is an argument.
        form: the file's.

    Raises:
        BadArguments: no target, or one that runs no such program.
        BadValue: a form that it does not read, or a name by which Python would take it for a module.
        DarkshareError: a name that no library opens.
        Unsupported: a task or head that it does not read.
    """
    if language not in LANGUAGES:
        raise BadValue(f"unknown runner {language}; use {' or '.join(LANGUAGES)}")
    if form.target not in TARGETS_OF[language]:
        known = " or ".join(TARGETS_OF[language])
        raise BadArguments(f"a runner in {language} needs the target {known}, whose program runs the file")
    if language == "python":
        _require_runnable(file, form.target)
    if form.batch not in (1, None) or form.decode:
        raise BadValue("a runner reads raw heads or one output, of one picture; leave out decode and batch")
    channels, height, width = model.network.input[:3]
    if channels not in (1, 3):
        raise Unsupported(f"channels={channels}: a runner reads pictures of 1 or 3", file=model.name)
    for task, index in heads_of(model):
        if type((layer := model.network.layers[index]).kind) not in DECODE:
            why = f"{layer.label} of task {task.name} gives no boxes, which a runner finds; leave out the runner"
            raise Unsupported(why, file=model.name, line=layer.section.lineno)
    tasks = [_task(model, task, form) for task in model.tasks]
    outputs = list(dict.fromkeys(head["output"] for task in tasks for head in task["heads"]))
    facts = ((width, height, channels, is_letterboxed(model.network)), outputs, tasks)
    text = files(__package__).joinpath(f"{language}.template").read_text(encoding="utf-8")
    filled = (_python if language == "python" else _cpp)(*facts, file, form)
    shown = {"FILE": _in_a_comment(file.name), "NAME": _in_a_comment(file.stem)}
    parts = re.split(r"@([A-Z]+)@", text)  # once, so that nothing in what is filled in is replaced
    parts[1::2] = [{**shown, **filled}[key] for key in parts[1::2]]
    return raw_bytes("".join(parts))


def _require_runnable(file: Path, target: str) -> None:
    """Refuse a name by which a program would hide a module that it imports, or with which its file cannot be opened."""
    unicode_path(file.name, target)
    if file.stem in (*sys.stdlib_module_names, *_LIBRARIES):
        why = f"Python would take {file.stem}.py for its module {file.stem}; choose another name"
        raise BadValue(why, file=str(file))


def _in_a_comment(name: str) -> str:
    """A file's name on one line that ends no comment and no docstring."""
    return json.dumps(name, ensure_ascii=False)[1:-1].replace('\\"', "'")


def _task(model: Model, task: Task, form: ExportForm) -> dict[str, Any]:
    """Describe how the boxes of a task are read from the outputs."""
    layers = [model.network.layers[index] for index in task.heads]
    heads = _columns(model, task) if form.one_output else [_head(model, task, layer) for layer in layers]
    return {"name": task.name, "names": list(task.names), "power": diou_exponent(layers[-1].kind), "heads": heads}


def _columns(model: Model, task: Task) -> list[dict[str, Any]]:
    first = all_first_ids(model)[task.name]
    classes = first, first + len(task.names)
    return [
        {"output": ONE_OUTPUT, "columns": (columns.start, columns.stop), "classes": classes}
        for owner, _, columns in columns_of(model)
        if owner is task
    ]


def _head(model: Model, task: Task, layer: Layer) -> dict[str, Any]:
    kind: Kind = layer.kind
    if isinstance(kind, GaussianYolo) or not isinstance(kind, Yolo | Region):
        raise Unsupported(
            f"{layer.label} of task {task.name}: a runner reads [yolo] and [region] as raw heads; use one output",
            file=model.name, line=layer.section.lineno,
        )  # fmt: skip
    net, unit, scores = model.network.input, (layer.x.w, layer.x.h), "sigmoid"
    if isinstance(kind, Region):
        if kind.tree or kind.background or kind.coords != 4 or kind.classfix == -1:
            raise Unsupported(f"{layer.label}: no runner has tree=, background=, classfix= or coords=", file=model.name)
        scores = "softmax" if kind.softmax else "sigmoid" if kind.dialect == P else "as they are"
    else:
        unit = (net.w, net.h)
    return {
        "output": output_name(layer), "anchors": kind.anchor_sizes(), "unit": unit, "scores": scores,
        "new_coords": bool(getattr(kind, "new_coords", 0)), "scale_x_y": getattr(kind, "scale_x_y", 1.0),
        "classes": (task.offset, task.offset + len(task.names)),
    }  # fmt: skip


def _python(
    facts: tuple[Any, ...], outputs: list[str], tasks: list[Any], file: Path, form: ExportForm
) -> dict[str, str]:
    module, engine = ENGINES[form.target]
    described = pformat(tasks, width=110, compact=True, sort_dicts=False)
    shown = {"INPUT": repr(facts), "OUTPUTS": pformat(outputs, width=110), "TASKS": described}
    imports = "\n".join(f"import {name}" for name in ("cv2", "numpy as np", module) if name)
    needs = f"numpy, OpenCV and {module}" if module else "numpy and OpenCV"
    return {**shown, "IMPORTS": imports, "NEEDS": needs, "ENGINE": engine.format(file=file.name, input=INPUT)}


def _cpp(facts: tuple[Any, ...], outputs: list[str], tasks: list[Any], file: Path, form: ExportForm) -> dict[str, str]:
    """Initialisers; JSON's texts are C++'s too."""
    return {
        "INPUT": ", ".join(map(_value, facts)),
        "OUTPUTS": _value(outputs),
        "TASKS": ",\n    ".join(
            _value([task["name"], task["names"], -1 if task["power"] is None else task["power"],
                    [_cpp_head(outputs, head) for head in task["heads"]]])
            for task in tasks
        ),
    }  # fmt: skip


def _cpp_head(outputs: list[str], head: dict[str, Any]) -> list[Any]:
    at, classes, columns = outputs.index(head["output"]), list(head["classes"]), list(head.get("columns", (0, 0)))
    anchors = [value for pair in head.get("anchors", ()) for value in pair]
    scores = ("sigmoid", "softmax", "as they are").index(head.get("scores", "sigmoid"))
    unit, scale = list(head.get("unit", (1, 1))), head.get("scale_x_y", 1.0)
    return [at, *classes, *columns, anchors, *unit, scores, head.get("new_coords", False), scale]


def _value(value: Any) -> str:
    """Write a value as C++ does; texts in their bytes as they are, without what older compilers take for trigraphs."""
    if isinstance(value, list):
        return "{" + ", ".join(map(_value, value)) + "}"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False).replace("?", "\\?")
    return repr(value) if isinstance(value, int) else f"{value!r}f"
