"""`completion`, and what stands behind the words that a shell completes: files, tasks and classes."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

from darkshare.cli import command
from darkshare.cli.progress import put
from darkshare.errors import DarkshareError

VARIABLE = "_DARKSHARE_COMPLETE"  # by which a script asks
_SUFFIXES = {  # of the files that a metavar names, before a model is on the line and behind it
    "cfg": (r"\.cfg", r"\.cfg"),
    "weights": (None, r"\.(weights|backup|conv\.\d+)"),
    "csv": (None, r"\.csv"),
    "pt": (None, r"\.pth?"),
    **{suffix: (rf"\.{suffix}", rf"\.{suffix}") for suffix in ("data", "names", "onnx", "xml")},
}
_OF_TASKS = {"task": "", "thresh": "=", "nms": "="}  # options that take the name of a task, and what stands behind it
_OF_CLASSES = {"classes": "", "keep": "", "drop": "", "rename": "="}
_NAMED_FILES = {"data": ("data",), "beside": ("cfg", "weights")}  # [TASK=]FILE
_UNQUOTED = re.compile(r"[^\w./~=,:+@%-]")
Complete = Callable[[click.Context, str], Sequence[str | CompletionItem]]


@command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print the script by which a shell completes what you type behind darkshare.

    That is commands, options and their words, the files that fit (a .cfg, then its weights, data sets, pictures), and
    the tasks and classes of the models on the line.

    \b
    Examples:
      eval "$(darkshare completion bash)"    # in ~/.bashrc
      eval "$(darkshare completion zsh)"     # in ~/.zshrc, behind compinit
      darkshare completion fish > ~/.config/fish/completions/darkshare.fish
    """
    from darkshare.cli import main

    found = get_completion_class(shell)
    assert found is not None
    put(found(main, {}, "darkshare", VARIABLE).source())


@add_completion_class
class Bash(BashComplete):
    """Click's, with names quoted as they are typed, and no blank behind a folder or an equals sign."""

    source_template = BashComplete.source_template.replace(
        "complete -o nosort", "complete -o nosort -o nospace"
    ).replace("read type", "read -r type")

    def format_completion(self, item: CompletionItem) -> str:
        """A line for the script."""
        if item.type != "plain":
            return super().format_completion(item)
        begun = os.environ["COMP_WORDS"].splitlines()[int(os.environ["COMP_CWORD"]) :]
        if begun and begun[0].startswith(("'", '"')):
            return f"plain,{item.value}"
        text = _UNQUOTED.sub(r"\\\g<0>", item.value)
        return f"plain,{text}{'' if text.endswith(('/', '=')) else ' '}"


class Completed(click.ParamType):  # type: ignore[type-arg]
    """The type of a parameter, with what may stand there."""

    def __init__(self, own: click.ParamType, complete: Complete) -> None:  # type: ignore[type-arg]
        self.name, self._own, self._complete = own.name, own, complete

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value by the type itself."""
        return self._own.convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The words that may stand there."""
        found = self._complete(ctx, incomplete)
        return [one if isinstance(one, CompletionItem) else CompletionItem(one) for one in found]


def prepare(one: click.Command) -> None:
    """Give each parameter of a command the completion that its name or its metavar calls for."""
    for param in one.params:
        if not isinstance(param.type, Completed) and (found := _of(param)):
            param.type = Completed(param.type, found)


def _of(param: click.Parameter) -> Complete | None:
    name, metavar = str(param.name), param.metavar or ""
    if isinstance(param, click.Option):
        if name in _OF_TASKS and not isinstance(param.type, click.FloatRange):  # evaluate's is one for all tasks
            return partial(_names, _tasks, _OF_TASKS[name])
        if name in _OF_CLASSES:
            return partial(_names, _classes, _OF_CLASSES[name])
        if name in _NAMED_FILES and not metavar:
            return partial(_named_files, _NAMED_FILES[name])
        if metavar in ("STEM", "FILE", "PATH", "PHOTOS", "IMAGES", "SOURCE"):
            return partial(_by_shell, "file")
        if metavar == "FOLDER":
            return partial(_by_shell, "dir")
    suffixes = re.findall(r"\.([a-z]+)", metavar)
    if "TASK=" in metavar:
        return partial(_files_of_tasks, suffixes)
    return partial(_files_of, suffixes, bool(re.search(r"SOURCE|PICTURE\b", metavar))) if suffixes else None


