"""List the layers of a model as Darknet prints them, with parameters and costs.

BFLOPs are Darknet's: 1e9 operations, two per multiply-add, kept in float32, nothing for the kinds that it does
not count. Those kinds are listed as `uncounted` where they do hold weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from darkshare._tables import Result
from darkshare.darknet.kinds import Shape
from darkshare.darknet.kinds.base import ONE_SIDED
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import Header, read_weights
from darkshare.errors import checked


@dataclass(frozen=True)
class LayerInfo:
    """One line of the table.

    Attributes:
        index: counted from 0, [net] not counted.
        kind: the section's name.
        filters: output channels of kinds with kernels.
        window: the kernel as Darknet prints it, "3x3/2" for size and stride, "3x3/1(2)" with dilation.
        reads: the layers that it names; every kind but route reads the layer before as well.
        input: (w, h, c) of what it reads from the layer before.
        output: (w, h, c), zeros where Darknet sets no shape.
        params: floats in the weights file.
        bflops: as Darknet counts them; 0 for the kinds that it does not count.
        counted: False for a layer that holds weights and whose kind Darknet does not count.
    """

    index: int
    kind: str
    filters: int | None
    window: str
    reads: tuple[int, ...]
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    params: int
    bflops: float
    counted: bool


@dataclass(frozen=True, repr=False)
class Info(Result):
    """The table of a model and its totals.

    Attributes:
        file: the cfg.
        layers: the table.
        params: floats in the weights file.
        bflops: Darknet's running float32 sum over the layers.
        weights_bytes: length of the weights file that Darknet reads, header included.
        written_bytes: length of the one that it writes; dontload=, dontsave= and the like make them differ.
        heads: (layer, kind, classes) of each output; 0 classes where it has none.
        weights: the weights file with its version and `seen`, None without one.
    """

    file: str
    dialect: str
    layers: tuple[LayerInfo, ...]
    params: int
    bflops: float
    weights_bytes: int
    written_bytes: int
    heads: tuple[tuple[int, str, int], ...]
    weights: dict[str, Any] | None

    @property
    def uncounted(self) -> tuple[int, ...]:
        """The layers that hold weights and whose kind Darknet does not count."""
        return tuple(layer.index for layer in self.layers if not layer.counted)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "layer": layer.index,
                "kind": layer.kind,
                "filters": layer.filters,
                "size/stride": layer.window,
                "reads": " ".join(map(str, layer.reads)),
                "input": _image(layer.input),
                "output": _image(layer.output),
                "params": layer.params,
                "bflops": layer.bflops if layer.counted else None,
            }
            for layer in self.layers
        ]

    def heading(self) -> str:
        return f"{self.file} ({self.dialect})"

    def notes(self) -> list[str]:
        """The totals."""
        heads = ", ".join(f"{i} [{kind}]" + (f" {n} classes" if n else "") for i, kind, n in self.heads)
        lines = [self._totals(), f"heads: {heads}"]
        if self.written_bytes != self.weights_bytes:
            lines.append(
                f"Darknet reads {self.weights_bytes:,} bytes of weights with this cfg and writes "
                f"{self.written_bytes:,}: dontload= and its like leave something out on one side only"
            )
        if self.uncounted:
            lines.append(f"not counted by Darknet, shown as '-': layers {', '.join(map(str, self.uncounted))}")
        if self.weights:
            version = ".".join(map(str, self.weights["version"]))
            lines.append(f"weights: {self.weights['file']}, version {version}, seen {self.weights['seen']:,} images")
        else:
            lines.append("weights: none given, and none beside the cfg")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values; shapes are [w, h, c]."""
        return {
            **super().as_dict(),
            "file": self.file,
            "dialect": self.dialect,
            "layers": [_described(layer) for layer in self.layers],
            "params": self.params,
            "bflops": self.bflops,
            "weights_bytes": self.weights_bytes,
            "written_bytes": self.written_bytes,
            "uncounted": list(self.uncounted),
            "heads": [{"index": index, "kind": kind, "classes": classes} for index, kind, classes in self.heads],
            "weights": self.weights,
        }

    def summary(self) -> str:
        return f"{self.file}, {self._totals()}"

    def _totals(self) -> str:
        return (
            f"{len(self.layers)} layers, {self.params:,} params, {self.bflops:.3f} BFLOPs, "
            f"{self.weights_bytes:,} bytes of weights"
        )


@checked
def info(model: Model) -> Info:
    """Measure a model, with or without weights, as the dialect that it was loaded in."""
    network = model.network
    header, weights = Header(), None
    if model.weights:
        header = read_weights(model.weights.path, dialect=network.dialect).header  # as it is in the file
        weights = {"file": model.weights.path, "version": list(header[:3]), "seen": header.seen}
    return Info(
        network.name,
        network.dialect,
        tuple(map(_line, network.layers)),
        network.params,
        total_bflops(network),
        header.size(network.dialect) + 4 * network.params,
        header.size(network.dialect) + 4 * sum(map(_written, network.layers)),
        tuple((head.index, head.kind.name, head.classes) for head in network.heads),
        weights,
    )


def _written(layer: Layer) -> int:
    """Count the floats that Darknet's writer stores for a layer, where its loader may take others."""
    if any(getattr(layer.kind, key) for key in ONE_SIDED):
        return sum(tensor.size for tensor in layer.kind.saved_tensors(layer.x, layer.y))
    return layer.size


def total_bflops(network: Network) -> float:
    """Darknet's total: a running sum in float32 of float32 values (`bflops` in parse_network_cfg_custom)."""
    values = np.array([layer.flops / 1e9 for layer in network.layers], np.float32)
    return _digits(np.cumsum(values, dtype=np.float32)[-1])


def _described(layer: LayerInfo) -> dict[str, Any]:
    kept = ("index", "kind", "reads", "input", "output", "params", "bflops")
    return {key: list(value) if isinstance(value := getattr(layer, key), tuple) else value for key in kept}


def _line(layer: Layer) -> LayerInfo:
    kind = layer.kind
    return LayerInfo(
        layer.index,
        kind.name,
        getattr(kind, "filters", None),
        kind.window_text,
        layer.sources,
        _whc(layer.x) if kind.reads_previous else (0, 0, 0),
        _whc(layer.y),
        layer.size,
        _digits(np.float32(layer.flops / 1e9)),
        layer.flops > 0 or not layer.size,
    )


def _whc(shape: Shape) -> tuple[int, int, int]:
    return shape.w, shape.h, shape.c


def _image(whc: tuple[int, int, int]) -> str:
    return "x".join(map(str, whc)) if any(whc) else ""


def _digits(value: Any) -> float:
    """A float32 with the nine digits that identify it."""
    return float(f"{value:.9g}")
