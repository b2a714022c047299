"""The labels that each fork of Darknet finds, the pictures that it decodes and the boxes that it trains."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from darkshare._files import is_file, reading
from darkshare._images import header
from darkshare.darknet.kinds.heads import Boxes
from darkshare.darknet.network import Network
from darkshare.data.labels import LABEL_RULES
from darkshare.data.lists import Listed
from darkshare.data.types import Dataset, Finding, Sample
from darkshare.errors import DarkshareError

_PJREDDIE_BOXES = 90  # of a picture, where the head has no max=
_MOST_BOXES = {"alexeyab's and hank-ai's default": 200, "pjreddie's default": _PJREDDIE_BOXES}
SUFFIXES = (".jpg", ".JPG", ".JPEG", ".png")  # for which every fork finds labels
_CURE = "import-data writes files that every fork reads"
_FORMATS = {  # of PICTURES, by their first bytes: those that stb_image.h reads, which is Darknet's without OpenCV
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "stb": (b"BM", b"P5", b"P6", b"#?RADIANCE", b"#?RGBE"),
    "opencv": (
        b"II*\0",
        b"MM\0*",
        b"II+\0",
        b"MM\0+",
        b"RIFF",
        b"v/1\1",
        b"\xff\x4f\xff\x51",
        b"P1",
        b"P2",
        b"P3",
        b"P4",
    ),
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
                count, first, there = self._unlabelled.get(fork, (0, listed.name, place))
                self._unlabelled[fork] = (count + 1, first, there)

    def findings(self, path: Path, most_boxes: Mapping[str, int] | None = None) -> Iterator[Finding]:
        """Each problem in one line.

        Args:
            path: of the list.
            most_boxes: of a picture that are trained, by what says so; without it, what each fork's default is.
        """
        for fork, (count, name, place) in self._unlabelled.items():
            yield Finding(path, None, unlabelled(fork, count, len(self._samples), name, place))
        if what := undecodable(sample.picture for sample in self._samples):
            yield Finding(path, None, what)
        for whose, most in (most_boxes or _MOST_BOXES).items():
            if what := crowded(self._samples, most):
                yield Finding(path, None, f"{what} ({most} is {whose})")


def finds_labels(place: str) -> bool:
    """Whether the file that a fork opens for a picture's labels is there, and is not the picture itself."""
    return place.endswith(".txt") and is_file(place)


def unlabelled(fork: str, count: int, pictures: int, name: str, place: str) -> str:
    """Say of how many pictures a fork finds no labels.

    Args:
        fork: a key of LABEL_RULES.
        count: of these pictures.
        pictures: of the list.
        name: the path of the first.
        place: where the fork looks for its labels.
    """
    where = f"it looks for {place}" if place.endswith(".txt") else "it does not know the suffix"
    what = f"{fork}'s Darknet does not find the labels of {count} of {pictures} pictures ({_WITHOUT_LABELS[fork]})"
    return f"{what}, such as {name}: {where}; {_CURE}"


def undecodable(pictures: Iterable[Path]) -> str:
    """Say how many pictures Darknet reads only when it was built with OpenCV, or nothing."""
    lost = [picture for picture in pictures if _format(picture) == "opencv"]
    what = "pictures are in a format that Darknet reads only with OpenCV (hank-ai's always has it)"
    return f"{len(lost)} {what}, such as {lost[0]}; {_CURE}" if lost else ""


def turned(orientations: Mapping[Path, int], pictures: int) -> str:
    """Say how many pictures are stored turned, of which the orientations are given, or nothing."""
    found = [f"{picture.name}: {held}" for picture, held in orientations.items() if held > 1]
    few = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
    what = f"{len(found)} of {pictures} pictures are stored turned or mirrored, with a note in EXIF ({few}); labels are"
    trained = "for the picture as it is shown, but Darknet without OpenCV shows it as stored and trains on wrong boxes"
    return f"{what} {trained}; turn the files (mogrify -auto-orient); {_CURE}" if found else ""


def crowded(samples: Sequence[Sample], most: int) -> str:
    """Say how many boxes are more than a head's `max=` takes, or nothing."""
    counts = [len(sample.boxes) for sample in samples]
    more = [count - most for count in counts if count > most]
    what = f"{len(more)} of {len(counts)} pictures have more than {most} boxes: {most} are trained at a time"
    cure = f"max={max(counts, default=0)} in each head's section of the cfg trains all"
    return f"{what}, and the other {sum(more)} are then learned as background; {cure}" if more else ""


def most_boxes(network: Network) -> int:
    """The number of boxes of a picture that a network is trained with: `max=` of its last head of boxes."""
    last = next(layer for layer in reversed(network.layers) if isinstance(layer.kind, Boxes))
    assert isinstance(last.kind, Boxes)
    counted = last.section.get("max") is not None
    return last.kind.max if counted or network.dialect != "pjreddie" else _PJREDDIE_BOXES


def ready_suffix(picture: Path) -> tuple[str, bool]:
    """The suffix under which every fork finds the labels of a picture, decodes it, and sees it as it is to be shown.

    Returns:
        The suffix, and whether the picture has to be written anew for that, in the format of the suffix.
    """
    form = _format(picture)
    if form == "opencv" or (form == "stb" and picture.suffix not in SUFFIXES):
        return ".png", True
    known = not form or picture.suffix in SUFFIXES
    return picture.suffix if known else ".jpg" if form == "jpeg" else ".png", orientation(picture) > 1


def orientation(picture: Path) -> int:
    """EXIF's orientation of a picture, 1 to 8; 1 where it cannot be read, which is said elsewhere."""
    try:
        return header(picture).orientation
    except DarkshareError:
        return 1


def changed(source: Path, parts: Iterable[Dataset]) -> Iterator[Finding]:
    """Say how many pictures `ready_suffix` gives other names, formats or orientations.

    Args:
        source: that the findings are about.
        parts: with the pictures.
    """
    pictures = dict.fromkeys(sample.picture for part in parts for sample in part.samples)
    found = [(picture, *ready_suffix(picture)) for picture in pictures]
    again = {picture: orientation(picture) > 1 for picture, _, anew in found if anew}
    renamed = [picture for picture, suffix, anew in found if not anew and suffix != picture.suffix]
    shown = "pictures are stored turned (EXIF); they are written anew as they are shown, JPEG in quality 95"
    read = "pictures are written anew as .png, so that every Darknet reads them"
    known = "pictures get a suffix for which every Darknet finds labels"
    for which, what in (
        ([picture for picture, is_turned in again.items() if is_turned], shown),
        ([picture for picture, is_turned in again.items() if not is_turned], read),
        (renamed, known),
    ):
        if which:
            yield Finding(source, None, f"{len(which)} {what}, such as {which[0]}")


def _format(picture: Path) -> str:
    """A key of _FORMATS, or nothing for a file that is not a picture or cannot be read, which is said elsewhere."""
    try:
        with reading(picture), open(picture, "rb", buffering=0) as file:
            head = file.read(12)
    except DarkshareError:
        return ""
    known = (form for form, starts in _FORMATS.items() if head.startswith(starts))
    return next(known, "opencv" if head[4:8] in _BOXES else "")
