"""Work that is done ahead in threads: a stage of a pipeline, and groups of jobs whose results come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
_GRACE = 5.0  # seconds that a thread may take to notice that it is to stop
_END = object()


class _Raised(NamedTuple):
    """An error of an iterator in its thread, to be raised again in ours."""

    error: BaseException


def ahead(items: Iterable[T], size: int, passes: Callable[[T], bool] = lambda item: False) -> Generator[T, None, None]:
    """Iterate in a thread of its own, at most `size` items before they are asked for.

    Args:
        items: what to iterate; it is closed when the generator is.
        size: how many may wait.
        passes: whether an item loses its worth with time, so that it makes room for the next when the queue is full.
    """
    waiting: Queue[Any] = Queue(size)
    stopped = Event()

    def work() -> None:
        last: Any = _END
        iterator = iter(items)
        try:
            for item in iterator:
                _drop_oldest(waiting, passes)
                waiting.put(item)
                if stopped.is_set():
                    break
        except BaseException as error:  # whatever it is, it belongs to the thread that asked
            last = _Raised(error)
        finally:
            getattr(iterator, "close", lambda: None)()
        if not stopped.is_set():
            waiting.put(last)

    thread = Thread(target=work, daemon=True, name="darkshare")
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        stopped.set()
        with suppress(Empty):
            while True:
                waiting.get_nowait()
        thread.join(_GRACE)


def _drop_oldest(waiting: Queue[T], passes: Callable[[T], bool]) -> None:
    """Make room in a full queue, if the time of its oldest item has passed."""
    with waiting.mutex:
        if len(waiting.queue) >= waiting.maxsize and passes(waiting.queue[0]):
            waiting.queue.popleft()


def made_ahead(
    groups: Iterable[Sequence[Callable[[], T]]], workers: int, size: int = 2
) -> Generator[list[T], None, None]:
    """The results of each group of jobs in turn, made by threads while earlier ones are in use.

    Args:
        groups: of jobs; a group is asked for when its jobs are to begin.
        workers: threads; with 0, each job is done when its group is wanted.
        size: how many groups are begun before they are wanted.

    Raises:
        Exception: what a job raises, where its group would come.
    """
    if not workers:
        for group in groups:
            yield [job() for job in group]
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="darkshare")
    waiting: deque[list[Future[T]]] = deque()
    coming = iter(groups)
    try:
        while True:
            with suppress(StopIteration):
                while len(waiting) < size:
                    waiting.append([pool.submit(job) for job in next(coming)])
            if not waiting:
                return
            yield [future.result() for future in waiting.popleft()]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
