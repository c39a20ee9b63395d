"""DET and ROC as pictures: what is drawn is what was counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from facelake.evaluate import evaluate_pairs
from facelake.plot import plot_rates, save_plot


@pytest.fixture(scope="module")
def curve() -> pa.Table:
    noise = np.random.default_rng(0)
    score = np.concatenate([noise.normal(0.5, 0.1, 200), noise.normal(0.1, 0.1, 400)])
    return evaluate_pairs(score.clip(-1, 1), np.repeat([1, 0], [200, 400])).curve


def drawn(ax: object) -> tuple[np.ndarray, np.ndarray]:
    (line,) = [line for line in ax.lines if line.get_gid() == "curve"]  # type: ignore[attr-defined]
    return line.get_xdata(), line.get_ydata()


def test_both_curves_go_through_every_point(curve: pa.Table) -> None:
    det, roc = plot_rates(curve)
    fmr, fnmr = curve["fmr"].to_numpy(), curve["fnmr"].to_numpy()
    inside = (fmr > 0) & (fmr < 1) & (fnmr > 0) & (fnmr < 1)
    assert inside.any()
    for ax, other in ((det, fnmr), (roc, 1 - fnmr)):
        x, y = drawn(ax)
        assert np.allclose(x[inside], fmr[inside])
        assert np.allclose(y[inside], other[inside])


def test_a_rate_of_0_is_drawn_at_half_a_pair(curve: pa.Table) -> None:
    x, y = drawn(plot_rates(curve)[0])
    assert x.min() == pytest.approx(0.5 / 400)
    assert y.min() == pytest.approx(0.5 / 200)


def test_two_normal_distributions_of_scores_are_nearly_a_straight_det_line() -> None:
    from scipy.special import ndtri
    from scipy.stats import norm

    place = (np.arange(4000) + 0.5) / 4000
    score = np.concatenate([norm.ppf(place, 0.5, 0.1), norm.ppf(place, 0.1, 0.1)])
    curve = evaluate_pairs(score.clip(-1, 1), np.repeat([1, 0], 4000)).curve
    x, y = drawn(plot_rates(curve)[0])
    middle = (x > 0.005) & (x < 0.5) & (y > 0.005) & (y < 0.5)
    assert np.corrcoef(ndtri(x[middle]), ndtri(y[middle]))[0, 1] < -0.9999


def test_thresholds_are_marked_with_their_rates(curve: pa.Table) -> None:
    det, _ = plot_rates(curve)
    marks = [line for line in det.lines if line.get_gid() == "threshold"]
    assert [text.get_text() for text in det.texts] == ["0.20", "0.30", "0.40"]
    score_above = curve["threshold"].to_numpy() >= 0.3
    assert marks[1].get_xdata()[0] == pytest.approx(curve["fmr"].to_numpy()[score_above][0])


def test_the_picture_can_be_written_and_says_how_many_pairs(
    curve: pa.Table, tmp_path: Path
) -> None:
    axes = plot_rates(curve)
    assert axes[0].get_title(loc="left") == "200 genuine and 400 impostor pairs"
    save_plot(axes, tmp_path / "det.svg")
    assert (tmp_path / "det.svg").stat().st_size > 1000


def test_axes_of_ones_own_are_drawn_on(curve: pa.Table) -> None:
    own = Figure().subplots(1, 2)
    assert list(plot_rates(curve, axes=own)) == list(own)
    with pytest.raises(ValueError, match="axes must hold two, for DET and ROC, but hold 1"):
        plot_rates(curve, axes=own[:1])


def test_a_curve_of_one_kind_of_pairs_is_refused() -> None:
    for score, same in (([0.5], [1]), ([], [])):
        with pytest.raises(ValueError, match="must be of genuine and of impostor pairs"):
            plot_rates(evaluate_pairs(score, same).curve)
