"""Base of all layer kinds: frozen dataclasses whose fields are cfg keys with Darknet's defaults.

From a kind's fields and methods follow reading, reference rewriting, the weights layout, the cost, the keys that
`check` reports as unused, and whether two layers compute the same.

Conventions: a shape is (c, h, w); all divisions are C's, which truncate toward zero; FLOPs are what
Darknet prints (two per multiply-add, and nothing for the kinds that it does not count).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass, field, fields
from math import prod
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from darkshare.errors import ShapeMismatch

A, P, H = "alexeyab", "pjreddie", "hank-ai"
DIALECTS = (A, P, H)
INT_MAX = 2**31 - 1  # Darknet counts outputs and weights in C ints
MOST = 100_000  # classes or anchors of a head; the largest public one has 21 842 classes
ONE_SIDED = ("dontload", "dontloadscales", "dontsave", "numload")  # keys that only the loader or the writer follows
STATISTICS = ("scales", "rolling_mean", "rolling_variance")  # the blocks of batch norm, in file order

Refs = Annotated[tuple[int, ...], "layer references"]  # negative: relative to this layer; else absolute
T = TypeVar("T")


class Shape(NamedTuple):
    """The output of a layer. `flat` is set instead where Darknet knows a length but no image."""

    c: int
    h: int
    w: int
    flat: int = 0

    @property
    def size(self) -> int:
        return self.flat or self.c * self.h * self.w

    @property
    def is_image(self) -> bool:
        return min(self.c, self.h, self.w) > 0

    def __str__(self) -> str:
        return f"{self.w}x{self.h}x{self.c}" if self.is_image else f"{self.flat} values"


class Tensor(NamedTuple):
    """A block of the weights file. 2-D tensors are matrices of fully connected (sub)layers.

    With `flipped` the file holds the filters last: [c/g][k][k][n] instead of [n][c/g][k][k].
    """

    name: str
    shape: tuple[int, ...]
    flipped: bool = False

    @property
    def size(self) -> int:
        return prod(self.shape)


def key(
    default: T,
    *,
    forks: tuple[str, ...] = DIALECTS,
    training: bool = False,
    derived: bool = False,
    low: int | None = None,
    high: int | None = None,
    none: int | None = None,
    reads: bool = True,
    hash_ends: tuple[str, ...] = (),
    first_only: tuple[str, ...] = (),
) -> T:
    """Declare a cfg key.

    Args:
        default: Darknet's value where the key is absent.
        forks: the dialects that read it; the others report it as unused.
        training: it changes training only, so layers that differ in it still compute the same.
        derived: it is compared through a property in the kind's `derived`, because several spellings mean the same.
            Layer indices are derived as well: what a layer reads is compared by the network.
        low: the smallest value from which a layer can be built.
        high: the largest value that is taken for meant.
        none: for references, the number that means "none".
        reads: for references, whether the layer reads the outputs of the layers that it names.
        hash_ends: for lists, the dialects that stop counting items at a `#`.
        first_only: for lists, the dialects that read the first item only.
    """
    metadata = {
        "forks": forks,
        "training": training,
        "low": low,
        "high": high,
        "none": none,
        "reads": reads,
        "hash_ends": hash_ends,
        "first_only": first_only,
    }
    declared: Any = field(default=default, compare=not (training or derived), metadata=metadata)
    return declared  # type: ignore[no-any-return]


def trained(default: T, *, forks: tuple[str, ...] = DIALECTS) -> T:
    """Declare a key that only training reads."""
    return key(default, forks=forks, training=True)


@dataclass(init=False, repr=False, eq=False)
class Described:
    """A section whose keys are declared: [net] or a layer kind. A frozen dataclass.

    It has the methods of a frozen dataclass itself, because `dataclass` would compile them again for each of forty
    classes, which took a fifth of the time of a short command. Defaults are class attributes all the same.
    """

    names: ClassVar[tuple[str, ...]] = ()
    forks: ClassVar[tuple[str, ...]] = DIALECTS

    dialect: str = field(default=A, compare=False)

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - self.__dataclass_fields__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        vars(self).update(values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to {name}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name}")


@dataclass(init=False, repr=False, eq=False)
class Kind(Described):
    """The default kind: it keeps the shape, stores nothing and costs nothing.

    Everything that darkshare decides by kind is asked here, so a new kind overrides what does not fit it. Only the
    backends have tables of their own. Two instances are equal when their layers compute the same function at
    inference, references aside.

    Attributes:
        reads_previous: it reads the output of the layer before it.
        needs_image: its input must have a width, a height and channels.
        is_head: its output is one of the network's.
        gives_boxes: it is a head whose values are boxes.
        in_place: its output is the buffer of the layer before it, so it needs no memory and cannot be the first.
        pools: where it makes the image smaller, it ends a block of layers.
        stops_backward: Darknet ends the backward pass at it if it has stopbackward= and stores nothing.
        derived: properties that stand for keys with several spellings.
    """

    reads_previous: ClassVar[bool] = True
    needs_image: ClassVar[bool] = False
    is_head: ClassVar[bool] = False
    gives_boxes: ClassVar[bool] = False
    in_place: ClassVar[bool] = False
    pools: ClassVar[bool] = False
    stops_backward: ClassVar[bool] = False
    derived: ClassVar[tuple[str, ...]] = ()

    clip: float = trained(0.0, forks=(A, H))
    onlyforward: int = trained(0)
    dont_update: int = trained(0, forks=(A, H))
    burnin_update: int = trained(0, forks=(A, H))
    stopbackward: int = trained(0)
    train_only_bn: int = trained(0, forks=(A, H))
    dontload: int = trained(0)
    dontloadscales: int = trained(0)
    dontsave: int = trained(0, forks=(P,))
    numload: int = trained(0, forks=(P,))
    truth: int = trained(0, forks=(P,))
    smooth: float = trained(0.0, forks=(P,))
    learning_rate: float = trained(1.0)

    def shape(self, x: Shape, sources: Sequence[Shape]) -> Shape:
        """Compute the output shape from the previous layer's shape and the referenced layers' shapes."""
        return x

    def onward(self, y: Shape) -> Shape:
        """Compute the shape that the next layer reads; it differs from `y`, which references see, with antialiasing."""
        return y

    def tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        """List the stored blocks in file order."""
        return ()

    def loaded_tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        """List the blocks that Darknet's loader expects in a file; dontload= and the like leave some out."""
        if self.dontload:
            return ()
        return tuple(t for t in self.tensors(x, y) if not (self.dontloadscales and t.name in STATISTICS))

    def saved_tensors(self, x: Shape, y: Shape) -> tuple[Tensor, ...]:
        """List the blocks that Darknet's writer puts into a file."""
        return () if self.dontsave else self.tensors(x, y)

    def flops(self, x: Shape, y: Shape) -> float:
        """Count the operations as Darknet does."""
        return 0

    def class_count(self, y: Shape) -> int:
        """Count the classes that a layer of this kind and output shape tells apart; 0 if it tells none."""
        return 0

    @property
    def name(self) -> str:
        """The section's name."""
        return self.names[0]

    @property
    def is_linear(self) -> bool:
        """Whether it maps the mean of several inputs to the mean of their outputs."""
        return False

    @property
    def window_text(self) -> str:
        """Its window as Darknet prints it, such as "3x3/2" for a size of 3 and a stride of 2."""
        return ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and not self.differences(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def differences(self, other: Kind) -> list[str]:
        """List the reasons why two layers do not compute the same, as 'key a against b'."""
        if type(self) is not type(other):
            return [f"[{self.name}] against [{other.name}]"]
        compared = (f.name for f in fields(self) if f.compare)
        pairs = ((n, getattr(self, n), getattr(other, n)) for n in (*compared, *self.derived))
        return [f"{n.rstrip('_')} {a} against {b}" for n, a, b in pairs if a != b]


def slide(length: int, padding: int, size: int, stride: int) -> int:
    """Count the places that a window of `size` takes on `length` with this total padding.

    Raises:
        ShapeMismatch: the window is larger than the padded image.
    """
    room = length + padding - size
    if room < 0:
        raise ShapeMismatch(f"a window of {size} does not fit an image of {length} with padding {padding}")
    return room // stride + 1


def window_text(size: int, strides: tuple[int, int], dilation: int = 1) -> str:
    """Write a window as Darknet prints it.

    >>> window_text(3, (1, 1), dilation=2), window_text(2, (2, 1))
    ('3x3/1(2)', '2x2/2x1')
    """
    across, down = strides
    stride = f"{across}" if across == down else f"{across}x{down}"
    return f"{size}x{size}/{stride}" + (f"({dilation})" if dilation > 1 else "")


def one_class_per_value(y: Shape) -> int:
    """Count the classes of a classifier's output; 0 where it has more values than any classifier."""
    return y.size if y.size <= MOST else 0
