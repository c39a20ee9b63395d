"""Scores → the spans of every video and identity at every threshold, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.lake import Lake
from facelake.query.seen import SeenFaces, VideoLook
from facelake.query.settings import SpanSettings
from facelake.schema import SPAN_LIVES, SWEEP, SWEEP_PLATEAUS, SWEEP_TOTALS
from facelake.sweep import (
    Hits,
    Levels,
    best_of_tracks,
    check_thresholds,
    concat_hits,
    count_at_least,
    count_spans,
    find_hits,
    find_levels,
    find_lives,
    widest_plateaus,
)

DEFAULT_THRESHOLDS = tuple(round(0.01 * hundredth, 2) for hundredth in range(10, 71))
"""0.10 to 0.70 in steps of 0.01."""


@dataclass(frozen=True)
class Swept:
    """What a sweep found, and what the lives of its spans are told from.

    Attributes
    ----------
    table
        Rows of `schema.SWEEP`, by path, identity and threshold.
    thresholds
        Increasing, float64.
    identities
        Everybody who was asked for, sorted.
    """

    table: pa.Table
    thresholds: npt.NDArray[np.float64]
    identities: tuple[str, ...]
    scores: pa.Table
    pairs: pa.Table
    hits: Hits
    levels: Levels


def choose_thresholds(
    thresholds: Sequence[float] | None, min_score: float | None
) -> tuple[float, ...]:
    """The given thresholds, else the usual ones that these scores can be asked for.

    Raises
    ------
    ValueError
        They are none, or no usual one is left.
    """
    if thresholds is not None:
        return tuple(check_thresholds(thresholds).tolist())
    known = tuple(t for t in DEFAULT_THRESHOLDS if min_score is None or t >= min_score)
    if not known:
        raise ValueError(
            f"these scores were kept from {min_score:g} on, above all of the usual thresholds "
            f"({DEFAULT_THRESHOLDS[0]:g} to {DEFAULT_THRESHOLDS[-1]:g}); give some, or match again "
            "with a lower min_score"
        )
    return known


def sweep_scores(
    lake: Lake,
    scores: pa.Table,
    space: str,
    settings: SpanSettings,
    thresholds: Sequence[float] | npt.NDArray[np.float64],
    *,
    identities: Sequence[str],
    sample_fps: float | None = None,
) -> Swept:
    """The spans of every identity in every video at every threshold.

    A row says what `find_all_spans` finds at its threshold. A face counts for the identity it is
    most like, and for no other.

    Parameters
    ----------
    scores
        From `match_gallery`.
    settings
        Its threshold has no say; an exit threshold above the one looked at is lowered to it.
    thresholds
        Increasing, in [−1, 1].
    identities
        Only these.
    sample_fps
        Look only at the first sample in each period of so many a second, and at none that was
        added between samples; ``None`` looks at all.

    Raises
    ------
    ValueError
        Thresholds that are none, or a score that is NaN.
    CatalogError
        The scores are of a video that the catalog does not hold.
    """
    checked = check_thresholds(thresholds)
    stay = settings.exit_threshold
    lowest = float(checked[0]) if stay is None else min(stay, float(checked[0]))
    faces = SeenFaces.of(lake, scores, space, identities).reaching(float(checked[0]), lowest)
    seen, parts = [], []
    for video_id, of_video in faces.iter_videos():
        look = VideoLook.read(lake, video_id, space, sample_fps=sample_fps)
        found, hits = _hits(look, of_video, settings, lowest)
        seen.append(found)
        parts.append(hits)
    hits = concat_hits(parts)
    levels = find_levels(hits, settings.rules(0.0))  # the video's own tolerances are in its hits
    table = _count(faces.pairs, SeenFaces.concat(faces.pairs, seen), hits, levels, checked)
    return Swept(table, checked, tuple(sorted(identities)), scores, faces.pairs, hits, levels)


def _hits(
    look: VideoLook, faces: SeenFaces, settings: SpanSettings, lowest: float
) -> tuple[SeenFaces, Hits]:
    """The faces of a video at the instants that are looked at, and their hits."""
    kept, sample = look.place(faces.pts)
    faces = faces.take(kept)
    hits = find_hits(
        look.time_s,
        look.shown_s,
        group=faces.pair,
        sample=sample,
        score=faces.score,
        rules=settings.rules(look.period_s),
        lowest=lowest,
    )
    return faces, replace(hits, face=faces.row[hits.face])


def find_all_lives(swept: Swept) -> pa.Table:
    """The life of every span of a sweep: rows of `schema.SPAN_LIVES`, by path, identity, time."""
    hits = swept.hits
    lives = find_lives(hits, swept.levels, lowest=float(swept.thresholds[0]))
    pairs = swept.pairs.take(pa.array(hits.group[lives.first]))
    best = swept.scores.take(pa.array(hits.face[lives.best]))
    best_face_id = best["embedded_face_id"]
    shown = pc.index_in(best_face_id, swept.scores["face_id"])
    return pa.table(
        {
            "life_id": np.arange(len(lives)),
            "parent_id": pa.array(lives.parent, mask=lives.parent < 0),
            **{name: pairs[name] for name in ("video_id", "path", "identity")},
            "high_threshold": lives.high,
            "low_threshold": lives.low,
            "persistence": lives.high - lives.low,
            "start_s": hits.time_s[lives.first],
            "end_s": hits.end_s[lives.last],
            "best_face_id": best_face_id,
            "best_time_s": swept.scores["time_s"].take(shown),
        },
        schema=SPAN_LIVES,
    )


def total_sweep(swept: Swept) -> pa.Table:
    """The rows of a sweep added up over videos: `schema.SWEEP_TOTALS`, by identity, threshold.

    Everybody who was asked for has a row at every threshold.
    """
    n_thresholds = len(swept.thresholds)
    cell = _identity_of(swept) * n_thresholds
    cells = np.repeat(cell, n_thresholds) + np.tile(np.arange(n_thresholds), len(cell))
    size = n_thresholds * len(swept.identities)

    def added(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.bincount(cells, weights=values, minlength=size)

    columns: dict[str, Any] = {
        name: added(swept.table[name].to_numpy())
        for name in ("n_faces", "n_tracks", "n_spans", "seconds")
    }
    columns["n_videos"] = added(swept.table["n_spans"].to_numpy() > 0)
    columns["identity"] = pa.array(swept.identities, pa.string()).take(
        pa.array(np.repeat(np.arange(len(swept.identities)), n_thresholds))
    )
    columns["threshold"] = np.tile(swept.thresholds, len(swept.identities))
    return pa.table(columns).select(SWEEP_TOTALS.names).cast(SWEEP_TOTALS)


def find_plateaus(swept: Swept, totals: pa.Table) -> pa.Table:
    """Where each identity's spans stay as many: rows of `schema.SWEEP_PLATEAUS`, by identity."""
    shape = (-1, len(swept.thresholds))
    n_spans = swept.table["n_spans"].to_numpy().reshape(shape)
    first, last = widest_plateaus(
        n_spans, _identity_of(swept), swept.thresholds, n_identities=len(swept.identities)
    )
    found = np.flatnonzero(first >= 0)
    first, last = first[found], last[found]
    low = totals.take(pa.array(found * len(swept.thresholds) + first))
    high = totals.take(pa.array(found * len(swept.thresholds) + last))
    return pa.table(
        {
            "identity": low["identity"],
            "low_threshold": low["threshold"],
            "high_threshold": high["threshold"],
            "n_videos": low["n_videos"],
            "n_spans": low["n_spans"],
            "seconds_at_low": low["seconds"],
            "seconds_at_high": high["seconds"],
        },
        schema=SWEEP_PLATEAUS,
    )


