"""A threshold sweep as a picture: how long each span lives, and what a threshold costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from facelake.plot.style import INK, LINE, PALETTE, QUIET, fonts, new_figure, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

MAX_IDENTITIES = 8
MAX_LIVES = 60

_WIDTH_IN, _ROW_IN, _HEAD_IN = 11.0, 2.3, 0.4


def plot_sweep(
    totals: pa.Table,
    lives: pa.Table,
    *,
    plateaus: pa.Table | None = None,
    axes: np.ndarray[Any, Any] | None = None,
    identities: Sequence[str] | None = None,
    max_identities: int = MAX_IDENTITIES,
    max_lives: int = MAX_LIVES,
) -> np.ndarray[Any, Any]:
    """The lives of spans, and their seconds and number against the threshold.

    A row for each identity. On the left a barcode: each bar is a span, drawn over the thresholds
    at which it is there on its own, the most certain at the top. A long bar is a span that does
    not hang on the choice; where many short ones lie there are look-alikes, or one appearance
    that falls apart. On the right what that comes to at each threshold. Shaded: the widest range
    over which no video gains or loses a span.

    Parameters
    ----------
    totals
        Columns as in `facelake.schema.SWEEP_TOTALS`.
    lives
        Columns as in `facelake.schema.SPAN_LIVES`.
    plateaus
        Columns as in `facelake.schema.SWEEP_PLATEAUS`; ``None`` shades nothing.
    axes
        Shape ``(n_identities, 2)``; ``None`` makes a figure that fits.
    identities
        Which to show, in this order; ``None`` shows those with a span, the one with the most time
        first.
    max_identities
        Most rows of the figure, which says how many are left out.
    max_lives
        Most bars of a row, the longest; the row says how many there are.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        Shape ``(n_identities, 2)``: barcode and curves; at least one row.

    Raises
    ------
    ValueError
        A limit is below 1, or the axes given are too few.

    Examples
    --------
    >>> from facelake.schema import SPAN_LIVES, SWEEP_TOTALS
    >>> plot_sweep(SWEEP_TOTALS.empty_table(), SPAN_LIVES.empty_table()).shape
    (1, 2)
    """
    for name, value in (("max_identities", max_identities), ("max_lives", max_lives)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, but is {value}")
    curves = _by_identity(totals)
    names = _order(curves) if identities is None else list(identities)
    shown = names[:max_identities]
    drawn = _take_axes(axes, n_rows=max(1, len(shown)), caption=_caption(len(names), len(shown)))
    flat = {row["identity"]: row for row in ([] if plateaus is None else plateaus.to_pylist())}
    bars = _by_identity(_within(lives, totals))
    for number, name in enumerate(shown):
        barcode, curve = drawn[number]
        colour = PALETTE[number % len(PALETTE)]
        _draw_barcode(barcode, plain(name), bars.get(name, []), colour, max_lives)
        _draw_curves(curve, curves.get(name, []), colour)
        for ax in (barcode, curve):
            _dress(ax, totals, flat.get(name))
    for ax in () if shown else drawn[0]:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no span", ha="center", va="center", color=QUIET, style="italic")
    return drawn


def _within(lives: pa.Table, totals: pa.Table) -> pa.Table:
    """The lives that reach down to the highest threshold drawn."""
    highest = totals["threshold"].to_numpy().max(initial=-1.0)
    return lives.filter(pa.array(lives["low_threshold"].to_numpy() < highest))


def _by_identity(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["identity"], []).append(row)
    return rows


def _order(curves: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Identities with a span, the one with the most time first."""
    most = {name: max(row["seconds"] for row in rows) for name, rows in curves.items()}
    some = [name for name, rows in curves.items() if any(row["n_spans"] for row in rows)]
    return sorted(some, key=lambda name: (-most[name], name))


