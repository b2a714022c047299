"""The start of a side whose branch begins as its teacher's: what it has to add is known then.

Its last convolutions are solved for what the teacher has where the branch reads, less what the trunk gives: least
squares with a ridge, as for a stitch (Bansal, Nakkiran and Barak, NeurIPS 2021), but from layers that are still random.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from darkshare.darknet.kinds import Route, Shortcut
from darkshare.darknet.kinds.base import STATISTICS
from darkshare.training.building import TorchNet
from darkshare.training.pictures.loading import Source
from darkshare.training.teaching import Teacher
from darkshare.training.trunks import pictures_on

if TYPE_CHECKING:
    from torch import Tensor

PICTURES = 208  # from which a start is solved
_AT_ONCE = 16
_RIDGE = 1e-2  # times the mean square of what is read, to the squares of the weights


class SideEnd(NamedTuple):
    """A convolution of a side that gives to a sum which the branch reads.

    Attributes:
        place: of the convolution.
        reads: the layer whose output it takes.
        taught: the layer whose output is to be the teacher's.
    """

    place: int
    reads: int
    taught: int


def first_pictures(source: Source, device: Any) -> Iterator[Tensor]:
    """The first pictures of a training, some at a time, as (pictures, channels, height, width) on its device."""
    size = source.network.input.w, source.network.input.h
    for start in range(0, PICTURES, _AT_ONCE):
        yield pictures_on(device, [source.example(place, size).image for place in source.places(start, _AT_ONCE)])


def ends_of(net: TorchNet, teacher: Teacher) -> Iterator[SideEnd]:
    """The ends of a side that begins with nothing, whose scales are all 0; one that was trained has none."""
    layers, blocks = net.network.layers, net.state_dict()
    for at in teacher.taps.values():
        found = layers[at]
        while isinstance(found.kind, Route):  # which only brings a sum to the place where it is read
            found = layers[found.inputs[0]]
        for layer in (layers[index] for index in found.inputs if isinstance(found.kind, Shortcut)):
            scales = blocks.get(f"{layer.index}.scales")
            if scales is not None and not scales.any():
                yield SideEnd(layer.index, layer.inputs[0], at)


def solve_side(net: TorchNet, teacher: Teacher, ends: Sequence[SideEnd], pictures: Iterable[Tensor]) -> None:
    """Have the convolutions at the ends of a side give what the teacher has, as far as they can.

    The weights have the norms of before; scales, biases and rolling statistics of batch norm are those of the solution.

    Args:
        net: with the teacher's branch, on its device.
        teacher: of it.
        ends: these convolutions.
        pictures: (pictures, channels, height, width) in 0..1.
    """
    import torch

    products = dict.fromkeys(ends, torch.zeros(()))
    net.train()
    with torch.no_grad():
        for x in pictures:
            given = net.branch(net.trunk(x), {at for end in ends for at in (end.reads, end.taught)})
            wanted = teacher.outputs(x)
            for end in ends:
                read, lacks = _rows(given[end.reads]), _rows(wanted[end.taught] - given[end.taught])
                rows = torch.cat([read, torch.ones_like(read[:1]), lacks])
                products[end] = products[end] + rows @ rows.T
        for end, both in products.items():
            count = net.network.layers[end.reads].y.c + 1
            _begin(net, end.place, both[:count, :count], both[:count, count:])


def _rows(values: Tensor) -> Tensor:
    """(pictures, channels, height, width) as (channels, positions), in double precision."""
    return values.double().transpose(0, 1).flatten(1)


def _begin(net: TorchNet, place: int, squares: Tensor, lacking: Tensor) -> None:
    """Give a convolution with batch norm the least-squares solution.

    Args:
        net: whose convolution it is.
        place: of the convolution.
        squares: products of all that it reads, and of a 1 behind that, summed over positions.
        lacking: their products with what it is to give.
    """
    import torch

    count = squares[-1, -1]
    ridge = torch.full_like(squares[0], _RIDGE * float(squares.trace()) / len(squares))
    ridge[-1] = 0  # the bias is free
    *rows, bias = torch.linalg.solve(squares + ridge.diag(), lacking)
    kernels, mean = torch.stack(rows).T, squares[-1, :-1] / count
    covariance = squares[:-1, :-1] / count - torch.outer(mean, mean)
    deviations = ((kernels @ covariance) * kernels).sum(1).clamp_min(0).sqrt()
    blocks = {name: net.state_dict()[f"{place}.{name}"] for name in ("weights", "biases", *STATISTICS)}
    drawn = blocks["weights"].flatten(1).norm(dim=1).double()
    longer = drawn / kernels.norm(dim=1).clamp_min(1e-12)
    blocks["weights"].copy_((kernels * longer[:, None]).view_as(blocks["weights"]))
    blocks["rolling_mean"].copy_(kernels @ mean * longer)
    blocks["rolling_variance"].copy_((deviations * longer) ** 2)
    blocks["scales"].copy_(deviations)
    blocks["biases"].copy_(kernels @ mean + bias)
