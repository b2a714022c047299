"""Versions of a file, as git compares them: what happened to weights, and the text of a cfg that counts."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from darkshare._files import exists
from darkshare.analysis.stats import stats
from darkshare.darknet.cfg import Line, read_cfg
from darkshare.darknet.model import Model, require_length, untransposed
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.weights import Weights, chunks, read_weights
from darkshare.errors import DarkshareError

NOTHING = ("/dev/null", os.devnull)  # which git names in place of a file that is not there


def weights_versions(old: str, new: str, *names: str, dialect: str = "alexeyab") -> list[str]:
    """Describe in lines how a weights file differs from another version of it.

    Args:
        old: a file with the content before; the null device where there was none.
        new: one with the content now.
        names: of the weights in the work tree, of which the last has its cfg beside it; the versions have none.
        dialect: the fork whose reading decides.
    """
    lines, found = [], dict[str, Weights]()
    for when, path in (("before", old), ("now", new)):
        if path in NOTHING:
            lines.append(f"{when}: none")
            continue
        try:
            found[when] = read_weights(path, dialect=dialect)
        except DarkshareError as error:  # a pointer of Git LFS, for one; git would stop at a failure
            lines.append(f"{when}: {error.message}")
        else:
            lines.append(f"{when}: {_described(found[when])}")
    if len(found) == 2 and lines[0].partition(": ")[2] == lines[1].partition(": ")[2]:
        lines.clear()
    return [*lines, *_layers(found, names, dialect)]


def _described(found: Weights) -> str:
    *version, seen = found.header
    return f"{found.size:,} floats, version {'.'.join(map(str, version))}, seen {seen:,}"


def _layers(found: dict[str, Weights], names: tuple[str, ...], dialect: str) -> list[str]:
    """Compare weights layer by layer, or say why that cannot be."""
    cfg = next((path for name in reversed(names) if exists(path := Path(name).with_suffix(".cfg"))), None)
    if cfg is None:
        missing = f"{Path(names[-1]).with_suffix('.cfg')} is not there, which tells the layers"
        return [missing, *_floats(*found.values())] if found else []
    try:
        network = resolve(read_cfg(cfg), dialect=dialect)
        fits = {when: _fits(network, one) for when, one in found.items()}
    except DarkshareError as error:
        return [str(error), *_floats(*found.values())]
    lines = [f"{when}: {why}" for when, why in fits.items() if why]
    if lines or len(found) < 2:
        return [*lines, *(_floats(*found.values()) if lines else [])]
    models = (Model(network, untransposed(network, one), ()) for one in found.values())
    return [one.verdict for one in stats(*models)]


def _fits(network: Network, found: Weights) -> str:
    """Explain why weights do not fit the cfg of the work tree; "" if they do."""
    try:
        require_length(network, found, partial=True)
    except DarkshareError as error:
        return f"made with another {Path(network.name).name} than the one in the work tree: {error.message}"
    return ""


def _floats(*found: Weights) -> list[str]:
    """Count the floats that differ, all that can be said without layers."""
    if len(found) < 2 or found[0].size != found[1].size:
        return []
    pieces = zip(*(chunks(one.runs) for one in found), strict=True)
    count = sum(np.count_nonzero(a.view(np.uint32) != b.view(np.uint32)) for a, b in pieces)
    return [f"{count:,} of {found[0].size:,} floats differ"]


def plain_cfg(path: str, *, dialect: str = "alexeyab") -> str:
    """Give the text of a cfg without comments, blanks and the order of keys, under a line on what it amounts to.

    A file that is not a cfg is given as it is, so that git compares that.

    Raises:
        OSError: it cannot be read.
    """
    lines, cfg = list[str](), None
    with suppress(DarkshareError):
        cfg = read_cfg(path)
    if cfg is None or not cfg.sections:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    try:
        network = resolve(cfg, dialect=dialect)
    except DarkshareError as error:
        lines.append(f"# {error.message}")
    else:
        w, h, c = network.input.w, network.input.h, network.input.c
        costs = f"{network.params:,} parameters, {network.flops / 1e9:.3f} BFLOPs"
        lines.append(f"# {len(network.layers)} layers, {w}x{h}x{c}, {costs}")
    for section in cfg.sections:
        options = [line for line in section.lines[1:] if not line.is_comment]
        lines += ["", f"[{section.kind}]", *map(_plain, sorted(options, key=lambda line: line.key))]
    return "\n".join(lines) + "\n"


def _plain(line: Line) -> str:
    return f"{line.key}={line.value}" if line.key else line.text.strip()
