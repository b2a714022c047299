"""Whole trainings of a tiny network on drawn pictures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text, write_model
from labelled import NAMES, Said, draw
from models import floats

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare.analysis.frozen import compare_trunks  # noqa: E402
from darkshare.darknet.model import load  # noqa: E402
from darkshare.errors import BadValue, DarkshareError, TrunkMismatch, Unsupported  # noqa: E402
from darkshare.evaluation import evaluate_model  # noqa: E402
from darkshare.surgery.residual import branch  # noqa: E402
from darkshare.surgery.splice import concat, split  # noqa: E402
from darkshare.training import journal  # noqa: E402
from darkshare.training.building import trained  # noqa: E402
from darkshare.training.run import Training  # noqa: E402
from darkshare.training.settings import Changes, Options  # noqa: E402
from darkshare.training.stepping import Trainer  # noqa: E402

NET = "channels=3\nbatch=4\nsubdivisions=2\nlearning_rate=0.002\nmomentum=0.9\ndecay=0.0005\nmax_batches=6"
TEXT = tiny_text().replace("channels=3", NET)
K = 4
pytestmark = pytest.mark.usefixtures("undrawn")


def train(*what, **how):
    return Training(*what, **how).run()


@pytest.fixture
def base(tmp_path):
    network = network_of(TEXT)
    return load(write_model(tmp_path / "base", TEXT, seeded_floats(network, 1), names=("cat", "dog")))


@pytest.fixture
def data(tmp_path):
    return draw(tmp_path, 6)


def options(**how) -> Options:
    chosen = {key: how.pop(key) for key in list(how) if key in Changes.__dataclass_fields__}
    return Options(
        **{
            "k": K,
            "recipe": "darknet",
            "workers": 0,
            "threads": 1,
            "device": "cpu",
            "validate_every": 0,
            "changes": Changes(**chosen),
            **how,
        }
    )


def floats_of(path) -> bytes:
    return path.with_suffix(".weights").read_bytes()


def test_the_trunk_stays_and_the_rest_learns(base, data, tmp_path):
    said = Said()
    found = train(base, data, tmp_path / "out", options(batches=60), watch=said)
    trained = load(tmp_path / "out.cfg")
    assert compare_trunks(base, trained, 9).identical == K
    assert trained.tasks[0].names == NAMES
    assert trained.weights.header.seen == 60 * 4
    assert trained.network.net.max_batches == 60
    assert (found.done, found.stopped, found.map) == (60, False, None)
    assert np.mean(said.losses[-10:]) < 0.5 * np.mean(said.losses[:10])
    merged = concat([base, trained], K)
    assert [task.name for task in merged.tasks] == ["base", "out"]
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        "out.cfg", "out.csv", "out.data", "out.names", "out.png", "out.weights",
    ]  # fmt: skip


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
def test_both_forks(tmp_path, data, dialect):
    network = network_of(TEXT, dialect=dialect)
    own = load(write_model(tmp_path / "base", TEXT, seeded_floats(network, 1)), dialect=dialect)
    train(own, data, tmp_path / "out", options())
    assert compare_trunks(own, load(tmp_path / "out.cfg", dialect=dialect), 9).identical == K


def test_from_nothing_but_a_cfg(tmp_path, data):
    (tmp_path / "bare.cfg").write_text(TEXT)
    train(load(tmp_path / "bare.cfg"), data, tmp_path / "out", options(k=0))
    assert load(tmp_path / "out.cfg").weights.header == (0, 2, 5, 24)


def test_the_branches_of_a_detector_train_side_by_side(tmp_path, data):
    """In each branch the gradient of the losses' sum is that of its own; the vote has none, and stays what it was."""
    base = load(write_model(tmp_path / "base", TEXT, seeded_floats(network_of(TEXT), 1), names=NAMES))
    together = branch(base, K - 1, 2, widths=(3, 12))
    train(together, data, tmp_path / "all", options(batches=3))
    joint = load(tmp_path / "all.cfg")
    assert [(task.name, task.ensemble) for task in joint.tasks] == [("all", "all"), ("all-1", "all"), ("all-2", "all")]
    assert compare_trunks(together, joint, 9).identical == K + 1  # layer K is a [route]
    for found, part in zip(split(joint, ["all-1", "all-2"]), split(together, ["base-1", "base-2"]), strict=True):
        name = part.tasks[0].name
        train(part, data, tmp_path / name, options(batches=3))
        alone = load(tmp_path / f"{name}.cfg")
        np.testing.assert_allclose(floats(found), floats(alone), rtol=1e-4, atol=1e-5)
        assert abs(floats(alone) - floats(part)).max() > 1e-3
    voting = range(joint.tasks[-1].runs[-1][1], len(joint.network.layers))
    assert all(
        np.array_equal(joint.tensors(i)["weights"], together.tensors(i)["weights"]) for i in voting if joint.tensors(i)
    )


