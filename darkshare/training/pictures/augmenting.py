"""Darknet's augmentations, in both forks' forms (load_data_detection in data.c), on numpy and OpenCV.

A picture's random numbers come from one seed of its own, so neither the number of workers nor an interruption
changes what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkshare._images import Picture
from darkshare.darknet.kinds import Boxes
from darkshare.darknet.letterbox import fitted
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Floats
from darkshare.data.forks import most_boxes
from darkshare.errors import BadValue, Unsupported
from darkshare.inference.preprocess import preprocess
from darkshare.training.pictures import colours, geometry, mosaics
from darkshare.training.pictures.geometry import Size, Window
from darkshare.training.pictures.mosaics import Shot


class Example(NamedTuple):
    """A picture and its truths as the network is trained on them.

    Attributes:
        image: (channels, height, width), RGB in 0..1; where they are packed, some in bytes: see `unpacked`.
        truths: rows (class_id, x, y, w, h), relative to the image.
    """

    image: Floats | Picture
    truths: Floats


class Labelled(NamedTuple):
    """A picture as read (BGR) and its truths."""

    picture: Picture
    truths: Floats


Read = Callable[[int], Labelled]


@dataclass(frozen=True)
class Augmentation:
    """Augmentation as a cfg asks for it: the keys of [net] and of the last head, under Darknet's names.

    `most` is how many boxes of a picture are kept, `gray` whether the network reads one channel.
    """

    dialect: str
    gray: bool
    jitter: float
    resize: float
    hue: float
    saturation: float
    exposure: float
    flip: bool
    blur: int
    gaussian_noise: int
    mixup: bool
    mosaic: bool
    mosaic_bound: bool
    letter_box: bool
    most: int

    @classmethod
    def of(cls, network: Network) -> Augmentation:
        """The augmentation that this network's cfg asks for.

        Raises:
            Unsupported: no head of boxes, or pictures of other channels than gray or colour.
            BadValue: values that exclude each other.
        """
        net, dialect, section = network.net, network.dialect, network.cfg.sections[0]
        heads = [layer for layer in network.layers if isinstance(layer.kind, Boxes)]
        if not heads:
            raise Unsupported("has no [yolo] or other head of boxes, so there is nothing to train", file=network.name)
        if net.letter_box and net.mosaic:
            why = "letter_box=1 and mosaic=1 exclude each other; remove one"
            raise BadValue(why, file=network.name, line=section.line_of("mosaic"))
        if network.input.c not in (1, 3):
            why = f"channels={network.input.c}: training reads pictures of 1 or 3, without alpha, as Darknet's does"
            raise Unsupported(why, file=network.name, line=section.line_of("channels"))
        last = heads[-1].kind
        assert isinstance(last, Boxes)
        return cls(
            dialect=dialect,
            gray=network.input.c == 1,
            jitter=last.jitter,
            resize=last.resize if last.resize > 0 else 1.0,
            hue=net.hue,
            saturation=net.saturation,
            exposure=net.exposure,
            flip=bool(net.flip),
            blur=net.blur,
            gaussian_noise=net.gaussian_noise,
            mixup=bool(net.mixup),
            mosaic=bool(net.mosaic),
            mosaic_bound=bool(net.mosaic_bound),
            letter_box=bool(net.letter_box),
            most=most_boxes(network),
        )


def augmented(
    how: Augmentation, read: Read, index: int, count: int, size: Size, rng: np.random.Generator, *, packed: bool = False
) -> Example:
    """One picture of a data set as the network is to see it now.

    Args:
        how: what the cfg says.
        read: gives a picture of the data set by its number.
        index: which picture.
        count: how many there are: mosaic and mixup draw further ones.
        size: width and height of the network's input.
        rng: all that is random comes from here.
        packed: leave an image in bytes that is made of them.
    """
    if how.dialect == "pjreddie":
        return _pjreddie(how, _coloured(read(index), how), size, rng)
    mixed = rng.random() < 0.5  # Darknet mixes half of what it loads
    number = 4 if how.mosaic and mixed else 2 if how.mixup and mixed else 1
    chosen = [index, *map(int, rng.integers(count, size=number - 1))]
    shots = [
        _shot(how, _coloured(read(i), how), size, rng, part if number == 4 else None) for part, i in enumerate(chosen)
    ]
    if number == 4:
        canvas, truths = mosaics.assembled(shots, mosaics.drawn_cut(size, rng), size, bound=how.mosaic_bound)
        images = [_image(canvas)]
    else:
        images = [_image(shot.picture) for shot in shots]
        truths = np.concatenate([shot.truths for shot in shots])
    if number == 2:
        a, b = map(unpacked, images)
        return Example((a + b) / np.float32(2), truths[: how.most])
    return Example(images[0] if packed else unpacked(images[0]), truths[: how.most])


def undistorted(network: Network, labelled: Labelled) -> Example:
    """A picture as inference sees it: stretched, or letterboxed where the fork does so."""
    picture, truths = labelled
    size = np.array([network.input.w, network.input.h], np.float32)
    inner = np.array(fitted(network, (picture.shape[1], picture.shape[0])), np.float32)
    scale = inner / size
    corner = (size - inner) // 2 / size
    center = truths[:, 1:3] * scale + corner
    return Example(
        preprocess(picture, network)[0], np.concatenate([truths[:, :1], center, truths[:, 3:5] * scale], axis=1)
    )


def _coloured(labelled: Labelled, how: Augmentation) -> Labelled:
    """The same in RGB, or gray."""
    import cv2

    to = cv2.COLOR_BGR2GRAY if how.gray else cv2.COLOR_BGR2RGB
    return Labelled(np.asarray(cv2.cvtColor(labelled.picture, to), np.uint8), labelled.truths)


def _image(picture: NDArray[Any]) -> NDArray[Any]:
    """A picture in the order of a network's input: (channels, height, width)."""
    return np.ascontiguousarray(picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1))


