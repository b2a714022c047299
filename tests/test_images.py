"""Picture files: how they are turned, and their sizes without decoding; Pillow writes what is read."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from darkshare._images import exif_orientation, picture_size, read_picture
from darkshare.errors import DarkshareError

TURNING: dict[str, dict[str, Any]] = {
    "jpg": {"quality": 95, "subsampling": 0},
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    "avif": {},
}
CORNERS = np.zeros((16, 32, 3), np.uint8)  # red, green over blue, black
CORNERS[:8, :16], CORNERS[:8, 16:], CORNERS[8:, :16] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
SHOWN = ("RGBK", "GRKB", "KBGR", "BKRG", "RBGK", "BRKG", "KGBR", "GKRB")  # by EXIF's standard, for 1 to 8


def written(path, suffix, orientation):
    """A picture of four colours whose camera was held so."""
    picture = path / f"{orientation}.{suffix}"
    how = TURNING[suffix]
    if suffix == "tif":
        how = {"tiffinfo": {0x112: orientation}}
    else:
        exif = Image.Exif()
        exif[0x112] = orientation
        how = {**how, "exif": exif.tobytes()}
    Image.fromarray(CORNERS).save(picture, **how)
    return picture


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", TURNING)
def test_the_size_and_the_orientation_are_those_of_the_picture_as_shown(tmp_path, suffix, orientation):
    path = written(tmp_path, suffix, orientation)
    assert exif_orientation(path) == orientation
    assert picture_size(path) == ((32, 16) if orientation < 5 else (16, 32))
    picture = read_picture(path)
    height, width = picture.shape[:2]
    assert (width, height) == picture_size(path)
    quarters = (picture[y, x].astype(int) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4))
    assert "".join("BGRK"[pixel.argmax()] if pixel.max() > 200 else "K" for pixel in quarters) == SHOWN[orientation - 1]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "ppm"])
def test_a_picture_without_a_note_is_upright(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    assert cv2.imwrite(str(path), CORNERS)
    assert exif_orientation(path) == 1
    assert picture_size(path) == (32, 16)


def test_a_jpeg_is_measured_behind_everything_before_its_frame(tmp_path):
    made = io.BytesIO()
    Image.fromarray(CORNERS).save(made, "jpeg", progressive=True)
    exif = Image.Exif()
    exif[0x112] = 6
    block = exif.tobytes()
    extra = b"\xff\xff\xe2" + (65535).to_bytes(2, "big") + bytes(65533)  # fill bytes and a large profile
    note = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    path = tmp_path / "a.jpg"
    path.write_bytes(made.getvalue()[:2] + extra * 3 + note + made.getvalue()[2:])
    assert picture_size(path) == (16, 32)
    assert read_picture(path).shape == (32, 16, 3)


@pytest.mark.parametrize("size", [0, 1, 3, 11, 20, 40, 60])
@pytest.mark.parametrize("suffix", TURNING)
def test_a_file_that_ends_early_has_no_size(tmp_path, suffix, size):
    path = written(tmp_path, suffix, 6)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DarkshareError, match="is not a picture"):
        picture_size(path)
    assert exif_orientation(path) in (1, 6)
