"""Matching: the answer is brute force's, whatever the blocks and the order of rows."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.match import Match, Negatives, score_identities, score_matrix

if TYPE_CHECKING:
    import numpy.typing as npt


def unit(vectors: npt.ArrayLike) -> npt.NDArray[np.float32]:
    raw = np.array(vectors, np.float64)
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    return raw.astype(np.float32)


def assert_same(one: Match, other: Match) -> None:
    for ours, theirs in zip(astuple(one), astuple(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# Cases on paper ---------------------------------------------------------------------------------


def test_the_best_exemplar_gives_an_identity_its_score() -> None:
    exemplars = np.array([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]], np.float32)
    match = score_identities([[0.8, 0.6]], exemplars, [0, 1, 0], n_identities=2)
    assert match.identity.tolist() == [0]
    assert match.exemplar.tolist() == [2]
    assert match.score == pytest.approx([0.96])  # 0.8 × 0.6 + 0.6 × 0.8
    assert match.runner_up.tolist() == [1]
    assert match.margin == pytest.approx([0.96 - 0.8])


def test_one_identity_has_no_runner_up_and_no_margin() -> None:
    match = score_identities(np.eye(2), np.eye(2), [0, 0], n_identities=1)
    assert match.runner_up.tolist() == [-1, -1]
    assert np.isnan(match.margin).all()
    assert match.score.tolist() == [1.0, 1.0]


def test_an_identity_without_exemplars_is_never_found() -> None:
    probes, exemplars = -np.eye(2)[:1], np.eye(2)
    match = score_identities(probes, exemplars, [1, 3], n_identities=5)
    assert (match.identity.tolist(), match.runner_up.tolist()) == ([3], [1])
    assert match.margin.tolist() == [1.0]
    matrix = score_matrix(probes, exemplars, [1, 3], n_identities=5)
    np.testing.assert_array_equal(matrix, np.array([[np.nan, -1.0, np.nan, 0.0, np.nan]]))


def test_an_empty_gallery_finds_nobody_and_no_probes_give_no_matches() -> None:
    match = score_identities(np.eye(2), np.empty((0, 2)), [], n_identities=0)
    assert (match.identity.tolist(), match.exemplar.tolist()) == ([-1, -1], [-1, -1])
    assert np.isnan(match.score).all()
    nothing = score_identities(np.empty((0, 2), np.float16), np.eye(2), [0, 1], n_identities=2)
    assert len(nothing) == 0
    assert nothing.score.dtype == np.float32


def test_equal_scores_go_to_the_lower_identity_and_the_lower_row() -> None:
    probes = np.array([[1.0, 0.0]])
    exemplars = np.array([[1.0, 0.0]] * 4, np.float32)
    match = score_identities(probes, exemplars, [2, 1, 1, 2], n_identities=3)
    assert (match.identity.tolist(), match.exemplar.tolist()) == ([1], [1])
    assert (match.runner_up.tolist(), match.margin.tolist()) == ([2], [0.0])


def test_the_runner_up_is_somebody_else_even_at_the_lowest_score() -> None:
    probes, exemplars = np.array([[-1.0, 0.0]]), np.array([[1.0, 0.0]] * 2)
    match = score_identities(probes, exemplars, [0, 1], n_identities=2)
    assert (match.identity.tolist(), match.runner_up.tolist()) == ([0], [1])


def test_scores_of_vectors_that_are_a_little_long_stay_within_one() -> None:
    long = np.array([[1.004, 0.0]])
    assert score_identities(long, long, [0], n_identities=1).score.tolist() == [1.0]
    assert score_matrix(-long, long, [0], n_identities=1).tolist() == [[-1.0]]


@pytest.mark.parametrize(
    ("probes", "exemplars", "identity_of", "options", "sentence"),
    [
        (np.eye(4), np.eye(8), [0] * 8, {}, "probes have dimension 4 but exemplars have 8"),
        (np.eye(2), np.eye(2) * 1.02, [0, 0], {}, r"exemplars\[0\] has length 1.02; divide"),
        (np.eye(2), np.full((1, 2), np.nan), [0], {}, r"exemplars\[0\] has length nan"),
        (np.eye(2), np.eye(2), [0], {}, r"identity_of must have shape \(2,\).* has \(1,\)"),
        (np.eye(2), np.eye(2), [0, 1], {}, r"\[0, n_identities = 1\), but identity_of\[1\] = 1"),
        (np.eye(2) * [[1], [np.nan]], np.eye(2), [0, 0], {}, r"probes\[1\] holds a NaN; leave out"),
        (np.ones(2), np.eye(2), [0, 0], {}, r"probes must have shape \(n, dim\), but have \(2,\)"),
        (np.eye(2), np.eye(2), [0, 0], {"block_rows": 0}, "block_rows must be at least 1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    probes: Any, exemplars: Any, identity_of: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        score_identities(probes, exemplars, identity_of, n_identities=1, **options)


# Laws -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    probes: npt.NDArray[Any]
    exemplars: npt.NDArray[np.float32]
    identity_of: npt.NDArray[np.int64]
    n_identities: int

    def match(self, **options: Any) -> Match:
        return score_identities(
            self.probes,
            self.exemplars,
            self.identity_of,
            n_identities=self.n_identities,
            **options,
        )

    def scores(self) -> npt.NDArray[np.float32]:
        return score_matrix(
            self.probes, self.exemplars, self.identity_of, n_identities=self.n_identities
        )


@st.composite
def queries(draw: st.DrawFn) -> Query:
    """Random faces; some exemplars are there twice, also under two names."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    dim = draw(st.sampled_from([2, 16, 512]))
    n_identities = draw(st.integers(1, 4))
    exemplars = unit(random.normal(size=(draw(st.integers(1, 12)), dim)))
    exemplars = exemplars[random.integers(0, len(exemplars), len(exemplars))]
    probes = unit(random.normal(size=(draw(st.integers(1, 40)), dim)))
    probes[::3] = exemplars[random.integers(0, len(exemplars), len(probes[::3]))]
    return Query(
        probes.astype(draw(st.sampled_from([np.float16, np.float32]))),
        exemplars,
        random.integers(0, n_identities, len(exemplars)),
        n_identities,
    )


