"""Pictures by chunks: each is looked at for itself, here or on a Dask cluster, and kept in a file of its own.

What is there already is not done again, so that a run goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from darkshare._files import exists, is_folder, reading, unicode_path, write_all
from darkshare._texts import to_escaped
from darkshare.errors import DarkshareError, require_least
from darkshare.inference.cluster import in_order
from darkshare.inference.detector import Detector
from darkshare.inference.media.chunk_jobs import CORNERS, ChunkItem, ChunkJob, Row, rows_on_worker

CHUNK = 256  # pictures
LINES, PARQUET = ".jsonl", ".parquet"
FORMAT = "darkshare chunks 1"
MANIFEST = "_manifest.json"  # what reads a folder of Parquet files passes over names with such a beginning


class Chunks(NamedTuple):
    """A way to cut pictures into chunks, and the place where the work is done and kept.

    Attributes:
        folder: of the files; None keeps nothing.
        size: pictures of each chunk.
        suffix: of the files, one of `FORMS`.
        scheduler: the address of a Dask cluster; without it the work is done here.
    """

    folder: Path | None
    size: int = CHUNK
    suffix: str = LINES
    scheduler: str | None = None


def chunked(job: ChunkJob, items: Sequence[ChunkItem], chunks: Chunks, detector: Detector) -> Iterator[Row]:
    """Look at pictures chunk by chunk, and give all rows in the order of the pictures.

    Chunks that are in the folder already are read there. On a cluster, a chunk that fails stops no other.

    Args:
        job: what is done with each picture.
        items: the pictures.
        chunks: how they are cut, and where the work is done and kept.
        detector: the job's, for what is done here.

    Raises:
        DarkshareError: a folder with something else, a file that cannot be written; behind all other rows, the first
            chunk that failed on the cluster.
    """
    require_least(1, chunk=chunks.size)
    parts = [items[at : at + chunks.size] for at in range(0, len(items), chunks.size)]
    paths: list[Path | None] = [None] * len(parts)
    there: set[str] = set()
    if chunks.folder is not None:
        if chunks.suffix == PARQUET:
            _require_parquet(items)
        there = _begin(chunks.folder, {**job.settings(), **_of_list(items, parts, chunks)})
        folder, digits = chunks.folder.absolute(), max(6, len(str(len(parts))))  # names sort as their numbers
        paths = [folder / f"chunk-{number:0{digits}d}{chunks.suffix}" for number in range(len(parts))]
    here = None if chunks.scheduler else detector
    jobs = (
        None if path and path.name in there else partial(_done, job, part, path, here)
        for path, part in zip(paths, parts, strict=True)
    )
    results = in_order(jobs, chunks.scheduler) if chunks.scheduler else (None if one is None else one() for one in jobs)
    return _rows(parts, paths, results)


def _rows(
    parts: Sequence[Sequence[ChunkItem]],
    paths: Sequence[Path | None],
    results: Generator[list[Row] | DarkshareError | None, None, None],
) -> Iterator[Row]:
    failed: list[str] = []
    with closing(results):
        for number, (part, path, found) in enumerate(zip(parts, paths, results, strict=True)):
            if isinstance(found, DarkshareError):
                place = path.name if path else f"chunk {number}"
                failed.append(f"{place} ({part[0].name} to {part[-1].name}) failed on the cluster: {found}")
            else:
                yield from found or (path and _read(path, part)) or ()
    if failed:
        more = f"; so did {len(failed) - 1} more" if len(failed) > 1 else ""
        kept = "; the others are kept, and the same call goes on" if paths[0] else ""
        raise DarkshareError(f"{failed[0]}{more}{kept}")


def _done(job: ChunkJob, items: Sequence[ChunkItem], path: Path | None, detector: Detector | None) -> list[Row] | None:
    """The rows of a chunk, or None where they were written; without a detector, with that of the worker it runs on."""
    rows = job.rows(detector, items) if detector else rows_on_worker(job, items)
    if path is None:
        return rows
    write_all({path: [FORMS[path.suffix][0](rows)]}, own=True)
    return None


def _read(path: Path, items: Sequence[ChunkItem]) -> list[Row]:
    """The rows of a chunk that is there.

    Raises:
        DarkshareError: they are not there, or not of these pictures.
    """
    if not exists(path):
        raise DarkshareError(
            "a worker wrote it elsewhere: the folder must be one that all workers share", file=str(path)
        )
    with reading(path):
        data = path.read_bytes()
    try:
        rows = FORMS[path.suffix][1](data)
        if list(dict.fromkeys(row["source"] for row in rows)) == list(dict.fromkeys(item.name for item in items)):
            return rows
    except (ValueError, KeyError, TypeError):
        pass
    raise DarkshareError("does not hold these pictures; remove it, and the same call makes it again", file=str(path))


def _begin(folder: Path, settings: Mapping[str, Any]) -> set[str]:
    """Begin a folder of chunks, or go on in one; give the names in it.

    Raises:
        DarkshareError: it holds something else, or chunks of other settings.
    """
    path, now = folder / MANIFEST, json.dumps({"format": FORMAT, **settings}, indent=1)
    names = {one.name for one in folder.iterdir()} if is_folder(folder) else set()
    if MANIFEST not in names:
        if any(not name.startswith(".") for name in names):
            raise DarkshareError("is not empty, and not a folder of chunks; choose another one", file=str(folder))
        write_all({path: [now.encode(), b"\n"]}, own=True)
        return names
    with reading(path):
        text = path.read_bytes()
    try:
        before, wanted = dict(json.loads(text)), json.loads(now)
    except (ValueError, TypeError):
        raise DarkshareError("is not the manifest of chunks; choose another folder", file=str(path)) from None
    if differing := [key for key in {**before, **wanted} if before.get(key) != wanted.get(key)]:
        what = ", ".join(f"{key} {before.get(key)!s:.40}, now {wanted.get(key)!s:.40}" for key in differing)
        raise DarkshareError(f"holds chunks of another run ({what}); choose another folder", file=str(folder))
    return names


def _of_list(items: Sequence[ChunkItem], parts: Sequence[Sequence[ChunkItem]], chunks: Chunks) -> dict[str, Any]:
    """The part of the manifest about the pictures."""
    names = b"\0".join(os.fsencode(item.name) for item in items)
    digest = hashlib.sha256(names).hexdigest()
    return {
        "pictures": len(items), "list": digest, "chunk": chunks.size, "chunks": len(parts), "suffix": chunks.suffix,
    }  # fmt: skip


def _to_lines(rows: Sequence[Row]) -> bytes:
    return b"".join(to_escaped(json.dumps(row, ensure_ascii=False) + "\n") for row in rows)


def _of_lines(data: bytes) -> list[Row]:
    return [json.loads(line) for line in data.splitlines()]


def _require_parquet(items: Sequence[ChunkItem]) -> None:
    """Refuse to begin what cannot be written as Parquet.

    Raises:
        DarkshareError: pyarrow is missing, or a name is not UTF-8.
    """
    _arrow("pyarrow")
    for item in items:
        unicode_path(item.name, "Parquet")


def _arrow(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise DarkshareError("Parquet needs pyarrow: pip install pyarrow") from None


def _to_parquet(rows: Sequence[Row]) -> bytes:
    pa, file = _arrow("pyarrow"), BytesIO()
    numbers = dict.fromkeys(("score", *CORNERS), pa.float32())
    box = pa.struct({"task": pa.string(), "class_id": pa.int32(), "name": pa.string(), **numbers})
    schema = pa.schema(
        {
            "source": pa.string(), "frame": pa.int32(), "paged": pa.bool_(), "width": pa.int32(), "height": pa.int32(),
            "error": pa.string(), "objects": pa.list_(box),
        }
    )  # fmt: skip
    _arrow("pyarrow.parquet").write_table(pa.Table.from_pylist(list(rows), schema), file)
    return file.getvalue()


def _of_parquet(data: bytes) -> list[Row]:
    found: list[Row] = _arrow("pyarrow.parquet").read_table(BytesIO(data)).to_pylist()
    return found


FORMS = {LINES: (_to_lines, _of_lines), PARQUET: (_to_parquet, _of_parquet)}
