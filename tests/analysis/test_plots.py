"""Figures: what is drawn, where it goes, and what cannot be drawn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import numpy as np
import pytest
from architectures import yolov3_text
from conftest import network_of, tiny_text
from models import floats, model, retrained

from darkshare._figures import COLOURS, figure_format
from darkshare.analysis.plots import _differences, differences_svg, plot_differences
from darkshare.analysis.savings import savings
from darkshare.analysis.savings_plot import plot_savings
from darkshare.analysis.stats import stats
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import DarkshareError

SUFFIXES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def noisy(base, size, seed=3):
    data = floats(base) + np.random.default_rng(seed).standard_normal(floats(base).size).astype("f4") * size
    return replace(base, weights=Weights(Header(), (data,), f"noisy{seed}.weights"))


@pytest.fixture
def found():
    base = model(tiny_text(2))
    return stats(base, retrained(base, tiny_text(2), "text", 4), noisy(base, 0.01))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_suffix_decides_the_format(found, tmp_path, suffix):
    path = tmp_path / f"figure.{suffix}"
    plot_differences(found, path, k=[4])
    assert path.read_bytes().startswith(SUFFIXES[suffix])


def test_other_suffixes_are_refused(found, tmp_path):
    with pytest.raises(DarkshareError, match=r"end its name in .png, .svg or .pdf"):
        plot_differences(found, tmp_path / "figure.bmp")
    assert figure_format("a.PNG") == "png"
    assert not list(tmp_path.iterdir())


def test_the_same_numbers_give_the_same_bytes(found, tmp_path):
    for name in ("a", "b"):
        plot_differences(found, tmp_path / f"{name}.svg", k=[4])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_each_box_carries_its_numbers(found):
    svg = differences_svg(found, k=[4])
    ET.fromstring(svg)  # it is well-formed
    titles = re.findall(r"<title>([^<]*)</title>", svg)
    moved = [d for one in found for d in one.differences if d.quantity in ("biases", "weights") and d.relative]
    assert len([t for t in titles if "median" in t]) == len(moved)
    assert any("layer 4 [convolutional] weights: median" in title for title in titles)
    assert "k=4" in svg
    assert COLOURS[0].lower() in svg.lower()
    assert COLOURS[1].lower() in svg.lower()


def test_zeros_have_a_strip_on_a_log_axis(found):
    svg = differences_svg(found, log=True)
    assert ">0<" in svg.replace("\n", "")
    assert "identical" in svg


def test_a_figure_of_yolov3_is_wide_enough_for_its_layers_and_not_wider_than_a_screen(tmp_path):
    """107 layers at 0.105 inch and 120 dots per inch are more than 1300 pixels; 1920 are the most."""
    network = network_of(yolov3_text(1))
    small = Weights(Header(), (np.zeros(network.params, "f4"),), "")
    base = replace(model(yolov3_text(1), "yolov3", np.zeros(network.params, "f4")), weights=small)
    (found,) = stats(base, base)
    for models, wide in ((1, range(1301, 1920)), (4, [1920])):
        plot_differences([found] * models, tmp_path / "wide.png", k=74, log=True)
        picture = cv2.imread(str(tmp_path / "wide.png"))
        assert picture.shape[1] in wide
        assert picture.std() > 5


@pytest.mark.parametrize("log", [False, True])
def test_a_look_in_place_of_the_figure_s_own(found, tmp_path, log):
    look = {"width": 3.5, "font_size": 7.5, "title": "$Fig_1$"}
    found.plot(tmp_path / "a.png", k=[4], log=log, **look)
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] == 3.5 * 120
    found.plot(tmp_path / "a.svg", k=[4], log=log, **look)
    text = (tmp_path / "a.svg").read_text()
    assert "<!-- $Fig_1$ -->" in text.replace("\\$", "$")
    assert "Difference to" not in text
    savings(network_of(yolov3_text(80))).plot(tmp_path / "b.svg", width=5, title="")
    assert f'width="{5 * 72}pt"' in (tmp_path / "b.svg").read_text()


def test_a_figure_of_some_layers_shows_these_alone(found, tmp_path):
    figure, boxes = _differences(found, [2, 5], log=False, layers=(4, 9))
    assert {box.difference.layer for box in boxes} == {4, 5, 8}
    assert figure.axes[0].get_xlim() == (3.3, 9.7)
    assert [text.get_text() for text in figure.axes[0].texts] == ["k=5"]
    for layers in ((9, 4), (4, 13), (-1, 4)):
        with pytest.raises(DarkshareError, match=f"layers={layers[0]}-{layers[1]} must lie in 0-12, the layers of"):
            found.plot(tmp_path / "a.png", layers=layers)


@pytest.mark.parametrize(
    ("look", "says"),
    [
        ({"width": 0}, "width=0 must be 1 to 100"),
        ({"font_size": float("nan")}, "font_size=nan must be 1 to 100"),
        ({"width": 1, "font_size": 40}, "a.svg: the figure has no room in it: make it wider, or its letters smaller"),
    ],
)
def test_a_look_that_no_figure_can_have_is_refused(found, tmp_path, look, says):
    with pytest.raises(DarkshareError, match=says):
        found.plot(tmp_path / "a.svg", **look)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_drawn_is_said(found, tmp_path):
    with pytest.raises(DarkshareError, match="k=14 cannot be marked"):
        plot_differences(found, tmp_path / "a.png", k=14)
    with pytest.raises(DarkshareError, match="nothing to draw"):
        plot_differences([], tmp_path / "a.png")
    with pytest.raises(DarkshareError, match="one figure shows one base"):
        plot_differences([found[0], replace(found[0], base="another")], tmp_path / "a.png")


def test_nan_and_zero_bases_do_not_warn(tmp_path):
    base = model(tiny_text(2))
    data = floats(base).copy()
    data[:8] = 0
    zero = replace(base, weights=Weights(Header(), (data,), ""))
    plot_differences(stats(zero, base), tmp_path / "zero.png", log=True)
    assert (tmp_path / "zero.png").exists()


def test_more_models_than_colours_get_panels_of_their_own(tmp_path):
    base = model(tiny_text(2))
    plot_differences(stats(base, *(noisy(base, 0.01, seed) for seed in range(6))), tmp_path / "six.png")
    plot_differences(stats(base, noisy(base, 0.01)), tmp_path / "one.png")
    six, one = (cv2.imread(str(tmp_path / name)).shape for name in ("six.png", "one.png"))
    assert six[0] > 1.8 * one[0]


def test_the_trade_off_of_k(tmp_path):
    found = savings(network_of(yolov3_text(80)))
    plot_savings(found, tmp_path / "savings.svg", k=[74, 41])
    svg = (tmp_path / "savings.svg").read_text()
    ET.fromstring(svg)
    with pytest.raises(DarkshareError, match="k=500 cannot be marked"):
        plot_savings(found, tmp_path / "savings.svg", k=500)
    with pytest.raises(DarkshareError, match="nothing to draw"):
        plot_savings([], tmp_path / "savings.svg")
