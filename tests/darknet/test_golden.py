"""Our reading against what real Darknet said: shapes, BFLOPs, file sizes and the checksum of every stored block.

The tables were printed, and the weights files written, by CPU builds of the three forks.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import ZOO, zoo_cfgs

from darkshare.darknet.cfg import dumps, parse, read_cfg, to_bytes
from darkshare.darknet.kinds import DIALECTS, Kind, keys_of
from darkshare.darknet.model import load
from darkshare.darknet.network import resolve
from darkshare.errors import UnknownKind

BFLOPS = 1e-6  # relative: Darknet keeps them in float32
pytestmark = pytest.mark.zoo
MISSING = pytest.param(None, None, marks=pytest.mark.skip(f"no golden files in {ZOO}; set DARKSHARE_ZOO"))


@cache
def golden(fork: str) -> dict:
    path = ZOO / "golden" / f"{fork}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def shipped() -> list:
    """(fork, cfg name) of every public cfg whose table is known; hank-ai's own copies are not stored."""
    return [pytest.param(fork, name, id=f"{fork}/{name}") for fork in DIALECTS[:2] for name in golden(fork)] or [
        MISSING
    ]


def tables() -> list:
    """(table, weights) of the tiny cfgs and the whole networks that Darknet wrote with known contents."""
    found = [*ZOO.glob("golden/rare/*.json"), *ZOO.glob("golden/pattern/*.json")]
    return [pytest.param(path.parent, path.name.split(".")[:2], id=path.name) for path in sorted(found)] or [MISSING]


def refused() -> list:
    """(cfg, fork) of the tiny cfgs that a fork refuses, so that it wrote no table."""
    pairs = [(cfg, fork) for cfg in sorted(ZOO.glob("golden/rare/*.cfg")) for fork in DIALECTS]
    rows = [(cfg, fork) for cfg, fork in pairs if not cfg.with_suffix(f".{fork}.json").exists()]
    return [pytest.param(cfg, fork, id=f"{cfg.stem}-{fork}") for cfg, fork in rows] or [MISSING]


def require_equal_layers(network, rows) -> None:
    for layer, (kind, w, h, c, bflops, *counts) in zip(network.layers, rows, strict=True):
        assert (layer.kind.name, layer.y.w, layer.y.h, layer.y.c) == (kind, w, h, c), layer.label
        assert layer.flops / 1e9 == pytest.approx(bflops, rel=BFLOPS), layer.label
        if counts:
            assert [layer.y.size] == counts[:1], layer.label


@pytest.mark.parametrize(("fork", "name"), shipped())
def test_a_public_cfg_gives_darknet_s_table(fork, name):
    expected = golden(fork)[name]
    network = resolve(read_cfg(ZOO / "zoo" / fork / name), dialect=fork, view="save")
    require_equal_layers(network, expected["layers"])
    assert expected["header_bytes"] + 4 * network.params == expected["weights_bytes"]
    if "total_bflops" in expected:  # a running sum in float32
        total = np.cumsum([layer.flops / 1e9 for layer in network.layers], dtype=np.float32)[-1]
        assert total == pytest.approx(expected["total_bflops"], rel=BFLOPS)


def test_every_public_cfg_survives_a_round_trip_and_has_a_table():
    for fork in DIALECTS[:2]:
        folder = ZOO / "zoo" / fork
        found = zoo_cfgs(fork)
        if not found:
            pytest.skip(f"{folder} is missing; set DARKSHARE_ZOO to the folder that holds zoo/")
        for path in found:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            assert dumps(parse(text)) == text
            assert to_bytes(read_cfg(path)) == path.read_bytes()
        assert {path.relative_to(folder).as_posix() for path in found} == set(golden(fork))


@pytest.mark.parametrize(("folder", "stem"), tables())
def test_every_block_that_darknet_wrote_lies_where_we_look(folder, stem):
    name, fork = stem
    expected, cfg, weights = read_table(folder, name, fork)
    recorded = {(i, f"{part}.{block}" if part else block): (n, crc) for i, part, block, n, crc in expected["arrays"]}
    if weights is None:
        network = resolve(read_cfg(cfg), dialect=fork, view="save")
        ours = {(layer.index, t.name): t.size for layer in network.layers for t in layer.tensors}
        assert ours == {key: n for key, (n, _) in recorded.items()}
        return
    model = load(cfg, weights, dialect=fork, view="save")
    found = {(i, b): t for i, _ in enumerate(model.network.layers) for b, t in model.tensors(i).items()}
    assert {k: (t.size, f"{zlib.crc32(t.tobytes()):08x}") for k, t in found.items()} == {k: recorded[k] for k in found}
    assert {k for k in recorded if k not in found} == only_in_memory(model, fork, recorded)
    require_equal_layers(model.network, expected.get("layers", golden(fork).get(f"{name}.cfg", {}).get("layers")))


def read_table(folder: Path, name: str, fork: str) -> tuple[dict, Path, Path | None]:
    table = next(folder.glob(f"{name}.{fork}.*json"))
    cfg = folder / f"{name}.cfg"
    weights = folder / f"{name}.{fork}.weights"
    cfg = cfg if cfg.exists() else ZOO / "zoo" / fork / cfg.name
    return json.loads(table.read_text()), cfg, weights if weights.exists() else None


def only_in_memory(model, fork: str, recorded: dict) -> set:
    """What Darknet holds but pjreddie's writer leaves out: the biases of [batchnorm], layers with dontsave=1."""
    if fork != "pjreddie":
        return set()
    layers = model.network.layers
    return {
        (index, block)
        for index, block in recorded
        if layers[index].kind.dontsave or (layers[index].kind.name == "batchnorm" and block == "biases")
    }


@pytest.mark.parametrize(("cfg", "fork"), refused())
def test_what_a_fork_refuses_is_refused(cfg, fork):
    if cfg.stem == "dontsave":  # hank-ai refuses keys that it does not read; `check` reports them
        assert fork not in keys_of(Kind)["dontsave"].forks
        return
    with pytest.raises(UnknownKind, match=f"is not known to the dialect {fork}"):
        resolve(read_cfg(cfg), dialect=fork)
