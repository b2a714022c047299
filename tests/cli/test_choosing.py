"""`sweep` and `suggest-k` as a user types them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import import_module

import cv2
import pytest
from conftest import run

from darkshare.choose_k.processes import Message, ParentWatch, run_here
from darkshare.choose_k.trial_run import run_trial
from darkshare.choose_k.trials import read_result
from darkshare.cli.choosing import Progress
from darkshare.training.settings import TrainingWatch

QUICK = ("--batches", 2, "--batch", 4, "--threads", 1, "--workers", 0, "--device", "cpu")
SWEEP = "darkshare.choose_k.sweep.run_here"
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def here(monkeypatch):
    """Trials in this process, which starts none; the number of each batch that a test wants to stop behind."""
    pytest.importorskip("torch", reason="training needs PyTorch")
    ran: list[str] = []

    def run_all(trials, jobs):
        for trial in trials:
            ran.append(trial.name)
            yield Message(trial, "begin")
            run_trial(trial, TrainingWatch())
            yield Message(trial, "done", text="mAP")

    monkeypatch.setattr(SWEEP, run_all)
    return ran


def test_a_sweep_goes_on_and_grows(base, data, tmp_path, here):
    out = tmp_path / "out"
    result = run("sweep", base, data, "--k", "0,3", "--seeds", 1, *QUICK, "-o", out)
    assert result.exit_code == 0, result.output
    assert "those of red, blue start with drawn ones" in result.stderr
    assert "2 trainings of 2 batches\n" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["k", "pareto", "seeds", "mAP"]
    assert [line.split()[0] for line in lines[1:3]] == ["0", "3"]
    assert lines[4].startswith("mAP: Darknet's rule: area under the curve, IoU > 0.50, all classes")
    assert sorted(path.name for path in out.iterdir()) == [
        "results.csv", "results.json", "results.png", "sweep.json", "trials",
    ]  # fmt: skip
    look = ("--plot", tmp_path / "map.png", "--width", 3.5, "--font-size", 7, "--title", "")
    drawn = run("sweep", base, data, "--k", "0,3", "--seeds", 1, *QUICK, "-o", out, *look, code=0)
    assert f"results.png, {tmp_path / 'map.png'}\n" in drawn.stderr
    assert cv2.imread(str(tmp_path / "map.png")).shape[1] == 3.5 * 120
    assert here == ["k=0 seed=1", "k=3 seed=1"]
    more = run("sweep", base, data, "--k", "3", "--seeds", "1,2", *QUICK, "-o", out)
    assert "2 trainings of 2 batches, 1 of them done before\n" in more.stderr
    assert here[2:] == ["k=3 seed=2"]
    found = json.loads((out / "results.json").read_text())
    assert [(one["k"], one["seeds"]) for one in found["choices"]] == [(0, 1), (3, 2)]
    refused = run("sweep", base, data, "--k", "3", *QUICK, "--lr", 0.5, "-o", out)
    assert refused.exit_code == 1
    assert "is of a sweep with other settings (lr None, now 0.5)" in refused.stderr


@pytest.mark.slow
def test_a_failing_trial_stops_no_other(base, data, tmp_path):
    """With real processes; a lock keeps one of them from its trial."""
    fcntl = pytest.importorskip("fcntl", reason="locks of POSIX")
    pytest.importorskip("torch", reason="training needs PyTorch")
    folder = tmp_path / "out" / "trials" / "k3-seed1"
    words = ("sweep", base, data, "--k", 3, "--seeds", "1,2", *QUICK, "--jobs", 2, "-o", tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        real = run_here

        def locked(trials, jobs):
            folder.mkdir(parents=True)
            with open(folder / ".lock", "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield from real(trials, jobs)

        patch.setattr(SWEEP, locked)
        result = run(*words)
    assert result.exit_code == 1
    assert f"k=3 seed=1: failed {folder}: another process is at this trial" in result.stderr
    assert f"k=3 seed=1 failed: {folder}: another process is at this trial" in result.stdout
    assert read_result(tmp_path / "out" / "trials" / "k3-seed2").map is not None
    assert "2/2 k=3 seed=" in result.stderr
    (failed,) = json.loads((tmp_path / "out" / "results.json").read_text())["failed"]
    assert (failed["k"], failed["seed"]) == (3, 1)


def test_ctrl_c_leaves_what_is_done(base, data, tmp_path, here, monkeypatch):
    real = import_module("darkshare.choose_k.sweep").run_here  # the one that `here` put there

    def struck(trials, jobs):
        messages = real(trials, jobs)
        yield next(messages)
        yield next(messages)
        raise KeyboardInterrupt

    monkeypatch.setattr(SWEEP, struck)
    result = run("sweep", base, data, "--k", "0,3", "--seeds", 1, *QUICK, "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert "stopped; the same command goes on\nnext: darkshare sweep " in result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()[:2]] == ["k", "0"]
    monkeypatch.setattr(SWEEP, real)
    assert run("sweep", base, data, "--k", "0,3", "--seeds", 1, *QUICK, "-o", tmp_path / "out").exit_code == 0
    assert here == ["k=0 seed=1", "k=3 seed=1"]


def test_without_cocos_tool_it_says_so(base, data, tmp_path, here, monkeypatch):
    for module in ("faster_coco_eval", "pycocotools", "pycocotools.coco"):  # a module that is imported is found alone
        monkeypatch.setitem(sys.modules, module, None)
    result = run("sweep", base, data, "--k", 3, "--seeds", 1, *QUICK, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (
        "Note: COCO's rule is counted by faster-coco-eval or pycocotools, and neither is installed; " in result.stderr
    )
    found = read_result(tmp_path / "out" / "trials" / "k3-seed1")
    assert (found.coco_ap, found.coco_tool) == (None, "")
    assert (tmp_path / "out" / "results.png").exists()


def test_a_scheduler_that_does_not_answer(base, data, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="training needs PyTorch")
    words = ("sweep", base, data, "--k", 3, *QUICK, "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "Error: a cluster needs Dask: pip install 'darkshare[cluster]'" in run(*words).stderr
    monkeypatch.undo()
    pytest.importorskip("distributed", reason="a cluster needs Dask")
    monkeypatch.setattr("darkshare.inference.cluster.PATIENCE", 0.2)
    result = run(*words)
    assert result.exit_code == 1
    assert "Error: tcp://127.0.0.1:1: no Dask scheduler answers there" in result.stderr


@pytest.mark.parametrize("words", [("--k", "0,x"), ("--k", ""), ("--k", "3", "--seeds", "-1"), ()])
def test_numbers(words, base, data):
    assert run("sweep", base, data, *words).exit_code == 2


def test_the_options_of_train_are_here_too():
    text = run("sweep", "--help").stdout
    for option in ("--epochs", "--lr", "--ema", "--bn-eval", "--no-augment", "--cache-features", "--amp", "--size"):
        assert option in text
    assert "--resume" not in text
    assert text.count("--threads") == text.count("--validate-every") == 1


def test_the_bar_counts_updates_of_all_trials(monkeypatch, base, data, tmp_path):
    pytest.importorskip("torch", reason="training needs PyTorch")
    from sweeps import planned

    sweep = planned(base, data, tmp_path / "out", ks=(0, 3))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    one, other = sweep.trials
    with Progress() as progress:
        progress.begin(sweep, sweep.trials)
        for trial, event, batch in ((one, "step", 2), (other, "begin", 1), (one, "done", 0), (other, "failed", 0)):
            progress.show(Message(trial, event, batch))
            assert progress._bar.pos == {2: 2, 1: 3, 0: 4 if event == "done" else 6}[batch]


def test_what_begins_again_counts_anew_and_tells_notes_once(base, data, tmp_path, capsys):
    pytest.importorskip("torch", reason="training needs PyTorch")
    from sweeps import planned

    sweep = replace(planned(base, data, tmp_path / "out", ks=(0, 3)), notes=("of both",))
    with Progress() as progress:
        for trial in sweep.trials:
            progress.begin(sweep, [trial])
            progress.show(Message(trial, "done", 4))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("1/1 ")] == [f"1/1 {one.name}: done" for one in sweep.trials]
    assert lines.count("Note: of both") == 1


def test_a_process_whose_parent_is_gone_stops():
    class Gone:
        def write(self, text: str) -> None:
            raise BrokenPipeError

        flush = write

    with pytest.raises(KeyboardInterrupt):
        ParentWatch(Gone()).begin(0, 4)


# --- suggest-k ------------------------------------------------------------------------------------------------------


def test_a_base_alone_is_not_ranked(base):
    result = run("suggest-k", base)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["k", "block", "FLOPs", "%", "weights", "%"]
    assert "nothing here shows what mAP a k costs" in result.stdout


@pytest.mark.slow
def test_with_data_a_trained_network_and_a_sweep(base, data, tmp_path, here):
    run("sweep", base, data, "--k", "2,4", "--seeds", 1, *QUICK, "-o", tmp_path / "out")
    tuned = tmp_path / "out/trials/k2-seed1/net.cfg"
    words = (
        "suggest-k",
        base,
        tuned,
        data,
        "--k",
        "2,4,5",
        "--threads",
        1,
        "--budget",
        "flops<=0.5",
        "--recalibrate",
        8,
    )
    result = run(*words, "--sweep", tmp_path / "out")
    assert result.exit_code == 0, result.output
    header, *rows = result.stdout.splitlines()[:4]
    assert header.split()[0] == "rank"
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert "smallest within flops<=0.5: k=" in result.stdout
    assert "A guess: the rank is that of networks that were not trained any further." in result.stdout
    assert "against 2 k of the sweep, by logme: " in result.stdout
    found = json.loads(run(*words, "--format", "json").stdout)
    assert {one["k"] for one in found["rows"]} == {2, 4, 5}
    moved = {one["k"]: one["moved"] for one in found["rows"]}
    assert moved[2] == moved[4] == 0  # the trained network has these kernels of the base
    assert found["agreement"] == []


def test_data_alone_is_ranked_by_features(base, data):
    pytest.importorskip("torch", reason="features need PyTorch")
    result = run("suggest-k", base, data, "--threads", 1, "--format", "csv")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].startswith("k,block_end,flops,weights,moved,logme,behind,")
    assert "Nobody has shown that this orders" in result.stderr


@pytest.mark.parametrize("words", [("a.data",), ("a.cfg", "a.data", "b.data"), ("a.cfg", "b.cfg", "c.cfg")])
def test_suggest_k_takes_a_base(words, base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / f"{name}.cfg").write_bytes(base.read_bytes())
    result = run("suggest-k", *words)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
