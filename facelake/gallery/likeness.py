"""Whether the exemplars of a person agree, and who looks like whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Strangers' photos score 0.19 at most on LFW with buffalo_sc, a person's own 0.61 on average.
STRANGER_SCORE = 0.20
# Of the thousands of pairs in a large gallery some strangers pass that; few pass this.
LOOKALIKE_SCORE = 0.30
_BLOCK_ROWS = 256


@dataclass(frozen=True)
class Likeness:
    """Whom each member of a gallery is like, row by row.

    Attributes
    ----------
    to_anchors
        Best score with another anchor of its identity, float32; NaN where there is none.
    to_others
        Best score with an anchor or grown exemplar of anybody else; NaN where there is none.
    nearest
        Row of that exemplar; −1 where there is none.
    """

    to_anchors: npt.NDArray[np.float32]
    to_others: npt.NDArray[np.float32]
    nearest: npt.NDArray[np.intp]


def compare_members(
    identities: Sequence[str],
    embeddings: npt.NDArray[np.float32],
    *,
    is_anchor: npt.NDArray[np.bool_],
    is_compared: npt.NDArray[np.bool_],
) -> Likeness:
    """Whom each member of a gallery is like: its own anchors, and other identities.

    Parameters
    ----------
    identities
        Of each member, length ``n``.
    embeddings
        Unit length, shape ``(n, dim)``.
    is_anchor, is_compared
        Shape ``(n,)``: the user's; anchors and grown ones.
    """
    _, identity = np.unique(np.array(identities, object), return_inverse=True)
    vectors = np.asarray(embeddings, np.float32)
    own, other = np.full((2, len(vectors)), -np.inf, np.float32)
    nearest = np.full(len(vectors), -1, np.intp)
    for begin in range(0, len(vectors), _BLOCK_ROWS):
        block = slice(begin, begin + _BLOCK_ROWS)
        scores = np.clip(vectors[block] @ vectors.T, -1.0, 1.0)
        same = identity[block, None] == identity
        others = np.where(~same & is_compared, scores, -np.inf)
        other[block], nearest[block] = others.max(axis=1), others.argmax(axis=1)
        np.fill_diagonal(scores[:, begin:], -np.inf)  # not with itself
        own[block] = np.where(same & is_anchor, scores, -np.inf).max(axis=1)
    nearest[np.isneginf(other)] = -1
    own[np.isneginf(own)], other[np.isneginf(other)] = np.nan, np.nan
    return Likeness(own, other, nearest)


def count_brought_in(
    scores: npt.NDArray[np.float32],
    negatives: npt.NDArray[np.float32],
    *,
    is_own: npt.NDArray[np.bool_],
    is_own_negative: npt.NDArray[np.bool_],
    bar: npt.NDArray[np.float32],
    n_faces: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many faces each exemplar brings in, and how many of them no other one would.

    Parameters
    ----------
    scores, negatives
        Of each face with each exemplar and each negative, shapes ``(n, m)`` and ``(n, k)``.
    is_own, is_own_negative
        Whether that is of the face's identity, of the same shapes.
    bar
        What a score must reach for the face to be this identity's, shape ``(n,)``.
    n_faces
        How many faces each row stands for, shape ``(n,)``.

    Returns
    -------
    tuple of ndarray
        Shape ``(m,)``, int64, both.
    """
    against = np.where(is_own_negative, negatives, -np.inf).max(axis=1, initial=-np.inf)
    enough = is_own & (scores >= bar[:, None]) & (scores > against[:, None])
    alone = enough & (enough.sum(axis=1, keepdims=True) == 1)
    return n_faces @ enough, n_faces @ alone


def choose_varied(
    embeddings: npt.NDArray[np.float32],
    quality: npt.NDArray[np.float32],
    *,
    n_most: int = 5,
    max_alike: float = 0.90,
) -> npt.NDArray[np.intp]:
    """The best faces of a track that differ from each other, the best first.

    In order of quality, a face is taken when it is less like each of those taken than
    ``max_alike``: several looks of a person match more faces than one, or than their mean.

    Parameters
    ----------
    embeddings
        Unit length, shape ``(n, dim)``.
    quality
        Shape ``(n,)``, higher is better; faces of less than half of the best are left out.

    Returns
    -------
    ndarray
        Rows, at most ``n_most``.

    Examples
    --------
    >>> choose_varied(np.array([[1.0, 0.0], [0.98, 0.2], [0.6, 0.8]]), np.array([0.7, 0.9, 0.8]))
    array([1, 2])
    """
    taken: list[int] = []
    for row in np.argsort(-quality, kind="stable").tolist():
        good = quality[row] >= quality.max() / 2
        if good and (embeddings[taken] @ embeddings[row] < max_alike).all():
            taken.append(row)
    return np.array(taken[:n_most], np.intp)


def find_disagreements(
    identities: Sequence[str], embeddings: npt.NDArray[np.float32]
) -> Iterator[tuple[int, str]]:
    """Exemplars that look like a stranger among those of their identity.

    Yields the row and a sentence where an exemplar's best score with another photo of its person
    is below `STRANGER_SCORE`, or below its best score with somebody else's. Of two such photos
    that look alike, the one with less support among its own is meant: a photo in the wrong folder
    does not cast doubt on those of the right one. The only photo of a person is told when it looks
    like somebody else by more than `LOOKALIKE_SCORE`.

    Parameters
    ----------
    identities
        Of each exemplar, length ``n``.
    embeddings
        Unit length, shape ``(n, dim)``.
    """
    names, identity = np.unique(np.array(identities, object), return_inverse=True)
    own, other, nearest = _best_scores(np.asarray(embeddings, np.float32), identity)
    for row in range(len(own)):
        alone = np.isneginf(own[row])
        enough = LOOKALIKE_SCORE if alone else max(own[row], STRANGER_SCORE)
        if other[row] > enough and own[row] <= own[nearest[row]]:
            like = f"like {names[identity[nearest[row]]]} (score {other[row]:.2f})"
            if alone:
                yield row, f"looks {like}; if both are one person, use one name"
            else:
                yield row, f"looks more {like} than like the others ({own[row]:z.2f})"
        elif not alone and own[row] < STRANGER_SCORE:
            yield row, f"unlike every other photo of this person (best score {own[row]:z.2f})"


def _best_scores(
    vectors: npt.NDArray[np.float32], identity: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Of each exemplar: best score with its own, with others', and whose row that is.

    −inf where there is no other photo to compare with.
    """
    own_best, other_best = np.empty((2, len(vectors)), np.float32)
    nearest = np.empty(len(vectors), np.intp)
    for begin in range(0, len(vectors), _BLOCK_ROWS):
        scores = vectors[begin : begin + _BLOCK_ROWS] @ vectors.T
        block = slice(begin, begin + len(scores))
        own = identity[block, None] == identity
        others = np.where(own, -np.inf, scores)
        np.fill_diagonal(scores[:, begin:], -np.inf)  # not with itself
        own_best[block] = np.where(own, scores, -np.inf).max(axis=1)
        other_best[block] = others.max(axis=1)
        nearest[block] = others.argmax(axis=1)
    return own_best, other_best, nearest
