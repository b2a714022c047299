"""Sweeps over k, and guesses at k without training."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TRAINABLE, needs_torch, network_of, seeded_floats, write_model
from labelled import draw
from models import WITH_STAGES, model
from sweeps import planned, result

from darkshare.analysis.stats import stats
from darkshare.choose_k import processes
from darkshare.choose_k.candidates import (
    Candidate,
    advice,
    agreement,
    candidate_rows,
    candidates,
    kendall,
    ranked,
    with_differences,
    with_features,
)
from darkshare.choose_k.features import fill_together
from darkshare.choose_k.planning import plan
from darkshare.choose_k.processes import Message, Process, run_here, shared_out
from darkshare.choose_k.regions import Regions, regions_of
from darkshare.choose_k.results import choices, measured_maps
from darkshare.choose_k.separability import h_score, jackknifed, label_similarity, logme, standard_error
from darkshare.choose_k.swapping import swap_curve, swapped
from darkshare.choose_k.sweep import read_sweep, write_results
from darkshare.choose_k.trial_run import run_trial
from darkshare.choose_k.trials import Trial, read_result, results_in, write_json
from darkshare.darknet.model import load, save
from darkshare.data import read_data
from darkshare.errors import BadValue, DarkshareError
from darkshare.evaluation import evaluate_model
from darkshare.surgery.sides import Side, with_side
from darkshare.training.building import TorchNet
from darkshare.training.run import Training
from darkshare.training.settings import Changes, Options, TrainingWatch

CLASSIFIER = f"{TRAINABLE.partition('[yolo]')[0]}[avgpool]\n\n[softmax]\n"
SHARES = {0: (0.0, 0.0), 2: (0.2, 0.3), 4: (0.4, 0.5)}
pytestmark = pytest.mark.usefixtures("undrawn")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


# --- summaries ------------------------------------------------------------------------------------------------------


def test_the_summary_of_each_k_by_hand():
    found = choices(
        [result(0, 1, 0.50), result(0, 2, 0.60), result(2, 1, 0.46), result(2, 2, 0.58), result(4, 2, 0.54)], SHARES
    )
    zero, two, four = found
    assert [one.k for one in found] == [0, 2, 4]
    assert (zero.map, zero.lowest, zero.highest, zero.lost) == pytest.approx((0.55, 0.5, 0.6, 0.0))
    assert zero.deviation == pytest.approx(0.1 / 2**0.5)
    assert two.lost == pytest.approx((0.04 + 0.02) / 2)  # paired by seed
    assert two.lost_deviation == pytest.approx(0.02 / 2**0.5)
    assert (four.seeds, four.deviation, four.lost_deviation) == (1, None, None)
    assert four.lost == pytest.approx(0.06)
    assert (two.weights, two.flops, two.coco_ap50, two.coco_ap) == pytest.approx((0.2, 0.3, 0.42, 0.26))
    assert [one.pareto for one in found] == [True, False, True]  # 0.55, 0.52 and 0.54


def test_without_k_0_and_with_cocos_numbers_missing_here_and_there():
    one, two = choices([result(2, 1, 0.4), result(4, 1, 0.4, coco_ap=None)], SHARES)
    assert (one.lost, one.pareto, two.pareto) == (None, False, True)  # as good, and saves more
    assert (one.coco_ap, two.coco_ap) == (0.2, None)


def test_the_files_of_a_sweep(tmp_path):
    results = [result(0, 1, 0.5), result(2, 1, 0.4)]
    failed = [{"k": 2, "seed": 2, "error": "why"}]
    write_results(tmp_path, results, choices(results, SHARES), SHARES, {"weights": "x"}, failed)
    rows = rows_of(tmp_path / "results.csv")
    assert [(row["k"], row["seed"], row["map"], row["flops_saved"]) for row in rows] == [
        ("0", "1", "0.5", "0.0"),
        ("2", "1", "0.4", "0.3"),
    ]
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["failed"] == failed
    assert found["trials"][1]["aps"] == {"red": 0.4}
    assert found["choices"][1]["lost"] == pytest.approx(0.1)
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    again = read_sweep(tmp_path)
    assert (list(again.trials), list(again.choices), list(again.failed)) == (results, choices(results, SHARES), failed)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "holds no results of a sweep"),
        ({"trials": []}, "holds no results of a sweep"),
        ({"trials": [{"k": 1}]}, "of another version; the same sweep writes it anew"),
        ({"trials": [{"k": 1}], "settings": {}}, "of another version; the same sweep writes it anew"),
    ],
)
def test_a_folder_without_results_of_a_sweep_is_refused(tmp_path, content, says):
    if content is not None:
        write_json(tmp_path / "results.json", content)
    with pytest.raises(DarkshareError, match=says):
        read_sweep(tmp_path)


# --- plans ----------------------------------------------------------------------------------------------------------


def test_a_trial_survives_its_way_to_another_process(tmp_path):
    how = Options(k=3, seed=2, changes=Changes(epochs=2.5, size=(32, 64)), ema=0.9)
    trial = Trial("a.cfg", None, "a.data", "pjreddie", how, tmp_path, tmp_path, {"ema": 0.9})
    assert Trial.of_json(json.loads(json.dumps(trial.to_json()))) == trial


def test_a_plan_has_every_k_with_every_seed_and_grows(base, data, tmp_path):
    needs_torch()
    found = planned(base, data, tmp_path / "out", ks=(4, 0, 4), seeds=(2, 1))
    assert [trial.name for trial in found.trials] == ["k=0 seed=1", "k=4 seed=1", "k=0 seed=2", "k=4 seed=2"]
    assert found.batches == 3
    more = planned(base, data, tmp_path / "out", ks=(3,), seeds=(1, 2, 3))
    assert [trial.options.k for trial in more.waiting()] == [3, 3, 3]
    found.trials[0].folder.mkdir(parents=True)
    assert found.shares[4] == pytest.approx(more.shares[3], rel=0.02)  # layer 3 is a pooling
    with pytest.raises(
        DarkshareError, match=r"out/sweep\.json: is of a sweep with other settings \(batches 3, now 4\)"
    ):
        planned(base, data, tmp_path / "out", batches=4)


def test_a_side_costs_some_of_what_is_saved(base, data, tmp_path):
    """And with k=0 there is none."""
    needs_torch()
    save(model(WITH_STAGES, "base"), base.with_suffix(""))
    plain = planned(base, data, tmp_path / "plain", ks=(0, 8))
    found = planned(base, data, tmp_path / "out", ks=(0, 8), side="ladder:4")
    assert [trial.options.changes.side for trial in found.trials] == [None, "ladder:4"]
    own, made = load(base).network, with_side(load(base), 8, Side(4)).network
    costs = made.params / own.params - 1, made.flops / own.flops - 1
    assert found.shares[8] == pytest.approx([a - b for a, b in zip(plain.shares[8], costs, strict=True)], rel=0.2)
    assert found.shares[8] < plain.shares[8]
    assert found.shares[0] == (0, 0)


def test_a_base_that_was_read_at_another_size_trains_at_that(base, data, tmp_path):
    needs_torch()
    for how, size in (({}, (64, 32)), ({"size": (96, 64)}, (96, 64))):
        made = plan(
            load(base, size=(64, 32)), str(data), str(tmp_path / str(size[0])), ks=(0, 4), seeds=(1,),
            options=Options(k=0, changes=Changes(batches=3, **how)),
        )  # fmt: skip
        assert {trial.options.changes.size for trial in made.trials} == {size}


def test_the_cache_is_for_trunks(base, data, tmp_path):
    needs_torch()
    found = planned(base, data, tmp_path / "out", ks=(0, 3), cache_features=2)
    assert [(trial.options.k, trial.options.cache_features) for trial in found.trials] == [(0, 0), (3, 2)]


def test_what_a_plan_refuses(base, data, tmp_path):
    needs_torch()
    with pytest.raises(BadValue, match=r"k=13 must be 0\.\.12"):
        planned(base, data, tmp_path / "out", ks=(0, 13))
    with pytest.raises(DarkshareError, match="k=7 keeps layer 6"):
        planned(base, data, tmp_path / "out", ks=(7,))
    with pytest.raises(BadValue, match=r"1\.\.10000 trials, not 0"):
        planned(base, data, tmp_path / "out", ks=())
    with pytest.raises(DarkshareError, match="is not a folder of a sweep"):
        planned(base, data, tmp_path)
    classifier = write_model(tmp_path / "c", CLASSIFIER, seeded_floats(network_of(CLASSIFIER), 1))
    with pytest.raises(DarkshareError, match=r"c\.cfg: classifies pictures, and a sweep compares detectors"):
        planned(classifier, data, tmp_path / "out", ks=(0,))
    text = data.read_text()
    data.write_text(text.replace("valid=", "test="))
    with pytest.raises(DarkshareError, match="has no valid="):
        planned(base, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- trials ---------------------------------------------------------------------------------------------------------


class Stopping(TrainingWatch):
    """Raises Ctrl-C behind an update."""

    def step(self, entry) -> None:
        if entry.batch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_trial_is_trained_evaluated_and_goes_on_where_it_was_stopped(base, data, tmp_path):
    needs_torch()
    trial, whole = planned(base, data, tmp_path / "out", seeds=(1,)).trials[0], tmp_path / "whole"
    found = run_trial(replace(trial, folder=whole), TrainingWatch())
    assert found == read_result(whole)
    assert (found.k, found.seed, found.batches, found.pictures, found.device) == (3, 1, 3, 12, "cpu")
    assert found.map == evaluate_model(load(whole / "net.cfg"), read_data(data, "valid")).mean
    assert found.settings == trial.settings
    assert found.wall_seconds > found.train_seconds > 0
    assert run_trial(trial, Stopping()) is None
    assert read_result(trial.folder) is None
    again = run_trial(trial, TrainingWatch())
    assert (trial.folder / "net.weights").read_bytes() == (whole / "net.weights").read_bytes()
    assert (again.map, again.aps, again.wall_seconds) == (found.map, found.aps, None)


def test_a_trial_that_was_killed_before_it_was_evaluated_is_not_trained_again(base, data, tmp_path):
    needs_torch()
    trial = planned(base, data, tmp_path / "out").trials[0]
    found = run_trial(trial, TrainingWatch())
    (trial.folder / "result.json").unlink()
    again = run_trial(trial, Stopping())
    assert (again.map, again.train_seconds, again.wall_seconds) == (found.map, found.train_seconds, None)


def test_validations_on_the_way_are_kept_beside_the_last(base, data, tmp_path):
    needs_torch()
    found = run_trial(planned(base, data, tmp_path / "out", validate_every=1).trials[0], TrainingWatch())
    rows = rows_of(tmp_path / "out/trials/k3-seed1/net.csv")
    maps = [float(row["map"]) for row in rows]
    assert (found.best_map, found.best_batch) == (max(maps), maps.index(max(maps)) + 1)
    assert found.map == maps[-1]


def test_results_of_other_settings_are_refused(base, data, tmp_path):
    needs_torch()
    found = planned(base, data, tmp_path / "out")
    run_trial(found.trials[0], TrainingWatch())
    assert [one.k for one in results_in(found.folder, found.settings)] == [3]
    assert found.waiting() == []
    path = found.trials[0].folder / "result.json"
    path.write_text(path.read_text().replace('"augment": true', '"augment": false'))
    with pytest.raises(DarkshareError, match=r"other settings \(augment False, now True\)"):
        found.waiting()
    path.write_text("{}")
    with pytest.raises(DarkshareError, match=r"result\.json: is not a file of a sweep"):
        found.waiting()


def test_two_processes_do_not_share_a_trial(base, data, tmp_path):
    fcntl = pytest.importorskip("fcntl", reason="locks of POSIX")
    needs_torch()
    trial = planned(base, data, tmp_path / "out").trials[0]
    trial.folder.mkdir(parents=True)
    with open(trial.folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DarkshareError, match="another process is at this trial"):
            run_trial(trial, TrainingWatch())


# --- features of all k from one pass --------------------------------------------------------------------------------


def caching_trials(base, data, folder, ks=(2, 4, 5), **how) -> list[Trial]:
    how = {"cache_features": 2, "cache_anyway": True, "batches": 2, **how}
    return shared_out(planned(base, data, folder, ks=ks, **how).trials, 1)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_pass_fills_the_caches_of_all_k_as_each_fills_its_own(base, data, tmp_path, monkeypatch):
    """20 pictures and 2 copies are 10 passes of 4, all through the trunk of k=5."""
    needs_torch()
    trials = caching_trials(base, data, tmp_path / "out", recipe="darknet")
    model, learn = load(base), read_data(data, "train")
    passes, whole = [], TorchNet.trunk

    def trunk(self, *args):
        passes.append(self.k)
        return whole(self, *args)

    monkeypatch.setattr(TorchNet, "trunk", trunk)
    trials[0].folder.parent.mkdir()
    fill_together(trials[1], model, learn, TrainingWatch())
    assert passes == [5] * 10
    shutil.rmtree(trials[0].folder / "net.features")  # it is trained, and in no need of it any more
    fill_together(trials[2], model, learn, TrainingWatch())
    assert len(passes) == 10
    assert not (trials[0].folder / "net.features").exists()
    for trial in trials[1:]:
        alone = replace(trial, folder=tmp_path / "alone" / trial.folder.name, beside=())
        own = Training(model, learn, alone.folder / "net", trial.options)
        own.pictures(own.source).fill([own.features()], trial.options, TrainingWatch())
        together = files_in(trial.folder / "net.features")
        assert together == files_in(alone.folder / "net.features")
        assert len(together) == len(own.trainer.net.reads) + 2


def test_a_trial_that_began_before_keeps_the_cache_that_it_has(base, data, tmp_path):
    needs_torch()
    trials = caching_trials(base, data, tmp_path / "out")
    trials[0].folder.mkdir(parents=True)
    (trials[0].folder / "net.csv").touch()
    fill_together(trials[2], load(base), read_data(data, "train"), TrainingWatch())
    assert [(trial.folder / "net.features" / "about.json").exists() for trial in trials] == [False, True, True]


def test_what_cannot_be_filled_together_is_left_to_its_training(base, data, tmp_path):
    """The cache of one of them would lie where a file lies; one has none, and so there is one alone."""
    needs_torch()
    trials = caching_trials(base, data, tmp_path / "out", ks=(0, 2, 4))
    assert [trial.beside for trial in trials] == [(), (2, 4), (2, 4)]
    trials[1].folder.mkdir(parents=True)
    (trials[1].folder / "net.features").write_text("a file")
    fill_together(trials[2], load(base), read_data(data, "train"), TrainingWatch())
    assert not (trials[2].folder / "net.features" / "about.json").exists()
    assert run_trial(trials[2], TrainingWatch()).k == 4


def test_trials_that_share_features_test_their_rates_once(base, data, tmp_path, monkeypatch):
    needs_torch()
    tested = []

    def found(base, data, options, recipe):
        tested.append(options.k)
        return options.k / 1000, "it was made up"

    monkeypatch.setattr("darkshare.training.rates._tested", found)
    plain = caching_trials(base, data, tmp_path / "out", ks=(2, 4))
    trials = [
        replace(one, options=replace(one.options, changes=replace(one.options.changes, lr="auto"))) for one in plain
    ]
    for trial in trials:
        run_trial(trial, TrainingWatch())
        assert f"learning_rate={trial.options.k / 1000:g}" in (trial.folder / "net.cfg").read_text()
    assert tested == [4, 2]


@pytest.mark.slow
def test_trials_that_share_features_are_what_they_are_alone(base, data, tmp_path):
    """Two processes, two k and two seeds."""
    needs_torch()
    how = {"cache_features": 2, "cache_anyway": True}
    trials = planned(base, data, tmp_path / "out", ks=(2, 4), seeds=(1, 2), **how).trials
    ends = [message.event for message in run_here(shared_out(trials, 2), 2) if message.event in processes.LAST]
    assert ends == ["done"] * 4
    for trial in trials:
        alone = replace(trial, folder=tmp_path / "alone" / trial.folder.name)
        run_trial(alone, TrainingWatch())
        assert (trial.folder / "net.weights").read_bytes() == (alone.folder / "net.weights").read_bytes()
        assert not (trial.folder / "net.features").exists()


# --- processes ------------------------------------------------------------------------------------------------------


def test_the_cores_are_shared_out(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 8)
    trial = Trial("a.cfg", None, "a.data", "alexeyab", Options(k=0), tmp_path, tmp_path)
    given = replace(trial, options=Options(k=0, threads=5))
    assert [one.options.threads for one in shared_out([trial, given], 3)] == [2, 5]
    assert shared_out([trial], 9)[0].options.threads == 1


@pytest.mark.slow
def test_whoever_ends_it_early_finds_all_saved(base, data, tmp_path):
    """In a process of its own: after some updates the iteration is closed; another process goes on to the end."""
    needs_torch()
    found = planned(base, data, tmp_path / "out", batches=100_000)
    running: Any = run_here(found.waiting(), 1)
    with closing(running) as messages:
        for message in messages:
            if message.event == "step":
                break
    folder = found.trials[0].folder
    assert (folder / "net.checkpoint").exists()
    assert "--resume goes on" in (folder / "log.txt").read_text()
    assert read_result(folder) is None


@pytest.mark.slow
def test_a_process_that_dies_is_a_failure(base, data, tmp_path):
    needs_torch()
    trial = planned(base, data, tmp_path / "out", batches=100_000).trials[0]
    told: list[Message] = []
    process = Process(trial, told.append)
    while not any(message.event == "step" for message in told):
        time.sleep(0.01)
    os.kill(process._process.pid, signal.SIGKILL)
    process.wait()
    assert (told[-1].event, told[-1].text) == ("failed", "its process was killed; is there too little memory?")


def started(monkeypatch) -> list[int]:
    """The ids of all processes that do trials from now on."""
    found: list[int] = []
    real = processes.start

    def start(*args):
        process = real(*args)
        found.append(process.pid)
        return process

    monkeypatch.setattr(processes, "start", start)
    return found


@pytest.mark.slow
def test_one_process_does_all_trials_and_each_is_what_it_is_alone(base, data, tmp_path, monkeypatch):
    """Five of them, of which the second finds a broken checkpoint in its folder."""
    needs_torch()
    found = planned(base, data, tmp_path / "out", ks=(0, 3), seeds=(1, 2, 3)).trials[:5]
    found[1].folder.mkdir(parents=True)
    (found[1].folder / "net.checkpoint").write_bytes(b"broken")
    pids = started(monkeypatch)
    ends = {message.trial.name: message for message in run_here(found, 1) if message.event in processes.LAST}
    assert len(pids) == 1
    assert [ends[trial.name].event for trial in found] == ["done", "failed", "done", "done", "done"]
    assert "is not a checkpoint of a training" in ends[found[1].name].text
    for trial in (found[2], found[4]):
        assert "schedule for 3 batches" in (trial.folder / "log.txt").read_text()
        alone = replace(trial, folder=tmp_path / "alone")
        result = run_trial(alone, TrainingWatch())
        assert (trial.folder / "net.weights").read_bytes() == (alone.folder / "net.weights").read_bytes()
        assert (read_result(trial.folder).map, read_result(trial.folder).aps) == (result.map, result.aps)
        (alone.folder / "result.json").unlink()
        for path in alone.folder.glob("net*"):
            path.unlink()


@pytest.mark.slow
def test_a_process_that_is_killed_is_replaced(base, data, tmp_path, monkeypatch):
    """The second of three trials, in the first one's process, is killed."""
    needs_torch()
    found = planned(base, data, tmp_path / "out", seeds=(1, 2, 3), batches=50).trials
    pids, ends = started(monkeypatch), []
    for message in run_here(found, 1):
        if message.event == "begin" and message.trial is found[1]:
            os.kill(pids[0], signal.SIGKILL)
        if message.event in processes.LAST:
            ends.append((message.trial.options.seed, message.event, message.text[:22]))
    assert [end[:2] for end in ends] == [(1, "done"), (2, "failed"), (3, "done")]
    assert ends[1][2] == "its process was killed"
    assert len(pids) == 2
    (again,) = [message for message in run_here([found[1]], 1) if message.event in processes.LAST]
    assert again.event == "done"


