"""Recipes: the share of the second model in a mix, tensor by tensor.

A recipe file is JSON, or YAML where PyYAML is installed:

    {"alpha": 0.5, "rules": [{"layers": "0-73", "alpha": 0}, {"tensor": "rolling_*", "alpha": 1}]}
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from darkshare._files import read_small
from darkshare._texts import parsed_yaml
from darkshare.darknet.kinds import Tensor
from darkshare.darknet.network import Layer
from darkshare.errors import BadValue, DarkshareError, require_choice

METHODS, SPACES = ("linear", "slerp"), ("raw", "folded")
INSTEAD = "write the recipe as JSON"  # where PyYAML is missing
COPY = "copy"  # the method where a tensor is taken as it is
_LARGEST = 2**17  # bytes; thousands of rules, read within a second also as YAML
_LONGEST = 100  # characters of a pattern
_RANGE = re.compile(r"([0-9]{1,9})(?:(-)([0-9]{1,9})?)?")


class Ratio(NamedTuple):
    """The share of the second model, 0..1, and how the two are joined: linear, slerp or copy."""

    alpha: float
    method: str


@dataclass(frozen=True)
class Rule:
    """An alpha for some tensors: those that all of `layers`, `kind` and `tensor` name.

    Attributes:
        alpha: the share of the second model.
        layers: (first, last) runs; None for the last of the network. Without any, all layers.
        kind: a pattern for the layer's kind, such as `conv*`.
        tensor: a pattern for the tensor's name, such as `rolling_*`; a sublayer's prefix may be left out.
        method: another one than the recipe's.
    """

    alpha: float
    layers: tuple[tuple[int, int | None], ...] = ()
    kind: str = "*"
    tensor: str = "*"
    method: str | None = None

    def __post_init__(self) -> None:
        _require_alpha(self.alpha)
        if self.method is not None:
            require_choice("method", self.method, METHODS)

    def names(self, layer: Layer, tensor: str) -> bool:
        """Tell whether it applies to this tensor; "" is a layer without any."""
        index = layer.index
        inside = any(first <= index and (last is None or index <= last) for first, last in self.layers)
        named = any(fnmatchcase(name, self.tensor) for name in (tensor, tensor.rpartition(".")[2]))
        return (inside or not self.layers) and named and fnmatchcase(layer.kind.name, self.kind)


@dataclass(frozen=True)
class Recipe:
    """Rules, of which the last one that names a tensor decides.

    Attributes:
        alpha: for tensors that no rule names; None if it is given later.
        method: linear, or slerp for kernels.
        space: raw, the values of the files; or folded, with batch norm put into kernels and biases.
        rules: later ones win.
        path: the file it was read from, or "".
    """

    alpha: float | None = None
    method: str = METHODS[0]
    space: str = SPACES[0]
    rules: tuple[Rule, ...] = ()
    path: str = ""

    def __post_init__(self) -> None:
        if self.alpha is not None:
            _require_alpha(self.alpha)
        require_choice("method", self.method, METHODS)
        require_choice("space", self.space, SPACES)

    def ratio(self, layer: Layer, tensor: str = "") -> Ratio:
        """The ratio of a tensor, or of a layer without any. Statistics, scales and biases are never slerped."""
        rule = next((rule for rule in reversed(self.rules) if rule.names(layer, tensor)), None)
        alpha = rule.alpha if rule else self.alpha
        assert alpha is not None  # `with_overrides` gives one
        if alpha in (0, 1):
            return Ratio(float(alpha), COPY)
        method = (rule and rule.method) or self.method
        return Ratio(alpha, method if tensor.endswith("weights") else METHODS[0])

    def ratios(self, layer: Layer) -> dict[str, Ratio]:
        """The ratio of each tensor of a layer; under "" where it stores none."""
        return {name: self.ratio(layer, name) for name in [t.name for t in layer.tensors] or [""]}

    def require_matches(self, layers: Sequence[Layer]) -> None:
        """Refuse rules that name layers which are not there, or no tensor at all.

        Raises:
            BadValue: with the number of the rule.
        """
        for number, rule in enumerate(self.rules, 1):
            for run in rule.layers:
                if max(run[0], run[1] or 0) >= len(layers):
                    raise self._wrong(number, f"names layer {max(run[0], run[1] or 0)}, the last is {len(layers) - 1}")
            if not any(rule.names(layer, name) for layer in layers for name in self.ratios(layer)):
                raise self._wrong(number, f"names no tensor: layers, kind={rule.kind}, tensor={rule.tensor}")

    def _wrong(self, number: int, why: str) -> BadValue:
        return BadValue(f"rule {number} {why}", file=self.path)


def with_overrides(
    recipe: Recipe,
    *,
    k: int | None = None,
    alpha: float | None = None,
    method: str | None = None,
    space: str | None = None,
) -> Recipe:
    """Return a recipe with the arguments that count more than its own values.

    Args:
        recipe: the rules.
        k: layers 0..k-1 are the base's, whatever the rules say; the others are the second model's unless an alpha
            is given.
        alpha: for what no rule names.
        method: linear or slerp.
        space: raw or folded.

    Raises:
        BadValue: nothing says how much to take of what no rule names.
    """
    if k is not None and k < 1:
        raise BadValue(f"k={k}: at least one layer is the base's")
    given = [value for value in (alpha, recipe.alpha, None if k is None else 1.0) if value is not None]
    if not given:
        raise BadValue(
            "say how much to take of the second model: k, an alpha, or a recipe with an alpha for what no rule names",
            file=recipe.path,
        )
    trunk = () if k is None else (Rule(0.0, ((0, k - 1),)),)
    return replace(
        recipe,
        alpha=given[0],
        method=method or recipe.method,
        space=space or recipe.space,
        rules=(*recipe.rules, *trunk),
    )


def shares(recipe: Recipe, layers: Sequence[Layer]) -> list[tuple[Ratio, list[tuple[Layer, Tensor]]]]:
    """List the tensors of each ratio, in the order of the layers."""
    found: dict[Ratio, list[tuple[Layer, Tensor]]] = {}
    for layer in layers:
        for tensor in layer.tensors:
            found.setdefault(recipe.ratio(layer, tensor.name), []).append((layer, tensor))
    return list(found.items())


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe file: JSON, or YAML if its name ends in .yaml or .yml.

    Raises:
        DarkshareError: it cannot be read, or is not a recipe; with the number of the rule.
        Unsupported: it is YAML, and PyYAML is not installed.
    """
    name = os.fspath(path)
    text = read_small(Path(path), _LARGEST)
    try:
        yaml = name.endswith((".yaml", ".yml"))
        given = parsed_yaml(text, INSTEAD) if yaml else json.loads(text, object_pairs_hook=_unique)
        return replace(_recipe(given), path=name)
    except DarkshareError as error:
        raise error.locate(name, None) from None
    except (ValueError, RecursionError) as error:
        raise BadValue(f"is not a recipe: {error}", file=name) from None


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadValue(f"{key} is given twice in one object")
        found[key] = value
    return found


