"""`export`."""

from __future__ import annotations

from typing import Any

import click

from darkshare.cli import command, options
from darkshare.cli.hints import Made, hint
from darkshare.cli.parameters import BATCH
from darkshare.cli.printing import noted, say, show
from darkshare.evaluation.exporting import INT8, INT8_ONLY, NOT_INT8
from darkshare.evaluation.exporting import export as write_model
from darkshare.inference.int8 import QUANTISERS, Int8
from darkshare.inference.onnx import PRECISIONS, SUFFIXES, TARGETS
from darkshare.inference.runners import LANGUAGES


@command()
@options.models_argument
@options.output_option(text="the model; beside the cfg without it.", is_file=True)
@click.option(
    "--for", "target", type=click.Choice(list(TARGETS)),
    help="Write what this takes, with a manifest beside it; refuse what it breaks on.",
)  # fmt: skip
@click.option(
    "--runner", type=click.Choice(list(LANGUAGES)),
    help="With --for: also write a program that finds the objects, without darkshare.",
)  # fmt: skip
@click.option("--decode", is_flag=True, help="Boxes and scores as outputs instead of raw heads.")
@click.option("--one-output", is_flag=True, help="All boxes in one output, with the classes of all tasks.")
@click.option("--batch", type=BATCH, default=1, show_default=True, help="Pictures per run of the file; dynamic: any.")
@click.option("--dynamic-size", is_flag=True, help="Leave width and height of the input open.")
@options.choice_option(
    "--precision", [*PRECISIONS, INT8], "Of weights and sums; input and outputs are always fp32.", "fp32"
)
@options.bn_epsilon_option
@click.option("--calibrate", metavar="PHOTOS", help="int8: a folder, 'pattern', list or .data file.")
@options.engine_option(
    None,
    names=tuple(QUANTISERS),
    text=f"int8: whose quantiser is used, and what the file is for.  [default: that of --for, else {Int8.engine}]",
)
@click.option("--data", metavar="PATH", help="int8: a .data file; mAP is counted on its valid pictures.")
@click.option(
    "--agreement", type=click.FloatRange(0, 1), default=Int8.agreement, show_default=True,
    help="int8: keep layers in fp32 until each head agrees that well; 0: none.",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1), default=Int8.count, show_default=True,
    help="int8: how many pictures calibrate.",
)  # fmt: skip
@options.seed_option("int8: which pictures.")
@options.rounds_option("int8: how often each file is timed.")
@options.threads_option("int8: to time with.  [default: the engine's choice]")
@options.size_option
@options.dialect_option
@options.format_option
def export(files: tuple[str, ...], output: str | None, size: Any, dialect: str, form: str, **how: Any) -> None:
    """Write a model as an ONNX file, with one output per task and head.

    OpenCV 4 and 5, ONNX Runtime and OpenVINO read it. The input is RGB in 0..1. Anchors, classes and tasks are in
    the file's metadata.

    int8 needs pictures like those that the network will see. Every head is compared with fp32, and both are timed.

    \b
    Examples:
      darkshare export both.cfg both.weights -o both.onnx
      darkshare export both.cfg --for ncnn -o phone.param
      darkshare export both.cfg --for frigate --size 320
      darkshare export both.cfg --for opencv --runner cpp -o app/both.onnx
      darkshare export yolov4.cfg --size 512x288 --decode --batch dynamic
      darkshare export yolov4.cfg --dynamic-size --precision fp16 -o half.onnx
      darkshare export both.cfg --precision int8 --calibrate photos/
    """
    precision = how["precision"]
    if foreign := options.flags(NOT_INT8 if precision == INT8 else INT8_ONLY):
        raise click.UsageError(f"{foreign[0]} does not go with --precision {precision}")
    if precision == INT8 and not how["calibrate"]:
        raise click.UsageError("--precision int8 needs --calibrate PHOTOS: pictures like those it will see")
    if how["runner"] and not how["target"]:
        raise click.UsageError("--runner needs --for: what runs the file")
    model = options.one_model(files, dialect=dialect, size=size)
    found = write_model(model, output, **how)
    show(found, form=form)
    mib = sum(path.stat().st_size for path in found.paths) / 2**20
    *before, last = noted(found.paths)
    say(f"wrote {' and '.join([', '.join(before), last] if before else [last])}, {mib:.1f} MiB")
    is_read = not how["decode"] and how["batch"] in (1, None) and found.paths[0].suffix in SUFFIXES
    hint(Made(found.paths[:1], model, is_raw=is_read), form)
