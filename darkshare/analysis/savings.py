"""Count what sharing a trunk saves: weights, operations, file and memory, at any cut and for any number of networks.

k is how many layers are shared. Shares are those of the second network, as in Table I of the shared-backbone paper
(Bailer & Fassold), whose rows 73, 64, 48 and 40 count the last shared layer and are k = 74, 65, 49 and 41 here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkshare._tables import Results, ranges
from darkshare.analysis.memory import joined, layer_outputs, peak
from darkshare.analysis.trunk import common_structure, require_same_structure
from darkshare.darknet.cut_points import illegal_cut, legal_cuts
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.darknet.weights import Header
from darkshare.errors import BadValue, DarkshareError, checked

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from darkshare._figures import Look

MOST = 1000  # networks


@dataclass(frozen=True)
class Saving:
    """The savings of networks that share their first k layers.

    Attributes:
        k: how many layers are shared.
        block_end: whether the last of them ends a block (see `block_ends`).
        weights: the share of the second network's weights below k.
        flops: the share of its operations, as Darknet counts them.
        networks: how many there are.
        params: floats of the merged network.
        bflops: its operations / 1e9.
        file_bytes: the length of its weights file.
        activation_bytes: the peak of what its forward pass keeps (see `memory`).
        saved_params: against all networks separately, like the following.
        saved_bflops: likewise.
        saved_file_bytes: likewise.
        saved_activation_bytes: against the sum of their peaks, what they need while all are loaded.
        saved_weights: saved_params as a share of all networks' weights.
        saved_flops: saved_bflops as a share of all networks' operations.
    """

    k: int
    block_end: bool
    weights: float
    flops: float
    networks: int
    params: int
    bflops: float
    file_bytes: int
    activation_bytes: int
    saved_params: int
    saved_bflops: float
    saved_file_bytes: int
    saved_activation_bytes: int
    saved_weights: float
    saved_flops: float


@dataclass(frozen=True, repr=False)
class Savings(Results[Saving]):
    """The savings of some networks; a sequence with one `Saving` for each k.

    Attributes:
        networks: the base and the further ones.
    """

    networks: tuple[Network, ...] = field(repr=False)

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(saving) for saving in self]

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "k": saving.k,
                "block": "end" if saving.block_end else "",
                "weights": saving.weights,
                "FLOPs": saving.flops,
                "params saved": saving.saved_params,
                "BFLOPs saved": saving.saved_bflops,
                "file bytes saved": saving.saved_file_bytes,
                "activation bytes saved": saving.saved_activation_bytes,
                "of all weights": saving.saved_weights,
                "of all FLOPs": saving.saved_flops,
            }
            for saving in self
        ]

    def notes(self) -> list[str]:
        """The needs of the networks when they are not merged."""
        params, flops = sum(n.params for n in self.networks), sum(n.flops for n in self.networks)
        size, peaks = sum(file_bytes(n) for n in self.networks), _peaks(self.networks)
        return [
            f"{len(self.networks)} networks separately: {params:,} params, {flops / 1e9:.3f} BFLOPs, "
            f"{size:,} file bytes, {sum(peaks):,} activation bytes if all stay loaded "
            f"({max(peaks):,} if one runs after the other)"
        ]

    def summary(self) -> str:
        return f"{len(self.networks)} networks at k={ranges(saving.k for saving in self)}"

    def plot(self, path: str | Path, **look: Unpack[Look]) -> None:
        """Draw the shares of a further network over all legal cuts, with these k marked unless they are all.

        Args:
            path: a .png, .svg or .pdf file; it is replaced as a whole.
            look: width in inches, font_size in points, title, in place of the figure's own.

        Raises:
            DarkshareError: another suffix, or a k that is not a legal cut of all the networks.
        """
        from darkshare.analysis.savings_plot import plot_savings

        every = at_cuts(self.networks)
        plot_savings(every, path, k=[one.k for one in self] if len(self) < len(every) else (), **look)


@checked
def savings(
    models: Model | Network | Sequence[Model | Network], *, k: int | Sequence[int] = (), networks: int | None = None
) -> Savings:
    """Count what networks save that share their first k layers.

    Args:
        models: a base and further ones; one alone stands for several like it. Their weights are not needed.
        k: one or more cuts; without them, every legal one.
        networks: how many share the base, if one is given: 2.

    Raises:
        BadValue: fewer than two networks or more than 1000, another number of models than `networks`, or a cut that
            is not legal.
        TrunkMismatch: the networks do not compute the same below k.
        DarkshareError: without `k`, no cut is legal.
    """
    if networks is not None and networks > MOST:
        raise BadValue(f"networks={networks} must be at most {MOST}")
    given = [models] if isinstance(models, Model | Network) else list(models)
    chosen = tuple(one.network if isinstance(one, Model) else one for one in given)
    if len(chosen) == 1:
        chosen *= 2 if networks is None else networks
    elif networks not in (None, len(chosen)):
        raise BadValue(f"networks={networks}, but {len(chosen)} models were given; give one, or leave it out")
    if len(chosen) < 2:
        raise BadValue("savings need a base and at least one further network")
    return Savings(tuple(at_cuts(chosen, cuts_of(k) or None)), chosen)


def cuts_of(k: int | Sequence[int]) -> tuple[int, ...]:
    """One k or several, as they were given."""
    return (k,) if isinstance(k, int) else tuple(k)


def cut_of_each(k: int | Sequence[int] | None, count: int) -> list[int] | None:
    """Give the k of each of `count` further networks, of one for all or one for each; None if none was given.

    Raises:
        BadValue: another number of them.
    """
    ks = () if k is None else cuts_of(k)
    if len(ks) not in (0, 1, count):
        raise BadValue(f"{len(ks)} values of k for {count} further networks: give one, or one for each")
    return (list(ks) if len(ks) == count else list(ks) * count) or None


def at_cuts(networks: Sequence[Network], ks: Sequence[int] | None = None) -> list[Saving]:
    """Count what the networks save at each k.

    Args:
        networks: the base and the further ones; the same one n times for n networks that differ little.
        ks: the cuts; without them, every legal one.

    Raises:
        BadValue: fewer than two networks, or a cut that is not legal.
        TrunkMismatch: the networks do not compute the same below k.
        DarkshareError: without `ks`, no cut is legal.
    """
    base, *others = networks
    if not others:
        raise BadValue("savings need a base and at least one further network", file=base.name)
    if ks is None:
        ks = _legal(base, others)
    for k in ks:
        for other in others:
            if why := illegal_cut(other, k):
                raise BadValue(why, file=other.name)
            require_same_structure(base, other, k)
    ends = block_ends(others[0])
    graphs = [layer_outputs(network) for network in networks]
    apart = sum(_peaks(networks))
    return [_saving(networks, k, k in ends, apart, peak(base.input.size, joined(graphs[0], graphs[1:], k))) for k in ks]


def _legal(base: Network, others: Sequence[Network]) -> list[int]:
    common = min(common_structure(base, other) for other in others)
    found = [k for k in legal_cuts(base) if k <= common and not any(illegal_cut(other, k) for other in others)]
    if not found:
        require_same_structure(base, others[0], 1)
        raise DarkshareError("has no legal cut, so nothing can be shared", file=base.name)
    return found


def _saving(networks: Sequence[Network], k: int, end: bool, apart: int, together: int) -> Saving:
    """One row; `apart` and `together` are bytes of activations."""
    base, *others = networks
    params, flops = sum(n.params for n in networks), sum(n.flops for n in networks)
    saved_params = sum(other.start(k) for other in others)
    saved_flops = sum(_flops(other, k) for other in others)
    header = Header().size(base.dialect)
    return Saving(
        k,
        end,
        weights=_share(others[0].start(k), others[0].params),
        flops=_share(_flops(others[0], k), others[0].flops),
        networks=len(networks),
        params=params - saved_params,
        bflops=(flops - saved_flops) / 1e9,
        file_bytes=header + 4 * (params - saved_params),
        activation_bytes=together,
        saved_params=saved_params,
        saved_bflops=saved_flops / 1e9,
        saved_file_bytes=header * len(others) + 4 * saved_params,
        saved_activation_bytes=apart - together,
        saved_weights=_share(saved_params, params),
        saved_flops=_share(saved_flops, flops),
    )


def _flops(network: Network, k: int) -> float:
    return sum(layer.flops for layer in network.layers[:k])


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def file_bytes(network: Network) -> int:
    """The length of a network's weights file."""
    return Header().size(network.dialect) + 4 * network.params


