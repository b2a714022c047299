"""`reduce` and `branch`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from darkshare.cli import command, options
from darkshare.cli.making import finish
from darkshare.cli.parameters import NUMBERS, SHARE
from darkshare.cli.printing import show
from darkshare.darknet.model import Model
from darkshare.surgery import residual
from darkshare.surgery.residual import branching, thinning, widths

recalibrate_option = click.option(
    "--recalibrate-bn",
    "images",
    metavar="IMAGES",
    help="Measure batch norm's statistics again on these pictures: a folder, pattern or .txt list. Needs PyTorch.",
)


@command()
@options.models_argument
@click.option(
    "--keep",
    default="first",
    show_default=True,
    metavar="WHICH",
    help="first of each stage; counts for each stage like 1,1,2,2,1; 'blocks 1,4-6'; or all.",
)
@click.option("--list", "listed", is_flag=True, help="Show the residual blocks and their stages, and write nothing.")
@click.option(
    "--explicit/--no-explicit",
    default=None,
    help="Shortcuts between different shapes as layers that every fork and OpenCV run; done where there are any.",
)
@recalibrate_option
@options.new_files_option
@options.size_option
@options.dialect_option
@options.format_option
def reduce(
    files: tuple[str, ...],
    listed: bool,
    images: str | None,
    output: str | None,
    size: Any,
    dialect: str,
    form: str,
    **how: Any,
) -> None:
    """Keep few residual blocks of a network, with their weights.

    A block is a [shortcut] with what it skips; a stage is a run of blocks of one output shape. Every reference is
    rewritten. Prints layers, parameters and operations before and after.

    \b
    Examples:
      darkshare reduce resnet152.cfg --list
      darkshare reduce resnet152.cfg resnet152.weights --keep 1,1,1,1 -o small
    """
    model = options.one_model(files, dialect=dialect, size=size)
    if listed:
        show(residual.residual_blocks(model), form=form)
        return
    reduced = residual.reduce(model, **how)
    finish(_measured(reduced, images if output else None, 0), model, output=output, form=form)


@command()
@options.models_argument
@click.option("--after", metavar="LAYER", help="The last shared layer, or 'block N', where that ends.")
@click.option("-m", "--branches", type=click.IntRange(1, 1024), help="How many branches.")
@options.choice_option(
    "--match",
    widths.MATCHES,
    "What stays as it was behind the shared layers; authors is RRR-Net's own rule.",
    "params,flops",
)
@click.option("--tolerance", type=SHARE, default="1%", show_default=True, help="By how much it may miss.")
@click.option("--step", type=click.IntRange(1), default=1, show_default=True, help="Widths are multiples of it.")
@options.several_option("--widths", NUMBERS, help="The widths instead, as this command prints them.")
@options.choice_option("--combine", branching.COMBINES, "What the last layers average.", "logits")
@options.choice_option("--init", thinning.INITS, "Where the branches' weights come from.", "slice")
@options.choice_option(
    "--layout", branching.LAYOUTS, "One behind the other, or side by side in grouped convolutions.", "explicit"
)
@options.seed_option("Of what is drawn.")
@recalibrate_option
@options.new_files_option
@options.size_option
@options.dialect_option
@options.format_option
def branch(
    files: tuple[str, ...], images: str | None, output: str | None, size: Any, dialect: str, form: str, **how: Any
) -> None:
    """Divide what follows a layer among m thin branches that cost together what it did.

    All in one file, and averaged at its end; `darkshare split` takes a branch out. The shared layers keep their
    weights byte for byte. Prints both totals before and after. Train the branches afterwards. An ensemble that is
    given, without --after and -m, is only laid out or averaged anew, as --layout and --combine say.

    \b
    Examples:
      darkshare branch small.cfg --after 'block 2' -m 8 -o ensemble
      darkshare branch small.cfg --after 14 -m 4 --step 8 -o ensemble
      darkshare branch ensemble.cfg --layout grouped -o lean
    """
    model = options.one_model(files, dialect=dialect, size=size)
    made = residual.branch(model, **how)
    assert isinstance(made.report, residual.Division)
    k = made.report.k
    finish(_measured(made, images if output else None, k), model, output=output, form=form, k=k)


def _measured(model: Model, images: str | None, k: int) -> Model:
    """The model with batch norm's statistics of the pictures behind layer k, if any are named."""
    if images is None:
        return model
    from darkshare.training.recalibration import recalibrated

    return replace(recalibrated(model, images, k=k), report=model.report)
