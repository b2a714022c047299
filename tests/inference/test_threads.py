"""Work done ahead in threads: in order, no more than asked for, errors where they belong."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from darkshare.errors import DarkshareError
from darkshare.inference.threads import Readers, made_ahead


def ahead(items, size: int):
    readers: Readers = Readers(size)
    readers.add(items)
    return iter(readers)


def test_ahead_gives_everything_in_order_and_no_more_than_asked_for():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    stage = ahead(items(), 3)
    assert next(stage) == 0
    time.sleep(0.1)
    assert len(taken) <= 1 + 3 + 1  # given, waiting, and one that waits to be put
    assert list(stage) == list(range(1, 100))


def test_ahead_passes_errors_on_and_ends_its_thread():
    closed = []

    def items():
        try:
            yield 1
            raise ZeroDivisionError
        finally:
            closed.append(True)

    stage = ahead(items(), 2)
    assert next(stage) == 1
    with pytest.raises(ZeroDivisionError):
        next(stage)
    assert closed


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_examples_come_in_order_whoever_makes_them(workers):
    def make(number: int):
        def one(i: int) -> tuple[int, int]:
            time.sleep(0.002 * (i % 2))
            return number, i

        return [lambda i=i: one(i) for i in range(3)]

    found = list(made_ahead(map(make, range(5, 9)), workers))
    assert found == [[(number, i) for i in range(3)] for number in range(5, 9)]


def test_no_more_is_made_than_is_soon_wanted():
    made: list[int] = []
    before = threading.active_count()
    coming = made_ahead(([partial(made.append, n)] for n in range(100)), 2)
    next(coming)
    assert len(made) <= 3
    coming.close()
    assert threading.active_count() == before


def test_an_error_in_a_thread_arrives():
    def fail() -> None:
        raise DarkshareError("is not a picture")

    with pytest.raises(DarkshareError, match="is not a picture"):
        list(made_ahead([[fail]] * 3, 2))


def test_several_iterators_take_turns_and_share_what_may_wait():
    """Two that are always ready give one item each in turn; together no more than `size` items wait."""
    made: dict[str, int] = {}
    ready = threading.Semaphore(0)

    def numbers(name: str):
        for number in range(50):
            made[name] = number + 1
            ready.release()
            yield name, number

    readers: Readers = Readers(4)
    readers.add(numbers("a"))
    readers.add(numbers("b"))
    found: list[tuple[str, int]] = []
    for item in readers:
        if not found:
            for _ in range(2 * 3):  # until each has two that wait and one at hand
                assert ready.acquire(timeout=60)
        found.append(item)
        assert sum(made.values()) <= len(found) + 4 + 2
    assert [number for name, number in found if name == "a"] == list(range(50))
    assert [number for name, number in found if name == "b"] == list(range(50))
    assert {name for name, _ in found[1:5]} == {"a", "b"}


def test_an_iterator_may_be_added_while_others_are_read():
    readers: Readers = Readers(2)

    def numbers():
        yield 1
        readers.add(iter([2, 3]))

    readers.add(numbers())
    assert list(readers) == [1, 2, 3]


def test_stopping_a_stage_stops_those_before_it():
    """A stage that waits for one before it, which waits for something that never comes, ends when it is closed."""
    before: Readers = Readers(2)

    def first_only():
        yield 1
        before.stopped.wait(60)

    before.add(first_only())
    after: Readers = Readers(2, before=before)
    after.add(iter(before))
    stage = iter(after)
    assert next(stage) == 1
    stage.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "darkshare"]


def test_what_keeps_its_worth_drives_nothing_out():
    """Of a stream whose pictures wait in vain the last one comes, and behind it its error."""
    ended = threading.Event()

    def slowly():
        yield "first"
        ended.wait(60)

    def stream():
        yield from range(50)
        ended.set()  # the error finds a full queue
        yield "error"

    readers: Readers = Readers(2, passes=lambda item: isinstance(item, int))
    readers.add(slowly())
    readers.add(stream())
    stage = iter(readers)
    found = [next(stage)]
    assert ended.wait(60)
    assert [item for item in [*found, *stage] if item != "first"][-2:] == [49, "error"]


@pytest.mark.parametrize("items", [["first"], ["first", "second", "third"]])
def test_who_wants_no_more_is_asked_also_while_nothing_comes(items):
    over, asked = threading.Event(), list[int]()

    def then_silent():
        yield from items
        over.wait(60)

    def ends() -> bool:
        asked.append(len(asked))
        if len(asked) > 5:
            over.set()
        return len(asked) > 5

    readers: Readers = Readers(1, ends=ends)
    readers.add(then_silent())
    assert list(readers) == items
    assert len(asked) == 6


def test_items_that_made_room_are_counted():
    ended = threading.Event()

    def stream():
        yield from range(9)
        ended.set()

    readers: Readers = Readers(2, passes=lambda item: item != 0)
    readers.add(stream())
    stage = iter(readers)
    assert next(stage) == 0
    assert ended.wait(60)
    rest = list(stage)
    assert readers.dropped == 8 - len(rest)
    assert rest[-1] == 8