def test_a_process_that_cannot_begin_is_a_failure(base, data, tmp_path):
    needs_torch()
    trial = planned(base, data, tmp_path / "out").trials[0]
    trial.folder.parent.mkdir(parents=True)
    trial.folder.write_text("a file")
    (message,) = run_here([trial], 1)
    assert message.event == "failed"
    assert "k3-seed1: " in message.text


@pytest.mark.slow
def test_a_dask_cluster(base, data, tmp_path):
    """A scheduler and a worker that talk over TCP: a trial to its end, and one that is stopped."""
    distributed = pytest.importorskip("distributed", reason="a cluster needs Dask")
    needs_torch()
    from darkshare.choose_k.cluster import run_on_cluster

    done = planned(base, data, tmp_path / "done").trials[0]
    long = planned(base, data, tmp_path / "long", batches=100_000).trials[0]
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp://"
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tcp://")
        told = list(run_on_cluster([done], address))
        assert told[-1].event == "done"
        assert told[-1].text == f"mAP {100 * read_result(done.folder).map:.2f} %"
        running: Any = run_on_cluster([long], address)
        with closing(running) as messages:
            for message in messages:
                if message.event == "step":
                    break
        assert (long.folder / "net.checkpoint").exists()
        assert read_result(long.folder) is None


