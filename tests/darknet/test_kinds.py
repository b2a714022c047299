"""Every kind against numbers worked out by hand, and the reading of keys against what the forks were seen to do."""

from __future__ import annotations

import ctypes
import math
import sys
from dataclasses import FrozenInstanceError, fields, replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import numbers

from darkshare.darknet.cfg import parse
from darkshare.darknet.kinds import ALL_KINDS, BY_NAME, DIALECTS, Kind, Net, Shape, find_kind, keys_of, read_kind
from darkshare.darknet.kinds.base import A, H, P, slide
from darkshare.darknet.kinds.reading import as_read, atof, atoi, list_items
from darkshare.errors import BadReference, BadValue, ShapeMismatch, UnknownKind

AH, AP, ALL = A + " " + H, A + " " + P, " ".join(DIALECTS)


def kind_of(text: str, dialect: str = A) -> Kind:
    """`[conv] size=3 pad=1` as a kind; a value may hold commas but no blanks."""
    section = parse(text.replace(" ", "\n")).sections[0]
    return read_kind(find_kind(section.kind, dialect), section, dialect)


class Row(NamedTuple):
    """One layer and what it must come to. `x` and `y` are (c, h, w) or a number of values."""

    forks: str
    text: str
    x: Shape
    y: Shape
    blocks: str = ""  # name and shape of each stored block, in file order
    flops: float = 0
    sources: tuple[Shape, ...] = ()


def flat(n: int) -> Shape:
    return Shape(0, 0, 0, n)


S = Shape
BN8 = "scales 8 rolling_mean 8 rolling_variance 8"


def matrices(*sizes: str) -> str:
    """`name outputs inputs` of matrices without batch norm."""
    rows = (size.split() for size in sizes)
    return " ".join(f"{name}.biases {out} {name}.weights {out}x{read}" for name, out, read in rows)


def kernels(*sizes: str) -> str:
    """`name filters channels` of 3x3 convolutions without batch norm."""
    rows = (size.split() for size in sizes)
    return " ".join(f"{name}.biases {n} {name}.weights {n}x{c}x3x3" for name, n, c in rows)


