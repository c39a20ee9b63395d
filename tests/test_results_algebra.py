"""Spans that are combined, asked and cut through the front door and the command line."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from planted import OTHER_SPACE, SPACE, add_space, alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake.cli import main
from facelake.errors import CatalogError, GalleryError, SourceError
from facelake.lake import Lake
from facelake.results import Spans
from facelake.schema import SCREEN_TIME, SCREEN_TIME_BY_VIDEO, SPANS, TOGETHER
from facelake.testing.footage import numbered_frames, write_video

FPS, N_FRAMES = 25, 100
Rows = list[tuple[str, float, float]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A film of 4 s: Ann from 0 to 2 s, Bob from 1 to 3 s; Cleo is enrolled and never there."""
    film = tmp_path_factory.mktemp("archive") / "film.mp4"
    write_video(film, numbered_frames(N_FRAMES), fps=FPS)
    lake = new_lake(tmp_path_factory.mktemp("catalogs") / "tv")
    looks: dict[int, Any] = {pts: [] for pts in range(0, 4000, 40)}
    for person, (start, end) in enumerate([(0, 2000), (1000, 3000)]):
        for pts in range(start, end, 40):
            looks[pts] = [*looks[pts], alike(**{f"p{person}": 0.7})]
    plant_video(lake, "film", looks, paths=[film], size_bytes=film.stat().st_size)
    plant_video(lake, "blank", {0: [], 1000: []})
    plant_gallery(lake, {"Ann": [axis(0)], "Bob": [axis(1)], "Cleo": [axis(2)]})
    return lake


@pytest.fixture(scope="module")
def spans(lake: Lake) -> Spans:
    return facelake.open_catalog(lake.root).match().spans(threshold=0.3)


def rows(spans: Spans) -> Rows:
    assert spans.table.schema.equals(SPANS)
    return [
        (row["identity"], round(row["start_s"], 6), round(row["end_s"], 6))
        for row in spans.table.to_pylist()
    ]


def test_people_are_asked_for_by_name(spans: Spans) -> None:
    assert rows(spans) == [("Ann", 0, 2), ("Bob", 1, 3)]
    assert rows(spans.of("Bob")) == [("Bob", 1, 3)]
    assert rows(spans.of("Bob", "Ann")) == rows(spans)
    assert rows(spans.of("Cleo")) == []
    with pytest.raises(GalleryError, match="'Bop' is not; did you mean 'Bob'"):
        spans.of("Bop")


def test_operators_give_spans(spans: Spans) -> None:
    ann, bob = spans.of("Ann"), spans.of("Bob")
    both = ann & bob
    assert rows(both) == [("Ann & Bob", 1, 2)]
    assert rows(both.of("Ann & Bob")) == rows(both)
    assert rows(ann | bob) == [("Ann | Bob", 0, 3)]
    assert rows(ann - bob) == [("Ann", 0, 1)]
    assert rows((ann | bob) - both) == [("Ann | Bob", 0, 1), ("Ann | Bob", 2, 3)]
    assert repr(both).startswith("1 span of 1 identity in 1 video, 0:01 in all, at threshold 0.3")


def test_methods_give_spans_and_pairs(spans: Spans) -> None:
    ann, bob = spans.of("Ann"), spans.of("Bob")
    rest = bob - ann
    assert rows(ann.within(rest, window_s=0.0)) == [("Ann", 0, 2)]
    assert rows((ann & bob).during(bob)) == [("Ann & Bob", 1, 2)]
    assert rows((ann | rest).coalesce(gap_s=1.0)) == [("Ann | Bob", 0, 3)]
    assert rows(spans.first()) == rows(spans.last()) == rows(spans)
    (pair,) = ann.before(rest, max_gap_s=0.5).to_pylist()
    assert (pair["identity_a"], pair["identity_b"], round(pair["gap_s"], 6)) == ("Ann", "Bob", 0)
    (pair,) = ann.overlapping(bob).to_pylist()
    assert (pair["identity_a"], pair["identity_b"], round(pair["overlap_s"], 6)) == (
        "Ann", "Bob", 1,
    )  # fmt: skip


def test_spans_are_dilated_within_their_video(spans: Spans) -> None:
    assert rows(spans.dilate(before_s=0.5, after_s=5)) == [("Ann", 0, 4), ("Bob", 0.5, 4)]


