"""What can be searched for: a face, an instant, a video or a person of the catalog → exemplars.

A question is a table of `schema.EXEMPLARS` with embeddings: ``identity`` is what was asked, as a
person reads it; ``face_id`` and ``video_id`` say which face of the catalog asks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.gallery import ANCHOR, choose_varied, plain_name, refuse_unknown
from facelake.lake import Lake
from facelake.lake.names import find_video, no_such_video
from facelake.query.groups import iter_groups
from facelake.query.lake_faces import make_exemplars, read_faces_by_id
from facelake.schema import unpack_embeddings
from facelake.tracks import stand_in_rows

_FACE_ID = re.compile(r"[0-9a-f]{16}")
_FACES_A_TRACK = 5
_NEAR_S = 1.0  # an instant further than this from every look was not looked at
_COLUMNS = ("face_id", "time_s", "bbox_xyxy", "det_score", "quality", "track_id",
            "embedded_face_id", "embedding")  # fmt: skip


def ask_lake(lake: Lake, query: str, space: str) -> pa.Table | None:
    """The faces of the catalog that a question names; ``None`` where it names none.

    Parameters
    ----------
    query
        A ``face_id``; a video's id, path or file name; or this with ``@`` and seconds.

    Raises
    ------
    CatalogError
        Several videos are called so; there is no such face; or nothing to search for is there.
    """
    videos = lake.videos(space).select(["video_id", "content_id", "paths"]).to_pylist()
    by_id = {str(row["video_id"]): row for row in videos}
    found = find_video(query, videos)
    if found is not None:
        return _ask_video(lake, by_id[found], space)
    name, _, instant = query.rpartition("@")
    found = find_video(name, videos) if name else None
    if found is not None:
        return _ask_instant(lake, by_id[found], _seconds(query, instant), space)
    if _FACE_ID.fullmatch(query):
        (faces,) = read_faces_by_id(lake, space, [query])
        return make_exemplars(faces, f"face {query}", ANCHOR)
    return None


def ask_identity(lake: Lake, identity: str, space: str) -> pa.Table:
    """The exemplars of an enrolled person.

    Raises
    ------
    GalleryError
        Nobody of this name is enrolled.
    """
    exemplars, name = lake.exemplars(space), plain_name(identity)
    refuse_unknown(name, sorted(set(exemplars["identity"].to_pylist())))
    return exemplars.filter(pc.field("identity") == name)


def refuse_unknown_query(lake: Lake, query: str, space: str) -> None:
    """Say that nothing is called so.

    Raises
    ------
    CatalogError
        Always.
    """
    rows = lake.videos(space).select(["video_id", "paths"]).to_pylist()
    raise CatalogError(
        f"{no_such_video(query, rows)}; a search takes a photo on disk, a face_id, a video of the "
        "catalog, or VIDEO@SECONDS"
    )


def _seconds(query: str, instant: str) -> float:
    try:
        time_s = float(instant)
    except ValueError:
        time_s = math.nan
    if not math.isfinite(time_s):
        raise ValueError(
            f"{query}: after the @ there must be seconds, such as VIDEO@12.4, but is {instant!r}"
        )
    return time_s


def _ask_instant(lake: Lake, video: dict[str, Any], time_s: float, space: str) -> pa.Table:
    """The faces of the examined instant that is nearest to a time."""
    samples = lake.samples(video["video_id"], space).filter(pc.field("status") == "ok")
    times = samples["time_s"].to_numpy()
    nearest = int(np.abs(times - time_s).argmin()) if len(times) else -1
    where = f"{_file(video)}@{time_s:g}"
    if nearest < 0 or abs(times[nearest] - time_s) > _NEAR_S:
        what = f"the nearest look is at {times[nearest]:.3f} s" if len(times) else "nor anywhere"
        raise CatalogError(f"{where}: nobody looked within {_NEAR_S:g} s of it; {what}")
    faces = _faces_of(lake, video, space)
    there = faces.filter(pc.equal(faces["time_s"], times[nearest]))
    if not len(there):
        others = np.unique(faces["time_s"].to_numpy())
        near = f"{others[np.abs(others - time_s).argmin()]:.3f} s" if len(others) else "no time"
        raise CatalogError(
            f"{where}: no face was found at {times[nearest]:.3f} s; the nearest is at {near}"
        )
    left = [box[0] for box in there["bbox_xyxy"].to_pylist()]
    there = there.take(pa.array(np.argsort(left, kind="stable")))
    names = [f"{where} face {n}" for n in range(1, len(there) + 1)] if len(there) > 1 else [where]
    return pa.concat_tables(
        _exemplars(video, there.slice(row, 1), name) for row, name in enumerate(names)
    )


def _ask_video(lake: Lake, video: dict[str, Any], space: str) -> pa.Table:
    """Of each track the best faces that differ; a face without a track stands for itself."""
    faces = _faces_of(lake, video, space)
    own = faces.filter(pc.is_null(faces["embedded_face_id"]))
    if not len(own):
        raise CatalogError(f"{_file(video)}: no face was found in it, so none can be searched for")
    return pa.concat_tables(
        _exemplars(video, chosen, name) for name, chosen in _iter_chosen(own, _file(video))
    )


def _iter_chosen(faces: pa.Table, file: str) -> Iterable[tuple[str, pa.Table]]:
    alone = faces.filter(pc.is_null(faces["track_id"]))
    for face, time_s in enumerate(alone["time_s"].to_pylist()):
        yield f"{file}@{time_s:g}", alone.slice(face, 1)
    tracked = faces.filter(pc.is_valid(faces["track_id"]))
    names = pa.chunked_array([tracked["track_id"].combine_chunks().cast(pa.string())])
    for track, found in iter_groups(tracked.append_column("track", names), "track"):
        vectors = unpack_embeddings(found["embedding"]).astype(np.float32)
        rows = choose_varied(vectors, found["quality"].to_numpy(), n_most=_FACES_A_TRACK)
        yield f"{file} track {track}", found.drop_columns("track").take(pa.array(rows))


def _faces_of(lake: Lake, video: dict[str, Any], space: str) -> pa.Table:
    """The faces of a video, each with the embedding that stands for it; those with none are out."""
    faces = lake.faces(video["video_id"], space, _COLUMNS)
    rows = stand_in_rows(faces)
    told = np.flatnonzero(rows >= 0)
    column = faces.schema.get_field_index("embedding")
    embeddings = faces["embedding"].take(pa.array(rows[told]))
    return faces.take(pa.array(told)).set_column(column, faces.schema.field(column), embeddings)


def _exemplars(video: dict[str, Any], faces: pa.Table, name: str) -> pa.Table:
    for column, value in (
        ("video_id", video["video_id"]),
        ("path", video["paths"][0]),
        ("content_id", video["content_id"]),
    ):
        faces = faces.append_column(column, pa.repeat(pa.scalar(value, pa.string()), len(faces)))
    return make_exemplars(faces, name, ANCHOR)


def _file(video: dict[str, Any]) -> str:
    return Path(video["paths"][0]).name
