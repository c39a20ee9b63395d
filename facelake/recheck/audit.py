"""The recall audit: random instants of a catalog's videos, looked at again as well as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.audit import (
    STRATA,
    UNEXAMINED,
    allot_instants,
    at_offset,
    boxes_between,
    draw_instants,
    split_time,
    summarise_audit,
)
from facelake.errors import CatalogError, VideoError
from facelake.lake import Lake
from facelake.lake.forget.tombstones import boxes, find_forgotten, read_tombstones
from facelake.lake.names import find_source
from facelake.recheck.look import FrameFinder, Seen, StrongLook, pack_of, settings_of
from facelake.schema import AUDIT_FACES, AUDIT_INSTANTS, FACES, Device, face_id
from facelake.tracks import match_boxes

_FACE_COLUMNS = ("face_id", "pts", "time_s", "bbox_xyxy", "track_id")


@dataclass(frozen=True)
class AuditTables:
    """What an audit saw and says.

    Attributes
    ----------
    faces, instants, summary
        Rows of `schema.AUDIT_FACES`, `schema.AUDIT_INSTANTS` and `schema.AUDIT_SUMMARY`.
    seconds
        Time of each of `facelake.audit.STRATA` in the videos that could be looked at.
    left_out
        Path and reason of every video that could not, with its seconds where they are known.
    """

    faces: pa.Table
    instants: pa.Table
    summary: pa.Table
    seconds: tuple[float, ...]
    left_out: tuple[tuple[str, str, float | None], ...]


def audit_catalog(
    lake: Lake,
    space: str,
    *,
    n: int,
    seed: int = 0,
    pack: str | Path | None = None,
    device: Device = "auto",
    det_size: int,
    det_threshold: float | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> AuditTables:
    """Look again at random instants, and compare with what the catalog has there.

    Parameters
    ----------
    n
        Instants to draw, `facelake.audit.FEWEST_INSTANTS` or more.
    seed
        Of the draw: the same gives the same instants.
    pack
        Whose detector; ``None`` is the one that the videos were ingested with.
    det_size, det_threshold
        As for `StrongLook`.
    progress
        Called with the number of instants done and of all.

    Raises
    ------
    CatalogError
        No video of the catalog can be looked at.
    PackError, EngineError
        The detector is not to be had, or does not run here.
    ValueError
        Too few instants, or settings that no detector has.
    """
    if det_threshold is not None and not 0.0 < det_threshold < 1.0:
        raise ValueError(f"det_threshold must lie between 0 and 1, but is {det_threshold}")
    looker = StrongLook(
        pack_of(lake, space, pack), det_size=det_size, det_threshold=det_threshold, device=device
    )
    videos, left_out = _videos_there(lake, space)
    seconds = np.array([[_length(part) for part in video.parts(lake)] for video in videos])
    if not seconds.sum() > 0:
        raise CatalogError(f"{lake.where}: {_nothing_there(left_out)}")
    drawn = _draw(seconds, n, np.random.default_rng(seed))
    work = _Work(looker, progress, n_all=n)
    for row, draws in drawn.items():
        work.look_at(lake, videos[row], draws)
    faces = pa.Table.from_pylist(work.faces, AUDIT_FACES)
    total_s = seconds.sum(axis=0)
    instants = _weighted(pa.Table.from_pylist(work.instants, AUDIT_INSTANTS), total_s)
    return AuditTables(
        faces=faces,
        instants=instants,
        summary=summarise_audit(faces, instants, total_s),
        seconds=tuple(total_s.tolist()),
        left_out=(*left_out, *work.troubles),
    )


# Which videos -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Video:
    """A video whose file is there."""

    row: dict[str, Any]
    path: Path
    space: str

    @property
    def video_id(self) -> str:
        return str(self.row["video_id"])

    def parts(self, lake: Lake) -> list[npt.NDArray[np.float64]]:
        """Its time by stratum."""
        samples = lake.samples(self.video_id, self.space)
        samples = samples.filter(pc.field("status") == "ok")
        time_s, shown_s = samples["time_s"].to_numpy(), samples["shown_s"].to_numpy()
        start_s, length_s = self.row["start_s"], self.row["duration_s"]
        if start_s is None or not length_s:  # of a file without times the samples tell all
            start_s, length_s = time_s[0], time_s[-1] + shown_s[-1] - time_s[0]
        n_faces = samples["n_faces"].to_numpy()
        return split_time(time_s, shown_s, n_faces, start_s=start_s, end_s=start_s + length_s)


def _videos_there(
    lake: Lake, space: str
) -> tuple[list[_Video], list[tuple[str, str, float | None]]]:
    there, left_out = [], []
    for row in lake.videos(space).to_pylist():
        path, duration_s = row["paths"][0], row["duration_s"]
        source = find_source(row)
        if row["n_samples"] == row["n_undecodable"]:
            left_out.append((path, row["error"] or "nothing of it was decoded", duration_s))
        elif source is None:
            left_out.append((path, "the video is gone or changed", duration_s))
        else:
            there.append(_Video(row, source, space))
    return there, left_out


def _nothing_there(left_out: list[tuple[str, str, float | None]]) -> str:
    if not left_out:
        return "nothing is ingested yet; facelake ingest comes first"
    path, reason, _ = left_out[0]
    return (
        f"an audit looks at the videos again, but none of {len(left_out)} can be ({path}: {reason})"
    )


def _length(part: npt.NDArray[np.float64]) -> float:
    return float((part[:, 1] - part[:, 0]).sum())


@dataclass(frozen=True)
class _Draw:
    """An instant that was drawn: its number, stratum, and seconds into that stratum's part."""

    number: int
    stratum: int
    offset_s: float


