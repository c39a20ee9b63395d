"""Which videos leave."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from facelake.errors import CatalogError


def choose_videos(videos: pa.Table, names: Sequence[str] | None) -> pa.Table:
    """The rows of the videos that were asked for, in order of ``video_id``.

    Parameters
    ----------
    videos
        Rows of `schema.VIDEOS`, one a video.
    names
        A video's id, path or file name each; ``None`` is all of them.

    Raises
    ------
    CatalogError
        A name fits no video, or several.
    """
    videos = videos.sort_by("video_id")
    if names is None:
        return videos
    rows = videos.select(["video_id", "paths"]).to_pylist()
    return videos.take(pa.array(sorted({_find(name, rows) for name in names}), pa.int64()))


def _find(name: str, rows: list[dict[str, Any]]) -> int:
    path = str(Path(name).absolute())
    for fits in (
        lambda row: name == row["video_id"],
        lambda row: path in row["paths"],
        lambda row: name in {Path(known).name for known in row["paths"]},
    ):
        found = [number for number, row in enumerate(rows) if fits(row)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(rows[number]["video_id"] for number in found)
            raise CatalogError(f"{name}: several videos have this name; give the id of one: {ids}")
    known = [row["video_id"] for row in rows] + [Path(p).name for row in rows for p in row["paths"]]
    near = get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else "; facelake info --videos lists them"
    raise CatalogError(f"{name}: the catalog holds no such video in this space{hint}")
