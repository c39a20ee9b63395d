"""Catalogs of made-up faces with planted identities, as large as one likes.

The embeddings have what matters to a scan in common with those of real films: faces of a track are
alike and neighbours more so, strangers are not spread evenly over the sphere, and a few tracks are
of the people who are looked for. Measured on 9,285 faces of three clips with buffalo_sc: strangers'
scores 0.03–0.06 ± 0.07–0.08, neighbours in a track 0.94–0.99 (median of each clip).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.cluster import count_cores
from facelake.lake import Lake
from facelake.schema import FACES, SAMPLES, TRACKS, pack_embeddings, with_embedding

SPACE, DIM = "planted-00000000", 512
FACES_A_TRACK = 30
_FACES_A_BLOCK = 30_000  # made together: 60 MB of float32
_SPECTRUM = np.exp(-0.005 * np.arange(DIM))  # strangers' scores spread by 0.07
_COMMON = 0.2  # what all faces share: strangers' mean score is its square
DRIFT, HOLD = 0.45, 0.85  # of a face from its track's mean, and how much of it lasts
LIKE = 0.75  # a track of a planted person, to that person
_PLANTED_SHARE = 0.01


@dataclass(frozen=True)
class Planted:
    """A catalog of made-up faces, and who may be looked for in it.

    Attributes
    ----------
    root
        The catalog's folder.
    n_faces, n_videos
        What is in it.
    probes
        One exemplar of each planted person, unit length, shape ``(n_people, DIM)``.
    """

    root: Path
    n_faces: int
    n_videos: int
    probes: npt.NDArray[np.float32]


def plant_catalog(
    root: Path,
    *,
    n_faces: int,
    n_people: int = 16,
    faces_a_video: int = 100_000,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Planted:
    """A catalog of so many faces; one that lies there already is taken as it is.

    Parameters
    ----------
    n_people
        Of whom a hundredth of the tracks are.
    faces_a_video
        A multiple of the faces in a track.
    progress
        Called with the number of videos written, and of all.
    """
    lake = Lake.create(root)
    lake.add_space(SPACE, dim=DIM, pack="planted", licence="none", embedder_sha256="00")
    sizes = [faces_a_video] * (n_faces // faces_a_video)
    sizes += [n_faces % faces_a_video] * (n_faces % faces_a_video > 0)
    people = people_of(n_people)
    missing = [
        (number, size)
        for number, size in enumerate(sizes)
        if not lake.has_run(_video_id(number), "planted")
    ]
    progress(len(sizes) - len(missing), len(sizes))
    with ProcessPoolExecutor(count_cores()) as pool:
        write = partial(_write_video, root, people)
        for done, _ in enumerate(pool.map(write, missing), start=1):
            progress(len(sizes) - len(missing) + done, len(sizes))
    random = np.random.default_rng(1)
    probes = LIKE * people + np.sqrt(1 - LIKE**2) * strangers(random, n_people)
    rotated = unit(probes).astype(np.float32) @ rotation()
    return Planted(root, n_faces, len(sizes), rotated)


def plant_records(root: Path, *, n_videos: int) -> None:
    """A catalog of so many videos without faces: their commit records only."""
    lake = Lake.create(root)
    lake.add_space(SPACE, dim=DIM, pack="planted", licence="none", embedder_sha256="00")
    for number in range(n_videos):
        if not lake.has_run(_video_id(number), "planted"):
            row = _video_row(number, 0)
            lake.publish(row | {"status": "failed", "error": "a video without faces"})


def _write_video(root: Path, people: npt.NDArray[np.float64], which: tuple[int, int]) -> None:
    number, n_faces = which
    random = np.random.default_rng([2026, number])
    vectors = np.concatenate(list(_iter_vectors(random, people, n_faces)))
    lake = Lake.open(root)
    tracks = with_embedding(TRACKS, SPACE, DIM).empty_table()
    lake.publish(_video_row(number, n_faces), _samples(n_faces), _faces(number, vectors), tracks)


def _iter_vectors(
    random: np.random.Generator, people: npt.NDArray[np.float64], n_faces: int
) -> Iterator[npt.NDArray[np.float16]]:
    """Embeddings track after track, in blocks."""
    for begin in range(0, n_faces, _FACES_A_BLOCK):
        n_tracks = -(-min(_FACES_A_BLOCK, n_faces - begin) // FACES_A_TRACK)
        mean = strangers(random, n_tracks)
        planted = np.flatnonzero(random.random(n_tracks) < _PLANTED_SHARE)
        whom = random.integers(0, len(people), len(planted))
        mean[planted] = unit(LIKE * people[whom] + np.sqrt(1 - LIKE**2) * mean[planted])
        faces = np.empty((n_tracks, FACES_A_TRACK, DIM), np.float32)
        drift = noise(random, n_tracks)
        for place in range(FACES_A_TRACK):
            faces[:, place] = unit(mean + DRIFT * drift)
            drift = HOLD * drift + np.sqrt(1 - HOLD**2) * noise(random, n_tracks)
        yield (faces.reshape(-1, DIM)[: n_faces - begin] @ rotation()).astype(np.float16)


@cache
def rotation() -> npt.NDArray[np.float32]:
    """Turns the axes of the spectrum into no axes: a network's dimensions are all alike."""
    square = np.random.default_rng(2).standard_normal((DIM, DIM))
    return np.linalg.qr(square)[0].astype(np.float32)