def _draw(
    seconds: npt.NDArray[np.float64], n: int, random: np.random.Generator
) -> dict[int, list[_Draw]]:
    """The draws of each video, by its row."""
    drawn: dict[int, list[_Draw]] = {}
    number = 0
    for stratum, count in enumerate(allot_instants(seconds.sum(axis=0), n)):
        video, offset_s = draw_instants(seconds[:, stratum], int(count), random)
        for row, offset in zip(video.tolist(), offset_s.tolist(), strict=True):
            drawn.setdefault(row, []).append(_Draw(number, stratum, offset))
            number += 1
    return drawn


def _weighted(instants: pa.Table, seconds: npt.NDArray[np.float64]) -> pa.Table:
    """The instants with the time that each stands for; one that was lost stands for none."""
    seen = np.array([status == "ok" for status in instants["status"].to_pylist()], bool)
    code = np.array([STRATA.index(name) for name in instants["stratum"].to_pylist()], np.int64)
    count = np.maximum(np.bincount(code[seen], minlength=len(STRATA)), 1)
    weight = np.where(seen, (seconds / count)[code], 0.0)
    place = instants.schema.get_field_index("weight_s")
    return instants.set_column(place, instants.schema.field(place), pa.array(weight))


# Looking ----------------------------------------------------------------------------------------