def _by_shell(kind: str, _: click.Context, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type=kind)]


def _files_of(
    suffixes: Sequence[str], takes_any: bool, ctx: click.Context, incomplete: str
) -> Sequence[str | CompletionItem]:
    """Files with the suffixes of a metavar; any, where pictures stand behind the model."""
    given = set(_given(ctx))
    is_behind = any(Path(path).suffix in (".cfg", ".onnx", ".xml") for path in given)
    if is_behind and takes_any:
        return _by_shell("file", ctx, incomplete)
    patterns = [pattern for suffix in suffixes if (pattern := _SUFFIXES[suffix][is_behind])]
    return [path for path in _files(patterns, incomplete) if path not in given]


def _files_of_tasks(suffixes: Sequence[str], ctx: click.Context, incomplete: str) -> Sequence[str | CompletionItem]:
    """Files of the model, and behind the name of a task what tells of it."""
    task, equals, begun = incomplete.rpartition("=")
    found = _files_of(suffixes, False, ctx, begun)
    return [f"{task}{equals}{path}" for path in found] if equals else found


def _named_files(suffixes: Sequence[str], ctx: click.Context, incomplete: str) -> list[str]:
    task, equals, begun = incomplete.rpartition("=")
    patterns = [str(_SUFFIXES[suffix][1]) for suffix in suffixes]
    files = [f"{task}{equals}{path}" for path in _files(patterns, begun)]
    return files if equals else [*_names(_tasks, "=", ctx, incomplete), *files]


def _files(patterns: Sequence[str], begun: str) -> list[str]:
    """The files and folders that a name may become; what a folder holds, if it is the only one."""
    folder, name = os.path.split(begun)
    ends = re.compile(f"({'|'.join(patterns)})$")
    found: list[str] = []
    with suppress(OSError, ValueError), os.scandir(Path(folder).expanduser()) as entries:
        for one in sorted(entries, key=lambda entry: entry.name):
            if one.name.startswith(name) and (name or not one.name.startswith(".")):
                path = os.path.join(folder, one.name)  # noqa: PTH118 - Path drops ./
                found += [f"{path}/"] if one.is_dir() else [path] if ends.search(one.name) else []
    if len(found) == 1 and found[0].endswith("/"):
        return _files(patterns, found[0]) or found
    return found


def _names(
    known: Callable[[click.Context], Iterator[str]], behind: str, ctx: click.Context, incomplete: str
) -> list[str]:
    """Names for the last of those that commas separate."""
    before, comma, begun = incomplete.rpartition(",")
    names = dict.fromkeys(known(ctx))
    return [f"{before}{comma}{name}{behind}" for name in names if name.startswith(begun)]


def _given(ctx: click.Context) -> Sequence[str]:
    """The files on the line; where an option waits for its value, click has not sorted them."""
    return ctx.params.get("files") or ctx.params.get("paths") or ctx.args


def _models(ctx: click.Context) -> Iterator[Any]:
    """The models on the line, as far as they can be read, without their weights."""
    from darkshare.darknet.model import load
    from darkshare.inference.onnx.reading import read_exported

    dialect = ctx.params.get("dialect") or "alexeyab"
    for path in _given(ctx):
        with suppress(DarkshareError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.endswith(".cfg"):
                yield load(path, dialect=dialect, sibling=False)
            elif path.endswith((".onnx", ".xml")):
                yield read_exported(path).model


def _tasks(ctx: click.Context) -> Iterator[str]:
    for model in _models(ctx):
        yield from (task.name for task in model.tasks)


def _classes(ctx: click.Context) -> Iterator[str]:
    for model in _models(ctx):
        yield from (name for task in model.tasks for name in task.names)
