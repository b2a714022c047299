"""Options that mean the same in every command, and the loading of models from file names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from darkshare._files import is_folder, require_promise
from darkshare._tables import FORMATS
from darkshare.cli import WORDS
from darkshare.cli.parameters import NUMBERS, SIZE, TILES, Written
from darkshare.darknet import pairing
from darkshare.darknet.kinds.base import DIALECTS
from darkshare.darknet.model import Model, load, stem_of
from darkshare.darknet.typed import typed
from darkshare.errors import BadValue, DarkshareError, WeightsSize

if TYPE_CHECKING:
    from darkshare._figures import Look

F = TypeVar("F", bound=Callable[..., Any])
Files = pairing.Files
_LOOK = "darkshare.look"  # the look of figures, among what click keeps of the running command


def pair(paths: Sequence[str]) -> list[Files]:
    """Sort file names into models; see `darknet.pairing`."""
    try:
        return pairing.pair(paths)
    except BadValue as error:
        raise click.UsageError(str(error)) from None


def load_all(paths: Sequence[str], **how: Any) -> list[Model]:
    """Load the models that the file names mean."""
    files = pair(paths)
    try:
        return [load(cfg, weights, **how) for cfg, weights in files]
    except WeightsSize as error:
        error.message += _with_cfgs(files, how)
        raise


def _with_cfgs(files: Sequence[Files], how: Mapping[str, Any]) -> str:
    """The running command with the cfgs that its weights files need, if these lie beside them; else nothing."""
    context = click.get_current_context(silent=True)
    cfgs = {one.weights: one.cfg for one in files if one.weights}
    own = {one: str(Path(one).with_suffix(".cfg")) for one, cfg in cfgs.items() if not _fits(cfg, one, how)}
    if context is None or not own or not all(_fits(cfg, weights, how) for weights, cfg in own.items()):
        return ""
    words: list[str] = []
    current = ""
    for word in context.meta.get(WORDS, ()):
        if word in cfgs and current != (current := own.get(word, cfgs[word])):
            words.append(current)
        words.append(word)
        if word == files[0].cfg and files[0].weights in own and _fits(word, None, how):
            words.append(str(Path(word).with_suffix(".weights")))
        if word in cfgs.values():
            current = word
    return f"; next: darkshare {typed(context.info_name, *words)}"


def _fits(cfg: str, weights: str | None, how: Mapping[str, Any]) -> bool:
    """Whether a cfg can be read with these weights, or without any with those beside it."""
    try:
        return load(cfg, weights, **how).weights is not None
    except DarkshareError:
        return False


def one_model(paths: Sequence[str], **how: Any) -> Model:
    """Load the one model that a command takes."""
    cfg, weights = one_pair(paths)
    return load(cfg, weights, **how)


def one_pair(paths: Sequence[str]) -> Files:
    """The files of the one model that a command takes."""
    found = pair(paths)
    if len(found) != 1:
        raise click.UsageError(f"give one model; {len(found)} were given")
    return found[0]


def inputs(*models: Model) -> list[str]:
    """The files that models were read from, which nothing may replace."""
    return [path for model in models for path in (model.name, model.weights.path if model.weights else "") if path]


def models_argument(function: F) -> F:
    """`FILES...`: one or more models."""
    return click.argument("files", nargs=-1, required=True, metavar="MODEL.cfg [MODEL.weights] ...")(function)


def choice_option(name: str, known: Iterable[str], text: str, default: str | None = None) -> Callable[[F], F]:
    """An option that takes one of a few words."""
    return click.option(name, type=click.Choice(list(known)), default=default, show_default=True, help=text)


def dialect_option(function: F) -> F:
    text = "The Darknet fork whose reading decides where the forks differ."
    return choice_option("--dialect", DIALECTS, text, DIALECTS[0])(function)


def several_option(name: str, kind: Written, **how: Any) -> Callable[[F], F]:
    """An option with any number of values: separated by commas, given again, or both."""
    return click.option(name, type=kind, multiple=True, callback=_joined, **how)


def _joined(_: click.Context, __: click.Parameter, values: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(one for several in values for one in several)


def keyed_option(name: str, kind: Written, **how: Any) -> Callable[[F], F]:
    """An option for several names, whose value for each of them is given once."""
    return click.option(name, type=kind, multiple=True, callback=_distinct, **how)


def _distinct(_: click.Context, __: click.Parameter, values: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
    names = [name for name, _ in values]
    if again := [name for name in names if names.count(name) > 1]:
        raise click.BadParameter(f"is given {len(again)} times {again[0] and f'for {again[0]}'}".strip())
    return values


def k_option(text: str, **how: Any) -> Callable[[F], F]:
    """`--k` of everything that takes more than one."""
    return several_option("--k", NUMBERS, help=text, **how)


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
    return click.option("--size", type=SIZE, help="Input size WIDTHxHEIGHT, or one number, instead of the cfg's.")(
        function
    )


def output_option(
    default: str | None = None, text: str = "the new files: their path without suffix.", *, is_file: bool = False
) -> Callable[[F], F]:
    """`-o` of what is written under a stem; a command that writes one file looks at its name itself."""
    return _output("FILE" if is_file else "STEM", text, default, callback=None if is_file else _stem)


def folder_option(default: str | None, text: str, **how: Any) -> Callable[[F], F]:
    """`-o` of what is written into a folder."""
    return _output("FOLDER", text, default, callback=_folder, **how)


def _output(metavar: str, text: str, default: str | None, **how: Any) -> Callable[[F], F]:
    """`-o`, which means the same everywhere: the place of what the command makes."""
    shown, text = default is not None, f"Where to write {text}"
    return click.option("-o", "--output", metavar=metavar, default=default, show_default=shown, help=text, **how)


def _stem(_: click.Context, __: click.Parameter, path: str | None) -> str | None:
    """Refuse a name that promises another format before minutes are spent."""
    if path is not None:
        stem_of(path)
    return path


def _folder(_: click.Context, __: click.Parameter, path: Any) -> Any:
    if path is not None and not is_folder(path):
        require_promise(path, "a folder")
    return path


def file_option(*names: str, text: str, what: str, right: Sequence[str], **how: Any) -> Callable[[F], F]:
    """An option that names a file to write, of one format."""

    def check(_: click.Context, __: click.Parameter, path: str | None) -> str | None:
        if path:
            require_promise(path, what, *right)
        return path

    return click.option(*names, metavar="FILE", callback=check, help=text, **how)


new_files_option = output_option(text="the new files: their path without suffix; nothing without it.")


def plot_option(text: str, *names: str, multiple: bool = False) -> Callable[[F], F]:
    """`--plot`, and the options of the figure's look, which `figure_look` gives."""
    from darkshare._figures import LARGEST, NARROWEST, SMALLEST, WIDEST

    help_text = f"{text} Into .png, .svg or .pdf."
    looks = (
        ("--width", click.FloatRange(NARROWEST, WIDEST), "INCHES", "Of the figure."),
        ("--font-size", click.FloatRange(SMALLEST, LARGEST), "POINTS", "Of its numbers and labels."),
        ("--title", str, "TEXT", "Above it, in place of its own; '' for none."),
    )

    def decorate(function: F) -> F:
        for name, kind, metavar, about in reversed(looks):
            function = click.option(
                name, type=kind, metavar=metavar, help=about, expose_value=False, callback=_keep_look
            )(function)
        return click.option("--plot", *names, metavar="FILE", multiple=multiple, callback=_figure, help=help_text)(
            function
        )

    return decorate


