from __future__ import annotations

import gc

import pytest
from conftest import network_of, tiny_text
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_text, hostile_cfgs, networks

from darkshare.darknet.cfg import MOST_LAYERS, dumps, parse
from darkshare.darknet.kinds import DIALECTS, Gru, Shape
from darkshare.darknet.network import Ref, problems, resolve
from darkshare.errors import BadReference, BadValue, CfgSyntaxError, DarkshareError, ShapeMismatch, UnknownKind

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"


def test_tiny_is_resolved_as_worked_out_by_hand():
    network = network_of(tiny_text())
    rows = [(layer.kind.name, layer.sources, str(layer.y), layer.size, layer.start) for layer in network.layers]
    assert rows == [
        ("convolutional", (), "16x16x8", 8 + 24 + 8 * 3 * 9, 0),  # 248
        ("convolutional", (), "16x16x8", 8 + 24 + 8 * 8 * 9, 248),  # 608
        ("shortcut", (0,), "16x16x8", 0, 856),
        ("maxpool", (), "8x8x8", 0, 856),
        ("convolutional", (), "8x8x16", 16 + 48 + 16 * 8 * 9, 856),  # 1216
        ("convolutional", (), "8x8x14", 14 + 14 * 16, 2072),  # 238
        ("yolo", (), "8x8x14", 0, 2310),
        ("route", (4,), "8x8x16", 0, 2310),
        ("convolutional", (), "8x8x4", 4 + 12 + 4 * 16, 2310),  # 80
        ("upsample", (), "16x16x4", 0, 2390),
        ("route", (9, 2), "16x16x12", 0, 2390),
        ("convolutional", (), "16x16x14", 14 + 14 * 12, 2390),  # 182
        ("yolo", (), "16x16x14", 0, 2572),
    ]
    assert (network.params, network.input, network.name) == (2572, Shape(3, 32, 32), "test.cfg")
    assert [network.start(k) for k in (0, 1, 12, 13)] == [0, 248, 2572, 2572]
    assert [head.index for head in network.heads] == [6, 12]
    assert network.needed([6]) == [0, 1, 2, 3, 4, 5, 6]
    assert network.needed([12, 0]) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12]
    # 2 per multiply-add of the convolutions, 1 per value of the shortcut, 4 per value of the 2x2 pool
    kernels = 2 * (216 * 256 + 576 * 256 + 1152 * 64 + 224 * 64 + 64 * 64 + 168 * 256)
    assert network.flops == kernels + 2048 + 4 * 512


def test_a_layer_knows_its_place():
    layer = network_of(tiny_text()).layers[10]
    assert layer.refs == (Ref("layers", -1, 9), Ref("layers", 2, 2))
    assert (layer.stop, layer.label) == (2390, "layer 10 [route]")
    assert tiny_text().split("\n")[layer.section.lineno :][0] == "layers=-1,2"  # the line behind its header


def test_the_last_layer_is_the_output_where_there_is_no_head():
    network = network_of(NET + "[conv]\n[avgpool]\n")
    assert [head.index for head in network.heads] == [1]


@given(networks())
def test_any_network_tiles_its_vector_in_every_fork(text):
    for dialect in DIALECTS:
        network = network_of(text, dialect=dialect)
        place = 0
        for index, layer in enumerate(network.layers):
            assert (layer.index, layer.start) == (index, place)
            place += sum(tensor.size for tensor in layer.tensors)
            assert layer.stop == place
            assert layer.y == layer.kind.shape(layer.x, [network.layers[i].y for i in layer.sources])
            assert all(source < index for source in layer.sources)
            if index:
                assert layer.x == network.layers[index - 1].onward
        assert network.params == place


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("\n", "\r\n"), str.rstrip, lambda text: text.replace("\n", "\n \t")]
)
def test_line_ends_and_indents_change_nothing(change):
    changed, plain = network_of(change(tiny_text())), network_of(tiny_text())
    assert [(layer.kind, layer.y, layer.refs) for layer in changed.layers] == [
        (layer.kind, layer.y, layer.refs) for layer in plain.layers
    ]


@given(hostile_cfgs() | any_text.map(lambda text: NET + text), st.sampled_from(DIALECTS))
def test_whatever_is_wrong_is_an_error_of_ours(text, dialect):
    cfg = parse(text, "a.cfg")
    network, found = problems(cfg, dialect=dialect)
    assert (network is None) == bool(found)
    assert all(str(error).startswith("a.cfg:") for error in found)
    if not found:
        assert 0 <= network.params == sum(layer.size for layer in network.layers)
        return
    with pytest.raises(DarkshareError) as caught:
        resolve(cfg, dialect=dialect)
    assert str(caught.value) == str(found[0])


