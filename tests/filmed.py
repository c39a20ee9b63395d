"""Catalogs of tracks: who is seen when, written straight through the lake, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from planted import DIM, MS, SPACE, Vector

from facelake.lake import Lake
from facelake.schema import (
    FACES,
    SAMPLES,
    TRACKS,
    IngestSettings,
    face_id,
    pack_embeddings,
    with_embedding,
)


class Shot(NamedTuple):
    """A track: the instants it is seen at, in milliseconds, and what it looks like there."""

    pts: Sequence[int]
    looks: Vector
    quality: float = 0.5


def box_of(track_id: int) -> Vector:
    return np.array([100 * track_id, 0, 100 * track_id + 50, 50], np.float32)


def content_id(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def face_of(name: str, track_id: int, pts: int) -> str:
    """The id of a track's face at an instant."""
    return face_id(content_id(name), pts, box_of(track_id))


def film(
    lake: Lake,
    name: str,
    tracks: Mapping[int, Shot],
    *,
    space: str = SPACE,
    run: str = "run",
    path: str = "",
    n_loose: int = 0,
) -> str:
    """Publish a video of these tracks, and faces in no track; gives its ``video_id``.

    The best face of a track is its first; each frame is shown for 40 ms.
    """
    video_id = f"{name}-{content_id(name)[:8]}"
    seen = sorted(
        {pts for shot in tracks.values() for pts in shot.pts} | ({0} if n_loose else set())
    )
    faces = [
        _face(name, number, pts, shot) for number, shot in tracks.items() for pts in shot.pts
    ] + [_face(name, -1 - loose, 0, Shot([0], _nobody())) for loose in range(n_loose)]
    faces.sort(key=lambda row: (row["pts"], row["face_id"]))
    vectors = np.array([row.pop("vector") for row in faces], np.float32).reshape(-1, DIM)
    row: dict[str, Any] = {
        "video_id": video_id, "run": run, "content_id": content_id(name), "status": "ok",
        "paths": [path or f"/archive/{name}.mp4"], "mtimes_ns": [0], "size_bytes": 1000,
        "settings": IngestSettings().to_json(), "space": space, "pack": f"pack of {space}",
        "detector": "none", "device": "cpu", "n_samples": len(seen), "n_undecodable": 0,
        "n_bad_packets": 0, "n_faces": len(faces), "n_tracks": len(tracks),
        "created_utc": datetime(2026, 1, 1, tzinfo=UTC), "facelake_version": "0.1.0",
    }  # fmt: skip
    samples = [
        {"pts": pts, "time_s": pts / MS, "shown_s": 0.04, "status": "ok", "source": "detected",
         "n_faces": sum(face["pts"] == pts for face in faces)}
        for pts in seen
    ]  # fmt: skip
    lake.publish(
        row,
        pa.Table.from_pylist(samples, SAMPLES),
        _with_vectors(pa.Table.from_pylist(faces, FACES), FACES, vectors, space),
        _tracks(name, tracks, space),
    )
    return video_id


def _nobody() -> Vector:
    vector = np.zeros(DIM, np.float32)
    vector[DIM - 1] = 1.0
    return vector


def _face(name: str, track_id: int, pts: int, shot: Shot) -> dict[str, Any]:
    return {
        "face_id": face_of(name, track_id, pts),
        "pts": pts,
        "time_s": pts / MS,
        "bbox_xyxy": box_of(track_id),
        "det_score": 0.9,
        "landmarks": np.zeros(10, np.float32),
        "align_rms": 1.0,
        "sharpness": 100.0,
        "quality": shot.quality,
        "track_id": track_id if track_id >= 0 else None,
        "vector": shot.looks,
    }


def _tracks(name: str, tracks: Mapping[int, Shot], space: str) -> pa.Table:
    rows = [
        {
            "track_id": number,
            "start_s": min(shot.pts) / MS,
            "end_s": max(shot.pts) / MS + 0.04,
            "n_faces": len(shot.pts),
            "best_face_id": face_of(name, number, shot.pts[0]),
            "cos_to_mean_min": 1.0,
        }
        for number, shot in tracks.items()
    ]
    vectors = np.array([shot.looks for shot in tracks.values()], np.float32).reshape(-1, DIM)
    return _with_vectors(pa.Table.from_pylist(rows, TRACKS), TRACKS, vectors, space)


def _with_vectors(table: pa.Table, schema: pa.Schema, vectors: Vector, space: str) -> pa.Table:
    packed = pack_embeddings(vectors)
    return pa.table([*table.columns, packed], schema=with_embedding(schema, space, DIM))


DAY = datetime(2026, 1, 1, tzinfo=UTC)


def label(face: str, name: str, kind: str = "is", *, at: int = 0, **more: Any) -> dict[str, Any]:
    """A row of `schema.LABELS`, ``at`` seconds after the first day."""
    return {
        "label_id": f"{at:04d}-{face}-{kind}-{name}",
        "face_id": face,
        "video_id": "v",
        "content_id": "c",
        "pts": 0,
        "time_s": 0.0,
        "bbox_xyxy": [0, 0, 1, 1],
        "name": name,
        "kind": kind,
        "created_utc": DAY + timedelta(seconds=at),
    } | more
