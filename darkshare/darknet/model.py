"""Models: a network, its weights and its tasks; load and save."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from darkshare._files import exists, require_promise, require_unread, write_all, writing
from darkshare._files.opened import Fingerprint, fingerprint
from darkshare._files.renames import undo_killed
from darkshare._tables import Result, printable, to_html
from darkshare._texts import raw_bytes, to_escaped
from darkshare.darknet.beside import tasks_beside
from darkshare.darknet.cfg import read_cfg, to_bytes
from darkshare.darknet.network import Network, View, resolve
from darkshare.darknet.tasks import Task, group_by_ensemble, tasks_to_json
from darkshare.darknet.weights import FLOAT, PIECE, Floats, Header, Run, StoredFloats, Weights, chunks, read_weights
from darkshare.darknet.wrong_size import cut_at, wrong_size
from darkshare.errors import BadValue, Unsupported, checked, meant


@dataclass(frozen=True)
class Model:
    """A network with or without weights.

    Attributes:
        network: its layers.
        weights: theirs; they may end early where the caller asked for a partial file.
        tasks: what it does.
        report: the table and the notes of the function that made it, as its command prints them; None if it was loaded.
    """

    network: Network
    weights: Weights | None
    tasks: tuple[Task, ...]
    report: Result | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def loaded(self) -> int:
        """The number of leading layers that have all their weights."""
        if self.weights is None:
            return 0
        size = self.weights.size
        return next((x.index for x in self.network.layers if x.stop > size), len(self.network.layers))

    def tensors(self, index: int) -> dict[str, Floats]:
        """Give the weights of a layer by name, as read-only float32 arrays in the tensors' own shapes.

        Those of a file are read anew each time. A convolution that shares another's weights (share_index) gives the
        owner's.

        Raises:
            Unsupported: there are no weights, or a partial file ends before this layer.
            DarkshareError: the file was changed since it was opened.
        """
        return {name: np.asarray(tensor) for name, tensor in self.stored_tensors(index).items()}

    def stored_tensors(self, index: int) -> dict[str, Run]:
        """Give what `tensors` gives, but large tensors of a file unread, so that a few rows can be read at a time.

        Raises:
            Unsupported: there are no weights, or a partial file ends before this layer.
        """
        layer = self.network.owner(index)
        if self.weights is None:
            raise Unsupported(f"{self.name}: has no weights; give the .weights file behind the .cfg")
        if layer.stop > self.weights.size:
            raise Unsupported(f"{self.weights.path}: a partial file, it ends before {layer.label}")
        found: dict[str, Run] = {}
        begin = layer.start
        for tensor in layer.tensors:
            runs = self.weights.slice(begin, begin + tensor.size)
            if len(runs) == 1 and isinstance(runs[0], StoredFloats) and tensor.size > PIECE and not tensor.flipped:
                found[tensor.name] = replace(runs[0], shape=tensor.shape)
                begin += tensor.size
                continue
            flat = self.weights.view(begin, begin + tensor.size)
            if tensor.flipped:
                n, *rest = tensor.shape
                found[tensor.name] = flat.reshape(*rest, n).transpose(3, 0, 1, 2)
            else:
                found[tensor.name] = flat.reshape(tensor.shape)
            begin += tensor.size
        return found

    def __repr__(self) -> str:
        first, *rest = [f"{printable(task.name)} ({len(task.names)} classes)" for task in self.tasks] or ["none"]
        tasks = f"{first} and {len(rest)} more" if len(rest) > 2 else ", ".join([first, *rest])
        return f"<Model {printable(self.name or 'unnamed')}: {self._summary()}; tasks: {tasks}>"

    def _repr_html_(self) -> str:
        tasks = to_html([task.row() for task in self.tasks])
        layers = [layer.row() for layer in self.network.layers]
        return tasks + to_html(layers, [f"{self.name}: {self._summary()}"])

    def _summary(self) -> str:
        count = self.loaded
        whole = "with weights" if count == len(self.network.layers) else f"weights of {count} layers"
        return f"{self.network.summary()}, {'no weights' if self.weights is None else whole}"

    @property
    def heads(self) -> tuple[int, ...]:
        """The layers that are outputs of any task, in order."""
        return tuple(sorted({head for task in self.tasks for head in task.heads}))

    def task(self, name: str | None = None) -> Task:
        """The task of a name, or the only one; of an ensemble the vote.

        Raises:
            BadValue: there is none, or there are several and no name says which.
        """
        known = {task.name: task for task in self.tasks}
        ensembles = dict.fromkeys(task.ensemble for task in self.tasks if task.ensemble and self.classifies(task))
        known |= {one: ensemble_task(self, one) for one in ensembles if one not in known}
        if name is None:
            name = self.tasks[0].name if len(self.tasks) == 1 else common_ensemble(self)
        if not name:
            raise BadValue(f"has the tasks {', '.join(known)}; say which one", file=self.name)
        if name not in known:
            raise BadValue(f"has no task {name}; it has {', '.join(known)}{meant(name, known)}", file=self.name)
        return known[name]

    def classifies(self, task: Task) -> bool:
        """Say whether a task gives one class per picture instead of boxes."""
        return not any(self.network.layers[head].kind.gives_boxes for head in task.heads)

    def classes(self, head: int) -> int:
        """Count the classes of a head; 0 if it has none."""
        return self.network.layers[head].classes


def without_branch_tasks(model: Model) -> Model:
    """Leave out the tasks of branches where the model also has the task of their ensemble, which gives their mean."""
    voted = {task.name for task in model.tasks if task.name == task.ensemble}
    return replace(model, tasks=tuple(t for t in model.tasks if t.name in voted or t.ensemble not in voted))


def branch_tasks(model: Model, ensemble: str) -> list[Task]:
    """List the tasks whose mean is an ensemble's output."""
    return [task for task in model.tasks if task.ensemble == ensemble and task.name != ensemble]


