"""Change the classes of a detector or classifier: keep, leave out, put in another order, rename, add."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from darkshare._tables import Result
from darkshare.darknet.initial import Initial, drawn, never_detected
from darkshare.darknet.kinds import Region, Softmax
from darkshare.darknet.model import Model
from darkshare.darknet.names import ids_of
from darkshare.darknet.tasks import Task
from darkshare.data import read_names
from darkshare.errors import BadArguments, BadValue, DarkshareError, Unsupported, checked, meant, require_choice, warn
from darkshare.surgery.heads import pad_to_union, unpad, with_classes

INITS = ("silent", "random")
NamesFile = str | os.PathLike[str]


class Classes(NamedTuple):
    """The classes that a detector is to have.

    Attributes:
        names: what to call them, by their new ids.
        rows: for each of them the class that it was, None for a new one.
    """

    names: tuple[str, ...]
    rows: tuple[int | None, ...]


@dataclass(frozen=True, repr=False)
class ClassChange(Result):
    """The classes of a task, with the class that each one was.

    Attributes:
        before: the names that the task had.
        now: the classes that it has.
    """

    before: tuple[str, ...]
    now: Classes

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"class": at, "name": name, "was": row, "old_name": "new" if row is None else self.before[row]}
            for at, (name, row) in enumerate(zip(*self.now, strict=True))
        ]

    def summary(self) -> str:
        return f"{len(self.now.names)} instead of {len(self.before)} classes"


@checked
def classes(
    model: Model,
    *,
    keep: str | Sequence[str] = (),
    drop: str | Sequence[str] = (),
    rename: str | Sequence[str] | Mapping[str, str] = (),
    add: str | Sequence[str] = (),
    names: NamesFile | Sequence[str] | None = None,
    fresh: NamesFile | Sequence[str] | None = None,
    task: str | None = None,
    init: str | None = None,
    seed: int = 0,
) -> Model:
    """Change the classes of a task in all its heads; boxes and scores of the classes that stay are the same.

    A class is called by its name, or by its number where no class has that name.

    Args:
        model: the model; without weights only cfg and names change.
        keep: these classes only, in this order; a text may hold several names with commas between them.
        drop: not these.
        rename: new names by old ones, or texts like `car=vehicle`.
        add: new classes behind the others.
        names: all classes instead, or a file with one in each line; the same names stay, others are new.
        fresh: likewise, but all of them are new.
        task: the task's name; a model of one task needs none.
        init: the weights of new classes: `silent`, so that no box ever has them, or `random`, which is the default
            with `fresh`.
        seed: of random weights.

    Returns:
        The changed model, or the model itself where nothing changes. Its report is a `ClassChange`.

    Raises:
        BadArguments: `names` or `fresh` with each other or with edits.
        BadValue: no such task or class, or a name that is there twice.
        Unsupported: a head whose classes cannot be changed.
        DarkshareError: a file that does not hold names.
    """
    own = model.task(task)
    if (names is not None) + (fresh is not None) + bool(keep or drop or rename or add) > 1:
        raise BadArguments("--from and --fresh each say all classes; leave the other options out")
    if names is not None:
        chosen = matched(own.names, _read(names))
    elif fresh is not None:
        chosen = afresh(_read(fresh))
    else:
        kept = _separated(keep, own.names) if keep else None
        if not isinstance(rename, Mapping):
            rename = _renamings(_texts(rename), own.names)
        chosen = edited(own.names, keep=kept, drop=_separated(drop, own.names), rename=rename, add=_texts(add))
    if init is None:
        init = "silent" if fresh is None else "random"
    require_choice("init", init, INITS)
    if chosen != edited(own.names):
        initial = drawn(seed) if init == "random" else never_detected
        model = relabelled(model, chosen, task=own.name, initial=initial)
    return replace(model, report=ClassChange(own.names, chosen))


def _read(given: NamesFile | Sequence[str]) -> tuple[str, ...]:
    return wanted_names(given) if isinstance(given, str | os.PathLike) else tuple(given)


def _texts(given: str | Sequence[str]) -> Sequence[str]:
    return [given] if isinstance(given, str) else given


def _separated(given: str | Sequence[str], names: Sequence[str]) -> list[str]:
    """Names from texts with commas between them; a name may hold a comma itself."""
    return [part for text in _texts(given) for part in ([text] if text in names else text.split(","))]


def _renamings(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    pairs = [_renaming(text, names) for text in texts]
    if again := [old for old, _ in pairs if sum(old == other for other, _ in pairs) > 1]:
        raise BadValue(f"class {again[0]!r} is renamed {len(again)} times; say one of them")
    return dict(pairs)


def _renaming(text: str, names: Sequence[str]) -> tuple[str, str]:
    whole = next((name for name in names if text.startswith(f"{name}=")), "")  # a name may hold an = itself
    old, equals, new = (whole, "=", text[len(whole) + 1 :]) if whole else text.partition("=")
    if not (equals and new):
        raise BadValue(f"--rename {text!r} does not say OLD=NEW")
    return old, new


def edited(
    names: Sequence[str],
    *,
    keep: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    add: Sequence[str] = (),
) -> Classes:
    """Edit a list of classes. A class is called by its name, or by its number where no class has that name.

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
    ids = ids_of(names)
    left = list(range(len(names))) if keep is None else [_id_of(name, names, ids) for name in keep]
    dropped = {_id_of(name, names, ids) for name in drop}
    if both := dropped.intersection(left if keep is not None else ()):
        raise BadValue(f"class {names[min(both)]!r} is both kept and dropped; say one of them")
    left = [row for row in left if row not in dropped]
    new = {_id_of(old, names, ids): name for old, name in (rename or {}).items()}
    if gone := new.keys() - set(left):
        raise BadValue(f"class {names[min(gone)]!r} is renamed, but not kept; keep it, or leave the new name out")
    rows = (*left, *[None] * len(add))
    return _distinct(Classes((*(new.get(row, names[row]) for row in left), *add), rows))


