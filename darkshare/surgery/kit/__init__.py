"""Write a kit to train the layers behind k in stock Darknet: cfg, weights to start from, lists, commands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from darkshare._files import require_unread, write_all, writing
from darkshare._tables import Result
from darkshare._texts import raw_bytes
from darkshare.darknet.cfg import to_bytes
from darkshare.darknet.kinds.base import DIALECTS
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network, problems, resolve
from darkshare.darknet.weights import Header, Weights, chunks
from darkshare.data import Dataset, read_options
from darkshare.data.forks import crowded, finds_labels, most_boxes, orientation, turned, undecodable, unlabelled
from darkshare.data.labels import LABEL_RULES
from darkshare.errors import Unsupported, checked, warn
from darkshare.surgery.anchors import anchors as fitting_anchors
from darkshare.surgery.classes import matched, relabelled
from darkshare.surgery.cut import cut
from darkshare.surgery.heads import head_kind
from darkshare.surgery.kit.guide import Facts, guide_page
from darkshare.surgery.kit.schedule import scheduled
from darkshare.surgery.kit.stops import FrozenNetwork, frozen_below, stopped_only
from darkshare.surgery.labelled import read_labelled


@dataclass(frozen=True, repr=False)
class Kit(Result):
    """A network, weights and data sets to train from layer k on, and the files that they were written to.

    Attributes:
        base: the model that it starts from.
        k: how many of its layers are frozen.
        frozen: the network to be trained.
        cpu: the same for AlexeyAB on a CPU, where that crashes with the other one.
        start: the weights of the first k layers, as `darknet partial` writes them.
        full: the same with new weights behind them, for forks that refuse short files.
        train: the pictures to train with.
        valid: the pictures to measure with, or None.
        batches: how many are trained.
        files: the files of the kit, once it was written.
    """

    base: Model
    k: int
    frozen: FrozenNetwork
    cpu: Network | None
    start: Weights
    full: Weights | None
    train: Dataset
    valid: Dataset | None
    batches: int
    files: tuple[Path, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        return [{"file": str(path)} for path in self.files]

    def notes(self) -> list[str]:
        valid = f", {len(self.valid.samples)} to measure with" if self.valid else ""
        return [f"{self.batches} batches from layer {self.k} on; {len(self.train.samples)} pictures{valid}"]

    def summary(self) -> str:
        return f"{self.train.name}, {len(self.files)} files, {self.notes()[0]}"


@checked
def kit(
    base: Model,
    data: str | os.PathLike[str],
    *,
    k: int,
    anchors: bool = False,
    batches: int | None = None,
    full: bool = False,
    seed: int = 0,
    output: str | os.PathLike[str] = "kit",
) -> Kit:
    """Write a folder with all that it takes to train a network from layer k on in stock Darknet.

    Args:
        base: a detector of one task; layers 0..k-1 are to stay as they are.
        data: a .data file; its classes become the network's, its valid= pictures are for measuring.
        k: how many leading layers to freeze.
        anchors: find the anchors that fit the data set; each head keeps its number.
        batches: how many to train; by AlexeyAB's advice without it.
        full: write weights of full length too, which hank-ai's Darknet needs.
        seed: of k-means, and of new weights.
        output: the folder to write.

    Raises:
        BadValue: the network cannot be cut at k.
        Unsupported: a merged model, or a head that cannot be changed or that would be frozen.
        DarkshareError: the base has no weights, or its file ends before k; a file that cannot be read or written.
    """
    train = read_labelled(data)
    valid = read_labelled(data, "valid") if "valid" in read_options(data).options else None
    made = make_kit(base, k, train, valid, anchors=anchors, batches=batches, full=full, seed=seed)
    files = write_kit(made, output, protect=[os.fspath(data), *_files_of(base)])
    return replace(made, files=tuple(files))


def make_kit(
    base: Model,
    k: int,
    train: Dataset,
    valid: Dataset | None = None,
    *,
    anchors: bool = False,
    batches: int | None = None,
    full: bool = False,
    seed: int = 0,
) -> Kit:
    """Prepare a network for training from layer k on in stock Darknet.

    Args:
        base: a detector of one task; layers 0..k-1 are to stay as they are.
        k: how many layers to freeze.
        train: the pictures to train with; its classes become the network's.
        valid: the pictures to measure with.
        anchors: find the anchors that fit the boxes of `train`.
        batches: how many to train; by AlexeyAB's advice without it.
        full: make weights of full length too.
        seed: of k-means, and of the new weights.

    Raises:
        BadValue: the network cannot be cut at k.
        Unsupported: a merged model, or a head that cannot be changed or that would be frozen.
        DarkshareError: the base has no weights, or its file ends before k.
    """
    if len(base.tasks) > 1:
        raise Unsupported(f"{base.name}: a merged model is not trained as a whole; take a task out of it with split")
    start = cut(base, k)
    (task,) = base.tasks
    for head in task.heads:
        head_kind(base, head)
    changed = relabelled(replace(base, weights=None), matched(task.names, train.names))
    if anchors:
        changed = fitting_anchors(changed, train, assign="count", seed=seed)
    network = changed.network
    cfg, count = scheduled(
        network.cfg, network.dialect, classes=len(train.names), pictures=len(train.samples), batches=batches
    )
    frozen = frozen_below(replace(changed, network=resolve(cfg, dialect=network.dialect)), k)
    norms = any(getattr(layer.kind, "norm", False) for layer in frozen.network.layers[:k])
    whole = cut(base, k, full=True, target=frozen.network, seed=seed) if full else None
    return Kit(base, k, frozen, stopped_only(frozen) if norms else None, start, whole, train, valid, count)


def write_kit(kit: Kit, folder: str | os.PathLike[str], *, protect: Sequence[str] = ()) -> list[Path]:
    """Write a kit into a folder; all of its files or none.

    Args:
        kit: what to write.
        folder: where; it is made if there is none.
        protect: files that must not be replaced, usually the inputs.

    Returns:
        The files written.

    Raises:
        DarkshareError: a file cannot be written, or would replace a protected one.
    """
    home, stem, k = Path(folder), kit.train.name, kit.k
    network = kit.frozen.network
    texts = {f"{stem}.cfg": to_bytes(network.cfg), "train.txt": _listed(kit.train)}
    if kit.cpu:
        texts[f"{stem}-cpu.cfg"] = to_bytes(kit.cpu.cfg)
    if kit.valid:
        texts["valid.txt"] = _listed(kit.valid)
    texts[f"{stem}.names"] = raw_bytes("".join(f"{name}\n" for name in kit.train.names))
    texts[f"{stem}.data"] = raw_bytes(_data(kit))
    texts["README.md"] = raw_bytes(guide_page(_facts(kit)))
    files: dict[Path, Iterable[Any]] = {home / name: [text] for name, text in texts.items()}
    for name, found in ((f"{stem}.conv.{k}", kit.start), (f"{stem}-full.weights", kit.full)):
        if found:
            files[home / name] = chain([Header().to_bytes(network.dialect)], chunks(found.runs))
    warnings = _of_pictures(kit)
    require_unread(files, protect)
    write_all(files)
    with writing(home / "backup"):
        (home / "backup").mkdir(exist_ok=True)  # Darknet saves there, and does not make it
    for text in warnings:
        warn(text)
    return list(files)


def _of_pictures(kit: Kit) -> list[str]:
    """Say what a fork does not find, read or train."""
    samples = kit.train.samples
    said = [unlabelled(fork, count, len(samples), *first) for fork, (count, *first) in _unlabelled(kit).items()]
    orientations = {sample.picture: orientation(sample.picture) for sample in samples}
    said += [undecodable(orientations), crowded(samples, most_boxes(kit.frozen.network))]
    said.append(turned(orientations, len(orientations)))
    return list(filter(None, said))


def _unlabelled(kit: Kit) -> dict[str, tuple[int, str, str]]:
    """For each fork that does not find all labels: of how many pictures, the first of them, and where it looks."""
    found: dict[str, tuple[int, str, str]] = {}
    for picture in (_absolute(sample.picture) for sample in kit.train.samples):
        for fork, rule in LABEL_RULES.items():
            if not finds_labels(place := rule(picture)):
                count, *first = found.get(fork, (0, picture, place))
                found[fork] = (count + 1, first[0], first[1])
    return found


def _facts(kit: Kit) -> Facts:
    """Collect what the guide names."""
    cfg = kit.frozen.network.cfg
    refused = {fork: errors[0].message for fork in DIALECTS if (errors := problems(cfg, dialect=fork)[1])}
    return Facts(
        stem=kit.train.name,
        k=kit.k,
        carrier=kit.frozen.carrier,
        size=_other_size(kit.base),
        base=list(map(_absolute, _files_of(kit.base))),
        inserted=kit.frozen.inserted,
        batches=kit.batches,
        has_cpu=kit.cpu is not None,
        has_full=kit.full is not None,
        has_valid=kit.valid is not None,
        refused=refused,
        unlabelled=_unlabelled(kit),
    )


def _files_of(base: Model) -> list[str]:
    return [path for path in (base.name, base.weights.path if base.weights else "") if path]


def _other_size(base: Model) -> str:
    """The input size of the kit, where it is not that of the base's own cfg."""
    own = tuple(base.tasks[0].net.get(key, "") for key in ("width", "height"))
    size = tuple(map(str, (base.network.input.w, base.network.input.h)))
    return "" if own == size else "x".join(size)


def _data(kit: Kit) -> str:
    valid = "valid" if kit.valid else "train"
    return (
        f"classes={len(kit.train.names)}\ntrain=train.txt\nvalid={valid}.txt\nnames={kit.train.name}.names\n"
        "backup=backup\n"
    )


def _listed(dataset: Dataset) -> bytes:
    """Absolute paths, so that the kit works wherever it is put."""
    return raw_bytes("".join(f"{_absolute(sample.picture)}\n" for sample in dataset.samples))


def _absolute(path: Path | str) -> str:
    return str(Path(path).absolute())


__all__ = ["Kit", "kit", "make_kit", "write_kit"]
