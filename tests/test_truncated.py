"""Weights that another process cuts off or writes into while a command reads them: one line, and nothing is written."""

from __future__ import annotations

import os
from itertools import count

import numpy as np
import pytest
from conftest import run, write_pair
from labelled import draw, write_data, write_picture

from darkshare._files import opened

COMMANDS = {
    "info": "{base}",
    "check": "{base}",
    "stats": "{base} {other}",
    "frozen": "{base} {other} --k 4",
    "concat": "{base} {other} --k 4 -o {out}/new",
    "split": "{both} -o {out}/new",
    "cut": "{base} --k 4 -o {out}/new",
    "mix": "{base} {other} --alpha 0.5 -o {out}/new",
    "snap": "{base} {other} --k 4 -o {out}/new",
    "classes": "{base} --keep red -o {out}/new",
    "export": "{base} -o {out}/new.onnx",
    "detect": "{base} {picture} -o {out}/new",
    "evaluate": "{base} {data} --csv {out}/new.csv",
    "train": "{base} {data} --k 4 --batches 2 --batch 2 --subdivisions 1 --validate-every 1 --workers 0 -o {out}/new",
}
NEED_TORCH = ("train",)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two models with one trunk, their merged one, a picture and a data set; and what their weights are."""
    folder = tmp_path_factory.mktemp("files")
    base, other = write_pair(folder)
    run("concat", base, other, "--k", 4, "-o", folder / "both", code=0)
    data = write_data(folder, draw(folder, 4), valid=2)
    return {
        "base": base, "other": other, "both": folder / "both.cfg", "data": data,
        "picture": write_picture(folder / "p.png"),
    }  # fmt: skip


def disturbed_run(monkeypatch, words, weights, act, moment):
    """Run a command, during which the weights are changed before the read of this number; also says how many there are.

    Every file that is read is brought back afterwards.
    """
    reads, read, before = count(1), opened._read, {path: path.read_bytes() for path in weights}
    number = 0

    def disturbing(handle, at, buffer):
        nonlocal number
        number = next(reads)
        if number == moment:
            path = next(path for path in weights if path.stat().st_ino == os.fstat(handle).st_ino)
            act(path)
        return read(handle, at, buffer)

    with monkeypatch.context() as patched:
        patched.setattr(opened, "_read", disturbing)
        result = run(*words)
    for path, data in before.items():
        path.write_bytes(data)
    return result, number


def cut_off(path):
    os.truncate(path, path.stat().st_size // 2)


def rewrite(path):
    data = np.frombuffer(path.read_bytes(), np.uint8)
    path.write_bytes((255 - data).tobytes())


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_change_at_any_moment_is_one_line_and_no_file(command, files, tmp_path, monkeypatch):
    if command in NEED_TORCH:
        pytest.importorskip("torch", reason="training needs PyTorch")
    weights = [files[name].with_suffix(".weights") for name in ("base", "other", "both")]

    def words(folder):
        (tmp_path / folder).mkdir()
        return [command, *COMMANDS[command].format(out=tmp_path / folder, **files).split()]

    whole, reads = disturbed_run(monkeypatch, words("whole"), weights, cut_off, 0)
    assert whole.exit_code == 0, whole.output
    assert reads
    for moment in sorted({1, reads // 2, reads} - {0}):
        for act in (cut_off, rewrite):
            folder = f"{moment} {act.__name__}".replace(" ", "-")
            result, _ = disturbed_run(monkeypatch, words(folder), weights, act, moment)
            errors = [line for line in result.output.splitlines() if "rror: " in line]
            assert result.exit_code == 1, (moment, result.output)
            assert len(errors) == 1, result.output
            assert ".weights: " in errors[0]
            assert "changed " in errors[0]
            left = {str(path) for path in (tmp_path / folder).rglob("*") if path.is_file()}
            assert not left or command == "train", (moment, left)
            assert not (tmp_path / folder / "new.weights").exists()
