"""Records of trainings: what each gave, so that none is made twice and tables need no networks.

A data set and a base have a file, `trainings/DATA-BASE.json`. Whoever trains on other pictures or otherwise takes
another folder.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from regret import Doubles

from darkshare._files import write_all

FOLDER = Path(__file__).parent / "trainings"
_SCALE = 50_000  # of a mAP of 1 as 16 bits: 0.002 points are told apart


class Training(NamedTuple):
    """What one training gave.

    Attributes:
        test: mAP of its best checkpoint on test=, of 0..1: of all pictures, then of each resample of them, if any.
        valid: mAP on valid= after updates, by their number.
        seconds: that the updates took.
        flops: operations of the network.
    """

    test: Doubles
    valid: Mapping[int, float]
    seconds: float
    flops: int


@dataclass
class Record:
    """All that is known of a data set and a base.

    Attributes:
        path: the file.
        of: in what its trainings agree: fingerprints of pictures and base, settings.
        shares: for each k the shares of weights and operations that a further network saves.
        guesses: at k, and what each was made from; see which_k.py.
        trainings: by way, k and seed.
    """

    path: Path
    of: dict[str, Any] = field(default_factory=dict)
    shares: dict[int, tuple[float, float]] = field(default_factory=dict)
    guesses: dict[str, Any] = field(default_factory=dict)
    trainings: dict[tuple[str, int, int], Training] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Record:
        """What the file says; nothing without one."""
        if not path.exists():
            return cls(path)
        said = json.loads(path.read_text(encoding="utf-8"))
        shares = {int(k): tuple(both) for k, both in said["shares"].items()}
        trainings = {_key(name): _training(one) for name, one in said["trainings"].items()}
        return cls(path, said["of"], shares, said["guesses"], trainings)

    def write(self) -> None:
        """Put all of it into the file."""
        said = {
            "of": self.of,
            "shares": dict(sorted(self.shares.items())),
            "guesses": self.guesses,
            "trainings": {_name(*key): _plain(one) for key, one in sorted(self.trainings.items())},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_all({self.path: [(json.dumps(said, indent=1) + "\n").encode()]})

    def require(self, of: Mapping[str, Any]) -> None:
        """Take over in what trainings agree, or end where the file says otherwise."""
        self.of = self.of or dict(of)
        other = [name for name in {*self.of, *of} if self.of.get(name) != of.get(name)]
        if other:
            raise SystemExit(f"{self.path}: has another {sorted(other)[0]}; give --records another folder")


def _name(way: str, k: int, seed: int) -> str:
    return f"{way} k{k} seed{seed}"


def _key(name: str) -> tuple[str, int, int]:
    way, k, seed = name.split(" ")
    return way, int(k.removeprefix("k")), int(seed.removeprefix("seed"))


def _plain(one: Training) -> dict[str, Any]:
    whole = np.round(one.test * _SCALE).astype("<u2")
    test = b64encode(zlib.compress(whole.tobytes(), 9)).decode()
    return {**one._asdict(), "test": test}


def _training(said: Mapping[str, Any]) -> Training:
    test = np.frombuffer(zlib.decompress(b64decode(said["test"])), "<u2") / _SCALE
    valid = {int(updates): mean for updates, mean in said["valid"].items()}
    return Training(test, valid, said["seconds"], said["flops"])
