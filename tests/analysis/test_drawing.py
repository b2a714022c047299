"""Drawings: whose each layer is, where it lies, what a reader, a keyboard and a real browser make of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from html import escape
from itertools import pairwise

import pytest
import residuals
from browsers import Outside, needs_browser, seen_in_frames
from conftest import run, tiny_text, zoo_cfgs, zoo_path
from models import model, quiet_concat, retrained, without_weights

from darkshare import branch, draw, load, reduce, stats
from darkshare.analysis.drawing.lanes import lanes_of
from darkshare.analysis.drawing.layout import lay_out
from darkshare.analysis.drawing.sheet import NARROW, WIDE, Caption, fitted, text_width
from darkshare.analysis.drawing.words import details
from darkshare.errors import DarkshareError

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"
CONV = "[convolutional]\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
ADD = "[shortcut]\nfrom=-2\nactivation=linear\n"
NAMES = ("🚗 cars & <b>trucks", "اردو متن", "漢字の検出器", "x" * 200)
BOTH = quiet_concat([base := model(tiny_text(2), "base"), retrained(base, tiny_text(1), "text", 4)], k=4)


def ensemble():
    return branch(reduce(residuals.small_resnet(), keep="first"), 14, 3, tolerance=0.02)


def many():
    others = [without_weights(tiny_text(1), f"task {number}") for number in range(20)]
    merged = quiet_concat(others, k=[5] * 10 + [3] * 9)
    named = (replace(task, name=name) for task, name in zip(merged.tasks, NAMES, strict=False))
    return replace(merged, tasks=(*named, *merged.tasks[len(NAMES) :]))


def no_task():
    return replace(model(tiny_text(2)), tasks=())


MODELS = {
    "merged": lambda: BOTH,
    "one layer": lambda: residuals.without_weights(NET + CONV),
    "1,000 layers": lambda: residuals.without_weights(NET + (CONV + CONV + ADD) * 333 + CONV),
    "20 tasks with all kinds of names": many,
    "an ensemble": ensemble,
    "no task": no_task,
}


def assert_sound(graph):
    """Words within the sheet, layers beside each other and right of what they read, lanes below each other."""
    for frame in (WIDE, NARROW):
        sheet = lay_out(graph, frame)
        for text in [shape for shape in (*sheet.bands, *sheet.behind) if isinstance(shape, Caption)]:
            width = text_width(text.text, text.size, is_bold=text.is_bold)
            left = text.x - (width / 2 if text.anchor == "middle" else 0)
            assert 0 <= left <= left + width <= sheet.width, text
            assert text.size <= text.y <= sheet.height, text
        fields = {one.place: one.field for one in sheet.layers}
        lanes: dict[int, list] = {}
        for one in sheet.layers:
            lanes.setdefault(one.lane, []).append(one.field)
        assert sorted(fields) == [layer.place for layer in graph.layers]
        for own in lanes.values():
            own.sort()
            assert all(a.x + a.w <= b.x + 1e-6 and a.y == b.y for a, b in pairwise(own))
        tops = [own[0] for _, own in sorted(lanes.items())]
        assert all(a.y + a.h <= b.y for a, b in pairwise(tops))
        assert tops[0].y > 0
        assert all(fields[one].x < fields[layer.place].x for layer in graph.layers for one in layer.inputs if one >= 0)
        assert all(0 <= one.x <= one.x + one.w <= sheet.width for one in fields.values())


@pytest.mark.parametrize("name", MODELS)
def test_every_network_is_drawn(name):
    found = draw(MODELS[name]())
    assert_sound(found.graph)
    root = ET.fromstring(found.svg())
    groups = root.findall(".//{*}g[@class='layer']")
    assert len(groups) == len(found.graph.layers) == len(found.rows())
    assert all(group.find("{*}title").text for group in groups)


@pytest.mark.slow
@pytest.mark.zoo
@pytest.mark.parametrize("fork", ["alexeyab", "pjreddie"])
def test_every_public_network_is_drawn(fork):
    zoo_path("zoo", fork)
    for path in zoo_cfgs(fork):
        assert_sound(draw(load(path, dialect=fork, sibling=False)).graph)


def test_what_several_tasks_need_is_shared():
    graph = draw(BOTH).graph
    assert [layer.place for layer in graph.layers if graph.is_shared(layer)] == [0, 1, 2, 3]
    assert [graph.colours(graph.layers[place]) for place in (3, 4, 12, 13)] == [(0, 1), (0,), (0,), (1,)]
    assert {graph.paint(layer) for layer in graph.layers} == {"shared", "task0", "task1"}
    assert [task.heads for task in graph.tasks] == [task.heads for task in BOTH.tasks]


def test_what_is_apart_counts_the_trunk_once_for_each_network():
    graph = draw(BOTH).graph
    network = BOTH.network
    trunk = sum(layer.flops for layer in network.layers[:4])
    assert graph.apart([layer.layer.flops for layer in graph.layers]) == network.flops + trunk
    votes = draw(ensemble()).graph
    assert votes.apart([1.0] * len(votes.layers)) == len(votes.layers)  # an ensemble is one network


def test_several_networks_are_drawn_over_their_trunk():
    base = model(tiny_text(2), "base")
    text, more = retrained(base, tiny_text(1), "text", 4), retrained(base, tiny_text(2), "more", 1)
    found = draw(base, text, more)
    assert_sound(found.graph)
    assert found.graph.shared == (13, 4, 1)
    assert len(found.graph.layers) == 13 + 9 + 12
    assert [task.name for task in found.graph.tasks] == ["base", "text", "more"]
    assert [len(layer.tasks) for layer in found.graph.layers[:5]] == [3, 2, 2, 2, 1]
    first = found.graph.layers[13]
    assert (first.layer.index, first.inputs, first.model) == (4, (3,), 1)
    assert found.rows()[13]["network"] == "text"
    assert details(found.graph, first)[0] == ("layer 4 of text", "convolutional 3x3/1")


def test_no_fork_crosses_a_lane():
    """Of lanes that leave the trunk, those that leave it earlier lie further down."""
    base = model(tiny_text(2), "base")
    early, late = retrained(base, tiny_text(2), "early", 1), retrained(base, tiny_text(1), "late", 4)
    lanes = lanes_of(draw(base, early, late).graph, gap=1)
    assert [(lane.fork, lane.columns[0]) for lane in lanes] == [(None, 0), (3, 5), (0, 2)]


def test_networks_with_nothing_in_common_lie_apart():
    found = draw(model(tiny_text(2), "base"), model(tiny_text(2), "other", seed=5))
    assert found.graph.shared == (13, 0)
    assert_sound(found.graph)
    assert not any(found.graph.is_shared(layer) for layer in found.graph.layers)


@pytest.mark.parametrize("merged", [True, False])
def test_differences_to_the_base_are_those_of_stats(merged):
    base = model(tiny_text(2), "base")
    text = retrained(base, tiny_text(2), "text", 4)
    graph = draw(*([quiet_concat([base, text], k=4)] if merged else [base, text])).graph
    expected = {(d.layer, d.quantity): d.relative for d in stats(base, text)[0].differences if d.layer >= 4}
    found = {(d.layer, d.quantity): d.relative for layer in graph.layers for d in layer.differences}
    assert found == expected
    (shown,) = [value for what, value in details(graph, graph.layers[-2]) if what.startswith("differs")]
    assert f"weights by {expected[11, 'weights']:.2g}" in shown


def test_heads_with_other_classes_are_not_compared():
    graph = draw(BOTH).graph
    shown = dict(details(graph, graph.layers[-2]))
    assert shown["differs from the base"] == "not comparable: 14 against 12 (2 classes against 1)"


def test_details_of_a_layer_by_hand():
    graph = draw(BOTH).graph
    assert details(graph, graph.layers[2]) == [
        ("layer 2", "shortcut"),
        ("output", "16x16x8"),
        ("input", "16x16x8"),
        ("parameters", "0"),
        ("operations", "0.00205 MFLOPs (0.2%)"),  # an addition for each of 2,048 values
        ("shared by", "base and text"),
        ("reads", "layer 1, layer 0"),
    ]
    assert ("classes", "2") in details(graph, graph.layers[6])


def test_what_is_said_below_fits_a_terminal():
    assert draw(BOTH).notes() == [
        "2 tasks, 23 layers, 0.934 MFLOPs, 4.23 k parameters, input 32x32x3", "tasks: base, text", "shared layers: 0-3",
    ]  # fmt: skip
    short = replace(many(), tasks=tuple(task for task in many().tasks if len(task.name) < 80))
    assert max(map(len, draw(short).notes())) <= 80


def test_names_are_text_and_not_markup():
    found = draw(many())
    for text in (found.svg(), found.html()):
        assert "<b>trucks" not in text
        assert escape("🚗 cars & <b>") in text


def test_the_same_drawing_in_all_formats(tmp_path):
    found = draw(BOTH)
    for name in ("a.svg", "a.html", "a.png", "a.PDF"):
        found.write(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")
    assert found._repr_html_() == (tmp_path / "a.svg").read_text(encoding="utf-8")
    parser = Outside()
    parser.feed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert parser.loads == []
    with pytest.raises(DarkshareError, match=r"a\.gif: no such kind of drawing; end its name in \.html, \.htm, \.png"):
        found.write(tmp_path / "a.gif")


def test_a_line_is_cut_to_its_width():
    assert fitted("a short line", 10, 200) == "a short line"
    cut = fitted("a line that is too long", 10, 60)
    assert cut.endswith("…")
    assert text_width(cut, 10) <= 60
    assert fitted("long", 10, 8) == ""


def test_the_command_draws_and_says_so(tiny, tmp_path):
    result = run("draw", tiny, "-o", tmp_path / "net.html", code=0)
    assert result.stderr.splitlines()[0].startswith("13 layers, ")
    assert "<svg" in (tmp_path / "net.html").read_text(encoding="utf-8")
    assert "no such kind of drawing" in run("draw", tiny, "-o", tmp_path / "net.jpg", code=1).stderr
    assert "Missing option '-o'" in run("draw", tiny, code=2).stderr


# Both sizes in one page, as frames: chooses layers by focus, arrows, pointer and buttons, and measures all words.
LOOK = """
    const layer = (place) => drawing.querySelector(`[data-place="${place}"]`);
    const panel = () => page.getElementById("details").textContent;
    const press = (key) => page.activeElement.dispatchEvent(new view.KeyboardEvent("keydown", {key, bubbles: true}));
    const active = () => page.activeElement.dataset.place;
    const seen = {hint: panel(), stops: drawing.querySelectorAll("[tabindex='0']").length};
    layer(0).focus(); seen.first = panel();
    press("ArrowRight"); seen.right = active();
    press("End"); seen.end = active();
    press("ArrowDown"); seen.down = active(); seen.chosen = drawing.querySelectorAll(".layer.chosen").length;
    seen.links = drawing.querySelectorAll(".link.chosen").length;
    seen.label = layer(2).getAttribute("aria-label");
    layer(2).dispatchEvent(new view.PointerEvent("pointerenter")); seen.over = panel();
    layer(2).dispatchEvent(new view.PointerEvent("pointerleave")); seen.left = panel();
    for (const type of ["pointerenter", "click"]) layer(3).dispatchEvent(new view.MouseEvent(type, {bubbles: true}));
    seen.touched = panel();
    page.querySelector("[data-key=ArrowRight]").click(); seen.next = panel();
    const box = drawing.viewBox.baseVal;
    seen.outside = [...drawing.querySelectorAll("text")].filter((text) => {
      const {x, y, width, height} = text.getBBox();
      return x < 0 || y < 0 || x + width > box.width || y + height > box.height;
    }).map((text) => text.textContent);
    const texts = [...drawing.querySelectorAll("text")].map((text) => [text.textContent, text.getBBox()]);
    seen.overlaps = texts.flatMap(([a, p], at) => texts.slice(at + 1).filter(([b, q]) => a && b
      && p.x + 1 < q.x + q.width && q.x + 1 < p.x + p.width && p.y + 2 < q.y + q.height && q.y + 2 < p.y + p.height
    ).map(([b]) => [a, b]));
    seen.titles = drawing.querySelectorAll(".layer > title").length;
    seen.wide = page.documentElement.scrollWidth <= view.innerWidth;
    return seen;
"""


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("name", ["merged", "20 tasks with all kinds of names"])
def test_a_real_browser_shows_each_layer_to_pointer_keyboard_and_finger(name, tmp_path):
    found = draw(MODELS[name]())
    graph = found.graph
    shown = ["".join(f"{what} {value}" if not at else what + value for at, (what, value) in enumerate(pairs))
             for pairs in (details(graph, layer) for layer in graph.layers)]  # fmt: skip
    for seen in seen_in_frames(found.html(), LOOK, tmp_path):
        down = next(layer.place for layer in graph.layers if layer.place == int(seen["down"]))
        assert (seen["stops"], seen["chosen"], seen["titles"]) == (1, 1, 0)
        assert "arrows" in seen["hint"]
        assert (seen["first"], seen["right"], seen["end"]) == (shown[0], "1", "12")
        assert down > 12
        assert seen["links"] > 0
        assert (seen["over"], seen["left"]) == (shown[2], shown[down])
        assert (seen["touched"], seen["next"]) == (shown[3], shown[4])
        assert seen["label"].startswith("layer 2: shortcut; output: 16x16x8; ")
        assert (seen["outside"], seen["overlaps"], seen["wide"]) == ([], [], True)
