"""The collection of hostile inputs: what is wrong, and what every command must say of it.

Where the bytes matter, the file lies in `fixtures/hostile/`; what is large, cut off or derived from a good model is
built here. `test_hostile.py` runs the commands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from conftest import network_of, seeded_floats, tiny_text, write_model

from darkshare.darknet.weights import Header

DATA = Path(__file__).parent / "fixtures" / "hostile"
HEADER = 20  # bytes


class Given(NamedTuple):
    """Files on disk: what stands on the command line, and what the message must name first."""

    arguments: tuple[Path, ...]
    blamed: Path
    line: int | None = None


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        name: what is wrong.
        make: writes it into an empty folder.
        says: what the message must hold behind the place.
        fine_for: commands that rightly accept it.
    """

    name: str
    make: Callable[[Path], Given]
    says: str
    fine_for: tuple[str, ...] = ()


# --- bytes -----------------------------------------------------------------------------------------------------------

LITERAL = [
    ("bom.cfg", 1, "byte order mark"),
    ("utf16.cfg", 1, "NUL byte"),
    ("cr_only.cfg", 1, "CR alone as line end"),
    ("cr_in_comment.cfg", 7, "CR alone as line end"),
    ("nul.cfg", 8, "NUL byte"),
    ("jpeg.cfg", 1, "NUL byte"),
    ("gzip.cfg", None, "is compressed with gzip"),
    ("weights.cfg", 1, "NUL byte"),
    ("html.cfg", None, "is a web page"),
    ("lfs_pointer.cfg", None, "is a Git LFS pointer"),
    ("json.cfg", None, "no [section]"),
    ("empty.cfg", None, "no [section]"),
    ("blank.cfg", None, "no [section]"),
    ("net_only.cfg", 1, "has no layers"),
    ("no_net.cfg", 1, "starts with [convolutional]"),
    ("late_net.cfg", 1, "starts with [convolutional]"),
    ("option_first.cfg", 1, "option 'batch' before any section"),
    ("word_first.cfg", 2, "'hello' before any section"),
    ("latin1.cfg", 11, "stride=0: must be at least 1"),
    ("form_feed.cfg", 1, "has no layers"),
    ("escape.cfg", 6, r"unknown section [\x1b[31mconvolutional]"),
    ("no_newline.cfg", 8, "size=0: must be at least 1"),
]


def literal(name: str, line: int | None) -> Callable[[Path], Given]:
    def make(folder: Path) -> Given:
        path = folder / name
        path.write_bytes((DATA / name).read_bytes())
        return Given((path,), path, line)

    return make


# --- texts -----------------------------------------------------------------------------------------------------------

