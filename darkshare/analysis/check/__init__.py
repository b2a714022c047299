"""`check`: everything that is wrong with a cfg, its names and its weights, at once, with lines and cures.

One rule is one small function; the tables in the modules here are all there is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import get_args

from darkshare.analysis.check import heads, keys, layers, training, values, weights
from darkshare.analysis.check.problem import Problem, Rule, Severity, from_error, note, read_subject
from darkshare.darknet.cfg import Cfg, read_cfg, require_readable
from darkshare.darknet.model import Model, load, require_length, sibling, untransposed
from darkshare.darknet.network import MOST_PROBLEMS, Network, problems
from darkshare.darknet.weights import Weights, read_weights
from darkshare.darknet.wrong_size import cut_at
from darkshare.errors import DarkshareError

RULES: tuple[Rule, ...] = (*keys.RULES, *values.RULES, *layers.RULES, *heads.RULES, *training.RULES)


def check(
    cfg: str | os.PathLike[str], weights_file: str | os.PathLike[str] | None = None, *, dialect: str = "alexeyab"
) -> list[Problem]:
    """Find everything that is wrong with a model.

    Args:
        cfg: the cfg file.
        weights_file: its weights; without one, the file of the same stem beside the cfg, if there is one.
        dialect: the fork that is to run it.

    Returns:
        The cfg's problems by line, then those of the files beside it, then those of the weights.
    """
    path = Path(cfg)
    try:
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


def summary(found: Sequence[Problem]) -> str:
    """How many problems of each severity there are."""
    counts = Counter(problem.severity for problem in found)
    words = [f"{n} {name}{'s' if n > 1 else ''}" for name in get_args(Severity) if (n := counts[name])]
    return ", ".join(words) or "no problems found"


def _sibling(path: Path, suffix: str) -> Path | None:
    found = sibling(path.with_suffix(""), suffix)
    return found if found.is_file() else None


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
            load(path, dialect=dialect, sibling=False)
        except DarkshareError as found:
            yield from_error(found)
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
    in_file = [*weights.header(stored.header, network.net, dialect), *weights.body(_model(network, stored))]
    yield from (replace(found, file=stored.path) for found in in_file)


def _model(network: Network, stored: Weights) -> Model:
    return Model(network, untransposed(network, stored), ())


__all__ = ["Problem", "Severity", "check", "summary"]
