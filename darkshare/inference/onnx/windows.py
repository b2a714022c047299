"""Pooling: windows over space, over channels, and over the whole image."""

from __future__ import annotations

from typing import Any

from darkshare.darknet.kinds import LocalAvgpool, Maxpool
from darkshare.darknet.network import Layer
from darkshare.errors import Unsupported
from darkshare.inference.onnx.dense import blurred
from darkshare.inference.onnx.graph import Graph, Sources
from darkshare.inference.onnx.joins import channels


def maxpool(graph: Graph, layer: Layer[Maxpool], x: str, sources: Sources) -> str:
    """Max-pooling, with a blur behind it where antialiasing is asked for (forward_maxpool_layer)."""
    kind = layer.kind
    if kind.maxpool_depth:
        return _over_channels(graph, layer, x)
    strides = (1, 1) if kind.antialiasing else kind.strides
    return blurred(graph, layer, graph.node(layer, "MaxPool", x, **_window(layer, strides)))


def local_avgpool(graph: Graph, layer: Layer[LocalAvgpool], x: str, sources: Sources) -> str:
    """Average over a window; padding does not count (forward_local_avgpool_layer)."""
    kind = layer.kind
    return graph.node(layer, "AveragePool", x, count_include_pad=0, **_window(layer, kind.strides))


def avgpool(graph: Graph, layer: Layer, x: str, sources: Sources) -> str:
    """Average over the image."""
    return graph.node(layer, "GlobalAveragePool", x)


def _window(layer: Layer[Maxpool | LocalAvgpool], strides: tuple[int, int]) -> dict[str, Any]:
    """Darknet's first window starts half the total padding before the image; the rest lies behind it."""
    kind = layer.kind
    before = kind.pads // 2
    after = kind.pads - before
    if after >= kind.window:
        raise Unsupported(f"padding={kind.pads} is more than its window of {kind.window} can touch")
    stride_x, stride_y = strides
    pads = [before, before, after, after]
    return {"kernel_shape": [kind.window] * 2, "strides": [stride_y, stride_x], "pads": pads}


def _over_channels(graph: Graph, layer: Layer[Maxpool], x: str) -> str:
    """The largest of every `out_channels`-th channel: a window as high as there are such runs of channels.

    A last run that is too short is filled up with channels of the first one, which count already.
    """
    kind = layer.kind
    graph.require_fixed(x)
    each, (c, h, w, *_) = kind.out_channels, layer.x
    if each > c:
        raise Unsupported(f"out_channels={each} is more than the {c} channels that it reads")
    short = -c % each
    if short:
        x = graph.node(layer, "Concat", x, channels(graph, layer, x, each - short, short), axis=1)
    runs = (c + short) // each
    rows = graph.node(layer, "Reshape", x, graph.integers(layer, -1, 1, runs, each * h * w))
    largest = graph.node(layer, "MaxPool", rows, kernel_shape=[runs, 1], strides=[1, 1], pads=[0] * 4)
    return graph.node(layer, "Reshape", largest, graph.integers(layer, -1, each, h, w))
