"""Matching of a data set's classes with those of a task: by name, and never guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from darkshare._tables import printable
from darkshare.darknet.names import ids_of
from darkshare.errors import BadValue, meant

_SHOWN = 5  # names in a message


class Matched(NamedTuple):
    """The task's class for each class of a data set.

    Attributes:
        classes: for each class of the data set the task's class, or -1 for one that is left out.
        notes: about classes that were left out, renamed or not labelled.
    """

    classes: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def counted(self) -> tuple[int, ...]:
        """The task's classes that the data set has labels for."""
        return tuple(sorted({i for i in self.classes if i >= 0}))


def match_classes(
    task: str, names: Sequence[str], data: str, given: Sequence[str], map: Mapping[str, str], *, by_order: bool
) -> Matched:
    """Find the task's class for each class of a data set.

    Args:
        task: its name, for messages.
        names: its classes.
        data: the data set's name, for messages.
        given: the data set's classes.
        map: the task's class for some of the data set's, where the names differ; "" leaves that class out.
        by_order: take equal numbers for equal classes, whatever their names.

    Raises:
        BadValue: classes that the task does not know, names that stand there twice, or a wrong mapping.
    """
    if by_order:
        if len(names) != len(given):
            raise BadValue(f"{task} has {len(names)} classes and {data} has {len(given)}: they do not match by order")
        differ = tuple(
            f"{listed([b])} is counted as {listed([a])}" for a, b in zip(names, given, strict=True) if a != b
        )
        return Matched(tuple(range(len(names))), differ)
    _require_unique(task, names)
    _require_unique(data, given)
    ids, there = ids_of(names), ids_of(given)
    if missing := [name for name in map if name not in there]:
        near = meant(missing[0], given)
        raise BadValue(f"{data} has no class {listed(missing)} to be counted otherwise; it has {listed(given)}{near}")
    if strange := [name for name in map.values() if name and name not in ids]:
        raise BadValue(f"{task} has no class {listed(strange)}; it has {listed(names)}{meant(strange[0], names)}")
    wanted = [map.get(name, name) for name in given]
    if unknown := [name for name, other in zip(given, wanted, strict=True) if other and other not in ids]:
        name, same = _alike(unknown, [one for one in names if one not in wanted])
        raise BadValue(
            f"{data} has classes that {task} does not know: {listed(unknown)}; {task} has {listed(names)}: say which "
            f"is which with --map '{name}={same or 'CLASS'}', or leave it out with --map '{name}='"
        )
    classes = tuple(ids[name] if name else -1 for name in wanted)
    return Matched(classes, tuple(_notes(task, names, data, given, classes)))


def _alike(unknown: Sequence[str], free: Sequence[str]) -> tuple[str, str]:
    """The first name that is written otherwise alone, and what it is then; else the first one, and nothing.

    Names that are merely near each other may mean the opposite: mask and no mask, male and female, car and cat.
    """

    def written(name: str) -> str:
        return "".join(filter(str.isalnum, name.casefold())).removesuffix("s")

    same = {written(name): name for name in free if written(name)}
    return next(((name, same[written(name)]) for name in unknown if written(name) in same), (unknown[0], ""))


def _notes(task: str, names: Sequence[str], data: str, given: Sequence[str], classes: Sequence[int]) -> list[str]:
    notes = []
    if out := [name for name, i in zip(given, classes, strict=True) if i < 0]:
        notes.append(f"{listed(out)} of {data} {'is' if len(out) == 1 else 'are'} left out")
    moved = ((name, names[i]) for name, i in zip(given, classes, strict=True) if i >= 0 and names[i] != name)
    if pairs := [f"{name} as {other}" for name, other in moved]:
        notes.append(f"counted under another name: {listed(pairs)}")
    kept = [i for i in classes if i >= 0]
    if kept != sorted(kept):
        notes.append(f"the classes of {data} have another order than those of {task}; they are matched by name")
    labelled = set(kept)
    if unlabelled := [name for i, name in enumerate(names) if i not in labelled]:
        do = "do" if len(unlabelled) > 1 else "does"
        notes.append(f"{data} has no labels for {listed(unlabelled)} of {task}, which {do} not count")
    return notes


def _require_unique(owner: str, names: Sequence[str]) -> None:
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise BadValue(f"{owner} has several classes called {listed(twice)}: rename them, or match by --by-order")


def listed(names: Sequence[str]) -> str:
    """Names in a message: the first, and how many more."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(printable(name) for name in names[:_SHOWN]) + more