# (old, new, line that is blamed, message); the line is the text of the first line that starts so.
EDITS = [
    ("width=32", "width=0", "[net]", "the network has no input"),
    ("width=32", "width=-32", "width=-32", "must be at least 0"),
    ("channels=3", "# channels=3", "[net]", "the network has no input"),
    ("width=32", "width=2000000000", "[net]", "more than Darknet's 32-bit int can count"),
    ("width=32", "width=99999999999999999999", "width=9", "does not fit Darknet's 32-bit int"),
    ("filters=8", "filters=0", "filters=0", "must be at least 1"),
    ("filters=8", "filters=-8", "filters=-8", "must be at least 1"),
    ("filters=8", "filters=eight", "filters=eight", "must be at least 1"),
    ("filters=8", 'filters="8"', "filters=", "must be at least 1"),
    ("filters=8", "filters=1000000000", "[convolutional]", "more than Darknet's 32-bit int can count"),
    ("filters=8", "filters=8\ngroups=0", "groups=0", "must be at least 1"),
    ("filters=8", "filters=8\ngroups=-3", "groups=-3", "must be at least 1"),
    ("filters=8", "filters=8\ngroups=64", "[convolutional]", "more than its 3 input channels"),
    ("filters=8", "filters=8\ndilation=0", "dilation=0", "must be at least 1"),
    ("filters=8", "filters=8\npadding=-1", "padding=-1", "must be at least 0"),
    ("size=3", "size=0", "size=0", "must be at least 1"),
    ("size=3", "size=99\npad=0", "[convolutional]", "does not fit an image of 32"),
    ("stride=2", "stride=0", "stride=0", "must be at least 1"),
    ("size=2\nstride=2", "size=2\nstride=-2", "stride=-2", "must be at least 1"),
    ("[upsample]\nstride=2", "[upsample]\nstride=0", "[upsample]", "stride=0"),
    (
        "[upsample]\nstride=2",
        "[upsample]\nstride=-99",
        "[upsample]",
        "gives no value: its stride=, padding= or groups= is too large",
    ),
    ("[upsample]\nstride=2", "[upsample]\nstride=3", "[route]\nlayers=-1,2", "images of different size"),
    ("[upsample]", "[upsmaple]", "[upsmaple]", "did you mean [upsample]"),
    ("[upsample]", "[Upsample]", "[Upsample]", "did you mean [upsample]"),
    ("[upsample]", "[upsample", "[upsample", "no ']'"),
    ("[upsample]", "[upsample] # up", "[upsample] # up", "text behind ']'"),
    ("[upsample]", "[]", "[]", "unknown section []"),
    ("[upsample]", "[net]\nwidth=8\n[upsample]", "[net]\nwidth=8", "a second [net] section"),
    ("[upsample]", "[iseg]\n[upsample]", "[iseg]", "it is in pjreddie"),
    ("classes=2", "classes=3", "[yolo]", "set filters=16 in the layer before"),
    ("classes=2", "classes=0", "classes=0", "must be at least 1"),
    ("classes=2", "classes=-1", "classes=-1", "must be at least 1"),
    ("classes=2", "classes=1000000000", "classes=1", "must be at most 100000"),
    ("num=3", "num=0", "num=0", "must be at least 1"),
    ("num=3", "num=1000000000", "num=1", "must be at most 100000"),
    ("mask=0,1", "mask=0,1,2", "[yolo]", "set filters=21 in the layer before"),
    ("mask=0,1", "mask=0,1,", "[yolo]", "set filters=21 in the layer before"),
    ("mask=0,1", "# mask=0,1", "[yolo]", "set filters=21 in the layer before"),
    ("filters=14", "filters=15", "[yolo]", "but gets 15"),
    ("[route]\nlayers=-3", "[route]", "[route]", "needs layers="),
    ("[route]\nlayers=-3", "[route]\nlayers=", "[route]", "needs layers="),
    ("layers=-3", "layers=-3\ngroups=0", "groups=0", "must be at least 1"),
    ("layers=-3", "layers=-3\ngroups=2\ngroup_id=2", "[route]", "group_id=2 must be below groups=2"),
    ("layers=-3", "layers=-3\ngroups=2\ngroup_id=-1", "group_id=-1", "must be at least 0"),
    ("layers=-1,2", "layers=-1,0,5", "[route]\nlayers=-1,0,5", "images of different size"),
    ("from=-2", "# from=-2", "[shortcut]", "needs from="),
    ("from=-2", "from=-2\nweights_type=per_moon", "[shortcut]", "weights_type=per_moon"),
    ("layers=-3", "layers=8", "layers=8", "refers to layer 8, which comes after it"),  # and 8 reads 7: a circle
]


def edited(old: str, new: str, blamed: str) -> Callable[[Path], Given]:
    def make(folder: Path) -> Given:
        good = tiny_text()
        assert old in good, old
        text = good.replace(old, new, 1)
        place = text.find("\n" + blamed)
        assert place >= 0 or text.startswith(blamed), blamed
        path = folder / "edited.cfg"
        path.write_text(text)
        return Given((path,), path, text[: place + 1].count("\n") + 1)

    return make


# Every key that names layers, at index 13; %s is the index.
REFERENCES = {
    "layers": "[route]\nlayers=%s\n",
    "second of layers": "[route]\nlayers=4,%s\n",
    "from of a shortcut": "[shortcut]\nfrom=%s\n",
    "second from of a shortcut": "[shortcut]\nfrom=12,%s\n",
    "from of scale_channels": "[scale_channels]\nfrom=%s\n",
    "from of sam": "[sam]\nfrom=%s\n",
    "share_index": "[convolutional]\nfilters=4\nshare_index=%s\n",
    "embedding_layer": "[yolo]\nmask=0\nclasses=2\nembedding_layer=%s\n",
    "yolo_layer": "[contrastive]\nyolo_layer=%s\n",
}
INDICES = {
    "itself": ("13", "refers to itself"),
    "the next": ("14", "comes after it"),
    "far out of range": ("2000000000", "the network ends at 14"),
    "before the first": ("-99", "before the first layer"),
}


