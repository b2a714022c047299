"""Small files that hold huge pictures: told by their headers in every format, and never decoded."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
import pytest
from conftest import ROOT, needs_torch, network_of, run, seeded_floats, tiny_text, write_model
from hypothesis import given
from hypothesis import strategies as st
from labelled import draw, write_data, write_picture
from PIL import Image

from darkshare._images import all_pictures, decoded, header, picture_size, read_picture
from darkshare._images.headers import header_of
from darkshare._images.limits import MAX_MEGAPIXELS, VARIABLE
from darkshare.cli import main
from darkshare.data import import_data, review
from darkshare.errors import BadValue, DarkshareError
from darkshare.inference.media import CONTAINERS, Video
from darkshare.inference.media.videos import VideoFile

WIDTH, HEIGHT = 40000, 30000


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + b"".join(more) + chunk(b"IEND", b"")


def frame_of_png(width: int, height: int) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 1, 0, 0))


def jpeg(marker: int, before: bytes = b"") -> bytes:
    start = b"\xff\xd8" + before + b"\xff" + bytes([marker])
    return start + struct.pack(">HBHHB", 11, 8, HEIGHT, WIDTH, 1) + b"\1\x11\0"


def webp(name: bytes, data: bytes) -> bytes:
    body = b"WEBP" + name + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def three(number: int) -> bytes:
    return number.to_bytes(3, "little")


def tiff(*pages: Sequence[tuple[int, int, int]], order: str = "<", large: bool = False) -> bytes:
    """Pages of entries: tag, type, number."""
    many, entry, offset = ("Q", "HHQQ", "Q") if large else ("H", "HHII", "I")
    data = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}H", 43 if large else 42)
    data += struct.pack(f"{order}HHQ", 8, 0, 16) if large else struct.pack(f"{order}I", 8)
    for number, page in enumerate(pages, 1):
        data += struct.pack(order + many, len(page))
        for tag, kind, value in page:
            shift = 8 * (8 if large else 4) - 16 if kind == 3 and order == ">" else 0  # a short stands to the left
            data += struct.pack(order + entry, tag, kind, 1, value << shift)
        here = len(data) + struct.calcsize(order + offset)
        data += struct.pack(order + offset, here if number < len(pages) else 0)
    return data


def page(width: int, height: int, kind: int = 4) -> list[tuple[int, int, int]]:
    return [(256, kind, width), (257, kind, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 1)]


def box(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    return struct.pack(">I", 8 + len(data) if length is None else length) + kind + data


def gif(width: int, height: int, *frames: tuple[int, int]) -> bytes:
    blocks = (b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\2\0" for frame in frames)
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"".join(blocks) + b";"


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def avif(*boxes: bytes) -> bytes:
    return box(b"ftyp", b"avif\0\0\0\0avifmif1") + b"".join(boxes)


def window(name: bytes, width: int, height: int) -> bytes:
    return name + b"\0box2i\0" + struct.pack("<Iiiii", 16, 0, 0, width - 1, height - 1)


SIZE = struct.pack(">II", WIDTH, HEIGHT)
META = box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", box(b"ispe", bytes(12)) + box(b"ispe", bytes(4) + SIZE))))
TKHD = box(b"tkhd", bytes(76) + struct.pack(">II", WIDTH << 16, HEIGHT << 16))
CODESTREAM = b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 41, 0, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT, 0, 0, 1) + b"\7\1\1"
JP2 = b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
TEXT = f"{WIDTH} {HEIGHT}".encode()
BOMBS = {
    "PNG": png(WIDTH, HEIGHT),
    "PNG behind other chunks": png(WIDTH, HEIGHT, chunk(b"tEXt", b"a\0b")),
    "PNG, a frame": png(8, 8, chunk(b"acTL", struct.pack(">II", 2, 0)), frame_of_png(WIDTH, HEIGHT)),
    "JPEG": jpeg(0xC0),
    "JPEG, progressive": jpeg(0xC2),
    "JPEG, arithmetic": jpeg(0xC9),
    "JPEG behind what readers pass over": jpeg(0xC0, b"\xff\xe0\0\x04ab" + b"garbage\xff\0\xff\xff"),
    "BMP": bmp(WIDTH, HEIGHT),
    "BMP from the top": bmp(WIDTH, -HEIGHT),
    "BMP of OS/2": b"BM" + struct.pack("<IIIIHHHH", 0, 0, 26, 12, WIDTH, HEIGHT, 1, 24),
    "GIF": gif(WIDTH, HEIGHT, (8, 8)),
    "GIF, a frame": gif(8, 8, (8, 8), (WIDTH, HEIGHT)),
    "WebP, extended": webp(b"VP8X", bytes(4) + three(WIDTH - 1) + three(HEIGHT - 1)),
    "WebP, a frame": webp(b"ANMF", bytes(6) + three(WIDTH - 1) + three(HEIGHT - 1) + bytes(4)),
    "TIFF": tiff(page(WIDTH, HEIGHT)),
    "TIFF, shorts": tiff(page(WIDTH, HEIGHT, 3)),
    "TIFF of Motorola": tiff(page(WIDTH, HEIGHT), order=">"),
    "TIFF of Motorola, shorts": tiff(page(WIDTH, HEIGHT, 3), order=">"),
    "BigTIFF": tiff(page(WIDTH, HEIGHT), large=True),
    "BigTIFF, longs of 8 bytes": tiff(page(WIDTH, HEIGHT, 16), large=True),
    "BigTIFF of Motorola": tiff(page(WIDTH, HEIGHT, 16), order=">", large=True),
    "TIFF, the third page": tiff(page(8, 8), page(8, 8), page(WIDTH, HEIGHT)),
    "TIFF, a tile": tiff([*page(8, 8), (322, 4, WIDTH), (323, 4, HEIGHT)]),
    "TIFF, twice": tiff([*page(8, 8)[:2], *page(WIDTH, HEIGHT)]),
    **{f"PNM {letter}": b"P%c\n%b\n255\n" % (letter, TEXT) for letter in b"123456"},
    "PNM with comments": b"P5 # 8 8\n# 8\n%b\n255\n" % TEXT,
    "PAM": b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" % (WIDTH, HEIGHT),
    "PAM, twice": b"P7\nHEIGHT %d\nWIDTH %d\nWIDTH 8\nDEPTH 3\nMAXVAL 255\nENDHDR\n" % (HEIGHT, WIDTH),
    "PFM": b"PF\n%b\n-1\n" % TEXT,
    "PFM, gray": b"Pf\n%b\n-1\n" % TEXT,
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (HEIGHT, WIDTH),
    "Radiance HDR, a size in a comment": b"#?RGBE\n-Y 8 +X 8\n\n-Y %d +X %d\n" % (HEIGHT, WIDTH),
    "Radiance HDR, a long line": b"#?%b\n-Y %d +X %d\n\n-Y 8 +X 8\n" % (125 * b"a", HEIGHT, WIDTH),
    "JPEG 2000": JP2 + box(b"jp2h", b"") + box(b"jp2c", CODESTREAM),
    "JPEG 2000 to the end": JP2 + box(b"jp2c", CODESTREAM, 0),
    "JPEG 2000, long box": JP2 + box(b"jp2c", struct.pack(">Q", 16 + len(CODESTREAM)) + CODESTREAM, 1),
    "JPEG 2000, bare": CODESTREAM,
    "Sun raster": b"\x59\xa6\x6a\x95" + SIZE + bytes(20),
    "OpenEXR": b"v/1\1\2\0\0\0" + window(b"dataWindow", WIDTH, HEIGHT) + window(b"displayWindow", 8, 8) + b"\0",
    "AVIF": avif(META),
    "AVIF of another brand": box(b"ftyp", b"mif1\0\0\0\0mif1avif") + META,
    "AVIF, frames": avif(box(b"moov", box(b"trak", TKHD))),
}  # fmt: skip
LARGEST_WEBP = {  # 14 bits for each side
    "WebP, lossy": webp(b"VP8 ", b"\0\0\0\x9d\1\x2a" + struct.pack("<HH", 16383, 16383)),
    "WebP, lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 16383 | 16383 << 14)),
}


@pytest.fixture
def undecoded(monkeypatch):
    """OpenCV decodes nothing."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("was decoded")

    for name in ("imdecode", "imdecodemulti", "imdecodeanimation"):
        monkeypatch.setattr(cv2, name, refuse)


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize("name", [*BOMBS, *LARGEST_WEBP])
def test_a_huge_picture_is_refused_by_its_header(tmp_path, name):
    data = BOMBS.get(name) or LARGEST_WEBP[name]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    sides = f"{WIDTH} x {HEIGHT}" if name in BOMBS else "1638[34] x 1638[34]"
    says = (
        rf"a.png: a picture of {sides} pixels is \d+ megapixels, above the limit of 128; if it is meant to be so "
        r"large: darkshare --max-megapixels \d+ …$"
    )
    for read in (read_picture, header, picture_size, lambda path: list(all_pictures(path).each)):
        with pytest.raises(DarkshareError, match=says):
            read(path)


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize("name", [name for name in BOMBS if "comment" not in name and "twice" not in name])
def test_a_header_that_is_cut_off_is_not_decoded(name):
    """The part before the size says nothing of it."""
    whole = BOMBS[name]
    for end in range(4, len(whole)):
        about = header_of(io.BytesIO(whole[:end]))
        if about.largest is None:
            with pytest.raises(DarkshareError, match="is not a picture that OpenCV can read"):
                decoded(whole[:end], "a")


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize(
    "data",
    [
        b"P6\n8#%b\n8 255\n" % TEXT,  # OpenCV takes what follows the # for the height
        b"P6\n%d#\n255\n8 8\n" % WIDTH,
        b"PF\n0 8\n-1\n",
        b"#?RADIANCE\n\n+Y 8 -X 8\n",
        b"\xff\x4f\xff\x52" + CODESTREAM[4:],
        JP2,
        bmp(0, 8),
        png(8, 8)[:8] + png(8, 8)[33:],  # without IHDR
        tiff([(256, 4, 8)]),
        tiff([(256, 16, 8), (257, 16, 8)]),  # numbers that do not fit
        b"an unknown format" * 10,
    ],
)
def test_what_does_not_say_its_size_clearly_is_not_decoded(data):
    with pytest.raises(DarkshareError, match="is not a picture that OpenCV can read"):
        decoded(data, "a")


