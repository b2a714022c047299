"""`stats` and `frozen`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from darkshare._files import require_promise, require_unread
from darkshare._tables import SUFFIXES
from darkshare.analysis.differences import Differences
from darkshare.analysis.layer_tensors import SPACES
from darkshare.cli import command, options
from darkshare.cli.parameters import SPAN
from darkshare.cli.printing import noted, show
from darkshare.cli.progress import bar
from darkshare.darknet.model import Model

_LONG = 400_000_000  # floats; fewer are compared in a second or two


@command()
@options.models_argument
@options.choice_option(
    "--space", SPACES, "The values of the files, or batch norm folded into kernels and biases.", SPACES[0]
)
@click.option("--elementwise", is_flag=True, help="Also the spread over single weights; takes longer.")
@click.option("--bn-epsilon", type=float, default=1e-5, show_default=True, help="Of batch norm, in the folded space.")
@options.format_option
@options.output_option(text="the rows, in place of stdout.", is_file=True)
@options.plot_option("Draw box plots.", "plots", multiple=True)
@options.file_option(
    "--html", text="Write a page with the figures and the rows.", what="a web page", right=(".html", ".htm")
)
@options.k_option("Mark this many shared layers in figures.")
@click.option("--log", is_flag=True, help="Logarithmic axis in --plot.")
@click.option("--layers", type=SPAN, help="Show these alone in --plot.")
@options.dialect_option
def stats(
    files: tuple[str, ...],
    space: str,
    elementwise: bool,
    bn_epsilon: float,
    form: str,
    output: str | None,
    plots: tuple[str, ...],
    html: str | None,
    k: tuple[int, ...],
    log: bool,
    layers: tuple[int, int] | None,
    dialect: str,
) -> None:
    """Measure how far models differ from the first one: per layer, biases, weights and batch norm, relative to it.

    `relative` is ||other-base|| / ||base||; the quartiles and whiskers are those of the same ratio per filter.
    One model alone: its own norms, ranges, zeros and dead filters.

    \b
    Examples:
      darkshare stats yolov3.cfg yolov3.weights logo.weights text.weights
      darkshare stats yolov3.cfg text.cfg --space folded --format csv -o rows.csv
      darkshare stats yolov3.cfg logo.cfg --plot logo.png --k 74
      darkshare stats yolov3.cfg yolov3.weights
    """
    from darkshare.analysis.stats import stats

    if output:
        _require_form(output, form)
    models = options.load_all(files, dialect=dialect, partial=True)
    _require_sense(models, output, [*plots, *([html] if html else [])], marked=bool(k or log or layers))
    with _progress(models, long=elementwise) as shown:
        found = stats(
            *models, space=space, elementwise=elementwise, bn_epsilon=bn_epsilon, progress=shown and shown.update
        )
    show(found, form=form, output=output)
    if isinstance(found, Differences):
        for path in plots:
            found.plot(path, k=k, log=log, layers=layers, **options.figure_look())
        if html:
            found.write_html(html, k=k)
        noted([*plots, *([html] if html else [])])


@command()
@options.models_argument
@options.k_option("Leading layers, for all or one for each; the longest identical run without it.")
@options.dialect_option
@options.format_option
def frozen(files: tuple[str, ...], k: tuple[int, ...], dialect: str, form: str) -> None:
    """Whether the first k layers of further models are the first model's, bit for bit. Exit code 1 if not.

    Prints every tensor that moved, by how much, and what probably happened to it. Input sizes may differ.

    \b
    Examples:
      darkshare frozen yolov3.cfg yolov3.weights text.cfg text.weights --k 74
      darkshare frozen base.cfg base.weights retrained.weights
    """
    from darkshare.analysis.frozen import frozen

    models = options.load_all(files, dialect=dialect, partial=True)
    if len(models) < 2:
        raise click.UsageError("give the model to compare with the first one, or its .weights")
    found = frozen(*models, k=k)
    show(found, form=form)
    if not found.is_frozen:
        raise click.exceptions.Exit(1)


def _require_form(output: str, form: str) -> None:
    """Refuse a file whose name promises another form of the rows."""
    of_suffix = {suffix: name for name, suffix in SUFFIXES.items()}
    wanted = of_suffix.get(Path(output).suffix.lower())
    require_promise(output, f"rows as {form}", SUFFIXES[form], ".txt", cure=f"say --format {wanted}" if wanted else "")


def _require_sense(models: Sequence[Model], output: str | None, figures: Sequence[str], *, marked: bool) -> None:
    """Refuse options that would have no effect, and outputs that would replace an input."""
    if marked and not figures:
        raise click.UsageError("--k, --log and --layers are about figures: add --plot FILE")
    if figures and len(models) == 1:
        raise click.UsageError("a figure compares models: give at least two")
    require_unread(filter(None, [output, *figures]))


def _progress(models: Sequence[Model], *, long: bool) -> AbstractContextManager[Any]:
    """A progress bar on stderr, where somebody looks and it takes long."""
    floats = models[0].network.params * (len(models) - 1)
    return bar(floats) if floats >= _LONG / (10 if long else 1) else nullcontext()
