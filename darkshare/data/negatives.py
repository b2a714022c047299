"""Pictures without objects, which teach a detector what is not one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from textwrap import wrap

from darkshare._images import PICTURES
from darkshare.darknet.typed import typed
from darkshare.data.formats.folders import files_below
from darkshare.data.twins import twins_in
from darkshare.data.types import ClassifiedDataset, Dataset, Sample
from darkshare.errors import BadValue, DarkshareError

SMALL = 1000  # pictures: what larger sets show around their objects teaches a detector enough of the rest
FEW = 0.05  # of them; below that, hardly a batch of 16 holds one


def lack_of_negatives(learn: Dataset, listed: Path | None = None) -> list[str]:
    """Describe what comes of too few pictures without objects, in lines of 80 columns, and give the command that helps.

    A detector is only punished for what it finds beside the objects of its own pictures. From 160 portraits of
    raccoons it learns that whatever fills a picture is one. AlexeyAB's advice is as many pictures without objects as
    with them.

    Args:
        learn: the pictures to train on.
        listed: the list of them, to which the command appends; without it, `train --negatives` is named.

    Returns:
        The lines; none where there are enough.
    """
    count = len(learn.samples)
    empty = sum(not sample.boxes for sample in learn.samples)
    if not count or count >= SMALL or empty >= FEW * count:
        return []
    has = f"{empty or 'None'} of the {count} pictures to train on {'are' if empty > 1 else 'is'} without objects"
    advice = f"{has}: the detector will take much else for one (of raccoons: people, at 0.95)."
    what = "pictures of what else it will see"
    if listed is None:
        return wrap(f"{advice} --negatives FOLDER takes {what} from a folder", 80)
    loop = f'for f in NEGATIVES/*.jpg; do : > "${{f%.*}}.txt"; realpath "$f" >> {typed(listed)}; done'
    return [*wrap(f"{advice} Add about {count - empty} {what}, each with an empty .txt beside it:", 80), loop]


def with_negatives(
    learn: Dataset | ClassifiedDataset, folder: str | os.PathLike[str], seed: int
) -> tuple[Dataset, str]:
    """Add the pictures of a folder, on which nothing is to be found; at most as many as show objects.

    Args:
        learn: the pictures to train on.
        folder: with pictures in it or below it; labels beside them are not read.
        seed: chooses among more of them.

    Returns:
        The data set, and what was added in words.

    Raises:
        BadValue: the pictures have classes.
        DarkshareError: the folder has no picture that is not among those to train on.
    """
    import numpy as np

    if isinstance(learn, ClassifiedDataset):
        raise BadValue("negatives are for detectors; a classifier has a class for every picture")
    most = sum(bool(sample.boxes) for sample in learn.samples)
    found = Dataset("negatives", (), tuple(Sample(path, ()) for path in files_below(Path(folder), *PICTURES)))
    known = {twin.picture for twin in twins_in({"train": learn, "negatives": found}) if twin.part == "negatives"}
    fresh = [sample for sample in found.samples if sample.picture not in known]
    if not fresh:
        why = "holds no pictures" if not found.samples else "holds only pictures that are trained on already"
        raise DarkshareError(f"{why}; --negatives takes a folder of others", file=str(folder))
    chosen = sorted(np.random.default_rng(seed).permutation(len(fresh))[:most])
    said = f"{len(chosen)} of {len(fresh)} pictures of {os.fspath(folder)} show nothing that is to be found"
    return replace(learn, samples=(*learn.samples, *(fresh[index] for index in chosen))), said