def referring(text: str, index: str) -> Callable[[Path], Given]:
    def make(folder: Path) -> Given:
        path = folder / "referring.cfg"
        start = tiny_text()
        path.write_text(start + "\n" + text % index + "\n[dropout]\n")
        line = start.count("\n") + 2 + next(i for i, row in enumerate(text.split("\n")) if "%s" in row)
        return Given((path,), path, line)

    return make


ADDED = [
    ("[convolutional]\n", "cost and convolutional", "[cost]\n\n", "needs an image"),
    ("[crop]\ncrop_height=0\n", "crop of nothing", "", "must be at least 1"),
    ("[connected]\noutput=0\n", "no outputs", "", "must be at least 1"),
    ("[connected]\noutput=2147483647\n", "a matrix beyond int", "", "more than Darknet's 32-bit int can count"),
    ("[rnn]\nhidden=-1\n", "no hidden values", "", "must be at least 1"),
    ("[reorg]\nstride=64\n", "reorg too large", "", "gives no value: its stride=, padding= or groups= is too large"),
    ("[detection]\nside=7\n", "detection of another size", "", "[detection] reads"),
    ("[region]\nnum=5\n", "region of another depth", "", "set filters=125"),
    ("[scale_channels]\nfrom=0\n", "scale that is not a scale", "", "cannot scale"),
    ("[sam]\nfrom=4\n", "attention of another shape", "", "they must be equal"),
    (
        "[convolutional]\nfilters=8\nshare_index=0\n",
        "shared weights of another shape",
        "",
        "weights have another shape",
    ),
]


def added(text: str, before: str) -> Callable[[Path], Given]:
    def make(folder: Path) -> Given:
        path = folder / "added.cfg"
        start = tiny_text() + "\n" + before
        path.write_text(start + text)
        return Given((path,), path)

    return make


# --- sizes -----------------------------------------------------------------------------------------------------------

SMALL = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\n"
LARGE = [
    ("one line of 10 MB", lambda: SMALL + "x" * 10**7, None, "bytes, which is not a Darknet cfg"),
    ("20 MB of layers", lambda: SMALL + "[dropout]\n" * 2 * 10**6, None, "bytes, which is not a Darknet cfg"),
    ("a list of 200 000 layers", lambda: SMALL + "[route]\nlayers=" + "0," * 2 * 10**5 + "9\n", 8, "a line of 400009"),
    ("a section name of 100 000", lambda: SMALL + "[" + "a" * 10**5 + "]\n", 7, "a line of 100003"),
    ("30 000 unknown sections", lambda: SMALL + "[a]\n" * 30000, 7, "unknown section [a]"),
    ("100 000 layers", lambda: SMALL + "[gru]\n" * 10**5, None, "has 100001 layers, more than any network"),
    ("500 000 empty lines", lambda: "\n" * 5 * 10**5, None, "no [section]"),
    ("100 000 options, then a bad one", lambda: SMALL + "a=b\n" * 10**5 + "size=0\n", 10**5 + 7, "size=0"),
    ("10 000 layers, then a bad one", lambda: SMALL + "[dropout]\n" * 10**4 + "[drop]\n", 10**4 + 7, "unknown section"),
    (
        "30 000 references, one bad",
        lambda: SMALL + "[route]\nlayers=" + "0," * 3 * 10**4 + "9\n",
        8,
        "refers to layer 9",
    ),
]


def large(text: Callable[[], str], line: int | None) -> Callable[[Path], Given]:
    def make(folder: Path) -> Given:
        path = folder / "large.cfg"
        path.write_text(text())
        return Given((path,), path, line)

    return make


# --- weights ---------------------------------------------------------------------------------------------------------


def good(folder: Path) -> tuple[Path, Path, bytes]:
    """A good model, and the bytes of its weights."""
    text = tiny_text()
    cfg = write_model(folder / "tiny", text, seeded_floats(network_of(text), 1))
    weights = folder / "tiny.weights"
    return cfg, weights, weights.read_bytes()


def weights_case(change: Callable[[bytes], bytes]) -> Callable[[Path], Given]:
    def make(folder: Path) -> Given:
        cfg, weights, data = good(folder)
        weights.write_bytes(change(data))
        return Given((cfg, weights), weights)

    return make