def pillow(image: np.ndarray, form: str, **how: object) -> bytes:
    made = io.BytesIO()
    Image.fromarray(image).save(made, form, **how)
    return made.getvalue()


WRITTEN: dict[str, Callable[[np.ndarray], bytes]] = {
    **{f"OpenCV's {suffix}": partial(lambda suffix, image: cv2.imencode(suffix, image)[1].tobytes(), suffix)
       for suffix in (".png", ".jpg", ".bmp", ".gif", ".webp", ".tif", ".ppm", ".pam", ".ras", ".hdr", ".jp2")},
    ".pgm": lambda image: cv2.imencode(".pgm", image[..., 0])[1].tobytes(),
    ".pbm": lambda image: cv2.imencode(".pbm", image[..., 0])[1].tobytes(),
    ".pfm": lambda image: cv2.imencode(".pfm", image.astype(np.float32) / 255)[1].tobytes(),
    "lossless WebP": lambda image: pillow(image, "webp", lossless=True),
    "progressive JPEG": lambda image: pillow(image, "jpeg", progressive=True),
    "big-endian TIFF": lambda image: pillow(image, "tiff", big_tiff=True),
    "LZW": lambda image: pillow(image, "tiff", compression="tiff_lzw"),
    "JPEG 2000 codestream": lambda image: pillow(image, "jpeg2000", no_jp2=True),
    "JPEG 2000 of Pillow": lambda image: pillow(image, "jpeg2000"),
}  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(64, 32), (33, 70), (300, 41)])
@pytest.mark.parametrize("name", WRITTEN)
def test_the_size_in_the_header_is_that_of_the_picture(name, width, height):
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    data = WRITTEN[name](image)
    assert header_of(io.BytesIO(data)).largest == (width, height)
    assert decoded(data, "a").shape == (height, width, 3)


