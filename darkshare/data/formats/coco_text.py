"""COCO-Text v2's json: `imgs`, `anns`, `imgToAnns`; the pictures are those of COCO's train2014."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from darkshare.data.annotated import Outline
from darkshare.data.darknet import Watch
from darkshare.data.formats.coco_json import MALFORMED, coco_dataset, corners_of, images_of, read_json
from darkshare.data.types import Dataset, Finding
from darkshare.errors import DarkshareError

LEGIBILITY = ("both", "legible", "illegible")
_SETS = {"train": "train", "val": "valid", "test": "test"}


def read_coco_text(
    path: str | os.PathLike[str],
    *,
    images: Path | None = None,
    legibility: str = "both",
    language: Collection[str] = (),
    text_class: Collection[str] = (),
    watch: Watch = iter,
) -> dict[str, Dataset]:
    """Read COCO-Text v2 (cocotext.v2.json): boxes of the one class "text".

    Text that is not asked for is text all the same. It is marked difficult, so that evaluation neither wants nor
    punishes it.

    Args:
        path: of the json.
        images: the folder of train2014's pictures; without it, the usual places near the json are tried.
        legibility: "legible", "illegible" or "both".
        language: such as "english", "not english", "na"; none for all.
        text_class: such as "machine printed", "handwritten", "others"; none for all.
        watch: goes through the pictures, for a progress bar.

    Returns:
        The parts that its images belong to: train, valid, test; "all" where it names none or one.

    Raises:
        DarkshareError: it is not such a file, its pictures are not found, or it has no such language or class of text.
    """
    path = Path(path)
    document = read_json(path)
    pictures, texts = _table(document, "imgs", path), _table(document, "anns", path)
    wanted = {"legibility": {legibility} - {"both"}, "language": set(language), "class": set(text_class)}
    _require_known(wanted, texts, path)
    known, findings = images_of(pictures.values(), path)
    marked: dict[Any, list[Outline]] = defaultdict(list)
    for key, row in texts.items():
        image, mark = _marked(key, row, wanted)
        if mark is None:
            what = f"annotation {key}: no image_id and bbox of 4 numbers; left out"
            findings.append(Finding(path, None, what, "no bbox"))
        elif image not in known:
            findings.append(Finding(path, None, f"annotation {key}: there is no image {image}; left out", "unknown id"))
        else:
            marked[image].append(mark)
    whole = coco_dataset(path, ["text"], known, marked, findings, images, watch)
    return _parts(whole, {Path(row["file_name"]).name: row.get("set") for row in pictures.values() if _named(row)})


def _marked(key: str, row: Any, wanted: Mapping[str, Collection[str]]) -> tuple[Any, Outline | None]:
    """The image of a text and its box; difficult if it is not asked for."""
    try:
        asked = all(row.get(what) in values for what, values in wanted.items() if values)
        hash(row["image_id"])
        return row["image_id"], Outline("text", corners_of(row), None, not asked, f"annotation {key}")
    except MALFORMED:
        return None, None


def _table(document: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    rows = document.get(key)
    if not isinstance(rows, dict):
        raise DarkshareError(f"has no {key} by id: this is not COCO-Text JSON", file=str(path))
    return rows


def _require_known(wanted: Mapping[str, Collection[str]], texts: Mapping[str, Any], path: Path) -> None:
    for what, values in wanted.items():
        there = {str(row.get(what)) for row in texts.values() if isinstance(row, dict) and what in row}
        if missing := [value for value in values if value not in there]:
            has = ", ".join(sorted(there)) or "none"
            raise DarkshareError(f"has no text of {what} '{missing[0]}'; it has {has}", file=str(path))


def _named(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("file_name"), str)


def _parts(whole: Dataset, sets: Mapping[str, Any]) -> dict[str, Dataset]:
    samples: dict[str, list[Any]] = defaultdict(list)
    for sample in whole.samples:
        samples[_SETS.get(str(sets.get(sample.picture.name)), "train")].append(sample)
    if len(samples) < 2 or "train" not in samples:
        return {"all": whole}
    parts = {part: Dataset(whole.name, whole.names, tuple(found)) for part, found in samples.items()}
    first = parts.pop("train")
    return {"train": Dataset(first.name, first.names, first.samples, whole.findings), **parts}
