"""The plot room: tables → pictures. Every function returns Axes; nothing is shown or written."""

from facelake.plot.calibration import plot_calibration
from facelake.plot.rates import plot_rates
from facelake.plot.style import PALETTE, save_plot
from facelake.plot.sweep import plot_sweep
from facelake.plot.timeline import MAX_PANELS, format_clock, plot_spans

__all__ = [
    "MAX_PANELS",
    "PALETTE",
    "format_clock",
    "plot_calibration",
    "plot_rates",
    "plot_spans",
    "plot_sweep",
    "save_plot",
]