def test_what_was_combined_is_cut_drawn_and_saved(spans: Spans, tmp_path: Path) -> None:
    both = spans.of("Ann") & spans.of("Bob")
    clips = both.clips(tmp_path / "clips", progress=False)
    (clip,) = clips.to_pylist()
    assert (clip["identity"], clip["n_frames"]) == ("Ann & Bob", FPS)
    assert (clip["clip_start_s"], clip["clip_end_s"]) == (1.0, 2.0)
    assert (tmp_path / "clips" / clip["clip"]).stat().st_size > 0
    assert len(both.plot()) == 2  # the film, and the video without a span
    assert "Ann & Bob" in both.to_csv(tmp_path / "both.csv").read_text()


def test_sums_come_with_every_column(spans: Spans, lake: Lake) -> None:
    assert spans.screen_time().schema.equals(SCREEN_TIME)
    assert spans.screen_time(by_video=True).schema.equals(SCREEN_TIME_BY_VIDEO)
    assert spans.together().schema.equals(TOGETHER)
    (pair,) = spans.together().to_pylist()
    assert (pair["seconds"], pair["jaccard"]) == (pytest.approx(1.0), pytest.approx(1 / 3))
    assert spans.together_matrix()["identity"].to_pylist() == ["Ann", "Bob"]
    looked = facelake.open_catalog(lake.root).coverage("film.mp4")
    (ann, _) = spans.screen_time(by_video=True, coverage=looked).to_pylist()
    assert (ann["examined_s"], ann["unexamined_s"]) == (pytest.approx(4.0), 0.0)


def test_the_lower_of_two_thresholds_is_told(lake: Lake, spans: Spans) -> None:
    strict = facelake.open_catalog(lake.root).match().spans(threshold=0.6)
    for found in (strict | spans, spans | strict):
        assert found.settings.threshold == 0.3
    assert (strict & strict).settings.threshold == 0.6


def test_galleries_of_two_versions_are_both_named(spans: Spans) -> None:
    first, later = (replace(spans, gallery_version=version) for version in ("0a1b", "2c3d"))
    assert (first & later).gallery_version == "0a1b and 2c3d"
    assert (first & first).gallery_version == "0a1b"
    assert first.coalesce().gallery_version == "0a1b"


def test_spans_of_two_catalogs_are_not_mixed(spans: Spans, tmp_path: Path) -> None:
    other = replace(spans, _lake=new_lake(tmp_path / "radio"))
    for ask in (
        lambda: spans & other, lambda: spans | other, lambda: spans - other,
        lambda: spans.within(other, window_s=1), lambda: spans.during(other),
        lambda: spans.before(other, max_gap_s=1), lambda: spans.overlapping(other),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"must be of one catalog to be compared.*radio"):
            ask()


def test_spans_of_two_models_are_not_mixed(spans: Spans) -> None:
    other = replace(spans, space=OTHER_SPACE)
    with pytest.raises(ValueError, match=f"must be of one space .* {SPACE} and {OTHER_SPACE}"):
        spans & other


def test_only_spans_are_combined_with_spans(spans: Spans) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        spans & spans.table


# Other tables -----------------------------------------------------------------------------------

WORDS = {
    "file": ["film.mp4"] * 2,
    "from_s": [0.0, 2.5],
    "to_s": [0.5, 3.5],
    "text": ["Hi.", "Bye."],
}


@pytest.mark.parametrize("make", [pa.table, pd.DataFrame, pl.DataFrame])
def test_tables_of_every_kind_are_joined(spans: Spans, make: Any) -> None:
    found = spans.join(make(WORDS), on="file", start="from_s", end="to_s")
    told = [(row["identity"], row["text"], row["overlap_s"]) for row in found.to_pylist()]
    assert told == [("Ann", "Hi.", 0.5), ("Bob", "Bye.", pytest.approx(0.5))]


def test_files_are_joined(spans: Spans, tmp_path: Path) -> None:
    table = pa.table(WORDS)
    pd.DataFrame(WORDS).to_csv(tmp_path / "words.csv", index=False)
    pq.write_table(table, tmp_path / "words.parquet")
    expected = spans.join(table, on="file", start="from_s", end="to_s")
    for name in ("words.csv", "words.parquet"):
        assert spans.join(tmp_path / name, on="file", start="from_s", end="to_s").equals(expected)
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:00,500\nHi.\n")
    (word,) = spans.join(tmp_path / "words.srt", video="film.mp4").to_pylist()
    assert (word["identity"], word["text"]) == ("Ann", "Hi.")


