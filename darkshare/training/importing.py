"""Weights that other programs trained or hold, as Darknet's: of ONNX files and of PyTorch's state dicts.

They know no cfg, so theirs is given, and modules are matched with its layers in order, by their shapes and, where
names have numbers of layers, by these.
"""

from __future__ import annotations

import os
import pickle
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from darkshare._files import reading, require_regular, stand_in
from darkshare.analysis.trunk import same_bits
from darkshare.darknet.batchnorm import folded_bias, scaled_weights
from darkshare.darknet.cfg import read_cfg
from darkshare.darknet.kinds import Convolutional, Yolo
from darkshare.darknet.kinds.base import STATISTICS, Tensor
from darkshare.darknet.model import Model, require_length, untransposed
from darkshare.darknet.network import Layer, Network, resolve
from darkshare.darknet.weights import FLOAT, Floats, Header, Weights, read_weights
from darkshare.errors import BadValue, DarkshareError, ShapeMismatch, Unsupported, checked, warn
from darkshare.inference.onnx.graph import BN_EPSILON
from darkshare.inference.onnx.initializers import Module, Modules, as_floats, norm_of, read_modules

ONNX, PYTORCH = (".onnx",), (".pt", ".pth")
_STORED = {"biases", "weights", *STATISTICS}
_BLOCKS = {"weight": "scales", "bias": "biases", "running_mean": "rolling_mean", "running_var": "rolling_variance"}
_INDEX = re.compile(r"(?:^|\.)(?:module_list|models)\.(\d{1,6})\.")  # as programs that read a cfg call its layers
_GRID = "anchor_grid"  # the anchors of a head, in pixels as in the cfg
_PASSED = ("num_batches_tracked", "anchors", _GRID)  # which no layer of Darknet stores
_NESTED = ("state_dict", "model_state_dict", "model", "ema")  # where checkpoints keep weights
_VARIANCE = FLOAT.type(1 - BN_EPSILON)  # with which batch norm changes no bit of a kernel when it is folded again


@checked
def import_weights(
    cfg: Network | str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    dialect: str = "alexeyab",
) -> Weights:
    """Read the weights of a network out of an ONNX file or a PyTorch state dict.

    Batch norm that was folded into a kernel cannot be taken out of it again: such a layer gets one that changes
    nothing, and a warning says so. Everything else comes as it is, bit for bit. With a base, layers of an exported file
    that are still as those weights were exported come back as they are there, batch norm included.

    Args:
        cfg: the network, or its cfg file.
        source: an .onnx file, or a .pt or .pth file that holds a state dict.
        base: a weights file of the cfg, from which the exported network was made or trained.
        dialect: the fork whose reading of the cfg decides.

    Raises:
        BadValue: another kind of file.
        ShapeMismatch: it is of another network or has other anchors, with the first layer that differs.
        Unsupported: a layer or a form of weights that cannot be taken over.
        DarkshareError: a file cannot be read.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in (*ONNX, *PYTORCH):
        raise BadValue(f"is not one of {', '.join((*ONNX, *PYTORCH))}", file=str(path))
    network = cfg if isinstance(cfg, Network) else resolve(read_cfg(cfg), dialect=dialect)
    known = None
    if base is not None:
        weights = read_weights(base, dialect=network.dialect)
        require_length(network, weights, partial=True)
        known = Model(network, untransposed(network, weights), ())
    try:
        modules = read_modules(path) if suffix in ONNX else _of_state(network, _state_dict(path))
        return Weights(modules.header or Header(), (_matched(network, modules, known),))
    except DarkshareError as error:
        raise error.locate(str(path), None) from None


def _state_dict(path: Path) -> Mapping[str, Any]:
    """The tensors of a PyTorch file by name; objects in it are not made, since that would run its code."""
    try:
        import torch
    except ImportError:
        raise DarkshareError("reading it needs PyTorch: pip install 'darkshare[train]'") from None
    with reading(path):
        require_regular(path)
        with path.open("rb") as file:
            head = file.read(100)
    if (what := stand_in(head)) and not head.startswith(b"PK"):
        raise DarkshareError(what)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise Unsupported(
            "holds more than tensors, which could run code and is not read; where it comes from, write its state dict "
            "alone: torch.save(model.state_dict(), 'state.pt')"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        why = (str(error) or type(error).__name__)[:100].partition("\n")[0].rstrip(" :")
        raise DarkshareError(f"is not a PyTorch file, or is damaged: {why}") from None
    while isinstance(found, dict) and (name := next((one for one in _NESTED if one in found), None)):
        found = found[name]
    if not isinstance(found, dict) or not any(isinstance(one, torch.Tensor) for one in found.values()):
        raise DarkshareError("holds no state dict, which has tensors by name")
    return {str(name): one for name, one in found.items() if isinstance(one, torch.Tensor)}


def _of_state(network: Network, state: Mapping[str, Any]) -> Modules:
    _require_anchors(network, [tensor for name, tensor in state.items() if name.endswith(f".{_GRID}")])
    return Modules(list(_state_modules(state)))


def _require_anchors(network: Network, grids: Sequence[Any]) -> None:
    """Refuse a file that has anchors, but others than the cfg's heads, in their order."""
    for layer, grid in zip(network.of_kind(Yolo), grids, strict=False):
        ours, theirs = np.array(layer.kind.anchor_sizes(), FLOAT).ravel(), grid.detach().float().numpy().ravel()
        if not np.array_equal(ours, theirs):
            told = (" ".join(f"{value:g}" for value in values) for values in (ours, theirs))
            raise ShapeMismatch("{}: its anchors are {} in the cfg and {} in the file".format(layer.label, *told))


