"""The command line: it carries models and rows to and from files; everything else is the library's."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import warnings
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import click

from darkshare._files import keeping_inputs
from darkshare._signals import stoppable, stopped
from darkshare._tables import printable
from darkshare._version import __version__
from darkshare.errors import BadArguments, DarkshareError, DarkshareWarning

_FULL = (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT)  # what the system says when a program cannot write on
_MEGAPIXELS = "DARKSHARE_MAX_MEGAPIXELS"  # a variable of the environment; see `_images.limits`
WORDS = "darkshare.words"  # the words of the running command, as they were typed, among what click keeps of it


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from darkshare.cli.progress import say_above  # not needed for --help

    say_above(f"Note: {message}")


# Where each command lives, and its line in the list of commands. A module is imported when a command of it runs:
# `info` starts without what `detect` needs, and the list without any of them.
COMMANDS = {
    "info": ("inspection", "Print the layers as Darknet does, with parameters and costs."),
    "draw": ("inspection", "Draw a network: trunk, branches, heads, costs, layer by layer."),
    "check": ("inspection", "Find everything that is wrong with a model or a data set."),
    "stats": ("analysis", "Measure how far models differ, layer by layer."),
    "frozen": ("analysis", "Tell whether the first k layers of models are identical."),
    "concat": ("splicing", "Splice networks that share their first k layers into one."),
    "verify": ("engines", "Prove that a merged network gives what its parts give."),
    "split": ("splicing", "Take a merged network apart again."),
    "cut": ("splicing", "Write the weights of the first k layers."),
    "detect": ("running", "Find the objects of every task in pictures and videos."),
    "classify": ("classifying", "Name what pictures show, by every classifier of a model."),
    "engines": ("engines", "List the engines here, and time a network on each."),
    "bench": ("engines", "Time separate networks against the merged one."),
    "savings": ("budget", "Count what networks save that share their first k layers."),
    "mix": ("blending", "Mix the weights of two models, by layer or by ratio."),
    "snap": ("blending", "Put the base's trunk back under a retrained model."),
    "export": ("exporting", "Write a model as an ONNX file, in fp32, fp16 or int8."),
    "import-data": ("data", "Make Darknet's files from Pascal VOC, COCO and others."),
    "classes": ("retraining", "Change the classes of a detector without training."),
    "anchors": ("retraining", "Find the anchors that fit a data set."),
    "kit": ("retraining", "Write what stock Darknet needs to train from layer k on."),
    "train": ("training", "Train a network from layer k on."),
    "evaluate": ("evaluating", "Measure mean average precision, or top-1 and top-5."),
    "sweep": ("choosing", "Train for several k, and show what each costs and saves."),
    "suggest-k": ("choosing", "Guess how many layers to share, without training."),
    "reduce": ("residual", "Keep few residual blocks of a network."),
    "branch": ("residual", "Divide the tail of a network among thin branches."),
    "demo": ("demo", "Merge two tiny detectors and draw what both find."),
}


def _end(error: OSError) -> NoReturn:
    """Say what the system refused, if that can be said, and end with exit code 1."""
    where = f"{error.filename}: " if error.filename else "output: " if error.errno in _FULL else ""
    with contextlib.suppress(OSError):
        if error.errno != errno.EPIPE:  # nobody reads any more, and nobody wants to be told
            click.echo(f"Error: {printable(f'{where}{error.strerror or error}')}", err=True)
    for handle, stream in enumerate((sys.stdout, sys.stderr), 1):
        try:
            stream.flush()
        except OSError:  # noqa: PERF203 - two streams; Python would try again at its end, and say so in many lines
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), handle)
    sys.exit(1)


class Command(click.Command):
    """A command that refuses an option that is given twice where only one of its values would count."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        *_, order = self.make_parser(ctx).parse_args(list(args))
        single = [one for one in order if isinstance(one, click.Option) and not (one.multiple or one.is_eager)]
        if again := next((one for one in single if single.count(one) > 1), None):
            raise click.UsageError(f"{' / '.join(again.opts)} is given {single.count(again)} times; give it once", ctx)
        return super().parse_args(ctx, args)


command = partial(click.command, cls=Command)


class Commands(click.Group):
    """The one place where a `DarkshareError` becomes a message and exit code 1, and Ctrl-C another one."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"darkshare.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(self, *args: Any, **how: Any) -> Any:
        """Run, and write out what is still held back; a full disk or too few file handles are one line, too."""
        try:
            try:
                return super().main(*args, **how)
            finally:
                if sys.stdout:
                    sys.stdout.flush()
        except OSError as error:
            _end(error)

    def invoke(self, ctx: click.Context) -> Any:
        # FFmpeg's and OpenCV's own words on broken files stay off the terminal: we say what is wrong.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # names of files and classes can hold what it cannot encode
                stream.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings(), keeping_inputs(), stoppable():
                warnings.simplefilter("always", DarkshareWarning)
                warnings.showwarning = _print_warning
                return super().invoke(ctx)
        except BadArguments as error:
            raise click.UsageError(printable(str(error))) from None
        except DarkshareError as error:
            raise click.ClickException(printable(str(error))) from None
        except KeyboardInterrupt:
            code, word = stopped()
            click.echo(word, err=True)
            raise click.exceptions.Exit(code) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="darkshare")
@click.option(
    "--max-megapixels", type=click.FloatRange(0, 10**6, min_open=True), default=128.0, envvar=_MEGAPIXELS,
    show_default=True, help="Pictures and frames that are larger are not decoded.",
)  # fmt: skip
def main(max_megapixels: float) -> None:
    """Splice Darknet networks that share their first layers into one, and run it.

    \b
    A model is a .cfg file, its .weights behind it or beside it (same stem):
      darkshare concat base.cfg text.cfg --k 74 -o both
      darkshare detect both.cfg photo.jpg -o out
    """
    os.environ[_MEGAPIXELS] = str(max_megapixels)  # for threads and child processes, too
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(int(max_megapixels * 1e6))  # should it read a header differently