# (length + padding - size) / stride + 1, the quotient cut to an integer
ROWS = [
    # 9: (9+2-3)/2+1=5, 7: (7+2-3)/2+1=4; 2 * 8*3*3*3 weights * 5*4 places
    Row(ALL, "[conv] filters=8 size=3 stride=2 pad=1", S(3, 9, 7), S(8, 5, 4), "biases 8 weights 8x3x3x3", 8640),
    Row(ALL, "[conv] filters=8 batch_normalize=1", S(3, 2, 2), S(8, 2, 2), f"biases 8 {BN8} weights 8x3x1x1", 192),
    Row(AH, "[conv] filters=8 cbn=1", S(3, 2, 2), S(8, 2, 2), f"biases 8 {BN8} weights 8x3x1x1", 192),
    Row(P, "[conv] filters=8 cbn=1", S(3, 2, 2), S(8, 2, 2), "biases 8 weights 8x3x1x1", 192),
    # grouped: 4/2 channels for each filter; 2 * 6*2*3*3 * 2*2
    Row(ALL, "[conv] filters=6 groups=2 size=3 pad=1", S(4, 2, 2), S(6, 2, 2), "biases 6 weights 6x2x3x3", 864),
    # 5/2 is cut to 2; not where pjreddie counts: 2 * 2*5/2 * 2*2, and 2 * 65*5*5 * 7/3 * 4*4
    Row(AH, "[conv] filters=2 groups=2", S(5, 2, 2), S(2, 2, 2), "biases 2 weights 2x2x1x1", 32),
    Row(P, "[conv] filters=2 groups=2", S(5, 2, 2), S(2, 2, 2), "biases 2 weights 2x2x1x1", 40),
    Row(
        P,
        "[conv] filters=65 size=5 pad=1 groups=3",
        S(7, 4, 4),
        S(65, 4, 4),
        "biases 65 weights 65x2x5x5",
        3250 * 7 / 3 * 16,
    ),
    # xnor: AlexeyAB and hank-ai drop the groups and count 1/32: 2 * 6*4 * 2*2 / 32
    Row(AH, "[conv] filters=6 groups=2 xnor=1", S(4, 2, 2), S(6, 2, 2), "biases 6 weights 6x4x1x1", 6),
    Row(P, "[conv] filters=6 groups=2 xnor=1", S(4, 2, 2), S(6, 2, 2), "biases 6 weights 6x2x1x1", 96),
    # padding= counts where pad is 0; 5: (5+6-3)/1+1=9
    Row(ALL, "[conv] size=3 padding=3", S(1, 5, 5), S(1, 9, 9), "biases 1 weights 1x1x3x3", 1458),
    Row(ALL, "[conv] size=3 pad=1 padding=3", S(1, 5, 5), S(1, 5, 5), "biases 1 weights 1x1x3x3", 450),
    # dilation does not enter the size
    Row(ALL, "[conv] size=3 pad=1 dilation=2", S(1, 5, 5), S(1, 5, 5), "biases 1 weights 1x1x3x3", 450),
    Row(AH, "[conv] stride=1 stride_x=2", S(1, 4, 4), S(1, 4, 2), "biases 1 weights 1x1x1x1", 16),
    Row(AH, "[conv] stride=2 stride_y=1", S(1, 4, 4), S(1, 4, 2), "biases 1 weights 1x1x1x1", 16),
    Row(P, "[conv] stride=1 stride_x=2", S(1, 4, 4), S(1, 4, 4), "biases 1 weights 1x1x1x1", 32),
    # the host layer of antialiasing runs at stride 1
    Row(AH, "[conv] stride=2 antialiasing=1", S(1, 4, 4), S(1, 4, 4), "biases 1 weights 1x1x1x1", 32),
    Row(P, "[conv] stride=2 antialiasing=1", S(1, 4, 4), S(1, 2, 2), "biases 1 weights 1x1x1x1", 8),
    Row(AH, "[conv] filters=4 share_index=-1", S(4, 2, 2), S(4, 2, 2), "", 128, (S(4, 2, 2),)),
    Row(P, "[conv] filters=4 share_index=-1", S(4, 2, 2), S(4, 2, 2), "biases 4 weights 4x4x1x1", 128),
    # (5-1)*2 + 4 - 2*1 = 10
    Row(P, "[deconv] filters=6 size=4 stride=2 padding=1", S(3, 5, 5), S(6, 10, 10), "biases 6 weights 6x3x4x4"),
    Row(P, "[deconvolutional] filters=8 batch_normalize=1", S(3, 2, 2), S(8, 2, 2), f"biases 8 {BN8} weights 8x3x1x1"),
    # the input is flattened, 3*2*2=12; batch norm comes behind the weights; Darknet does not count its FLOPs
    Row(ALL, "[connected] output=8", S(3, 2, 2), S(8, 1, 1), "biases 8 weights 8x12"),
    Row(ALL, "[conn] output=8 batch_normalize=1", flat(5), S(8, 1, 1), f"biases 8 weights 8x5 {BN8}"),
    Row(A, "[batchnorm]", S(8, 2, 2), S(8, 2, 2), f"biases 8 {BN8}"),
    Row(P, "[batchnorm]", S(8, 2, 2), S(8, 2, 2), BN8),
    # pad: (8-1)/2+1=4, else (8-3)/2+1=3; a kernel of its own at each of the 16 or 9 places
    Row(AP, "[local] filters=5 size=3 stride=2 pad=1", S(2, 8, 8), S(5, 4, 4), "biases 80 weights 16x5x2x3x3"),
    Row(AP, "[local] filters=5 size=3 stride=2", S(2, 8, 8), S(5, 3, 3), "biases 45 weights 9x5x2x3x3"),
    Row(A, "[implicit] filters=20 atoms=3", S(3, 8, 8), S(20, 3, 1), "weights 60"),
    Row(A, "[implicit]", S(3, 8, 8), S(128, 1, 1), "weights 128"),
    Row(
        AH,
        "[rnn] output=4 hidden=3",
        flat(6),
        S(4, 1, 1),
        matrices("input_layer 3 6", "self_layer 3 3", "output_layer 4 3"),
    ),
    Row(
        P,
        "[rnn] output=4 hidden=3",
        flat(6),
        flat(4),
        matrices("input_layer 4 6", "self_layer 4 4", "output_layer 4 4"),
    ),
    Row(
        A,
        "[gru] output=4",
        S(6, 1, 1),
        flat(4),
        matrices(*(f"input_{n}_layer 4 6" for n in "zrh"), *(f"state_{n}_layer 4 4" for n in "zrh")),
    ),
    Row(
        P, "[gru] output=4", S(6, 1, 1), flat(4), matrices(*(f"w{n} 4 4" for n in "zrh"), *(f"u{n} 4 6" for n in "zrh"))
    ),
    Row(
        AH,
        "[lstm] output=4",
        flat(6),
        S(4, 1, 1),
        matrices(*(f"w{n} 4 4" for n in "figo"), *(f"u{n} 4 6" for n in "figo")),
    ),
    Row(
        P, "[lstm] output=4", flat(6), flat(4), matrices(*(f"w{n} 4 4" for n in "ifog"), *(f"u{n} 4 6" for n in "ifog"))
    ),
    Row(
        AH,
        "[lstm] output=1 batch_normalize=1",
        flat(1),
        S(1, 1, 1),
        " ".join(
            f"{g}.biases 1 {g}.weights 1x1 {g}.scales 1 {g}.rolling_mean 1 {g}.rolling_variance 1"
            for g in ("wf", "wi", "wg", "wo", "uf", "ui", "ug", "uo")
        ),
    ),
    # 2 * (6*3 + 6*6 + 10*6)*9 weights * 8*8
    Row(
        AH,
        "[crnn] output=10 hidden=6 pad=1",
        S(3, 8, 8),
        S(10, 8, 8),
        kernels("input_layer 6 3", "self_layer 6 6", "output_layer 10 6"),
        131328,
    ),
    Row(AH, "[crnn]", S(1, 8, 8), S(1, 6, 6), kernels("input_layer 1 1", "self_layer 1 1", "output_layer 1 1"), 1944),
    Row(
        P,
        "[crnn] output_filters=10 hidden_filters=6 output=3 size=1",
        S(3, 8, 12),
        S(10, 12, 8),  # what pjreddie's Darknet printed: 8 x 12 of 12 x 8
        kernels("input_layer 6 3", "self_layer 6 6", "output_layer 10 6"),
    ),
    # 2 * (4 * 4*4 + 4 * 4*3)*9 weights * 4*4 + 9 * 4*4*4
    Row(
        A,
        "[conv_lstm] output=4 pad=1",
        S(3, 4, 4),
        S(4, 4, 4),
        kernels(*(f"w{n} 4 4" for n in "figo"), *(f"u{n} 4 3" for n in "figo")),
        32832,
    ),
    # peephole adds three convolutions: + 2 * 3*4*4*9 * 16 + 3 * 64
    Row(
        A,
        "[conv_lstm] output=4 pad=1 peephole=1",
        S(3, 4, 4),
        S(4, 4, 4),
        kernels(*(f"v{n} 4 4" for n in "fio"), *(f"w{n} 4 4" for n in "figo"), *(f"u{n} 4 3" for n in "figo")),
        46848,
    ),
    # with a bottleneck one convolution reads both states: 2 * (4*8 + 4 * 4*3)*9 * 16 + 9 * 64
    Row(
        A,
        "[conv_lstm] output=4 pad=1 bottleneck=1",
        S(3, 4, 4),
        S(4, 4, 4),
        kernels("wf 4 8", *(f"u{n} 4 3" for n in "figo")),
        23616,
    ),
    # size defaults to stride, the total padding to size - 1: (8+1-2)/2+1=4; 2*2 * 4 * 4*4, no factor 2
    Row(AH, "[maxpool] stride=2", S(4, 8, 8), S(4, 4, 4), "", 256),
    Row(P, "[max] stride=2", S(4, 8, 8), S(4, 4, 4)),
    Row(AH, "[maxpool] size=2 stride=1", S(1, 8, 8), S(1, 8, 8), "", 256),
    Row(AH, "[maxpool] size=3 stride=2 padding=0", S(1, 8, 8), S(1, 3, 3), "", 81),
    Row(AH, "[maxpool] size=3 stride=2", S(1, 8, 7), S(1, 4, 4), "", 144),
    Row(AH, "[maxpool] size=2 stride=2 stride_x=1", S(1, 8, 8), S(1, 4, 8), "", 128),
    Row(AH, "[maxpool] maxpool_depth=1 out_channels=2", S(6, 8, 8), S(2, 8, 8), "", 384),
    Row(AH, "[maxpool] size=2 stride=2 antialiasing=1", S(1, 8, 8), S(1, 8, 8), "", 256),
    Row(AH, "[local_avg] size=2 stride=2", S(4, 8, 8), S(4, 4, 4), "", 256),
    Row(ALL, "[avgpool]", S(4, 8, 7), S(4, 1, 1)),
    Row(ALL, "[upsample]", S(4, 3, 5), S(4, 6, 10)),
    Row(ALL, "[upsample] stride=-2", S(4, 5, 6), S(4, 2, 3)),
    Row(AP, "[reorg] stride=2", S(4, 8, 6), S(16, 4, 3)),
    Row(AP, "[reorg] stride=2 reverse=1", S(16, 4, 3), S(4, 8, 6)),
    Row(P, "[reorg] extra=7", S(2, 2, 2), flat(15)),
    Row(A, "[reorg] extra=7", S(2, 2, 2), S(2, 2, 2)),
    Row(AH, "[reorg3d] stride=2", S(4, 8, 6), S(16, 4, 3)),
    Row(AP, "[crop] crop_width=28 crop_height=26", S(3, 32, 32), S(3, 26, 28)),
    Row(ALL, "[dropout] probability=.5", flat(7), flat(7)),
    Row(A, "[empty]", S(3, 4, 5), S(3, 4, 5)),
    Row(A, "[silence]", S(3, 4, 5), S(3, 4, 5)),
    Row(A, "[history]", S(3, 4, 5), S(12, 4, 5)),
    Row(AP, "[activation] activation=relu", S(3, 4, 5), S(3, 4, 5)),
    Row(AP, "[lrn]", S(3, 4, 5), S(3, 4, 5)),
    Row(P, "[l2norm]", S(3, 4, 5), S(3, 4, 5)),
    Row(P, "[logistic]", S(3, 4, 5), S(3, 4, 5)),
    Row(ALL, "[route] layers=-1,2", S(9, 9, 9), S(10, 4, 5), sources=(S(4, 4, 5), S(6, 4, 5))),
    Row(AH, "[route] layers=-1,2 groups=2 group_id=1", S(9, 9, 9), S(5, 4, 5), sources=(S(4, 4, 5), S(6, 4, 5))),
    Row(P, "[route] layers=-1,2 groups=2", S(9, 9, 9), S(10, 4, 5), sources=(S(4, 4, 5), S(6, 4, 5))),
    Row(ALL, "[route] layers=-1,2", S(9, 9, 9), flat(27), sources=(flat(7), S(1, 4, 5))),
    # one addition for each value and source, whatever their channels; twice that with weights
    Row(AH, "[shortcut] from=-3", S(4, 4, 5), S(4, 4, 5), "", 80, (S(6, 4, 5),)),
    Row(AH, "[shortcut] from=-3,1", S(4, 4, 5), S(4, 4, 5), "", 160, (S(4, 4, 5), S(4, 4, 5))),
    Row(AH, "[shortcut] from=-3", S(4, 4, 5), S(4, 4, 5), "", 80, (S(4, 8, 9),)),  # another size is accepted
    Row(P, "[shortcut] from=-3,1", S(4, 4, 5), S(4, 4, 5), "", 0, (S(4, 4, 5),)),
    Row(
        AH, "[shortcut] from=-3,1 weights_type=per_feature", S(4, 4, 5), S(4, 4, 5), "weights 3", 320, (S(4, 4, 5),) * 2
    ),
    Row(AH, "[shortcut] from=-3,1 weights_type=per_layer", S(4, 4, 5), S(4, 4, 5), "weights 3", 320, (S(4, 4, 5),) * 2),
    Row(
        AH,
        "[shortcut] from=-3,1 weights_type=per_channel",
        S(4, 4, 5),
        S(4, 4, 5),
        "weights 12",
        320,
        (S(4, 4, 5),) * 2,
    ),
    Row(P, "[shortcut] from=-3 weights_type=per_channel", S(4, 4, 5), S(4, 4, 5), "", 0, (S(4, 4, 5),)),
    Row(AH, "[scale_channels] from=-3", S(4, 1, 1), S(4, 4, 5), sources=(S(4, 4, 5),)),
    Row(AH, "[scale_channels] from=-3 scale_wh=1", S(1, 4, 5), S(4, 4, 5), sources=(S(4, 4, 5),)),
    Row(AH, "[sam] from=-3", S(4, 4, 5), S(4, 4, 5), sources=(S(4, 4, 5),)),
    # 2 masks * (5 + 3 classes); without a mask all num anchors
    Row(ALL, "[yolo] mask=0,1 num=3 classes=3", S(16, 4, 5), S(16, 4, 5)),
    Row(ALL, "[yolo] num=3 classes=3", S(24, 4, 5), S(24, 4, 5)),
    Row(ALL, "[yolo]", S(25, 4, 5), S(25, 4, 5)),
    # 4 uncertainties more: 2 * (9 + 3)
    Row(AH, "[Gaussian_yolo] mask=0,1 num=3 classes=3", S(24, 4, 5), S(24, 4, 5)),
    # 5 anchors * (4 coords + 1 + 3 classes)
    Row(ALL, "[region] num=5 classes=3", S(40, 4, 5), S(40, 4, 5)),
    # 2*2 cells * (3 classes + 2 boxes * (1 + 4))
    Row(AP, "[detection] side=2 num=2 coords=4 classes=3", S(52, 1, 1), flat(52)),
    Row(AP, "[detection] side=2 num=2 coords=4 classes=0", S(40, 1, 1), flat(40)),
    Row(P, "[iseg] classes=3 ids=4", S(7, 4, 5), S(7, 4, 5)),
    Row(ALL, "[softmax] groups=2", S(4, 1, 1), flat(4)),
    Row(ALL, "[soft]", flat(9), flat(9)),
    Row(ALL, "[cost]", S(4, 2, 2), flat(16)),
    Row(AH, "[contrastive]", S(4, 2, 2), flat(16)),
]
CASES = [pytest.param(row, fork, id=f"{row.text}-{fork}") for row in ROWS for fork in row.forks.split()]


