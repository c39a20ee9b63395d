"""The video room: a path → its index (times, key frames, rotation), then upright frames.

`find_videos` names files, `identify` fingerprints one, `index_video` reads its packets without
decoding, `plan_stretches` decides what to look at, and `FrameReader` decodes it to `Frame`s, whose
thumbs tell cuts (`is_new_shot`) and stills (`same_picture`).
"""

from facelake.video.frame import Frame
from facelake.video.frames import DECORD, PYAV, FrameReader
from facelake.video.index import identify, index_video
from facelake.video.plan import plan_stretches, shown_seconds
from facelake.video.shots import is_new_shot, same_picture
from facelake.video.sources import find_videos

__all__ = [
    "DECORD",
    "PYAV",
    "Frame",
    "FrameReader",
    "find_videos",
    "identify",
    "index_video",
    "is_new_shot",
    "plan_stretches",
    "same_picture",
    "shown_seconds",
]
