"""The query corridor: lake → match → spans. No video is opened and no model loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from facelake.cluster import count_cores
from facelake.errors import CatalogError, GalleryError
from facelake.gallery import NOBODY
from facelake.lake import KernelName, Lake
from facelake.match import Match, score_identities
from facelake.schema import REFINED, SCORES, SPANS, SpanRules, unpack_embeddings
from facelake.spans import best_per_sample, find_spans
from facelake.tracks import stand_in_rows

Spread = Callable[
    [Callable[[list[dict[str, Any]]], pa.Table], list[list[dict[str, Any]]]], Iterable[pa.Table]
]

_FACE_COLUMNS = ("face_id", "pts", "time_s", "embedded_face_id", "embedding")


@dataclass(frozen=True)
class SpanSettings:
    """`schema.SpanRules` as a person gives them: what is ``None`` follows the sampling.

    Attributes
    ----------
    miss_s
        ``None`` tolerates 1 second, and at least one missed sample.
    blind_s
        ``None`` tolerates 2 seconds, and always the usual distance of samples.
    """

    threshold: float
    exit_threshold: float | None = None
    min_hits: int = 1
    miss_s: float | None = None
    blind_s: float | None = None
    bridge_s: float = 0.0
    min_span_s: float = 0.0

    def __post_init__(self) -> None:
        self.rules(period_s=1.0)  # refuses what no rules can be made of

    def rules(self, period_s: float) -> SpanRules:
        """The rules for a video whose samples are ``period_s`` apart."""
        return SpanRules(
            threshold=self.threshold,
            exit_threshold=self.exit_threshold,
            min_hits=self.min_hits,
            miss_s=max(1.0, 2.5 * period_s) if self.miss_s is None else self.miss_s,
            blind_s=max(2.0, 2.5 * period_s) if self.blind_s is None else self.blind_s,
            bridge_s=self.bridge_s,
            min_span_s=self.min_span_s,
        )


def spread_over_threads(
    function: Callable[[list[dict[str, Any]]], pa.Table], videos: list[list[dict[str, Any]]]
) -> Iterable[pa.Table]:
    """What a function gives for every video, in order, on every core of this machine."""
    # NumPy, NumKong and Parquet let go of the interpreter while they work. A BLAS with threads of
    # its own in each of these would only spin: ten million faces took twice the time.
    # Twice the cores, so that some wait for disks and networks while others work.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(2 * count_cores()) as pool:
        yield from pool.map(function, videos)


def choose_space(lake: Lake, space: str | None = None, *, for_gallery: bool = True) -> str:
    """The space to ask a catalog in: the named one, else the one that can answer.

    Parameters
    ----------
    space
        ``None``: of several, that of both the videos and the gallery.
    for_gallery
        Whether the gallery's space is wanted where no space has both, or the videos'.

    Raises
    ------
    CatalogError
        The catalog has no such space, none at all, or several that can answer.
    """
    known = sorted(lake.spaces)
    if space is not None and space not in known:
        raise CatalogError(
            f"{lake.where}: the space must be one of {', '.join(known) or 'none yet'}, "
            f"but is {space!r}"
        )
    if space is not None or len(known) < 2:
        return space or lake.only_space()
    filmed = set(lake.runs()["space"].to_pylist())
    enrolled = {name for name in known if len(lake.exemplars(name))}
    wanted = (filmed & enrolled) or (enrolled if for_gallery else filmed) or set(known)
    if len(wanted) > 1:
        raise CatalogError(
            f"{lake.where}: holds faces of several models; name one space with --space: "
            f"{', '.join(sorted(wanted))}"
        )
    return wanted.pop()


def space_of(exemplars: pa.Table) -> str:
    """The space that exemplars were embedded in.

    Raises
    ------
    GalleryError
        There is no exemplar.
    """
    if not len(exemplars) or "embedding" not in exemplars.column_names:
        raise GalleryError(NOBODY)
    metadata = exemplars.schema.field("embedding").metadata or {}
    return str(metadata[b"space"].decode())


def match_gallery(
    lake: Lake,
    exemplars: pa.Table,
    *,
    min_score: float | None = None,
    kernel: KernelName = "auto",
    spread: Spread = spread_over_threads,
) -> pa.Table:
    """Every face's best identity: one row of `schema.SCORES` per face, by video and time.

    A face without an embedding has the score of the one that stands for it, of the same track.

    Parameters
    ----------
    exemplars
        Rows of `schema.EXEMPLARS` with their embeddings, of one space.
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
        Nobody is enrolled.
    CatalogError
        The catalog holds no face of the exemplars' space.
    ValueError
        ``min_score`` is outside of [−1, 1].
    """
    if min_score is not None and not -1.0 <= min_score <= 1.0:
        raise ValueError(f"min_score must lie in [-1, 1], but is {min_score}")
    gallery = _Probes.of(exemplars)
    runs = lake.runs(gallery.space)
    if not len(runs):
        _refuse_other_spaces(lake, gallery.space)
    videos = [found.to_pylist() for _, found in _groups(runs, "video_id")]
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
class _Probes:
    """A gallery made ready: what every video is compared with."""

    space: str
    vectors: npt.NDArray[np.float32]
    identity_of: npt.NDArray[np.intp]
    names: npt.NDArray[np.str_]
    exemplar_ids: pa.ChunkedArray

    @classmethod
    def of(cls, exemplars: pa.Table) -> _Probes:
        names, identity_of = np.unique(exemplars["identity"].to_pylist(), return_inverse=True)
        vectors = unpack_embeddings(exemplars["embedding"]).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # float16 rounds the length, too
        space = space_of(exemplars)
        return cls(space, vectors, identity_of, names, exemplars["exemplar_id"])

    def match(self, embeddings: npt.NDArray[np.float16]) -> Match:
        return score_identities(
            embeddings, self.vectors, self.identity_of, n_identities=len(self.names)
        )


def _match_video(
    lake: Lake,
    gallery: _Probes,
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
    lake: Lake, gallery: _Probes, min_score: float, kernel: KernelName, video: dict[str, Any]
) -> pa.Table:
    """The scores from ``min_score`` on of a video with one run, of few of its embeddings."""
    # A publish that came after the row was read has replaced the parts that it names.
    video = lake.run_row(video["video_id"], video["run"])
    candidates = lake.scan(gallery.vectors, min_score=min_score, kernel=kernel).candidates(video)
    match = gallery.match(candidates.vectors)
    hits = np.flatnonzero(match.score >= np.float32(min_score))
    if not len(hits):
        return SCORES.empty_table()
    row, probe = candidates.row[hits], hits
    columns = ["face_id", "pts", "time_s"]
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
    gallery: _Probes,
    video_id: str,
    faces: pa.Table,
    match: Match,
    probe: npt.NDArray[np.intp],
    embedded_face_id: pa.Array | pa.ChunkedArray,
) -> pa.Table:
    """Rows of `schema.SCORES`: for each face the match of the probe that stands for it."""
    has_runner_up = (match.runner_up >= 0)[probe]
    return pa.table(
        {
            "video_id": pa.repeat(pa.scalar(video_id, pa.string()), len(faces)),
            "face_id": faces["face_id"],
            "pts": faces["pts"],
            "time_s": faces["time_s"],
            "identity": pa.array(gallery.names[match.identity[probe]].tolist(), pa.string()),
            "score": match.score[probe],
            "exemplar_id": gallery.exemplar_ids.take(pa.array(match.exemplar[probe])),
            "runner_up": pa.array(
                gallery.names[match.runner_up[probe]].tolist(), pa.string(), mask=~has_runner_up
            ),
            "margin": pa.array(match.margin[probe], mask=~has_runner_up),
            "embedded_face_id": embedded_face_id,
        },
        schema=SCORES,
    )


def find_all_spans(
    lake: Lake,
    scores: pa.Table,
    space: str,
    settings: SpanSettings,
    *,
    identities: tuple[str, ...] | None = None,
) -> pa.Table:
    """Spans of every identity in every video: rows of `schema.SPANS`, by path, time and identity.

    A face counts for the identity it is most like, and for no other.

    Parameters
    ----------
    scores
        From `match_gallery`.
    identities
        Only these; ``None`` is all.
    """
    tables = [SPANS.empty_table()]
    by_video = {row["video_id"]: row for row in lake.videos(space).to_pylist()}
    if identities is not None:
        scores = scores.filter(pc.is_in(scores["identity"], pa.array(identities, pa.string())))
    for video_id, of_video in _groups(scores, "video_id"):
        samples = lake.samples(video_id, space)
        samples = samples.filter(pc.field("status") == "ok")
        path = by_video[video_id]["paths"][0]
        for identity, found in _groups(of_video, "identity"):
            tables.append(_spans_of(video_id, path, identity, samples, found, settings))
    table = pa.concat_tables(tables)
    order = [(name, "ascending") for name in ("path", "video_id", "start_s", "identity")]
    return table.sort_by(order)


def _groups(table: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each value of a text column; sorted once, not filtered once a value."""
    encoded = table[column].combine_chunks().dictionary_encode()
    code = encoded.indices.to_numpy()
    order = np.argsort(code, kind="stable")
    table = table.take(pa.array(order))
    bounds = np.searchsorted(code[order], np.arange(len(encoded.dictionary) + 1))
    for number, value in enumerate(encoded.dictionary.to_pylist()):
        begin, end = int(bounds[number]), int(bounds[number + 1])
        yield value, table.slice(begin, end - begin)


