"""The checks, in order: each yields the reason that holds, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.gallery import NEGATIVE, VETOED, compared
from facelake.lake.coverage import NOT_EXAMINED, UNDECODABLE
from facelake.lake.forget.tombstones import read_tombstones
from facelake.query.one_video import best_score
from facelake.query.why_not.answer import Finding, Reason
from facelake.query.why_not.case import TOLERANCE_S, Case, CaseFace
from facelake.words import counted

# Measured on 45 clips with buffalo_sc: the best score of a face with the three best of its own
# track is below 0.30 for 2 % of faces of 64 px and more, for 14 % of 32 to 48 px, and for 18 %
# below that; for 1 % that are sharper than 50 and 10 % that are not; for 2 % with align_rms below 8
# and 11 % above.
SMALL_PX, BLURRED, TURNED_RMS = 32.0, 50.0, 8.0
"""A face below, below and above these is hard to recognise."""


def _failed(case: Case) -> Iterator[Finding]:
    row = case.one.row
    if not row["n_samples"]:
        why = row["error"] or "nobody knows why"
        yield Finding(Reason.VIDEO_FAILED, f"{case.file} could not be ingested: {why}")


def _outside(case: Case) -> Iterator[Finding]:
    start_s, end_s = case.coverage[0]["start_s"], case.coverage[-1]["end_s"]
    if case.asked_s < start_s - TOLERANCE_S or (end_s is not None and case.asked_s >= end_s):
        yield Finding(
            Reason.OUTSIDE,
            f"{case.file} runs from {start_s:.3f} to {end_s or np.inf:.3f} s, and "
            f"{case.asked_s:.3f} s is outside of it",
            {"start_s": start_s, "end_s": end_s},
        )


def _found(case: Case) -> Iterator[Finding]:
    is_seen = case.piece["state"] not in (NOT_EXAMINED, UNDECODABLE)
    instants = [case.asked_s, *([case.at_sample["time_s"]] if is_seen else [])]
    for time_s in instants:
        span = case.one.span_at(case.settings, case.identity, time_s)
        if span is not None:
            told = ("start_s", "end_s", "score_max", "n_hits", "n_samples")
            yield Finding(
                Reason.FOUND,
                f"in a span from {span['start_s']:.3f} to "
                f"{span['end_s']:.3f} s, with {counted(span['n_hits'], 'hit')} in "
                f"{counted(span['n_samples'], 'sample')} and scores up to {span['score_max']:.2f}",
                {name: span[name] for name in told},
                face_id=span["best_face_id"],
            )


def _not_sampled(case: Case) -> Iterator[Finding]:
    if case.piece["state"] != NOT_EXAMINED:
        return
    time_s = case.one.samples["time_s"].to_numpy()
    at = int(np.searchsorted(time_s, case.asked_s))
    before_s = float(time_s[at - 1]) if at > 0 else None
    after_s = float(time_s[at]) if at < len(time_s) else None
    near = [f"{time:.3f} s" for time in (before_s, after_s) if time is not None]
    fps = case.one.row["sample_fps"]
    more = f"--every-frame, or a --sample-fps above {fps:g}," if fps else "--every-frame"
    why = f"; {case.piece['note']}" if case.piece["note"] else ""
    yield Finding(
        Reason.NOT_SAMPLED,
        f"nobody looked: the nearest samples are at {' and '.join(near) or 'no time at all'}{why}; "
        f"facelake ingest {case.one.row['paths'][0]} with {more} looks there",
        {"sample_before_s": before_s, "sample_after_s": after_s, "sample_fps": fps},
    )


def _not_decodable(case: Case) -> Iterator[Finding]:
    if case.piece["state"] == UNDECODABLE:
        row = case.one.row
        yield Finding(
            Reason.NOT_DECODABLE,
            "the frame could not be decoded, as "
            f"{counted(row['n_undecodable'], 'sample')} of this video",
            {"n_undecodable": row["n_undecodable"], "n_bad_packets": row["n_bad_packets"]},
        )


def _forgotten(case: Case) -> Iterator[Finding]:
    tombstones = read_tombstones(case.one.lake.store, case.one.row["content_id"])
    n_gone = _count_forgotten(tombstones, case.at_sample["time_s"])
    if n_gone:
        yield Finding(
            Reason.FORGOTTEN,
            f"of the faces at this instant {n_gone} {'was' if n_gone == 1 else 'were'} forgotten "
            "on request",
            {"n_forgotten": n_gone, "n_faces": len(case.rows)},
        )


def _count_forgotten(tombstones: pa.Table, time_s: float) -> int:
    """Forgotten tracks and faces that span an instant."""
    gone = tombstones.filter(pc.is_valid(tombstones["face_id"]))
    gone = gone.append_column("end_s", pc.add(gone["time_s"], gone["shown_s"]))
    tracks = gone.group_by(["tombstone_id", "track"]).aggregate(
        [("time_s", "min"), ("time_s", "max"), ("end_s", "max")]
    )
    since, last, until = (tracks[of].to_numpy() for of in tracks.column_names[-3:])
    has_begun = since <= time_s + TOLERANCE_S
    goes_on = (time_s < until - TOLERANCE_S) | (time_s <= last + TOLERANCE_S)
    return int((has_begun & goes_on).sum())


def _not_detected(case: Case) -> Iterator[Finding]:
    if not len(case.rows):
        told = json.loads(case.one.row["settings"])
        size, threshold = told.get("det_size"), told.get("det_threshold")
        yield Finding(
            Reason.NOT_DETECTED,
            f"no face was detected, with det_size {size} and det_threshold {threshold}",
            {"det_size": size, "det_threshold": threshold},
        )


def _lost_in_rules(case: Case) -> Iterator[Finding]:
    """A hit that is in no span: the rule without which it would be."""
    own = [face for face in case.faces if face.match.get("identity") == case.identity]
    hit = next((face for face in own if face.match["score"] >= case.stay), None)
    if hit is None:
        return
    loose = replace(case.settings, min_hits=1, min_span_s=0.0)
    span = case.one.span_at(loose, case.identity, case.at_sample["time_s"])
    yield _not_entered(case, hit) if span is None else _dropped(case, hit, span)


def _not_entered(case: Case, hit: CaseFace) -> Finding:
    return case.about(
        Reason.BELOW_ENTRY,
        f"the face scores {hit.match['score']:.2f} for {case.identity}, enough to stay in a span "
        f"({case.stay:g}) but not to start one ({case.settings.threshold:g}), and no sample that "
        "it could go on from does",
        face=hit,
        threshold=case.settings.threshold,
        exit_threshold=case.stay,
    )


def _dropped(case: Case, hit: CaseFace, span: dict[str, Any]) -> Finding:
    """A hit whose span is too poor in hits or too short; ``span`` is what it would be."""
    rules, length_s = case.settings, span["end_s"] - span["start_s"]
    hits = f"{counted(span['n_hits'], 'hit')} of the {rules.min_hits} that min_hits asks for"
    length = f"{length_s:.3f} of the {rules.min_span_s:g} s that min_span_s asks for"
    lacks = {
        Reason.TOO_FEW_HITS: (span["n_hits"] < rules.min_hits, hits),
        Reason.TOO_SHORT: (length_s < rules.min_span_s, length),
    }
    held = {reason: words for reason, (holds, words) in lacks.items() if holds}
    return case.about(
        next(iter(held)),
        f"the face scores {hit.match['score']:.2f} for {case.identity}, but its span, from "
        f"{span['start_s']:.3f} to {span['end_s']:.3f} s, has only {' and '.join(held.values())}",
        face=hit,
        n_hits=span["n_hits"],
        min_hits=rules.min_hits,
        span_s=length_s,
        min_span_s=rules.min_span_s,
    )


def _is_recognised(case: Case) -> bool:
    """Whether the face is enough like somebody, so that nothing about itself stands in the way."""
    own, settings = case.identity, case.settings
    return case.face.like(own) >= case.stay or case.face.is_surely_not(own, settings.threshold)


def _too_small(case: Case) -> Iterator[Finding]:
    face = case.face
    if face.size_px < SMALL_PX and not _is_recognised(case):
        yield case.about(
            Reason.TOO_SMALL,
            f"the face is {face.size_px:.0f} px, and below {SMALL_PX:g} px about one face in six "
            f"is not recognised{_so_far(case)}",
            size_px=face.size_px,
            small_px=SMALL_PX,
        )


def _too_poor(case: Case) -> Iterator[Finding]:
    row = case.face.row
    rms, sharpness = row["align_rms"], row["sharpness"]
    poor = [f"turned away (align_rms {rms:.1f}, above {TURNED_RMS:g})"] * (rms > TURNED_RMS)
    poor += [f"blurred (sharpness {sharpness:.0f}, below {BLURRED:g})"] * (sharpness < BLURRED)
    if poor and not _is_recognised(case):
        yield case.about(
            Reason.TOO_POOR,
            f"the face is {' and '.join(poor)}, and about one such face in ten is not recognised"
            f"{_so_far(case)}",
            align_rms=rms,
            sharpness=sharpness,
            quality=row["quality"],
        )


def _not_embedded(case: Case) -> Iterator[Finding]:
    face = case.face
    if face.has_own or _is_recognised(case):
        return
    stands = "and no face of its track stands for it"
    if face.scored is not None:
        stands = f"face {face.row['embedded_face_id']} of its track stands for it{_so_far(case)}"
    yield case.about(
        Reason.NOT_EMBEDDED,
        f"the face was not embedded; {stands}; facelake ingest --embed all embeds every face",
        embedded_face_id=face.row["embedded_face_id"],
    )


def _so_far(case: Case) -> str:
    score = case.face.like(case.identity)
    return "" if np.isneginf(score) else f"; it scores {score:.2f} for {case.identity}"


def _negative(case: Case) -> Iterator[Finding]:
    face, score = case.face, case.face.like(case.identity)
    against = best_score(face.scored, NEGATIVE, identity=case.identity)
    rivals = [row["score"] for row in _others(case, face)]
    if against is None or score < case.stay or against < score or score < max(rivals, default=-1.0):
        return
    yield case.about(
        Reason.NEGATIVE,
        f"the face scores {score:.2f} for {case.identity}, but {against:.2f} for a face that "
        f"{case.identity} is said not to be",
        negative_score=against,
    )


def _others(case: Case, face: CaseFace) -> list[dict[str, Any]]:
    """The exemplars of other identities beside a face, best first."""
    if face.scored is None:
        return []
    rows = compared(face.scored).filter(pc.field("identity") != case.identity)
    return list(rows.select(["identity", "score"]).to_pylist())


def _like_another(case: Case) -> Iterator[Finding]:
    face, score = case.face, case.face.like(case.identity)
    other = face.match.get("identity")
    if other in (None, case.identity):
        return
    by = face.match["score"] - score
    enough = "" if score >= case.stay else f"; {case.identity} would need {case.stay:g}"
    yield case.about(
        Reason.LIKE_ANOTHER,
        f"the face is more like {other} ({face.match['score']:.2f}) than like {case.identity} "
        f"({score:.2f}), by {by:.2f}{enough}",
        other=other,
        other_score=face.match["score"],
        by=by,
    )


def _vetoed(case: Case) -> Iterator[Finding]:
    score = best_score(case.face.scored, VETOED, identity=case.identity)
    if score is not None and score >= case.settings.threshold:
        yield case.about(
            Reason.VETOED,
            f"the face scores {score:.2f} with an exemplar of {case.identity} that was vetoed, and "
            f"{case.face.like(case.identity):.2f} with the others",
            vetoed_score=score,
        )


def _below_threshold(case: Case) -> Iterator[Finding]:
    score, threshold = case.face.like(case.identity), case.settings.threshold
    yield case.about(
        Reason.BELOW_THRESHOLD,
        f"the face scores {score:.3f} for {case.identity}, {threshold - score:.3f} below the "
        f"threshold {threshold:g}; it would count from {score:.3f} on",
        threshold=threshold,
        below_by=threshold - score,
    )


CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    _failed,
    _outside,
    _found,
    _not_sampled,
    _not_decodable,
    _forgotten,
    _not_detected,
    _lost_in_rules,
    _too_small,
    _too_poor,
    _not_embedded,
    _negative,
    _like_another,
    _vetoed,
    _below_threshold,
)
"""In the order in which the reasons are looked for; the last always holds."""
