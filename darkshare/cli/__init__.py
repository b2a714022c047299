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
from time import perf_counter
from typing import Any, NoReturn, TextIO

import click

from darkshare._files import keeping_inputs
from darkshare._signals import stoppable, stopped
from darkshare._tables import printable
from darkshare._version import __version__
from darkshare.errors import BadArguments, DarkshareError, DarkshareWarning, meant

_FULL = (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT)  # what the system says when a program cannot write on
_MEGAPIXELS = "DARKSHARE_MAX_MEGAPIXELS"  # a variable of the environment; see `_images.limits`
WORDS = "darkshare.words"  # the words of the running command, as they were typed, among what click keeps of it


def is_step() -> bool:
    """Whether the running command is a step of another one, which was typed."""
    above = click.get_current_context().parent
    return above is not None and above.parent is not None


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from darkshare.cli.progress import say_above  # not needed for --help

    say_above(f"Note: {message}", always=True)


# Where each command lives, and its line in the list of commands. A module is imported when a command of it runs:
# `info` starts without what `detect` needs, and the list without any of them.
GROUPS = {
    "Start": {
        "demo": ("demo", "Merge three tiny detectors and draw what they find."),
        "completion": ("completing", "Print the script by which a shell completes words."),
    },
    "Look": {
        "info": ("inspection", "Print the layers as Darknet does, with their costs."),
        "draw": ("inspection", "Draw a network: trunk, branches, heads, costs."),
        "check": ("inspection", "Find all that is wrong with a model or a data set."),
        "stats": ("analysis", "Measure how far models differ, layer by layer."),
        "frozen": ("analysis", "Tell whether the first k layers are identical."),
        "git-diff": ("versions", "Tell git what changed in weights and cfgs."),
        "savings": ("budget", "Count what networks save that share k layers."),
        "report": ("reporting", "Write one page of all that, with pictures and proof."),
    },
    "Merge": {
        "concat": ("splicing", "Splice networks that share their first layers."),
        "verify": ("engines", "Prove that a merged network gives what its parts do."),
        "split": ("splicing", "Take a merged network apart again."),
        "mix": ("blending", "Mix the weights of two models, by layer or ratio."),
        "snap": ("blending", "Put the base's trunk back under a retrained model."),
    },
    "Train": {
        "import-data": ("data", "Make Darknet's files from Pascal VOC, COCO, others."),
        "suggest-k": ("choosing", "Guess how many layers to share, without training."),
        "anchors": ("retraining", "Find the anchors that fit a data set."),
        "classes": ("retraining", "Change a detector's classes without training."),
        "train": ("training", "Train a network from layer k on."),
        "add-task": ("adding", "Teach a network a further task, step by step."),
        "evaluate": ("evaluating", "Measure mean average precision, or top-1 and top-5."),
        "sweep": ("choosing", "Train for several k; show what each costs and saves."),
        "plan": ("choosing", "Choose k for several tasks within a budget."),
        "cut": ("splicing", "Write the weights of the first k layers."),
        "kit": ("retraining", "Write what stock Darknet needs to train from k on."),
    },
    "Run": {
        "detect": ("running", "Find every task's objects in pictures and videos."),
        "classify": ("classifying", "Name what pictures show, by every classifier."),
    },
    "Ship": {
        "export": ("exporting", "Write a model as ONNX, in fp32, fp16 or int8."),
        "import-weights": ("importing", "Make .weights of ONNX or PyTorch weights."),
        "engines": ("engines", "List the engines here; time a network on each."),
        "bench": ("engines", "Time separate networks against the merged one."),
    },
    "Backbones": {
        "reduce": ("residual", "Keep few residual blocks of a network."),
        "branch": ("residual", "Divide a network's tail among thin branches."),
    },
}
ALIASES = {"merge": "concat", "predict": "detect", "val": "evaluate"}  # what other programs call it
COMMANDS = {name: found for group in GROUPS.values() for name, found in group.items()}


def _is_unread(stream: TextIO) -> bool:
    """Whether a stream is a pipe at whose other end nobody reads any more."""
    import select

    with contextlib.suppress(OSError, AttributeError):  # a stream without a file, a system without poll
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    return False


def _end(error: OSError, unread: int = 1) -> NoReturn:
    """End with a line on what the system refused; in silence if nobody reads the output any more, with that code."""
    is_unread = error.errno == errno.EPIPE and any(map(_is_unread, (sys.stdout, sys.stderr)))
    if not is_unread:
        where = f"{error.filename}: " if error.filename else "output: " if error.errno in _FULL else ""
        with contextlib.suppress(OSError):
            click.echo(f"Error: {printable(f'{where}{error.strerror or error}')}", err=True)
    for handle, stream in enumerate((sys.stdout, sys.stderr), 1):
        try:
            stream.flush()
        except OSError:  # noqa: PERF203 - two streams; Python would try again at its end, and say so in many lines
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), handle)
    sys.exit(unread if is_unread else 1)


