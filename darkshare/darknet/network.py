"""Networks: layers with absolute indices, shapes, costs and places in the weights file.

`resolve` is the only way to a `Network`, so every `Network` fits together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, cast

from darkshare._tables import printable, to_html
from darkshare.darknet.cfg import Cfg, Line, Section, no_collection, require_readable
from darkshare.darknet.kinds import DIALECTS, Kind, Net, Shape, Tensor, find_kind, keys_of, read_kind, references_of
from darkshare.darknet.kinds.base import INT_MAX
from darkshare.errors import BadReference, BadValue, DarkshareError, ShapeMismatch, UnknownKind, checked

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    K_co = TypeVar("K_co", bound=Kind, covariant=True, default=Kind)  # `Layer` alone is a layer of any kind
else:
    from typing import TypeVar

    K_co = TypeVar("K_co", covariant=True)
AnyKind = TypeVar("AnyKind", bound=Kind)

# Darknet's loader and writer do not agree where a cfg says dontload, dontloadscales, numload or dontsave.
View = Literal["load", "save"]
Report = Callable[[DarkshareError], None]
MOST_PROBLEMS = 100
UNKNOWN = Shape(-1, -1, -1)  # only while `problems` walks on behind an error
_SHARED = "share_index"  # the key that names the layer whose weights are used


class Ref(NamedTuple):
    """A reference to a layer: the key, the number as written, the absolute index it means.

    `reads` is False where the layer does not read the other one's output, as with share_index.
    """

    key: str
    written: int
    target: int
    reads: bool = True


@dataclass(frozen=True, slots=True)
class Layer(Generic[K_co]):
    """One layer in its place; `Layer[Route]` is one whose kind is Route.

    Attributes:
        index: counted from 0, [net] not counted.
        refs: every layer that it names, in the order of the kind's keys.
        x: the shape it reads from the previous layer.
        y: the shape that references to it see.
        onward: the shape that the next layer reads; differs from `y` only with antialiasing.
        tensors: its blocks in the weights file, in file order.
        size: the floats that they hold.
        start: where these begin, in floats behind the header.
        flops: as Darknet counts them.
    """

    index: int
    section: Section
    kind: K_co
    refs: tuple[Ref, ...]
    x: Shape
    y: Shape
    onward: Shape
    tensors: tuple[Tensor, ...]
    size: int
    start: int
    flops: float

    @property
    def sources(self) -> tuple[int, ...]:
        """All layers that it names, also those whose output it does not read."""
        return tuple(ref.target for ref in self.refs)

    @property
    def operands(self) -> tuple[int, ...]:
        """The layers that it names and whose outputs it reads."""
        return tuple(ref.target for ref in self.refs if ref.reads)

    @property
    def inputs(self) -> tuple[int, ...]:
        """All layers whose outputs it reads: the one before it, if its kind does, and its operands; -1 is the input."""
        return ((self.index - 1,) if self.kind.reads_previous else ()) + self.operands

    @property
    def shares(self) -> int | None:
        """The layer whose weights it uses in place of its own (share_index), if there is one."""
        return next((ref.target for ref in self.refs if ref.key == _SHARED), None)

    @property
    def classes(self) -> int:
        """The classes that its output tells apart; 0 if it tells none."""
        return self.kind.class_count(self.y)

    @property
    def stop(self) -> int:
        """The place behind its last float."""
        return self.start + self.size

    @property
    def label(self) -> str:
        """The layer as messages name it."""
        return f"layer {self.index} [{self.kind.name}]"

    def row(self) -> dict[str, Any]:
        """Describe the layer as a line of a table."""
        return {
            "layer": self.index,
            "kind": self.kind.name,
            "reads": " ".join(map(str, self.inputs)),
            "size/stride": self.kind.window_text,
            "output": str(self.y),
            "params": self.size,
            "classes": self.classes if self.kind.is_head else None,
        }

    def __repr__(self) -> str:
        return f"<Layer {self.index} [{self.kind.name}]: {self.y}, {self.size:,} params>"


@dataclass(frozen=True, slots=True)
class Network:
    """A resolved cfg."""

    cfg: Cfg
    net: Net
    layers: tuple[Layer, ...]
    dialect: str

    @property
    def name(self) -> str:
        return self.cfg.name

    @property
    def input(self) -> Shape:
        return self.net.input

    @property
    def params(self) -> int:
        """Floats in the weights file."""
        return self.layers[-1].stop

    @property
    def flops(self) -> float:
        return sum(layer.flops for layer in self.layers)

    @property
    def heads(self) -> tuple[Layer, ...]:
        """The outputs: every head kind, or the last layer where there is none."""
        return tuple(layer for layer in self.layers if layer.kind.is_head) or self.layers[-1:]

    def of_kind(self, kind: type[AnyKind]) -> tuple[Layer[AnyKind], ...]:
        """List the layers of a kind, or of kinds that are derived from it, in order."""
        return tuple(cast("Layer[AnyKind]", layer) for layer in self.layers if isinstance(layer.kind, kind))

    def owner(self, index: int) -> Layer:
        """Find the layer whose weights a layer uses: itself, or the one that share_index names."""
        layer = self.layers[index]
        while layer.shares is not None:
            layer = self.layers[layer.shares]
        return layer

    def needed(self, heads: Iterable[int]) -> list[int]:
        """List the layers from which the outputs of some layers are computed, these included, in order."""
        found: set[int] = set()
        waiting = list(heads)
        while waiting:
            index = waiting.pop()
            if index >= 0 and index not in found:
                found.add(index)
                waiting += self.layers[index].inputs
        return sorted(found)

    def start(self, k: int) -> int:
        """Give the place of layer k's first float; k may be the number of layers."""
        return self.layers[k].start if k < len(self.layers) else self.params

    def summary(self) -> str:
        """Describe the network in a few words."""
        return f"{self.input}, {len(self.layers)} layers, {self.params:,} params, {self.flops / 1e9:.3f} BFLOPs"

    def __repr__(self) -> str:
        return f"<Network {printable(self.name or 'unnamed')}: {self.summary()}>"

    def _repr_html_(self) -> str:
        return to_html([layer.row() for layer in self.layers], [f"{self.name}: {self.summary()}"])


