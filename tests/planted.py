"""Catalogs written straight through the lake: made-up embeddings, no model, times on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.lake import Lake
from facelake.schema import (
    EXEMPLARS,
    FACES,
    SAMPLES,
    TRACKS,
    IngestSettings,
    face_id,
    pack_embeddings,
    with_embedding,
)

SPACE, DIM = "made-up-00000001", 8
OTHER_SPACE = "other-00000002"
MS = 1000  # time base of every planted video: pts are milliseconds

Vector = npt.NDArray[np.float32]
Looks = Mapping[int, Sequence[Vector] | None]
"""What was seen when: pts → the faces' embeddings; ``None`` is an instant that did not decode."""


def axis(number: int) -> Vector:
    """A person: a direction of its own."""
    vector = np.zeros(DIM, np.float32)
    vector[number] = 1.0
    return vector


def alike(**scores: float) -> Vector:
    """A face whose cosine to person ``p0``, ``p1``, … is the score, and 0 to all others."""
    vector = np.zeros(DIM, np.float32)
    for name, score in scores.items():
        vector[int(name[1:])] = score
    vector[DIM - 1] = np.sqrt(1.0 - np.sum(vector**2))  # nobody's direction
    return vector


def new_lake(root: Path, *spaces: str) -> Lake:
    lake = Lake.create(root)
    for space in spaces or (SPACE,):
        add_space(lake, space)
    return lake


def add_space(lake: Lake, space: str) -> None:
    lake.add_space(space, dim=DIM, pack=f"pack of {space}", licence="none", embedder_sha256="00")


def plant_video(
    lake: Lake,
    name: str,
    looks: Looks,
    *,
    paths: Sequence[str | Path] = (),
    shown_ms: int = 40,
    run: str = "run",
    space: str = SPACE,
    **facts: Any,
) -> str:
    """Publish a run of a video; gives its ``video_id``.

    A video without looks is a failed one. Its times are those of the looks unless ``facts``, any
    columns of the videos table, say otherwise.
    """
    content_id = sha256(name.encode()).hexdigest()
    video_id = f"{name}-{content_id[:8]}"
    seen = {pts: looks[pts] or () for pts in sorted(looks)}
    files = [str(path) for path in paths] or [f"/archive/{name}.mp4"]
    row = {
        "video_id": video_id,
        "run": run,
        "content_id": content_id,
        "paths": files,
        "mtimes_ns": [0] * len(files),
        "size_bytes": 1000,
        "status": "ok" if looks else "failed",
        "error": None if looks else "no frame could be decoded",
        "time_base_num": 1,
        "time_base_den": MS,
        "start_s": min(looks) / MS if looks else None,
        "duration_s": (max(looks) - min(looks) + shown_ms) / MS if looks else None,
        "decoder": "pyav" if looks else None,
        "settings": IngestSettings().to_json(),
        "space": space,
        "pack": f"pack of {space}",
        "detector": "none",
        "device": "cpu",
        "provider": "CPUExecutionProvider" if looks else None,
        "n_samples": len(looks),
        "n_undecodable": sum(faces is None for faces in looks.values()),
        "n_bad_packets": 0,
        "n_faces": sum(map(len, seen.values())),
        "n_tracks": 0,
        "created_utc": datetime(2026, 1, 1, tzinfo=UTC),
        "facelake_version": "0.1.0",
    } | facts
    if not looks:
        lake.publish(row)
        return video_id
    samples = [
        {
            "pts": pts,
            "time_s": pts / MS,
            "shown_s": 0.0 if looks[pts] is None else shown_ms / MS,
            "n_faces": len(faces),
            "status": "undecodable" if looks[pts] is None else "ok",
            "source": "detected",
        }
        for pts, faces in seen.items()
    ]
    lake.publish(
        row,
        pa.Table.from_pylist(samples, SAMPLES),
        _faces(content_id, seen, space),
        with_embedding(TRACKS, space, DIM).empty_table(),
    )
    return video_id


def _faces(content_id: str, seen: Mapping[int, Sequence[Vector]], space: str) -> pa.Table:
    rows, vectors = [], []
    for pts, faces in seen.items():
        for number, vector in enumerate(faces):
            box = np.array([100 * number, 0, 100 * number + 50, 50], np.float32)
            rows.append(
                {
                    "face_id": face_id(content_id, pts, box),
                    "pts": pts,
                    "time_s": pts / MS,
                    "bbox_xyxy": box,
                    "det_score": 0.9,
                    "landmarks": np.zeros(10, np.float32),
                    "align_rms": 1.0,
                    "sharpness": 100.0,
                    "quality": 0.5,
                    "track_id": None,
                }
            )
            vectors.append(vector)
    packed = pack_embeddings(np.array(vectors, np.float32).reshape(-1, DIM))
    table = pa.Table.from_pylist(rows, FACES)
    return pa.table([*table.columns, packed], schema=with_embedding(FACES, space, DIM))


def plant_gallery(
    lake: Lake, people: Mapping[str, Sequence[Vector]], *, space: str = SPACE
) -> pa.Table:
    """Enrol people by their exemplars' embeddings; gives the whole gallery."""
    rows = [
        {
            "exemplar_id": f"{name}-{number}",
            "identity": name,
            "photo": f"/photos/{name}/{number}.jpg",
            "photo_sha256": "00",
            "bbox_xyxy": np.zeros(4, np.float32),
            "det_score": 0.9,
            "quality": 0.5,
            "note": None,
        }
        for name, vectors in people.items()
        for number in range(len(vectors))
    ]
    vectors = np.array([v for vectors in people.values() for v in vectors], np.float32)
    table = pa.Table.from_pylist(rows, EXEMPLARS)
    packed = pack_embeddings(vectors.reshape(-1, DIM))
    schema = with_embedding(EXEMPLARS, space, DIM)
    lake.add_exemplars(pa.table([*table.columns, packed], schema=schema), space)
    return lake.exemplars(space)
