"""Why somebody is not found: one planted catalog for each answer, every number on paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted import SPACE, Looks, Vector, alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake.catalog import Catalog
from facelake.errors import CatalogError, GalleryError
from facelake.lake import Lake
from facelake.lake.thresholds import write_threshold
from facelake.query.why_not import Reason
from facelake.results.why import WhyNot
from facelake.schema import WHY_NOT, StoredThreshold

ANN, BOB = axis(0), axis(1)
EVERY_200_MS = range(0, 4000, 200)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = new_lake(tmp_path / "tv")
    plant_gallery(lake, {"Ann": [ANN], "Bob": [BOB]})
    return lake


def plant(lake: Lake, looks: Looks, **facts: Any) -> str:
    """A film of 4 s, looked at five times a second, with nobody but these."""
    whole: Looks = {**dict.fromkeys(EVERY_200_MS, ()), **looks}
    return plant_video(lake, "film", whole, **{"sample_fps": 5.0} | facts)


def ask(
    lake: Lake, time_s: float = 1.0, identity: str = "Ann", video: str = "film.mp4", **rules: Any
) -> WhyNot:
    rules = {"threshold": 0.3, "look": False} | rules
    return Catalog(lake.root).why_not(video, time_s, identity, **rules)


def replant(lake: Lake, video_id: str, **columns: Any) -> None:
    """Write a video's faces again with other values in these columns."""
    (row,) = lake.runs_of(video_id, SPACE)
    faces = lake.faces(video_id, SPACE)
    for name, value in columns.items():
        at = faces.schema.get_field_index(name)
        field = faces.schema.field(at)
        values = pa.array([value] * len(faces), field.type)
        faces = faces.set_column(at, field, values)
    lake.publish(row, lake.samples(video_id, SPACE), faces, lake.tracks(video_id, SPACE))


def add_exemplar(lake: Lake, identity: str, vector: Vector, role: str) -> None:
    """An exemplar of a role, beside what is enrolled."""
    other = new_lake(Path(lake.root).parent / f"other-{role}")
    rows = plant_gallery(other, {identity: [vector]})
    names = {"exemplar_id": f"{identity}-{role}", "role": role}
    for name, value in names.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array([value], pa.string()))
    lake.add_exemplars(rows, SPACE)


# One answer after the other ---------------------------------------------------------------------


def test_a_video_that_nobody_ingested_is_unknown_and_the_nearest_name_is_told(lake: Lake) -> None:
    plant(lake, {})
    found = ask(lake, video="fiml.mp4")
    assert found.reason is Reason.VIDEO_UNKNOWN
    assert "did you mean film.mp4?" in found.sentence
    assert found.table["video_id"].null_count == 1


def test_a_video_that_was_forgotten_as_a_whole_is_not_called_unknown(lake: Lake) -> None:
    video_id = plant(lake, {})
    Catalog(lake.root).forget(video=video_id)
    assert ask(lake, video=video_id).reason is Reason.VIDEO_FORGOTTEN


def test_a_video_that_failed_says_why(lake: Lake) -> None:
    plant_video(lake, "torn", {}, error="holds no video stream")
    found = ask(lake, video="torn.mp4")
    assert found.reason is Reason.VIDEO_FAILED
    assert "holds no video stream" in found.sentence


@pytest.mark.parametrize("time_s", [-0.5, 3.84, 99.0])
def test_a_time_outside_of_the_video_is_told_with_where_it_runs(lake: Lake, time_s: float) -> None:
    plant(lake, {})
    found = ask(lake, time_s)
    assert found.reason is Reason.OUTSIDE
    assert "runs from 0.000 to 3.840 s" in found.sentence


def test_a_time_that_nobody_looked_at_names_the_samples_around_it(lake: Lake) -> None:
    looks = dict.fromkeys((0, 200, 400, 3000, 3200), ())
    plant_video(lake, "film", looks, sample_fps=5.0)
    found = ask(lake, 1.5)
    assert found.reason is Reason.NOT_SAMPLED
    assert found.answer.finding.numbers == {
        "sample_before_s": 0.4, "sample_after_s": 3.0, "sample_fps": 5.0,
    }  # fmt: skip
    assert "--every-frame, or a --sample-fps above 5" in found.sentence
    assert "facelake ingest /archive/film.mp4" in found.sentence


def test_an_instant_that_did_not_decode_is_told(lake: Lake) -> None:
    plant(lake, {1000: None})
    found = ask(lake)
    assert found.reason is Reason.NOT_DECODABLE
    assert found.answer.finding.numbers["n_undecodable"] == 1


def test_nothing_detected_names_the_settings_of_the_detector(lake: Lake) -> None:
    plant(lake, {})
    found = ask(lake)
    assert found.reason is Reason.NOT_DETECTED
    assert "det_size 640 and det_threshold 0.5" in found.sentence


def test_a_face_that_was_forgotten_is_not_called_undetected(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.9)]})
    (face,) = Catalog(lake.root).faces().to_pylist()
    Catalog(lake.root).forget(faces=[face["face_id"]])
    assert ask(lake).reason is Reason.FORGOTTEN
    assert ask(lake, 1.2).reason is Reason.NOT_DETECTED  # the frame after it was always empty


