"""Asks the catalogs of a benchmark who is on screen when, and compares the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.bench.footage import Footage
from facelake.bench.spans import (
    Cause,
    Looked,
    Span,
    SpanComparison,
    at_same_borders,
    compare_seconds,
    count_edges,
    edges_of,
    find_edges,
)
from facelake.evaluate import (
    Agreement,
    Appearance,
    Truth,
    VideoName,
    evaluate_spans,
    pair_videos,
    read_truth,
)
from facelake.lake import Lake

if TYPE_CHECKING:
    from facelake.results import Gallery, Scores

_SAME_S = 1e-6


@dataclass(frozen=True)
class Question:
    """What is asked of both catalogs.

    Attributes
    ----------
    gallery
        Who is looked for.
    threshold
        Lowest score that starts a span, in [−1, 1].
    truth
        Made by hand; ``None`` without one.
    truth_name
        What it is called.
    """

    gallery: Gallery
    threshold: float
    truth: Truth | None = None
    truth_name: str | None = None


def prepare_question(
    folder: Path,
    photos: str | Path,
    footage: Footage,
    *,
    pack: str | Path,
    threshold: float,
    truth: str | Path | None,
) -> Question:
    """The question, with what is wrong refused before the work.

    Parameters
    ----------
    folder
        For a catalog that holds the gallery alone.
    photos
        As for `facelake.Catalog.enrol`.
    truth
        A table as `evaluate.read_truth` takes it.

    Raises
    ------
    GalleryError, PackError
        There is no usable photo, or no such pack.
    ValueError, OSError
        The threshold is none, the truth cannot be read, or tells of none of the videos.
    """
    from facelake.catalog import open_catalog
    from facelake.query import SpanSettings

    SpanSettings(threshold=threshold)
    told = None if truth is None else read_truth(truth)
    films = [VideoName(film.path) for film in footage.films]
    if told is not None and not pair_videos(films, told.videos):
        raise ValueError(
            f"{truth}: must tell of at least one of the videos, but names none of them; "
            f"{Path(footage.films[0].path).name} is the first"
        )
    gallery = open_catalog(folder).enrol(photos, pack=pack, device="cpu", progress=False)
    return Question(gallery, threshold, told, None if truth is None else Path(truth).name)


def compare_answers(
    question: Question, default: Path, dense: Path, footage: Footage
) -> SpanComparison:
    """What two catalogs of the same videos answer.

    Parameters
    ----------
    default, dense
        Catalogs of the default settings, and of every frame with every face embedded.
    """
    own, dense_answer = _Answer.of(default, question), _Answer.of(dense, question)
    spans = at_same_borders(own.spans, own.looked, dense_answer.looked)
    wanted, found = edges_of(dense_answer.spans), edges_of(spans)
    frame_s = {film.path: film.frame_s for film in footage.films}
    hits = find_edges(wanted, found, frame_s)
    videos = [VideoName(film.path) for film in footage.films]
    return SpanComparison(
        threshold=question.threshold,
        identities=question.gallery.identities,
        n_spans=len(spans),
        n_dense_spans=len(dense_answer.spans),
        edges=count_edges(hits, dense_answer.causes()),
        n_extra_edges=len(found) - sum(hits),
        seconds=compare_seconds(spans, dense_answer.spans),
        truth=question.truth_name,
        to_truth=_against(question.truth, own.spans, videos),
        dense_to_truth=_against(question.truth, dense_answer.spans, videos),
    )


def _against(
    truth: Truth | None, spans: Sequence[Span], videos: Sequence[VideoName]
) -> Agreement | None:
    """Seconds of spans against a truth; ``None`` without one."""
    if truth is None:
        return None
    found = [
        Appearance(VideoName(span.video), span.identity, span.start_s, span.end_s) for span in spans
    ]
    return evaluate_spans(found, truth, videos=videos).seconds


@dataclass(frozen=True)
class _Answer:
    """What one catalog says.

    Attributes
    ----------
    videos
        Path → video_id.
    samples
        Path → the examined instants, in order of time.
    """

    lake: Lake
    scores: Scores
    spans: list[Span]
    videos: dict[str, str]
    samples: dict[str, pa.Table]

    @classmethod
    def of(cls, catalog: Path, question: Question) -> _Answer:
        from facelake.catalog import open_catalog

        scores = open_catalog(catalog).match(question.gallery)
        rows = scores.spans(question.threshold).table.to_pylist()
        lake = Lake.open(catalog)
        videos = {row["paths"][0]: row["video_id"] for row in lake.videos().to_pylist()}
        return cls(
            lake,
            scores,
            [Span(row["path"], row["identity"], row["start_s"], row["end_s"]) for row in rows],
            videos,
            {path: _samples(lake, video_id, scores.space) for path, video_id in videos.items()},
        )

    @property
    def looked(self) -> dict[str, Looked]:
        """Path → from when to when its frames were looked at."""
        return {
            path: Looked(
                samples["time_s"][0].as_py(),
                samples["time_s"][-1].as_py() + samples["shown_s"][-1].as_py(),
            )
            for path, samples in self.samples.items()
            if len(samples)
        }

    def causes(self) -> list[Cause]:
        """What made each of `edges_of` these spans."""
        by_video = {path: _Tracks.of(self, path) for path in {span.video for span in self.spans}}
        return [cause for span in self.spans for cause in by_video[span.video].causes(span)]


@dataclass(frozen=True)
class _Tracks:
    """Which tracks are in which sample of a video, and which of them is whom.

    Attributes
    ----------
    time_s
        Of the samples, increasing, shape ``(n,)``.
    present
        For each sample the tracks that have a face in it.
    best
        For each sample: identity → the track whose face is most like them.
    """

    time_s: npt.NDArray[np.float64]
    present: Sequence[set[int]]
    best: Sequence[dict[str, int]]

    @classmethod
    def of(cls, answer: _Answer, path: str) -> _Tracks:
        video_id, samples = answer.videos[path], answer.samples[path]
        row_of = {pts: row for row, pts in enumerate(samples["pts"].to_pylist())}
        present: list[set[int]] = [set() for _ in row_of]
        best: list[dict[str, int]] = [{} for _ in row_of]
        faces = answer.lake.faces(video_id, answer.scores.space, ("face_id", "pts", "track_id"))
        track_of = {}
        for face in faces.to_pylist():
            track_of[face["face_id"]] = face["track_id"]
            present[row_of[face["pts"]]].add(face["track_id"])
        scored = answer.scores.table.filter(pc.field("video_id") == video_id)
        for face in scored.sort_by("score").to_pylist():  # the best one of a sample comes last
            best[row_of[face["pts"]]][face["identity"]] = track_of[face["face_id"]]
        return cls(samples["time_s"].to_numpy(), present, best)

    def causes(self, span: Span) -> tuple[Cause, Cause]:
        """What made the start and the end of a span."""
        first = int(np.searchsorted(self.time_s, span.start_s - _SAME_S))
        last = int(np.searchsorted(self.time_s, span.end_s - _SAME_S)) - 1
        return (
            self._cause(span.identity, first, first - 1),
            self._cause(span.identity, last, last + 1),
        )

    def _cause(self, identity: str, row: int, beyond: int) -> Cause:
        """What made the edge between a span's outermost sample and the one beyond it."""
        if not 0 <= beyond < len(self.time_s):
            return "video"
        return "score" if self.best[row][identity] in self.present[beyond] else "face"


def _samples(lake: Lake, video_id: str, space: str) -> pa.Table:
    samples = lake.samples(video_id, space)
    return samples.filter(pc.field("status") == "ok").sort_by("pts")
