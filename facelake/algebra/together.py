"""How long people are on screen, how long together, and when first and last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.algebra.intervals import Times, find_overlaps, join_runs
from facelake.algebra.rows import number_values, read_times
from facelake.algebra.spans import in_span_order
from facelake.schema import SCREEN_TIME, SCREEN_TIME_BY_VIDEO, TOGETHER

if TYPE_CHECKING:
    import numpy.typing as npt

_LOOKED = ["examined", "carried"]  # states of time that was looked at, in a coverage table


def screen_time(
    spans: pa.Table, *, by_video: bool = False, coverage: pa.Table | None = None
) -> pa.Table:
    """How long each identity is on screen, when first and last, and how sure that is.

    Time that several spans of an identity cover counts once. ``seconds`` is what the spans cover,
    ``seconds_max`` what they would cover if each began and ended at the far end of its bracket,
    ``start_after_s`` and ``end_before_s``; a bracket that is null adds nothing.

    Parameters
    ----------
    spans
        Rows of `schema.SPANS`.
    by_video
        One row a video and identity, not one an identity.
    coverage
        What was looked at, with columns ``video_id, start_s, end_s, state`` as `Catalog.coverage`
        gives them: it tells ``examined_s``, and ``unexamined_s``, which no span can speak for.

    Returns
    -------
    pyarrow.Table
        Rows of `schema.SCREEN_TIME`, the longest time first, or of `schema.SCREEN_TIME_BY_VIDEO`,
        by path and then the longest first.

    Raises
    ------
    ValueError
        A column is missing or holds nulls, a time is not finite, or a row ends before it starts.
    """
    seen = _Stretches.of(spans)
    widest = _Stretches.of(spans, to_brackets=True)
    group, wide_group = (_groups(one, by_video) for one in (seen, widest))
    first, last = _ends(seen, group)
    at = [pa.array(seen.row[rows]) for rows in (first, last)]
    columns = {name: spans[name].take(at[0]) for name in ("video_id", "path", "identity")} | {
        "seconds": np.bincount(group, seen.length_s),
        "seconds_max": np.bincount(wide_group, widest.length_s),
        "n_spans": np.bincount(group),
        "n_videos": _count_different(group, seen.video),
        "first_path": spans["path"].take(at[0]),
        "first_s": seen.start_s[first],
        "last_path": spans["path"].take(at[1]),
        "last_s": seen.end_s[last],
    }
    columns |= _looked(coverage, columns["video_id"] if by_video else None, len(first))
    schema = SCREEN_TIME_BY_VIDEO if by_video else SCREEN_TIME
    table = pa.table({name: columns[name] for name in schema.names}, schema=schema)
    order = [("path", "ascending"), ("video_id", "ascending")] if by_video else []
    return table.sort_by([*order, ("seconds", "descending"), ("identity", "ascending")])


def co_occurrence(spans: pa.Table) -> pa.Table:
    """How long each two identities are on screen at the same time.

    Parameters
    ----------
    spans
        Rows of `schema.SPANS`.

    Returns
    -------
    pyarrow.Table
        Rows of `schema.TOGETHER`: one for each two identities that ever meet, the longest time
        first.

    Raises
    ------
    ValueError
        As in `screen_time`.
    """
    names, own_s, pairs = _meetings(spans)
    pair, group = np.unique(pairs.who_a * len(names) + pairs.who_b, return_inverse=True)
    who_a, who_b = np.divmod(pair, max(len(names), 1))
    seconds = np.bincount(group, pairs.length_s, minlength=len(pair))
    either_s = own_s[who_a] + own_s[who_b] - seconds
    with np.errstate(invalid="ignore"):  # two instants: 0 s of 0 s
        jaccard = seconds / either_s
    table = pa.table(
        {
            "identity_a": names.take(pa.array(who_a)),
            "identity_b": names.take(pa.array(who_b)),
            "seconds": seconds,
            "n_spans": np.bincount(group, minlength=len(pair)),
            "n_videos": _count_different(group, pairs.video),
            "jaccard": pa.array(jaccard, from_pandas=True),
        },
        schema=TOGETHER,
    )
    return table.sort_by(
        [("seconds", "descending"), ("identity_a", "ascending"), ("identity_b", "ascending")]
    )


def co_occurrence_matrix(spans: pa.Table) -> pa.Table:
    """The seconds of `co_occurrence` as a symmetric matrix; on its diagonal each one's own time.

    Returns
    -------
    pyarrow.Table
        ``identity``, and a column of seconds for each identity, in order of the alphabet.
    """
    names, own_s, pairs = _meetings(spans)
    matrix = np.diag(own_s)
    np.add.at(matrix, (pairs.who_a, pairs.who_b), pairs.length_s)
    np.add.at(matrix, (pairs.who_b, pairs.who_a), pairs.length_s)
    return pa.table([names, *matrix.T], names=["identity", *names.to_pylist()])


def first_appearance(spans: pa.Table, *, by_video: bool = False) -> pa.Table:
    """The first span of each identity, or of each identity in each video.

    Parameters
    ----------
    spans
        Rows of `schema.SPANS`. Videos come in order of path.

    Returns
    -------
    pyarrow.Table
        Rows of `schema.SPANS`; of spans that start together the longest.
    """
    return _outermost(spans, by_video=by_video, last=False)


def last_appearance(spans: pa.Table, *, by_video: bool = False) -> pa.Table:
    """The span of each identity that ends last; as `first_appearance`."""
    return _outermost(spans, by_video=by_video, last=True)


# Stretches --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stretches:
    """Time without a gap in which an identity is on screen; disjoint for each video and identity.

    Attributes
    ----------
    video, who
        Numbers of the video and the identity, in order of path and of name.
    row
        One of the spans that it is made of.
    """

    video: npt.NDArray[np.int64]
    who: npt.NDArray[np.int64]
    row: npt.NDArray[np.intp]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]

    @classmethod
    def of(cls, spans: pa.Table, *, to_brackets: bool = False) -> _Stretches:
        (times,) = read_times(spans, by=["path", "video_id", "identity"])
        if to_brackets:
            start_s = np.fmin(spans["start_after_s"].to_numpy(), times.start_s)
            end_s = np.fmax(spans["end_before_s"].to_numpy(), times.end_s)
            times = Times(times.code, start_s, end_s)
        runs = join_runs(times)
        row = runs.order[runs.first]
        video, who = (number_values(spans, by=by) for by in (["path", "video_id"], ["identity"]))
        return cls(video[row], who[row], row, runs.start_s, runs.end_s)

    @property
    def length_s(self) -> npt.NDArray[np.float64]:
        return self.end_s - self.start_s


def _groups(stretches: _Stretches, by_video: bool) -> npt.NDArray[np.int64]:
    """The number of each stretch's row in the answer."""
    code = stretches.who
    if by_video:
        code = code + stretches.video * (int(code.max(initial=0)) + 1)
    group: npt.NDArray[np.int64] = np.unique(code, return_inverse=True)[1]
    return group