def blocks_of(text: str) -> list[tuple[str, tuple[int, ...]]]:
    words = text.split()
    return [(name, tuple(map(int, shape.split("x")))) for name, shape in zip(words[::2], words[1::2], strict=True)]


@pytest.mark.parametrize(("row", "fork"), CASES)
def test_a_layer_comes_to_what_was_worked_out(row, fork):
    kind = kind_of(row.text, fork)
    y = kind.shape(row.x, row.sources)
    assert y == row.y
    tensors = kind.tensors(row.x, y)
    assert [(tensor.name, tensor.shape) for tensor in tensors] == blocks_of(row.blocks)
    assert [tensor.size for tensor in tensors] == [math.prod(shape) for _, shape in blocks_of(row.blocks)]
    assert kind.flops(row.x, y) == row.flops


def test_every_kind_has_a_row_in_every_fork_that_knows_it():
    worked = {(BY_NAME[row.text[1:].partition("]")[0]], fork) for row in ROWS for fork in row.forks.split()}
    assert {(kind, fork) for kind in ALL_KINDS for fork in kind.forks} - worked == set()


def test_every_name_leads_to_its_kind_in_its_forks_only():
    for kind in ALL_KINDS:
        for name in kind.names:
            for fork in DIALECTS:
                if fork in kind.forks:
                    assert find_kind(name, fork) is kind
                else:
                    with pytest.raises(UnknownKind, match=f"not known to the dialect {fork}; it is in"):
                        find_kind(name, fork)


