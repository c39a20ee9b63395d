"""B-cubed against its definition, thing by thing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.evaluate import evaluate_clusters

pairs = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcd")), min_size=1, max_size=25)


@given(pairs)
def test_precision_and_recall_are_those_of_every_thing_by_itself(
    things: list[tuple[int, str]],
) -> None:
    precision = recall = 0.0
    for found, truth in things:
        together = [one for one in things if one[0] == found]
        same = [one for one in things if one[1] == truth]
        both = sum(one == (found, truth) for one in things)
        precision += both / len(together)
        recall += both / len(same)
    errors = evaluate_clusters(*zip(*things, strict=True))
    assert errors.precision == pytest.approx(precision / len(things))
    assert errors.recall == pytest.approx(recall / len(things))


@given(pairs)
def test_merges_and_splits_are_counted_over_all(things: list[tuple[int, str]]) -> None:
    errors = evaluate_clusters(*zip(*things, strict=True))
    clusters, people = {one[0] for one in things}, {one[1] for one in things}
    merged = sum(len({b for a, b in things if a == one}) - 1 for one in clusters)
    split = sum(len({a for a, b in things if b == one}) - 1 for one in people)
    assert (errors.n_wrong_merges, errors.n_splits) == (merged, split)


def test_the_truth_itself_is_without_error() -> None:
    errors = evaluate_clusters("aab", ["x", "x", "y"])
    assert (errors.precision, errors.recall, errors.f1) == (1.0, 1.0, 1.0)
    assert (errors.n, errors.n_wrong_merges, errors.n_splits) == (3, 0, 0)


@pytest.mark.parametrize(("found", "truth"), [([], []), ([1], [1, 2])])
def test_what_cannot_be_compared_is_refused(found: list[int], truth: list[int]) -> None:
    with pytest.raises(ValueError, match="one entry a thing, and at least one, but hold"):
        evaluate_clusters(found, truth)
