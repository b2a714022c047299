"""The command line: it carries models and rows to and from files; everything else is the library's."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Any

import click

from darkshare import __version__
from darkshare.cli import demo, inspection, running, splicing
from darkshare.errors import DarkshareError, DarkshareWarning
from darkshare.report import printable


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Note: {message}", err=True)


class Commands(click.Group):
    """The one place where a `DarkshareError` becomes a message and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # names of files and classes can hold what it cannot encode
                stream.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", DarkshareWarning)
                warnings.showwarning = _print_warning
                return super().invoke(ctx)
        except DarkshareError as error:
            raise click.ClickException(printable(str(error))) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="darkshare")
def main() -> None:
    """Splice Darknet networks that share their first layers into one, and run it.

    \b
    A model is a .cfg file, with its .weights behind it or beside it under the same stem:
      darkshare concat base.cfg text.cfg --k 74 -o both
      darkshare detect both.cfg photo.jpg -o out
    """


main.add_command(inspection.info)
main.add_command(inspection.check)
main.add_command(splicing.concat)
main.add_command(splicing.split)
main.add_command(splicing.cut)
main.add_command(running.detect)
main.add_command(demo.demo)
