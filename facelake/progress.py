"""A progress bar on stderr: videos, frames/s, faces, time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress


class Tally(Protocol):
    """How far an ingest is; see `facelake.ingest.Tally`."""

    n_files: int
    n_files_done: int
    n_samples: int
    n_faces: int
    n_failed: int
    elapsed_s: float
    bytes_total: int
    bytes_done: float

    @property
    def left_s(self) -> float | None:
        """Seconds left at this pace."""


@contextmanager
def ingest_bar(*, show: bool = True) -> Iterator[Callable[[Tally], None]]:
    """A function to call with each tally; it draws nothing when ``show`` is false."""
    with _bar("{task.fields[text]}", show=show) as bar:
        task = bar.add_task("ingest", total=None, text="starting the workers …")

        def update(tally: Tally) -> None:
            bar.update(task, total=tally.bytes_total, completed=tally.bytes_done, text=_say(tally))

        yield update


@contextmanager
def count_bar(what: str, *, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A function to call with how many are done and of how many."""
    with _bar("{task.fields[text]}", show=show) as bar:
        task = bar.add_task(what, total=None, text=what)

        def update(done: int, total: int) -> None:
            bar.update(task, total=total, completed=done, text=f"{what} {done}/{total}")

        yield update


@contextmanager
def _bar(text: str, *, show: bool) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (BarColumn(bar_width=24), TextColumn(text))
    with Progress(*columns, console=console, disable=not show, transient=True) as bar:
        yield bar


def _say(tally: Tally) -> str:
    pace = tally.n_samples / tally.elapsed_s if tally.elapsed_s else 0.0
    left = "" if tally.left_s is None else f", {clock(tally.left_s)} left"
    failed = f", {tally.n_failed} failed" if tally.n_failed else ""
    return (
        f"{tally.n_files_done}/{tally.n_files} videos{failed}, {pace:.1f} frames/s, "
        f"{tally.n_faces:,} faces{left}"
    )


def clock(seconds: float) -> str:
    """A duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
