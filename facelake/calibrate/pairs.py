"""The faces of one video → pairs of which one knows, without a label, whether they are one person.

Two faces in one frame are two people, so any face of the track of one against any face of the
track of the other is an impostor pair. The faces of one track are one person: genuine pairs, at
several distances in time. Both have exceptions, and these are looked for and set apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facelake.calibrate.counts import Kind, PairCounts
from facelake.calibrate.faces import VideoFaces, spread_rows, tracks_at_once
from facelake.calibrate.settings import PairSettings

if TYPE_CHECKING:
    import numpy.typing as npt

GAPS_S = {
    Kind.GAP_500MS: (0.25, 0.5, 1.0),
    Kind.GAP_5S: (3.0, 5.0, 8.0),
    Kind.GAP_30S: (20.0, 30.0, 60.0),
}
"""Least, wanted and greatest time between the faces of a genuine pair of one track, in seconds."""

OVERLAPPING, SEEN_TWICE, COUNTED = "boxes overlap", "one person seen twice", "counted"
"""What became of a pair of tracks: values of `LOOK_ALIKES`' column ``verdict``."""

_MIXED_BELOW = 0.4  # a track with a face less like its mean than this may hold two people
_MOST_LINKED = 4000  # tracks of a video among which links are looked for
_MOST_LINKS = 200  # pairs of them that are compared: these are only told beside the others
_SHOWN = 5  # look-alikes of each verdict that are kept of a video
_AT_ONCE = 256  # pairs of tracks: 16 MB of embeddings
_PAIRS_AT_ONCE = 4096


@dataclass(frozen=True)
class LookAlike:
    """Two faces of two tracks of one frame, and how alike they are.

    Attributes
    ----------
    row, other_row
        The two faces of the highest score, rows of `VideoFaces`.
    n_pairs
        Pairs of faces of these two tracks.
    verdict
        `COUNTED`, `SEEN_TWICE` or `OVERLAPPING`.
    """

    row: int
    other_row: int
    score: float
    n_pairs: int
    verdict: str


@dataclass(frozen=True)
class VideoPairs:
    """What one video gives to a calibration.

    Attributes
    ----------
    counts
        Its scored pairs.
    look_alikes
        The pairs of tracks that were most alike, and those that were set apart.
    told
        Numbers for the report: name → count.
    """

    counts: PairCounts
    look_alikes: tuple[LookAlike, ...] = ()
    told: dict[str, int] = field(default_factory=dict)


def sample_pairs(faces: VideoFaces, settings: PairSettings) -> VideoPairs:
    """The impostor and genuine pairs of one video, scored and counted.

    Only faces with an embedding of their own are compared: one that another stands for is not a
    second observation. Whether two tracks share a frame is asked of all faces.
    """
    track = faces.numbered_tracks()
    n_tracks = int(track.max(initial=-1)) + 1
    usable = ~np.isnan(faces.embedding[:, 0])
    chosen = spread_rows(track, faces.time_s, usable, n_tracks, settings.faces_a_track)
    together, overlap = tracks_at_once(faces, track)
    impostors = _impostors(faces, chosen, together, overlap, settings)
    genuine = [_of_one_track(faces, track, usable, kind, settings) for kind in GAPS_S]
    shots, told = _across_shots(faces, chosen, together, settings)
    counts = PairCounts.sum([impostors.counts, *genuine, shots])
    told |= impostors.told | {"n_tracks": int((chosen[:, 0] >= 0).sum())}
    return VideoPairs(counts, impostors.look_alikes, told)


# Impostors --------------------------------------------------------------------------------------


