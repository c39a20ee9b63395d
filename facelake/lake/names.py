"""Which video a person means: by its id, its path or its file's name; and where its file is."""

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
    wanted = set()
    for name in names:
        video_id = find_video(name, rows)
        if video_id is None:
            raise no_such_video(name, rows)
        wanted.add(video_id)
    chosen = [number for number, row in enumerate(rows) if row["video_id"] in wanted]
    return videos.take(pa.array(chosen, pa.int64()))


def find_video(name: str, rows: Sequence[dict[str, Any]]) -> str | None:
    """The id of the video that is called so; ``None`` where there is none.

    Parameters
    ----------
    rows
        ``video_id`` and ``paths`` of the videos, or of all their runs.

    Raises
    ------
    CatalogError
        Several videos are called so.
    """
    path = str(Path(name).absolute())
    for fits in (
        lambda row: name == row["video_id"],
        lambda row: path in row["paths"],
        lambda row: name in {Path(known).name for known in row["paths"]},
    ):
        found = sorted({str(row["video_id"]) for row in rows if fits(row)})
        if len(found) > 1:
            raise CatalogError(
                f"{name}: several videos have this name; give the id of one: {', '.join(found)}"
            )
        if found:
            return found[0]
    return None


def no_such_video(name: str, rows: Sequence[dict[str, Any]]) -> CatalogError:
    """The error that says that no video is called so, with the nearest name."""
    known = {row["video_id"] for row in rows} | {Path(p).name for row in rows for p in row["paths"]}
    near = get_close_matches(name, sorted(known), 1)
    hint = f"; did you mean {near[0]}?" if near else "; facelake info --videos lists them"
    return CatalogError(f"{name}: the catalog holds no such video{hint}")


def find_source(video: dict[str, Any]) -> Path | None:
    """The first of a video's files that is still there and has its size.

    Parameters
    ----------
    video
        Its ``videos`` row.
    """
    for path in map(Path, video["paths"]):
        if path.is_file() and path.stat().st_size == video["size_bytes"]:
            return path
    return None
