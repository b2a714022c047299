"""A branch that learns from a network which was trained end to end."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from labelled import NAMES, Said, draw
from models import WITH_STAGES, model

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare import classes, load, save, snap, train  # noqa: E402
from darkshare.darknet.kinds import Yolo  # noqa: E402
from darkshare.darknet.model import Model  # noqa: E402
from darkshare.errors import BadValue, DarkshareError, Unsupported  # noqa: E402
from darkshare.surgery.sides import Side, with_side  # noqa: E402
from darkshare.training.building import build  # noqa: E402
from darkshare.training.teaching import Teacher, feature_difference, head_difference  # noqa: E402

QUICK = {"k": 8, "batch": 4, "batches": 4, "threads": 1, "workers": 0, "device": "cpu", "validate_every": 0}
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def base() -> Model:
    return model(WITH_STAGES, "base")


@pytest.fixture
def taught(base, tmp_path):
    """The base, a teacher's files, and a data set."""
    pictures = draw(tmp_path, 8)
    train(base, pictures, output=tmp_path / "teacher", **{**QUICK, "k": 0})
    return base, tmp_path / "teacher.cfg", pictures


def entropy(given: float, wanted: float) -> float:
    return -wanted * math.log(given) - (1 - wanted) * math.log(1 - given)


def logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("new_coords", [False, True])
def test_heads_are_compared_box_by_box(new_coords):
    """Worked out number by number: 2 pictures, 2 anchors, 3 classes, 2 x 1 cells."""
    kind = Yolo(classes=3, num=2, mask=(0, 1), new_coords=int(new_coords))
    draws = np.random.default_rng(3)
    given, wanted = (draws.normal(size=(2, 16, 2, 1)) for _ in range(2))
    if new_coords:
        given, wanted = (np.vectorize(logistic)(values) for values in (given, wanted))
    as_shares = (lambda value: value) if new_coords else logistic
    total = 0.0
    for picture in range(2):
        for anchor in range(2):
            for row in range(2):
                one, other = (values[picture, 8 * anchor : 8 * anchor + 8, row, 0] for values in (given, wanted))
                apart = [entropy(as_shares(a), as_shares(b)) for a, b in zip(one, other, strict=True)]
                size = sum((one[at] - other[at]) ** 2 / 2 for at in (2, 3))
                total += apart[4] + as_shares(other[4]) * (apart[0] + apart[1] + size + sum(apart[5:]))
    found = head_difference(kind, torch.from_numpy(given), torch.from_numpy(wanted))
    assert found.item() == pytest.approx(total, rel=1e-5)


def test_features_are_compared_as_shares_of_what_is_wanted():
    wanted = torch.tensor([[[[3.0, 4.0]]], [[[0.0, 5.0]]]])  # the mean square is 12.5
    given = torch.tensor([[[[3.0, 2.0]]], [[[1.0, 5.0]]]])
    assert feature_difference(given, wanted).item() == pytest.approx(2 / 12.5 + 0.5 / 12.5)


def test_the_same_network_teaches_nothing(base):
    """There the slope is 0, in all that is compared."""
    student = build(base, 8)
    teacher = Teacher(base, student)
    assert teacher.taps == {12: 12}  # the other head reads layer 7, which stays
    x = torch.rand(2, 3, 48, 32, generator=torch.Generator().manual_seed(1))
    given = student.branch(student.trunk(x), teacher.taps.values())
    learned = [values.detach().requires_grad_() for values in given.values()]
    teacher.loss(x, dict(zip(given, learned, strict=True))).backward()
    assert all(one.grad is None or one.grad.abs().max() < 1e-6 for one in learned)


def test_a_side_learns_what_the_teachers_branch_reads(base):
    made = with_side(base, 8, Side(4))
    student = build(made, 8)
    teacher = Teacher(base, student)
    assert teacher.taps == {7: 18, 5: 14, 12: 23}  # the strip's sums with layers 7 and 5, and what the last head reads
    x = torch.rand(2, 3, 48, 32, generator=torch.Generator().manual_seed(1))
    found = teacher.outputs(x)
    given = student.branch(student.trunk(x), teacher.taps.values())
    assert {index: values.shape for index, values in found.items()} == {
        index: values.shape for index, values in given.items()
    }
    for index, values in found.items():
        assert torch.equal(values, given[index])  # a side starts with nothing


