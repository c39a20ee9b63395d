"""The frame of an instant, and what stronger settings see in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facelake.errors import PackError
from facelake.faces import Pack, find_pack
from facelake.faces.detect import Detector
from facelake.faces.network import Network
from facelake.lake import Lake
from facelake.media import NO_SEEK_FORMATS
from facelake.schema import Device, IngestSettings, VideoFacts
from facelake.tracks import match_boxes
from facelake.video import Frame, index_video
from facelake.video.decode import PacketDecoder

Image = npt.NDArray[np.uint8]
STRONG_SIZE = 1280
"""Longer side of the detector's input in a strong look, in pixels: twice the usual."""


# Frames -----------------------------------------------------------------------------------------


class FrameFinder:
    """The frames of one video by the instant at which they are shown, one seek each.

    Parameters
    ----------
    path
        The file.
    video
        Its ``videos`` row.

    Raises
    ------
    VideoError
        The file cannot be opened.
    """

    def __init__(self, path: Path, video: dict[str, Any]) -> None:
        self._facts = _facts_of(path, video)
        self._decoder = PacketDecoder(path, self._facts, lambda: None)

    def at_s(self, time_s: float) -> Frame | None:
        """The frame on screen at a time; ``None`` where none can be decoded."""
        # A time that was made of a pts must give that pts again, a rounding error or not.
        return self.at_pts(int(np.floor(time_s / float(self._facts.time_base) + 1e-6)))

    def at_pts(self, pts: int) -> Frame | None:
        """The frame on screen at a pts: the last that is not later."""
        shown = None
        for here, picture in self._frames(pts):
            if here > pts:
                break
            shown = here, picture
        return None if shown is None else Frame(*shown)

    def seconds(self, pts: int) -> float:
        """The time of a pts."""
        return pts * self._facts.time_base.numerator / self._facts.time_base.denominator

    def _frames(self, pts: int) -> Iterator[tuple[int, Any]]:
        fps = self._facts.assumed_fps
        if fps is None:
            can_seek = self._facts.container not in NO_SEEK_FORMATS
            yield from self._decoder.frames_from(pts if can_seek else None, pts)
            return
        unit = 1.0 / (fps * float(self._facts.time_base))
        for number, picture in enumerate(self._decoder.every_frame()):
            yield round(number * unit), picture


def _facts_of(path: Path, video: dict[str, Any]) -> VideoFacts:
    """What the ``videos`` row says of a file; where it says too little, what its packets say."""
    told = ("stream", "container", "time_base_num", "start_s", "duration_s", "rotation")
    if any(video[name] is None for name in told):
        return index_video(path).facts
    base = Fraction(video["time_base_num"], video["time_base_den"])
    start_pts = round(video["start_s"] / float(base))
    return VideoFacts(
        stream=video["stream"],
        container=video["container"],
        codec=video["codec"],
        pixel_format=video["pixel_format"] or "",
        width=video["width"],
        height=video["height"],
        rotation=video["rotation"],
        time_base=base,
        n_frames=video["n_frames"] or 0,
        start_pts=start_pts,
        end_pts=start_pts + round(video["duration_s"] / float(base)),
        assumed_fps=video["assumed_fps"],
        n_missing=0,
        n_bad_packets=video["n_bad_packets"],
        decord_doubt="",
    )


# Looks ------------------------------------------------------------------------------------------


def settings_of(video: dict[str, Any]) -> IngestSettings:
    """The detector's settings of the run that a ``videos`` row is of."""
    told = json.loads(video["settings"])
    known = ("det_size", "det_threshold", "nms_iou")  # what came from elsewhere may tell less
    return IngestSettings(**{name: told[name] for name in known if name in told})


def pack_of(lake: Lake, space: str, pack: str | Path | None) -> Pack:
    """The pack that was asked for, or the one that a space's videos were ingested with.

    Raises
    ------
    PackError
        It is not to be had here.
    """
    if pack is not None:
        return find_pack(pack)
    name = str(lake.spaces.get(space, {}).get("pack", space))
    try:
        return find_pack(name)
    except PackError as error:
        raise PackError(
            f"{lake.where}: to look at its videos again takes the pack {name!r}, which is not "
            "found by its name here; give the folder it is in with --pack"
        ) from error


@dataclass(frozen=True)
class Seen:
    """Faces of one frame, most certain first.

    Attributes
    ----------
    bbox_xyxy
        Shape ``(n, 4)``, in pixels of the upright frame.
    det_score
        Shape ``(n,)``: the best that any of the looks gave.
    """

    bbox_xyxy: npt.NDArray[np.float32]
    det_score: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.det_score)

    def take(self, rows: npt.NDArray[np.bool_]) -> Seen:
        """Some of them."""
        return Seen(self.bbox_xyxy[rows], self.det_score[rows])


class StrongLook:
    """The faces that any of three looks sees: a run's own input size, a larger one, it mirrored.

    Parameters
    ----------
    pack
        Whose detector; the embedder is not opened.
    det_size
        Longer side of the larger input in pixels, a multiple of 32.
    det_threshold
        Lowest score of a face; ``None`` is the run's own, below which no look ever counts.
    device
        ``auto``, ``cpu`` or ``cuda``; never a silent fallback.

    Raises
    ------
    EngineError
        The detector does not run here.
    """

    def __init__(
        self,
        pack: Pack,
        *,
        det_size: int = STRONG_SIZE,
        det_threshold: float | None = None,
        device: Device = "auto",
    ) -> None:
        self._network = Network(
            pack.detector, pack.detector_sha256, "detector", device=device, threads=0
        )
        self._det_size, self._det_threshold = det_size, det_threshold
        self._detectors: dict[tuple[int, float], Detector] = {}

    def see(self, image: Image, settings: IngestSettings) -> Seen:
        """The faces of an upright RGB frame that was, or would have been, looked at so."""
        least = max(settings.det_threshold, self._det_threshold or 0.0)
        size = max(settings.det_size, self._det_size)
        mirrored = self._look(np.ascontiguousarray(image[:, ::-1]), size, least)
        turned = mirrored.bbox_xyxy.copy()
        turned[:, [0, 2]] = image.shape[1] - mirrored.bbox_xyxy[:, [2, 0]]
        looks = [self._look(image, size, least), Seen(turned, mirrored.det_score)]
        if size != settings.det_size:
            looks.append(self._look(image, settings.det_size, least))
        return _together(looks)

    def _look(self, image: Image, size: int, threshold: float) -> Seen:
        if (size, threshold) not in self._detectors:
            self._detectors[size, threshold] = Detector(
                self._network, size=size, threshold=threshold
            )
        (found,) = self._detectors[size, threshold].detect([image])
        return Seen(found.bbox_xyxy, found.det_score)


def _together(looks: list[Seen]) -> Seen:
    """The faces of several looks at one frame, each once: boxes that overlap are one face.

    They are paired as faces of neighbouring frames are, one to one within a look, so that two
    people close together stay two.
    """
    found = looks[0]
    for other in looks[1:]:
        match = match_boxes(other.bbox_xyxy, found.bbox_xyxy)
        best = found.det_score.copy()
        paired = match >= 0
        best[match[paired]] = np.maximum(best[match[paired]], other.det_score[paired])
        new = other.take(~paired)
        found = Seen(
            np.concatenate([found.bbox_xyxy, new.bbox_xyxy]),
            np.concatenate([best, new.det_score]),
        )
    order = np.argsort(-found.det_score, kind="stable")
    return Seen(found.bbox_xyxy[order], found.det_score[order])
