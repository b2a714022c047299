"""`export` and `quantise`: model files, and for int8 the mean average precision that it costs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.data import Dataset, read_data
from darkshare.errors import BadValue, checked
from darkshare.evaluation.runner import Runner
from darkshare.inference.converters import write_target
from darkshare.inference.int8 import Int8, Quantised, TaskScores, write_int8
from darkshare.inference.int8.writing import Judge
from darkshare.inference.onnx import ExportForm, OnnxExport
from darkshare.inference.onnx.targets import require_form

INT8 = "int8"
# The options that only fp32 and fp16 have.
NOT_INT8 = ("decode", "one_output", "batch", "dynamic_size")
INT8_ONLY = ("calibrate", "engine", "data", "agreement", "count", "seed", "rounds", "threads")
_INT8 = Int8()


@checked
def export(
    model: Model, output: str | os.PathLike[str] | None = None, *, target: str | None = None, runner: str | None = None,
    decode: bool = False, one_output: bool = False, batch: int | None = 1, dynamic_size: bool = False,
    precision: str = "fp32", bn_epsilon: float = _INT8.bn_epsilon, calibrate: str | None = None,
    engine: str | None = None, data: str | os.PathLike[str] | Dataset | None = None,
    agreement: float = _INT8.agreement, count: int = _INT8.count, seed: int = _INT8.seed, rounds: int = _INT8.rounds,
    threads: int | None = None,
) -> OnnxExport | Quantised:  # fmt: skip
    """Write a model as a file for OpenCV, ONNX Runtime or OpenVINO, with one output per task and head.

    Args:
        model: with weights.
        output: the file; without it, one beside the cfg.
        target: a program that the file is for: opencv, onnxruntime, openvino, tensorrt, ncnn, rknn or frigate. What
            that takes is written, with a manifest in JSON beside it, and what it breaks on is refused.
        runner: python or cpp: also write a program of one file that finds the objects with it, without darkshare; for
            the targets opencv, onnxruntime, openvino and frigate, and opencv.
        decode: boxes and scores instead of raw heads.
        one_output: all boxes in one output of the form 4 + classes x boxes, with the classes of all tasks.
        batch: pictures per pass; None leaves it open.
        dynamic_size: leave width and height open; any that the strides divide will do.
        precision: of weights and sums: fp32, fp16, or int8, for which see `quantise`.
        bn_epsilon: what is added to a variance before its root is taken; OpenCV 4's own importer has 1e-6.
        calibrate: int8: see `quantise`, as for all that follow.
        engine: int8; without it, the target's, or onnxruntime.
        data: int8.
        agreement: int8.
        count: int8.
        seed: int8.
        rounds: int8.
        threads: int8.

    Raises:
        DarkshareError: a layer that has no ONNX form, missing weights, a file that cannot be written, or an option that
            does not go with the precision.
    """
    others: dict[str, Any] = {
        "calibrate": calibrate, "engine": engine, "data": data, "agreement": agreement, "count": count, "seed": seed,
        "rounds": rounds, "threads": threads,
    }  # fmt: skip
    form: dict[str, Any] = {
        "decode": decode, "one_output": one_output, "batch": batch, "dynamic_size": dynamic_size,
    }  # fmt: skip
    for name, value in (form if precision == INT8 else others).items():
        if value != inspect.signature(export).parameters[name].default:
            raise BadValue(f"{name} does not go with precision {precision}")
    if precision != INT8:
        how = {**form, "precision": precision, "bn_epsilon": bn_epsilon}
        return write_target(model, output, protect=_inputs(model), target=target or "", language=runner, **how)
    if calibrate is None:
        raise BadValue("precision int8 needs calibrate: pictures like those that the network will see")
    return quantise(model, output, target=target, runner=runner, bn_epsilon=bn_epsilon, **others)


@checked
def quantise(
    model: Model,
    output: str | os.PathLike[str] | None = None,
    *,
    calibrate: str,
    data: str | os.PathLike[str] | Dataset | None = None,
    target: str | None = None,
    runner: str | None = None,
    **how: Any,
) -> Quantised:
    """Write a model in int8 and measure its agreement with fp32, its accuracy and its time.

    The whole network is quantised first. A head that agrees with fp32 in less than `agreement` gets its last
    convolution back in fp32; if that is not enough, the tenth of the layers below it that adds most error, and so on.

    Args:
        model: with weights.
        output: an .onnx file for ONNX Runtime, an .xml for OpenVINO, which gets a .bin beside it; without it, one
            beside the cfg.
        calibrate: pictures like those that the network will see: a folder, a pattern, a list file, or a .data file,
            whose `train` is taken.
        data: labelled pictures, to count mean average precision on; or a .data file, whose `valid` is taken.
        target: names the engine, and adds a manifest beside the file; see `export`.
        runner: python, with a target; see `export`.
        how: the fields of `Int8`: engine, agreement, count, seed, rounds, threads, bn_epsilon.

    Raises:
        DarkshareError: what cannot be read, written or quantised.
    """
    wanted = Int8(**how | {"engine": how.get("engine") or target or _INT8.engine})
    require_form(target or "", ExportForm(), INT8)
    if target not in (None, wanted.engine):
        raise BadValue(f"an int8 file that {wanted.engine}'s quantiser makes is for {wanted.engine}, not for {target}")
    labelled = data if data is None or isinstance(data, Dataset) else read_data(data, "valid")
    judge = _judge(model, labelled, wanted.engine) if labelled else None
    beside: dict[str, Any] = {"with_manifest": target is not None, "language": runner}
    return write_int8(model, output, calibrate, wanted, judge=judge, protect=_inputs(model), **beside)


def _inputs(model: Model) -> list[str]:
    beside = [str(Path(model.name).with_suffix(suffix)) for suffix in (".names", ".tasks.json") if model.name]
    return [model.name, model.weights.path if model.weights else "", *beside]


def _judge(model: Model, data: Dataset, engine: str) -> Judge:
    """Give what counts the mean average precision of both files, for each task that knows the classes.

    Raises:
        BadValue: none does.
    """
    tasks = _tasks_of(model, data)

    def judge(*paths: str) -> list[TaskScores]:
        runners = [Runner.of(model, engine=engine, file=path) for path in paths]
        return [_score(task, data, runners) for task in tasks]

    return judge


def _score(task: Task, data: Dataset, runners: Sequence[Runner]) -> TaskScores:
    exact, quantised = (runner.detect_dataset(data, task.name).evaluate(data) for runner in runners)
    return TaskScores(task.name, data.name, exact.mean, quantised.mean, str(exact.rule))


def _tasks_of(model: Model, data: Dataset) -> list[Task]:
    """Give the tasks that know all classes of a data set.

    Raises:
        BadValue: none does.
    """
    found = [task for task in model.tasks if set(data.names) <= set(task.names)]
    if not found:
        known = {name for task in model.tasks for name in task.names}
        strange = next((name for name in data.names if name not in known), data.names[0])
        raise BadValue(f"no task has all classes of {data.name}, such as {strange!r}", file=model.name)
    return found
