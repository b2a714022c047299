"""`classify`."""

from __future__ import annotations

from typing import Any

import click

from darkshare.cli import command
from darkshare.cli.options import choice_option, dialect_option, format_option, size_option
from darkshare.cli.printing import say, show
from darkshare.cli.running import end, frames_options, progress_of, sorted_paths, tell_error
from darkshare.inference.classification import MEANS
from darkshare.inference.media import classify as classify_pictures


@command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights]|MODEL.onnx|MODEL.xml PICTURE...")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to print.")
@click.option("--branches", is_flag=True, help="Of an ensemble, what each branch thinks as well.")
@choice_option("--mean", MEANS, "How an ensemble votes, see above.", MEANS[0])
@frames_options
@size_option
@dialect_option
@format_option
def classify(paths: tuple[str, ...], dialect: str, size: Any, form: str, **how: Any) -> None:
    """Name what pictures show, by every classifier of a model, in one pass.

    A picture may be a file, a folder, a pattern in quotes, a .txt list, a video, or - for standard input, as for
    detect. The middle of each is used, as in Darknet. An ensemble that branch made gives its vote; --branches
    adds each branch. --mean file is the vote that the file computes, or else softmax: the mean of the branches'
    probabilities; logits is the mean of what enters their softmax. Tasks that find boxes are for detect.

    \b
    Examples:
      darkshare classify signs.cfg signs.weights hand.jpg
      darkshare classify ensemble.cfg photos/ --branches --top 1 --format csv
      darkshare classify ensemble.cfg photos/ --engine onnxruntime --mean softmax
    """
    model, sources = sorted_paths(paths, dialect=dialect, size=size)
    found = classify_pictures(model, sources, **how, watch=progress_of(with_speed=False), tell=tell_error)
    show(found, form=form)
    say(found.summary())
    end(found)
