"""Every kind of picture file, seen by each command: formats, pixels, orientations.

All show the same: 128 x 64, black, with a red cell and a green one. The network finds these by construction, so each
box is worked out by hand. The table in docs/reference/pictures.md is the one here.
"""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from conftest import network_of, run, write_model
from PIL import Image

from darkshare import Detector, detect, load
from darkshare._images import read_picture
from darkshare.data import Box, Dataset, Sample, import_data, read_coco, read_data, review
from darkshare.errors import DarkshareError, Unsupported
from darkshare.evaluation import evaluate_model
from darkshare.training.pictures.augmenting import Augmentation
from darkshare.training.pictures.loading import Source

DOC = Path(__file__).parent.parent / "docs" / "reference" / "pictures.md"
NET = """[net]
batch=2
width=64
height=64
channels={}
max_batches=2

[convolutional]
filters=7
size=8
stride=8
activation=linear

[yolo]
mask=0
anchors=16,16
classes=2
num=1
"""
SHOWN = np.zeros((64, 128, 3), np.uint8)  # RGB
SHOWN[16:24, 64:80], SHOWN[40:48, 16:32] = (255, 0, 0), (0, 255, 0)
GRAY = SHOWN.max(axis=2)
ALPHA = np.where(GRAY > 0, 255, 128).astype(np.uint8)
# An anchor of 16 x 16 in 64 x 64 is 32 x 16 here, around each cell's middle: (72, 20) and (24, 44).
RED, GREEN = (56, 12, 88, 28), (8, 36, 40, 52)
LABELS = (Box(0, 72 / 128, 20 / 64, 32 / 128, 16 / 64), Box(1, 24 / 128, 44 / 64, 32 / 128, 16 / 64))
T = Image.Transpose
STORED = {  # by EXIF's standard, from what is shown to what is stored
    2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90, 7: T.TRANSVERSE,
    8: T.ROTATE_270,
}  # fmt: skip


class Row(NamedTuple):
    """A format in the table: what turns its pictures, its pixels, and what several pictures in a file are."""

    suffixes: str
    turned: str
    pixels: str
    several: str


TABLE = {
    "JPEG": Row(".jpg .jpeg .jfif .jpe", "EXIF", "gray 8, colour 8, CMYK 8", ""),
    "PNG": Row(".png", "EXIF", "gray 1, gray 8, gray 16, palette, colour 8, colour 16, alpha 8, alpha 16", "frames"),
    "WebP": Row(".webp", "EXIF", "colour 8, alpha 8", "frames"),
    "TIFF": Row(
        ".tif .tiff", "its own tag",
        "gray 1, gray 8, gray 16, gray float, palette, colour 8, colour 16, colour float, alpha 8, alpha 16, CMYK 8",
        "pages",
    ),
    "AVIF": Row(".avif", "irot, imir", "colour 8, colour 10, colour 12, alpha 8", "frames"),
    "JPEG 2000": Row(".jp2", "", "gray 8, gray 16, colour 8, colour 16, alpha 8", ""),
    "BMP": Row(".bmp .dib", "", "gray 8, palette, colour 8, alpha 8", ""),
    "PNM": Row(".pbm .pgm .ppm .pnm", "", "gray 1, gray 8, gray 16, colour 8, colour 16", ""),
    "Radiance HDR": Row(".hdr", "", "colour float", ""),
}  # fmt: skip
KINDS = [(name, pixels) for name, row in TABLE.items() for pixels in row.pixels.split(", ")]
TURNED = [(name, n) for name, row in TABLE.items() for n in (range(2, 9) if row.turned else ())]


def table() -> str:
    """The table as the page has it."""
    lines = ["| format | suffixes | turned by | pixels | several in a file |", "|---|---|---|---|---|"]
    lines += (f"| {name} | {' | '.join(row)} |" for name, row in TABLE.items())
    return "\n".join(lines).replace("|  |", "| - |")


def test_the_table_in_the_docs_is_this_one():
    assert table() in DOC.read_text(encoding="utf-8")


def pixels_of(pixels: str) -> Any:
    """What is shown, as arrays of OpenCV have it, or a picture of Pillow where only that writes such files."""
    kind, _, depth = pixels.partition(" ")
    if kind in ("palette", "CMYK") or depth == "1":
        return Image.fromarray(GRAY if depth == "1" else SHOWN).convert({"palette": "P", "CMYK": "CMYK"}.get(kind, "1"))
    image = {"gray": GRAY, "colour": SHOWN[..., ::-1], "alpha": np.dstack([SHOWN[..., ::-1], ALPHA])}[kind]
    if depth == "float":
        return image.astype(np.float32) / 255
    bits = int(depth)
    return image if bits == 8 else (image / 255 * (2**bits - 1)).astype(np.uint16)


