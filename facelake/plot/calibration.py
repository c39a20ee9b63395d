"""Error rates against the threshold: what a threshold costs, and how well that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from facelake.plot.style import INK, LINE, PALETTE, QUIET, fonts, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVES = {
    "fmr": ("FMR: strangers taken for a person", PALETTE[1], "-"),
    "fnmr_500ms": ("FNMR after 0.5 s", PALETTE[0], "-"),
    "fnmr_5s": ("FNMR after 5 s", PALETTE[2], "-"),
    "fnmr_30s": ("FNMR after 30 s", PALETTE[5], "-"),
    "fnmr_across_shots": ("FNMR across shots, too good to be true", PALETTE[3], "--"),
}
_SIZE_IN = (9.0, 5.0)
_LOWEST = 1e-5  # a logarithmic axis has no zero
_CAPTION = (
    "Bands are 95 % intervals. A curve ends where no error was seen; the truth may lie anywhere "
    "in the band. Dotted: thresholds for wanted FMRs."
)


def plot_calibration(
    table: pa.Table, choices: pa.Table | None = None, *, axes: Axes | None = None
) -> Axes:
    """False match and false non-match rate against the threshold, with their intervals.

    Parameters
    ----------
    table
        Columns as in `facelake.schema.CALIBRATION`.
    choices
        Columns as in `facelake.schema.THRESHOLD_CHOICES`: thresholds to mark; ``None`` marks none.
    axes
        Where to draw; ``None`` makes a figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from facelake.schema import CALIBRATION
    >>> plot_calibration(CALIBRATION.empty_table()).get_yscale()
    'log'
    """
    import matplotlib as mpl

    with mpl.rc_context({"font.family": fonts()}):
        if axes is None:
            axes = new_figure(*_SIZE_IN, _CAPTION).subplots()
        for name in _CURVES:
            _draw_rate(axes, table, name)
        for row in [] if choices is None else choices.to_pylist():
            _mark_choice(axes, row)
        _label(axes)
    return axes


def _draw_rate(axes: Axes, table: pa.Table, name: str) -> None:
    label, colour, dashes = _CURVES[name]
    threshold, rate, low, high = (
        table[column].to_numpy(zero_copy_only=False).astype(np.float64)
        for column in ("threshold", name, f"{name}_low", f"{name}_high")
    )
    if not np.isfinite(rate).any():
        return
    # Without an error FNMR's band says only how few pairs there are, over half of the picture.
    shown = np.full(len(rate), True) if name == "fmr" else rate > 0
    axes.fill_between(
        threshold, np.maximum(low, _LOWEST), high, where=shown, color=colour, alpha=0.15, lw=0
    )
    axes.plot(threshold, np.where(rate > 0, rate, np.nan), dashes, color=colour, label=label)


def _mark_choice(axes: Axes, row: dict[str, Any]) -> None:
    if row["threshold"] is None:
        return
    axes.axvline(row["threshold"], color=INK, lw=0.8, ls=":")
    axes.annotate(
        f"{row['wanted_fmr']:g}: {row['threshold']:.3f}",
        (row["threshold"], 1.0),
        xytext=(3, -3),
        textcoords="offset points",
        rotation=90,
        va="top",
        fontsize=8,
        color=INK,
    )


def _label(axes: Axes) -> None:
    axes.set(xlabel="threshold", ylabel="rate", yscale="log", xlim=(0, 0.8), ylim=(_LOWEST, 1.0))
    axes.grid(color=LINE, lw=0.8)
    axes.tick_params(colors=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=9, loc="lower right")
