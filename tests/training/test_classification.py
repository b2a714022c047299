"""Classifiers: Darknet's random views, softmax with cross-entropy, and branches that train side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import conftest
import cv2
import numpy as np
import pytest
from classifiers import TAIL, TRUNK, classifier, picture
from conftest import network_of, tiny_text
from labelled import Said, draw, draw_classes, write_data

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare import branch, load, save, split  # noqa: E402
from darkshare.analysis.frozen import compare_trunks  # noqa: E402
from darkshare.darknet.model import Model  # noqa: E402
from darkshare.darknet.tasks import Task  # noqa: E402
from darkshare.data import read_class_folders, read_classes  # noqa: E402
from darkshare.errors import BadValue, Unsupported  # noqa: E402
from darkshare.evaluation import classifier_accuracy  # noqa: E402
from darkshare.surgery.residual import ensemble_of  # noqa: E402
from darkshare.training.building import build  # noqa: E402
from darkshare.training.losses import gradient, head_losses  # noqa: E402
from darkshare.training.pictures import cropping  # noqa: E402
from darkshare.training.pictures.augmenting import Labelled  # noqa: E402
from darkshare.training.pictures.cropping import Crops, augmented, class_truth, drawn_view, turned, undistorted  # noqa: E402
from darkshare.training.pictures.loading import Place, Source, drawn_size, require_sizes  # noqa: E402
from darkshare.training.run import Training  # noqa: E402
from darkshare.training.settings import Changes, Options  # noqa: E402

NAMES = ("blue", "green", "red")
NET = "batch=6\nsubdivisions=2\nlearning_rate=0.05\nmomentum=0.9\ndecay=0.0005\nmax_batches=4\n"
SIZE = (16, 16)
K = 1
pytestmark = pytest.mark.usefixtures("undrawn")


def train(*what, **how):
    return Training(*what, **how).run()


def trainable(more: str = "", dialect: str = "alexeyab") -> Model:
    """A classifier of NAMES whose [net] says how to train."""
    base = classifier(names=NAMES)
    text = (TRUNK + TAIL.format(filters=16, classes=len(NAMES))).replace("channels=3\n", f"channels=3\n{NET}{more}")
    network = network_of(text, dialect=dialect)
    net = network.cfg.sections[0].options
    return replace(base, network=network, tasks=(replace(base.tasks[0], net=net),))


def ensemble(m: int = 2, **how) -> Model:
    return branch(trainable(), 0, m, **{"widths": (10,), **how})


@pytest.fixture
def data(tmp_path):
    return read_class_folders(draw_classes(tmp_path / "set", 4, names=NAMES))["all"]


def options(**how) -> Options:
    chosen = {key: how.pop(key) for key in list(how) if key in Changes.__dataclass_fields__}
    fixed = {"k": K, "recipe": "darknet", "workers": 0, "threads": 1, "device": "cpu", "validate_every": 0}
    return Options(**{**fixed, "changes": Changes(**chosen), **how})


def tensors(model: Model, first: int = 0) -> list[np.ndarray]:
    return [block for i in range(first, len(model.network.layers)) for block in model.tensors(i).values()]


# --- views ----------------------------------------------------------------------------------------------------------


def crops(more: str = "", **how) -> Crops:
    network = network_of(f"[net]\nwidth=16\nheight=16\nchannels=3\n{more}[avgpool]\n[softmax]\n", **how)
    return Crops.of(network)


def test_what_the_forks_read_of_a_cfg():
    assert crops() == crops("min_crop=16\nmax_crop=32\nangle=0\naspect=1\nflip=1\n")
    assert (crops().low, crops().high, crops().flip, crops("flip=0\n").flip) == (1, 2, True, False)
    assert crops("flip=0\n", dialect="pjreddie").flip  # it always does
    assert crops("max_ratio=1.5\n", dialect="pjreddie").high == 1.5
    assert [crops(f"{key}=1\n").mixup for key in ("mixup", "cutmix", "mosaic")] == [1, 2, 3]
    assert crops("cutmix=1\nmosaic=1\n").mixup == 4
    assert crops("mixup=1\n", dialect="pjreddie").mixup == 0
    with pytest.raises(Unsupported, match="channels=4: training reads pictures of 1 or 3, without alpha"):
        Crops.of(network_of("[net]\nwidth=4\nheight=4\nchannels=4\n[softmax]\n"))


def test_a_view_of_the_same_size_is_the_picture():
    how = crops("max_crop=16\n")
    view = drawn_view((16, 16), 16, how, np.random.default_rng(0))
    np.testing.assert_allclose(view, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    image = picture().astype(np.float32)
    np.testing.assert_array_equal(turned(image, view, 16), image)


def reference(image: np.ndarray, rad: float, scale: float, side: int, shift, aspect: float) -> np.ndarray:
    """Darknet's formulas for each pixel, in doubles: bilinear, and 0 outside."""
    high, wide = image.shape[:2]
    found = np.zeros((side, side, image.shape[2]))
    padded = np.pad(image.astype(np.float64), ((1, 2), (1, 2), (0, 0)))
    for y in range(side):
        for x in range(side):
            u, v = ((x - side / 2) + shift[0]) / scale * aspect, ((y - side / 2) + shift[1]) / scale
            rx, ry = np.cos(rad) * u - np.sin(rad) * v + wide / 2, np.sin(rad) * u + np.cos(rad) * v + high / 2
            ix, iy = int(np.floor(rx)), int(np.floor(ry))
            if not (-1 <= ix < wide and -1 <= iy < high):
                continue
            dx, dy = rx - ix, ry - iy
            four = padded[iy + 1 : iy + 3, ix + 1 : ix + 3]
            weights = np.outer([1 - dy, dy], [1 - dx, dx])
            found[y, x] = (four * weights[..., None]).sum(axis=(0, 1))
    return found


