from __future__ import annotations

import pytest
from conftest import network_of

from darkshare.darknet.admission import admitted, convolution_window, located
from darkshare.darknet.kinds import Convolutional, Route, Upsample
from darkshare.errors import BadValue, Unsupported

HEAD = "[net]\nwidth=8\nheight=8\nchannels=3\n"
TABLE = {Convolutional: "conv", Route: "route"}
REASONS = {Upsample: "nobody needs it"}


def asked(body: str) -> str:
    network = network_of(HEAD + body)
    return admitted(network, network.layers[-1], TABLE, REASONS, "it is not done here")


def test_a_layer_gets_the_function_of_its_kind():
    assert asked("[conv]\n") == "conv"
    assert asked("[conv]\nfilters=3\n[conv]\nfilters=3\nshare_index=0\n") == "conv"  # it stores nothing, and rightly so
    assert asked("[conv]\n[route]\nlayers=0\n") == "route"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("[upsample]\n", "it is not done here: nobody needs it"),
        ("[conv]\ndontload=1\n", "dontload=, dontloadscales= or numload= leave its weights out"),
        ("[conv]\nbatch_normalize=1\ndontloadscales=1\n", "dontload=, dontloadscales= or numload= leave its weights"),
        (
            "[conv]\nstride=2\nantialiasing=1\n[route]\nlayers=0\n",
            "it reads layer 0 .convolutional., of which only the",
        ),
    ],
)
def test_a_layer_that_cannot_be_computed_is_refused(body, why):
    with pytest.raises(Unsupported, match=why):
        asked(body)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("filters=4\ngroups=3", "groups=3 does not divide its 3 input channels and 4 filters"),
        ("filters=3\ngroups=2", "groups=2 does not divide its 3 input channels and 3 filters"),
        ("size=3\npad=0\ndilation=2", "dilation=2 with size=3"),
    ],
)
def test_a_window_that_darknet_does_not_really_have_is_refused(keys, why):
    with pytest.raises(Unsupported, match=why):
        convolution_window(network_of(f"{HEAD}[conv]\n{keys}\n").layers[0])


def test_the_window_of_a_convolution():
    assert convolution_window(network_of(f"{HEAD}[conv]\nsize=3\npad=1\nstride=2\n").layers[0]) == ((2, 2), 1)


def test_an_error_gets_the_layer_and_its_line():
    network = network_of(HEAD + "[conv]\n")
    with (
        pytest.raises(BadValue, match=r"^test\.cfg:5: layer 0 \[convolutional\]: is wrong$"),
        located(network, network.layers[0]),
    ):
        raise BadValue("is wrong")
    with pytest.raises(BadValue, match=r"^other\.cfg: is wrong$"), located(network, network.layers[0]):
        raise BadValue("is wrong", file="other.cfg")  # it speaks of another file, so not of this layer
