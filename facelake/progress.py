"""How far a long call is, on stderr: a bar where a person watches, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from facelake.words import clock

if TYPE_CHECKING:
    from rich.console import Console

Say = Callable[[float, float, str], None]
"""Takes what is done, what is all, and the words for it."""

LINE_EVERY_S = 60.0
"""In a log file a bar's redraws would be thousands of lines; one a minute shows that it lives."""


class Tally(Protocol):
    """How far an ingest is; see `facelake.ingest.Tally`."""

    n_files: int
    n_files_done: int
    n_faces: int
    n_failed: int
    bytes_total: int
    bytes_done: float

    @property
    def pace(self) -> float:
        """Seconds of video gone through in a second."""

    @property
    def left_s(self) -> float | None:
        """Seconds left at this pace."""


@contextmanager
def ingest_bar(*, show: bool = True) -> Iterator[Callable[[Tally], None]]:
    """A function to call with each tally; it says nothing when ``show`` is false."""
    with _progress("starting the workers …", show=show) as say:
        yield lambda tally: say(tally.bytes_done, tally.bytes_total, describe(tally))


@contextmanager
def count_bar(what: str, *, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A function to call with how many are done and of how many."""
    with _progress(what, show=show) as say:
        yield lambda done, total: say(done, total, f"{what} {done}/{total}")


def describe(tally: Tally) -> str:
    """A tally in words: videos, pace, faces, time left."""
    left = "" if tally.left_s is None else f", {clock(tally.left_s)} left"
    failed = f", {tally.n_failed} failed" if tally.n_failed else ""
    return (
        f"{tally.n_files_done}/{tally.n_files} videos{failed}, {tally.pace:.1f}× real time, "
        f"{tally.n_faces:,} faces{left}"
    )


@contextmanager
def _progress(text: str, *, show: bool) -> Iterator[Say]:
    from rich.console import Console

    if not show:
        yield lambda _done, _total, _text: None
        return
    console = Console(stderr=True)
    if not _can_redraw(console):
        yield _say_lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=24), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, text=text)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)


def _can_redraw(console: Console) -> bool:
    if console.is_jupyter:  # rich draws there with ipywidgets, and warns at each redraw without
        return find_spec("ipywidgets") is not None
    return console.is_terminal and not console.is_dumb_terminal


def _say_lines() -> Say:
    said_at = time.monotonic()

    def say(_done: float, _total: float, text: str) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= LINE_EVERY_S:
            said_at = time.monotonic()
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    return say
