"""Intervals of proportions are those of SciPy."""

from typing import Literal

import pytest
from scipy.stats import binomtest

from facelake.proportions import clopper_pearson, wilson

COUNTS = [(0, 10), (10, 10), (3, 600), (599, 600), (1, 1), (1, 1000)]


@pytest.mark.parametrize(("counted", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("method", ["exact", "wilson"])
def test_the_interval_is_that_of_scipy(
    counted: int, n: int, confidence: float, method: Literal["exact", "wilson"]
) -> None:
    theirs = binomtest(counted, n).proportion_ci(confidence, method=method)
    ours = (clopper_pearson if method == "exact" else wilson)(counted / n, n, confidence=confidence)
    assert [float(end) for end in ours] == pytest.approx([theirs.low, theirs.high], abs=1e-12)


@pytest.mark.parametrize("interval", [clopper_pearson, wilson])
def test_many_rates_have_an_interval_each(interval: type) -> None:
    low, high = interval([0.0, 0.1], [10.0, 20.0])
    assert low.shape == high.shape == (2,)
    assert [low[1], high[1]] == pytest.approx([float(end) for end in interval(0.1, 20.0)])
