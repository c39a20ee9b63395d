"""Lake × gallery → scores: who each face is most like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from threadpoolctl import threadpool_limits

from facelake.cluster import count_cores
from facelake.errors import CatalogError, GalleryError
from facelake.gallery import NOBODY_LEFT, Probes
from facelake.lake import KernelName, Lake
from facelake.match import Match, Negatives, score_identities
from facelake.query.groups import iter_groups
from facelake.query.spaces import space_of
from facelake.schema import SCORES, unpack_embeddings
from facelake.tracks import stand_in_rows

Spread = Callable[
    [Callable[[list[dict[str, Any]]], pa.Table], list[list[dict[str, Any]]]], Iterable[pa.Table]
]

_FACE_COLUMNS = ("face_id", "pts", "time_s", "track_id", "embedded_face_id", "embedding")


def spread_over_threads(
    function: Callable[[list[dict[str, Any]]], pa.Table], videos: list[list[dict[str, Any]]]
) -> Iterable[pa.Table]:
    """What a function gives for every video, in order, on every core of this machine."""
    # NumPy, NumKong and Parquet let go of the interpreter while they work. A BLAS with threads of
    # its own in each of these would only spin: ten million faces took twice the time.
    # Twice the cores, so that some wait for disks and networks while others work.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(2 * count_cores()) as pool:
        yield from pool.map(function, videos)


def match_gallery(
    lake: Lake,
    exemplars: pa.Table,
    *,
    min_score: float | None = None,
    kernel: KernelName = "auto",
    spread: Spread = spread_over_threads,
) -> pa.Table:
    """Every face's best identity: one row of `schema.SCORES` per face, by video and time.

    A face without an embedding has the score of the one that stands for it, of the same track. One
    for which negatives rule out everybody has no row.

    Parameters
    ----------
    exemplars
        Rows of `schema.EXEMPLARS` with their embeddings, of one space; what they are there for is
        told by their ``role``.
    min_score
        Leave out the faces whose best score is below, in [−1, 1]. Few embeddings are then read, and
        the memory needed is that of what is found. ``None`` keeps every face.
    kernel
        What makes the products of the first pass.
    spread
        What calls a function for every video: `spread_over_threads`, or Dask workers'.

    Raises
    ------
    GalleryError
        Nobody is enrolled, or nobody has an exemplar left to compare with.
    CatalogError
        The catalog holds no face of the exemplars' space.
    ValueError
        ``min_score`` is outside of [−1, 1].
    """
    if min_score is not None and not -1.0 <= min_score <= 1.0:
        raise ValueError(f"min_score must lie in [-1, 1], but is {min_score}")
    gallery = _Gallery.of(exemplars)
    runs = lake.runs(gallery.space)
    if not len(runs):
        _refuse_other_spaces(lake, gallery.space)
    videos = [found.to_pylist() for _, found in iter_groups(runs, "video_id")]
    videos.sort(key=lambda runs_of: runs_of[0]["video_id"])
    match = partial(_match_video, lake, gallery, min_score, kernel)
    return pa.concat_tables([SCORES.empty_table(), *spread(match, videos)])


def _refuse_other_spaces(lake: Lake, space: str) -> NoReturn:
    held = sorted(set(lake.runs()["space"].to_pylist()))
    if not held:
        raise CatalogError(f"{lake.where}: nothing is ingested yet; facelake ingest comes first")
    raise CatalogError(
        f"{lake.where}: the gallery's faces are of space {space}, but the videos' are of "
        f"{', '.join(held)}; embeddings of two models cannot be compared: enrol the photos "
        "with the pack that the videos were ingested with"
    )


@dataclass(frozen=True)
class _Gallery:
    """A gallery made ready: what every video is compared with."""

    space: str
    probes: Probes

    @classmethod
    def of(cls, exemplars: pa.Table) -> _Gallery:
        space, probes = space_of(exemplars), Probes.of(exemplars)
        if not len(probes.names):
            raise GalleryError(NOBODY_LEFT)
        return cls(space, probes)

    def match(self, embeddings: npt.NDArray[np.float16]) -> Match:
        probes = self.probes
        return score_identities(
            embeddings,
            probes.vectors,
            probes.identity_of,
            n_identities=len(probes.names),
            negatives=Negatives(probes.negatives, probes.negative_of),
        )


def _match_video(
    lake: Lake,
    gallery: _Gallery,
    min_score: float | None,
    kernel: KernelName,
    runs: list[dict[str, Any]],
) -> pa.Table:
    """The scores of one video; ``runs`` are its ``videos`` rows."""
    filled = [video for video in runs if video["n_samples"]]
    if len(filled) == 1 and min_score is not None:
        return lake.steadily(lambda: _scan_video(lake, gallery, min_score, kernel, filled[0]))
    if not filled:
        return SCORES.empty_table()
    # Of several runs each owns some instants: all of their faces have to be known.
    faces = lake.faces(runs[0]["video_id"], gallery.space, _FACE_COLUMNS)
    stands_for = stand_in_rows(faces)
    told = np.flatnonzero(stands_for >= 0)  # for the others there is nothing to compare
    probes, probe = np.unique(stands_for[told], return_inverse=True)
    match = gallery.match(unpack_embeddings(faces["embedding"].take(pa.array(probes))))
    somebody = np.flatnonzero(match.identity[probe] >= 0)
    told, probe = told[somebody], probe[somebody]
    scores = _score_rows(
        gallery,
        runs[0]["video_id"],
        faces.take(pa.array(told)),
        match,
        probe,
        faces["face_id"].take(pa.array(stands_for[told])),
    )
    if min_score is None:
        return scores
    return scores.filter(pa.array(scores["score"].to_numpy() >= np.float32(min_score)))


def _scan_video(
    lake: Lake, gallery: _Gallery, min_score: float, kernel: KernelName, video: dict[str, Any]
) -> pa.Table:
    """The scores from ``min_score`` on of a video with one run, of few of its embeddings."""
    # A publish that came after the row was read has replaced the parts that it names.
    video = lake.run_row(video["video_id"], video["run"])
    scan = lake.scan(gallery.probes.vectors, min_score=min_score, kernel=kernel)
    candidates = scan.candidates(video)
    match = gallery.match(candidates.vectors)
    hits = np.flatnonzero(match.score >= np.float32(min_score))
    if not len(hits):
        return SCORES.empty_table()
    row, probe = candidates.row[hits], hits
    columns = ["face_id", "pts", "time_s", "track_id"]
    faces = lake.read_faces(video, row, columns)
    own = faces["face_id"].combine_chunks()
    if video["n_embedded"] is None or video["n_embedded"] == video["n_faces"]:
        return _score_rows(gallery, video["video_id"], faces, match, probe, own)
    others = lake.find_stood_for(video, own)
    stand_in = np.concatenate([np.arange(len(hits)), others["stand_in"].to_numpy()])
    row = np.concatenate([row, others["row"].to_numpy()])
    order = np.argsort(row, kind="stable")
    row, stand_in = row[order], stand_in[order]
    return _score_rows(
        gallery,
        video["video_id"],
        lake.read_faces(video, row, columns),
        match,
        hits[stand_in],
        own.take(pa.array(stand_in)),
    )


def _score_rows(
    gallery: _Gallery,
    video_id: str,
    faces: pa.Table,
    match: Match,
    probe: npt.NDArray[np.intp],
    embedded_face_id: pa.Array | pa.ChunkedArray,
) -> pa.Table:
    """Rows of `schema.SCORES`: for each face the match of the probe that stands for it."""
    probes = gallery.probes
    has_runner_up = (match.runner_up >= 0)[probe]
    return pa.table(
        {
            "video_id": pa.repeat(pa.scalar(video_id, pa.string()), len(faces)),
            "face_id": faces["face_id"],
            "pts": faces["pts"],
            "time_s": faces["time_s"],
            "track_id": faces["track_id"],
            "identity": pa.array(probes.names[match.identity[probe]].tolist(), pa.string()),
            "score": match.score[probe],
            "exemplar_id": probes.exemplar_ids.take(pa.array(match.exemplar[probe])),
            "runner_up": pa.array(
                probes.names[match.runner_up[probe]].tolist(), pa.string(), mask=~has_runner_up
            ),
            "margin": pa.array(match.margin[probe], mask=~has_runner_up),
            "embedded_face_id": embedded_face_id,
        },
        schema=SCORES,
    )
