"""OpenVINO's files that were changed: what the engine may not see."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_text
from onnxruns import KINDS, inputs_of, model_of

from darkshare.errors import DarkshareError
from darkshare.inference import engines
from darkshare.inference.detector import Detector
from darkshare.inference.engines.openvino import library, save
from darkshare.inference.int8 import missing
from darkshare.inference.int8.nncf import Nncf
from darkshare.inference.onnx import read_exported, write_onnx

if not engines.available()["openvino"].version:
    pytest.skip("needs OpenVINO", allow_module_level=True)

Change = Callable[[str], str]


def in_ir(stem: Path, text: str) -> Path:
    """A network as an .xml and .bin with what `quantise` says in them, as OpenVINO itself writes them."""
    write_onnx(model_of(text), stem.with_suffix(".onnx"))
    onnx = stem.with_suffix(".onnx")
    save(library().Core().read_model(onnx), stem.with_suffix(".xml"), onnx)
    stem.with_suffix(".onnx").unlink()
    return stem.with_suffix(".xml")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return in_ir(tmp_path_factory.mktemp("ir") / "tiny", tiny_text(2))


@pytest.fixture
def copied(written, tmp_path) -> Path:
    for suffix in (".xml", ".bin"):
        shutil.copy(written.with_suffix(suffix), tmp_path)
    return tmp_path / written.name


@pytest.fixture
def no_engine(monkeypatch):
    def load(path, *_):
        pytest.fail(f"an engine sees {path}")

    monkeypatch.setitem(engines.NAMES, "openvino", engines.NAMES["openvino"]._replace(load=load))


def refused(path: Path, says: str) -> None:
    for way in (read_exported, lambda name: Detector.of_file(name, engine="openvino")):
        with pytest.raises(DarkshareError, match=says) as found:
            way(path)
        assert str(found.value).startswith(str(path.with_suffix("")))


def test_a_file_of_openvinos_passes_and_runs(copied):
    detector = Detector.of_file(copied, engine="openvino")
    assert set(detector.raw(np.zeros((32, 32, 3), np.uint8))) == {6, 12}


def test_every_kind_passes(tmp_path):
    assert read_exported(in_ir(tmp_path / "x", KINDS)).model.heads


@pytest.mark.slow
def test_every_kind_passes_in_int8(tmp_path):
    if reason := missing("openvino"):
        pytest.skip(reason)
    one = model_of(KINDS)
    write_onnx(one, tmp_path / "x.onnx")
    facts = {"precision": '"int8"', "quantised": "{}"}
    Nncf(tmp_path / "x.onnx", inputs_of(one, 3)).write(tmp_path / "q.xml", (), facts)
    assert read_exported(tmp_path / "q.xml").model.heads


def swapped(pattern: str, by: str) -> Change:
    """Replace the first place that matches."""

    def change(text: str) -> str:
        made, count = re.subn(pattern, by, text, count=1)
        assert count, pattern
        return made

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "a document type": (
        lambda text: text.replace("?>", '?><!DOCTYPE net SYSTEM "http://x/y.dtd">', 1), "declares a document type",
    ),
    "entities": (
        lambda text: text.replace("?>", '?><!DOCTYPE net [<!ENTITY a "b">]>', 1), "declares a document type",
    ),
    "a comment behind it": (lambda text: f"{text}<!-- PK -->", "it has comments"),
    "a comment in it": (lambda text: text.replace("<layers>", "<layers><!--x-->", 1), "it has comments"),
    "a text behind it": (lambda text: f"{text}x", "is not an OpenVINO file: junk"),
    "a second one behind it": (lambda text: text + text.partition("?>")[2], "is not an OpenVINO file: junk"),
    "a text before it": (lambda text: f"x{text}", "is not an OpenVINO file"),
    "an end that is missing": (lambda text: text[: len(text) // 2], "is not an OpenVINO file"),
    "a library of its own": (swapped('version="opset1"', 'version="evil"'), "is not a plain operator of OpenVINO's"),
    "an experimental library": (swapped('version="opset1"', 'version="experimental"'), "is not a plain operator"),
    "no version": (swapped(' version="opset1"', ""), "is not a plain operator"),
    "a graph in a layer": (swapped("</layer>", "<body><layers /></body></layer>"), "is not a plain operator"),
    "a constant behind the end": (swapped(r'offset="\d+"', 'offset="99999999"'), "lies behind the end of the .bin"),
    "a constant before the start": (swapped(r'offset="\d+"', 'offset="-4"'), "lies behind the end of the .bin"),
    "a larger constant": (swapped(r'size="\d+"', 'size="44"'), "does not fill 44 bytes"),
    "another shape": (swapped('shape="8, 3, 3, 3"', 'shape="9, 3, 3, 3"'), "of 9, 3, 3, 3 f32 does not fill 864 bytes"),
    "another type": (swapped('element_type="f32" shape="8, 3', 'element_type="f64" shape="8, 3'), "does not fill"),
    "texts": (swapped('element_type="f32" shape="8, 3', 'element_type="string" shape="8, 3'), "does not fill"),
    "a negative shape": (swapped('shape="8, 3, 3, 3"', 'shape="-8, -3, 3, 3"'), "does not fill"),
    "a huge shape": (swapped('shape="8, 3, 3, 3"', f'shape="{2**62}, {2**62}, 3, 3"'), "does not fill"),
    "words for numbers": (swapped(r'offset="\d+"', 'offset="x"'), "a layer is described wrongly"),
    "no offset": (swapped(r' offset="\d+"', ""), "a layer is described wrongly"),
    "another input": (swapped('shape="1,3,32,32"', 'shape="1,3,64,32"'), "its input is not one image of 1 x 3 x 32 x"),
    "an open input": (swapped('shape="1,3,32,32"', 'shape="?,3,32,32"'), "a layer is described wrongly"),
    "an input of another name": (swapped('name="image"', 'name="x"'), "its input is not one image"),
    "an output of another name": (swapped('names="L6_yolo"', 'names="L7_yolo"'), "its output L6_yolo is None"),
    "an output less": (swapped('type="Result"', 'type="Relu"'), "it has 1 outputs"),
    "a convolution less": (swapped('name="L1_Conv/', 'name="L77_Conv/'), "the weights of L1_Conv are not there"),
    "another cfg": (swapped(r"filters=8\\n", r"filters=4\\n"), "does not fit the cfg in it"),
    "the facts of another": (
        lambda text: text.replace("<darkshare>", "<other>").replace("</darkshare>", "</other>"), "does not say which",
    ),
    "facts twice": (swapped("<darkshare>", '<darkshare><model value="{}" />'), "says twice what its model is|damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_is_refused_before_the_engine_opens_it(copied, no_engine, name):
    change, says = CHANGES[name]
    copied.write_text(change(copied.read_text()))
    refused(copied, says)


@pytest.mark.parametrize("change", [lambda d: d + b"\0", lambda d: d + b"PK\3\4" * 9, lambda d: d[:-1], lambda d: b""])
def test_the_constants_fill_the_bin(copied, no_engine, change):
    path = copied.with_suffix(".bin")
    path.write_bytes(change(path.read_bytes()))
    refused(copied, "belongs to no constant|lies behind the end of the .bin")


def test_bytes_in_the_middle_of_the_bin_belong_to_a_constant(copied, no_engine):
    """All offsets behind the first constant move by 16: a gap that nobody reads."""
    data, text = copied.with_suffix(".bin").read_bytes(), copied.read_text()
    first = int(re.findall(r'offset="0" size="(\d+)"', text)[0])
    copied.with_suffix(".bin").write_bytes(data[:first] + b"x" * 16 + data[first:])
    copied.write_text(re.sub(r'offset="(\d+)"', lambda m: f'offset="{int(m[1]) + 16 * (int(m[1]) >= first)}"', text))
    refused(copied, f"from byte {first} on belongs to no constant")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-7", "latin-1"])
def test_other_encodings_are_refused(copied, no_engine, encoding):
    text = copied.read_text().replace("?>", "?>\n<!DOCTYPE net>", 1)
    copied.write_bytes(text.encode(encoding))
    refused(copied, "is not an OpenVINO file")


def test_the_bin_must_be_a_file(copied, no_engine):
    copied.with_suffix(".bin").unlink()
    refused(copied, "its weights tiny.bin are not beside it")
    copied.with_suffix(".bin").mkdir()
    refused(copied, "its weights tiny.bin are not beside it")


def test_what_it_says_is_the_network_that_was_exported(copied):
    found = read_exported(copied).model
    assert found.heads == (6, 12)
    said = re.findall(r'<model value="([^"]*)"', copied.read_text())[0].replace("&quot;", '"')
    assert json.loads(said)["dialect"] == "alexeyab"