# --- guesses --------------------------------------------------------------------------------------------------------


def evidence_on_a_grid(features: np.ndarray, y: np.ndarray) -> float:
    """The best log evidence over a grid of precisions, of the Gaussian that the targets have under the model.

    In the space without the mean, of one dimension less.
    """
    space = np.linalg.svd(np.ones((1, len(y))))[2][1:]
    features, y, n, best = space @ features, space @ y, len(y) - 1, -np.inf
    for alpha in np.logspace(-4, 6, 100):
        for beta in np.logspace(-2, 6, 80):
            covariance = np.eye(n) / beta + features @ features.T / alpha
            _, logdet = np.linalg.slogdet(covariance)
            best = max(best, -0.5 * (logdet + y @ np.linalg.solve(covariance, y) + n * np.log(2 * np.pi)))
    return best / n


@pytest.mark.parametrize("channels", [3, 12])
def test_logme_is_the_evidence_of_a_linear_model(channels):
    rng = np.random.default_rng(0)
    classes = np.arange(9) % 2
    features = rng.normal(size=(9, channels)) + 2 * classes[:, None]
    expected = evidence_on_a_grid(features, classes)
    assert logme(features, classes) == pytest.approx(expected, abs=5e-3)


def test_logme_prefers_features_that_tell_classes_apart():
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 3, 90)
    noise = rng.normal(size=(90, 8))
    good = noise.copy()
    good[:, 0] += 4 * (classes == 1)
    good[:, 1] += 4 * (classes == 2)
    assert logme(good, classes) > logme(noise, classes) + 0.2
    assert logme(1000 * good + 7, classes) == pytest.approx(logme(good, classes), abs=1e-3)
    assert np.isfinite(logme(np.ones((90, 4)), classes))


