"""Change the classes of a data set: keep, rename or join them, and make them the same in all of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from darkshare.darknet.names import ids_of
from darkshare.data.types import Box, ClassifiedDataset, Dataset
from darkshare.errors import require_known

DIFFICULT = ("list", "keep", "drop")
Parts = Mapping[str, Dataset]


def united(parts: Parts) -> dict[str, Dataset]:
    """The parts with the same classes: those of the first, then what others have beside them."""
    ids = ids_of(dict.fromkeys(name for part in parts.values() for name in part.names))
    return {key: _renumbered(part, [ids[name] for name in part.names], tuple(ids)) for key, part in parts.items()}


def alike(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The names that differ from one before them in capitals or blanks only, and that one; single letters may."""
    first: dict[str, str] = {}
    for name in names:
        before = first.setdefault("".join(name.lower().split()), name)
        if before != name and len(name) > 1:
            yield name, before


def with_classes(
    parts: Parts, keep: Sequence[str] = (), rename: Mapping[str, str] | None = None, single: str | None = None
) -> dict[str, Dataset]:
    """The parts with other classes. Boxes of classes that are not kept go; the pictures stay.

    Args:
        parts: that have the same classes.
        keep: the classes to keep, as they are called after renaming, in the order wanted; none for all.
        rename: new names by old ones; classes that get the same name become one.
        single: one name for all that is kept.

    Raises:
        BadValue: a class is not among them.
    """
    before = next(iter(parts.values())).names
    require_known("class", rename or {}, before)
    new = [(rename or {}).get(name, name) for name in before]
    require_known("class", keep, new)
    wanted = ids_of(dict.fromkeys(keep or new))
    names, ids = tuple(wanted), [wanted.get(name) for name in new]
    if single:
        names, ids = (single,), [None if index is None else 0 for index in ids]
    return {key: _renumbered(part, ids, names) for key, part in parts.items()}


def in_order(data: Dataset | ClassifiedDataset, names: Sequence[str]) -> Dataset | ClassifiedDataset:
    """The same pictures with the same classes, numbered as in `names`, which must be the same in any order."""
    if data.names == tuple(names):
        return data
    by_name = ids_of(names)
    ids = [by_name[name] for name in data.names]
    if isinstance(data, ClassifiedDataset):
        samples = tuple(sample._replace(class_id=ids[sample.class_id]) for sample in data.samples)
        return replace(data, names=tuple(names), samples=samples)
    moved = _mapped(data, lambda boxes: tuple(box._replace(class_id=ids[box.class_id]) for box in boxes))
    return replace(moved, names=tuple(names))


def with_difficult(parts: Parts, way: str) -> dict[str, Dataset]:
    """The parts with their difficult boxes left as they are ("list"), made boxes as all ("keep"), or gone ("drop")."""

    def eased(boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        if way == "keep":
            return tuple(dict.fromkeys(box._replace(difficult=False) for box in boxes))
        return tuple(box for box in boxes if not box.difficult)

    return dict(parts) if way == "list" else {key: _mapped(part, eased) for key, part in parts.items()}


def without_negatives(parts: Parts) -> dict[str, Dataset]:
    """The parts without the pictures on which nothing is to be found."""
    return {key: replace(part, samples=tuple(s for s in part.samples if s.boxes)) for key, part in parts.items()}


def _renumbered(part: Dataset, ids: Sequence[int | None], names: tuple[str, ...]) -> Dataset:
    def renumbered(boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        new = (box._replace(class_id=index) for box in boxes if (index := ids[box.class_id]) is not None)
        return tuple(dict.fromkeys(new))

    return replace(_mapped(part, renumbered), names=names)


def _mapped(part: Dataset, change: Callable[[tuple[Box, ...]], tuple[Box, ...]]) -> Dataset:
    return replace(part, samples=tuple(sample._replace(boxes=change(sample.boxes)) for sample in part.samples))
