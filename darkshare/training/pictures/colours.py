"""Hue, saturation and exposure in both forks' forms; AlexeyAB's blur and noise. Pictures are RGB or gray."""

from __future__ import annotations

from typing import Any

import numpy as np

from darkshare._images import Picture
from darkshare.darknet.weights import Floats

_WHOLE = 17  # pixels: the kernel that blurs a background


def distorted_bytes(picture: Picture, hue: float, saturation: float, exposure: float) -> Picture:
    """AlexeyAB's form, on uint8 with OpenCV's hue of 0..179, which saturates at 0 instead of going round."""
    import cv2

    if (hue, saturation, exposure) == (0, 1, 1):
        return picture
    every = np.arange(256.0)  # each value once, in place of each pixel
    if picture.ndim == 2:
        return np.asarray(cv2.LUT(picture, _saturated(every * exposure)), np.uint8)
    table = _saturated(every[:, None] * (1, saturation, exposure) + (179 * hue, 0, 0))
    hsv = cv2.LUT(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV), table[None])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def distorted_floats(picture: Floats, hue: float, saturation: float, exposure: float) -> Floats:
    """The form of pjreddie's fork (distort_image in image.c): floats of 0..1, and a hue that goes round."""
    import cv2

    if picture.ndim == 2:
        return (picture * np.float32(exposure)).clip(0, 1)
    hsv: Any = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    turned = hsv[..., 0] / 360 + np.float32(hue)
    hsv[..., 0] = (turned - (turned > 1) + (turned < 0)) * 360
    hsv[..., 1] *= np.float32(saturation)
    hsv[..., 2] *= np.float32(exposure)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32).clip(0, 1)


def blurred(picture: Picture, strength: int, truths: Floats) -> Picture:
    """A Gaussian blur: of all but the boxes with strength 1, of the whole picture with a larger one."""
    import cv2

    if not strength:
        return picture
    side = _WHOLE if strength == 1 else strength // 2 * 2 + 1
    blurry = cv2.GaussianBlur(picture, (side, side), 0)
    if strength == 1:
        height, width = picture.shape[:2]
        for _, x, y, w, h in truths:
            x0, y0 = int((x - w / 2) * width), int((y - h / 2) * height)
            x1, y1 = x0 + int(w * width), y0 + int(h * height)
            inside = np.s_[max(y0, 0) : y1, max(x0, 0) : x1]
            blurry[inside] = picture[inside]
    return np.asarray(blurry, np.uint8)


def noisy(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Gaussian noise, of which Darknet's uint8 keeps the positive half: it can only brighten."""
    if not strength:
        return picture
    noise = _saturated(rng.normal(0, min(max(strength, 0), 127), picture.shape))
    return np.asarray(np.minimum(picture.astype(np.int16) + noise, 255), np.uint8)


def _saturated(values: Any) -> Picture:
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)