def _hush(ctx: click.Context, _: click.Parameter, is_given: bool) -> None:
    if is_given:
        from darkshare.cli.progress import QUIET

        ctx.meta[QUIET] = True


def _tell(ctx: click.Context, _: click.Parameter, is_given: bool) -> None:
    if is_given:
        from darkshare.cli.printing import tell

        ctx.call_on_close(partial(tell, perf_counter()))


GENERAL = tuple(  # options of every command
    click.Option(names, is_flag=True, expose_value=False, callback=callback, help=text)
    for names, callback, text in (
        (["-q", "--quiet"], _hush, "Print results, errors and warnings only."),
        (["-v", "--verbose"], _tell, "Say which files were read, and how long it took."),
    )
)


_GENERAL = ("--dialect", "--format", "--quiet", "--verbose", "--help")  # they stand at the end of each help


class Command(click.Command):
    """A command that refuses an option that is given twice where only one of its values would count."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, those of every command, and --help."""
        *own, ask = super().get_params(ctx)
        return [*own, *GENERAL, ask]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what is the command's own first, and behind it, in one section, what all commands have."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        general = [one for name in _GENERAL for one in options if name in one.opts]
        own = [one for one in options if one not in general]
        for title, listed in (("Options", own), ("General", general)):
            if shown := list(filter(None, (one.get_help_record(ctx) for one in listed))):
                with formatter.section(title):
                    formatter.write_dl(shown)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say what others call it."""
        if others := [f"darkshare {alias}" for alias, name in ALIASES.items() if name == self.name]:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(f"Also: {', '.join(others)}")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # a shell asks; two values of an option are none of its business
            from darkshare.cli.completing import prepare

            prepare(self)
            return super().parse_args(ctx, args)
        ctx.meta.setdefault(WORDS, list(args))  # a step of a guided command was not typed
        *_, order = self.make_parser(ctx).parse_args(list(args))
        single = [one for one in order if isinstance(one, click.Option) and not (one.multiple or one.is_eager)]
        if again := next((one for one in single if single.count(one) > 1), None):
            raise click.UsageError(f"{' / '.join(again.opts)} is given {single.count(again)} times; give it once", ctx)
        return super().parse_args(ctx, args)


_HELP = {"help_option_names": ["-h", "--help"]}  # of each command, since click keeps what it was first asked for
command = partial(click.command, cls=Command, context_settings=_HELP)


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name or by what others call it; of another word, say what is near it."""
        name = ALIASES.get(args[0], args[0])
        if ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name):
            return super().resolve_command(ctx, [name, *args[1:]])
        next_one = f"; next: darkshare info {name}" if name.endswith(".cfg") else ""
        near = next_one or meant(name, [*COMMANDS, *ALIASES])
        raise click.UsageError(f"there is no command {name!r}{near}", ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, and the options behind them."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, group by group, without importing them."""
        width = max(map(len, COMMANDS))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), text) for name, (_, text) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """The commands with their lines, without importing them; of an option, click's own answer."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]

    def main(self, *args: Any, **how: Any) -> Any:
        """Run, and write out what is still held back; a full disk or too few file handles are one line, too."""
        if "_DARKSHARE_COMPLETE" in os.environ:
            import darkshare.cli.completing  # noqa: F401 - tells click of our bash
        try:
            try:
                return super().main(*args, **how)
            finally:
                if sys.stdout:
                    sys.stdout.flush()
        except OSError as error:
            _end(error)

    def make_context(self, *args: Any, **how: Any) -> click.Context:
        """Read the words before the command; click takes an output that nobody reads for a failure."""
        try:
            return super().make_context(*args, **how)
        except BrokenPipeError as error:
            _end(error, 0)

    def invoke(self, ctx: click.Context) -> Any:
        # FFmpeg's and OpenCV's own words on broken files stay off the terminal: we say what is wrong.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        os.environ["MPLBACKEND"] = "agg"  # figures are files; a notebook's backend may be missing where darkshare is
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # names of files and classes can hold what it cannot encode
                stream.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings(), keeping_inputs(), stoppable():
                warnings.simplefilter("always", DarkshareWarning)
                warnings.showwarning = _print_warning
                return super().invoke(ctx)
        except BrokenPipeError as error:
            _end(error, 0)
        except BadArguments as error:
            raise click.UsageError(printable(str(error))) from None
        except DarkshareError as error:
            raise click.ClickException(printable(str(error))) from None
        except KeyboardInterrupt:
            code, word = stopped()
            click.echo(word, err=True)
            raise click.exceptions.Exit(code) from None


@click.group(cls=Commands, context_settings=_HELP)
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
