"""Why a face is taken for whom it is taken: everything the tables know of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.gallery import ANCHOR, plain_name, refuse_unknown
from facelake.lake import Lake
from facelake.lake.thresholds import read_threshold
from facelake.query.lake_faces import find_videos_of
from facelake.query.match import match_gallery
from facelake.query.one_video import OneVideo
from facelake.query.settings import SpanSettings
from facelake.schema import EXEMPLARS, EXPLANATION, SCORES, StoredThreshold, with_embedding

TWIN_SCORE = 0.90
"""Faces of two tracks that score this are as alike as neighbours within one: most likely the same
picture, shown twice or copied."""


@dataclass(frozen=True)
class FaceFacts:
    """Everything the tables know of a face.

    Attributes
    ----------
    face
        Its row of `schema.FACES` without the embedding, and ``size_px``.
    video, track
        Its rows of `schema.VIDEOS` and `schema.TRACKS`; no track where it has none.
    compared_face_id
        Whose embedding is compared: its own, or that of the face which stands for it; ``None``
        where there is none.
    scored
        Rows of `schema.EXPLANATION`, best first.
    counts_as, score, runner_up, margin
        What the match says: the identity it counts as, its score, the next one and the distance;
        ``None`` where there is nothing to compare.
    identity
        Whom the rest is about: the one that was asked for, or the one it counts as.
    settings
        The rules of spans; ``None`` where no threshold is given or stored.
    span
        The identity's span that holds its instant under these rules, a row of `schema.SPANS`.
    leaves_above
        The highest threshold at which its instant still is in a span of the identity.
    stored
        The catalog's own threshold.
    twins
        Faces outside of its track that score `TWIN_SCORE` or more with it, best first: rows of
        `schema.SCORES`, their identity and exemplar without meaning.
    """

    face: dict[str, Any]
    video: dict[str, Any]
    track: dict[str, Any] | None
    compared_face_id: str | None
    scored: pa.Table
    counts_as: str | None
    score: float | None
    runner_up: str | None
    margin: float | None
    identity: str | None
    settings: SpanSettings | None
    span: dict[str, Any] | None
    leaves_above: float | None
    stored: StoredThreshold | None
    twins: pa.Table


def explain_face(
    lake: Lake,
    space: str,
    face_id: str,
    *,
    identity: str | None = None,
    settings: SpanSettings | None = None,
    video_id: str | None = None,
) -> FaceFacts:
    """Everything the tables know of a face.

    Parameters
    ----------
    identity
        About whom; ``None`` is the one it counts as.
    settings
        The rules of spans; ``None`` leaves spans out.
    video_id
        Where it is; ``None`` looks through all videos.

    Raises
    ------
    CatalogError
        The catalog has no such face.
    GalleryError
        The identity is not enrolled.
    """
    exemplars = lake.exemplars(space)
    if identity is not None:
        identity = plain_name(identity)
        refuse_unknown(identity, sorted(set(exemplars["identity"].to_pylist())))
    ((video, _),) = find_videos_of(lake, space, [face_id], video_id=video_id)
    one = OneVideo(lake, video, space, exemplars)
    row = pc.index(one.faces["face_id"], face_id).as_py()
    face = _face_row(one.faces, row)
    match = _match_of(one.scores, face_id)
    identity = match["identity"] if identity is None else identity
    span, leaves_above = None, None
    if settings is not None and identity is not None:
        span = one.span_at(settings, identity, face["time_s"])
        leaves_above = _leaves_above(one, settings, identity, face["time_s"])
    stands = int(one.stand_in[row])
    return FaceFacts(
        face=face,
        video=one.row,
        track=_track_of(one, face["track_id"]),
        compared_face_id=None if stands < 0 else one.faces["face_id"][stands].as_py(),
        scored=_scored(one, row, face_id),
        counts_as=match["identity"],
        score=match["score"],
        runner_up=match["runner_up"],
        margin=match["margin"],
        identity=identity,
        settings=settings,
        span=span,
        leaves_above=leaves_above,
        stored=read_threshold(lake, space),
        twins=_twins(one, row, stands),
    )


def _face_row(faces: pa.Table, row: int) -> dict[str, Any]:
    face: dict[str, Any] = faces.drop_columns(["embedding"]).slice(row, 1).to_pylist()[0]
    x1, y1, x2, y2 = face["bbox_xyxy"]
    return face | {"size_px": float(np.sqrt(max(0.0, x2 - x1) * max(0.0, y2 - y1)))}


def _match_of(scores: pa.Table, face_id: str) -> dict[str, Any]:
    found = scores.filter(pc.field("face_id") == face_id).to_pylist()
    none = dict.fromkeys(("identity", "score", "runner_up", "margin"))
    return dict(found[0]) if found else none


def _track_of(one: OneVideo, track_id: int | None) -> dict[str, Any] | None:
    if track_id is None:
        return None
    tracks = one.lake.tracks(one.video_id, one.space).drop_columns(["embedding"])
    found = tracks.filter(pc.field("track_id") == track_id).to_pylist()
    return dict(found[0]) if found else None


def _scored(one: OneVideo, row: int, face_id: str) -> pa.Table:
    scored = one.score_exemplars(row)
    if scored is None:
        return EXPLANATION.empty_table()
    scored = scored.append_column("compared", pa.array([face_id] * len(scored), pa.string()))
    columns = {name: scored[name] for name in EXPLANATION.names[1:]}
    return pa.table({"face_id": scored["compared"]} | columns, schema=EXPLANATION)


def _leaves_above(
    one: OneVideo, settings: SpanSettings, identity: str, time_s: float
) -> float | None:
    """The highest threshold at which an instant is in a span of the identity.

    Spans change at the identity's own scores alone, and a higher threshold never adds time.
    """
    own = one.scores.filter(pc.field("identity") == identity)
    steps = np.unique(own["score"].to_numpy().astype(np.float64))
    low, high = -1, len(steps) - 1  # the last step known to hold the instant, and the last to try
    while low < high:
        middle = (low + high + 1) // 2
        if one.span_at(_at(settings, float(steps[middle])), identity, time_s) is None:
            high = middle - 1
        else:
            low = middle
    return None if low < 0 else float(steps[low])


def _at(settings: SpanSettings, threshold: float) -> SpanSettings:
    """The same rules at another threshold; an exit threshold above it is lowered to it."""
    stay = settings.exit_threshold
    return replace(
        settings,
        threshold=threshold,
        exit_threshold=None if stay is None else min(stay, threshold),
    )


def _twins(one: OneVideo, row: int, stands: int) -> pa.Table:
    """Faces outside of its track that are nearly equal to it."""
    if stands < 0:
        return SCORES.empty_table()
    probe = _as_exemplar(one, stands)
    found = match_gallery(one.lake, probe, min_score=TWIN_SCORE)
    is_own = pc.equal(
        found["face_id"], found["embedded_face_id"]
    )  # not one that another stands for
    track_id = one.faces["track_id"][row].as_py()
    is_here = pc.equal(found["video_id"], one.video_id)
    if track_id is None:
        is_same = pc.equal(found["face_id"], one.faces["face_id"][row])
    else:
        is_same = pc.fill_null(pc.equal(found["track_id"], track_id), False)
    found = found.filter(pc.and_(is_own, pc.invert(pc.and_(is_here, is_same))))
    return found.sort_by([("score", "descending"), ("face_id", "ascending")])


def _as_exemplar(one: OneVideo, row: int) -> pa.Table:
    """A face as a gallery of its own."""
    face = one.faces.slice(row, 1).to_pylist()[0]
    schema = with_embedding(EXEMPLARS, one.space, one.lake.dim(one.space))
    told = {name: face[name] for name in ("bbox_xyxy", "det_score", "quality", "embedding")}
    told |= {"exemplar_id": face["face_id"], "identity": face["face_id"], "role": ANCHOR}
    told |= {"photo": one.row["paths"][0], "photo_sha256": one.row["content_id"]}
    return pa.Table.from_pylist([told], schema=schema)
