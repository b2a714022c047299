"""Targets of Darknet's own files: cfgs, numbers, weights, tasks, names, labels."""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from unittest.mock import patch

from mutation import random_cfg

from darkshare._texts import raw_bytes, read_text, to_escaped
from darkshare.darknet import wrong_size
from darkshare.darknet.cfg import Cfg, dumps, parse, to_bytes
from darkshare.darknet.kinds import ALL_KINDS, DIALECTS, Net, keys_of
from darkshare.darknet.kinds.reading import atof, atoi
from darkshare.darknet.model import require_length, untransposed
from darkshare.darknet.names import read_names
from darkshare.darknet.network import Network, problems, resolve
from darkshare.darknet.tasks import tasks_from_json, tasks_to_json, weights_fingerprint
from darkshare.darknet.weights import read_weights
from darkshare.data.labels import parse_labels, read_labels
from darkshare.data.types import Box
from darkshare.errors import BadValue, DarkshareError, WeightsSize

Run = Callable[[bytes], object]
INT_MAX = 2**31 - 1
CLASSES = 3  # of the heads of networks whose weights are read
_NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"


# cfg


def cfgs() -> list[bytes]:
    """Valid cfgs of all kinds and dialects, made by chance."""
    rng = Random(12)
    return [dumps(random_cfg(rng)).encode() for _ in range(100)]


def cfg_words() -> list[bytes]:
    """Every section and every key."""
    kinds = [f"[{name}]\n" for kind in (*ALL_KINDS, Net) for name in kind.names]
    keys = sorted({f"{key}=" for kind in (*ALL_KINDS, Net) for key in keys_of(kind)})
    return [word.encode() for word in (*kinds, *keys)]


def cfg(folder: Path) -> Run:
    """Any bytes survive a round trip, and a network that resolves in a dialect is whole."""

    def run(data: bytes) -> str:
        found = parse(data.decode("utf-8", "surrogateescape"), "fuzz.cfg")
        assert to_bytes(found) == data
        return " / ".join(_outcome(found, dialect) for dialect in DIALECTS)

    return run


def _outcome(found: Cfg, dialect: str) -> str:
    try:
        network = resolve(found, dialect=dialect)
    except DarkshareError as error:
        return error.message or "an error without a message"
    assert len(network.layers) == len(found.sections) - 1
    assert network.params == sum(layer.size for layer in network.layers)
    assert all(0 < layer.y.size <= INT_MAX and layer.flops >= 0 for layer in network.layers)
    assert all(-1 <= source < layer.index for layer in network.layers for source in layer.inputs)
    return ""


def check_cfg(folder: Path) -> Run:
    """`check` reports errors of a cfg exactly where it does not resolve, or what the rules call errors."""
    from darkshare.analysis.check import check

    path = folder / "fuzz.cfg"

    def run(data: bytes) -> str:
        path.write_bytes(data)
        dialect = DIALECTS[len(data) % len(DIALECTS)]
        found = check(path, dialect=dialect)
        network, wrong = problems(parse(data.decode("utf-8", "surrogateescape"), str(path)), dialect=dialect)
        assert (network is None) == bool(wrong)
        assert not (wrong and found.is_fine)
        return found.text()

    return run


# numbers


def numbers() -> list[bytes]:
    """Numbers of every form that C reads."""
    texts = ["0", "-1", "+2", "4.7", ".5", "5.", "1e-3", "1E+5x", "0x1f", "0x1.8p3", "inf", "-nan", "nan(7)", "1e400"]
    texts += ["2147483647", "-2147483648", "2147483648", "\f\v12", "-0", "--1", "+-1", "1,2", "0x", "1e", "infinit"]
    return [
        text.encode() for text in (*texts, "00000000000000000012", "9" * 400, "1" + "0" * 400 + "e-400", "4.9e-324")
    ]


def number_words() -> list[bytes]:
    """The pieces of which numbers are made."""
    return [
        piece.encode()
        for piece in "0 1 9 - + . , e E e+ e-9 x 0x p # inf nan ( ) _ \f \v \xe9 ١ 999999999999".split(" ")
    ]


def numbers_in_c(folder: Path) -> Run:
    """`atoi` and `atof` read what the C library reads, or refuse what they say they refuse."""
    library = ctypes.CDLL(None)
    strtod, strtol = library.strtod, library.strtol
    strtod.restype, strtol.restype = ctypes.c_double, ctypes.c_long
    end = ctypes.c_char_p()
    behind = ctypes.byref(end)

    def run(data: bytes) -> None:
        raw = data.translate(None, b" \t\r\n").partition(b"\0")[0]  # as a cfg's values are when they are read
        text = raw.decode("utf-8", "surrogateescape")
        whole = strtol(raw, None, 10)
        try:
            assert atoi(text) == whole
        except BadValue:
            assert not -INT_MAX - 1 <= whole <= INT_MAX
        real = strtod(raw, behind)
        used = raw[: len(raw) - len(end.value or b"")]
        try:
            found = atof(text)
            assert struct.pack("d", found) == struct.pack("d", real)
        except BadValue:
            assert re.search(rb"[xXnN]", used)  # hexadecimal, inf or nan

    return run


