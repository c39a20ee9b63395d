"""The nouns: what a video, a sample, a face and a span are, and every table's columns and units.

Times are seconds in the video's own presentation time; a frame *is* its integer ``pts`` in the
stream's time base, and ``time_s = pts × time_base``. Boxes and landmarks are pixels of the upright
frame. A score is a cosine similarity in [−1, 1]: higher is more alike, accepted when
``score >= threshold``. Spans are half-open, ``[start_s, end_s)``.
"""

from facelake.schema.nouns import (
    Face,
    Stretch,
    VideoFacts,
    VideoIndex,
    face_id,
    video_name,
)
from facelake.schema.settings import (
    DecoderName,
    Device,
    EmbedName,
    IngestSettings,
    SpanRules,
)
from facelake.schema.tables import (
    CARRIED,
    CHIPS,
    CLIPS,
    DAMAGED,
    DETECTED,
    EXEMPLARS,
    FACES,
    LABELS,
    REFINED,
    SAMPLES,
    SCHEMA_VERSION,
    SCORES,
    SPANS,
    TOMBSTONES,
    TRACKS,
    TWIN,
    UNDECODED,
    VIDEOS,
    conform,
    pack_embeddings,
    stamp,
    unpack_embeddings,
    with_embedding,
)
from facelake.schema.threshold import StoredThreshold

__all__ = [
    "CARRIED",
    "CHIPS",
    "CLIPS",
    "DAMAGED",
    "DETECTED",
    "EXEMPLARS",
    "FACES",
    "LABELS",
    "REFINED",
    "SAMPLES",
    "SCHEMA_VERSION",
    "SCORES",
    "SPANS",
    "TOMBSTONES",
    "TRACKS",
    "TWIN",
    "UNDECODED",
    "VIDEOS",
    "DecoderName",
    "Device",
    "EmbedName",
    "Face",
    "IngestSettings",
    "SpanRules",
    "StoredThreshold",
    "Stretch",
    "VideoFacts",
    "VideoIndex",
    "conform",
    "face_id",
    "pack_embeddings",
    "stamp",
    "unpack_embeddings",
    "video_name",
    "with_embedding",
]
