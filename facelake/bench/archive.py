"""Made-up archives in which people talk to each other, come back, and are mostly strangers.

Two are on screen at once, shot after shot, a track each, out of a video's cast of six; most of a
cast are in this video and one or two others, and one in three casts holds one of those whom
somebody looks for. Embeddings are made as those of `planted`: neighbours in a track are alike, two
tracks of a person less so, strangers hardly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.bench.planted import (
    DIM,
    DRIFT,
    HOLD,
    LIKE,
    SPACE,
    lists,
    noise,
    people_of,
    rotation,
    strangers,
    unit,
)
from facelake.cluster import count_cores
from facelake.lake import Lake
from facelake.schema import EXEMPLARS, FACES, SAMPLES, TRACKS, pack_embeddings, with_embedding

N_ENROLLED = 16
_CAST, _TOGETHER, _TRACKS_A_VIDEO = 6, 2, 84
_ENROLLED_SHARE = 1 / 3  # of the casts
_VIDEOS_A_STRANGER = 2
_SAMPLE_S = 0.2


def plant_archive(
    root: Path,
    *,
    n_tracks: int,
    faces_a_track: int,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> None:
    """An archive of so many tracks, with 16 people enrolled; what lies there is taken as it is.

    Parameters
    ----------
    progress
        Called with the number of videos written, and of all.
    """
    lake = Lake.create(root)
    lake.add_space(SPACE, dim=DIM, pack="planted", licence="none", embedder_sha256="00")
    n_videos = -(-n_tracks // _TRACKS_A_VIDEO)
    sizes = [min(_TRACKS_A_VIDEO, n_tracks - n * _TRACKS_A_VIDEO) for n in range(n_videos)]
    missing = [
        (number, size)
        for number, size in enumerate(sizes)
        if not lake.has_run(_video_id(number), "planted")
    ]
    write = partial(_write_video, root, n_videos, faces_a_track)
    with ProcessPoolExecutor(count_cores()) as pool:
        for done, _ in enumerate(pool.map(write, missing), start=1):
            progress(n_videos - len(missing) + done, n_videos)
    if not len(lake.exemplars(SPACE)):
        lake.add_exemplars(_exemplars(), SPACE)


def _write_video(root: Path, n_videos: int, faces_a_track: int, which: tuple[int, int]) -> None:
    number, n_tracks = which
    random = np.random.default_rng([2027, number])
    person = _cast_of(random, n_videos)[_order_of(random, n_tracks)]
    mean = unit(LIKE * person + np.sqrt(1 - LIKE**2) * strangers(random, n_tracks))
    vectors = np.stack(list(_iter_faces(random, mean, faces_a_track)), axis=1)
    faces = _faces(number, vectors)
    row = _video_row(number, faces)
    tracks = _tracks(faces, vectors)
    Lake.open(root).publish(row, _samples(faces), faces, tracks)


def _cast_of(random: np.random.Generator, n_videos: int) -> npt.NDArray[np.float64]:
    """Who plays in a video, shape ``(_CAST, DIM)``."""
    n_strangers = max(_CAST, n_videos * _CAST // _VIDEOS_A_STRANGER)
    numbers = random.choice(n_strangers, _CAST, replace=False)
    cast = [strangers(np.random.default_rng([2028, int(who)]), 1)[0] for who in numbers]
    if random.random() < _ENROLLED_SHARE:
        cast[0] = people_of(N_ENROLLED)[random.integers(N_ENROLLED)]
    return np.array(cast)


def _order_of(random: np.random.Generator, n_tracks: int) -> npt.NDArray[np.int64]:
    """Who each track is of; those of a shot are different people."""
    shots = [
        random.choice(_CAST, _TOGETHER, replace=False) for _ in range(-(-n_tracks // _TOGETHER))
    ]
    return np.concatenate(shots)[:n_tracks]


def _iter_faces(
    random: np.random.Generator, mean: npt.NDArray[np.float64], n_faces: int
) -> Iterator[npt.NDArray[np.float32]]:
    """The first face of each track, the second, and so on."""
    drift = noise(random, len(mean))
    for _ in range(n_faces):
        yield unit(mean + DRIFT * drift).astype(np.float32) @ rotation()
        drift = HOLD * drift + np.sqrt(1 - HOLD**2) * noise(random, len(mean))


def _faces(number: int, vectors: npt.NDArray[np.float32]) -> pa.Table:
    """One face of each track of a shot at each of its instants; in order of time."""
    n_tracks, faces_a_track = vectors.shape[:2]
    track = np.repeat(np.arange(n_tracks), faces_a_track)
    place = track % _TOGETHER
    pts = track // _TOGETHER * faces_a_track + np.tile(np.arange(faces_a_track), n_tracks)
    order = np.lexsort((place, pts))
    track, place, pts, n = track[order], place[order], pts[order], len(order)
    left = (200 + 500 * place).astype(np.float32)
    boxes = np.stack([left, left * 0 + 100, left + 130, left * 0 + 260], axis=1)
    quality = np.random.default_rng([2029, number]).uniform(0.4, 0.9, n).astype(np.float32)
    table = pa.table(
        {
            "face_id": [f"{number:08x}{row:08x}" for row in range(n)],
            "pts": pts,
            "time_s": pts * _SAMPLE_S,
            "bbox_xyxy": pa.FixedSizeListArray.from_arrays(pa.array(boxes.reshape(-1)), 4),
            "det_score": np.full(n, 0.8, np.float32),
            "landmarks": lists(n, 10),
            "align_rms": np.ones(n, np.float32),
            "sharpness": np.full(n, 100.0, np.float32),
            "quality": quality,
            "track_id": track.astype(np.int32),
            "embedded_face_id": pa.nulls(n, pa.string()),
        },
        schema=FACES,
    )
    packed = pack_embeddings(vectors.reshape(-1, DIM)[order])
    return pa.table([*table.columns, packed], schema=with_embedding(FACES, SPACE, DIM))


def _samples(faces: pa.Table) -> pa.Table:
    pts, n_faces = np.unique(faces["pts"].to_numpy(), return_counts=True)
    return pa.table(
        {
            "pts": pts,
            "time_s": pts * _SAMPLE_S,
            "shown_s": np.full(len(pts), _SAMPLE_S),
            "n_faces": n_faces.astype(np.int32),
            "status": pa.repeat("ok", len(pts)),
            "source": pa.repeat("detected", len(pts)),
            "new_shot": pa.nulls(len(pts), pa.bool_()),
        },
        schema=SAMPLES,
    )


def _tracks(faces: pa.Table, vectors: npt.NDArray[np.float32]) -> pa.Table:
    track, time_s = faces["track_id"].to_numpy(), faces["time_s"].to_numpy()
    first = np.unique(track, return_index=True)[1]
    mean = unit(vectors.mean(axis=1))
    n, n_faces = len(first), vectors.shape[1]
    table = pa.table(
        {
            "track_id": np.arange(n, dtype=np.int32),
            "start_s": time_s[first],
            "end_s": time_s[first] + n_faces * _SAMPLE_S,
            "n_faces": np.full(n, n_faces, np.int32),
            "best_face_id": faces["face_id"].take(pa.array(first)),
            "cos_to_mean_min": (vectors * mean[:, None]).sum(axis=2).min(axis=1).astype(np.float32),
        },
        schema=TRACKS,
    )
    packed = pack_embeddings(mean.astype(np.float32))
    return pa.table([*table.columns, packed], schema=with_embedding(TRACKS, SPACE, DIM))


def _exemplars() -> pa.Table:
    """One photo of each of those who are looked for."""
    random = np.random.default_rng(1)
    people = people_of(N_ENROLLED)
    photos = unit(LIKE * people + np.sqrt(1 - LIKE**2) * strangers(random, N_ENROLLED))
    rows = [
        {
            "exemplar_id": f"photo-{number:02d}",
            "identity": f"person {number:02d}",
            "photo": f"/photos/{number:02d}.jpg",
            "photo_sha256": "",
            "bbox_xyxy": [0, 0, 1, 1],
            "det_score": 1.0,
            "quality": 1.0,
        }
        for number in range(N_ENROLLED)
    ]
    table = pa.Table.from_pylist(rows, schema=EXEMPLARS)
    packed = pack_embeddings(photos.astype(np.float32) @ rotation())
    return pa.table([*table.columns, packed], schema=with_embedding(EXEMPLARS, SPACE, DIM))


def _video_id(number: int) -> str:
    return f"archive-{number:08x}"


def _video_row(number: int, faces: pa.Table) -> dict[str, Any]:
    times, n = faces["time_s"].to_numpy(), len(faces)
    return {
        "video_id": _video_id(number),
        "run": "planted",
        "content_id": f"{number:064x}",
        "paths": [f"/archive/{number}.mp4"],
        "mtimes_ns": [0],
        "size_bytes": 0,
        "status": "ok",
        "width": 1280,
        "height": 720,
        "start_s": 0.0,
        "duration_s": float(times.max()) + _SAMPLE_S,
        "settings": "{}",
        "sample_fps": 1 / _SAMPLE_S,
        "space": SPACE,
        "pack": "planted",
        "detector": "none",
        "device": "cpu",
        "n_samples": len(np.unique(times)),
        "n_undecodable": 0,
        "n_bad_packets": 0,
        "n_faces": n,
        "n_tracks": len(np.unique(faces["track_id"].to_numpy())),
        "n_embedded": n,
        "created_utc": datetime(2026, 1, 1, tzinfo=UTC),
        "facelake_version": "0",
    }