class Given:
    """Numbers as a generator would draw them: shares of what is asked for."""

    def __init__(self, *shares: float) -> None:
        self.shares = list(shares)

    def random(self) -> float:
        return self.shares.pop(0)

    def uniform(self, low: float, high: float, size: int | None = None):
        drawn = [low + self.shares.pop(0) * (high - low) for _ in range(size or 1)]
        return np.array(drawn) if size else drawn[0]

    def integers(self, low: int, high: int) -> int:
        return int(self.uniform(low, high))


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
@pytest.mark.parametrize("shape", [(24, 40), (30, 12)])
def test_a_view_by_darknets_formulas(dialect, shape):
    """Aspect 1.2 (not its inverse), scale 18 of 16..24, angle 6 degrees, shifted by a half to the left and down."""
    how = crops("max_crop=24\nangle=10\naspect=1.2\n", dialect=dialect)
    high, wide = shape
    image = np.random.default_rng(1).random((high, wide, 3)).astype(np.float32)
    view = drawn_view(shape, 16, how, Given(1.0, 0.1, 2.5 / 9, 0.8, 0.25, 0.75))
    shorter = int(high if high < wide * 1.2 else wide * 1.2)
    scale = 18 / shorter
    spare = np.array([wide * scale / 1.2 - 16, high * scale - 16]) / 2
    if dialect == "alexeyab":
        spare = np.maximum(spare, 0)
    wanted = reference(image, np.radians(6), scale, 16, (-spare[0] / 2, spare[1] / 2), 1.2)
    found = turned(image, view, 16)
    assert abs(found - wanted).mean() < 0.004  # OpenCV's places are in 32nds of a pixel
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999


def test_pictures_are_drawn_anew_and_in_range():
    how = crops("hue=.1\nsaturation=1.5\nexposure=1.5\nangle=20\naspect=1.5\nblur=5\n")
    labelled = Labelled(picture(0, 20, 30), class_truth(2))
    found = [augmented(how, lambda i: labelled, 0, 1, SIZE, np.random.default_rng(i)) for i in range(12)]
    assert len({one.image.tobytes() for one in found}) == 12
    for one in found:
        assert (one.image.shape, one.image.dtype) == ((3, 16, 16), np.float32)
        assert 0 <= one.image.min() <= one.image.max() <= 1.001
        np.testing.assert_array_equal(one.truths, [[2, 1]])
    wide = augmented(how, lambda i: labelled, 0, 1, (24, 16), np.random.default_rng(0))
    assert wide.image.shape == (3, 16, 24)


