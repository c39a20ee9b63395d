"""What a person decides: how an ingest looks, and how scored samples become spans."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

DecoderName = Literal["auto", "decord", "pyav"]
EmbedName = Literal["tracks", "all"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class IngestSettings:
    """What decides the samples, faces and tracks that an ingest writes: equal settings, equal rows.

    Attributes
    ----------
    sample_fps
        Frames looked at a second, at most; ``None`` looks at every frame.
    decoder
        ``auto`` takes decord where a preflight proves it safe and PyAV elsewhere.
    det_size
        Longer side of the detector's input, in pixels; a multiple of 32.
    det_threshold
        Lowest detection score kept, in (0, 1).
    nms_iou
        Overlap above which the weaker of two detections is dropped, in (0, 1).
    embed
        ``tracks`` embeds of each track the first, the best and the last face, every change of pose
        or size, and one a second; the other faces are rows without an embedding. It also carries
        detections over frames that did not change. ``all`` embeds every face of every sample.
    refine
        Look at more frames where a track starts or ends, until both are known to the frame.
        Nothing is left to do where every frame is looked at.
    chips
        Keep the aligned picture of every face that is embedded.
    """

    sample_fps: float | None = 5.0
    decoder: DecoderName = "auto"
    det_size: int = 640
    det_threshold: float = 0.5
    nms_iou: float = 0.4
    embed: EmbedName = "tracks"
    refine: bool = True
    chips: bool = False

    def __post_init__(self) -> None:
        if self.sample_fps is not None and not 0 < self.sample_fps < float("inf"):
            raise ValueError(
                f"sample_fps must be above 0 and finite, but is {self.sample_fps}; "
                "give None (--every-frame) to look at every frame"
            )
        if self.decoder not in ("auto", "decord", "pyav"):
            raise ValueError(f"decoder must be auto, decord or pyav, but is {self.decoder!r}")
        if self.embed not in ("tracks", "all"):
            raise ValueError(f"embed must be tracks or all, but is {self.embed!r}")
        if self.det_size <= 0 or self.det_size % 32:
            raise ValueError(f"det_size must be a positive multiple of 32, but is {self.det_size}")
        for name in ("det_threshold", "nms_iou"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, but is {value}")

    @property
    def refines(self) -> bool:
        """Whether there are frames between the samples to refine with."""
        return self.refine and self.sample_fps is not None

    def to_json(self) -> str:
        """The settings as one line of JSON with sorted keys; ``chips`` only where they are kept."""
        told = asdict(self)
        if not self.chips:
            # The line is part of a run's name, and runs from before there were chips keep theirs.
            del told["chips"]
        return json.dumps(told, sort_keys=True)


@dataclass(frozen=True)
class SpanRules:
    """How scored samples become spans.

    Attributes
    ----------
    threshold
        Lowest score that starts a span, in [−1, 1].
    exit_threshold
        Lowest score that continues one, at most ``threshold``; ``None`` is ``threshold``.
    min_hits
        Fewest hits (samples at or above the exit threshold) a span must hold.
    miss_s
        Longest time between two hits with only misses (looked, not found) between them, in seconds.
    blind_s
        Longest time between two neighbouring samples for which nobody looked, in seconds.
    bridge_s
        Spans that lie no further apart than this are joined, in seconds.
    min_span_s
        Shortest span kept, in seconds; looked at after bridging.
    """

    threshold: float
    exit_threshold: float | None = None
    min_hits: int = 1
    miss_s: float = 1.0
    blind_s: float = 2.0
    bridge_s: float = 0.0
    min_span_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("threshold", "exit_threshold"):
            value = getattr(self, name)
            if value is not None and not -1.0 <= value <= 1.0:
                raise ValueError(
                    f"{name} must lie in [-1, 1] because scores are cosine similarities, "
                    f"but is {value}; 0.2 to 0.4 is usual"
                )
        if self.exit_threshold is not None and self.exit_threshold > self.threshold:
            raise ValueError(
                f"exit_threshold must be at most threshold ({self.threshold}), "
                f"but is {self.exit_threshold}"
            )
        if self.min_hits < 1:
            raise ValueError(f"min_hits must be at least 1, but is {self.min_hits}")
        for name in ("miss_s", "blind_s", "bridge_s", "min_span_s"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name} must be 0 or more seconds, but is {value}")

    @property
    def stay(self) -> float:
        """The lowest score that continues a span."""
        return self.threshold if self.exit_threshold is None else self.exit_threshold

    def at(self, threshold: float) -> SpanRules:
        """The same rules at another threshold; an exit threshold above it is lowered to it."""
        stay = None if self.exit_threshold is None else min(self.exit_threshold, threshold)
        return replace(self, threshold=threshold, exit_threshold=stay)
