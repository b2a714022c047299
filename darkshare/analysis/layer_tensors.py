"""Names and values of a layer's tensors that are compared: as stored, or with batch norm folded into the kernels."""

from __future__ import annotations

from collections.abc import Mapping

from darkshare.analysis.tensor_distance import Operand
from darkshare.darknet.batchnorm import folded_bias, scale_of
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer
from darkshare.darknet.weights import Run
from darkshare.errors import BadValue

QUANTITIES = ("biases", "weights", "scales", "rolling_mean", "rolling_variance")
SPACES = ("raw", "folded")


def require_space(space: str) -> None:
    """Refuse an unknown space.

    Raises:
        BadValue: it names the known ones.
    """
    if space not in SPACES:
        raise BadValue(f"unknown space {space}; use one of {', '.join(SPACES)}")


def quantity_names(layer: Layer, space: str) -> list[str]:
    """The quantities of a layer, sublayer by sublayer, in the order of QUANTITIES.

    Folded, a layer has biases and weights, and a [batchnorm] of its own biases and scales.
    """
    names: list[str] = []
    for sublayer, stored in _sublayers(layer).items():
        has_norm = space == "folded" and "rolling_variance" in stored
        kept = {"biases", "weights" if "weights" in stored else "scales"} if has_norm else stored
        names += [sublayer + quantity for quantity in QUANTITIES if quantity in kept]
    return names


def quantities_of(model: Model, index: int, space: str, epsilon: float) -> dict[str, Operand]:
    """The quantities of a layer with their values; nothing of a kernel is read yet.

    Args:
        model: with weights up to this layer.
        index: the layer.
        space: raw or folded.
        epsilon: what is added to a variance before its root is taken.

    Raises:
        Unsupported: there are no weights, or a partial file ends before this layer.
    """
    layer = model.network.layers[index]
    if not layer.tensors:
        return {}
    given = model.stored_tensors(index)
    if space == "raw":
        return {name: Operand(given[name]) for name in quantity_names(layer, space)}
    found = {}
    for name in quantity_names(layer, space):
        sublayer = name[: name.rfind(".") + 1]
        found[name] = _folded(name[len(sublayer) :], _without_prefix(given, sublayer), epsilon)
    return found


def _folded(quantity: str, given: Mapping[str, Run], epsilon: float) -> Operand:
    if quantity == "weights":
        return Operand(given["weights"], scale_of(given, epsilon))
    if quantity == "biases":
        rows = len(given["scales"] if "scales" in given else given["biases"])
        return Operand(folded_bias(given, rows, epsilon))
    scale = scale_of(given, epsilon)
    return Operand(given[quantity] if scale is None else scale)


def _without_prefix(given: Mapping[str, Run], prefix: str) -> dict[str, Run]:
    return {name[len(prefix) :]: tensor for name, tensor in given.items() if name.startswith(prefix)}


def _sublayers(layer: Layer) -> dict[str, set[str]]:
    """The bare names of a layer's tensors by the prefix of their sublayer, `wf.` or ""."""
    found: dict[str, set[str]] = {}
    for tensor in layer.tensors:
        prefix = tensor.name[: tensor.name.rfind(".") + 1]
        found.setdefault(prefix, set()).add(tensor.name[len(prefix) :])
    return found
