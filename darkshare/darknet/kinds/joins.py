"""Kinds that read layers by index: route, shortcut, scale_channels, sam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from darkshare.darknet.kinds.base import DIALECTS, A, H, Kind, P, Refs, Shape, Tensor, key, trained
from darkshare.errors import BadReference, BadValue, ShapeMismatch

AH = (A, H)


@dataclass(init=False, repr=False, eq=False)
class Route(Kind):
    """Concatenation of layers by channel, each cut to group `group_id` of `groups`."""

    names: ClassVar[tuple[str, ...]] = ("route",)
    reads_previous: ClassVar[bool] = False
    stops_backward: ClassVar[bool] = True

    layers: Refs = key((), derived=True)
    groups: int = key(1, forks=AH, low=1)
    group_id: int = key(0, forks=AH, low=0)
    stream: int = trained(-1, forks=AH)
    wait_stream: int = trained(-1, forks=AH)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if not sources:
            raise BadReference("[route] needs layers=, the layers that it joins")
        if self.group_id >= self.groups:
            raise BadValue(f"group_id={self.group_id} must be below groups={self.groups}")
        first = sources[0]
        if not all(source.is_image for source in sources):
            return Shape(0, 0, 0, sum(source.size for source in sources) // self.groups)
        if any((s.h, s.w) != (first.h, first.w) for s in sources):
            sizes = ", ".join(str(s) for s in sources)
            raise ShapeMismatch(f"[route] joins images of different size ({sizes}); Darknet makes it 0x0x0")
        return Shape(sum(s.c for s in sources) // self.groups, first.h, first.w)

    @property
    def is_linear(self) -> bool:
        return True

    @property
    def window_text(self) -> str:
        return f"{self.group_id + 1}/{self.groups}" if self.groups > 1 else ""  # the group and their number


@dataclass(init=False, repr=False, eq=False)
class Shortcut(Kind):
    """Sum with earlier layers; the shape is the previous layer's, the smaller channel count is added."""

    names: ClassVar[tuple[str, ...]] = ("shortcut",)
    needs_image: ClassVar[bool] = True
    stops_backward: ClassVar[bool] = True

    from_: Refs = key((), derived=True, first_only=(P,))
    activation: str = key("linear")
    alpha: float = key(1.0, forks=(P,))
    beta: float = key(1.0, forks=(P,))
    weights_type: str = key("none", forks=AH)
    weights_normalization: str = key("none", forks=AH)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if not sources:
            raise BadReference("[shortcut] needs from=, the layer that it adds")
        if self.weights_type not in ("none", "per_feature", "per_layer", "per_channel"):
            raise BadValue(f"weights_type={self.weights_type}: use none, per_feature or per_channel")
        return x

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        if self.weights_type == "none":
            return ()
        each = y.c if self.weights_type == "per_channel" else 1
        return (Tensor("weights", ((len(self.from_) + 1) * each,)),)

    def flops(self, x: Shape, y: Shape) -> float:
        if self.dialect == P:
            return 0
        return y.size * len(self.from_) * (1 if self.weights_type == "none" else 2)

    @property
    def is_linear(self) -> bool:
        return self.activation == "linear"


@dataclass(init=False, repr=False, eq=False)
class ScaleChannels(Kind):
    """The `from` layer times this layer's one value per channel (squeeze and excitation)."""

    names: ClassVar[tuple[str, ...]] = ("scale_channels",)
    forks: ClassVar[tuple[str, ...]] = AH
    needs_image: ClassVar[bool] = True

    from_: Refs = key((), derived=True, first_only=DIALECTS)
    scale_wh: int = key(0)
    activation: str = key("linear")

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if not sources:
            raise BadReference("[scale_channels] needs from=, the layer that it scales")
        y = sources[0]
        fits = (x.c == 1 and (x.h, x.w) == (y.h, y.w)) if self.scale_wh else x == Shape(y.c, 1, 1)
        if not fits:
            raise ShapeMismatch(f"[scale_channels] cannot scale {y} by {x}")
        return y


@dataclass(init=False, repr=False, eq=False)
class Sam(Kind):
    """The `from` layer times this one, element by element (spatial attention)."""

    names: ClassVar[tuple[str, ...]] = ("sam",)
    forks: ClassVar[tuple[str, ...]] = AH
    needs_image: ClassVar[bool] = True

    from_: Refs = key((), derived=True, first_only=DIALECTS)
    activation: str = key("linear")

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if not sources:
            raise BadReference("[sam] needs from=, the layer that it multiplies")
        if x != sources[0]:
            raise ShapeMismatch(f"[sam] multiplies {sources[0]} by {x}: they must be equal")
        return x
