"""`check`: every rule is provoked, a good model provokes none, and real Darknet agrees on what it refuses."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    ZOO,
    fingerprint_by_hand,
    network_of,
    seeded_floats,
    tiny_text,
    write_model,
    zoo_cfgs,
    zoo_path,
)
from models import floats, model, quiet_concat, retrained

from darkshare.analysis import check as checking
from darkshare.analysis.check import Problems, check
from darkshare.analysis.check import weights as weight_rules
from darkshare.darknet.kinds import DIALECTS
from darkshare.darknet.model import Model, load, save
from darkshare.darknet.weights import Header
from darkshare.errors import BadValue
from darkshare.surgery.classes import classes
from darkshare.surgery.mix import mix, snap
from darkshare.surgery.splice import split

A, P, H = DIALECTS
LAST = "[yolo]\nmask=1,2"
NARROW = "[net]\nwidth=12\nheight=8\nchannels=3\n"
GROUPED = NARROW + "[{}]\n{}\npad=1\ngroups=2\n"
REGION = "[convolutional]\nfilters=6\nactivation=linear\n[region]\nclasses=1\nanchors=1,1\n"
CONV_5 = "[convolutional]\nsize=1"  # layer 5
LATER = REGION.replace("[region]\n", "[region]\n\n")


def problems_of(tmp_path: Path, text: str, dialect: str = A) -> Problems:
    path = tmp_path / "x.cfg"
    path.write_bytes(text.encode())
    return check(path, dialect=dialect)


def edited(old: str, new: str) -> str:
    text = tiny_text()
    assert old in text, old
    return text.replace(old, new, 1)


def test_models_and_data_sets_are_checked_in_one_call(tmp_path, tiny):
    (tmp_path / "m.names").write_text("a\n")
    (tmp_path / "m.data").write_text("classes=1\nnames=m.names\nvaild=m.txt\n")
    weights = tiny.with_suffix(".weights")
    found = check(tmp_path / "m.data", tiny, weights, weights, decode=True)
    assert [problem.file for problem in found] == [str(tmp_path / "m.data")]
    assert repr(found) == "<Problems: 1 error>"
    assert "vaild" in found._repr_html_()
    for files in ((), (weights,), (tmp_path / "m.names",)):
        with pytest.raises(BadValue):
            check(*files)


def test_strict_decides_what_is_fine(tmp_path):
    path = tmp_path / "x.cfg"
    for text, fine, strictly in (
        (tiny_text(), True, True),
        (edited("filters=8", "filters=8\nfilters=8"), True, True),
        (edited("filters=8", "filters=8\nfilter=4"), True, False),
        (edited("filters=8", "filters=x"), False, False),
    ):
        path.write_text(text)
        assert (check(path).is_fine, check(path, strict=True).is_fine) == (fine, strictly)


# rule: (old, new, dialect, severity, line that is blamed, what the message says)
PROVOKED: dict[str, list[tuple[str, str, str, str, str, str]]] = {
    "line_ends": [
        ("height=32\n", "height=32\r\n", P, "error", "height=32", "convert the file to LF"),
        ("height=32\n", "height=32\r\n", A, "note", "height=32", "pjreddie's Darknet does not know [net]"),
    ],
    "lost_lines": [
        ("height=32", "height=32\nbatch=", A, "warning", "batch=", "Darknet takes the default"),
        ("height=32", "height=32\nhello", A, "warning", "hello", "is not key=value"),
        ("height=32", "height=32\n=8", A, "warning", "=8", "has no key"),
    ],
    "unknown_keys": [
        ("filters=8", "filters=8\nfilter=4", A, "warning", "filter=4", "did you mean filters=?"),
        ("filters=8", "filters=8\nuc_normalizer=1", A, "warning", "uc_n", "it belongs to [Gaussian_yolo]"),
        ("filters=8", "filters=8\nqqqq=4", A, "warning", "qqqq", "put # before it"),
        ("width=32", "width=32\nseen=0", H, "error", "seen=0", "is an error in hank-ai"),
    ],
    "unused_keys": [
        ("filters=8", "filters=8\nstride_x=1", P, "warning", "stride_x", "only alexeyab and hank-ai read 'stride_x'"),
        ("width=32", "width=32\nmax_crop=40", H, "error", "max_crop", "hank-ai refuses it as unused"),
        ("width=32", "width=32\nnotruth=1", A, "warning", "notruth", "only pjreddie reads 'notruth'"),
    ],
    "duplicate_keys": [
        ("filters=8", "filters=8\nfilters=9", A, "warning", "filters=9", "8 of line 8 wins"),
        ("filters=8", "filters=8\nfilters=8 ", A, "note", "filters=8 ", "8 of line 8 wins"),
        ("filters=8", "filters=8\nfilters=9", H, "error", "filters=9", "which hank-ai refuses"),
    ],
    "policy_keys": [
        ("width=32", "width=32\ngamma=2", A, "note", "gamma=2", "policy=exp or sigmoid only, but policy=constant"),
        ("width=32", "width=32\npolicy=exp\nsteps=5", H, "error", "steps=5", "policy=steps or sgdr only"),
    ],
    "words": [
        ("activation=leaky", "activation=leaky # x", A, "error", "activation", "no comments behind a value"),
        ("activation=leaky", "activation=Leaky", A, "error", "activation=Leaky", "becomes relu; leaky is meant"),
        ("activation=leaky", "activation=mish", P, "error", "activation=mish", "is not known to pjreddie"),
        ("activation=leaky", "activation=silu", A, "error", "activation=silu", "silently becomes relu; swish is meant"),
        ("activation=leaky", "activation=mishs", A, "error", "activation=mishs", "becomes relu; mish is meant"),
        ("activation=leaky", "activation=Swish", H, "error", "activation=Swish", "is an error; swish is meant"),
        ("activation=leaky", "activation=silu", P, "error", "activation=silu", "is meant, which alexeyab and"),
        ("activation=leaky", "activation=funny", A, "error", "activation=funny", "relu; use one of logistic"),
        ("width=32", "width=32\npolicy=step_", A, "warning", "policy=step_", "becomes constant; use one of random"),
        ("activation=leaky", "activation=Leaky", H, "error", "activation=Leaky", "is an error"),
        ("width=32", "width=32\npolicy=linear", A, "warning", "policy=linear", "becomes constant"),
        ("width=32", "width=32\npolicy=sgdr", P, "warning", "policy=sgdr", "becomes constant"),
        (LAST, LAST + "\niou_loss=eiou", A, "warning", "iou_loss=eiou", "becomes iou"),
        (LAST, LAST + "\nnms_kind=soft", H, "error", "nms_kind=soft", "is an error"),
    ],
    "stray_items": [
        ("layers=-3", "layers=4,", A, "error", "layers=4,", "reads layer 0; remove the comma"),
        ("layers=-3", "layers=4 # a, b", A, "error", "layers=4 # a", "counts the commas of the comment too"),
        ("mask=0,1", "mask=0,1 # a, b", P, "error", "mask=0,1", "reads 0"),
        ("width=32", "width=32\npolicy=steps\nsteps=9,\nscales=1,1", A, "warning", "steps=9,", "reads 0"),
    ],
    "numbers": [
        ("stride=2", "stride=2.5", A, "warning", "stride=2.5", "is not an integer; Darknet reads 2"),
        ("pad=1", "pad=yes", A, "warning", "pad=yes", "Darknet reads 0"),
        ("width=32", "width=32\nangle=7deg", A, "warning", "angle=7deg", "is not a number; Darknet reads 7"),
    ],
    "plain_numbers": [
        ("width=32", "width=32\ndecay=5e-4", H, "error", "decay", "which hank-ai refuses"),
        ("filters=8", "filters=+8", H, "error", "filters=+8", "is not a plain number"),
        ("filters=8", "filters=8 ; eight", H, "error", "filters=8 ;", "is not a plain number"),
    ],
    "hank_lines": [
        ("filters=8", "fil ters=8", H, "error", "fil ters", "skips 'fil ters=8' without a word"),
        ("filters=8", "filters=8\n;batch=4", H, "error", ";batch", "start it with #"),
        ("[shortcut]", "[ shortcut ]", H, "error", "[ shortcut ]", "because of the blank"),
    ],
    "references": [
        ("layers=-1,2", "layers=99,-77", A, "error", "layers=99,-77", "refers to layer 99"),
        ("layers=-1,2", "layers=99,-77", A, "error", "layers=99,-77", "refers to layer -67, before the first layer"),
    ],
    "groups": [
        ("filters=16", "filters=16\ngroups=3", A, "error", "groups=3", "does not divide its 8 input channels"),
        ("filters=16", "filters=18\ngroups=4", A, "error", "groups=4", "18 filters"),
        (tiny_text(), GROUPED.format("crnn", "hidden=4\noutput=6"), A, "error", "groups=2", "channels (3, 4, 6)"),
        (tiny_text(), GROUPED.format("conv_lstm", "output=6"), A, "error", "groups=2", "of its channels (3, 6)"),
    ],
    "route_groups": [
        ("layers=-3", "layers=-3\ngroups=3", A, "warning", "groups=3", "does not divide the 16 channels of layer 4"),
    ],
    "shortcut_size": [
        ("stride=1", "stride=2", A, "error", "from=-2", "adds 16x16x8 of layer 0 to 8x8x8"),
        ("stride=1", "stride=2", P, "note", "from=-2", "pjreddie accepts it"),
    ],
    "shortcut_channels": [
        ("filters=8", "filters=6", A, "note", "from=-2", "adds 6 channels of layer 0 to 8"),
    ],
    "shortcut_weights": [
        ("from=-2", "from=-2\nweights_type=per_channel", A, "error", "weights_type", "AlexeyAB exits"),
        ("from=-2", "from=-2\nweights_type=per_channel", H, "note", "weights_type", "hank-ai accepts it"),
    ],
    "aborting": [
        (tiny_text(), NARROW + "[softmax]\ngroups=5\n", A, "error", "groups=5", "aborts: groups=5 does not divide"),
        (tiny_text(), NARROW + "[softmax]\ngroups=5\n", H, "error", "groups=5", "hank-ai may abort"),
        (tiny_text(), NARROW + "[crnn]\nsize=3\n", A, "error", "[crnn]", "it makes 10x6x1 of 12x8x3, but must keep"),
        (tiny_text(), NARROW + "[crnn]\npad=1\nstride=2\n", A, "error", "pad=1", "it makes 6x4x1 of 12x8x3"),
        (tiny_text(), NARROW + "[conv]\n[contrastive]\n", A, "error", "[contrastive]", "does not name a [yolo] layer"),
        (tiny_text(), tiny_text() + "[contrastive]\nyolo_layer=-2\n", A, "error", "yolo_layer", "does not name a"),
    ],
    "no_image": [
        (tiny_text(), "[net]\ninputs=5\n[connected]\noutput=2\n", A, "error", "[net]", "and alexeyab divides by their"),
    ],
    "turned_image": [
        (tiny_text(), NARROW + "[crnn]\noutput_filters=2\n", P, "error", "[crnn]", "works on rows of 8 values"),
    ],
    "kernel_of_one": [
        ("size=1\nstride=1\npad=1", "size=1\nstride=1\npadding=1", A, "note", CONV_5, "passes over padding= and"),
        ("size=1\nstride=1", "size=1\nstride_y=2", A, "note", CONV_5, "passes over padding= and strides"),
        ("size=1\nstride=1", "size=1\nstride=2", P, "note", CONV_5, "pjreddie passes over padding= and strides"),
    ],
    "wrong_activations": [
        ("activation=leaky", "activation=relu6", A, "note", "activation=relu6", "for CPUs gives 0 for relu6"),
        ("[maxpool]", "[activation]\nactivation=mish\n[maxpool]", A, "error", "activation=mish", "and [shortcut] only"),
        ("[maxpool]", "[sam]\nfrom=-2\nactivation=hard_mish\n[maxpool]", A, "error", "activation=h", "such a layer"),
        ("activation=linear", "activation=hard_mish", A, "error", "activation=hard", "not in [convolutional]"),
    ],
    "nothing_before": [
        ("[convolutional]", "[dropout]\n[convolutional]", A, "error", "[dropout]", "has no layer before it"),
    ],
    "one_deformation": [
        ("size=3", "size=3\nsway=1\nrotate=1", A, "error", "sway=1", "remove the others"),
        ("size=1", "size=1\nsway=1", H, "error", "sway=1", "with size=1"),
    ],
    "read_and_written": [
        ("filters=8", "filters=8\ndontloadscales=1", A, "warning", "dontloadscales", "cannot be loaded with it"),
        ("filters=8", "filters=8\nnumload=4", P, "warning", "numload=4", "cannot be loaded with it"),
    ],
    "filters": [
        (
            f"filters=14\nactivation=linear\n\n{LAST}",
            f"groups=99\nfilters=15\nactivation=linear\n\n{LAST}",  # an error that leaves the size unknown
            A, "error", LAST, "set filters=14 in the layer before",
        ),
    ],
    "masks": [
        (LAST, "[yolo]\nmask=1,3", A, "error", "mask=1,3", "mask 3 is not an anchor, num=3 allows 0..2"),
        (LAST, "[yolo]\nmask=-1,2", A, "error", "mask=-1,2", "mask -1 is not an anchor"),
    ],
    "anchors": [
        ("4,5, 8,9, 16,20", "4,5, 8,9", A, "warning", "anchors=4,5, 8,9\n", "Darknet takes 0.5 for the missing"),
        ("4,5, 8,9, 16,20", "4,5, 8,9, 16,20,", A, "warning", "anchors=4,5, 8,9, 16,20,", "the rest is ignored"),
        ("4,5, 8,9, 16,20", "4,5, 8,9, 16,20,", P, "error", "anchors=4,5, 8,9, 16,20,", "past its array"),
        ("4,5, 8,9, 16,20", "4,5, 8,9, 16,20, 1", H, "error", "anchors=4,5, 8,9, 16,20,", "past its array"),
    ],
    "warming_up": [
        ("channels=3", "channels=3\nmax_batches=400\nburn_in=400", A, "warning", "burn_in=400", "a tenth of"),
    ],
    "anchor_units": [
        (
            tiny_text(),  # AlexeyAB/darknet issue 3133: calc_anchors was given the size of the input
            NARROW + REGION.replace("1,1", "106,85"), A, "warning", "anchors=106,85", "has 12x8 cells; [region] takes",
        ),
        (
            "anchors=4,5, 8,9, 16,20\nclasses=2\nnum=3\n\n[route]",  # issue 527: and here that of the grid
            "anchors=1.08,1.19, 3.42,4.41, 16.62,10.52\nclasses=2\nnum=3\n\n[route]",
            A, "warning", "anchors=1.08", "[yolo]: these anchors seem to be in cells",
        ),
    ],
    "class_counts": [],  # below
    "shared_settings": [
        (LAST, LAST + "\nmax=90", A, "warning", "[yolo]", "layer 6 [yolo] has max=200, the last head 90"),
        (LAST, LAST + "\nnms_kind=greedynms", A, "warning", "[yolo]", "nms_kind=default, the last head greedynms"),
        (LAST, LAST + "\nbeta_nms=0.5", H, "warning", "[yolo]", "beta_nms=0.6, the last head 0.5"),
    ],
    "mixed_gaussian": [
        (
            f"filters=14\nactivation=linear\n\n{LAST}",
            "filters=22\nactivation=linear\n\n[Gaussian_yolo]\nmask=1,2",
            A, "warning", "[Gaussian_yolo]", "put the [Gaussian_yolo] heads first",
        ),
    ],
    "regions": [
        (tiny_text(), NARROW + REGION + LATER, A, "note", "[region]\n\n", "layer 3 [region] is the second"),
    ],
    "activations": [
        ("activation=linear\n\n" + LAST, "activation=leaky\t\n\n" + LAST, A, "warning", "activation=leaky\t", "linear"),
        (
            "activation=linear\n\n" + LAST,
            "activation=linear\t\n\n" + LAST + "\nnew_coords=1",
            A, "warning", "activation=linear\t", "set activation=logistic",
        ),
    ],
    "input_size": [
        ("width=32", "width=40", A, "warning", "width=40", "alexeyab warns of it; use 32 and 32"),
        ("height=32", "height=56", H, "error", "height=56", "hank-ai refuses it; use 32 and 64"),
    ],
    "half_frozen": [
        ("filters=16", "filters=16\nstopbackward=1", A, "warning", "stopbackward", "put stopbackward=1 on a [route]"),
    ],
    "other_stops": [
        ("layers=-3", "layers=-3\nstopbackward=1", P, "warning", "stopbackward", "does not freeze in pjreddie's"),
        ("layers=-3", "layers=-3\nstopbackward=800", A, "warning", "stopbackward", "up to iteration 800 only"),
        ("layers=-3", "layers=-3\nstopbackward=800", H, "warning", "stopbackward", "for the whole run"),
    ],
    "frozen_norm": [
        ("layers=-3", "layers=-3\nstopbackward=1", A, "note", "stopbackward", "crashes when it trains on a CPU"),
    ],
    "shortcut_into_frozen": [
        ("[shortcut]", "[route]\nlayers=1\nstopbackward=1\n[shortcut]", A, "warning", "from", "in layer 2 freezes"),
    ],
    "frozen_by_rate": [
        ("filters=8", "filters=8\nlearning_rate=0", A, "warning", "learning_rate", "means and variances drift"),
    ],
    "only_batch_norm": [
        ("filters=16", "filters=16\ntrain_only_bn=1", A, "note", "train_only_bn", "and all 4 before it"),
    ],
    "gpu_only": [
        ("filters=16", "filters=16\ndont_update=9", A, "note", "dont_update", "a CPU ignores it"),
    ],
    "batches": [
        ("width=32", "width=32\nsubdivisions=0", A, "error", "subdivisions=0", "divides by it"),
        ("width=32", "width=32\nbatch=9\nsubdivisions=2", A, "warning", "batch=9", "trains on 4 images at a time"),
        ("width=32", "width=32\nbatch=1", A, "note", "batch=1", "AlexeyAB refuses to train with it"),
    ],
    "schedule": [
        ("width=32", "width=32\npolicy=steps\nsteps=9", A, "error", "policy=steps", "needs scales="),
        ("width=32", "width=32\npolicy=steps\nsteps=9,12\nscales=.1", A, "error", "scales=.1", "behind the list"),
        ("width=32", "width=32\npolicy=steps\nsteps=9,12\nscales=.1", H, "warning", "scales=.1", "multiplies by 0"),
        ("width=32", "width=32\npolicy=steps\nsteps=9\nscales=.1,.1", A, "warning", "scales=.1,.1", "is ignored"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "dialect", "severity", "blamed", "says"),
    [pytest.param(*row, id=f"{rule}-{i}") for rule, rows in PROVOKED.items() for i, row in enumerate(rows)],
)
def test_a_rule_is_provoked(tmp_path, old, new, dialect, severity, blamed, says):
    text = edited(old, new)
    line = text[: text.index(blamed)].count("\n") + 1
    found = problems_of(tmp_path, text, dialect)
    match = [p for p in found if p.severity == severity and says in p.message and p.line == line]
    assert match, (line, found)
    assert match[0].file == str(tmp_path / "x.cfg")


def test_every_rule_is_in_the_table():
    assert {rule.__name__ for rule in checking.RULES} == set(PROVOKED)


SIZED = "width=8\nheight=8\nchannels=1"
CONNECTED, IMPLICIT = "[connected]\noutput=16\nactivation=relu\n", "[implicit]\nfilters=4\n"
DETECTION = "[detection]\nclasses={}\nnum=1\ncoords=3\nside={}\n"


@pytest.mark.parametrize(
    ("net", "layers", "crashes"),
    [
        (SIZED, CONNECTED * 2 + "[softmax]\n", True),
        (SIZED, CONNECTED + "[route]\nlayers=-1\n", True),
        (SIZED, CONNECTED + "[dropout]\n", True),
        (SIZED, IMPLICIT + CONNECTED, True),
        (SIZED, IMPLICIT + "[upsample]\nstride=2\n", True),
        (SIZED, "[cost]\n", True),
        (SIZED, "[rnn]\noutput=4\n[lstm]\noutput=4\n", True),
        (SIZED, CONNECTED + DETECTION.format(12, 1), True),
        (SIZED, CONNECTED + DETECTION.format(0, 2), False),  # which notes its side
        (SIZED, CONNECTED + "[upsample]\nstride=2\n", True),
        (SIZED, CONNECTED + 2 * "[upsample]\nstride=2\n", False),
        (SIZED, "[softmax]\n" + CONNECTED, False),
        (SIZED, "[avgpool]\n", False),
        (SIZED, "[crnn]\noutput=2\npad=1\n", False),
        ("width=1\nheight=8\nchannels=4", "[convolutional]\n", True),
        ("inputs=16", CONNECTED, True),
    ],
)
def test_networks_that_crash_at_loading(tmp_path, net, layers, crashes):
    """A build of AlexeyAB's Darknet was given these: exit by SIGFPE, or not."""
    found = problems_of(tmp_path, f"[net]\n{net}\n{layers}")
    assert any("divides by their number at loading" in problem.message for problem in found) == crashes