# weights

_LAYOUT = struct.Struct("<BBI")  # which network, how it is read, floats; a header follows


def weights_texts(classes: int) -> list[str]:
    """Small networks with one head or more, of the same classes."""
    head = (
        f"filters={2 * (5 + classes)}\nactivation=linear\n[yolo]\nmask=0,1\nanchors=1,2,3,4\nnum=2\nclasses={classes}\n"
    )
    conv = "[conv]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\n"
    return [
        f"{_NET}{conv}[conv]\n{head}",
        f"{_NET}{conv}[maxpool]\nstride=2\n[conv]\n{head}[route]\nlayers=-3\n[conv]\nsize=3\npad=1\n{head}",
        f"{_NET}[batchnorm]\n{conv}dontloadscales=1\n[conv]\n{head}",
        f"{_NET}{conv}[connected]\noutput=5\n[softmax]\n",
        f"{_NET}{conv}dontload=1\n[conv]\nfilters={5 + classes}\n[region]\nclasses={classes}\nnum=1\nanchors=1,2\n",
        f"{_NET}[maxpool]\n",
    ]


@cache
def weights_networks() -> list[tuple[int, Network]]:
    """Every network in every dialect that knows its kinds, with its number among the texts."""
    found = enumerate(weights_texts(CLASSES))
    tried = [(i, problems(parse(text), dialect=fork)[0]) for i, text in found for fork in DIALECTS]
    return [(i, network) for i, network in tried if network]


def weights_words() -> list[bytes]:
    """Parts of headers."""
    return [struct.pack("<i", number) for number in (0, 1, 2, 5, 10, 999, 1000, 1001, -1, INT_MAX)]


def weights_seeds() -> list[bytes]:
    """Whole files of every network, with a header of every age."""
    heads = [struct.pack("<iiiq", 0, 2, 5, 64), struct.pack("<iiii", 0, 1, 0, 64), struct.pack("<iiiq", 0, 1001, 0, 1)]
    found = enumerate(weights_networks())
    return [_LAYOUT.pack(i, 0, network.params) + head for i, (_, network) in found for head in heads]


