"""How sure one can be of a proportion: intervals of a rate that was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

CONFIDENCE = 0.95
"""How often an interval should hold the truth, where nothing else is said."""

Ends = tuple["npt.NDArray[np.float64]", "npt.NDArray[np.float64]"]


def clopper_pearson(
    rate: npt.ArrayLike, n: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> Ends:
    """The exact binomial interval of a rate (Clopper and Pearson 1934).

    Parameters
    ----------
    rate
        In [0, 1].
    n
        What it is a share of, above 0; need not be whole.

    Returns
    -------
    low, high
        Of the shape that ``rate`` and ``n`` have together.

    Examples
    --------
    >>> low, high = clopper_pearson(0.0, 1000)
    >>> float(low), round(float(high), 5)
    (0.0, 0.00368)
    """
    from scipy.special import betaincinv

    rates, total = np.asarray(rate, np.float64), np.asarray(n, np.float64)
    counted, tail = rates * total, (1.0 - confidence) / 2.0
    with np.errstate(invalid="ignore"):
        low = np.where(counted > 0, betaincinv(counted, total - counted + 1.0, tail), 0.0)
        above = betaincinv(counted + 1.0, total - counted, 1.0 - tail)
        high = np.where(counted < total, above, 1.0)
    return low, high


def wilson(rate: npt.ArrayLike, n: npt.ArrayLike, *, confidence: float = CONFIDENCE) -> Ends:
    """The score interval of a rate (Wilson 1927); parameters are those of `clopper_pearson`.

    Examples
    --------
    >>> low, high = wilson(0.0, 10)
    >>> float(low), round(float(high), 4)
    (0.0, 0.2775)
    """
    from scipy.special import ndtri

    rates, total = np.asarray(rate, np.float64), np.asarray(n, np.float64)
    z2 = float(ndtri(0.5 + confidence / 2.0)) ** 2
    middle = (rates + z2 / (2.0 * total)) / (1.0 + z2 / total)
    half = np.sqrt(z2 * (rates * (1.0 - rates) / total + z2 / (4.0 * total**2)))
    half = half / (1.0 + z2 / total)
    return np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)