@pytest.mark.slow
def test_input_sizes_that_change(tmp_path, data):
    text = TEXT + "random=1\n"
    own = load(write_model(tmp_path / "base", text, seeded_floats(network_of(text), 1)))
    entries = []

    class Sizes(Said):
        def step(self, entry) -> None:
            entries.append((entry.width, entry.height))

    train(own, data, tmp_path / "out", options(batches=130), watch=Sizes())
    assert len(set(entries)) > 1
    assert set(entries[30:]) == {(64, 64)}  # 1.4 times 32, rounded as Darknet does, in the last hundred
    assert compare_trunks(own, load(tmp_path / "out.cfg"), 9).identical == K


def test_neither_workers_nor_checkpoints_change_the_result(base, data, tmp_path):
    train(base, data, tmp_path / "a", options())
    train(base, data, tmp_path / "b", options(workers=3, checkpoint_every=0))
    train(base, data, tmp_path / "many", options(workers=5))  # processes
    assert floats_of(tmp_path / "a") == floats_of(tmp_path / "b") == floats_of(tmp_path / "many")
    train(base, data, tmp_path / "c", options(seed=1))
    assert floats_of(tmp_path / "a") != floats_of(tmp_path / "c")


@pytest.mark.parametrize("how", [{}, {"ema": 0.9}, {"cache_features": 2, "cache_anyway": True}], ids=str)
def test_ctrl_c_saves_and_resume_gives_the_same(base, data, tmp_path, how):
    train(base, data, tmp_path / "whole", options(**how))
    stopped = train(base, data, tmp_path / "out", options(**how), watch=Said(stop=3))
    assert (stopped.stopped, stopped.done) == (True, 3)
    assert load(tmp_path / "out.cfg").weights.header.seen == 12
    said = Said()
    done = train(base, data, tmp_path / "out", options(resume=True, **how), watch=said)
    assert done.done == 6
    assert "goes on after batch 3 of 6" in said.texts
    assert len(said.losses) == 3
    assert floats_of(tmp_path / "out") == floats_of(tmp_path / "whole")
    assert (tmp_path / "out.csv").read_text().count("\n") == 7
    assert not (tmp_path / "out.checkpoint").exists()
    assert not (tmp_path / "out.features").exists()


def test_a_checkpoint_is_neither_overwritten_nor_mixed_up(base, data, tmp_path):
    train(base, data, tmp_path / "out", options(), watch=Said(stop=2))
    with pytest.raises(DarkshareError, match=r"out\.checkpoint: is of a training that was stopped; --resume"):
        train(base, data, tmp_path / "out", options())
    with pytest.raises(
        DarkshareError, match=r"out\.checkpoint: was written by a training with another seed \(0, now 1\)"
    ):
        train(base, data, tmp_path / "out", options(resume=True, seed=1))
    with pytest.raises(DarkshareError, match="another data set: its pictures or labels were others; give what"):
        train(base, replace(data, samples=data.samples[:-1]), tmp_path / "out", options(resume=True))
    with pytest.raises(
        DarkshareError, match=r"another cfg: the file, .* or an option that changes it \(--lr, --epochs, "
    ):
        train(base, data, tmp_path / "out", options(resume=True, lr=0.03))


def test_a_journal_that_is_gone_stops_nothing(base, data, tmp_path):
    judge = partial(evaluate_model, dataset=replace(data, samples=data.samples[:2]))

    def struck(model):
        raise KeyboardInterrupt

    train(base, data, tmp_path / "out", options(validate_every=2), judge=struck)
    (tmp_path / "out.csv").unlink()
    train(base, data, tmp_path / "out", options(validate_every=2, resume=True), judge=judge)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + 4


