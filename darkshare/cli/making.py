"""Finish every command that makes a model: write it, and print its report."""

from __future__ import annotations

from collections.abc import Iterable

from darkshare.cli.options import inputs
from darkshare.cli.printing import say, show, wrote
from darkshare.darknet.model import Model, save


def finish(made: Model, *sources: Model, output: str | None, form: str, others: Iterable[str | None] = ()) -> None:
    """Write a model, if an output was named, and print its report.

    Args:
        made: the model.
        sources: the models that it was made from, whose files may not be replaced.
        output: the path of the new files without suffix; None writes nothing.
        form: how the report is printed.
        others: further files that may not be replaced.
    """
    written = None
    if output is not None:
        written = save(made, output, protect=[*inputs(*sources), *(path for path in others if path)])
    if made.report is not None:
        show(made.report, form=form)
    if written is None:
        say("nothing was written; say where with -o")
    else:
        wrote(written)
