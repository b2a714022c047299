"""Kinds that hold kernels: convolutions, matrices, batch norm, implicit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from darkshare.darknet.kinds.base import (
    DIALECTS,
    STATISTICS,
    A,
    H,
    Kind,
    P,
    Refs,
    Shape,
    Tensor,
    key,
    one_class_per_value,
    slide,
    trained,
    window_text,
)
from darkshare.errors import ShapeMismatch

AH = (A, H)


def statistics(n: int, part: str = "") -> tuple[Tensor, ...]:
    """The blocks of batch norm, in file order, those of a sublayer under its name with a dot."""
    return tuple(Tensor(f"{part}{name}", (n,)) for name in STATISTICS)


def conv_tensors(n: int, c: int, size: int, *, norm: bool, part: str = "") -> tuple[Tensor, ...]:
    """A convolution's blocks (Darknet's save_convolutional_weights); `c` is per group, `part` as in `statistics`."""
    return (
        Tensor(f"{part}biases", (n,)),
        *(statistics(n, part) if norm else ()),
        Tensor(f"{part}weights", (n, c, size, size)),
    )


def matrix_tensors(outputs: int, inputs: int, *, norm: bool, part: str = "") -> tuple[Tensor, ...]:
    """A matrix's blocks (save_connected_weights): batch norm comes after the weights; `part` as in `statistics`."""
    return (
        Tensor(f"{part}biases", (outputs,)),
        Tensor(f"{part}weights", (outputs, inputs)),
        *(statistics(outputs, part) if norm else ()),
    )


def blurred(y: Shape, antialiasing: int, stride_x: int, stride_y: int) -> Shape:
    """Compute the shape behind AlexeyAB's antialiasing blur of a layer that ran at stride 1."""
    size, padding = (2, 0) if antialiasing == 2 else (3, 2)
    return Shape(y.c, slide(y.h, padding, size, stride_y), slide(y.w, padding, size, stride_x))


@dataclass(init=False, repr=False, eq=False)
class Padded(Kind):
    """Base of sliding kernels: `pad` stands for half the size, else `padding` counts, on each side."""

    needs_image: ClassVar[bool] = True
    derived: ClassVar[tuple[str, ...]] = ("pads",)

    size: int = key(1, low=1)
    pad: int = key(0, derived=True)
    padding: int = key(0, derived=True, low=0)

    @property
    def pads(self) -> int:
        return self.size // 2 if self.pad else self.padding

    def slid(self, x: Shape, filters: int, stride_x: int, stride_y: int) -> Shape:
        """Compute the shape that a convolution makes of `x`; Darknet leaves the dilation out of it."""
        height = slide(x.h, 2 * self.pads, self.size, stride_y)
        return Shape(filters, height, slide(x.w, 2 * self.pads, self.size, stride_x))


