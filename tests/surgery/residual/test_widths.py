"""Widths of branches: RRR-Net's own rule against the published table, and both totals at once."""

from __future__ import annotations

import pytest
from architectures import darknet53_text, resnet152_text, yolov3_text
from conftest import network_of
from residuals import without_weights

from darkshare.errors import BadValue, Unsupported
from darkshare.surgery.residual import reduce
from darkshare.surgery.residual.streams import streams_of
from darkshare.surgery.residual.widths import Totals, fit, knobs_of, tail_cost, widths_at

FULL = (256, 512)


def conv(c: int, n: int, size: int, places: int) -> tuple[int, int]:
    """(parameters, multiply-adds) of a convolution without bias and its batch norm, as torchvision has them."""
    kernel = c * n * size**2
    return kernel + 2 * n, kernel * places


def paper_branch(knobs: tuple[int, ...], classes: int = 20) -> Totals:
    """layer3.0, layer4.0 and fc of torchvision's ResNet-152 at 128x128, with other bottleneck widths."""
    found, c = [], 512
    for width, before, after in zip(knobs, (16 * 16, 8 * 8), (8 * 8, 4 * 4), strict=True):
        found += [conv(c, width, 1, before), conv(width, width, 3, after), conv(width, 4 * width, 1, after)]
        found.append(conv(c, 4 * width, 1, after))
        c = 4 * width
    found.append((c * classes + classes, c * classes))
    return Totals(*map(sum, zip(*found, strict=True)))


PAPER = paper_branch(FULL)


def paper_trunk() -> Totals:
    """The stem, layer1.0 and layer2.0 at 128x128."""
    found = [conv(3, 64, 7, 64 * 64)]
    for c, width, before, after in ((64, 64, 32 * 32, 32 * 32), (256, 128, 32 * 32, 16 * 16)):
        found += [conv(c, width, 1, before), conv(width, width, 3, after), conv(width, 4 * width, 1, after)]
        found.append(conv(c, 4 * width, 1, after))
    return Totals(*map(sum, zip(*found, strict=True)))


def test_the_setting_is_the_paper_s():
    """8.057 M parameters and 0.479 G multiply-adds, of which the trunk has 5.8 % and 49 %."""
    trunk = paper_trunk()
    assert round((PAPER.params + trunk.params) / 1e6, 3) == 8.057
    assert round((PAPER.flops + trunk.flops) / 1e9, 3) == 0.479
    assert round(trunk.params / 1e6, 3) == 0.464
    assert round(trunk.flops / (PAPER.flops + trunk.flops), 2) == 0.49


# The authors' widths, and what they come to: the tail's parameters and operations, then the whole network's.
AUTHORS = [
    (2, (175, 356), 0.9953, 1.0657, 0.9956, 1.0334),
    (4, (119, 247), 0.9992, 1.1629, 0.9993, 1.0827),
    (8, (79, 170), 0.9970, 1.2758, 0.9972, 1.1401),
    (16, (51, 115), 0.9823, 1.4004, 0.9833, 1.2034),
    (32, (32, 77), 0.9691, 1.5442, 0.9709, 1.2765),
    (64, (20, 52), 0.9944, 1.7557, None, None),
    (128, (11, 34), 0.9420, 1.7986, None, None),
]


@pytest.mark.parametrize(("m", "widths", "tail_params", "tail_flops", "params", "flops"), AUTHORS)
def test_the_authors_rule_gives_the_published_widths(m, widths, tail_params, tail_flops, params, flops):
    found = fit(FULL, m, paper_branch, PAPER, match="authors")
    assert found.knobs == widths
    assert (round(found.params, 4), round(found.flops, 4)) == (tail_params, tail_flops)
    if params is not None:
        trunk = paper_trunk()
        assert round((trunk.params + found.params * PAPER.params) / (trunk.params + PAPER.params), 4) == params
        assert round((trunk.flops + found.flops * PAPER.flops) / (trunk.flops + PAPER.flops), 4) == flops


@pytest.mark.parametrize("m", [2, 4, 8, 16])
def test_two_knobs_hold_both_totals_in_the_paper_s_setting(m):
    found = fit(FULL, m, paper_branch, PAPER, match="params,flops")
    assert found.off <= 0.005
    one = paper_branch(found.knobs)
    assert (found.params, found.flops) == (m * one.params / PAPER.params, m * one.flops / PAPER.flops)


@pytest.mark.parametrize(("m", "widths"), [(2, (157, 377)), (4, (93, 278)), (8, (53, 204)), (16, (29, 149))])
def test_two_knobs_are_no_worse_than_the_known_ones(m, widths):
    one = paper_branch(widths)
    known = max(abs(m * one.params / PAPER.params - 1), abs(m * one.flops / PAPER.flops - 1))
    assert fit(FULL, m, paper_branch, PAPER, match="params,flops").off <= known