@checked
def resolve(
    cfg: Cfg, *, dialect: str = "alexeyab", view: View = "load", size: tuple[int, int] | None = None
) -> Network:
    """Build the network that Darknet builds from a cfg.

    Args:
        cfg: the parsed text.
        dialect: whose reading decides where the forks differ: alexeyab, pjreddie or hank-ai.
        view: the weights layout that the loader reads, or the one that the writer writes.
        size: (width, height) instead of the cfg's.

    Raises:
        DarkshareError: the first fault, with file, line and cure.
    """

    def stop(error: DarkshareError) -> None:
        raise error

    return _walk(cfg if size is None else resized(cfg, *size), dialect, view, stop)


def problems(cfg: Cfg, *, dialect: str = "alexeyab") -> tuple[Network | None, list[DarkshareError]]:
    """Find everything that keeps a cfg from resolving; the network is None if there is anything."""
    found: list[DarkshareError] = []

    def report(error: DarkshareError) -> None:
        found.append(error)
        if len(found) == MOST_PROBLEMS:  # this is not a cfg, and more of them help nobody
            raise error

    try:
        network = _walk(cfg, dialect, "load", report)
    except DarkshareError as error:  # the last one, or a text that is not readable at all
        return None, found or [error]
    return (None if found else network), found


def resized(cfg: Cfg, width: int, height: int) -> Cfg:
    """Change the input size in [net]."""
    net, *layers = cfg.sections
    return replace(cfg, sections=(net.set(width=width, height=height), *layers))


@no_collection()
def _walk(cfg: Cfg, dialect: str, view: View, report: Report) -> Network:
    if dialect not in DIALECTS:
        raise BadValue(f"unknown dialect {dialect}; use one of {', '.join(DIALECTS)}")
    require_readable(cfg)
    net = Net()

    def located(error: DarkshareError, section: Section) -> None:
        report(error.locate(cfg.name, section.lineno))

    try:
        net = read_kind(Net, cfg.sections[0], dialect)
        _require_input(net)
    except DarkshareError as error:
        located(error, cfg.sections[0])
    layers: list[Layer] = []
    x = net.input if net.input.size > 0 else UNKNOWN
    start = 0
    known = _Known(dialect, view, len(cfg.sections) - 1, {}, {}, {}, {})
    for section in cfg.sections[1:]:
        try:
            layer = _layer(section, layers, x, start, known)
        except DarkshareError as error:
            located(error, section)
            layer = Layer(len(layers), section, Kind(), (), x, UNKNOWN, UNKNOWN, (), 0, start, 0)
        layers.append(layer)
        x, start = layer.onward, layer.stop
    return Network(cfg, net, tuple(layers), dialect)


def _require_input(net: Net) -> None:
    if net.input.size <= 0:
        raise BadValue(
            f"width={net.width}, height={net.height}, channels={net.channels}: the network has no input; "
            "set all three (or inputs=) to more than 0"
        )
    if net.input.size > INT_MAX:
        raise BadValue(f"an input of {net.input} is more than Darknet's 32-bit int can count")


class _Fitted(NamedTuple):
    """The part of a layer that follows from its kind and the shapes that it reads."""

    y: Shape
    onward: Shape
    tensors: tuple[Tensor, ...]
    size: int
    flops: float


