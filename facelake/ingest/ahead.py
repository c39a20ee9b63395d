"""Getting things ready on a second thread while the first works on those that are."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_TICK_S = 0.1


class ReadAhead(Generic[T]):
    """The items of an iterable, made by a thread of their own, at most ``depth`` ahead.

    Decoding releases the GIL, and so does inference: one frame is decoded while the faces of
    another are found. The bound keeps memory flat whichever is slower.

    Parameters
    ----------
    items
        Made in the thread; an exception of theirs is raised where the items are taken.
    depth
        Most items that wait.
    """

    def __init__(self, items: Iterable[T], *, depth: int) -> None:
        self._items = items
        self._queue: Queue[tuple[str, Any]] = Queue(maxsize=depth)
        self._is_done_with = threading.Event()
        self._thread = threading.Thread(target=self._make, name="facelake-ahead", daemon=True)

    def __enter__(self) -> ReadAhead[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done_with.set()
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            kind, item = self._queue.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item

    def _make(self) -> None:
        try:
            for item in self._items:
                if not self._put("item", item):
                    return
            self._put("end", None)
        except BaseException as error:  # noqa: BLE001  # raised again by whoever takes the items
            self._put("error", error)
        finally:
            if isinstance(self._items, Generator):  # what it holds open is this thread's
                self._items.close()

    def _put(self, kind: str, item: Any) -> bool:
        """Wait for a place in the queue; ``False`` when nobody wants it any more."""
        while not self._is_done_with.is_set():
            with suppress(Full):
                self._queue.put((kind, item), timeout=_TICK_S)
                return True
        return False
