"""The labels that each fork of Darknet finds, the pictures that it decodes and the boxes that it trains."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from darkshare.data.labels import LABEL_RULES
from darkshare.data.lists import Listed
from darkshare.data.types import Finding, Sample

MOST_BOXES: Mapping[str, int] = {"alexeyab": 200, "pjreddie": 90, "hank-ai": 200}  # of a picture, without max=
SUFFIXES = (".jpg", ".JPG", ".JPEG", ".png")  # for which every fork finds labels
_CURE = "import-data writes files that every fork reads"
_FORMATS = {  # of PICTURES, by their first bytes: those that stb_image.h reads, which is Darknet's without OpenCV
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "stb": (b"BM", b"P5", b"P6", b"#?RADIANCE", b"#?RGBE"),
    "opencv": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"RIFF", b"v/1\1", b"\xff\x4f\xff\x51", b"P1", b"P2", b"P3", b"P4"),
}
_BOXES = (b"ftyp", b"jP  ")  # at byte 4: AVIF, JPEG 2000
_WITHOUT_LABELS = {
    "alexeyab": "it takes them for pictures without objects",
    "pjreddie": "it stops there, or takes them for pictures without objects",
    "hank-ai": "it stops there",
}


class Audit:
    """Counts, while a list is read, of what each fork does not find or read."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._unlabelled: dict[str, tuple[int, str, str]] = {}

    def add(self, sample: Sample, listed: Listed) -> None:
        """Look at a picture.

        Args:
            sample: the picture with the boxes that darkshare reads.
            listed: where it is; the path as the list has it decides where Darknet looks for labels.
        """
        self._samples.append(sample)
        for fork, rule in LABEL_RULES.items():
            place = rule(listed.name)
            if not finds_labels(os.path.join(listed.folder, place)):  # noqa: PTH118 - many thousand times
                count, *first = self._unlabelled.get(fork, (0, listed.name, place))
                self._unlabelled[fork] = (count + 1, *first)

    def findings(self, path: Path) -> Iterator[Finding]:
        """Each problem in one line.

        Args:
            path: of the list.
        """
        for fork, (count, text, place) in self._unlabelled.items():
            yield Finding(path, None, f"{unlabelled(fork, count, len(self._samples), text, place)}; {_CURE}")
        if what := undecodable(sample.picture for sample in self._samples):
            yield Finding(path, None, f"{what}; {_CURE}")
        most = MOST_BOXES["alexeyab"]
        if what := crowded(self._samples, most):
            cure = f"max={fullest(self._samples)} in each [yolo] section of the cfg trains all"
            yield Finding(path, None, f"{what} (pjreddie's takes {MOST_BOXES['pjreddie']}); {cure}")


def finds_labels(place: str) -> bool:
    """Whether the file that a fork opens for a picture's labels is there, and is not the picture itself."""
    return place.endswith(".txt") and os.path.isfile(place)  # noqa: PTH113 - Path's may raise


def unlabelled(fork: str, count: int, pictures: int, text: str, place: str) -> str:
    """Say of how many pictures a fork finds no labels.

    Args:
        fork: a key of LABEL_RULES.
        count: of these pictures.
        pictures: of the list.
        text: the path of the first.
        place: where the fork looks for its labels.
    """
    where = f"it looks for {place}" if place.endswith(".txt") else "it does not know the suffix"
    what = f"{fork}'s Darknet does not find the labels of {count} of {pictures} pictures ({_WITHOUT_LABELS[fork]})"
    return f"{what}, such as {text}: {where}"


def undecodable(pictures: Iterable[Path]) -> str:
    """Say how many pictures Darknet reads only when it was built with OpenCV, or nothing."""
    lost = [picture for picture in pictures if _format(picture) == "opencv"]
    what = "pictures are in a format that Darknet reads only with OpenCV (hank-ai's always has it)"
    return f"{len(lost)} {what}, such as {lost[0]}" if lost else ""


def crowded(samples: Sequence[Sample], most: int) -> str:
    """Say how many boxes are more than a head's `max=` takes, or nothing."""
    more = [len(sample.boxes) - most for sample in samples if len(sample.boxes) > most]
    if not more:
        return ""
    what = f"{len(more)} of {len(samples)} pictures have more boxes than the {most} that are trained of one"
    return f"{what} unless max= says otherwise: {sum(more)} are left out each time and learned as background"


def fullest(samples: Sequence[Sample]) -> int:
    """The largest number of boxes in a picture."""
    return max(len(sample.boxes) for sample in samples)


def ready_suffix(picture: Path) -> tuple[str, bool]:
    """The suffix under which every fork finds the labels of a picture and decodes it.

    Returns:
        The suffix, and whether the picture has to be written anew as a PNG for that.
    """
    form = _format(picture)
    if form == "opencv" or (form == "stb" and picture.suffix not in SUFFIXES):
        return ".png", True
    if not form or picture.suffix in SUFFIXES:
        return picture.suffix, False
    return (".jpg" if form == "jpeg" else ".png"), False


def changed(pictures: Iterable[Path]) -> Iterator[str]:
    """Say how many pictures `ready_suffix` gives other names or formats."""
    found = [(picture, *ready_suffix(picture)) for picture in pictures]
    anew = [picture for picture, _, again in found if again]
    renamed = [picture for picture, suffix, again in found if not again and suffix != picture.suffix]
    if anew:
        yield f"{len(anew)} pictures are written anew as .png, so that every Darknet reads them, such as {anew[0]}"
    if renamed:
        yield f"{len(renamed)} pictures get a suffix that every Darknet knows, such as {renamed[0]}"


def _format(picture: Path) -> str:
    """A key of _FORMATS, or nothing for a file that is not a picture or cannot be read, which is said elsewhere."""
    try:
        with open(picture, "rb", buffering=0) as file:
            head = file.read(12)
    except OSError:
        return ""
    known = (form for form, starts in _FORMATS.items() if head.startswith(starts))
    return next(known, "opencv" if head[4:8] in _BOXES else "")
