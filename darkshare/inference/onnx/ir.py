"""OpenVINO's form of a network, an .xml with its weights in a .bin, held against the network that it says it is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from darkshare._files import read_small, reading, require_regular
from darkshare.errors import DarkshareError
from darkshare.inference.onnx.checking import disagreement
from darkshare.inference.onnx.graph import INPUT, ExportForm, Graph, value_dims

SECTION = "darkshare"  # of an .xml file's rt_info
LARGEST = 2**24  # bytes of an .xml; that of a network of a thousand layers has a third of it
TYPES = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "u8": 1, "boolean": 1}  # bytes
_PARTS = {"data", "input", "output", "rt_info"}  # of a layer; those with graphs inside have others
_OPSET = re.compile(r"opset\d+")
_CONVOLUTION = re.compile(r"(L\d+_Conv(?:Transpose)?(?:_\d+)?)(?:/WithoutBiases)?")
Dims = list[int]


def read_ir(path: Path) -> ElementTree.Element:
    """Read an .xml file.

    Raises:
        DarkshareError: it cannot be read, is not such a file, or has no .bin beside it.
    """
    data = read_small(path, LARGEST)
    try:
        text = data.decode()
        if "\0" in text:  # a parser would take it for another encoding
            raise ValueError("it holds zero bytes")
        if "<!" in text:
            raise ValueError("it has comments or declares a document type, which OpenVINO does not write")
        root = ElementTree.fromstring(text)  # noqa: S314  without declarations there are no entities
    except (ElementTree.ParseError, ValueError) as error:
        raise DarkshareError(f"is not an OpenVINO file: {error}; export it again", file=str(path)) from None
    if not path.with_suffix(".bin").is_file():
        raise DarkshareError(f"its weights {path.with_suffix('.bin').name} are not beside it", file=str(path))
    return root


def facts(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Go through what the file says of its network."""
    section = root.find(f"rt_info/{SECTION}")
    return ((entry.tag, entry.get("value", "")) for entry in (() if section is None else section))


def require_ir(root: ElementTree.Element, path: Path, graph: Graph) -> None:
    """Hold a file and its .bin against the graph that its network has.

    Raises:
        DarkshareError: the first disagreement.
    """
    layers = root.findall("layers/layer")
    for layer in layers:
        name, version = layer.get("name", ""), layer.get("version", "")
        if not _OPSET.fullmatch(version) or not {part.tag for part in layer} <= _PARTS:
            raise disagreement(f"{name} ({layer.get('type')} of {version}) is not a plain operator of OpenVINO's")
    with reading(path.with_suffix(".bin")):
        size = require_regular(path.with_suffix(".bin"))
    try:
        _require_constants([layer for layer in layers if layer.get("type") == "Const"], size)
        _require_values(layers, graph)
        _require_kernels(layers, graph)
    except (ValueError, KeyError, AttributeError) as error:  # a number or a part that is not there
        if isinstance(error, DarkshareError):
            raise
        raise disagreement(f"a layer is described wrongly ({error!r})") from None


def _require_constants(layers: list[ElementTree.Element], size: int) -> None:
    """Refuse constants that their bytes do not fill, or bytes that belong to none; equal ones may share theirs."""
    stretches = set()
    for layer in layers:
        data = layer.find("data").attrib  # type: ignore[union-attr]  # see the caller
        dims, kind = _dims(data["shape"]), data["element_type"]
        begin, length = int(data["offset"]), int(data["size"])
        if kind not in TYPES or min(dims, default=1) < 0 or math.prod(dims) * TYPES[kind] != length:
            raise disagreement(f"{layer.get('name')} of {data['shape']} {kind} does not fill {length} bytes")
        if begin < 0 or begin + length > size:
            raise disagreement(f"{layer.get('name')} lies behind the end of the .bin")
        stretches.add((begin, begin + length))
    reached = 0
    for begin, end in sorted(stretches):
        if begin > reached:
            break
        reached = max(reached, end)
    if reached != size:
        raise disagreement(f"what stands in the .bin from byte {reached} on belongs to no constant")


def _require_values(layers: list[ElementTree.Element], graph: Graph) -> None:
    form = ExportForm()
    inputs = [layer for layer in layers if layer.get("type") == "Parameter"]
    wanted = value_dims(form, graph.model.network.input[:3], sized=False)
    found = [(_dims(layer.find("data").attrib["shape"]), layer.get("name")) for layer in inputs]  # type: ignore[union-attr]
    if found != [(wanted, INPUT)]:
        raise disagreement(f"its input is not one {INPUT} of {' x '.join(map(str, wanted))}")
    named = dict(_named(layers))
    if len(results := [x for x in layers if x.get("type") == "Result"]) != len({o.name for o in graph.outputs}):
        raise disagreement(f"it has {len(results)} outputs")
    for output in graph.outputs:
        dims = value_dims(form, output.shape, sized=False)
        if named.get(output.name) != dims:
            raise disagreement(f"its output {output.name} is {named.get(output.name)}, not {dims}")


def _named(layers: list[ElementTree.Element]) -> Iterator[tuple[str, Dims]]:
    """Names that a value had in the ONNX file, and its dimensions."""
    for layer in layers:
        for port in layer.findall("output/port"):
            for name in port.get("names", "").split(","):
                yield name, _port(port)


def _require_kernels(layers: list[ElementTree.Element], graph: Graph) -> None:
    """Hold each convolution's weights against those of its layer; groups are a dimension of their own in OpenVINO."""
    shapes = {stored.name: stored.shape for stored in graph.stored}
    wanted = {node.output: shapes[node.inputs[1]] for node in graph.nodes if node.op in ("Conv", "ConvTranspose")}
    found: Mapping[str, Dims] = {
        match[1]: _port(layer.findall("input/port")[1])
        for layer in layers
        if "Convolution" in layer.get("type", "") and (match := _CONVOLUTION.fullmatch(layer.get("name", "")))
    }
    for name, shape in wanted.items():
        dims = found.get(name, [])
        if math.prod(dims) != math.prod(shape) or tuple(dims[-2:]) != shape[-2:]:
            raise disagreement(f"the weights of {name} are {dims or 'not there'}, not {list(shape)}")


def _port(port: ElementTree.Element) -> Dims:
    return [int(dim.text or "") for dim in port.findall("dim")]


def _dims(text: str) -> Dims:
    return [int(part) for part in text.split(",")] if text.strip() else []
