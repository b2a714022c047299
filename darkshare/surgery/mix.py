"""Mix the weights of two models of one structure, or put a base's trunk back under a model trained from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, zip_longest
from typing import Any

from darkshare._tables import Result, ranges
from darkshare.analysis.frozen import compare_trunks
from darkshare.analysis.trunk import (
    Moved,
    describe,
    diagnose,
    last_stored,
    layer_difference,
    moved_tensors,
    require_same_structure,
    require_weights,
    with_input_of,
)
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import Header, Run, Weights
from darkshare.errors import BadValue, TrunkMismatch, WeightsSize, checked, warn
from darkshare.surgery.interpolate import between
from darkshare.surgery.mix_recipe import Recipe, read_recipe, shares, with_overrides

SHOWN = ("layer", "kind", "tensor", "relative", "cosine", "scale")  # of a tensor that had moved


@dataclass(frozen=True, repr=False)
class Origin(Result):
    """The share of both models in the tensors of a mix.

    Attributes:
        network: of the mix.
        recipe: the ratios.
    """

    network: Network
    recipe: Recipe

    def rows(self) -> list[dict[str, Any]]:
        layers = self.network.layers
        return [
            {
                "layers": ranges(_bridged({layer.index for layer, _ in found}, layers)),
                "tensors": ", ".join(dict.fromkeys(tensor.name for _, tensor in found)),
                "params": sum(tensor.size for _, tensor in found),
                "alpha": ratio.alpha,
                "method": ratio.method,
            }
            for ratio, found in shares(self.recipe, layers)
        ]

    def summary(self) -> str:
        return "; ".join(f"layers {row['layers']} alpha {row['alpha']:g}" for row in self.rows())


@dataclass(frozen=True, repr=False)
class Restored(Result):
    """The tensors of a model that were not the base's before its trunk was put back.

    Attributes:
        snapped: the model with the base's trunk.
        other: the model before that.
        k: how many layers were put back.
    """

    snapped: Model
    other: Model
    k: int

    @cached_property
    def moved(self) -> list[Moved]:
        """The tensors, with the way that each had moved."""
        return list(moved_tensors(self.snapped, self.other, self.k))

    def rows(self) -> list[dict[str, Any]]:
        return [moved._asdict() for moved in self.moved]

    def table(self) -> list[dict[str, Any]]:
        return [{column: row[column] for column in SHOWN} for row in self.rows()]

    def notes(self) -> list[str]:
        if not self.moved:
            same = f"layers 0..{self.k - 1} of {self.other.name} are already identical with the base's, bit for bit"
            return [f"k={self.k}: {same}"]
        cause = diagnose(self.moved, last_stored(self.snapped.network, self.k))
        found = describe(self.moved, self.snapped, self.k)
        return [f"k={self.k}: put the base's trunk back; {found}; {cause}"]

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "k": self.k}

    def summary(self) -> str:
        return f"k={self.k}, {len(self.moved)} tensors had moved"


@checked
def mix(
    base: Model,
    other: Model,
    *,
    k: int | None = None,
    alpha: float | None = None,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    method: str | None = None,
    space: str | None = None,
    bn_epsilon: float = 1e-5,
) -> Model:
    """Take each tensor from the base, from the other model, or from between them.

    Layers that differ in structure (heads with other classes, say) can only be taken whole; cfg, class names and
    heads then are those of the model that gives them. Otherwise they are the base's, unless the heads are wholly the
    other's. The result has seen no image, so its header says 0.

    Args:
        base: the first model; it may be a partial file where only its first layers are taken.
        other: the second one.
        k: layers 0..k-1 are the base's; the rest is the other's, unless an alpha is given.
        alpha: the share of the other model, 0..1, for tensors that no rule names.
        recipe: rules for single layers and tensors, of which the last one counts, or their file.
        method: linear; or slerp, which interpolates direction and length of whole kernels.
        space: raw, the values of the files; or folded, the kernels and biases with batch norm in them.
        bn_epsilon: what the engine adds to a variance before its root is taken.

    Returns:
        The mix. Its report, an `Origin`, has the share of both models in its tensors.

    Raises:
        BadValue: a k or a rule beyond the layers, or nothing that says how much to take.
        TrunkMismatch: layers that differ in structure would have to be mixed.
        WeightsSize: a partial file ends before a layer that is needed.
        Unsupported: a model has no weights.
    """
    rules = Recipe() if recipe is None else recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    how = with_overrides(rules, k=k, alpha=alpha, method=method, space=space)
    for model in (base, other):
        require_weights(model)
    fitted = with_input_of(other, base)
    layers = _all_layers(fitted, other)
    if k is not None and k > len(layers):
        raise BadValue(f"k={k} must be 1..{len(layers)}", file=other.name)
    how.require_matches(layers)
    giver = base if _giver(fitted, other, how) is fitted else other
    if giver is base and _alphas(how, base.network.heads) != {0.0}:
        _warn_of_names(base, other)
    runs = [run for layer in giver.network.layers for run in _floats(fitted, other, layer, how, bn_epsilon)]
    tasks = tuple(task.of_product(header=Header()) for task in giver.tasks)
    return Model(giver.network, Weights(Header(), tuple(runs)), tasks, Origin(giver.network, how))


def _bridged(found: set[int], layers: Sequence[Layer]) -> list[int]:
    """The layers found, and those without weights between two of them that follow each other."""
    stored = [layer.index for layer in layers if layer.tensors]
    between_two = [range(a, b) for a, b in pairwise(stored) if a in found and b in found]
    return sorted(found.union(*between_two))


@checked
def snap(base: Model, other: Model, k: int | None = None) -> Model:
    """Put the base's layers 0..k-1 under a model that was trained from it, byte for byte.

    Everything else stays the other model's: the text, the class names, the header.

    Args:
        base: whose trunk it is; it may be a partial file of at least k layers.
        other: the model that was trained from it.
        k: how many layers; without it, as many as were meant to be frozen by the look of what moved in them
            (see `frozen`).

    Returns:
        The other model on the base's trunk. Its report, a `Restored`, has the tensors that had moved.

    Raises:
        TrunkMismatch: the layers differ in structure; or, without k, the first layer was trained.
        WeightsSize: the base's file ends before layer k-1.
        BadValue: k is not 1..n.
        Unsupported: a model has no weights.
    """
    base = with_input_of(other, base)
    k = meant_trunk(base, other) if k is None else k
    if not 1 <= k <= len(other.network.layers):
        raise BadValue(f"k={k} must be 1..{len(other.network.layers)}", file=other.name)
    require_same_structure(base.network, other.network, k)
    for model in (base, other):
        require_weights(model)
        _require_layer(model, k - 1)
    assert base.weights
    assert other.weights
    start = other.network.start(k)
    runs = (*base.weights.slice(0, start), *other.weights.slice(start, other.weights.size))
    tasks = tuple(task.of_product() for task in other.tasks)
    snapped = replace(other, weights=Weights(other.weights.header, runs), tasks=tasks, report=None)
    return replace(snapped, report=Restored(snapped, other, k))


def meant_trunk(base: Model, other: Model) -> int:
    """Count the leading layers of `other` that are the base's, or moved at most as layers do that were to be frozen.

    Raises:
        TrunkMismatch: not even the first one.
    """
    trunk = compare_trunks(with_input_of(other, base), other)
    if trunk.k:
        return trunk.k
    require_same_structure(base.network, other.network, 1)
    raise TrunkMismatch(
        f"{trunk.verdict}, and not as in a trunk that was meant to be frozen; say with k how many layers to put back",
        file=other.weights.path if other.weights else other.name,
    )


def _all_layers(base: Model, other: Model) -> list[Layer]:
    """The layers that rules speak of: the other's, and the base's where it is deeper."""
    return [b or a for a, b in zip_longest(base.network.layers, other.network.layers)]


def _giver(base: Model, other: Model, recipe: Recipe) -> Model:
    """The model whose cfg fits the mix."""
    pairs = list(zip_longest(base.network.layers, other.network.layers))
    differing = [b or a for a, b in pairs if a is None or b is None or layer_difference(a, b)]
    alphas = _alphas(recipe, differing or other.network.heads)
    if alphas == {1.0}:
        return other
    if differing and alphas != {0.0}:
        raise _unmixable(base, other, differing)
    return base


def _alphas(recipe: Recipe, layers: Sequence[Layer]) -> set[float]:
    return {ratio.alpha for layer in layers for ratio in recipe.ratios(layer).values()}


def _warn_of_names(base: Model, other: Model) -> None:
    if [task.names for task in base.tasks] != [task.names for task in other.tasks]:
        warn(f"{other.name}: its class names are not the base's, which the mix keeps")


def _unmixable(base: Model, other: Model, differing: Sequence[Layer]) -> TrunkMismatch:
    first = differing[0]
    deep = first.index < min(len(base.network.layers), len(other.network.layers))
    why = layer_difference(base.network.layers[first.index], first) if deep else "only one of the models has it"
    return TrunkMismatch(
        f"layers {ranges([layer.index for layer in differing])} are not the base's ({base.name}); "
        f"{first.label}: {why}; what differs cannot be mixed, so take all of these layers whole from one model: "
        "with k, or by a rule with alpha 0 or 1",
        file=other.name,
        line=first.section.lineno,
    )


def _require_layer(model: Model, index: int) -> None:
    if model.weights and model.loaded <= index:
        raise WeightsSize(f"a partial file, it ends before layer {index}, which is needed", file=model.weights.path)


def _floats(base: Model, other: Model, layer: Layer, recipe: Recipe, epsilon: float) -> Iterator[Run]:
    """The floats of one layer of the mix: those of the model that gives all of it, or new ones."""
    ratios = recipe.ratios(layer)
    alphas = _alphas(recipe, [layer])
    if not layer.tensors:
        return
    if len(alphas) == 1 and alphas <= {0.0, 1.0}:
        weights, start, stop = _place(other if alphas == {1.0} else base, layer.index)
        yield from weights.slice(start, stop)
        return
    if recipe.space == "folded" and len(alphas) > 1:
        raise BadValue(f"{layer.label} has several alphas; with batch norm folded in, all its tensors take the same")
    a, b = (weights.view(*place) for weights, *place in (_place(base, layer.index), _place(other, layer.index)))
    yield between(layer, a, b, ratios, folded=recipe.space == "folded", epsilon=epsilon)


def _place(model: Model, index: int) -> tuple[Weights, int, int]:
    """The weights that hold a layer's own floats, with start and stop."""
    layer = model.network.layers[index]
    _require_layer(model, index)
    assert model.weights
    return model.weights, layer.start, layer.stop