class _Known(NamedTuple):
    """The way a cfg is read, and what its sections came to so far: most layers repeat an earlier one."""

    dialect: str
    view: View
    total: int
    kinds: dict[tuple[str, tuple[Line, ...]], Kind]
    alike: dict[tuple[type[Kind], tuple[tuple[str, Any], ...]], Kind]  # by what was read of them
    fitted: dict[tuple[int, Shape, tuple[Shape, ...]], _Fitted]  # by the id of a kind, which `kinds` keeps
    own: dict[tuple[int, Shape], list[tuple[int, ...]]]  # the shapes of blocks without share_index


def _layer(section: Section, layers: list[Layer], x: Shape, start: int, known: _Known) -> Layer:
    index = len(layers)
    if section.kind in Net.names:
        raise UnknownKind("a second [net] section: only the first section may be [net]")
    kind = known.kinds.get((section.kind, section.lines))
    if kind is None:
        kind = read_kind(find_kind(section.kind, known.dialect), section, known.dialect)
        kind = known.alike.setdefault((type(kind), tuple(vars(kind).items())), kind)
        known.kinds[section.kind, section.lines] = kind
    refs = _references(kind, section, index, known.total)
    sources = tuple(layers[ref.target].y for ref in refs)
    if UNKNOWN in sources or (kind.reads_previous and x == UNKNOWN):
        return Layer(index, section, kind, refs, x, UNKNOWN, UNKNOWN, (), 0, start, 0)
    fitted = known.fitted.get((id(kind), x, sources))
    if fitted is None:
        fitted = known.fitted[id(kind), x, sources] = _fitted(index, kind, x, sources, known.view)
    _require_owner(kind, refs, layers, x, fitted.y, known.own)
    y, onward, tensors, size, flops = fitted
    return Layer(index, section, kind, refs, x, y, onward, tensors, size, start, flops)


def _fitted(index: int, kind: Kind, x: Shape, sources: Sequence[Shape], view: View) -> _Fitted:
    if kind.needs_image and not x.is_image:
        raise ShapeMismatch(f"layer {index} [{kind.name}] needs an image, but the layer before gives {x}")
    try:
        y = kind.shape(x, sources)
        onward = kind.onward(y)
    except DarkshareError as error:
        error.message = f"layer {index}: {error.message}"
        raise
    if not y.is_image and y.flat <= 0:
        raise ShapeMismatch(
            f"layer {index} [{kind.name}] gives no value: its stride=, padding= or groups= is too large"
        )
    tensors = (kind.saved_tensors if view == "save" else kind.loaded_tensors)(x, y)
    sizes = [tensor.size for tensor in tensors]
    largest = max(y.size, *sizes) if sizes else y.size
    if largest > INT_MAX:
        raise BadValue(f"layer {index} [{kind.name}] has {largest} values, more than Darknet's 32-bit int can count")
    return _Fitted(y, onward, tensors, sum(sizes), kind.flops(x, y))


def _references(kind: Kind, section: Section, index: int, total: int) -> tuple[Ref, ...]:
    found: list[Ref] = []
    for name, declared in references_of(type(kind)).items():
        numbers = getattr(kind, declared.field)
        line = section.line_of(name) if numbers else 0
        for written in numbers:
            target = index + written if written < 0 else written
            require_earlier(kind, index, target, total, line)
            found.append(Ref(name, written, target, declared.reads))
    return tuple(found)


def require_earlier(kind: Kind, index: int, target: int, total: int, line: int) -> None:
    """Refuse a reference of layer `index`, written in `line`, that names no earlier one.

    Raises:
        BadReference: with what it names instead.
    """
    if 0 <= target < index:
        return
    if target == index:
        why = "itself"
    elif target < 0:
        why = f"layer {target}, before the first layer"
    elif target >= total:
        why = f"layer {target}, but the network ends at {total - 1}"
    else:
        why = f"layer {target}, which comes after it"
    raise BadReference(f"layer {index} [{kind.name}] refers to {why}; a layer can read earlier layers only", line=line)


def _require_owner(
    kind: Kind, refs: Sequence[Ref], layers: Sequence[Layer], x: Shape, y: Shape, own: dict[Any, list[tuple[int, ...]]]
) -> None:
    """Refuse a `share_index` to weights of another shape, where Darknet aborts."""

    def shapes(kind: Kind, x: Shape, y: Shape) -> list[tuple[int, ...]]:
        if (id(kind), x) not in own:
            alone: dict[str, Any] = {_SHARED: ()} if _SHARED in keys_of(type(kind)) else {}
            own[id(kind), x] = [tensor.shape for tensor in replace(kind, **alone).tensors(x, y)]
        return own[id(kind), x]

    for ref in refs:
        if ref.key == _SHARED:
            owner = layers[ref.target]
            if shapes(owner.kind, owner.x, owner.y) != shapes(kind, x, y):
                raise ShapeMismatch(
                    "share_index= names a layer whose weights have another shape; "
                    "give both the same filters=, size= and groups= on as many channels"
                )