def _keep_look(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Note an option of a figure's look; refuse it where no figure is drawn."""
    if value is None:
        return
    if not any(word.partition("=")[0] == "--plot" for word in context.meta.get(WORDS, ("--plot",))):
        raise click.UsageError(f"{option.opts[0]} is about figures: add --plot FILE")
    context.meta.setdefault(_LOOK, {})[option.name] = value


def figure_look() -> Look:
    """The look of figures that the running command was given."""
    found: Look = click.get_current_context().meta.get(_LOOK, {})
    return found


def _figure(_: click.Context, __: click.Parameter, given: Any) -> Any:
    """Refuse names that no figure can have before minutes are spent; `given` is one path, or several."""
    for path in filter(None, [given] if isinstance(given, str) else given or ()):
        from darkshare._figures import figure_format

        figure_format(path)
    return given


def seed_option(text: str) -> Callable[[F], F]:
    return click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help=text)


def images_option(text: str) -> Callable[[F], F]:
    return click.option("--images", multiple=True, metavar="PHOTOS", help=f"{text} A folder, 'pattern', list, file.")


side_option = click.option(
    "--side", metavar="ladder[:C|:P%]", help="Own layers beside the trunk: C wide, or of P % of the FLOPs."
)


def threads_option(text: str = "To compute with.  [default: the engine's choice]") -> Callable[[F], F]:
    return click.option("--threads", type=click.IntRange(1), help=text)


