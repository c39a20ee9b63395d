"""Which videos show the same footage: lake → fingerprints → what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.copies import (
    FaceTrail,
    SharedFootage,
    find_candidates,
    find_shared,
    make_trail,
    track_means,
)
from facelake.lake import Lake
from facelake.lake.names import choose_videos
from facelake.schema import COPIES, unpack_embeddings

_COLUMNS = ("time_s", "bbox_xyxy", "track_id", "embedding")
_KEPT_TRAILS = 32  # of an hour's faces, 10 MB each
_MARGIN_S = 2.0  # shared footage may reach so far beyond its first and last face that matches


def find_copies(
    lake: Lake,
    space: str,
    *,
    videos: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> pa.Table:
    """Every stretch of footage that two videos share: rows of `schema.COPIES`.

    Parameters
    ----------
    videos
        Ids, paths or file names: only what these share with any other; ``None`` is all.
    progress
        Called with the number of pairs of videos compared, and of all that may share something.

    Raises
    ------
    CatalogError
        A name fits no video, or several.
    """
    rows = lake.videos(space).sort_by("video_id")
    wanted = set(choose_videos(rows, videos)["video_id"].to_pylist())
    told = [row for row in rows.to_pylist() if row["n_samples"] and row["width"]]
    read = lru_cache(_KEPT_TRAILS)(lambda place: read_trail(lake, told[place], space))
    candidates = [
        pair
        for pair in find_candidates([track_means(read(place)) for place in range(len(told))])
        if any(told[place]["video_id"] in wanted for place in pair)
    ]
    found = []
    for done, (a, b) in enumerate(candidates, start=1):
        found += [_row(told[a], told[b], shared) for shared in find_shared(read(a), read(b))]
        progress(done, len(candidates))
    table = pa.Table.from_pylist(found, schema=COPIES)
    return table.sort_by([(name, "ascending") for name in ("path_a", "path_b", "start_a_s")])


def read_trail(lake: Lake, video: dict[str, Any], space: str) -> FaceTrail:
    """The fingerprint of a video: its faces with an embedding of their own."""
    faces = lake.faces(video["video_id"], space, _COLUMNS)
    faces = faces.filter(pc.is_valid(faces["embedding"]))
    boxes = faces["bbox_xyxy"].combine_chunks().flatten().to_numpy()
    return make_trail(
        faces["time_s"].to_numpy(),
        unpack_embeddings(faces["embedding"]).astype(np.float32),
        boxes.reshape(-1, 4),
        pc.fill_null(faces["track_id"], -1).to_numpy(),
        width=video["width"],
        height=video["height"],
    )


def same_footage(
    lake: Lake, hits: pa.Table, video_ids: Sequence[str], space: str
) -> npt.NDArray[np.bool_]:
    """Which hits show footage that one of the videos shows, too.

    Parameters
    ----------
    hits
        Rows of `schema.HITS`.
    video_ids
        The videos; all of a copy of the whole is left out, of others the time that they share.
    """
    videos = {row["video_id"]: row for row in lake.videos(space).to_pylist()}
    same = np.zeros(len(hits), bool)
    known = np.array(hits["video_id"].to_pylist(), object)
    start_s, end_s = hits["start_s"].to_numpy(), hits["end_s"].to_numpy()
    own = [videos[name] for name in video_ids if name in videos and videos[name]["width"]]
    trails = [read_trail(lake, video, space) for video in own]
    for other in sorted(set(known.tolist())):
        there = known == other
        if any(videos[other]["content_id"] == video["content_id"] for video in own):
            same |= there
        elif videos[other]["width"]:
            trail = read_trail(lake, videos[other], space)
            for shared in (one for mine in trails for one in find_shared(mine, trail)):
                begin = shared.to_b(shared.start_s) - _MARGIN_S
                end = shared.to_b(shared.end_s) + _MARGIN_S
                same |= there & (shared.is_whole | ((start_s <= end) & (end_s >= begin)))
    return same


def _row(a: dict[str, Any], b: dict[str, Any], shared: SharedFootage) -> dict[str, Any]:
    return {
        "video_a": a["video_id"],
        "path_a": a["paths"][0],
        "start_a_s": shared.start_s,
        "end_a_s": shared.end_s,
        "video_b": b["video_id"],
        "path_b": b["paths"][0],
        "start_b_s": shared.to_b(shared.start_s),
        "end_b_s": shared.to_b(shared.end_s),
        "offset_s": shared.offset_s,
        "rate": shared.rate,
        "shared_s": shared.end_s - shared.start_s,
        "share": shared.share,
        "n_matched": shared.n_matched,
        "n_compared": shared.n_compared,
        "score": shared.score,
        "verdict": "same" if shared.is_whole else "overlap",
    }
