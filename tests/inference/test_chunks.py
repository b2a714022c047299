"""Pictures by chunks: here and on a cluster, stopped and gone on with, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import kill_at, local_cluster
from conftest import run
from PIL import Image
from synthetic import drawn

from darkshare import Detector, concat, detect, export, load, save
from darkshare.errors import BadArguments, BadValue, DarkshareError, DarkshareWarning, Unsupported
from darkshare.inference import cluster as clusters
from darkshare.inference.detector import runnable
from darkshare.inference.media import chunks
from darkshare.inference.media.chunk_jobs import ChunkJob, DetectorFiles
from darkshare.inference.media.chunks import MANIFEST
from darkshare.inference.media.sources import PictureFile

SIZE = 3  # pictures of a chunk
HOW = {"engine": "opencv", "batch": 1, "threads": None}


@pytest.fixture
def photos(tmp_path) -> list[str]:
    """Pictures of several sizes, one of them broken and one of two pages, and a name that means nothing."""
    folder = tmp_path / "photos"
    folder.mkdir()
    found = drawn(folder, 2, [(40, 40), (30, 50), (64, 20)] * 3)
    found[4].write_bytes(b"not a picture")
    pages = [Image.fromarray(np.full((20, 30, 3), shade, np.uint8)) for shade in (90, 180)]
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:])
    return [str(path) for path in (*found, folder / "pages.tif", folder / "missing.png")]


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """What the files of a folder say, in the order of their names."""
    files = sorted(folder.glob("chunk-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def boxes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as `detect` gives boxes without chunks."""
    return [
        {
            "picture": row["source"], "frame": row["frame"], "task": one["task"], "class_id": one["class_id"],
            "name": one["name"], "score": round(one["score"], 4),
            **{corner: round(one[corner]) for corner in ("x1", "y1", "x2", "y2")},
        }
        for row in rows for one in row["objects"]
    ]  # fmt: skip


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("chunk-*")}


def interrupting(after: int) -> Any:
    """A progress bar that is ended with Ctrl-C after so many pictures."""

    def watch(frames, length):
        for number, frame in enumerate(frames):
            if number == after:
                raise KeyboardInterrupt
            yield frame

    return watch


@pytest.mark.parametrize(
    "how",
    [
        {},
        pytest.param({"batch": 2, "tiles": (2, 1), "thresh": 0.5}, marks=pytest.mark.slow),
        {"thresh": 0.5, "nms": "agnostic", "classes": "dog", "max_det": 2},
        {"limit": 1},
    ],
)
def test_chunks_hold_what_detect_finds(how, model, photos, tmp_path):
    told: list[list[str]] = [[], []]
    plain = detect(load(model), photos, output=tmp_path / "plain", save="csv", tell=told[0].append, **how)
    found = detect(load(model), photos, output=tmp_path / "out", chunk=SIZE, tell=told[1].append, **how)
    rows = rows_in(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("chunk-*"))) == 4
    assert list(dict.fromkeys(row["source"] for row in rows)) == photos
    expected = [{"frame": 1, **row} for row in plain.rows()]
    assert sorted(boxes(rows), key=repr) == sorted(expected, key=repr)
    assert [row["picture"] for row in boxes(rows)] == [row["picture"] for row in expected]
    assert (found.done, found.failed, found.boxes) == (plain.done, plain.failed, plain.boxes)
    assert found.failed == 2
    assert told[1] == told[0] == [row["error"] for row in rows if row["error"]]
    assert [(row["width"], row["height"]) for row in rows[:3]] == [(40, 40), (30, 50), (64, 20)]
    counts = {row["name"]: sum(one["name"] == row["name"] for one in boxes(rows)) for row in found.rows()}
    assert {row["name"]: row["boxes"] for row in found.rows()} == counts
    assert sum(row["pictures"] for row in found.rows()) >= found.done * len(counts) > 0


def test_numbers_are_kept_to_the_last_bit(model, photos, tmp_path):
    detect(load(model), photos[:2], output=tmp_path / "out", chunk=1)
    for row in rows_in(tmp_path / "out"):
        (own,) = Detector(load(model)).detect(row["source"])
        assert row["objects"] == own.rows()


