"""`export`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from darkshare._tables import render
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument, size_option
from darkshare.cli.parameters import BATCH
from darkshare.darknet.model import Model, sibling
from darkshare.errors import DarkshareError
from darkshare.inference import int8 as quantisation
from darkshare.inference import onnx as onnxfile
from darkshare.inference.bench import FEWEST, ROUNDS

INT8 = "int8"
_NOT_INT8 = ("decode", "batch", "dynamic_size")
_INT8_ONLY = ("pictures", "engine", "data", "limit", "count", "seed", "rounds", "threads")


@click.command()
@models_argument
@click.option("-o", "--output", type=click.Path(), help="The file to write; beside the cfg without it.")
@click.option("--decode", is_flag=True, help="Boxes and scores as outputs instead of raw heads.")
@click.option("--batch", type=BATCH, default=1, show_default=True, help="Pictures per pass; dynamic: any.")
@click.option("--dynamic-size", is_flag=True, help="Leave width and height of the input open.")
@click.option(
    "--precision",
    type=click.Choice([*onnxfile.PRECISIONS, INT8]),
    default="fp32",
    show_default=True,
    help="Of weights and sums; input and outputs are always fp32.",
)
@click.option("--bn-epsilon", type=float, default=1e-5, show_default=True, help="OpenCV 4's own importer has 1e-6.")
@click.option("--calibrate", "pictures", metavar="PHOTOS", help="int8: a folder, 'pattern', list or .data file.")
@click.option(
    "--engine",
    type=click.Choice(list(quantisation.QUANTISERS)),
    default=next(iter(quantisation.QUANTISERS)),
    show_default=True,
    help="int8: whose quantiser is used, and what the file is for.",
)
@click.option("--data", type=click.Path(), help="int8: a .data file; mAP is counted on its valid pictures.")
@click.option(
    "--agreement",
    "limit",
    type=click.FloatRange(0, 1),
    default=quantisation.LIMIT,
    show_default=True,
    help="int8: keep layers in fp32 until each head agrees that well; 0: none.",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=quantisation.PICTURES,
    show_default=True,
    help="int8: how many pictures calibrate.",
)
@click.option("--seed", type=int, default=quantisation.SEED, show_default=True, help="int8: which pictures.")
@click.option(
    "--rounds",
    type=click.IntRange(FEWEST),
    default=ROUNDS,
    show_default=True,
    help="int8: how often each file is timed.",
)
@click.option("--threads", type=click.IntRange(1), help="int8: to time with; what the engine takes without it.")
@size_option
@dialect_option
@format_option
def export(files: tuple[str, ...], output: str | None, size: Any, dialect: str, form: str, **how: Any) -> None:
    """Write a model as an ONNX file, with one output per task and head.

    OpenCV 4 and 5, ONNX Runtime and OpenVINO read it. The input is RGB in 0..1. Anchors, classes and tasks stand
    in the file's metadata.

    int8 needs pictures like those that the network will see. Every head is compared with fp32, and both are timed.

    \b
    Examples:
      darkshare export both.cfg both.weights -o both.onnx
      darkshare export yolov4.cfg --size 512x288 --decode --batch dynamic
      darkshare export yolov4.cfg --dynamic-size --precision fp16 -o half.onnx
      darkshare export both.cfg --precision int8 --calibrate photos/
    """
    precision = how["precision"]
    _require_fitting(click.get_current_context(), precision)
    models = load_all(files, dialect=dialect, size=size)
    if len(models) != 1:
        raise DarkshareError(f"this command takes one model, but {len(models)} were given; merge them with concat")
    (model,) = models
    write = _int8 if precision == INT8 else _plain
    written = write(model, output, form, how)
    mib = sum(path.stat().st_size for path in written) / 2**20
    click.echo(f"wrote {' and '.join(map(str, written))}, {mib:.1f} MiB", err=True)


def _require_fitting(ctx: click.Context, precision: str) -> None:
    """Refuse options that this precision would ignore."""
    foreign = _NOT_INT8 if precision == INT8 else _INT8_ONLY
    for param in ctx.command.params:
        if param.name in foreign and ctx.get_parameter_source(param.name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{param.opts[0]} does not go with --precision {precision}")
    if precision == INT8 and not ctx.params["pictures"]:
        raise click.UsageError("--precision int8 needs --calibrate PHOTOS: pictures like those it will see")


def _inputs(model: Model) -> list[str]:
    return [model.name, model.weights.path if model.weights else ""]


def _plain(model: Model, output: str | None, form: str, how: Mapping[str, Any]) -> list[Path]:
    target = Path(output) if output else Path(model.name).with_suffix(".onnx")
    chosen = {key: value for key, value in how.items() if key not in _INT8_ONLY}
    outputs = onnxfile.export(model, target, protect=_inputs(model), **chosen)
    click.echo(render(list(_rows(outputs, chosen["batch"])), form))
    return [target]


def _int8(model: Model, output: str | None, form: str, how: Mapping[str, Any]) -> list[Path]:
    from darkshare.data import read_data

    suffix = quantisation.SUFFIXES[how["engine"]]
    stem = Path(model.name).with_suffix("")
    target = Path(output) if output else sibling(stem, f"-{INT8}{suffix}")
    chosen = {key: value for key, value in how.items() if key not in (*_NOT_INT8, "precision", "data")}
    data = read_data(how["data"], "valid") if how["data"] else None
    found = quantisation.quantise(model, target, data=data, protect=_inputs(model), **chosen)
    if form == "json":
        click.echo(json.dumps(quantisation.to_json(found), indent=1))
    else:
        click.echo(render(quantisation.to_rows(found), form))
        click.echo("\n" * (form != "csv") + "\n".join(quantisation.lines(found)), err=form == "csv")
    return [target] if suffix == ".onnx" else [target, target.with_suffix(".bin")]


def _rows(outputs: Sequence[onnxfile.Output], batch: int | None) -> Iterator[dict[str, Any]]:
    for output in outputs:
        dims = [output.shape[0], "height", "width"] if output.sized else output.shape
        shape = " x ".join(map(str, ["batch" if batch is None else batch, *dims]))
        values = "boxes" if len(output.shape) == 2 else "raw" if output.layer.kind.is_head else "values"
        yield {"output": output.name, "task": output.task.name, "shape": shape, "values": values}
