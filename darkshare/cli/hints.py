"""The next command after each that makes something, ready to paste."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from darkshare.cli import WORDS, is_step
from darkshare.cli.printing import say
from darkshare.darknet.cut_points import illegal_cut
from darkshare.darknet.model import Model, branch_tasks, common_ensemble
from darkshare.darknet.typed import DATA, as_read_from, files_of, next_command, train_words, typed

PICTURE, BASE = "PICTURE", ("BASE.cfg", "BASE.weights")
Words = tuple[str, list[object]]


@dataclass(frozen=True)
class Made:
    """The result of a command, as far as the next one depends on it.

    Attributes:
        files: the names of the network's files, or of the one file.
        model: the network.
        base: the one that it was made from.
        k: how many of its layers are the base's.
        data: the data set that it was made for.
        picture: one to try it on.
        is_raw: whether it gives raw heads, as `detect` takes them.
    """

    files: Sequence[str | Path]
    model: Model | None = None
    base: Model | None = None
    k: int = 0
    data: str = DATA
    picture: str | Path = PICTURE
    is_raw: bool = True


def hint(made: Made, form: str = "text") -> None:
    """Print the next command on stderr, but not below JSON, which programs read."""
    name = str(click.get_current_context().info_name)
    if form != "json" and not is_step() and (found := NEXT[name](made)):
        command, words = found
        say(next_command(command, *words, of=made.model))


def again(*more: str) -> None:
    """Print the running command as it was typed, with further words that are not among them."""
    context = click.get_current_context()
    if is_step() and context.parent:
        context = context.parent
    words = context.meta[WORDS]
    end = words.index("--") if "--" in words else len(words)  # behind that, all are files
    added = (word for word in more if word not in words)
    say(f"next: darkshare {typed(context.info_name, *words[:end], *added, *words[end:])}")


def model_files(paths: Iterable[Path]) -> list[Path]:
    """The cfg and the weights among files that were written."""
    return [path for path in paths if path.suffix in (".cfg", ".weights")]


def _use(made: Made) -> Words:
    """Look at a picture with it; without weights, at the network itself."""
    if made.model is None or made.model.weights is None:
        return "info", [*made.files]
    if not made.is_raw:
        return "engines", [*files_of(made.model)]
    classifies = all(map(made.model.classifies, made.model.tasks))
    return "classify" if classifies else "detect", [*made.files, made.picture]


def _measure(made: Made) -> Words:
    """Measure it, since nobody knows how good a mixture is."""
    assert made.model is not None
    alone = len(made.model.tasks) == 1 and made.model.weights is not None
    return ("evaluate", [*made.files, made.data]) if alone else _use(made)


def _join(made: Made) -> Words:
    """Merge all with their base; where that has not all its weights or the trunk is not its own, look at a picture."""
    base, model = made.base, made.model
    if not (made.k and base and model and base.weights and base.loaded == len(base.network.layers)):
        return _use(replace(made, files=made.files[:2]))
    own, size = base.network.input, model.network.input
    sizes = [] if (own.w, own.h) == (size.w, size.h) else ["--size", f"{size.w}x{size.h}"]
    output = "both" if Path(made.files[0]).stem != "both" else "merged"
    return "concat", [*files_of(base), *made.files, "--k", made.k, *sizes, "-o", output]


def _train(made: Made) -> Words:
    """Train it: a detector with weights from the layer that is to be chosen, everything else as a whole."""
    assert made.model is not None
    model = made.model
    if model.weights and not made.k and not model.classifies(model.tasks[0]) and len(model.tasks) == 1:
        return "suggest-k", [*made.files, made.data]
    return _train_from(made)


def _train_from(made: Made) -> Words:
    assert made.model is not None
    model, ensemble = made.model, common_ensemble(made.model)
    voted = bool(ensemble) and (
        model.classifies(model.tasks[0]) or len(model.tasks) > len(branch_tasks(model, ensemble))
    )
    if len(model.tasks) > 1 and not voted:
        return _use(made)
    known = as_read_from(model, *map(str, made.files))
    return "train", train_words(known, made.k if model.weights else 0, "trained", made.data)


def _classes(made: Made) -> Words:
    """Train new classes; use those that are known."""
    from darkshare.surgery.classes import ClassChange

    report = made.model and made.model.report
    return _train(made) if isinstance(report, ClassChange) and None in report.now.rows else _use(made)


def _cut(made: Made) -> Words:
    """Train what lies behind the cut, where a network can be cut there."""
    assert made.model is not None
    whole = illegal_cut(made.model.network, made.k) is None
    return _train_from(made) if whole else ("info", [made.files[0]])


def _choose(made: Made) -> Words:
    """Choose a k for a base on the data; where that has too little for it, look at the data."""
    return ("suggest-k", [*BASE, made.data]) if made.k else ("check", [made.data])


NEXT: dict[str, Callable[[Made], Words]] = {
    "concat": _use,
    "verify": _use,
    "split": _use,
    "cut": _cut,
    "mix": _measure,
    "snap": _join,
    "export": _use,
    "import-weights": _use,
    "import-data": _choose,
    "classes": _classes,
    "anchors": _train,
    "train": _join,
    "add-task": _use,
    "sweep": _join,
    "suggest-k": _train_from,
    "reduce": _train_from,
    "branch": _train_from,
    "demo": _use,
}