def test_gray_networks_read_one_channel():
    network = network_of("[net]\nwidth=16\nheight=16\nchannels=1\n[avgpool]\n[softmax]\n")
    labelled = Labelled(picture(0, 20, 30), class_truth(0))
    found = augmented(Crops.of(network), lambda i: labelled, 0, 1, SIZE, np.random.default_rng(0))
    assert found.image.shape == undistorted(network, labelled).image.shape == (1, 16, 16)


@pytest.mark.parametrize(("key", "number"), [("mixup", 2), ("cutmix", 2), ("mosaic", 4)])
def test_what_is_mixed_has_the_shares_that_show(key, number):
    """White and black pictures: how white the mixture is, is the share of the white ones."""
    how = crops(f"{key}=1\nmax_crop=16\nflip=0\n")
    white = [Labelled(np.full((16, 16, 3), 255 * (i % 2), np.uint8), class_truth(i)) for i in range(8)]
    mixed = 0
    for seed in range(40):
        one = augmented(how, white.__getitem__, 1, 8, SIZE, np.random.default_rng(seed))
        assert one.truths[:, 1].sum() == pytest.approx(1)
        assert one.truths[0, 0] == 1
        shows = sum(share for class_id, share in one.truths if class_id % 2)
        assert one.image.mean() == pytest.approx(shows, abs=1e-5)
        mixed += len(one.truths) == number
        assert len(one.truths) in (1, number)
    assert 10 <= mixed <= 30


def test_both_kinds_of_mixture_may_be_wanted():
    how = crops("cutmix=1\nmosaic=1\n")
    labelled = Labelled(picture(), class_truth(0))
    counts = {
        len(augmented(how, lambda i: labelled, 0, 4, SIZE, np.random.default_rng(seed)).truths) for seed in range(30)
    }
    assert counts == {1, 2, 4}


def test_a_source_shows_classes(data):
    network = trainable().network
    source = Source(data.samples, network, None, 0)
    example = source.example(Place(5, 0), SIZE)
    np.testing.assert_array_equal(example.truths, [[1, 1]])
    np.testing.assert_allclose(
        example.image, undistorted(network, Labelled(cv2.imread(str(data.samples[5].picture)), example.truths)).image
    )
    again = Source(data.samples, network, Crops.of(network), 0)
    assert not np.array_equal(again.example(Place(5, 0), SIZE).image, again.example(Place(5, 1), SIZE).image)
    np.testing.assert_array_equal(again.example(Place(5, 1), SIZE).image, again.example(Place(5, 1), SIZE).image)


def test_pjreddies_classifiers_may_change_their_size():
    network = trainable("random=1\n", dialect="pjreddie").network
    sizes = {drawn_size(network, 1.0, np.random.default_rng(i), last=False) for i in range(200)}
    assert sizes == {(32 * i, 32 * i) for i in range(4, 15)}
    require_sizes(network)
    source = Source((), network, Crops.of(network), 0)
    assert len({source.size(i, 400) for i in range(1, 41)}) == 1
    assert len({source.size(i, 400) for i in range(1, 400)}) > 3


# --- the loss -------------------------------------------------------------------------------------------------------


def test_the_deltas_are_those_of_cross_entropy():
    network = trainable().network
    raw = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ids = np.array([0, 2, 1, 1, 0])
    loss = head_losses(network, (4,))[4]
    delta, _ = loss.delta(raw, ids)
    raw.backward(gradient(delta, 1))
    wanted = torch.autograd.grad(torch.nn.functional.cross_entropy(raw, torch.tensor(ids), reduction="sum"), raw)[0]
    torch.testing.assert_close(raw.grad, wanted)
    rows, _ = loss.delta(raw, [class_truth(i) for i in ids])
    torch.testing.assert_close(rows, delta)


