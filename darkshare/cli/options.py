"""What the commands share: how they take models, and the options that mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from darkshare._tables import FORMATS
from darkshare.darknet.kinds.base import DIALECTS
from darkshare.darknet.model import Model, load

F = TypeVar("F", bound=Callable[..., Any])


class Files(NamedTuple):
    """One model as given on the command line."""

    cfg: str
    weights: str | None


def pair(paths: Sequence[str]) -> list[Files]:
    """Sort file names into models.

    Each .cfg starts a model; a .weights behind it is that model's; a further .weights is another model
    with the same cfg. A .cfg without one takes the file of the same stem, if there is one (see `load`).
    """
    found: list[Files] = []
    for path in paths:
        suffix = Path(path).suffix
        if suffix == ".cfg":
            found.append(Files(path, None))
        elif suffix != ".weights" and not found:
            raise click.UsageError(f"{path}: expected a .cfg file first, then its .weights")
        elif not found:
            raise click.UsageError(f"{path}: give the .cfg that these weights belong to before it")
        elif found[-1].weights is None:
            found[-1] = Files(found[-1].cfg, path)
        else:
            found.append(Files(found[-1].cfg, path))
    return found


def load_all(paths: Sequence[str], **how: Any) -> list[Model]:
    """Load the models that the file names mean."""
    return [load(cfg, weights, **how) for cfg, weights in pair(paths)]


def models_argument(function: F) -> F:
    """`FILES...`: one or more models."""
    return click.argument("files", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights] ...")(function)


def dialect_option(function: F) -> F:
    return click.option(
        "--dialect",
        type=click.Choice(DIALECTS),
        default=DIALECTS[0],
        show_default=True,
        help="The Darknet fork whose reading decides where the forks differ.",
    )(function)


def asked(name: str) -> bool:
    """Whether an option of the running command was given, be it with the value of its default."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def flags(names: Sequence[str]) -> list[str]:
    """Those of the running command's options that were given, as they are typed."""
    command = click.get_current_context().command
    return [param.opts[0] for param in command.params if param.name in names and asked(param.name)]


def format_option(function: F) -> F:
    return click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="text",
        show_default=True,
        help="How rows are printed; JSON is complete and alone on stdout.",
    )(function)


def size_option(function: F) -> F:
    return click.option(
        "--size", type=SizeType(), help="Input size WIDTHxHEIGHT, or one number, instead of the cfg's."
    )(function)


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """`416` or `416x320`."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, by, height = str(value).lower().partition("x")
        try:
            return int(width), int(height if by else width)
        except ValueError:
            self.fail(f"{value!r} is no size; write 416 or 416x320", param, ctx)