@pytest.mark.parametrize(
    ("layer", "dialect"),
    [
        ("[convolutional]\nfilters=8\nstride=2\npadding=1\n", A),  # only a stride of 1 is passed over
        ("[convolutional]\nfilters=8\nstride_x=2\nstride_y=1\n", A),
        ("[convolutional]\nfilters=8\nstride=2\npadding=1\n", H),
        ("[convolutional]\nfilters=8\npad=1\n", P),
        ("[convolutional]\nfilters=8\nsize=2\nstride=2\npadding=1\n", P),
        ("[convolutional]\nfilters=8\nactivation=hard_mish\n", A),
        ("[shortcut]\nfrom=-2\nactivation=mish\n", A),
        ("[activation]\nactivation=gelu\n", A),
    ],
)
def test_what_builds_of_darknet_computed_as_written(tmp_path, layer, dialect):
    found = problems_of(tmp_path, edited("[maxpool]", layer + "[maxpool]"), dialect)
    assert not [problem for problem in found if re.search("passes over|gives 0", problem.message)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_good_model_has_no_problems(tiny, dialect):
    assert len(check(tiny, dialect=dialect)) == 0


def test_everything_is_said_at_once(tmp_path):
    text = edited("layers=-1,2", "layers=-1,77").replace("filters=14", "filters=15").replace("stride=2", "stride=0")
    text = text.replace("activation=leaky", "activation=leeky", 1).replace("[upsample]", "[upsampel]")
    found = problems_of(tmp_path, text)
    assert [p.line for p in found] == sorted(p.line for p in found)
    messages = "\n".join(str(p) for p in found if p.severity == "error")
    for said in ("refers to layer 77", "stride=0: must be", "leeky", "unknown section [upsampel]"):
        assert said in messages
    assert messages.count("but gets 15") == 2  # both heads, though the layers before are broken
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("first", "last", "dialect", "danger"),
    [
        (80, 1, A, "loses detections"),
        (1, 80, A, "heap overflow"),
        (1, 80, H, "heap overflow"),
        (80, 1, P, "heap overflow"),
        (1, 80, P, "loses detections"),
    ],
)
def test_unequal_classes_as_each_fork_takes_them(tmp_path, first, last, dialect, danger):
    """What AddressSanitizer found in builds of the three forks with one head of 80 classes and one of 1."""
    one, two = tiny_text(first).split("[route]", 1)
    two = two.replace(f"classes={first}", f"classes={last}").replace(f"={2 * (first + 5)}\n", f"={2 * (last + 5)}\n")
    text = f"{one}[route]{two}"
    (found,) = [p for p in problems_of(tmp_path, text, dialect) if p.severity == "error"]
    assert danger in found.message
    assert f"{first} in layer 6, {last} in layer 12" in found.message
    assert "--layout padded" in found.message
    described = {"format": "darkshare tasks 1", "tasks": []}
    (tmp_path / "x.tasks.json").write_text(json.dumps(described))
    (merged,) = [p for p in problems_of(tmp_path, text, dialect) if "unequal" in p.message]
    assert merged.severity == "warning"


