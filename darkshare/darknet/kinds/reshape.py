"""Kinds that only move values or pass them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from darkshare.darknet.kinds.base import A, H, Kind, P, Shape, key, trained
from darkshare.errors import BadValue

AH, AP = (A, H), (A, P)


@dataclass(init=False, repr=False, eq=False)
class Upsample(Kind):
    """Nearest neighbour up by `stride`, or a sum down by a negative one."""

    names: ClassVar[tuple[str, ...]] = ("upsample",)
    needs_image: ClassVar[bool] = True
    stops_backward: ClassVar[bool] = True

    stride: int = key(2)
    scale: float = key(1.0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if self.stride == 0:
            raise BadValue("stride=0: an upsample needs another stride")
        if self.stride < 0:
            return Shape(x.c, x.h // -self.stride, x.w // -self.stride)
        return Shape(x.c, x.h * self.stride, x.w * self.stride)

    @property
    def is_linear(self) -> bool:
        return True


@dataclass(init=False, repr=False, eq=False)
class Reorg(Kind):
    """Space to channels in the old element order (AlexeyAB's reorg_old, pjreddie's reorg)."""

    names: ClassVar[tuple[str, ...]] = ("reorg",)
    forks: ClassVar[tuple[str, ...]] = AP
    needs_image: ClassVar[bool] = True
    pools: ClassVar[bool] = True

    stride: int = key(1, low=1)
    reverse: int = key(0)
    flatten: int = key(0, forks=(P,))
    extra: int = key(0, forks=(P,), low=0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if self.extra:
            return Shape(0, 0, 0, x.size + self.extra)
        s = self.stride
        return Shape(x.c // s**2, x.h * s, x.w * s) if self.reverse else Shape(x.c * s**2, x.h // s, x.w // s)


@dataclass(init=False, repr=False, eq=False)
class Reorg3d(Reorg):
    """The same shapes in another element order."""

    names: ClassVar[tuple[str, ...]] = ("reorg3d",)
    forks: ClassVar[tuple[str, ...]] = AH


@dataclass(init=False, repr=False, eq=False)
class Crop(Kind):
    """A random crop in training, the middle at inference; also maps pixels to -1..1 unless noadjust."""

    names: ClassVar[tuple[str, ...]] = ("crop",)
    forks: ClassVar[tuple[str, ...]] = AP
    needs_image: ClassVar[bool] = True

    crop_width: int = key(1, low=1)
    crop_height: int = key(1, low=1)
    noadjust: int = key(0)
    flip: int = trained(0)
    angle: float = trained(0.0)
    saturation: float = trained(1.0)
    exposure: float = trained(1.0)
    shift: float = trained(0.0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(x.c, self.crop_height, self.crop_width)


@dataclass(init=False, repr=False, eq=False)
class Dropout(Kind):
    """Active in training only; it shares the previous layer's buffer."""

    names: ClassVar[tuple[str, ...]] = ("dropout",)
    in_place: ClassVar[bool] = True

    probability: float = trained(0.2)
    dropblock: int = trained(0, forks=AH)
    dropblock_size_rel: float = trained(0.0, forks=AH)
    dropblock_size_abs: float = trained(0.0, forks=AH)

    @property
    def is_linear(self) -> bool:
        return True


@dataclass(init=False, repr=False, eq=False)
class Empty(Kind):
    """Passes its input on."""

    names: ClassVar[tuple[str, ...]] = ("empty", "silence")
    forks: ClassVar[tuple[str, ...]] = (A,)
    in_place: ClassVar[bool] = True

    @property
    def is_linear(self) -> bool:
        return True


@dataclass(init=False, repr=False, eq=False)
class History(Kind):
    """The last frames, stacked as channels."""

    names: ClassVar[tuple[str, ...]] = ("history",)
    forks: ClassVar[tuple[str, ...]] = (A,)
    needs_image: ClassVar[bool] = True

    history_size: int = key(4, low=1)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(x.c * self.history_size, x.h, x.w)


@dataclass(init=False, repr=False, eq=False)
class Activation(Kind):
    """A non-linearity as a layer of its own."""

    names: ClassVar[tuple[str, ...]] = ("activation",)
    forks: ClassVar[tuple[str, ...]] = AP

    activation: str = key("linear")


@dataclass(init=False, repr=False, eq=False)
class Normalization(Kind):
    """Local response normalisation across channels."""

    names: ClassVar[tuple[str, ...]] = ("normalization", "lrn")
    forks: ClassVar[tuple[str, ...]] = AP
    needs_image: ClassVar[bool] = True

    alpha: float = key(0.0001)
    beta: float = key(0.75)
    kappa: float = key(1.0)
    size: int = key(5, low=1)


@dataclass(init=False, repr=False, eq=False)
class L2norm(Kind):
    """Each place divided by its norm over the channels (pjreddie)."""

    names: ClassVar[tuple[str, ...]] = ("l2norm",)
    forks: ClassVar[tuple[str, ...]] = (P,)


@dataclass(init=False, repr=False, eq=False)
class Logistic(Kind):
    """Sigmoid with cross-entropy loss (pjreddie)."""

    names: ClassVar[tuple[str, ...]] = ("logistic",)
    forks: ClassVar[tuple[str, ...]] = (P,)