def test_resume_without_a_checkpoint_begins(base, data, tmp_path):
    said = Said()
    train(base, data, tmp_path / "out", options(resume=True), watch=said)
    assert len(said.losses) == 6
    assert "there is no checkpoint, so the training starts at the beginning" in said.texts[1]


# --- the trunk ------------------------------------------------------------------------------------------------------


def test_a_trunk_that_changed_is_not_written(base, data, tmp_path, monkeypatch):
    """The trained model is tampered with: one bit of the trunk."""
    real = trained

    def tampered(*args, **how):
        model = real(*args, **how)
        floats = model.weights.view(0, model.weights.size).copy()
        floats.view(np.uint32)[model.network.start(K) - 1] ^= 1
        return replace(model, weights=replace(model.weights, runs=(floats,)))

    monkeypatch.setattr("darkshare.training.run.trained", tampered)
    with pytest.raises(TrunkMismatch, match=r"layers 0\.\.3 are no longer those that the training began with"):
        train(base, data, tmp_path / "out", options())
    assert not (tmp_path / "out.weights").exists()


def test_a_base_that_is_replaced_meanwhile_is_noticed(base, data, tmp_path):
    path = tmp_path / "base.weights"

    class Replacing(Said):
        def step(self, entry) -> None:
            content = bytearray(path.read_bytes())
            content[40] ^= 1
            path.unlink()
            path.write_bytes(content)

    with pytest.raises(TrunkMismatch, match="was the base's file changed meanwhile"):
        train(base, data, tmp_path / "out", options(batches=1), watch=Replacing())
    assert not (tmp_path / "out.weights").exists()


def test_the_inputs_are_protected(base, data, tmp_path):
    with pytest.raises(DarkshareError, match=r"base\.weights: is one of the inputs"):
        train(base, data, tmp_path / "base", options(), protect=[str(tmp_path / "base.weights")])


# --- validation -----------------------------------------------------------------------------------------------------


def test_the_best_is_kept_beside_the_last(base, data, tmp_path):
    class Score:
        rule, mistakes = "a test's", "FP 3, FN 1 at > 0.25"

        def __init__(self, mean: float) -> None:
            self.mean = mean

    scores = iter([0.2, 0.6, 0.4])
    judged: list[bytes] = []

    def judge(model):
        judged.append(model.weights.view(0, model.weights.size).tobytes())
        return Score(next(scores))

    said = Said()
    found = train(base, data, tmp_path / "out", options(validate_every=2), judge=judge, watch=said)
    assert (found.map, found.best, found.best_batch, found.rule) == (0.4, 0.6, 4, "a test's")
    assert floats_of(tmp_path / "out-best")[20:] == judged[1]
    assert floats_of(tmp_path / "out")[20:] == judged[2]
    assert load(tmp_path / "out-best.cfg").weights.header.seen == 16
    assert "batch 4: mAP 60.00 % (FP 3, FN 1 at > 0.25), the best so far" in said.texts
    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [row.rsplit(",", 1)[1] for row in rows] == ["", "0.2", "", "0.6", "", "0.4"]


def test_the_figure_is_redrawn_while_it_runs(base, data, tmp_path, monkeypatch):
    """Not before ten seconds have passed, and not again until fifty times of what it took."""
    now, seen = [0.0], list[tuple[int, bool]]()

    class Watch(Said):
        def step(self, entry):
            seen.append((entry.batch, (tmp_path / "out.png").exists()))
            (tmp_path / "out.png").unlink(missing_ok=True)
            now[0] += 4

    monkeypatch.setattr(journal, "monotonic", lambda: now[0])
    drawn = journal.plot_training

    def plot(*args, **how):
        now[0] += 0.3
        drawn(*args, **how)

    monkeypatch.setattr(journal, "plot_training", plot)
    train(base, data, tmp_path / "out", options(batches=9, epochs=None), watch=Watch())
    assert [batch for batch, there in seen if there] == [4, 8]
    assert (tmp_path / "out.png").exists()