@dataclass
class _Work:
    """The instants looked at so far, and what was seen."""

    looker: StrongLook
    progress: Callable[[int, int], None]
    n_all: int
    faces: list[dict[str, Any]] = field(default_factory=list)
    instants: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[tuple[str, str, float | None]] = field(default_factory=list)

    def look_at(self, lake: Lake, video: _Video, draws: list[_Draw]) -> None:
        """Look at some instants of a video."""
        parts = video.parts(lake)
        known = _Known.of(lake, video)
        try:
            frames: FrameFinder | None = FrameFinder(video.path, video.row)
        except VideoError as error:
            self.troubles.append((str(video.path), str(error), video.row["duration_s"]))
            frames = None
        for draw in draws:
            (time_s,) = at_offset(parts[draw.stratum], [draw.offset_s])
            self._look(video, known, frames, draw, float(time_s))
            self.progress(len(self.instants), self.n_all)

    def _look(
        self,
        video: _Video,
        known: _Known,
        frames: FrameFinder | None,
        draw: _Draw,
        time_s: float,
    ) -> None:
        told = {
            "draw": draw.number,
            "video_id": video.video_id,
            "path": str(video.path),
            "time_s": time_s,
            "stratum": STRATA[draw.stratum],
        }
        none = dict.fromkeys(("n_strong", "n_missed", "n_known", "n_unconfirmed"), 0)
        row = told | none | {"weight_s": 0.0, "status": "undecodable"}
        frame = None if frames is None else frames.at_s(time_s)
        if frames is not None and frame is not None:
            at_s = frames.seconds(frame.pts)
            seen = self.looker.see(frame.rgb(), settings_of(video.row))
            seen = known.without_forgotten(seen, frame.pts, at_s)
            boxes_there, names = known.at(draw.stratum, frame.pts, at_s)
            match = match_boxes(seen.bbox_xyxy, boxes_there)
            more = {"pts": frame.pts, "time_s": at_s}
            self.faces += [told | more | one for one in _face_rows(seen, match, names)]
            row |= {
                "pts": frame.pts,
                "status": "ok",
                "n_strong": len(seen),
                "n_missed": int((match < 0).sum()),
                "n_known": len(boxes_there),
                "n_unconfirmed": len(boxes_there) - int((match >= 0).sum()),
            }
        self.instants.append(row)


def _face_rows(
    seen: Seen, match: npt.NDArray[np.int64], names: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for box, score, row in zip(seen.bbox_xyxy, seen.det_score, match.tolist(), strict=True):
        x1, y1, x2, y2 = (float(side) for side in box)
        yield {
            "found": row >= 0,
            "det_score": float(score),
            "size_px": float(np.sqrt(max(0.0, x2 - x1) * max(0.0, y2 - y1))),
            "x1": x1,
            "y1": y1,
            "x2": x2,
            "y2": y2,
        } | (names[row] if row >= 0 else {})


@dataclass(frozen=True)
class _Known:
    """What the catalog has of a video."""

    content_id: str
    faces: pa.Table
    box: npt.NDArray[np.float32]
    tombstones: pa.Table

    @classmethod
    def of(cls, lake: Lake, video: _Video) -> _Known:
        faces = lake.faces(video.video_id, video.space, _FACE_COLUMNS)
        content_id = str(video.row["content_id"])
        return cls(content_id, faces, boxes(faces), read_tombstones(lake.store, content_id))

    def at(
        self, stratum: int, pts: int, time_s: float
    ) -> tuple[npt.NDArray[np.floating[Any]], list[dict[str, Any]]]:
        """The boxes that the catalog has at an instant, and whose they are.

        Where nobody looked these are the tracks that span it, each between two of its faces.
        """
        if STRATA[stratum] != UNEXAMINED:
            rows = np.flatnonzero(self.faces["pts"].to_numpy() == pts)
            names = self.faces.select(["face_id", "track_id"]).take(pa.array(rows)).to_pylist()
            return self.box[rows], names
        tracked = pc.is_valid(self.faces["track_id"]).to_numpy()
        track_id = self.faces["track_id"].drop_null().to_numpy()
        times = self.faces["time_s"].to_numpy()[tracked]
        track, box = boxes_between(track_id, times, self.box[tracked], time_s)
        return box, [{"track_id": number} for number in track.tolist()]

    def without_forgotten(self, seen: Seen, pts: int, time_s: float) -> Seen:
        """The faces that nobody asked to be forgotten."""
        if not len(self.tombstones) or not len(seen):
            return seen
        named = [
            {
                "face_id": face_id(self.content_id, pts, box),
                "pts": pts,
                "time_s": time_s,
                "bbox_xyxy": box.tolist(),
            }
            for box in seen.bbox_xyxy
        ]
        schema = pa.schema([FACES.field(name) for name in _FACE_COLUMNS])
        rows = pa.Table.from_pylist(named, schema)
        return seen.take(~find_forgotten(rows, self.tombstones))