# --- references


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[route]\nlayers=1", "layer 1 [route] refers to itself; a layer can read earlier layers only"),
        ("[route]\nlayers=-1,2", "layer 1 [route] refers to layer 2, which comes after it"),
        ("[route]\nlayers=-9", "layer 1 [route] refers to layer -8, before the first layer"),
        ("[route]\nlayers=140", "layer 1 [route] refers to layer 140, but the network ends at 2"),
        ("[shortcut]\nfrom=2", "layer 1 [shortcut] refers to layer 2, which comes after it"),
        ("[sam]\nfrom=1", "layer 1 [sam] refers to itself"),
        ("[scale_channels]\nfrom=-2", "layer 1 [scale_channels] refers to layer -1, before the first layer"),
        ("[conv]\nshare_index=5", "layer 1 [convolutional] refers to layer 5, but the network ends at 2"),
        ("[contrastive]\nyolo_layer=2", "layer 1 [contrastive] refers to layer 2, which comes after it"),
    ],
)
def test_a_reference_that_leads_nowhere_names_file_line_and_layer(section, message):
    with pytest.raises(BadReference) as caught:
        network_of(f"{NET}\n[conv]\n\n{section}\n\n[conv]\n")
    assert str(caught.value).startswith(f"test.cfg:9: {message}")


def test_embedding_layer_is_a_reference():
    text = f"{NET}\n[conv]\nfilters=25\n\n[yolo]\nembedding_layer=0\n"
    assert network_of(text).layers[1].refs == (Ref("embedding_layer", 0, 0, reads=False),)
    with pytest.raises(BadReference, match="refers to itself"):
        network_of(text.replace("=0\n", "=1\n"))
    assert network_of(text.replace("=0\n", "=1\n"), dialect="pjreddie").layers[1].refs == ()


@pytest.mark.parametrize(
    ("text", "error", "line", "message"),
    [
        ("[conv]\nfilters=0\n", BadValue, 6, "filters=0: must be at least 1"),
        ("[conv]\n[cnv]\n", UnknownKind, 6, "unknown section [cnv]; did you mean"),
        ("[conv]\n[net]\n", UnknownKind, 6, "a second [net] section"),
        ("[conv]\nsize=9\n", ShapeMismatch, 5, "layer 0: a window of 9 does not fit an image of 8 with padding 0"),
        (
            "[softmax]\n[conv]\n",
            ShapeMismatch,
            6,
            "layer 1 [convolutional] needs an image, but the layer before gives 192 values",
        ),
        ("[upsample]\nstride=-9\n", ShapeMismatch, 5, "layer 0 [upsample] gives no value: its stride=,"),
        ("[reorg]\nstride=9\n", ShapeMismatch, 5, "layer 0 [reorg] gives no value"),
        ("[reorg]\nstride=2\nreverse=1\n", ShapeMismatch, 5, "layer 0 [reorg] gives no value"),
        ("[conv]\n[route]\nlayers=0\ngroups=2\n", ShapeMismatch, 6, "layer 1 [route] gives no value"),
        ("[conn]\n[softmax]\n[route]\nlayers=1\ngroups=2\n", ShapeMismatch, 7, "layer 2 [route] gives no value"),
        (
            "[softmax]\n[lrn]\n",  # AlexeyAB and pjreddie print 0 x 0 x 0 and go on with nothing
            ShapeMismatch,
            6,
            "layer 1 [normalization] needs an image, but the layer before gives 192 values",
        ),
        ("[conv]\nfilters=2147483647\n", BadValue, 5, "layer 0 [convolutional] has 137438953408 values, more than"),
        ("[conn]\noutput=99999999\n", BadValue, 5, "layer 0 [connected] has 19199999808 values, more than"),
        ("[conv]\nfilters=7\n[yolo]\n", ShapeMismatch, 7, "layer 1: [yolo] with 1 masks and 20 classes reads"),
    ],
)
def test_what_does_not_fit_names_file_line_and_layer(text, error, line, message):
    with pytest.raises(error) as caught:
        network_of(NET + text)
    assert str(caught.value).startswith(f"test.cfg:{line}: {message}")