class Scores:
    """A judge that gives these scores in turn, and keeps what it judged."""

    rule, mistakes = "a test's", ""

    def __init__(self, *means: float) -> None:
        self.means = iter(means)
        self.judged: list[object] = []

    def __call__(self, model):
        self.judged.append(model)
        self.mean = next(self.means)
        return self


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ((0, 0, 0, 0.5, 0.4, 0.6), 6),  # nothing found yet is no reason to end
        ((0.5, 0.4, 0.5, 0.6, 0.6, 0.7), 3),
        ((0.1, 0.5, 0.4, 0.3, 0.6, 0.7), 4),
    ],
)
def test_it_ends_where_the_validation_is_flat(base, data, tmp_path, scores, ends):
    said = Said()
    how = options(validate_every=1, patience=2)
    found = train(base, data, tmp_path / "out", how, judge=Scores(*scores), watch=said)
    assert (found.done, found.stopped, found.map) == (ends, False, scores[ends - 1])
    assert ("mAP has not risen in 2 validations, so it ends here; --patience 0 goes on" in said.texts) == (ends < 6)
    assert sorted(path.suffix for path in tmp_path.glob("out.*")) == [
        ".cfg", ".csv", ".data", ".names", ".png", ".weights",
    ]  # fmt: skip


def test_killed_behind_a_flat_validation_it_ends_all_the_same(base, data, tmp_path):
    """The checkpoint is that of the validation; what was to be written is not."""
    training = Training(base, data, tmp_path / "out", options(validate_every=1, patience=1), judge=Scores(0.5, 0.4))
    training.begin()
    for _ in training.course():
        pass
    found = train(base, data, tmp_path / "out", options(validate_every=1, patience=1, resume=True), judge=Scores())
    assert (found.done, found.stopped, found.map, found.best) == (2, False, 0.4, 0.5)


def test_the_best_is_measured_on_pictures_that_chose_nothing(base, data, tmp_path):
    judge, test = Scores(0.2, 0.6, 0.4), Scores(0.3)
    found = train(base, data, tmp_path / "out", options(validate_every=2), judge=judge, test=test)
    assert (found.best, found.tested) == (0.6, 0.3)
    assert [floats(model).tobytes() for model in test.judged] == [floats(judge.judged[1]).tobytes()]
    assert "the best has 30.00 % on the pictures of test=, by which nothing was chosen" in found.notes()
    alone = train(base, data, tmp_path / "alone", options(validate_every=2), judge=Scores(0.2, 0.6, 0.4))
    assert alone.tested is None
    assert "the best is chosen by what measures it; import-data --test sets others aside" in alone.notes()


@pytest.mark.slow
def test_ctrl_c_in_a_validation_loses_nothing(base, data, tmp_path):
    judge = partial(evaluate_model, dataset=replace(data, samples=data.samples[:2]))
    train(base, data, tmp_path / "whole", options(validate_every=2), judge=judge)

    def struck(model):
        raise KeyboardInterrupt

    assert train(base, data, tmp_path / "out", options(validate_every=2), judge=struck).done == 2
    train(base, data, tmp_path / "out", options(validate_every=2, resume=True), judge=judge)
    for name in ("", "-best"):
        assert floats_of(tmp_path / f"out{name}") == floats_of(tmp_path / f"whole{name}")
    columns = [[row.rsplit(",", 1)[1] for row in (tmp_path / f"{n}.csv").read_text().split()] for n in ("out", "whole")]
    assert columns[0] == columns[1]


def test_ctrl_c_in_the_last_validation_leaves_it_to_be_done(base, data, tmp_path):
    said = Said()

    def struck(model):
        raise KeyboardInterrupt

    found = train(base, data, tmp_path / "out", options(validate_every=6), judge=struck, watch=said)
    assert (found.done, found.stopped, found.map) == (6, True, None)
    assert "validation stopped after batch 6 of 6; --resume goes on" in said.texts
    assert (tmp_path / "out.checkpoint").exists()
    judge = partial(evaluate_model, dataset=replace(data, samples=data.samples[:2]))
    again = train(base, data, tmp_path / "out", options(validate_every=6, resume=True), judge=judge, watch=said)
    assert (again.done, again.stopped, again.best_batch) == (6, False, 6)
    assert len(said.losses) == 5  # the sixth update was done, and is told when it is validated; none is done again
    assert not (tmp_path / "out.checkpoint").exists()


