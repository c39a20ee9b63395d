"""Error rates as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from facelake.plot import plot_calibration, save_plot
from facelake.schema import CALIBRATION, THRESHOLD_CHOICES

NO_CURVE: list[float | None] = [None, None, None]


def rates(**curves: list[float | None]) -> pa.Table:
    """Three thresholds with these rates; the others have no pairs."""
    columns: dict[str, Any] = {}
    for field in CALIBRATION:
        name = field.name.removesuffix("_low").removesuffix("_high")
        whole = pa.types.is_integer(field.type)
        columns[field.name] = [1, 1, 1] if whole else curves.get(name, NO_CURVE)
    return pa.table(columns | {"threshold": [0.1, 0.2, 0.3]}, schema=CALIBRATION)


def test_each_rate_is_a_curve_that_ends_where_no_error_was_seen() -> None:
    axes = plot_calibration(rates(fmr=[0.1, 0.01, 0.0], fnmr_5s=[0.0, 0.02, 0.05]))
    fmr, fnmr = axes.get_lines()
    assert fmr.get_label() == "FMR: strangers taken for a person"
    assert fnmr.get_label() == "FNMR after 5 s"
    assert np.array_equal(fmr.get_ydata(), [0.1, 0.01, np.nan], equal_nan=True)
    assert np.array_equal(fnmr.get_xdata(), [0.1, 0.2, 0.3])
    assert len(axes.collections) == 2  # the intervals' bands


def test_thresholds_for_wanted_rates_are_marked_and_those_that_are_none_are_not() -> None:
    rows = [
        {"wanted_fmr": 0.01, "threshold": 0.2, "n_impostor": 9},
        {"wanted_fmr": 0.001, "n_impostor": 9, "why": "too few"},
    ]
    axes = plot_calibration(
        rates(fmr=[0.1, 0.01, 0.0]), pa.Table.from_pylist(rows, THRESHOLD_CHOICES)
    )
    (text,) = axes.texts
    assert text.get_text() == "0.01: 0.200"
    assert np.array_equal(axes.get_lines()[-1].get_xdata(), [0.2, 0.2])


def test_a_picture_of_nothing_is_an_empty_picture() -> None:
    assert not plot_calibration(CALIBRATION.empty_table()).get_lines()


def test_it_draws_where_it_is_told_to() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert plot_calibration(rates(fmr=[0.1, 0.01, 0.0]), axes=axes) is axes


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_picture_is_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rates.{ending}"
    save_plot(np.array([plot_calibration(rates(fmr=[0.1, 0.01, 0.0]))]), path)
    assert path.stat().st_size > 1000