def _ends(
    stretches: _Stretches, group: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The first and the last stretch of each group."""
    by_start = np.lexsort((stretches.start_s, stretches.video, group))
    by_end = np.lexsort((stretches.end_s, stretches.video, group))
    first = np.unique(group[by_start], return_index=True)[1]
    last = np.append(first[1:], len(group))[: len(first)] - 1
    return by_start[first], by_end[last]


def _count_different(
    group: npt.NDArray[np.int64], value: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """How many different values each group has."""
    n = int(value.max(initial=0)) + 1
    counts: npt.NDArray[np.int64] = np.bincount(np.unique(group * n + value) // n)
    return counts


def _looked(
    coverage: pa.Table | None, video_ids: pa.ChunkedArray | None, n: int
) -> dict[str, pa.Array]:
    """Seconds that were looked at, and that never were, of each row's video or of all."""
    names = ("examined_s", "unexamined_s")
    if coverage is None:
        return {name: pa.nulls(n, pa.float64()) for name in names}
    length_s = pc.subtract(coverage["end_s"], coverage["start_s"])
    was_looked = pc.is_in(coverage["state"], pa.array(_LOOKED))
    parts = [pc.if_else(was_looked, length_s, 0.0), pc.if_else(was_looked, 0.0, length_s)]
    if video_ids is None:
        totals = [pc.sum(part).as_py() or 0.0 for part in parts]
        return {name: pa.array([total] * n) for name, total in zip(names, totals, strict=True)}
    table = pa.table([coverage["video_id"], *parts], names=["video_id", *names])
    sums = table.group_by("video_id").aggregate([(name, "sum") for name in names])
    at = pc.index_in(video_ids, sums["video_id"])
    return {name: sums[f"{name}_sum"].take(at) for name in names}


@dataclass(frozen=True)
class _Meetings:
    """Stretches in which two identities are on screen; ``who_a`` is before ``who_b``."""

    who_a: npt.NDArray[np.int64]
    who_b: npt.NDArray[np.int64]
    video: npt.NDArray[np.int64]
    length_s: npt.NDArray[np.float64]


def _meetings(spans: pa.Table) -> tuple[pa.Array, npt.NDArray[np.float64], _Meetings]:
    """Everybody's name in order, everybody's own seconds, and who meets whom."""
    seen = _Stretches.of(spans)
    _, place, who = np.unique(seen.who, return_index=True, return_inverse=True)
    names = spans["identity"].combine_chunks().take(pa.array(seen.row[place])).cast(pa.string())
    times = Times(seen.video, seen.start_s, seen.end_s)
    pairs = find_overlaps(times, times)
    once = who[pairs.row_a] < who[pairs.row_b]
    row_a, row_b = pairs.row_a[once], pairs.row_b[once]
    length_s = (pairs.end_s - pairs.start_s)[once]
    own_s = np.bincount(who, seen.length_s).astype(np.float64)
    return names, own_s, _Meetings(who[row_a], who[row_b], seen.video[row_a], length_s)


def _outermost(spans: pa.Table, *, by_video: bool, last: bool) -> pa.Table:
    (times,) = read_times(spans, by=["identity", "path", "video_id"] if by_video else ["identity"])
    video = number_values(spans, by=["path", "video_id"])
    near, far = (-times.end_s, times.start_s) if last else (times.start_s, -times.end_s)
    order = np.lexsort((far, near, -video if last else video, times.code))
    first = np.unique(times.code[order], return_index=True)[1]
    return in_span_order(spans.take(pa.array(order[first])))