def break_weights(data: bytes, rng: Random) -> bytes:
    """Change the length to one that means something, or a number of the header."""
    networks = [network for _, network in weights_networks()]
    which, how, floats = _LAYOUT.unpack_from(data.ljust(_LAYOUT.size, b"\0"))
    head = bytearray(data[_LAYOUT.size :].ljust(16, b"\0"))
    network = networks[which % len(networks)]
    match rng.randrange(6):
        case 0:
            floats = network.start(rng.randrange(len(network.layers) + 1))
        case 1:
            floats = max(0, network.params + rng.choice((-5, -4, -1, 0, 1, 4, 5)))
        case 2:  # of other classes
            per_class = sum(2 * layer.size // layer.y.c for layer in network.layers if layer.y.c == 16)
            floats = max(0, network.params + rng.randrange(-2, 100) * per_class)
        case 3:
            floats = rng.choice(networks).params
        case 4:
            at = 4 * rng.randrange(len(head) // 4)
            head[at : at + 4] = rng.choice(weights_words())
        case _:
            which, how = rng.randrange(len(networks)), rng.randrange(256)
    return _LAYOUT.pack(which, how, floats) + bytes(head)


@cache
def _resolved(index: int, classes: int, dialect: str) -> Network:
    return resolve(parse(weights_texts(classes)[index]), dialect=dialect)


_PARAMS = wrong_size._params
_REMEMBERED: dict[tuple[int, str, str], int | None] = {}


def _remembered(network: Network, dialect: str, view: str) -> int | None:
    """The parameters of one of `weights_networks`, which live as long as the process."""
    key = id(network), dialect, view
    if key not in _REMEMBERED:
        _REMEMBERED[key] = _PARAMS(network, dialect, view)
    return _REMEMBERED[key]


def weights(folder: Path) -> Run:
    """A file of the wrong length gets an error of which every cure works."""
    networks, path = weights_networks(), folder / "fuzz.weights"
    patch.object(wrong_size, "_params", _remembered).start()  # resolving the same few networks would take all the time

    def written(head: bytes, size: int) -> Path:
        path.unlink(missing_ok=True)  # the old one may still be mapped
        with open(path, "wb") as file:
            file.write(head)
            file.truncate(size)
        return path

    def run(data: bytes) -> str:
        if len(data) < _LAYOUT.size:
            return ""
        which, how, floats = _LAYOUT.unpack_from(data)
        index, network = networks[which % len(networks)]
        head = data[_LAYOUT.size :][:24]
        size = len(head) + 4 * floats + how % 4
        found = read_weights(written(head, size), dialect=network.dialect)
        assert found.header.size(network.dialect) + 4 * found.size == size
        assert (head + bytes(20)).startswith(found.header.to_bytes(network.dialect)[: len(head)])
        try:
            require_length(network, found, partial=bool(how & 4))
        except WeightsSize as error:
            _require_cures(error.message, index, network, head, size, written)
            return error.message
        untransposed(network, found)
        return "fits"

    return run


def _require_cures(
    message: str, index: int, network: Network, head: bytes, size: int, written: Callable[[bytes, int], Path]
) -> None:
    """Try all that the message of a wrong length suggests."""
    first, floats = head.ljust(24, b"\0")[: min(size, 24)], int(re.findall(r"(\d+) found\)", message)[0])

    def fits(dialect: str = network.dialect, changed: bytes = first) -> None:
        found = read_weights(written(changed, size + len(changed) - len(first)), dialect=dialect)
        assert found.size == _resolved(index, CLASSES, dialect).params

    if said := re.search(r"try --dialect ([\w-]+)", message):
        fits(said[1])
    if said := re.search(r"it fits (\d+) class", message):
        assert _resolved(index, int(said[1]), network.dialect).params == floats
    if said := re.search(r"the first k=(\d+)(?:\.\.(\d+))?", message):
        assert all(network.start(int(k)) == floats for k in said.groups() if k)
    if "insert 4 zero bytes at offset 16" in message:
        fits(changed=first[:16] + bytes(4) + first[16:])
    if "write 2 at offset 4" in message:
        fits(changed=first[:4] + struct.pack("<i", 2) + first[8:])
    if "put one before it" in message:
        fits(changed=bytes.fromhex("00000000 02000000 05000000 0000000000000000") + first)


# tasks, names, labels


def tasks_network() -> Network:
    """A network with two heads."""
    return resolve(parse(weights_texts(CLASSES)[1]))


def tasks_seeds() -> list[bytes]:
    """Descriptions of one task and of two."""
    row = (
        '{"name": "a", "k": 0, "classes": ["x", "y", "z"], "padded": false, "offset": 0, "heads": [3], '
        '"runs": [[0, 4]], "net": {"width": "8"}, "header": [0, 2, 5, 7], "fingerprints": {"cfg": "00"}}'
    )
    other = row.replace('"a"', '"b"').replace("[3]", "[6]").replace("[[0, 4]]", "[[0, 1], [4, 7]]")
    voter = row.replace('"k"', '"ensemble": "e", "k"')
    rows = [row, f"{row}, {other}", f"{voter}, {voter.replace(chr(34) + 'a' + chr(34), chr(34) + 'c' + chr(34))}"]
    return [f'{{"format": "darkshare tasks 1", "tasks": [{text}]}}'.encode() for text in rows]


def tasks(folder: Path) -> Run:
    """A description that is read is written as one that is read as the same."""
    network = tasks_network()

    def run(data: bytes) -> None:
        found = tasks_from_json(data, network, "fuzz.tasks.json")
        assert tasks_from_json(to_escaped(tasks_to_json(found, weights_fingerprint(data))), network, "again") == found
        for task in found:
            task.row()

    return run


def names_seeds() -> list[bytes]:
    """Names in several encodings, with an empty line and a name that is there twice."""
    text = "cat\ndog\n\ncat\nHäuser und Straßen\n"
    return [text.encode(code) for code in ("utf-8", "latin-1", "utf-16", "utf-16-be")] + ["猫\r\n狗\r\n".encode("gbk")]


def names(folder: Path) -> Run:
    """A class for each line, all called differently, and written they are read as the same."""
    path = folder / "fuzz.names"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        found = read_names(path)
        assert len(found.names) == len(set(found.names)) == len(read_text(path).lines)
        path.write_bytes(raw_bytes("".join(f"{name}\n" for name in found.names)))
        assert read_names(path).names == found.names

    return run


def labels_seeds() -> list[bytes]:
    """Boxes as Darknet reads them, and as other programs write them."""
    return [
        b"0 0.5 0.5 0.25 0.125\n79 0.1 0.1 0.3 0.3\n",
        b"1.0 .5 .5 1 1\n",
        b"3,0.5,0.5,0.2,0.2\n",
        b"1 0,5 0,5 0,2 0,2\n",
    ]


def labels(folder: Path) -> Run:
    """Every box lies in the picture, and written as `import-data` writes it is read as a box."""
    path = folder / "fuzz.txt"

    def run(data: bytes) -> object:
        path.write_bytes(data)
        found = read_labels(path, 80)
        assert all(_is_whole(box) for box in found.boxes)
        text = "".join(f"{b.class_id} {b.x:.8g} {b.y:.8g} {b.w:.8g} {b.h:.8g}\n" for b in found.boxes)
        again = parse_labels(text, 80, path)
        assert {one.kind for one in again.findings} <= {"box twice"}, again.findings
        return found.findings

    return run


def _is_whole(box: Box) -> bool:
    class_id, x, y, w, h, _ = box
    small = 1e-9
    across, down = (x - w / 2, x + w / 2), (y - h / 2, y + h / 2)
    sides = all(-small <= side <= 1 + small for side in (*across, *down))
    return 0 <= class_id < 80 and w > 0 and h > 0 and sides
