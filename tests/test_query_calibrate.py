"""Calibration of whole catalogs, the threshold they keep, and `facelake calibrate`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from planted import SPACE, add_space, alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake.calibrate import PairSettings
from facelake.catalog import Catalog
from facelake.cli import FAILED, WRONG_USAGE, main
from facelake.errors import CalibrationError, CatalogError
from facelake.lake import Lake
from facelake.query.calibrate import calibrate_archive
from facelake.schema import LOOK_ALIKES, THRESHOLD_CHOICES

DONE = 0
N_VIDEOS, N_FRAMES = 24, 25


def plant_crowds(lake: Lake) -> list[float]:
    """Videos of frames with two strangers each; gives the cosine of every pair, known on paper."""
    random = np.random.default_rng(7)
    cosines: list[float] = []
    for number in range(N_VIDEOS):
        looks = {}
        for frame in range(N_FRAMES):
            cosine = float(np.round(random.normal(0.0, 0.1), 3)) + 0.0002  # no bin's edge
            looks[200 * frame] = [axis(0), alike(p0=cosine)]
            cosines.append(cosine)
        plant_video(lake, f"crowd-{number}", looks)
    return cosines


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("catalogs") / "tv"
    lake = new_lake(root)
    cosines = np.array(plant_crowds(lake))
    plant_gallery(lake, {"Ann": [axis(0)]})
    return SimpleNamespace(catalog=facelake.open_catalog(root), root=root, cosines=cosines)


@pytest.fixture
def catalog(archive: SimpleNamespace) -> Catalog:
    """The archive, with no threshold of its own."""
    archive.catalog.clear_threshold()
    found: Catalog = archive.catalog
    return found


def calibrate(catalog: Catalog, **options: Any) -> facelake.catalog.Calibration:
    return catalog.calibrate(progress=False, **options)


def share(cosines: npt.NDArray[np.float64], threshold: float) -> float:
    return float((cosines >= threshold).mean())


# Catalogs ---------------------------------------------------------------------------------------


def test_the_rates_of_a_catalog_are_those_that_were_planted(
    catalog: Catalog, archive: SimpleNamespace
) -> None:
    found = calibrate(catalog)
    assert found.space == SPACE
    assert found.counts["n_impostor"] == N_VIDEOS * N_FRAMES
    assert found.counts["n_videos"] == N_VIDEOS
    assert found.counts["n_same_frame"] == N_VIDEOS * N_FRAMES
    for row in found.table.to_pylist():
        assert row["fmr"] == pytest.approx(share(archive.cosines, row["threshold"]))
    choice = found.threshold(fmr=0.05)
    assert share(archive.cosines, choice.threshold) <= 0.05
    assert share(archive.cosines, choice.threshold - 1 / 2000) > 0.05
    assert choice.space == SPACE


def test_the_short_answer_says_what_each_rate_takes_and_what_cannot_be_told(
    catalog: Catalog,
) -> None:
    lines = repr(calibrate(catalog)).splitlines()
    assert lines[0] == f"Calibration of {SPACE} on 600 impostor pairs of 24 videos"
    assert lines[1].startswith("  FMR 0.01: threshold 0.")
    assert lines[3].startswith("  FMR 0.0001: no threshold: an FMR of 0.0001 cannot be told")


def test_the_same_seed_gives_the_same_answer(catalog: Catalog) -> None:
    one, again, other = (calibrate(catalog, seed=seed) for seed in (1, 1, 2))
    assert one.table.equals(again.table)
    assert one.table["fmr"].equals(other.table["fmr"])
    assert not one.table["fmr_high"].equals(other.table["fmr_high"])


def test_the_pairs_most_alike_are_named(catalog: Catalog, archive: SimpleNamespace) -> None:
    look_alikes = calibrate(catalog).look_alikes
    assert look_alikes.schema == LOOK_ALIKES
    first = look_alikes.to_pylist()[0]
    assert first["score"] == pytest.approx(archive.cosines.max(), abs=1e-3)
    faces = {row["face_id"]: row for row in catalog.faces().to_pylist()}
    assert faces[first["face_id"]]["time_s"] == first["time_s"]
    assert faces[first["other_face_id"]]["video_id"] == first["video_id"]


def test_videos_with_most_of_what_was_set_apart_are_named(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_crowds(lake)
    plant_video(lake, "mirror", {0: [axis(1), alike(p1=0.95)], 200: [axis(2), alike(p2=0.97)]})
    found = calibrate(facelake.open_catalog(tmp_path / "tv"))
    assert found.counts["n_seen_twice"] == 2
    assert found.counts["n_impostor"] == N_VIDEOS * N_FRAMES
    (warning,) = found.warnings()
    assert "set apart: 2 pairs of faces of one frame that score above 0.9" in warning
    assert warning.endswith("most in mirror.mp4")


def test_a_failed_video_and_one_without_faces_change_nothing(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_crowds(lake)
    before = calibrate(facelake.open_catalog(tmp_path / "tv"))
    plant_video(lake, "failed", {})
    plant_video(lake, "empty", {0: [], 200: []})
    assert calibrate(facelake.open_catalog(tmp_path / "tv")).table.equals(before.table)


# What cannot be told ----------------------------------------------------------------------------


def test_a_catalog_in_which_nothing_is_is_refused(tmp_path: Path) -> None:
    Lake.create(tmp_path / "tv")
    with pytest.raises(CatalogError, match="nothing is ingested yet; facelake ingest comes first"):
        calibrate(facelake.open_catalog(tmp_path / "tv"))


def test_a_catalog_without_an_embedded_face_is_refused(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "empty", {0: []})
    with pytest.raises(CalibrationError, match="holds no embedded face; facelake ingest comes"):
        calibrate_archive(lake, SPACE, PairSettings())


def test_a_catalog_of_people_who_are_alone_is_refused(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "alone", {0: [axis(0)], 200: [axis(1)]})
    with pytest.raises(CalibrationError, match="no two people were ever on screen at once"):
        calibrate(facelake.open_catalog(tmp_path / "tv"))


def test_a_catalog_without_a_good_face_says_which_quality_to_lower(catalog: Catalog) -> None:
    with pytest.raises(CalibrationError, match=r"needs a face of quality 0\.9 or more"):
        calibrate(catalog, reference_quality=0.9)  # planted faces have 0.5


# The catalog's own threshold --------------------------------------------------------------------


def test_a_stored_threshold_is_taken_and_named_by_every_result(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="no threshold is given and none is stored"):
        catalog.match().spans()
    choice = calibrate(catalog).threshold(fmr=0.05)
    stored = catalog.store_threshold(choice)
    assert stored == catalog.stored_threshold()
    spans = catalog.match().spans()
    assert spans.table.equals(catalog.match().spans(choice.threshold).table)
    assert f"at threshold {choice.threshold:g} (calibrated for FMR 0.05)" in repr(spans)
    told = catalog.info()["thresholds"][SPACE]
    assert told["evidence"]["fmr"]["rate"] == choice.fmr.rate
    assert json.loads(json.dumps(told)) == told
    catalog.clear_threshold()
    assert catalog.stored_threshold() is None


def test_a_threshold_of_ones_own_is_kept_with_its_note(catalog: Catalog) -> None:
    assert catalog.store_threshold(0.32, note="by eye").note == "by eye"
    assert "at threshold 0.32 (by eye)" in repr(catalog.match().spans())
    assert catalog.store_threshold(0.3).note == "set by hand"


def test_a_threshold_that_no_cosine_has_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[-1, 1\], but is nan"):
        catalog.store_threshold(float("nan"))
    assert catalog.stored_threshold() is None


def test_a_choice_counts_in_its_own_space_only(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_crowds(lake)
    add_space(lake, "other-00000002")
    opened = facelake.open_catalog(tmp_path / "tv")
    choice = calibrate(opened, space=SPACE).threshold(fmr=0.05)
    with pytest.raises(ValueError, match=f"chosen in, {SPACE}, but other-00000002 was named"):
        opened.store_threshold(choice, space="other-00000002")


# The command ------------------------------------------------------------------------------------


def run(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_command_answers_for_the_usual_rates(catalog: Catalog) -> None:
    result = run("calibrate", "-c", catalog.path, "-q")
    assert result.exit_code == DONE
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [
        "0.01",
        "0.001",
        "0.0001",
    ]
    assert "600 impostor pairs of 24 videos" in result.stderr
    assert "an FMR of 0.0001 cannot be told" in result.stderr


def test_what_the_command_writes_are_the_rows_of_the_function(
    catalog: Catalog, tmp_path: Path
) -> None:
    expected = calibrate(catalog).thresholds([0.05, 0.02])
    words = ("calibrate", "-c", catalog.path, "-q", "--fmr", "0.05", "--fmr", "0.02")
    out = tmp_path / "thresholds.parquet"
    assert run(*words, "--out", out).exit_code == DONE
    assert pq.read_table(out).equals(expected)
    assert pq.read_table(out).schema.equals(THRESHOLD_CHOICES)
    assert json.loads(pq.read_schema(out).metadata[b"facelake"])["space"] == SPACE
    rows = list(csv.DictReader(run(*words, "--format", "csv").stdout.splitlines()))
    assert [float(row["threshold"]) for row in rows] == expected["threshold"].to_pylist()
    assert len(json.loads(run(*words, "--format", "json").stdout)) == 2


@pytest.mark.parametrize("by", ["threshold", "quality", "size", "look-alikes"])
def test_the_command_lists_every_table(catalog: Catalog, by: str) -> None:
    found = calibrate(catalog)
    table: pa.Table = {
        "threshold": found.table,
        "quality": found.by_quality,
        "size": found.by_size,
        "look-alikes": found.look_alikes,
    }[by]
    words = ("calibrate", "-c", catalog.path, "-q", "--by", by)
    assert len(run(*words).stdout.splitlines()) == 1 + len(table)
    header = run(*words, "--format", "csv").stdout.splitlines()[0]
    assert header.replace('"', "").split(",") == table.column_names


def test_a_threshold_that_the_command_stores_is_the_default_of_spans(
    catalog: Catalog, tmp_path: Path
) -> None:
    result = run("calibrate", "-c", catalog.path, "-q", "--fmr", "0.05", "--store")
    assert result.exit_code == DONE
    stored = catalog.stored_threshold()
    assert stored is not None
    assert f"{stored.threshold:g} is taken from now on" in result.stderr
    out = tmp_path / "spans.parquet"
    told = run("spans", "-c", catalog.path, "--out", out)
    assert "(calibrated for FMR 0.05)" in told.stderr
    facts = json.loads(pq.read_schema(out).metadata[b"facelake"])
    assert facts["threshold"] == stored.threshold
    assert facts["threshold_note"] == "calibrated for FMR 0.05"
    assert (
        f"{stored.threshold:g} (calibrated for FMR 0.05)" in run("info", "-c", catalog.path).stdout
    )
    assert run("calibrate", "-c", catalog.path, "--clear").exit_code == DONE
    assert catalog.stored_threshold() is None


def test_the_command_sets_a_threshold_without_calibrating(catalog: Catalog) -> None:
    words = ("calibrate", "-c", catalog.path, "--set", "0.32", "--note", "by eye")
    result = run(*words)
    assert (result.exit_code, result.stdout) == (DONE, "")
    stored = catalog.stored_threshold()
    assert stored is not None
    assert (stored.threshold, stored.note) == (0.32, "by eye")


def test_the_rates_are_drawn_into_a_picture(catalog: Catalog, tmp_path: Path) -> None:
    out = tmp_path / "rates.png"
    result = run("plot", "calibration", "-c", catalog.path, "-q", "--out", out)
    assert (result.exit_code, result.stdout) == (DONE, "")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert f"{out}: Calibration of {SPACE} on 600 impostor pairs" in result.stderr


def test_a_rate_that_cannot_be_told_is_not_stored(catalog: Catalog) -> None:
    result = run("calibrate", "-c", catalog.path, "-q", "--fmr", "0.00001", "--store")
    assert result.exit_code == FAILED
    assert "facelake: an FMR of 1e-05 cannot be told from this archive" in result.stderr
    assert catalog.stored_threshold() is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--store",), "--store needs one --fmr"),
        (("--fmr", "0.1", "--fmr", "0.2", "--store"), "--store needs one --fmr"),
        (("--clear", "--set", "0.3"), "give one of --store, --set and --clear"),
        (("--note", "x"), "--note needs --store or --set"),
        (("--fmr", "0"), "0.0 is not in the range"),
        (("--set", "1.5"), "1.5 is not in the range"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    catalog: Catalog, words: tuple[str, ...], message: str
) -> None:
    result = run("calibrate", "-c", catalog.path, *words)
    assert result.exit_code == WRONG_USAGE
    assert message in result.stderr
