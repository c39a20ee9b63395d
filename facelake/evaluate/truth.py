"""Who is to be seen when, as somebody who looked wrote it down, and spans that shall agree.

A truth is a CSV table with the columns video, label, start_s, end_s and, if wanted, visibility; or
any table of spans, which has path, identity, start_s and end_s.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from facelake.evaluate.names import VideoName, pair_videos, plain_key
from facelake.evaluate.rows import Row, first_of, read_rows
from facelake.words import counted

WANTED = ("front", "angle")
"""Visibilities of a face that should be found; time of any other is neither for nor against."""

_VIDEO, _PERSON = ("video", "path", "video_id"), ("label", "identity")
_COLUMNS = (_VIDEO, _PERSON, ("start_s",), ("end_s",))


@dataclass(frozen=True)
class Appearance:
    """One row of a truth: somebody in a video, from when to when, half-open.

    Attributes
    ----------
    counts
        Whether the face should be found, or its time is neither for nor against.
    """

    video: VideoName
    identity: str
    start_s: float
    end_s: float
    counts: bool = True


@dataclass(frozen=True)
class Truth:
    """Who is to be seen when.

    Attributes
    ----------
    name
        What the truth is called, as the name of its file.
    videos
        Of which it tells: whoever is found there without being named is found falsely.
    appearances
        Who is to be seen in them.
    notes
        Sentences on what of the table was passed over.
    """

    name: str
    videos: tuple[VideoName, ...]
    appearances: tuple[Appearance, ...]
    notes: tuple[str, ...] = ()

    def only(self, videos: Collection[str]) -> Truth:
        """What it tells of these videos, by path, file name, or either without its ending.

        Raises
        ------
        ValueError
            It tells nothing of one of them.
        """
        asked = [VideoName(video) for video in dict.fromkeys(videos)]
        pairs = pair_videos(asked, self.videos)
        lost = [name.path for row, name in enumerate(asked) if row not in pairs]
        if lost:
            known = ", ".join(name.path for name in self.videos[:8])
            raise ValueError(
                f"{self.name}: must tell of the video {lost[0]!r}, but tells of {known or 'none'}"
            )
        kept = {self.videos[place] for place in pairs.values()}
        return replace(
            self,
            videos=tuple(video for video in self.videos if video in kept),
            appearances=tuple(one for one in self.appearances if one.video in kept),
        )


def of_people(appearances: Iterable[Appearance], names: Collection[str]) -> list[Appearance]:
    """The appearances of these people, whose names are compared by `plain_key`."""
    keys = {plain_key(name) for name in names}
    return [one for one in appearances if plain_key(one.identity) in keys]


def read_truth(path: str | Path, *, visibilities: Sequence[str] = WANTED) -> Truth:
    """A truth from a CSV, JSON or Parquet file.

    A row with a visibility that is not asked for counts neither way. A label in parentheses is
    nobody who has a name: it only says that the video is told of. Rows without an end tell no time.

    Parameters
    ----------
    path
        A table with video (or path, video_id), label (or identity), start_s, end_s and, if wanted,
        visibility. Lines of a CSV file that begin with ``#`` are comments.
    visibilities
        Of faces that should be found. A row that leaves its visibility empty is always wanted.

    Raises
    ------
    ValueError
        It is no such table, or a row's times are none or reversed.
    OSError
        It cannot be read.
    """
    rows = read_rows(path, what="a truth", columns=_COLUMNS)
    return _truth_of(rows, Path(path).name, visibilities)


def truth_from_table(table: pa.Table, *, name: str, visibilities: Sequence[str] = WANTED) -> Truth:
    """A truth from a table with the columns that `read_truth` takes, such as one of spans.

    Raises
    ------
    ValueError
        A column is missing, or a row's times are none or reversed.
    """
    _refuse_lost(table.column_names, name)
    return _truth_of(_rows_of(table, name), name, visibilities)


def read_spans(path: str | Path) -> list[Appearance]:
    """Spans from a CSV, JSON or Parquet file, as `facelake spans --out` writes them.

    Raises
    ------
    ValueError
        It is no such table, or a row's times are none or reversed.
    OSError
        It cannot be read.
    """
    rows = read_rows(path, what="a table of spans", columns=_COLUMNS)
    return [_appearance(where, row, ()) for where, row in rows]


def spans_from_table(table: pa.Table, *, name: str = "spans") -> list[Appearance]:
    """Spans from a table, of which path or video_id, identity, start_s and end_s are taken.

    Raises
    ------
    ValueError
        A column is missing, or a row's times are none or reversed.
    """
    _refuse_lost(table.column_names, name)
    return [_appearance(where, row, ()) for where, row in _rows_of(table, name)]


def _rows_of(table: pa.Table, name: str) -> list[Row]:
    taken = {*(column for known in _COLUMNS for column in known), "visibility"}
    chosen = table.select([column for column in table.column_names if column in taken])
    return [(f"{name}, row {number}", row) for number, row in enumerate(chosen.to_pylist(), 1)]


def _refuse_lost(names: Sequence[str], table: str) -> None:
    lost = [" or ".join(known) for known in _COLUMNS if not set(known) & set(names)]
    if lost:
        raise ValueError(f"{table}: lacks the column {lost[0]}; it has {', '.join(names)}")


def _truth_of(rows: Iterable[Row], name: str, visibilities: Sequence[str]) -> Truth:
    videos, appearances, n_endless = dict[VideoName, None](), [], 0
    other: Counter[str] = Counter()
    for where, row in rows:
        videos[_video(where, row)] = None
        if (first_of(row, _PERSON) or "").startswith("("):
            continue
        if first_of(row, ("end_s",)) is None:
            n_endless += 1
            continue
        one = _appearance(where, row, visibilities)
        appearances.append(one)
        if not one.counts:
            other[str(row["visibility"]).strip()] += 1
    _refuse_none_wanted(name, appearances, other, visibilities)
    notes = []
    if n_endless:
        notes.append(f"{name}: {counted(n_endless, 'row')} without end_s passed over")
    return Truth(name, tuple(videos), tuple(appearances), tuple(notes))


def _refuse_none_wanted(
    name: str, told: Sequence[Appearance], other: Counter[str], visibilities: Sequence[str]
) -> None:
    if told and not any(one.counts for one in told):
        raise ValueError(
            f"{name}: must hold a visibility of those that count ({', '.join(visibilities)}), but "
            f"holds only {', '.join(sorted(other))}; name those that count (--visibility)"
        )


def _appearance(where: str, row: dict[str, Any], visibilities: Sequence[str]) -> Appearance:
    identity = first_of(row, _PERSON)
    if identity is None or not plain_key(identity):
        raise ValueError(f"{where}: the person must have a name, but is called {identity or ''!r}")
    seen = first_of(row, ("visibility",)) if visibilities else None
    counts = seen is None or seen.strip() in visibilities
    start_s, end_s = _times(where, row)
    return Appearance(_video(where, row), identity.strip(), start_s, end_s, counts)


def _video(where: str, row: dict[str, Any]) -> VideoName:
    path, video_id = first_of(row, ("video", "path")), first_of(row, ("video_id",))
    if path is None and video_id is None:
        raise ValueError(f"{where}: the video must have a name, but has none")
    return VideoName(path or str(video_id), video_id)


def _times(where: str, row: dict[str, Any]) -> tuple[float, float]:
    try:
        start_s, end_s = float(row["start_s"]), float(row["end_s"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: start_s and end_s must be seconds, but {error}") from error
    if not (math.isfinite(start_s) and math.isfinite(end_s) and start_s <= end_s):
        raise ValueError(
            f"{where}: start_s must be at most end_s, and both numbers, but they are "
            f"{row['start_s']} and {row['end_s']}"
        )
    return start_s, end_s
