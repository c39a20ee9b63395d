"""Catalogs of many faces that drift as a film's do, written straight through the lake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.lake import Lake
from facelake.schema import FACES, SAMPLES, pack_embeddings, with_embedding

DIM, SPACE = 64, "made-up-00000000"


def faces(vectors: npt.NDArray[np.float32]) -> pa.Table:
    """One face an instant; a row of NaN is a face for which the one before it stands."""
    n, last = len(vectors), None
    named: list[str | None] = []
    for row in range(n):
        own = not np.isnan(vectors[row, 0])
        named.append(None if own else last)
        last = f"face-{row:05d}" if own else last
    columns = {
        "face_id": [f"face-{row:05d}" for row in range(n)],
        "pts": np.arange(n),
        "time_s": np.arange(n) / 25,
        "bbox_xyxy": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4 * n, np.float32)), 4),
        "det_score": np.ones(n, np.float32),
        "landmarks": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(10 * n, np.float32)), 10),
        "align_rms": np.ones(n, np.float32),
        "sharpness": np.ones(n, np.float32),
        "quality": np.ones(n, np.float32),
        "track_id": np.zeros(n, np.int32),
        "embedded_face_id": pa.array(named, pa.string()),
    }
    table = pa.table(columns, schema=FACES)
    return pa.table([*table.columns, pack_embeddings(vectors)],
                    schema=with_embedding(FACES, SPACE, DIM))  # fmt: skip


def samples(n: int) -> pa.Table:
    """Instants 0 … n − 1, a twenty-fifth of a second apart, with a face each."""
    return pa.table(
        {
            "pts": np.arange(n),
            "time_s": np.arange(n) / 25,
            "shown_s": np.full(n, 0.04),
            "n_faces": np.ones(n, np.int32),
            "status": pa.repeat("ok", n),
            "source": pa.repeat("detected", n),
            "new_shot": pa.nulls(n, pa.bool_()),
        },
        schema=SAMPLES,
    )


def video(n_samples: int, n_embedded: int, **more: Any) -> dict[str, Any]:
    """A ``videos`` row of that many instants with a face each."""
    row: dict[str, Any] = {
        "video_id": "news-01234567",
        "run": "r1",
        "content_id": "01234567" * 8,
        "paths": ["/a/news.mp4"],
        "mtimes_ns": [1],
        "size_bytes": 1000,
        "status": "ok",
        "settings": "{}",
        "space": SPACE,
        "pack": "fake",
        "detector": "d",
        "device": "auto",
        "n_samples": n_samples,
        "n_faces": n_samples,
        "n_embedded": n_embedded,
        "created_utc": datetime(2026, 1, 1, tzinfo=UTC),
        "facelake_version": "0",
    }
    return row | dict.fromkeys(("n_undecodable", "n_bad_packets", "n_tracks"), 0) | more


def walk(n: int, seed: int, *, embedded: float = 1.0) -> npt.NDArray[np.float32]:
    """Vectors as a film's tracks give them: neighbours are alike, tracks are not."""
    random = np.random.default_rng(seed)
    people = random.normal(size=(n // 30 + 1, DIM))
    drift = np.cumsum(random.normal(size=(n, DIM)) * 0.1, axis=0)
    vectors = people[np.arange(n) // 30] + drift - drift[np.arange(n) // 30 * 30]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    silent = random.random(n) >= embedded
    silent[0] = False
    vectors[silent] = np.nan
    return vectors.astype(np.float32)


def catalog(root: Path, vectors: npt.NDArray[np.float32]) -> tuple[Lake, dict[str, Any]]:
    """A catalog of one video; gives its ``videos`` row, too."""
    lake = Lake.create(root / "c")
    lake.add_space(SPACE, dim=DIM, pack="fake", licence="x")
    known = int((~np.isnan(vectors[:, 0])).sum())
    row = video(len(vectors), known)
    lake.publish(row, samples(len(vectors)), faces(vectors))
    return lake, lake.run_row(row["video_id"], "r1")