def _peaks(networks: Sequence[Network]) -> list[int]:
    return [peak(network.input.size, layer_outputs(network)) for network in networks]


def block_ends(network: Network) -> set[int]:
    """The cuts behind the end of a block and inside no other one.

    A block ends with the layer that reads an earlier one as well (shortcut, route, scale_channels, sam), or, where
    nothing is joined, with the pooling that follows it. Joins over a head or a layer that enlarges the image belong
    to the neck, where every layer counts on an early one, and make no block.
    """
    blocks = [block for layer in network.layers if (block := _block(network, layer))]
    pools = [x.index for x in network.layers if x.kind.pools and x.onward.h < x.x.h]
    ends = {end for _, end in blocks} | set(pools)
    return {end + 1 for end in ends if not any(first < end < last for first, last in blocks)}


def _block(network: Network, layer: Layer) -> tuple[int, int] | None:
    """The layer before a block and its last one, if `layer` is the join at its end."""
    operands = set(layer.inputs)
    if len(operands) < 2:
        return None
    inside = network.layers[min(operands) + 1 : layer.index]
    if any(x.kind.is_head or _enlarges(x) for x in inside):
        return None
    return min(operands), layer.index


def _enlarges(layer: Layer) -> bool:
    return layer.inputs == (layer.index - 1,) and layer.y.h > layer.x.h