def _impostors(
    faces: VideoFaces,
    chosen: npt.NDArray[np.int64],
    together: npt.NDArray[np.int64],
    overlap: npt.NDArray[np.float64],
    settings: PairSettings,
) -> VideoPairs:
    known = (chosen[together, 0] >= 0).all(axis=1)
    together, overlap = together[known], overlap[known]
    drawn = _draw(len(together), settings.max_track_pairs, settings.seed)
    counts: list[PairCounts] = []
    look_alikes: list[LookAlike] = []
    told = dict.fromkeys(("n_track_pairs", "n_same_frame", "n_overlapping", "n_seen_twice"), 0)
    for block in _compare(faces, chosen, together[drawn]):
        overlapping = overlap[drawn][block.number] > settings.overlap_iou
        twice = ~overlapping & (block.best() > settings.lookalike_score)
        counted = ~overlapping & ~twice
        counts += block.count_impostors(counted, settings.reference_quality)
        graded = counted[:, None, None] & block.has_reference(settings.reference_quality)
        look_alikes += block.look_alikes(graded, COUNTED)
        look_alikes += block.look_alikes(twice[:, None, None], SEEN_TWICE)
        look_alikes += block.look_alikes(overlapping[:, None, None], OVERLAPPING)
        told["n_track_pairs"] += int(counted.sum())
        told["n_same_frame"] += block.n_same_frame(counted)
        told["n_overlapping"] += block.n_pairs(overlapping)
        told["n_seen_twice"] += block.n_pairs(twice)
    told["n_track_pairs_left_out"] = len(together) - len(drawn)
    return VideoPairs(PairCounts.sum(counts), _most_alike(look_alikes), told)


def _draw(n: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Which of so many pairs of tracks are compared, increasing."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _most_alike(look_alikes: list[LookAlike]) -> tuple[LookAlike, ...]:
    """Of each verdict the few with the highest scores."""
    ranked = sorted(look_alikes, key=lambda one: -one.score)
    kinds = (COUNTED, SEEN_TWICE, OVERLAPPING)
    of_each = [[one for one in ranked if one.verdict == kind][:_SHOWN] for kind in kinds]
    return tuple(one for few in of_each for one in few)


@dataclass(frozen=True)
class _Block:
    """Some pairs of tracks, every chosen face of one against every chosen face of the other.

    Attributes
    ----------
    number
        Of each pair of tracks, shape ``(m,)``.
    rows, other_rows
        The faces, shape ``(m, width)``; −1 where there is none.
    score
        Shape ``(m, width, width)``; NaN where there is no pair.
    """

    faces: VideoFaces
    number: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    other_rows: npt.NDArray[np.int64]
    score: npt.NDArray[np.float32]

    def best(self) -> npt.NDArray[np.float32]:
        """The highest score of each pair of tracks."""
        highest: npt.NDArray[np.float32] = np.nanmax(self.score, axis=(1, 2))
        return highest

    def n_pairs(self, which: npt.NDArray[np.bool_]) -> int:
        return int((~np.isnan(self.score[which])).sum())

    def n_same_frame(self, which: npt.NDArray[np.bool_]) -> int:
        pts = self.faces.pts
        same = pts[self.rows[which]][:, :, None] == pts[self.other_rows[which]][:, None, :]
        return int((same & ~np.isnan(self.score[which])).sum())

    def has_reference(self, reference_quality: float) -> npt.NDArray[np.bool_]:
        """Whether the better face of each pair has this quality, shape of ``score``."""
        quality, other = self.faces.quality[self.rows], self.faces.quality[self.other_rows]
        good = np.maximum(quality[:, :, None], other[:, None, :]) >= reference_quality
        return good & ~np.isnan(self.score)

    def count_impostors(
        self, which: npt.NDArray[np.bool_], reference_quality: float
    ) -> list[PairCounts]:
        known = which[:, None, None] & ~np.isnan(self.score)
        graded = known & self.has_reference(reference_quality)
        best = np.where(graded, self.score, -np.inf).reshape(len(self.score), -1)
        at = best.argmax(axis=1)
        is_best = np.zeros(best.shape, bool)
        is_best[np.arange(len(at)), at] = best[np.arange(len(at)), at] > -np.inf
        return [
            self.count(Kind.IMPOSTOR, graded),
            self.count(Kind.POOR_IMPOSTOR, known & ~graded),
            self.count(Kind.BEST_IMPOSTOR, is_best.reshape(self.score.shape)),
        ]

    def count(self, kind: Kind, which: npt.NDArray[np.bool_]) -> PairCounts:
        """The counts of some pairs of faces; ``which`` has the shape of ``score``."""
        at, one, other = np.nonzero(which)
        first, second = self.rows[at, one], self.other_rows[at, other]
        return _counted(
            self.faces, kind, first, second, self.number[at], self.score[at, one, other]
        )

    def look_alikes(self, which: npt.NDArray[np.bool_], verdict: str) -> list[LookAlike]:
        """The pairs of tracks that are most alike, by those pairs of faces that are ``which``."""
        scores = np.where(which & ~np.isnan(self.score), self.score, -np.inf)
        best = scores.max(axis=(1, 2))
        top = np.argsort(-best, kind="stable")[:_SHOWN]
        return [self._look_alike(int(at), scores[at], verdict) for at in top if best[at] > -np.inf]

    def _look_alike(self, at: int, scores: npt.NDArray[np.float32], verdict: str) -> LookAlike:
        one, other = np.unravel_index(scores.argmax(), scores.shape)
        return LookAlike(
            int(self.rows[at, one]),
            int(self.other_rows[at, other]),
            float(scores[one, other]),
            int((scores > -np.inf).sum()),
            verdict,
        )


def _compare(
    faces: VideoFaces, chosen: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64]
) -> Iterator[_Block]:
    """The chosen faces of each pair of tracks against each other, some pairs at a time."""
    for begin in range(0, len(pairs), _AT_ONCE):
        some = pairs[begin : begin + _AT_ONCE]
        rows, other_rows = chosen[some[:, 0]], chosen[some[:, 1]]
        score = faces.unit(rows) @ faces.unit(other_rows).transpose(0, 2, 1)
        missing = (rows < 0)[:, :, None] | (other_rows < 0)[:, None, :]
        score[missing] = np.nan
        yield _Block(faces, np.arange(begin, begin + len(some)), rows, other_rows, score)