def _state_modules(state: Mapping[str, Any]) -> Iterator[Module]:
    modules: dict[str, dict[str, Any]] = {}
    for name, tensor in state.items():
        module, _, what = name.rpartition(".")
        if what not in _PASSED:
            modules.setdefault(module, {})[what] = tensor
    for module, tensors in modules.items():
        index = int(match[1]) if (match := _INDEX.search(f"{module}.")) else -1
        if unknown := sorted(tensors.keys() - _BLOCKS.keys()):
            raise Unsupported(f"{module[:80]} holds {unknown[0][:40]}, which no layer of Darknet stores")
        values = {what: _values(f"{module}.{what}", tensor) for what, tensor in tensors.items()}
        if "running_var" in values:
            yield norm_of(module, index, {_BLOCKS[what]: one for what, one in values.items()})
        elif "weight" not in values:
            raise Unsupported(f"{module[:80]} has no weight, only {', '.join(values)}")
        else:
            yield Module(f"{module}.weight", index, values["weight"], values.get("bias"))


def _values(name: str, tensor: Any) -> Floats:
    import torch

    return as_floats(name, (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy())


def _matched(network: Network, modules: Modules, base: Model | None) -> Floats:
    """All floats of a network, in file order."""
    left, data, folded = deque(modules.items), np.empty(network.params, FLOAT), 0
    for layer in network.layers:
        if not layer.size:
            continue
        try:
            blocks, is_folded = _blocks(layer, left, is_ours=modules.is_ours)
            at = layer.start
            for tensor in layer.tensors:
                data[at : at + tensor.size] = _in_file_order(tensor, blocks[tensor.name], is_ours=modules.is_ours)
                at += tensor.size
            can_return = is_folded and base is not None and layer.index < base.loaded
            if can_return and _put_back(data, layer, base, blocks, modules.bn_epsilon):
                continue
            if "biases" not in {tensor.name for tensor in layer.tensors} and blocks["biases"].any():
                raise Unsupported("has no biases in Darknet's file, but in this one")
        except DarkshareError as error:
            error.message = f"{layer.label}: {error.message}"
            raise
        folded += is_folded
    if left:
        names = f"the first is {left[0].name[:80]}"
        raise ShapeMismatch(f"has {len(left)} more modules than the cfg has layers with weights; {names}")
    if folded:
        warn(f"batch norm of {folded} layers is in their kernels already: they get one that changes nothing")
    return data


def _put_back(data: Floats, layer: Layer, base: Model | None, blocks: Mapping[str, Floats], epsilon: float) -> bool:
    """Put the base's layer in place of one that its batch norm was folded into; False if it is another one."""
    assert base is not None
    assert base.weights is not None
    given, filters = base.tensors(layer.index), layer.tensors[0].shape[0]
    kernel = blocks["weights"] if "weights" in given else blocks["scales"]
    given = {"weights": np.ones((filters, 1), FLOAT), **given}
    folded = np.concatenate([part.ravel() for part in scaled_weights(given, filters, epsilon)])
    same = same_bits(folded, np.ascontiguousarray(kernel).ravel())
    if same and np.array_equal(folded_bias(given, filters, epsilon).view(np.uint32), blocks["biases"].view(np.uint32)):
        data[layer.start : layer.stop] = base.weights.view(layer.start, layer.stop)
        return True
    return False


def _blocks(layer: Layer, left: deque[Module], *, is_ours: bool) -> tuple[dict[str, Floats], bool]:
    """The blocks of a layer by name, which come next, and whether its batch norm is in its kernel."""
    names = {tensor.name for tensor in layer.tensors}
    if foreign := sorted(names - _STORED):
        raise Unsupported(f"its {foreign[0]} has no counterpart in such files")
    if isinstance(layer.kind, Convolutional) and layer.kind.xnor and is_ours:
        raise Unsupported("xnor=1: the file has signs in place of its weights")
    if not left:
        raise ShapeMismatch("is missing: the file ends before it")
    first = left.popleft()
    if first.layer not in (-1, layer.index):
        raise ShapeMismatch(f"is missing: {first.name[:80]} comes next, which is of layer {first.layer}")
    has_norm = "rolling_variance" in names
    if "weights" not in names:
        return _norm_alone(first), not first.norm
    if first.weights is None:
        raise ShapeMismatch(f"has weights, but the batch norm {first.name[:80]} comes next")
    filters = layer.tensors[0].shape[0]
    biases = np.zeros(filters, FLOAT) if first.biases is None else first.biases
    found = {"weights": first.weights, "biases": biases}
    if not has_norm:
        return found, False
    if left and left[0].norm and left[0].weights is None:
        if first.biases is not None:
            raise Unsupported(f"{first.name[:80]} has biases before its batch norm, which Darknet has not")
        return found | dict(left.popleft().norm), False
    scales = first.norm.get("scales", np.ones(filters, FLOAT))
    return found | _unchanging(filters) | {"scales": scales}, True


def _norm_alone(first: Module) -> dict[str, Floats]:
    """The blocks of a batch norm that is a layer; ours is a convolution of each channel."""
    if first.norm and first.weights is None:
        return dict(first.norm)
    if first.weights is None or first.biases is None or first.weights.shape[:1] != (first.weights.size,):
        raise ShapeMismatch(f"is a batch norm, but {first.name[:80]} comes next")
    return _unchanging(len(first.weights)) | {"scales": first.weights.ravel(), "biases": first.biases}


def _unchanging(filters: int) -> dict[str, Floats]:
    """The blocks of a batch norm that changes nothing."""
    return {
        "scales": np.ones(filters, FLOAT),
        "rolling_mean": np.zeros(filters, FLOAT),
        "rolling_variance": np.full(filters, _VARIANCE, FLOAT),
    }


def _in_file_order(tensor: Tensor, values: Floats, *, is_ours: bool) -> Floats:
    """The values of a block as the file has them, once they have its shape."""
    same = values.size == tensor.size if is_ours else values.shape == tensor.shape
    if not same:
        shapes = ("x".join(map(str, shape)) for shape in (tensor.shape, values.shape))
        raise ShapeMismatch("'{}' is {} in the cfg and {} in the file".format(tensor.name, *shapes))
    shaped = values.reshape(tensor.shape)
    return (shaped.transpose(1, 2, 3, 0) if tensor.flipped else shaped).ravel()
