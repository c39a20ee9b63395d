"""Spans as a picture: who is on screen, when, and how sure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from facelake.plot.style import INK, LINE, PALETTE, QUIET, fonts, new_figure, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from matplotlib.axes import Axes

MAX_PANELS = 12
"""Videos in one figure unless the caller wants another number."""

_WIDTH_IN = 11.0
_ROW_IN = 0.34
_PANEL_IN = 0.85  # title, time axis and the room between two panels
_HEAD_IN = 0.25
_BAR = 0.62  # of a row's height
_FAINTEST = 0.35  # share of the colour at the lowest score shown
_SURE = 0.8  # a mean score from which a face could hardly be more alike
_WHITE_BELOW = 0.23  # luminance at which white and INK stand out equally
_LABEL_IN = 0.38  # a bar at least this wide carries its score


@dataclass(frozen=True)
class _Panel:
    """One video: its spans as rows of the spans table, and its extent in seconds."""

    video_id: str
    path: str
    title: str
    start_s: float
    end_s: float
    spans: list[dict[str, Any]]
    unseen: list[tuple[float, float]]


def plot_spans(
    spans: pa.Table,
    *,
    videos: pa.Table | None = None,
    coverage: pa.Table | None = None,
    axes: Axes | Sequence[Axes] | np.ndarray[Any, Any] | None = None,
    identities: Sequence[str] | None = None,
    max_panels: int = MAX_PANELS,
) -> np.ndarray[Any, Any]:
    """A timeline: one panel per video, one row per identity, one bar per span.

    A bar is the stronger the higher its mean score, and carries it where there is room. The thin
    bracket at an end reaches to the nearest examined instant at which the identity was not seen:
    the true end lies within. Hatched time was not examined. An identity has the same row and
    colour in every panel; the one seen longest is at the top.

    Parameters
    ----------
    spans
        Columns as in `facelake.schema.SPANS`.
    videos
        Columns as in `facelake.schema.VIDEOS`: each panel then shows its whole video, and videos
        without a span have a panel too. ``None`` shows the time from the first span to the last.
    coverage
        Columns ``video_id, start_s, end_s``: the time that was examined.
    axes
        Axes to draw on, one for each panel; ``None`` makes a figure that fits.
    identities
        Which to show, in this order; ``None`` shows all.
    max_panels
        Most videos in the figure. Those with spans come first, in order of path; the figure says
        how many are left out.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        Shape ``(n_panels,)``. The picture is ``axes.flat[0].figure``; nothing is shown, no backend
        is chosen and pyplot does not know of it.

    Raises
    ------
    ValueError
        ``max_panels`` is below 1, or fewer axes are given than there are panels.

    Examples
    --------
    >>> from facelake.schema import SPANS
    >>> axes = plot_spans(SPANS.empty_table())
    >>> axes.shape
    (1,)
    """
    if max_panels < 1:
        raise ValueError(f"max_panels must be 1 or more, but is {max_panels}")
    rows = spans.to_pylist()
    names = _order(rows) if identities is None else list(identities)
    rows = [row for row in rows if row["identity"] in set(names)]
    panels = _find_panels(rows, videos, coverage)
    shown = panels[:max_panels]
    drawn = _take_axes(
        axes,
        n_rows=[max(1, len(names)) if panel.spans else 1 for panel in shown] or [1],
        legend=_legend(rows, shown, len(panels)),
    )
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}
    for ax, panel in zip(drawn, shown, strict=False):
        _draw_panel(ax, panel, names, colours, _weakest(rows))
    if not shown:
        _draw_nothing(drawn[0])
    return drawn


# What is shown ----------------------------------------------------------------------------------


def _order(rows: list[dict[str, Any]]) -> list[str]:
    """Identities, the one with the most time first."""
    total: dict[str, float] = {}
    for row in rows:
        length = row["end_s"] - row["start_s"]
        total[row["identity"]] = total.get(row["identity"], 0.0) + length
    return sorted(total, key=lambda name: (-total[name], name))


def _weakest(rows: list[dict[str, Any]]) -> float:
    return min((row["score_mean"] for row in rows), default=0.0)


def _find_panels(
    rows: list[dict[str, Any]], videos: pa.Table | None, coverage: pa.Table | None
) -> list[_Panel]:
    """Videos with spans first, each group in order of path."""
    by_video: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_video.setdefault(row["video_id"], []).append(row)
    facts = {} if videos is None else {row["video_id"]: row for row in videos.to_pylist()}
    examined: dict[str, list[tuple[float, float]]] = {}
    for row in [] if coverage is None else coverage.to_pylist():
        examined.setdefault(row["video_id"], []).append((row["start_s"], row["end_s"]))
    panels = [
        _panel(
            video_id,
            by_video.get(video_id, []),
            facts.get(video_id),
            None if coverage is None else examined.get(video_id, []),
        )
        for video_id in {**by_video, **facts}
    ]
    panels.sort(key=lambda panel: (not panel.spans, panel.path, panel.video_id))
    return _told_apart(panels)


def _told_apart(panels: list[_Panel]) -> list[_Panel]:
    """Files of one name in several folders are titled by folder and name."""
    count = Counter(panel.title for panel in panels)
    return [
        replace(panel, title="/".join(PurePath(panel.path).parts[-2:]))
        if count[panel.title] > 1
        else panel
        for panel in panels
    ]


def _panel(
    video_id: str,
    spans: list[dict[str, Any]],
    video: dict[str, Any] | None,
    examined: list[tuple[float, float]] | None,
) -> _Panel:
    paths = list(video["paths"]) if video else [span["path"] for span in spans]
    path = paths[0] if paths else video_id
    start, end = _extent(spans, video)
    return _Panel(
        video_id=video_id,
        path=path,
        title=PurePath(path).name,
        start_s=start,
        end_s=end,
        spans=spans,
        unseen=[] if examined is None else _gaps(examined, start, end),
    )


def _extent(spans: list[dict[str, Any]], video: dict[str, Any] | None) -> tuple[float, float]:
    start = min((span["start_s"] for span in spans), default=math.inf)
    end = max((span["end_s"] for span in spans), default=-math.inf)
    if video is not None and video["start_s"] is not None:
        start = min(start, video["start_s"])
        end = max(end, video["start_s"] + (video["duration_s"] or 0.0))
    if not start < end:
        start = start if math.isfinite(start) else 0.0
        end = start + 1.0
    return start, end


def _gaps(
    examined: list[tuple[float, float]], start: float, end: float
) -> list[tuple[float, float]]:
    """What of ``[start, end)`` the intervals leave out."""
    gaps = []
    at = start
    for first, last in sorted(examined):
        if first > at:
            gaps.append((at, min(first, end)))
        at = max(at, last)
    if at < end:
        gaps.append((at, end))
    return [(first, last) for first, last in gaps if last > first]


# How it is drawn --------------------------------------------------------------------------------


def _take_axes(axes: Any, *, n_rows: list[int], legend: str) -> np.ndarray[Any, Any]:
    if axes is not None:
        given = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
        if len(given) < len(n_rows):
            raise ValueError(
                f"axes must hold one for each of {len(n_rows)} panels, but hold {len(given)}; "
                "give more or a smaller max_panels"
            )
        given[len(n_rows) - 1].set_xlabel(legend, loc="left", fontsize=8, color=QUIET)
        return given[: len(n_rows)]
    height_in = _HEAD_IN + len(n_rows) * _PANEL_IN + sum(n_rows) * _ROW_IN
    figure = new_figure(_WIDTH_IN, height_in, legend)
    drawn: np.ndarray[Any, Any] = figure.subplots(
        len(n_rows), 1, squeeze=False, gridspec_kw={"height_ratios": n_rows}
    )[:, 0]
    return drawn


def _legend(rows: list[dict[str, Any]], panels: list[_Panel], n_panels: int) -> str:
    """One line that says how to read what is in the picture."""
    bracketed = any(
        row["start_after_s"] is not None or row["end_before_s"] is not None for row in rows
    )
    unseen = any(panel.unseen for panel in panels)
    left_out = n_panels - len(panels)
    parts = [
        ("shade and number: mean score", bool(rows)),
        ("whisker: the true end lies within", bracketed),
        ("hatched: not examined", unseen),
        (f"{left_out} of {n_panels} videos are not shown (max_panels)", left_out > 0),
    ]
    return "   ·   ".join(text for text, present in parts if present)


def _draw_panel(
    ax: Axes, panel: _Panel, names: list[str], colours: dict[str, str], weakest: float
) -> None:
    _dress(ax, panel, names if panel.spans else [])
    for first, last in panel.unseen:
        ax.axvspan(
            first, last, facecolor="#F3F4F6", edgecolor="#C9CED6", hatch="////", lw=0, zorder=0.5
        )
    rows = {name: row for row, name in enumerate(names)}
    for span in panel.spans:
        _draw_span(ax, span, rows[span["identity"]], colours[span["identity"]], weakest)
    if not panel.spans:
        ax.text(
            0.5, 0.5, "no span", transform=ax.transAxes, ha="center", va="center", color=QUIET,
            style="italic", fontsize=10, bbox={"facecolor": "white", "edgecolor": "none", "pad": 3},
        )  # fmt: skip


def _dress(ax: Axes, panel: _Panel, names: list[str]) -> None:
    from matplotlib.ticker import FuncFormatter

    ax.set_title(plain(panel.title), loc="left", fontsize=11, fontweight="bold", color=INK, pad=7)
    ax.set_xlim(panel.start_s, panel.end_s)
    ax.set_ylim(max(1, len(names)) - 0.5, -0.5)
    ax.set_yticks(
        range(len(names)),
        [plain(name) for name in names],
        fontsize=9.5,
        color=INK,
        fontfamily=fonts(),
    )
    ax.set_xticks(_time_ticks(panel.start_s, panel.end_s))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda time_s, _: format_clock(time_s)))
    ax.tick_params(axis="x", labelsize=8.5, labelcolor=QUIET, color=LINE, length=3)
    ax.tick_params(axis="y", length=0, pad=6)
    ax.grid(axis="x", color=LINE, lw=0.7, zorder=0)
    for row in range(1, len(names)):
        ax.axhline(row - 0.5, color=LINE, lw=0.5, zorder=0.6)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#C9CED6")


def _draw_span(ax: Axes, span: dict[str, Any], row: int, colour: str, weakest: float) -> None:
    fill = _fill(colour, span["score_mean"], weakest)
    ax.barh(
        row, span["end_s"] - span["start_s"], left=span["start_s"], height=_BAR,
        facecolor=fill, edgecolor=colour, lw=0.6, zorder=2, gid="span",
    )  # fmt: skip
    for inner, outer in (("start_s", "start_after_s"), ("end_s", "end_before_s")):
        if span[outer] is not None and span[outer] != span[inner]:
            _draw_bracket(ax, span[inner], span[outer], row, colour)
    if _width_in(ax, span["end_s"] - span["start_s"]) >= _LABEL_IN:
        ax.text(
            (span["start_s"] + span["end_s"]) / 2, row, f"{span['score_mean']:.2f}",
            ha="center", va="center_baseline", fontsize=8, zorder=3, clip_on=True,
            color=_ink_on(fill),
        )  # fmt: skip


def _draw_bracket(ax: Axes, inner_s: float, outer_s: float, row: int, colour: str) -> None:
    """A whisker from a span's end to the examined instant beyond it."""
    half = _BAR / 4
    ax.plot(
        [inner_s, outer_s, outer_s, outer_s], [row, row, row - half, row + half],
        color=colour, lw=1.0, solid_capstyle="butt", solid_joinstyle="miter", zorder=1.9,
        gid="bracket",
    )  # fmt: skip


