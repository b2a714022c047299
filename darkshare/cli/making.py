"""Finish every command that makes a model: write it, print its report and the next command."""

from __future__ import annotations

from darkshare.cli.hints import Made, hint, model_files
from darkshare.cli.printing import say, show, wrote
from darkshare.darknet.model import Model, save
from darkshare.darknet.typed import DATA


def finish(
    made: Model,
    *sources: Model,
    output: str | None,
    form: str,
    k: int = 0,
    data: str = DATA,
) -> None:
    """Write a model, if an output was named, and print its report.

    Args:
        made: the model.
        sources: the models that it was made from.
        output: the path of the new files without suffix; None writes nothing.
        form: how the report is printed.
        k: how many layers are the first source's.
        data: the data set that the model is for.
    """
    written = None
    if output is not None:
        if made.report is not None:
            made.report.rows()  # it may read the sources, and fail; nothing is written then
        written = save(made, output)
    if made.report is not None:
        show(made.report, form=form)
    if written is None:
        say("nothing was written; say where with -o")
    else:
        wrote(written)
        hint(Made(model_files(written), made, sources[0], k, data), form)
