"""Which classes a detector or classifier is to have: kept, left out, put in another order, renamed, added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from darkshare.darknet.initial import Initial, never_detected
from darkshare.darknet.kinds import Region, Softmax
from darkshare.darknet.model import Model
from darkshare.darknet.tasks import Task
from darkshare.data import read_names
from darkshare.errors import BadValue, DarkshareError, Unsupported, warn
from darkshare.surgery.heads import pad_to_union, unpad, with_classes


class Classes(NamedTuple):
    """The classes that a detector is to have.

    Attributes:
        names: what to call them, by their new ids.
        rows: for each of them the class that it was, None for a new one.
    """

    names: tuple[str, ...]
    rows: tuple[int | None, ...]


def edited(
    names: Sequence[str],
    *,
    keep: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    add: Sequence[str] = (),
) -> Classes:
    """Edit a list of classes. A class is called by its name, or by its number where no name is so.

    Args:
        names: the classes now.
        keep: these, in this order; all of them without it.
        drop: not these.
        rename: new names for old ones.
        add: new classes behind the others.

    Raises:
        BadValue: a class that there is not, one that is both kept and dropped, a name given twice, or none left.

    >>> edited(["person", "bus", "car"], keep=["car", "person"], rename={"car": "vehicle"}, add=["logo"])
    Classes(names=('vehicle', 'person', 'logo'), rows=(2, 0, None))
    """
    left = list(range(len(names))) if keep is None else [_id_of(name, names) for name in keep]
    dropped = {_id_of(name, names) for name in drop}
    if both := dropped.intersection(left if keep is not None else ()):
        raise BadValue(f"class {names[min(both)]!r} is both kept and dropped; say one of them")
    left = [row for row in left if row not in dropped]
    new = {_id_of(old, names): name for old, name in (rename or {}).items()}
    if gone := new.keys() - set(left):
        raise BadValue(f"class {names[min(gone)]!r} is renamed, but not kept; keep it, or leave the new name out")
    rows = (*left, *[None] * len(add))
    return _distinct(Classes((*(new.get(row, names[row]) for row in left), *add), rows))


def matched(names: Sequence[str], wanted: Sequence[str]) -> Classes:
    """These classes in this order: those of the same name are kept, the others are new.

    Raises:
        BadValue: a name given twice, or none.

    >>> matched(["person", "bus", "car"], ["car", "logo"])
    Classes(names=('car', 'logo'), rows=(2, None))
    """
    return _distinct(Classes(tuple(wanted), tuple(names.index(n) if n in names else None for n in wanted)))


def afresh(wanted: Sequence[str]) -> Classes:
    """These classes, all of them new.

    Raises:
        BadValue: a name given twice, or none.
    """
    return _distinct(Classes(tuple(wanted), (None,) * len(wanted)))


def wanted_names(path: str | Path) -> tuple[str, ...]:
    """The class names in a file, one in each line.

    Raises:
        DarkshareError: it cannot be read, is empty, or its lines are not names.
    """
    names, findings = read_names(path)
    if findings or not names:
        wrong = findings[0].text if findings else "holds no class names; write one in each line"
        raise DarkshareError(wrong, file=str(path), line=findings[0].line if findings else None)
    return names


def relabelled(model: Model, classes: Classes, *, task: str | None = None, initial: Initial = never_detected) -> Model:
    """Change the classes of a task in all its heads; boxes and scores of the classes that stay are the same.

    Args:
        model: the model; without weights only cfg and names change.
        classes: what it is to have.
        task: the task's name; a model of one task needs none.
        initial: the weights of new classes; without it no box ever has them.

    Raises:
        Unsupported: a head whose classes cannot be changed, or that belongs to another task too; an ensemble, whose
            classes only get other names.
        BadValue: there is no such task.
    """
    own = task_of(model, task)
    if own.ensemble:
        return _renamed(model, own.ensemble, classes)
    _require_own_heads(model, own)
    kept = sorted(row for row in classes.rows if row is not None)
    fewer = kept and kept != list(range(len(own.names)))
    if fewer and initial is never_detected and _is_softmax(model, own):  # others are to be trained
        warn(f"{model.name}: a softmax shares its scores out among the classes: without some, the others' scores grow")
    padded = own.padded
    model = unpad(model)
    for head in own.heads:
        model = with_classes(model, head, classes.rows, initial=initial)
    changed = replace(own, names=classes.names, padded=False, offset=0, files={}, sha256={})
    tasks = tuple(changed if other.name == own.name else other for other in model.tasks)
    model = replace(model, tasks=tasks)
    return pad_to_union(model) if padded else model


def _renamed(model: Model, ensemble: str, classes: Classes) -> Model:
    """An ensemble whose tasks all have these names for the classes that they had."""
    own = [task for task in model.tasks if task.ensemble == ensemble]
    if classes.rows != tuple(range(len(own[0].names))):
        raise Unsupported(
            f"{model.name}: the branches of the ensemble {ensemble} have the same classes, which can be renamed only; "
            "change them before `darkshare branch`"
        )
    named = {task.name: replace(task, names=classes.names, files={}, sha256={}) for task in own}
    return replace(model, tasks=tuple(named.get(task.name, task) for task in model.tasks))


def task_of(model: Model, name: str | None) -> Task:
    """The task of this name, or the only one.

    Raises:
        BadValue: there is none, or there are several and no name says which.
    """
    known = ", ".join(task.name for task in model.tasks)
    if name is None and len(model.tasks) > 1:
        raise BadValue(f"does several tasks ({known}); say which one is meant", file=model.name)
    found = [task for task in model.tasks if name in (None, task.name)]
    if not found:
        raise BadValue(f"has no task {name}; it does {known}", file=model.name)
    return found[0]


def _require_own_heads(model: Model, own: Task) -> None:
    for head in own.heads:
        layer = model.network.layers[head]
        others = [task.name for task in model.tasks if task is not own and head in task.heads]
        if others:
            raise Unsupported(f"{model.name}: {layer.label} cannot be changed: it belongs to {others[0]} as well")
        found, wanted = layer.classes, len(own.names)
        if not own.padded and found not in (0, wanted):
            raise Unsupported(
                f"{model.name}: {layer.label} cannot be changed: it has {found} classes, but there are {wanted} names"
            )


def _is_softmax(model: Model, own: Task) -> bool:
    kinds = [model.network.layers[head].kind for head in own.heads]
    return any(isinstance(kind, Softmax) or (isinstance(kind, Region) and kind.softmax) for kind in kinds)


def _id_of(name: str, names: Sequence[str]) -> int:
    if name in names:
        return list(names).index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    raise BadValue(f"there is no class {name!r}; the classes are {shown}")


def _distinct(classes: Classes) -> Classes:
    if not classes.names:
        raise BadValue("no class would be left; a detector needs at least one")
    if twice := [name for name, count in Counter(classes.names).items() if count > 1]:
        raise BadValue(f"class {twice[0]!r} would be there twice; give the names once, and other names to new classes")
    if bad := [name for name in classes.names if not name.strip() or name != name.strip() or "\n" in name]:
        raise BadValue(f"class name {bad[0]!r} cannot stand in a .names file: one name in each line, no blanks around")
    return classes