def test_an_event_is_joined_with_whoever_is_there(spans: Spans) -> None:
    found = spans.join(pa.table({"at": [1.5, 2.0]}), video="film.mp4", start="at", end=None)
    assert [(row["identity"], row["at"]) for row in found.to_pylist()] == [
        ("Ann", 1.5), ("Bob", 1.5), ("Bob", 2.0),
    ]  # fmt: skip


def test_rows_of_other_videos_are_refused_or_left_out(spans: Spans) -> None:
    table = pa.table(WORDS | {"file": ["film.mp4", "flim.mp4"]})
    asked: dict[str, Any] = {"on": "file", "start": "from_s", "end": "to_s"}
    with pytest.raises(CatalogError, match=r"flim.mp4: .*did you mean film.mp4"):
        spans.join(table, **asked)
    assert len(spans.join(table, others_ok=True, **asked)) == 1
    with pytest.raises(CatalogError, match="flim"):
        spans.join(table, video="flim", start="from_s", end="to_s")


def test_files_that_are_no_tables_are_refused(spans: Spans, tmp_path: Path) -> None:
    (tmp_path / "torn.parquet").write_text("PAR1")
    (tmp_path / "torn.srt").write_text("1\nsoon --> later\n")
    for name in ("torn.parquet", "torn.srt", "gone.csv"):
        with pytest.raises(SourceError, match=f"{name}: the table cannot be read"):
            spans.join(tmp_path / name, video="film.mp4")
    with pytest.raises(SourceError, match=r"guide.xlsx: the file must end in one of \.csv"):
        spans.join("guide.xlsx")


# The command line -------------------------------------------------------------------------------


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_screentime_is_a_table_for_people(lake: Lake) -> None:
    result = run("screentime", "-c", lake.root, "-t", "0.3")
    assert result.exit_code == 0
    header, ann, bob = result.stdout.splitlines()
    assert header.split() == [
        "identity", "seconds", "seconds_max", "n_spans", "n_videos", "first_video", "first_s",
        "last_video", "last_s",
    ]  # fmt: skip
    # Ann is there from the first frame, and not at the sample of 2 s; Bob not at 0.96 s and 3 s.
    assert ann.split() == [
        "Ann", "2.00", "2.00", "1", "1", "film.mp4", "0.000", "film.mp4", "2.000",
    ]  # fmt: skip
    assert bob.split()[:3] == ["Bob", "2.00", "2.04"]
    assert result.stderr.startswith("2 spans of 2 identities")


def test_screentime_by_video_with_what_was_looked_at(lake: Lake) -> None:
    args = ("screentime", "-c", lake.root, "-t", "0.3", "--by-video", "--coverage")
    header, *lines = run(*args).stdout.splitlines()
    assert header.split() == [
        "video", "identity", "seconds", "seconds_max", "n_spans", "first_s", "last_s", "examined_s",
        "unexamined_s",
    ]  # fmt: skip
    assert lines[0].split()[-2:] == ["4.000", "0.000"]
    rows = json.loads(run(*args, "--format", "json").stdout)
    assert [list(row) for row in rows] == [SCREEN_TIME_BY_VIDEO.names] * 2


def test_together_says_who_meets_whom(lake: Lake) -> None:
    result = run("together", "-c", lake.root, "-t", "0.3", "--format", "csv")
    assert result.exit_code == 0
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert list(row) == TOGETHER.names
    assert (row["identity_a"], row["identity_b"]) == ("Ann", "Bob")
    assert float(row["seconds"]) == pytest.approx(1.0)
    header, ann, _ = run("together", "-c", lake.root, "-t", "0.3", "--matrix").stdout.splitlines()
    assert (header.split(), ann.split()) == (["identity", "Ann", "Bob"], ["Ann", "2.00", "1.00"])


@pytest.mark.parametrize("command", ["screentime", "together"])
def test_where_nobody_is_found_there_is_an_empty_table(lake: Lake, command: str) -> None:
    result = run(command, "-c", lake.root, "-t", "0.9", "--format", "csv")
    assert result.exit_code == 0
    names = {"screentime": SCREEN_TIME.names, "together": TOGETHER.names}[command]
    assert [line.replace('"', "").split(",") for line in result.stdout.splitlines()] == [names]
    assert "the best score is 0.70" in result.stderr


def test_a_catalog_without_faces_has_no_screen_time(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    add_space(lake, OTHER_SPACE)
    plant_video(lake, "empty", {0: [], 40: []})
    plant_gallery(lake, {"Bob": [axis(1)]})
    result = run("screentime", "-c", lake.root, "-t", "0.3", "--format", "json")
    assert json.loads(result.stdout) == []
    assert "no face was found in the videos" in result.stderr
