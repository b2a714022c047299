"""Pictures of a report, scaled down: with what is found in them, and with what an evaluation counts as wrong."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from itertools import islice

import numpy as np

from darkshare._images import Picture, encoded, read_picture
from darkshare.darknet.model import Model, without_branch_tasks
from darkshare.errors import BadArguments, DarkshareError, Unsupported
from darkshare.evaluation import Accuracies, Evaluations
from darkshare.evaluation.accuracy import WrongGuess
from darkshare.evaluation.wrong_boxes import KINDS, WrongPicture
from darkshare.inference.boxes import Detections
from darkshare.inference.classification import only_detectors
from darkshare.inference.detector import Detector
from darkshare.inference.draw import annotate, colour_of
from darkshare.inference.media.sources import select
from darkshare.inference.preprocess import reads_alpha

MOST = 12  # pictures
WORST = 6  # pictures with errors, of each task
LONGEST = 800  # pixels of a picture's longer side


def found_in(model: Model, images: Sequence[str]) -> tuple[str, str, list[str]]:
    """Find objects in pictures: a summary, the pictures as HTML, and their names."""
    chosen = only_detectors(model)
    if chosen is None:
        raise Unsupported("classifies whole pictures and finds no boxes; leave the pictures out", file=model.name)
    detector, shown, names, boxes = Detector(without_branch_tasks(chosen)), list[str](), list[str](), 0
    frames = select(images, alpha=reads_alpha(chosen.network)).frames(limit=1)
    for frame in islice(frames, MOST):
        if frame.image is None:
            raise frame.error or DarkshareError("gives no picture", file=frame.source)
        found = detector.detect(frame.image)
        boxes += sum(map(len, found))
        names.append(frame.source)
        words = escape("; ".join(f"{one.task}: {_counted(one)}" for one in found))
        shown.append(_figure(frame.source, frame.image, found, words))
    if not shown:
        raise BadArguments("images holds no picture; give one that has some, or leave it out")
    summary = f"{_number(boxes, 'box', 'boxes')} in {_number(len(shown), 'picture', 'pictures')}"
    return summary + (", the first of more" if next(frames, None) else ""), _gallery(shown), names


def worst_errors(found: Evaluations | Accuracies) -> str:
    """The pictures of each task with the worst errors, as HTML."""
    parts: list[tuple[str, list[str]]] = []
    if isinstance(found, Accuracies):
        parts += [(first.task, [_taken(one) for one in first.worst[:WORST]]) for first, *_ in found.tasks]
    else:
        for first in (one.own[0] for one in found.tasks):
            pictures = first.wrong.worst(WORST) if first.wrong else []
            parts.append((f"{first.task} ({first.mistakes})", [_wrong(one) for one in pictures]))
    shown = (f"<h3>Worst errors of {escape(title)}</h3>\n{_gallery(figures)}" for title, figures in parts if figures)
    return "\n".join(shown)


def _taken(one: WrongGuess) -> str:
    """A picture that is taken for another class."""
    words = f"{one.name}, taken for {one.guess} {one.probability:.2f}"
    return _figure(str(one.picture), read_picture(one.picture), (), escape(words))


def _wrong(one: WrongPicture) -> str:
    """A picture with its errors, a colour for each kind."""
    words = "<br>".join(
        f'<span class="kind" style="border-color: rgb{colour_of(place, 0)[::-1]}">{kind}: {escape(text)}</span>'
        for place, (kind, text) in enumerate(zip(KINDS, one.words, strict=True))
        if text
    )
    return _figure(str(one.picture), read_picture(one.picture), one.boxes, words)


def _gallery(figures: Sequence[str]) -> str:
    return f'<div class="pictures">{"".join(figures)}</div>'


def _number(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _figure(name: str, image: Picture, found: Sequence[Detections], words: str) -> str:
    """A picture with its boxes, and what they are in words, as HTML."""
    import cv2

    factor = min(1.0, LONGEST / max(image.shape[:2]))
    size = [max(1, round(length * factor)) for length in image.shape[1::-1]]
    small: Picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    drawn = encoded(annotate(small, [replace(one, boxes=one.boxes * factor) for one in found]), ".jpg")
    picture = f'src="data:image/jpeg;base64,{b64encode(drawn).decode()}" width="{size[0]}" height="{size[1]}"'
    about = f"<figcaption><b>{escape(name)}</b><br>{words}</figcaption>"
    return f'<figure><img {picture} alt="{escape(name)}, with boxes as said below">{about}</figure>\n'


def _counted(found: Detections) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(name for name, *_ in found).items()) or "nothing"
