"""The demo plants what its script says, measures by arithmetic, and says so when it fails."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from facelake import demo
from facelake.testing.footage import Planted
from facelake.testing.pictures import Region, camera_windows, wheel_picture

A = "evening.mp4"


def inside(face: Region, window: Region) -> float:
    """Share of the face's area that the window shows."""
    width = min(face[2], window[2]) - max(face[0], window[0])
    height = min(face[3], window[3]) - max(face[1], window[1])
    area = (face[2] - face[0]) * (face[3] - face[1])
    return max(0.0, width) * max(0.0, height) / area


# The script -------------------------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.parametrize(
    ("scene", "shot"), [(scene, shot) for scene in demo.SCENES for shot in scene.shots]
)
def test_the_cast_of_a_shot_is_wholly_in_it_and_nobody_else_is(
    scene: demo.Scene, shot: demo.Shot
) -> None:
    from PIL import Image

    picture = wheel_picture(shot.picture)
    with Image.open(picture.path) as image:
        aspect = (scene.size[0] / scene.size[1]) / (image.width / image.height)
    n_frames = scene.n_frames(shot)
    for window in camera_windows(shot.waypoints, n_frames=n_frames, aspect=aspect):
        for label, face in picture.faces.items():
            share = inside(face, window)
            assert share == pytest.approx(1.0) if label in shot.cast else share == 0.0, label


def test_planted_times_follow_from_the_frame_counts() -> None:
    scene = demo.Scene(
        A,
        (demo.Shot("poker", 2.0, (), ("a", "b")), demo.Shot("rocket", 1.0, ()),
         demo.Shot("poker", 0.5, (), ("a",))),
        start_s=1.7,
    )  # fmt: skip
    # 50, 25 and 12 frames of 0.04 s: half a second is 12.5 frames, rounded to even.
    assert list(scene.planted()) == [
        Planted(A, "a", 1.7, 3.7),
        Planted(A, "b", 1.7, 3.7),
        Planted(A, "a", pytest.approx(4.7), pytest.approx(5.18)),  # type: ignore[arg-type]
    ]


def test_appearances_of_one_person_are_far_enough_apart_to_be_two_spans() -> None:
    planted = [row for scene in demo.SCENES for row in scene.planted()]
    for one in planted:
        for other in planted:
            if one != other and (one.video, one.identity) == (other.video, other.identity):
                assert abs(one.start_s - other.end_s) > 2.0


def test_the_demo_has_strangers_an_empty_shot_a_late_start_and_two_exemplars_of_one() -> None:
    enrolled = [reference.identity for reference in demo.REFERENCES]
    cast = {row.identity for scene in demo.SCENES for row in scene.planted()}
    assert set(enrolled) < cast
    assert enrolled.count("poker-1") == 2
    assert any(not shot.cast for scene in demo.SCENES for shot in scene.shots)
    assert any(scene.start_s > 1 for scene in demo.SCENES)


# The comparison ---------------------------------------------------------------------------------


def test_a_late_start_and_an_overrun_are_counted_in_seconds() -> None:
    table = demo.compare([Planted(A, "x", 10.0, 20.0)], [Planted(A, "x", 11.0, 22.0)])
    (row,) = table.to_pylist()
    assert (row["missed_s"], row["false_s"]) == (1.0, 2.0)
    # 9 of 10 planted seconds found; 9 of 11 found seconds planted.
    assert demo.recall_and_precision(table) == pytest.approx((9 / 10, 9 / 11))


def test_a_span_over_two_appearances_charges_its_excess_once() -> None:
    truth = [Planted(A, "x", 0.0, 2.0), Planted(A, "x", 5.0, 6.0)]
    table = demo.compare(truth, [Planted(A, "x", 0.0, 6.0)])
    assert table["false_s"].to_pylist() == [3.0, 0.0]
    assert demo.recall_and_precision(table) == pytest.approx((1.0, 3 / 6))