def _identity_of(swept: Swept) -> npt.NDArray[np.int64]:
    """The number of each pair's identity."""
    names = pa.array(swept.identities, pa.string())
    number: npt.NDArray[np.int64] = (
        pc.index_in(swept.pairs["identity"], names).cast(pa.int64()).to_numpy()
    )
    return number


def _count(
    pairs: pa.Table,
    faces: SeenFaces,
    hits: Hits,
    levels: Levels,
    thresholds: npt.NDArray[np.float64],
) -> pa.Table:
    n_pairs, n_thresholds = len(pairs), len(thresholds)
    spans = count_spans(hits, levels, thresholds, n_groups=n_pairs)
    n_faces = count_at_least(faces.pair, faces.score, thresholds, n_groups=n_pairs)
    tracked = faces.take(np.flatnonzero(faces.track_id >= 0))
    tracks = best_of_tracks(tracked.pair, tracked.track_id, tracked.score)
    n_tracks = count_at_least(*tracks, thresholds, n_groups=n_pairs)
    each = pairs.take(pa.array(np.repeat(np.arange(n_pairs), n_thresholds)))
    return pa.table(
        {
            **{name: each[name] for name in ("video_id", "path", "identity")},
            "threshold": np.tile(thresholds, n_pairs),
            "n_faces": n_faces.ravel(),
            "n_tracks": n_tracks.ravel(),
            "n_spans": spans.n_spans.ravel(),
            "seconds": spans.seconds.ravel(),
        },
        schema=SWEEP,
    )