def matched(names: Sequence[str], wanted: Sequence[str]) -> Classes:
    """Take the wanted classes in their order: those of the same name are kept, the others are new.

    Raises:
        BadValue: a name given twice, or none.

    >>> matched(["person", "bus", "car"], ["car", "logo"])
    Classes(names=('car', 'logo'), rows=(2, None))
    """
    return _distinct(Classes(tuple(wanted), tuple(map(ids_of(names).get, wanted))))


def afresh(wanted: Sequence[str]) -> Classes:
    """Take the wanted classes, all of them as new ones.

    Raises:
        BadValue: a name given twice, or none.
    """
    return _distinct(Classes(tuple(wanted), (None,) * len(wanted)))


def wanted_names(path: NamesFile) -> tuple[str, ...]:
    """Read a file of class names, one in each line.

    Raises:
        DarkshareError: it cannot be read, is empty, or its lines are not names.
    """
    names, findings = read_names(path)
    if findings or not names:
        wrong = findings[0].text if findings else "holds no class names; write one in each line"
        raise DarkshareError(wrong, file=str(path), line=findings[0].line if findings else None)
    return names


def relabelled(model: Model, chosen: Classes, *, task: str | None = None, initial: Initial = never_detected) -> Model:
    """Change the classes of a task in all its heads; boxes and scores of the classes that stay are the same.

    Args:
        model: the model; without weights only cfg and names change.
        chosen: the classes that it is to have.
        task: the task's name; a model of one task needs none.
        initial: the weights of new classes; without it no box ever has them.

    Raises:
        Unsupported: a head whose classes cannot be changed, or that belongs to another task too; an ensemble, whose
            classes only get other names.
        BadValue: there is no such task.
    """
    own = model.task(task)
    if own.ensemble:
        return _renamed(model, own.ensemble, chosen)
    _require_own_heads(model, own)
    kept = sorted(row for row in chosen.rows if row is not None)
    fewer = kept and kept != list(range(len(own.names)))
    if fewer and initial is never_detected and _is_softmax(model, own):  # others are to be trained
        warn(f"{model.name}: a softmax shares its scores out among the classes: without some, the others' scores grow")
    padded = own.padded
    model = unpad(model)
    for head in own.heads:
        model = with_classes(model, head, chosen.rows, initial=initial)
    changed = own.of_product(names=chosen.names, padded=False, offset=0)
    tasks = tuple(changed if other.name == own.name else other for other in model.tasks)
    model = replace(model, tasks=tasks)
    return pad_to_union(model) if padded else model


def _renamed(model: Model, ensemble: str, chosen: Classes) -> Model:
    """An ensemble whose tasks all have these names for the classes that they had."""
    own = [task for task in model.tasks if task.ensemble == ensemble]
    if chosen.rows != tuple(range(len(own[0].names))):
        raise Unsupported(
            f"{model.name}: the branches of the ensemble {ensemble} have the same classes, which can be renamed only; "
            "change them before `darkshare branch`"
        )
    named = {task.name: task.of_product(names=chosen.names) for task in own}
    return replace(model, tasks=tuple(named.get(task.name, task) for task in model.tasks))


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


def _id_of(name: str, names: Sequence[str], ids: Mapping[str, int]) -> int:
    if name in ids:
        return ids[name]
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    raise BadValue(f"there is no class {name!r}; the classes are {shown}{meant(name, names)}")


def _distinct(chosen: Classes) -> Classes:
    if not chosen.names:
        raise BadValue("no class would be left; a detector needs at least one")
    if twice := [name for name, count in Counter(chosen.names).items() if count > 1]:
        raise BadValue(f"class {twice[0]!r} would be there twice; give the names once, and other names to new classes")
    if bad := [name for name in chosen.names if not name.strip() or name != name.strip() or "\n" in name]:
        raise BadValue(f"class name {bad[0]!r} cannot be in a .names file: one name in each line, no blanks around")
    return chosen
