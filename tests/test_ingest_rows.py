"""What was looked at as rows: every instant has one, lost ones too, and no face is made up."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.ingest.look import Look
from facelake.ingest.rows import chip_rows, face_rows, sample_rows
from facelake.schema import (
    CARRIED,
    CHIPS,
    DETECTED,
    FACES,
    REFINED,
    SAMPLES,
    Face,
    Stretch,
    VideoFacts,
    face_id,
    unpack_embeddings,
    with_embedding,
)

DIM, SPACE, CONTENT = 4, "made-up-00000001", "ab" * 32
CLOCK = Fraction(1, 1000)
PTS = np.array([0, 40, 80, 120, 200, 240, 280, 320], np.int64)
SHOWN_S = [0.04, 0.04, 0.04, 0.08, 0.04, 0.04, 0.04, 0.04]
WANTED = PTS[[0, 2, 4, 6]]


def facts(assumed_fps: float | None = None) -> VideoFacts:
    return VideoFacts(
        stream=0, container="mp4", codec="h264", pixel_format="yuv420p", width=320, height=240,
        rotation=0, time_base=CLOCK, n_frames=8, start_pts=0, end_pts=360, n_missing=0,
        n_bad_packets=0, assumed_fps=assumed_fps, decord_doubt="",
    )  # fmt: skip


def stretch(*, has_times: bool = True) -> Stretch:
    none = PTS[:0]
    return Stretch(
        number=0, end_pts=360, seek_pts=None, key_pts=none,
        want_pts=WANTED if has_times else none,
        want_index=np.array([0, 2, 4, 6]) if has_times else none, peek_pts=None,
        frame_pts=PTS if has_times else none,
        frame_shown_s=np.array(SHOWN_S if has_times else [], np.float64),
        can_skip=False, sample_fps=12.5,
    )  # fmt: skip


def a_face(left: float, embedding: list[float] | None = None) -> Face:
    box = np.array([left, 10, left + 50, 70], np.float32)
    points = np.arange(10, dtype=np.float32).reshape(5, 2) + np.float32(left)
    vector = None if embedding is None else np.array(embedding, np.float32)
    return Face(box, 0.75, points, vector, 2.5, 64.0)


def look(
    pts: int,
    *faces: Face,
    source: str = DETECTED,
    fragment: list[int] | None = None,
    new_shot: bool | None = False,
) -> Look:
    numbers = list(range(len(faces))) if fragment is None else fragment
    thumb = np.zeros((64, 64), np.uint8)
    return Look(pts, pts / 1000, thumb, source, list(faces), [None] * len(faces), numbers, new_shot)


# Samples ----------------------------------------------------------------------------------------


def test_each_instant_is_a_row_with_its_time_and_how_long_it_stays() -> None:
    looks = [
        look(0, new_shot=None),
        look(80, a_face(0)),
        look(120, a_face(0), a_face(90), source=REFINED, new_shot=True),
        look(200, a_face(0), source=CARRIED),
        look(280),
    ]
    table = sample_rows(facts(), stretch(), looks)
    assert table.schema == SAMPLES
    table.validate(full=True)
    assert table.to_pydict() == {
        "pts": [0, 80, 120, 200, 280],
        "time_s": [0.0, 0.08, 0.12, 0.2, 0.28],
        "shown_s": [0.04, 0.04, 0.08, 0.04, 0.04],
        "n_faces": [0, 1, 2, 1, 0],
        "status": ["ok"] * 5,
        "source": ["detected", "detected", "refined", "carried", "detected"],
        "new_shot": [None, False, True, False, False],
    }


def test_an_instant_that_no_frame_answered_is_an_undecodable_row_in_its_place() -> None:
    table = sample_rows(facts(), stretch(), [look(0, a_face(0), new_shot=None), look(280)])
    assert table.to_pydict() == {
        "pts": [0, 80, 200, 280],
        "time_s": [0.0, 0.08, 0.2, 0.28],
        "shown_s": [0.04, 0.0, 0.0, 0.04],
        "n_faces": [1, 0, 0, 0],
        "status": ["ok", "undecodable", "undecodable", "ok"],
        "source": ["detected", "none", "none", "detected"],
        "new_shot": [None, None, None, False],
    }


def test_a_later_frame_answers_for_the_one_before_it_that_is_damaged() -> None:
    # 80 was wanted, 120 came: that instant is answered, with the frame's own time.
    table = sample_rows(facts(), stretch(), [look(0), look(120), look(200), look(280)])
    assert table["pts"].to_pylist() == [0, 120, 200, 280]
    assert table["status"].to_pylist() == ["ok"] * 4


def test_a_refined_look_answers_for_no_sample() -> None:
    table = sample_rows(facts(), stretch(), [look(0), look(120, source=REFINED), look(280)])
    assert table["pts"].to_pylist() == [0, 80, 120, 200, 280]
    assert table["source"].to_pylist() == ["detected", "none", "refined", "none", "detected"]


def test_a_stretch_of_which_nothing_could_be_decoded_is_lost_instants() -> None:
    table = sample_rows(facts(), stretch(), [])
    assert table["pts"].to_pylist() == WANTED.tolist()
    assert set(table["status"].to_pylist()) == {"undecodable"}
    assert set(table["source"].to_pylist()) == {"none"}
    assert table["new_shot"].null_count == 4


@pytest.mark.parametrize(("fps", "shown_s"), [(50.0, 0.02), (None, 0.04)])
def test_in_a_file_without_times_a_frame_stays_as_long_as_the_assumed_rate_says(
    fps: float | None, shown_s: float
) -> None:
    table = sample_rows(facts(fps), stretch(has_times=False), [look(0), look(200)])
    assert table["pts"].to_pylist() == [0, 200]
    assert table["shown_s"].to_pylist() == [shown_s, shown_s]
    assert table["status"].to_pylist() == ["ok", "ok"]


def test_no_look_in_a_file_without_times_is_no_row() -> None:
    assert sample_rows(facts(), stretch(has_times=False), []).equals(SAMPLES.empty_table())


@given(st.dictionaries(st.sampled_from(PTS.tolist()), st.booleans()))
def test_every_wanted_instant_has_one_row_whatever_was_lost(seen: dict[int, bool]) -> None:
    # What is no sample is there only because it was looked at in between.
    looks = [look(pts, source=DETECTED if pts in WANTED else REFINED) for pts in sorted(seen)]
    table = sample_rows(facts(), stretch(), looks)
    found = table["pts"].to_pylist()
    assert found == sorted(set(WANTED.tolist()) | set(seen))
    readable = [status == "ok" for status in table["status"].to_pylist()]
    assert [pts for pts, ok in zip(found, readable, strict=True) if ok] == sorted(seen)


# Faces ------------------------------------------------------------------------------------------


def test_each_face_is_a_row_with_what_was_measured_of_it() -> None:
    face = a_face(40, [0.0, 1.0, 0.0, 0.0])
    table = face_rows(CONTENT, SPACE, DIM, [look(0), look(80, face, fragment=[3])])
    assert table.schema == with_embedding(FACES, SPACE, DIM)
    assert table.schema.field("embedding").metadata[b"space"] == SPACE.encode()
    table.validate(full=True)
    (row,) = table.to_pylist()
    assert row == {
        "face_id": face_id(CONTENT, 80, face.bbox_xyxy),
        "pts": 80,
        "time_s": 0.08,
        "bbox_xyxy": [40, 10, 90, 70],
        "det_score": 0.75,
        "landmarks": [40 + k for k in range(10)],
        "align_rms": 2.5,
        "sharpness": 64.0,
        "quality": pytest.approx(face.quality),
        "track_id": 3,
        "embedded_face_id": None,  # known when the tracks are
        "embedding": np.array([0, 1, 0, 0], "<f2").tobytes(),
    }


def test_faces_come_in_the_order_of_their_looks_with_the_fragments_they_are_of() -> None:
    looks = [
        look(0, a_face(0), a_face(90), fragment=[1, 0]),
        look(80, a_face(90), source=CARRIED, fragment=[0]),
    ]
    table = face_rows(CONTENT, SPACE, DIM, looks)
    assert table["pts"].to_pylist() == [0, 0, 80]
    assert [box[0] for box in table["bbox_xyxy"].to_pylist()] == [0, 90, 90]
    assert table["track_id"].to_pylist() == [1, 0, 0]


def test_a_face_that_was_not_embedded_has_null() -> None:
    vector = [0.5, 0.5, 0.5, 0.5]
    looks = [look(0, a_face(0), a_face(90, vector)), look(80, a_face(0), source=CARRIED)]
    table = face_rows(CONTENT, SPACE, DIM, looks)
    assert table["embedding"].is_null().to_pylist() == [True, False, True]
    vectors = unpack_embeddings(table["embedding"], missing_ok=True)
    np.testing.assert_array_equal(vectors[1], vector)
    assert np.isnan(vectors[[0, 2]]).all()


def test_where_no_face_is_embedded_the_column_is_all_nulls_of_the_spaces_width() -> None:
    table = face_rows(CONTENT, SPACE, DIM, [look(0, a_face(0))])
    assert table["embedding"].null_count == 1
    assert table.schema.field("embedding").type.byte_width == 2 * DIM


@pytest.mark.parametrize("looks", [[], [look(0), look(80)]])
def test_where_there_is_no_face_there_is_no_row_but_every_column(looks: list[Look]) -> None:
    table = face_rows(CONTENT, SPACE, DIM, looks)
    assert table.schema == with_embedding(FACES, SPACE, DIM)
    assert len(table) == 0


# Chips ------------------------------------------------------------------------------------------


def test_each_kept_chip_is_a_row_that_names_its_face() -> None:
    first, second = look(0, a_face(0), a_face(90)), look(80, a_face(90))
    first.pictures = {1: b"one"}
    second.pictures = {0: b"two"}
    table = chip_rows(CONTENT, [first, second, look(120, a_face(0))])
    assert table.schema == CHIPS
    assert table.to_pydict() == {
        "face_id": [face_id(CONTENT, pts, a_face(90).bbox_xyxy) for pts in (0, 80)],
        "pts": [0, 80],
        "picture": [b"one", b"two"],
        "format": ["jpeg", "jpeg"],
    }
    assert chip_rows(CONTENT, [look(0, a_face(0))]).equals(CHIPS.empty_table())
