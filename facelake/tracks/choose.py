"""Which faces of a track need an embedding of their own.

Neighbouring faces of a track are nearly alike (a cosine of 0.97 on the median at every frame), so
most of them say nothing new. But one face a track loses matches, and a track linked by place alone
may hold two people. So the first, the best and the last face are taken, one a second and every
change of pose or size; and wherever two neighbours among those are not alike, the faces between
them are taken too, by bisection, until the place is found where they differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

# Times are pts × time_base in doubles: a second may come out a rounding error short.
_TOLERANCE_S = 1e-9


def choose_faces(
    track_id: npt.ArrayLike,
    time_s: npt.ArrayLike,
    quality: npt.ArrayLike,
    landmarks: npt.ArrayLike,
    *,
    every_s: float = 1.0,
    max_turn: float = 0.12,
    max_growth: float = 1.5,
) -> npt.NDArray[np.bool_]:
    """The faces of each track to embed at least.

    Parameters
    ----------
    track_id
        Track of each face, shape ``(n,)``.
    time_s, quality
        Of each face, shape ``(n,)``; seconds, and higher is better.
    landmarks
        Shape ``(n, 5, 2)``, pixels.
    every_s
        A face this long after the one chosen before it is chosen, in seconds.
    max_turn
        Largest Procrustes distance of the landmarks to those of the face chosen before, in [0, 1]:
        a turned or nodding head moves them against each other. 0.12 is about 5 pixels of 112.
    max_growth
        Largest ratio of sizes to the face chosen before, above 1.

    Returns
    -------
    ndarray
        Shape ``(n,)``, bool.

    Notes
    -----
    With the defaults of this and of `faces_between`, 36 to 51 % of the faces of television footage
    at 5 samples a second are embedded. Scored by the embedded face that stands for them, 1 to 3 %
    of all faces fall on the other side of a threshold of 0.30 than by an embedding of their own;
    the spans keep an F1 of 0.98 to 1.00 against every frame with every face embedded, and 0.89
    where one photo a person leaves most scores at the threshold itself (0.95 with all embedded).

    Examples
    --------
    >>> face = np.array([[0, 0], [4, 0], [2, 3], [1, 5], [3, 5]])
    >>> choose_faces([0] * 4, [0.0, 0.2, 0.4, 0.6], [0.5, 0.5, 0.9, 0.5], [face] * 4)
    array([ True, False,  True,  True])
    """
    tracks, times = np.asarray(track_id), np.asarray(time_s, np.float64)
    qualities = np.asarray(quality, np.float64)
    shape, size = _shapes(np.asarray(landmarks, np.float64).reshape(-1, 5, 2))
    chosen = np.zeros(len(tracks), bool)
    for rows in _by_track(tracks, times):
        chosen[rows[[0, -1, int(qualities[rows].argmax())]]] = True
        last = rows[0]
        for row in rows:
            turn = np.sqrt(max(0.0, 1.0 - abs(np.vdot(shape[row], shape[last])) ** 2))
            growth = max(size[row], size[last]) / max(min(size[row], size[last]), 1e-9)
            late = times[row] - times[last] >= every_s - _TOLERANCE_S
            chosen[row] |= late or turn > max_turn or growth > max_growth
            if chosen[row]:
                last = row
    return chosen


def faces_between(
    track_id: npt.ArrayLike,
    time_s: npt.ArrayLike,
    embedding: npt.ArrayLike,
    *,
    min_cosine: float = 0.6,
) -> npt.NDArray[np.int64]:
    """Rows to embed next: halfway between two embedded neighbours that are not alike.

    Parameters
    ----------
    embedding
        Unit length, shape ``(n, dim)``; a row of NaN where the face is not embedded yet.
    min_cosine
        Neighbours at least this alike vouch for the faces between them, in [−1, 1].

    Returns
    -------
    ndarray
        Increasing rows, int64; empty when nothing is left to ask.
    """
    asked: list[int] = []
    for rows, at, likeness in _neighbours(track_id, time_s, embedding):
        apart = (np.diff(at) > 1) & (likeness < min_cosine)
        asked.extend(rows[(at[:-1] + at[1:])[apart] // 2].tolist())
    return np.sort(np.array(asked, np.int64))


def part_strangers(
    track_id: npt.ArrayLike,
    time_s: npt.ArrayLike,
    embedding: npt.ArrayLike,
    *,
    min_cosine: float = 0.30,
) -> npt.NDArray[np.int32]:
    """The tracks, cut where the face before and the face after are not one person.

    Parameters
    ----------
    embedding
        Unit length, shape ``(n, dim)``; a row of NaN where the face is not embedded. A face
        without one stays with the embedded face before it.
    min_cosine
        Lowest cosine of two embedded neighbours of one person, in [−1, 1].

    Returns
    -------
    ndarray
        Track of each face, shape ``(n,)``, int32, numbered from 0.
    """
    parted = np.zeros(len(np.asarray(track_id)), np.int32)
    n_tracks = 0
    for rows, at, likeness in _neighbours(track_id, time_s, embedding):
        begins = np.zeros(len(rows), np.int32)
        begins[at[1:][likeness < min_cosine]] = 1
        parted[rows] = n_tracks + np.cumsum(begins)
        n_tracks = int(parted[rows[-1]]) + 1
    return parted


def stand_ins(
    track_id: npt.ArrayLike, time_s: npt.ArrayLike, known: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """The row of the face whose embedding stands for each face.

    Parameters
    ----------
    known
        Which faces are embedded, shape ``(n,)``, bool.

    Returns
    -------
    ndarray
        Shape ``(n,)``, int64: its own row, else that of the embedded face of its track nearest in
        time, the earlier of two; −1 where the track has none.

    Examples
    --------
    >>> stand_ins([0, 0, 0, 1], [0.0, 0.2, 0.3, 0.3], [True, False, True, False])
    array([ 0,  2,  2, -1])
    """
    tracks, times = np.asarray(track_id, np.int64), np.asarray(time_s, np.float64)
    has_own = np.asarray(known, bool)
    rows_of = np.where(has_own, np.arange(len(tracks)), -1)
    for rows in _by_track(tracks, times):
        embedded = rows[has_own[rows]]
        if len(embedded) and len(embedded) < len(rows):
            rows_of[rows] = embedded[_nearest(times[embedded], times[rows])]
    return rows_of


def _nearest(
    sorted_s: npt.NDArray[np.float64], time_s: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Place of the time nearest to each, the earlier of two."""
    after = np.searchsorted(sorted_s, time_s).clip(1, max(1, len(sorted_s) - 1))
    before = after - 1
    after = after.clip(0, len(sorted_s) - 1)
    nearest: npt.NDArray[np.intp] = np.where(
        time_s - sorted_s[before] <= sorted_s[after] - time_s + _TOLERANCE_S,
        before,
        after,
    )
    return nearest


