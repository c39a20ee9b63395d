"""The tables of tracks follow from whose face is whose."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from facelake.schema import FACES, SAMPLES, TRACKS, pack_embeddings, with_embedding
from facelake.tracks import add_tracks

NAN = [np.nan] * 4
SPACE = "made-up-00000001"


def samples(n: int) -> pa.Table:
    rows = [
        {"pts": 10 * k, "time_s": k / 10, "shown_s": 0.1, "n_faces": 1, "status": "ok",
         "source": "detected"}
        for k in range(n)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, SAMPLES)


def faces(at: list[int], quality: list[float], vectors: list[list[float]]) -> pa.Table:
    rows = [
        {"face_id": f"f{row}", "pts": 10 * k, "time_s": k / 10, "bbox_xyxy": [0, 0, 9, 9],
         "det_score": 0.9, "landmarks": [0] * 10, "align_rms": 1, "sharpness": 100,
         "quality": quality[row], "track_id": 99, "embedded_face_id": "of before"}
        for row, k in enumerate(at)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, FACES)
    packed = pack_embeddings(np.array(vectors, np.float32).reshape(-1, 4))
    return pa.table([*table.columns, packed], schema=with_embedding(FACES, SPACE, 4))


def test_a_track_has_its_extent_its_best_face_and_the_mean_of_its_embeddings() -> None:
    seen = faces([0, 1, 2, 3], [0.5, 0.9, 0.9, 0.4], [[1, 0, 0, 0], NAN, [0, 1, 0, 0], NAN])
    told, tracks = add_tracks(seen, samples(4), np.array([0, 0, 0, 7], np.int32))
    assert tracks.schema == with_embedding(TRACKS, SPACE, 4)
    first, second = tracks.to_pylist()
    assert (first["track_id"], first["n_faces"], first["best_face_id"]) == (0, 3, "f1")
    np.testing.assert_allclose([first["start_s"], first["end_s"]], [0.0, 0.3])
    half = np.frombuffer(first["embedding"], "<f2").astype(float)
    np.testing.assert_allclose(half, [np.sqrt(0.5), np.sqrt(0.5), 0, 0], atol=1e-3)
    np.testing.assert_allclose(first["cos_to_mean_min"], np.sqrt(0.5), atol=1e-6)
    assert (second["track_id"], second["embedding"]) == (7, None)
    assert told["track_id"].to_pylist() == [0, 0, 0, 7]
    # f1 lies as near to f0 as to f2: the earlier; nothing stands for f3.
    assert told["embedded_face_id"].to_pylist() == [None, "f0", None, None]
    assert told.drop_columns(["track_id", "embedded_face_id"]).equals(
        seen.drop_columns(["track_id", "embedded_face_id"])
    )


def test_no_face_is_no_track_but_every_column() -> None:
    nobody = faces([], [], [])
    told, tracks = add_tracks(nobody, samples(2), np.empty(0, np.int32))
    assert told.equals(nobody)
    assert tracks.equals(with_embedding(TRACKS, SPACE, 4).empty_table())