@given(queries())
def test_agrees_with_brute_force_in_float64(query: Query) -> None:
    match, matrix = query.match(), query.scores()
    for i, probe in enumerate(query.probes.astype(np.float64)):
        cosines = [float(np.dot(probe, e)) for e in query.exemplars.astype(np.float64)]
        per_identity = {
            k: max(c for c, of in zip(cosines, query.identity_of, strict=True) if of == k)
            for k in sorted(set(query.identity_of.tolist()))
        }
        ranked = sorted(per_identity.values(), reverse=True)
        assert match.score[i] == pytest.approx(ranked[0], abs=1e-3)  # float16 is not quite unit
        assert match.score[i] == pytest.approx(np.clip(ranked[0], -1, 1), abs=1e-6)
        assert cosines[match.exemplar[i]] == pytest.approx(ranked[0], abs=1e-7)
        assert query.identity_of[match.exemplar[i]] == match.identity[i]
        if len(ranked) > 1:
            assert per_identity[int(match.runner_up[i])] == pytest.approx(ranked[1], abs=1e-7)
            assert match.runner_up[i] != match.identity[i]
            margin = np.clip(ranked[0], -1, 1) - np.clip(ranked[1], -1, 1)
            assert match.margin[i] == pytest.approx(margin, abs=1e-6)
        for k, score in per_identity.items():
            assert matrix[i, k] == pytest.approx(np.clip(score, -1, 1), abs=1e-6)


@given(queries(), st.integers(1, 50))
def test_the_size_of_a_block_changes_nothing(query: Query, block_rows: int) -> None:
    assert_same(query.match(block_rows=block_rows), query.match())


@given(queries(), st.randoms(use_true_random=False))
def test_probes_are_matched_one_by_one(query: Query, random: Any) -> None:
    rows = list(range(len(query.probes)))
    random.shuffle(rows)
    shuffled = Query(
        query.probes[rows], query.exemplars, query.identity_of, query.n_identities
    ).match()
    for ours, theirs in zip(astuple(shuffled), astuple(query.match()), strict=True):
        np.testing.assert_array_equal(ours, theirs[rows])


@given(queries())
def test_an_exemplar_that_is_there_twice_changes_nothing(query: Query) -> None:
    twice = Query(
        query.probes,
        np.concatenate([query.exemplars] * 2),
        np.concatenate([query.identity_of] * 2),
        query.n_identities,
    )
    assert_same(twice.match(), query.match())


@given(queries(), st.integers(0, 11), st.integers(0, 3))
def test_one_more_exemplar_never_lowers_its_identity_and_leaves_the_others(
    query: Query, row: int, identity: int
) -> None:
    identity %= query.n_identities
    new = unit(-query.exemplars[[row % len(query.exemplars)]] + 0.5)
    more = Query(
        query.probes,
        np.concatenate([query.exemplars, new]),
        np.append(query.identity_of, identity),
        query.n_identities,
    )
    before, after = query.scores(), more.scores()
    assert not (after[:, identity] < before[:, identity]).any()
    others = np.arange(query.n_identities) != identity
    np.testing.assert_array_equal(after[:, others], before[:, others])