def _recipe(given: Any) -> Recipe:
    fields = _fields(given, ("alpha", "method", "space", "rules"), "a recipe")
    rules = fields.pop("rules", [])
    if not isinstance(rules, list):
        raise BadValue("rules must be a list of objects")
    return Recipe(**fields, rules=tuple(_numbered(number, rule) for number, rule in enumerate(rules, 1)))


def _numbered(number: int, given: Any) -> Rule:
    try:
        return _rule(given)
    except BadValue as error:
        raise BadValue(f"rule {number}: {error.message}") from None


def _rule(given: Any) -> Rule:
    fields = _fields(given, ("alpha", "layers", "kind", "tensor", "method"), "a rule")
    if "alpha" not in fields:
        raise BadValue("has no alpha")
    for key in ("kind", "tensor"):
        if not isinstance(fields.get(key, ""), str):
            raise BadValue(f"{key} must be a pattern in quotes, such as 'conv*'")
        if len(fields.get(key, "")) > _LONGEST:  # compiling one takes time that grows with its square
            raise BadValue(f"{key} has more than {_LONGEST} characters, and no name is so long")
    if "layers" in fields:
        fields["layers"] = _layers(fields["layers"])
    return Rule(**fields)


def _fields(given: Any, known: Sequence[str], what: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise BadValue(f"{what} must be an object with {', '.join(known)}")
    for key in given:
        if key not in known:
            raise BadValue(f"unknown key {str(key)[:40]}; {what} has {', '.join(known)}")
    return dict(given)


def _layers(given: Any) -> tuple[tuple[int, int | None], ...]:
    """`"0-73, 80, 90-"`, a number, or a list of either."""
    parts = given if isinstance(given, list) and given else [given]
    runs: list[tuple[int, int | None]] = []
    for text in (piece.strip() for part in parts for piece in str(part).split(",")):
        found = _RANGE.fullmatch(text)
        if not found:
            raise BadValue(f"layers {text[:40]!r}: write 5, '0-73', '74-' or several of them with commas")
        first, dash, last = found.groups()
        end = int(last) if last else (None if dash else int(first))
        if end is not None and end < int(first):
            raise BadValue(f"layers {text!r} ends before it begins")
        runs.append((int(first), end))
    return tuple(runs)


def _require_alpha(alpha: Any) -> None:
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise BadValue(f"alpha {str(alpha)[:40]} must be a number from 0, the base, to 1, the second model")
