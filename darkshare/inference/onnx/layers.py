"""The table from kinds of layers to ONNX operators, and the kinds without, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from darkshare.darknet import kinds
from darkshare.darknet.kinds import Kind
from darkshare.darknet.network import Layer
from darkshare.inference.onnx import dense, ends, joins, reshape, windows
from darkshare.inference.onnx.graph import Graph, Sources

Lowering = Callable[[Graph, Layer[Any], str, Sources], str]  # of a layer of the entry's own kind

LOWER: dict[type[Kind], Lowering] = {
    kinds.Convolutional: dense.convolutional,
    kinds.Deconvolutional: dense.deconvolutional,
    kinds.Connected: dense.connected,
    kinds.Batchnorm: dense.batchnorm,
    kinds.Local: dense.local,
    kinds.Implicit: dense.implicit,
    kinds.L2norm: dense.l2norm,
    kinds.Maxpool: windows.maxpool,
    kinds.LocalAvgpool: windows.local_avgpool,
    kinds.Avgpool: windows.avgpool,
    kinds.Route: joins.route,
    kinds.Shortcut: joins.shortcut,
    kinds.ScaleChannels: joins.scaled,
    kinds.Sam: joins.scaled,
    kinds.Upsample: reshape.upsample,
    kinds.Reorg: reshape.reorg,
    kinds.Reorg3d: reshape.reorg,
    kinds.Crop: reshape.crop,
    kinds.Activation: reshape.activation,
    kinds.Dropout: reshape.as_is,
    kinds.Empty: reshape.as_is,
    kinds.Softmax: ends.softmax,
    kinds.Cost: ends.cost,
    kinds.Logistic: ends.logistic,
    kinds.Yolo: ends.boxes,
    kinds.GaussianYolo: ends.boxes,
    kinds.Region: ends.boxes,
    kinds.Detection: ends.detection,
    kinds.Iseg: reshape.as_is,
}

UNSUPPORTED: dict[type[Kind], str] = {
    kinds.Rnn: "it keeps a state between inputs, which a graph of one pass has not",
    kinds.Gru: "it keeps a state between inputs, which a graph of one pass has not",
    kinds.Lstm: "it keeps a state between inputs, which a graph of one pass has not",
    kinds.Crnn: "it keeps a state between inputs, which a graph of one pass has not",
    kinds.ConvLstm: "it keeps a state between inputs, which a graph of one pass has not",
    kinds.History: "it keeps earlier frames, which a graph of one pass has not",
    kinds.Normalization: "Darknet's running sum over channels leaves one out, and no public detector uses it",
    kinds.Contrastive: "it is a loss, which only training needs",
}
