"""The generated networks are the ones that Darknet ships, as far as they compute the same."""

from __future__ import annotations

import pytest
from architectures import darknet53_text, resnet152_text, yolov3_text, yolov3_tiny_text, yolov4_tiny_text
from conftest import network_of, zoo_path

from darkshare.darknet.cfg import read_cfg
from darkshare.darknet.network import resolve

# Bytes of the weights files that were published; 20 of them are the header.
PUBLISHED = [
    (yolov3_text, 248007048),
    (yolov3_tiny_text, 35434956),
    (yolov4_tiny_text, 24251276),
    (darknet53_text, 166582580),
]
SHIPPED = [
    ("alexeyab/yolov3.cfg", yolov3_text),
    ("pjreddie/yolov3-tiny.cfg", yolov3_tiny_text),
    ("alexeyab/yolov4-tiny.cfg", yolov4_tiny_text),
    ("pjreddie/darknet53.cfg", darknet53_text),
    ("pjreddie/resnet152.cfg", resnet152_text),
]


@pytest.mark.parametrize(("text", "size"), PUBLISHED)
def test_a_generated_network_has_the_published_size(text, size):
    assert 20 + 4 * network_of(text()).params == size


@pytest.mark.zoo
@pytest.mark.parametrize(("path", "text"), SHIPPED)
def test_a_generated_network_equals_the_shipped_one(path, text):
    dialect = path.partition("/")[0]
    shipped = resolve(read_cfg(zoo_path("zoo", path)), dialect=dialect)
    ours = network_of(text(size=shipped.input.w), dialect=dialect)
    assert [layer.kind for layer in ours.layers] == [layer.kind for layer in shipped.layers]
    assert [layer.sources for layer in ours.layers] == [layer.sources for layer in shipped.layers]
    assert [layer.y for layer in ours.layers] == [layer.y for layer in shipped.layers]
    assert (ours.params, ours.flops) == (shipped.params, shipped.flops)


def test_yolov3_has_the_paper_s_layers():
    network = network_of(yolov3_text())
    assert len(network.layers) == 107
    assert [head.index for head in network.heads] == [82, 94, 106]
    assert 20 + 4 * network.start(74) == 162482580  # the published darknet53.conv.74


@pytest.mark.parametrize("text", [yolov3_text, yolov3_tiny_text, yolov4_tiny_text])
def test_classes_and_anchors_are_free(text):
    network = network_of(text(classes=1, anchors=tuple(range(1, 19)) if text is yolov3_text else tuple(range(1, 13))))
    assert {head.kind.classes for head in network.heads} == {1}
    assert all(head.x.c == 3 * 6 for head in network.heads)
