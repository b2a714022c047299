"""How time and memory grow with what darkshare is given: networks, layers, pictures, frames, processes, class names.

python benchmarks/load.py [--only WORD] [--scale 1] [--rounds 2] [--markdown FILE] [--json FILE] [--plot FILE]

Every scenario runs as a process of its own at an eighth, a quarter, a half and all of its size, and once with next to
nothing. "CPU s" is the processor time at full size, "growth" the exponent with which that above next to nothing grows
(1 is linear; none where next to nothing takes longer), "MB" the peak memory at an eighth and at full size. What is
written is compared with what is right. Exit code 1 if time grows faster than linearly, or the memory of what streams
grows at all.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from labelled import draw

from darkshare._figures import COLOURS, GREY, write_figure
from darkshare._tables import render
from darkshare.darknet.cfg import parse
from darkshare.darknet.network import resolve
from darkshare.darknet.weights import Header

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
LARGEST_GROWTH = 1.15  # of time; linear and the noise of a shared machine
LARGEST_RISE = 1.2  # of the memory of what streams, from an eighth to all: the names, and the rows that are printed
SIDE = 32  # pixels of every picture
PARTS = (8, 4, 2, 1)
OURS = (sys.executable, "-m", "darkshare")
RESOLVE = r"""
import sys
from darkshare.darknet.cfg import read_cfg
from darkshare.darknet.network import resolve
print(*resolve(read_cfg(sys.argv[1])).layers, sep="\n")
"""
# Runs commands side by side. A small process does it, since what starts others counts for their peak.
WAIT = """
import json, os, subprocess, sys, time
commands = json.load(sys.stdin)
begun = time.perf_counter()
with open("log.txt", "wb") as log:
    started = [subprocess.Popen(words, stdout=log, stderr=log) for words in commands]
    ended = [os.wait4(one.pid, 0)[1:] for one in started]
