"""COCO's json of boxes: `images`, `annotations`, `categories`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darkshare.data.annotated import Outline
from darkshare.data.darknet import Watch
from darkshare.data.formats.coco_json import MALFORMED, coco_dataset, corners_of, id_of, images_of, read_json
from darkshare.data.types import Dataset, Finding
from darkshare.errors import DarkshareError


def read_coco(
    path: str | os.PathLike[str],
    *,
    images: Path | None = None,
    names: Sequence[str] | None = None,
    watch: Watch = iter,
) -> Dataset:
    """Read a COCO json of boxes, such as instances_val2017.json.

    The classes are its categories in the order of their ids; gaps between these are closed. Boxes that reach outside
    are clipped. Boxes around a crowd are marked difficult, since COCO's evaluation passes over them.

    Args:
        path: of the json.
        images: the folder of the pictures; without it, the usual places near the json are tried.
        names: of the classes, in order, instead of the categories.
        watch: goes through the pictures, for a progress bar.

    Raises:
        DarkshareError: it is not such a file, or its pictures are not found.
    """
    path = Path(path)
    document = read_json(path)
    ids, called, findings = _categories(_rows(document, "categories", path), path)
    known, more = images_of(_rows(document, "images", path), path)
    findings += more
    marked: dict[Any, list[Outline]] = defaultdict(list)
    for index, row in enumerate(_rows(document, "annotations", path)):
        label = f"annotation {row.get('id', f'number {index}') if isinstance(row, dict) else f'number {index}'}"
        try:
            image, category = id_of(row["image_id"]), id_of(row["category_id"])
            if image in known and category in ids:
                crowd = bool(float(row.get("iscrowd") or 0))
                marked[image].append(Outline(called[ids[category]], corners_of(row), None, crowd, label))
                continue
            what = f"category {category}" if image in known else f"image {image}"
            findings.append(Finding(path, None, f"{label}: there is no {what}; left out", "unknown id"))
        except MALFORMED:
            what = f"{label}: no image_id, category_id and bbox of 4 numbers; left out"
            findings.append(Finding(path, None, what, "no bbox"))
    used = {one.name for outlines in marked.values() for one in outlines}
    findings += _without_boxes(document["categories"], names or called, used, path)
    findings += _mostly_crowds([one.difficult for outlines in marked.values() for one in outlines], path)
    sides = [side for outlines in marked.values() for one in outlines for point in one.points for side in point]
    if sides and 0 < max(sides) <= 1:
        findings.append(
            Finding(path, None, "no box has a number above 1: they are taken for fractions of the pictures")
        )
        known = {key: image._replace(fractions=True) for key, image in known.items()}
    return coco_dataset(path, names or called, known, marked, findings, images, watch)


def _without_boxes(rows: Sequence[Any], names: Sequence[str], used: Collection[str], path: Path) -> Iterator[Finding]:
    """Find the classes that are only what others are kinds of, as in Roboflow's files; Darknet would train them."""
    pairs = ((row.get("name"), str(row.get("supercategory"))) for row in rows if isinstance(row, dict))
    above = {general for name, general in pairs if name != general}
    for name in names:
        if name in above and name not in used:
            what = f"category {name} has no boxes, it is only what others are kinds of; --keep-classes leaves it out"
            yield Finding(path, None, what, "class without boxes")


def _mostly_crowds(crowds: Sequence[bool], path: Path) -> Iterator[Finding]:
    """Find that most boxes are around crowds: of COCO's own it is one in a hundred, but CVAT marks every mask so."""
    if 2 * sum(crowds) > len(crowds):
        what = (
            f"{sum(crowds)} of {len(crowds)} boxes have iscrowd=1, as CVAT writes masks: they are difficult, and not "
        )
        yield Finding(path, None, f"{what}trained; --difficult keep makes them boxes like all others", "crowds")


def _categories(rows: Sequence[Any], path: Path) -> tuple[dict[int | str, int], tuple[str, ...], list[Finding]]:
    """Class ids by category id, the names in their order, and what is wrong with them."""
    found: dict[int | str, str] = {}
    taken: set[str] = set()
    findings: list[Finding] = []
    for row in rows:
        try:
            key, name = id_of(row["id"]), " ".join(str(row["name"]).split())
            if not isinstance(key, int | str) or not name:
                raise TypeError
        except MALFORMED:
            what = f"category {str(row)[:60]}: no id and name; left out"
            findings.append(Finding(path, None, what, "category without a name"))
            continue
        if key in found:
            findings.append(
                Finding(path, None, f"category {key} is there twice; the first one counts", "category twice")
            )
            continue
        if name in taken:
            what = f"category {key} is called {name} like another; called '{name} {key}'"
            findings.append(Finding(path, None, what, "name of a category twice"))
            name = f"{name} {key}"
        found[key] = name
        taken.add(name)
    if not found:
        raise DarkshareError("has no categories", file=str(path))
    order = sorted(found, key=lambda key: (isinstance(key, str), key))
    return {key: index for index, key in enumerate(order)}, tuple(found[key] for key in order), findings


def _rows(document: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    rows = document.get(key)
    if not isinstance(rows, list):
        raise DarkshareError(f"has no list of {key}: this is not COCO JSON with boxes", file=str(path))
    return rows