@pytest.mark.parametrize("kind", [Net, *ALL_KINDS])
def test_a_kind_is_declared_in_full(kind):
    assert kind.__doc__
    assert kind.names
    assert all(set(key.forks) <= set(DIALECTS) and key.forks for key in keys_of(kind).values())
    assert {name for name in getattr(kind, "derived", ()) if not hasattr(kind, name)} == set()
    if issubclass(kind, Kind):
        assert kind.__eq__ is Kind.__eq__  # the dataclass made no other


# --- what does not fit


@pytest.mark.parametrize(
    ("text", "x", "sources", "error", "message"),
    [
        ("[conv] size=9", S(3, 8, 8), (), ShapeMismatch, "a window of 9 does not fit an image of 8 with padding 0"),
        (
            "[conv] groups=4 filters=4",
            S(3, 8, 8),
            (),
            ShapeMismatch,
            "groups=4 is more than its 3 input channels or 4 filters",
        ),
        ("[conv] groups=4 filters=2", S(8, 8, 8), (), ShapeMismatch, "more than its 8 input channels or 2 filters"),
        ("[maxpool] size=9 padding=0", S(3, 8, 8), (), ShapeMismatch, "a window of 9 does not fit"),
        ("[upsample] stride=0", S(3, 8, 8), (), BadValue, "stride=0"),
        ("[route]", S(3, 8, 8), (), BadReference, "needs layers="),
        ("[route] layers=1,2", S(3, 8, 8), (S(1, 8, 8), S(1, 4, 8)), ShapeMismatch, "different size (8x8x1, 8x4x1)"),
        (
            "[route] layers=1 groups=2 group_id=2",
            S(3, 8, 8),
            (S(4, 8, 8),),
            BadValue,
            "group_id=2 must be below groups=2",
        ),
        ("[shortcut]", S(3, 8, 8), (), BadReference, "needs from="),
        (
            "[shortcut] from=1 weights_type=per_pixel",
            S(3, 8, 8),
            (S(3, 8, 8),),
            BadValue,
            "weights_type=per_pixel: use",
        ),
        ("[scale_channels]", S(3, 1, 1), (), BadReference, "needs from="),
        ("[scale_channels] from=1", S(2, 1, 1), (S(3, 8, 8),), ShapeMismatch, "cannot scale 8x8x3 by 1x1x2"),
        ("[scale_channels] from=1 scale_wh=1", S(3, 8, 8), (S(3, 8, 8),), ShapeMismatch, "cannot scale"),
        ("[sam]", S(3, 8, 8), (), BadReference, "needs from="),
        ("[sam] from=1", S(2, 8, 8), (S(3, 8, 8),), ShapeMismatch, "multiplies 8x8x3 by 8x8x2: they must be equal"),
        (
            "[yolo] mask=0,1 classes=3",
            S(15, 8, 8),
            (),
            ShapeMismatch,
            "reads 2*(3+5)=16 channels, but gets 15; set filters=16",
        ),
        ("[Gaussian_yolo] num=1 classes=3", S(8, 8, 8), (), ShapeMismatch, "1*(3+9)=12 channels, but gets 8"),
        ("[detection] side=1 classes=3", S(52, 1, 1), (), ShapeMismatch, "[detection] reads 5 values, but gets 52"),
    ],
)
def test_layers_that_do_not_fit_say_why(text, x, sources, error, message):
    with pytest.raises(error) as caught:
        kind_of(text).shape(x, sources)
    assert message in str(caught.value)