def file_of(name: str, pixels: str, orientation: int = 1) -> bytes:
    """A file of that kind."""
    form = {"PNM": "ppm", "JPEG 2000": "jpeg2000"}.get(name, name.lower())
    image = pixels_of(pixels)
    made = io.BytesIO()
    if isinstance(image, Image.Image):
        image.save(made, form)
    elif orientation > 1:
        exif = Image.Exif()
        exif[0x112] = orientation
        how: dict[str, Any] = {"tiffinfo": {0x112: orientation}} if name == "TIFF" else {"exif": exif.tobytes()}
        Image.fromarray(SHOWN).transpose(STORED[orientation]).save(made, form, quality=95, lossless=True, **how)
    else:
        suffix = (
            ".pgm" if name == "PNM" and image.ndim == 2 else TABLE[name].suffixes.split()[-1].replace(".pnm", ".ppm")
        )
        deep = [cv2.IMWRITE_AVIF_DEPTH, int(pixels.split()[1])] if name == "AVIF" else []
        return cv2.imencode(suffix.replace(".dib", ".bmp"), image, deep)[1].tobytes()
    return made.getvalue()


def written(folder: Path, name: str, pixels: str, orientation: int = 1) -> Path:
    path = folder / f"a{TABLE[name].suffixes.split()[0]}"
    if name == "AVIF" and not cv2.haveImageWriter("a.avif"):
        pytest.skip("this OpenCV has no AVIF")
    path.write_bytes(file_of(name, pixels, orientation))
    return path


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A network that finds bright red and bright green cells."""
    return model_of(tmp_path_factory.mktemp("net"), 3)


def model_of(folder: Path, channels: int):
    weights, bias = np.zeros((7, channels, 8, 8), np.float32), np.zeros(7, np.float32)
    weights[4, 0] = weights[4, 1] = weights[5, 0] = weights[6, 1] = 40 / 64
    bias[4:] = -30, -20, -20
    return load(
        write_model(
            folder / "red", NET.format(channels), np.concatenate([bias, weights.ravel()]), names=("red", "green")
        )
    )


@pytest.fixture(scope="module")
def detector(net):
    return Detector(net)


def seen(detections) -> set[tuple[Any, ...]]:
    return {(name, *(round(value) for value in box)) for name, _, box in detections}


WANTED = {("red", *RED), ("green", *GREEN)}
IN_GRAY = {(name, *box) for name in ("red", "green") for box in (RED, GREEN)}  # white is both


def require_all(path: Path, net, detector, wanted: set[tuple[Any, ...]]) -> None:
    """Detect, evaluate, train, import and check take the file as the same picture."""
    folder = path.parent
    assert seen(detector.detect(path)[0]) == wanted
    found = detect(net, path, output=folder / "out", save="csv").rows()
    assert {(row["name"], row["x1"], row["y1"], row["x2"], row["y2"]) for row in found} == wanted
    samples = (Sample(path, LABELS),)
    evaluated = evaluate_model(net, Dataset("set", ("red", "green"), samples), lowest=0.5)
    assert evaluated.mean == pytest.approx(1 if wanted == WANTED else 0.75)  # gray: each class has a wrong box, too
    read = Source(samples, net.network, Augmentation.of(net.network), 0).read(0).picture
    assert (read.shape, read.dtype) == ((64, 128, 3), np.uint8)
    assert read[20, 72].max() > 240
    assert read[44, 24].max() > 240
    assert read[44, 72].max() < 40
    document = {"id": 1, "file_name": path.name}, {"id": 1, "image_id": 1, "category_id": 1, "bbox": [64, 16, 16, 8]}
    coco = {"images": [document[0]], "annotations": [document[1]], "categories": [{"id": 1, "name": "red"}]}
    (folder / "coco.json").write_text(json.dumps(coco))
    (sample,) = read_coco(folder / "coco.json", images=folder).samples
    assert sample.boxes == (Box(0, 72 / 128, 20 / 64, 16 / 128, 8 / 64),)
    path.with_suffix(".txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "list").write_text(f"{path.name}\n")
    (folder / "x.names").write_text("red\n")
    (folder / "x.data").write_text("classes=1\ntrain=list\nnames=x.names\nbackup=b\n")
    assert [one.text for one in review(folder / "x.data", decode=True).findings] == []


@pytest.mark.parametrize(("name", "pixels"), KINDS, ids=lambda value: value.replace(" ", "-"))
def test_each_kind_is_the_same_picture_to_all(tmp_path, net, detector, name, pixels):
    path = written(tmp_path, name, pixels)
    require_all(path, net, detector, IN_GRAY if pixels.startswith("gray") else WANTED)


@pytest.mark.parametrize(("name", "orientation"), TURNED)
def test_each_orientation_is_the_same_picture_to_all(tmp_path, net, detector, name, orientation):
    path = written(tmp_path, name, "colour 8", orientation)
    require_all(path, net, detector, WANTED)
    (turned,) = (one.text for one in review(tmp_path / "x.data").warnings if "turned" in one.text)
    assert f"({path.name}: {orientation})" in turned
    made = import_data(tmp_path / "x.data", tmp_path / "o", split=0)
    assert "1 pictures are stored turned (EXIF); they are written anew" in made.findings[-1].text
    (sample,) = read_data(tmp_path / "o" / "o.data").samples
    as_stored = cv2.imread(str(sample.picture), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    apart = np.abs(as_stored.astype(int) - read_picture(path))
    assert apart.mean() <= (2 if name == "JPEG" else 0)
    assert sample.boxes == (Box(0, 0.5, 0.5, 0.5, 0.5),)
    assert review(tmp_path / "o" / "o.data").warnings == ()


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.several])
def test_several_in_a_file_are_all_looked_at(tmp_path, net, name):
    other = np.roll(SHOWN, 8, axis=0)
    made = io.BytesIO()
    how = {"lossless": True} if name == "WebP" else {}
    Image.fromarray(SHOWN).save(made, name, save_all=True, append_images=[Image.fromarray(other)], **how)
    path = tmp_path / f"a{TABLE[name].suffixes.split()[0]}"
    path.write_bytes(made.getvalue())
    rows = detect(net, path, output=tmp_path / "out", save="csv").rows()
    first = {(1, *one) for one in WANTED}
    second = {(2, name, x1, y1 + 8, x2, y2 + 8) for name, x1, y1, x2, y2 in WANTED}
    assert {tuple(row[key] for key in ("frame", "name", "x1", "y1", "x2", "y2")) for row in rows} == first | second
    assert {row["picture"] for row in rows} == {str(path)}


# Channels


def test_alpha_reaches_a_network_of_4_channels(tmp_path):
    """Alpha here is full light in the cells, which makes both classes of them, and half around, which makes neither."""
    weights, bias = np.zeros((7, 4, 8, 8), np.float32), np.zeros(7, np.float32)
    weights[4:, 3] = 80 / 64
    bias[4:] = -60
    floats = np.concatenate([bias, weights.ravel()])
    own = load(write_model(tmp_path / "alpha", NET.format(4), floats, names=("red", "green")))
    for name in ("PNG", "TIFF", "WebP", "BMP"):
        path = written(tmp_path, name, "alpha 8")
        rows = detect(own, path, output=tmp_path / name, save=("picture", "csv")).rows()
        assert {(row["name"], row["x1"], row["y1"], row["x2"], row["y2"]) for row in rows} == IN_GRAY
        data = Dataset("set", ("red", "green"), (Sample(path, LABELS),))
        assert evaluate_model(own, data, lowest=0.5).mean == pytest.approx(0.75)
        drawn = cv2.imread(str(tmp_path / name / path.name), cv2.IMREAD_UNCHANGED)
        assert drawn.shape == (64, 128, 3)
    path = written(tmp_path, "JPEG", "colour 8")
    with pytest.raises(DarkshareError, match="has no alpha, which a network of 4 channels reads besides colour"):
        Detector(own).detect(path)
    result = run("detect", own.name, path, "-o", tmp_path / "none")
    assert (result.exit_code, result.stderr.count("a.jpg: has no alpha")) == (1, 1)


@pytest.mark.parametrize("channels", [2, 6])
def test_networks_of_other_channels_are_refused_before_anything_is_read(tmp_path, channels):
    own, path = model_of(tmp_path, channels), written(tmp_path, "PNG", "colour 8")
    data = Dataset("set", ("red", "green"), (Sample(path, LABELS),))
    for command in (partial(detect, own, path, output=tmp_path / "out"), partial(evaluate_model, own, data)):
        with pytest.raises(Unsupported, match=f"red.cfg:5: channels={channels}: pictures have 1, 3 or, with alpha, 4"):
            command()
    with pytest.raises(Unsupported, match=f"channels={channels}: training reads pictures of 1 or 3"):
        Augmentation.of(network_of(NET.format(channels)))
    assert not (tmp_path / "out").exists()
