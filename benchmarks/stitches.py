"""A trained network behind another trunk, with linear layers between them that are solved and not trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from darkshare._images import read_picture
from darkshare.choose_k.swapping import swapped
from darkshare.darknet.cfg import new_section
from darkshare.darknet.model import Model
from darkshare.darknet.weights import FLOAT, Floats
from darkshare.inference.preprocess import preprocess
from darkshare.surgery.assemble import Fresh
from darkshare.surgery.sides import Strip
from darkshare.training.building import build

PICTURES = 200  # from which a stitch is solved
RIDGE = 1e-3  # times the mean square of the inputs, to the squares of its weights


def stitched(base: Model, whole: Model, k: int, pictures: Sequence[Path]) -> Model:
    """The base's layers before k and the other network's behind, with a 1x1 convolution for each output that they read.

    It is solved by least squares for what the other network has there (after Bansal, Nakkiran and Barak, NeurIPS 2021).

    Args:
        base: of the input's size that counts.
        whole: a network trained from it.
        k: the first layer of the other network.
        pictures: to solve for, the first `PICTURES` of them.
    """
    model = swapped(base, whole, k)
    strip = Strip(model.network, k, seed=0)  # nothing is drawn
    for at, floats in _solved(base, whole, k, pictures, strip.reads).items():
        strip.route(at)
        section = new_section("convolutional", filters=model.network.layers[at].y.c, size=1, stride=1, pad=1,
                              activation="linear")  # fmt: skip
        strip.add(Fresh(section, floats))
        strip.read_at[at] = strip.place - 1
    return strip.into(model)


def _solved(base: Model, whole: Model, k: int, pictures: Sequence[Path], reads: Sequence[int]) -> dict[int, Floats]:
    """Biases and weights of the convolutions, by the layer that they read."""
    import torch

    nets = [build(model, k) for model in (base, whole)]
    sums: dict[int, list[np.ndarray]] = {}
    for picture in pictures[:PICTURES]:
        x = torch.from_numpy(preprocess(read_picture(picture), base.network))
        ours, theirs = (net.outputs(x, reads) for net in nets)
        for at in reads:
            a, b = (values[at][0].flatten(1).double().numpy() for values in (ours, theirs))
            a = np.vstack([a, np.ones(a.shape[1])])
            products = a @ a.T, a @ b.T
            sums[at] = [old + new for old, new in zip(sums[at], products, strict=True)] if at in sums else [*products]
    found = {}
    for at, (squares, wanted) in sums.items():
        damping = RIDGE * np.trace(squares) / len(squares) * np.eye(len(squares))
        damping[-1, -1] = 0  # the bias is free
        solution = np.linalg.solve(squares + damping, wanted)
        found[at] = np.concatenate([solution[-1], solution[:-1].T.ravel()]).astype(FLOAT)
    return found