def _counted(
    faces: VideoFaces,
    kind: Kind,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    score: npt.NDArray[np.float32],
) -> PairCounts:
    size_px = faces.size_px
    return PairCounts.of(
        kind,
        group=group,
        quality=np.minimum(faces.quality[first], faces.quality[second]),
        size_px=np.minimum(size_px[first], size_px[second]),
        score=score,
    )


# Genuine pairs ----------------------------------------------------------------------------------


def _of_one_track(
    faces: VideoFaces,
    track: npt.NDArray[np.int64],
    usable: npt.NDArray[np.bool_],
    kind: Kind,
    settings: PairSettings,
) -> PairCounts:
    """Pairs of one track that lie about so far apart in time; see `GAPS_S`."""
    first, second = _pairs_apart(faces, track, usable, *GAPS_S[kind])
    graded = np.maximum(faces.quality[first], faces.quality[second]) >= settings.reference_quality
    first, second = first[graded], second[graded]
    has_pair = np.zeros(len(track), bool)
    has_pair[first] = True
    n_tracks = int(track.max(initial=-1)) + 1
    some = spread_rows(track, faces.time_s, has_pair, n_tracks, settings.faces_a_track)
    keep = np.isin(first, some)
    first, second = first[keep], second[keep]
    return _counted(faces, kind, first, second, track[first], _scores(faces, first, second))