def test_a_face_too_small_to_be_recognised_says_its_size(lake: Lake) -> None:
    video_id = plant(lake, {1000: [alike(p0=0.1)]})
    replant(lake, video_id, bbox_xyxy=[10.0, 10.0, 28.0, 42.0])  # √(18 · 32) = 24
    found = ask(lake)
    assert found.reason is Reason.TOO_SMALL
    assert found.answer.finding.numbers["size_px"] == pytest.approx(24.0)
    assert "scores 0.10 for Ann" in found.sentence


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("align_rms", 9.5, "turned away (align_rms 9.5, above 8)"),
     ("sharpness", 12.0, "blurred (sharpness 12, below 50)")],
)  # fmt: skip
def test_a_face_too_poor_says_by_what(lake: Lake, column: str, value: float, said: str) -> None:
    video_id = plant(lake, {1000: [alike(p0=0.1)]})
    replant(lake, video_id, **{column: value})
    found = ask(lake)
    assert found.reason is Reason.TOO_POOR
    assert said in found.sentence


def test_a_face_that_was_not_embedded_has_the_score_of_the_one_that_stands_for_it(
    lake: Lake,
) -> None:
    nobody = np.full(8, np.nan, np.float32)
    video_id = plant(lake, {1000: [nobody], 1200: [alike(p0=0.2)]})
    names = lake.faces(video_id, SPACE)["face_id"].to_pylist()
    replant(lake, video_id, embedded_face_id=names[1])
    found = ask(lake)
    assert found.reason is Reason.NOT_EMBEDDED
    assert found.answer.finding.score == pytest.approx(0.2, abs=1e-3)
    assert f"face {names[1]} of its track stands for it" in found.sentence


def test_a_face_for_which_none_stands_is_compared_with_nobody(lake: Lake) -> None:
    plant(lake, {1000: [np.full(8, np.nan, np.float32)]})
    found = ask(lake)
    assert found.reason is Reason.NOT_EMBEDDED
    assert "no face of its track stands for it" in found.sentence
    assert found.answer.finding.score is None


def test_a_face_more_like_somebody_else_says_who_and_by_how_much(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.4, p1=0.7)]})
    found = ask(lake)
    assert found.reason is Reason.LIKE_ANOTHER
    numbers = found.answer.finding.numbers
    assert numbers["other"] == "Bob"
    assert numbers["by"] == pytest.approx(0.3, abs=2e-3)


def test_of_two_faces_the_one_that_is_nobody_else_s_is_asked_about(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.25, p1=0.8), alike(p0=0.2, p1=0.1)]})
    found = ask(lake)
    assert found.reason is Reason.BELOW_THRESHOLD
    assert found.answer.finding.score == pytest.approx(0.2, abs=1e-3)


def test_a_face_below_the_threshold_says_by_how_much_and_where_it_would_count(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.26)]})
    found = ask(lake)
    assert found.reason is Reason.BELOW_THRESHOLD
    assert found.answer.finding.numbers["below_by"] == pytest.approx(0.04, abs=1e-3)
    assert ask(lake, threshold=found.answer.finding.score).reason is Reason.FOUND


def test_a_hit_that_stays_but_does_not_enter_is_told(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.26)]})
    found = ask(lake, exit_threshold=0.2)
    assert found.reason is Reason.BELOW_ENTRY
    assert "enough to stay in a span (0.2) but not to start one (0.3)" in found.sentence


def test_a_span_of_too_few_hits_is_told(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.6)]})
    found = ask(lake, min_hits=3)
    assert found.reason is Reason.TOO_FEW_HITS
    assert "1 hit of the 3 that min_hits asks for" in found.sentence


def test_a_span_that_is_too_short_is_told(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.6)], 1200: [alike(p0=0.6)]})
    found = ask(lake, min_span_s=0.5)  # it is 1.00 to 1.24
    assert found.reason is Reason.TOO_SHORT
    assert found.answer.finding.numbers["span_s"] == pytest.approx(0.24)


def test_a_span_that_lacks_both_says_so(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.6)]})
    sentence = ask(lake, min_hits=2, min_span_s=0.5).sentence
    assert "1 hit of the 2 that min_hits asks for and 0.040 of the 0.5 s" in sentence


def test_a_face_that_is_said_not_to_be_them_is_told(lake: Lake) -> None:
    face = alike(p0=0.6)
    plant(lake, {1000: [face]})
    add_exemplar(lake, "Ann", face, "negative")
    found = ask(lake)
    assert found.reason is Reason.NEGATIVE
    assert found.answer.finding.numbers["negative_score"] == pytest.approx(1.0, abs=1e-3)


def test_a_face_that_only_a_vetoed_exemplar_is_like_is_told(lake: Lake) -> None:
    face = alike(p0=0.1)
    plant(lake, {1000: [face]})
    add_exemplar(lake, "Ann", face, "vetoed")
    found = ask(lake)
    assert found.reason is Reason.VETOED
    assert found.answer.finding.numbers["vetoed_score"] == pytest.approx(1.0, abs=1e-3)