def test_updates_bring_the_branch_nearer(taught, tmp_path):
    base, path, pictures = taught
    how = {**QUICK, "batches": 20, "lr": 0.05}
    apart = list[float]()
    for name, given in (("plain", None), ("taught", path)):
        train(base, pictures, output=tmp_path / name, teacher=given, **how)
        student = build(load(tmp_path / f"{name}.cfg"), 8)
        teacher = Teacher(load(path), student)
        x = torch.rand(4, 3, 48, 32, generator=torch.Generator().manual_seed(1))
        found = student.branch(student.trunk(x), teacher.taps.values())
        apart.append((teacher.loss(x, found) - teacher.loss(x, teacher.outputs(x))).item())
    assert 0 < apart[1] < 0.9 * apart[0]


def test_a_branch_for_another_task_begins_as_the_teachers(taught, tmp_path):
    base, path, pictures = taught
    other = classes(base, fresh=["kite", "lamp"])
    by_hand = snap(base, load(path), 8)  # has the data's classes, so it goes on from where it is
    for side in (None, "ladder:4"):
        for name, one in (("start", other), ("by-hand", by_hand)):
            train(one, pictures, output=tmp_path / name, teacher=path, side=side, **QUICK)
        assert (tmp_path / "start.weights").read_bytes() == (tmp_path / "by-hand.weights").read_bytes()


def test_a_branch_for_the_same_task_goes_on_from_its_own_weights(taught, tmp_path):
    base, path, pictures = taught
    own = classes(base, fresh=pictures.names)
    train(own, pictures, output=tmp_path / "out", teacher=path, **{**QUICK, "batches": 1, "lr": 1e-12})
    kernels = [one.tensors(8)["weights"] for one in (load(tmp_path / "out.cfg"), own, load(path))]
    assert np.allclose(kernels[0], kernels[1], atol=1e-6)
    assert not np.allclose(kernels[0], kernels[2], atol=1e-6)


def test_it_goes_on_with_the_same_teacher_only(taught, tmp_path):
    base, path, pictures = taught
    train(base, pictures, output=tmp_path / "whole", teacher=path, **QUICK)
    assert train(base, pictures, output=tmp_path / "out", teacher=path, watch=Said(stop=2), **QUICK).stopped
    with pytest.raises(DarkshareError, match="by a training with another teacher"):
        train(base, pictures, output=tmp_path / "out", resume=True, **QUICK)
    train(base, pictures, output=tmp_path / "out", teacher=path, resume=True, **QUICK)
    assert (tmp_path / "out.weights").read_bytes() == (tmp_path / "whole.weights").read_bytes()
    train(base, pictures, output=tmp_path / "alone", **QUICK)
    assert (tmp_path / "out.weights").read_bytes() != (tmp_path / "alone.weights").read_bytes()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: replace(one, weights=None), "has no weights"),
        (lambda one: classes(one, fresh=["cat", "dog"]), "has other classes"),
        (lambda one: with_side(one, 8, Side(4)), "its layers are others"),
    ],
)
def test_other_networks_cannot_teach(taught, tmp_path, change, why):
    base, path, pictures = taught
    save(change(load(path)), tmp_path / "other")
    with pytest.raises(Unsupported, match=rf"other\.cfg: cannot teach out: .*{why}|other\.cfg: cannot teach .*{why}"):
        train(base, pictures, output=tmp_path / "out", teacher=tmp_path / "other.cfg", **QUICK)
    assert not list(tmp_path.glob("out*"))


def test_a_cache_has_no_pictures_to_show(taught, tmp_path):
    base, path, pictures = taught
    with pytest.raises(BadValue, match="a cache of features has none"):
        train(base, pictures, output=tmp_path / "out", teacher=path, cache_features=2, **QUICK)
    assert pictures.names == NAMES
