"""Darknet's augmentation of pictures for classifiers (load_image_augment_paths and load_data_augment in data.c).

A random part of the picture, turned, in another aspect ratio and at another scale; black where the picture ends. In
AlexeyAB's fork several pictures may be mixed, and their classes with them. Truths are float32 rows (class_id, share).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from darkshare.darknet.kinds.base import P
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Floats
from darkshare.errors import Unsupported
from darkshare.inference.classification import cropped
from darkshare.inference.preprocess import preprocess
from darkshare.training.pictures import colours
from darkshare.training.pictures.augmenting import Example, Labelled, Read, scale_up_to
from darkshare.training.pictures.geometry import Size

MOST = 4  # pictures in a mixture
_MEAN, _CUT, _MOSAIC, _EITHER = 1, 2, 3, 4  # mixup= as AlexeyAB's parser numbers the kinds of mixtures
_KERNEL = 15  # pixels, of blur=1


@dataclass(frozen=True)
class Crops:
    """A classifier's augmentation as a cfg's [net] asks for it.

    Attributes:
        dialect: whose form.
        gray: whether the network reads one channel.
        low: the shorter side of the scaled picture at least, as a part of the input's longer side.
        high: likewise, at most.
        angle: degrees that pictures are turned by, at most.
        aspect: factor of the aspect ratio, at most.
        hue: moved by up to so much.
        saturation: times or by up to so much.
        exposure: likewise.
        flip: whether half of the pictures are mirrored.
        blur: of a quarter of the pictures: 1, or the kernel's side in pixels.
        mixup: half of the pictures are mixed: 1 the mean of two, 2 a part of another one, 3 four quarters, 4 2 or 3.
    """

    dialect: str
    gray: bool
    low: float
    high: float
    angle: float
    aspect: float
    hue: float
    saturation: float
    exposure: float
    flip: bool
    blur: int
    mixup: int

    @classmethod
    def of(cls, network: Network) -> Crops:
        """The augmentation that this network's cfg asks for.

        Raises:
            Unsupported: pictures of other channels than gray or colour.
        """
        net, section = network.net, network.cfg.sections[0]
        if network.input.c not in (1, 3):
            why = f"channels={network.input.c}: training reads pictures of 1 or 3, without alpha, as Darknet's does"
            raise Unsupported(why, file=network.name, line=section.line_of("channels"))
        side = max(network.input.w, network.input.h)
        low, high = (net.min_crop or net.width) / side, (net.max_crop or 2 * net.width) / side
        if network.dialect == P:
            low, high = net.min_ratio or low, net.max_ratio or high
        mixup = _EITHER if net.mosaic and net.cutmix else _CUT if net.cutmix else _MOSAIC if net.mosaic else net.mixup
        return cls(
            dialect=network.dialect,
            gray=network.input.c == 1,
            low=low,
            high=high,
            angle=net.angle,
            aspect=net.aspect,
            hue=net.hue,
            saturation=net.saturation,
            exposure=net.exposure,
            flip=bool(net.flip) or network.dialect == P,
            blur=net.blur,
            mixup=min(max(mixup, 0), _EITHER),
        )


def class_truth(class_id: int) -> Floats:
    """The truth of a picture that is not mixed."""
    return np.array([[class_id, 1]], np.float32)


def undistorted(network: Network, labelled: Labelled) -> Example:
    """A picture as inference sees it: its middle."""
    return Example(preprocess(cropped(labelled.picture, network), network)[0], labelled.truths)


def augmented(how: Crops, read: Read, index: int, count: int, size: Size, rng: np.random.Generator) -> Example:
    """One picture of a data set as the network is to see it now; see `augmenting.augmented`."""
    mixed = rng.random() < 0.5
    kind = int(rng.integers(_CUT, _MOSAIC + 1)) if how.mixup == _EITHER else how.mixup
    number = {0: 1, _MOSAIC: MOST}.get(kind, 2) if mixed else 1
    chosen = [index, *map(int, rng.integers(count, size=number - 1))]
    labelled = [read(one) for one in chosen]
    images = np.stack([_part(how, one, size, rng) for one in labelled])
    masks = _MIXTURES[kind](size, rng) if number > 1 else np.ones((1, size[1], size[0]), np.float32)
    image = _blurred((images * masks[..., None]).sum(axis=0), how, rng)
    shares = masks.reshape(number, -1).mean(axis=1)
    truths = np.concatenate([one.truths * (1, share) for one, share in zip(labelled, shares, strict=True)])
    return Example(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32), truths.astype(np.float32))


def _part(how: Crops, labelled: Labelled, size: Size, rng: np.random.Generator) -> Floats:
    """A random part of a picture, in RGB or gray, (height, width, channels) in 0..1."""
    import cv2

    to = cv2.COLOR_BGR2GRAY if how.gray else cv2.COLOR_BGR2RGB
    picture = np.asarray(cv2.cvtColor(labelled.picture, to), np.float32) / np.float32(255)
    side = max(size)
    image = turned(picture, drawn_view(picture.shape[:2], side, how, rng), side)
    if how.flip and rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
    hue = float(rng.uniform(-how.hue, how.hue))
    image = colours.distorted_floats(image, hue, scale_up_to(how.saturation, rng), scale_up_to(how.exposure, rng))
    fitting = image if size == (side, side) else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(fitting, np.float32).reshape(size[1], size[0], -1)


def drawn_view(picture: tuple[int, int], side: int, how: Crops, rng: np.random.Generator) -> Floats:
    """Draw a random view: the (2, 3) map from a pixel of the view to a place in the picture.

    As random_augment_image and rotate_crop_image compute it in image.c.

    Args:
        picture: its height and width.
        side: of the square view.
        how: what the cfg says.
        rng: draws the aspect ratio, scale, angle and place, in this order.
    """
    height, width = picture
    aspect = scale_up_to(how.aspect, rng)
    shorter = int(height if height < width * aspect else width * aspect)
    low, high = sorted((int(round(how.low * side, 6)), int(round(how.high * side, 6))))
    scale = int(rng.integers(low, high + 1)) / max(shorter, 1)
    radians = math.radians(float(rng.uniform(-how.angle, how.angle)))
    spare = np.array([width * scale / aspect - side, height * scale - side]) / 2
    if how.dialect != P:
        spare = spare.clip(0)
    dx, dy = rng.uniform(-1, 1, 2) * spare
    across, down = aspect / scale, 1 / scale
    cos, sin = math.cos(radians), math.sin(radians)
    linear = np.array([[cos * across, -sin * down], [sin * across, cos * down]])
    corner = linear @ (dx - side / 2, dy - side / 2) + (width / 2, height / 2)
    view: Floats = np.concatenate([linear, corner[:, None]], axis=1)
    return view


def turned(picture: Floats, view: Floats, side: int) -> Floats:
    """The square view of a picture; black where it ends."""
    import cv2

    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(picture, view, (side, side), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0),
        np.float32,
    )


def _mean(size: Size, rng: np.random.Generator) -> Floats:
    return np.full((2, size[1], size[0]), 0.5, np.float32)


def _cut(size: Size, rng: np.random.Generator) -> Floats:
    """A box of another picture, of 30 to 80 % of each side."""
    mask = np.zeros((size[1], size[0]), np.float32)
    (w, x), (h, y) = (_stretch(length, rng) for length in size)
    mask[y : y + h, x : x + w] = 1
    return np.stack([1 - mask, mask])


def _stretch(length: int, rng: np.random.Generator) -> tuple[int, int]:
    """The length of a box in one direction, and its start."""
    long = int(rng.integers(int(length * 0.3), int(length * 0.8) + 1))
    return long, int(rng.integers(0, max(length - long, 1)))


def _mosaic(size: Size, rng: np.random.Generator) -> Floats:
    """Four pictures around a point in the middle 60 %; each shows the part of its own view that lies there."""
    x, y = (int(rng.integers(int(length * 0.2), int(length * 0.8) + 1)) for length in size)
    masks = np.zeros((MOST, size[1], size[0]), np.float32)
    masks[0, :y, :x] = masks[1, :y, x:] = masks[2, y:, :x] = masks[3, y:, x:] = 1
    return masks


_MIXTURES = {_MEAN: _mean, _CUT: _cut, _MOSAIC: _mosaic}


def _blurred(image: Floats, how: Crops, rng: np.random.Generator) -> Floats:
    import cv2

    if not how.blur or rng.random() >= 0.25:
        return image
    side = (_KERNEL if how.blur == 1 else how.blur) // 2 * 2 + 1  # OpenCV, and so Darknet, wants odd ones
    return np.asarray(cv2.GaussianBlur(image, (side, side), 0), np.float32).reshape(image.shape)