seconds = time.perf_counter() - begun
codes = [os.waitstatus_to_exitcode(status) for status, _ in ended]
used = [used for _, used in ended]
cpu = sum(one.ru_utime + one.ru_stime for one in used)
print(json.dumps([seconds, cpu, max(one.ru_maxrss for one in used) / 1024, codes]))
"""


class Point(NamedTuple):
    """A run of `size`, in seconds of wall and processor time and MB at the peak of one process."""

    size: int
    wall: float
    cpu: float
    memory: float


class Scenario(NamedTuple):
    """One kind of load.

    Attributes:
        group: what there is more and more of.
        name: of the command.
        full: the largest size.
        make: fills a folder for a size, and gives the commands to run in it side by side.
        right: says whether the folder then holds what it should.
        streams: memory must not grow.
        least: the smallest size.
    """

    group: str
    name: str
    full: int
    make: Callable[[Path, int], list[list[str]]]
    right: Callable[[Path, int], bool]
    streams: bool = False
    least: int = 1


def detector(stem: Path, classes: int = 2, branch: int = 0) -> None:
    """A detector that sees red squares as class 0 and blue ones as class 1, in any of 4x4 cells.

    Args:
        stem: of its files.
        classes: it has; it never sees the others.
        branch: another number gives other weights behind its first layer.
    """
    text = (
        f"[net]\nwidth={SIDE}\nheight={SIDE}\nchannels=3\nbatch=2\nmax_batches=9\n[convolutional]\nfilters=3\nsize=1\n"
        f"activation=linear\n[convolutional]\nfilters={classes + 5}\nsize=8\nstride=8\nactivation=linear\n"
        f"[yolo]\nmask=0\nanchors=16,16\nnum=1\nclasses={classes}\n"
    )
    kernels, biases = np.zeros((classes + 5, 3, 8, 8), "<f4"), np.zeros(classes + 5, "<f4")
    kernels[4, 0], kernels[4, 1], kernels[4, 2] = 0.5, -1, 0.5
    kernels[5, 0], kernels[5, 2] = 0.5, -0.5
    biases[4:], biases[0] = -10, branch / 1000
    if classes > 1:
        kernels[6] = -kernels[5]
    first = [np.zeros(3, "<f4"), np.eye(3, dtype="<f4")]
    stem.with_suffix(".cfg").write_text(text)
    floats = b"".join(array.tobytes() for array in (*first, biases, kernels))
    stem.with_suffix(".weights").write_bytes(Header().to_bytes("alexeyab") + floats)
    stem.with_suffix(".names").write_text("".join(f"name {number}\n" for number in range(classes)))


def networks(folder: Path, count: int) -> list[list[str]]:
    for number in range(count):
        detector(folder / f"n{number}", branch=number)
    return [[*OURS, "concat", *(f"n{number}.cfg" for number in range(count)), "--k", "1", "-o", "both"]]


def merged(folder: Path, count: int) -> list[list[str]]:
    (words,) = networks(folder, count)
    subprocess.run(words, cwd=folder, check=True, capture_output=True, env=environment())
    pictures(folder, 1)
    return [[*OURS, "detect", "both.cfg", "images", "-o", "out", "--save", "json", "--threads", "1"]]


def layers(path: Path, count: int) -> None:
    """A cfg of kinds that are short, since a cfg has at most 1 MiB, and its weights."""
    kinds = ("[maxpool]\nsize=1\n", "[route]\nlayers=-1\n", "[batchnorm]\n", "[shortcut]\nfrom=-2\n", "[dropout]\n")
    first = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\n"
    text = first + "".join(kinds[number % len(kinds)] for number in range(count - 1))
    path.write_text(text)
    floats = np.ones(resolve(parse(text)).params, "<f4")
    path.with_suffix(".weights").write_bytes(Header().to_bytes("alexeyab") + floats.tobytes())


def of_layers(*words: str) -> Callable[[Path, int], list[list[str]]]:
    def make(folder: Path, count: int) -> list[list[str]]:
        layers(folder / "m.cfg", count)
        return [[*words, "m.cfg"]]

    return make


def concat_layers(folder: Path, count: int) -> list[list[str]]:
    for name in ("a", "b"):
        layers(folder / f"{name}.cfg", max(count // 2, 2))
    return [[*OURS, "concat", "a.cfg", "b.cfg", "--k", "1", "-o", "both"]]


def pictures(folder: Path, count: int, classes: int = 2) -> None:
    """Labelled pictures of one square each, and two .data files: d.data to train on them, v.data to validate."""
    drawn = folder.parent / "drawn"
    if not (drawn / "images" / f"{count - 1}.png").exists():
        draw(drawn, count, size=(SIDE, SIDE))
    for name, suffix in (("images", "png"), ("labels", "txt")):
        (folder / name).mkdir(exist_ok=True)
        for number in range(count):
            os.link(drawn / name / f"{number}.{suffix}", folder / name / f"{number}.{suffix}")
    (folder / "list.txt").write_text("".join(f"images/{number}.png\n" for number in range(count)))
    for name, key in (("d", "train"), ("v", "valid")):
        (folder / f"{name}.data").write_text(f"classes={classes}\n{key}=list.txt\nnames=m.names\n")


def of_pictures(*words: str) -> Callable[[Path, int], list[list[str]]]:
    def make(folder: Path, count: int) -> list[list[str]]:
        detector(folder / "m")
        pictures(folder, count)
        return [[*OURS, *words]]

    return make


def video(folder: Path, count: int) -> list[list[str]]:
    detector(folder / "m")
    pictures(folder, min(count, 50))
    frames = [cv2.imread(str(one)) for one in sorted((folder / "images").iterdir())]
    writer = cv2.VideoWriter(str(folder / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (SIDE, SIDE))
    for number in range(count):
        writer.write(frames[number % len(frames)])
    writer.release()
    return [[*OURS, "detect", "m.cfg", "v.avi", "-o", "out", "--save", "video,json,csv", "--threads", "1"]]


def at_once(folder: Path, count: int) -> list[list[str]]:
    detector(folder / "m")
    pictures(folder, 20)
    words = [*OURS, "detect", "m.cfg", "images", "--save", "json,yolo,picture", "--threads", "1", "-o"]
    return [[*words, f"out/{number}"] for number in range(count)]


def of_classes(*words: str) -> Callable[[Path, int], list[list[str]]]:
    def make(folder: Path, count: int) -> list[list[str]]:
        detector(folder / "m", count)
        detector(folder / "other", count, branch=1)
        pictures(folder, 20, count)
        return [[*OURS, *words]]

    return make


def same_everywhere(folder: Path, count: int) -> bool:
    """Each process wrote what the first one did: 20 pictures with boxes, and nothing else was left behind."""

    def contents(number: int) -> dict[str, bytes]:
        out = folder / "out" / str(number)
        return {one.name: one.read_bytes() for one in out.iterdir()}

    first = contents(0)
    boxes = [data for name, data in first.items() if name.endswith(".txt")]
    alike = all(contents(number) == first for number in range(count))
    return alike and len(boxes) == 20 and all(boxes) and len(first) == 42  # the classes and the .json are two more


def has(name: str, word: str, times: int = 1) -> Callable[[Path, int], bool]:
    """Say whether a file has as many lines with a word as there were things; with `times=0`, whether it has one."""

    def right(folder: Path, count: int) -> bool:
        found = sum(word in line for line in (folder / name).read_text().splitlines())
        return found == times * count if times else found > 0

    return right


def headers(folder: Path) -> int:
    """Count the sections of a merged network."""
    return (folder / "both.cfg").read_text().count("[")


def texts(name: str) -> Callable[[Path, int], bool]:
    """Say whether a folder has as many .txt files as there were things."""
    return lambda folder, count: len(list((folder / name).glob("*.txt"))) == count


DETECT = ("detect", "m.cfg", "images", "-o", "out", "--threads", "1", "--save")
FEW = ("--thresh", "0.9", "--max-det", "1")  # boxes, since the table of them that is printed at the end is kept
TRAIN = ("train", "m.cfg", "d.data", "--k", "1", "--batches", "1", "--threads", "1", "-o", "new")
IMPORT = ("import-data", "d.data", "-o", "new", "--split", "0")
CONCAT = ("concat", "m.cfg", "other.cfg", "--k", "1", "-o", "both")
EVALUATE = ("evaluate", "m.cfg", "v.data")
SCENARIOS = (
    Scenario("networks", "concat", 200, networks, has("both.cfg", "[yolo]"), least=2),
    Scenario("networks", "detect merged", 200, merged, has("out/result.json", '"task"', 4), least=2),
    Scenario("layers", "resolve", 50_000, of_layers(sys.executable, "-c", RESOLVE), has("log.txt", "<Layer")),
    Scenario("layers", "info", 50_000, of_layers(*OURS, "info"), has("log.txt", "8x8x4")),
    Scenario("layers", "check", 50_000, of_layers(*OURS, "check"), has("log.txt", "no problems found", 0)),
    Scenario("layers", "concat", 50_000, concat_layers, lambda folder, n: headers(folder) == n + 1, least=8),
    Scenario("class names", "concat", 10_000, of_classes(*CONCAT), has("both.names", "name", 2), least=2),
    Scenario("class names", "detect", 10_000, of_classes(*DETECT, "json"), has("log.txt", "20 of 20", 0), least=2),
    Scenario("class names", "evaluate", 10_000, of_classes(*EVALUATE), has("log.txt", "average IoU", 0), least=2),
    Scenario("class names", "import-data", 10_000, of_classes(*IMPORT), has("new/new.names", "name"), least=2),
    Scenario("pictures", "detect", 10_000, of_pictures(*DETECT, "json,csv,yolo", *FEW), texts("out"), streams=True),
    Scenario("pictures", "evaluate", 10_000, of_pictures(*EVALUATE), has("log.txt", "average IoU", 0)),
    Scenario("pictures", "import-data", 10_000, of_pictures(*IMPORT), has("new/train.txt", "png")),
    Scenario("pictures", "check", 10_000, of_pictures("check", "d.data"), has("log.txt", "train", 0)),
    Scenario("pictures", "train", 10_000, of_pictures(*TRAIN), has("log.txt", "wrote", 0)),
    Scenario("frames", "detect", 20_000, video, has("out/v.jsonl", "{"), streams=True),
    Scenario("at once", "detect", 64, at_once, same_everywhere, streams=True),
)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def measured(scenario: Scenario, size: int, above: Path) -> Point:
    """Run a scenario once, in a folder of its own.

    Raises:
        RuntimeError: a command failed, or what it wrote is not right.
    """
    folder = above / "run"
    folder.mkdir()
    try:
        commands = json.dumps(scenario.make(folder, size))
        wait = [sys.executable, "-c", WAIT]
        done = subprocess.run(
            wait, input=commands, cwd=folder, env=environment(), check=True, capture_output=True, text=True
        )
        wall, cpu, memory, codes = json.loads(done.stdout)
        if any(codes) or not scenario.right(folder, size):
            said = (folder / "log.txt").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{scenario.group}, {scenario.name}, {size}: exit codes {codes}\n{said}")
        return Point(size, wall, cpu, memory)
    finally:
        shutil.rmtree(folder)


def points(scenario: Scenario, scale: float, rounds: int, above: Path) -> list[Point]:
    """Measure each size as often as there are rounds; of each, the fastest run counts."""
    full = max(round(scenario.full * scale), 16 * scenario.least)
    sizes = [scenario.least, *(full // part for part in PARTS)]
    runs = [[measured(scenario, size, above) for size in sizes] for _ in range(rounds)]
    return [min(its, key=lambda point: point.cpu) for its in zip(*runs, strict=True)]


def growth(found: Sequence[Point]) -> float | None:
    """The exponent of the processor time above that of next to nothing; None where that takes longer itself."""
    least, *rest = found
    if rest[-1].cpu < 2 * least.cpu:
        return None
    x, y = zip(*((log(p.size - least.size), log(max(p.cpu - least.cpu, 1e-3))) for p in rest), strict=True)
    return float(np.polyfit(x, y, 1)[0])


def row(scenario: Scenario, found: Sequence[Point]) -> dict[str, Any]:
    least, first, *_, last = found
    exponent = growth(found)
    return {
        "load": f"{last.size:,} {scenario.group}",
        "command": scenario.name,
        "CPU s": round(last.cpu, 2),
        "growth": None if exponent is None else round(exponent, 2),
        "MB": f"{first.memory:.0f} to {last.memory:.0f}",
        "per": f"{1000 * (last.cpu - least.cpu) / (last.size - least.size):.3g} ms",
    }


def is_bad(scenario: Scenario, found: Sequence[Point]) -> bool:
    _, first, *_, last = found
    return (growth(found) or 0) > LARGEST_GROWTH or (scenario.streams and last.memory > LARGEST_RISE * first.memory)


def figure(found: dict[Scenario, list[Point]]) -> Figure:
    """For each group its processor time and its memory against the size."""
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(scenario.group for scenario in found))
    made = Figure(figsize=(7.5, 2 * len(groups) + 0.5), layout="constrained")
    panels = made.subplots(len(groups), 2, squeeze=False)
    for group, (left, right) in zip(groups, panels, strict=True):
        its = [(scenario.name, every) for scenario, every in found.items() if scenario.group == group]
        for (name, every), colour in zip(its, (*COLOURS, GREY), strict=False):
            sizes = [point.size for point in every]
            left.plot(sizes, [point.cpu for point in every], "o-", color=colour, markersize=4)
            left.plot(sizes[::4], [point.cpu for point in every[::4]], ":", color="black", linewidth=1, zorder=3)
            right.plot(sizes, [point.memory for point in every], "o-", color=colour, markersize=4, label=name)
        _finish(left, right, group, sizes)
    panels[0][0].set_title("CPU seconds; dotted: linear", fontsize="medium")
    panels[0][1].set_title("MB at the peak of a process", fontsize="medium")
    return made


def _finish(left: Axes, right: Axes, group: str, sizes: Sequence[int]) -> None:
    for axes in (left, right):
        axes.set_xticks(sizes[2:], [f"{size:,}" for size in sizes[2:]], fontsize="small")
        axes.grid(color="#D0D0D0", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(group, fontsize="small")
        axes.set_ylim(bottom=0)
    right.set_ylim(top=1.3 * right.get_ylim()[1])
    right.legend(fontsize="small", frameon=False, loc="upper left", ncols=3, columnspacing=1, borderaxespad=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="scenarios with this word in their group and name")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    found: dict[Scenario, list[Point]] = {}
    with tempfile.TemporaryDirectory() as name:
        for scenario in SCENARIOS:
            if given.only in f"{scenario.group} {scenario.name}":
                found[scenario] = points(scenario, given.scale, given.rounds, Path(name))
                print(render([row(scenario, found[scenario])], "csv").splitlines()[-1], file=sys.stderr)
    rows = [row(scenario, every) for scenario, every in found.items()]
    print(render(rows, "text"))
    if given.markdown:
        given.markdown.write_text(render(rows, "markdown") + "\n", encoding="utf-8")
    if given.json:
        kept = [{"group": s.group, "name": s.name, "points": every} for s, every in found.items()]
        given.json.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    if given.plot:
        write_figure(given.plot, lambda: figure(found))
    sys.exit(any(is_bad(scenario, every) for scenario, every in found.items()))


if __name__ == "__main__":
    main()
