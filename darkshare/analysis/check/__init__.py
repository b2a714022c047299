"""Find everything that is wrong with a cfg, its names and its weights at once, with lines and cures.

One rule is one small function, listed in the RULES of its module.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from darkshare._files import exists, writing
from darkshare._files.renames import undo_killed
from darkshare._tables import Results, printable
from darkshare.analysis.check import heads, keys, layers, training, values, weights
from darkshare.analysis.check.problem import Problem, Rule, Severity, from_error, note, read_subject
from darkshare.darknet.beside import tasks_beside
from darkshare.darknet.cfg import Cfg, read_cfg, require_readable
from darkshare.darknet.kinds.heads import Boxes
from darkshare.darknet.model import Model, require_length, sibling, untransposed
from darkshare.darknet.names import read_names
from darkshare.darknet.network import MOST_PROBLEMS, Network, problems
from darkshare.darknet.pairing import pair
from darkshare.darknet.weights import Weights, read_weights
from darkshare.darknet.wrong_size import cut_at
from darkshare.errors import BadValue, DarkshareError, checked

if TYPE_CHECKING:
    from darkshare.data import Review

Watch = Callable[[Sequence[Any]], Iterable[Any]]  # that of `data`, which need not be imported for a cfg
RULES: tuple[Rule, ...] = (*keys.RULES, *values.RULES, *layers.RULES, *heads.RULES, *training.RULES)


@dataclass(frozen=True, repr=False)
class Problems(Results[Problem]):
    """Everything that is wrong with some files; a sequence with one `Problem` for each.

    Attributes:
        datasets: the numbers of the .data files.
        strict: whether warnings count as errors.
    """

    datasets: tuple[Review, ...] = ()
    strict: bool = False

    @property
    def is_fine(self) -> bool:
        """Whether nothing counts as an error."""
        fatal = ("error", "warning") if self.strict else ("error",)
        return not any(problem.severity in fatal for problem in self)

    def rows(self) -> list[dict[str, Any]]:
        return [{key: getattr(one, key) for key in ("severity", "file", "line", "message")} for one in self]

    def notes(self) -> list[str]:
        return [self.summary()]

    def text(self, form: str = "text", room: int | None = None) -> str:
        """A line for each problem, as compilers print them, or a markdown table; then the numbers of the data sets."""
        lines = [*(printable(str(one)) for one in self), self.summary()]
        found = "\n".join(lines) if form == "text" else super().text(form, room)
        return "\n\n".join(filter(None, [found, *(one.text(form, room) for one in self.datasets)]))

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"is_fine": self.is_fine, "datasets": [one.as_dict() for one in self.datasets]}

    def summary(self) -> str:
        counts = Counter(problem.severity for problem in self)
        words = [f"{n} {name}{'s' if n > 1 else ''}" for name in get_args(Severity) if (n := counts[name])]
        return ", ".join(words) or "no problems found"

    def _repr_html_(self) -> str:
        return "".join([super()._repr_html_(), *(one._repr_html_() for one in self.datasets)])


@checked
def check(
    *files: str | os.PathLike[str],
    dialect: str = "alexeyab",
    strict: bool = False,
    decode: bool = False,
    watch: Watch = iter,
) -> Problems:
    """Find everything that is wrong with models and data sets.

    Args:
        files: .cfg files, each with its .weights behind it or beside it under the same stem, and .data files.
        dialect: the fork that is to run the models.
        strict: let warnings count as errors.
        decode: decode every picture of a .data file.
        watch: goes through pictures, for a progress bar.

    Returns:
        For each model the cfg's problems by line, those of the files beside it, those of the weights; then the
        problems of the data sets.

    Raises:
        BadValue: no file, or weights before the first .cfg.
        DarkshareError: a .data file that cannot be read at all.
    """
    if not files:
        raise BadValue("give a .cfg or a .data file")
    data = [file for file in files if Path(file).suffix == ".data"]
    models = pair([file for file in files if file not in data])
    found = [problem for cfg, weights_file in models for problem in check_model(cfg, weights_file, dialect)]
    reviews = _reviews(data, models, dialect, decode, watch)
    found += [Problem("error", text, str(path), line) for one in reviews for path, line, text, _ in one.findings]
    found += [Problem("warning", text, str(path), line) for one in reviews for path, line, text, _ in one.warnings]
    return Problems(tuple(dict.fromkeys(found)), tuple(reviews), strict)


def _reviews(
    files: Sequence[str | os.PathLike[str]],
    models: Sequence[tuple[str, str | None]],
    dialect: str,
    decode: bool,
    watch: Watch,
) -> list[Review]:
    if not files:
        return []
    from darkshare.data import review  # here, because models are looked at without it
    from darkshare.data.forks import most_boxes

    most = {}
    for cfg, _ in models:
        with suppress(DarkshareError):  # which is among what is wrong with the model
            network, _errors = problems(read_cfg(cfg), dialect=dialect)
            if network and any(isinstance(layer.kind, Boxes) for layer in network.layers):
                most[f"max= of {cfg}"] = most_boxes(network)
    return [review(file, decode=decode, most_boxes=most, watch=watch) for file in files]


def check_model(cfg: str, weights_file: str | None, dialect: str) -> list[Problem]:
    """Find everything that is wrong with one model; without a weights file, with that of its stem if there is one."""
    path = Path(cfg)
    try:
        with writing(path.parent):
            undo_killed(path.parent)
        parsed = read_cfg(path)
        require_readable(parsed)
    except DarkshareError as found:  # nothing behind it can be said
        return [from_error(found)]
    network, errors = problems(parsed, dialect=dialect)
    in_cfg = list(map(from_error, errors))
    if len(errors) < MOST_PROBLEMS:
        in_cfg += _in_cfg(parsed, dialect, network, _sibling(path, ".tasks.json"))
    else:
        in_cfg.append(note(None, f"more than {MOST_PROBLEMS} errors: correct these first, the rest was not looked at"))
    in_cfg = [replace(found, file=parsed.name) for found in in_cfg]
    beside = _beside(path, weights_file or _sibling(path, ".weights"), network, dialect)
    return list(dict.fromkeys([*sorted(in_cfg, key=lambda found: found.line or 0), *beside]))


def _sibling(path: Path, suffix: str) -> Path | None:
    found = sibling(path.with_suffix(""), suffix)
    return found if exists(found) else None


def _in_cfg(cfg: Cfg, dialect: str, network: Network | None, tasks: Path | None) -> Iterator[Problem]:
    subject, errors = read_subject(cfg, dialect, network, merged=tasks is not None)
    yield from map(from_error, errors)
    for rule in RULES:
        found = rule(subject)
        yield from islice(found, MOST_PROBLEMS)
        if next(found, None):
            name = rule.__name__.replace("_", " ")
            yield note(None, f"more than {MOST_PROBLEMS} problems of one kind ({name}), the first ones are shown")


def _beside(
    path: Path, weights_file: str | os.PathLike[str] | None, network: Network | None, dialect: str
) -> Iterator[Problem]:
    """Problems of .names, .tasks.json and the weights; without a network only whether these can be read."""
    if network is not None:
        try:
            tasks_beside(path, network.cfg.sections[0], network)
        except DarkshareError as found:
            yield from_error(found)
        else:
            names = _sibling(path, ".names")
            faults = read_names(names).faults if names else ()
            yield from (Problem("warning", what, str(names), line) for line, what in faults)
    if weights_file is None:
        return
    try:
        stored = read_weights(weights_file, dialect=dialect)
    except DarkshareError as found:
        yield from_error(found)
        return
    if network is None:
        return
    try:
        require_length(network, stored, partial=False)
    except DarkshareError as found:
        yield from_error(found)
        if not cut_at(network, stored.size):
            return
    in_file = [
        *weights.fingerprint(stored.path, _sibling(path, ".tasks.json")),
        *weights.header(stored.header, network.net, dialect),
        *weights.body(_model(network, stored)),
    ]
    yield from (replace(found, file=stored.path) for found in in_file)


def _model(network: Network, stored: Weights) -> Model:
    return Model(network, untransposed(network, stored), ())


__all__ = ["Problems", "check"]