@pytest.mark.parametrize("channels", [1, 3, 30])
def test_the_h_score_is_the_formula_of_its_authors(channels):
    """Sums over objects, one by one, and an inverse."""
    rng = np.random.default_rng(3)
    classes = np.arange(20) % 3
    features = rng.normal(size=(20, channels)) * np.arange(1, channels + 1) + classes[:, None]
    mean = features.mean(axis=0)
    outer = [np.outer(x - mean, x - mean) for x in features]
    whole = sum(outer) / 20
    target = np.trace(whole) / channels * np.eye(channels)
    far = np.linalg.norm(whole - target) ** 2
    share = min(sum(np.linalg.norm(x - whole) ** 2 for x in outer) / 20**2, far) / far if channels > 1 else 0
    means = np.array([features[classes == c].mean(axis=0) for c in classes])
    inverse = np.linalg.inv(share * target + (1 - share) * whole)
    expected = np.trace(inverse @ ((1 - share) * np.cov(means, rowvar=False, bias=True).reshape(channels, channels)))
    assert h_score(features, classes) == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(h_score(np.ones((20, channels)), classes))


def test_similarity_to_the_labels_by_hand():
    features = np.array([[1.0, 0.0, 0.0], [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]])
    assert label_similarity(features, np.array([0, 0, 1])) == pytest.approx(np.corrcoef([3, 2, 1], [1, 0, 0])[0, 1])
    assert label_similarity(features, np.array([0, 0, 0])) == 0