def _scores(
    faces: VideoFaces, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """The score of each pair of faces, some thousands at a time."""
    score = np.empty(len(first), np.float32)
    for begin in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(begin, begin + _PAIRS_AT_ONCE)
        score[part] = np.einsum("ij,ij->i", faces.unit(first[part]), faces.unit(second[part]))
    return score


def _pairs_apart(
    faces: VideoFaces,
    track: npt.NDArray[np.int64],
    usable: npt.NDArray[np.bool_],
    least_s: float,
    wanted_s: float,
    greatest_s: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Each usable face with the one of its track that is nearest to ``wanted_s`` later."""
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((faces.time_s[rows], track[rows]))]
    if len(rows) < 2:
        return rows[:0], rows[:0]
    time_s = faces.time_s[rows] - faces.time_s[rows].min()
    # One axis for all tracks, laid so far apart that no gap reaches from one to the next.
    axis = time_s + track[rows] * (time_s.max() + greatest_s + 1.0)
    after = np.clip(np.searchsorted(axis, axis + wanted_s), 1, len(axis) - 1)
    nearer = np.abs(axis[after - 1] - axis - wanted_s) <= np.abs(axis[after] - axis - wanted_s)
    partner = np.where(nearer, after - 1, after)
    gap_s = axis[partner] - axis
    found = (gap_s >= least_s) & (gap_s <= greatest_s)
    return rows[found], rows[partner[found]]


def _across_shots(
    faces: VideoFaces,
    chosen: npt.NDArray[np.int64],
    together: npt.NDArray[np.int64],
    settings: PairSettings,
) -> tuple[PairCounts, dict[str, int]]:
    """Pairs of two tracks that one person seems to have, and how many tracks may hold two."""
    tracks = np.flatnonzero(chosen[:, 0] >= 0)
    mean, least = _means(faces, chosen[tracks])
    told = {"n_mixed_tracks": int((least < _MIXED_BELOW).sum())}
    some = tracks[:_MOST_LINKED]
    apart = np.searchsorted(some, together[np.isin(together, some).all(axis=1)])
    linked = _linked_pairs(mean[:_MOST_LINKED], apart, settings.link_score)
    drawn = _draw(len(linked), min(_MOST_LINKS, settings.max_track_pairs), settings.seed)
    pairs = some[linked[drawn]]
    counts = []
    for block in _compare(faces, chosen, pairs):
        graded = block.has_reference(settings.reference_quality)
        counts.append(block.count(Kind.ACROSS_SHOTS, graded))
    return PairCounts.sum(counts), told


def _means(
    faces: VideoFaces, chosen: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean embedding of each track, unit length, and the least cosine of a face of it to that."""
    dim = faces.embedding.shape[1]
    mean, least = np.empty((len(chosen), dim), np.float32), np.empty(len(chosen), np.float32)
    for begin in range(0, len(chosen), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        vectors = faces.unit(chosen[part])
        total = vectors.sum(axis=1)
        mean[part] = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
        cosine = np.einsum("twd,td->tw", vectors, mean[part])
        least[part] = np.where(chosen[part] >= 0, cosine, np.inf).min(axis=1)
    return mean, least


def _linked_pairs(
    mean: npt.NDArray[np.float32], apart: npt.NDArray[np.int64], link_score: float
) -> npt.NDArray[np.int64]:
    """Pairs of tracks of one cluster: tracks joined by links, directly or over others.

    Parameters
    ----------
    apart
        Pairs of tracks that are two people, shape ``(n, 2)``; a cluster that holds such a pair is
        none.

    Returns
    -------
    ndarray
        Shape ``(m, 2)``, the lower first.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    alike = np.triu(mean @ mean.T >= link_score, 1)
    n_clusters, cluster = connected_components(csr_array(alike), directed=False)
    wanted = np.bincount(cluster, minlength=n_clusters) > 1
    one, other = cluster[apart].T
    wanted[one[one == other]] = False
    members = [np.flatnonzero(cluster == number) for number in np.flatnonzero(wanted)]
    pairs = [np.stack(np.triu_indices(len(one), 1), axis=1) for one in members]
    found = [one[pair] for one, pair in zip(members, pairs, strict=True)]
    return np.concatenate([np.empty((0, 2), np.int64), *found])
