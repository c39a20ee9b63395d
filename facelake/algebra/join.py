"""Spans beside any other table that has times: transcripts, programme guides, shot lists."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from facelake.algebra.intervals import find_overlaps
from facelake.algebra.rows import read_times


def join_times(
    spans: pa.Table,
    other: pa.Table,
    *,
    on: str = "video_id",
    start: str = "start_s",
    end: str | None = "end_s",
) -> pa.Table:
    """Each span with each row of another table that it has time in common with.

    Parameters
    ----------
    spans
        With the columns ``video_id``, ``start_s`` and ``end_s``.
    other
        Any table with a video and a time in each row.
    on
        Its column that names the video, in the words of the spans' ``video_id``.
    start, end
        Its columns that say from when to when, in seconds. Without an ``end`` its rows are events:
        instants, which lie in a span when ``start_s <= t < end_s``.

    Returns
    -------
    pyarrow.Table
        The columns of the spans; ``overlap_s``, the common time in seconds, 0 for events; and the
        columns of the other table but for ``on``, with ``_other`` behind names that the spans have,
        too. By video and time.

    Raises
    ------
    ValueError
        A column is missing or holds nulls, a time is not finite, or a row ends before it starts.

    Examples
    --------
    >>> spans = pa.table({"video_id": ["film"], "start_s": [2.0], "end_s": [5.0]})
    >>> words = pa.table({"video_id": ["film"], "start_s": [4.0], "end_s": [6.0], "text": ["Hm."]})
    >>> join_times(spans, words).select(["start_s", "end_s", "overlap_s", "text"]).to_pylist()
    [{'start_s': 2.0, 'end_s': 5.0, 'overlap_s': 1.0, 'text': 'Hm.'}]
    """
    wanted = [on, start] if end is None else [on, start, end]
    missing = [name for name in wanted if name not in other.column_names]
    if missing:
        raise ValueError(
            f"the other table must have the columns {', '.join(wanted)}, but {', '.join(missing)} "
            f"is missing among {', '.join(other.column_names)}; say with on, start and end what "
            "they are called there"
        )
    edges = [other[on], other[start], other[start if end is None else end]]
    times, of_other = read_times(
        spans, pa.table(edges, names=["video_id", "start_s", "end_s"]), by=["video_id"]
    )
    pairs = find_overlaps(times, of_other)
    place = np.argsort(times.in_order())  # by span, and within a span by common time
    order = np.argsort(place[pairs.row_a], kind="stable")
    row_a, row_b = pa.array(pairs.row_a[order]), pa.array(pairs.row_b[order])
    columns = {name: spans[name].take(row_a) for name in spans.column_names}
    columns["overlap_s"] = pa.array((pairs.end_s - pairs.start_s)[order])
    for name in other.column_names:
        if name != on:
            told = f"{name}_other" if name in columns else name
            columns[told] = other[name].take(row_b)
    return pa.table(columns)


_CUE = re.compile(r"^(?:(\d+):)?(\d\d):(\d\d)[.,](\d{3}) +--> +(?:(\d+):)?(\d\d):(\d\d)[.,](\d{3})")


def parse_cues(text: str) -> pa.Table:
    r"""The cues of a WebVTT or SubRip file.

    Parameters
    ----------
    text
        The file's text. Notes, styles and cue settings are passed over; markup stays.

    Returns
    -------
    pyarrow.Table
        ``start_s``, ``end_s`` and ``text``, one row a cue.

    Raises
    ------
    ValueError
        There is a ``-->`` with something else than times around it.

    Examples
    --------
    >>> parse_cues("WEBVTT\n\n00:01.500 --> 00:02.000\nHello.\n").to_pylist()
    [{'start_s': 1.5, 'end_s': 2.0, 'text': 'Hello.'}]
    """
    rows = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        at = next((n for n, line in enumerate(lines[:2]) if "-->" in line), None)
        if at is not None:
            start_s, end_s = _cue_times(lines[at])
            rows.append({"start_s": start_s, "end_s": end_s, "text": "\n".join(lines[at + 1 :])})
    return pa.Table.from_pylist(rows, _CUES)


_CUES = pa.schema([("start_s", pa.float64()), ("end_s", pa.float64()), ("text", pa.string())])


def _cue_times(line: str) -> tuple[float, float]:
    found = _CUE.match(line.strip())
    if found is None:
        raise ValueError(
            f"a cue must say its times as in 00:01:02.500 --> 00:01:04.000, but says {line!r}"
        )
    h1, m1, s1, ms1, h2, m2, s2, ms2 = (int(part or 0) for part in found.groups())
    return (
        (3600 * h1 + 60 * m1 + s1) + ms1 / 1000,
        (3600 * h2 + 60 * m2 + s2) + ms2 / 1000,
    )