def _neighbours(
    track_id: npt.ArrayLike, time_s: npt.ArrayLike, embedding: npt.ArrayLike
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]]:
    """Each track's rows in order of time, which places are embedded, and their cosines in turn."""
    vectors = np.asarray(embedding, np.float32)
    known = np.array(~np.isnan(vectors).any(axis=1), bool)
    for rows in _by_track(np.asarray(track_id, np.int64), np.asarray(time_s, np.float64)):
        at = np.flatnonzero(known[rows])
        yield rows, at, np.einsum("nd,nd->n", vectors[rows[at[:-1]]], vectors[rows[at[1:]]])


def _by_track(
    tracks: npt.NDArray[np.int64], times: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.intp]]:
    """Rows of each track, in order of time."""
    order = np.lexsort((times, tracks))
    return np.split(order, np.flatnonzero(np.diff(tracks[order])) + 1) if len(order) else []


def _shapes(
    landmarks: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.float64]]:
    """Landmarks without place and size as unit complex vectors, and their size.

    The distance of two such shapes, best turned onto each other, is ``sqrt(1 − |⟨a, b⟩|²)``
    (Kendall, "Shape manifolds, Procrustean metrics, and complex projective spaces", 1984).
    """
    points = landmarks[..., 0] + 1j * landmarks[..., 1]
    points = points - points.mean(axis=1, keepdims=True)
    size = np.linalg.norm(points, axis=1)
    return points / np.maximum(size, 1e-12)[:, None], size