@given(queries())
def test_the_match_is_the_best_of_the_matrix(query: Query) -> None:
    match, matrix = query.match(), query.scores()
    np.testing.assert_array_equal(match.score, np.nanmax(matrix, axis=1))
    np.testing.assert_array_equal(match.identity, np.nanargmax(matrix, axis=1))


# Negatives --------------------------------------------------------------------------------------


def test_a_probe_nearer_to_a_negative_is_held_against_the_others() -> None:
    exemplars = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)  # Ann, Bob
    look_alike = Negatives(np.array([[0.8, 0.6]], np.float32), [0])  # not Ann
    # The first is like the negative by 1.00 and like Ann by 0.80; the second is Ann herself.
    probes = np.array([[0.8, 0.6], [1.0, 0.0]])
    match = score_identities(probes, exemplars, [0, 1], n_identities=2, negatives=look_alike)
    assert match.identity.tolist() == [1, 0]
    assert match.score == pytest.approx([0.6, 1.0])
    assert match.runner_up.tolist() == [-1, 1]  # Ann is out; Bob is second to her
    assert np.isnan(match.margin[0])
    matrix = score_matrix(probes, exemplars, [0, 1], n_identities=2, negatives=look_alike)
    np.testing.assert_allclose(matrix, [[np.nan, 0.6], [1.0, 0.0]], atol=1e-7)


def test_a_face_as_much_like_a_negative_as_like_the_person_is_not_the_person() -> None:
    same = np.array([[1.0, 0.0]], np.float32)
    match = score_identities(same, same, [0], n_identities=1, negatives=Negatives(same, [0]))
    assert (match.identity.tolist(), match.exemplar.tolist()) == ([-1], [-1])
    assert np.isnan(match.score).all()


def test_a_negative_of_somebody_without_exemplars_rules_out_nobody() -> None:
    negatives = Negatives(np.eye(2, dtype=np.float32), [1, 2])
    plain = score_identities(np.eye(2), np.eye(2), [0, 3], n_identities=4)
    assert_same(
        score_identities(np.eye(2), np.eye(2), [0, 3], n_identities=4, negatives=negatives), plain
    )


def test_no_negatives_change_nothing() -> None:
    none = Negatives(np.empty((0, 2), np.float32), [])
    ours = score_identities(np.eye(2), np.eye(2), [0, 1], n_identities=2, negatives=none)
    assert_same(ours, score_identities(np.eye(2), np.eye(2), [0, 1], n_identities=2))


@pytest.mark.parametrize(
    ("negatives", "sentence"),
    [
        (Negatives(np.eye(3), [0] * 3), "probes have dimension 2 but negatives have 3"),
        (Negatives(np.eye(2) * 2, [0, 0]), r"negatives\[0\] has length 2; divide"),
        (Negatives(np.eye(2), [0, 5]), r"\[0, n_identities = 2\), but identity_of\[1\] = 5"),
    ],
)
def test_negatives_that_make_no_sense_are_refused(negatives: Negatives, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        score_identities(np.eye(2), np.eye(2), [0, 1], n_identities=2, negatives=negatives)


@given(queries(), st.integers(0, 6), st.integers(0, 2**32))
def test_negatives_agree_with_brute_force_and_never_raise_a_score(
    query: Query, n_negatives: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    vectors = unit(random.normal(size=(n_negatives, query.exemplars.shape[1])))
    some = random.integers(0, len(query.exemplars), n_negatives)
    vectors[::2] = query.exemplars[some[::2]]  # also somebody's own photo
    not_of = random.integers(0, query.n_identities, n_negatives)
    options: dict[str, Any] = {
        "n_identities": query.n_identities,
        "negatives": Negatives(vectors, not_of),
    }
    plain = query.scores()
    matrix = score_matrix(query.probes, query.exemplars, query.identity_of, **options)
    match = score_identities(query.probes, query.exemplars, query.identity_of, **options)

    cosines = query.probes.astype(np.float64) @ vectors.astype(np.float64).T
    against = np.clip(cosines.astype(np.float32), -1, 1)
    for i in range(len(query.probes)):
        for k in range(query.n_identities):
            worst = max((against[i, j] for j in np.flatnonzero(not_of == k)), default=-np.inf)
            expected = np.nan if worst >= plain[i, k] else plain[i, k]
            np.testing.assert_array_equal(matrix[i, k], expected)
    assert not (matrix > plain).any()
    left = ~np.isnan(matrix).all(axis=1)
    np.testing.assert_array_equal(match.identity >= 0, left)
    np.testing.assert_array_equal(match.score[left], np.nanmax(matrix[left], axis=1))