def test_a_text_that_is_no_cfg_is_one_problem(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    assert [(p.severity, p.line) for p in check(path)] == [("error", 3)]


def test_many_problems_are_cut_short_and_said_to_be(tmp_path):
    unknown = edited("filters=8", "filters=8\n" + "".join(f"key{i}=1\n" for i in range(150)))
    found = problems_of(tmp_path, unknown)
    assert sum("has no key" in p.message for p in found) == 100
    assert any("more than 100 problems of one kind (unknown keys)" in p.message for p in found)
    found = problems_of(tmp_path, "[net]\nwidth=8\nheight=8\nchannels=3\n" + "[a]\n" * 150)
    assert sum("unknown section [a]" in p.message for p in found) == 100
    assert any("more than 100 errors" in p.message for p in found)


# --- weights ---------------------------------------------------------------------------------------------------------


def model_with(tmp_path: Path, change, *, header: Header | None = None, text: str = "") -> Problems:
    text = text or tiny_text()
    network = network_of(text)
    data = seeded_floats(network, 1)
    change(data, network)
    return check(write_model(tmp_path / "m", text, data, header=header))


def place(network, layer: int, tensor: str) -> slice:
    found = network.layers[layer]
    start = found.start
    for block in found.tensors:
        if block.name == tensor:
            return slice(start, start + block.size)
        start += block.size
    raise AssertionError(tensor)


def put(layer: int, tensor: str, values):
    def change(data: np.ndarray, network) -> None:
        part = data[place(network, layer, tensor)]
        part[: len(values)] = values

    return change


DEFECTS = [
    (put(1, "weights", [np.nan, np.inf, -np.inf]), "error", "3 values are NaN or infinite: layer 1 [convolutional] 'w"),
    (put(4, "rolling_variance", [-1e-5, -1]), "error", "2 variances are negative: layer 4 [convolutional]"),
    (put(4, "rolling_variance", [-7e-44]), "warning", "1 variances are just below 0: layer 4"),
    (put(0, "rolling_variance", [0, 9e-5, 1e-4]), "note", "2 variances are below 0.0001: layer 0"),
    (put(0, "biases", [1e-40, -1e-39, 0]), "note", "2 values are denormal: layer 0 [convolutional] 'biases' (2)"),
    (put(1, "scales", [0, 0]), "note", "2 channels are dead: layer 1 [convolutional] 'scales' (2)"),
    (put(0, "weights", [0] * 54), "note", "2 channels are dead: layer 0 [convolutional] 'weights' (2)"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "severity", "says"), DEFECTS)
def test_values_that_no_network_should_hold(tmp_path, change, severity, says):
    found = model_with(tmp_path, change)
    assert [p.severity for p in found if says in p.message] == [severity], found
    assert all(p.file == str(tmp_path / "m.weights") for p in found)


def test_every_defect_is_provoked():
    for defect in weight_rules.DEFECTS:
        assert any(defect.what in says for _, _, says in DEFECTS), defect.what


def test_many_places_are_summed_up(tmp_path):
    def change(data: np.ndarray, network) -> None:
        data[:] = np.nan

    (found,) = model_with(tmp_path, change)
    total = network_of(tiny_text()).params
    assert found.message.startswith(f"{total} values are NaN or infinite: layer 0 [convolutional] 'biases' (8), ")
    assert "and 21 more blocks" in found.message  # 4 layers with 5 blocks and 2 with 2, three of them named


def test_a_body_of_zeros(tmp_path):
    def change(data: np.ndarray, network) -> None:
        data[:] = 0

    (found,) = model_with(tmp_path, change)
    assert (found.severity, found.message[:18]) == ("error", "every value is 0: ")


@pytest.mark.parametrize(
    ("header", "severity", "says"),
    [
        (Header(0, 3, 9), "warning", "version 0.3.9 was written by no known Darknet"),
        (Header(1001, 0, 0), "note", "matrices lie transposed"),
        (Header(seen=6400), "note", "is 100 batches of 64, and max_batches is 100"),
        (Header(seen=6399), None, ""),
        (Header(0, 1, 0), None, ""),
        (Header(0, 2, 0), None, ""),
    ],
)
def test_headers(tmp_path, header, severity, says):
    text = edited("width=32", "width=32\nbatch=64\nmax_batches=100")
    found = model_with(tmp_path, lambda data, network: None, header=header, text=text)
    assert [(p.severity, says in p.message) for p in found] == ([(severity, True)] if severity else [])


def test_a_partial_file_is_recognised_and_its_values_are_looked_at(tiny):
    path = tiny.with_suffix(".weights")
    network = network_of(tiny_text())
    data = np.frombuffer(path.read_bytes()[20:], "<f4").copy()[: network.start(4)]
    data[5] = np.nan
    path.write_bytes(Header().to_bytes(A) + data.tobytes())
    length, values = check(tiny)
    assert "it is a partial file, the first k=2..4 layers" in length.message
    assert "1 values are NaN or infinite: layer 0 [convolutional] 'biases' (1)" in values.message


def test_weights_are_read_even_if_the_cfg_does_not_resolve(tiny):
    tiny.write_text(tiny.read_text().replace("[upsample]", "[upsampel]"))
    tiny.with_suffix(".weights").write_bytes(b"short")
    assert "ends inside the header" in check(tiny)[-1].message


def test_names_that_do_not_fit(tiny):
    tiny.with_suffix(".names").write_text("a\nb\nc\n")
    (found,) = check(tiny)
    assert (found.severity, found.file) == ("error", str(tiny.with_suffix(".names")))


def test_memory_stays_flat(tmp_path):
    """A large matrix is looked at in blocks: no more than a few of them are held at once."""
    import tracemalloc

    text = "[net]\nwidth=64\nheight=64\nchannels=3\n[convolutional]\n[connected]\noutput=8000\n"
    network = network_of(text)
    assert network.params > 32_000_000
    cfg = write_model(tmp_path / "m", text, np.ones(network.params, "<f4"))
    tracemalloc.start()
    check(cfg)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 4 * weight_rules.BLOCK


# --- public models ---------------------------------------------------------------------------------------------------

# Genuine defects of public cfgs that Darknet loads all the same.
DEFECTIVE = {"cspx-p7-mish.cfg": "its last head names anchor 16 of 16, which lies behind the array"}


def golden(fork: str) -> dict:
    return json.loads(zoo_path("golden", f"{fork}.json").read_text())


@pytest.mark.zoo
@pytest.mark.parametrize("fork", [A, P])
def test_public_cfgs_have_errors_only_where_darknet_fails(fork):
    expected = {name for name, row in golden(fork).items() if "stock_error" in row or "error" in row}
    folder = ZOO / "zoo" / fork
    found = {
        path.relative_to(folder).as_posix()
        for path in zoo_cfgs(fork)
        if any(p.severity == "error" for p in check(path, dialect=fork))
    }
    assert found == expected | (set(DEFECTIVE) if fork == A else set())


@pytest.mark.zoo
def test_hank_ai_refuses_what_check_says_it_refuses():
    """Its own copies have the same names as AlexeyAB's files; two of them differ in folder or silently overflow."""
    refused = {name: "error" in row for name, row in golden(H).items()}
    folder = ZOO / "zoo" / A
    found = {}
    for path in zoo_cfgs(A):
        name = path.relative_to(folder).as_posix()
        twin = name if name in refused else f"unsupported/{name}"
        if twin in refused and path.name not in DEFECTIVE:  # it loads, and writes anchors past its array
            found[twin] = any(p.severity == "error" for p in check(path, dialect=H))
    assert len(found) > 50
    assert found == {name: refused[name] for name in found}


@pytest.mark.zoo
def test_real_models_have_no_errors():
    models = sorted(zoo_path("models").glob("*/*.cfg"))
    assert models
    errors = [str(p) for path in models for p in check(path) if p.severity == "error"]
    assert errors == []


@pytest.mark.zoo
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nano-coco", "6 variances are below 0.0001"),
        ("yoloface-500k", "3 variances are below 0.0001"),
        ("mbv2tiny-voc", "147 variances are just below 0"),
        ("mbv2tiny-voc", "417 values are denormal"),
    ],
)
def test_known_hazards_of_real_weights(name, says):
    assert any(says in p.message for p in check(zoo_path("models", name, f"{name}.cfg")))


