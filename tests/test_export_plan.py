from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.errors import ExportError
from facelake.export import ClipFacts, clip_table, plan_clips, write_clip_table
from facelake.schema import CLIPS, SPANS

BOUNDS = {"v": (1.7, 28.0), "w": (0.0, 9.0)}


def span(start_s: float, end_s: float, identity: str = "Ann", **facts: Any) -> dict[str, Any]:
    return {
        "video_id": "v",
        "path": "tv/news.mp4",
        "identity": identity,
        "start_s": start_s,
        "end_s": end_s,
        "score_max": 0.75,
        "score_mean": 0.5,
        "n_hits": 4,
        "n_samples": 5,
        "best_face_id": "f",
        "best_time_s": start_s,
    } | facts


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SPANS)


def test_padding_stops_at_the_video_and_leaves_the_span_as_it_was() -> None:
    [plan] = plan_clips(table(span(2.0, 27.5)), bounds=BOUNDS, pad_s=1.0)
    assert (plan.cut_start_s, plan.cut_end_s) == (1.7, 28.0)
    assert (plan.start_s, plan.end_s) == (2.0, 27.5)
    assert plan.clip == "news_Ann_00h00m02.000s-00h00m27.500s.mp4"


def test_a_span_loses_no_time_to_the_bounds() -> None:
    [plan] = plan_clips(table(span(1.0, 29.0)), bounds=BOUNDS, pad_s=0.5)
    assert (plan.cut_start_s, plan.cut_end_s) == (1.0, 29.0)


def test_spans_whose_padding_overlaps_become_one_clip() -> None:
    spans = table(
        span(8.0, 9.0, n_hits=1, score_mean=0.25, score_max=0.25),
        span(5.0, 6.0, n_hits=3, score_mean=0.75, score_max=0.875),
    )
    [plan] = plan_clips(spans, bounds=BOUNDS, pad_s=1.25)
    assert (plan.start_s, plan.end_s) == (5.0, 9.0)
    assert (plan.cut_start_s, plan.cut_end_s) == (3.75, 10.25)
    assert (plan.n_hits, plan.score_max, plan.score_mean) == (4, 0.875, 0.625)


def test_spans_that_only_touch_or_are_of_others_stay_apart() -> None:
    spans = table(
        span(5.0, 6.0),
        span(6.0, 7.0),
        span(5.0, 6.0, "Bo"),
        span(5.0, 6.0, video_id="w", path="tv/weather.mp4"),
    )
    plans = plan_clips(spans, bounds=BOUNDS)
    assert [(p.path, p.start_s, p.identity) for p in plans] == [
        ("tv/news.mp4", 5.0, "Ann"),
        ("tv/news.mp4", 5.0, "Bo"),
        ("tv/news.mp4", 6.0, "Ann"),
        ("tv/weather.mp4", 5.0, "Ann"),
    ]


@given(
    st.lists(st.tuples(st.integers(20, 260), st.integers(1, 40), st.sampled_from("AB"))),
    st.integers(0, 30),
    st.randoms(),
)
def test_every_span_is_shown_once_whatever_the_order(
    spans: list[tuple[int, int, str]], pad: int, random: Any
) -> None:
    rows = [span(start / 10, (start + n) / 10, who) for start, n, who in spans]
    plans = plan_clips(table(*rows), bounds=BOUNDS, pad_s=pad / 10)
    for row in rows:
        holding = [
            plan
            for plan in plans
            if plan.identity == row["identity"]
            and plan.start_s <= row["start_s"]
            and row["end_s"] <= plan.end_s
        ]
        assert len(holding) == 1
    assert sum(plan.n_hits for plan in plans) == 4 * len(rows)
    assert len({plan.clip for plan in plans}) == len(plans)
    random.shuffle(rows)
    again = plan_clips(table(*rows), bounds=BOUNDS, pad_s=pad / 10)
    assert [(p.clip, p.cut_start_s, p.cut_end_s) for p in again] == [
        (p.clip, p.cut_start_s, p.cut_end_s) for p in plans
    ]


def test_no_spans_make_no_clips() -> None:
    assert plan_clips(SPANS.empty_table(), bounds={}) == []


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="pad_s must be 0 or more seconds, but is -1"):
        plan_clips(table(span(2.0, 3.0)), bounds=BOUNDS, pad_s=-1)
    with pytest.raises(ValueError, match="v is missing"):
        plan_clips(table(span(2.0, 3.0)), bounds={})


def test_the_table_of_clips_reads_back_with_every_digit(tmp_path: Path) -> None:
    row = span(2 / 3, 10 / 3, 'Ann "Q", Jr.\nBo', score_max=0.7, score_mean=0.1)
    plans = plan_clips(table(row), bounds={"v": (0.0, 9.0)})
    facts = ClipFacts(start_s=2 / 3, end_s=10.0 / 3.0, n_frames=64, has_audio=True)
    clips = clip_table(zip(plans, [facts], strict=True))
    assert clips.schema == CLIPS
    path = tmp_path / "clips" / "clips.csv"
    write_clip_table(clips, path)
    assert list(path.parent.iterdir()) == [path]
    with path.open(encoding="utf-8", newline="") as file:
        header, [*cells] = csv.reader(file)
    assert header == CLIPS.names
    read = dict(zip(header, cells, strict=True))
    assert read["identity"] == 'Ann "Q", Jr.\nBo'
    assert (float(read["clip_start_s"]), float(read["end_s"])) == (2 / 3, 10 / 3)
    assert (read["score_max"], read["score_mean"]) == ("0.7", "0.1")
    assert (read["has_audio"], read["n_frames"]) == ("true", "64")
    assert path.read_bytes().count(b"\r\n") == 2


def test_an_empty_table_of_clips_still_has_its_columns(tmp_path: Path) -> None:
    write_clip_table(clip_table([]), tmp_path / "clips.csv")
    assert (tmp_path / "clips.csv").read_text().strip().split(",") == CLIPS.names


def test_a_table_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").mkdir()
    (tmp_path / "clips.csv" / "full").touch()
    with pytest.raises(ExportError, match="could not be written"):
        write_clip_table(clip_table([]), tmp_path / "clips.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["clips.csv"]
    with pytest.raises(ValueError, match="clips must have the columns"):
        write_clip_table(SPANS.empty_table(), tmp_path / "other.csv")
