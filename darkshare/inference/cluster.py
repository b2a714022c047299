"""Dask clusters: the package, the connection, jobs whose results come in order, and models for other processes."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from darkshare.darknet.cfg import to_bytes
from darkshare.darknet.model import Model, load
from darkshare.darknet.weights import FLOAT
from darkshare.errors import BadValue, DarkshareError, warn

T = TypeVar("T")
PATIENCE = 10  # seconds, to reach the scheduler
RETRIES = 2  # of a job that fails; one whose worker dies is tried as often as the scheduler allows, 3 times more
AHEAD = 1000  # jobs that the scheduler knows of, so that a list of any length fits into its memory


def dask() -> Any:
    """Import Dask's `distributed`.

    Raises:
        DarkshareError: it is not installed.
    """
    try:
        return import_module("distributed")
    except ImportError:
        raise DarkshareError("a cluster needs Dask: pip install 'darkshare[cluster]'") from None


def connected(address: str) -> Any:
    """Give a client of the cluster whose scheduler has this address.

    Raises:
        DarkshareError: the package is missing, or the scheduler does not answer.
    """
    found = dask()
    try:
        client = found.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise DarkshareError(f"no Dask scheduler answers there ({why}); is it running?", file=address) from None
    if not client.nthreads():
        warn(f"{address}: the cluster has no workers yet; the work begins when one comes")
    return client


def in_order(jobs: Iterable[Callable[[], T] | None], address: str) -> Generator[T | DarkshareError | None, None, None]:
    """Run jobs on a cluster, and yield their results in order: None for None, an error for a job that failed.

    A job whose worker dies is given to another one; one that fails is tried again. Closing the iterator early cancels
    those that have not begun.

    Args:
        jobs: that other processes understand; they are asked for when the cluster has room.
        address: of the scheduler, like tcp://10.0.0.1:8786.

    Raises:
        DarkshareError: the package is missing, or the scheduler does not answer.
    """
    client, name = connected(address), f"darkshare-{uuid.uuid4().hex}"
    waiting: deque[Any] = deque()
    try:
        for number, job in enumerate(jobs):
            how = {"key": f"{name}-{number}", "pure": False, "priority": -number, "retries": RETRIES}
            waiting.append(job and client.submit(job, **how))
            if len(waiting) > AHEAD:
                yield _outcome(waiting.popleft())
        while waiting:
            yield _outcome(waiting.popleft())
    finally:
        client.cancel([one for one in waiting if one is not None])
        client.close()


def _outcome(future: Any) -> Any:
    """The result of a job, when it is there, or why there is none."""
    try:
        return None if future is None else future.result()
    except DarkshareError as error:
        return error
    except Exception as error:  # whatever a worker, or Dask, raises
        return DarkshareError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")


def shared_threads() -> int:
    """Count the threads that the worker which runs this job has; its jobs share what computes."""
    return int(dask().get_worker().state.nthreads)


def require_on_disk(model: Model, *, any_size: bool = False) -> tuple[int, int] | None:
    """Refuse a model that differs from its files, since other processes read these.

    Args:
        model: as it was loaded.
        any_size: whether it may have another input size than its cfg, which it then returns.

    Raises:
        DarkshareError: it was changed in memory, or its files were.
    """
    path = None if model.weights is None else model.weights.path
    if model.name and path != "":
        for size in (None, (model.network.input.w, model.network.input.h))[: 1 + any_size]:
            if _is_same(model, load(model.name, path, dialect=model.network.dialect, size=size, partial=True)):
                return size
    raise BadValue("differs from its files, which other processes read again; save it first", file=model.name or None)


def _is_same(a: Model, b: Model) -> bool:
    floats = [one.weights.view(0, one.weights.size) if one.weights else np.empty(0, FLOAT) for one in (a, b)]
    own, other = (values.view("<u4") for values in floats)
    names = [[task.names for task in one.tasks] for one in (a, b)]
    texts = [to_bytes(one.network.cfg) for one in (a, b)]
    return texts[0] == texts[1] and names[0] == names[1] and np.array_equal(own, other)
