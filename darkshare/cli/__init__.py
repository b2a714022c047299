"""The command line: it carries models and rows to and from files; everything else is the library's."""

from __future__ import annotations

import io
import sys
import warnings
from importlib import import_module
from typing import Any

import click

from darkshare import __version__
from darkshare._tables import printable
from darkshare.errors import DarkshareError, DarkshareWarning


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"Note: {message}", err=True)


# Where each command lives. Its module is imported when it runs: `info` starts without what `detect` needs.
PLACES = {
    "info": "inspection",
    "check": "inspection",
    "stats": "analysis",
    "frozen": "analysis",
    "concat": "splicing",
    "split": "splicing",
    "cut": "splicing",
    "detect": "running",
    "classify": "classifying",
    "engines": "engines",
    "bench": "engines",
    "savings": "budget",
    "mix": "blending",
    "snap": "blending",
    "export": "exporting",
    "import-data": "data",
    "classes": "retraining",
    "anchors": "retraining",
    "kit": "retraining",
    "train": "training",
    "evaluate": "evaluating",
    "sweep": "choosing",
    "suggest-k": "guessing",
    "reduce": "residual",
    "branch": "residual",
    "demo": "demo",
}


class Commands(click.Group):
    """The one place where a `DarkshareError` becomes a message and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*PLACES, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PLACES:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"darkshare.cli.{PLACES[cmd_name]}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found

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
