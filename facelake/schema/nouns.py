"""The nouns: what a video, a stretch of it and a face are, and what they are called.

Times are seconds in the video's own presentation time; boxes and landmarks are pixels of the
upright frame.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt


@dataclass(frozen=True)
class VideoFacts:
    """What a video's packets and header say of it as a whole.

    Attributes
    ----------
    stream
        Number of the stream that is looked at.
    width, height
        Of the upright picture, in pixels.
    rotation
        Degrees counter-clockwise that make the stored picture upright.
    time_base
        Seconds of one pts unit.
    n_frames
        Frames the packets promise; 0 when the file carries no usable times. It is then read from
        start to end, and ``assumed_fps`` makes the times.
    start_pts, end_pts
        Where the first frame starts and the last one stops being shown.
    assumed_fps
        Frames a second of a file without times; ``None`` for one with.
    n_missing
        Frames the header promises beyond those that are there.
    n_bad_packets
        Packets the demuxer calls damaged.
    decord_doubt
        Why decord is not proved safe on this file; empty when it is.
    """

    stream: int
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    time_base: Fraction
    n_frames: int
    start_pts: int
    end_pts: int
    assumed_fps: float | None
    n_missing: int
    n_bad_packets: int
    decord_doubt: str

    @property
    def start_s(self) -> float:
        """Presentation time of the first frame, in seconds."""
        return float(self.start_pts * self.time_base)

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the end of the last, in seconds; 0 when unknown."""
        return float((self.end_pts - self.start_pts) * self.time_base)


@dataclass(frozen=True)
class VideoIndex:
    """A video's facts and every frame's time, without a frame decoded.

    Attributes
    ----------
    pts
        Presentation times of all packets that are shown, increasing, shape ``(n_frames,)``, int64.
    key_pts
        Those of key frames, increasing, int64.
    is_cheap
        Which frames are decoded anyway because others refer to them, shape ``(n_frames,)``, bool;
        all the others can be left out. None is marked where the packets do not tell.
    """

    facts: VideoFacts
    pts: npt.NDArray[np.int64]
    key_pts: npt.NDArray[np.int64]
    is_cheap: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stretch:
    """A run of samples of one video that one task decodes.

    Attributes
    ----------
    number
        Place in the video, from 0.
    end_pts
        Frames from here on belong to the next stretch.
    seek_pts
        The key frame to start decoding from; ``None`` is the start of the file.
    key_pts
        The key frames between the first and the last of ``frame_pts`` that decoding can start
        from, increasing, int64.
    want_pts
        The instants to look at, increasing, int64. Empty when the file carries no times: the
        whole of it is then counted through at ``sample_fps``.
    want_index
        Their positions among all frames in presentation order (what decord counts), int64.
    peek_pts
        The first instant of the next stretch, decoded after the wanted ones to see what happens
        in between; ``None`` when nothing is to be refined, and in the last stretch.
    frame_pts
        Every frame of the video from the first wanted one to the peek, and without a peek to
        ``end_pts``; increasing, int64. Empty when the file carries no times.
    frame_shown_s
        How long each of these stays on screen, in seconds, float64.
    can_skip
        Whether the packets tell which frames nothing refers to, so that a decoder may leave out
        those that are not wanted.
    sample_fps
        As in `IngestSettings`.
    """

    number: int
    end_pts: int
    seek_pts: int | None
    key_pts: npt.NDArray[np.int64]
    want_pts: npt.NDArray[np.int64]
    want_index: npt.NDArray[np.int64]
    peek_pts: int | None
    frame_pts: npt.NDArray[np.int64]
    frame_shown_s: npt.NDArray[np.float64]
    can_skip: bool
    sample_fps: float | None


@dataclass(frozen=True)
class Face:
    """One detected face: its box and landmarks in pixels of the upright frame.

    Attributes
    ----------
    bbox_xyxy
        Left, top, right, bottom; shape ``(4,)``, float32. May reach over the frame's edge.
    det_score
        The detector's score, in (0, 1].
    landmarks
        Left eye, right eye, nose, left and right corner of the mouth (as seen in the picture);
        shape ``(5, 2)``, float32.
    embedding
        Unit length, shape ``(dim,)``, float32; ``None`` when the face was not embedded.
    align_rms
        How badly the landmarks fit a frontal face: root mean square distance to the 112-pixel
        template after the best similarity transform, in template pixels. Frontal below about 3,
        profile above about 8.
    sharpness
        Variance of the Laplacian of the grey 112-pixel chip; below about 50 is blurred.
    """

    bbox_xyxy: npt.NDArray[np.float32]
    det_score: float
    landmarks: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32] | None
    align_rms: float
    sharpness: float

    @property
    def size_px(self) -> float:
        """Square root of the box's area, in pixels."""
        x1, y1, x2, y2 = (float(v) for v in self.bbox_xyxy)
        return float(np.sqrt(max(0.0, x2 - x1) * max(0.0, y2 - y1)))

    @property
    def quality(self) -> float:
        """How far this face can be trusted to be recognised, in [0, 1].

        ``det_score × min(1, size_px / 112) × exp(−(align_rms / 8)²)``: a weak detection, fewer
        pixels than the embedder reads, or a turned head each lower it.
        """
        frontal = float(np.exp(-((self.align_rms / 8.0) ** 2)))
        return self.det_score * min(1.0, self.size_px / 112.0) * frontal


# Identifiers ------------------------------------------------------------------------------------


def face_id(content_id: str, pts: int, bbox_xyxy: npt.NDArray[np.float32]) -> str:
    """Name of a face: 16 hex digits made of what was looked at, not of the run that looked.

    The box is rounded to 4 pixels, so that another machine's last digits give the same name, and
    labels survive re-detection.
    """
    box = ",".join(str(int(v)) for v in np.round(np.asarray(bbox_xyxy, np.float64) / 4.0))
    return hashlib.blake2b(f"{content_id}|{pts}|{box}".encode(), digest_size=8).hexdigest()


def video_name(stem: str, content_id: str, taken: Iterable[str] = ()) -> str:
    """Name of a video: a slug of its file's name and as many digits of its content id as it takes.

    Examples
    --------
    >>> video_name("Évening News (1998)", "1a2b3c4d5e")
    'evening-news-1998-1a2b3c4d'
    """
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "video"
    digits = re.sub(r"[^0-9a-f]", "", content_id)
    taken = set(taken)
    for length in (8, 16, 64):
        name = f"{slug}-{digits[:length]}"
        if name not in taken:
            break
    return name
