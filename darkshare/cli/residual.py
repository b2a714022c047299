"""`reduce` and `branch`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from darkshare._images import Picture
from darkshare._tables import PROGRAMS, render
from darkshare.cli.options import dialect_option, flags, format_option, models_argument, size_option
from darkshare.cli.parameters import NUMBERS, SHARE
from darkshare.cli.retraining import one_model, write
from darkshare.darknet.model import Model, branches_of, only_ensemble
from darkshare.errors import BadValue
from darkshare.surgery import residual, splice
from darkshare.surgery.residual import blocks, branching, thinning, totals, widths

recalibrate_option = click.option(
    "--recalibrate-bn",
    "images",
    metavar="IMAGES",
    help="Measure batch norm's statistics again on these pictures: a folder, pattern or .txt list. Needs PyTorch.",
)


@click.command()
@models_argument
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
@click.option("-o", "--output", help="Path of the new files, without suffix; without it nothing is written.")
@size_option
@dialect_option
@format_option
def reduce(
    files: tuple[str, ...],
    keep: str,
    listed: bool,
    explicit: bool | None,
    images: str | None,
    output: str | None,
    size: Any,
    dialect: str,
    form: str,
) -> None:
    """Keep few residual blocks of a network, with their weights.

    A block is a [shortcut] with what it skips; a stage is a run of blocks of one output shape. Every reference is
    rewritten. Prints layers, parameters and operations before and after.

    \b
    Examples:
      darkshare reduce resnet152.cfg --list
      darkshare reduce resnet152.cfg resnet152.weights --keep 1,1,1,1 -o small
    """
    model = one_model(files, dialect, size=size)
    if listed and len(model.tasks) == 1:
        click.echo(render(blocks.to_rows(model.network), form) or "no residual blocks")
        return
    reduced = residual.reduce(model, keep, explicit=explicit)
    click.echo(render(totals.fewer(model.network, reduced.network), form))
    write(_measured(reduced, images if output else None, 0), output, files)


@click.command()
@models_argument
@click.option("--after", metavar="LAYER", help="The last shared layer, or 'block N', where that ends.")
@click.option("-m", "--branches", "m", type=click.IntRange(1, 1024), help="How many branches.")
@click.option(
    "--match",
    type=click.Choice(widths.MATCHES),
    default="params,flops",
    show_default=True,
    help="What stays as it was behind the shared layers; authors is RRR-Net's own rule.",
)
@click.option("--tolerance", type=SHARE, default="1%", show_default=True, help="By how much it may miss.")
@click.option("--step", type=click.IntRange(1), default=1, show_default=True, help="Widths are multiples of it.")
@click.option("--widths", type=NUMBERS, default=(), help="The widths instead, as this command prints them.")
@click.option(
    "--combine",
    type=click.Choice(branching.COMBINES),
    default="logits",
    show_default=True,
    help="What the last layers average.",
)
@click.option(
    "--init",
    type=click.Choice(thinning.INITS),
    default="slice",
    show_default=True,
    help="Where the branches' weights come from.",
)
@click.option(
    "--layout",
    type=click.Choice(branching.LAYOUTS),
    default="explicit",
    show_default=True,
    help="One behind the other, or side by side in grouped convolutions.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what is drawn.")
@recalibrate_option
@click.option("-o", "--output", help="Path of the new files, without suffix; without it nothing is written.")
@size_option
@dialect_option
@format_option
def branch(
    files: tuple[str, ...],
    after: str | None,
    m: int | None,
    images: str | None,
    output: str | None,
    size: Any,
    dialect: str,
    form: str,
    **how: Any,
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
    model = one_model(files, dialect, size=size)
    made = {key: how.pop(key) for key in ("combine", "init", "layout", "seed")}
    if after is None or m is None:
        _require_again(model)
        again = _again(model, combine=made["combine"], layout=made["layout"])
        click.echo(render(totals.both(model.network, again.network), form))
        write(_measured(again, images if output else None, model.tasks[-1].k), output, files)
        return
    plan = branching.plan_branches(model, after, m, **how)
    branched = branching.branched(plan, **made)
    rows = totals.beside(model.network, branched.network, plan)
    click.echo(render(rows + (totals.divided(plan) if form in PROGRAMS else []), form))
    numbers = ",".join(map(str, plan.fit.knobs))
    click.echo(f"shared: layers 0..{plan.after}; {m} branches of widths {numbers}", err=True)
    write(_measured(branched, images if output else None, plan.after + 1), output, files)


def _require_again(model: Model) -> None:
    """Refuse what is not an ensemble, and options that would do nothing to one.

    Raises:
        UsageError: which.
        BadValue: the model does more than one ensemble's task.
    """
    if flags(("after", "m")) or not any(task.ensemble for task in model.tasks):
        raise click.UsageError("give --after and -m; or an ensemble of branches, with its .tasks.json, and neither")
    if idle := flags(("match", "tolerance", "step", "widths", "init", "seed")):
        raise click.UsageError(f"{', '.join(idle)}: an ensemble is only laid out or averaged anew")
    if not only_ensemble(model):
        raise BadValue("does other tasks beside one ensemble's; take the ensemble out with split", file=model.name)


def _again(model: Model, *, combine: str, layout: str) -> Model:
    """The branches of an ensemble, put together anew."""
    name = only_ensemble(model)
    members = branches_of(model, name)
    parts = splice.split(model, [task.name for task in members])
    return residual.ensemble_of(parts, members[0].k - 1, name=name, combine=combine, layout=layout)


def _measured(model: Model, images: str | None, k: int) -> Model:
    """The model with the statistics of the pictures, if there are any."""
    if images is None:
        return model
    from darkshare.training.guards import require_torch
    from darkshare.training.recalibration import recalibrated

    require_torch()
    return recalibrated(model, _pictures(images), k=k)


def _pictures(name: str) -> Iterator[Picture]:
    """The pictures that a name means.

    Raises:
        DarkshareError: one that cannot be read.
    """
    from darkshare.inference.media.sources import select

    for frame in select([name]).frames():
        if frame.error is not None:
            raise frame.error
        if frame.image is None:
            raise BadValue("gives no picture", file=frame.source)
        yield frame.image
