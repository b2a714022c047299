"""The state of a training in one file, which is replaced as a whole: a kill loses little and breaks nothing.

Random numbers need no place in it: they follow from the seed and the number of the update (see `loading`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from darkshare._files import reading, write_all
from darkshare.darknet.cfg import to_bytes
from darkshare.darknet.model import Model
from darkshare.darknet.weights import Weights
from darkshare.errors import DarkshareError
from darkshare.training.guards import digest, digest_of_pictures
from darkshare.training.settings import Options

_FORMAT = "darkshare training 3"
_FINGERPRINTS = {  # the messages name their subjects, as the hashes say nothing
    "network": "cfg: the file, the number of classes or an option that changes it (--lr, --epochs, --batches, --batch, "
    "--subdivisions, --size) was another",
    "trunk": "base",
    "start": "base, or for other classes",
    "pictures": "data set: its pictures or labels were others",
}


def write_state(paths: Sequence[Path], state: Mapping[str, Any]) -> None:
    """Replace checkpoints, all by the same one.

    Args:
        paths: of the files.
        state: tensors, numbers and texts, in dicts and lists.

    Raises:
        DarkshareError: one cannot be written; the old ones are still there then.
    """
    import torch

    file = io.BytesIO()
    torch.save({"format": _FORMAT, **state}, file)
    write_all({path: [file.getbuffer()] for path in paths}, own=True)


def read_state(path: Path, fingerprint: Mapping[str, object]) -> dict[str, Any]:
    """The state in a checkpoint of the same training.

    Args:
        path: of the file.
        fingerprint: must be the same as when it was written.

    Raises:
        DarkshareError: it is not a checkpoint, or one of another training.
    """
    state = _loaded(path)
    before = state["fingerprint"]
    for key, value in fingerprint.items():
        if before.get(key) != value:
            what = _FINGERPRINTS.get(key) or f"{key} ({short(before.get(key))}, now {short(value)})"
            raise DarkshareError(
                f"was written by a training with another {what}; "
                "give what it was started with, or remove the file to start again",
                file=str(path),
            )
    return state


def found_in(path: Path, key: str) -> Any:
    """Read what a training found before its start: its learning "rate" or number of "batches"; None if it did not.

    Raises:
        DarkshareError: it is not a checkpoint.
    """
    return _loaded(path).get(key)


def _loaded(path: Path) -> dict[str, Any]:
    import torch

    try:
        with reading(path):
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if state["format"] != _FORMAT:
            raise ValueError(f"its format is {state['format']!r}")
        state["fingerprint"] = dict(state["fingerprint"])
    except DarkshareError:
        raise
    except Exception as error:  # torch has no closed family of errors for a broken file
        why = str(error).partition("\n")[0][:100]
        raise DarkshareError(
            f"is not a checkpoint of a training ({why}); remove it to start again", file=str(path)
        ) from None
    return state


def short(value: object) -> str:
    """A value in a message: the first of its characters, where they are many."""
    text = str(value)
    return text if len(text) <= 16 else f"{text[:12]}…"


def fingerprint(
    options: Options, model: Model, samples: Sequence[tuple[Any, ...]], trunk: str, ema: float, copies: int,
    teacher: Weights | None = None,
) -> dict[str, object]:  # fmt: skip
    """The settings and inputs that make two trainings the same: a checkpoint of another training is refused.

    Args:
        options: how it trains.
        model: with the weights that it starts with.
        samples: what it learns from.
        trunk: the digest of the weights that stay.
        ema: the share of the old mean of the weights that is kept.
        copies: of each picture in the cache of features.
        teacher: its weights.
    """
    assert model.weights is not None
    return {
        "k": options.k,
        "recipe": options.recipe,
        "seed": options.seed,
        "dialect": model.network.dialect,
        "network": hashlib.sha256(to_bytes(model.network.cfg)).hexdigest(),
        "trunk": trunk,
        "start": digest(model.weights.runs),
        "pictures": digest_of_pictures(samples),
        "augment": options.augment,
        "bn-epsilon": options.bn_epsilon,
        "bn-eval": options.bn_eval,
        "amp": options.amp,
        "ema": ema,
        "cache-features": copies,
        "teacher": teacher and digest(teacher.runs),
    }
