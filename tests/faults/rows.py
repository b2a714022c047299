"""The commands that write, each with small inputs and all of its outputs: the rows of the matrix."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from conftest import TRAINABLE, network_of, seeded_floats, write_model
from faults.running import SLOW, Row
from labelled import NAMES, draw, write_data, write_picture
from residuals import small_resnet

from darkshare import load, reduce, save
from darkshare.inference.onnx import write_onnx
from darkshare.surgery.splice import concat

NAMES_OF = {1: ("cat", "dog"), 2: ("car", "bus")}
TEXTS = {1: TRAINABLE, 2: TRAINABLE.replace("filters=16", "filters=24")}
TRAINING = "--threads 1 --workers 0 --batches 2 --batch 4 --validate-every 2 --checkpoint-every 0 --device cpu"
SECONDS = (r"(?m)(?<=,)\d+\.\d+(?=,|$)", r'"(train|wall)_seconds": [^\n]*')
DETECT = "-o out --batch 1 --threads 1 --save"
INT8 = "--precision int8 --calibrate in/photos --agreement 0 --rounds 6 --threads 1"
MODEL = {r"best\.\w+$": "best", r"\.(cfg|weights|names|data|tasks\.json)$": "model"}
TIMES = (r"(?s)(?<=<svg).*(?=</svg>)",)
SO_FAR = r"detections.csv$|\.(json|jsonl|avi)$"


def one(folder: Path, kind: int, names: tuple[str, ...] = ()) -> Path:
    """A detector of two classes."""
    data = seeded_floats(network_of(TEXTS[kind]), kind)
    return write_model(folder / "base", TEXTS[kind], data, names=names or NAMES_OF[kind])


def exported(folder: Path, kind: int) -> None:
    """A detector and its ONNX file."""
    write_onnx(load(one(folder, kind)), folder / "base.onnx")


def pair(folder: Path, kind: int) -> None:
    """Two detectors that share their first two layers."""
    one(folder, kind)
    network = network_of(TEXTS[kind])
    data, other = seeded_floats(network, kind), seeded_floats(network, kind + 10)
    other[: network.start(2)] = data[: network.start(2)]
    write_model(folder / "text", TEXTS[kind], other, names=("a", f"b{kind}"))


def merged(folder: Path, kind: int) -> None:
    """A merged network of two tasks."""
    pair(folder, kind)
    save(concat([load(folder / f"{name}.cfg") for name in ("base", "text")], 2), folder / "both")


def residual(folder: Path, kind: int) -> None:
    """A residual network."""
    save(small_resnet(seed=kind), folder / "net")


def paired(folder: Path, kind: int) -> None:
    """One whose shortcuts add channels that are paired."""
    save(reduce(small_resnet(seed=kind), keep="first"), folder / "net")


def photos(folder: Path, kind: int) -> None:
    """A detector that sees something everywhere, and pictures for it."""
    cfg = one(folder, kind)
    network = network_of(TEXTS[kind])
    data = seeded_floats(network, kind)
    for head in (5, 11):
        begin = network.start(head)
        data[begin : begin + 14] = 1
    write_model(cfg.with_suffix(""), TEXTS[kind], data)
    for number in range(3):
        write_picture(folder / "photos" / f"{number}.png", 10 * kind + number, (32, 32))


def video(folder: Path, kind: int) -> None:
    """The same, with a video."""
    photos(folder, kind)
    file = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for number in range(4):
        file.write(np.full((64, 64, 3), 40 * number + kind, np.uint8))
    file.release()


def squares(folder: Path, kind: int) -> None:
    """A detector, and a data set for it."""
    one(folder, kind, NAMES)
    write_data(folder, draw(folder, 8, seed=kind), valid=2)


def losses(folder: Path, kind: int) -> None:
    """A detector, and what a task loses at some cuts."""
    one(folder, kind)
    (folder / "losses.csv").write_text(f"k,loss\n0,0\n2,{kind}\n4,{kind + 1}\n")


def table(folder: Path, kind: int) -> None:
    """A table of boxes, with pictures."""
    for number in range(3):
        write_picture(folder / f"{number}.png", 10 * kind + number)
    rows = [f"{number}.png,20,10,{NAMES_OF[kind][0]},2,1,12,5\n" for number in range(3)]
    rows.append(f"missing-{kind}.png,20,10,cat,2,1,12,5\n")
    (folder / "boxes.csv").write_text("filename,width,height,class,xmin,ymin,xmax,ymax\n" + "".join(rows))


LABELS = r"labels/.*cannot be read"
ROWS = [
    Row("concat", "concat in/base.cfg in/text.cfg --k 2 -o out/both", pair),
    Row("split", "split in/both.cfg -o out", merged, sets={r"base\.": "base", r"text\.": "text"}),
    Row("cut", "cut in/base.cfg --k 2 --full -o out/start.weights", one),
    Row("mix", "mix in/base.cfg in/text.cfg --k 2 -o out/mixed", pair, cost=4),
    Row("snap", "snap in/base.cfg in/text.cfg --k 2 -o out/snapped", pair, cost=4),
    Row("classes", "classes in/base.cfg --keep 1 -o out/named", one, cost=4),
    Row(
        "anchors", "anchors in/base.cfg in/squares.data -o out/fitted --restarts 1 --plot out/boxes.svg", squares,
        sets=MODEL, spares=LABELS, cost=8,
    ),
    Row("kit", "kit in/base.cfg in/squares.data --k 2 -o out", squares, spares=LABELS, cost=4),
    Row("reduce", "reduce in/net.cfg --keep first -o out/small", residual, cost=4),
    Row("branch", "branch in/net.cfg --after 14 -m 2 --widths 16,32 -o out/thin", paired, cost=4),
    Row("export", "export in/base.cfg -o out/net.onnx", one),
    Row("import-weights", "import-weights in/base.cfg in/base.onnx -o out/net.weights", exported, cost=4),
    Row(
        "export in fp16", "export in/base.cfg --precision fp16 --for opencv --runner python -o out/net.onnx", one,
        sets={r"net\.": "net"}, cost=4,
    ),
    Row("export in int8", f"export in/base.cfg {INT8} -o out/net.onnx", photos, cost=SLOW),
    Row(
        "export for OpenVINO", f"export in/base.cfg {INT8} --for openvino --runner python -o out/net.xml", photos,
        sets={r"net\.": "net"}, cost=SLOW,
    ),
    Row(
        "import-data", "import-data in/boxes.csv -o out/set --findings out/findings.csv", table,
        grows="findings", spares="cannot be read.*left out", is_folder=True,
    ),
    Row(
        "import-data with copies", "import-data in/boxes.csv --copy --split 0.4 -o out/set", table,
        spares="cannot be read.*left out", is_folder=True,
    ),
    Row("stats", "stats in/base.cfg in/text.cfg --format csv -o out/rows.csv", pair),
    Row(
        "stats with figures", "stats in/base.cfg in/text.cfg --plot out/a.svg --html out/a.html", pair,
        apart=True, cost=8,
    ),
    Row("draw", "draw in/both.cfg -o out/both.html", merged, cost=8),
    Row(
        "report", "report in/both.cfg --beside in/base.cfg --beside in/text.cfg -o out/report.html", merged,
        vague=(r" on \d{4}-\d\d-\d\d:",), cost=8,
    ),
    Row("savings", "savings in/base.cfg --plot out/cuts.svg", one, cost=8),
    Row("bench", "bench in/base.cfg in/text.cfg --k 2 --rounds 6 --plot out/times.svg", pair, vague=TIMES, cost=SLOW),
    Row(
        "evaluate", "evaluate in/base.cfg in/squares.data --plot out/curve.svg --csv out/curve.csv", squares,
        apart=True, spares=LABELS, cost=8,
    ),
    Row(
        "evaluate by chunks", "evaluate in/base.cfg in/squares.data -o out --chunk 1 --threads 1", squares,
        apart=True, is_own=True, spares=LABELS, cost=8,
    ),
    Row(
        "detect", f"detect in/base.cfg in/photos {DETECT} picture,json,csv,yolo,coco", photos,
        apart=True, grows=SO_FAR, spares="photos/.*cannot be read", cost=8,
    ),
    Row(
        "detect in a video", f"detect in/base.cfg in/clip.avi {DETECT} video,json,csv,yolo", video,
        apart=True, grows=SO_FAR, cost=8,
    ),
    Row(
        "detect by chunks", "detect in/base.cfg in/photos -o out --chunk 1 --threads 1", photos,
        apart=True, is_own=True, spares="photos/.*cannot be read", cost=8,
    ),
    Row(
        "train", f"train in/base.cfg in/squares.data --k 3 {TRAINING} --plot out/course.svg -o out/net", squares,
        sets={**MODEL, "course": ""}, grows="net.csv$", leaves=r"out/net\.(checkpoint|good)",
        spares=LABELS, vague=SECONDS, cost=SLOW,
    ),
    Row(
        "sweep", f"sweep in/base.cfg in/squares.data --k 3 --seeds 1 {TRAINING} --plot out/map.svg -o out", squares,
        sets={**MODEL, r"results\.(csv|json)": "results", r"((sweep|result)\.json|lock|png|svg)$": ""},
        grows="net.csv$", leaves=r"out/trials.*(checkpoint|\.lock|log\.txt)|out/(trials|sweep\.json)",
        spares=LABELS, vague=SECONDS, is_own=True, cost=SLOW,
    ),
    Row(
        "plan", "plan in/base.cfg text=in/losses.csv --max-loss 2 -o out", losses,
        sets={r"csv$": "tables", r"png$": ""}, cost=8,
    ),
    Row(
        "demo", "demo -o out", one, cost=32,
        sets={r"street\.[^p]": "street", "marks": "marks", "text": "text", r"\.png": "pictures"},
    ),
]  # fmt: skip