SMALL = np.random.default_rng(1).integers(0, 256, (32, 64, 3), np.uint8)
SEEDS = [(name, write(SMALL)) for name, write in WRITTEN.items()]


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 99), st.binary(max_size=2)), min_size=1, max_size=3))
def test_no_decoder_makes_more_of_a_damaged_header(seed, changes):
    data = bytearray(seed[1])
    for at, new in changes:
        data[at : at + 1] = new
    largest = header_of(io.BytesIO(bytes(data))).largest
    if largest and largest[0] * largest[1] < 10**6:
        try:
            image = cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            image = None
        assert image is None or (image.shape[1] <= largest[0] and image.shape[0] <= largest[1])


# What the commands say of it. With a limit of 1000 pixels, 40 x 30 are too many.


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "1000000000")  # both are set by the command line
    monkeypatch.setenv(VARIABLE, "0.001")


@pytest.mark.parametrize("command", ["detect", "classify"])
@pytest.mark.usefixtures("strict")
def test_detect_names_it_and_goes_on(tmp_path, tiny, command):
    model = tiny
    if command == "classify":
        text = tiny_text().partition("[yolo]")[0] + "[avgpool]\n\n[softmax]\n"
        model = write_model(tmp_path / "c", text, seeded_floats(network_of(text), 1))
    write_picture(tmp_path / "big.png", size=(40, 30))
    write_picture(tmp_path / "small.png", size=(20, 10))
    more = ["-o", tmp_path / "out"] if command == "detect" else []
    done = run(command, model, tmp_path / "big.png", tmp_path / "small.png", *more, code=1)
    assert "big.png: a picture of 40 x 30 pixels is 1 megapixels, above the limit of 0.001" in done.stderr
    assert "1 of 2 pictures" in done.output
    run("--max-megapixels", "0.0012", command, model, tmp_path / "big.png", *more, code=0)


