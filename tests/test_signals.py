"""SIGINT, SIGTERM and SIGHUP, and the death of the parent: all ends at once, nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
from conftest import ROOT, run, write_pair
from labelled import draw, write_data, write_picture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="children are found by /proc"),
]

# Strikes itself when it opens the nth file below a folder, or a second after it started the nth process.
STRIKING = """
import os, signal, sys, threading
root, event, left, kind, *words = sys.argv[1:]
left, kind = int(left), int(kind)
signal.signal(signal.SIGINT, signal.default_int_handler)
strike = lambda: os.kill(os.getpid(), kind)

def hook(name, args):
    global left
    if name == event and (name != "open" or str(args[0]).startswith(root)):
        left -= 1
        if left == 0 and name == "open":
            strike()
        elif left == 0:
            timer = threading.Timer(1, strike)
            timer.daemon = True
            timer.start()

sys.addaudithook(hook)
from darkshare.cli import main
main(words)
"""
QUICK = "--batch 2 --subdivisions 1 --workers 0 --threads 1"
COMMANDS = {  # the words; the files that are all there or none; the library that it needs
    "concat": ("{base} {other} --k 4 -o {out}/new", {"new.cfg", "new.weights"}, None),
    "stats": ("{base} {other} --html {out}/new.html", {"new.html"}, "matplotlib"),
    "import-data": ("{data} --copy -o {out}/new", {"new"}, None),
    "detect": ("{base} {video} -o {out}/new --save coco", {"new"}, None),
    "evaluate": ("{base} {data} --csv {out}/new.csv", {"new.csv"}, None),
    "export": ("{base} --precision int8 --calibrate {photos} -o {out}/new.onnx", {"new.onnx"}, "onnxruntime"),
    "suggest-k": ("{base} {data} --threads 1", set(), "torch"),
    "train": (f"{{base}} {{data}} --k 4 --batches 5 {QUICK} -o {{out}}/new", {"new.cfg", "new.weights"}, "torch"),
}


@pytest.fixture(autouse=True)
def heard():
    """No signal is ignored, also where the tests were started behind nohup; children inherit that."""
    ignored = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) == signal.SIG_IGN]
    for one in ignored:
        signal.signal(one, signal.SIG_DFL)
    yield
    for one in ignored:
        signal.signal(one, signal.SIG_IGN)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    base, other = write_pair(folder)
    video = cv2.VideoWriter(str(folder / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(9):
        video.write(cv2.imread(str(write_picture(folder / "frames" / f"{number}.png", number, (64, 48)))))
    video.release()
    return {
        "base": base,
        "other": other,
        "data": write_data(folder, draw(folder, 6), valid=2),
        "photos": folder / "images",
        "video": folder / "v.avi",
    }


def environment(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return []


class Striking:
    """A command in a process that strikes itself; see STRIKING."""

    def __init__(self, folder: Path, files, words: str, event: str, number: int, kind: int) -> None:
        self.out, self.home, self.mark = folder / "out", folder / "tmp", f"KILLS={folder}"
        for path in (self.out, self.home):
            path.mkdir(exist_ok=True)
        root = str(files["base"].parent)
        words = words.format(out=self.out, **files)
        self.process = subprocess.Popen(
            [sys.executable, "-c", STRIKING, root, event, str(number), str(int(kind)), *words.split()],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.home), "KILLS": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> tuple[int, str]:
        _, stderr = self.process.communicate(timeout=120)
        return self.process.returncode, stderr

    def relatives(self) -> list[str]:
        """What still runs of all that it started."""
        environments = ((path.parent.name, environment(path)) for path in Path("/proc").glob("[0-9]*/environ"))
        return [process for process, variables in environments if self.mark.encode() in variables]

    def alone(self) -> bool:
        until = time.monotonic() + 20
        while self.relatives() and time.monotonic() < until:
            time.sleep(0.05)
        return not self.relatives()

    def temporary(self) -> list[str]:
        return [path.name for root in (self.out, self.home) for path in root.rglob(".darkshare-*")]


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ALL_OF_THEM = ("concat", "train")  # the others get one each, in turn: which signal it is hardly differs by command


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (command, number)
        for place, command in enumerate(COMMANDS)
        for number in (SIGNALS if command in ALL_OF_THEM else SIGNALS[place % 3 :][:1])
    ],
)
def test_a_signal_ends_a_command_with_one_line(command, number, files, tmp_path):
    words, outputs, library = COMMANDS[command]
    if library and not find_spec(library):
        pytest.skip(f"needs {library}")
    moment = 2 + (number + len(command)) % 2
    struck = Striking(tmp_path, files, f"{command} {words}", "open", moment, number)
    code, stderr = struck.ended()
    assert code == 128 + number, stderr
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if not line.startswith("Note: ")]
    word = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated", signal.SIGHUP: "Hung up"}[number]
    assert lines[-1] == word or "stopped after batch" in stderr or command == "detect", stderr
    assert {path.name for path in struck.out.iterdir()} & outputs in (set(), outputs)
    assert struck.temporary() == []
    assert struck.alone()


LONG = {  # words of what starts processes of its own, each of which would take for ever
    "sweep": f"{{base}} {{data}} --k 3,4 --seeds 1 --jobs 2 --batches 1000000 {QUICK} -o {{out}}/new",
    "train": f"{{base}} {{data}} --k 4 --batches 1000000 {QUICK} --workers 5 -o {{out}}/new".replace(
        "--workers 0 ", ""
    ),
    "bench": "{base} {other} --k 4 --engine onnxruntime --rounds 1000000 --threads 1",
    "engines": "{base} --rounds 1000000 --threads 1",
}


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("sweep", signal.SIGINT),
        ("sweep", signal.SIGTERM),
        ("sweep", signal.SIGKILL),
        ("train", signal.SIGINT),
        ("train", signal.SIGKILL),
        ("bench", signal.SIGHUP),
        ("bench", signal.SIGKILL),
        ("engines", signal.SIGTERM),
    ],
)
def test_children_end_with_their_parent(command, number, files, tmp_path):
    if not find_spec("torch" if command in ("sweep", "train") else "onnxruntime"):
        pytest.skip("needs what it runs on")
    struck = Striking(tmp_path, files, f"{command} {LONG[command]}", "subprocess.Popen", 2, number)
    code, stderr = struck.ended()
    assert code == (-number if number == signal.SIGKILL else 128 + number), stderr
    assert "Traceback" not in stderr
    assert struck.alone()
    if number != signal.SIGKILL:
        assert struck.temporary() == []
    if command == "sweep":
        assert not list(struck.out.rglob(".darkshare-*"))


def test_a_second_signal_ends_it_too(files, tmp_path):
    """While the trainings of a sweep save."""
    struck = Striking(tmp_path, files, f"sweep {LONG['sweep']}", "subprocess.Popen", 2, signal.SIGINT)
    struck.process.stderr.readline()
    while len(struck.relatives()) < 3:
        time.sleep(0.05)
    struck.process.send_signal(signal.SIGINT)
    struck.process.send_signal(signal.SIGTERM)
    code, stderr = struck.ended()
    assert code in (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM), stderr
    assert "Traceback" not in stderr
    assert struck.alone()


def test_what_is_ignored_stays_ignored(files, tmp_path):
    """As behind nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        struck = Striking(tmp_path, files, "info {base}", "open", 1, signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert struck.ended()[0] == 0
    assert run("info", files["base"]).exit_code == 0
    assert signal.getsignal(signal.SIGHUP) == before