def engine_option(
    default: str | tuple[str, ...] | None = "opencv",
    *,
    names: Sequence[str] = (),
    multiple: bool = False,
    text: str = "What computes.",
) -> Callable[[F], F]:
    """`--engine`: one or, where `multiple`, several of these, or of all."""
    from darkshare.inference.engines import NAMES

    shown = default is not None
    kind = click.Choice(list(names or NAMES))
    return click.option("--engine", type=kind, multiple=multiple, default=default, show_default=shown, help=text)


def precision_option(function: F) -> F:
    """`--precision` of the multiplications."""
    from darkshare.inference.engines import PRECISIONS

    return choice_option("--precision", PRECISIONS, "To compute in.", "fp32")(function)


def bn_epsilon_option(function: F) -> F:
    """`--bn-epsilon` of everything that folds batch norm."""
    from darkshare.inference.onnx import BN_EPSILON

    text = "Of batch norm; OpenCV 4's own importer has 1e-6."
    return click.option("--bn-epsilon", type=float, default=BN_EPSILON, show_default=True, help=text)(function)


def rounds_option(text: str) -> Callable[[F], F]:
    """`--rounds` of everything that is timed."""
    from darkshare.inference.engines.timing import FEWEST, ROUNDS

    return click.option("--rounds", type=click.IntRange(FEWEST), default=ROUNDS, show_default=True, help=text)


def batch_option(function: F) -> F:
    """`--batch` of everything that runs over pictures."""
    text = "Pictures per run of the network."
    return click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help=text)(function)


def tiles_options(function: F) -> F:
    """`--tiles` and `--overlap` of everything that finds boxes in pictures."""
    from darkshare.inference.boxes import OVERLAP

    share = click.FloatRange(0, 1, max_open=True)
    text = "Share of a tile that its neighbour has too."
    overlap = click.option("--overlap", type=share, default=OVERLAP, show_default=True, help=text)
    tiles = click.option(
        "--tiles",
        type=TILES,
        metavar="CxR",
        help="Columns x rows of tiles to look at beside the whole picture, for small objects.",
    )
    return tiles(overlap(function))


def chunk_options(function: F) -> F:
    """`--chunk` and `--scheduler` of everything that looks at pictures by chunks."""
    from darkshare.inference.media.chunks import CHUNK

    text = f"Pictures of a chunk, which is a file of its own; the same command goes on.  [with --scheduler: {CHUNK}]"
    chunk = click.option("--chunk", type=click.IntRange(1), metavar="N", help=text)
    scheduler = click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster that looks at the chunks.")
    return chunk(scheduler(function))


def running_options(engine: str | None = None, text: str = "What computes.") -> Callable[[F], F]:
    """Give the options of everything that runs a network over pictures."""

    def decorate(function: F) -> F:
        options = (
            batch_option,
            bn_epsilon_option,
            engine_option(engine, text=text),
            threads_option(),
            precision_option,
        )
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