def test_iseg_channels_must_fit():
    with pytest.raises(ShapeMismatch, match="reads 52 channels, but gets 3"):
        kind_of("[iseg]", P).shape(S(3, 8, 8), ())


def test_the_next_layer_reads_the_blurred_image():
    # 3x3 with padding 1 on each side: (8+2-3)/2+1=4; 2x2 without: (8-2)/2+1=4 and (7-2)/2+1=3
    assert kind_of("[conv] stride=2 antialiasing=1").onward(S(5, 8, 8)) == S(5, 4, 4)
    assert kind_of("[conv] stride=2 antialiasing=2").onward(S(5, 8, 7)) == S(5, 4, 3)
    assert kind_of("[maxpool] size=2 stride=2 antialiasing=1").onward(S(5, 8, 8)) == S(5, 4, 4)
    assert kind_of("[conv] stride=2").onward(S(5, 8, 8)) == S(5, 8, 8)


def test_a_flipped_convolution_says_so():
    tensors = kind_of("[conv] flipped=1").tensors(S(3, 4, 4), S(1, 4, 4))
    assert [tensor.flipped for tensor in tensors] == [False, True]


# --- anchors


def test_anchor_sizes_follow_the_mask_and_missing_ones_are_half():
    head = kind_of("[yolo] mask=2,0 num=3 anchors=1,2,3,4")
    assert head.anchor_sizes() == [(0.5, 0.5), (1.0, 2.0)]
    assert kind_of("[region] num=2 anchors=1,2,3,4,5,6").anchor_sizes() == [(1.0, 2.0), (3.0, 4.0)]


def test_a_mask_that_is_no_anchor_is_refused():
    with pytest.raises(BadValue, match=r"mask 3 is not an anchor: num=3 allows 0\.\.2"):
        kind_of("[yolo] mask=2,3 num=3").anchor_sizes()


# --- reading: the forks were run on these texts


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("filters=8#c", "filters", (8, 8, 8)),
        ("filters=8;c", "filters", (8, 8, 8)),
        ("activation=leaky#c", "activation", ("leaky#c", "leaky#c", "leaky")),  # "leaky#c" is ReLU to the first two
        ("pad=", "pad", (0, 0, 0)),
        ("filters", "filters", (1, 1, 1)),
        ("filters=8\nfilters=9", "filters", (8, 8, 8)),
        ("filters=4.7", "filters", (4, 4, 4)),
        ("filters=1e1", "filters", (1, 1, 1)),
        ("filters=+8", "filters", (8, 8, 8)),
        ("stopbackward=800", "stopbackward", (800, 800, 800)),
        ("learning_rate=1e-3", "learning_rate", (0.001, 0.001, 0.001)),
        ("learning_rate=.5", "learning_rate", (0.5, 0.5, 0.5)),
        ("dontsave=1", "dontsave", (0, 1, 0)),
    ],
)
def test_a_key_is_read_as_each_fork_reads_it(text, key, values):
    section = parse(f"[conv]\n{text}\n").sections[0]
    kinds = [read_kind(find_kind("conv", fork), section, fork) for fork in DIALECTS]
    assert tuple(getattr(kind, key) for kind in kinds) == values


