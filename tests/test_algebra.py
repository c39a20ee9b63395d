"""The algebra of spans, against sets of time read aloud, laws, and pyannote.core's timelines.

Times are drawn in whole tenths of a second, written as doubles in several ways, so that edges often
meet and hardly ever as the same double. The reference computes with the tenths: a row is the set of
its atoms, which are the instants ``t`` and the open stretches between ``t`` and ``t + 1``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Segment, Timeline

from facelake.algebra import (
    and_,
    and_spans,
    before,
    co_occurrence,
    co_occurrence_matrix,
    coalesce,
    coalesce_spans,
    dilate,
    dilate_spans,
    during,
    first_appearance,
    join_times,
    last_appearance,
    minus,
    minus_spans,
    or_,
    or_spans,
    overlapping,
    parse_cues,
    screen_time,
    within,
)
from facelake.schema import SCREEN_TIME, SCREEN_TIME_BY_VIDEO, SPANS, TOGETHER

Row = tuple[str, int, int]
"""Video, start and end in tenths of a second."""

VIDEOS = ("one", "two")
LAST = 14  # tenths
# 0.3, 0.30000000000000004, 0.2999999999999998: what pts × time_base and sums of it come to.
WRITTEN: Sequence[Callable[[int], float]] = (
    lambda tenths: tenths / 10,
    lambda tenths: 0.1 * tenths,
    lambda tenths: (tenths + 90) / 10 - 9.0,
)

BY_VIDEO = ("video_id",)

laws = settings(max_examples=60, deadline=None)  # nothing here asserts a duration


@st.composite
def tables(draw: st.DrawFn, people: Sequence[str] = ("Ann",), max_size: int = 8) -> pa.Table:
    rows = draw(st.lists(spans_of(people), max_size=max_size))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    kinds = [pa.string(), pa.string(), pa.float64(), pa.float64()]
    names = ["video_id", "identity", "start_s", "end_s"]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)], names=names
    )


@st.composite
def spans_of(draw: st.DrawFn, people: Sequence[str]) -> tuple[str, str, float, float]:
    start = draw(st.integers(0, LAST))
    end = draw(st.integers(start, min(start + 6, LAST)))  # an instant now and then
    if start == end:
        start_s = end_s = draw(st.sampled_from(WRITTEN))(start)
    else:
        start_s, end_s = (draw(st.sampled_from(WRITTEN))(edge) for edge in (start, end))
    return draw(st.sampled_from(VIDEOS)), draw(st.sampled_from(people)), start_s, end_s


def tenths(seconds: float) -> int:
    return round(10 * seconds)


def rows_of(table: pa.Table) -> list[Row]:
    """The rows in tenths, in the order of the table."""
    columns = [table[name].to_pylist() for name in ("video_id", "start_s", "end_s")]
    return [(video, tenths(start), tenths(end)) for video, start, end in zip(*columns, strict=True)]


def atoms(row: Row) -> set[tuple[str, int, str]]:
    """The time of a row: ``at`` an instant, and ``after`` it until the next."""
    video, start, end = row
    if start == end:
        return {(video, start, "at")}
    return {(video, t, part) for t in range(start, end) for part in ("at", "after")}


def is_instant(row: Row) -> bool:
    return row[1] == row[2]


def covered(table: pa.Table) -> set[tuple[str, int, str]]:
    return {atom for row in rows_of(table) for atom in atoms(row)}


def merged(rows: list[Row], gap: int = 0) -> list[Row]:
    """Any two rows that touch become one, until no two do."""
    rows = sorted(set(rows))
    for one, other in product(rows, rows):
        apart = max(one[1], other[1]) - min(one[2], other[2])
        if one is not other and one[0] == other[0] and apart <= gap:
            rest = [row for row in rows if row not in (one, other)]
            return merged([*rest, (one[0], min(one[1], other[1]), max(one[2], other[2]))], gap)
    return rows


def pieces(row: Row, gone: set[tuple[str, int, str]]) -> list[Row]:
    """What is left of a row, as the longest stretches."""
    if is_instant(row):
        return [] if atoms(row) & gone else [row]
    left = [t for t in range(row[1], row[2]) if (row[0], t, "after") not in gone]
    return merged([(row[0], t, t + 1) for t in left])


# Against the reference --------------------------------------------------------------------------


@laws
@given(tables(), tables())
def test_and_is_the_common_time_of_every_two_rows(a: pa.Table, b: pa.Table) -> None:
    expected = [
        (one[0], max(one[1], other[1]), min(one[2], other[2]), i, j)
        for (i, one), (j, other) in product(enumerate(rows_of(a)), enumerate(rows_of(b)))
        if atoms(one) & atoms(other)
    ]
    found = and_(a, b)
    assert found.column_names == ["video_id", "start_s", "end_s", "a_row", "b_row"]
    of = zip(found["a_row"].to_pylist(), found["b_row"].to_pylist(), strict=True)
    rows = [(*row, *which) for row, which in zip(rows_of(found), of, strict=True)]
    assert sorted(rows) == sorted(expected)


@laws
@given(tables(), tables())
def test_or_is_the_fewest_rows_that_cover_both(a: pa.Table, b: pa.Table) -> None:
    found = or_(a, b)
    assert rows_of(found) == merged(rows_of(a) + rows_of(b))
    assert sum(found["n_rows"].to_pylist()) == len(a) + len(b)


@laws
@given(tables(), tables())
def test_minus_leaves_each_row_without_the_other_time(a: pa.Table, b: pa.Table) -> None:
    lasting = {atom for row in rows_of(b) if not is_instant(row) for atom in atoms(row)}
    expected = [
        piece
        for row in rows_of(a)
        for piece in pieces(row, covered(b) if is_instant(row) else lasting)
    ]
    assert sorted(rows_of(minus(a, b))) == sorted(expected)


@laws
@given(tables(people=("Ann", "Bob")), st.integers(0, 4))
def test_coalesce_joins_what_is_near_of_each_identity(a: pa.Table, gap: int) -> None:
    found = coalesce(a, gap_s=gap / 10)
    for name in ("Ann", "Bob"):
        own = [row for row, who in zip(rows_of(a), a["identity"].to_pylist(), strict=True)
               if who == name]  # fmt: skip
        got = [row for row, who in zip(rows_of(found), found["identity"].to_pylist(), strict=True)
               if who == name]  # fmt: skip
        assert got == merged(own, gap)


@laws
@given(tables(), tables(), st.integers(0, 5))
def test_within_keeps_the_rows_that_are_near_some_other(
    a: pa.Table, b: pa.Table, window: int
) -> None:
    def is_near(one: Row, other: Row) -> bool:
        apart = max(other[1] - one[2], one[1] - other[2], 0)
        return one[0] == other[0] and apart <= window

    expected = [row for row in rows_of(a) if any(is_near(row, other) for other in rows_of(b))]
    assert sorted(rows_of(within(a, b, window_s=window / 10))) == sorted(expected)


@laws
@given(tables(), tables())
def test_during_keeps_the_rows_that_lie_in_one_other(a: pa.Table, b: pa.Table) -> None:
    expected = [
        row for row in rows_of(a) if any(atoms(row) <= atoms(other) for other in rows_of(b))
    ]
    assert sorted(rows_of(during(a, b))) == sorted(expected)


@laws
@given(tables(), tables(), st.integers(0, 5))
def test_before_pairs_what_ends_with_what_begins_then(a: pa.Table, b: pa.Table, gap: int) -> None:
    expected = [
        (one[0], one[2], other[1], *one[1:], *other[1:])
        for one, other in product(rows_of(a), rows_of(b))
        if one[0] == other[0] and 0 <= other[1] - one[2] <= gap and not atoms(one) & atoms(other)
    ]
    found = before(a, b, max_gap_s=gap / 10)
    assert sorted(pairs_of(found)) == sorted(expected)
    assert [tenths(one) for one in found["gap_s"].to_pylist()] == [
        end - start for _, start, end in rows_of(found)
    ]


@laws
@given(tables(), tables())
def test_overlapping_pairs_have_the_columns_of_both(a: pa.Table, b: pa.Table) -> None:
    expected = [
        (one[0], max(one[1], other[1]), min(one[2], other[2]), *one[1:], *other[1:])
        for one, other in product(rows_of(a), rows_of(b))
        if atoms(one) & atoms(other)
    ]
    assert sorted(pairs_of(overlapping(a, b))) == sorted(expected)


def pairs_of(table: pa.Table) -> list[tuple[Any, ...]]:
    names = ("start_s_a", "end_s_a", "start_s_b", "end_s_b")
    edges = [[tenths(one) for one in table[name].to_pylist()] for name in names]
    return [(*row, *more) for row, *more in zip(rows_of(table), *edges, strict=True)]


@laws
@given(tables(), st.integers(0, 6), st.integers(0, 6))
def test_dilate_grows_up_to_the_ends_of_the_video(a: pa.Table, early: int, late: int) -> None:
    bounds = pa.table({"video_id": ["one"], "start_s": [0.3], "end_s": [1.0]})
    expected = []
    for video, start, end in rows_of(a):
        first, last = (3, 10) if video == "one" else (-100, 100)
        expected.append(
            (video, min(start, max(start - early, first)), max(end, min(end + late, last)))
        )
    grown = dilate(a, before_s=early / 10, after_s=late / 10, bounds=bounds)
    assert sorted(rows_of(grown)) == sorted(expected)


def timeline(table: pa.Table, video: str) -> Timeline:
    return Timeline(
        Segment(start / 10, end / 10) for name, start, end in rows_of(table) if name == video
    )


@laws
@given(tables(), tables())
def test_time_agrees_with_pyannote(a: pa.Table, b: pa.Table) -> None:
    for video in VIDEOS:
        one, other = timeline(a, video), timeline(b, video)
        either = one.union(other).support().duration()
        both = one.support().crop(other.support(), mode="intersection").support().duration()
        assert seconds_of(coalesce(and_(a, b), by=BY_VIDEO), video) == pytest.approx(both)
        assert seconds_of(or_(a, b), video) == pytest.approx(either)
        left = coalesce(minus(a, b), by=BY_VIDEO)
        assert seconds_of(left, video) == pytest.approx(one.support().duration() - both)


def seconds_of(table: pa.Table, video: str) -> float:
    return sum(end - start for name, start, end in rows_of(table) if name == video) / 10


# Laws -------------------------------------------------------------------------------------------


def same(one: pa.Table, other: pa.Table) -> None:
    """Equal but for the last digits of their times."""
    assert one.column_names == other.column_names
    assert rows_of(one) == rows_of(other)


@laws
@given(tables(), tables())
def test_minus_takes_only_what_is_in_both(a: pa.Table, b: pa.Table) -> None:
    same(minus(a, b), minus(a, and_(a, b)))


@laws
@given(tables(), tables())
def test_what_is_in_both_and_what_is_left_is_all(a: pa.Table, b: pa.Table) -> None:
    same(or_(and_(a, b), minus(a, b)), or_(a, a))


@laws
@given(tables(), tables(), tables())
def test_without_either_is_without_one_and_without_the_other(
    a: pa.Table, b: pa.Table, c: pa.Table
) -> None:
    lasting = or_(b, c).filter(
        pa.array([not is_instant(row) for row in rows_of(or_(b, c))], pa.bool_())
    )
    one_by_one = minus(minus(a, b), c)
    assert {atom for atom in covered(one_by_one) if atom[2] == "after"} == {
        atom for atom in covered(minus(a, lasting)) if atom[2] == "after"
    }


@laws
@given(tables(), tables())
def test_either_and_both_do_not_ask_for_an_order(a: pa.Table, b: pa.Table) -> None:
    same(or_(a, b), or_(b, a))
    same(and_(a, b).drop_columns(["a_row", "b_row"]), and_(b, a).drop_columns(["a_row", "b_row"]))


@laws
@given(tables(people=("Ann", "Bob")), st.integers(0, 4))
def test_coalescing_twice_is_coalescing_once(a: pa.Table, gap: int) -> None:
    once = coalesce(a, gap_s=gap / 10)
    same(coalesce(once, gap_s=gap / 10), once)


@laws
@given(tables(), st.integers(0, 6), st.integers(0, 6))
def test_dilating_more_covers_more(a: pa.Table, one: int, other: int) -> None:
    less, more = sorted([one, other])
    grown = [dilate(a, before_s=by / 10, after_s=by / 10) for by in (less, more)]
    assert covered(grown[0]) <= covered(grown[1])


@laws
@given(tables(people=("Ann", "Bob")), tables(people=("Ann", "Bob")), st.randoms())
def test_the_order_of_rows_does_not_matter(a: pa.Table, b: pa.Table, random: Any) -> None:
    shuffled = [
        table.take(pa.array(random.sample(range(len(table)), len(table)), pa.int64()))
        for table in (a, b)
    ]
    asked: list[Callable[..., pa.Table]] = [
        or_, minus, during, overlapping,
        lambda a, b: and_(a, b).drop_columns(["a_row", "b_row"]),
        lambda a, b: within(a, b, window_s=0.2),
        lambda a, b: before(a, b, max_gap_s=0.2),
        lambda a, _: coalesce(a),
    ]  # fmt: skip
    for ask in asked:
        assert sorted_rows(ask(a, b)) == sorted_rows(ask(*shuffled))


def sorted_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    rows = [tuple(row.values()) for row in table.to_pylist()]
    return sorted(tuple(tenths(v) if isinstance(v, float) else v for v in row) for row in rows)


# Edges ------------------------------------------------------------------------------------------


def table(*rows: tuple[float, float], video: str = "film", **columns: Any) -> pa.Table:
    starts, ends = [row[0] for row in rows], [row[1] for row in rows]
    return pa.table(
        {"video_id": pa.array([video] * len(rows), pa.string())}
        | {"start_s": pa.array(starts, pa.float64()), "end_s": pa.array(ends, pa.float64())}
        | columns
    )


def edges(spans: pa.Table) -> list[tuple[float, float]]:
    return list(zip(spans["start_s"].to_pylist(), spans["end_s"].to_pylist(), strict=True))


def test_a_span_does_not_hold_its_end() -> None:
    assert edges(and_(table((0, 5)), table((5, 8)))) == []
    assert edges(or_(table((0, 5)), table((5, 8)))) == [(0, 8)]
    assert edges(minus(table((0, 5)), table((5, 8)))) == [(0, 5)]


def test_an_instant_lies_in_what_starts_with_it_and_not_in_what_ends_with_it() -> None:
    instant = table((5, 5))
    assert edges(and_(instant, table((5, 8)))) == [(5, 5)]
    assert edges(and_(instant, table((0, 5)))) == []
    assert edges(and_(instant, instant)) == [(5, 5)]
    assert edges(before(table((0, 5)), instant, max_gap_s=0)) == [(5, 5)]
    assert len(before(instant, table((5, 8)), max_gap_s=0)) == 0
    assert len(before(instant, instant, max_gap_s=9)) == 0


def test_an_instant_takes_no_time_away() -> None:
    assert edges(minus(table((0, 8)), table((5, 5)))) == [(0, 8)]
    assert edges(minus(table((5, 5), (6, 6)), table((5, 5)))) == [(6, 6)]


def test_times_that_are_equal_on_paper_are_equal() -> None:
    assert 0.1 + 0.2 > 0.3
    assert edges(and_(table((0, 0.1 + 0.2)), table((0.3, 1)))) == []
    assert edges(or_(table((0, 0.3)), table((0.1 + 0.2, 1)))) == [(0, 1)]
    assert 0.8 - 0.6 > 0.2
    assert edges(coalesce(table((0, 0.6), (0.8, 1)), gap_s=0.2, by=BY_VIDEO)) == [(0, 1)]
    assert len(within(table((0, 0.6)), table((0.8, 1)), window_s=0.2)) == 1
    assert len(within(table((0, 0.6)), table((0.8, 1)), window_s=0.19)) == 0


def test_times_come_back_as_they_were_given() -> None:
    assert edges(and_(table((0.1 + 0.2, 1)), table((0, 0.7 + 0.1)))) == [(0.1 + 0.2, 0.7 + 0.1)]


def test_an_endless_gap_reaches_as_far_as_the_video() -> None:
    far = pa.concat_tables([table((0, 1), (1e6, 2e6)), table((5, 6), video="other")])
    assert edges(coalesce(far, gap_s=float("inf"), by=BY_VIDEO)) == [(0, 2e6), (5, 6)]
    assert edges(before(far, far, max_gap_s=float("inf"))) == [(1, 1e6)]


def test_other_columns_say_what_belongs_together() -> None:
    a = table((0, 5), (0, 5), identity=["Ann", "Bob"])
    b = table((2, 3), identity=["Bob"])
    left = minus(a, b, by=["video_id", "identity"])
    assert list(zip(left["identity"].to_pylist(), edges(left), strict=True)) == [
        ("Ann", (0, 5)), ("Bob", (0, 2)), ("Bob", (3, 5)),
    ]  # fmt: skip


def test_many_columns_of_many_values_still_tell_rows_apart() -> None:
    n = 50_000  # n⁴ lines of time do not fit into 64 bits
    random = np.random.default_rng(0)
    rows = pa.table({name: random.permutation(n) for name in "abcd"})
    rows = rows.append_column("start_s", pa.array(np.zeros(n)))
    rows = rows.append_column("end_s", pa.array(np.ones(n)))
    found = coalesce(rows, by=list("abcd"))
    assert found.select(list("abcd")).equals(
        rows.sort_by([(name, "ascending") for name in "abcd"]).select(list("abcd"))
    )


def test_text_is_text_whoever_wrote_it() -> None:
    large = table((0, 5)).set_column(0, "video_id", pa.array(["film"], pa.large_string()))
    coded = table((3, 8)).set_column(0, "video_id", pa.array(["film"]).dictionary_encode())
    assert edges(and_(large, coded)) == edges(and_(coded, large)) == [(3, 5)]
    assert edges(or_(large, coded)) == edges(or_(coded, large)) == [(0, 8)]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (table((0, 1), (3, 2)), r"must not end before it starts, but start_s\[1\] = 3.0 and end_s"),
        (table((0, np.nan)), r"end_s must be finite seconds, but end_s\[0\] = nan"),
        (table((-np.inf, 0)), r"start_s must be finite seconds, but start_s\[0\] = -inf"),
        (table((0, 1)).drop_columns("end_s"), "but end_s is missing among video_id, start_s"),
        (table((0, 1)).drop_columns("video_id"), "but video_id is missing among start_s, end_s"),
        (table((0, 1)).set_column(0, "video_id", pa.nulls(1, pa.string())), "1 of . are null"),
        (
            table((0, 1)).set_column(1, "start_s", pa.array(["0:01"])),
            "as numbers, but holds string",
        ),
        (table((0, 1)).set_column(1, "start_s", pa.nulls(1, pa.float64())), "must be finite"),
    ],
)
def test_rows_that_make_no_sense_are_refused(wrong: pa.Table, sentence: str) -> None:
    good = table((0, 1))
    asked: list[Callable[..., pa.Table]] = [
        and_, or_, minus, during, overlapping, lambda a, b: within(a, b, window_s=1),
        lambda a, b: before(a, b, max_gap_s=1),
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises(ValueError, match=sentence):
            ask(wrong, good)
        with pytest.raises(ValueError, match=sentence):
            ask(good, wrong)


@pytest.mark.parametrize("length", [-1.0, float("nan")])
def test_a_length_of_time_that_is_none_is_refused(length: float) -> None:
    a = table((0, 1), identity=["Ann"])
    asked: dict[str, Callable[..., pa.Table]] = {
        "gap_s": coalesce,
        "window_s": partial(within, a),
        "max_gap_s": partial(before, a),
        "before_s": dilate,
        "after_s": dilate,
    }
    for name, ask in asked.items():
        with pytest.raises(ValueError, match=f"{name} must be 0 or more seconds, but is"):
            ask(a, **{name: length})


def test_no_rows_give_no_rows_with_the_right_columns() -> None:
    none = table()
    assert and_(none, none).column_names == ["video_id", "start_s", "end_s", "a_row", "b_row"]
    assert minus(none, table((0, 1))).schema.equals(none.schema)
    assert edges(minus(table((0, 1)), none)) == edges(or_(table((0, 1)), none)) == [(0, 1)]
    assert len(before(none, none, max_gap_s=1)) == len(overlapping(none, none)) == 0


# Spans of people --------------------------------------------------------------------------------


def span(
    identity: str, start_s: float, end_s: float, *, video: str = "film", **columns: Any
) -> dict[str, Any]:
    """A row of `schema.SPANS`: looked at every 0.2 s, ten hits a second."""
    row = {
        "video_id": video,
        "path": f"/archive/{video}.mp4",
        "identity": identity,
        "start_s": float(start_s),
        "end_s": float(end_s),
        "score_max": 0.5,
        "score_mean": 0.25,
        "n_hits": 10,
        "n_samples": 12,
        "start_after_s": start_s - 0.25,
        "end_before_s": end_s + 0.25,
        "best_face_id": f"{identity} at {start_s:g}",
        "best_time_s": float(start_s),
    }
    return row | columns


def people(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SPANS)


def only(spans: pa.Table) -> dict[str, Any]:
    assert spans.schema.equals(SPANS)
    (row,) = spans.to_pylist()
    assert isinstance(row, dict)
    return row


def test_a_span_of_two_people_is_as_good_as_the_weaker() -> None:
    ann = span("Ann", 0, 6, score_max=0.75, score_mean=0.5, n_hits=60, n_samples=60)
    bob = span("Bob", 4, 9, score_max=0.5, score_mean=0.375, n_hits=20, n_samples=25)
    expected = bob | {
        "identity": "Ann & Bob",
        "end_s": 6.0,
        "start_after_s": 3.75,
        "end_before_s": 6.25,
    }
    assert only(and_spans(people(ann), people(bob))) == expected
    assert only(and_spans(people(bob), people(ann))) == expected | {"identity": "Bob & Ann"}


def test_the_bracket_of_common_time_is_where_both_can_be() -> None:
    # Ann may have come at any time after 1, Bob after 3.5: together not before 3.5.
    ann, bob = span("Ann", 4, 6, start_after_s=1.0), span("Bob", 4, 8, start_after_s=3.5)
    row = only(and_spans(people(ann), people(bob)))
    assert (row["start_after_s"], row["end_before_s"]) == (3.5, 6.25)
    open_ended = ann | {"start_after_s": None, "end_before_s": None}
    row = only(and_spans(people(open_ended), people(bob)))
    assert (row["start_after_s"], row["end_before_s"]) == (3.5, 8.25)
    row = only(and_spans(people(open_ended), people(open_ended)))
    assert (row["start_after_s"], row["end_before_s"]) == (None, None)


def test_a_span_of_either_holds_the_evidence_of_all() -> None:
    ann = span("Ann", 0, 6, score_max=0.75, score_mean=0.5, n_hits=30, n_samples=40)
    bob = span("Bob", 4, 9, score_mean=0.25, n_hits=10, n_samples=20)
    assert only(or_spans(people(bob), people(ann))) == ann | {
        "identity": "Bob | Ann",
        "end_s": 9.0,
        "score_mean": (30 * 0.5 + 10 * 0.25) / 40,
        "n_hits": 40,
        "n_samples": 60,
        "end_before_s": 9.25,
    }


def test_of_equal_scores_the_earlier_face_is_the_best() -> None:
    late = span("Ann", 0, 6, best_time_s=5.0, best_face_id="late")
    early = span("Ann", 1, 6, best_time_s=2.0, best_face_id="early")
    weak = span("Ann", 2, 6, score_max=0.25, best_time_s=1.0, best_face_id="weak")
    for spans in (people(late, early, weak), people(weak, early, late)):
        assert only(coalesce_spans(spans))["best_face_id"] == "early"


def test_a_span_without_hits_still_has_a_mean() -> None:
    ann, bob = (span(name, 0, 6, n_hits=0, score_mean=mean) for name, mean in
                (("Ann", 0.25), ("Bob", 0.75)))  # fmt: skip
    assert only(or_spans(people(ann), people(bob)))["score_mean"] == 0.5


def test_who_is_in_a_span_of_either_names_it() -> None:
    a = people(span("Cleo", 0, 1), span("Ann", 0.5, 3), span("Ann", 10, 11))
    b = people(span("Bob", 2, 5), span("Ann", 4, 6), span("Bob", 20, 21))
    found = or_spans(a, b)
    assert found["identity"].to_pylist() == ["Ann | Cleo | Bob", "Ann", "Bob"]
    assert edges(found) == [(0, 6), (10, 11), (20, 21)]


def test_names_of_names_stay_clear() -> None:
    ann, bob, cleo = (people(span(name, 0, 1)) for name in ("Ann", "Bob", "Cleo"))
    either, both = or_spans(ann, bob), and_spans(ann, bob)
    assert only(and_spans(either, cleo))["identity"] == "(Ann | Bob) & Cleo"
    assert only(or_spans(both, cleo))["identity"] == "Ann & Bob | Cleo"
    assert only(and_spans(both, bob))["identity"] == "Ann & Bob"
    assert only(or_spans(either, ann))["identity"] == "Ann | Bob"
    crossed = or_spans(and_spans(either, cleo), bob)
    assert only(crossed)["identity"] == "(Ann | Bob) & Cleo | Bob"
    assert only(and_spans(crossed, ann))["identity"] == "((Ann | Bob) & Cleo | Bob) & Ann"
    other = and_spans(or_spans(ann, cleo), cleo)
    assert only(or_spans(crossed, other))["identity"] == (
        "(Ann | Bob) & Cleo | Bob | (Ann | Cleo) & Cleo"
    )


def test_an_end_that_was_cut_has_no_bracket() -> None:
    first, last = minus_spans(people(span("Ann", 0, 9)), people(span("Bob", 4, 6))).to_pylist()
    assert first == span("Ann", 0, 4, end_before_s=None)
    assert last == span("Ann", 6, 9, start_after_s=None) | {
        "best_face_id": "Ann at 0",
        "best_time_s": 0.0,
    }


def test_people_are_coalesced_each_for_themselves() -> None:
    spans = people(span("Ann", 0, 4), span("Bob", 3, 6), span("Ann", 4.5, 8), span("Ann", 9, 10))
    found = coalesce_spans(spans, gap_s=0.5)
    assert list(zip(found["identity"].to_pylist(), edges(found), strict=True)) == [
        ("Ann", (0, 8)), ("Bob", (3, 6)), ("Ann", (9, 10)),
    ]  # fmt: skip
    assert found["n_hits"].to_pylist() == [20, 10, 10]
    assert found["end_before_s"].to_pylist() == [8.25, 6.25, 10.25]


def test_the_bracket_of_joined_spans_is_that_of_the_row_at_the_end() -> None:
    spans = people(
        span("Ann", 0, 4, start_after_s=-2.0),
        span("Ann", 0, 6, end_before_s=None),
        span("Ann", 3, 6),
    )
    row = only(coalesce_spans(spans))
    assert (row["start_after_s"], row["end_before_s"]) == (-2.0, None)


def test_a_dilated_span_takes_its_bracket_with_it() -> None:
    bounds = pa.table({"video_id": ["film"], "start_s": [0.0], "end_s": [9.0]})
    row = only(dilate_spans(people(span("Ann", 4, 6)), before_s=1, after_s=2, bounds=bounds))
    assert row == span("Ann", 3, 8, best_face_id="Ann at 4", best_time_s=4.0)
    row = only(dilate_spans(people(span("Ann", 4, 6)), before_s=5, after_s=2.9, bounds=bounds))
    assert row == span(
        "Ann",
        0,
        8.9,
        start_after_s=None,
        end_before_s=9.0,
        best_face_id="Ann at 4",
        best_time_s=4.0,
    )


def test_a_video_whose_end_nobody_knows_has_none() -> None:
    bounds = pa.table({"video_id": ["film"], "start_s": [0.0], "end_s": pa.nulls(1, pa.float64())})
    assert only(dilate_spans(people(span("Ann", 4, 6)), after_s=99, bounds=bounds))["end_s"] == 105


def test_spans_come_in_the_order_of_spans() -> None:
    late, early = span("Ann", 5, 6, path="/a/b.mp4"), span("Bob", 0, 1, path="/a/b.mp4")
    other = span("Ann", 0, 1, video="z", path="/a/a.mp4")
    spans = people(late, early, other)
    assert minus_spans(spans, people()).to_pylist() == [other, early, late]
    assert dilate_spans(spans).to_pylist() == [other, early, late]


def test_no_spans_are_no_spans() -> None:
    none, some = people(), people(span("Ann", 0, 1))
    for found in (
        and_spans(none, some), and_spans(some, none), or_spans(none, none), minus_spans(none, some),
        coalesce_spans(none), dilate_spans(none, before_s=1), first_appearance(none),
    ):  # fmt: skip
        assert found.schema.equals(SPANS)
        assert len(found) == 0


@laws
@given(tables(people=("Ann", "Bob", "Cleo")), tables(people=("Ann", "Bob", "Cleo")))
def test_spans_of_people_have_the_times_of_the_algebra(a: pa.Table, b: pa.Table) -> None:
    one, other = (
        people(*(span(row["identity"], row["start_s"], row["end_s"], video=row["video_id"])
                 for row in side.to_pylist()))
        for side in (a, b)
    )  # fmt: skip
    for ours, theirs in (
        (and_spans(one, other), and_(a, b)),
        (or_spans(one, other), or_(a, b)),
        (minus_spans(one, other), minus(a, b)),
        (coalesce_spans(one, gap_s=0.2), coalesce(a, gap_s=0.2)),
    ):
        assert ours.schema.equals(SPANS)
        assert sorted(rows_of(ours)) == sorted(rows_of(theirs))


@laws
@given(tables(people=("Ann", "Bob", "Cleo"), max_size=12))
def test_a_span_of_either_is_named_after_those_who_are_in_it(a: pa.Table) -> None:
    rows = [span(row["identity"], row["start_s"], row["end_s"], video=row["video_id"])
            for row in a.to_pylist()]  # fmt: skip
    for found in or_spans(people(*rows), people()).to_pylist():
        inside = {
            row["identity"]
            for row in rows
            if row["video_id"] == found["video_id"]
            and tenths(row["start_s"]) >= tenths(found["start_s"])
            and tenths(row["end_s"]) <= tenths(found["end_s"])
        }
        assert found["identity"] == " | ".join(sorted(inside))


# Screen time ------------------------------------------------------------------------------------


def test_screen_time_counts_no_moment_twice() -> None:
    spans = people(
        span("Ann", 0, 4), span("Ann", 2, 6), span("Ann", 10, 11),
        span("Ann", 1, 3, video="later"), span("Bob", 0, 1, video="later"),
    )  # fmt: skip
    found = screen_time(spans)
    assert found.schema.equals(SCREEN_TIME)
    ann, bob = found.to_pylist()
    assert ann == {
        "identity": "Ann", "seconds": 9.0, "seconds_max": 10.5, "n_spans": 3, "n_videos": 2,
        "first_path": "/archive/film.mp4", "first_s": 0.0,
        "last_path": "/archive/later.mp4", "last_s": 3.0,
        "examined_s": None, "unexamined_s": None,
    }  # fmt: skip
    assert (bob["identity"], bob["seconds"], bob["seconds_max"]) == ("Bob", 1.0, 1.5)


def test_screen_time_of_each_video_comes_by_path() -> None:
    spans = people(
        span("Ann", 1, 3, video="b"), span("Ann", 0, 1, video="a"), span("Bob", 0, 2, video="a")
    )
    found = screen_time(spans, by_video=True)
    assert found.schema.equals(SCREEN_TIME_BY_VIDEO)
    keys = [(row["path"], row["identity"], row["seconds"]) for row in found.to_pylist()]
    assert keys == [
        ("/archive/a.mp4", "Bob", 2.0),
        ("/archive/a.mp4", "Ann", 1.0),
        ("/archive/b.mp4", "Ann", 2.0),
    ]  # fmt: skip


def test_brackets_that_meet_are_counted_once() -> None:
    spans = people(span("Ann", 0, 4, end_before_s=5.0), span("Ann", 6, 8, start_after_s=4.0))
    (row,) = screen_time(spans).to_pylist()
    assert (row["seconds"], row["seconds_max"], row["n_spans"]) == (6.0, 8.5, 2)


def test_a_missing_bracket_adds_nothing() -> None:
    spans = people(span("Ann", 0, 4, start_after_s=None, end_before_s=None))
    (row,) = screen_time(spans).to_pylist()
    assert (row["seconds"], row["seconds_max"]) == (4.0, 4.0)


def test_screen_time_says_what_was_looked_at() -> None:
    coverage = pa.table(
        {
            "video_id": ["film", "film", "film", "other"],
            "start_s": [0.0, 5.0, 7.0, 0.0],
            "end_s": [5.0, 7.0, 10.0, 100.0],
            "state": ["examined", "carried", "not_examined", "examined"],
        }
    )
    spans = people(span("Ann", 0, 4))
    (row,) = screen_time(spans, by_video=True, coverage=coverage).to_pylist()
    assert (row["examined_s"], row["unexamined_s"]) == (7.0, 3.0)
    (row,) = screen_time(spans, coverage=coverage).to_pylist()
    assert (row["examined_s"], row["unexamined_s"]) == (107.0, 3.0)


@laws
@given(tables(people=("Ann", "Bob", "Cleo"), max_size=12))
def test_screen_time_and_meetings_agree_with_counting_tenths(a: pa.Table) -> None:
    spans = people(*(span(row["identity"], row["start_s"], row["end_s"], video=row["video_id"])
                     for row in a.to_pylist()))  # fmt: skip
    seen: dict[str, set[Any]] = {}
    for row, name in zip(rows_of(a), a["identity"].to_pylist(), strict=True):
        seen.setdefault(name, set()).update(atoms(row))

    def seconds(some: set[Any]) -> float:
        return len([atom for atom in some if atom[2] == "after"]) / 10

    found = {row["identity"]: row["seconds"] for row in screen_time(spans).to_pylist()}
    assert found == pytest.approx({name: seconds(own) for name, own in seen.items()})
    met = {
        (row["identity_a"], row["identity_b"]): (row["seconds"], row["jaccard"])
        for row in co_occurrence(spans).to_pylist()
    }
    for one, other in product(seen, seen):
        both = seconds(seen[one] & seen[other])
        if one < other and both:
            either = seconds(seen[one] | seen[other])
            assert met.pop((one, other)) == pytest.approx((both, both / either))
    assert all(together_s < 1e-9 for together_s, _ in met.values())  # what is left are instants


# Together ---------------------------------------------------------------------------------------


def test_those_who_meet_are_told_once_the_longest_first() -> None:
    spans = people(
        span("Bob", 0, 10), span("Ann", 2, 4), span("Ann", 6, 7), span("Ann", 0, 5, video="b"),
        span("Cleo", 4, 6, video="b"), span("Dora", 20, 30),
    )  # fmt: skip
    found = co_occurrence(spans)
    assert found.schema.equals(TOGETHER)
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("Ann", "Bob", 3.0, 2, 1, 3 / 15),
        ("Ann", "Cleo", 1.0, 1, 1, 1 / 9),
    ]


def test_two_spans_of_one_person_are_no_meeting() -> None:
    spans = people(span("Ann", 0, 10), span("Ann", 2, 12), span("Bob", 1, 3))
    (row,) = co_occurrence(spans).to_pylist()
    assert (row["identity_a"], row["identity_b"], row["seconds"], row["n_spans"]) == (
        "Ann", "Bob", 2.0, 1,
    )  # fmt: skip


def test_those_who_meet_for_an_instant_have_no_share() -> None:
    (row,) = co_occurrence(people(span("Ann", 1, 1), span("Bob", 1, 1))).to_pylist()
    assert (row["seconds"], row["n_spans"], row["jaccard"]) == (0.0, 1, None)


def test_the_matrix_is_symmetric_and_holds_everybody() -> None:
    spans = people(span("Bob", 0, 10), span("Ann", 2, 4), span("Cleo", 20, 25))
    found = co_occurrence_matrix(spans)
    assert found.to_pydict() == {
        "identity": ["Ann", "Bob", "Cleo"],
        "Ann": [2.0, 2.0, 0.0],
        "Bob": [2.0, 10.0, 0.0],
        "Cleo": [0.0, 0.0, 5.0],
    }


def test_nobody_meets_nobody() -> None:
    assert co_occurrence(people()).equals(TOGETHER.empty_table())
    assert co_occurrence_matrix(people()).to_pydict() == {"identity": []}
    assert screen_time(people()).equals(SCREEN_TIME.empty_table())
    assert screen_time(people(), by_video=True).equals(SCREEN_TIME_BY_VIDEO.empty_table())


def test_the_first_and_the_last_span_of_each() -> None:
    spans = people(
        span("Ann", 5, 6), span("Ann", 1, 9), span("Ann", 1, 2), span("Bob", 0, 1),
        span("Ann", 0, 3, video="late"), span("Ann", 1, 3, video="late"),
    )  # fmt: skip
    assert edges(first_appearance(spans)) == [(0, 1), (1, 9)]
    last = last_appearance(spans)
    assert list(zip(last["video_id"].to_pylist(), edges(last), strict=True)) == [
        ("film", (0, 1)), ("late", (0, 3)),
    ]  # fmt: skip
    first = first_appearance(spans, by_video=True)
    assert list(zip(first["video_id"].to_pylist(), edges(first), strict=True)) == [
        ("film", (0, 1)), ("film", (1, 9)), ("late", (0, 3)),
    ]  # fmt: skip


# Other tables -----------------------------------------------------------------------------------


def test_a_transcript_is_joined_by_its_times() -> None:
    words = pa.table(
        {
            "clip": ["film", "film", "film", "other"],
            "from": [3, 0, 8, 3],
            "to": [6, 2, 9, 6],
            "text": ["And you?", "Hello.", "Bye.", "No."],
            "identity": ["Z"] * 4,
        }
    )
    spans = people(span("Ann", 1, 4), span("Bob", 5, 8))
    found = join_times(spans, words, on="clip", start="from", end="to")
    assert found.column_names == [*SPANS.names, "overlap_s", "from", "to", "text", "identity_other"]
    rows = [(row["identity"], row["text"], row["overlap_s"]) for row in found.to_pylist()]
    assert rows == [("Ann", "Hello.", 1.0), ("Ann", "And you?", 1.0), ("Bob", "And you?", 1.0)]


def test_events_have_no_end() -> None:
    goals = table((4, 0), (5, 0), (8, 0)).rename_columns(["video_id", "minute", "nothing"])
    found = join_times(people(span("Bob", 5, 8)), goals, start="minute", end=None)
    assert [(row["minute"], row["overlap_s"]) for row in found.to_pylist()] == [(5, 0.0)]


def test_a_table_without_times_is_refused_with_what_it_has() -> None:
    with pytest.raises(
        ValueError, match="video_id, begin, end_s, but begin, end_s is missing among"
    ):
        join_times(people(), table().select(["video_id", "start_s"]), start="begin")


def test_cues_of_webvtt_and_subrip_are_read() -> None:
    vtt = (
        "WEBVTT - made up\n\nNOTE\nnothing\n\n1\n00:01.500 --> 00:02.000 line:0\nHello.\n"
        "<i>You</i>\n\n59:59.250 --> 01:00:01.000\nBye.\n"
    )
    srt = "1\r\n00:00:01,500 --> 00:00:02,000\r\nHello.\r\n<i>You</i>\r\n\r\n"
    srt += "2\r\n00:59:59,250 --> 01:00:01,000\r\nBye.\r\n"
    expected = [
        {"start_s": 1.5, "end_s": 2.0, "text": "Hello.\n<i>You</i>"},
        {"start_s": 3599.25, "end_s": 3601.0, "text": "Bye."},
    ]
    assert parse_cues(vtt).to_pylist() == parse_cues(srt).to_pylist() == expected
    assert parse_cues("WEBVTT\n").column_names == ["start_s", "end_s", "text"]
    with pytest.raises(ValueError, match="must say its times as in"):
        parse_cues("WEBVTT\n\nsoon --> later\nHello.\n")
