"""The rules by which boxes are chosen: thresholds, suppression, classes, and how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from darkshare.darknet.tasks import Task
from darkshare.errors import BadValue, meant, require_known, require_least

Levels = float | Mapping[str, float]  # one number for all tasks, or some tasks' own by name and "" for the others
Overlap = float | str | Sequence[float | str]  # a level, AGNOSTIC, or both
Overlaps = Overlap | Mapping[str, Overlap]  # likewise by task
THRESHOLD, NMS = 0.25, 0.45  # what Darknet takes (detector.c, demo.c)
AGNOSTIC = "agnostic"


class BoxRule(NamedTuple):
    """The rule by which the boxes of one task are chosen, in the order of its steps.

    Attributes:
        threshold: keep scores above it; a box counts once for each class that passes. Nothing else is ever cut off.
        class_ids: keep these classes; None for all.
        overlap: of two boxes that overlap more, keep the better one; 0 keeps all, as in Darknet.
        agnostic: whether this holds for boxes of different classes too.
        clip: cut boxes off at the edge of the picture, and leave out those that lie beyond it.
        most: keep that many, the best; None for all.
    """

    threshold: float
    class_ids: tuple[int, ...] | None
    overlap: float
    agnostic: bool
    clip: bool
    most: int | None


def rules_of(
    tasks: Sequence[Task],
    *,
    threshold: Levels = THRESHOLD,
    nms: Overlaps = NMS,
    classes: str | Sequence[str] = (),
    clip: bool = False,
    max_det: int | None = None,
) -> dict[str, BoxRule]:
    """Give each task its rule.

    Args:
        tasks: of the model.
        threshold: see `BoxRule`; one number, or some tasks' own by name: {"masks": 0.4}; others have the default.
        nms: a level, "agnostic", or both, (0.4, "agnostic"); or some tasks' own, likewise. What is given without a task
            holds for all that have not their own.
        classes: names of those to keep, in every task that has them; none for all.
        clip: see `BoxRule`.
        max_det: the most boxes of a task in a picture.

    Raises:
        BadValue: a level that does not lie between 0 and 1, a task or class that is not there, or a count below 1.
    """
    require_least(1, max_det=max_det)
    wanted = (classes,) if isinstance(classes, str) else tuple(classes)
    require_known("class", wanted, [name for task in tasks for name in task.names])
    overlaps, agnostic = _overlaps(tasks, nms)
    return {
        name: BoxRule(
            level,
            tuple(i for i, one in enumerate(task.names) if one in wanted) if wanted else None,
            overlaps[name],
            agnostic[name] > 0,
            clip,
            max_det,
        )
        for task, (name, level) in zip(tasks, levels(tasks, threshold, THRESHOLD).items(), strict=True)
    }


def levels(tasks: Sequence[Task], given: Levels, default: float) -> dict[str, float]:
    """Give each task its own threshold.

    Args:
        tasks: of the model.
        given: one number, or some tasks' own by name; "" names all others.
        default: for the others, where "" is not among them.

    Raises:
        BadValue: one that does not lie between 0 and 1, or one for a task that is not there.
    """
    named = dict(given) if isinstance(given, Mapping) else {"": given}
    known = dict.fromkeys((task.name for task in tasks), named.pop("", default))
    if unknown := [name for name in named if name not in known]:
        raise BadValue(f"unknown task {unknown[0]}; the tasks are {', '.join(known)}{meant(unknown[0], known)}")
    for value in (merged := {**known, **named}).values():
        if not 0 <= value <= 1:
            raise BadValue(f"a threshold must lie between 0 and 1, not {value}")
    return merged


def _overlaps(tasks: Sequence[Task], given: Overlaps) -> tuple[dict[str, float], dict[str, float]]:
    """Split what was given for NMS into levels, and 1 for the tasks whose classes suppress one another.

    Raises:
        BadValue: something else than levels and AGNOSTIC, or AGNOSTIC where all boxes are kept.
    """
    numbers: dict[str, float] = {}
    across: dict[str, float] = {}
    for name, one in (given if isinstance(given, Mapping) else {"": given}).items():
        words = list(one) if isinstance(one, Sequence) and not isinstance(one, str) else [one]
        found = [word for word in words if not isinstance(word, str)]
        if any(isinstance(word, str) and word != AGNOSTIC for word in words) or len(found) > 1 or not words:
            raise BadValue(f"nms is a number between 0 and 1, '{AGNOSTIC}', or both, not {one!r}")
        numbers |= dict.fromkeys([name] if found else [], *found)
        across |= {name: 1} if AGNOSTIC in words else {}
    overlaps, agnostic = levels(tasks, numbers, NMS), levels(tasks, across, 0)
    if any(agnostic.values()) and not any(overlaps[name] for name in overlaps if agnostic[name]):
        raise BadValue(f"nms 0 keeps all boxes, so '{AGNOSTIC}' would do nothing; give a level above 0")
    return overlaps, agnostic