@pytest.mark.parametrize(
    ("text", "kind", "key", "values"),
    [
        ("layers=-1,", "route", "layers", ((-1, 0), (-1, 0), (-1,))),  # a ghost layer 0
        ("layers=-1 # a, b", "route", "layers", ((-1, 0), (-1, 0), (-1,))),
        ("layers=-1 # ab", "route", "layers", ((-1,), (-1,), (-1,))),
        ("layers=-0", "route", "layers", ((0,), (0,), (0,))),
        ("from=-3,1", "shortcut", "from_", ((-3, 1), (-3,), (-3, 1))),
        ("mask=0,1 # 2,3", "yolo", "mask", ((0, 1), (0, 1, 3), (0, 1))),  # "1#2" is 1 to atoi
        ("anchors=1,2 # 3", "yolo", "anchors", ((1.0, 2.0), (1.0, 2.0), (1.0, 2.0))),
        ("anchors=1,2 # ,3", "region", "anchors", ((1.0, 2.0, 3.0), (1.0, 2.0, 3.0), (1.0, 2.0))),
        ("anchors=1.5,2", "region", "anchors", ((1.5, 2.0),) * 3),
    ],
)
def test_a_list_is_read_as_each_fork_reads_it(text, kind, key, values):
    section = parse(f"[{kind}]\n{text}\n").sections[0]
    kinds = [read_kind(find_kind(kind, fork), section, fork) for fork in DIALECTS]
    assert tuple(getattr(found, key) for found in kinds) == values


def test_steps_end_at_a_comment_in_alexeyab_and_hank_ai():
    section = parse("[net]\nsteps=10,20 # ,30\n").sections[0]
    assert [read_kind(Net, section, fork).steps for fork in DIALECTS] == [(10, 20), (10, 20, 30), (10, 20)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[conv] share_index=-1000000000", ()),
        ("[conv] share_index=-2", (-2,)),
        ("[conv] share_index=0", (0,)),
        ("[conv] share_index=3,4", (3,)),
        ("[yolo] embedding_layer=999999", ()),
        ("[yolo] embedding_layer=-2", (-2,)),
        ("[yolo] embedding_layer=0", (0,)),
        ("[contrastive] yolo_layer=0", ()),  # so layer 0 cannot be named
        ("[contrastive] yolo_layer=4", (4,)),
        ("[scale_channels] from=-2,7", (-2,)),
        ("[sam] from=5,7", (5,)),
    ],
)
def test_references_have_their_numbers_for_none(text, values):
    kind = kind_of(text)
    names = [key.field for key in keys_of(type(kind)).values() if key.is_refs]
    assert [getattr(kind, name) for name in names] == [values]


@pytest.mark.parametrize(
    ("header", "fork", "message"),
    [
        ("convolutional]#c", A, "text behind ']' is part of the name in Darknet"),
        ("convolutional]]", A, "text behind ']' is part of the name"),
        ("Convolutional", A, "did you mean [convolutional]"),
        ("convolutionel", A, "did you mean [convolutional]"),
        ("gaussian_yolo", A, "did you mean [Gaussian_yolo]"),
        ("qqq", A, "unknown section [qqq]; see the list of kinds"),
        ("iseg", A, "it is in pjreddie"),
        ("implicit_add", A, "did you mean [implicit]"),
    ],
)
def test_an_unknown_section_gets_a_cure(header, fork, message):
    with pytest.raises(UnknownKind) as caught:
        find_kind(header, fork)
    assert message in str(caught.value)


def test_only_hank_ai_knows_a_comment_behind_a_header():
    assert find_kind("convolutional]#c", H) is BY_NAME["convolutional"]
    with pytest.raises(UnknownKind):
        find_kind("convolutional]#c", P)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[conv] filters=0", "filters=0: must be at least 1"),
        ("[conv] filters=-8", "filters=-8: must be at least 1"),
        ("[conv] filters=0x10", "filters=0x10: must be at least 1"),
        ('[conv] filters="8"', 'filters="8": must be at least 1'),
        ("[conv] filters=99999999999", "filters=99999999999: does not fit Darknet's 32-bit int"),
        ("[conv] size=0", "size=0: must be at least 1"),
        ("[conv] stride=0", "stride=0: must be at least 1"),
        ("[conv] padding=-1", "padding=-1: must be at least 0"),
        ("[maxpool] stride_x=0", "stride_x=0: must be at least 1"),
        ("[upsample] scale=nan", "scale=nan: is not a plain decimal number"),
        ("[yolo] classes=0", "classes=0: must be at least 1"),
        ("[yolo] num=100001", "num=100001: must be at most 100000"),
    ],
)
def test_a_value_that_builds_no_layer_is_refused_with_its_line(text, message):
    with pytest.raises(BadValue) as caught:
        kind_of(text)
    assert (caught.value.message, caught.value.line) == (message, 2)