def test_a_shortcut_that_carries_stopbackward_is_fine(tmp_path):
    """Its own backward pass is not run: AlexeyAB's CPU build trains such a network without batch norm."""
    text = edited("from=-2", "from=-2\nstopbackward=1").replace("batch_normalize=1\n", "")
    assert len(problems_of(tmp_path, text)) == 0


def test_no_rate_below_a_real_freeze_is_fine_but_in_pjreddie_s(tmp_path):
    text = edited("filters=8", "filters=8\nlearning_rate=0").replace("[maxpool]\n", "[maxpool]\nstopbackward=1\n")
    assert [found.severity for found in problems_of(tmp_path, text)] == ["note"]  # no training on a CPU
    drifting = [found.message for found in problems_of(tmp_path, text, P) if "learning_rate=0" in found.message]
    assert len(drifting) == 1


@pytest.mark.parametrize(
    ("text", "anchors"),
    [
        (NARROW + REGION, "1.08,1.19"),
        (NARROW + REGION, "1.08,1.19, 3.42,4.41, 6.63,11.38, 9.42,5.11, 16.62,10.52"),  # at a smaller size
        (tiny_text(), "1,2, 3,4, 5,6"),  # whole pixels of tiny things
        (tiny_text(), "0.5,0.5, 3.5,4, 40,41"),
        (tiny_text(), "2.5,2.25, 8,9, 16,20"),
    ],
)
def test_anchors_that_may_be_meant_are_not_said(tmp_path, text, anchors):
    (tmp_path / "a.cfg").write_text(re.sub("anchors=.*", f"anchors={anchors}", text))
    assert "in cells" not in str(check(tmp_path / "a.cfg"))
    assert "cells, not pixels" not in str(check(tmp_path / "a.cfg"))