def _spans_of(
    video_id: str,
    path: str,
    identity: str,
    samples: pa.Table,
    scores: pa.Table,
    settings: SpanSettings,
) -> pa.Table:
    time_s = samples["time_s"].to_numpy()
    score, face = best_per_sample(
        samples["pts"].to_numpy(), scores["pts"].to_numpy(), scores["score"].to_numpy()
    )
    # Samples added where something begins or ends lie closer than what was asked for.
    regular_s = samples.filter(pc.field("source") != REFINED)["time_s"].to_numpy()
    period_s = float(np.median(np.diff(regular_s))) if len(regular_s) > 1 else 0.0
    spans = find_spans(
        time_s, score, settings.rules(period_s), shown_s=samples["shown_s"].to_numpy()
    )
    best_face_id = scores["embedded_face_id"].take(pa.array(face[spans.best]))
    return pa.table(
        {
            "video_id": [video_id] * len(spans),
            "path": [path] * len(spans),
            "identity": [identity] * len(spans),
            "start_s": spans.start_s,
            "end_s": spans.end_s,
            "score_max": spans.score_max,
            "score_mean": spans.score_mean,
            "n_hits": spans.n_hits,
            "n_samples": spans.n_samples,
            "start_after_s": pa.array(spans.start_after_s, from_pandas=True),
            "end_before_s": pa.array(spans.end_before_s, from_pandas=True),
            "best_face_id": best_face_id,
            "best_time_s": scores["time_s"].take(pc.index_in(best_face_id, scores["face_id"])),
        },
        schema=SPANS,
    )
