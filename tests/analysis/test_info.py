"""The layer table against hand-worked numbers and against what real Darknet printed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import ZOO, seeded_floats, tiny_text, write_model

from darkshare.analysis import info as measure
from darkshare.darknet.cfg import parse, read_cfg
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import resolve
from darkshare.darknet.weights import Header

NET = "[net]\nwidth=8\nheight=6\nchannels=3\n"


def info_of(text: str, dialect: str = "alexeyab", **how) -> measure.Info:
    return measure.info(Model(resolve(parse(text, "x.cfg"), dialect=dialect, **how), None, ()))


def test_a_line_of_the_table_by_hand():
    found = info_of(NET + "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=2\npad=1\n")
    # 4 biases, scales, means, variances and 4*3*3*3 weights; 2*108 operations at each of 4x3 places.
    bflops = float(f"{np.float32(2.592e-06):.9g}")
    assert found.layers == (
        measure.LayerInfo(0, "convolutional", 4, "3x3/2", (), (8, 6, 3), (4, 3, 4), 124, bflops, True),
    )
    assert (found.params, found.bflops, found.weights_bytes) == (124, bflops, 20 + 4 * 124)
    assert found.heads == ((0, "convolutional", 0),)
    assert found.weights is None


@pytest.mark.parametrize(
    ("section", "window"),
    [
        ("[convolutional]\nsize=3\ndilation=2\npad=1", "3x3/1(2)"),
        ("[convolutional]\ndilation=2", "1x1/1"),
        ("[convolutional]\nstride_x=2\nstride_y=1", "1x1/2x1"),
        ("[maxpool]\nsize=3\nstride=2", "3x3/2"),
        ("[maxpool]\nstride=2", "2x2/2"),
        ("[local_avgpool]\nsize=2\nstride=2", "2x2/2"),
        ("[crnn]\noutput=2\nhidden=2\npad=1", "3x3/1"),
        ("[conv_lstm]\noutput=2\nsize=1", "1x1/1"),
        ("[local]\nsize=3", "3x3/1"),
        ("[upsample]", ""),
    ],
)
def test_size_and_stride_as_darknet_prints_them(section, window):
    assert info_of(f"{NET}{section}\n").layers[0].window == window


def test_deconvolution_of_pjreddie():
    (layer,) = info_of(NET + "[deconvolutional]\nfilters=2\nsize=2\nstride=2\n", "pjreddie").layers
    assert (layer.window, layer.filters, layer.output, layer.params) == ("2x2/2", 2, (16, 12, 2), 2 + 3 * 2 * 4)
    assert not layer.counted


def test_a_route_shows_what_it_reads_and_its_group():
    found = info_of(NET + "[convolutional]\nfilters=4\n[route]\nlayers=-1\ngroups=2\ngroup_id=1\n")
    route = found.layers[1]
    assert (route.reads, route.window, route.input, route.output) == ((0,), "2/2", (0, 0, 0), (8, 6, 2))
    assert found.rows()[1]["reads"] == "0"
    assert found.rows()[1]["input"] == ""


def test_what_darknet_does_not_count_is_shown_as_such():
    found = info_of(NET + "[convolutional]\nfilters=2\n[connected]\noutput=5\n[softmax]\n[cost]\n")
    assert found.uncounted == (1,)
    assert [row["bflops"] for row in found.rows()][1:3] == [None, 0.0]
    described = found.as_dict()
    assert described["uncounted"] == [1]
    assert described["layers"][1]["bflops"] == 0
    assert described["layers"][1]["params"] == 5 + 5 * 8 * 6 * 2
    assert described["layers"][2]["output"] == [0, 0, 0]
    assert "layers 1" in "\n".join(found.notes())
    assert found.heads == ((2, "softmax", 5),)


def test_json_has_the_keys_that_programs_rely_on(tiny):
    described = measure.info(load(tiny)).as_dict()
    assert {"layers", "params", "bflops", "weights_bytes"} <= set(described)
    assert {"index", "kind", "output", "params", "bflops"} <= set(described["layers"][0])
    assert described["layers"][0]["output"] == [16, 16, 8]
    assert described["weights_bytes"] == tiny.with_suffix(".weights").stat().st_size
    assert described["heads"] == [
        {"index": 6, "kind": "yolo", "classes": 2},
        {"index": 12, "kind": "yolo", "classes": 2},
    ]
    assert json.loads(json.dumps(described)) == described


def test_one_line_and_a_table_where_a_notebook_shows_it(tiny):
    found = measure.info(load(tiny))
    assert repr(found) == f"<Info: {tiny}, {found.notes()[0]}>"
    assert found._repr_html_().count("<tr>") == 1 + 13
    assert str(found).splitlines()[0] == f"{tiny} (alexeyab)"


@pytest.mark.parametrize(
    ("dialect", "keys", "read", "written"),
    [  # 4 biases, 12 of batch norm, 108 weights; all again in the second layer, with 144 weights
        ("alexeyab", "dontload=1", 160, 284),
        ("alexeyab", "dontloadscales=1", 272, 284),
        ("pjreddie", "numload=2", 222, 284),
        ("pjreddie", "dontsave=1", 284, 160),
        ("alexeyab", "dontsave=1", 284, 284),
    ],
)
def test_files_that_are_read_and_written_differ(dialect, keys, read, written):
    conv = "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\n"
    found = info_of(f"{NET}{conv}{keys}\n{conv}", dialect)
    assert (found.weights_bytes, found.written_bytes) == (20 + 4 * read, 20 + 4 * written)
    said = f"reads {found.weights_bytes:,} bytes of weights with this cfg and writes {found.written_bytes:,}"
    assert any(said in line for line in found.notes()) == (read != written)
    assert found.as_dict()["written_bytes"] == found.written_bytes


def test_another_input_size(tiny):
    whole, half = (measure.info(load(tiny, size=(n, n))) for n in (64, 32))
    assert whole.params == half.params
    assert whole.bflops == pytest.approx(4 * half.bflops)


@pytest.mark.parametrize(("header", "size"), [(Header(0, 1, 0, 7), 16), (Header(0, 2, 5, 7), 20)])
def test_the_header_is_the_file_s(tmp_path, header, size):
    text = tiny_text()
    network = resolve(parse(text))
    cfg = write_model(tmp_path / "m", text, seeded_floats(network, 1), header=header)
    found = measure.info(load(cfg))
    assert found.weights == {"file": str(tmp_path / "m.weights"), "version": list(header[:3]), "seen": 7}
    assert found.weights_bytes == size + 4 * network.params == (tmp_path / "m.weights").stat().st_size
    assert "seen 7 images" in found.notes()[-1]


def test_a_transposed_file_keeps_its_version(tmp_path):
    text = NET + "[connected]\noutput=5\n"
    data = np.arange(5 + 5 * 144, dtype="<f4")
    cfg = write_model(tmp_path / "m", text, data, header=Header(1001, 0, 0))
    assert measure.info(load(cfg)).weights["version"] == [1001, 0, 0]


def golden_rows() -> list:
    rows = []
    for fork in ("alexeyab", "pjreddie"):
        path = ZOO / "golden" / f"{fork}.json"
        if path.is_file():
            rows += [
                pytest.param(fork, name, row, id=f"{fork}/{name}") for name, row in json.loads(path.read_text()).items()
            ]
    return rows or [pytest.param("", "", {}, marks=pytest.mark.skip(f"no golden files in {ZOO}; set DARKSHARE_ZOO"))]


@pytest.mark.zoo
@pytest.mark.parametrize(("fork", "name", "row"), golden_rows())
def test_totals_are_darknet_s(fork, name, row):
    found = measure.info(load(ZOO / "zoo" / fork / name, dialect=fork))
    assert found.weights_bytes == row["weights_bytes"]
    assert [layer.output for layer in found.layers] == [tuple(line[1:4]) for line in row["layers"]]
    assert [layer.bflops for layer in found.layers] == pytest.approx([line[4] for line in row["layers"]], rel=1e-6)
    if "total_bflops" in row:
        assert found.bflops == pytest.approx(row["total_bflops"], rel=1e-6)


@pytest.mark.zoo
def test_the_total_is_a_running_float32_sum():
    path = ZOO / "zoo" / "alexeyab" / "yolov4-csp-x-mish.cfg"
    if not path.exists():
        pytest.skip(f"{path} is missing; set DARKSHARE_ZOO to the folder that holds zoo/")
    network = resolve(read_cfg(path))
    exact = network.flops / 1e9
    assert measure.total_bflops(network) == 221.986237  # what Darknet holds
    assert exact == pytest.approx(221.9859968, rel=1e-9)
