"""Scores → spans, over every video and identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.lake import Lake
from facelake.query.groups import iter_groups
from facelake.query.settings import SpanSettings
from facelake.schema import REFINED, SPANS, SpanRules
from facelake.spans import best_per_sample, find_spans


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

    Raises
    ------
    ValueError
        A score is NaN.
    """
    n_unknown = int(np.isnan(scores["score"].to_numpy()).sum())
    if n_unknown:
        raise ValueError(
            f"every score must be a number, but {n_unknown} of {len(scores)} are NaN; leave these "
            "faces out"
        )
    tables = [SPANS.empty_table()]
    by_video = {row["video_id"]: row for row in lake.videos(space).to_pylist()}
    if identities is not None:
        scores = scores.filter(pc.is_in(scores["identity"], pa.array(identities, pa.string())))
    for video_id, of_video in iter_groups(scores, "video_id"):
        samples = lake.samples(video_id, space)
        samples = samples.filter(pc.field("status") == "ok")
        video = _Video(
            video_id=video_id,
            path=by_video[video_id]["paths"][0],
            pts=samples["pts"].to_numpy(),
            time_s=samples["time_s"].to_numpy(),
            shown_s=samples["shown_s"].to_numpy(),
            rules=settings.rules(sampling_period_s(samples)),
        )
        for identity, found in iter_groups(of_video, "identity"):
            if np.max(found["score"].to_numpy()) >= settings.threshold:  # most are strangers
                tables.append(video.spans_of(identity, found))
    table = pa.concat_tables(tables)
    order = [(name, "ascending") for name in ("path", "video_id", "start_s", "identity")]
    return table.sort_by(order)


@dataclass(frozen=True)
class _Video:
    """What a video's spans are found in: its examined instants, and the rules for them."""

    video_id: str
    path: str
    pts: npt.NDArray[np.int64]
    time_s: npt.NDArray[np.float64]
    shown_s: npt.NDArray[np.float64]
    rules: SpanRules

    def spans_of(self, identity: str, scores: pa.Table) -> pa.Table:
        """The spans of an identity, of the faces that count for it: rows of `schema.SPANS`."""
        score, face = best_per_sample(
            self.pts, scores["pts"].to_numpy(), scores["score"].to_numpy()
        )
        spans = find_spans(self.time_s, score, self.rules, shown_s=self.shown_s)
        best_face_id = scores["embedded_face_id"].take(pa.array(face[spans.best]))
        return pa.table(
            {
                "video_id": [self.video_id] * len(spans),
                "path": [self.path] * len(spans),
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


def sampling_period_s(samples: pa.Table) -> float:
    """The usual distance of a video's samples, in seconds; 0 where there are fewer than two."""
    # Samples added where something begins or ends lie closer than what was asked for.
    regular_s = samples.filter(pc.field("source") != REFINED)["time_s"].to_numpy()
    return float(np.median(np.diff(regular_s))) if len(regular_s) > 1 else 0.0
