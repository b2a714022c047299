"""Tasks: the classes, heads and layers of each network in a model, and the `.tasks.json` that lists them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from darkshare._tables import printable
from darkshare._texts import require_fit
from darkshare.darknet.network import Network
from darkshare.darknet.weights import Header
from darkshare.errors import BadValue, DarkshareError

FORMAT = "darkshare tasks 1"
WEIGHTS = "weights_fingerprint"  # of the file that was written with a .tasks.json


@dataclass(frozen=True)
class Task:
    """The classes of one original network, and its layers in a merged one.

    Attributes:
        name: unique within the model; the stem of the files that `split` writes.
        names: its class names, by its own class ids.
        heads: the layers that are its outputs.
        runs: (start, stop) of the layers that make up its network, in order.
        padded: whether its heads have the classes of all tasks.
        offset: the first of its own class ids in such heads.
        net: the options of its own [net], so that `split` gives them back.
        header: the header of its own weights file.
        files: the files it was read from, by kind (cfg, weights).
        fingerprints: theirs, known once it was saved.
        ensemble: the ensemble that it is a branch of, or ""; branches have the same classes, and the task with the
            ensemble's name gives their mean.
    """

    name: str
    names: tuple[str, ...]
    heads: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]
    padded: bool = False
    offset: int = 0
    net: dict[str, str] = field(default_factory=dict)
    header: Header = field(default_factory=Header)
    files: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    ensemble: str = ""

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name in ("", ".."):
            raise BadValue(f"task name {self.name!r} cannot be a file name")
        require_fit("task name", self.name, self.ensemble)
        require_fit("class name", *self.names)

    def row(self) -> dict[str, Any]:
        """Describe the task as a line of a table."""
        return {
            "task": self.name,
            "classes": len(self.names),
            "heads": " ".join(map(str, self.heads)),
            "shared layers": self.k,
            "ensemble": self.ensemble or None,
        }

    def __repr__(self) -> str:
        heads = ", ".join(map(str, self.heads))
        return f"<Task {printable(self.name)}: {len(self.names)} classes, heads {heads}, {self.k} shared layers>"

    @property
    def k(self) -> int:
        """The number of leading layers that it shares with the base; 0 for the base itself."""
        return self.runs[0][1] if len(self.runs) > 1 else 0

    def of_product(self, **changes: Any) -> Task:
        """The same task, with changes, in a model that was made: its weights are no longer those of its files."""
        return replace(self, files={}, fingerprints={}, **changes)


def group_by_ensemble(tasks: Sequence[Task]) -> list[list[Task]]:
    """Group the tasks: those of one ensemble together, every other one alone. Each group has one list of classes."""
    found: dict[str | int, list[Task]] = {}
    for at, task in enumerate(tasks):
        found.setdefault(task.ensemble or at, []).append(task)
    return list(found.values())


def tasks_to_json(tasks: Sequence[Task], weights: str = "") -> str:
    """Write the text of a .tasks.json, with the fingerprint of the weights file beside it, if there is one."""
    rows = [
        {
            "name": task.name,
            "k": task.k,
            "classes": list(task.names),
            "padded": task.padded,
            "offset": task.offset,
            "heads": list(task.heads),
            "runs": [list(run) for run in task.runs],
            "net": task.net,
            "header": list(task.header),
            "fingerprints": task.fingerprints,
            **({"ensemble": task.ensemble} if task.ensemble else {}),
        }
        for task in tasks
    ]
    described = {"format": FORMAT, **({WEIGHTS: weights} if weights else {}), "tasks": rows}
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def weights_fingerprint(text: str | bytes) -> str:
    """Read the fingerprint of the weights from the text of a .tasks.json; "" where it has none."""
    described = json.loads(text)
    old = described.get("weights_sha256")
    return str(described.get(WEIGHTS) or (f"sha256:{old}" if old else ""))


def tasks_from_json(text: str | bytes, network: Network, file: str) -> tuple[Task, ...]:
    """Read the text of a .tasks.json; the file name is for errors.

    Raises:
        DarkshareError: it is not such a text, or belongs to another network.
    """
    try:
        described = json.loads(text)
        if described["format"] != FORMAT:
            raise ValueError(f"format {described['format']!r} is not {FORMAT!r}")
        tasks = tuple(
            Task(
                name=str(row["name"]),
                names=tuple(map(str, row["classes"])),
                heads=tuple(map(int, row["heads"])),
                runs=tuple((int(a), int(b)) for a, b in row["runs"]),
                padded=bool(row["padded"]),
                offset=int(row["offset"]),
                net=_options(row["net"]),
                header=Header(*map(int, row["header"])),
                fingerprints=_fingerprints(row),
                ensemble=str(row.get("ensemble") or ""),
            )
            for row in described["tasks"]
        )
        if not tasks or not all(task.heads for task in tasks):
            raise ValueError("it describes no task, or one without heads")
        if len({task.name for task in tasks}) < len(tasks):
            raise ValueError("it names two tasks alike")
        voters = [task for task in tasks if task.ensemble]
        if len({(task.ensemble, task.names) for task in voters}) > len({task.ensemble for task in voters}):
            raise ValueError("the branches of an ensemble have different classes")
    except DarkshareError as error:
        raise error.locate(file, None) from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DarkshareError(f"is not a task description: {error}; remove it to do without", file=file) from None
    last = len(network.layers)
    for task in tasks:
        if any(not 0 <= i < last for i in task.heads) or any(not 0 <= a < b <= last for a, b in task.runs):
            raise DarkshareError(
                f"task {task.name} names layers that the cfg does not have: it belongs to another cfg",
                file=file,
            )
        fewest = min((n for i in task.heads if (n := network.layers[i].classes)), default=len(task.names))
        if not 0 <= task.offset <= fewest - len(task.names):
            raise DarkshareError(
                f"task {task.name} has {len(task.names)} classes from {task.offset} on, but its heads have {fewest}: "
                "it belongs to another cfg",
                file=file,
            )
    return tasks


def _fingerprints(row: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of a task's files, which once were their SHA-256."""
    if "sha256" in row:
        return {str(kind): f"sha256:{digest}" for kind, digest in dict(row["sha256"]).items()}
    return {str(kind): str(known) for kind, known in dict(row["fingerprints"]).items()}


def _options(net: Any) -> dict[str, str]:
    """The options of a [net], each of which is a line of a cfg."""
    found = {str(key): str(value) for key, value in dict(net).items()}
    require_fit("[net] option", *(f"{key}={value}" for key, value in found.items()))
    return found
