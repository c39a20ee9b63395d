"""Everything that is known of a face; the catalogs are planted, the numbers are on paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import DIM, SPACE, Vector, alike, axis, new_lake, plant_gallery, plant_video

from facelake.catalog import Catalog
from facelake.errors import CatalogError, GalleryError
from facelake.lake import Lake
from facelake.lake.thresholds import write_threshold
from facelake.results.why import Explanation
from facelake.schema import EXPLANATION, SCORES, StoredThreshold

PEOPLE = {"Ann": [axis(0), axis(3)], "Bob": [axis(1)]}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = new_lake(tmp_path / "tv")
    plant_gallery(lake, PEOPLE)
    return lake


def face_at(lake: Lake, time_s: float) -> str:
    found = Catalog(lake.root).faces().to_pylist()
    (name,) = (face["face_id"] for face in found if face["time_s"] == time_s)
    return str(name)


def explain(lake: Lake, time_s: float = 1.0, *args: Any, **options: Any) -> Explanation:
    return Catalog(lake.root).explain(face_at(lake, time_s), *args, **options)


def test_a_face_says_where_it_is_and_how_good(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [alike(p0=0.6)]}, width=640, height=360)
    told = explain(lake).to_dict()
    assert (told["video"]["video_id"], told["path"]) == (
        "film-" + told["video"]["video_id"][-8:], "/archive/film.mp4",
    )  # fmt: skip
    assert told["bbox_xyxy"] == [0.0, 0.0, 50.0, 50.0]
    assert told["size_px"] == 50.0
    assert (told["align_rms"], told["sharpness"], told["quality"]) == (1.0, 100.0, 0.5)
    assert told["track"] is None
    assert told["compared_face_id"] == told["face_id"]


def test_it_says_whom_it_counts_as_by_which_exemplar_and_who_is_next(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [alike(p0=0.3, p1=0.4, p3=0.6)]})
    found = explain(lake)
    assert found.facts.counts_as == "Ann"
    assert found.facts.score == pytest.approx(0.6, abs=1e-3)
    assert found.facts.runner_up == "Bob"
    assert found.facts.margin == pytest.approx(0.2, abs=1e-3)
    assert found.table.schema.equals(EXPLANATION)
    rows = [(row["exemplar_id"], round(row["score"], 2)) for row in found.table.to_pylist()]
    assert rows == [("Ann-1", 0.6), ("Bob-0", 0.4), ("Ann-0", 0.3)]
    assert "counts as Ann with 0.60, 0.20 before Bob" in repr(found)


def test_of_somebody_else_it_says_what_they_score(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [alike(p0=0.3, p1=0.4)]})
    told = explain(lake, 1.0, "Ann").to_dict()
    assert (told["counts_as"], told["identity"]) == ("Bob", "Ann")
    assert told["identity_score"] == pytest.approx(0.3, abs=1e-3)


def test_the_scores_are_a_products_of_all_with_all(lake: Lake) -> None:
    random = np.random.default_rng(5)
    raw = random.normal(size=DIM)
    vector = (raw / np.linalg.norm(raw)).astype(np.float16).astype(np.float64)
    plant_video(lake, "film", {1000: [vector.astype(np.float32)]})
    got = {row["exemplar_id"]: row["score"] for row in explain(lake).table.to_pylist()}
    expected = {
        f"{name}-{number}": float(vector @ one)
        for name, many in PEOPLE.items()
        for number, one in enumerate(many)
    }
    assert got == pytest.approx(expected, abs=1e-6)


def test_it_says_which_span_it_is_in_and_when_it_would_leave(lake: Lake) -> None:
    looks = {0: (), 800: [alike(p0=0.7)], 1000: [alike(p0=0.4)], 1200: [alike(p0=0.5)], 3000: ()}
    plant_video(lake, "film", looks)
    found = explain(lake, threshold=0.3)
    assert found.facts.span is not None
    assert (found.facts.span["start_s"], found.facts.span["end_s"]) == (0.8, 1.24)
    # Above 0.4 it is no hit, but lies between two that are, up to 0.5.
    assert found.facts.leaves_above == pytest.approx(0.5, abs=1e-3)
    assert "in a span of Ann from 0.800 to 1.240 s at threshold 0.3" in repr(found)
    assert explain(lake, threshold=0.6).facts.span is None


@given(
    st.lists(st.sampled_from([None, 0.1, 0.2, 0.3, 0.4, 0.5]), min_size=1, max_size=8),
    st.sampled_from([None, 0.15]),
    st.integers(1, 2),
)
@settings(max_examples=12, deadline=None)
def test_up_to_the_threshold_at_which_it_leaves_its_instant_is_in_a_span_and_not_above(
    tmp_path_factory: pytest.TempPathFactory,
    scores: list[float | None],
    exit_threshold: float | None,
    min_hits: int,
) -> None:
    lake = new_lake(tmp_path_factory.mktemp("law") / "tv")
    plant_gallery(lake, {"Ann": [axis(0)]})
    looks: dict[int, list[Vector]] = {
        n * 200: [] if score is None else [alike(p0=score)] for n, score in enumerate(scores)
    }
    looks[len(scores) * 200] = [alike(p0=0.25)]
    plant_video(lake, "film", looks)
    time_s = len(scores) * 0.2
    rules = {"exit_threshold": exit_threshold, "min_hits": min_hits}
    at = explain(lake, len(scores) * 200 / 1000, threshold=0.2, **rules).facts.leaves_above

    def is_inside(threshold: float) -> bool:
        stay = None if exit_threshold is None else min(exit_threshold, threshold)
        spans = match.spans(threshold, exit_threshold=stay, min_hits=min_hits).table.to_pylist()
        return any(span["start_s"] <= time_s < span["end_s"] for span in spans)

    match = Catalog(lake.root).match()
    assert at is None or is_inside(at)
    assert not is_inside(-1.0 if at is None else at + 1e-4)


def test_it_says_how_far_the_stored_threshold_is(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [alike(p0=0.4)]})
    write_threshold(lake, SPACE, StoredThreshold(0.25, "FMR 0.001, calibrated", "2026-01-01"))
    told = repr(explain(lake))
    assert "0.15 above the catalog's own threshold 0.25 for Ann (FMR 0.001, calibrated)" in told
    assert "in a span of Ann" in told  # at the stored one, which is taken where none is given


def test_without_a_threshold_spans_are_left_out(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [alike(p0=0.4)]})
    found = explain(lake)
    assert found.facts.settings is None
    assert "span" not in repr(found)


def test_near_twins_elsewhere_are_told_best_first(lake: Lake) -> None:
    face = alike(p0=0.6)
    near = (face * 0.95 + axis(5) * np.sqrt(1 - 0.95**2)).astype(np.float32)
    plant_video(lake, "film", {1000: [face]})
    plant_video(lake, "copy", {2000: [near], 2200: [face]})
    plant_video(lake, "other", {3000: [alike(p1=0.6)]})
    found = explain(lake)
    assert found.twins.schema.equals(SCORES)
    assert found.twins["time_s"].to_pylist() == [2.2, 2.0]
    assert found.twins["score"].to_pylist() == pytest.approx([1.0, 0.95], abs=2e-3)
    assert "near twins outside of its track (0.9 and more): 2 faces" in repr(found)


def test_a_face_that_another_stands_for_says_so(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [np.full(DIM, np.nan, np.float32)], 1200: [alike(p0=0.4)]})
    (row,) = lake.runs()["video_id"].to_pylist()
    faces = lake.faces(row, SPACE)
    stands = faces["face_id"][1].as_py()
    at = faces.schema.get_field_index("embedded_face_id")
    named = faces.set_column(at, faces.schema.field(at), pa.array([stands, None], pa.string()))
    (video,) = lake.runs_of(row, SPACE)
    lake.publish(video, lake.samples(row, SPACE), named, lake.tracks(row, SPACE))
    found = explain(lake)
    assert found.facts.compared_face_id == stands
    assert found.facts.score == pytest.approx(0.4, abs=1e-3)
    assert f"face {stands} stands for it" in repr(found)


def test_a_face_that_is_compared_with_nobody_says_so(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [np.full(DIM, np.nan, np.float32)]})
    found = explain(lake, threshold=0.3)
    assert found.table.equals(EXPLANATION.empty_table())
    assert found.twins.equals(SCORES.empty_table())
    assert found.facts.counts_as is None
    assert "it is compared with nobody" in repr(found)


def test_where_nobody_is_enrolled_the_rest_is_told(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "film", {1000: [alike(p0=0.4)]})
    found = explain(lake)
    assert len(found.table) == 0
    assert "quality 0.50" in repr(found)
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        explain(lake, 1.0, "Ann")


def test_a_face_that_is_not_there_and_somebody_unknown_are_refused(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [alike(p0=0.4)]})
    with pytest.raises(CatalogError, match="nonsense: the catalog holds no such face"):
        Catalog(lake.root).explain("nonsense")
    with pytest.raises(CatalogError, match="elsewhere holds no such face"):
        explain(lake, video_id="elsewhere")
    with pytest.raises(GalleryError, match="did you mean 'Bob'"):
        explain(lake, 1.0, "Bobby")


def test_all_of_it_is_something_that_json_can_hold(lake: Lake) -> None:
    plant_video(lake, "film", {1000: [alike(p0=0.4)]})
    told = json.loads(json.dumps(explain(lake, threshold=0.3).to_dict()))
    assert told["rules"]["threshold"] == 0.3
    assert told["exemplars"][0]["identity"] == "Ann"
