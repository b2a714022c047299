"""As many updates as fit into the minutes that a training is given."""

from __future__ import annotations

import math

import pytest
from labelled import Said, draw

pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare import load, train
from darkshare.errors import BadValue
from darkshare.training import timing

QUICK = {"k": 4, "batch": 4, "threads": 1, "workers": 0, "device": "cpu"}
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize(
    ("every", "lr", "own", "wanted"),
    [
        (0, None, 1000, 60),
        (None, None, 1000, 40),  # ten validations of a second each
        (2, None, 1000, 30),  # one after two updates, which is half of one for each
        (0, None, 25, 25),
        (0, "auto", 1000, 20),  # the range test makes 40
    ],
)
def test_updates_and_validations_fit_into_the_minutes(base, tmp_path, monkeypatch, every, lr, own, wanted):
    length: list[int] = []
    monkeypatch.setattr(timing, "timed", lambda *_: (own, 0.5, 1.0 if every is None or every else 0.0))
    monkeypatch.setattr(timing, "monotonic", lambda: 0.0)
    monkeypatch.setattr("darkshare.training.train.Training", Begun(length))
    pair = (draw(tmp_path, 8), draw(tmp_path, 4))
    train(
        load(base),
        pair,
        output=tmp_path / "out",
        minutes=0.5,
        validate_every=every,
        lr=lr,
        watch=(said := Said()),
        **QUICK,
    )
    assert length == [wanted]
    assert said.texts[-1].endswith(f"it makes {wanted}")


class Begun:
    """Stands for a training, and notes its updates."""

    def __init__(self, length: list[int]) -> None:
        self.length = length

    def __call__(self, base, data, stem, options, **_):
        self.length.append(options.changes.batches)
        return self

    def run(self) -> None:
        """Train nothing."""


def test_it_trains_as_with_so_many_updates_and_goes_on_with_them(base, tmp_path, monkeypatch):
    base, data = load(base), draw(tmp_path, 8)
    timed = timing.timed

    def six_fit(*given):
        own, update, validation = timed(*given)
        assert own == 300
        assert update > 0
        assert validation == 0  # by a clock that stands
        return own, 1.0, validation

    monkeypatch.setattr(timing, "timed", six_fit)
    monkeypatch.setattr(timing, "monotonic", lambda: 0.0)
    how = {**QUICK, "epochs": 150, "validate_every": 0}
    train(base, data, output=tmp_path / "timed", minutes=6.5 / 60, **how)
    train(base, data, output=tmp_path / "given", **{**how, "epochs": None, "batches": 6})
    assert train(base, data, output=tmp_path / "out", minutes=6.5 / 60, watch=Said(stop=2), **how).stopped
    monkeypatch.setattr(timing, "timed", None)
    train(base, data, output=tmp_path / "out", minutes=9, resume=True, **how)
    for suffix in (".cfg", ".weights"):
        one, given, out = (tmp_path.joinpath(name + suffix).read_bytes() for name in ("timed", "given", "out"))
        assert one == given == out


@pytest.mark.parametrize("minutes", [0, -1, math.nan, 1e-9])
def test_too_little_time(base, tmp_path, minutes):
    with pytest.raises(BadValue, match="minutes="):
        train(load(base), draw(tmp_path, 8), output=tmp_path / "out", minutes=minutes, validate_every=0, **QUICK)
    assert not list(tmp_path.glob("out*"))
