"""What a Python session and a notebook show: one line, or a table."""

from __future__ import annotations

from dataclasses import replace

from conftest import network_of, tiny_text
from models import model, quiet_concat, retrained, without_weights

from darkshare.darknet.cfg import parse
from darkshare.darknet.weights import Header, Weights


def test_a_model_is_one_line_with_its_tasks():
    base = model(tiny_text(2))
    assert repr(base) == (
        "<Model test.cfg: 32x32x3, 13 layers, 2,572 params, 0.001 BFLOPs, with weights; tasks: base (2 classes)>"
    )
    merged = quiet_concat([base, retrained(base, tiny_text(3), "other", 4)], k=4)
    assert repr(merged).endswith("; tasks: base (2 classes), other (3 classes)>")
    many = replace(base, tasks=base.tasks * 4)
    assert repr(many).endswith("; tasks: base (2 classes) and 3 more>")
    assert "no weights; tasks: none>" in repr(replace(without_weights(tiny_text(), "base"), tasks=()))
    partial = replace(base, weights=Weights(Header(), (base.weights.view(0, base.network.start(5)),)))
    assert "weights of 5 layers" in repr(partial)


def test_its_parts_are_one_line_each():
    base = model(tiny_text(2))
    network = base.network
    assert repr(network) == "<Network test.cfg: 32x32x3, 13 layers, 2,572 params, 0.001 BFLOPs>"
    assert repr(network.layers[10]) == "<Layer 10 [route]: 16x16x12, 0 params>"
    assert repr(network.layers[0]) == "<Layer 0 [convolutional]: 16x16x8, 248 params>"
    assert repr(network.cfg) == "<Cfg test.cfg: 14 sections>"
    assert repr(network.cfg.sections[1]) == "<Section [convolutional]: line 6, 6 keys>"
    assert repr(base.weights) == "<Weights base.weights: 2,572 floats, version 0.2.5, seen 0>"
    assert repr(base.tasks[0]) == "<Task base: 2 classes, heads 6, 12, 0 shared layers>"
    assert repr(base.weights.header) == "Header(major=0, minor=2, revision=5, seen=0)"


def test_what_a_file_holds_does_not_move_the_cursor():
    assert repr(parse("[\x1b[31mnet]\n", "a\n.cfg").sections[0]) == r"<Section [\x1b[31mnet]: line 1, 0 keys>"
    assert repr(parse("", "a\n\x1b.cfg")) == r"<Cfg a \x1b.cfg: 0 sections>"
    assert repr(parse("")) == "<Cfg unnamed: 0 sections>"


def test_a_notebook_shows_the_layers_as_a_table():
    html = network_of(tiny_text())._repr_html_()
    assert html.count("<tr>") == 1 + 13
    assert "<td>3</td><td>maxpool</td><td>2</td><td>2x2/2</td><td>8x8x8</td><td>0</td><td>-</td>" in html
    assert "<td>6</td><td>yolo</td><td>5</td><td></td><td>8x8x14</td><td>0</td><td>2</td>" in html
    assert html.endswith("<p>test.cfg: 32x32x3, 13 layers, 2,572 params, 0.001 BFLOPs</p>")


def test_and_the_tasks_of_a_model_above_it():
    base = model(tiny_text(2))
    merged = quiet_concat([base, retrained(base, tiny_text(3), "other", 4)], k=4)
    tasks, layers, _ = merged._repr_html_().split("</table>")
    assert "<td>other</td><td>3</td>" in tasks
    assert layers.count("<tr>") == 1 + len(merged.network.layers)
    assert len(merged._repr_html_()) < 8000
