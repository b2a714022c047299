"""Pooling kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from darkshare.darknet.kinds.base import A, H, Kind, P, Shape, key, one_class_per_value, slide, trained, window_text
from darkshare.darknet.kinds.dense import blurred

AH = (A, H)


@dataclass(init=False, repr=False, eq=False)
class _Window(Kind):
    """A window whose size defaults to its stride and whose total padding defaults to size - 1."""

    needs_image: ClassVar[bool] = True
    pools: ClassVar[bool] = True
    derived: ClassVar[tuple[str, ...]] = ("window", "strides", "pads")

    stride: int = key(1, derived=True, low=1)
    stride_x: int | None = key(None, derived=True, forks=AH, low=1)
    stride_y: int | None = key(None, derived=True, forks=AH, low=1)
    size: int | None = key(None, derived=True, low=1)
    padding: int | None = key(None, derived=True, low=0)

    @property
    def strides(self) -> tuple[int, int]:
        """(x, y)."""
        return self.stride_x or self.stride, self.stride_y or self.stride

    @property
    def window(self) -> int:
        return self.size or self.stride

    @property
    def pads(self) -> int:
        """Total padding of both sides; the first window starts pads // 2 before the image."""
        return self.window - 1 if self.padding is None else self.padding

    def pooled(self, x: Shape, stride_x: int, stride_y: int) -> Shape:
        return Shape(x.c, slide(x.h, self.pads, self.window, stride_y), slide(x.w, self.pads, self.window, stride_x))

    def flops(self, x: Shape, y: Shape) -> float:
        return 0 if self.dialect == P else self.window**2 * x.c * y.h * y.w

    @property
    def window_text(self) -> str:
        return window_text(self.window, self.strides)


@dataclass(init=False, repr=False, eq=False)
class Maxpool(_Window):
    """Max-pooling over space, or over channels with maxpool_depth (make_maxpool_layer)."""

    names: ClassVar[tuple[str, ...]] = ("maxpool", "max")
    stops_backward: ClassVar[bool] = True

    maxpool_depth: int = key(0, forks=AH)
    out_channels: int = key(1, forks=AH, low=1)
    antialiasing: int = key(0, forks=AH)
    maxpool_zero_nonmax: int = trained(0, forks=AH)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if self.maxpool_depth:
            return Shape(self.out_channels, x.h, x.w)
        return self.pooled(x, *((1, 1) if self.antialiasing else self.strides))

    def onward(self, y: Shape) -> Shape:
        return blurred(y, self.antialiasing, *self.strides) if self.antialiasing else y


@dataclass(init=False, repr=False, eq=False)
class LocalAvgpool(_Window):
    """Average over a window."""

    names: ClassVar[tuple[str, ...]] = ("local_avgpool", "local_avg")
    forks: ClassVar[tuple[str, ...]] = AH

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return self.pooled(x, *self.strides)

    @property
    def is_linear(self) -> bool:
        return True


@dataclass(init=False, repr=False, eq=False)
class Avgpool(Kind):
    """Average over the whole image."""

    names: ClassVar[tuple[str, ...]] = ("avgpool", "avg")
    needs_image: ClassVar[bool] = True

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(x.c, 1, 1)

    def class_count(self, y: Shape) -> int:
        return one_class_per_value(y)

    @property
    def is_linear(self) -> bool:
        return True
