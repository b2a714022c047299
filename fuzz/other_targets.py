"""Targets of darkshare's own files: recipes, ONNX, journals, pages."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from darknet_targets import Run, tasks_network, weights_texts
from mutation import TEXTS, break_json

from darkshare._texts import to_escaped
from darkshare.darknet.cfg import parse
from darkshare.darknet.network import resolve


def text_words() -> list[bytes]:
    """What a text of any encoding may hold."""
    return [
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
        b" ",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xc3\xa9",
        b"\xe9",
        b"class 1",
    ]


def json_words() -> list[bytes]:
    """What JSON is made of, and the keys of all descriptions."""
    keys = (
        "id images annotations categories image_id category_id bbox segmentation file_name width height iscrowd name "
    )
    keys += "supercategory imgs anns set legibility language class format tasks classes padded offset heads runs net "
    keys += (
        "header sha256 ensemble alpha rules layers tensor kind method space model cfg dialect values quantised engine"
    )
    marks = [b"[", b"]", b"{", b"}", b",", b"null", b"true", b"NaN", b"1e999", b'"\\ud800"', b'"\\u0000"', b'"../a"']
    return [*(f'"{key}": '.encode() for key in keys.split()), *marks, b"\xef\xbb\xbf", b"\xff\xfe", b'"' + b"[" * 60]


# recipes


def recipe_seeds() -> list[bytes]:
    """Recipes in JSON and YAML."""
    rules = [{"layers": "0-1", "alpha": 0}, {"kind": "conv*", "tensor": "rolling_*", "alpha": 1, "method": "slerp"}]
    whole = {"alpha": 0.5, "method": "slerp", "space": "folded", "rules": rules}
    yaml = b"alpha: 0.5\nrules:\n  - {layers: 0-1, alpha: 0}\n  - tensor: 'rolling_*'\n    alpha: 1\n"
    return [
        json.dumps(whole).encode(),
        json.dumps({**whole, "rules": [{"layers": [0, "1-"], "alpha": 1}]}).encode(),
        yaml,
    ]


def recipe_words() -> list[bytes]:
    """What YAML is made of."""
    return [
        *json_words(),
        b"- ",
        b": ",
        b"&a ",
        b"*a",
        b"!!bool ",
        b"2020-13-01",
        b"---\n",
        b"? ",
        b"|\n",
        b"<<: ",
        b"%YAML",
    ]


def recipes(folder: Path) -> Run:
    """A recipe that is read gives every tensor a share."""
    from darkshare.surgery.mix_recipe import read_recipe, shares, with_overrides

    layers = tasks_network().layers
    tensors = sum(len(layer.tensors) for layer in layers)

    def run(data: bytes) -> None:
        path = folder / ("fuzz.json" if data[:1] in b"{[" else "fuzz.yaml")
        path.write_bytes(data)
        recipe = with_overrides(read_recipe(path), k=1)
        recipe.require_matches(layers)
        found = shares(recipe, layers)
        assert sum(len(named) for _, named in found) == tensors
        assert all(0 <= ratio.alpha <= 1 for ratio, _ in found)

    return run


# ONNX


def onnx_seeds() -> list[bytes]:
    """Exported files of a small network: in both precisions, of open size, and without a graph."""
    import numpy as np
    import onnx

    from darkshare.darknet.model import Model
    from darkshare.darknet.tasks import Task
    from darkshare.darknet.weights import Header, Weights
    from darkshare.inference.onnx.writing import buffers

    network = resolve(parse(weights_texts(1)[0]))
    task = Task("a", ("x",), (2,), ((0, 3),))
    model = Model(network, Weights(Header(), (np.zeros(network.params, "<f4"),)), (task,))
    forms: list[dict[str, Any]] = [{}, {"precision": "fp16"}, {"batch": None, "dynamic_size": True}]
    found = [b"".join(map(bytes, buffers(model, **form))) for form in forms]
    message = onnx.load_from_string(found[0])
    message.ClearField("graph")
    return [*found, message.SerializeToString()]


def break_onnx(data: bytes, rng: Random) -> bytes:
    """Break one value of the description in the file's metadata, or one field of one part of its graph."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        message = onnx.load_from_string(data)
    except DecodeError:
        return data
    graph = message.graph
    parts = [
        one for few in (graph.node, graph.initializer, graph.input, graph.output, message.opset_import) for one in few
    ]
    if message.metadata_props and (not parts or rng.randrange(2)):
        entry = rng.choice(message.metadata_props)
        value = entry.value if isinstance(entry.value, bytes) else entry.value.encode()  # bytes where it is not UTF-8
        entry.value = break_json(value, rng).decode("utf-8", "replace")
    elif parts:
        _break_field(rng.choice(parts), rng)
    made: bytes = message.SerializeToString()
    return made


def _break_field(part: Any, rng: Random) -> None:
    """Give one field of a message another value, or none; of a message in it, one of that one's fields."""
    field = rng.choice(part.DESCRIPTOR.fields)
    value = getattr(part, field.name)
    several = hasattr(value, "append")
    if field.message_type is not None and rng.randrange(3):
        inner = list(value) if several else [value]
        if inner:
            _break_field(rng.choice(inner), rng)
    elif field.message_type is not None or not rng.randrange(3):
        part.ClearField(field.name)
    else:
        choices: dict[int, tuple[Any, ...]] = {
            field.TYPE_STRING: ("", "x", "image", "../x"),
            field.TYPE_BYTES: (b"", b"x", bytes(8)),
            field.TYPE_ENUM: (0, 1),
        }
        made = rng.choice(choices.get(field.type, (0, 1, 2, 7, 2**31 - 1)))
        value.append(made) if several else setattr(part, field.name, made)