def cut_inside(layer: int, tensor: str) -> Callable[[bytes], bytes]:
    """Bytes up to the middle of a tensor."""
    found = network_of(tiny_text()).layers[layer]
    sizes = [t.size for t in found.tensors]
    at = [t.name for t in found.tensors].index(tensor)
    floats = found.start + sum(sizes[:at]) + sizes[at] // 2
    return lambda data: data[: HEADER + 4 * floats]


def between(layer: int) -> Callable[[bytes], bytes]:
    return lambda data: data[: HEADER + 4 * network_of(tiny_text()).layers[layer].start]


def five_classes(data: bytes) -> bytes:
    return data[:HEADER] + bytes(4 * network_of(tiny_text(5)).params)


WEIGHTS = [
    ("no bytes", lambda data: b"", "16 or 20 bytes needed, 0 found"),
    ("ends inside the version", lambda data: data[:7], "16 or 20 bytes needed, 7 found"),
    ("ends before seen", lambda data: data[:12], "16 or 20 bytes needed, 12 found"),
    ("ends inside seen", lambda data: data[:17], "20 bytes needed, 17 found"),
    ("ends behind the header", lambda data: data[:20], "ends inside layer 0 [convolutional] 'biases'"),
    ("ends inside biases", cut_inside(0, "biases"), "ends inside layer 0 [convolutional] 'biases'"),
    ("ends inside scales", cut_inside(1, "scales"), "ends inside layer 1 [convolutional] 'scales'"),
    ("ends inside means", cut_inside(1, "rolling_mean"), "ends inside layer 1 [convolutional] 'rolling_mean'"),
    ("ends inside variances", cut_inside(4, "rolling_variance"), "layer 4 [convolutional] 'rolling_variance'"),
    ("ends inside weights", cut_inside(11, "weights"), "ends inside layer 11 [convolutional] 'weights'"),
    ("ends inside a float", lambda data: data[:-1], "not a whole number of floats"),
    ("two bytes too many", lambda data: data + b"ab", "not a whole number of floats"),
    ("a float too many", lambda data: data + bytes(4), "1 floats left over behind layer 11"),
    ("padded to 64 kB", lambda data: data.ljust(65536 + HEADER, b"\0"), "floats left over"),
    ("other class count", five_classes, "it fits 5 classes in every head"),
    (
        "old header, one float short",
        lambda data: Header(0, 1, 0).to_bytes("alexeyab") + data[24:],
        "ends inside layer 11",
    ),
    ("a header of 16 bytes, version of 20", lambda data: data[:16] + data[20:], "it fits a 16-byte header"),
    ("a web page", lambda data: b"<!DOCTYPE html>\n<title>404: Not Found</title>\n\n\n", "is a web page"),
    ("a cfg", lambda data: tiny_text().encode().ljust(800), "ends inside"),
    ("random bytes", lambda data: bytes(i * 37 % 256 for i in range(4001)), "not a whole number of floats"),
]


def weights_path(build: Callable[[Path, Path], Path]) -> Callable[[Path], Given]:
    """A good cfg with another path for its weights."""

    def make(folder: Path) -> Given:
        cfg, weights, _ = good(folder)
        path = build(folder, weights)
        return Given((cfg, path), path)

    return make


# --- files that are none ---------------------------------------------------------------------------------------------


