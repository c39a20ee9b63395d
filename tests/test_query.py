"""Questions asked of tables with made-up embeddings; every expected number is on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import walked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted import (
    DIM,
    OTHER_SPACE,
    SPACE,
    Vector,
    add_space,
    alike,
    axis,
    new_lake,
    plant_gallery,
    plant_video,
)

from facelake.errors import CatalogError, FacelakeError, GalleryError
from facelake.lake import Lake
from facelake.query import (
    SpanSettings,
    choose_space,
    find_all_spans,
    match_gallery,
    space_of,
)
from facelake.schema import (
    EXEMPLARS,
    SCORES,
    SPANS,
    pack_embeddings,
    unpack_embeddings,
    with_embedding,
)

ANN, BOB = {"Ann": [axis(0)]}, {"Bob": [axis(1)]}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return new_lake(tmp_path / "catalogs" / "tv")


def seen(person: int, score: float = 0.6) -> list[Vector]:
    """One face, this much like the person."""
    return [alike(**{f"p{person}": score})]


def every(period_ms: int, start_ms: int, end_ms: int, faces: list[Vector]) -> dict[int, Any]:
    """The same faces at each instant of ``[start, end)``."""
    return dict.fromkeys(range(start_ms, end_ms, period_ms), faces)


def spans_of(lake: Lake, threshold: float = 0.3, **options: Any) -> list[dict[str, Any]]:
    identities = options.pop("identities", None)
    scores = match_gallery(lake, lake.exemplars(SPACE))
    table = find_all_spans(
        lake, scores, SPACE, SpanSettings(threshold, **options), identities=identities
    )
    assert table.schema.equals(SPANS)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def times(rows: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    return [(row["identity"], row["start_s"], round(row["end_s"], 6)) for row in rows]


# Match ------------------------------------------------------------------------------------------


def test_a_match_equals_brute_force(lake: Lake) -> None:
    random = np.random.default_rng(3)

    def vectors(count: int) -> list[Vector]:
        raw = random.normal(size=(count, DIM))
        return list((raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32))

    gallery = plant_gallery(lake, {"Cleo": vectors(3), "Ann": vectors(1), "Bob": vectors(2)})
    plant_video(lake, "one", {pts: vectors(3) for pts in range(0, 2000, 200)})
    plant_video(lake, "two", {pts: vectors(2) for pts in range(0, 1000, 100)})
    scores = match_gallery(lake, gallery)

    assert scores.schema.equals(SCORES)
    assert len(scores) == 10 * 3 + 10 * 2
    exemplars = unpack_embeddings(gallery["embedding"]).astype(np.float64)
    exemplars /= np.linalg.norm(exemplars, axis=1, keepdims=True)
    faces = {
        face_id: vector.astype(np.float64)
        for video_id in lake.iter_video_ids(SPACE)
        for table in [lake.faces(video_id, SPACE)]
        for face_id, vector in zip(
            table["face_id"].to_pylist(), unpack_embeddings(table["embedding"]), strict=True
        )
    }
    assert set(scores["face_id"].to_pylist()) == set(faces)
    names, ids = gallery["identity"].to_pylist(), gallery["exemplar_id"].to_pylist()
    for row in scores.to_pylist():
        product = exemplars @ faces[row["face_id"]]
        best = {name: max(p for p, n in zip(product, names, strict=True) if n == name)
                for name in set(names)}  # fmt: skip
        first, second = sorted(best, key=lambda name: -best[name])[:2]
        assert row["identity"] == first
        assert row["score"] == pytest.approx(best[first], abs=1e-6)
        assert row["exemplar_id"] == ids[int(product.argmax())]
        assert row["runner_up"] == second
        assert row["margin"] == pytest.approx(best[first] - best[second], abs=1e-6)


def test_with_one_identity_there_is_no_runner_up(lake: Lake) -> None:
    plant_video(lake, "one", {0: seen(0)})
    (row,) = match_gallery(lake, plant_gallery(lake, ANN)).to_pylist()
    assert (row["runner_up"], row["margin"]) == (None, None)


def thin_out(lake: Lake, stands_for: dict[int, int | None]) -> list[str]:
    """Take the embedding of some faces of the only video; gives the ``face_id`` of all.

    ``stands_for`` is row → the row that it names, or ``None`` when nobody stands for it.
    """
    (path,) = lake.root.glob("faces/*/*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    ids: list[str] = table["face_id"].to_pylist()
    packed = table["embedding"].to_pylist()
    named: list[str | None] = [None] * len(ids)
    for row, other in stands_for.items():
        packed[row] = None
        named[row] = None if other is None else ids[other]
    for name, values in (("embedding", packed), ("embedded_face_id", named)):
        at = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(at, field, pa.array(values, field.type))
    pq.write_table(table, path)
    return ids


def scores_of(lake: Lake) -> dict[str, dict[str, Any]]:
    """The scores by ``face_id``."""
    rows = match_gallery(lake, lake.exemplars(SPACE)).to_pylist()
    return {row["face_id"]: row for row in rows}


def test_a_face_without_an_embedding_for_which_nobody_stands_is_not_matched(lake: Lake) -> None:
    plant_video(lake, "one", {0: [*seen(0), *seen(0)]})
    plant_gallery(lake, ANN)
    ids = thin_out(lake, {0: None})
    assert list(scores_of(lake)) == [ids[1]]


def test_a_face_without_an_embedding_has_the_score_of_the_one_that_stands_for_it(
    lake: Lake,
) -> None:
    plant_video(lake, "one", {0: seen(0, 0.7), 200: seen(1, 0.9), 400: seen(1, 0.5)})
    plant_gallery(lake, ANN | BOB)
    ids = thin_out(lake, {1: 0})
    scores = scores_of(lake)
    assert [row["embedded_face_id"] for row in scores.values()] == [ids[0], ids[0], ids[2]]
    stood_for, own = scores[ids[1]], scores[ids[0]]
    assert (stood_for["time_s"], stood_for["pts"]) == (0.2, 200)  # its own
    for name in ("identity", "score", "exemplar_id", "runner_up", "margin"):
        assert stood_for[name] == own[name]
    assert own["identity"] == "Ann"
    assert scores[ids[2]]["identity"] == "Bob"


def test_a_name_may_lead_over_a_face_of_another_run_and_never_round_in_circles(lake: Lake) -> None:
    plant_video(lake, "one", {200 * n: seen(0, 0.5 + n / 20) for n in range(6)})
    plant_gallery(lake, ANN)
    ids = thin_out(lake, {1: 0, 2: 1, 3: 4, 4: 3})  # 3 and 4 name each other
    scores = scores_of(lake)
    assert {key: row["embedded_face_id"] for key, row in scores.items()} == {
        ids[0]: ids[0],
        ids[1]: ids[0],
        ids[2]: ids[0],
        ids[5]: ids[5],
    }
    assert scores[ids[2]]["score"] == pytest.approx(0.5, abs=1e-3)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=12), st.data())
def test_every_score_is_that_of_an_embedding_and_the_row_tells_of_which(
    tmp_path_factory: pytest.TempPathFactory, own: list[float], data: st.DataObject
) -> None:
    lake = new_lake(tmp_path_factory.mktemp("law") / "tv")
    plant_video(lake, "one", {200 * n: seen(0, score) for n, score in enumerate(own)})
    plant_gallery(lake, ANN)
    rows = range(len(own))
    known = data.draw(st.sets(st.sampled_from(rows)))
    names = st.sampled_from([None, *sorted(known)])
    stands_for = {row: data.draw(names) for row in rows if row not in known}
    ids = thin_out(lake, stands_for)
    expected = {row: row for row in known} | stands_for
    scores = scores_of(lake)
    assert set(scores) == {ids[row] for row, other in expected.items() if other is not None}
    for row, other in expected.items():
        if other is not None:
            found = scores[ids[row]]
            assert found["embedded_face_id"] == ids[other]
            assert found["score"] == pytest.approx(own[other], abs=2e-3)
            assert found["pts"] == 200 * row


def test_a_span_shows_the_face_whose_embedding_it_is_of(lake: Lake) -> None:
    video_id = plant_video(lake, "one", every(200, 0, 1000, seen(0)))
    plant_gallery(lake, ANN)
    ids = thin_out(lake, {0: 2, 1: 2, 3: 2, 4: 2})
    (row,) = spans_of(lake)
    assert (row["video_id"], row["start_s"], row["n_hits"]) == (video_id, 0.0, 5)
    assert (row["best_face_id"], row["best_time_s"]) == (ids[2], 0.4)


def test_refined_samples_do_not_make_the_tolerance_for_misses_smaller(lake: Lake) -> None:
    # Looked at once a second: a miss of 2 s is one missed sample, whatever was refined in between.
    looks = {**every(1000, 0, 20_000, []), 5000: seen(0), 7000: seen(0)}
    refined = range(9040, 10_000, 40)
    plant_video(lake, "one", looks | {pts: [] for pts in refined})
    plant_gallery(lake, ANN)
    (path,) = lake.root.glob("samples/*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    at = table.schema.get_field_index("source")
    told = ["refined" if pts in refined else "detected" for pts in table["pts"].to_pylist()]
    assert len(spans_of(lake)) == 2  # as if every sample had been asked for
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(told)), path)
    assert times(spans_of(lake)) == [("Ann", 5.0, 7.04)]


# Spans ------------------------------------------------------------------------------------------


def test_a_face_counts_only_for_its_best_identity(lake: Lake) -> None:
    both = [alike(p0=0.6, p1=0.5)]  # above the threshold for both
    plant_video(lake, "one", every(200, 0, 1000, both))
    plant_gallery(lake, ANN | BOB)
    assert times(spans_of(lake)) == [("Ann", 0.0, 0.84)]


def test_spans_equal_what_was_planted(lake: Lake) -> None:
    looks = every(200, 1600, 10_000, []) | {
        **every(200, 2000, 4000, seen(0, 0.5)),
        **every(200, 5200, 6200, [*seen(1, 0.7), *seen(0, 0.4)]),
        2400: seen(0, 0.9),
        2600: [],  # somebody blinked
    }
    video_id = plant_video(lake, "one", looks, shown_ms=100)
    plant_gallery(lake, ANN | BOB)
    rows = spans_of(lake)
    assert times(rows) == [
        ("Ann", 2.0, 3.9),
        ("Ann", 5.2, 6.1),
        ("Bob", 5.2, 6.1),
    ]
    first = rows[0]
    assert first["video_id"] == video_id
    assert first["path"] == "/archive/one.mp4"
    assert first["n_samples"] == 10  # 2.0, 2.2, … 3.8
    assert first["n_hits"] == 9
    assert first["score_max"] == pytest.approx(0.9, abs=1e-3)
    assert first["score_mean"] == pytest.approx((8 * 0.5 + 0.9) / 9, abs=1e-3)
    assert (first["start_after_s"], first["end_before_s"]) == (1.8, 4.0)
    assert first["best_time_s"] == 2.4
    faces = lake.faces(video_id, SPACE)
    at = faces["pts"].to_pylist().index(2400)
    assert first["best_face_id"] == faces["face_id"][at].as_py()


def test_where_nobody_looked_before_or_after_there_is_no_bracket(lake: Lake) -> None:
    plant_video(lake, "one", every(200, 0, 600, seen(0)))
    plant_gallery(lake, ANN)
    (row,) = spans_of(lake)
    assert (row["start_after_s"], row["end_before_s"]) == (None, None)


def test_the_best_of_two_faces_of_one_person_counts(lake: Lake) -> None:
    plant_video(lake, "one", {0: [*seen(0, 0.4), *seen(0, 0.8)]})
    plant_gallery(lake, ANN)
    (row,) = spans_of(lake)
    assert (row["n_hits"], round(row["score_max"], 2)) == (1, 0.8)


def test_undecodable_samples_are_time_that_nobody_looked_at(lake: Lake) -> None:
    gap = dict.fromkeys(range(3000, 6000, 200))
    plant_video(lake, "one", every(200, 0, 9000, seen(0)) | gap)
    plant_gallery(lake, ANN)
    # Neighbouring good samples lie at 2.8 and 6.0 s: 3.2 s apart.
    assert times(spans_of(lake)) == [
        ("Ann", 0.0, 2.84),
        ("Ann", 6.0, 8.84),
    ]
    assert times(spans_of(lake, blind_s=3.2)) == [("Ann", 0.0, 8.84)]
    assert len(spans_of(lake, blind_s=3.1)) == 2
    # No patience with misses bridges what was not looked at.
    assert len(spans_of(lake, miss_s=100.0)) == 2
    (whole,) = spans_of(lake, blind_s=5.0)
    assert whole["n_samples"] == 15 + 15


def test_looked_and_not_found_is_a_miss_and_not_blind_time(lake: Lake) -> None:
    plant_video(lake, "one", every(200, 0, 9000, seen(0)) | every(200, 3000, 6000, []))
    plant_gallery(lake, ANN)
    assert len(spans_of(lake, blind_s=100.0)) == 2
    assert len(spans_of(lake, miss_s=3.2)) == 1


@pytest.mark.parametrize(("n_missed", "n_spans"), [(1, 1), (4, 1), (5, 2)])
def test_at_five_samples_a_second_a_miss_of_a_second_is_tolerated(
    lake: Lake, n_missed: int, n_spans: int
) -> None:
    missed = every(200, 1000, 1000 + 200 * n_missed, [])
    plant_video(lake, "one", every(200, 0, 4000, seen(0)) | missed)
    plant_gallery(lake, ANN)
    assert len(spans_of(lake)) == n_spans


@pytest.mark.parametrize(("n_missed", "n_spans"), [(0, 1), (1, 1), (2, 2)])
def test_at_a_sample_every_five_seconds_one_missed_sample_is_tolerated(
    lake: Lake, n_missed: int, n_spans: int
) -> None:
    missed = every(5000, 20_000, 20_000 + 5000 * n_missed, [])
    plant_video(lake, "one", every(5000, 0, 60_000, seen(0)) | missed)
    plant_gallery(lake, ANN)
    assert len(spans_of(lake)) == n_spans


@pytest.mark.parametrize(("n_lost", "n_spans"), [(0, 1), (1, 1), (2, 2)])
def test_at_a_sample_every_five_seconds_one_undecodable_sample_is_tolerated(
    lake: Lake, n_lost: int, n_spans: int
) -> None:
    lost = dict.fromkeys(range(20_000, 20_000 + 5000 * n_lost, 5000))
    plant_video(lake, "one", every(5000, 0, 60_000, seen(0)) | lost)
    plant_gallery(lake, ANN)
    assert len(spans_of(lake)) == n_spans


def test_defaults_are_a_second_of_misses_two_of_blindness_and_more_where_samples_are_sparse() -> (
    None
):
    dense, sparse = SpanSettings(0.3).rules(0.04), SpanSettings(0.3).rules(5.0)
    assert (dense.miss_s, dense.blind_s) == (1.0, 2.0)
    assert 10.0 <= sparse.miss_s < 15.0  # one missed sample and not two
    assert 10.0 <= sparse.blind_s < 15.0
    given_ones = SpanSettings(0.3, miss_s=0.0, blind_s=0.0).rules(5.0)
    assert (given_ones.miss_s, given_ones.blind_s) == (0.0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 1.01},
        {"threshold": float("nan")},
        {"threshold": 0.3, "exit_threshold": 0.4},
        {"threshold": 0.3, "blind_s": -1.0},
        {"threshold": 0.3, "min_hits": 0},
    ],
)
def test_settings_that_no_rules_can_be_made_of_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        SpanSettings(**wrong)


def test_only_the_wanted_identities_are_found(lake: Lake) -> None:
    plant_video(lake, "one", every(200, 0, 1000, [*seen(0), *seen(1), *seen(2)]))
    plant_gallery(lake, ANN | BOB | {"Cleo": [axis(2)]})
    everybody = spans_of(lake)
    assert {row["identity"] for row in everybody} == {"Ann", "Bob", "Cleo"}
    some = spans_of(lake, identities=("Cleo", "Ann"))
    assert some == [row for row in everybody if row["identity"] != "Bob"]
    assert spans_of(lake, identities=()) == []


def test_rows_come_by_path_then_time_then_identity(lake: Lake) -> None:
    looks = every(200, 0, 1000, [*seen(1), *seen(0)]) | every(200, 4000, 5000, seen(0))
    plant_video(lake, "a", looks, paths=["/z/late.mp4"])
    plant_video(lake, "b", every(200, 3000, 4000, []) | looks, paths=["/a/early.mp4"])
    plant_gallery(lake, ANN | BOB)
    rows = spans_of(lake)
    assert [(row["path"], row["start_s"], row["identity"]) for row in rows] == [
        (path, start, name)
        for path in ("/a/early.mp4", "/z/late.mp4")
        for start, name in [(0.0, "Ann"), (0.0, "Bob"), (4.0, "Ann")]
    ]


def test_a_score_that_is_no_number_is_refused(lake: Lake) -> None:
    gallery = plant_gallery(lake, {"Ann": [axis(0)]})
    plant_video(lake, "one", {0: [alike(p0=0.5)], 200: [alike(p0=0.4)]})
    scores = match_gallery(lake, gallery)
    column = scores.schema.get_field_index("score")
    field = scores.schema.field("score")
    broken = scores.set_column(column, field, pa.array([0.5, float("nan")], pa.float32()))
    with pytest.raises(ValueError, match="every score must be a number, but 1 of 2 are NaN"):
        find_all_spans(lake, broken, SPACE, SpanSettings(0.3))


def test_the_order_of_the_scores_does_not_matter(lake: Lake) -> None:
    for name in "ab":
        plant_video(lake, name, every(200, 0, 4000, [*seen(0), *seen(1, 0.4)]))
    scores = match_gallery(lake, plant_gallery(lake, ANN | BOB))
    order = np.random.default_rng(0).permutation(len(scores))
    found = [
        find_all_spans(lake, table, SPACE, SpanSettings(0.3))
        for table in (scores, scores.take(pa.array(order)))
    ]
    assert len(found[0]) == 4
    assert found[0].equals(found[1])


def test_a_denser_look_joins_the_sparse_one_and_counts_an_instant_once(lake: Lake) -> None:
    plant_video(lake, "one", every(1000, 0, 4000, seen(0, 0.5)), run="sparse")
    dense = every(500, 0, 4000, []) | every(1000, 0, 4000, seen(0, 0.5))
    plant_video(lake, "one", dense, run="dense")
    plant_gallery(lake, ANN)
    (row,) = spans_of(lake)
    assert (row["n_hits"], row["n_samples"]) == (4, 7)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    scores=st.lists(st.one_of(st.none(), st.floats(-0.9, 0.9)), min_size=1, max_size=30),
    low=st.floats(-0.9, 0.9),
    step=st.floats(0.0, 0.5),
)
def test_a_higher_threshold_never_adds_time(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float | None], low: float, step: float
) -> None:
    lake = new_lake(tmp_path_factory.mktemp("law") / "tv")
    looks = {200 * n: [] if score is None else seen(0, score) for n, score in enumerate(scores)}
    plant_video(lake, "one", looks)
    plant_gallery(lake, ANN)
    few, many = (
        [(row["start_s"], row["end_s"]) for row in spans_of(lake, threshold)]
        for threshold in (min(low + step, 1.0), low)
    )
    assert all(any(a <= start and end <= b for a, b in many) for start, end in few)


def test_a_video_without_faces_gives_no_rows_and_no_error(lake: Lake) -> None:
    plant_video(lake, "empty", every(200, 0, 1000, []))
    plant_video(lake, "failed", {})
    gallery = plant_gallery(lake, ANN)
    assert match_gallery(lake, gallery).equals(SCORES.empty_table())
    assert spans_of(lake) == []
    plant_video(lake, "one", every(200, 0, 1000, seen(0)))
    assert [row["path"] for row in spans_of(lake)] == ["/archive/one.mp4"]


# What cannot be asked ---------------------------------------------------------------------------


def one_sentence(error: pytest.ExceptionInfo[FacelakeError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_gallery_without_anybody_is_refused(lake: Lake) -> None:
    plant_video(lake, "one", {0: seen(0)})
    with pytest.raises(GalleryError) as error:
        match_gallery(lake, lake.exemplars(SPACE))
    assert one_sentence(error).startswith("nobody is enrolled in this catalog; facelake enrol")


def test_a_catalog_without_videos_is_refused(lake: Lake) -> None:
    gallery = plant_gallery(lake, ANN)
    with pytest.raises(CatalogError) as error:
        match_gallery(lake, gallery)
    assert "nothing is ingested yet; facelake ingest comes first" in one_sentence(error)


def test_a_gallery_of_another_model_is_refused(lake: Lake) -> None:
    plant_video(lake, "one", {0: seen(0)})
    add_space(lake, OTHER_SPACE)
    gallery = plant_gallery(lake, ANN, space=OTHER_SPACE)
    with pytest.raises(CatalogError) as error:
        match_gallery(lake, gallery)
    text = one_sentence(error)
    assert OTHER_SPACE in text
    assert SPACE in text
    assert "enrol the photos with the pack" in text


def test_exemplars_say_which_space_they_are_of(lake: Lake) -> None:
    assert space_of(plant_gallery(lake, ANN)) == SPACE


# Which space ------------------------------------------------------------------------------------


def test_the_only_space_is_the_one(lake: Lake) -> None:
    assert choose_space(lake) == choose_space(lake, SPACE) == SPACE


def test_of_two_spaces_the_one_that_can_answer_is_taken(lake: Lake) -> None:
    add_space(lake, OTHER_SPACE)
    plant_video(lake, "one", {0: seen(0)})
    plant_gallery(lake, ANN)
    plant_gallery(lake, BOB, space=OTHER_SPACE)  # enrolled with the wrong pack: harms nothing
    assert choose_space(lake) == SPACE
    assert choose_space(lake, OTHER_SPACE) == OTHER_SPACE


def test_where_no_space_can_answer_videos_and_gallery_each_have_their_own(lake: Lake) -> None:
    add_space(lake, OTHER_SPACE)
    plant_video(lake, "one", {0: seen(0)})
    plant_gallery(lake, ANN, space=OTHER_SPACE)
    assert choose_space(lake) == OTHER_SPACE  # so that the match can say what is wrong
    assert choose_space(lake, for_gallery=False) == SPACE


def test_of_two_spaces_that_can_answer_one_must_be_named(lake: Lake) -> None:
    add_space(lake, OTHER_SPACE)
    for space in (SPACE, OTHER_SPACE):
        plant_video(lake, "one", {0: seen(0)}, space=space, run=space)
        plant_gallery(lake, ANN, space=space)
    with pytest.raises(CatalogError, match=r"name one space with --space: made-up.*, other-"):
        choose_space(lake)


def test_a_space_that_the_catalog_does_not_have_is_refused(lake: Lake) -> None:
    with pytest.raises(CatalogError, match=rf"must be one of {SPACE}, but is 'arcface'"):
        choose_space(lake, "arcface")


def test_a_catalog_in_which_nothing_is_has_no_space(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="nothing is ingested yet"):
        choose_space(Lake.create(tmp_path / "tv"))


# From a least score on ---------------------------------------------------------------------------


def _large_lake(root: Path, seed: int, embedded: float, n_runs: int) -> tuple[Lake, pa.Table]:
    """Two videos of many faces, some with several runs, and a gallery of faces out of them."""
    vectors = walked.walk(300, seed, embedded=embedded)
    lake, _ = walked.catalog(root, vectors)
    for run in range(1, n_runs):
        pts = np.arange(0, 300, run + 1)
        some = lake.faces("news-01234567", walked.SPACE).take(pa.array(pts))
        row = walked.video(len(pts), len(pts) - 1, run=f"r{run + 1}")
        lake.publish(row, walked.samples(300).take(pa.array(pts)), some)
    other = walked.video(90, 90, video_id="b-89abcdef")
    lake.publish(other, walked.samples(90), walked.faces(walked.walk(90, seed + 1)))
    random = np.random.default_rng(seed)
    known = vectors[~np.isnan(vectors[:, 0])]
    chosen = known[random.permutation(len(known))[:5]].astype(np.float32)
    rows = [
        {
            "exemplar_id": f"e{number}",
            "identity": f"person {number % 3}",
            "photo": f"/photos/{number}.jpg",
            "photo_sha256": "00",
            "bbox_xyxy": [0, 0, 1, 1],
            "det_score": 1.0,
            "quality": 1.0,
        }
        for number in range(len(chosen))
    ]
    table = pa.Table.from_pylist(rows, schema=EXEMPLARS)
    schema = with_embedding(EXEMPLARS, walked.SPACE, vectors.shape[1])
    return lake, pa.table([*table.columns, pack_embeddings(chosen)], schema=schema)


@given(
    st.integers(0, 99),
    st.sampled_from([1.0, 0.5]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([-1.0, 0.0, 0.3, 0.5, 0.8, 1.0]),
)
@settings(max_examples=25, deadline=None)
def test_scores_from_a_least_one_on_are_those_of_a_comparison_with_every_face(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    embedded: float,
    n_runs: int,
    min_score: float,
) -> None:
    lake, gallery = _large_lake(tmp_path_factory.mktemp("least"), seed, embedded, n_runs)
    every = match_gallery(lake, gallery)
    enough = every.filter(pa.array(every["score"].to_numpy() >= np.float32(min_score)))
    assert match_gallery(lake, gallery, min_score=min_score).equals(enough)


@pytest.mark.parametrize("min_score", [-1.1, 1.5, float("nan")])
def test_a_least_score_that_no_cosine_has_is_refused(lake: Lake, min_score: float) -> None:
    with pytest.raises(ValueError, match=r"min_score must lie in \[-1, 1\]"):
        match_gallery(lake, plant_gallery(lake, ANN), min_score=min_score)


def test_a_part_that_was_replaced_while_it_was_scanned_is_scanned_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, gallery = _large_lake(tmp_path, 3, 1.0, 1)
    expected = match_gallery(lake, gallery, min_score=0.3)
    scan = Lake.scan
    replaced: list[str] = []

    def replace_first(self: Lake, *args: Any, **options: Any) -> Any:
        if not replaced:
            row = self.run_row("news-01234567", "r1")
            replaced.append(row["generation"])
            faces = self.faces("news-01234567", walked.SPACE)
            self.publish(row, self.samples("news-01234567", walked.SPACE), faces)
        return scan(self, *args, **options)

    monkeypatch.setattr(Lake, "scan", replace_first)
    one_by_one = match_gallery(lake, gallery, min_score=0.3, spread=map)
    assert replaced
    assert one_by_one.equals(expected)