def ensemble_task(model: Model, ensemble: str) -> Task:
    """Find the task that gives an ensemble's output; if the model has none, make one with all branches' heads.

    Raises:
        BadValue: the model has no such ensemble.
    """
    own = [task for task in model.tasks if task.name == ensemble]
    branches = branch_tasks(model, ensemble)
    if not branches:
        raise BadValue(f"has no ensemble {ensemble}", file=model.name)
    return own[0] if own else replace(branches[0], name=ensemble, heads=_heads(branches))


def common_ensemble(model: Model) -> str:
    """Name the ensemble that all tasks of a model belong to; "" if they do not all belong to one."""
    found = {task.ensemble for task in model.tasks}
    return found.pop() if len(found) == 1 else ""


def _heads(tasks: Sequence[Task]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(head for task in tasks for head in task.heads))


@checked
def load(
    cfg: str | os.PathLike[str],
    weights_file: str | os.PathLike[str] | None = None,
    *,
    dialect: str = "alexeyab",
    view: View = "load",
    size: tuple[int, int] | None = None,
    partial: bool = False,
    sibling: bool = True,
) -> Model:
    """Read a cfg, its weights and its class names.

    Args:
        cfg: the cfg file.
        weights_file: its weights; without one, the file of the same stem beside the cfg, if there is one.
        dialect: the fork whose reading decides.
        view: the weights layout of the loader or of the writer (they differ with dontload= and the like).
        size: (width, height) instead of the cfg's.
        partial: accept a file that ends between two layers.
        sibling: look for the file of the same stem.

    Raises:
        DarkshareError: a file that cannot be read, or does not fit the others.
    """
    path = Path(cfg)
    with writing(path.parent):
        undo_killed(path.parent)
    text = read_cfg(path)
    network = resolve(text, dialect=dialect, view=view, size=size)
    if weights_file is None and sibling and exists(path.with_suffix(".weights")):
        weights_file = path.with_suffix(".weights")
    found = None if weights_file is None else read_weights(weights_file, dialect=dialect)
    if found is not None:
        require_length(network, found, partial=partial)
        found = untransposed(network, found)
    return Model(network, found, tasks_beside(path, text.sections[0], network, found))


def require_length(network: Network, found: Weights, *, partial: bool) -> None:
    """Refuse weights that do not fit the network.

    Raises:
        WeightsSize: the layer, the tensor, the floats needed and found, and what the file probably is.
    """
    if found.size == network.params or (partial and cut_at(network, found.size)):
        return
    raise wrong_size(network, found.size, found.header, found.path)


def untransposed(network: Network, found: Weights) -> Weights:
    """Bring the weights of a transposed file (version above 1000) into today's order; return others as they are."""
    if not found.header.transposed:
        return found
    data = found.view(0, found.size).copy()
    for layer in network.layers:
        begin = layer.start
        for tensor in layer.tensors if layer.stop <= found.size else ():
            if len(tensor.shape) == 2:
                flat = data[begin : begin + tensor.size]
                flat[:] = flat.reshape(tensor.shape[::-1]).T.ravel()
            begin += tensor.size
    return replace(found, header=Header(seen=found.header.seen), runs=(data,))


def stem_of(path: str | os.PathLike[str]) -> Path:
    """Give the stem of a network's files, of which the name of the cfg or the weights will do.

    Raises:
        BadValue: it has no name at its end, or one that promises another format.
    """
    stem = Path(path)
    require_promise(stem, "the stem of a network's files", ".cfg", ".weights", cure=f"leave out {stem.suffix}")
    if stem.suffix in (".cfg", ".weights"):
        stem = stem.with_suffix("")
    if not stem.name:
        raise BadValue(f"{str(path)!r} cannot be the name of files; end the path with one")
    return stem


