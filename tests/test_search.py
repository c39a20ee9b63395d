"""Searching for a face over a whole catalog: against brute force, from every kind of question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import DIM, SPACE, alike, axis, new_lake, plant_gallery, plant_video

import facelake
from facelake.cli import main
from facelake.errors import CatalogError, GalleryError
from facelake.lake import Lake
from facelake.lake.thresholds import write_threshold
from facelake.query.search import choose_least, search_faces
from facelake.results import Search
from facelake.schema import (
    COPIES,
    FACES,
    HITS,
    SAMPLES,
    TRACKS,
    StoredThreshold,
    pack_embeddings,
    unpack_embeddings,
    with_embedding,
)

Vectors = npt.NDArray[np.float32]


def film(
    lake: Lake,
    name: str,
    shots: Sequence[Vectors],
    *,
    path: str | None = None,
    start_s: float = 0.0,
    period_s: float = 0.5,
    silent: Sequence[int] = (),
) -> str:
    """A video whose shots follow each other, one track each; a face every half second.

    For the faces in the rows ``silent`` the one before stands.
    """
    video_id = f"{name}-00000000"
    vectors = np.concatenate(shots)
    n = len(vectors)
    times = start_s + period_s * np.arange(n)
    pts = np.round(times * 1000).astype(np.int64)
    track = np.repeat(np.arange(len(shots), dtype=np.int32), [len(shot) for shot in shots])
    ids = [f"{name}{row:02d}".encode().hex()[:16].ljust(16, "0") for row in range(n)]
    boxes = np.tile(np.array([10, 20, 60, 80], np.float32), (n, 1)) + np.arange(n)[:, None] % 7
    faces = pa.table(
        {
            "face_id": ids,
            "pts": pts,
            "time_s": times,
            "bbox_xyxy": _lists(boxes),
            "det_score": np.full(n, 0.9, np.float32),
            "landmarks": _lists(np.zeros((n, 10), np.float32)),
            "align_rms": np.ones(n, np.float32),
            "sharpness": np.full(n, 100, np.float32),
            "quality": np.linspace(0.9, 0.5, n).astype(np.float32),
            "track_id": track,
            "embedded_face_id": [ids[row - 1] if row in silent else None for row in range(n)],
        },
        schema=FACES,
    )
    told = vectors.copy()
    told[list(silent)] = np.nan
    faces = pa.table(
        [*faces.columns, pack_embeddings(told)], schema=with_embedding(FACES, SPACE, DIM)
    )
    samples = pa.table(
        {
            "pts": pts,
            "time_s": times,
            "shown_s": np.full(n, period_s),
            "n_faces": np.ones(n, np.int32),
            "status": pa.repeat("ok", n),
            "source": pa.repeat("detected", n),
            "new_shot": pa.nulls(n, pa.bool_()),
        },
        schema=SAMPLES,
    )
    first = np.unique(track, return_index=True)[1]
    last = np.append(first[1:], n) - 1
    tracks = pa.table(
        {
            "track_id": np.arange(len(shots), dtype=np.int32),
            "start_s": times[first],
            "end_s": times[last] + period_s,
            "n_faces": np.bincount(track).astype(np.int32),
            "best_face_id": [ids[row] for row in first],
            "cos_to_mean_min": np.ones(len(shots), np.float32),
        },
        schema=TRACKS,
    )
    tracks = pa.table(
        [*tracks.columns, pack_embeddings(vectors[first])],
        schema=with_embedding(TRACKS, SPACE, DIM),
    )
    row = {
        "video_id": video_id,
        "run": "run",
        "content_id": name.encode().hex().ljust(64, "0"),
        "paths": [path or f"/archive/{name}.mp4"],
        "mtimes_ns": [0],
        "size_bytes": 1,
        "status": "ok",
        "width": 640,
        "height": 360,
        "settings": "{}",
        "space": SPACE,
        "pack": "pack",
        "detector": "none",
        "device": "cpu",
        "n_samples": n,
        "n_undecodable": 0,
        "n_bad_packets": 0,
        "n_faces": n,
        "n_tracks": len(shots),
        "n_embedded": n - len(silent),
        "created_utc": 0,
        "facelake_version": "0",
    }
    lake.publish(row, samples, faces, tracks)
    return video_id


def _lists(values: npt.NDArray[np.float32]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def turning(person: int, n: int, seed: int) -> Vectors:
    """Faces of person 0 to 3 who turns about in the other half of the dimensions.

    Strangers share only that half, which is short: they are less alike than 0.45.
    """
    random = np.random.default_rng([seed, person])
    turn = random.normal(size=(n, DIM // 2))
    vectors = np.zeros((n, DIM))
    vectors[:, DIM // 2 :] = 0.8 * turn / np.linalg.norm(turn, axis=1, keepdims=True)
    vectors[:, person] = 1.0
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Person 0 in a and b, person 1 in a and c; d is an excerpt of a."""
    lake = new_lake(tmp_path / "tv")
    shots = [turning(0, 12, 1), turning(1, 12, 2), turning(0, 6, 3)]
    film(lake, "a", shots)
    film(lake, "b", [turning(0, 10, 4)])
    film(lake, "c", [turning(2, 8, 5), turning(1, 9, 6)])
    film(lake, "d", [shots[1]], start_s=100.0)
    return lake


