"""Outputs of merged networks: what nothing reads is exactly their heads, so that no engine takes a layer for one.

Over the public cfgs, each with itself as the branch, at every legal cut: what reads what by a walk of our own, and what
OpenCV 4's Darknet importer calls unconnected. `DARKSHARE_ALL_CUTS=1` lets the importer read every cut instead of one of
each sort.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from conftest import zoo_cfgs, zoo_path
from models import quiet_concat

from darkshare.darknet.cfg import dumps
from darkshare.darknet.cut_points import legal_cuts
from darkshare.darknet.kinds import Cost, Crop
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import Network
from darkshare.surgery.assemble import Part, grafted

FORKS = ("alexeyab", "pjreddie")
pytestmark = pytest.mark.zoo


def unread(network: Network) -> list[int]:
    read = {index for layer in network.layers for index in layer.inputs}
    return [layer.index for layer in network.layers if layer.index not in read]


def ends(network: Network) -> list[int]:
    """The heads; for a classifier's [softmax], a [cost] behind it, which hands it on."""
    last = network.layers[-1]
    return [last.index] if isinstance(last.kind, Cost) else [head.index for head in network.heads]


def in_both(indices: list[int], k: int, distance: int) -> list[int]:
    """Layers of a network as they lie in the merger of it with itself."""
    return sorted({*indices, *(i + distance for i in indices if i >= k)})


def without_files(path: Path, fork: str) -> Model:
    one = load(path, dialect=fork, sibling=False)
    return replace(one, weights=None)


@pytest.mark.parametrize("fork", FORKS)
def test_nothing_but_heads_is_unread_at_any_cut(fork):
    """The same for what `grafted` gives, which is quickly made: the layers of the base are not touched by it."""
    zoo_path("zoo", fork)
    cuts = left_out = 0
    for path in zoo_cfgs(fork):
        one = without_files(path, fork)
        network, count = one.network, len(one.network.layers)
        assert unread(network) == ends(network), path.name
        of_base = {index for layer in network.layers for index in layer.inputs}
        for k in legal_cuts(network):
            *route, part = grafted(one, k, count, "task x")
            assert isinstance(part, Part)
            distance = count + len(route) - k
            place = {**part.known, **part.through, **{old: old + distance for old in range(k, count)}}
            before = {k: count} if route else {}  # what lies before the branch's first layer
            read = set(of_base) | ({k - 1} if route else set())
            for layer in network.layers[k:]:
                read |= {place[index] for index in layer.operands}
                read |= {before.get(layer.index, layer.index + distance - 1)} if layer.kind.reads_previous else set()
            idle = sorted({*range(count + len(route) + count - k)} - read)
            assert idle == in_both(ends(network), k, distance), (path.name, k)
            cuts, left_out = cuts + 1, left_out + (not route)
    assert cuts > 1000
    assert left_out > 4


def sort_of_cut(network: Network, k: int) -> tuple[object, ...]:
    """Facts that decide how a branch is joined on."""
    reads = [layer.index - k for layer in network.layers[k:] if k - 1 in layer.operands]
    beyond = any(index < k - 1 for layer in network.layers[k:] for index in layer.operands)
    return network.layers[k - 1].kind.name, network.layers[k].kind.name, bool(reads), 0 in reads, beyond


def some_cuts(network: Network) -> list[int]:
    """One cut of each sort, or all of them."""
    cuts = legal_cuts(network)
    return cuts if os.environ.get("DARKSHARE_ALL_CUTS") else list({sort_of_cut(network, k): k for k in cuts}.values())


def unconnected(path: Path, network: Network) -> list[int] | None:
    """What OpenCV 4's importer gives out, as layers of the cfg; None where it refuses the cfg."""
    dnn = cv2.dnn
    try:
        names = dnn.readNetFromDarknet(str(path)).getUnconnectedOutLayersNames()
    except cv2.error:
        return None
    regions = [layer.index for layer in network.layers if layer.kind.name == "region"]  # whose name has no number
    crops = sum(not crop.kind.noadjust for crop in network.of_kind(Crop))  # of which it makes two layers
    return sorted(int(found[1]) - crops if (found := re.search(r"_(\d+)$", name)) else regions[0] for name in names)


@pytest.mark.importer
@pytest.mark.parametrize("fork", FORKS)
def test_opencv_gives_out_the_heads_of_a_merged_network_and_nothing_else(fork, tmp_path):
    zoo_path("zoo", fork)
    read = 0
    for path in zoo_cfgs(fork):
        one = without_files(path, fork)
        for k in some_cuts(one.network) if unconnected(path, one.network) else ():
            merged = quiet_concat([one, one], k).network
            both = tmp_path / "both.cfg"
            both.write_text(dumps(merged.cfg))
            found = unconnected(both, merged)
            if found is None:
                assert one.network.layers[-1].kind.name == "region", (path.name, k)
                continue
            read += 1
            distance = len(merged.layers) - len(one.network.layers)
            assert found == in_both(ends(one.network), k, distance), (path.name, k)
    assert read > 100
