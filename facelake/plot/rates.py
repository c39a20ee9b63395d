"""Error rates of labelled pairs as a picture: DET and ROC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from facelake.plot.style import INK, LINE, PALETTE, QUIET, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKED = (0.20, 0.30, 0.40)
_TICKS = (1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)

Rates = npt.NDArray[np.float64]


def plot_rates(
    curve: pa.Table, *, axes: np.ndarray[Any, Any] | None = None
) -> np.ndarray[Any, Any]:
    """The DET and the ROC curve of labelled pairs, with some thresholds marked.

    The DET curve (Martin et al., Eurospeech 1997) has both errors on axes of normal deviates, on
    which two normal distributions of scores give a straight line. A rate of 0 is drawn at half a
    pair, since neither axis has a 0.

    Parameters
    ----------
    curve
        Columns as in `facelake.schema.PAIR_CURVE`.
    axes
        Two Axes to draw on; ``None`` makes a figure.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        Shape ``(2,)``: DET, ROC.

    Raises
    ------
    ValueError
        There is no genuine or no impostor pair, or fewer than two axes are given.
    """
    threshold, fmr, fnmr = (curve[name].to_numpy() for name in ("threshold", "fmr", "fnmr"))
    if not len(curve) or curve["fmr"].null_count or curve["fnmr"].null_count:
        raise ValueError(
            "a curve must be of genuine and of impostor pairs, but one kind is missing"
        )
    n_impostor, n_genuine = curve["n_impostor"][0].as_py(), curve["n_genuine"][0].as_py()
    det, roc = _take_axes(axes)
    shown = _off_the_ends(fmr, n_impostor), _off_the_ends(fnmr, n_genuine)
    _draw_det(det, *shown)
    _draw_roc(roc, shown[0], 1.0 - fnmr)
    for ax, height in ((det, shown[1]), (roc, 1.0 - fnmr)):
        _mark(ax, threshold, shown[0], height)
    det.set_title(
        f"{n_genuine:,} genuine and {n_impostor:,} impostor pairs",
        loc="left", fontsize=10, color=INK,
    )  # fmt: skip
    return np.array([det, roc], object)


def _take_axes(axes: np.ndarray[Any, Any] | None) -> tuple[Axes, Axes]:
    if axes is None:
        caption = "marked: thresholds   ·   a rate of 0 is drawn at half a pair"
        given: list[Axes] = list(new_figure(11.0, 4.8, caption).subplots(1, 2))
    else:
        given = list(np.asarray(axes, dtype=object).ravel())
    if len(given) < 2:
        raise ValueError(f"axes must hold two, for DET and ROC, but hold {len(given)}")
    return given[0], given[1]


def _off_the_ends(rate: Rates, n: int) -> Rates:
    return np.clip(rate, 0.5 / n, 1.0 - 0.5 / n)


def _draw_det(ax: Axes, fmr: Rates, fnmr: Rates) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
    from scipy.special import ndtr, ndtri

    _draw(ax, fmr, fnmr, "FNMR: one person, not matched")
    labels = [f"{tick:.4g}" for tick in _TICKS]
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("function", functions=(lambda rate: ndtri(np.clip(rate, 1e-9, 1 - 1e-9)), ndtr))
        axis.set_major_locator(FixedLocator(_TICKS))
        axis.set_major_formatter(FixedFormatter(labels))
        axis.set_minor_locator(NullLocator())
    ax.set_xlim(0.7 * fmr.min(), 0.5)
    ax.set_ylim(0.7 * fnmr.min(), 0.5)


def _draw_roc(ax: Axes, fmr: Rates, matched: Rates) -> None:
    _draw(ax, fmr, matched, "1 − FNMR: one person, matched")
    without_error = float(matched[fmr == fmr.min()].max())  # that many with no false match
    ax.set_xscale("log")
    ax.set_xlim(0.7 * fmr.min(), 1.0)
    ax.set_ylim(max(0.0, min(0.9, without_error - 0.05)), 1.005)


def _draw(ax: Axes, fmr: Rates, other: Rates, label: str) -> None:
    ax.plot(fmr, other, color=PALETTE[0], lw=1.6, gid="curve")
    ax.set_xlabel("FMR: two people, matched", color=QUIET)
    ax.set_ylabel(label, color=QUIET)
    ax.grid(color=LINE, lw=0.7)
    ax.tick_params(which="both", labelsize=8.5, labelcolor=QUIET, color=LINE)
    for spine in ax.spines.values():
        spine.set_color(LINE)


def _mark(ax: Axes, threshold: Rates, fmr: Rates, other: Rates) -> None:
    """Points of the curve at a few round thresholds, where they lie on it."""
    for value in _MARKED:
        at = int(np.searchsorted(threshold, value))
        if at < len(threshold):
            ax.plot(fmr[at], other[at], "o", color=PALETTE[1], ms=5, gid="threshold", zorder=3)
            ax.annotate(
                f"{value:.2f}", (fmr[at], other[at]), xytext=(6, 5), textcoords="offset points",
                fontsize=8.5, color=INK,
            )  # fmt: skip
