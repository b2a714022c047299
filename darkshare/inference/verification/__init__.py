"""Proof that networks give the same numbers: a merged one and those it was made of, or two forms of one network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from darkshare._tables import Results
from darkshare.darknet.model import Model
from darkshare.darknet.network import Network
from darkshare.errors import BadArguments, DarkshareError, Unsupported, checked, require_least
from darkshare.inference.detector import Detector, Runnable, runnable
from darkshare.inference.engines import NAMES, presence
from darkshare.inference.media.detecting import Watch, unwatched
from darkshare.inference.media.frames import Frame
from darkshare.inference.media.sources import Names, select
from darkshare.inference.verification.heads import HeadDifference, HeadPair, paired_heads

PICTURES = 8
COARSE = 4  # colours along each side of a random picture
BOUNDS = {"fp32": 0.0, "fp16": 0.1}  # of files with such weights; the most that was seen in fp16 is 0.055
Given = Model | str | os.PathLike[str]


@dataclass(frozen=True, repr=False)
class Verification(Results[HeadDifference]):
    """Whether networks give the same numbers; a sequence with one `HeadDifference` for each head of each task.

    Attributes:
        pictures: how many were looked at, and what they were.
        engine: that computed.
        changed: files whose fingerprints are not those of the files that were merged; of heads that differ.
    """

    pictures: str
    engine: str
    changed: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether all heads are within the bound."""
        return all(one.is_equal for one in self)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each head."""
        return [asdict(one) | {"equal": one.is_equal} for one in self]

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "task": one.task,
                "head": one.layer,
                "alone": one.twin,
                "shape": "x".join(map(str, one.shape)),
                "largest": one.largest,
                "share": one.share,
                "equal": "yes" if one.is_equal else "no",
            }
            for one in self
        ]

    def notes(self) -> list[str]:
        """The verdict, what it holds for, and where heads differ most."""
        lines = [self.summary(), f"{self.pictures}, {self.engine}"]
        if not self.is_equal:
            most = max(self, key=lambda one: one.share)
            lines.append(f"most in layer {most.layer}, channel {{}}, row {{}}, column {{}}".format(*most.cell))
            lines.append(f"of {most.picture}")
        lines += [f"{file} is not the file that was merged: it has another fingerprint" for file in self.changed]
        same = [f"layer {one.layer}" for one in self if not one.varies]
        return [*lines, f"{', '.join(same)}: the same for all pictures, which proves little"] if same else lines

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"equal": self.is_equal, "pictures": self.pictures, "engine": self.engine}

    def summary(self) -> str:
        wrong, heads = [one for one in self if not one.is_equal], "1 head" if len(self) == 1 else f"{len(self)} heads"
        bound = f"by more than {self[0].bound:g} of the largest number" if self[0].bound else "in some number"
        within = f"within {self[0].bound:g} of the largest number" if self[0].bound else "in every number"
        return f"not equal: {len(wrong)} of {heads} differ {bound}" if wrong else f"equal: {heads}, {within}"


@checked
def verify(
    merged: Given,
    *separate: Given,
    images: Names | None = None,
    pictures: int = PICTURES,
    seed: int = 0,
    engine: str | None = None,
    precision: str = "fp32",
    bound: float | None = None,
    watch: Watch = unwatched,
) -> Verification:
    """Run a merged network beside those it was made of, or a network beside another form of it, and compare each head.

    Tasks belong together by their names, or in order where the names differ. Of a padded head the classes of its own
    task are compared.

    Args:
        merged: a model, the name of its .cfg, or that of a file that `export` wrote.
        separate: the networks that it was made of, likewise; or one other form of it.
        images: pictures to compare on, as `detect` takes them; None for random ones.
        pictures: how many random ones.
        seed: of the random ones.
        engine: what computes; None for `engines.DEFAULT`, or what an int8 file is for.
        precision: to compute in.
        bound: the largest difference of equal heads, as a share of the largest number in the head; None for what the
            engine is known for, which is 0 in fp32.
        watch: goes through the frames, for a progress bar; it also gets a function that counts those that will come.

    Raises:
        BadArguments: there is nothing to compare with.
        ShapeMismatch: networks that do not belong together.
        DarkshareError: a picture that cannot be read, heads whose values are not numbers, or an engine that cannot run.
    """
    require_least(1, pictures=pictures)
    require_least(0, seed=seed, bound=bound)
    if not separate:
        raise BadArguments("give what to compare with: the networks that were merged, as .tasks.json has no paths")
    sides = [runnable(one, engine) for one in (merged, *separate)]
    if decoded := next((one.file for one in sides if one.one_output), None):
        raise Unsupported("gives boxes, and raw heads are compared; export it without one output", file=str(decoded))
    heads = paired_heads(*(one.model for one in sides))
    network = sides[0].model.network
    detectors = [Detector(one.model, engine=one.engine, precision=precision, file=one.file) for one in sides]
    bound = _bound(sides, precision) if bound is None else bound
    selection = select(images, alpha=network.input.c == 4) if images is not None else None
    frames = selection.frames() if selection else random_frames(network, pictures, seed)
    seen = _run(heads, detectors, watch(frames, selection.length if selection else lambda: pictures))
    items = tuple(head.result(bound) for head in heads)
    wrong = [head for head, item in zip(heads, items, strict=True) if not item.is_equal]
    changed = dict.fromkeys(file for head in wrong for file in head.changed())
    noun = "picture" if seen == 1 else "pictures"
    what = noun if selection else f"random {noun} of seed {seed}"
    used = " and ".join(dict.fromkeys(f"{one.engine} {presence(one.engine).version}" for one in sides))
    return Verification(items, f"{seen} {what}", f"{used} in {precision}", tuple(changed))


def _run(heads: Sequence[HeadPair], detectors: Sequence[Detector], frames: Iterable[Frame]) -> int:
    """Take in what all networks give for each picture; returns how many there were."""
    seen = 0
    for frame in frames:
        if frame.image is None:
            raise frame.error or DarkshareError("gives no picture", file=frame.source)
        found = [one.raw(frame.image) for one in detectors]
        name = f"{frame.source}, {frame.number}" if frame.is_numbered else frame.source
        for head in heads:
            head.add(name, found[0][head.layer.index], found[head.place][head.twin.index])
        seen += 1
    if not seen:
        raise BadArguments("images holds no picture; give one that has some, or leave it out")
    return seen


def random_frames(network: Network, pictures: int, seed: int) -> Iterator[Frame]:
    """Make pictures for a network: smooth colours, under noise that grows from none in the first to all in the last.

    Every second one is narrower than the input, to show whether it is stretched or fitted into gray.
    """
    channels, height, width = network.input[:3]
    for i in range(pictures):
        lot = np.random.default_rng([seed, i])
        shape = (height, width if i % 2 == 0 else (3 * width + 3) // 4, channels)
        places = (np.linspace(0, COARSE - 1, length)[:, None] - np.arange(COARSE) for length in shape[:2])
        rows, columns = (np.maximum(0, 1 - np.abs(place)) for place in places)  # linear between two colours
        smooth = np.einsum("hi,ijc,wj->hwc", rows, lot.uniform(0, 255, (COARSE, COARSE, channels)), columns)
        noise = i / max(pictures - 1, 1)
        image = (1 - noise) * smooth + noise * lot.uniform(0, 255, shape)
        yield Frame(f"random picture {i + 1}", image.astype(np.uint8))


def _bound(sides: Sequence[Runnable], precision: str) -> float:
    """The largest bound of what takes part: the engines in this precision, and the files.

    Raises:
        BadArguments: a file in int8.
    """
    if rough := [one for one in sides if one.stored not in BOUNDS]:
        why = f"{rough[0].file} is in {rough[0].stored}, where each network is off by another share"
        raise BadArguments(f"{why}: say with bound which is right (export measures how well its boxes agree)")
    return max(max(NAMES[one.engine].bounds[precision], BOUNDS[one.stored]) for one in sides)
