"""Recurrent kinds: the blocks of convolutions and matrices under a prefix, in each fork's order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from darkshare.darknet.kinds.base import A, H, Kind, P, Shape, Tensor, key, trained, window_text
from darkshare.darknet.kinds.dense import Padded, conv_tensors, matrix_tensors

AH = (A, H)


@dataclass(init=False, repr=False, eq=False)
class _Gates(Kind):
    """A recurrent layer made of one matrix per gate; pjreddie leaves its shape unset."""

    output: int = key(1, low=1)
    batch_normalize: int = key(0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(0, 0, 0, self.output) if self.dialect == P else Shape(self.output, 1, 1)

    def gates(self, x: Shape) -> Iterable[tuple[str, int, int]]:
        """(name, outputs, inputs) in file order."""
        raise NotImplementedError

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        blocks: list[Tensor] = []
        for name, outputs, inputs in self.gates(x):
            blocks += matrix_tensors(outputs, inputs, norm=bool(self.batch_normalize), part=f"{name}.")
        return tuple(blocks)


@dataclass(init=False, repr=False, eq=False)
class Rnn(_Gates):
    """Elman network; pjreddie has no `hidden`, it uses `output`."""

    names: ClassVar[tuple[str, ...]] = ("rnn",)

    hidden: int = key(1, forks=AH, low=1)
    activation: str = key("logistic")
    logistic: int = key(0, forks=AH)
    shortcut: int = key(0)

    def gates(self, x: Shape) -> Iterable[tuple[str, int, int]]:
        hidden = self.output if self.dialect == P else self.hidden
        return (
            ("input_layer", hidden, x.size),
            ("self_layer", hidden, hidden),
            ("output_layer", self.output, hidden),
        )


@dataclass(init=False, repr=False, eq=False)
class Gru(_Gates):
    """Gated recurrent unit; pjreddie writes the state matrices first, AlexeyAB the input ones."""

    names: ClassVar[tuple[str, ...]] = ("gru",)
    forks: ClassVar[tuple[str, ...]] = (A, P)

    tanh: int = key(0, forks=(P,))

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return Shape(0, 0, 0, self.output)

    def gates(self, x: Shape) -> Iterable[tuple[str, int, int]]:
        state, read = (self.output, self.output), (self.output, x.size)
        if self.dialect == P:
            pairs = [(n, state) for n in ("wz", "wr", "wh")] + [(n, read) for n in ("uz", "ur", "uh")]
        else:
            pairs = [(f"input_{n}_layer", read) for n in "zrh"] + [(f"state_{n}_layer", state) for n in "zrh"]
        return [(name, *size) for name, size in pairs]


@dataclass(init=False, repr=False, eq=False)
class Lstm(_Gates):
    """Long short-term memory; the forks write the gates in another order."""

    names: ClassVar[tuple[str, ...]] = ("lstm",)

    def gates(self, x: Shape) -> Iterable[tuple[str, int, int]]:
        order = "ifog" if self.dialect == P else "figo"
        state, read = (self.output, self.output), (self.output, x.size)
        return [(f"w{gate}", *state) for gate in order] + [(f"u{gate}", *read) for gate in order]


@dataclass(init=False, repr=False, eq=False)
class Crnn(Padded):
    """Convolutional Elman network; pjreddie has other keys, always 3x3 kernels with padding 1, and turns the image."""

    names: ClassVar[tuple[str, ...]] = ("crnn",)

    output: int = key(1, forks=AH, low=1)
    hidden: int = key(1, forks=AH, low=1)
    output_filters: int = key(1, forks=(P,), low=1)
    hidden_filters: int = key(1, forks=(P,), low=1)
    size: int = key(3, forks=AH, low=1)
    stride: int = key(1, forks=AH, low=1)
    dilation: int = key(1, forks=AH, low=1)
    pad: int = key(0, forks=AH, derived=True)
    padding: int = key(0, forks=AH, derived=True, low=0)
    groups: int = key(1, forks=AH, low=1)
    activation: str = key("logistic")
    batch_normalize: int = key(0)
    xnor: int = key(0, forks=AH)
    shortcut: int = key(0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        if self.dialect == P:
            return Shape(self.output_filters, x.w, x.h)  # parse_crnn hands the width over as the height
        return self.slid(x, self.output, self.stride, self.stride)

    @property
    def window_text(self) -> str:
        return window_text(self.size, (self.stride, self.stride), self.dilation)

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        hidden, output = (self.hidden_filters, self.output_filters) if self.dialect == P else (self.hidden, self.output)
        groups = 1 if self.xnor else self.groups
        sides = (("input_layer", x.c, hidden), ("self_layer", hidden, hidden), ("output_layer", hidden, output))
        blocks: list[Tensor] = []
        for name, c, n in sides:
            blocks += conv_tensors(n, c // groups, self.size, norm=bool(self.batch_normalize), part=f"{name}.")
        return tuple(blocks)

    def flops(self, x: Shape, y: Shape) -> float:
        if self.dialect == P:
            return 0
        kernels = (t for t in self.tensors(x, y) if t.name.endswith("weights"))
        operations = sum(2 * t.size * y.h * y.w for t in kernels)
        return operations / 32 if self.xnor else operations


@dataclass(init=False, repr=False, eq=False)
class ConvLstm(Padded):
    """Convolutional LSTM with optional peephole and bottleneck (AlexeyAB)."""

    names: ClassVar[tuple[str, ...]] = ("conv_lstm",)
    forks: ClassVar[tuple[str, ...]] = (A,)

    output: int = key(1, low=1)
    size: int = key(3, low=1)
    stride: int = key(1, low=1)
    dilation: int = key(1, low=1)
    groups: int = key(1, low=1)
    activation: str = key("linear")
    batch_normalize: int = key(0)
    xnor: int = key(0)
    peephole: int = key(0)
    bottleneck: int = key(0)
    shortcut: int = key(0)
    lstm_activation: str = key("tanh")
    state_constrain: int = trained(0)
    time_normalizer: float = trained(1.0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        return self.slid(x, self.output, self.stride, self.stride)

    @property
    def window_text(self) -> str:
        return window_text(self.size, (self.stride, self.stride), self.dilation)

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        n, groups = self.output, 1 if self.xnor else self.groups
        sides = [(f"v{gate}", n) for gate in "fio"] if self.peephole else []
        sides.append(("wf", 2 * n if self.bottleneck else n))
        sides += [] if self.bottleneck else [(f"w{gate}", n) for gate in "igo"]
        sides += [(f"u{gate}", x.c) for gate in "figo"]
        blocks: list[Tensor] = []
        for name, c in sides:
            blocks += conv_tensors(n, c // groups, self.size, norm=bool(self.batch_normalize), part=f"{name}.")
        return tuple(blocks)

    def flops(self, x: Shape, y: Shape) -> float:
        kernels = (t for t in self.tensors(x, y) if t.name.endswith("weights"))
        operations = sum(2 * t.size * y.h * y.w for t in kernels)
        return (operations / 32 if self.xnor else operations) + (12 if self.peephole else 9) * y.size
