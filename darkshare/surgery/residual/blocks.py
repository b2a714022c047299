"""Residual blocks of any network, their stages, and whether they can be left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from darkshare._tables import Result
from darkshare.darknet.kinds import Shortcut
from darkshare.darknet.model import Model
from darkshare.darknet.network import Layer, Network
from darkshare.errors import BadValue, checked

_FORMS = "'first', 'all', or numbers like 'blocks 1,4-6'"


@dataclass(frozen=True)
class Block:
    """A [shortcut] with all layers that it skips.

    Attributes:
        number: counted from 1.
        stage: likewise; a run of blocks whose outputs have one shape.
        before: the layer that the block reads.
        last: its [shortcut]; the block is layers before+1..last.
        needed: why it cannot be left out; empty if it can.
    """

    number: int
    stage: int
    before: int
    last: int
    needed: str = ""

    @property
    def label(self) -> str:
        return f"block {self.number} (layers {self.before + 1}..{self.last})"


@dataclass(frozen=True, repr=False)
class ResidualBlocks(Result):
    """The residual blocks of a network, in order.

    Attributes:
        network: whose they are.
        blocks: all of them.
    """

    network: Network
    blocks: tuple[Block, ...]

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __contains__(self, block: object) -> bool:
        return block in self.blocks

    def rows(self) -> list[dict[str, Any]]:
        layers = self.network.layers
        return [
            {
                "block": block.number,
                "stage": block.stage,
                "layers": f"{block.before + 1}..{block.last}",
                "input": str(layers[block.before].y),
                "output": str(layers[block.last].y),
                "params": sum(layer.size for layer in layers[block.before + 1 : block.last + 1]),
                "bflops": sum(layer.flops for layer in layers[block.before + 1 : block.last + 1]) / 1e9,
                "can go": f"no: {block.needed}" if block.needed else "yes",
            }
            for block in self.blocks
        ]

    def notes(self) -> list[str]:
        return [] if self.blocks else ["no residual blocks"]

    def summary(self) -> str:
        return f"{len(self.blocks)} of {self.network.name or 'a network'}, {len(stages_of(self.blocks))} stages"


@checked
def residual_blocks(model: Model | Network) -> ResidualBlocks:
    """Find every [shortcut] that adds one earlier layer to what a closed run of layers makes of it.

    The run reads that layer and itself alone, and holds no other [shortcut] and no head. A projection, the layers
    that bring the other summand to its shape, may be part of it. So the innermost shortcuts count, and joins of a
    neck do not.

    Raises:
        BadValue: it is a merged or branched model.
    """
    network = model if isinstance(model, Network) else single_network(model)
    found: list[Block] = []
    for layer in network.layers:
        before = _before(network, layer)
        if before is None:
            continue
        same = bool(found) and network.layers[found[-1].last].y == layer.y
        stage = (found[-1].stage + (not same)) if found else 1
        found.append(Block(len(found) + 1, stage, before, layer.index, _needed(network, before, layer.index)))
    return ResidualBlocks(network, tuple(found))


def single_network(model: Model) -> Network:
    """The network of a model that is neither merged nor branched, with all of its weights or none.

    Raises:
        BadValue: it is another one.
    """
    if len(model.tasks) > 1:
        raise BadValue("is a merged or branched model; take one network out of it with split", file=model.name)
    if model.weights is not None and model.loaded < len(model.network.layers):
        raise BadValue("has weights for some layers only", file=model.weights.path)
    return model.network


def stages_of(blocks: Iterable[Block]) -> list[list[Block]]:
    """The blocks by stage."""
    blocks = list(blocks)
    return [[block for block in blocks if block.stage == n] for n in sorted({block.stage for block in blocks})]


def reads(layer: Layer) -> set[int]:
    """The layers that a layer reads, or whose weights it shares."""
    return {*layer.sources, *layer.inputs}


def _before(network: Network, shortcut: Layer) -> int | None:
    """The layer that the block of this [shortcut] reads; None where it is not a block."""
    if not isinstance(shortcut.kind, Shortcut) or len(shortcut.refs) != 1:
        return None
    before, index = shortcut.sources[0], shortcut.index - 1
    while index > before:
        before = min(before, *reads(network.layers[index]), index)
        index -= 1
    inner = network.layers[before + 1 : shortcut.index]
    if before < 0 or not inner or any(isinstance(x.kind, Shortcut) or x.kind.is_head for x in inner):
        return None
    return before


def _needed(network: Network, before: int, last: int) -> str:
    start, end = network.layers[before], network.layers[last]
    if start.y != end.y:
        return f"it makes {end.y} of {start.y}"
    if start.onward != start.y:
        return f"{start.label} before it is blurred for the next layer only"
    outside = [x.label for x in network.layers[last + 1 :] if any(before < i < last for i in reads(x))]
    return f"{outside[0]} reads a layer inside it" if outside else ""


def kept_blocks(blocks: Collection[Block], keep: str) -> tuple[Block, ...]:
    """The blocks that a `--keep` names.

    Args:
        blocks: all that there are.
        keep: `first`, the first of each stage; `all`; counts like `1,1,1,1`, the first blocks of each stage; or
            numbers like `blocks 1,4,12-14`.

    Raises:
        BadValue: it names blocks that are not there, or leaves out one that is needed.
    """
    if not blocks:
        raise BadValue("has no residual blocks: no [shortcut] adds a layer to what a run of layers makes of it")
    numbers = _numbers(blocks, keep.strip().lower())
    for block in blocks:
        if block.needed and block.number not in numbers:
            raise BadValue(f"{block.label}, stage {block.stage}, cannot be left out: {block.needed}; keep it too")
    return tuple(block for block in blocks if block.number in numbers)


def _numbers(blocks: Collection[Block], keep: str) -> set[int]:
    stages = stages_of(blocks)
    if keep == "all":
        return {block.number for block in blocks}
    if keep == "first":
        return {stage[0].number for stage in stages}
    if keep.startswith("block"):
        return _listed(keep.removeprefix("blocks").removeprefix("block").strip(), len(blocks))
    counts = [_whole(part, f"--keep {keep}") for part in keep.split(",")]
    sizes = [len(stage) for stage in stages]
    if len(counts) != len(sizes) or any(not 0 <= n <= size for n, size in zip(counts, sizes, strict=True)):
        raise BadValue(
            f"--keep {keep}: its {len(sizes)} stages have {','.join(map(str, sizes))} blocks; give as many counts, "
            f"each up to that, or {_FORMS}"
        )
    return {block.number for n, stage in zip(counts, stages, strict=True) for block in stage[:n]}


def _listed(text: str, most: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        ends = _whole(low, f"--keep blocks {text}"), _whole(high or low, f"--keep blocks {text}")
        if not 1 <= ends[0] <= ends[1] <= most:
            raise BadValue(f"--keep blocks {text}: the blocks are 1..{most}, and a range goes up")
        found.update(range(ends[0], ends[1] + 1))
    return found


def _whole(text: str, where: str) -> int:
    if not text.strip().isdecimal():
        raise BadValue(f"{where}: {text.strip()!r} is not a whole number; give {_FORMS}")
    return int(text)
