"""Why an identity is not found at an instant: the first reason that holds, from tables alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import GalleryError
from facelake.gallery import compared, plain_name, refuse_unknown
from facelake.lake import Lake
from facelake.lake.forget.tombstones import forgotten_videos
from facelake.lake.names import find_video, no_such_video
from facelake.query.one_video import OneVideo
from facelake.query.settings import SpanSettings
from facelake.query.why_not.answer import Answer, Finding, Reason
from facelake.query.why_not.case import Case
from facelake.query.why_not.checks import CHECKS

__all__ = ["Answer", "Finding", "Reason", "find_reason"]

_WITHOUT_SAMPLE = (Reason.VIDEO_FAILED, Reason.OUTSIDE, Reason.NOT_SAMPLED, Reason.NOT_DECODABLE)


def find_reason(
    lake: Lake, space: str, video: str, time_s: float, identity: str, settings: SpanSettings
) -> Answer:
    """The first reason that an identity is not in a span at an instant, or the span it is in.

    Where the frame of the instant was not looked at, the nearest sample speaks for it as long as
    samples are as close as the sampling promised.

    Raises
    ------
    GalleryError
        The identity is not enrolled, or has no exemplar left to compare with.
    CatalogError
        Several videos have this name.
    ValueError
        The time is not finite.
    """
    if not np.isfinite(time_s):
        raise ValueError(f"time_s must be a time of the video in seconds, but is {time_s}")
    exemplars = lake.exemplars(space)
    identity = plain_name(identity)
    _refuse_unenrolled(identity, exemplars)
    blank = Answer(video, identity, time_s, space, settings, Finding(Reason.FOUND, ""))
    known = {row["video_id"]: row for row in lake.videos(space).to_pylist()}
    video_id = find_video(video, list(known.values()))
    if video_id is None:
        return replace(blank, finding=_unknown(lake, video, list(known.values())))
    case = Case(OneVideo(lake, known[video_id], space, exemplars), identity, time_s, settings)
    finding = next(found for check in CHECKS for found in check(case))
    answer = replace(blank, row=known[video_id], finding=finding)
    if finding.reason in _WITHOUT_SAMPLE or case.sample is None:
        return answer
    return replace(answer, pts=case.sample["pts"], time_s=case.sample["time_s"])


def _unknown(lake: Lake, video: str, rows: list[dict[str, Any]]) -> Finding:
    if video in forgotten_videos(lake.store):
        sentence = f"{video}: this video was forgotten as a whole"
        return Finding(Reason.VIDEO_FORGOTTEN, sentence)
    return Finding(Reason.VIDEO_UNKNOWN, str(no_such_video(video, rows)))


def _refuse_unenrolled(identity: str, exemplars: pa.Table) -> None:
    refuse_unknown(identity, sorted(set(exemplars["identity"].to_pylist())))
    if not len(compared(exemplars).filter(pc.field("identity") == identity)):
        raise GalleryError(
            f"{identity} must have an exemplar to compare with, but all are vetoed or negatives; "
            "facelake enrol adds more"
        )
