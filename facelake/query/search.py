"""Has this face appeared anywhere? Exemplars × lake → appearances, the most alike first."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.lake import Lake
from facelake.lake.thresholds import read_threshold
from facelake.query.copies import same_footage
from facelake.query.groups import iter_groups
from facelake.query.match import Spread, match_gallery, spread_over_threads
from facelake.query.spaces import space_of
from facelake.schema import HITS

SearchBy = Literal["track", "face"]

FIRST_SCORE = 0.30
"""Where to start where a catalog keeps no threshold: with buffalo_sc strangers seldom reach it."""


def choose_least(lake: Lake, space: str, min_score: float | None) -> tuple[float, str]:
    """The score to search from on, and where it comes from; that is empty where it was given."""
    if min_score is not None:
        if not -1.0 <= min_score <= 1.0:
            raise ValueError(f"min_score must lie in [-1, 1], but is {min_score}")
        return min_score, ""
    stored = read_threshold(lake, space)
    if stored is None:
        return FIRST_SCORE, "a place to start, the catalog keeps no threshold"
    return stored.threshold, stored.note


def search_faces(
    lake: Lake,
    queries: pa.Table,
    *,
    min_score: float,
    by: SearchBy = "track",
    top: int | None = None,
    other_videos: bool = False,
    spread: Spread = spread_over_threads,
) -> pa.Table:
    """Where the faces that are asked for appear: rows of `schema.HITS`, by score.

    Every face of the catalog is compared with every query, exactly. It counts for the query that
    it is most like, and for no other.

    Parameters
    ----------
    queries
        Rows of `schema.EXEMPLARS` with their embeddings, of one space.
    min_score
        Lowest score that counts, in [−1, 1].
    by
        ``track`` gives an appearance a row, ``face`` every face.
    top
        At most so many rows; ``None`` is all.
    other_videos
        Leave out the videos that the queries are faces of, and the same footage elsewhere.

    Raises
    ------
    CatalogError
        Nothing is ingested in the queries' space.
    ValueError
        ``top`` is below 1, or no query is a face of a video and ``other_videos`` is asked for.
    """
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, but is {top}")
    own = sorted(set(queries["video_id"].drop_null().to_pylist()))
    if other_videos and not own:
        raise ValueError(
            "other_videos leaves out the video that a face is asked from, but what is asked for "
            "is from none; leave it out"
        )
    space = space_of(queries)
    scores = match_gallery(lake, queries, min_score=min_score, spread=spread)
    tables = [HITS.empty_table()]
    paths = {row["video_id"]: row["paths"][0] for row in lake.videos(space).to_pylist()}
    for video_id, found in iter_groups(scores, "video_id"):
        if not (other_videos and video_id in own):
            tracks = lake.tracks(video_id, space).select(["track_id", "start_s", "end_s"])
            tables.append(_hits(found, tracks, queries, paths[video_id], by))
    hits = pa.concat_tables(tables)
    if other_videos:
        hits = hits.filter(pa.array(~same_footage(lake, hits, own, space)))
    return _ranked(hits, top)


def _ranked(hits: pa.Table, top: int | None) -> pa.Table:
    order = [("score", "descending"), ("path", "ascending"), ("best_time_s", "ascending"),
             ("best_face_id", "ascending")]  # fmt: skip
    hits = hits.sort_by(order).slice(0, top)
    return hits.set_column(0, HITS.field("rank"), pa.array(np.arange(1, len(hits) + 1)))


def _hits(
    scores: pa.Table, tracks: pa.Table, queries: pa.Table, path: str, by: SearchBy
) -> pa.Table:
    """The hits of one video; ``scores`` are its rows of `schema.SCORES`."""
    score, time_s = scores["score"].to_numpy(), scores["time_s"].to_numpy()
    track = pc.fill_null(scores["track_id"], -1).to_numpy().astype(np.int64)
    alone = np.full(len(track), by == "face") | (track < 0)
    group = np.where(alone, -1 - np.arange(len(track)), track)
    order = np.lexsort((time_s, -score, group))
    best = order[np.unique(group[order], return_index=True)[1]]
    _, n_faces = np.unique(group, return_counts=True)  # in the same order
    start_s, end_s = _bounds(time_s[best], track[best], tracks, alone[best])
    row = scores.take(pa.array(best))
    face_id = row["face_id" if by == "face" else "embedded_face_id"]
    at = pc.index_in(face_id, scores["face_id"].combine_chunks())
    asked = pc.index_in(row["exemplar_id"], queries["exemplar_id"].combine_chunks())
    return pa.table(
        {
            "rank": np.zeros(len(best), np.int64),
            "query": row["identity"],
            "query_face_id": queries["face_id"].take(asked),
            "score": row["score"],
            "video_id": row["video_id"],
            "path": pa.repeat(pa.scalar(path, pa.string()), len(best)),
            "track_id": row["track_id"],
            "start_s": start_s,
            "end_s": end_s,
            "n_faces": n_faces,
            "best_face_id": face_id,
            "best_time_s": pc.coalesce(scores["time_s"].take(at), row["time_s"]),
        },
        schema=HITS,
    )


def _bounds(
    time_s: npt.NDArray[np.float64],
    track: npt.NDArray[np.int64],
    tracks: pa.Table,
    alone: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """From when to when each hit is: its track, or its own instant."""
    known = pa.array(np.where(alone, -1, track), pa.int32())
    at = pc.index_in(known, tracks["track_id"].combine_chunks())
    there = at.is_valid().to_numpy(zero_copy_only=False)
    rows = at.drop_null()
    start_s, end_s = time_s.copy(), time_s.copy()
    start_s[there] = tracks["start_s"].take(rows).to_numpy()
    end_s[there] = tracks["end_s"].take(rows).to_numpy()
    return start_s, end_s
