"""A whole afternoon in Python, as a notebook would have it: two data sets become one network that finds both."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import TRAINABLE, needs_torch, network_of, seeded_floats, write_model

VOC = """\
<annotation>
  <filename>{name}.png</filename>
  <size><width>64</width><height>48</height><depth>3</depth></size>
  <object>
    <name>{kind}</name>
    <bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>
  </object>
</annotation>
"""


def draw_voc(folder: Path, colours: dict[str, tuple[int, int, int]], count: int, seed: int) -> None:
    """Write Pascal VOC's files: pictures of one coloured square on gray each, whose colour is its class."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for number in range(count):
        kind = list(colours)[number % len(colours)]
        side = int(rng.integers(12, 24))
        x, y = int(rng.integers(1, 64 - side)), int(rng.integers(1, 48 - side))
        picture = rng.integers(100, 140, (48, 64, 3)).astype(np.uint8)
        picture[y : y + side, x : x + side] = colours[kind]
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        text = VOC.format(name=number, kind=kind, x1=x + 1, y1=y + 1, x2=x + side, y2=y + side)
        (folder / f"{number}.xml").write_text(text)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a base, two sets of labelled pictures and some photos, which is the current one."""
    write_model(tmp_path / "base", TRAINABLE, seeded_floats(network_of(TRAINABLE), 1), names=("cat", "dog"))
    draw_voc(tmp_path / "warm", {"red": (40, 40, 220), "yellow": (20, 220, 230)}, 16, seed=1)
    draw_voc(tmp_path / "cold", {"blue": (220, 60, 30), "green": (40, 200, 40)}, 16, seed=2)
    draw_voc(tmp_path / "photos", {"red": (40, 40, 220), "blue": (220, 60, 30)}, 2, seed=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_an_afternoon(desk):
    needs_torch()
    from darkshare import anchors, bench, concat, detect, evaluate, export, import_data, load, save, train

    base = load("base.cfg")
    models, sets = [], {}
    for name in ("warm", "cold"):
        sets[name] = import_data(name, f"{name}-data", split=0.25).path
        start = anchors(base, sets[name], restarts=2)
        outcome = train(start, sets[name], k=5, output=name, batches=4, batch=4, subdivisions=1, workers=0, seed=1)
        assert outcome.done == 4
        models.append(load(f"{name}.cfg"))

    both = concat(models, k=5)
    save(both, "both")
    assert [task.name for task in both.tasks] == ["warm", "cold"]
    assert repr(both).count("\n") == 0
    assert len(repr(both)) < 500

    measured = evaluate(both, sets, beside=models, lowest=0.001)
    assert list(measured.means) == ["warm", "cold"]
    differences = measured.to_dataframe()["darknet_ap50_difference"]
    assert differences.abs().max() < 1e-6  # what the merged network finds is what each alone finds
    assert {"warm", "cold"} == set(measured.to_dataframe()["task"])

    detect(both, "photos", output="found", thresh=0.001)
    pictures = json.loads(Path("found/result.json").read_text())
    assert len(pictures) == 2
    assert {one["task"] for picture in pictures for one in picture["objects"]} <= {"warm", "cold"}

    export(both, "both.onnx")
    assert list(cv2.dnn.readNetFromONNX("both.onnx").getUnconnectedOutLayersNames())

    timed = bench(models, k=5, rounds=6)
    assert timed.rows()
    for result in (measured, timed, outcome):
        assert repr(result).count("\n") == 0
        assert result._repr_html_().startswith(("<table>", "<img"))