@pytest.mark.parametrize("smooth", [0.0, 0.2])
def test_mixed_classes_are_soft_targets(smooth):
    """AlexeyAB smooths the labels of each picture, then mixes them."""
    network = trainable(f"label_smooth_eps={smooth}\n").network
    raw = torch.randn(1, 3, generator=torch.Generator().manual_seed(1))
    delta, tally = head_losses(network, (4,))[4].delta(raw, [np.array([[0, 0.25], [2, 0.75]], np.float32)])
    labels = np.full((2, 3), smooth / 2)
    labels[0, 0] = labels[1, 2] = 1 - smooth
    target = torch.tensor(0.25 * labels[0] + 0.75 * labels[1], dtype=torch.float32)
    torch.testing.assert_close(delta[0], target - raw[0].softmax(0))
    assert tally.read().count == 1


@pytest.mark.parametrize("rows", [[[[0, 1]]], [[[3, 1]], [[0, 1]]], [[[0.5, 1]], [[0, 1]]], [[[0, 1, 0]], [[0, 1, 0]]]])
def test_rows_that_are_no_classes_of_these_pictures(rows):
    with pytest.raises(BadValue, match="class id"):
        head_losses(trainable().network, (4,))[4].delta(torch.zeros(2, 3), [np.array(one) for one in rows])


# --- trainings ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_learns_colours_and_the_trunk_stays(data, tmp_path):
    base = trainable()
    said = Said()
    judge = partial(classifier_accuracy, dataset=data)
    found = train(
        base,
        data,
        tmp_path / "out",
        options(batches=300, lr=0.05, validate_every=300, bn_eval=True, augment=False),
        judge=judge,
        watch=said,
    )
    written = load(tmp_path / "out.cfg")
    assert compare_trunks(base, written, 5).identical == K
    assert written.tasks[0].names == NAMES
    assert (found.measure, found.map) == ("top-1", found.best)
    assert found.map > 0.9
    assert found.rule.startswith("top-1 of out, central square")
    assert np.mean(said.losses[-5:]) < 0.5 * np.mean(said.losses[:5])
    assert (tmp_path / "out.csv").read_text().splitlines()[0].endswith(",seconds,restarts,top1")
    assert any(text.startswith("batch 300: top-1 ") for text in said.texts)


def test_the_head_gets_the_data_sets_classes(tmp_path):
    learn = read_class_folders(draw_classes(tmp_path / "set", 3, names=("red", "white", "blue", "black")))["all"]
    train(trainable(), learn, tmp_path / "out", options(batches=1, lr=1e-9))
    written, base = load(tmp_path / "out.cfg"), trainable()
    assert written.tasks[0].names == ("black", "blue", "red", "white")
    old, new = base.tensors(3)["weights"], written.tensors(3)["weights"]
    np.testing.assert_allclose(new[[1, 2]], old[[0, 2]], atol=1e-6)  # blue and red keep what they know