def test_a_key_of_another_fork_is_left_out():
    assert kind_of("[conv] antialiasing=1", P).antialiasing == 0
    assert kind_of("[shortcut] from=-1 alpha=2", A).alpha == 1.0
    assert kind_of("[shortcut] from=-1 alpha=2", P).alpha == 2.0


# --- numbers, against the C library itself

C = pytest.mark.skipif(sys.platform == "win32", reason="the C library has no fixed name there")


@C
@given(numbers | st.integers(-(2**31), 2**31 - 1).map(str))
def test_atoi_is_c_s(text):
    libc = ctypes.CDLL(None)
    try:
        ours = atoi(text)
    except BadValue:
        assert len(text.lstrip("+-0\x0c")) > 9  # beyond an int, where C is undefined
        return
    assert ours == libc.atoi(text.encode())


@C
@given(numbers | st.floats(allow_nan=False, allow_infinity=False).map(repr))
def test_atof_is_c_s(text):
    libc = ctypes.CDLL(None)
    libc.atof.restype = ctypes.c_double
    assert atof(text) == libc.atof(text.encode())


@C
@pytest.mark.parametrize("text", ["0x", "0x.", "-0X.g", "0x.p1", "in", "na", "i1"])
def test_what_only_begins_like_a_number_of_c_is_read_as_c_reads_it(text):
    libc = ctypes.CDLL(None)
    libc.atof.restype = ctypes.c_double
    assert str(atof(text)) == str(libc.atof(text.encode()))  # -0.0 is another text than 0.0


@pytest.mark.parametrize("text", ["0x10", "0x.8", "-0X1", "inf", "-Infinity", "nan", "NaN(1)"])
def test_numbers_that_only_c_reads_are_refused(text):
    with pytest.raises(BadValue, match="not a plain decimal number"):
        atof(text)


def test_long_numbers_are_read_whole():
    assert atoi("0" * 5000 + "8") == 8
    assert atof("0" * 5000 + "8.5") == 8.5
    assert (atoi("2147483647"), atoi("-2147483648")) == (2**31 - 1, -(2**31))
    with pytest.raises(BadValue):
        atoi("2147483648")
    with pytest.raises(BadValue):
        atoi("9" * 5000)


def test_lists_are_counted_as_each_fork_counts_them():
    assert list_items("1,2#a,b", A) == ["1", "2#a", "b"]
    assert list_items("1,2#a,b", A, (A,)) == ["1", "2"]
    assert list_items("1,2#a,b", P, (A,)) == ["1", "2#a", "b"]
    assert list_items("1, 2,", H) == ["1", "2"]
    assert as_read("leaky#c", H) == "leaky"
    assert as_read("leaky#c", A) == "leaky#c"


@given(st.integers(1, 30), st.integers(0, 9), st.integers(1, 12), st.integers(1, 5))
def test_a_window_takes_every_place_that_it_fits(length, padding, size, stride):
    places = [start for start in range(0, length + padding, stride) if start + size <= length + padding]
    if places:
        assert slide(length, padding, size, stride) == len(places)
    else:
        with pytest.raises(ShapeMismatch):
            slide(length, padding, size, stride)


# --- equality: computing the same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[conv] size=3 pad=1", "[conv] size=3 padding=1"),
        ("[conv] size=3 pad=1", "[conv] size=3 pad=7 padding=4"),
        ("[conv] pad=1", "[conv] pad=0"),  # half of 1 is 0
        ("[conv] stride=2", "[conv] stride=1 stride_x=2 stride_y=2"),
        ("[conv] dilation=2", "[conv]"),  # Darknet ignores it for 1x1
        ("[conv] batch_normalize=1", "[conv] cbn=1"),
        ("[conv] batch_normalize=1", "[convolutional] batch_normalize=2"),
        ("[conv] share_index=-1", "[conv] share_index=7"),  # what it reads, the network compares
        ("[conv] learning_rate=0 stopbackward=1 dontload=1", "[conv]"),
        ("[crnn] pad=1", "[crnn] padding=1"),
        ("[conv_lstm] pad=1", "[conv_lstm] padding=1"),
        ("[maxpool] stride=2", "[maxpool] size=2 stride=2 padding=1"),
        ("[maxpool] size=2 stride=2", "[max] size=2 stride_x=2 stride_y=2"),
        ("[route] layers=-1", "[route] layers=5"),
        ("[shortcut] from=-1", "[shortcut] from=5"),
        ("[yolo] ignore_thresh=.7 iou_loss=ciou", "[yolo]"),
        ("[dropout] probability=.2", "[dropout] probability=.5"),
        ("[cost] type=sse", "[cost] type=smooth"),
    ],
)
def test_layers_that_compute_the_same_are_equal(one, other):
    a, b = kind_of(one), kind_of(other)
    assert a == b
    assert hash(a) == hash(b)
    assert a.differences(b) == []


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("[conv] size=3 pad=1", "[conv] size=3", ["pads 1 against 0"]),
        ("[conv] stride=2", "[conv]", ["strides (2, 2) against (1, 1)"]),
        ("[conv] stride_x=2", "[conv] stride_y=2", ["strides (2, 1) against (1, 2)"]),
        ("[conv] size=3 dilation=2", "[conv] size=3", ["spread 2 against 1"]),
        ("[conv] cbn=1", "[conv]", ["norm True against False"]),
        ("[conv] share_index=-1", "[conv]", ["share_index_set True against False"]),
        ("[conv] activation=leaky", "[conv] activation=mish", ["activation leaky against mish"]),
        ("[maxpool] stride=2", "[maxpool] size=3 stride=2", ["window 2 against 3", "pads 1 against 2"]),
        ("[route] layers=1 groups=2", "[route] layers=1", ["groups 2 against 1"]),
        ("[yolo] classes=3", "[yolo]", ["classes 3 against 20"]),
        ("[conv]", "[maxpool]", ["[convolutional] against [maxpool]"]),
        ("[yolo]", "[Gaussian_yolo]", ["[yolo] against [Gaussian_yolo]"]),
    ],
)
def test_layers_that_compute_something_else_say_what(one, other, why):
    a, b = kind_of(one), kind_of(other)
    assert a != b
    assert a.differences(b) == why