def _caption(n_names: int, n_shown: int) -> str:
    parts = [
        "left: each bar is a span, over the thresholds at which it is there on its own",
        "shaded: no video gains or loses a span",
    ]
    if n_shown < n_names:
        parts.append(f"{n_names - n_shown} of {n_names} identities are not shown (max_identities)")
    return "   ·   ".join(parts)


def _take_axes(
    axes: np.ndarray[Any, Any] | None, *, n_rows: int, caption: str
) -> np.ndarray[Any, Any]:
    if axes is None:
        figure = new_figure(_WIDTH_IN, _HEAD_IN + n_rows * _ROW_IN, caption)
        made: np.ndarray[Any, Any] = figure.subplots(n_rows, 2, squeeze=False)
        return made
    given = np.asarray(axes, dtype=object)
    if given.size < 2 * n_rows:
        raise ValueError(
            f"axes must hold two for each of {n_rows} identities, but hold {given.size}; give "
            "more or a smaller max_identities"
        )
    return given.ravel()[: 2 * n_rows].reshape(n_rows, 2)


def _draw_barcode(
    ax: Axes, name: str, lives: list[dict[str, Any]], colour: str, max_lives: int
) -> None:
    longest = sorted(lives, key=lambda life: -life["persistence"])[:max_lives]
    longest.sort(key=lambda life: (-life["high_threshold"], life["low_threshold"]))
    for row, life in enumerate(longest):
        ax.plot(
            [life["low_threshold"], life["high_threshold"]], [row, row],
            color=colour, lw=_thickness(len(longest)), solid_capstyle="butt", gid="life",
        )  # fmt: skip
    left_out = len(lives) - len(longest)
    note = f"   the {len(longest)} longest of {len(lives)} lives" if left_out else ""
    ax.set_title(name, loc="left", fontsize=11, fontweight="bold", color=INK, fontfamily=fonts())
    ax.set_title(note, loc="right", fontsize=8, color=QUIET)
    ax.set_ylim(max(1, len(longest)) - 0.5, -0.5)
    ax.set_yticks([])


def _thickness(n_bars: int) -> float:
    return float(np.clip(90.0 / max(1, n_bars), 1.2, 7.0))


def _draw_curves(ax: Axes, rows: list[dict[str, Any]], colour: str) -> None:
    from matplotlib.ticker import MaxNLocator

    threshold = [row["threshold"] for row in rows]
    ax.plot(
        threshold, [row["seconds"] for row in rows],
        color=colour, lw=1.8, gid="seconds",
    )  # fmt: skip
    ax.set_ylabel("seconds", fontsize=8.5, color=colour)
    ax.set_ylim(bottom=0.0)
    counts = ax.twinx()
    counts.plot(
        threshold, [row["n_spans"] for row in rows],
        color=INK, lw=1.0, ls=(0, (2, 1.5)), gid="spans",
    )  # fmt: skip
    counts.set_ylabel("spans (dashed)", fontsize=8.5, color=INK)
    counts.set_ylim(bottom=0.0)
    counts.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    counts.tick_params(labelsize=8, labelcolor=QUIET, color=LINE, length=3)
    for spine in counts.spines.values():
        spine.set_visible(False)


def _dress(ax: Axes, totals: pa.Table, plateau: dict[str, Any] | None) -> None:
    threshold = totals["threshold"].to_numpy()
    low, high = threshold.min(), threshold.max()
    ax.set_xlim(low, high if high > low else low + 0.01)
    ax.set_xlabel("threshold", fontsize=8.5, color=QUIET)
    if plateau is not None and plateau["high_threshold"] > plateau["low_threshold"]:
        ax.axvspan(
            plateau["low_threshold"], plateau["high_threshold"],
            facecolor="#EEF1F5", lw=0, zorder=0.4, gid="plateau",
        )  # fmt: skip
    ax.tick_params(labelsize=8, labelcolor=QUIET, color=LINE, length=3)
    ax.grid(axis="x", color=LINE, lw=0.7, zorder=0)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#C9CED6")