def test_names_are_relative_to_where_the_run_began(model, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("photos/0.png\n./photos/4.png\nnowhere.png\n")
    told: list[list[str]] = [[], []]
    detect(load("tiny.cfg"), "list.txt", output="plain", save="csv", tell=told[0].append)
    detect(load("tiny.cfg"), "list.txt", output="out", chunk=1, tell=told[1].append)
    assert told[0] == told[1]
    job = ChunkJob(DetectorFiles.of(runnable("tiny.cfg", None), load("tiny.cfg").tasks, HOW), {})
    monkeypatch.chdir(tmp_path / "photos")
    rows = rows_in(tmp_path / "out")
    assert [row["source"] for row in rows] == ["photos/0.png", "./photos/4.png", "nowhere.png"]
    assert job.rows(job.files.load(), [PictureFile(row["source"]) for row in rows]) == rows


@pytest.mark.skipif(sys.platform != "linux", reason="names there are bytes")
def test_a_name_that_is_not_utf_8(model, photos, tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Path(photos[0]).rename(name)
    found = [detect(load(model), name, output=tmp_path / "out", chunk=1) for _ in range(2)]
    assert [one.done for one in found] == [1, 1]
    assert [row["source"] for row in rows_in(tmp_path / "out")] == [name]


@pytest.mark.parametrize("made", ["exported", pytest.param("resized", marks=pytest.mark.slow), "several tasks"])
def test_every_model_that_lies_in_files(made, model, photos, tmp_path):
    given: Any = load(model)
    if made == "exported":
        export(given, tmp_path / "net.onnx")
        given = tmp_path / "net.onnx"
    elif made == "resized":
        given = load(model, size=(64, 64))
    else:
        save(concat([given, given], 5), tmp_path / "both")
        given = load(tmp_path / "both.cfg")
    how: Any = {"thresh": 0.53}
    plain = detect(given, photos[:4], output=tmp_path / "plain", save="csv", **how)
    found = detect(given, photos[:4], output=tmp_path / "out", chunk=SIZE, **how)
    assert boxes(rows_in(tmp_path / "out")) == [{"picture": row["picture"], "frame": 1, **row} for row in plain.rows()]
    assert found.boxes == plain.boxes > 0


def test_a_run_that_was_stopped_goes_on(model, photos, tmp_path):
    whole = detect(load(model), photos, output=tmp_path / "whole", chunk=SIZE, tell=lambda line: None)
    how: Any = {"output": tmp_path / "out", "chunk": SIZE, "tell": lambda line: None}
    first = detect(load(model), photos, **how, watch=interrupting(4))
    assert first.interrupted
    before = stamps(tmp_path / "out")
    assert sorted(before) == ["chunk-000000.jsonl", "chunk-000001.jsonl"]
    second = detect(load(model), photos, **how)
    assert not second.interrupted
    assert {name: stamp for name, stamp in stamps(tmp_path / "out").items() if name in before} == before
    assert second.rows() == whole.rows()
    assert rows_in(tmp_path / "out") == rows_in(tmp_path / "whole")


def test_what_differs_is_refused(model, photos, tmp_path):
    how: Any = {"output": tmp_path / "out", "tell": lambda line: None}
    detect(load(model), photos, chunk=SIZE, **how)
    before = stamps(tmp_path / "out")
    for other, word in (({"thresh": 0.4}, "rules"), ({"chunk": 4}, "chunk 3, now 4"), ({"tiles": (2, 2)}, "tiles"),
                        ({"limit": 1}, "limit None, now 1"), ({"bn_epsilon": 1e-6}, "bn_epsilon")):  # fmt: skip
        with pytest.raises(DarkshareError, match=f"out: holds chunks of another run .*{word}.*; choose another folder"):
            detect(load(model), photos, **{"chunk": SIZE, **how, **other})
    with pytest.raises(DarkshareError, match="pictures 11, now 10, list"):
        detect(load(model), photos[1:], chunk=SIZE, **how)
    detect(load(model), photos, chunk=SIZE, threads=1, batch=2, **how)  # neither changes anything
    model.with_suffix(".weights").write_bytes(model.with_suffix(".weights").read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(DarkshareError, match="model"):
        detect(load(model), photos, chunk=SIZE, **how)
    assert stamps(tmp_path / "out") == before


def test_a_folder_with_something_else_is_refused(model, photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(DarkshareError, match="out: is not empty, and not a folder of chunks"):
        detect(load(model), photos, output=tmp_path / "out", chunk=SIZE)
    (tmp_path / "out" / MANIFEST).write_text("[")
    with pytest.raises(DarkshareError, match=r"_manifest\.json: is not the manifest of chunks"):
        detect(load(model), photos, output=tmp_path / "out", chunk=SIZE)


@pytest.mark.parametrize("content", [b"", b'{"source": 1}\n', b"[1]\n", b"{", b"\xff\xfe"])
def test_a_chunk_that_does_not_hold_its_pictures_is_refused(content, model, photos, tmp_path):
    detect(load(model), photos[:2], output=tmp_path / "out", chunk=1)
    (tmp_path / "out" / "chunk-000001.jsonl").write_bytes(content)
    with pytest.raises(DarkshareError, match=r"chunk-000001\.jsonl: does not hold these pictures; remove it"):
        detect(load(model), photos[:2], output=tmp_path / "out", chunk=1)


def test_what_chunks_do_not_have_is_refused(model, photos, tmp_path):
    how: Any = {"output": tmp_path / "out", "chunk": SIZE}
    with pytest.raises(BadArguments, match="--save csv,json: chunks are json or parquet"):
        detect(load(model), photos, save=["json", "csv"], **how)
    with pytest.raises(BadArguments, match="about videos"):
        detect(load(model), photos, container=".mp4", **how)
    for drawing in ({"line_width": 2}, {"labels": False}, {"legend": True}):
        with pytest.raises(BadArguments, match="of chunks no pictures are drawn"):
            detect(load(model), photos, **drawing, **how)
    with pytest.raises(BadArguments, match="only chunks are saved so"):
        detect(load(model), photos, save="parquet", output=tmp_path / "out")
    with pytest.raises(Unsupported, match=r"clip\.avi: is not a picture on disk"):
        detect(load(model), [*photos, "clip.avi"], **how)
    with pytest.raises(BadValue, match="chunk must be at least 1"):
        detect(load(model), photos, **{**how, "chunk": 0})
    with pytest.raises(BadValue, match="differs from its files, which other processes read again; save it first"):
        detect(concat([load(model), load(model)], 5), photos, **how)
    assert not (tmp_path / "out").exists()


def test_another_file_under_the_name_of_the_model_is_refused(model, tmp_path):
    files = DetectorFiles.of(runnable(model, None), load(model).tasks, HOW)
    model.with_suffix(".weights").write_bytes(model.with_suffix(".weights").read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(DarkshareError, match=r"tiny\.weights: is another file on this worker"):
        files.load()
    model.unlink()
    with pytest.raises(DarkshareError, match=r"tiny\.cfg: cannot be read"):
        files.load()


def test_a_chunk_that_a_worker_wrote_elsewhere_is_said(tmp_path):
    with pytest.raises(DarkshareError, match=r"chunk-000000\.jsonl: a worker wrote it elsewhere"):
        chunks._read(tmp_path / "chunk-000000.jsonl", [])


def test_parquet_holds_the_same(model, photos, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    how: Any = {"chunk": SIZE, "tell": lambda line: None}
    lines = detect(load(model), photos, output=tmp_path / "lines", **how)
    found = detect(load(model), photos, output=tmp_path / "out", save="parquet", **how)
    again = detect(load(model), photos, output=tmp_path / "out", save="parquet", **how)
    assert found.rows() == again.rows() == lines.rows()
    assert parquet.read_table(tmp_path / "out").to_pylist() == rows_in(tmp_path / "lines")
    (tmp_path / "out" / "chunk-000001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DarkshareError, match="does not hold these pictures"):
        detect(load(model), photos, output=tmp_path / "out", save="parquet", **how)


def test_parquet_needs_pyarrow(model, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DarkshareError, match="Parquet needs pyarrow: pip install pyarrow"):
        detect(load(model), photos, output=tmp_path / "out", save="parquet", chunk=SIZE)
    assert not (tmp_path / "out").exists()


def test_the_command(model, photos, tmp_path):
    out = tmp_path / "out"
    result = run("detect", model, "-", "--chunk", SIZE, "-o", out, input="\n".join(photos), code=1)
    assert result.stdout.splitlines()[0].split() == ["task", "name", "pictures", "boxes", "best"]
    assert "10 of 12 pictures" in result.stderr
    assert f"Error: {photos[4]}: is not a picture" in result.stderr
    again = run("detect", model, *photos, "--chunk", SIZE, "-o", out, "--format", "json", code=1)
    assert [row["name"] for row in json.loads(again.stdout)["rows"]] == ["cat", "dog"]
    result = run("detect", model, *photos, "--chunk", SIZE, "-o", out, "--save", "csv", code=2)
    assert "chunks are json or parquet" in result.stderr


# --- on a cluster


@pytest.fixture(scope="module")
def cluster():
    with local_cluster() as found:
        yield found


@pytest.mark.slow
def test_a_worker_is_killed_on_the_way(cluster, model, photos, tmp_path):
    expected = detect(load(model), photos, output=tmp_path / "here", chunk=1, tell=lambda line: None)
    kill_at(cluster, Path(photos[3]), tmp_path / "killed")
    pids = {worker.pid for worker in cluster.workers.values()}
    told: list[str] = []
    address = cluster.scheduler_address
    found = detect(load(model), photos, output=tmp_path / "there", chunk=1, scheduler=address, tell=told.append)
    assert (tmp_path / "killed").exists()
    assert {worker.pid for worker in cluster.workers.values()} != pids
    assert rows_in(tmp_path / "there") == rows_in(tmp_path / "here")
    assert found.rows() == expected.rows()
    assert [line.partition(":")[0] for line in told] == [photos[4], photos[10]]


@pytest.mark.slow
def test_a_chunk_that_kills_every_worker_stops_no_other(cluster, model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    kill_at(cluster, Path(photos[3]), tmp_path / "killed")
    how: Any = {"output": tmp_path / "out", "chunk": 2, "scheduler": cluster.scheduler_address}
    with pytest.raises(
        DarkshareError, match=r"chunk-000001\.jsonl \(.*2\.png to .*3\.png\) failed on the cluster: Kill"
    ):
        detect(load(model), photos, **how, tell=lambda line: None)
    before = stamps(tmp_path / "out")
    assert "chunk-000001.jsonl" not in before  # what the same worker was to do next may have failed with it
    assert len(before) >= 3
    detect(load(model), photos, **how, tell=lambda line: None)
    after = stamps(tmp_path / "out")
    assert (len(after), {name: after[name] for name in before}) == (6, before)


@pytest.mark.slow
def test_a_run_on_a_cluster_that_was_stopped_goes_on(cluster, model, photos, tmp_path):
    how: Any = {"output": tmp_path / "out", "chunk": 1, "scheduler": cluster.scheduler_address, "tell": print}
    assert detect(load(model), photos, **how, watch=interrupting(2)).interrupted
    assert stamps(tmp_path / "out")
    detect(load(model), photos, **how)
    assert list(dict.fromkeys(row["source"] for row in rows_in(tmp_path / "out"))) == photos


@pytest.mark.slow
def test_several_threads_of_a_worker_share_a_model(model, photos, tmp_path):
    distributed = pytest.importorskip("distributed", reason="a cluster needs Dask")
    how: Any = {"chunk": 1, "tell": lambda line: None}
    expected = detect(load(model), photos, output=tmp_path / "here", **how)
    with distributed.LocalCluster(
        n_workers=0, threads_per_worker=4, processes=False, dashboard_address=":0", protocol="tcp://"
    ) as alone:
        with pytest.warns(DarkshareWarning, match="the cluster has no workers yet; the work begins when one comes"):
            clusters.connected(alone.scheduler_address).close()
        alone.scale(1)
        alone.wait_for_workers(1)
        found = detect(load(model), photos, output=tmp_path / "there", scheduler=alone.scheduler_address, **how)
    assert rows_in(tmp_path / "there") == rows_in(tmp_path / "here")
    assert found.rows() == expected.rows()


@pytest.mark.slow
def test_what_fails_on_a_worker_is_said(cluster):
    def job(number: int) -> Any:
        if number == 1:
            raise DarkshareError("is not there", file="x")
        return 1 // (2 - number)

    jobs = [partial(job, 0), None, partial(job, 1), partial(job, 2), partial(job, 3)]
    found = list(clusters.in_order(jobs, cluster.scheduler_address))
    assert [str(one) for one in found] == [
        "0",
        "None",
        "x: is not there",
        "ZeroDivisionError: integer division or modulo by zero",
        "-1",
    ]


def test_a_scheduler_that_does_not_answer(model, photos, tmp_path, monkeypatch):
    words = ("detect", model, *photos, "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "Error: a cluster needs Dask: pip install 'darkshare[cluster]'" in run(*words, code=1).stderr
    monkeypatch.undo()
    pytest.importorskip("distributed", reason="a cluster needs Dask")
    monkeypatch.setattr("darkshare.inference.cluster.PATIENCE", 0.2)
    assert "Error: tcp://127.0.0.1:1: no Dask scheduler answers there" in run(*words, code=1).stderr