def test_one_factor_for_all_widths():
    found = fit(FULL, 8, paper_branch, PAPER, match="params", tolerance=0.01)
    a, b = found.knobs
    assert abs(found.params - 1) <= 0.01
    assert abs(a / 256 - b / 512) < 0.01
    assert found.flops > 1.2  # the operations grow, as with the authors' rule


def test_widths_are_multiples_of_the_step():
    found = fit(FULL, 8, paper_branch, PAPER, match="params,flops", steps=(8, 8))
    assert [width % 8 for width in found.knobs] == [0, 0]


def test_too_many_branches_for_the_authors_rule():
    with pytest.raises(BadValue, match="more parameters than the undivided tail"):
        fit((3, 3), 9, lambda knobs: Totals(1, 1), Totals(2, 2), match="authors")


def tail(text: str, after: int, **how):
    """(streams, knobs, cost of a branch) of a reduced network."""
    network = reduce(without_weights(text, dialect="pjreddie", **how), "first").network
    streams = streams_of(network, after)
    knobs = knobs_of(streams)
    return network, streams, knobs, lambda values: tail_cost(streams, widths_at(streams, knobs, values))


@pytest.mark.parametrize(
    ("text", "after"),
    [(resnet152_text(classes=20, size=128), 14), (darknet53_text(classes=20, size=128), 12)],
)
def test_the_knobs_of_a_residual_network_are_its_bottlenecks(text, after):
    network, _, knobs, cost = tail(text, after)
    assert tuple(knob.full for knob in knobs) == (256, 512)
    layers = network.layers[after + 1 :]
    assert cost((256, 512)) == (sum(x.size for x in layers), sum(x.flops for x in layers))


# darknet53, 20 classes, 128x128: the whole network's totals with the authors' rule
@pytest.mark.parametrize(
    ("m", "params", "flops"), [(2, 0.997, 1.019), (4, 0.992, 1.045), (8, 0.987, 1.076), (16, 0.988, 1.120)]
)
def test_the_authors_rule_on_darknet53(m, params, flops):
    network, _, _, cost = tail(darknet53_text(classes=20, size=128), 12)
    whole = cost((256, 512))
    found = fit((256, 512), m, cost, whole, match="authors")
    assert 1 + (found.params - 1) * whole.params / network.params == pytest.approx(params, abs=6e-4)
    assert 1 + (found.flops - 1) * whole.flops / network.flops == pytest.approx(flops, abs=6e-4)


@pytest.mark.parametrize("m", [2, 4, 8, 16])
def test_two_knobs_on_darknet53(m):
    """At least as near as the widths that are known."""
    known = {2: (160, 375), 4: (96, 276), 8: (55, 204), 16: (30, 150)}[m]
    _, _, _, cost = tail(darknet53_text(classes=20, size=128), 12)
    whole = cost((256, 512))
    off = max(abs(m * a / b - 1) for a, b in zip(cost(known), whole, strict=True))
    assert fit((256, 512), m, cost, whole, match="params,flops").off <= off


def test_channels_that_are_added_belong_together():
    _, streams, knobs, _ = tail(resnet152_text(classes=20, size=128), 14)
    conv1, conv2, conv3, _, _, pick, shortcut = (streams.gives[i] for i in range(15, 22))
    assert conv3 == pick == shortcut
    assert len({conv1, conv2, conv3}) == 3
    assert streams.gives[18] == streams.gives[14]  # the route to the trunk
    assert set(streams.gives[14]) <= streams.trunk
    assert set(knobs[0].groups) == {*conv1, *conv2, *conv3}


def test_heads_and_what_the_trunk_adds_keep_their_channels():
    network = network_of(yolov3_text(size=64))
    streams = streams_of(network, 35)  # inside a residual block, whose shortcut adds a layer of the trunk
    assert set(streams.gives[82]) <= streams.fixed
    assert set(streams.gives[36]) & streams.fixed
    assert set(streams.gives[38]) - streams.fixed
    assert len(streams.reads[85]) == 1
    assert len(streams.gives[86]) == 2  # upsampled channels and those of layer 61


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[avgpool]", "[reorg]\nstride=2\n[avgpool]", r"layer 17 \[reorg\]: cannot be divided among branches"),
        ("[avgpool]", "[route]\nlayers=-1\ngroups=2\n[avgpool]", "a part of the channels"),
        ("filters=64\n", "filters=64\ngroups=2\n", "only groups with as many channels as filters"),
    ],
)
def test_what_cannot_be_thinned(old, new, says):
    text = darknet53_text(classes=5, size=64, stages=((8, 1), (16, 1), (32, 1), (64, 1))).replace(old, new)
    with pytest.raises(Unsupported, match=says) as caught:
        streams_of(network_of(text), 12)
    assert caught.value.line is not None


def test_a_tail_of_heads_alone():
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\n[convolutional]\nfilters=2\n[softmax]\n"
    with pytest.raises(BadValue, match="nothing behind layer 0 can be thinned"):
        knobs_of(streams_of(network_of(text), 0))