@pytest.mark.slow
def test_it_learns_to_find_squares(tmp_path, base):
    """From drawn weights to boxes that are right: the whole way through OpenCV."""
    learn, valid = draw(tmp_path / "learn", 24), draw(tmp_path / "valid", 8, seed=1)
    judge = partial(evaluate_model, dataset=valid)
    how = options(k=0, batches=150, batch=8, subdivisions=1, lr=0.01, augment=False, validate_every=150)
    assert train(base, learn, tmp_path / "out", how, judge=judge).map > 0.4


# --- the mean of the weights ----------------------------------------------------------------------------------------


def test_the_mean_of_the_weights_is_what_is_written(base, data, tmp_path):
    """By hand: each update keeps min(ema, n / (n + 10)) of the mean so far."""
    snapshots: list[np.ndarray] = []
    training = Training(base, data, tmp_path / "out", options(ema=0.5), watch=Said())
    name = "5.weights"
    mean = training.trainer.net.state_dict()[name].detach().clone().numpy()

    class Looking(Said):
        def step(self, entry) -> None:
            snapshots.append(training.trainer.net.state_dict()[name].detach().clone().numpy())

    training.watch = Looking()
    training.run()
    for number, own in enumerate(snapshots, 1):
        kept = min(0.5, number / (number + 10))
        mean = kept * mean + (1 - kept) * own
    written = load(tmp_path / "out.cfg").tensors(5)["weights"]
    np.testing.assert_allclose(written, mean, rtol=1e-5, atol=1e-7)
    assert abs(written - snapshots[-1]).max() > 1e-5


# --- the cache ------------------------------------------------------------------------------------------------------


def test_cached_and_uncached_are_equal_step_for_step(base, data, tmp_path):
    """K=1 and no augmentation. In 32 bits the features are the same; in 16 they are rounded, and losses with them."""
    runs = {}
    for name, how in {
        "uncached": {}, "fine": {"cache_features": 1, "cache_dtype": "float32"}, "coarse": {"cache_features": 1},
    }.items():  # fmt: skip
        said = Said()
        train(base, data, tmp_path / name, options(augment=False, cache_anyway=True, batches=12, **how), watch=said)
        runs[name] = said.losses
        assert compare_trunks(base, load(tmp_path / f"{name}.cfg"), 9).identical == K
    np.testing.assert_allclose(runs["fine"], runs["uncached"], rtol=1e-5)
    np.testing.assert_allclose(runs["coarse"], runs["uncached"], rtol=1e-2)
    assert runs["coarse"] != runs["fine"]
    a, b = (np.frombuffer(floats_of(tmp_path / name)[20:], "<f4") for name in ("uncached", "fine"))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_with_k_copies_the_first_k_epochs_are_those_without_a_cache(base, data, tmp_path):
    losses = []
    for copies in (0, 2):
        said = Said()
        how = options(
            cache_features=copies, cache_anyway=True, cache_dtype="float32", epochs=3, batch=6, subdivisions=1
        )
        train(base, data, tmp_path / str(copies), how, watch=said)
        losses.append(said.losses)
    np.testing.assert_allclose(losses[0][:2], losses[1][:2], rtol=1e-5)
    assert abs(losses[0][2] - losses[1][2]) > 1e-4


def test_a_cache_that_does_not_pay_is_left_off(base, data, tmp_path):
    said = Said()
    train(base, data, tmp_path / "out", options(cache_features=1), watch=said)
    assert any("it is left off, as it is not 1.5 times as fast" in text for text in said.texts)
    assert any(text.startswith("feature cache: 1 x 6 pictures, layers 2, 3: 0.") for text in said.texts)
    with pytest.raises(BadValue, match="with k=0 there is no trunk"):
        train(base, data, tmp_path / "out", options(cache_features=1, k=0))


@pytest.fixture(params=[False, True], ids=["at once", "ahead"])
def ahead(request, monkeypatch):
    """Whether the next update is launched before the numbers of one are read, as on a GPU."""
    monkeypatch.setattr("darkshare.training.stepping.is_gpu", lambda device: request.param)


