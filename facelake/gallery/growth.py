"""Which faces of the archive a gallery may grow by: surely the same person, and saying more."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

# What became of a candidate: values of `Growth.outcome`, in the order in which they are asked.
TAKEN = "taken"
TOO_LOW = "score below the bar"
TOO_CLOSE = "margin to the next identity too small"
TOO_POOR = "quality too low"
LIKE_VETOED = "like a vetoed exemplar"
TWIN = "nothing new: like an exemplar"
TRACK_FULL = "enough of its track"
VIDEO_FULL = "enough of its video"
TOO_SOON = "too near in time to another"
FULL = "enough of its identity"


@dataclass(frozen=True)
class GrowthRules:
    """What a face of the archive must pass to become an exemplar.

    Attributes
    ----------
    add_threshold
        Lowest score with an anchor, in [−1, 1]. Well above the threshold that one asks at: a wrong
        answer is one row, a wrong exemplar brings in all its likenesses.
    min_margin
        Least score above that with any other identity, in [0, 2].
    min_quality
        Lowest quality of the face, in [0, 1].
    max_alike
        Likeness to an exemplar from which on a face says nothing new, in [−1, 1].
    cooldown_s
        Least time between two of one video, in seconds.
    max_per_track, max_per_video, max_per_identity
        Most exemplars that are faces of one track, of one video, and in all.
    """

    add_threshold: float
    min_margin: float = 0.15
    min_quality: float = 0.5
    max_alike: float = 0.968
    cooldown_s: float = 2.0
    max_per_track: int = 1
    max_per_video: int = 4
    max_per_identity: int = 20

    def __post_init__(self) -> None:
        for name, low, high in (
            ("add_threshold", -1.0, 1.0),
            ("min_margin", 0.0, 2.0),
            ("min_quality", 0.0, 1.0),
            ("max_alike", -1.0, 1.0),
            ("cooldown_s", 0.0, np.inf),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in [{low:g}, {high:g}], but is {value}")
        for field in fields(self)[-3:]:
            if getattr(self, field.name) < 1:
                raise ValueError(
                    f"{field.name} must be at least 1, but is {getattr(self, field.name)}"
                )


@dataclass(frozen=True)
class Candidates:
    """Faces that are most like one identity, row by row.

    Attributes
    ----------
    vectors
        Unit length, shape ``(n, dim)``, float32.
    name
        Of each face; of faces that are equal otherwise the first by name comes first.
    score
        Best score with an anchor of the identity, shape ``(n,)``.
    margin
        That score minus the best with anybody else's; NaN where there is nobody else.
    quality
        In [0, 1].
    video, track
        Numbers; −1 where a face is of no track.
    time_s
        In seconds.
    """

    vectors: npt.NDArray[np.float32]
    name: npt.NDArray[np.str_]
    score: npt.NDArray[np.float32]
    margin: npt.NDArray[np.float32]
    quality: npt.NDArray[np.float32]
    video: npt.NDArray[np.int64]
    track: npt.NDArray[np.int64]
    time_s: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True)
class Members:
    """The exemplars that an identity has, row by row.

    Attributes
    ----------
    vectors
        Unit length, shape ``(m, dim)``, float32.
    is_grown, is_vetoed
        Shape ``(m,)``, bool. All others are anchors.
    video, track, time_s
        As of `Candidates`; a video of −1 is a photo.
    """

    vectors: npt.NDArray[np.float32]
    is_grown: npt.NDArray[np.bool_]
    is_vetoed: npt.NDArray[np.bool_]
    video: npt.NDArray[np.int64]
    track: npt.NDArray[np.int64]
    time_s: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """What became of the candidates.

    Attributes
    ----------
    taken
        Rows of the candidates to add, in the order in which they were taken.
    outcome
        Of each candidate, shape ``(n,)``: `TAKEN`, or the first thing that spoke against it.
    likeness
        Of those taken, the score with the exemplar that they were most like, float32.
    """

    taken: npt.NDArray[np.intp]
    outcome: npt.NDArray[np.object_]
    likeness: npt.NDArray[np.float32]


def choose_grown(candidates: Candidates, members: Members, rules: GrowthRules) -> Growth:
    """The candidates to add to an identity, those that say most first.

    Of the faces that pass the rules the one least like any exemplar is taken, then the one least
    like those and it, and so on (Gonzalez, "Clustering to minimize the maximum intercluster
    distance", 1985): few exemplars then cover the looks of a person. Who passes is decided by the
    anchors alone, never by grown exemplars, so a gallery cannot wander off. What is refused once
    is refused for good while the anchors and vetoes stay, so growing again adds nothing.

    Parameters
    ----------
    candidates
        Faces whose best identity this is.
    members
        All its exemplars; their order does not matter, nor does that of the candidates.
    """
    outcome = _refused_alone(candidates, members, rules)
    left = np.flatnonzero(outcome == TAKEN)
    likeness = np.full(len(candidates), -1.0, np.float32)
    likeness[left] = _nearest(candidates.vectors[left], members.vectors[~members.is_vetoed])
    places = _Places.of(members, rules)
    taken: list[int] = []
    while len(left):
        left = left[_still_allowed(candidates, left, likeness, places, outcome)]
        if not len(left):
            break
        order = (candidates.name[left], -candidates.quality[left], likeness[left])
        row = int(left[np.lexsort(order)[0]])
        taken.append(row)
        places.add(candidates, row)
        left = left[left != row]
        nearer = candidates.vectors[left] @ candidates.vectors[row]
        likeness[left] = np.maximum(likeness[left], nearer)
    rows = np.array(taken, np.intp)
    return Growth(rows, outcome, likeness[rows])


def _refused_alone(
    candidates: Candidates, members: Members, rules: GrowthRules
) -> npt.NDArray[np.object_]:
    """What speaks against each candidate whatever else is taken; `TAKEN` where nothing does."""
    vetoed = _nearest(candidates.vectors, members.vectors[members.is_vetoed])
    outcome = np.full(len(candidates), TAKEN, object)
    for why, refused in (
        (LIKE_VETOED, vetoed >= rules.max_alike),
        (TOO_POOR, ~(candidates.quality >= rules.min_quality)),
        (TOO_CLOSE, candidates.margin < rules.min_margin),
        (TOO_LOW, ~(candidates.score >= np.float32(rules.add_threshold))),
    ):
        outcome[refused] = why
    return outcome


def _nearest(
    vectors: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Best score of each vector with any of the others; −1 where there is none."""
    if not len(others):
        return np.full(len(vectors), -1.0, np.float32)
    best: npt.NDArray[np.float32] = (vectors @ others.T).max(axis=1)
    return best


@dataclass
class _Places:
    """Where the exemplars come from, for the rules that count them."""

    rules: GrowthRules
    video: list[int]
    track: list[int]
    time_s: list[float]
    n_grown: int

    @classmethod
    def of(cls, members: Members, rules: GrowthRules) -> _Places:
        filmed = (members.video >= 0) & ~members.is_vetoed
        return cls(
            rules,
            members.video[filmed].tolist(),
            members.track[filmed].tolist(),
            members.time_s[filmed].tolist(),
            int(members.is_grown.sum()),
        )

    def add(self, candidates: Candidates, row: int) -> None:
        self.video.append(int(candidates.video[row]))
        self.track.append(int(candidates.track[row]))
        self.time_s.append(float(candidates.time_s[row]))
        self.n_grown += 1


def _still_allowed(
    candidates: Candidates,
    rows: npt.NDArray[np.intp],
    likeness: npt.NDArray[np.float32],
    places: _Places,
    outcome: npt.NDArray[np.object_],
) -> npt.NDArray[np.bool_]:
    """Which of the rows may still be taken; writes down what speaks against the others."""
    rules = places.rules
    # Rows × exemplars of the lake: at most `max_per_identity` grown ones and the user's.
    same_video = candidates.video[rows, None] == np.array(places.video, np.int64)
    track, times = np.array(places.track, np.int64), np.array(places.time_s)
    same_track = same_video & (track >= 0) & (candidates.track[rows, None] == track)
    soon = same_video & (np.abs(candidates.time_s[rows, None] - times) < rules.cooldown_s)
    allowed = np.ones(len(rows), bool)
    for why, refused in (
        (FULL, np.full(len(rows), places.n_grown >= rules.max_per_identity)),
        (TOO_SOON, soon.any(axis=1)),
        (VIDEO_FULL, same_video.sum(axis=1) >= rules.max_per_video),
        (TRACK_FULL, same_track.sum(axis=1) >= rules.max_per_track),
        (TWIN, likeness[rows] >= rules.max_alike),
    ):
        outcome[rows[refused]] = why
        allowed &= ~refused
    return allowed
