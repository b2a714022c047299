"""The learning rate that a range test finds, and that a training which goes on takes from its checkpoint."""

from __future__ import annotations

import math

import pytest
from labelled import Said, draw

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from darkshare import load, train  # noqa: E402
from darkshare.errors import BadValue  # noqa: E402
from darkshare.training import rates  # noqa: E402
from darkshare.training.rates import steepest  # noqa: E402
from darkshare.training.settings import Changes  # noqa: E402

QUICK = {"k": 4, "batch": 4, "batches": 4, "threads": 1, "workers": 0, "device": "cpu", "validate_every": 0}
pytestmark = pytest.mark.usefixtures("undrawn")


def falling(middle: float, count: int = 40) -> list[float]:
    """The losses of four batches that come in turns, each with a level of its own, and fall about the middle."""
    return [(5, 9, 1, 20)[at % 4] * (1.2 + math.tanh((middle - at) / 2)) for at in range(count)]


@pytest.mark.parametrize("middle", [9.5, 13.5, 20.5, 30.5])
def test_the_place_where_losses_fall_most(middle):
    assert steepest(falling(middle)) == pytest.approx(middle, abs=1)


def test_what_comes_after_losses_rose_says_nothing():
    losses = falling(13.5, 24) + [500.0] * 4 + [1.0] * 12
    assert steepest(losses) == steepest(falling(13.5))


@pytest.mark.parametrize("losses", [[3.0] * 40, [1.0 + 0.1 * at for at in range(40)]])
def test_losses_that_do_not_fall(losses):
    assert steepest(losses) is None


@pytest.mark.parametrize("recipe", ["steady", "darknet"])
def test_it_trains_as_with_that_rate_and_goes_on_with_it(base, tmp_path, monkeypatch, recipe):
    base, data, said = load(base), draw(tmp_path, 12), Said()
    how = {**QUICK, "recipe": recipe}
    train(base, data, output=tmp_path / "auto", lr="auto", watch=said, **how)
    told = said.texts[0]
    assert told.startswith("learning rate ")
    rate = float(told.split()[2].rstrip(":"))
    train(base, data, output=tmp_path / "given", lr=rate, **how)
    assert train(base, data, output=tmp_path / "out", lr="auto", watch=Said(stop=2), **how).stopped
    monkeypatch.setattr(rates, "_tested", None)
    train(base, data, output=tmp_path / "out", lr="auto", resume=True, **how)
    for suffix in (".cfg", ".weights"):
        auto, given, out = (tmp_path.joinpath(name + suffix).read_bytes() for name in ("auto", "given", "out"))
        assert auto == given == out
    own = {"steady": 0.0025, "darknet": base.network.net.learning_rate}[recipe]
    assert own / 10 <= rate <= own * 10


@pytest.mark.parametrize(("place", "told"), [(0, "within 10 times"), (39, "within 10 times"), (None, "did not fall")])
def test_it_stays_near_the_rate_of_the_recipe(base, tmp_path, monkeypatch, place, told):
    monkeypatch.setattr(rates, "steepest", lambda losses: place)
    monkeypatch.setattr(rates, "UPDATES", 2)
    said = Said()
    train(load(base), draw(tmp_path, 8), output=tmp_path / "out", lr="auto", watch=said, **QUICK)
    assert told in said.texts[0]
    assert float(said.texts[0].split()[2].rstrip(":")) == {0: 0.00025, 39: 0.025, None: 0.0025}[place]


def test_another_word_is_not_a_rate():
    with pytest.raises(BadValue, match="lr='fast' must be a number or auto"):
        Changes(lr="fast")
