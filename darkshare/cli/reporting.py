"""`report`."""

from __future__ import annotations

import click

from darkshare._files import require_unread
from darkshare.cli import command, options
from darkshare.cli.parameters import NAMED_FILE
from darkshare.cli.printing import show, wrote
from darkshare.cli.progress import watcher
from darkshare.darknet.pairing import is_of_model
from darkshare.reporting import SUFFIXES
from darkshare.reporting import report as report_on


@command()
@click.argument("paths", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights] ... [PICTURE...]")
@options.file_option(
    "-o", "--output", text="Where to write the page.", what="a web page", right=SUFFIXES, required=True
)
@click.option("--beside", multiple=True, metavar="FILE", help="A network that it was made of, or from.")
@click.option("--data", type=NAMED_FILE, multiple=True, help="Labelled pictures to evaluate a task on.")
@click.option("--sweep", metavar="FOLDER", help="Show what a sweep measured.")
@click.option("--bench", is_flag=True, help="Measure separate networks against merged, too; takes time.")
@options.size_option
@options.dialect_option
@options.format_option
def report(
    paths: tuple[str, ...], output: str, beside: tuple[str, ...], data: tuple[tuple[str, str], ...],
    sweep: str | None, bench: bool, size: tuple[int, int] | None, dialect: str, form: str,
) -> None:  # fmt: skip
    """Write one page about a network: drawing, savings, differences, proof, pictures, evaluation, inputs.

    The page is one file that opens offline, and each section names the command that gives the same alone. A merged
    model is verified against the networks that --beside names. Exit code 1 if it does not give what they give; the page
    is written all the same. Several models are drawn and compared as they would lie in one.

    \b
    Examples:
      darkshare report both.cfg -o report.html
      darkshare report both.cfg --beside base.cfg --beside text.cfg -o both.html
      darkshare report both.cfg photos/ --data text=text.data -o report.html
      darkshare report base.cfg text.cfg -o plan.html
    """
    models = options.load_all([path for path in paths if is_of_model(path)], dialect=dialect, size=size)
    others = options.load_all(beside, dialect=dialect, size=size)
    pictures = [path for path in paths if not is_of_model(path)]
    require_unread([output], (path for _, path in data))
    found = report_on(models, pictures or None, data=data, beside=others, sweep=sweep, bench=bench, watch=watcher)
    show(found, form=form)
    found.write(output)
    wrote([output])
    if found.is_wrong:
        raise click.exceptions.Exit(1)