@dataclass(init=False, repr=False, eq=False)
class Convolutional(Padded):
    """Convolution with optional batch norm, groups, dilation and blur (parse_convolutional)."""

    names: ClassVar[tuple[str, ...]] = ("convolutional", "conv")
    derived: ClassVar[tuple[str, ...]] = ("pads", "strides", "norm", "spread", "share_index_set")

    filters: int = key(1, low=1)
    groups: int = key(1, low=1)
    stride: int = key(1, derived=True, low=1)
    stride_x: int = key(-1, derived=True, forks=AH)
    stride_y: int = key(-1, derived=True, forks=AH)
    dilation: int = key(1, derived=True, forks=AH, low=1)
    antialiasing: int = key(0, forks=AH)
    activation: str = key("logistic")
    batch_normalize: int = key(0, derived=True)
    cbn: int = key(0, derived=True, forks=AH)
    binary: int = key(0)
    xnor: int = key(0)
    bin_output: int = key(0, forks=AH)
    flipped: int = key(0)
    share_index: Refs = key((), forks=AH, derived=True, none=-1000000000, reads=False, first_only=DIALECTS)
    assisted_excitation: float = trained(0.0, forks=AH)
    sway: int = trained(0, forks=AH)
    rotate: int = trained(0, forks=AH)
    stretch: int = trained(0, forks=AH)
    stretch_sway: int = trained(0, forks=AH)
    angle: float = trained(15.0, forks=AH)
    grad_centr: int = trained(0, forks=AH)
    reverse: float = trained(0.0, forks=AH)
    coordconv: int = trained(0, forks=AH)
    dot: float = trained(0.0)
    stream: int = trained(-1, forks=AH)
    wait_stream: int = trained(-1, forks=AH)

    @property
    def strides(self) -> tuple[int, int]:
        """(x, y)."""
        return (
            self.stride_x if self.stride_x > 0 else self.stride,
            self.stride_y if self.stride_y > 0 else self.stride,
        )

    @property
    def norm(self) -> bool:
        return bool(self.batch_normalize or self.cbn)

    @property
    def spread(self) -> int:
        """The dilation that is used: Darknet ignores it for 1x1 kernels, and for every output size."""
        return 1 if self.size == 1 else self.dilation

    @property
    def used_groups(self) -> int:
        """AlexeyAB and hank-ai drop the groups of xnor layers."""
        return 1 if self.xnor and self.dialect != P else self.groups

    def undivided(self, x: Shape) -> str:
        """Say that the groups do not divide the channels or the filters; "" where they do."""
        if x.c % self.used_groups == 0 and self.filters % self.used_groups == 0:
            return ""
        return (
            f"groups={self.used_groups} does not divide its {x.c} input channels and {self.filters} filters, "
            "so Darknet leaves some of them out; choose a divisor of both"
        )

    @property
    def share_index_set(self) -> bool:
        return bool(self.share_index)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if self.used_groups > min(x.c, self.filters):
            raise ShapeMismatch(f"groups={self.groups} is more than its {x.c} input channels or {self.filters} filters")
        return self.slid(x, self.filters, *((1, 1) if self.antialiasing else self.strides))

    def onward(self, y: Shape) -> Shape:
        return blurred(y, self.antialiasing, *self.strides) if self.antialiasing else y

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        if self.share_index:
            return ()
        *rest, weights = conv_tensors(self.filters, x.c // self.used_groups, self.size, norm=self.norm)
        return (*rest, weights._replace(flipped=bool(self.flipped)))

    def loaded_tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        if self.numload:
            return replace(self, filters=self.numload, numload=0).loaded_tensors(x, y)
        return super().loaded_tensors(x, y)

    @property
    def is_linear(self) -> bool:
        return self.activation == "linear" and not self.norm

    @property
    def window_text(self) -> str:
        return window_text(self.size, self.strides, self.spread)

    def flops(self, x: Shape, y: Shape) -> float:
        if self.dialect == P:  # in floating point, so that groups that do not divide leave a fraction
            return 2 * self.filters * self.size**2 * x.c / self.groups * y.h * y.w
        operations = 2 * self.filters * (x.c // self.used_groups) * self.size**2 * y.h * y.w
        return operations / 32 if self.xnor else operations


@dataclass(init=False, repr=False, eq=False)
class Deconvolutional(Padded):
    """Transposed convolution (pjreddie's make_deconvolutional_layer)."""

    names: ClassVar[tuple[str, ...]] = ("deconvolutional", "deconv")
    forks: ClassVar[tuple[str, ...]] = (P,)

    filters: int = key(1, low=1)
    stride: int = key(1, low=1)
    activation: str = key("logistic")
    batch_normalize: int = key(0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        grow = self.size - 2 * self.pads
        return Shape(self.filters, (x.h - 1) * self.stride + grow, (x.w - 1) * self.stride + grow)

    @property
    def window_text(self) -> str:
        return window_text(self.size, (self.stride, self.stride))

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        return conv_tensors(self.filters, x.c, self.size, norm=bool(self.batch_normalize))


@dataclass(init=False, repr=False, eq=False)
class Connected(Kind):
    """A matrix over the flattened input."""

    names: ClassVar[tuple[str, ...]] = ("connected", "conn")

    output: int = key(1, low=1)
    activation: str = key("logistic")
    batch_normalize: int = key(0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(self.output, 1, 1)

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        return matrix_tensors(self.output, x.size, norm=bool(self.batch_normalize))

    def class_count(self, y: Shape) -> int:
        return one_class_per_value(y)

    @property
    def is_linear(self) -> bool:
        return self.activation == "linear" and not self.batch_normalize


@dataclass(init=False, repr=False, eq=False)
class Batchnorm(Kind):
    """Batch norm as a layer of its own; pjreddie stores no biases for it."""

    names: ClassVar[tuple[str, ...]] = ("batchnorm",)
    forks: ClassVar[tuple[str, ...]] = (A, P)
    needs_image: ClassVar[bool] = True

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        biases = () if self.dialect == P else (Tensor("biases", (x.c,)),)
        return (*biases, *statistics(x.c))

    def loaded_tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        return () if self.dontload else self.tensors(x, y)  # dontloadscales= does not count here


@dataclass(init=False, repr=False, eq=False)
class Local(Kind):
    """A convolution with its own kernel at every place."""

    names: ClassVar[tuple[str, ...]] = ("local",)
    forks: ClassVar[tuple[str, ...]] = (A, P)
    needs_image: ClassVar[bool] = True

    filters: int = key(1, low=1)
    size: int = key(1, low=1)
    stride: int = key(1, low=1)
    pad: int = key(0)
    activation: str = key("logistic")

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        size = 1 if self.pad else self.size
        return Shape(self.filters, slide(x.h, 0, size, self.stride), slide(x.w, 0, size, self.stride))

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        kernel = (y.h * y.w, y.c, x.c, self.size, self.size)
        return Tensor("biases", (y.size,)), Tensor("weights", kernel)

    @property
    def window_text(self) -> str:
        return window_text(self.size, (self.stride, self.stride))


@dataclass(init=False, repr=False, eq=False)
class Implicit(Kind):
    """Learned values that read no input (AlexeyAB)."""

    names: ClassVar[tuple[str, ...]] = ("implicit",)
    forks: ClassVar[tuple[str, ...]] = (A,)
    reads_previous: ClassVar[bool] = False

    filters: int = key(128, low=1)
    atoms: int = key(1, low=1)
    mean: float = trained(0.0)
    std: float = trained(0.2)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(self.filters, self.atoms, 1)

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        return (Tensor("weights", (self.filters * self.atoms,)),)