def test_a_kind_is_equal_to_no_other_thing():
    assert kind_of("[conv]") != "convolutional"


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_no_key_is_forgotten_by_the_comparison(kind):
    """Every key is compared, or read by training only, or stands behind a derived property."""
    base = kind()
    for name, key in keys_of(kind).items():
        other = replace(base, **{key.field: _another(getattr(base, key.field))})
        if key.training:
            assert base == other, name
        elif key.declared.compare:
            assert base != other, name
        else:
            assert key.is_refs or kind.derived, name
    assert all(f.metadata for f in fields(kind) if f.name != "dialect")


def _another(value):
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value, 1)
    return (value or 0) + 1


def test_a_shape_prints_as_darknet_prints_it():
    assert str(S(3, 4, 5)) == "5x4x3"
    assert str(flat(7)) == "7 values"
    assert (S(3, 4, 5).size, flat(7).size, S(3, 4, 5).is_image, flat(7).is_image) == (60, 7, True, False)


def test_a_kind_is_frozen_and_shows_what_its_section_said():
    kind = BY_NAME["dropout"](probability=0.25)
    assert repr(kind) == "Dropout(probability=0.25)"
    with pytest.raises(FrozenInstanceError, match="cannot assign to probability"):
        kind.probability = 0.5
    with pytest.raises(FrozenInstanceError, match="cannot delete probability"):
        del kind.probability
    with pytest.raises(TypeError, match="Net has no channel, widht"):
        Net(widht=3, channel=3)


@pytest.mark.parametrize(
    ("text", "dialect", "window"),
    [
        ("[conv] size=3", A, "3x3/1"),
        ("[conv] size=3 stride_x=2", A, "3x3/2x1"),
        ("[conv] size=3 stride=2 dilation=4", A, "3x3/2(4)"),
        ("[deconv] size=4 stride=2", P, "4x4/2"),
        ("[local] size=3 stride=2", A, "3x3/2"),
        ("[maxpool] stride=2", A, "2x2/2"),
        ("[local_avgpool] size=3 stride=2", A, "3x3/2"),
        ("[crnn] size=3 dilation=2", A, "3x3/1(2)"),
        ("[conv_lstm] size=5", A, "5x5/1"),
        ("[route] layers=-1 groups=2 group_id=1", A, "2/2"),
        ("[route] layers=-1", A, ""),
        ("[connected] output=3", A, ""),
    ],
)
def test_the_window_as_darknet_prints_it(text, dialect, window):
    assert kind_of(text, dialect).window_text == window


LINEAR = """\
[conv] activation=linear
[connected] activation=linear
[shortcut] from=-2
[route] layers=-1
[avgpool]
[local_avgpool] size=2
[upsample]
[dropout]
[empty]
""".splitlines()
NOT_LINEAR = """\
[conv] activation=leaky
[conv] activation=linear batch_normalize=1
[connected] activation=relu
[connected] activation=linear batch_normalize=1
[shortcut] from=-2 activation=relu
[maxpool]
[scale_channels] from=-2
[softmax]
""".splitlines()


@pytest.mark.parametrize("text", [*LINEAR, *NOT_LINEAR])
def test_which_layers_map_means_to_means(text):
    assert kind_of(text).is_linear == (text in LINEAR)


def test_the_classes_of_a_head_are_its_key_or_its_values():
    image, row = S(14, 8, 8), S(1000, 1, 1)
    assert [kind_of(text).class_count(image) for text in ("[yolo] classes=2", "[region] classes=3")] == [2, 3]
    assert kind_of("[detection] classes=4").class_count(flat(1470)) == 4
    values = ("[softmax]", "[cost]", "[connected]", "[avgpool]")
    assert [kind_of(text).class_count(row) for text in values] == [1000] * 4
    assert [kind_of(text).class_count(S(1000, 416, 416)) for text in values] == [0] * 4  # no classifier has so many
    assert kind_of("[conv]").class_count(row) == 0


def test_what_is_decided_by_kind():
    def having(name: str) -> set[str]:
        return {kind.names[0] for kind in ALL_KINDS if getattr(kind, name)}

    assert having("in_place") == {"dropout", "empty"}
    assert having("pools") == {"maxpool", "local_avgpool", "reorg", "reorg3d"}
    assert having("stops_backward") == {"route", "shortcut", "maxpool", "upsample"}
    assert having("gives_boxes") == {"yolo", "Gaussian_yolo", "region", "detection"}
    assert having("is_head") == {*having("gives_boxes"), "iseg", "softmax"}
