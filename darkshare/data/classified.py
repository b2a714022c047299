"""Pictures with a class each: a folder per class, or Darknet's lists whose paths contain the label."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from darkshare._files import is_folder, reading
from darkshare._images import PICTURES
from darkshare.data.darknet import Watch
from darkshare.data.datafiles import class_names, named_file, read_options
from darkshare.data.lists import listed_pictures
from darkshare.data.splitting import split
from darkshare.data.types import Classified, ClassifiedDataset, Finding
from darkshare.errors import DarkshareError

PARTS = {"train": "train", "training": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}


def read_classes(
    path: str | os.PathLike[str], part: str = "train", *, share: float = 0.0, seed: int = 0
) -> ClassifiedDataset:
    """Read one part of a folder of classes, or of a .data file.

    Args:
        path: the folder or file.
        part: "train", "valid" or "test".
        share: where a folder has no parts, so much is set aside for validation (see `split`); 0 takes all for any part.
        seed: of that.

    Raises:
        DarkshareError: it cannot be read, or has no such part.
    """
    if not is_folder(path):
        return read_class_list(path, part)
    parts = read_class_folders(path)
    if "all" in parts and share:
        learn, valid = split(parts["all"], share, seed)
        parts = {"train": learn, "valid": valid}
        if part not in parts:
            raise DarkshareError(f"has no parts, and is split into {' and '.join(parts)}, not {part}", file=str(path))
    if "all" in parts:
        return parts["all"]
    if part not in parts:
        raise DarkshareError(f"has no folder for {part}; it has {', '.join(parts)}", file=str(path))
    return parts[part]


def read_class_list(
    path: str | os.PathLike[str], part: str = "train", *, names: Sequence[str] | None = None, watch: Watch = iter
) -> ClassifiedDataset:
    """Read one part of a classifier's .data file: the class of a picture is the label that its path contains.

    So does Darknet (`fill_truth` in src/data.c). A path that contains none of the labels, or several, is a finding.

    Args:
        path: of the .data file.
        part: "train", "valid" or "test".
        names: the labels, instead of those of the file behind `labels=`.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: a file that it names cannot be read, or it does not name this part.
    """
    data = read_options(path)
    labels, more = class_names(data, names, classify=True)
    listed, moved = named_file(data, part)
    findings = [*data.findings, *more, *moved]
    samples = []
    for found in listed_pictures(listed, (data.path.parent,), watch):
        if isinstance(found, Finding):
            findings.append(found)
            continue
        fitting = [index for index, label in enumerate(labels) if label in found.name]
        if len(fitting) == 1:
            samples.append(Classified(found.picture, fitting[0]))
            continue
        several = f"the labels {', '.join(labels[i] for i in fitting[:5])}" if fitting else "none of the labels"
        what = f"{found.name}: the path contains {several}; left out"
        findings.append(Finding(listed, found.line, what, "not one label"))
    if not samples:
        raise DarkshareError(f"none of its pictures can be used; {findings[-1]}", file=str(listed))
    return ClassifiedDataset(data.path.stem, labels, tuple(samples), tuple(findings))


def read_class_folders(folder: str | os.PathLike[str]) -> dict[str, ClassifiedDataset]:
    """Read a folder with one folder of pictures per class, or with such folders for train and val (valid, test).

    Returns:
        For each part its pictures; "all" if there are no parts. The classes are in the order of their names, and the
        same in every part.

    Raises:
        DarkshareError: it cannot be read, or holds no classes.
    """
    root = Path(folder)
    parts = _parts(root)
    names = tuple(dict.fromkeys(sorted(path.name for part in parts.values() for path in _folders(part))))
    if not names:
        raise DarkshareError("holds no folders of pictures; one for each class is needed", file=str(root))
    return {part: _read_folders(path, root.name, names) for part, path in parts.items()}


def is_divided(path: str | os.PathLike[str]) -> bool:
    """Whether it says itself what is for validation: a .data file, or a folder with train and val.

    Raises:
        DarkshareError: the folder cannot be read.
    """
    return not is_folder(path) or "all" not in _parts(Path(path))


def _parts(root: Path) -> dict[str, Path]:
    """The folder of each part; "all" where there are none."""
    inner = _folders(root)
    parts = {PARTS[path.name.lower()]: path for path in inner if path.name.lower() in PARTS}
    return parts if parts and len(parts) == len(inner) else {"all": root}


def _read_folders(root: Path, name: str, names: tuple[str, ...]) -> ClassifiedDataset:
    samples: list[Classified] = []
    findings = [Finding(path, None, "lies outside the folders of the classes; left out") for path in _files(root)]
    for index, label in enumerate(names):
        folder = root / label
        before = len(samples)
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_dir():
                continue
            if path.suffix.lower() in PICTURES and path.is_file() and path.stat().st_size:
                samples.append(Classified(path, index))
            else:
                findings.append(Finding(path, None, "is not a picture; left out"))
        if len(samples) == before:
            findings.append(Finding(folder, None, f"has no pictures of the class {label}"))
    return ClassifiedDataset(name, names, tuple(samples), tuple(findings))


def _folders(path: Path) -> list[Path]:
    with reading(path):
        return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(path: Path) -> list[Path]:
    """The pictures that lie in a folder itself; a README beside the classes is none of our business."""
    return sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