@pytest.mark.parametrize("combine", ["logits", "softmax", "none"])
def test_a_branch_alone_is_the_branch_that_trained_beside_others(data, tmp_path, combine):
    """The gradient of a sum of losses is in each branch that of its own, so with the same draws nothing differs."""
    together = ensemble(combine=combine)
    train(together, data, tmp_path / "all", options())
    joint = load(tmp_path / "all.cfg")
    apart = split(joint, [task.name for task in joint.tasks if task.name != "all"])
    for number, (part, found) in enumerate(zip(split(ensemble(combine="none")), apart, strict=True)):
        train(part, data, tmp_path / f"alone{number}", options())
        alone = load(tmp_path / f"alone{number}.cfg")
        assert len(tensors(found)) == len(tensors(alone))
        for a, b in zip(tensors(found), tensors(alone), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert any(abs(a - b).max() > 1e-3 for a, b in zip(tensors(alone, K), tensors(part, K), strict=True))


@pytest.mark.parametrize(("combine", "constant"), [("logits", "convolutional"), ("softmax", "connected")])
def test_what_averages_is_never_trained(data, tmp_path, combine, constant):
    base = ensemble(combine=combine)
    train(base, data, tmp_path / "out", options())
    written = load(tmp_path / "out.cfg")
    first = written.tasks[-1].runs[-1][1]
    kinds = [layer.kind.name for layer in base.network.layers[first:]]
    assert constant in kinds
    for a, b in zip(tensors(base, first), tensors(written, first), strict=True):
        assert a.tobytes() == b.tobytes()
    assert compare_trunks(base, written, 5).identical >= K
    assert [(task.name, task.ensemble) for task in written.tasks] == [
        ("out", "out"), ("out-1", "out"), ("out-2", "out"),
    ]  # fmt: skip
    assert {part.weights.header.seen for part in split(written)} == {written.weights.header.seen}
    save(ensemble_of(split(written, ["out-1", "out-2"]), 0, name="out"), tmp_path / "again")


def test_an_ensemble_from_a_cache_and_after_an_interruption_is_the_same(data, tmp_path):
    base = ensemble()
    how = {"cache_features": 4, "cache_anyway": True, "cache_dtype": "float32", "ema": 0.9}
    train(base, data, tmp_path / "plain", options(ema=0.9))
    train(base, data, tmp_path / "whole", options(**how))
    stopped = train(base, data, tmp_path / "out", options(**how), watch=Said(stop=2))
    assert stopped.stopped
    done = train(base, data, tmp_path / "out", options(resume=True, **how))
    assert done.done == 4
    one, other = ((tmp_path / f"{name}.weights").read_bytes() for name in ("whole", "out"))
    assert one == other
    for a, b in zip(tensors(load(tmp_path / "plain.cfg")), tensors(load(tmp_path / "out.cfg")), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_cache_keeps_the_shares_of_what_is_mixed(data, tmp_path):
    base = trainable("mosaic=1\nlabel_smooth_eps=0.1\n")
    losses = []
    for copies in (0, 2):
        said = Said()
        how = options(cache_features=copies, cache_anyway=True, cache_dtype="float32", epochs=1)
        train(base, data, tmp_path / str(copies), how, watch=said)
        losses.append(said.losses)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_a_linear_probe_trains_the_last_layer_alone(data, tmp_path):
    base = trainable()
    train(base, data, tmp_path / "out", options(k=3))
    written = load(tmp_path / "out.cfg")
    assert compare_trunks(base, written, 5).identical == 3
    assert abs(written.tensors(3)["weights"] - base.tensors(3)["weights"]).max() > 1e-3
    with pytest.raises(BadValue, match="no weights that could learn"):
        build(base, 4)


def test_a_vote_without_a_loss_cannot_be_trained_alone():
    base = ensemble()
    last = len(base.network.layers) - 2
    with pytest.raises(BadValue, match="no head behind it that could learn"):
        build(base, last)


def test_a_cut_within_a_branch_is_refused(data, tmp_path):
    with pytest.raises(BadValue, match="k=2 lies within a branch; the branches begin at k=1"):
        train(ensemble(), data, tmp_path / "out", options(k=2))
    with pytest.raises(BadValue, match="k=2 lies within a branch"):
        train(ensemble(combine="none"), data, tmp_path / "out", options(k=2))


def test_boxes_are_for_detectors_and_classes_for_classifiers(data, tmp_path):
    with pytest.raises(Unsupported, match="classifies pictures, but squares has boxes"):
        train(trainable(), draw(tmp_path, 2), tmp_path / "out", options())
    network = network_of(tiny_text())
    detector = Model(network, None, (Task("base", ("a", "b"), (6, 12), ((0, 13),)),))
    with pytest.raises(Unsupported, match="finds boxes, but set has classes of pictures"):
        train(detector, data, tmp_path / "out", options(k=0))


@pytest.mark.parametrize("make", [trainable, ensemble])
def test_classes_in_another_order_are_brought_into_the_bases(data, tmp_path, make):
    train(make(), data, tmp_path / "out", options())
    turned_round = tuple(sample._replace(class_id=len(NAMES) - 1 - sample.class_id) for sample in data.samples)
    other, said = replace(data, names=data.names[::-1], samples=turned_round), Said()
    judge = partial(classifier_accuracy, dataset=other)
    train(make(), other, tmp_path / "again" / "out", options(validate_every=1), judge=judge, watch=said)
    assert said.texts[0] == "set has the base's classes in another order; they are numbered as in the base"
    for name in ("out.cfg", "out.weights", "out.names"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_an_ensemble_for_other_classes_is_refused_before_anything_is_done(data, tmp_path):
    with pytest.raises(
        Unsupported, match=r"is an ensemble for blue, green, red, but set has a, b, c; .*darkshare classes"
    ):
        train(ensemble(), replace(data, names=("a", "b", "c")), tmp_path / "out", options())


# --- the command ----------------------------------------------------------------------------------------------------

run = partial(conftest.run, code=0)


QUICK = ("--batch", 6, "--threads", 1, "--device", "cpu", "--workers", 0, "--batches", 2)


def test_a_folder_of_classes_is_split_by_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(trainable(), "base")
    draw_classes(tmp_path / "set", 5, names=NAMES)
    result = run("train", "base.cfg", "set", "--k", 1, "-o", "out", *QUICK)
    assert "3 of 15 pictures are set aside for validation" in result.stderr
    assert "out.cfg: after batch 2 of 2, top-1 " in result.stdout
    told = float(result.stdout.split("top-1 ")[1].split(" ")[0])
    again = json.loads(run("evaluate", "out.cfg", "set", "--split", "0.2", "--format", "json").stdout)["tasks"]
    assert again[0]["pictures"] == 3
    assert 100 * again[0]["top1"] == pytest.approx(told, abs=0.01)
    whole = run("train", "base.cfg", "set", "--k", 1, "-o", "whole", "--split", 0, *QUICK)
    assert "no pictures to validate on" in whole.stderr
    assert "--split" not in result.stderr + whole.stderr


def test_a_share_that_is_not_needed_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(trainable(), "base")
    for part in ("train", "val"):
        draw_classes(tmp_path / "set" / part, 2, names=NAMES)
    told = "Note: set has parts of its own, so --split is not used\n"
    words = ("train", "base.cfg", "set", "--k", 1, *QUICK)
    assert told in run(*words, "-o", "asked", "--split", 0.2).stderr
    assert told not in run(*words, "-o", "plain").stderr
    assert told in run("evaluate", "plain.cfg", "set", "--split", 0.2).stderr


def test_a_classifier_learns_from_no_data_for_detectors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(trainable(), "base")
    write_data(tmp_path, draw(tmp_path, 2))
    for words in (("train", "base.cfg", "squares.data", "--k", 1), ("evaluate", "base.cfg", "squares.data")):
        result = run(*words, *(("--part", "train") if "evaluate" in words else QUICK), code=1)
        assert "squares.data: has no labels=, so this is data for detectors" in result.stderr
    assert list(tmp_path.glob("trained*")) == []


def test_darknets_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(trainable(), "base")
    paths = sorted(str(path) for path in draw_classes(tmp_path / "set", 3, names=NAMES).rglob("*.png"))
    (tmp_path / "train.txt").write_text("\n".join(paths))
    (tmp_path / "valid.txt").write_text("\n".join(paths[::2]))
    (tmp_path / "labels.txt").write_text("\n".join(NAMES))
    (tmp_path / "set.data").write_text("classes=3\ntrain=train.txt\nvalid=valid.txt\nlabels=labels.txt\n")
    result = run("train", "base.cfg", "set.data", "--k", 1, "-o", "out", *QUICK)
    assert "out-best.cfg: the best, after batch" in result.stdout
    assert "top-1: top-1 of out" in result.stdout


def test_a_detector_learns_from_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.cfg").write_text(tiny_text())
    draw_classes(tmp_path / "set", 1)
    assert "set: is a folder, but the network finds boxes" in run("train", "net.cfg", "set", "--k", 0, code=1).stderr


def test_parts_of_a_folder(tmp_path):
    draw_classes(tmp_path / "set", 5, names=NAMES)
    assert len(read_classes(tmp_path / "set", "train").samples) == 15
    parts = [read_classes(tmp_path / "set", part, share=0.2).samples for part in ("train", "valid")]
    assert [len(part) for part in parts] == [12, 3]
    assert not {one.picture for one in parts[0]} & {one.picture for one in parts[1]}
    assert cropping.MOST == 4