@pytest.fixture
def mixed(tmp_path):
    """A data set of small pictures and a large one."""
    data = write_data(tmp_path, draw(tmp_path, 6, size=(30, 30)), 2)
    write_picture(tmp_path / "images" / "1.png", size=(40, 30))
    return data


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.usefixtures("strict")
def test_check_finds_it_once(mixed, decode):
    findings = [one for one in review(mixed, decode=decode).findings if one.path.name == "1.png"]
    assert [one.text.partition(";")[0] for one in findings] == [
        "a picture of 40 x 30 pixels is 1 megapixels, above the limit of 0.001"
    ]


@pytest.mark.usefixtures("strict")
def test_train_and_evaluate_end_as_with_any_picture_that_cannot_be_read(mixed, base, tmp_path):
    needs_torch()
    says = "1.png: a picture of 40 x 30 pixels is 1 megapixels"
    done = run("train", base, mixed, "--k", 1, "--epochs", 1, "--batch", 2, "-o", tmp_path / "o", code=1)
    assert says in done.stderr
    done = run("evaluate", base, mixed, "--part", "train", "--by-order", code=1)
    assert says in done.stderr


@pytest.mark.usefixtures("strict")
def test_import_leaves_it_out(tmp_path):
    folder = tmp_path / "set"
    for name, size in (("a.png", (20, 10)), ("b.png", (40, 30)), ("c.jpg", (40, 30))):
        write_picture(folder / name, size=size)
        (folder / name).with_suffix(".txt").write_text("0 0.5 0.5 0.5 0.5\n")
    found = import_data(folder, tmp_path / "out", split=0)
    assert [one.kind for one in found.findings if "above the limit" in one.text] == ["not a picture"] * 2
    assert (tmp_path / "out" / "train.txt").read_text().count("\n") == 1


@pytest.mark.usefixtures("strict")
def test_frames_of_a_video_have_the_same_limit(tmp_path):
    (suffix,) = {".avi"} & {*CONTAINERS}
    file = VideoFile(tmp_path / f"v{suffix}", (48, 32), 25)
    for number in range(3):
        file.add(np.full((32, 48, 3), 60, np.uint8), number + 1)
    file.close()
    video = Video("v", str(file.path))
    with pytest.raises(DarkshareError, match=r"v: a frame of 48 x 32 pixels is 1 megapixels, above the limit of 0.001"):
        next(video.frames())
    assert video.length() == 1


# The setting


def test_the_limit_of_the_command_line_is_that_of_the_library():
    (option,) = [one for one in main.params if one.name == "max_megapixels"]
    assert (option.default, option.envvar) == (MAX_MEGAPIXELS, VARIABLE)


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "x", "1e999"])
def test_a_limit_that_is_not_a_number_above_0_is_an_error(monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(BadValue, match=f"{VARIABLE}={given} is not a number of megapixels above 0"):
        decoded(cv2.imencode(".png", SMALL)[1].tobytes(), "a")


CHILD = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "darkshare", *sys.argv[1:]], capture_output=True, text=True)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(done.stderr)
"""
SIDE = 14000  # 196 megapixels


def zeros(count: int) -> bytes:
    packed = zlib.compressobj(1)
    return b"".join(packed.compress(bytes(2**20)) for _ in range(count >> 20)) + packed.flush()


def test_whole_files_of_huge_pictures_take_no_memory(tmp_path, tiny):
    """Real ones, that OpenCV would decode: to more than half a gigabyte each."""
    rows = SIDE * (1 + SIDE // 8)
    (tmp_path / "a.png").write_bytes(png(SIDE, SIDE, chunk(b"IDAT", zeros(rows + 2**20))))
    strip = zeros(SIDE * SIDE + 2**20)
    entries = [*page(SIDE, SIDE)[:3], (259, 3, 8), (262, 3, 1), (273, 4, 8 + 2 + 9 * 12 + 4), (277, 3, 1)]
    (tmp_path / "b.tif").write_bytes(tiff([*entries, (278, 4, SIDE), (279, 4, len(strip))]) + strip)
    (tmp_path / "c.pbm").write_bytes(b"P4\n%d %d\n" % (SIDE, SIDE) + bytes(SIDE // 8 * SIDE))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop(VARIABLE, None)
    words = ["detect", tiny, *sorted(tmp_path.glob("[abc].*")), "-o", tmp_path / "o"]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, words)], capture_output=True, text=True, env=environment, check=True
    )
    code, kilobytes = map(int, done.stdout.split("\n")[0].split())
    assert code == 1
    assert done.stdout.count("a picture of 14000 x 14000 pixels is 196 megapixels, above the limit of 128") == 3
    assert kilobytes < 400 * 1024