def test_the_jackknife_by_hand():
    features, pictures = [np.arange(10.0)[:, None]], np.arange(10)
    folds = jackknifed(lambda own, _: float(own.mean()), features, np.zeros(10, np.int64), pictures)
    assert folds[:, 0].tolist() == [(45 - i - (i + 5)) / 8 for i in range(5)]
    assert standard_error(folds[:, 0]) == pytest.approx((4 / 5 * np.square([0.5, 0.25, 0, 0.25, 0.5]).sum()) ** 0.5)


def test_candidates_are_legal_cuts_before_the_first_head():
    network = network_of(TRAINABLE)
    assert [one.k for one in candidates(network)] == [1, 2, 3, 4, 5]  # it has two ends of blocks; layer 6 is a head
    assert [one.k for one in candidates(network) if one.block_end] == [3, 4]
    assert [one.k for one in candidates(network, (5, 2))] == [2, 5]
    with pytest.raises(BadValue, match=r"k=9 is not a legal cut before the first head; those are 1\.\.5"):
        candidates(network, (2, 9))


def test_ranks_and_advice_by_hand():
    guesses = [
        Candidate(2, True, 0.2, 0.1, logme=0.5, behind=0.0, error=0.0, swap=0.30),
        Candidate(4, True, 0.4, 0.2, logme=0.4, behind=0.1, error=0.2, swap=0.30),
        Candidate(6, True, 0.6, 0.3, logme=0.1, behind=0.4, error=0.2, swap=0.31),
    ]
    assert [(one.k, one.rank) for one in ranked(guesses)] == [(6, 1), (4, 2), (2, 3)]  # of equal ones the larger
    without = [replace(one, swap=None) for one in guesses]
    assert [one.k for one in ranked(without)] == [2, 4, 6]
    assert [one.rank for one in ranked([replace(one, logme=None) for one in without])] == [None] * 3
    assert list(advice(guesses, 0.32, 1.5, {"flops<=0.7": [6, 4]}).values()) == [6, 4, 4]
    assert list(advice(guesses, 0.5, 1.5, {}).values()) == [None, 4]