def _fill(colour: str, score: float, weakest: float) -> tuple[float, ...]:
    """The identity's colour mixed with white: faint at the weakest score shown, full from 0.8."""
    from matplotlib.colors import to_rgb

    top = max(_SURE, weakest + 0.1)
    share = (min(score, top) - weakest) / (top - weakest)
    strength = _FAINTEST + (1.0 - _FAINTEST) * max(0.0, share)
    return tuple(strength * part + 1.0 - strength for part in to_rgb(colour))


def _ink_on(fill: tuple[float, ...]) -> str:
    """Dark or white letters, whichever have the higher contrast (WCAG 2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in fill]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "white" if luminance < _WHITE_BELOW else INK


def _width_in(ax: Axes, length_s: float) -> float:
    first, last = ax.get_xlim()
    return float(ax.bbox.width / ax.figure.dpi * length_s / (last - first))


def _draw_nothing(ax: Axes) -> None:
    ax.set_axis_off()
    ax.text(0.5, 0.5, "no span", ha="center", va="center", color=QUIET, style="italic")


# Time -------------------------------------------------------------------------------------------

_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MOST_TICKS = 13


def _time_ticks(start_s: float, end_s: float) -> list[float]:
    """Round times within the panel, at most thirteen."""
    length = end_s - start_s
    step = next((step for step in _STEPS_S if length / step < _MOST_TICKS), None)
    if step is None:
        step = 86400 * math.ceil(length / 86400 / _MOST_TICKS)
    first, last = math.ceil(start_s / step - 1e-9), math.floor(end_s / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def format_clock(time_s: float) -> str:
    """Seconds as ``m:ss``, from an hour on ``h:mm:ss``, with tenths where there are any.

    >>> format_clock(83), format_clock(3683), format_clock(1.5), format_clock(-2)
    ('1:23', '1:01:23', '0:01.5', '−0:02')
    """
    tenths = round(abs(time_s) * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{tenths // 10:02d}" + (f".{tenths % 10}" if tenths % 10 else "")
    sign = "−" if time_s < 0 else ""
    return f"{sign}{hours}:{minutes:02d}:{seconds}" if hours else f"{sign}{minutes}:{seconds}"