@pytest.mark.parametrize(
    "padding", [4, 5, 9]
)  # to 0x0, and to -2x-2 and -10x-10, which would be a positive number of values
def test_an_image_that_is_padded_away_is_refused(padding):
    text = f"{NET}[deconv]\nfilters=2\npadding={padding}\n"
    with pytest.raises(ShapeMismatch, match=r"layer 0 \[deconvolutional\] gives no value"):
        network_of(text, dialect="pjreddie")
    assert network_of(text.replace(f"={padding}", "=3"), dialect="pjreddie").layers[0].y[:3] == (2, 2, 2)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("[net]\nwidth=8\nheight=8\n", "test.cfg:1: width=8, height=8, channels=0: the network has no input"),
        ("[net]\nwidth=-8\n", "test.cfg:2: width=-8: must be at least 0"),
        ("[net]\nwidth=99999\nheight=99999\nchannels=3\n", "test.cfg:1: an input of 99999x99999x3 is more than"),
    ],
)
def test_a_net_without_input_is_refused(net, message):
    with pytest.raises(BadValue) as caught:
        network_of(net + "[conv]\n")
    assert str(caught.value).startswith(message)


def test_inputs_stand_for_an_image():
    assert network_of("[net]\ninputs=30\n[connected]\noutput=2\n").params == 2 + 60
    with pytest.raises(ShapeMismatch, match="needs an image, but the layer before gives 30 values"):
        network_of("[net]\ninputs=30\n[conv]\n")


def test_an_unknown_dialect_is_named():
    with pytest.raises(BadValue, match="unknown dialect darknet; use one of alexeyab, pjreddie, hank-ai"):
        network_of(NET + "[conv]\n", dialect="darknet")


def test_all_problems_are_found_at_once():
    text = NET + "[conv]\nfilters=0\n[route]\nlayers=9\n[cnv]\n[conv]\n[route]\nlayers=-1\n[shortcut]\nfrom=4\n"
    network, found = problems(parse(text, "a.cfg"))
    assert network is None
    assert [(type(error), error.line) for error in found] == [(BadValue, 6), (BadReference, 8), (UnknownKind, 9)]
    # What cannot be said behind an error is not said; a wrong reference is still found there.
    found = problems(parse(text.replace("from=4", "from=5"), "a.cfg"))[1]
    assert [error.line for error in found] == [6, 8, 9, 14]


def test_problems_of_a_good_cfg_are_none():
    network, found = problems(parse(tiny_text()))
    assert found == []
    assert network is not None
    assert network.params == 2572


def test_problems_of_an_unreadable_cfg_are_one():
    network, found = problems(parse("width=8\n", "a.cfg"))
    assert (network, [type(error) for error in found]) == (None, [CfgSyntaxError])


# --- shapes that depend on who looks


def test_the_next_layer_sees_the_blurred_image_and_a_route_the_sharp_one():
    text = NET + "[conv]\nfilters=4\nstride=2\nantialiasing=1\n[conv]\n[route]\nlayers=0\n"
    sharp = network_of(text).layers
    assert [str(layer.x) for layer in sharp] == ["8x8x3", "4x4x4", "4x4x1"]
    assert [str(layer.y) for layer in sharp] == ["8x8x4", "4x4x1", "8x8x4"]
    assert [str(layer.y) for layer in network_of(text, dialect="pjreddie").layers] == ["4x4x4", "4x4x1", "4x4x4"]


def test_a_route_and_an_implicit_do_not_read_the_layer_before():
    network = network_of(NET + "[conv]\n[softmax]\n[implicit]\n[route]\nlayers=0\n[conv]\n")
    assert str(network.layers[4].x) == "8x8x1"


def test_another_size_changes_shapes_and_no_weights():
    cfg = parse(tiny_text(), "a.cfg")
    network = resolve(cfg, size=(64, 96))
    assert (str(network.input), str(network.layers[12].y), network.params) == ("64x96x3", "32x48x14", 2572)
    assert dumps(network.cfg) == tiny_text().replace("width=32", "width=64").replace("height=32", "height=96")
    with pytest.raises(BadValue, match="the network has no input"):
        resolve(cfg, size=(0, 32))


# --- what the loader reads is not always what the writer wrote

# 3 channels in, batch norm: 4 biases, 3*4 statistics, 4*3 weights
CONV = "[conv]\nfilters=4\nbatch_normalize=1\n"