@pytest.mark.parametrize(
    ("dialect", "steps", "says"),
    [
        (A, "3200,3600", []),
        (P, "0,3999", []),
        (A, "400000,450000", ["steps=450000 is never reached, since max_batches=4000; usual are 3200,3600"]),  # 2225
        (A, "3200,4000", ["steps=4000 is never reached"]),
        (A, "3600,3200", ["steps= do not ascend"]),
        (A, "-1,100,3000", []),  # acts at once
        (P, "-1,100,3000", ["steps=-1 is never reached in pjreddie's Darknet, nor any behind it"]),  # 202
    ],
)
def test_steps_that_do_not_act_are_said(tmp_path, dialect, steps, says):
    """As in pjreddie/darknet issues 202 and 2225, where the learning rate stayed as it was."""
    scales = ",".join(".1" for _ in steps.split(","))
    options = f"channels=3\nmax_batches=4000\npolicy=steps\nsteps={steps}\nscales={scales}"
    found = [
        p for p in problems_of(tmp_path, tiny_text().replace("channels=3", options), dialect) if "steps=" in p.message
    ]
    assert [p.message.startswith(what) for p, what in zip(found, says, strict=True)] == [True] * len(says)
    assert {(p.severity, p.line) for p in found} <= {("warning", 7)}


