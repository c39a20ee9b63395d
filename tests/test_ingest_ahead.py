"""Read-ahead: the same items in the same order, not too many of them, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.ingest.ahead import ReadAhead

WAIT_S = 10.0  # for what must happen: never waited for in full
PAUSE_S = 0.3  # for what must not happen: long enough for it to


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class Source:
    """Counts up; says how many were made, by which thread, and whether it was closed."""

    def __init__(self, n_items: int, *, fails: bool = False) -> None:
        self.n_items, self.fails = n_items, fails
        self.made: list[int] = []
        self.reached = {n: threading.Event() for n in range(n_items + 1)}
        self.thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[int]:
        self.thread = threading.current_thread()
        for number in range(self.n_items):
            self.made.append(number)
            self.reached[len(self.made)].set()
            yield number
        if self.fails:
            raise OSError(f"the disk went away after {self.n_items}")


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_the_items_come_in_order_and_all_of_them(items: list[int], depth: int) -> None:
    with ReadAhead(items, depth=depth) as ahead:
        assert list(ahead) == items


def test_none_and_false_are_items_too() -> None:
    with ReadAhead([None, False, 0, "end"], depth=2) as ahead:
        assert list(ahead) == [None, False, 0, "end"]


def test_they_are_made_by_another_thread_while_nobody_asks() -> None:
    source = Source(3)
    with ReadAhead(source, depth=4) as ahead:
        assert source.reached[3].wait(WAIT_S)
        assert source.thread is not threading.current_thread()
        assert list(ahead) == [0, 1, 2]


@pytest.mark.parametrize("depth", [1, 4])
def test_no_more_are_made_than_wait_and_one_in_hand(depth: int) -> None:
    source = Source(depth + 10)
    with ReadAhead(source, depth=depth) as ahead:
        assert source.reached[depth + 1].wait(WAIT_S)
        assert not source.reached[depth + 2].wait(PAUSE_S)
        items = iter(ahead)
        assert [next(items), next(items)] == [0, 1]
        assert source.reached[depth + 3].wait(WAIT_S)
        assert not source.reached[depth + 4].wait(PAUSE_S)


@pytest.mark.parametrize("n_items", [0, 1, 7])
def test_an_error_arrives_where_the_items_are_taken_after_those_before_it(n_items: int) -> None:
    with ReadAhead(Source(n_items, fails=True), depth=2) as ahead:
        items = iter(ahead)
        assert [next(items) for _ in range(n_items)] == list(range(n_items))
        with pytest.raises(OSError, match=f"the disk went away after {n_items}"):
            next(items)


def test_an_error_that_nobody_reaches_is_nobodys() -> None:
    with ReadAhead(Source(1, fails=True), depth=5) as ahead:
        assert next(iter(ahead)) == 0


def test_leaving_while_the_producer_waits_for_a_place_ends_it() -> None:
    source = Source(100)
    with ReadAhead(source, depth=2) as ahead:
        assert next(iter(ahead)) == 0
        assert source.reached[4].wait(WAIT_S)  # one taken, two wait, one in hand
    made = len(source.made)
    assert made < 100
    assert source.thread is not None
    assert not source.thread.is_alive()


def test_leaving_without_taking_anything_ends_it() -> None:
    source = Source(100)
    with ReadAhead(source, depth=1):
        assert source.reached[1].wait(WAIT_S)
    assert source.thread is not None
    assert not source.thread.is_alive()


def test_leaving_while_an_item_is_being_made_waits_for_that_and_no_further() -> None:
    begun, go_on = threading.Event(), threading.Event()
    made: list[int] = []

    def slow() -> Iterator[int]:
        for number in range(100):
            begun.set()
            assert go_on.wait(WAIT_S)
            made.append(number)
            yield number

    timer = threading.Timer(PAUSE_S, go_on.set)
    with ReadAhead(slow(), depth=3):
        assert begun.wait(WAIT_S)
        timer.start()
    timer.join()
    assert len(made) <= 1


def test_an_error_of_the_consumer_ends_the_producer_and_is_its_own() -> None:
    source = Source(100)

    def invert_all() -> list[float]:
        with ReadAhead(source, depth=2) as ahead:
            return [1 / item for item in ahead]

    with pytest.raises(ZeroDivisionError):
        invert_all()
    assert source.thread is not None
    assert not source.thread.is_alive()
    assert len(source.made) < 100
