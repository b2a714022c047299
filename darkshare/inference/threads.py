"""Work that is done ahead in threads: a stage of a pipeline, and groups of jobs whose results come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Condition, Event, Thread
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
_GRACE = 5.0  # seconds that a thread may take to notice that it is to stop
_LOOK = 0.02  # seconds between two questions whether more is wanted
_END, _NOTHING = object(), object()  # no more items; none yet


class _Raised(NamedTuple):
    """An error of an iterator in its thread, to be raised again in ours."""

    error: BaseException


class Readers(Generic[T]):
    """Iterators, each in a thread of its own, whose items come in turn, at most `size` before they are asked for.

    Args:
        size: how many items may wait; where there are several iterators, each has its share.
        passes: whether an item loses its worth with time, so that it makes room for the next one of its iterator.
        before: the stage that the iterators take from; it is stopped with this one.
        ends: where it is given, it is asked now and then, in the thread that iterates, whether it wants no more.

    Attributes:
        stopped: set when no more items are wanted.
        dropped: how many items made room for others.
    """

    def __init__(
        self, size: int, passes: Callable[[T], bool] = lambda item: False, before: Readers[Any] | None = None,
        ends: Callable[[], bool] | None = None,
    ) -> None:  # fmt: skip
        self.stopped, self.dropped, self._ends = Event(), 0, ends
        self._size, self._passes, self._before = size, passes, before
        self._changed = Condition()
        self._waiting: deque[deque[Any]] = deque()  # of the iterators that have not ended; the next one's turn is first
        self._threads: list[Thread] = []
        self._begun = False

    def add(self, items: Iterable[T]) -> None:
        """Take one more, also while others are read; it is closed when this is."""
        own: deque[Any] = deque()
        with self._changed:
            self._waiting.append(own)
            self._threads.append(Thread(target=self._read, args=(items, own), daemon=True, name="darkshare"))
            if self._begun:
                self._threads[-1].start()

    def __iter__(self) -> Generator[T, None, None]:
        """All items, until every iterator has ended.

        Raises:
            BaseException: what an iterator raises, where its next item would come.
        """
        with self._changed:
            self._begun = True
            for thread in self._threads:
                thread.start()
        try:
            while (item := self._next()) is not _END:
                if isinstance(item, _Raised):
                    raise item.error
                if item is not _NOTHING:
                    yield item
                if self._ends and self._ends():
                    break
        finally:
            self.stop()
            end = monotonic() + _GRACE
            for thread in self._threads:
                thread.join(max(0.0, end - monotonic()))

    def stop(self) -> None:
        """Let all threads end, also those of the stages before."""
        with self._changed:
            self.stopped.set()
            self._changed.notify_all()
        if self._before is not None:
            self._before.stop()

    def _next(self) -> Any:
        with self._changed:
            while self._waiting and not self.stopped.is_set():
                for _ in range(len(self._waiting)):
                    own = self._waiting[0]
                    self._waiting.rotate(-1)
                    if own and own[0] is _END:
                        self._waiting.pop()
                    elif own:
                        self._changed.notify_all()
                        return own.popleft()
                if self._waiting and not self._changed.wait(self._ends and _LOOK):
                    return _NOTHING
            return _END

    def _read(self, items: Iterable[T], own: deque[Any]) -> None:
        """Iterate, in a thread."""
        iterator = iter(items)
        try:
            for item in iterator:
                self._put(item, own)
                if self.stopped.is_set():
                    break
        except BaseException as error:  # whatever it is, it belongs to the thread that asked
            own.append(_Raised(error))
        finally:
            getattr(iterator, "close", lambda: None)()
            with self._changed:
                own.append(_END)
                self._changed.notify_all()

    def _put(self, item: T, own: deque[Any]) -> None:
        """Append an item as soon as there is room, which the oldest one makes for another of its sort."""
        with self._changed:
            while len(own) >= max(1, self._size // max(1, len(self._waiting))) and not self.stopped.is_set():
                if self._passes(own[0]) and self._passes(item):
                    own.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            own.append(item)
            self._changed.notify_all()


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
