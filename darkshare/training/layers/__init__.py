"""The function that computes each kind while training; and the kinds that cannot be trained, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from darkshare.darknet import kinds
from darkshare.darknet.kinds import Kind
from darkshare.darknet.network import Layer
from darkshare.training.layers import dense, joins, reshape, windows
from darkshare.training.layers.form import BuildSettings, Forward

BUILD: dict[type[Kind], Callable[[Layer[Any], BuildSettings], Forward]] = {
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
    kinds.Dropout: reshape.dropout,
    kinds.Empty: reshape.as_is,
    kinds.Softmax: reshape.softmax,
    kinds.Cost: reshape.flat,
    kinds.Yolo: reshape.boxes,
    kinds.Region: reshape.boxes,
}

_STATE = "it keeps a state between inputs, which pictures in random order do not have"
UNSUPPORTED: dict[type[Kind], str] = {
    kinds.Rnn: _STATE,
    kinds.Gru: _STATE,
    kinds.Lstm: _STATE,
    kinds.Crnn: _STATE,
    kinds.ConvLstm: _STATE,
    kinds.History: _STATE,
    kinds.Normalization: "Darknet's running sum over channels leaves one out, and no public detector uses it",
    kinds.Contrastive: "its loss compares frames of a video, not labelled boxes",
    kinds.Logistic: "its loss reads several classes for a picture, which the data sets here do not have",
    kinds.GaussianYolo: "the loss of its uncertainties is not done here; a [yolo] head is",
    kinds.Detection: "the loss of YOLOv1 is not done here; a [region] or [yolo] head is",
    kinds.Iseg: "its loss reads masks, which the data sets here do not have",
}
