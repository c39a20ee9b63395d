"""Faces of the lake by name, and the exemplars that they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.gallery import choose_varied, face_exemplar_id
from facelake.lake import Lake
from facelake.lake.names import find_video, no_such_video
from facelake.schema import EXEMPLARS, unpack_embeddings, with_embedding
from facelake.tracks import stand_in_rows


def read_faces_by_id(lake: Lake, space: str, face_ids: Sequence[str]) -> Iterator[pa.Table]:
    """The faces of these names with an embedding, a table for each video that holds some.

    Of a face without an embedding, the one that stands for it. The columns are those of
    `Lake.faces`, and ``video_id``, ``path``, ``content_id`` and ``asked``, the name as it was asked
    for.

    Raises
    ------
    CatalogError
        The space has no such face, or nothing stands for it.
    """
    for video, here in find_videos_of(lake, space, face_ids):
        yield _named(lake, video, space, here)


def find_videos_of(
    lake: Lake, space: str, face_ids: Sequence[str], *, video_id: str | None = None
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """The ``videos`` row of each video that holds some of these faces, and which it holds.

    Parameters
    ----------
    video_id
        Look only there.

    Raises
    ------
    CatalogError
        There is no such face.
    """
    left = dict.fromkeys(face_ids)
    for video in lake.videos(space).to_pylist():
        if not left:
            return
        if video_id not in (None, video["video_id"]):
            continue
        names = lake.faces(video["video_id"], space, ["face_id"])["face_id"]
        here = [name for name in left if pc.index(names, name).as_py() >= 0]
        if here:
            yield video, here
        for name in here:
            del left[name]
    for name in left:
        where = "the catalog" if video_id is None else video_id
        raise CatalogError(
            f"{name}: {where} holds no such face in {space}; the column best_face_id of "
            "facelake spans and catalog.faces() name them"
        )


def _named(lake: Lake, video: dict[str, Any], space: str, names: list[str]) -> pa.Table:
    faces = lake.faces(video["video_id"], space)
    rows = pc.index_in(pa.array(names, pa.string()), faces["face_id"].combine_chunks())
    stands = stand_in_rows(faces)[rows.to_numpy()]
    for name, row in zip(names, stands.tolist(), strict=True):
        if row < 0:
            raise CatalogError(
                f"{name}: has no embedding, and no face of its track has one that stands for it; "
                "name another face of this person"
            )
    return _of_video(video, faces.take(pa.array(stands)), pa.array(names, pa.string()))


def read_best_of_tracks(
    lake: Lake, space: str, tracks: Sequence[tuple[str, int]]
) -> Iterator[pa.Table]:
    """The best faces of each track that differ from each other; columns as `read_faces_by_id`.

    Parameters
    ----------
    tracks
        A video's id, path or file name, and the number of a track of its densest run.

    Raises
    ------
    CatalogError
        There is no such video or track, or no face of it is embedded.
    """
    videos = {row["video_id"]: row for row in lake.videos(space).to_pylist()}
    for name, track_id in tracks:
        video_id = find_video(name, list(videos.values()))
        if video_id is None:
            raise no_such_video(name, list(videos.values()))
        faces = lake.faces(video_id, space).filter(pc.field("track_id") == track_id)
        faces = faces.filter(pc.is_valid(faces["embedding"]))
        if not len(faces):
            raise CatalogError(
                f"{name}: must have a track {track_id} with an embedded face, but has none; "
                f"catalog.tracks() and facelake decide list the tracks of each video"
            )
        vectors = unpack_embeddings(faces["embedding"]).astype(np.float32)
        best = faces.take(pa.array(choose_varied(vectors, faces["quality"].to_numpy())))
        yield _of_video(videos[video_id], best, best["face_id"])


def _of_video(
    video: dict[str, Any], faces: pa.Table, asked: pa.Array | pa.ChunkedArray
) -> pa.Table:
    path = (video["paths"] or [video["video_id"]])[0]
    for name, value in (
        ("video_id", video["video_id"]),
        ("path", path),
        ("content_id", video["content_id"]),
    ):
        faces = faces.append_column(name, pa.repeat(pa.scalar(value, pa.string()), len(faces)))
    return faces.append_column("asked", asked)


def make_exemplars(
    faces: pa.Table,
    identity: str,
    role: str,
    *,
    score: pa.Array | None = None,
    margin: pa.Array | None = None,
) -> pa.Table:
    """Exemplars made of faces of the lake: rows of `schema.EXEMPLARS` with their embeddings.

    Parameters
    ----------
    faces
        As `read_faces_by_id` gives them.
    score, margin
        Of grown ones, with the anchors; ``None`` is null.
    """
    column = faces.schema.field("embedding")
    space, dim = column.metadata[b"space"].decode(), column.type.byte_width // 2
    n = len(faces)
    names = [face_exemplar_id(identity, name, space) for name in faces["face_id"].to_pylist()]
    columns = {
        "exemplar_id": names,
        "identity": [identity] * n,
        "photo": [
            media_fragment(path, time_s)
            for path, time_s in zip(
                faces["path"].to_pylist(), faces["time_s"].to_pylist(), strict=True
            )
        ],
        "photo_sha256": faces["content_id"],
        "bbox_xyxy": faces["bbox_xyxy"],
        "det_score": faces["det_score"],
        "quality": faces["quality"],
        "note": pa.nulls(n, pa.string()),
        "role": [role] * n,
        "face_id": faces["face_id"],
        "video_id": faces["video_id"],
        "time_s": faces["time_s"],
        "score": pa.nulls(n, pa.float32()) if score is None else score,
        "margin": pa.nulls(n, pa.float32()) if margin is None else margin,
        "added_utc": pa.array([datetime.now(UTC)] * n, EXEMPLARS.field("added_utc").type),
        "embedding": faces["embedding"],
    }
    return pa.table(columns, schema=with_embedding(EXEMPLARS, space, dim))


def media_fragment(path: str, time_s: float) -> str:
    """An instant of a video as a media fragment URI has it (W3C, 2012): ``PATH#t=12.480``."""
    return f"{path}#t={time_s:.3f}"