def onnx_files(folder: Path) -> Run:
    """A file that is taken has tasks, and is an ONNX file to the checker of the onnx package too."""
    import onnx

    from darkshare.inference.onnx.reading import read_exported

    path = folder / "fuzz.onnx"

    def run(data: bytes) -> str:
        path.unlink(missing_ok=True)  # the old one may still be mapped
        path.write_bytes(data)
        found = read_exported(path)
        assert found.model.tasks
        onnx.checker.check_model(onnx.load_from_string(data))
        return "taken"

    return run


def onnx_weights(folder: Path) -> Run:
    """Weights that are taken fill the network, whatever else the file holds."""
    from darkshare.training.importing import import_weights

    path, network = folder / "weights.onnx", resolve(parse(weights_texts(1)[0]))

    def run(data: bytes) -> str:
        path.write_bytes(data)
        assert import_weights(network, path).size == network.params
        return "taken"

    return run


# journals


def journal_seeds() -> list[bytes]:
    """A journal of three updates."""
    head = b"batch,images,rate,width,height,loss,mean,iou,objectness,seconds,map\n"
    rows = b"1,64,0.001,32,32,9.5,9.5,,,0.25,\n2,128,0.001,32,32,8.5,9.4,0.5,0.25,0.25,0.75\n"
    return [head, head + rows, head + rows[:-20]]


def journals(folder: Path) -> Run:
    """What is read of a journal is written and read as the same, and goes on."""
    from darkshare.training.journal import Journal, Update

    path = folder / "fuzz.csv"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        found = Journal(path, last=10**6)
        again = Journal(path, last=10**6)
        assert repr(again.entries) == repr(found.entries)
        again.add(Update(1, 2, 0.5, 32, 32, 1.0, again.mean_with(1.0), None, None, 0.5))
        assert len(Journal(path, last=10**6).entries) == len(found.entries) + 1

    return run


# the page of `stats --html`

_NUMBERS = (None, 0.0, 1.5, -1.0, 1e300, float("inf"), float("nan"), 5e-324)


class _Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = ("data-value", "id") if tag == "tr" else ("data-value",)  # a row is called after its quantity
        self.tags.append((tag, *(name if name in named else (name, value) for name, value in attributes)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def html_seeds() -> list[bytes]:
    """Names and numbers, a field each."""
    return [
        b"base\x1fother\x1fconv\x1fweights\x1fnote\x1fverdict\x1fraw\x1f\x01\x02\x03",
        b"<b>\x1f\"'\x1f&amp;\x1f-->",
    ]


def html_words() -> list[bytes]:
    """Whatever might end a text."""
    words = (
        b"\x1f|<script>|</script>|</title>|<!--|-->|\"|'|&|&lt;|&#60;|<img src=x onerror=y>|]]>|</td>|\xff|\0|\xc2\xa0"
    )
    return words.split(b"|")


def break_fields(data: bytes, rng: Random) -> bytes:
    """Replace one field."""
    fields = data.split(b"\x1f")
    fields[rng.randrange(len(fields))] = rng.choice(
        [*html_words(), *(text.encode("utf-8", "surrogateescape") for text in TEXTS)]
    )
    return b"\x1f".join(fields)


def pages(folder: Path) -> Run:
    """Whatever the names hold, the page has the elements that it has with plain ones, and shows them."""
    from darkshare.analysis import html
    from darkshare.analysis.differences import Comparison, Difference

    patch.object(html, "differences_svg", lambda comparisons, **how: "<svg ></svg>").start()  # it takes a second

    def page(texts: list[str], number: float | None) -> _Page:
        base, other, kind, quantity, note, verdict, space = texts
        row = Difference(0, 0, kind, quantity, number, None, cosine=number, skipped=note)
        text = html.page([Comparison(base, other, space, 1, (0,), (), 0, (row,), verdict)])
        found = _Page()
        found.feed(to_escaped(text).decode())
        found.close()
        return found

    plain = {number is None: page(["a"] * 7, number).tags for number in (None, 1.0)}

    def run(data: bytes) -> None:
        fields = [one.decode("utf-8", "surrogateescape") for one in data.split(b"\x1f")]
        texts = [fields[i] if i < len(fields) else "a" for i in range(7)]
        number = _NUMBERS[len(data) % len(_NUMBERS)]
        found = page(texts, number)
        assert found.tags == plain[number is None]
        shown = "".join(found.texts)
        if number != float("inf"):  # of which the page says another note
            assert all(to_escaped(text).decode() in shown for text in texts)

    return run


# tables of losses


def loss_seeds() -> list[bytes]:
    """Tables of what a task loses at some cuts."""
    return [b"k,loss\n0,0\n2,0.5\n3,1.25\n", b"loss,k,side,cfg\n-0.5,2,,\n1e2,3,ladder,net.cfg\n", b'k,loss\n"2","1"\n']


def losses(folder: Path) -> Run:
    """A table of losses gives a plan, whatever it says, or one message."""
    from darkshare.choose_k.plans import plan
    from darkshare.darknet.model import Model

    network = tasks_network()
    base, path = Model(network, None, ()), folder / "fuzz.csv"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        found = plan(base, {"a": path, "b": path}, budget="flops<=0.9")
        assert found.front[0].cost <= found.chosen.cost <= 0.9

    return run
