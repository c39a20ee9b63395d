"""Lake × gallery → who each track is, how sure, and by which rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.decide import Bars, Cohort, Decision, decide_track
from facelake.errors import GalleryError
from facelake.gallery import GROWN, NOBODY_LEFT, Probes, of_role
from facelake.lake import Lake
from facelake.match import Negatives, score_matrix
from facelake.query.spaces import space_of
from facelake.schema import DECISIONS, unpack_embeddings

_NAMES = ("face_id", "exemplar_id")
_FACE_COLUMNS = ("face_id", "pts", "time_s", "track_id", "quality", "embedding")


def decide_all(lake: Lake, exemplars: pa.Table, bars: Bars) -> pa.Table:
    """Who every track is: rows of `schema.DECISIONS`, by path and time.

    A face that is of no track is decided alone. What has no embedding is left out: there is nothing
    to compare. Every embedded face of the catalog is ranked, and is the cohort of the others. A
    grown exemplar does not speak for the track that it was taken from: it would say what the
    anchors said of it, with a score of 1.

    Parameters
    ----------
    exemplars
        Rows of `schema.EXEMPLARS` with their embeddings, of one space.
    bars
        The scores that tiers take.

    Raises
    ------
    GalleryError
        Nobody is enrolled, or nobody has an exemplar left.
    """
    space, probes = space_of(exemplars), Probes.of(exemplars)
    if not len(probes.names):
        raise GalleryError(NOBODY_LEFT)
    cohort = Cohort(len(probes.names))
    own = dict(zip(*(of_role(exemplars, GROWN)[name].to_pylist() for name in _NAMES), strict=True))
    decided: list[tuple[dict[str, Any], Decision]] = []
    for video in lake.videos(space).to_pylist():
        found = _Video.read(lake, video, space, probes, own)
        cohort.add(found.scores)
        decided.extend(found.decide(bars))
    table = _table(decided, probes, cohort, bars)
    order = [(name, "ascending") for name in ("path", "video_id", "start_s", "track_id")]
    return table.sort_by(order)


@dataclass(frozen=True)
class _Video:
    """The embedded faces of a video, in order of track and time, and their scores."""

    video: dict[str, Any]
    faces: pa.Table
    scores: npt.NDArray[np.float32]  # (n, n_identities), NaN where ruled out
    end_s: npt.NDArray[np.float64]  # when the frame of each face ends

    @classmethod
    def read(
        cls, lake: Lake, video: dict[str, Any], space: str, probes: Probes, grown: dict[str, str]
    ) -> _Video:
        """The video; ``grown`` names the exemplar that each grown face of the lake is."""
        video_id = video["video_id"]
        samples, faces = lake.read_video(video_id, space, _FACE_COLUMNS)
        faces = faces.filter(pc.is_valid(faces["embedding"]))
        faces = faces.sort_by([("track_id", "ascending"), ("pts", "ascending")])
        scores = _score(faces, probes)
        for rows, exemplar_ids in _tracks_with_exemplars(faces, grown):
            scores[rows] = _score(faces.take(pa.array(rows)), probes.without(exemplar_ids))
        shown = pc.index_in(faces["pts"], samples["pts"].combine_chunks())
        end_s = pc.add(faces["time_s"], samples["shown_s"].take(shown)).to_numpy()
        return cls(video, faces, scores, end_s)

    def decide(self, bars: Bars) -> Iterator[tuple[dict[str, Any], Decision]]:
        """What is known of each track, and the decision."""
        track = pc.fill_null(self.faces["track_id"], -1).to_numpy()
        time_s, quality = self.faces["time_s"].to_numpy(), self.faces["quality"].to_numpy()
        starts = np.flatnonzero((np.diff(track, prepend=-2) != 0) | (track < 0))
        for rows in np.split(np.arange(len(track)), starts[1:]) if len(track) else ():
            is_track = bool(track[rows[0]] >= 0)
            decision = decide_track(
                self.scores[rows], time_s[rows], quality[rows], bars, is_track=is_track
            )
            start_s, end_s = float(time_s[rows[0]]), float(self.end_s[rows].max())
            yield (
                {
                    "video_id": self.video["video_id"],
                    "path": next(iter(self.video["paths"]), ""),
                    "track_id": int(track[rows[0]]) if is_track else None,
                    "n_faces": len(rows),
                    "seconds": end_s - start_s,
                    "start_s": start_s,
                    "end_s": end_s,
                    "best_face_id": self.faces["face_id"][int(rows[decision.best])].as_py(),
                },
                decision,
            )


def _tracks_with_exemplars(
    faces: pa.Table, grown: dict[str, str]
) -> Iterator[tuple[npt.NDArray[np.intp], list[str]]]:
    """The rows of each track that holds grown exemplars, and these; a face of none is its own."""
    names = faces["face_id"].to_pylist()
    track = pc.fill_null(faces["track_id"], -1).to_numpy()
    at = np.array([row for row, name in enumerate(names) if name in grown], np.intp)
    for number in np.unique(track[at][track[at] >= 0]):
        rows = np.flatnonzero(track == number)
        yield rows, [grown[names[row]] for row in rows if names[row] in grown]
    for row in at[track[at] < 0]:
        yield np.array([row]), [grown[names[row]]]


def _score(faces: pa.Table, probes: Probes) -> npt.NDArray[np.float32]:
    return score_matrix(
        unpack_embeddings(faces["embedding"]),
        probes.vectors,
        probes.identity_of,
        n_identities=len(probes.names),
        negatives=Negatives(probes.negatives, probes.negative_of),
    )


def _table(
    decided: list[tuple[dict[str, Any], Decision]], probes: Probes, cohort: Cohort, bars: Bars
) -> pa.Table:
    """The decisions with what their scores are worth in this archive."""
    identity = np.array([one.identity for _, one in decided], np.intp)
    score = np.array([one.score for _, one in decided], np.float32)
    known = np.flatnonzero(identity >= 0)
    of = identity[known], score[known]
    z_score, rank = np.full(len(decided), np.nan), np.zeros(len(decided), np.int64)
    z_score[known] = cohort.z_score(*of, below=bars.threshold)
    rank[known] = cohort.rank(*of)
    names = [*probes.names.tolist(), None]  # the last is that of −1
    rows = [
        told
        | {
            "identity": names[one.identity],
            "tier": one.tier,
            "rule": one.rule,
            "score": _or_null(one.score),
            "score_mean": _or_null(one.score_mean),
            "margin": _or_null(one.margin),
            "runner_up": names[one.runner_up],
            "z_score": _or_null(z),
            "rank": place or None,
            "n_ranked": int(n),
        }
        for (told, one), z, place, n in zip(
            decided, z_score.tolist(), rank.tolist(), cohort.n_faces(identity), strict=True
        )
    ]
    return pa.Table.from_pylist(rows, schema=DECISIONS)


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else value
