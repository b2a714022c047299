"""Commands that help next, as people type them: ready to paste into a shell."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

from darkshare.darknet.kinds.base import DIALECTS
from darkshare.darknet.model import Model

_OPTION = re.compile("-o|--[a-z-]+")
DATA = "DATA.data"  # stands for a data set that only the user knows


def typed(*words: object) -> str:
    r"""Words as they are typed into bash, on one line: `'my x.cfg'`, and `$'gr\xfcn.cfg'` for what no line holds."""
    return " ".join(map(_quoted, map(str, words)))


def _quoted(word: str) -> str:
    if word.isprintable() and "  " not in word:
        return shlex.quote(word)
    codes = word.encode("utf-8", "surrogateescape")
    return "$'" + "".join(chr(c) if 32 < c < 127 and c not in b"'\\" else f"\\x{c:02x}" for c in codes) + "'"


def next_command(name: str, *words: object, of: Model | None = None) -> str:
    """Write a command that helps next, with the `--dialect` of a model that was read in another than the default.

    Args:
        name: of the command.
        words: options and files; a file whose name begins with a dash is told from an option by its folder.
        of: the model.
    """
    plain = (word if _OPTION.fullmatch(word) else plain_path(word) for word in map(str, words))
    dialect = [] if of is None or of.network.dialect == DIALECTS[0] else ["--dialect", of.network.dialect]
    return f"next: darkshare {typed(name, *plain, *dialect)}"


def plain_path(path: str | Path) -> str:
    """A path that no command takes for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def files_of(model: Model) -> list[str]:
    """The cfg and the weights of a model, or what stands for them where it was not read from files."""
    weights = [model.weights.path or "MODEL.weights"] if model.weights else []
    return [model.name or "MODEL.cfg", *weights]


def as_read_from(model: Model, cfg: str, weights: str = "") -> Model:
    """The model as if it were read from these files."""
    network = replace(model.network, cfg=replace(model.network.cfg, name=cfg))
    return replace(model, network=network, weights=model.weights and replace(model.weights, path=weights))


def train_words(base: Model, k: int, output: str, data: str = DATA) -> list[object]:
    """The words behind `darkshare train` that retrain a base from layer k on.

    The schedules in public cfgs are for weeks on a GPU, and batch=1 is for detection: neither would be meant.
    """
    batch = [] if base.network.net.batch > 1 else ["--batch", 64, "--subdivisions", 8]
    weights = [] if base.weights or not k else ["BASE.weights"]
    return [*files_of(base), *weights, data, "--k", k, "--epochs", 30, *batch, "-o", output]


def plain_name(model: Model) -> str:
    """The name of a model's files without folder and suffix."""
    return Path(model.name or "model").stem