@pytest.mark.parametrize("ahead", [True], indirect=True)
@pytest.mark.parametrize("stop", [None, 3])
def test_numbers_that_are_read_later_are_the_same(base, data, tmp_path, monkeypatch, ahead, stop):
    """Every update is told of once, in order; after Ctrl-C, the one that was under way is done as well."""
    said = Said(stop=stop)
    how = {"recipe": "steady", "validate_every": 4, "checkpoint_every": 0 if stop else 60}
    found = train(base, data, tmp_path / "out", options(**how), judge=partial(evaluate_model, dataset=data), watch=said)
    assert found.stopped == bool(stop)
    if stop:
        train(base, data, tmp_path / "out", options(**how, resume=True), judge=partial(evaluate_model, dataset=data))
    monkeypatch.undo()
    whole = train(base, data, tmp_path / "whole", options(**how), judge=partial(evaluate_model, dataset=data))
    assert floats_of(tmp_path / "out") == floats_of(tmp_path / "whole")
    assert said.losses == [entry.loss for entry in whole.entries[: stop or 6]]
    rows = [
        [line.split(",") for line in (tmp_path / f"{name}.csv").read_text().splitlines()] for name in ("out", "whole")
    ]
    assert [row[:9] + row[10:] for row in rows[0]] == [row[:9] + row[10:] for row in rows[1]]  # without the seconds


# --- what goes wrong ------------------------------------------------------------------------------------------------


def breaking(monkeypatch, number: int, times: int) -> None:
    """Let the weights of a training break before an update, so many times."""
    real, left = Trainer.launch, [None] * times

    def launch(self, this, parts):
        if this == number and left:
            left.pop()
            with torch.no_grad():
                self.net.state_dict()["5.weights"].fill_(float("nan"))
        return real(self, this, parts)

    monkeypatch.setattr(Trainer, "launch", launch)


