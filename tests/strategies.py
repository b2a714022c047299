"""What hypothesis draws from: cfg-like text, headers and runs of floats, small valid networks."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from darkshare.darknet.kinds import ALL_KINDS, keys_of
from darkshare.darknet.weights import Header

# Text that is likely to meet every branch of the reader, mixed with anything at all.
_PIECES = ["[net]", "[conv]", "[", "]", "=", "#", ";", "\n", "\r\n", "\r", " ", "\t", "\x0c", "\ufeff", "\x00"]
_PIECES += ["filters", "filters=8", "a = b", "=v", "k=", "1,2,", "-1 # a, b", "é", "\u2028", "\udc80", "中"]
any_text = st.text() | st.lists(st.sampled_from(_PIECES)).map("".join)
any_bytes = st.binary() | any_text.map(lambda text: text.encode("utf-8", "surrogatepass"))

# Names and values as Darknet sees them: nothing that ends a line, splits an option or opens a comment.
words = st.text("abcdefghijklmnopqrstuvwxyz_0123456789.,-", min_size=1, max_size=12)

# What might be a number, without what C alone reads as one.
numbers = st.text("0123456789+-.eE#;,\x0c", max_size=14)

# Values that a layer may choke on.
_VALUES = ["0", "1", "2", "3", "7", "-1", "-2", "0,0", "1,1", "-1,-2", "1e9", "x"]
_VALUES += ["2147483647", "-2147483648", "99999999999"]


@st.composite
def hostile_cfgs(draw: st.DrawFn) -> str:
    """Sections and keys that exist, in any order and with any values."""
    parts = ["[net]\nwidth=8\nheight=8\nchannels=3\n"]
    for kind in draw(st.lists(st.sampled_from(ALL_KINDS), min_size=1, max_size=6)):
        parts.append(f"[{draw(st.sampled_from(kind.names))}]\n")
        keys = st.sampled_from(["learning_rate", *(name for name, key in keys_of(kind).items() if not key.training)])
        chosen = draw(st.dictionaries(keys, st.sampled_from(_VALUES), max_size=4))
        parts += [f"{key}={value}\n" for key, value in chosen.items()]
    return "".join(parts)


def headers() -> st.SearchStrategy[Header]:
    """Headers of every age; `seen` fits the 32 bits of the short form."""
    version = st.integers(0, 3) | st.sampled_from([999, 1000, 1001])
    return st.builds(Header, version, version, st.integers(0, 9), st.integers(0, 2**32 - 1))


def floats(most: int = 40) -> st.SearchStrategy[np.ndarray]:
    """A vector of any float32 bit patterns, NaNs with payload and denormals among them."""
    return st.integers(0, most).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)).map(_as_floats)


def _as_floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4")


@st.composite
def networks(draw: st.DrawFn) -> str:
    """The text of a small network that every fork can build: convolutions, joins with any references, a head."""
    size = draw(st.sampled_from([8, 16]))
    shapes: list[tuple[int, int]] = []  # (channels, side) of every layer so far
    parts = [f"[net]\nwidth={size}\nheight={size}\nchannels={draw(st.integers(1, 4))}\n"]
    parts.append(_convolution(draw, shapes, size))
    more = st.lists(st.sampled_from([_convolution, _pool, _upsample, _route, _shortcut]), max_size=9)
    parts += [make(draw, shapes, size) for make in draw(more)]
    classes, masks = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    parts.append(f"[convolutional]\nfilters={masks * (classes + 5)}\nactivation=linear\n")
    anchors = ",".join(str(1 + i) for i in range(6))
    mask = ",".join(map(str, range(masks)))
    parts.append(f"[yolo]\nmask={mask}\nanchors={anchors}\nnum=3\nclasses={classes}\n")
    return "\n".join(parts)


def _convolution(draw: st.DrawFn, shapes: list[tuple[int, int]], size: int) -> str:
    side = shapes[-1][1] if shapes else size
    filters, kernel = draw(st.integers(1, 6)), draw(st.sampled_from([1, 3, 5]))
    stride = draw(st.sampled_from([1, 2])) if side > 1 else 1
    norm = draw(st.sampled_from(["", "batch_normalize=1\n"]))
    shapes.append((filters, (side - 1) // stride + 1))
    return f"[convolutional]\n{norm}filters={filters}\nsize={kernel}\nstride={stride}\npad=1\nactivation=leaky\n"


def _pool(draw: st.DrawFn, shapes: list[tuple[int, int]], size: int) -> str:
    channels, side = shapes[-1]
    stride = draw(st.sampled_from([1, 2]))
    shapes.append((channels, (side - 1) // stride + 1))
    return f"[maxpool]\nsize=2\nstride={stride}\n"


def _upsample(draw: st.DrawFn, shapes: list[tuple[int, int]], size: int) -> str:
    channels, side = shapes[-1]
    shapes.append((channels, 2 * side))
    return "[upsample]\nstride=2\n"


def _route(draw: st.DrawFn, shapes: list[tuple[int, int]], size: int) -> str:
    first = draw(st.integers(0, len(shapes) - 1))
    alike = [i for i, shape in enumerate(shapes) if shape[1] == shapes[first][1]]
    targets = [first, *draw(st.lists(st.sampled_from(alike), max_size=3))]
    layers = ",".join(_written(draw, target, len(shapes)) for target in targets)
    shapes.append((sum(shapes[target][0] for target in targets), shapes[first][1]))
    return f"[route]\nlayers={layers}\n"


def _shortcut(draw: st.DrawFn, shapes: list[tuple[int, int]], size: int) -> str:
    alike = [i for i, shape in enumerate(shapes) if shape == shapes[-1]]
    source = _written(draw, draw(st.sampled_from(alike)), len(shapes))
    shapes.append(shapes[-1])
    return f"[shortcut]\nfrom={source}\nactivation=linear\n"


def _written(draw: st.DrawFn, target: int, index: int) -> str:
    """A reference to layer `target` from layer `index`, absolute or relative."""
    return str(draw(st.sampled_from([target, target - index])))