def test_an_appearance_in_two_pieces_is_one_row() -> None:
    found = [Planted(A, "x", 0.0, 1.0), Planted(A, "x", 3.0, 4.0)]
    (row,) = demo.compare([Planted(A, "x", 0.0, 4.0)], found).to_pylist()
    assert (row["found_start_s"], row["found_end_s"], row["missed_s"]) == (0.0, 4.0, 2.0)


def test_what_was_found_where_nobody_is_has_a_row_of_its_own() -> None:
    truth = [Planted(A, "x", 0.0, 4.0)]
    found = [Planted(A, "y", 0.0, 4.0), Planted("final.mp4", "x", 0.0, 4.0)]
    table = demo.compare(truth, found)
    assert table["planted_start_s"].to_pylist() == [0.0, None, None]
    assert table["found_start_s"].to_pylist() == [None, 0.0, 0.0]
    assert demo.recall_and_precision(table) == (0.0, 0.0)


def result_of(truth: list[Planted], found: list[Planted]) -> demo.DemoResult:
    table = demo.compare(truth, found)
    recall, precision = demo.recall_and_precision(table)
    return demo.DemoResult(
        out=Path("out"),
        comparison=table,
        strangers=("z",),
        recall=recall,
        precision=precision,
        n_clips=len(found),
        summary="1 video",
    )


def test_a_good_result_says_so_with_errors_in_seconds_and_frames() -> None:
    result = result_of([Planted(A, "x", 0.0, 10.0)], [Planted(A, "x", 0.0, 9.8)])
    assert result.passed
    assert result.f1 == pytest.approx(2 * 0.98 / 1.98)
    assert "Good: F1 0.990" in str(result)
    assert "-0.20 s (-5 fr)" in str(result)  # at 25 frames a second


def test_a_bad_result_says_so() -> None:
    result = result_of([Planted(A, "x", 0.0, 10.0)], [Planted(A, "y", 0.0, 8.0)])
    assert not result.passed
    assert result.f1 == 0.0
    assert "BAD: F1 0.000" in str(result)
    assert "MISSED" in str(result)
    assert "nobody" in str(result)


# The run ----------------------------------------------------------------------------------------


@pytest.fixture
def short_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shots of one video, two people, one of them enrolled."""
    scene = demo.SCENES[1]
    shots = (replace(scene.shots[0], seconds=1.0), replace(scene.shots[1], seconds=3.0))
    monkeypatch.setattr(demo, "SCENES", (replace(scene, shots=shots),))
    enrolled = tuple(r for r in demo.REFERENCES if r.identity in ("astronaut", "trio-1"))
    monkeypatch.setattr(demo, "REFERENCES", enrolled)


@pytest.mark.models
@pytest.mark.usefixtures("short_script")
def test_the_demo_runs_and_runs_again(tmp_path: Path) -> None:
    first = demo.run_demo(tmp_path, workers=1, progress=False)
    assert first.passed, str(first)
    again = demo.run_demo(tmp_path, workers=1, progress=False)
    assert again.comparison.equals(first.comparison)
    (row,) = first.comparison.to_pylist()
    # The video starts at 1.7 s; the second shot begins 1 s later. Samples are 0.2 s apart.
    assert row["found_start_s"] == pytest.approx(2.7, abs=0.2 + 1 / 30)
    assert row["found_end_s"] == pytest.approx(5.7, abs=0.2 + 1 / 30)
    with (tmp_path / "truth.csv").open(encoding="utf-8") as lines:
        assert [line["identity"] for line in csv.DictReader(lines)] == ["astronaut"]
    assert (tmp_path / "timeline.png").read_bytes()[:4] == b"\x89PNG"
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == first.n_clips == 1


@pytest.mark.models
@pytest.mark.usefixtures("short_script")
def test_the_archive_and_the_photos_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    def made(folder: Path) -> list[bytes]:
        photos = demo.make_photos(folder / "photos").rglob("*.png")
        files = [*demo.make_archive(folder / "archive"), *sorted(photos)]
        return [file.read_bytes() for file in files]

    assert made(tmp_path / "one") == made(tmp_path / "other")
