"""`import-weights`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from darkshare._files import require_promise
from darkshare.cli import command, options
from darkshare.cli.hints import Made, hint
from darkshare.cli.printing import WrittenFiles, noted, show
from darkshare.darknet.model import load, save_weights


@command("import-weights")
@click.argument("network", metavar="MODEL.cfg")
@click.argument("source", metavar="FILE.onnx|FILE.pt")
@options.output_option(text="the weights; beside the cfg without it, if none are there.", is_file=True)
@click.option(
    "--base", metavar="FILE", help="Weights whose layers come back as they are, batch norm too, if unchanged."
)
@options.dialect_option
@options.format_option
def import_weights(network: str, source: str, output: str | None, base: str | None, dialect: str, form: str) -> None:
    """Make a .weights file of an ONNX file or a PyTorch state dict of the same network.

    Layers are matched in order, and their shapes must be those of the cfg. Of a PyTorch file only tensors are read.

    \b
    Examples:
      darkshare import-weights yolov3.cfg yolov3.onnx -o yolov3.weights
      darkshare import-weights masks.cfg best.pt -o masks.weights
      darkshare import-weights net.cfg net.onnx --base net.weights -o same.weights
    """
    from darkshare.training.importing import import_weights as imported

    path = output or str(Path(network).with_suffix(".weights"))
    require_promise(path, "Darknet weights", ".weights")
    if output is None and Path(path).exists():
        raise click.UsageError(f"{path} is there already; say where to write with -o")
    model = load(network, dialect=dialect, sibling=False)
    found = imported(model.network, source, base=base)
    save_weights(found, path, dialect)
    show(WrittenFiles([Path(path)]), form=form)
    noted([path])
    hint(Made([network, path], replace(model, weights=found)), form)
