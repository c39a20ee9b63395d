"""Clips and timelines of spans: the frames of the clips carry their numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
from planted import MS, SPACE, alike, axis, new_lake, plant_gallery, plant_video

from facelake import present
from facelake.catalog import Catalog
from facelake.errors import ExportError
from facelake.lake import Lake
from facelake.media import frame_rgb
from facelake.results import Spans
from facelake.schema import CLIPS, SPANS
from facelake.testing.footage import numbered_frames, read_number, write_video

FPS, N_FRAMES, START_S = 25, 100, 1.7
END_S = START_S + N_FRAMES / FPS


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of numbered frames that begin at 1.7 s: frame ``n`` is at ``1.7 + n / 25``."""
    path = tmp_path_factory.mktemp("archive") / "numbered.mp4"
    return write_video(path, numbered_frames(N_FRAMES), fps=FPS, start_s=START_S, tone_hz=440.0)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return new_lake(tmp_path / "catalogs" / "tv")


def plant(lake: Lake, *paths: Path, size_bytes: int | None = None) -> str:
    """A video of these files, sampled at every frame, without faces."""
    looks: dict[int, Any] = {round((START_S + n / FPS) * MS): [] for n in range(N_FRAMES)}
    there = [path for path in paths if path.is_file()]
    size = there[0].stat().st_size if size_bytes is None and there else size_bytes or 1
    return plant_video(lake, "numbered", looks, paths=paths, size_bytes=size)


def spans(video_id: str, path: Path, *times: tuple[int, int], identity: str = "Ann") -> pa.Table:
    """Spans from one frame to before another."""
    rows = [
        {
            "video_id": video_id,
            "path": str(path),
            "identity": identity,
            "start_s": START_S + first / FPS,
            "end_s": START_S + end / FPS,
            "score_max": 0.7,
            "score_mean": 0.5,
            "n_hits": end - first,
            "n_samples": end - first,
            "best_face_id": "0" * 16,
            "best_time_s": START_S + first / FPS,
        }
        for first, end in times
    ]
    return pa.Table.from_pylist(rows, SPANS)


def numbers(clip: Path) -> list[int]:
    """The numbers on a clip's frames, in the order in which they are shown."""
    with av.open(str(clip)) as container:
        return [read_number(frame_rgb(frame)) for frame in container.decode(video=0)]


# Clips ------------------------------------------------------------------------------------------