def test_a_loss_that_is_no_number_ends_it_and_the_good_checkpoint_stays(base, data, tmp_path, monkeypatch, ahead):
    breaking(monkeypatch, 4, 1)
    with pytest.raises(
        DarkshareError, match=r"the loss of batch 4 is nan: .* smaller learning rate than 0\.002 \(--lr\)"
    ):
        train(base, data, tmp_path / "out", options(checkpoint_every=0))
    assert not (tmp_path / "out.weights").exists()
    monkeypatch.undo()
    train(base, data, tmp_path / "whole", options(recipe="darknet"))
    train(base, data, tmp_path / "out", options(resume=True))
    assert floats_of(tmp_path / "out") == floats_of(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("cached", [0, 1])
def test_a_training_that_diverges_goes_back_and_on_at_half_the_rate(base, data, tmp_path, monkeypatch, ahead, cached):
    """Of 20 updates, every second begins with a good state; the 8th breaks, so it goes on behind the 6th."""
    said = Said()
    breaking(monkeypatch, 8, 2)
    how = {"batches": 20, "recipe": "steady", "cache_features": cached, "cache_anyway": True, "validate_every": 5}
    found = train(base, data, tmp_path / "out", options(**how), judge=partial(evaluate_model, dataset=data), watch=said)
    monkeypatch.undo()
    rates = [entry.rate for entry in train(base, data, tmp_path / "whole", options(**how)).entries]
    told = "the loss of batch 8 is nan: the training diverged; it goes on after batch 6 at half the rate"
    assert [text for text in said.texts if "diverged" in text] == [told] * 2
    assert [entry.batch for entry in found.entries] == [*range(1, 21)]
    assert [entry.restarts for entry in found.entries] == [0] * 6 + [2] * 14
    assert [entry.rate for entry in found.entries] == [*rates[:6], *(rate / 4 for rate in rates[6:])]
    assert [entry.batch for entry in found.entries if entry.map is not None] == [5, 10, 15, 20]
    assert np.isfinite(floats(found.model)).all()
    assert sorted(path.suffix for path in tmp_path.glob("out.*")) == [
        ".cfg", ".csv", ".data", ".names", ".png", ".weights",
    ]  # fmt: skip


def test_it_goes_back_three_times(base, data, tmp_path, monkeypatch, ahead):
    said = Said()
    breaking(monkeypatch, 4, 4)
    with pytest.raises(DarkshareError, match=r"the loss of batch 4 is nan: .* smaller learning rate than .* \(--lr\)"):
        train(base, data, tmp_path / "out", options(recipe="steady"), watch=said)
    assert sum("at half the rate" in text for text in said.texts) == 3
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("stop", [7, 9, 10])
def test_resume_behind_a_restart_gives_the_same(base, data, tmp_path, monkeypatch, ahead, stop):
    breaking(monkeypatch, 8, 1)
    train(base, data, tmp_path / "whole", options(batches=20, recipe="steady"))
    breaking(monkeypatch, 8, 1)
    assert train(base, data, tmp_path / "out", options(batches=20, recipe="steady"), watch=Said(stop=stop)).stopped
    train(base, data, tmp_path / "out", options(batches=20, recipe="steady", resume=True))
    assert floats_of(tmp_path / "out") == floats_of(tmp_path / "whole")
    names = [list(line.split(",")) for line in (tmp_path / "out.csv").read_text().splitlines()]
    whole = [list(line.split(",")) for line in (tmp_path / "whole.csv").read_text().splitlines()]
    assert [row[:9] + row[10:] for row in names] == [row[:9] + row[10:] for row in whole]  # without the seconds


def test_negatives_are_learned_from(base, data, tmp_path):
    said = Said()
    others = draw(tmp_path / "street", 3, seed=9)
    found = train(base, data, tmp_path / "out", options(negatives=str(tmp_path / "street"), batches=2), watch=said)
    assert "3 of 3 pictures of" in said.texts[0]
    more = replace(data, samples=(*data.samples, *(sample._replace(boxes=()) for sample in others.samples)))
    train(base, more, tmp_path / "same", options(batches=2))
    assert floats_of(tmp_path / "same") == floats_of(tmp_path / "out")
    assert found.entries[-1].images == 8


def test_a_gradient_that_is_no_number_changes_no_weight(base, data, tmp_path, monkeypatch):
    trainer = Training(base, data, tmp_path / "out", options(recipe="steady"), watch=Said()).trainer
    before = {name: block.detach().clone() for name, block in trainer.net.state_dict().items() if block.requires_grad}

    def backward(part, seen):
        for block in trainer.net.parameters():
            block.grad = torch.full_like(block, float("inf"))
        return iter(())

    monkeypatch.setattr(trainer, "_backward", backward)
    with pytest.raises(DarkshareError, match="batch 1 gives no gradient: the training diverged"):
        trainer.launch(1, [None])
    after = trainer.net.state_dict()
    assert all(torch.equal(after[name], block) for name, block in before.items())


@pytest.mark.parametrize(("norm", "share"), [(4.0, 1.0), (40.0, 0.25)])
def test_the_steady_recipe_cuts_the_gradient_to_a_norm_of_ten(base, data, tmp_path, monkeypatch, norm, share):
    """Adam's first mean of gradients is a tenth of the first one, and its step the rate, whatever their size."""
    training = Training(base, data, tmp_path / "out", options(recipe="steady"), watch=Said())
    trainer, blocks = training.trainer, training.trainer.net.parameters()
    before = [block.detach().clone() for block in blocks]
    each = norm / sum(block.numel() for block in blocks) ** 0.5

    def backward(part, seen):
        for block in blocks:
            block.grad = torch.full_like(block, each)
        return iter(())

    monkeypatch.setattr(trainer, "_backward", backward)
    rate = trainer.launch(1, [None]).step.rate
    for block, old in zip(blocks, before, strict=True):
        mean = trainer.optimiser.state[block]["exp_avg"]
        np.testing.assert_allclose(mean, 0.1 * (each * share + 0.0005 * old), rtol=1e-5)
        np.testing.assert_allclose(old - block.detach(), rate, rtol=1e-3)


@pytest.mark.parametrize(("recipe", "share"), [("darknet", 0.01), ("steady", 0.05)])
def test_a_batch_moves_the_rolling_statistics_as_the_recipe_says(base, data, tmp_path, recipe, share):
    """With rate 0 and no mean of weights, the statistics of the same pictures approach theirs by this share."""
    training = Training(base, data, tmp_path / "out", options(recipe=recipe, ema=0.0), watch=Said())
    net, name = training.trainer.net.train(), "4.rolling_mean"
    before = net.state_dict()[name].clone()
    pictures = torch.rand(4, 3, 32, 32)
    net(pictures)
    once = net.state_dict()[name].clone()
    net(pictures)
    twice = net.state_dict()[name].clone()
    np.testing.assert_allclose(twice - once, (1 - share) * (once - before), rtol=1e-3, atol=1e-6)


def test_a_training_that_fails_before_anything_is_kept_leaves_nothing(base, data, tmp_path):
    with pytest.raises(DarkshareError, match="the loss of batch 2 is "):
        train(base, data, tmp_path / "out", options(lr=1e30))
    assert list(tmp_path.glob("out*")) == []


def test_a_detector_learns_classes_in_another_order(base, data, tmp_path):
    own = replace(base, tasks=(replace(base.tasks[0], names=NAMES),))
    train(own, data, tmp_path / "out", options())
    moved = [
        sample._replace(boxes=tuple(b._replace(class_id=1 - b.class_id) for b in sample.boxes))
        for sample in data.samples
    ]
    train(own, replace(data, names=NAMES[::-1], samples=tuple(moved)), tmp_path / "again" / "out", options())
    assert floats_of(tmp_path / "again" / "out") == floats_of(tmp_path / "out")
    assert (tmp_path / "again" / "out.names").read_text() == "red\nblue\n"


def test_weights_that_are_no_numbers_are_never_kept(base, data, tmp_path):
    training = Training(base, data, tmp_path / "out", options(recipe="steady"), watch=Said())
    with torch.no_grad():
        training.trainer.net.state_dict()["5.weights"].fill_(float("inf"))
    with pytest.raises(DarkshareError, match=r"5\.weights holds values that are not numbers"):
        training.trainer.state()


def test_layers_that_cannot_be_trained_are_said_at_once(tmp_path, data):
    text = TEXT.replace("[maxpool]\nsize=2\nstride=2", "[maxpool]\nsize=2\nstride=2\n\n[normalization]")
    text = text.replace("layers=-1,2", "layers=-1,2")
    own = load(write_model(tmp_path / "base", text, seeded_floats(network_of(text), 1)))
    with pytest.raises(Unsupported, match=r"base\.cfg:\d+: layer 4 \[normalization\]: it cannot be trained"):
        train(own, data, tmp_path / "out", options(k=2))
    assert list(tmp_path.glob("out*")) == []


def test_no_pictures(base, data, tmp_path):
    with pytest.raises(DarkshareError, match="squares has no picture that could be used"):
        train(base, replace(data, samples=()), tmp_path / "out", options())


def test_a_picture_that_breaks_meanwhile_is_named(base, data, tmp_path):
    data.samples[2].picture.write_bytes(b"broken")
    with pytest.raises(DarkshareError, match=r"2\.png: is not a picture"):
        train(base, data, tmp_path / "out", options(workers=2))


def test_one_broken_picture_of_a_hundred_is_counted(base, data, tmp_path):
    """It is the second, so the third stands in for it: as if the list had that one twice."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"broken")
    many = [data.samples[i % len(data.samples)] for i in range(100)]
    said, how = Said(), options(epochs=1, batch=20, subdivisions=1, workers=2)
    wrong = replace(data, samples=(many[0], many[1]._replace(picture=broken), *many[2:]))
    train(base, wrong, tmp_path / "a" / "out", how, watch=said)
    (note,) = (line for line in said.texts if "cannot be read" in line)
    assert note.startswith(f"1 of 100 pictures cannot be read ({broken}: is not a picture that OpenCV can read)")
    assert note.endswith("; the pictures behind them in the list were taken instead")
    train(base, replace(data, samples=(many[0], many[2], *many[2:])), tmp_path / "b" / "out", how)
    assert floats_of(tmp_path / "a" / "out") == floats_of(tmp_path / "b" / "out")


def test_there_is_a_gpu_or_it_is_said(base, data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DarkshareError, match="there is no GPU that torch can use"):
        train(base, data, tmp_path / "out", options(device="cuda"))
    train(base, data, tmp_path / "out", options(device="auto"))


def test_mixed_precision_and_rolling_statistics(base, data, tmp_path):
    plain, mixed, rolling = Said(), Said(), Said()
    train(base, data, tmp_path / "plain", options(), watch=plain)
    train(base, data, tmp_path / "mixed", options(amp=True), watch=mixed)
    train(base, data, tmp_path / "rolling", options(bn_eval=True), watch=rolling)
    np.testing.assert_allclose(mixed.losses, plain.losses, rtol=0.1)
    assert mixed.losses != plain.losses
    before, after = base.tensors(4), load(tmp_path / "rolling.cfg").tensors(4)
    assert np.array_equal(before["rolling_mean"], after["rolling_mean"])
    assert not np.array_equal(before["scales"], after["scales"])