@checked
def save(
    model: Model, stem: str | os.PathLike[str], *, protect: Sequence[str] = (), data: Mapping[str, str] | None = None
) -> list[Path]:
    """Write `<stem>.cfg`, `.weights`, `.names`, `.data` and `.tasks.json`; all of them or none.

    Args:
        model: what to write; without weights no weights file is written.
        stem: the path of the files without their suffix.
        protect: files that must not be replaced, usually the inputs.
        data: further keys of the .data file, such as `train` and `valid`.

    Returns:
        The files written.

    Raises:
        BadValue: the path has no name at its end, or one that promises another format.
        DarkshareError: a file cannot be written, or would replace a protected one.
    """
    return save_all([(model, stem)], protect=protect, data=data)[0]


def save_all(
    models: Sequence[tuple[Model, str | os.PathLike[str]]],
    *,
    protect: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
) -> list[list[Path]]:
    """Write several models, each under its stem, as `save` does; all of their files or none."""
    contents = [_contents(model, stem_of(stem), data or {}) for model, stem in models]
    together = {path: buffers for one in contents for path, buffers in one.items()}
    require_unread(together, protect)
    write_all(together)
    return [list(one) for one in contents]


def _contents(model: Model, base: Path, data: Mapping[str, str]) -> dict[Path, Iterable[Any]]:
    """The files of a model, by name."""
    names = [name for task, *_ in group_by_ensemble(model.tasks) for name in task.names]
    options = {"classes": len(names), "names": f"{base.name}.names", **data, "backup": "backup"}
    contents: dict[Path, Iterable[Any]] = {sibling(base, ".cfg"): [to_bytes(model.network.cfg)]}
    weights = sibling(base, ".weights")
    if model.weights is not None:
        contents[weights] = _body(model.weights, model.network.dialect)
    contents[sibling(base, ".names")] = [raw_bytes("".join(f"{name}\n" for name in names))]
    contents[sibling(base, ".data")] = [raw_bytes("".join(f"{key}={value}\n" for key, value in options.items()))]
    tasks = sibling(base, ".tasks.json")
    if len(model.tasks) > 1 or exists(tasks):  # one task needs no description, but an old one would be wrong
        found = Fingerprint()
        contents[tasks] = _described(model, found)
        if weights in contents:
            contents[weights] = _passed(contents[weights], found)
    return contents


def sibling(path: Path, suffix: str) -> Path:
    """Append another suffix to a stem; `a.b` is a whole stem."""
    return path.parent / (path.name + suffix)


@checked
def save_weights(
    found: Weights, path: str | os.PathLike[str], dialect: str = "alexeyab", *, protect: Sequence[str] = ()
) -> None:
    """Write a weights file with the header that it has, whole or not at all.

    Args:
        found: the weights, such as `cut` gives.
        path: the file.
        dialect: the fork whose header is written.
        protect: files that must not be replaced, usually the inputs.

    Raises:
        DarkshareError: the file cannot be written, or would replace a protected one.
    """
    contents = {Path(path): _body(found, dialect)}
    require_unread(contents, protect)
    write_all(contents)


def _body(found: Weights, dialect: str) -> Iterator[Any]:
    yield found.header.to_bytes(dialect)
    yield from chunks(found.runs)


def _passed(buffers: Iterable[Any], found: Fingerprint) -> Iterator[Any]:
    """Pass buffers on, whose fingerprint is taken while they are in the processor's cache."""
    for buffer in buffers:
        found.update(buffer)
        yield buffer


def _described(model: Model, found: Fingerprint) -> Iterator[bytes]:
    """Make the .tasks.json when it is written, last, since `found`, the fingerprint of the weights, is whole by then.

    The source that these begin with, as those of a merged model do, is not read again for its own.
    """
    weights, begin, stop = model.weights, "", 0
    first = next(iter(weights.runs), None) if weights else None
    if weights and isinstance(first, StoredFloats) and first.start == weights.header.size(model.network.dialect):
        begin, stop = first.file.path, first.start + first.size * FLOAT.itemsize
    paths = {path for task in model.tasks for path in task.files.values()}
    known = {path: fingerprint(path, found, stop) if path == begin else fingerprint(path) for path in paths}
    tasks = [
        replace(task, fingerprints=task.fingerprints | {kind: known[path] for kind, path in task.files.items()})
        for task in model.tasks
    ]
    yield to_escaped(tasks_to_json(tasks, found.text() if weights else ""))
