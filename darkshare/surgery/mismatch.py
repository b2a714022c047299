"""Refuse a further network that does not have the trunk of the base, with the command that helps."""

from __future__ import annotations

from pathlib import Path

from darkshare.analysis.savings import at_cuts
from darkshare.analysis.trunk import (
    last_stored,
    leaked,
    moved_tensors,
    require_same_structure,
    require_same_trunk,
    structure_difference,
)
from darkshare.darknet.cut_points import illegal_cut, legal_cuts
from darkshare.darknet.model import Model
from darkshare.darknet.typed import DATA, files_of, next_command, plain_name, train_words
from darkshare.data import read_options
from darkshare.errors import DarkshareError, TrunkMismatch

_PRICE = "--force merges on a trunk that it was not trained for: one such model fell from 51 to 15 % mAP"


def require_shared(base: Model, other: Model, k: int, *, cut: int | None = None) -> None:
    """Refuse a further network whose layers 0..k-1 are not the base's.

    Args:
        base: whose trunk is shared.
        other: with weights if the base has them.
        k: how many layers.
        cut: at which k to retrain it; without it, this k.

    Raises:
        TrunkMismatch: what differs, why, and the command that helps.
    """
    try:
        require_same_structure(base.network, other.network, k)
        if base.weights and other.weights:
            require_same_trunk(base, other, k)
    except TrunkMismatch as error:
        error.message += _cure(base, other, k, cut or k)
        raise


def deepest_cut(base: Model, most: int) -> int | None:
    """Find the last end of a block among the legal cuts before the first head, or else the last of them.

    Args:
        base: the network to cut.
        most: the largest k that is looked at.
    """
    network = base.network
    first = min((head.index for head in network.heads), default=len(network.layers))
    legal = [k for k in legal_cuts(network) if k <= min(most, first)]
    ends = [one.k for one in at_cuts([network, network], legal) if one.block_end] if legal else []
    return max(ends or legal, default=None)


def _cure(base: Model, other: Model, k: int, cut: int) -> str:
    """The command that helps: another k, the base's trunk put back, or a training, which always does."""
    moved = []
    if structure_difference(base.network, other.network, k) is None:
        moved = moved_tensors(base, other, k)
    last = last_stored(base.network, k)
    both = [*files_of(base), *files_of(other)]
    if moved and last and {one.layer for one in moved} == {last} and illegal_cut(other.network, last) is None:
        size = base.network.input
        return f"; {next_command('concat', *both, '--k', last, '--size', f'{size.w}x{size.h}', of=base)}"
    if moved and all(map(leaked, moved)):
        snapped = next_command("snap", *both, "--k", k, "-o", f"{plain_name(other)}-snapped", of=base)
        return f"; --force does so unmeasured; {snapped}"
    price = f"; {_PRICE}" if moved else ""
    if len(base.tasks) > 1:
        return f"{price}; {next_command('split', base.name, '-o', 'apart', of=base)}"
    words = train_words(base, cut, f"{plain_name(other)}-k{cut}", _data_of(other))
    return f"{price}; {next_command('train', *words, of=base)}"


def _data_of(other: Model) -> str:
    """The .data file beside a network that names pictures to train on, or what stands for it."""
    path = Path(other.name).with_suffix(".data")
    try:
        return str(path) if "train" in read_options(path).parts else DATA
    except DarkshareError:
        return DATA
