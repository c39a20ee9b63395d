"""Every instant of a video is examined, carried, undecodable or not examined, and nothing twice."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from planted import OTHER_SPACE, SPACE, alike, axis, new_lake, plant_video

from facelake import open_catalog
from facelake.cli import main
from facelake.errors import CatalogError
from facelake.lake import COVERAGE, Lake, total_coverage
from facelake.lake.coverage import STATES, Looks, find_coverage
from facelake.schema import SAMPLES

ROOT = Path(__file__).resolve().parent.parent
FRAME_S, N_FRAMES = 0.25, 16  # binary fractions: sums are exact
END_S = FRAME_S * N_FRAMES


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return new_lake(tmp_path / "tv")


def pieces(lake: Lake, **asked: float | None) -> list[tuple[float, float, str]]:
    table = open_catalog(lake.root).coverage(**asked)  # type: ignore[arg-type]
    # Sums of times are equal but for float64's last digits.
    return [
        (round(row["start_s"], 9), round(row["end_s"], 9), row["state"])
        for row in table.to_pylist()
    ]


def every(period_ms: int, n: int, start_ms: int = 0) -> dict[int, list[npt.NDArray[np.float32]]]:
    return {start_ms + period_ms * k: [axis(0)] for k in range(n)}


# On paper ---------------------------------------------------------------------------------------


def test_a_video_sampled_from_start_to_end_is_examined(lake: Lake) -> None:
    # 5 a second, of 25 frames a second: the first of each fifth of a second, up to the last frame.
    plant_video(lake, "a", every(200, 10) | {1960: []}, sample_fps=5.0)
    assert pieces(lake) == [(0.0, 2.0, "examined")]


def test_a_gap_between_samples_is_not_examined_but_the_frame_before_it_is(lake: Lake) -> None:
    plant_video(lake, "a", every(200, 3) | every(200, 3, 4000), sample_fps=5.0)
    assert pieces(lake) == [
        (0.0, 0.44, "examined"), (0.44, 4.0, "not_examined"), (4.0, 4.44, "examined"),
    ]  # fmt: skip


def test_with_no_tolerance_only_the_frames_themselves_were_examined(lake: Lake) -> None:
    plant_video(lake, "a", every(200, 3), sample_fps=5.0)
    assert pieces(lake, tolerance_s=0.0) == [
        (0.0, 0.04, "examined"), (0.04, 0.2, "not_examined"), (0.2, 0.24, "examined"),
        (0.24, 0.4, "not_examined"), (0.4, 0.44, "examined"),
    ]  # fmt: skip


def test_an_instant_that_did_not_decode_is_dark_until_the_next(lake: Lake) -> None:
    looks = every(200, 6) | {400: None, 600: None}
    plant_video(lake, "a", looks, sample_fps=5.0, error="2 instants", status="partial")
    table = open_catalog(lake.root).coverage()
    rows = table.select(["start_s", "end_s", "state", "note"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (0.0, 0.4, "examined", None),
        (0.4, 0.8, "undecodable", "2 instants"),
        (0.8, 1.04, "examined", None),
    ]


def test_carried_time_is_told_from_examined_time(lake: Lake) -> None:
    video_id = plant_video(lake, "a", every(200, 5), sample_fps=5.0)
    row = lake.runs_of(video_id, SPACE)[0]
    samples = lake.samples(video_id, SPACE)
    sources = pa.array(["detected", "carried", "carried", "refined", "detected"])
    at = SAMPLES.get_field_index("source")
    samples = samples.set_column(at, SAMPLES.field("source"), sources)
    lake.publish(row, samples, lake.faces(video_id, SPACE), lake.tracks(video_id, SPACE))
    assert pieces(lake) == [
        (0.0, 0.2, "examined"), (0.2, 0.6, "carried"), (0.6, 0.84, "examined"),
    ]  # fmt: skip


def test_a_level_is_told_for_every_stretch_and_the_denser_look_counts(lake: Lake) -> None:
    plant_video(lake, "a", every(1000, 5), run="sparse", sample_fps=1.0)
    plant_video(lake, "a", every(40, 25, 1000), run="dense", start_s=0.0, duration_s=4.04)
    table = open_catalog(lake.root).coverage()
    rows = table.select(["start_s", "end_s", "state", "sample_fps", "run"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (0.0, 1.0, "examined", 1.0, "sparse"),
        (1.0, 2.0, "examined", None, "dense"),
        (2.0, 4.04, "examined", 1.0, "sparse"),
    ]


def test_a_denser_run_that_could_not_decode_leaves_the_time_to_the_other(lake: Lake) -> None:
    plant_video(lake, "a", every(1000, 3), run="sparse", sample_fps=1.0)
    broken = {40 * k: None if 10 <= k < 20 else [axis(0)] for k in range(51)}
    plant_video(lake, "a", broken, run="dense")
    table = open_catalog(lake.root).coverage()
    assert set(table["state"].to_pylist()) == {"examined"}
    assert table["run"].to_pylist() == ["dense", "sparse", "dense"]


def test_the_bounds_are_the_video_s_and_not_the_samples(lake: Lake) -> None:
    plant_video(lake, "a", {5000: []}, sample_fps=5.0, start_s=1.5, duration_s=10.0)
    assert pieces(lake) == [
        (1.5, 5.0, "not_examined"), (5.0, 5.04, "examined"), (5.04, 11.5, "not_examined"),
    ]  # fmt: skip


def test_a_failed_video_is_dark_with_its_reason(lake: Lake) -> None:
    plant_video(lake, "known", {}, start_s=0.5, duration_s=2.0, error="the key is lost")
    plant_video(lake, "no-video", {})
    rows = open_catalog(lake.root).coverage().to_pylist()
    told = [(row["start_s"], row["end_s"], row["state"], row["note"]) for row in rows]
    assert told == [
        (0.5, 2.5, "not_examined", "the key is lost"),
        (0.0, None, "not_examined", "no frame could be decoded"),
    ]


def test_other_spaces_tell_nothing_of_this_one(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv", SPACE, OTHER_SPACE)
    plant_video(lake, "a", every(200, 10), sample_fps=5.0)
    plant_video(lake, "b", every(200, 10), space=OTHER_SPACE, sample_fps=5.0)
    catalog = open_catalog(lake.root)
    assert len(set(catalog.coverage(space=OTHER_SPACE)["path"].to_pylist())) == 1
    with pytest.raises(CatalogError, match="name one space"):
        catalog.coverage()


def test_one_video_is_chosen_by_its_id_its_path_or_its_file_name(lake: Lake) -> None:
    video_id = plant_video(lake, "a", {0: [alike(p0=0.5)]})
    plant_video(lake, "b", {0: []})
    catalog = open_catalog(lake.root)
    for name in (video_id, "/archive/a.mp4", "a.mp4"):
        assert set(catalog.coverage(name)["video_id"].to_pylist()) == {video_id}
    with pytest.raises(CatalogError, match="no such video"):
        catalog.coverage("c.mp4")


def test_an_empty_catalog_gives_an_empty_table(lake: Lake) -> None:
    table = open_catalog(lake.root).coverage()
    assert table.schema.equals(COVERAGE)
    assert len(table) == 0
    assert len(total_coverage(table)) == 0


def test_totals_add_up_to_the_video(lake: Lake) -> None:
    plant_video(lake, "a", every(200, 3) | every(200, 3, 4000), sample_fps=5.0)
    plant_video(lake, "b", {})
    totals = total_coverage(open_catalog(lake.root).coverage()).to_pylist()
    assert totals[0]["examined_s"] == pytest.approx(0.88)
    assert totals[0]["not_examined_s"] == pytest.approx(3.56)
    assert totals[1]["not_examined_s"] is None  # nobody knows how long it is
    assert totals[1]["note"] == "no frame could be decoded"


def test_the_command_prints_totals_and_hands_on_every_stretch(lake: Lake) -> None:
    plant_video(lake, "a", every(200, 3) | every(200, 3, 4000), sample_fps=5.0)
    run = CliRunner()
    command = ["coverage", "-c", str(lake.root)]
    lines = run.invoke(main, command).stdout.splitlines()
    assert lines[0].split() == [
        "video", "examined_s", "carried_s", "undecodable_s", "not_examined_s", "note",
    ]  # fmt: skip
    assert lines[1].split() == ["a.mp4", "0.880", "0.000", "0.000", "3.560", "–"]
    assert len(run.invoke(main, [*command, "--pieces"]).stdout.splitlines()) == 4
    rows = json.loads(run.invoke(main, [*command, "--format", "json"]).stdout)
    assert [row["state"] for row in rows] == ["examined", "not_examined", "examined"]
    strict = [*command, "--tolerance-s", "0", "--format", "json"]
    assert len(json.loads(run.invoke(main, strict).stdout)) == 11


def test_the_page_names_every_column_and_state() -> None:
    text = (ROOT / "docs" / "catalog.md").read_text()
    section = text.split("\n## coverage\n")[1].split("\n## ")[0]
    for name in (*COVERAGE.names, *STATES):
        assert f"`{name}`" in section


# Laws -------------------------------------------------------------------------------------------

frames = st.dictionaries(st.integers(0, N_FRAMES - 1), st.integers(0, 2), max_size=N_FRAMES)
tolerances = st.sampled_from([0.0, FRAME_S, 0.6, 1.0, 10.0])


def looks(samples: dict[int, int], tolerance_s: float) -> Looks:
    """Samples by number of frame, with their state; what did not decode is shown for no time."""
    order = sorted(samples)
    state = np.array([samples[frame] for frame in order], np.int64)
    shown_s = np.where(state == STATES.index("undecodable"), 0.0, FRAME_S)
    return Looks(np.array(order) * FRAME_S, shown_s, state, tolerance_s)


def states_by_frame(runs: list[Looks]) -> list[int]:
    """What is known of the middle of every frame."""
    edges, state, _ = find_coverage(runs, start_s=0.0, end_s=END_S)
    middles = (np.arange(N_FRAMES) + 0.5) * FRAME_S
    return [int(state[k]) for k in np.searchsorted(edges, middles) - 1]


@given(st.lists(frames, max_size=3), tolerances)
def test_stretches_tile_the_video_in_order_and_neighbours_differ(
    runs: list[dict[int, int]], tolerance_s: float
) -> None:
    edges, state, owner = find_coverage(
        [looks(run, tolerance_s) for run in runs], start_s=0.0, end_s=END_S
    )
    assert (edges[0], edges[-1]) == (0.0, END_S)
    assert (np.diff(edges) > 0).all()
    assert len(state) == len(owner) == len(edges) - 1
    told = list(zip(state.tolist(), owner.tolist(), strict=True))
    assert all(one != next_ for one, next_ in pairwise(told))


@given(frames, st.integers(0, N_FRAMES - 1), tolerances)
def test_more_examined_samples_never_lessen_examined_time(
    samples: dict[int, int], frame: int, tolerance_s: float
) -> None:
    before = states_by_frame([looks(samples, tolerance_s)])
    after = states_by_frame([looks(samples | {frame: 0}, tolerance_s)])
    assert all(new == 0 for old, new in zip(before, after, strict=True) if old == 0)
    assert after[frame] == 0


@given(frames, frames, tolerances)
def test_another_run_never_darkens_what_one_has_seen(
    samples: dict[int, int], more: dict[int, int], tolerance_s: float
) -> None:
    before = states_by_frame([looks(samples, tolerance_s)])
    after = states_by_frame([looks(samples, tolerance_s), looks(more, tolerance_s)])
    assert all(new <= old for old, new in zip(before, after, strict=True))


@given(frames, tolerances, tolerances)
def test_more_tolerance_never_lessens_the_time_that_counts(
    samples: dict[int, int], one: float, two: float
) -> None:
    strict, wide = sorted([one, two])
    dark = STATES.index("not_examined")
    before = [s == dark for s in states_by_frame([looks(samples, strict)])]
    after = [s == dark for s in states_by_frame([looks(samples, wide)])]
    assert all(old or not new for old, new in zip(before, after, strict=True))


@given(frames)
def test_without_tolerance_exactly_the_frames_that_were_looked_at_count(
    samples: dict[int, int],
) -> None:
    expected = [
        samples.get(frame, 3) if samples.get(frame) != 2 else 3 for frame in range(N_FRAMES)
    ]
    assert states_by_frame([looks(samples, 0.0)]) == expected
