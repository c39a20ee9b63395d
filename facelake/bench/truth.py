"""Spans against a truth made by hand, and how far two sets of seconds agree.

The truth is a CSV table with the columns video, label, start_s, end_s and, if wanted, visibility;
lines that begin with ``#`` are comments. Its videos are known by their file name without ending,
its people by their name without case and punctuation.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

WANTED = frozenset({"front", "angle"})
"""Visibilities of a face that should be found; any other is neither for nor against."""
COLLAR_S = 0.3
"""Around an edge of the truth, which eyes have set, nothing is counted, in seconds."""
_STEP_S = 0.05
_COLUMNS = ("video", "label", "start_s", "end_s")

Where = tuple[str, str]
"""A video's name without ending, and a person's `plain_key`."""


class Span(NamedTuple):
    """Somebody in a video, from when to when, half-open."""

    video: str
    identity: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Agreement:
    """Seconds that were found, against those that should have been.

    Attributes
    ----------
    right_s, missed_s, false_s
        Found and wanted, wanted alone, found alone.
    """

    right_s: float
    missed_s: float
    false_s: float

    @property
    def recall(self) -> float | None:
        """Share of the wanted seconds that were found; ``None`` when none was wanted."""
        return _share(self.right_s, self.missed_s)

    @property
    def precision(self) -> float | None:
        """Share of the found seconds that were wanted; ``None`` when none was found."""
        return _share(self.right_s, self.false_s)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; ``None`` when nothing was wanted or found."""
        return _share(2 * self.right_s, self.missed_s + self.false_s)


@dataclass(frozen=True)
class Truth:
    """Who is to be seen when, in steps of 0.05 s.

    Attributes
    ----------
    wanted, ignored
        Steps in which a face should be found, and those in which nothing is counted.
    """

    wanted: Mapping[Where, frozenset[int]]
    ignored: Mapping[Where, frozenset[int]]

    def score(self, spans: Iterable[Span], videos: Iterable[str]) -> Agreement:
        """How far spans agree with the truth, over the videos (paths) of which it tells.

        Whom the truth does not name in such a video should not be found there.
        """
        told = self.videos_of(videos)
        found: dict[Where, set[int]] = defaultdict(set)
        for span in spans:
            found[_stem(span.video), plain_key(span.identity)] |= _steps(span.start_s, span.end_s)
        right = missed = false = 0
        for where in {where for where in (*self.wanted, *found) if where[0] in told}:
            ignored = self.ignored.get(where, frozenset())
            wanted = self.wanted.get(where, frozenset())
            got = found[where] - ignored
            right += len((wanted - ignored) & got)
            missed += len(wanted - ignored - got)
            false += len(got - wanted)
        return Agreement(right * _STEP_S, missed * _STEP_S, false * _STEP_S)

    def videos_of(self, videos: Iterable[str]) -> set[str]:
        """Names of those videos in which the truth wants somebody found."""
        return {_stem(video) for video in videos} & {video for video, _ in self.wanted}


def read_truth(path: str | Path, *, collar_s: float = COLLAR_S) -> Truth:
    """A truth made by hand.

    Rows without an end, and of labels in parentheses (nobody who has a name), are passed over.

    Parameters
    ----------
    collar_s
        Time before and after each edge in which nothing is counted, in seconds.

    Raises
    ------
    ValueError
        It is no such table, or a row's times are none.
    OSError
        It cannot be read.
    """
    wanted: dict[Where, set[int]] = defaultdict(set)
    ignored: dict[Where, set[int]] = defaultdict(set)
    for number, row in _read_rows(Path(path)):
        if row["label"].startswith("(") or not row["end_s"]:
            continue
        where = (_stem(row["video"]), plain_key(row["label"]))
        start_s, end_s = _times(row, f"{path}, line {number}")
        for edge_s in (start_s, end_s):
            ignored[where] |= _steps(edge_s - collar_s, edge_s + collar_s)
        target = wanted if row.get("visibility", "front") in WANTED else ignored
        target[where] |= _steps(start_s, end_s)
    return Truth(_frozen(wanted), _frozen(ignored))


def plain_key(name: str) -> str:
    """A person's name without case, accents and punctuation.

    Examples
    --------
    >>> plain_key("Zoë_Kravitz-2")
    'zoekravitz2'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", plain.lower())


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows with the numbers of their lines in the file."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: a truth must be a CSV file in UTF-8, but {error}") from error
    kept = [(number, line) for number, line in enumerate(lines, 1) if not line.startswith("#")]
    reader = csv.DictReader((line for _, line in kept), restval="")
    try:
        rows = [(kept[reader.line_num - 1][0], row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}: a truth must be a CSV file, but {error}") from error
    lost = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if lost:
        raise ValueError(
            f"{path}: a truth must have the columns {', '.join(_COLUMNS)}, but lacks "
            f"{', '.join(lost)}"
        )
    return rows


def _times(row: Mapping[str, str], where: str) -> tuple[float, float]:
    try:
        start_s, end_s = float(row["start_s"]), float(row["end_s"])
    except ValueError as error:
        raise ValueError(f"{where}: start_s and end_s must be seconds, but {error}") from error
    if not 0 <= start_s <= end_s < float("inf"):
        raise ValueError(
            f"{where}: start_s must be 0 or more and at most end_s, but they are "
            f"{row['start_s']} and {row['end_s']}"
        )
    return start_s, end_s


def _steps(start_s: float, end_s: float) -> set[int]:
    return set(range(round(start_s / _STEP_S), round(end_s / _STEP_S)))


def _stem(video: str) -> str:
    return PurePosixPath(video).stem


def _frozen(steps: Mapping[Where, Collection[int]]) -> dict[Where, frozenset[int]]:
    return {where: frozenset(chosen) for where, chosen in steps.items()}


def _share(part: float, rest: float) -> float | None:
    return part / (part + rest) if part + rest > 0 else None
