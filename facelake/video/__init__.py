"""The video room: a path → its index (times, key frames, rotation), then upright frames.

`find_videos` names files, `identify` fingerprints one, `index_video` reads its packets without
decoding, `plan_stretches` decides what to look at, and `FrameReader` decodes it.
"""

from facelake.video.frames import DECORD, PYAV, FrameReader
from facelake.video.index import identify, index_video
from facelake.video.plan import plan_stretches, shown_seconds
from facelake.video.sources import find_videos

__all__ = [
    "DECORD",
    "PYAV",
    "FrameReader",
    "find_videos",
    "identify",
    "index_video",
    "plan_stretches",
    "shown_seconds",
]
