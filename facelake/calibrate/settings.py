"""What decides which pairs of faces are compared."""

from __future__ import annotations

from dataclasses import dataclass

QUALITY_EDGES = (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)
"""Bins of `Face.quality`; the last one holds 1, too."""

SIZE_EDGES_PX = (0.0, 32.0, 48.0, 64.0, 112.0, float("inf"))
"""Bins of `Face.size_px`: 112 pixels is what an embedder reads."""


@dataclass(frozen=True)
class PairSettings:
    """What decides which pairs of faces are compared: equal settings, equal pairs.

    Attributes
    ----------
    reference_quality
        The better face of a pair must have this quality, in [0, 1], as the face of a photo that
        somebody enrols has: two faces that are both blurred or dark are alike whoever they are.
    faces_a_track
        Embedded faces of a track that are compared, at most, evenly over its time.
    max_track_pairs
        Pairs of tracks of one video that are compared, at most; more are drawn at random.
    lookalike_score
        Two tracks of one frame with a pair of faces above this score are taken for one person
        seen twice (a mirror, a picture in the picture) and set apart, in [−1, 1].
    overlap_iou
        Two tracks whose boxes overlap more than this in a frame are taken for one face detected
        twice and set apart, in [0, 1].
    link_score
        Two tracks of a video whose mean embeddings are this alike are linked as one person,
        for the genuine pairs across shots, in [−1, 1].
    seed
        Of what is drawn at random.
    """

    reference_quality: float = 0.4
    faces_a_track: int = 16
    max_track_pairs: int = 2000
    lookalike_score: float = 0.9
    overlap_iou: float = 0.3
    link_score: float = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (
            ("reference_quality", 0.0),
            ("overlap_iou", 0.0),
            ("lookalike_score", -1.0),
            ("link_score", -1.0),
        ):
            value = getattr(self, name)
            if not low <= value <= 1.0:
                raise ValueError(f"{name} must lie in [{low:g}, 1], but is {value}")
        for name in ("faces_a_track", "max_track_pairs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but is {getattr(self, name)}")
