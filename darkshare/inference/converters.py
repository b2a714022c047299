"""Files in other forms than ONNX, made of one by the tools of those who read them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from darkshare._children import environment
from darkshare._files import pieces, require_unread, write_all
from darkshare._files.scratch import scratch
from darkshare.darknet.model import Model
from darkshare.errors import BadValue, DarkshareError, Unsupported
from darkshare.inference.engines import presence
from darkshare.inference.engines.base import errors_of
from darkshare.inference.engines.openvino import library, save
from darkshare.inference.onnx import MANIFEST, TARGETS, ExportForm, OnnxExport, beside, write_onnx
from darkshare.inference.onnx.targets import ONE, Target
from darkshare.inference.runners import LANGUAGES, runner


def write_target(
    model: Model,
    output: str | os.PathLike[str] | None = None,
    *,
    protect: Sequence[str] = (),
    target: str,
    language: str | None = None,
    **form: Any,
) -> OnnxExport:
    """Write a model as a target takes it, with a manifest beside it.

    Args:
        model: with weights.
        output: the file; without it, one beside the cfg.
        protect: files that must not be replaced, usually the inputs.
        target: one of `TARGETS`; "" for a plain ONNX file without a manifest.
        language: of a runner that is written beside it; None for none.
        form: the other fields of `ExportForm`.

    Raises:
        DarkshareError: see `write_onnx`; or the tool that makes such files is not there, or refuses.
    """
    row = TARGETS.get(target, Target())
    suffixes, path = row.suffixes, Path(output) if output else beside(model, row.suffixes[0])
    if row.outputs[0] == ONE and not form.get("decode"):
        form["one_output"] = True
    more: dict[Path, list[bytes]] = {}
    if language is not None:
        program = runner(model, language, path, ExportForm(target=target, **form))
        more[path.with_suffix(LANGUAGES[language])] = [program]
    if suffixes[0] not in CONVERTERS:
        return write_onnx(model, path, protect=protect, more=more, target=target, **form)
    if path.suffix != suffixes[0]:
        raise BadValue(f"a file for {target} ends in {suffixes[0]}", file=str(path))
    with scratch() as folder:
        source = folder / "network.onnx"
        written = write_onnx(model, source, target=target, **form)
        CONVERTERS[suffixes[0]](source)
        made: dict[Path, Iterable[bytes]] = {
            path.with_suffix(suffix): pieces(source.with_suffix(suffix)) for suffix in (*suffixes, MANIFEST)
        }
        made.update(more)
        require_unread(made, protect)
        write_all(made)
    return replace(written, path=path, others=tuple(made)[1:])


def _to_ir(source: Path) -> None:
    if reason := presence("openvino").reason:
        raise Unsupported(f"OpenVINO's form of a network is written by OpenVINO: {reason}")
    with errors_of("OpenVINO"):
        save(library().Core().read_model(source), source.with_suffix(".xml"), source)


def _to_ncnn(source: Path) -> None:
    """Run pnnx in the folder of the file; it names what it writes by the file."""
    run = subprocess.run(  # noqa: S603 - a program that the user installed, on a file of ours
        [_pnnx(), source.name, "fp16=0"],
        cwd=source.parent, capture_output=True, text=True, errors="replace", check=False, env=environment(),
    )  # fmt: skip
    made = {suffix: source.with_suffix(f".ncnn{suffix}") for suffix in TARGETS["ncnn"].suffixes}
    if run.returncode or not all(path.is_file() for path in made.values()):
        said = (run.stderr or run.stdout).strip().splitlines() or [f"it ended with {run.returncode}"]
        raise DarkshareError(f"pnnx cannot do it: {said[-1][:300]}")
    for suffix, path in made.items():
        path.rename(source.with_suffix(suffix))


def _pnnx() -> str:
    """Find the program of ncnn's makers: that in the package of this name, which runs without torch, or any other.

    Raises:
        Unsupported: there is none.
    """
    package = find_spec("pnnx")
    own = [str(Path(place) / "pnnx") for place in (package and package.submodule_search_locations) or ()]
    for found in (*own, shutil.which("pnnx")):
        if found and os.access(found, os.X_OK) and Path(found).is_file():
            return found
    raise Unsupported("ncnn's files are written by pnnx, which is not here; pip install --no-deps pnnx")


CONVERTERS: dict[str, Callable[[Path], None]] = {".xml": _to_ir, ".param": _to_ncnn}
