"""The search for an int8 file whose heads agree with fp32 as well as asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from darkshare._files.scratch import scratch
from darkshare.darknet.model import Model
from darkshare.errors import BadValue, Unsupported, warn
from darkshare.inference.engines import open_engine, presence
from darkshare.inference.engines.base import errors_of
from darkshare.inference.engines.files import File, engine_file
from darkshare.inference.engines.timing import ROUNDS
from darkshare.inference.int8.agreement import HeadAgreement, Reference
from darkshare.inference.int8.base import Quantiser
from darkshare.inference.int8.calibration import PICTURES, SEED, Blobs, Chosen
from darkshare.inference.int8.layers import last_layer, layer_errors, worst_layers
from darkshare.inference.int8.nncf import Nncf
from darkshare.inference.int8.onnxruntime import Static
from darkshare.inference.onnx import BN_EPSILON, write_onnx

LIMIT = 0.9
ATTEMPTS = 4
WORTH = 0.02  # of agreement; less is not worth slower layers
PROBES = 4  # pictures on which the layers' errors are measured
QUANTISERS: dict[str, Callable[[Path, Blobs], Quantiser]] = {"onnxruntime": Static, "openvino": Nncf}
LIBRARIES = {"onnxruntime": "onnxruntime", "openvino": "nncf"}  # also the names of the extras
SUFFIXES = {"onnxruntime": Static.suffix, "openvino": Nncf.suffix}


@dataclass(frozen=True)
class Int8:
    """The options of a model in int8.

    Attributes:
        engine: whose quantiser is used, and that the file is for; one of `QUANTISERS`.
        agreement: keep layers in fp32 until each head agrees that well (see `HeadAgreement.level`); 0 takes int8 as it
            comes.
        count: how many pictures calibrate at most.
        seed: of the lot that draws them.
        rounds: how often each file runs for the comparison of times.
        threads: to measure with; what the engine takes without it.
        bn_epsilon: see `export`.
    """

    engine: str = next(iter(QUANTISERS))
    agreement: float = LIMIT
    count: int = PICTURES
    seed: int = SEED
    rounds: int = ROUNDS
    threads: int | None = None
    bn_epsilon: float = BN_EPSILON


@dataclass(frozen=True)
class Attempt:
    """An int8 file.

    Attributes:
        exact: the same network in fp32.
        file: the int8 file.
        kept: the layers that stayed in fp32.
        heads: how far they are from fp32.
        facts: what the file says of how it was quantised.
    """

    exact: File
    file: File
    kept: tuple[int, ...]
    heads: tuple[HeadAgreement, ...]
    facts: Mapping[str, Any]

    @property
    def worst(self) -> float:
        """The level of the head that agrees least."""
        return min(head.level for head in self.heads)


def missing(engine: str) -> str:
    """Say why there cannot be an int8 file for an engine here; "" where there can."""
    if reason := presence(engine).reason:
        return reason
    library = LIBRARIES[engine]
    return "" if find_spec(library) else f"{library} is not installed; pip install 'darkshare[{library}]'"


@contextmanager
def attempted(model: Model, chosen: Chosen, how: Int8) -> Iterator[Attempt]:
    """Give the best int8 file that was found, which is gone behind the `with` block; see `write_int8`.

    Args:
        model: with weights.
        chosen: the pictures.
        how: the engine and the agreement that is wanted.

    Raises:
        DarkshareError: what cannot be quantised.
    """
    require_quantiser(how.engine, how.agreement)
    with scratch() as folder:
        exact = engine_file(model, folder / "fp32.onnx", (), bn_epsilon=how.bn_epsilon)
        quantiser = prepared(model, how.engine, folder, Blobs(model.network, chosen.calibration), how.bn_epsilon)
        facts = {
            "engine": how.engine,
            "version": presence(how.engine).version,
            "pictures": len(chosen.calibration),
            "seed": how.seed,
        }
        yield _search(model, exact, quantiser, chosen, how.agreement, facts)


def prepared(model: Model, engine: str, folder: Path, blobs: Blobs, bn_epsilon: float = BN_EPSILON) -> Quantiser:
    """Show a model and pictures to a quantiser, in the form that the engine runs fastest in int8.

    Args:
        model: with weights.
        engine: one of `QUANTISERS`.
        folder: for its files.
        blobs: the pictures.
        bn_epsilon: see `export`.
    """
    source = folder / "source.onnx"
    write_onnx(model, source, bn_epsilon=bn_epsilon, fourth_channel=engine == "onnxruntime")
    with errors_of(engine):  # what a full disk cut off is read as if it were whole, or has no name
        return QUANTISERS[engine](source, blobs)


def require_quantiser(engine: str, limit: float = LIMIT) -> None:
    """Refuse before anything is computed.

    Raises:
        DarkshareError: an engine that has none or is not here, or a limit that is not a share.
    """
    if engine not in QUANTISERS:
        raise Unsupported(f"engine {engine} has no quantiser; use {' or '.join(QUANTISERS)}")
    if reason := missing(engine):
        raise Unsupported(f"engine {engine} cannot quantise here: {reason}")
    if not 0 <= limit <= 1:
        raise BadValue(f"an agreement lies between 0 and 1, not at {limit}")


def _search(
    model: Model, exact: File, quantiser: Quantiser, chosen: Chosen, limit: float, facts: Mapping[str, Any]
) -> Attempt:
    """Quantise again and again, with more layers in fp32, until all heads are good enough; the best attempt."""
    trial = Reference(model, chosen.trial, open_engine(facts["engine"], exact.path, exact.outputs).run)
    attempts: list[Attempt] = []
    kept: tuple[int, ...] = ()
    for number in range(ATTEMPTS):
        path = Path(exact.path).with_name(f"int8-{number}{quantiser.suffix}")
        known = {**facts, "kept": kept}
        with errors_of(facts["engine"]):
            quantiser.write(path, kept, {"precision": '"int8"', "quantised": json.dumps(known)})
        heads = trial.judge(open_engine(facts["engine"], path, exact.outputs).run)
        attempt = Attempt(exact, exact._replace(path=str(path)), kept, heads, known)
        attempts.append(attempt)
        if attempt.worst >= limit:
            return attempt
        if number < ATTEMPTS - 1:
            kept = _more(model, quantiser, attempt, Blobs(model.network, chosen.trial[:PROBES]), limit)
    most = max(attempt.worst for attempt in attempts)
    best = next(attempt for attempt in attempts if attempt.worst >= most - WORTH)
    bad = [f"{head.output} {head.level:.2f}" for head in best.heads if head.level < limit]
    warn(
        f"heads that agree with fp32 in less than {limit}: {', '.join(bad)}; calibrate with more pictures, or use fp32"
    )
    return best


def _more(model: Model, quantiser: Quantiser, attempt: Attempt, blobs: Blobs, limit: float) -> tuple[int, ...]:
    """Choose the layers to keep next time."""
    kept = set(attempt.kept)
    bad = [head.layer for head in attempt.heads if head.level < limit]
    first = {last_layer(model.network, head) for head in bad} - kept
    if first:
        return tuple(sorted(kept | first))
    errors = layer_errors(quantiser, Path(attempt.exact.path), Path(attempt.file.path), model.network, blobs)
    for head in bad:
        kept.update(worst_layers(model.network, head, errors, kept))
    return tuple(sorted(kept))