def test_somebody_who_is_found_is_told_with_the_span(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.6)], 1400: [alike(p0=0.5)]})
    found = ask(lake, 1.2)  # a miss that is tolerated
    assert found.reason is Reason.FOUND
    assert "from 1.000 to 1.440 s, with 2 hits in 3 samples" in found.sentence
    assert repr(found).startswith("Ann is found in film.mp4 at 1.200 s: in a span")


# What is around it ------------------------------------------------------------------------------


def test_the_nearest_sample_speaks_for_an_instant_between_two_and_the_answer_says_so(
    lake: Lake,
) -> None:
    plant(lake, {1000: [alike(p0=0.2)]})
    found = ask(lake, 1.09)  # the frame at 1.00 is shown until 1.04; the next sample is at 1.20
    assert found.answer.time_s == 1.0
    assert found.reason is Reason.BELOW_THRESHOLD
    assert "the sample at 1.000 s speaks for this instant" in repr(found)
    assert ask(lake, 1.11).answer.time_s == 1.2
    assert "speaks" not in repr(ask(lake, 1.0))


@given(
    scores=st.lists(st.sampled_from([None, 0.1, 0.25, 0.35, 0.6]), min_size=1, max_size=10),
    min_hits=st.integers(1, 3),
    min_span_s=st.sampled_from([0.0, 0.5]),
    exit_threshold=st.sampled_from([None, 0.2]),
)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_found_is_said_where_a_span_is_and_nowhere_else(
    tmp_path_factory: pytest.TempPathFactory,
    scores: list[float | None],
    min_hits: int,
    min_span_s: float,
    exit_threshold: float | None,
) -> None:
    lake = new_lake(tmp_path_factory.mktemp("law") / "tv")
    plant_gallery(lake, {"Ann": [ANN], "Bob": [BOB]})
    faces = {
        number * 200: () if score is None else [alike(p0=score)]
        for number, score in enumerate(scores)
    }
    plant_video(lake, "film", faces, sample_fps=5.0)
    rules: dict[str, Any] = {"min_hits": min_hits, "min_span_s": min_span_s}
    rules["exit_threshold"] = exit_threshold
    catalog = Catalog(lake.root)
    spans = catalog.match().spans(0.3, identities="Ann", **rules).table.to_pylist()
    for pts in faces:
        inside = any(span["start_s"] <= pts / 1000 < span["end_s"] for span in spans)
        found = ask(lake, pts / 1000, **rules)
        assert (found.reason is Reason.FOUND) == inside


def test_a_missing_threshold_is_the_stored_one(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.26)]})
    with pytest.raises(CatalogError, match="no threshold is given and none is stored"):
        ask(lake, threshold=None)
    write_threshold(lake, SPACE, StoredThreshold(0.25, "FMR 0.001, calibrated", "2026-01-01"))
    assert ask(lake, threshold=None).reason is Reason.FOUND


def test_who_is_not_enrolled_or_has_nothing_left_is_refused(lake: Lake) -> None:
    plant(lake, {})
    with pytest.raises(GalleryError, match="did you mean 'Ann'"):
        ask(lake, identity="Anne")
    add_exemplar(lake, "Cleo", axis(2), "negative")
    with pytest.raises(GalleryError, match="Cleo must have an exemplar to compare with"):
        ask(lake, identity="Cleo")


def test_a_name_that_two_videos_have_and_a_time_that_is_none_are_refused(lake: Lake) -> None:
    plant(lake, {})
    plant_video(lake, "copy", {0: ()}, paths=["/other/film.mp4"])
    with pytest.raises(CatalogError, match="several videos have this name"):
        ask(lake)
    with pytest.raises(ValueError, match="must be a time of the video in seconds, but is nan"):
        ask(lake, float("nan"), video="/archive/film.mp4")


def test_without_the_video_nobody_looks_again_and_the_answer_says_so(lake: Lake) -> None:
    plant(lake, {})
    found = ask(lake, look=True)
    assert found.reason is Reason.NOT_DETECTED
    assert "/archive/film.mp4 is gone or changed, so nobody looked again" in repr(found)


def test_an_answer_is_a_row_and_a_dictionary_that_json_can_hold(lake: Lake) -> None:
    plant(lake, {1000: [alike(p0=0.26)]})
    found = ask(lake)
    assert found.table.schema.equals(WHY_NOT)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["reason"] == "below_threshold"
    assert told["numbers"]["threshold"] == 0.3
    assert told["rules"]["min_hits"] == 1
    assert pc.equal(found.table["reason"], told["reason"]).to_pylist() == [True]


def test_the_front_door_has_it(lake: Lake) -> None:
    plant(lake, {})
    catalog = facelake.open_catalog(lake.root)
    assert catalog.why_not("film.mp4", 1, "Ann", threshold=0.3).reason is Reason.NOT_DETECTED
