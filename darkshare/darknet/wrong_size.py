"""Explain why a weights file does not match its cfg, and what it probably is instead."""

from __future__ import annotations

from collections.abc import Iterator

from darkshare.darknet.kinds import DIALECTS, Boxes, Convolutional
from darkshare.darknet.kinds.base import P
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.weights import Header
from darkshare.errors import DarkshareError, WeightsSize

MOST_CLASSES = 10_000  # more than any detector; YOLO9000 has 9418


def wrong_size(network: Network, floats: int, header: Header, file: str) -> WeightsSize:
    """Make the error for a file that does not hold exactly the network's floats.

    Args:
        network: what the cfg asks for.
        floats: what the file holds behind its header.
        header: the file's header.
        file: its name.
    """
    parts = [_too_short(network, floats) if floats < network.params else _too_long(network, floats)]
    parts += [f"; {guess}" for guess in _guesses(network, floats, header)][:2]
    return WeightsSize("".join(parts), file=file)


def cut_at(network: Network, floats: int) -> tuple[int, int] | None:
    """Find the first and last k for which the file holds just the layers 0..k-1, or None.

    Several k fit where layers without weights follow each other.
    """
    fits = [k for k in range(1, len(network.layers)) if network.start(k) == floats]
    return (fits[0], fits[-1]) if fits and floats else None


def _too_short(network: Network, floats: int) -> str:
    layer = next(layer for layer in network.layers if layer.stop > floats)
    left = floats - layer.start
    for tensor in layer.tensors:
        if tensor.size > left:
            return (
                f"ends inside {layer.label} '{tensor.name}': {tensor.size} floats needed, {left} left "
                f"({network.params} needed in all, {floats} found)"
            )
        left -= tensor.size
    raise AssertionError(layer)  # the layer that the file ends in has a tensor that does not fit


def _too_long(network: Network, floats: int) -> str:
    blocks = [f"{layer.label} '{tensor.name}'" for layer in network.layers for tensor in layer.tensors]
    last = blocks[-1] if blocks else "the header, because the cfg stores none"
    over = f"{floats - network.params} floats left over behind {last}"
    return f"has {over} ({network.params} needed in all, {floats} found)"


def _guesses(network: Network, floats: int, header: Header) -> Iterator[str]:
    found = cut_at(network, floats)
    if found:
        first, last = found
        ks = f"{first}" if first == last else f"{first}..{last}"
        yield (
            f"it is a partial file, the first k={ks} layers (as *.conv.{last}), "
            "which only starts a training; give the complete one"
        )
    for classes in _other_classes(network, floats):
        many = f"{classes} class{'es' if classes > 1 else ''}"
        yield f"it fits {many} in every head: it belongs to another cfg, which stands before it"
    for dialect in DIALECTS:
        alike = dialect != network.dialect and header.size(dialect) == header.size(network.dialect)
        if alike and _params(network, dialect, "load") == floats:
            yield f"it fits the dialect {dialect}: try --dialect {dialect}"
    if _params(network, network.dialect, "save") == floats:
        yield (
            "it fits what Darknet writes for this cfg, but dontload=, dontloadscales= or numload= make the "
            "loader read less: remove these keys to read it"
        )
    yield from _other_headers(network, floats, header)


def _other_headers(network: Network, floats: int, header: Header) -> Iterator[str]:
    """Say of which length the header is, if it is another one than its version means."""
    size = header.size(network.dialect)
    version = f"version {header.major}.{header.minor} means {size} bytes"
    if size == 20 and not header.is_long(P) and floats + 1 == _params(network, P, "load"):
        yield f"it fits the 16-byte header of very old versions, which pjreddie reads: try --dialect {P}"
    elif size == 20 and floats + 1 == network.params:
        yield f"it fits a 16-byte header, but {version}: insert 4 zero bytes at offset 16"
    if size == 16 and floats - 1 == network.params and header._replace(minor=2).is_long(network.dialect):
        yield f"it fits a 20-byte header, but {version}: write 2 at offset 4, the minor version"
    if floats + size // 4 == network.params:
        yield "it fits no header at all: put one before it, such as 00000000 02000000 05000000 0000000000000000"


def _other_classes(network: Network, floats: int) -> Iterator[int]:
    """Class counts, the same in every head, with which the network would have this many floats."""
    heads = network.of_kind(Boxes)
    per_class = fixed = 0
    for head in heads:
        feeder = network.layers[head.index - 1]
        if not isinstance(feeder.kind, Convolutional) or feeder.size == 0:
            return
        per_channel = feeder.size // feeder.kind.filters
        per_class += head.kind.boxes * per_channel
        fixed += head.kind.classes * head.kind.boxes * per_channel
    if not per_class:
        return
    classes, rest = divmod(floats - network.params + fixed, per_class)
    if not rest and 1 <= classes <= MOST_CLASSES:
        yield classes


def _params(network: Network, dialect: str, view: str) -> int | None:
    try:
        return resolve(network.cfg, dialect=dialect, view="save" if view == "save" else "load").params
    except DarkshareError:
        return None
