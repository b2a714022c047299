"""What a frame costs from file to file, against the engine's forward pass alone; and what decoding boxes costs.

python benchmarks/detect.py yolov3.cfg [yolov3.weights] [--engine opencv] [--threads N] [--frames 10] [--rounds 6]
                            [--markdown FILE] [--json FILE]

Without weights, seeded ones are made, and heads that see 20 objects. The video is drawn here, 1280 x 720. "detect" is
the time per frame of the pipeline: decode, infer, decode boxes, NMS, draw, and write the video and the lines of JSON.
Its ratio to the forward pass is the median of those of single rounds, with bounds that hold the true one with 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import cv2
import numpy as np

from darkshare._images import Picture
from darkshare._tables import render
from darkshare.darknet.cfg import parse
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.tasks import Task
from darkshare.darknet.weights import Floats, Header, Weights
from darkshare.inference.boxes import Detections, interpret
from darkshare.inference.boxes.decoding import decode
from darkshare.inference.detector import Detector
from darkshare.inference.draw import annotate
from darkshare.inference.engines.timing import FEWEST, median_interval, require_rounds
from darkshare.inference.media import OutputFiles, OutputNames, flow, reading, select
from darkshare.inference.media.videos import VideoFile
from darkshare.inference.preprocess import preprocess

SIZE = (1280, 720)
PROCESSORS = "detect / forward, all processors' time"
ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"


def seeded(network: Network) -> Weights:
    """Weights that keep values in bounds."""
    rng = np.random.default_rng(0)
    data = np.zeros(network.params, np.float32)
    for layer in network.layers:
        begin = layer.start
        for tensor in layer.tensors:
            part = data[begin : begin + tensor.size]
            if len(tensor.shape) > 1:
                part[:] = rng.standard_normal(tensor.size) * (2 / np.prod(tensor.shape[1:])) ** 0.5
            elif tensor.name.endswith(("scales", "variance")):
                part[:] = 1 if tensor.name.endswith("variance") else 0.6
            begin += tensor.size
    return Weights(Header(), (data,))


class Seeing(Detector):
    """Computes everything and then reads heads that show 20 objects, with three boxes each, instead of noise."""

    def raw_batch(self, images: Sequence[Picture]) -> list[dict[int, Floats]]:
        made = super().raw_batch(images)
        return [{index: _crowd(v.shape, 7, own=i) for i, (index, v) in enumerate(raw.items())} for raw in made]


def drawn_video(path: Path, frames: int) -> None:
    """Shapes that move."""
    video = VideoFile(path, SIZE, 25)
    ground = cv2.resize(np.random.default_rng(1).integers(0, 256, (9, 16, 3), np.uint8), SIZE)
    for number in range(frames):
        image = ground.copy()
        cv2.circle(image, (40 * number % 1280, 300), 90, (30, 30, 220), -1)
        cv2.rectangle(image, (900 - 9 * number, 400), (1100 - 9 * number, 600), (20, 200, 40), -1)
        video.add(image, number + 1)
    video.close()


def milliseconds(act: Any, times: int) -> float:
    """The median of several calls."""
    taken = []
    for _ in range(times):
        start = perf_counter()
        act()
        taken.append((perf_counter() - start) * 1e3)
    return median(taken)


class Cost(NamedTuple):
    """Milliseconds per frame: by the clock, and of all processors together, which other programs disturb less."""

    clock: float
    processors: float

    @classmethod
    def of(cls, act: Any, frames: int) -> Cost:
        """Of something that does a number of frames."""
        clock, processors = perf_counter(), process_time()
        act()
        return cls((perf_counter() - clock) * 1e3 / frames, (process_time() - processors) * 1e3 / frames)


def through_detect(detector: Detector, video: Path) -> None:
    """All that the command does with a video."""
    with tempfile.TemporaryDirectory() as folder:
        output, places = OutputFiles(Path(folder), detector.model), OutputNames(Path(folder))
        read = reading(select([str(video)]), prepare=detector.prepare)
        with closing(flow(detector, read, draws=output.draws)) as frames:
            for frame in frames:
                if frame.error is not None:
                    raise frame.error
                output.write(frame, places.stem(frame))
        output.close()


def decoding(objects: int = 60) -> tuple[float, float]:
    """Milliseconds for decoding, and decoding with NMS, of two tasks of 80 classes at 416: six heads in all."""
    heads = "".join(
        f"[convolutional]\nsize=1\nstride={stride}\nfilters=255\nactivation=linear\n"
        f"[yolo]\nmask={mask}\nanchors={ANCHORS}\nclasses=80\nnum=9\n[route]\nlayers=0\n"
        for stride, mask in 2 * ((32, "6,7,8"), (16, "3,4,5"), (8, "0,1,2"))
    )
    text = "[net]\nwidth=416\nheight=416\nchannels=3\n[convolutional]\nfilters=3\nsize=1\nactivation=linear\n" + heads
    network = resolve(parse(text, "heads.cfg"))
    names = tuple(f"class {i}" for i in range(80))
    yolos = [layer.index for layer in network.layers if layer.kind.name == "yolo"]
    tasks = tuple(Task(f"task {i}", names, tuple(yolos[3 * i : 3 * i + 3]), ((0, 2),)) for i in range(2))
    model = Model(network, None, tasks)
    raw = {index: _crowd(network.layers[index].y[:3], objects // len(yolos)) for index in yolos}
    parts = [(task, index) for task in tasks for index in task.heads]
    alone = milliseconds(lambda: [decode(model, task, index, raw[index], 0.25) for task, index in parts], 50)
    return alone, milliseconds(lambda: interpret(model, raw, SIZE), 50)


@lru_cache
def _crowd(shape: Sequence[int], objects: int, own: int = 0) -> Floats:
    """A head that sees objects, each with three boxes that overlap; it is made once, as `detect` makes none."""
    rng = np.random.default_rng(own)
    planes = rng.standard_normal((3, shape[0] // 3, shape[1] * shape[2])).astype(np.float32) / 4 - 4
    places = rng.integers(0, shape[1] * shape[2], objects)
    planes[:, :4, places] = 0
    planes[:, 4, places] = 3
    planes[:, 5 + rng.integers(0, 80, objects), places] = 3
    return planes.reshape(shape).astype(np.float32, copy=False)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="+", metavar="MODEL.cfg [MODEL.weights]")
    parser.add_argument("--engine", default="opencv")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=FEWEST)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    require_rounds(given.rounds)
    model = load(*given.model)
    alone, with_nms = decoding()
    found: dict[str, Any] = {"decoding ms": alone, "decoding and NMS ms": with_nms}
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.avi"
        drawn_video(video, given.frames)
        how = {"engine": given.engine, "threads": given.threads}
        if model.weights is None:
            detector: Detector = Seeing(replace(model, weights=seeded(model.network)), **how)
        else:
            detector = Detector(model, **how)
        found |= measured(detector, video, given)
    table = summary(found)
    print(render(table, "text"))
    if given.markdown:
        given.markdown.write_text(render(table, "markdown") + "\n", encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured(detector: Detector, video: Path, given: Any) -> dict[str, Any]:
    """Forward pass and pipeline in turn, since a busy machine slows both; then every other step by itself."""
    batch = preprocess(next(select([str(video)]).frames()).image, detector.model.network)
    forward, whole = [], []
    for _ in range(given.rounds):
        forward.append(Cost.of(lambda: [detector._engine.run(batch) for _ in range(given.frames)], given.frames))
        whole.append(Cost.of(lambda: through_detect(detector, video), given.frames))
        print(f"forward {forward[-1].clock:.0f} ms, detect {whole[-1].clock:.0f} ms per frame", file=sys.stderr)
    clocks = sorted(b.clock / a.clock for a, b in zip(forward, whole, strict=True))
    processors = median(b.processors / a.processors for a, b in zip(forward, whole, strict=True))
    return {
        "engine": given.engine,
        "forward ms": [cost.clock for cost in forward],
        "detect ms": [cost.clock for cost in whole],
        "detect / forward": [median(clocks), *median_interval(clocks)],
        PROCESSORS: processors,
        "steps ms": steps(detector, video),
    }


def summary(found: dict[str, Any]) -> list[dict[str, object]]:
    """The table: what was measured, for people."""
    forward = min(found["forward ms"])
    added = 1 + sum(found["steps ms"].values()) / forward
    rows = [
        ("forward pass", f"{median(found['forward ms']):.1f} ms"),
        ("detect, per frame", f"{median(found['detect ms']):.1f} ms"),
        ("detect / forward, by the clock", "{:.3f} ({:.3f} to {:.3f})".format(*found["detect / forward"])),
        (PROCESSORS, f"{found[PROCESSORS]:.3f}"),
        *((name, f"{taken:.2f} ms") for name, taken in found["steps ms"].items()),
        ("(forward + these) / forward", f"{added:.3f}"),
        ("decoding two tasks of 80 classes", f"{found['decoding ms']:.2f} ms"),
        ("the same with NMS and places", f"{found['decoding and NMS ms']:.2f} ms"),
    ]
    return [{"what": what, "measured": figure} for what, figure in rows]


def steps(detector: Detector, video: Path) -> dict[str, float]:
    """Milliseconds of every step but the forward pass, with nothing beside it."""
    frame = next(select([str(video)]).frames())
    image = frame.image
    raw = detector.raw(image)
    found: list[Detections] = interpret(detector.model, raw, SIZE)
    with tempfile.TemporaryDirectory() as folder:
        output = OutputFiles(Path(folder), detector.model)
        done = [replace(frame, found=tuple(found), drawn=annotate(image, found), number=n) for n in range(1, 8)]
        waiting = iter(done)
        taken = {
            "decode": milliseconds(lambda: list(select([str(video)]).frames(limit=5)), 3) / 5,
            "blob": milliseconds(lambda: preprocess(image, detector.model.network), 7),
            f"{sum(map(len, found))} boxes": milliseconds(lambda: interpret(detector.model, raw, SIZE), 7),
            "draw": milliseconds(lambda: annotate(image, found), 7),
            "write": milliseconds(lambda: output.write(next(waiting), "video"), 7),
        }
        output.close()
    return taken


if __name__ == "__main__":
    main()