def hits(answer: Search) -> list[tuple[str, int | None]]:
    table = answer.table
    return list(zip(table["video_id"].to_pylist(), table["track_id"].to_pylist(), strict=True))


def catalog_of(lake: Lake) -> facelake.Catalog:
    return facelake.open_catalog(lake.root)


def ids_of(lake: Lake, video_id: str) -> list[str]:
    return [str(name) for name in lake.faces(video_id, SPACE)["face_id"].to_pylist()]


# The answer -------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(-0.5, 0.95), st.integers(1, 4))
def test_the_answer_is_that_of_comparing_every_face(
    tmp_path_factory: pytest.TempPathFactory, seed: int, least: float, n_asked: int
) -> None:
    random = np.random.default_rng(seed)
    lake = new_lake(tmp_path_factory.mktemp("lake") / "tv")
    shots: dict[str, list[Vectors]] = {
        name: [
            turning(int(random.integers(4)), int(random.integers(1, 6)), int(random.integers(99)))
            for _ in range(random.integers(1, 4))
        ]
        for name in ("a", "b", "c")
    }
    for name, of_video in shots.items():
        film(lake, name, of_video)
    asked = random.normal(size=(n_asked, DIM)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    queries = plant_gallery(lake, {f"q{n}": [vector] for n, vector in enumerate(asked)})
    probes = unpack_embeddings(queries["embedding"]).astype(np.float64)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    wanted, near = {}, False
    for name, of_video in shots.items():
        for track, vectors in enumerate(of_video):
            scores = vectors.astype(np.float16).astype(np.float64) @ probes.T
            near |= bool((np.abs(scores - least) < 1e-3).any())
            best = scores.max(axis=1)
            if best.max() >= least:
                wanted[f"{name}-00000000", track] = (
                    best.max(),
                    f"q{scores[best.argmax()].argmax()}",
                    int(np.count_nonzero(best >= least)),
                )
    if near:
        return  # a score at the bar itself: float32 and float64 may differ there
    found = search_faces(lake, queries, min_score=least)
    got = {
        (row["video_id"], row["track_id"]): (row["score"], row["query"], row["n_faces"])
        for row in found.to_pylist()
    }
    assert got.keys() == wanted.keys()
    for key, (score, query, n_faces) in wanted.items():
        assert got[key] == (pytest.approx(score, abs=2e-3), query, n_faces)
    assert found["score"].to_pylist() == sorted(found["score"].to_pylist(), reverse=True)
    assert found["rank"].to_pylist() == [*range(1, len(found) + 1)]


def test_a_row_is_an_appearance_with_its_time_and_best_face(lake: Lake) -> None:
    face = ids_of(lake, "b-00000000")[3]
    answer = catalog_of(lake).search(face, min_score=0.6)
    first = answer.table.slice(0, 1).to_pylist()[0]
    assert first["query"] == f"face {face}"
    assert first["query_face_id"] == first["best_face_id"] == face
    assert (first["rank"], first["video_id"], first["track_id"]) == (1, "b-00000000", 0)
    assert (first["start_s"], first["end_s"], first["best_time_s"]) == (0.0, 5.0, 1.5)
    assert first["score"] == pytest.approx(1.0, abs=1e-3)
    assert {hit for hit in hits(answer) if hit[0] != "b-00000000"} == {
        ("a-00000000", 0),
        ("a-00000000", 2),
    }


def test_every_face_can_be_asked_for(lake: Lake) -> None:
    face = ids_of(lake, "b-00000000")[3]
    by_track = catalog_of(lake).search(face, min_score=0.6)
    by_face = catalog_of(lake).search(face, min_score=0.6, by="face")
    table = by_face.table
    assert len(table) == pc.sum(by_track.table["n_faces"]).as_py()
    assert len(set(table["best_face_id"].to_pylist())) == len(table)
    assert table["start_s"].equals(table["end_s"])
    assert table["start_s"].equals(table["best_time_s"])
    assert table["track_id"].null_count == 0
    assert pc.max(table["n_faces"]).as_py() == 1


def test_a_face_without_an_embedding_has_the_score_of_the_one_that_stands_for_it(
    tmp_path: Path,
) -> None:
    lake = new_lake(tmp_path / "tv")
    film(lake, "a", [turning(0, 3, 1)], silent=[1])
    film(lake, "b", [turning(1, 2, 1)])
    first, second, third = ids_of(lake, "a-00000000")
    catalog = catalog_of(lake)
    (track,) = catalog.search(second, min_score=0.9).table.to_pylist()
    assert track["query_face_id"] == track["best_face_id"] == first
    assert (track["n_faces"], track["best_time_s"]) == (2, 0.0)
    faces = catalog.search(first, min_score=0.99, by="face").table
    assert faces["best_face_id"].to_pylist() == [first, second]
    assert faces["best_time_s"].to_pylist() == [0.0, 0.5]
    assert third not in faces["best_face_id"].to_pylist()


def test_faces_without_a_track_are_appearances_of_their_own(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "news", {0: [axis(0)], 1000: [axis(0), axis(1)], 2000: [alike(p0=0.5)]})
    answer = catalog_of(lake).search("news.mp4@0", min_score=0.4)
    rows = answer.table.select(["track_id", "start_s", "end_s", "n_faces", "score"]).to_pylist()
    assert [(row["start_s"], round(row["score"], 3)) for row in rows] == [
        (0.0, 1.0),
        (1.0, 1.0),
        (2.0, 0.5),
    ]
    assert all(row["track_id"] is None and row["start_s"] == row["end_s"] for row in rows)


def test_only_the_first_are_given_where_so_many_are_asked_for(lake: Lake) -> None:
    face = ids_of(lake, "b-00000000")[3]
    whole = catalog_of(lake).search(face, min_score=-1.0)
    some = catalog_of(lake).search(face, min_score=-1.0, top=2)
    assert some.table.equals(whole.table.slice(0, 2))


def test_nothing_found_is_an_empty_table_with_the_columns(lake: Lake) -> None:
    write_threshold(lake, SPACE, None)
    plant_gallery(lake, {"Nobody": [axis(6)]})
    answer = catalog_of(lake).search(identity="Nobody", min_score=0.99)
    assert answer.table.equals(HITS.empty_table())
    assert "no hits of Nobody, from 0.99 on" in repr(answer)


# What can be asked ------------------------------------------------------------------------------


def test_everybody_in_a_video_is_searched_by_track(lake: Lake) -> None:
    answer = catalog_of(lake).search("c.mp4", min_score=0.6)
    assert answer.queries == ("c.mp4 track 0", "c.mp4 track 1")
    assert set(hits(answer)) == {
        ("c-00000000", 0), ("c-00000000", 1), ("a-00000000", 1), ("d-00000000", 0),
    }  # fmt: skip
    elsewhere = answer.table.filter(pc.field("video_id") != "c-00000000")
    assert set(elsewhere["query"].to_pylist()) == {"c.mp4 track 1"}
    own = answer.table.filter(pc.field("video_id") == "c-00000000")
    assert own["query_face_id"].equals(own["best_face_id"])


@pytest.mark.parametrize("query", ["a-00000000@3.1", "/archive/a.mp4@3.1", "a.mp4@3.1"])
def test_an_instant_is_asked_by_the_look_nearest_to_it(lake: Lake, query: str) -> None:
    answer = catalog_of(lake).search(query, min_score=0.6)
    assert answer.queries == ("a.mp4@3.1",)
    assert answer.table["best_time_s"][0].as_py() == 3.0


def test_the_faces_of_an_instant_are_numbered_from_the_left(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "news", {0: [axis(0), axis(1)]})
    answer = catalog_of(lake).search("news.mp4@0", min_score=0.5)
    assert answer.queries == ("news.mp4@0 face 1", "news.mp4@0 face 2")


def test_an_enrolled_person_is_searched_by_all_exemplars(lake: Lake) -> None:
    plant_gallery(lake, {"Ann": [axis(0), axis(1)], "Bob": [axis(2)]})
    answer = catalog_of(lake).search(identity="Ann", min_score=0.6)
    assert {video for video, _ in hits(answer)} == {"a-00000000", "b-00000000", "c-00000000",
                                                    "d-00000000"}  # fmt: skip
    assert ("c-00000000", 0) not in hits(answer)


def test_the_stored_threshold_counts_and_is_named(lake: Lake) -> None:
    assert choose_least(lake, SPACE, None)[0] == 0.30
    write_threshold(lake, SPACE, StoredThreshold(0.8, "FMR 0.001", "2026-01-01T00:00:00+00:00"))
    answer = catalog_of(lake).search("b.mp4")
    assert answer.min_score == 0.8
    assert "from 0.8 on (FMR 0.001)" in repr(answer)
    assert pc.min(answer.table["score"]).as_py() >= 0.8
    assert catalog_of(lake).search("b.mp4", min_score=0.5).note == ""


# Other videos -----------------------------------------------------------------------------------


def test_other_videos_leaves_out_the_own_one_and_its_footage_elsewhere(lake: Lake) -> None:
    catalog = catalog_of(lake)
    assert ("d-00000000", 0) in hits(catalog.search("a.mp4", min_score=0.6))
    assert set(hits(catalog.search("a.mp4", min_score=0.6, other_videos=True))) == {
        ("b-00000000", 0),
        ("c-00000000", 1),
    }


def test_a_video_of_unknown_size_is_left_out_as_well(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    for name in ("news", "talk"):
        plant_video(lake, name, {0: [axis(0)], 1000: [axis(0)]})
    found = catalog_of(lake).search("news.mp4", min_score=0.5, other_videos=True)
    assert {video.partition("-")[0] for video, _ in hits(found)} == {"talk"}


def test_of_a_longer_video_only_the_shared_time_is_left_out(lake: Lake) -> None:
    plant_gallery(lake, {})
    found = catalog_of(lake).search("d.mp4", min_score=-1.0, other_videos=True)
    assert ("a-00000000", 1) not in hits(found)
    film(lake, "e", [turning(3, 12, 9), turning(1, 12, 2), turning(3, 12, 8), turning(1, 8, 7)])
    found = catalog_of(lake).search("d.mp4", min_score=0.6, other_videos=True)
    assert set(hits(found)) == {("c-00000000", 1), ("e-00000000", 3)}


def test_a_person_without_a_video_has_no_other_videos(lake: Lake) -> None:
    plant_gallery(lake, {"Ann": [axis(0)]})
    with pytest.raises(ValueError, match="what is asked for is from none"):
        catalog_of(lake).search(identity="Ann", other_videos=True)


def test_copies_are_told_with_their_times(lake: Lake) -> None:
    copies = catalog_of(lake).copies(progress=False)
    (row,) = copies.table.to_pylist()
    assert (row["video_a"], row["video_b"], row["verdict"]) == (
        "a-00000000", "d-00000000", "overlap",
    )  # fmt: skip
    assert row["offset_s"] == pytest.approx(94.0)  # 12 faces of a come before, 6 s
    assert (row["start_a_s"], row["end_a_s"]) == (6.0, 11.5)
    assert (row["start_b_s"], row["end_b_s"]) == (100.0, 105.5)
    assert (row["shared_s"], row["n_matched"], row["n_compared"]) == (5.5, 12, 12)
    assert repr(copies) == "1 pair of videos with shared footage, 0:06 in all"
    only = catalog_of(lake).copies("d.mp4", progress=False)
    assert only.table.equals(copies.table)
    none = catalog_of(lake).copies(["b.mp4", "c.mp4"], progress=False)
    assert none.table.equals(COPIES.empty_table())


def test_a_face_enrolled_in_one_video_is_found_in_another(lake: Lake) -> None:
    catalog = catalog_of(lake)
    gallery = catalog.enrol_faces("Ann Lee", faces=[ids_of(lake, "b-00000000")[3]])
    found = catalog.match(gallery).spans(threshold=0.6)
    assert set(found.table["video_id"].to_pylist()) == {"a-00000000", "b-00000000"}


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "error", "sentence"),
    [
        ("e.mp4", CatalogError, "e.mp4: the catalog holds no such video"),
        ("f" * 16, CatalogError, "f{16}: the catalog holds no such face"),
        ("a.mp4@nan", ValueError, "after the @ there must be seconds"),
        ("a.mp4@soon", ValueError, "after the @ there must be seconds"),
        ("a.mp4@900", CatalogError, "nobody looked within 1 s of it; the nearest look is at 14.5"),
        (None, ValueError, "a query or an identity: one of them"),
    ],
)
def test_a_question_that_means_nothing_is_refused(
    lake: Lake, query: str | None, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        catalog_of(lake).search(query)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_score": np.nan}, "min_score must lie in"),
        ({"min_score": 1.5}, "min_score must lie in"),
        ({"top": 0}, "top must be at least 1"),
        ({"identity": "Ann"}, "one of them, not both"),
        ({"face_number": 1}, "face_number chooses a face of a photo, but a.mp4 is none"),
    ],
)
def test_wrong_options_are_refused(
    lake: Lake, options: dict[str, float | str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        catalog_of(lake).search("a.mp4", **options)  # type: ignore[arg-type]


def test_a_file_name_of_two_videos_is_refused_with_their_ids(lake: Lake) -> None:
    film(lake, "twin", [turning(0, 3, 1)], path="/elsewhere/a.mp4")
    for query in ("a.mp4", "a.mp4@1"):
        with pytest.raises(CatalogError, match="give the id of one: a-00000000, twin-00000000"):
            catalog_of(lake).search(query)


def test_an_instant_without_a_face_says_where_the_nearest_is(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "news", {0: [axis(0)], 1000: [], 2000: []})
    plant_video(lake, "empty", {0: []})
    with pytest.raises(
        CatalogError, match=r"no face was found at 1.000 s; the nearest is at 0.000"
    ):
        catalog_of(lake).search("news.mp4@1")
    with pytest.raises(CatalogError, match="no face was found in it, so none can be searched for"):
        catalog_of(lake).search("empty.mp4")


def test_an_unknown_person_is_refused(lake: Lake) -> None:
    plant_gallery(lake, {"Ann": [axis(0)]})
    with pytest.raises(GalleryError, match="did you mean 'Ann'"):
        catalog_of(lake).search(identity="Anna")


def test_a_catalog_without_videos_is_refused(tmp_path: Path) -> None:
    Lake.create(tmp_path / "tv")
    catalog = facelake.open_catalog(tmp_path / "tv")
    with pytest.raises(CatalogError, match="facelake ingest comes first"):
        catalog.search("a.mp4")
    with pytest.raises(CatalogError, match="facelake ingest comes first"):
        catalog.copies(progress=False)


def test_a_catalog_of_videos_without_faces_has_no_copies(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    plant_video(lake, "empty", {0: []}, width=640, height=360)
    plant_video(lake, "failed", {})
    assert catalog_of(lake).copies(progress=False).table.equals(COPIES.empty_table())


# The command line -------------------------------------------------------------------------------


def test_the_command_prints_rows_and_says_what_it_did(lake: Lake) -> None:
    args = ["search", "b.mp4", "-c", str(lake.root), "--min-score", "0.6", "--other-videos"]
    result = CliRunner().invoke(main, [*args, "--format", "csv"])
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.replace('"', "").split(",") == HITS.names
    assert len(rows) == 2
    assert "2 hits of b.mp4 track 0 in 1 video" in result.stderr
    shown = CliRunner().invoke(main, args).stdout
    assert "a.mp4" in shown
    assert "path" not in shown


def test_without_a_threshold_the_first_score_is_said_aloud(lake: Lake) -> None:
    result = CliRunner().invoke(main, ["search", "b.mp4", "-c", str(lake.root)])
    assert result.exit_code == 0
    assert "from 0.3 on (a place to start, the catalog keeps no threshold)" in result.stderr


def test_the_command_wants_one_question(lake: Lake) -> None:
    for words in ([], ["b.mp4", "--identity", "Ann"]):
        result = CliRunner().invoke(main, ["search", *words, "-c", str(lake.root)])
        assert result.exit_code == 2
        assert "one query, or --identity NAME" in result.stderr


def test_copies_are_printed(lake: Lake) -> None:
    result = CliRunner().invoke(main, ["copies", "-c", str(lake.root), "--format", "json", "-q"])
    assert result.exit_code == 0
    assert '"verdict": "overlap"' in result.stdout
    shown = CliRunner().invoke(main, ["copies", "a.mp4", "-c", str(lake.root), "-q"])
    assert "d.mp4" in shown.stdout


# The page ---------------------------------------------------------------------------------------


def test_the_page_names_every_column(root: Path) -> None:
    text = (root / "docs" / "search.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", text, flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted([*HITS.names, *COPIES.names])


# Real clips -------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.models
def test_real_footage_encoded_again_is_found_and_nothing_else(shared: Path, tmp_path: Path) -> None:
    again, takes = shared / "broken" / "derived_faces", shared / "videos"
    clips = [
        again / "dup_a.mp4",  # 1280 × 720, H.264
        again / "odd_427x241_vp9.webm",  # the same scene: a third of its size, VP9
        takes / "faceswap_pair" / "dance_orig.webm",
        takes / "faceswap_pair" / "dance_swapped_elon.webm",  # the same motion, another face
        takes / "friends_shots" / "out12.mp4",
        takes / "friends_shots" / "out13.mp4",
        takes / "friends_shots" / "out24.mp4",  # the same people as out12, another take
    ]
    if missing := [clip.name for clip in clips if not clip.is_file()]:
        pytest.skip(f"shared: no {missing[0]} among the clips")
    catalog = facelake.open_catalog(tmp_path / "tv")
    catalog.ingest(*clips, workers=2, progress=False)
    (row,) = catalog.copies(progress=False).table.to_pylist()
    assert {Path(row["path_a"]).name, Path(row["path_b"]).name} == {clip.name for clip in clips[:2]}
    assert row["verdict"] == "same"
    assert abs(row["offset_s"]) < 0.1