@pytest.mark.parametrize(
    ("section", "dialect", "load", "save"),
    [
        (CONV, "alexeyab", 28, 28),
        (CONV + "dontload=1\n", "alexeyab", 0, 28),
        (CONV + "dontloadscales=1\n", "alexeyab", 16, 28),
        (CONV + "dontsave=1\n", "alexeyab", 28, 28),  # unknown there
        (CONV + "dontsave=1\n", "pjreddie", 28, 0),
        (CONV + "numload=2\n", "pjreddie", 2 + 6 + 6, 28),
        (CONV + "numload=2\n", "alexeyab", 28, 28),
        ("[conn]\noutput=2\nbatch_normalize=1\ndontloadscales=1\n", "alexeyab", 2 + 2 * 192, 8 + 2 * 192),
        ("[batchnorm]\ndontloadscales=1\n", "alexeyab", 12, 12),  # its loader does not look at the key
        # nor is the key passed on to the parts of a recurrent layer: 8 matrices of 1 bias, 3 statistics
        ("[lstm]\noutput=1\nbatch_normalize=1\ndontloadscales=1\n", "alexeyab", 32 + 4 + 4 * 192, 32 + 4 + 4 * 192),
    ],
)
def test_the_loader_s_and_the_writer_s_view(section, dialect, load, save):
    text = NET + section
    assert network_of(text, dialect=dialect, view="load").params == load
    assert network_of(text, dialect=dialect, view="save").params == save


def test_a_convolution_may_share_another_s_weights():
    text = NET + "[conv]\nfilters=3\n[conv]\nfilters=3\nshare_index=-1\n[conv]\nfilters=3\n"
    network = network_of(text)
    assert [layer.size for layer in network.layers] == [12, 0, 12]
    assert network.layers[1].refs == (Ref("share_index", -1, 0, reads=False),)
    assert network_of(text, dialect="pjreddie").params == 36


@pytest.mark.parametrize("change", ["size=3\npad=1", "batch_normalize=1", "filters=4"])
def test_shared_weights_must_have_the_same_shape(change):
    with pytest.raises(
        ShapeMismatch, match=r"test\.cfg:7: share_index= names a layer whose weights have another shape"
    ):
        network_of(
            NET
            + f"[conv]\nfilters=3\n[conv]\nshare_index=0\n{change}\n"
            + ("" if "filters" in change else "filters=3\n")
        )


def test_shared_weights_must_be_a_convolution_s():
    with pytest.raises(ShapeMismatch, match="share_index= names a layer"):
        network_of(NET + "[avgpool]\n[conv]\nshare_index=0\n")


def test_a_cfg_of_another_encoding_keeps_its_name_in_errors():
    with pytest.raises(DarkshareError, match=r"^test\.cfg:5: unknown section \[c\udce9\]"):
        network_of(NET + b"[c\xe9]\n".decode("utf-8", "surrogateescape"))


def test_after_a_hundred_problems_nobody_reads_on():
    cfg = parse(NET + "[convolutional]\nfilters=0\n" * 101, "test.cfg")
    network, found = problems(cfg)
    assert network is None
    assert len(found) == 100


def test_layers_that_read_alike_are_worked_out_once_whatever_else_they_say(monkeypatch):
    asked: list[Shape] = []
    tensors = Gru.tensors

    def counted(kind, x, y):
        asked.append(x)
        return tensors(kind, x, y)

    monkeypatch.setattr(Gru, "tensors", counted)
    layers = network_of(NET + "".join(f"[gru]\noutput=2\n# {i}\nnote={i}\n" for i in range(40))).layers
    assert asked == [Shape(3, 8, 8), Shape(0, 0, 0, 2)]  # the first reads the input, all others two values
    assert [layer.section.get("note") for layer in layers] == [str(i) for i in range(40)]
    assert len({id(layer.kind) for layer in layers}) == 1


def test_as_many_layers_as_may_be_are_read_and_one_more_is_refused():
    text = NET + "[gru]\n" * MOST_LAYERS
    assert len(network_of(text).layers) == MOST_LAYERS == 50_000
    with pytest.raises(CfgSyntaxError, match="has 50001 layers, more than any network; the limit is 50000"):
        network_of(text + "[gru]\n")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_search_for_cycles_is_as_it_was_behind_a_cfg(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        network_of(tiny_text())
        with pytest.raises(CfgSyntaxError):
            network_of("")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