# The weights that a .tasks.json was written with


@pytest.fixture
def merged(tmp_path) -> Path:
    base = model(tiny_text(), "base")
    save(quiet_concat([base, retrained(base, tiny_text(), "text", 5)], 5), tmp_path / "both")
    return tmp_path / "both.cfg"


def changed(one: Model) -> Model:
    data = floats(one) * np.float32(1.5)
    return replace(one, weights=replace(one.weights, runs=(data,)))


def strangers(cfg: Path, *weights: Path) -> list[str]:
    return [one.file for one in check(cfg, *weights) if "fingerprint" in one.message and one.severity == "error"]


def test_other_weights_than_those_of_a_tasks_json_are_an_error(merged, tmp_path):
    weights, described = merged.with_suffix(".weights"), tmp_path / "both.tasks.json"
    assert json.loads(described.read_text())["weights_fingerprint"] == fingerprint_by_hand(weights)
    assert check(merged).is_fine
    data = bytearray(weights.read_bytes())
    data[-4] ^= 1
    weights.write_bytes(data)
    (found,) = [one for one in check(merged) if one.severity == "error"]
    assert found.file == str(weights)
    assert found.message.startswith(f"is not the file that {described} was written with: it has another fingerprint; ")
    (tmp_path / "later.weights").write_bytes(data)
    assert strangers(merged, tmp_path / "later.weights") == [str(tmp_path / "later.weights")]
    text = json.loads(described.read_text())
    del text["weights_fingerprint"]
    described.write_text(json.dumps(text))
    assert check(merged).is_fine  # as files of earlier versions are
    described.write_text(json.dumps(text | {"weights_fingerprint": None}))
    assert check(merged).is_fine
    for nothing in ("", 0):
        described.write_text(json.dumps(text | {"weights_fingerprint": nothing}))
        assert strangers(merged) == []
    for odd in (7, "abc", {"a": 1}, True):
        described.write_text(json.dumps(text | {"weights_fingerprint": odd}))
        assert strangers(merged) == [str(weights)]


