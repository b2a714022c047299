"""Ultralytics' data.yaml, as Roboflow, CVAT and many others export it too: the pictures of each part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from darkshare._files import is_file, is_folder, read_small
from darkshare._images import PICTURES
from darkshare._texts import decoded_text, parsed_yaml
from darkshare.data.darknet import Watch
from darkshare.data.findings import NothingLeft
from darkshare.data.formats.folders import files_below, start_of
from darkshare.data.formats.yolo import Names, labelled, listed
from darkshare.data.labels import label_path
from darkshare.data.lists import Finder, any_status, elsewhere, inner_parts
from darkshare.data.types import Dataset, Finding
from darkshare.errors import DarkshareError

_PARTS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
_SUFFIXES = (".yaml", ".yml")
_NAMES, _PICTURES = (re.compile(rb"^\s*[\"']?(%s)[\"']?\s*:" % key, re.MULTILINE) for key in (b"names", b"train|val"))


def is_ultralytics(source: Path, start: bytes) -> bool:
    """Whether it is a YAML file with names, or a folder with one of those."""
    if is_folder(source):
        return bool(_described(source))
    return source.suffix in _SUFFIXES and _NAMES.search(start) is not None


def _described(folder: Path) -> list[Path]:
    """The YAML files in a folder that name classes and pictures."""
    found = [path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES and path.is_file()]
    return [path for path in found if all(key.search(start_of(path)) for key in (_NAMES, _PICTURES))]


def read_ultralytics(
    source: Path, *, images: Path | None = None, names: Names | None = None, watch: Watch = iter
) -> dict[str, Dataset]:
    """Read the pictures and labels that a data.yaml names.

    Labels lie beside the pictures, or in `labels` where these are in `images`. Polygons become the box around them,
    keypoints are passed over, and a picture without a label file has nothing on it.

    Args:
        source: the data.yaml, or the folder that it is in.
        images: the folder that its paths start at; without it, its own, or its `path:` in there. None leads out.
        names: of the classes, instead of those that it names.
        watch: goes through the pictures, for a progress bar.

    Returns:
        Its parts, or all in one ("all") if it does not have both train and another one.

    Raises:
        DarkshareError: it cannot be read, names no classes, or no pictures that are there.
        Unsupported: PyYAML is not installed.
    """
    described = _described(source) if is_folder(source) else [source]
    if len(described) != 1:
        there = " and ".join(one.name for one in described) or "no data.yaml"
        raise DarkshareError(f"holds {there}; give the file itself", file=str(source))
    path = described[0]
    try:
        data = read_small(path)
        if likely := decoded_text(data).likely:
            raise DarkshareError(f"is not in UTF-8, but probably in {likely}; save it as UTF-8")
        document = parsed_yaml(data, "name its folder with --source-format yolo and the class names with --names")
    except DarkshareError as error:
        raise error.locate(str(path), None) from None
    if not isinstance(document, dict):
        raise DarkshareError("has no train: and names:, so it is not a data.yaml", file=str(path))
    known, findings = (names, []) if names else _names(document, path)
    parts, more = _parts(document, path, images, watch)
    findings += more
    keypoints = _keypoints(document.get("kpt_shape"))
    if keypoints:
        findings.append(Finding(path, None, "kpt_shape: the keypoints are left out, the boxes count"))
    made: dict[str, Dataset] = {}
    for part, pictures in parts.items():
        places = {picture: label_path(picture) for picture in pictures}
        labels = labelled(places, len(known), keypoints=keypoints, background=True, watch=watch)
        made[part] = Dataset(path.stem, known, labels.samples, (*findings, *labels.findings))
        findings = []
    return made


def _parts(
    document: Mapping[Any, Any], path: Path, images: Path | None, watch: Watch
) -> tuple[dict[str, list[Path]], list[Finding]]:
    """The pictures of each part, and what is wrong with what the file says of them.

    Raises:
        DarkshareError: there are none, or none of them has labels.
    """
    root = "/".join(inner_parts(_text(document.get("path"))))
    bases = [images] if images else [path.parent / root, path.parent]
    finder = Finder(bases, str(path.parent), any_status, confined=True)
    findings: list[Finding] = []
    parts: dict[str, list[Path]] = {"train": [], "valid": [], "test": []}
    for key, part in _PARTS.items():
        found = list(_pictures(path, key, document.get(key), finder, watch))
        findings += [one for one in found if isinstance(one, Finding)]
        parts[part] = list(dict.fromkeys([*parts[part], *(one for one in found if isinstance(one, Path))]))
    if parts["valid"] and parts["valid"] == parts["train"]:
        findings.append(Finding(path, None, "val: has the pictures of train:, and counts for nothing"))
        parts["valid"] = []
    pictures = [picture for there in parts.values() for picture in there]
    if not pictures:
        tried = ", ".join(str(Path(base).absolute()) for base in finder.folders)
        what = (
            f"names no pictures that are there, looked in {tried}; name the folder where its paths start with --images"
        )
        raise NothingLeft(what, file=str(path), findings=findings)
    if not any(is_file(label_path(picture)) for picture in pictures):
        place = label_path(pictures[0])
        raise DarkshareError(f"none of its pictures has a label file beside it ({place}) or in labels", file=str(path))
    if not parts["train"] or not (parts["valid"] or parts["test"]):
        return {"all": pictures}, findings
    return {part: there for part, there in parts.items() if there}, findings


def _text(value: Any) -> str:
    return value.replace("\\", "/") if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    """A plain value as text; lists that hold each other may be endless as text."""
    return str(value)[:200] if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _keypoints(shape: Any) -> int:
    """The count of numbers that are keypoints in a line."""
    try:
        points, numbers = shape
        return int(points) * int(numbers)
    except (TypeError, ValueError):
        return 0


def _names(document: Mapping[Any, Any], path: Path) -> tuple[Names, list[Finding]]:
    """The class names, as a list or by their ids, and what is wrong with them.

    Raises:
        DarkshareError: there are none.
    """
    names, count = document.get("names"), document.get("nc")
    if names is None and isinstance(count, int) and 0 < count < 2**16:
        return tuple(map(str, range(count))), [
            Finding(path, None, "no names: (--names); classes are called by numbers")
        ]
    rows = dict(enumerate(names)) if isinstance(names, list) else names if isinstance(names, dict) else {}
    by_id = {str(key): name for key, name in rows.items() if isinstance(name, str | int | float)}
    if not rows or set(by_id) != set(map(str, range(len(rows)))):
        raise DarkshareError("has no names: that are a list, or have the ids 0, 1, …; use --names", file=str(path))
    known: dict[str, int] = {}
    findings: list[Finding] = []
    for index in range(len(rows)):
        given = by_id[str(index)]
        name = " ".join(str(given).split()) or f"class {index}"
        if isinstance(given, bool):
            findings.append(Finding(path, None, f"class {index} is {name} to YAML; put quotes around yes, no, on, off"))
        if name in known:
            findings.append(
                Finding(path, None, f"class {index} is called {name} like another; called '{name} {index}'")
            )
            name = f"{name} {index}"
        known[name] = index
    if count is not None and count != len(rows):
        findings.append(Finding(path, None, f"nc: {_shown(count)}, but there are {len(rows)} names"))
    return tuple(known), findings


def _pictures(path: Path, key: str, value: Any, finder: Finder, watch: Watch) -> Iterator[Path | Finding]:
    """The pictures of a part, and what is wrong with it.

    Roboflow writes `../train/images` for `train/images` beside the file, others the paths of their own machine.

    Raises:
        DarkshareError: it is not clear which folder or list is meant.
    """
    for given in value if isinstance(value, list) else [] if value is None else [value]:
        written = _text(given)
        found = finder.as_written(written) if written else None
        if found is None and written and (found := finder(written)):
            yield Finding(path, None, f"{key}: {written} is not there; {found.path} is taken")
        if found is None:
            yield Finding(path, None, f"{key}: {_shown(given)}: no such folder or list{elsewhere(written)}; left out")
            continue
        place = Path(found.path)
        if is_folder(place):
            pictures = list(files_below(place, *PICTURES))
            yield from pictures
            if not pictures:
                yield Finding(path, None, f"{key}: {place} holds no pictures")
            continue
        for one in listed(place, [Path(base) for base in finder.folders], watch, confined=True):
            yield one if isinstance(one, Finding) else one.picture
