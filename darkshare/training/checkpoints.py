"""The state of a training in one file, which is replaced as a whole: a kill loses little and breaks nothing.

Random numbers need no place in it: they follow from the seed and the number of the update (see `loading`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkshare._files import reading, write_all
from darkshare.errors import DarkshareError

_FORMAT = "darkshare training 2"
_FINGERPRINTS = {  # the messages name their subjects, as the hashes say nothing
    "network": "cfg: the file, the number of classes or an option that changes it (--lr, --epochs, --batches, --batch, "
    "--subdivisions, --size) was another",
    "trunk": "base",
    "start": "base, or for other classes",
    "pictures": "data set: its pictures or labels were others",
}


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint.

    Args:
        path: of the file.
        state: tensors, numbers and texts, in dicts and lists.

    Raises:
        DarkshareError: it cannot be written; the old one is still there then.
    """
    import torch

    file = io.BytesIO()
    torch.save({"format": _FORMAT, **state}, file)
    write_all({path: [file.getbuffer()]}, own=True)


def read_state(path: Path, fingerprint: Mapping[str, object]) -> dict[str, Any]:
    """The state in a checkpoint of the same training.

    Args:
        path: of the file.
        fingerprint: must be the same as when it was written.

    Raises:
        DarkshareError: it is not a checkpoint, or one of another training.
    """
    import torch

    try:
        with reading(path):
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if state["format"] != _FORMAT:
            raise ValueError(f"its format is {state['format']!r}")
        before = dict(state["fingerprint"])
    except DarkshareError:
        raise
    except Exception as error:  # torch has no closed family of errors for a broken file
        why = str(error).partition("\n")[0][:100]
        raise DarkshareError(
            f"is not a checkpoint of a training ({why}); remove it to start again", file=str(path)
        ) from None
    for key, value in fingerprint.items():
        if before.get(key) != value:
            what = _FINGERPRINTS.get(key) or f"{key} ({short(before.get(key))}, now {short(value)})"
            raise DarkshareError(
                f"was written by a training with another {what}; "
                "give what it was started with, or remove the file to start again",
                file=str(path),
            )
    return state


def short(value: object) -> str:
    """A value in a message: the first of its characters, where they are many."""
    text = str(value)
    return text if len(text) <= 16 else f"{text[:12]}…"
