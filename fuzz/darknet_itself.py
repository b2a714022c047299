"""Darknet itself as a target: what it makes of a cfg, where programs of it are named in the environment.

`DARKSHARE_DARKNET=alexeyab=/path/darknet:pjreddie=/path/other` names them by dialect.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from darknet_targets import Run

from darkshare.analysis.check import check
from darkshare.darknet.cfg import parse
from darkshare.darknet.kinds import Deconvolutional, Kind
from darkshare.darknet.kinds.base import P
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.weights import Header
from darkshare.errors import DarkshareError

PROGRAMS = dict(one.split("=", 1) for one in os.environ.get("DARKSHARE_DARKNET", "").split(os.pathsep) if "=" in one)
LARGEST = 10**6  # values and weights of a network that is tried
PATIENCE = 60  # seconds
_ROW = re.compile(rb"^ *(\d+) .*-> *(\d+) x *(\d+) x *(\d+)", re.MULTILINE)


def table(folder: Path) -> Run:
    """A cfg without errors is one that Darknet takes, with the shapes that it prints and the weights that it writes."""

    def run(data: bytes) -> str:
        found = parse(data.decode("utf-8", "surrogateescape"), "fuzz.cfg")
        (folder / "fuzz.cfg").write_bytes(data)
        told = []
        for dialect, program in PROGRAMS.items():
            try:
                network = resolve(found, dialect=dialect, view="save")
            except DarkshareError as error:
                told.append(error.message)
                continue
            if _is_small(network) and check(folder / "fuzz.cfg", dialect=dialect).is_fine:
                _compare(network, program, folder)
                told.append("the same")
        return " / ".join(told)

    return run


def _is_small(network: Network) -> bool:
    net = network.net
    values = sum(layer.y.size + layer.size for layer in network.layers)
    small = values < LARGEST and all(1 <= n <= 4 for n in (net.batch, net.subdivisions, net.time_steps))
    return small and not any(_stops_it(layer.kind, network.dialect) for layer in network.layers)


def _stops_it(kind: Kind, dialect: str) -> bool:
    """Whether a program may stop at a layer for reasons of its own."""
    if isinstance(kind, Deconvolutional):
        return dialect == P  # it divides by groups that are 0
    return bool(getattr(kind, "tree", ""))  # a file that is not there


def _compare(network: Network, program: str, folder: Path) -> None:
    written = folder / "fuzz.weights"
    written.unlink(missing_ok=True)
    words = [program, "partial", "fuzz.cfg", "/dev/zero", written.name, str(len(network.layers))]
    done = subprocess.run(words, cwd=folder, capture_output=True, check=False, timeout=PATIENCE)
    printed = done.stdout + done.stderr
    last = (printed.decode(errors="replace").strip().splitlines() or [""])[-1]
    assert done.returncode == 0, f"{network.dialect} ends with {done.returncode}: {last[-100:]}"
    floats, rest = divmod(written.stat().st_size - Header().size(network.dialect), 4)
    assert (floats, rest) == (network.params, 0), f"{network.dialect} writes {floats}, not {network.params}"
    for index, w, h, c in (map(int, row) for row in _ROW.findall(printed)):
        layer = network.layers[index]
        assert (w, h, c) == layer.y[2::-1], f"{network.dialect} makes {w}x{h}x{c} of {layer.label}, not {layer.y}"