def test_agreement_by_hand():
    guesses = [Candidate(k, True, 0, 0, moved=k, logme=score) for k, score in ((2, 0.1), (4, 0.3), (6, 0.2))]
    measured = {0: 0.6, 2: 0.5, 4: 0.3, 6: 0.4}
    found = {one.basis: one for one in agreement(guesses, measured)}
    assert set(found) == {"logme", "moved", "smallest k"}
    assert (found["logme"].ks, found["logme"].tau) == (3, pytest.approx(-1))
    assert found["logme"].regret == pytest.approx(0.2)
    assert found["moved"].tau == found["smallest k"].tau == pytest.approx(1 / 3)
    assert kendall([1, 2, 2], [1, 2, 3]) == pytest.approx(2 / 6**0.5)
    assert kendall([1, 1], [1, 2]) is None
    with pytest.raises(BadValue, match="no k in common"):
        agreement(guesses, {1: 0.5})


def test_regions_are_means_over_the_cells_that_boxes_touch(base, tmp_path):
    """Against the whole maps of a network with one layer more to see: the first layer of the base."""
    torch = pytest.importorskip("torch", reason="features need PyTorch")
    from darkshare._images import read_picture
    from darkshare.inference.preprocess import preprocess
    from darkshare.training.building import build

    dataset, model = draw(tmp_path / "more", 12), load(base)
    found = regions_of(model, dataset, [0], boxes=12)
    assert sorted(found.classes.tolist()) == [0] * 6 + [1] * 6 + [2] * (len(found.classes) - 12)
    assert len(found.classes) >= 20
    net = build(model, 0)
    rows = {tuple(np.round(row, 5)) for row in found.features[0]}
    for sample in dataset.samples:
        values = net.outputs(torch.from_numpy(preprocess(read_picture(sample.picture), model.network)), [0])[0][
            0
        ].numpy()
        box = sample.boxes[0]
        left, right = int(16 * (box.x - box.w / 2)), int(np.ceil(16 * (box.x + box.w / 2)))
        top, bottom = int(16 * (box.y - box.h / 2)), int(np.ceil(16 * (box.y + box.h / 2)))
        expected = values[:, top:bottom, left:right].reshape(8, -1).mean(axis=1, dtype=np.float64)
        assert tuple(np.round(expected, 5)) in rows
    with pytest.raises(BadValue, match="with labelled boxes; at least 10 are needed"):
        regions_of(model, draw(tmp_path / "few", 3), [0], boxes=9)
    with pytest.raises(BadValue, match=r"boxes=2 come from \d pictures; at least 10 are needed, so ask for more"):
        regions_of(model, dataset, [0], boxes=2)


