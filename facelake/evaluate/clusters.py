"""Clusters against who things are, for labelled tracks or photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClusterErrors:
    """How far clusters are those of the truth.

    Attributes
    ----------
    n
        Things that were compared.
    precision, recall
        Of each thing, the share of its cluster that is of its person, and the share of its person
        that is in its cluster; means over all things (B-cubed; Bagga and Baldwin 1998).
    n_wrong_merges
        People in each cluster beyond one, summed: how often two people became one.
    n_splits
        Clusters of each person beyond one, summed.
    """

    n: int
    precision: float
    recall: float
    n_wrong_merges: int
    n_splits: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2.0 * self.precision * self.recall / (self.precision + self.recall)


def evaluate_clusters(found: Sequence[object], truth: Sequence[object]) -> ClusterErrors:
    """B-cubed precision and recall of clusters, wrong merges and splits.

    Parameters
    ----------
    found
        Each thing's cluster: any names or numbers, such as `People`'s ``person_id``.
    truth
        Who each thing is, as long as ``found``.

    Raises
    ------
    ValueError
        They differ in length, or hold nothing.

    Examples
    --------
    >>> errors = evaluate_clusters([1, 1, 2, 2], ["Ann", "Ann", "Ann", "Bob"])
    >>> errors.precision, round(errors.recall, 3), errors.n_wrong_merges, errors.n_splits
    (0.75, 0.667, 1, 1)
    """
    if len(found) != len(truth) or not len(found):
        raise ValueError(
            f"found and truth must hold one entry a thing, and at least one, but hold "
            f"{len(found)} and {len(truth)}"
        )
    cluster = np.unique([str(one) for one in found], return_inverse=True)[1]
    person = np.unique([str(one) for one in truth], return_inverse=True)[1]
    cells, cell, size = np.unique(
        np.stack([cluster, person]), axis=1, return_inverse=True, return_counts=True
    )
    together = size[cell.reshape(-1)]
    return ClusterErrors(
        n=len(cluster),
        precision=float(np.mean(together / np.bincount(cluster)[cluster])),
        recall=float(np.mean(together / np.bincount(person)[person])),
        n_wrong_merges=cells.shape[1] - len(np.unique(cluster)),
        n_splits=cells.shape[1] - len(np.unique(person)),
    )
