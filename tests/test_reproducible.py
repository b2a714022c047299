"""Every command that writes, run twice: elsewhere, later, with other hashes, and the same bytes come out."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, run, write_pair
from labelled import draw, write_data
from residuals import small_darknet, small_resnet

from darkshare.darknet.model import save

pytestmark = pytest.mark.slow

TRAIN = "--batch 2 --subdivisions 1 --threads 1 --device cpu --workers {workers}"
COMMANDS = {  # in a folder `in` with what they read; they write into `out`
    "concat": ("concat in/base.cfg in/other.cfg --k 4 -o out/new", None),
    "split": ("split in/both.cfg -o out", None),
    "cut": ("cut in/base.cfg --k 4 --full -o out/new", None),
    "mix": ("mix in/base.cfg in/other.cfg --alpha 0.5 -o out/new", None),
    "snap": ("snap in/base.cfg in/other.cfg --k 4 -o out/new", None),
    "classes": ("classes in/base.cfg --add green --init random -o out/new", None),
    "anchors": ("anchors in/base.cfg in/squares.data --plot out/new.svg -o out/new", "matplotlib"),
    "reduce": ("reduce in/resnet.cfg --keep first -o out/new", None),
    "branch": ("branch in/darknet.cfg --after 4 -m 2 --init random --tolerance 9% -o out/new", None),
    "kit": ("kit in/base.cfg in/squares.data --k 4 --anchors -o out/new", None),
    "export": ("export in/base.cfg -o out/new.onnx", None),
    "export fp16": ("export in/base.cfg --precision fp16 --decode -o out/new.onnx", None),
    "export int8": ("export in/base.cfg --precision int8 --calibrate in/images -o out/new.onnx", "onnxruntime"),
    "export int8 for openvino": (
        "export in/base.cfg --precision int8 --engine openvino --calibrate in/images -o out/new.xml", "nncf",
    ),
    "stats": (
        "stats in/base.cfg in/other.cfg --plot out/new.png --html out/new.html --format csv -o out/new.csv",
        "matplotlib",
    ),
    "stats as a figure in PDF": ("stats in/base.cfg in/other.cfg --plot out/new.pdf", "matplotlib"),
    "draw": ("draw in/both.cfg -o out/new.html", None),
    "draw as a picture": ("draw in/both.cfg in/base.cfg -o out/new.png", "matplotlib"),
    "report": ("report in/both.cfg in/images --beside in/base.cfg --beside in/other.cfg -o out/new.html", "matplotlib"),
    "savings": ("savings in/base.cfg --plot out/new.svg", "matplotlib"),
    "plan": ("plan in/base.cfg text=in/losses.csv --max-loss 2 -o out/new", "matplotlib"),
    "import-data": ("import-data in/squares.data --split 0.4 --copy -o out/new", None),
    "detect": ("detect in/base.cfg in/images --save picture,csv,coco,yolo,json -o out/new", None),
    "evaluate": ("evaluate in/base.cfg in/squares.data --plot out/new.png --csv out/new.csv", "matplotlib"),
    "train": (f"train in/base.cfg in/squares.data --k 4 --batches 4 --validate-every 2 {TRAIN} -o out/new", "torch"),
    "sweep": (f"sweep in/base.cfg in/squares.data --k 4 --seeds 1 --batches 2 {TRAIN} -o out/new", "torch"),
    "demo": ("demo -o out/new", None),
}  # fmt: skip
TIMED = ("train", "sweep")  # their tables say how many seconds something took

# One process imports what is slow to import; for each line of words it forks one that runs these.
FORKING = """
import os, sys
for library in ("torch", "matplotlib.figure", "cv2", "onnx"):
    try:
        __import__(library)
    except ImportError:
        pass
from darkshare.cli import main
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        main(line.split())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def fill(folder: Path) -> None:
    """Make what the commands read."""
    (folder / "in").mkdir(parents=True)
    base, other = write_pair(folder / "in")
    (folder / "in" / "losses.csv").write_text("k,loss\n0,0\n4,1.5\n")
    save(small_resnet(), folder / "in" / "resnet")
    save(small_darknet(), folder / "in" / "darknet")
    write_data(folder / "in", draw(folder / "in", 6), valid=2)
    run("concat", base, other, "--k", 4, "-o", folder / "in" / "both", code=0)


class Place:
    """A folder with its own copy of what commands read, and a process with hashes of its own that runs them there."""

    def __init__(self, folder: Path, hashes: str, workers: int) -> None:
        self.folder, self.workers = folder, workers
        fill(folder)
        with open(folder / "stderr", "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", FORKING],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hashes, "SOURCE_DATE_EPOCH": "0"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def written(self, words: str) -> dict[str, bytes]:
        """Run a command; give all that it wrote, without the name of the folder."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()
        self.process.stdin.write(words.format(workers=self.workers) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        assert code == 0, (self.folder / "stderr").read_text()[-300:]
        out, here = self.folder / "out", str(self.folder).encode()
        files = [path for path in out.rglob("*") if path.is_file()]
        return {str(path.relative_to(out)): path.read_bytes().replace(here, b"HERE") for path in files}


def untimed(name: str, data: bytes) -> Any:
    """What a file holds but for the numbers of seconds."""
    if name.endswith(".csv"):
        rows = csv.DictReader(data.decode().splitlines())
        return [{column: value for column, value in row.items() if "seconds" not in column} for row in rows]
    return without_seconds(json.loads(data)) if name.endswith(".json") else data


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_seconds(one) for key, one in value.items() if "seconds" not in key}
    return [without_seconds(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    found = [Place(tmp_path_factory.mktemp("a") / "x", "1", 0), Place(tmp_path_factory.mktemp("bcd") / "other", "2", 2)]
    yield found
    for place in found:
        place.process.communicate()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_command_gives_the_same_bytes(command, places):
    words, library = COMMANDS[command]
    if library and not find_spec(library):
        pytest.skip(f"needs {library}")
    first, second = (place.written(words) for place in places)
    assert first.keys() == second.keys()
    assert first
    if command in TIMED:
        first, second = ({name: untimed(name, data) for name, data in one.items()} for one in (first, second))
    assert [name for name in first if first[name] != second[name]] == []
