"""A bar where a person watches, a line a minute in a log, nothing where nothing is wanted."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from facelake.progress import count_bar, describe, ingest_bar
from facelake.words import clock


@dataclass
class Tally:
    n_files: int = 8
    n_files_done: int = 3
    n_faces: int = 1234
    n_failed: int = 0
    pace: float = 12.5
    bytes_total: int = 1000
    bytes_done: float = 250.0
    left_s: float | None = 125.0


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is a file."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is a terminal that can redraw."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock that the lines go by: seconds, to be moved on by hand."""
    now = [1000.0]
    monkeypatch.setattr("facelake.progress.time.monotonic", lambda: now[0])
    return now


def test_a_tally_in_words_holds_videos_pace_faces_and_time_left() -> None:
    assert describe(Tally()) == "3/8 videos, 12.5× real time, 1,234 faces, 2:05 left"
    assert describe(Tally(n_failed=2)).startswith("3/8 videos, 2 failed, 12.5× real time")


def test_before_anything_is_done_nothing_is_promised() -> None:
    words = describe(Tally(n_files_done=0, n_faces=0, pace=0.0, left_s=None))
    assert words == "0/8 videos, 0.0× real time, 0 faces"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.7, "1:00:00"), (3725, "1:02:05")],
)
def test_a_duration_is_written_as_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.usefixtures("plain")
def test_a_short_call_leaves_nothing_in_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    with count_bar("clips") as update:
        for done in range(100):
            update(done, 100)
    with ingest_bar() as tell:
        tell(Tally())
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("plain")
def test_a_long_call_leaves_a_line_a_minute_in_a_log(
    capfd: pytest.CaptureFixture[str], time: list[float]
) -> None:
    with count_bar("clips") as update:
        for second in range(180):  # three minutes, a call a second
            time[0] += 1.0
            update(second, 1000)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "clips 59/1000\nclips 119/1000\nclips 179/1000\n"


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_a_bar_is_drawn_and_taken_away(capfd: pytest.CaptureFixture[str]) -> None:
    with ingest_bar() as tell:
        tell(Tally())
    out, err = capfd.readouterr()
    assert out == ""
    assert "3/8 videos, 12.5× real time" in err
    assert "\x1b[2K" in err.rsplit("faces", 1)[1]  # the last thing done to the line is to erase it


@pytest.mark.usefixtures("terminal")
def test_a_terminal_that_cannot_redraw_gets_lines(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, time: list[float]
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with count_bar("photos") as update:
        time[0] += 61.0
        update(7, 9)
    assert capfd.readouterr().err == "photos 7/9\n"


@pytest.mark.usefixtures("terminal")
def test_nothing_is_said_where_nothing_is_wanted(
    capfd: pytest.CaptureFixture[str], time: list[float]
) -> None:
    with count_bar("clips", show=False) as update, ingest_bar(show=False) as tell:
        time[0] += 1000.0
        update(1, 2)
        tell(Tally())
    assert capfd.readouterr() == ("", "")