def test_guesses_get_what_their_own_layer_says():
    rng = np.random.default_rng(0)
    classes, pictures = np.arange(40) % 2, np.arange(40)
    blind, seeing = rng.normal(size=(40, 4)), rng.normal(size=(40, 4)) + np.outer(classes, [3, 0, 0, 0])
    first, second = with_features(
        [Candidate(1, True, 0, 0), Candidate(2, True, 0, 0)], Regions((blind, seeing), classes, pictures)
    )
    assert (second.behind, second.error) == (0, 0)
    assert first.behind == pytest.approx(second.logme - first.logme)
    assert first.behind > first.error > 0
    assert second.similarity > first.similarity
    assert second.h_score > first.h_score


def test_how_far_kernels_moved_is_a_median_over_layers(base, tmp_path):
    own = load(base)
    tuned = load(write_model(tmp_path / "tuned", TRAINABLE, seeded_floats(network_of(TRAINABLE), 2)))
    (compared,) = stats(own, tuned)
    ratios = []
    for layer in (0, 1, 4):
        a, b = (model.tensors(layer)["weights"].astype(np.float64) for model in (own, tuned))
        ratios.append(np.linalg.norm(b - a) / np.linalg.norm(a))
    first, second = with_differences([Candidate(1, True, 0, 0), Candidate(5, True, 0, 0)], compared)
    assert first.moved == pytest.approx(ratios[0], rel=1e-5)
    assert second.moved == pytest.approx(np.median(ratios), rel=1e-5)


