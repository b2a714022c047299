"""Darknet itself as a target: what it makes of a cfg, where programs of it are named in the environment.

`DARKSHARE_DARKNET=alexeyab=/path/darknet:pjreddie=/path/other` names them by dialect.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from darknet_targets import Run

from darkshare.darknet.cfg import parse
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.weights import Header
from darkshare.errors import DarkshareError

PROGRAMS = dict(one.split("=", 1) for one in os.environ.get("DARKSHARE_DARKNET", "").split(os.pathsep) if "=" in one)
LARGEST = 10**6  # values and weights of a network that is tried
PATIENCE = 60  # seconds
_ROW = re.compile(rb"^ *(\d+) .*-> *(\d+) x *(\d+) x *(\d+)", re.MULTILINE)


def table(folder: Path) -> Run:
    """A network that resolves has as many weights as Darknet writes of it, and the shapes that it prints."""

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
            if _is_small(network):
                _compare(network, program, folder)
                told.append("the same")
        return " / ".join(told)

    return run


def _is_small(network: Network) -> bool:
    net = network.net
    values = sum(layer.y.size + layer.size for layer in network.layers)
    return values < LARGEST and all(1 <= n <= 4 for n in (net.batch, net.subdivisions, net.time_steps))


def _compare(network: Network, program: str, folder: Path) -> None:
    written = folder / "fuzz.weights"
    written.unlink(missing_ok=True)
    words = [program, "partial", "fuzz.cfg", "/dev/zero", written.name, str(len(network.layers))]
    done = subprocess.run(words, cwd=folder, capture_output=True, check=False, timeout=PATIENCE)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, (network.dialect, done.returncode, printed[-300:])
    floats, rest = divmod(written.stat().st_size - Header().size(network.dialect), 4)
    assert (floats, rest) == (network.params, 0), (network.dialect, floats, network.params)
    for index, w, h, c in (map(int, row) for row in _ROW.findall(printed)):
        assert (w, h, c) == network.layers[index].y[2::-1], (network.dialect, index, w, h, c)
