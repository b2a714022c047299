"""From a model to a network that trains: trunk and branch, and back to Darknet's order.

A layer's numbers keep the names and places that its kind gives them, so there is nothing to convert: the tensors
are Darknet's blocks, and writing them back is copying them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from darkshare.darknet.admission import admitted, located
from darkshare.darknet.kinds import Connected, Convolutional, Cost, Deconvolutional, Local, Softmax, keys_of
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import FLOAT, Weights
from darkshare.errors import BadValue, TrunkMismatch, Unsupported
from darkshare.training.layers import BUILD, UNSUPPORTED
from darkshare.training.layers.form import MOMENTUM, BuildSettings, Forward, Given

if TYPE_CHECKING:
    from torch import Tensor

_STATISTICS = ("rolling_mean", "rolling_variance")
_UNTRAINED = {  # keys that change how Darknet trains a layer, in ways that are not done here
    "assisted_excitation": 0.0,
    "sway": 0,
    "rotate": 0,
    "stretch": 0,
    "stretch_sway": 0,
    "grad_centr": 0,
    "reverse": 0.0,
    "burnin_update": 0,
    "dont_update": 0,
    "train_only_bn": 0,
    "clip": 0.0,
    "smooth": 0.0,
    "dot": 0.0,
}


class TorchNet:
    """A network that trains from layer k on; the layers before it are the trunk, which nothing here changes.

    Attributes:
        model: what it was built from.
        k: the first layer that trains.
        form: how batch norm is done.
        reads: the layers before k whose outputs the rest reads; none for k=0, which reads the input.
        heads: the layers that are outputs and train.
        training: whether batch norm and dropout do what they do while training.
    """

    def __init__(self, model: Model, k: int, form: BuildSettings) -> None:
        network = model.network
        self.model, self.k, self.form, self.training = model, k, form, False
        self.heads = trained_heads(model, k)
        layers = [network.layers[index] for index in network.needed(self.heads)]
        self.reads = reads(model, k)
        self._branch = [layer for layer in layers if layer.index >= k]
        self._trunk = [network.layers[index] for index in network.needed(self.reads)]
        self._forwards = {layer.index: _forward(network, layer, form, k) for layer in [*self._trunk, *self._branch]}
        self._owners = {layer.index: network.owner(layer.index).index for layer in [*self._trunk, *self._branch]}
        self._given = {index: _blocks(model, index, k) for index in sorted(set(self._owners.values()))}

    @property
    def network(self) -> Network:
        """The resolved cfg."""
        return self.model.network

    def trunk(self, x: Tensor, reads: Iterable[int] | None = None) -> dict[int, Tensor]:
        """The outputs of the layers of `reads` for pictures (pictures, channels, height, width); {-1: x} for k=0.

        Other layers may be asked for, if they are `in_trunk`.
        """
        import torch

        if self.k == 0:
            return {-1: x}
        with torch.no_grad():
            kept = self.reads if reads is None else tuple(reads)
            values = self._run(self._trunk, {-1: x}, kept, training=False)
        return {index: values[index] for index in kept}

    @property
    def in_trunk(self) -> set[int]:
        """The layers that the trunk computes."""
        return {layer.index for layer in self._trunk}

    def branch(self, features: Mapping[int, Tensor], further: Iterable[int] = ()) -> dict[int, Tensor]:
        """The input of each head, by its layer, from the outputs of `trunk`; and the outputs of further layers."""
        kept = (*self.heads, *further)
        values = self._run(self._branch, dict(features), kept, training=self.training)
        return {index: values[index] for index in kept}

    def __call__(self, x: Tensor) -> dict[int, Tensor]:
        return self.branch(self.trunk(x))

    def outputs(self, x: Tensor, layers: Iterable[int]) -> dict[int, Tensor]:
        """The outputs of any layers that heads need, as the model computes them; no gradient is taken."""
        import torch

        wanted = tuple(layers)
        with torch.no_grad():
            values = self._run([*self._trunk, *self._branch], {-1: x}, wanted, training=False)
        return {index: values[index] for index in wanted}

    def train(self, mode: bool = True) -> TorchNet:
        """Switch batch norm and dropout of the branch to their training mode."""
        self.training = mode
        return self

    def eval(self) -> TorchNet:
        """Let the branch compute what the model computes."""
        return self.train(False)

    def to(self, device: Any, *, channels_last: bool = False) -> TorchNet:
        """Move everything to a device; an optimiser made before knows the tensors all the same.

        Args:
            device: torch's.
            channels_last: lay kernels in memory as images lie that are so.
        """
        import torch

        for index, given in self._given.items():
            for block in given.values():
                block.data = block.data.to(device)
            if channels_last and isinstance(self.network.layers[index].kind, Convolutional):
                given["weights"].data = given["weights"].data.contiguous(memory_format=torch.channels_last)
        return self

    def cast_trunk(self, dtype: Any) -> TorchNet:
        """The same network with the kernels of its trunk in the type to which autocast would cast them each time."""
        other, multiplied = copy(self), (Convolutional, Deconvolutional, Connected, Local)
        other._given = dict(self._given)
        for index, given in self._given.items():
            if index < self.k and isinstance(self.network.layers[index].kind, multiplied):
                other._given[index] = {**given, "weights": given["weights"].to(dtype)}
        return other

    def share_trunk(self, other: TorchNet) -> None:
        """Take the layers before k from another network of the same base, so that they are held once."""
        self._given |= {index: given for index, given in other._given.items() if index < self.k}

    def parameters(self) -> list[Tensor]:
        """Everything that gradients change, in the file's order."""
        return [block for block in self.state_dict().values() if block.requires_grad]

    def parameters_of(self) -> list[dict[str, Any]]:
        """Groups for the optimiser, each with `params`, `decayed` and `rate`, its layers' own learning_rate=.

        Weights decay; biases and the scales of batch norm do not (update_convolutional_layer). The trunk is in none.
        """
        groups: dict[tuple[bool, float], list[Tensor]] = {}
        for index, name, block in self._blocks():
            kind = self.network.layers[index].kind
            if block.requires_grad:
                groups.setdefault((name == "weights", kind.learning_rate), []).append(block)
        return [{"params": params, "decayed": decayed, "rate": rate} for (decayed, rate), params in groups.items()]

    def state_dict(self) -> dict[str, Tensor]:
        """The blocks of the branch as `82.weights`, rolling statistics included; the trunk stands in the base."""
        return {f"{index}.{name}": block for index, name, block in self._blocks()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the values of another `state_dict` of the same network and k.

        Raises:
            BadValue: it belongs to another network or k.
        """
        import torch

        own = self.state_dict()
        found = {name: tuple(block.shape) for name, block in state.items()}
        if found != {name: tuple(block.shape) for name, block in own.items()}:
            raise BadValue("the state holds other layers than this network trains; it belongs to another cfg or k")
        with torch.no_grad():
            for name, block in own.items():
                block.copy_(state[name])

    def begin_as(self, other: TorchNet, more: int) -> None:
        """Take the numbers of another network's branch, whose layers stand `more` places before these.

        Raises:
            BadValue: they are other layers.
        """
        taken = {f"{index + more}.{name}": block for index, name, block in other._blocks()}
        self.load_state_dict(self.state_dict() | taken)

    def arrays(self) -> Iterator[tuple[int, str, Any]]:
        """(layer, block, float32 values) of the branch."""
        for index, name, block in self._blocks():
            yield index, name, block.detach().cpu().numpy().astype(FLOAT)

    def _blocks(self) -> Iterator[tuple[int, str, Tensor]]:
        for index, given in self._given.items():
            if index >= self.k:
                yield from ((index, name, block) for name, block in given.items())

    def _run(
        self, layers: list[Layer], values: dict[int, Tensor], kept: Iterable[int], training: bool
    ) -> dict[int, Tensor]:
        """The values of some layers, each forgotten as soon as nothing behind it reads it."""
        last = {index: layer.index for layer in layers for index in layer.inputs}
        last |= dict.fromkeys(kept, len(self._forwards) + len(self.network.layers))
        x = next(iter(values.values()))
        for layer in layers:
            sources = [values[index] for index in layer.operands]
            before = values[layer.index - 1] if layer.kind.reads_previous else x
            given = self._given[self._owners[layer.index]]
            with located(self.network, layer):
                values[layer.index] = self._forwards[layer.index](given, before, sources, training)
            for index in layer.inputs:
                if last[index] == layer.index:
                    values.pop(index, None)
        return values


def build(
    model: Model, k: int, *, bn_epsilon: float = 1e-5, norm: str = "batch", statistics: float = MOMENTUM,
    dropout: bool = True,
) -> TorchNet:  # fmt: skip
    """Make a network that trains from layer k on, with the model's weights.

    Args:
        model: with weights for every layer.
        k: how many leading layers stay as they are; 0 trains all of them.
        bn_epsilon: Darknet's 1e-5.
        norm: what batch norm does while training; see `BuildSettings`.
        statistics: likewise.
        dropout: likewise.

    Raises:
        BadValue: there is no such layer, or nothing trains behind it.
        Unsupported: a layer that is not trained here, or whose weights are missing.
    """
    network = model.network
    if model.weights is None or model.loaded < len(network.layers):
        raise Unsupported("has no weights for all of its layers; give a whole weights file", file=model.name)
    if not network.input.is_image:
        raise Unsupported(
            "its input is not an image: only networks with width, height and channels train", file=model.name
        )
    if not 0 <= k < len(network.layers):
        raise BadValue(f"k={k}: the network has the layers 0..{len(network.layers) - 1}", file=model.name)
    if not trained_heads(model, k):
        raise BadValue(f"k={k}: there is no head behind it that could learn; use a smaller k", file=model.name)
    net = TorchNet(model, k, BuildSettings(bn_epsilon, norm, statistics, dropout).checked())
    if not net.parameters():
        raise BadValue(f"k={k}: what lies behind it has no weights that could learn; use a smaller k", file=model.name)
    return net


def trained_heads(model: Model, k: int) -> tuple[int, ...]:
    """The heads behind the first k layers that learn: neither an ensemble's vote, nor a [softmax] with noloss=1."""
    votes = {head for task in model.tasks if task.name == task.ensemble for head in task.heads}
    votes -= {head for task in model.tasks if task.name != task.ensemble for head in task.heads}
    own = (layer for layer in model.network.heads if layer.index >= k and layer.index not in votes)
    return tuple(layer.index for layer in own if not _is_mute(model.network, layer))


def _is_mute(network: Network, head: Layer) -> bool:
    behind = network.layers[head.index + 1].kind if head.index + 1 < len(network.layers) else None
    return isinstance(head.kind, Softmax) and bool(head.kind.noloss) and not isinstance(behind, Cost)


def reads(model: Model, k: int) -> tuple[int, ...]:
    """The layers before k whose outputs the rest reads; none for k=0.

    yolov3 with k=74 reads four: 73, 71 through the shortcut 74, and 61 and 36 through its routes.
    """
    network = model.network
    layers = [network.layers[index] for index in network.needed(trained_heads(model, k)) if index >= k]
    return tuple(sorted({index for layer in layers for index in layer.inputs if 0 <= index < k}))


def trained(net: TorchNet, base: Model, *, seen: int | None = None) -> Model:
    """The network with the base's own floats for its first k layers and the trained ones behind.

    Args:
        net: after training.
        base: whose first k layers it has.
        seen: how many pictures the header is to count; None keeps the number.

    Raises:
        TrunkMismatch: the first k layers do not take as many floats in both.
    """
    network, start = net.network, net.network.start(net.k)
    if base.weights is None or base.network.start(net.k) != start:
        raise TrunkMismatch(f"the first {net.k} layers of {base.name} and of {network.name} differ in their weights")
    assert net.model.weights is not None
    rest = net.model.weights.view(start, network.params).astype(FLOAT)  # a copy; layers without a head keep theirs
    for index, name, values in net.arrays():
        layer = network.layers[index]
        begin = layer.start - start
        for tensor in layer.tensors:
            if tensor.name == name:
                ordered = values.transpose(1, 2, 3, 0) if tensor.flipped else values
                rest[begin : begin + tensor.size] = ordered.ravel()
            begin += tensor.size
    header = base.weights.header if seen is None else base.weights.header._replace(seen=seen)
    tasks = tuple(replace(task, header=header) for task in net.model.tasks)  # `split` gives each its own
    return replace(net.model, weights=Weights(header, (*base.weights.slice(0, start), rest)), tasks=tasks)


def _forward(network: Network, layer: Layer, form: BuildSettings, k: int) -> Forward:
    with located(network, layer):
        builder = admitted(network, layer, BUILD, UNSUPPORTED, "it cannot be trained")
        if layer.index >= k:
            _require_plain(layer)
        return builder(layer, form)


def _require_plain(layer: Layer) -> None:
    """Refuse keys that change the training of a layer and are not done here."""
    kind = layer.kind
    declared = keys_of(type(kind))
    for key, default in _UNTRAINED.items():
        if key in declared and declared[key].training and getattr(kind, key) != default:
            raise Unsupported(f"{key}={getattr(kind, key)} changes its training in a way that is not done here")
    if getattr(kind, "batch_normalize", 0) == 2 or getattr(kind, "cbn", 0):
        raise Unsupported("statistics across mini-batches are not done here; use batch_normalize=1")


def _blocks(model: Model, index: int, k: int) -> Given:
    """A layer's numbers as tensors; those from k on get gradients, but for rolling statistics."""
    import torch

    found = {}
    for name, values in model.tensors(index).items():
        block = torch.from_numpy(np.array(values, np.float32))  # a copy, in the file's order of meaning
        block.requires_grad_(index >= k and name not in _STATISTICS)
        found[name] = block
    return found
