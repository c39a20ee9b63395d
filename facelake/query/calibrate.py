"""Lake → error rates at every threshold, from the archive's own faces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from facelake.calibrate import (
    GENUINE,
    Curves,
    Kind,
    PairCounts,
    PairSettings,
    VideoFaces,
    VideoPairs,
    quality_table,
    rate_table,
    sample_pairs,
    size_table,
)
from facelake.cluster import count_cores
from facelake.errors import CalibrationError
from facelake.lake import Lake
from facelake.schema import LOOK_ALIKES, unpack_embeddings

_COLUMNS = ("face_id", "pts", "time_s", "track_id", "bbox_xyxy", "quality", "embedding")


@dataclass(frozen=True)
class Calibrated:
    """What an archive's own faces say of thresholds.

    Attributes
    ----------
    curves
        Error rates at every threshold.
    table, by_quality, by_size
        Rows of `schema.CALIBRATION`, `CALIBRATION_BY_QUALITY` and `CALIBRATION_BY_SIZE`.
    look_alikes
        Rows of `schema.LOOK_ALIKES`, the most alike first.
    counts
        Name → number, of pairs, tracks and videos.
    """

    curves: Curves
    table: pa.Table
    by_quality: pa.Table
    by_size: pa.Table
    look_alikes: pa.Table
    counts: dict[str, int]


def calibrate_archive(
    lake: Lake,
    space: str,
    settings: PairSettings,
    *,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Calibrated:
    """Error rates at every threshold, from pairs of faces that need no label.

    Parameters
    ----------
    settings
        Which pairs are compared.
    progress
        Called with the number of videos done and of all.

    Raises
    ------
    CalibrationError
        No two people were ever seen at once, so there is no impostor pair.
    """
    rows = lake.videos(space).select(["video_id", "paths", "n_faces"]).to_pylist()
    rows = [row for row in rows if row["n_faces"]]
    pairs: list[PairCounts] = []
    look_alikes = [LOOK_ALIKES.empty_table()]
    counts: Counter[str] = Counter()
    for done, (found, shown) in enumerate(_sample_each(lake, space, rows, settings), start=1):
        pairs.append(found.counts)
        look_alikes.append(shown)
        counts.update(found.told)
        progress(done, len(rows))
    curves = Curves(PairCounts.of_archive(pairs), space, settings)
    if not curves.fmr().n_pairs:
        raise CalibrationError(_why_none(lake, curves, counts, settings))
    order = [("score", "descending"), ("face_id", "ascending")]
    return Calibrated(
        curves,
        rate_table(curves),
        quality_table(curves),
        size_table(curves),
        pa.concat_tables(look_alikes).sort_by(order),
        _count_pairs(curves) | dict(counts),
    )


def _sample_each(
    lake: Lake, space: str, rows: list[dict[str, Any]], settings: PairSettings
) -> Iterator[tuple[VideoPairs, pa.Table]]:
    # NumPy and Parquet let go of the interpreter; a BLAS with threads of its own would only spin.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(count_cores()) as pool:
        yield from pool.map(partial(_sample_video, lake, space, settings), rows)


def _sample_video(
    lake: Lake, space: str, settings: PairSettings, row: dict[str, Any]
) -> tuple[VideoPairs, pa.Table]:
    table = lake.faces(row["video_id"], space, _COLUMNS)
    faces = VideoFaces(
        pts=table["pts"].to_numpy(),
        time_s=table["time_s"].to_numpy(),
        track_id=pc.fill_null(table["track_id"], -1).to_numpy().astype(np.int64),
        bbox_xyxy=_boxes(table["bbox_xyxy"]),
        quality=table["quality"].to_numpy(),
        embedding=unpack_embeddings(table["embedding"], missing_ok=True),
    )
    found = sample_pairs(faces, settings)
    return found, _show(found, table, row)


def _boxes(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float32]]:
    chunks = [chunk.flatten().to_numpy() for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.float32), *chunks]).reshape(-1, 4)


def _show(found: VideoPairs, faces: pa.Table, row: dict[str, Any]) -> pa.Table:
    """Rows of `schema.LOOK_ALIKES` of one video."""
    one = faces.take(pa.array([pair.row for pair in found.look_alikes], pa.int64()))
    other = faces.take(pa.array([pair.other_row for pair in found.look_alikes], pa.int64()))
    n = len(one)
    return pa.table(
        {
            "verdict": [pair.verdict for pair in found.look_alikes],
            "score": [pair.score for pair in found.look_alikes],
            "video_id": [row["video_id"]] * n,
            "path": [row["paths"][0]] * n,
            "face_id": one["face_id"],
            "time_s": one["time_s"],
            "other_face_id": other["face_id"],
            "other_time_s": other["time_s"],
            "n_pairs": [pair.n_pairs for pair in found.look_alikes],
        },
        schema=LOOK_ALIKES,
    )


def _count_pairs(curves: Curves) -> dict[str, int]:
    impostor = curves.counts.where(kind=Kind.IMPOSTOR)
    n_of = {kind: curves.counts.where(kind=kind).n_pairs for kind in Kind}
    return {
        "n_videos": impostor.n_videos,
        "n_impostor": n_of[Kind.IMPOSTOR],
        "n_poor_impostor": n_of[Kind.POOR_IMPOSTOR],
        **{f"n_genuine_{name}": n_of[kind] for kind, name in GENUINE.items()},
    }


def _why_none(lake: Lake, curves: Curves, counts: Counter[str], settings: PairSettings) -> str:
    n_poor = curves.counts.where(kind=Kind.POOR_IMPOSTOR).n_pairs
    if n_poor:
        return (
            f"{lake.where}: an impostor pair needs a face of quality "
            f"{settings.reference_quality:g} or more, but none of {n_poor:,} has one; lower the "
            "reference quality, or ingest videos with larger faces"
        )
    if not counts["n_tracks"]:
        return f"{lake.where}: holds no embedded face; facelake ingest comes first"
    return (
        f"{lake.where}: no two people were ever on screen at once, and who is alone gives no pair "
        "of two people; ingest videos that show several people in one frame"
    )
