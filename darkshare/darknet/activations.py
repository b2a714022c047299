"""Names of activations: which fork knows which, and what is meant by others."""

from __future__ import annotations

from difflib import get_close_matches

from darkshare.darknet.kinds.base import A, H, P

_OLDER = (
    *("logistic", "loggy", "relu", "elu", "selu", "relie", "plse", "hardtan", "lhtan"),
    *("linear", "ramp", "leaky", "tanh", "stair"),
)
NORMALISING = ("normalize_channels", "normalize_channels_softmax", "normalize_channels_softmax_maxval")
_NEWER = ("swish", "mish", "hard_mish", *NORMALISING, "relu6", "gelu", "revleaky")
KNOWN = {A: (*_OLDER, *_NEWER), P: _OLDER, H: (*_OLDER, *_NEWER)}
# The names that other frameworks have for them.
_ELSEWHERE = {
    "silu": "swish",
    "sigmoid": "logistic",
    "leaky_relu": "leaky",
    "leakyrelu": "leaky",
    "lrelu": "leaky",
    "identity": "linear",
    "none": "linear",
}


def meant_activation(name: str) -> str:
    """Find the activation that is meant by a name that Darknet does not know; "" if none comes near.

    >>> meant_activation("silu"), meant_activation("mishs"), meant_activation("funny")
    ('swish', 'mish', '')
    """
    near = get_close_matches(name.lower(), KNOWN[A], n=1, cutoff=0.75)
    return _ELSEWHERE.get(name.lower()) or "".join(near)


def unknown_activation(name: str) -> str:
    """Say what Darknet computes for a name that it does not know, and what is meant."""
    meant = meant_activation(name)
    cure = f"use {meant} if that is meant, or relu" if meant else f"use one of {', '.join(KNOWN[A])}"
    return f"activation={name} is none that Darknet knows, which computes relu in its place; {cure}"
