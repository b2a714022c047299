"""Data sets as Darknet's files, in a folder that is written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darkshare._files import exists, is_folder, read_small, require_unread, resolved, writing
from darkshare._files.renames import rename_all, temporary, tend
from darkshare._images import encoded, read_picture
from darkshare._signals import uninterrupted
from darkshare._texts import LARGEST, raw_bytes, require_fit
from darkshare.data.darknet import Watch
from darkshare.data.forks import ready_suffix
from darkshare.data.types import Box, Dataset, Sample
from darkshare.errors import DarkshareError, warn

RECORD = "import.json"  # says where a folder came from, and which files are ours
_PICTURES, _DIFFICULT = "obj", "difficult"  # folders whose names no fork replaces when it looks for labels
_REPLACED = re.compile(r"images|JPEGImages|raw|\s")  # what pjreddie's Darknet replaces in a path, and blanks


def write_data(
    parts: Mapping[str, Dataset],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    copy: bool = False,
    record: Mapping[str, Any] | None = None,
    watch: Watch = iter,
) -> Path:
    """Write data sets as Darknet reads them: .data, .names, lists, and pictures with their labels beside them.

    Labels lie beside the pictures because that is the only place where all three Darknets look. Pictures whose format
    or suffix one of them does not know are written anew as PNG, or get another suffix; those that are stored turned are
    written anew as they are shown (JPEG in quality 95), since not every Darknet turns them. Paths are relative to the
    folder, where Darknet is to be started. Difficult boxes of the validation part go into a `difficult=` list, which
    AlexeyAB's Darknet passes over when it computes mAP; those of the training part are left out, as Darknet's
    scripts/voc_label.py does. A "test" part gets a .data file of its own, with the test list as its valid list.

    Args:
        parts: "train", and perhaps "valid" and "test", with the same names.
        folder: to make. An older one is replaced if it holds nothing but what this function wrote.
        name: of the .data file; without it, the folder's.
        copy: copy the pictures; otherwise they are symbolic links to where they are.
        record: what to note in import.json beside the list of the files.
        watch: goes through the pictures, for a progress bar.

    Returns:
        The path of the .data file.

    Raises:
        DarkshareError: a class name holds what no name does, the folder holds other files, or cannot be written.
    """
    target = Path(os.path.abspath(folder))  # noqa: PTH100 - links in the path stay as they are
    with writing(folder):
        tend(target.parent)
    _require_ours(target)
    names = [" ".join(name.split()) for name in next(iter(parts.values())).names]
    require_fit("class name", *names)
    name = name or target.name
    with writing(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        new = temporary(target)
        new.mkdir()
        try:
            if not copy:
                _require_lasting(parts, target)
            _write(parts, new, name, names, copy=copy, watch=watch)
            files = sorted(path.relative_to(new).as_posix() for path in _files(new))
            noted = {**(record or {}), "files": files}
            (new / RECORD).write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8", errors="surrogateescape")
            with uninterrupted():
                rename_all({target: new})
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return Path(folder) / f"{name}.data"


def _write(
    parts: Mapping[str, Dataset], folder: Path, name: str, names: Sequence[str], *, copy: bool, watch: Watch
) -> None:
    samples = [(part, sample) for part, dataset in parts.items() for sample in dataset.samples]
    ready = {sample.picture: ready_suffix(sample.picture) for _, sample in samples}
    places = _places({picture: suffix for picture, (suffix, _) in ready.items()})
    lists: dict[str, list[str]] = {part: [] for part in parts}
    hard = {part for part, sample in samples if part != "train" and any(box.difficult for box in sample.boxes)}
    for part, sample in watch(samples):
        place = places[sample.picture]
        lists[part].append(f"{_PICTURES}/{place}")
        _put(sample, folder / _PICTURES / place, copy=copy, anew=ready[sample.picture][1])
        if part in hard:
            _write_labels(folder / _DIFFICULT / place, (box for box in sample.boxes if box.difficult))
    for part, lines in lists.items():
        _write_lines(folder / f"{part}.txt", lines)
        if part in hard:
            _write_lines(folder / f"difficult-{part}.txt", (_DIFFICULT + line[len(_PICTURES) :] for line in lines))
    _write_lines(folder / f"{name}.names", names)
    (folder / "backup").mkdir()  # Darknet saves there, and does not make it
    for part in [part for part in parts if part != "train"] or ["train"]:
        suffix = "-test" if part == "test" and "valid" in parts else ""
        valid = [f"valid = {part}.txt"] if part != "train" else []
        valid += ["test = test.txt"] if part == "valid" and "test" in parts else []
        valid += [f"difficult = difficult-{part}.txt"] if part in hard else []
        lines = [f"classes = {len(names)}", "train = train.txt", *valid, f"names = {name}.names", "backup = backup"]
        _write_lines(folder / f"{name}{suffix}.data", lines)


def _places(suffixes: Mapping[Path, str]) -> dict[Path, str]:
    """A path below the folder for each picture: its own below what all have in common, each stem once.

    Args:
        suffixes: that the pictures are to have.
    """
    found = list(suffixes)
    common = os.path.commonpath([os.path.abspath(path.parent) for path in found]) if found else ""  # noqa: PTH100
    places: dict[Path, str] = {}
    taken: set[str] = set()
    for path in found:
        below = Path(os.path.relpath(os.path.abspath(path), common)).as_posix()  # noqa: PTH100
        stem = plain = _REPLACED.sub(lambda word: f"{word[0][:-1]}_", below.removesuffix(path.suffix))
        number = 1
        while stem.lower() in taken:  # two suffixes would share one label file
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.lower())
        places[path] = stem + "".join(suffixes[path].split())
    return places


def _put(sample: Sample, place: Path, *, copy: bool, anew: bool) -> None:
    """Link to a picture, copy it, or write it anew; and write its labels."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.exists():  # it is in two parts
        pass
    elif anew and (data := _anew(sample.picture, place.suffix)):
        place.write_bytes(data)
    elif copy:
        shutil.copyfile(sample.picture, place)
    else:
        try:
            place.symlink_to(resolved(sample.picture))
        except OSError as error:
            raise DarkshareError(
                f"cannot be linked to: {error.strerror}; use --copy", file=str(sample.picture)
            ) from None
    _write_labels(place, (box for box in sample.boxes if not box.difficult))


