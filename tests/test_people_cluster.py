"""Tracks → people: agreement with brute force and scikit-learn, constraints, laws."""

from collections.abc import Collection
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from facelake.people import cluster_tracks, find_apart, find_same_box
from facelake.people import neighbours as room
from facelake.people.neighbours import find_neighbours

Vectors = npt.NDArray[np.float32]


def unit(vectors: npt.ArrayLike) -> Vectors:
    array = np.array(vectors, np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    return array


def crowd(seed: int, n: int = 40, people: int = 8, dim: int = 16) -> Vectors:
    """Tracks of some people, blurred until they are hard to tell apart."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, dim))
    return unit(centres[random.integers(people, size=n)] + random.normal(size=(n, dim)) * 0.9)


def groups(cluster: npt.ArrayLike) -> set[frozenset[int]]:
    numbers = np.asarray(cluster)
    return {frozenset(np.flatnonzero(numbers == one).tolist()) for one in np.unique(numbers)}


def brute_force(
    vectors: Vectors, threshold: float, apart: Collection[frozenset[int]] = ()
) -> set[frozenset[int]]:
    """Every pair of clusters compared in every step; leaves out what rounding decides."""
    found = [[row] for row in range(len(vectors))]
    scores = vectors @ vectors.T
    while True:
        alike = [(threshold, -1, -1)]
        for one, other in combinations(range(len(found)), 2):
            a, b = found[one], found[other]
            is_kept_apart = any(frozenset((i, j)) in apart for i in a for j in b)
            if not is_kept_apart and scores[np.ix_(a, b)].max() >= threshold:
                means = unit([vectors[a].sum(axis=0), vectors[b].sum(axis=0)])
                alike.append((float(means[0] @ means[1]), one, other))
        (best, one, other), *rest = sorted(alike, reverse=True)
        assume(all(best - score > 1e-6 for score, _, _ in rest[:1]))
        if one < 0:
            return {frozenset(rows) for rows in found}
        found[one] += found.pop(other)


seeds = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from([0.2, 0.3, 0.45]))
def test_the_answer_is_that_of_comparing_every_pair_of_clusters_in_every_step(
    seed: int, threshold: float
) -> None:
    vectors = crowd(seed)
    random = np.random.default_rng(seed)
    pairs = random.integers(len(vectors), size=(30, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    apart = {frozenset(pair) for pair in pairs.tolist()}
    found = cluster_tracks(vectors, threshold=threshold, apart=pairs)
    assert groups(found) == brute_force(vectors, threshold, apart)


def test_people_far_apart_are_told_apart_as_scikit_learn_does() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    random = np.random.default_rng(4)
    centres = np.eye(16)[random.integers(10, size=300)]
    vectors = unit(centres + random.normal(size=(300, 16)) * 0.1)
    theirs = cluster.AgglomerativeClustering(
        None, metric="cosine", linkage="average", distance_threshold=0.5
    ).fit_predict(vectors)
    assert groups(cluster_tracks(vectors, threshold=0.5)) == groups(theirs)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_the_order_of_the_rows_does_not_matter(seed: int) -> None:
    vectors = crowd(seed)
    order = np.random.default_rng(seed).permutation(len(vectors))
    brute_force(vectors, 0.3)
    found = cluster_tracks(vectors, threshold=0.3)
    shuffled = cluster_tracks(vectors[order], threshold=0.3)
    back = np.empty(len(vectors), np.int64)
    back[order] = shuffled
    assert groups(back) == groups(found)


@settings(max_examples=15, deadline=None)
@given(seeds, st.data())
def test_constraints_hold_whatever_the_pictures_say(seed: int, data: st.DataObject) -> None:
    vectors = crowd(seed, n=20, people=2)
    names = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=20, max_size=20)))
    pairs = np.random.default_rng(seed).integers(20, size=(12, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    found = cluster_tracks(vectors, threshold=-1.0, apart=pairs, name_of=names)
    for name in range(3):
        assert len(set(found[names == name].tolist())) <= 1
    known = [set(names[found == one].tolist()) - {-1} for one in np.unique(found)]
    assert all(len(one) <= 1 for one in known)
    for one, other in pairs.tolist():
        same_name = names[one] == names[other] >= 0
        together = found[one] == found[other]
        # Only a name that both carry may join them, or bring in tracks beside a joined pair.
        assert not together or same_name


def test_a_name_joins_what_the_pictures_would_not() -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert cluster_tracks(vectors, threshold=0.5, name_of=[0, -1, 0]).tolist() == [0, 1, 0]


def test_two_names_are_never_one_person_however_alike() -> None:
    vectors = unit([[1.0, 0.0], [1.0, 0.01]])
    assert cluster_tracks(vectors, threshold=0.5, name_of=[0, 1]).tolist() == [0, 1]
    assert cluster_tracks(vectors, threshold=0.5, name_of=[0, -1]).tolist() == [0, 0]


def test_a_track_that_is_not_somebody_is_not_joined_with_them() -> None:
    vectors = unit([[1.0, 0.0], [1.0, 0.01], [1.0, 0.02]])
    found = cluster_tracks(vectors, threshold=0.5, name_of=[0, -1, -1], not_named=[[1, 0]])
    assert found[1] != found[0]
    assert len(set(found.tolist())) == 2


def test_who_is_not_somebody_keeps_that_when_joined_first_with_another() -> None:
    # 1 and 2 are the most alike, so they join before either meets 0.
    vectors = unit([[1.0, 0.3], [1.0, 0.0], [1.0, 0.01]])
    found = cluster_tracks(vectors, threshold=0.5, name_of=[0, -1, -1], not_named=[[2, 0]])
    assert found.tolist() == [0, 1, 1]


def test_clusters_are_numbered_by_their_first_rows() -> None:
    vectors = np.eye(2, dtype=np.float32)[[1, 0, 1, 0]]
    assert cluster_tracks(vectors, threshold=0.9).tolist() == [0, 1, 0, 1]


def test_nothing_gives_nothing() -> None:
    assert cluster_tracks(np.empty((0, 8)), threshold=0.4).shape == (0,)


@pytest.mark.parametrize(
    ("vectors", "options", "sentence"),
    [
        ([[1.0, 0.0]], {"threshold": 1.5}, r"threshold must lie in \[-1, 1\], but is 1.5"),
        ([[2.0, 0.0]], {"threshold": 0.4}, r"templates\[0\] is of length 2"),
        ([[1.0, 0.0], [np.nan, 0.0]], {"threshold": 0.4}, r"templates\[1\] is of length nan"),
        ([1.0, 0.0], {"threshold": 0.4}, r"shape \(n, dim\), but have \(2,\)"),
        ([[1.0, 0.0]], {"threshold": 0.4, "apart": [[0, 1]]}, "apart must name rows"),
        ([[1.0, 0.0]], {"threshold": 0.4, "not_named": [[3, 0]]}, "not_named must name rows"),
    ],
)
def test_what_cannot_be_is_refused(
    vectors: object, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        cluster_tracks(vectors, **options)  # type: ignore[arg-type]


# Neighbours -------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_neighbours_are_all_pairs_that_score_enough_in_both_directions(seed: int) -> None:
    vectors = crowd(seed)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    found = find_neighbours(vectors, min_score=0.3, most=len(vectors))
    assert [one.tolist() for one in found] == [
        np.flatnonzero(row >= np.float32(0.3)).tolist() for row in scores
    ]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = crowd(3, n=50)
    whole = find_neighbours(vectors, min_score=0.2, most=5)
    monkeypatch.setattr(room, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(room, "_BLOCK_COLUMNS", 11)
    parts = find_neighbours(vectors, min_score=0.2, most=5)
    assert [one.tolist() for one in parts] == [one.tolist() for one in whole]


def test_a_template_keeps_the_most_alike_and_is_kept_by_others() -> None:
    angle = np.radians([0, 1, 3, 30])
    vectors = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    found = find_neighbours(vectors, min_score=0.5, most=1)
    # 0 and 1 keep each other, 2 keeps 1, 3 keeps 2.
    assert [one.tolist() for one in found] == [[1], [0, 2], [1, 3], [2]]


# Apart ------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=20))
def test_apart_are_the_pairs_that_share_an_instant(faces: list[tuple[int, int]]) -> None:
    expected = {
        (min(a, b), max(a, b)) for (t, a), (u, b) in combinations(faces, 2) if t == u and a != b
    }
    found = find_apart([t for t, _ in faces], [track for _, track in faces])
    assert [tuple(pair) for pair in found.tolist()] == sorted(expected)


def test_a_box_is_found_again_where_half_of_both_is_shared() -> None:
    # Shifted by 3 of 10: 70 shared of 130, an IoU of 0.54; by 4 of 10: 60 of 140, 0.43.
    assert find_same_box([0, 0, 10, 10], [[3, 0, 13, 10]]) == 0
    assert find_same_box([0, 0, 10, 10], [[4, 0, 14, 10]]) == -1
    assert find_same_box([0, 0, 10, 10], []) == -1
