"""Files as they come: names in any encoding, paths that are not UTF-8, and what stands in for a file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import TRAINABLE, needs_torch, network_of, run, seeded_floats, write_model
from labelled import draw, write_data

import darkshare
from darkshare._images import encoded
from darkshare._texts import raw_bytes
from darkshare.errors import DarkshareError

ENCODED = {"Latin-1": "straße\ngrün\n".encode("latin-1"), "GBK": "红色\n绿\n".encode("gbk")}
STAND_INS = {
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345678\n",
    "web page": b"\n <!DOCTYPE html>\n<html><head><title>Virus scan warning</title></head></html>\n",
    "web page ": b"<html lang=en><body>404</body></html>",
    "ZIP archive": b"PK\x03\x04\x14\0" + bytes(100),  # opencv issue 20356: a .pt file as weights
    "gzip": b"\x1f\x8b\x08\0" + bytes(100),
    "HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(100),
}
ODD = os.fsdecode(b"odd\xff")


@pytest.fixture(params=sorted(ENCODED))
def named(request, tmp_path):
    """(the cfg, the .data file, the bytes of its names, their encoding) of a detector and its data set."""
    names = ENCODED[request.param]
    cfg = write_model(tmp_path / "m", TRAINABLE, seeded_floats(network_of(TRAINABLE), 1))
    data = write_data(tmp_path, draw(tmp_path, 8), valid=4)
    for path in (cfg.with_suffix(".names"), tmp_path / "classes.txt"):
        path.write_bytes(names)
    return cfg, data, names, request.param


def test_names_that_are_not_utf_8_go_through_training_and_evaluation(named, tmp_path, undrawn):
    """HumanSignal/labelImg issue 991: the bytes come out as they went in, in every file for Darknet."""
    needs_torch()
    cfg, data, names, _ = named
    run("train", cfg, data, "--k", 3, "--batch", 4, "--batches", 1, "--threads", 1, "-o", tmp_path / "out", code=0)
    assert (tmp_path / "out.names").read_bytes() == names
    run("evaluate", tmp_path / "out.cfg", data, code=0)


def test_names_that_are_not_utf_8_come_out_of_every_other_command(named, tmp_path):
    cfg, data, names, _ = named
    run("concat", cfg, cfg, "--k", 3, "-o", tmp_path / "both", code=0)
    assert (tmp_path / "both.names").read_bytes() == names + names
    run("split", tmp_path / "both.cfg", "-o", tmp_path / "apart", code=0)
    assert [path.read_bytes() for path in (tmp_path / "apart").glob("*.names")] == [names, names]
    run("kit", cfg, data, "--k", 3, "-o", tmp_path / "kit", code=0)
    assert [path.read_bytes() for path in (tmp_path / "kit").glob("*.names")] == [names]
    run("import-data", data, "-o", tmp_path / "imported", code=0)
    assert (tmp_path / "imported" / "imported.names").read_bytes() == names
    first = names.split(b"\n")[0]
    run("classes", cfg, "--rename", os.fsdecode(first + b"=first"), "-o", tmp_path / "new", code=0)
    assert (tmp_path / "new.names").read_bytes() == names.replace(first, b"first")


def test_names_that_are_not_utf_8_are_drawn_and_written(named, tmp_path):
    cfg, _, names, _ = named
    picture = tmp_path / "p.png"
    picture.write_bytes(encoded(np.full((64, 64, 3), 90, np.uint8), ".png"))
    out = tmp_path / "out"
    saved = ("--save", "picture,json,csv,yolo,coco", "--thresh", 0.01)
    run("detect", cfg, picture, "-o", out, *saved, code=0)
    assert (out / "classes.names").read_bytes() == names
    categories = [one["name"] for one in json.loads((out / "coco.json").read_bytes())["categories"]]
    assert [raw_bytes(name) for name in categories] == names.split(b"\n")[:2]
    found = json.loads((out / "result.json").read_bytes())[0]["objects"]
    assert found
    assert {raw_bytes(one["name"]) for one in found} <= set(names.split(b"\n"))
    (out / "detections.csv").read_text(encoding="utf-8")
    assert (cv2.imread(str(out / "p.png")) != 90).any()


def test_check_tells_the_likely_encoding_once(named):
    cfg, data, _, encoding = named
    for file in (cfg, data):
        said = run("check", file).stdout
        assert said.count("is not UTF-8, but probably") == 1
        assert f"m.names:1: warning: is not UTF-8, but probably {encoding}; its bytes are kept" in said or file == data


def test_no_replacement_character_is_written(named, tmp_path):
    test_names_that_are_not_utf_8_come_out_of_every_other_command(named, tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert "\ufffd".encode() not in path.read_bytes(), path


def test_blank_lines_of_names_count_the_same_everywhere(tmp_path):
    (tmp_path / "m.names").write_text("cat\n\n\n")
    text = TRAINABLE.replace("classes=2", "classes=1").replace("filters=14", "filters=12")
    cfg = write_model(tmp_path / "m", text, seeded_floats(network_of(text), 1))
    assert darkshare.load(cfg).tasks[0].names == ("cat",) == darkshare.data.read_names(tmp_path / "m.names")[0]
    (tmp_path / "m.names").write_text("\ncat\n")
    assert darkshare.data.read_names(tmp_path / "m.names")[0] == ("class 0", "cat")
    with pytest.raises(DarkshareError, match=r"holds 2 names \(line 1 is empty, and a class to Darknet\)"):
        darkshare.load(cfg)


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """A folder whose name is not UTF-8, with a detector, a data set, a picture and a video."""
    monkeypatch.chdir(tmp_path)
    folder = Path("plain")  # OpenCV cannot write into the odd one
    folder.mkdir()
    write_model(folder / "m", TRAINABLE, seeded_floats(network_of(TRAINABLE), 1), names=("red", "blue"))
    write_data(folder, draw(folder, 8), valid=4)
    for path in (*folder.glob("*.txt"), folder / "squares.data"):
        path.write_bytes(path.read_bytes().replace(b"plain/", raw_bytes(f"{ODD}/")))
    writer = cv2.VideoWriter("plain/v.avi", cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for _ in range(3):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    try:
        return folder.rename(ODD)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")


COMMANDS = (
    "info {0}/m.cfg",
    "check {0}/m.cfg {0}/squares.data",
    "stats {0}/m.cfg --format csv -o {0}/s.csv",
    "savings {0}/m.cfg --plot {0}/s.png",
    "concat {0}/m.cfg {0}/m.cfg --k 3 -o {0}/both",
    "verify {0}/m.cfg {0}/m.cfg --images {0}/images",
    "classes {0}/m.cfg --add bird -o {0}/c",
    "cut {0}/m.cfg --k 3 -o {0}/c.weights",
    "detect {0}/m.cfg {0}/v.avi {0}/images/0.png -o {0}/out --limit 1 --save json",
    "evaluate {0}/m.cfg {0}/squares.data --csv {0}/e.csv",
    "import-data {0}/squares.data -o {0}/imported",
    "kit {0}/m.cfg {0}/squares.data --k 3 -o {0}/kit",
    "anchors {0}/m.cfg {0}/squares.data -o {0}/a",
    "export {0}/m.cfg -o {0}/m.onnx",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_paths_that_are_not_utf_8(odd, command):
    """Each command writes there; what a library cannot open is told in one line."""
    found = run(*(word.format(ODD) for word in command.split()))
    if command.startswith("detect"):  # OpenCV cannot open the video
        assert "v.avi: the path holds bytes that are not UTF-8, which OpenCV cannot open; rename it" in found.output
        assert (odd / "out" / "result.json").is_file()
    else:
        assert found.exit_code == 0, found.output


@pytest.mark.parametrize("engine", ["opencv", "onnxruntime"])
def test_an_exported_file_that_the_engine_cannot_open(odd, engine):
    """In a process of its own, since OpenCV 5 crashed on such a path."""
    pytest.importorskip(engine.replace("opencv", "cv2"))
    run("export", odd / "m.cfg", "-o", odd / "m.onnx", code=0)
    command = [
        sys.executable,
        "-m",
        "darkshare",
        "detect",
        f"{ODD}/m.onnx",
        f"{ODD}/images/0.png",
        "--engine",
        engine,
        "-o",
        "out",
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"m.onnx: the path holds bytes that are not UTF-8, which O" in done.stderr


@pytest.mark.parametrize("kind", STAND_INS)
@pytest.mark.parametrize("file", ["m.cfg", "m.weights", "m.names", "p.png", "v.mp4", "x.onnx", "set.data", "l.txt"])
def test_what_stands_in_for_a_file_is_named(tmp_path, monkeypatch, kind, file):
    """udacity/SFND_3D_Object_Tracking issue 3: weights that were a pointer of Git LFS, or a page of a web site."""
    monkeypatch.chdir(tmp_path)
    write_model(Path("m"), TRAINABLE, seeded_floats(network_of(TRAINABLE), 1), names=("cat", "dog"))
    source = "p.png" if file.startswith("m.") else file
    Path("p.png").write_bytes(encoded(np.zeros((8, 8, 3), np.uint8), ".png"))
    Path(file).write_bytes(STAND_INS[kind])
    words = {"x.onnx": ("detect", file, "p.png"), "set.data": ("check", file)}.get(file, ("detect", "m.cfg", source))
    said = run(*words, code=1).output
    assert re.search(rf"{re.escape(file)}: is (an? |compressed with ){kind.strip()}", said)
