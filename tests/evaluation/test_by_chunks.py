"""`evaluate` by chunks, here and on a cluster: exactly the numbers that it gives without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import kill_at, local_cluster
from conftest import network_of, run, seeded_floats, tiny_text, write_model
from models import model as in_memory
from models import quiet_concat, retrained
from synthetic import colour_classifier, drawn, labelled_by, painted, require_a_tool

from darkshare import evaluate, load, save
from darkshare.data import Classified, ClassifiedDataset, Dataset, Sample
from darkshare.errors import BadArguments, BadValue, DarkshareError, DarkshareWarning
from darkshare.inference.media.chunk_jobs import ChunkJob

LOWEST = 0.3  # networks with random weights find a lot


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("case")


@pytest.fixture(scope="module")
def pictures(folder) -> list[Path]:
    return drawn(folder, 2, [(40, 40), (30, 50), (64, 20), (33, 32), (20, 20)])


@pytest.fixture(scope="module")
def case(folder, pictures) -> tuple[Any, Any, dict[str, Dataset]]:
    """A merged model in files, one of its parts, and a data set for each task."""
    base = in_memory(tiny_text(), "base")
    text = retrained(base, tiny_text(3), "text", 5)
    save(text, folder / "text")
    save(quiet_concat([base, text], k=5), folder / "both")
    sets = {one.tasks[0].name: labelled_by(one, pictures) for one in (base, text)}
    return load(folder / "both.cfg"), load(folder / "text.cfg"), sets


@pytest.fixture(scope="module")
def cluster():
    with local_cluster() as found:
        yield found


def told(found: Any) -> str:
    """Everything that an evaluation says: its numbers, notes and curves."""
    return json.dumps([found.as_dict(), found.curves().rows()])


@pytest.mark.parametrize(
    "how", [{"cross": True}, {"rule": "both", "iou": 0.6}, {"tiles": (2, 1), "batch": 2, "nms": 0.3, "lowest": 0.5}]
)
def test_chunks_give_the_same_numbers(how, case, tmp_path):
    if "rule" in how:
        require_a_tool()
    both, text, sets = case
    how = {"lowest": LOWEST, **how}
    plain = evaluate(both, sets, beside=[text], **how)
    for _ in range(2):  # with what was kept as well
        found = evaluate(both, sets, beside=[text], output=tmp_path / "out", chunk=2, **how)
        assert told(found) == told(plain)
    assert all(mean > 0 for mean in plain.means.values())
    kept = {str(path.parent.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("chunk-000002.jsonl")}
    folder = "cross" if "cross" in how else "model"
    assert kept == {f"{folder}/base", f"{folder}/text", "beside/text"}


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [False, True])
def test_a_cluster_of_which_a_worker_is_killed_gives_the_same_numbers(keeps, cluster, case, pictures, tmp_path):
    both, text, sets = case
    plain = evaluate(both, sets, beside=[text], lowest=LOWEST)
    kill_at(cluster, pictures[3], tmp_path / "killed")
    kept: Any = {"output": tmp_path / "out"} if keeps else {}
    address = cluster.scheduler_address
    found = evaluate(both, sets, beside=[text], lowest=LOWEST, scheduler=address, chunk=1, **kept)
    assert (tmp_path / "killed").exists()
    assert told(found) == told(plain)
    assert len(list((tmp_path / "out").rglob("chunk-*"))) == (15 if keeps else 0)


def test_an_evaluation_that_was_stopped_goes_on(case, tmp_path, monkeypatch):
    both, _, sets = case

    def stopping(label):
        def watch(samples):
            for number, sample in enumerate(samples):
                if number == 3 and label.startswith("text"):
                    raise KeyboardInterrupt
                yield sample

        return watch

    with pytest.raises(KeyboardInterrupt):
        evaluate(both, sets, lowest=LOWEST, output=tmp_path / "out", chunk=1, watch=stopping)
    asked: list[str] = []
    real = ChunkJob.rows

    def counted(self, detector, items):
        asked.extend(item.name for item in items)
        return real(self, detector, items)

    monkeypatch.setattr(ChunkJob, "rows", counted)
    found = evaluate(both, sets, lowest=LOWEST, output=tmp_path / "out", chunk=1)
    assert 0 < len(asked) <= 2  # of the second task
    assert told(found) == told(evaluate(both, sets, lowest=LOWEST))
    with pytest.raises(DarkshareError, match=r"holds chunks of another run .*rules"):
        evaluate(both, sets, lowest=0.4, output=tmp_path / "out", chunk=1)
    assert told(evaluate(both, sets, lowest=LOWEST, iou=0.7, output=tmp_path / "out", chunk=1)) == told(
        evaluate(both, sets, lowest=LOWEST, iou=0.7)
    )


def test_a_picture_that_cannot_be_read_is_left_out_likewise(case, tmp_path):
    _, text, sets = case
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    samples = [sets["text"].samples[i % 5] for i in range(99)]
    data = replace(sets["text"], samples=(*samples[:50], Sample(broken, samples[0].boxes), *samples[50:]))
    found, notes = [], []
    for how in ({}, {"output": tmp_path / "out", "chunk": 40}):
        with pytest.warns(DarkshareWarning, match="1 of 100 pictures cannot be read .* left out with their") as noted:
            found.append(told(evaluate(text, data, lowest=0.5, **how)))
        notes.append([str(one.message) for one in noted])
    assert found[0] == found[1]
    assert notes[0] == notes[1]
    few = replace(data, samples=data.samples[45:55])
    with pytest.raises(DarkshareError, match=r"1 of 10 pictures cannot be read .* more than 1% of them"):
        evaluate(text, few, lowest=0.5, output=tmp_path / "few")


def test_a_network_that_fails_ends_it_likewise(pictures, tmp_path):
    network = network_of(tiny_text())
    broken = load(write_model(tmp_path / "nan", tiny_text(), np.full_like(seeded_floats(network, 1), np.nan)))
    data = Dataset("set", broken.tasks[0].names, tuple(Sample(path, ()) for path in pictures))
    said = []
    for how in ({}, {"output": tmp_path / "out"}):
        with pytest.raises(DarkshareError) as raised:
            evaluate(broken, data, **how)
        said.append(str(raised.value))
    assert said[0] == said[1]
    assert "cannot be read" not in said[0]


def test_what_would_do_nothing_is_refused(case, tmp_path):
    _, text, sets = case
    with pytest.raises(BadArguments, match="chunk is for a folder, or a cluster"):
        evaluate(text, sets["text"], chunk=2)
    with pytest.raises(BadValue, match="chunk=0 must be at least 1"):
        evaluate(text, sets["text"], chunk=0, output=tmp_path / "out")
    with pytest.raises(BadValue, match="text has no pictures to evaluate on"):
        evaluate(text, replace(sets["text"], name="text", samples=()), output=tmp_path / "out")
    own = colour_classifier(tmp_path)
    classified = ClassifiedDataset("set", own.tasks[0].names, (Classified(painted(tmp_path, [(255, 0, 0)])[0], 0),))
    with pytest.raises(BadArguments, match="output, scheduler: about boxes"):
        evaluate(own, classified, output=tmp_path / "out", scheduler="tcp://127.0.0.1:1")


def test_the_command(case, folder, tmp_path):
    pictures = drawn(tmp_path, 3, [(40, 40)] * 5)
    for picture in pictures:
        picture.with_suffix(".txt").write_text("0 0.5 0.5 0.4 0.4\n1 0.3 0.3 0.2 0.2\n")
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in pictures))
    (tmp_path / "set.data").write_text("classes=3\nvalid=list.txt\nnames=set.names\n")
    (tmp_path / "set.names").write_text("".join(f"{name}\n" for name in case[1].tasks[0].names))
    words = ("evaluate", folder / "text.cfg", tmp_path / "set.data", "--lowest", LOWEST)
    plain = run(*words, code=0)
    assert run(*words, "-o", tmp_path / "out", "--chunk", 2, code=0).stdout == plain.stdout
    assert run(*words, "-o", tmp_path / "out", "--chunk", 2, code=0).stdout == plain.stdout
    assert len(list((tmp_path / "out" / "model" / "text").iterdir())) == 4
    assert "chunk is for a folder, or a cluster" in run(*words, "--chunk", 2, code=2).stderr