def directory(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def below_a_file(folder: Path, name: str) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / name


def pipe(folder: Path, name: str) -> Path:
    os.mkfifo(folder / name)
    return folder / name


def device(folder: Path, name: str) -> Path:
    (folder / name).symlink_to("/dev/zero")
    return folder / name


def link_circle(folder: Path, name: str) -> Path:
    (folder / name).symlink_to(folder / name)
    return folder / name


def forbidden(folder: Path, name: str) -> Path:
    (folder / name).write_text(tiny_text())
    (folder / name).chmod(0)
    return folder / name


ODD_PATHS = [
    ("missing", lambda folder, name: folder / name, "No such file or directory"),
    ("directory", directory, "Is a directory"),
    ("below a file", below_a_file, "Not a directory"),
    ("pipe", pipe, "not a regular file"),
    ("device", device, "not a regular file"),
    ("link to itself", link_circle, "Too many levels of symbolic links"),
    ("forbidden", forbidden, "Permission denied"),
]


def odd_weights(build: Callable[[Path, str], Path]) -> Callable[[Path, Path], Path]:
    return lambda folder, _: build(folder, "odd.weights")


def odd_cfg(build: Callable[[Path, str], Path]) -> Callable[[Path], Given]:
    def make(folder: Path) -> Given:
        path = build(folder, "odd.cfg")
        return Given((path,), path)

    return make


# --- what lies beside ------------------------------------------------------------------------------------------------


def beside(suffix: str, text: str) -> Callable[[Path], Given]:
    def make(folder: Path) -> Given:
        cfg, weights, _ = good(folder)
        path = cfg.with_suffix(suffix)
        path.write_text(text)
        return Given((cfg, weights), path)

    return make


def tasks(**changes: object) -> str:
    """A description of the tiny model as one task, with changes."""
    row: dict[str, object] = {
        "name": "tiny",
        "classes": ["a", "b"],
        "padded": False,
        "offset": 0,
        "heads": [6, 12],
        "runs": [[0, 13]],
        "net": {},
        "header": [0, 2, 5, 0],
        "fingerprints": {},
    }
    return json.dumps({"format": "darkshare tasks 1", "tasks": [row | changes]})


BESIDE = [
    ("too few names", ".names", "a\n", "holds 1 names, but the heads have 2 classes"),
    ("too many names", ".names", "a\nb\nc\n", "holds 3 names, but the heads have 2 classes"),
    ("empty names", ".names", "", "holds 0 names"),
    ("names of 2 MB", ".names", "a\n" * 2**20, "more than any such file"),
    ("tasks that are not JSON", ".tasks.json", "{", "is not a task description"),
    ("tasks of another format", ".tasks.json", '{"format": "x", "tasks": []}', "is not a task description"),
    ("tasks as a list", ".tasks.json", "[1, 2]", "is not a task description"),
    ("tasks nested 100 000 deep", ".tasks.json", "[" * 10**5, "is not a task description"),
    (
        "tasks without a task",
        ".tasks.json",
        '{"format": "darkshare tasks 1", "tasks": []}',
        "is not a task description",
    ),
    ("tasks of infinity", ".tasks.json", tasks(runs=[[0, 1e999]]), "is not a task description"),
    ("tasks with a short header", ".tasks.json", tasks(header=["x"]), "is not a task description"),
    ("tasks with heads in words", ".tasks.json", tasks(heads=["six"]), "is not a task description"),
    ("tasks of another cfg", ".tasks.json", tasks(heads=[6, 120]), "names layers that the cfg does not have"),
    ("tasks with a backward run", ".tasks.json", tasks(runs=[[5, 2]]), "names layers that the cfg does not have"),
    ("tasks with other classes", ".tasks.json", tasks(classes=list("abcdef")), "its heads have 2"),
    ("tasks with an offset", ".tasks.json", tasks(offset=7), "its heads have 2"),
]


def _cases() -> Sequence[Case]:
    cases = [Case(name, literal(name, line), says) for name, line, says in LITERAL]
    cases += [
        Case(f"{new} for {old}".replace("\n", " "), edited(old, new, blamed), says) for old, new, blamed, says in EDITS
    ]
    cases += [
        Case(f"{key}: {what}", referring(text, index), says)
        for key, text in REFERENCES.items()
        for what, (index, says) in INDICES.items()
    ]
    cases += [Case(name, added(text, before), says) for text, name, before, says in ADDED]
    cases += [Case(name, large(text, line), says) for name, text, line, says in LARGE]
    cases += [Case(f"weights: {name}", weights_case(change), says) for name, change, says in WEIGHTS]
    partial = weights_case(between(4))
    says = "it is a partial file, the first k=2..4"
    takers = ("draw", "cut", "stats", "frozen", "kit", "train", "sweep", "suggest-k")
    cases.append(Case("weights: end between layers", partial, says, takers))
    cases += [Case(f"cfg: {name}", odd_cfg(build), says) for name, build, says in ODD_PATHS]
    cases += [Case(f"weights: {name}", weights_path(odd_weights(build)), says) for name, build, says in ODD_PATHS]
    cases += [Case(name, beside(suffix, text), says) for name, suffix, text, says in BESIDE]
    return cases


CASES = _cases()