def people_of(n_people: int) -> npt.NDArray[np.float64]:
    """Those who are looked for."""
    return strangers(np.random.default_rng(0), n_people)


def strangers(random: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    """Faces of people who have nothing to do with one another."""
    vectors = noise(random, n)
    vectors[:, 0] += _COMMON  # the axis that most of the spectrum lies on
    return unit(vectors)


def noise(random: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    """Vectors of about unit length with the spectrum of faces."""
    vectors = random.standard_normal((n, DIM), np.float32) * _SPECTRUM
    return np.asarray(vectors / np.linalg.norm(_SPECTRUM))


def unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The vectors at unit length."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float64)


def _video_id(number: int) -> str:
    return f"planted-{number:08x}"


def _video_row(number: int, n_faces: int) -> dict[str, Any]:
    return {
        "video_id": _video_id(number),
        "run": "planted",
        "content_id": f"{number:064x}",
        "paths": [f"/planted/{number}.mp4"],
        "mtimes_ns": [0],
        "size_bytes": 0,
        "status": "ok",
        "settings": "{}",
        "sample_fps": 5.0,
        "space": SPACE,
        "pack": "planted",
        "detector": "none",
        "device": "cpu",
        "n_samples": n_faces,
        "n_undecodable": 0,
        "n_bad_packets": 0,
        "n_faces": n_faces,
        "n_tracks": 0,
        "n_embedded": n_faces,
        "created_utc": datetime(2026, 1, 1, tzinfo=UTC),
        "facelake_version": "0",
    }


def _samples(n: int) -> pa.Table:
    return pa.table(
        {
            "pts": np.arange(n),
            "time_s": np.arange(n) / 5,
            "shown_s": np.full(n, 0.2),
            "n_faces": np.ones(n, np.int32),
            "status": pa.repeat("ok", n),
            "source": pa.repeat("detected", n),
            "new_shot": pa.nulls(n, pa.bool_()),
        },
        schema=SAMPLES,
    )


def _faces(number: int, vectors: npt.NDArray[np.float16]) -> pa.Table:
    n = len(vectors)
    columns = {
        "face_id": [f"{number:08x}{row:08x}" for row in range(n)],
        "pts": np.arange(n),
        "time_s": np.arange(n) / 5,
        "bbox_xyxy": lists(n, 4),
        "det_score": np.full(n, 0.8, np.float32),
        "landmarks": lists(n, 10),
        "align_rms": np.ones(n, np.float32),
        "sharpness": np.ones(n, np.float32),
        "quality": np.full(n, 0.5, np.float32),
        "track_id": (np.arange(n) // FACES_A_TRACK).astype(np.int32),
        "embedded_face_id": pa.nulls(n, pa.string()),
    }
    table = pa.table(columns, schema=FACES)
    packed = pack_embeddings(vectors)  # type: ignore[arg-type]  # float16 already
    return pa.table([*table.columns, packed], schema=with_embedding(FACES, SPACE, DIM))


def lists(n: int, width: int) -> pa.Array:
    """A column of lists of that width."""
    values = np.tile(np.arange(width, dtype=np.float32), n)
    return pa.FixedSizeListArray.from_arrays(pa.array(values), width)