def test_the_sha_256_of_earlier_files_is_compared_too(merged, tmp_path):
    weights, described = merged.with_suffix(".weights"), tmp_path / "both.tasks.json"
    text = json.loads(described.read_text())
    del text["weights_fingerprint"]
    for task in text["tasks"]:
        task["sha256"] = {"cfg": "00"}
        del task["fingerprints"]
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    described.write_text(json.dumps(text | {"weights_sha256": digest}))
    assert check(merged).is_fine
    assert [task.fingerprints for task in load(merged).tasks] == [{"cfg": "sha256:00"}] * 2
    described.write_text(json.dumps(text | {"weights_sha256": digest[::-1]}))
    assert strangers(merged) == [str(weights)]
    assert "remove weights_sha256 there" in next(one.message for one in check(merged) if one.severity == "error")


def test_a_tasks_json_that_cannot_be_read_is_one_problem(merged, tmp_path):
    for text in ("[]", "{", '"weights_fingerprint"', "[" * 10_000):
        (tmp_path / "both.tasks.json").write_text(text)
        (found,) = [one for one in check(merged) if one.severity == "error"]
        assert "is not a task description" in found.message


@pytest.mark.parametrize(
    "make",
    [
        lambda both: mix(both, changed(both), alpha=0.5),
        lambda both: snap(changed(both), both, k=3),
        lambda both: classes(both, task="text", drop="text_1"),
        lambda both: split(both)[1],
        lambda both: replace(both, weights=changed(both).weights),
        lambda both: quiet_concat([both, both], 5),
        lambda both: quiet_concat([both, both], 5, layout="padded"),
    ],
    ids=("mix", "snap", "classes", "split", "by hand", "concat", "padded"),
)
def test_weights_that_are_written_anew_come_with_their_fingerprint(merged, make):
    """Over the files of another model, whose fingerprint would be wrong. `train` writes its files the same way."""
    before = merged.with_suffix(".weights").read_bytes()
    save(make(load(merged)), merged.with_suffix(""))
    assert merged.with_suffix(".weights").read_bytes() != before
    described = json.loads(merged.with_name("both.tasks.json").read_text())
    assert described["weights_fingerprint"] == fingerprint_by_hand(merged.with_suffix(".weights"))
    assert strangers(merged) == []


def test_a_cfg_without_weights_has_no_fingerprint_of_them(merged):
    save(replace(load(merged), weights=None), merged.with_suffix(""))
    assert "weights_fingerprint" not in merged.with_name("both.tasks.json").read_text()
    assert strangers(merged) == []
