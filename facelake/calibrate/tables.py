"""Calibration as tables: rates at round thresholds, over all and by quality and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from facelake.calibrate.choose import Curves, ThresholdChoice
from facelake.calibrate.counts import GENUINE, Kind
from facelake.calibrate.settings import QUALITY_EDGES, SIZE_EDGES_PX
from facelake.errors import CalibrationError
from facelake.schema import (
    CALIBRATION,
    CALIBRATION_BY_QUALITY,
    CALIBRATION_BY_SIZE,
    THRESHOLD_CHOICES,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from facelake.calibrate.rates import Rates

THRESHOLDS = np.arange(0, 101) / 100
"""Of the table over all pairs."""

COARSE_THRESHOLDS = np.arange(2, 13) / 20
"""Of the tables by quality and by size."""


def rate_table(curves: Curves) -> pa.Table:
    """Rows of `schema.CALIBRATION`: both rates at every hundredth."""
    return pa.table(_columns(curves, THRESHOLDS, Kind.IMPOSTOR), schema=CALIBRATION)


def quality_table(curves: Curves) -> pa.Table:
    """Rows of `schema.CALIBRATION_BY_QUALITY`, by quality of the poorer face of each pair."""
    return _binned(curves, "quality_bin", QUALITY_EDGES, CALIBRATION_BY_QUALITY)


def size_table(curves: Curves) -> pa.Table:
    """Rows of `schema.CALIBRATION_BY_SIZE`, by size of the smaller face of each pair."""
    return _binned(curves, "size_bin", SIZE_EDGES_PX, CALIBRATION_BY_SIZE)


def choice_table(curves: Curves, wanted_fmrs: Sequence[float]) -> pa.Table:
    """Rows of `schema.THRESHOLD_CHOICES`: the threshold for each rate, or why not.

    Raises
    ------
    ValueError
        A wanted rate is not between 0 and 1.
    """
    rows = []
    for wanted in wanted_fmrs:
        try:
            rows.append(_choice_row(curves.choose(wanted)))
        except CalibrationError as error:
            n_impostor = curves.fmr().n_pairs
            rows.append({"wanted_fmr": wanted, "n_impostor": n_impostor, "why": str(error)})
    return pa.Table.from_pylist(rows, schema=THRESHOLD_CHOICES)


def _choice_row(choice: ThresholdChoice) -> dict[str, Any]:
    row = {name: getattr(choice, name) for name in THRESHOLD_CHOICES.names if hasattr(choice, name)}
    rates = {"fmr": choice.fmr} | {f"fnmr_{gap}": rate for gap, rate in choice.fnmr.items()}
    for name, rate in rates.items():
        row |= {name: rate.rate, f"{name}_low": rate.low, f"{name}_high": rate.high}
    return row


def _binned(curves: Curves, name: str, edges: tuple[float, ...], schema: pa.Schema) -> pa.Table:
    tables = [schema.empty_table()]
    for kind, pairs in ((Kind.IMPOSTOR, "reference"), (Kind.POOR_IMPOSTOR, "poor")):
        for number in range(len(edges) - 1):
            columns = _columns(curves, COARSE_THRESHOLDS, kind, **{name: number})
            if not columns["n_impostor"][0]:
                continue
            n = len(COARSE_THRESHOLDS)
            bounds = [edge if np.isfinite(edge) else None for edge in edges[number : number + 2]]
            bin_of = zip(schema.names, (pairs, *bounds), strict=False)
            tables.append(pa.table({k: [v] * n for k, v in bin_of} | columns, schema=schema))
    return pa.concat_tables(tables)


def _columns(
    curves: Curves, thresholds: npt.NDArray[np.float64], kind: Kind, **values: int
) -> dict[str, Any]:
    fmr = curves.fmr(kind, **values).at(thresholds)
    columns = {
        "threshold": thresholds,
        "n_impostor": np.full(len(thresholds), fmr.n_pairs),
        "n_false_matches": fmr.n_errors,
        **_rate_columns("fmr", fmr),
    }
    # Genuine pairs without a face of reference quality are not made.
    none = values | {"video": -1} if kind == Kind.POOR_IMPOSTOR else values
    for genuine, name in GENUINE.items():
        fnmr = curves.fnmr(genuine, **none).at(thresholds)
        columns[f"n_genuine_{name}"] = np.full(len(thresholds), fnmr.n_pairs)
        columns |= _rate_columns(f"fnmr_{name}", fnmr)
    return columns


def _rate_columns(name: str, rates: Rates) -> dict[str, Any]:
    told = {name: rates.rate, f"{name}_low": rates.low, f"{name}_high": rates.high}
    return {key: pa.array(values, from_pandas=True) for key, values in told.items()}
