"""Picture files: how they are turned, and their sizes without decoding; Pillow writes what is read."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from darkshare._images import decoded, exif_orientation, picture_size, pictures, read_picture
from darkshare._images.headers import header_of
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


# Depths and channels


def encoded(image, suffix):
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def saved(picture, form, **how):
    """A file as Pillow writes it."""
    made = io.BytesIO()
    picture.save(made, form, **how)
    return made.getvalue()


SEED = np.random.default_rng(5)
SMALL = SEED.integers(0, 256, (12, 20, 4), np.uint8)
DEEP = SEED.integers(0, 65536, (40, 40, 4), np.uint16)  # JPEG 2000 of OpenCV takes no smaller ones
LIGHT = SEED.random((12, 20, 3), np.float32)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_16_bits_become_the_nearest_8(suffix):
    wanted = np.floor(DEEP[..., :3] / 257 + 0.5)
    assert decoded(encoded(DEEP[..., :3], suffix), "a").tolist() == wanted.tolist()
    gray = encoded(DEEP[..., 0], suffix if suffix != ".ppm" else ".pgm")
    assert decoded(gray, "a").tolist() == np.repeat(wanted[..., :1], 3, 2).tolist()


def test_16_bits_of_jpeg_2000_are_scaled_too():
    smooth = np.broadcast_to(np.linspace(0, 65535, 64).astype(np.uint16)[None, :, None], (64, 64, 3))
    found = decoded(encoded(np.ascontiguousarray(smooth), ".jp2"), "a")
    assert np.abs(found.astype(int) - smooth / 257).max() < 4  # it loses some


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_of_16_bits_comes_with_colour(suffix):
    wanted = np.floor(DEEP / 257 + 0.5)
    data = encoded(DEEP, suffix)
    assert decoded(data, "a", alpha=True).tolist() == wanted.tolist()
    assert decoded(data, "a").tolist() == wanted[..., :3].tolist()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_alpha_of_8_bits_comes_where_it_is_wanted(suffix):
    how = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    solid = SMALL | np.array([0, 0, 0, 1], np.uint8)  # WebP drops the colour of what cannot be seen
    data = cv2.imencode(suffix, solid, how)[1].tobytes()
    assert decoded(data, "a", alpha=True).tolist() == solid.tolist()
    assert decoded(data, "a").tolist() == solid[..., :3].tolist()


def test_alpha_is_turned_with_its_picture(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    data = saved(Image.fromarray(SMALL), "png", exif=exif.tobytes())
    assert decoded(data, "a", alpha=True).tolist() == np.rot90(SMALL[..., [2, 1, 0, 3]], -1).tolist()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "RGB"])
@pytest.mark.parametrize("form", ["png", "tiff", "webp"])
def test_palettes_gray_and_black_and_white_become_colour(mode, form):
    picture = Image.fromarray(SMALL[..., :3]).convert(mode)
    if form == "webp" and mode in ("P", "1"):
        pytest.skip("there are no such files")
    how = {"lossless": True} if form == "webp" else {}
    found = decoded(saved(picture, form, **how), "a")
    assert found.tolist() == np.asarray(picture.convert("RGB"))[..., ::-1].tolist()


@pytest.mark.parametrize("form", ["jpeg", "tiff"])
def test_four_inks_become_colour(form):
    picture = Image.new("CMYK", (16, 16), (10, 200, 30, 40))
    how = {"quality": 100} if form == "jpeg" else {}
    assert (
        np.abs(decoded(saved(picture, form, **how), "a") - np.array([190.0, 46, 207])).max() <= 2
    )  # (255-c)(255-k)/255


@pytest.mark.parametrize("white", [15, 100, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("letter", ["2", "5"])
def test_white_of_a_portable_map_is_what_it_says(white, letter):
    values = [0, white // 2, white]
    binary = b"".join(value.to_bytes(1 if white < 256 else 2, "big") for value in values)
    body = (" ".join(map(str, values)) + "\n").encode() if letter == "2" else binary
    data = f"P{letter}\n# made by hand\n3 1\n{white}\n".encode() + body
    found, off = decoded(data, "a")[0, :, 0].tolist(), 1 if letter == "2" else 0  # OpenCV's own scale rounds down
    assert found == [pytest.approx(round(255 * value / white), abs=off) for value in values]


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_white_of_avif_is_that_of_its_bits(bits):
    if not cv2.haveImageWriter("a.avif"):
        pytest.skip("this OpenCV writes no AVIF")
    white = (1 << bits) - 1
    image = np.full((16, 16, 4), (white, white // 2, 0, white // 4), np.uint8 if bits == 8 else np.uint16)
    data = cv2.imencode(".avif", image, [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100])[1].tobytes()
    for alpha in (False, True):
        assert np.abs(decoded(data, "a", alpha=alpha)[5, 5].astype(int) - [255, 127, 0, 64][: 3 + alpha]).max() <= 4


@pytest.mark.parametrize("suffix", [".tif", ".pfm"])
def test_floats_are_light_from_0_to_1(suffix):
    wanted = np.rint(LIGHT * np.float32(255))
    for image, whole in ((LIGHT, wanted), (LIGHT[..., 0], np.repeat(wanted[..., :1], 3, 2))):
        assert np.abs(decoded(encoded(image, suffix), "a") - whole).max() <= 1


def test_light_beyond_white_is_white():
    image = np.full((8, 8, 3), (0.25, 1, 30), np.float32)
    assert decoded(encoded(image, ".hdr"), "a")[3, 3].tolist() == [64, 255, 255]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (LIGHT * 255, "holds numbers from 0.* to 25.*; 0 must be black and 1 white"),
        (LIGHT - 1, "holds numbers from -"),
        (LIGHT * np.nan, "holds numbers from nan"),
        (np.ones((8, 8), np.int16), "holds numbers of type int16, which are not light"),
        (np.ones((8, 8), np.int32), "holds numbers of type int32, which are not light"),
    ],
)
def test_numbers_that_are_not_light_are_named(image, says):
    with pytest.raises(DarkshareError, match=f"^a.tif: {says}"):
        decoded(encoded(image, ".tif"), "a.tif")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"v/1\x01" + bytes(40), "OpenEXR"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"8BPS" + bytes(40), "Photoshop"),
        (b"%PDF-1.7" + bytes(40), "PDF"),
    ],
)
def test_formats_that_opencv_does_not_decode_are_named(data, name):
    says = (
        f"a: is not a picture that OpenCV can read: it is {name}, and OpenCV .* does not decode it; convert it to PNG"
    )
    with pytest.raises(DarkshareError, match=says):
        decoded(data, "a")


@pytest.mark.parametrize("data", [b"", b"text", b"<xml>"])
def test_what_is_not_a_picture_is_one_error(data):
    with pytest.raises(DarkshareError, match=r"^a: is not a picture that OpenCV can read$"):
        decoded(data, "a")


# Several pictures in one file


def several(form, **how):
    """Four pictures, each of another gray, in one file."""
    frames = [Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in GRAYS]
    if form != "tiff":
        how = {"duration": 100, **how}
    return saved(frames[0], form, save_all=True, append_images=frames[1:], **how)


GRAYS = (10, 60, 110, 160)
FORMS = {"tiff": {}, "webp": {"lossless": True}, "png": {}, "gif": {}, "avif": {"quality": 100}}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("at_once", [1, 2**26])
def test_all_pictures_of_a_file_come_in_order(form, at_once, monkeypatch):
    monkeypatch.setattr("darkshare._images._AT_ONCE", at_once)
    data = several(form, **FORMS[form])
    assert header_of(io.BytesIO(data)).pictures == Image.open(io.BytesIO(data)).n_frames == 4
    found = list(pictures(data, "a").each)
    assert [(one.shape, one.dtype) for one in found] == [((20, 30, 3), np.uint8)] * 4
    assert [one[9, 9].tolist() for one in found] == [[pytest.approx(gray, abs=2)] * 3 for gray in GRAYS]
    assert decoded(data, "a").tolist() == found[0].tolist()


def test_pages_have_sizes_and_depths_of_their_own():
    images = [DEEP[:20], SMALL, DEEP[..., :3], SMALL[..., 0]]
    data = cv2.imencodemulti(".tif", images)[1].tobytes()
    found = list(pictures(data, "a").each)
    assert [one.shape for one in found] == [(20, 40, 3), (12, 20, 3), (40, 40, 3), (12, 20, 3)]
    assert found[2].tolist() == np.floor(DEEP[..., :3] / 257 + 0.5).tolist()


def test_frames_are_turned():
    exif = Image.Exif()
    exif[0x112] = 6
    assert {one.shape for one in pictures(several("webp", lossless=True, exif=exif.tobytes()), "a").each} == {
        (30, 20, 3)
    }
    assert {one.shape for one in pictures(several("png", exif=exif.tobytes()), "a").each} == {(30, 20, 3)}


@pytest.mark.parametrize("form", ["tiff", "png"])
def test_a_file_that_is_cut_off_gives_what_it_has_and_says_so(form):
    data = several(form, **FORMS[form])
    coming = pictures(data[: int(len(data) * 0.7)], "a").each
    assert next(coming)[9, 9].tolist() == [GRAYS[0]] * 3
    with pytest.raises(DarkshareError, match=r"a: OpenCV can read [123] of its [234] pictures"):
        list(coming)


@pytest.mark.parametrize("form", ["webp", "gif", "avif"])
def test_an_animation_that_is_cut_off_is_an_error(form):
    data = several(form, **FORMS[form])
    with pytest.raises(DarkshareError):
        list(pictures(data[: int(len(data) * 0.7)], "a").each)


def test_a_chain_of_pages_that_goes_round_ends():
    data = bytearray(saved(Image.fromarray(CORNERS), "tiff"))
    at = int.from_bytes(data[4:8], "little")
    end = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
    data[end : end + 4] = at.to_bytes(4, "little")
    assert header_of(io.BytesIO(data)).pictures == 1
    assert decoded(bytes(data), "a").shape == CORNERS.shape


def test_a_big_tiff_is_read():
    frames = [Image.fromarray(CORNERS)] * 3
    data = saved(frames[0], "tiff", save_all=True, append_images=frames[1:], big_tiff=True, tiffinfo={0x112: 6})
    about = header_of(io.BytesIO(data))
    assert (about.pictures, about.orientation) == (3, 6)
    assert len(list(pictures(data, "a").each)) == 3
