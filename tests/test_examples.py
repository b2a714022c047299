"""The examples: each script does what its page says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from darkshare.analysis.frozen import compare_trunks
from darkshare.cli.demo_files import HERE, PICTURES
from darkshare.darknet.model import load
from darkshare.data import read_data

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def environment(tmp_path):
    """One in which `darkshare` is the package under test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "darkshare"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m darkshare "$@"\n')
    script.chmod(0o755)
    paths = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(EXAMPLES.parent)}


def labelled(folder: Path, count: int) -> None:
    """Pictures with one bright square each, and Pascal VOC's files."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(count):
        image = rng.integers(0, 60, (96, 96, 3), np.uint8)
        left, top, side = (int(value) for value in rng.integers((4, 4, 20), (40, 40, 50)))
        cv2.rectangle(image, (left, top), (left + side, top + side), (240, 240, 240), -1)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        box = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{left + side}</xmax><ymax>{top + side}</ymax>"
        (folder / f"{i}.xml").write_text(
            f"<annotation><filename>{i}.png</filename><size><width>96</width><height>96</height><depth>3</depth></size>"
            f"<object><name>lamp</name><bndbox>{box}</bndbox></object></annotation>"
        )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_a_day(tmp_path, environment):
    pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[train]'")
    subprocess.run(["darkshare", "demo", "-o", "demo"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    labelled(tmp_path / "lamps", 10)
    words = ["bash", EXAMPLES / "a-day" / "day.sh", "demo/street.cfg", "lamps", "13", "out"]
    how = ["--batches", "2", "--batch", "4", "--threads", "1"]
    done = subprocess.run([*words, *how], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert "layers 0..12 are bit-identical (k=13)" in done.stdout
    assert [(task.name, task.k) for task in load(out / "both.cfg").tasks] == [("street", 0), ("trained", 13)]
    assert "darknet_ap50_difference" in done.stdout
    assert "2 of 2 pictures" in done.stderr
    assert compare_trunks(load(tmp_path / "demo" / "street.cfg"), load(out / "trained.cfg"), 13).identical == 13
    assert (out / "detections" / "result.json").exists()


def test_pictures_are_drawn_with_their_labels(tmp_path):
    words = [sys.executable, EXAMPLES / "demo-models" / "draw.py", tmp_path / "drawn", "--train", "6", "--valid", "2"]
    subprocess.run(words, check=True)
    tasks = {"street": ("car", "bus", "person", "lamp"), "marks": ("sun", "leaf", "fox"), "text": ("text",)}
    for name, classes in tasks.items():
        folder = tmp_path / "drawn" / name
        train, valid = read_data(folder / f"{name}.data"), read_data(folder / f"{name}.data", "valid")
        assert train.names == classes
        assert (len(train.samples), len(valid.samples)) == (6, 2)
        assert not [finding for finding in train.findings if "empty" not in finding.text]
        assert sum(len(sample.boxes) for sample in train.samples) > 8


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="letters, and what has room beside, are OpenCV 5's")
def test_the_pictures_of_the_demo_are_those_that_the_program_draws(tmp_path):
    subprocess.run([sys.executable, EXAMPLES / "demo-models" / "pictures.py", tmp_path], check=True)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == sorted(x.name for x in PICTURES.iterdir())
    assert cv2.imread(str(tmp_path / "street.png")).shape == cv2.imread(str(HERE / "street.png")).shape
    boxes = [
        [line for line in (folder / "boxes.csv").read_text().splitlines() if ",street," in line]  # text has fonts
        for folder in (tmp_path / "pictures", PICTURES)
    ]
    assert boxes[0] == boxes[1]


@pytest.mark.slow
def test_the_experiment_with_branches_runs_and_goes_on(tmp_path, environment):
    """Two pictures of each letter and some updates: that it learns anything is not asked here."""
    pytest.importorskip("torch", reason="training needs PyTorch")
    script = str(EXAMPLES / "rrr-net" / "run.py")
    names = ["full", "probe", "reduced", "branched-2-rrr"]
    few = ["--letters", "2", "--base-batches", "2", "--seeds", "1", "--epochs", "0.2", "--methods", *names]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, script, "out", *few],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    table = (tmp_path / "out" / "table.md").read_text()
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == names
    assert "full-0: " not in done.stdout  # it was there already
    assert (tmp_path / "out" / "figure.png").stat().st_size > 1000