def test_a_clip_shows_exactly_the_frames_of_its_span(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    table = spans(plant(lake, source), source, (13, 37), (60, 61))
    clips, errors = present.cut_clips(lake, table, SPACE, tmp_path / "clips")
    assert errors == []
    assert clips.schema.equals(CLIPS)
    first, second = clips.to_pylist()
    assert numbers(tmp_path / "clips" / first["clip"]) == list(range(13, 37))
    assert numbers(tmp_path / "clips" / second["clip"]) == [60]
    assert first["n_frames"] == 24
    assert first["clip_start_s"] == pytest.approx(START_S + 13 / FPS, abs=1e-6)
    assert first["clip_end_s"] == pytest.approx(START_S + 37 / FPS, abs=1e-6)
    assert first["has_audio"]


def test_padding_stays_within_the_video_and_joins_spans_that_then_overlap(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    table = spans(plant(lake, source), source, (5, 20), (40, 50), (60, 98))
    # 0.4 s are 10 frames: the second and third overlap by it, the first and second touch.
    clips, _ = present.cut_clips(lake, table, SPACE, tmp_path, pad_s=0.4)
    shown = [numbers(tmp_path / row["clip"]) for row in clips.to_pylist()]
    assert shown == [list(range(30)), list(range(30, 100))]
    assert clips["start_s"].to_pylist()[1] == pytest.approx(START_S + 40 / FPS)
    assert clips["n_hits"].to_pylist() == [15, 48]


def test_the_table_beside_the_clips_lists_them(lake: Lake, source: Path, tmp_path: Path) -> None:
    table = spans(plant(lake, source), source, (0, 10), (50, 60))
    clips, _ = present.cut_clips(
        lake, table, SPACE, tmp_path, template="{identity}/{n:03d}_{start_s:.2f}.mp4"
    )
    with (tmp_path / "clips.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == ["Ann/001_1.70.mp4", "Ann/002_3.70.mp4"]
    assert all((tmp_path / row["clip"]).is_file() for row in rows)
    assert list(rows[0]) == CLIPS.names
    assert [float(row["clip_start_s"]) for row in rows] == clips["clip_start_s"].to_pylist()
    assert {row["path"] for row in rows} == {str(source)}


def test_the_default_name_tells_video_identity_and_time(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    table = spans(plant(lake, source), source, (0, 25))
    clips, _ = present.cut_clips(lake, table, SPACE, tmp_path)
    assert clips["clip"].to_pylist() == ["numbered_Ann_00h00m01.700s-00h00m02.700s.mp4"]


def test_no_spans_give_an_empty_table_and_no_clip(lake: Lake, source: Path, tmp_path: Path) -> None:
    plant(lake, source)
    clips, errors = present.cut_clips(lake, SPANS.empty_table(), SPACE, tmp_path / "clips")
    assert (len(clips), errors) == (0, [])
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["clips.csv"]


def test_a_video_that_was_moved_is_said_with_what_to_do(lake: Lake, tmp_path: Path) -> None:
    gone = tmp_path / "gone.mp4"
    table = spans(plant(lake, gone, size_bytes=1000), gone, (0, 10))
    clips, (error,) = present.cut_clips(lake, table, SPACE, tmp_path / "clips")
    assert len(clips) == 0
    assert error.startswith(f"{gone}: the video must still be there to be cut, but it is gone")
    assert "ingest it from its new place" in error


def test_of_two_files_of_one_content_the_one_that_is_left_is_cut(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    gone = source.parent / "gone.mp4"
    assert gone < source  # the first of its paths, in order
    table = spans(plant(lake, gone, source), gone, (3, 9))
    clips, errors = present.cut_clips(lake, table, SPACE, tmp_path / "clips")
    assert errors == []
    assert numbers(tmp_path / "clips" / clips["clip"][0].as_py()) == list(range(3, 9))


def test_a_file_of_another_size_is_another_video_and_not_cut(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    table = spans(plant(lake, source, size_bytes=17), source, (0, 10))
    _, (error,) = present.cut_clips(lake, table, SPACE, tmp_path)
    assert "gone or changed" in error


def test_what_cannot_be_cut_does_not_stop_the_others(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    here = spans(plant(lake, source), source, (0, 10))
    other = plant_video(lake, "lost", {0: []}, paths=[tmp_path / "lost.mp4"])
    lost = spans(other, tmp_path / "lost.mp4", (0, 1))
    clips, errors = present.cut_clips(lake, pa.concat_tables([lost, here]), SPACE, tmp_path)
    assert (len(clips), len(errors)) == (1, 1)
    assert numbers(tmp_path / clips["clip"][0].as_py()) == list(range(10))


def test_progress_tells_how_many_clips_are_done(lake: Lake, source: Path, tmp_path: Path) -> None:
    table = spans(plant(lake, source), source, (0, 3), (50, 53))
    seen: list[tuple[int, int]] = []
    present.cut_clips(
        lake, table, SPACE, tmp_path, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_a_folder_that_cannot_be_made_is_refused_before_a_clip_is_cut(
    lake: Lake, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(present, "write_clip", lambda *_args, **_options: pytest.fail("was cut"))
    (tmp_path / "file").touch()
    table = spans(plant(lake, source), source, (0, 3))
    with pytest.raises(ExportError, match=r"file/clips: the folder cannot be made \("):
        present.cut_clips(lake, table, SPACE, tmp_path / "file" / "clips")


def test_clips_that_could_not_be_cut_are_counted_in_one_sentence(
    lake: Lake, source: Path, tmp_path: Path
) -> None:
    looks: dict[int, Any] = {pts: [alike(p0=0.6)] for pts in (1700, 1740, 1780)}
    size = source.stat().st_size
    plant_video(lake, "here", looks, paths=[source], size_bytes=size)
    plant_video(lake, "lost", looks, paths=[tmp_path / "lost.mp4"])
    plant_gallery(lake, {"Ann": [axis(0)]})
    found = Catalog(lake.root).match().spans(0.3)
    with pytest.raises(ExportError) as error:
        found.clips(tmp_path / "clips", progress=False)
    text = str(error.value)
    assert text.startswith(f"1 of 2 clips could not be cut, the rest is in {tmp_path / 'clips'}")
    assert "lost.mp4: the video must still be there" in text
    assert (tmp_path / "clips" / "clips.csv").is_file()


# Timelines --------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, pa.Table]:
    """What `plot_spans` is given to draw."""
    told: dict[str, pa.Table] = {}

    def plot_spans(spans: pa.Table, **options: Any) -> np.ndarray[Any, Any]:
        told.update(options, spans=spans)
        return np.empty(0, object)

    monkeypatch.setattr(present, "plot_spans", plot_spans)
    return told


def ranges(coverage: pa.Table) -> list[tuple[float, float]]:
    return [(row["start_s"], round(row["end_s"], 6)) for row in coverage.to_pylist()]


def test_a_timeline_shows_what_was_examined(lake: Lake, drawn: dict[str, pa.Table]) -> None:
    looks: dict[int, Any] = {pts: [] for pts in range(0, 10_000, 200)}
    looks |= dict.fromkeys(range(4000, 8000, 200))
    plant_video(lake, "one", looks)
    present.draw_timeline(lake, SPANS.empty_table(), SPACE)
    assert ranges(drawn["coverage"]) == [(0.0, 3.84), (8.0, 9.84)]
    present.draw_timeline(lake, SPANS.empty_table(), SPACE, blind_s=5.0)
    assert ranges(drawn["coverage"]) == [(0.0, 9.84)]


def test_a_timeline_hatches_what_the_spans_call_blind(
    lake: Lake, drawn: dict[str, pa.Table]
) -> None:
    plant_video(lake, "one", {0: [alike(p0=0.6)], 3000: [alike(p0=0.6)], 3100: []})
    plant_gallery(lake, {"Ann": [axis(0)]})
    found = Catalog(lake.root).match().spans(0.3, blind_s=1.0)
    assert isinstance(found, Spans)
    found.plot()
    assert ranges(drawn["coverage"]) == [(0.0, 0.04), (3.0, 3.14)]


def test_a_few_samples_a_minute_do_not_make_a_video_unexamined(
    lake: Lake, drawn: dict[str, pa.Table]
) -> None:
    plant_video(lake, "one", {pts: [] for pts in range(0, 100_000, 10_000)})
    present.draw_timeline(lake, SPANS.empty_table(), SPACE)
    assert ranges(drawn["coverage"]) == [(0.0, 90.04)]


def test_a_timeline_reads_the_samples_of_no_more_videos_than_it_draws(
    lake: Lake, drawn: dict[str, pa.Table]
) -> None:
    ids = {name: plant_video(lake, name, {0: []}) for name in "abcd"}
    found = spans(ids["d"], Path("/archive/d.mp4"), (0, 1))
    present.draw_timeline(lake, found, SPACE, max_panels=2)
    assert sorted(drawn["coverage"]["video_id"].to_pylist()) == [ids["a"], ids["d"]]
    assert len(drawn["videos"]) == 4


def test_a_timeline_has_axes_for_each_video(lake: Lake) -> None:
    ids = {name: plant_video(lake, name, {0: [], 1000: []}) for name in "ab"}
    found = spans(ids["b"], Path("/archive/b.mp4"), (0, 1))
    axes = present.draw_timeline(lake, found, SPACE)
    assert [ax.get_title(loc="left") or ax.get_title() for ax in axes] == ["b.mp4", "a.mp4"]