def _anew(picture: Path, suffix: str) -> bytes:
    try:
        return encoded(read_picture(picture), suffix)
    except DarkshareError as error:
        warn(f"{error}; Darknet will not read it either")
        return b""


def _write_labels(place: Path, boxes: Iterable[Box]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{box.class_id} {box.x:.8g} {box.y:.8g} {box.w:.8g} {box.h:.8g}" for box in boxes)
    _write_lines(place.with_suffix(".txt"), lines)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    path.write_bytes(raw_bytes(text))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _require_ours(folder: Path) -> None:
    """Refuse a folder with files that were not written here.

    Raises:
        DarkshareError: it names the first of them.
    """
    if folder.is_symlink():
        raise DarkshareError("is a link; name the folder itself, or another one", file=str(folder))
    if not exists(folder):
        return
    if not is_folder(folder):
        raise DarkshareError("is a file; choose another folder", file=str(folder))
    there = {path.relative_to(folder).as_posix() for path in _files(folder)}
    try:
        ours = {RECORD, *json.loads(read_small(folder / RECORD, LARGEST))["files"]} if RECORD in there else set()
    except (DarkshareError, ValueError, KeyError, TypeError):
        ours = set()
    if others := sorted(there - ours):
        raise DarkshareError(
            f"holds {others[0]}, which no import wrote; choose another folder or delete it", file=str(folder)
        )


def _require_lasting(parts: Mapping[str, Dataset], folder: Path) -> None:
    """Refuse to replace a folder that holds an input.

    Raises:
        DarkshareError: it names the input.
    """
    if not exists(folder):
        return
    whole = resolved(folder)
    for sample in (sample for part in parts.values() for sample in part.samples):
        if whole in (picture := resolved(sample.picture)).parents:
            raise DarkshareError(
                "lies in the folder that would be replaced; choose another one, or use --copy", file=str(picture)
            )
    own = (path for path in _files(folder) if path != folder / RECORD)
    require_unread(path for path in own if not path.is_symlink())