def unpacked(image: Picture | Floats) -> Floats:
    """Bytes as 0..1; others are that already."""
    values = image.astype(np.float32, copy=False)
    if image.dtype == np.uint8:
        values /= np.float32(255)  # in place: fresh memory costs more than the division
    return values


def scale_up_to(most: float, rng: np.random.Generator) -> float:
    """From 1 to `most`, or its inverse (rand_scale in utils.c)."""
    scale = float(rng.uniform(min(1.0, most), max(1.0, most)))
    return scale if rng.random() < 0.5 else 1 / scale


def _colours(how: Augmentation, rng: np.random.Generator) -> tuple[float, float, float]:
    return float(rng.uniform(-how.hue, how.hue)), scale_up_to(how.saturation, rng), scale_up_to(how.exposure, rng)


def _shot(how: Augmentation, labelled: Labelled, size: Size, rng: np.random.Generator, quarter: int | None) -> Shot:
    """A picture in AlexeyAB's form: a random window, stretched; flipped, coloured, blurred, noisy."""
    original = labelled.picture.shape[1], labelled.picture.shape[0]
    window = geometry.drawn_window(original, how.jitter, how.resize, rng)
    flip = how.flip and bool(rng.random() < 0.5)
    colour = _colours(how, rng)
    if how.letter_box:
        window = geometry.letterboxed(window, original, size)
    if quarter is not None and rng.random() < 0.5:
        window = geometry.to_corner(window, quarter, flip=flip)
    if not window.is_legal(original):
        window = Window(0, 0, 0, 0)
    truths = _truths(how, labelled.truths, window, original, size, flip, rng)
    picture = geometry.cropped(labelled.picture, window, size)
    picture = colours.distorted_bytes(picture[:, ::-1] if flip else picture, *colour)
    picture = colours.blurred(np.ascontiguousarray(picture), _blur(how, truths, size, rng), truths)
    if how.gaussian_noise and rng.random() < 0.5:
        picture = colours.noisy(picture, how.gaussian_noise, rng)
    seen = window._replace(left=window.right, right=window.left) if flip else window
    return Shot(picture, truths, seen, original)


def _truths(
    how: Augmentation, truths: Floats, window: Window, original: Size, size: Size, flip: bool, rng: np.random.Generator
) -> Floats:
    """Truths in the window, in random order."""
    wide, high = window.inner(original)
    scale, shift = (original[0] / wide, original[1] / high), (-window.left / wide, -window.top / high)
    found = rng.permutation(truths)
    return geometry.moved(found, scale, shift, flip=flip, smallest=geometry.smallest_of(size, how.dialect))[: how.most]


def _blur(how: Augmentation, truths: Floats, size: Size, rng: np.random.Generator) -> int:
    """The strength of the blur: none, behind the boxes, or everywhere, unless a box is too small for that."""
    if not how.blur:
        return 0
    strength = (0, 1, how.blur)[int(rng.integers(3))]
    smallest = int((truths[:, 3:5] * size).min()) if len(truths) else 0
    return min(strength, smallest // 8) if strength > 1 else strength


def _pjreddie(how: Augmentation, labelled: Labelled, size: Size, rng: np.random.Generator) -> Example:
    """The form of pjreddie's fork: the picture in another aspect ratio, somewhere on gray; coloured and flipped."""
    (width, height), (high, wide) = size, labelled.picture.shape[:2]
    reach_w, reach_h = how.jitter * wide, how.jitter * high
    aspect = (wide + rng.uniform(-reach_w, reach_w)) / max(high + rng.uniform(-reach_h, reach_h), 1)
    inner = (height * aspect, float(height)) if aspect < 1 else (float(width), width / aspect)
    corner = tuple(float(rng.uniform(*sorted((0.0, whole - part)))) for whole, part in zip(size, inner, strict=True))
    image: Floats = labelled.picture.astype(np.float32) / np.float32(255)
    whole = max(int(inner[0]), 1), max(int(inner[1]), 1)
    image = geometry.placed(image, whole, (int(corner[0]), int(corner[1])), size)
    image = colours.distorted_floats(image, *_colours(how, rng))
    flip = bool(rng.random() < 0.5)
    scale, shift = (inner[0] / width, inner[1] / height), (corner[0] / width, corner[1] / height)
    smallest = geometry.smallest_of(size, how.dialect)
    truths = geometry.moved(rng.permutation(labelled.truths)[: how.most], scale, shift, flip=flip, smallest=smallest)
    return Example(_image(image[:, ::-1] if flip else image), truths)
