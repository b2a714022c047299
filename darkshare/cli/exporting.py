"""`export`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from darkshare import onnxfile
from darkshare.cli.options import dialect_option, format_option, load_all, models_argument, size_option
from darkshare.errors import DarkshareError
from darkshare.report import render


class BatchType(click.ParamType):  # type: ignore[type-arg]
    """A number of pictures, or `dynamic`, which is None."""

    name = "N|dynamic"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if isinstance(value, int) or value == "dynamic":
            return None if value == "dynamic" else int(value)
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'dynamic'", param, ctx)


@click.command()
@models_argument
@click.option("-o", "--output", type=click.Path(), help="The file to write; beside the cfg as .onnx without it.")
@click.option("--decode", is_flag=True, help="Boxes and scores as outputs instead of raw heads.")
@click.option("--batch", type=BatchType(), default=1, show_default=True, help="Pictures per pass; dynamic: any.")
@click.option("--dynamic-size", is_flag=True, help="Leave width and height of the input open.")
@click.option(
    "--precision",
    type=click.Choice(list(onnxfile.PRECISIONS)),
    default="fp32",
    show_default=True,
    help="Of weights and sums; input and outputs are always fp32.",
)
@click.option("--bn-epsilon", type=float, default=1e-5, show_default=True, help="OpenCV 4's own importer has 1e-6.")
@size_option
@dialect_option
@format_option
def export(files: tuple[str, ...], output: str | None, size: Any, dialect: str, form: str, **how: Any) -> None:
    """Write a model as an ONNX file, with one output per task and head.

    OpenCV 4 and 5, ONNX Runtime and OpenVINO read it. The input is RGB in 0..1. Anchors, classes and tasks stand
    in the file's metadata.

    \b
    Examples:
      darkshare export both.cfg both.weights -o both.onnx
      darkshare export yolov4.cfg --size 512x288 --decode --batch dynamic
      darkshare export yolov4.cfg --dynamic-size --precision fp16 -o yolov4-half.onnx
    """
    models = load_all(files, dialect=dialect, size=size)
    if len(models) != 1:
        raise DarkshareError(f"this command takes one model, but {len(models)} were given; merge them with concat")
    (model,) = models
    target = Path(output) if output else Path(model.name).with_suffix(".onnx")
    inputs = [model.name, model.weights.path if model.weights else ""]
    outputs = onnxfile.export(model, target, protect=inputs, **how)
    click.echo(render(list(_rows(outputs, how["batch"])), form))
    click.echo(f"wrote {target}, {target.stat().st_size / 2**20:.1f} MiB", err=True)


def _rows(outputs: Sequence[onnxfile.Output], batch: int | None) -> Iterator[dict[str, Any]]:
    for output in outputs:
        dims = [output.shape[0], "height", "width"] if output.sized else output.shape
        shape = " x ".join(map(str, ["batch" if batch is None else batch, *dims]))
        values = "boxes" if len(output.shape) == 2 else "raw" if output.layer.kind.is_head else "values"
        yield {"output": output.name, "task": output.task.name, "shape": shape, "values": values}