def test_swapped_models_have_the_bases_first_layers(base, data, tmp_path):
    own = load(base)
    path = write_model(tmp_path / "tuned", TRAINABLE, seeded_floats(network_of(TRAINABLE), 2), names=("red", "blue"))
    tuned = load(path)
    mixed = swapped(own, tuned, 4)
    for index, other in [*((i, own) for i in range(4)), *((i, tuned) for i in range(4, 13))]:
        for name, values in mixed.tensors(index).items():
            np.testing.assert_array_equal(values, other.tensors(index)[name])
    curve = swap_curve(own, tuned, read_data(data, "valid"), [4])
    assert curve[0].mean == evaluate_model(tuned, read_data(data, "valid")).mean
    assert curve[4].mean == evaluate_model(mixed, read_data(data, "valid")).mean


def test_a_sweep_of_another_base_says_nothing(base, data, tmp_path):
    needs_torch()
    found = planned(base, data, tmp_path / "out")
    with pytest.raises(DarkshareError, match="holds no results"):
        measured_maps(found.folder, load(base))
    made = run_trial(found.trials[0], TrainingWatch())
    assert measured_maps(found.folder, load(base)) == {3: made.map}
    other = load(write_model(tmp_path / "other", TRAINABLE, seeded_floats(network_of(TRAINABLE), 5)))
    with pytest.raises(DarkshareError, match="from other weights"):
        measured_maps(found.folder, other)


def test_rows_hold_what_is_known():
    end, other = candidate_rows([Candidate(4, True, 0.5, 0.25), Candidate(5, False, 0.5, 0.25)])
    assert (end["block"], other["block"]) == ("end", "")
    (row,) = candidate_rows([Candidate(4, True, 0.5, 0.25)])
    assert row == {"k": 4, "FLOPs %": 50.0, "weights %": 25.0}
