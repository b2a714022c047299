"""Names and tasks that lie beside a cfg, which cannot hold them."""

from __future__ import annotations

from pathlib import Path

from darkshare._files import exists, read_small
from darkshare._texts import fit
from darkshare.darknet.cfg import Section
from darkshare.darknet.names import read_names
from darkshare.darknet.network import Network
from darkshare.darknet.tasks import Task, tasks_from_json
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import DarkshareError


def tasks_beside(path: Path, net: Section, network: Network, found: Weights | None = None) -> tuple[Task, ...]:
    """Read the tasks of a model from the .tasks.json or the .names beside its cfg.

    Args:
        path: of the cfg.
        net: its [net] as it is in the file.
        network: resolved from it.
        found: its weights, if they were read.

    Raises:
        DarkshareError: a file that cannot be read, or does not fit the network.
    """
    header, weights_path = (found.header, found.path) if found else (Header(), "")
    described = path.with_name(f"{path.stem}.tasks.json")
    if exists(described):
        return tasks_from_json(read_small(described), network, str(described))
    heads = network.heads
    counts = {head.classes for head in heads if head.classes}
    names = _names(path.with_name(f"{path.stem}.names"), counts)
    runs = ((0, len(network.layers)),)
    origin = {"cfg": str(path)} | ({"weights": weights_path} if weights_path else {})
    return (
        Task(fit(path.stem), names, tuple(h.index for h in heads), runs, net=net.options, header=header, files=origin),
    )


def _names(path: Path, counts: set[int]) -> tuple[str, ...]:
    """Class names of a network that is not a merged one."""
    wanted = max(counts, default=0)
    if not exists(path):
        return tuple(f"class_{i}" for i in range(wanted))
    names, faults = read_names(path)
    if counts and len(names) not in counts:
        empty = next(
            (f" (line {line} is empty, and a class to Darknet)" for line, what in faults if "empty" in what), ""
        )
        raise DarkshareError(
            f"holds {len(names)} names{empty}, but the heads have {' and '.join(map(str, sorted(counts)))} classes; "
            "correct it, or remove it to use class_0, class_1, … (a merged model needs its .tasks.json)",
            file=str(path),
        )
    return names
