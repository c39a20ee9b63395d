"""What every picture of facelake shares: colours, letters, figures and how they are written."""

from __future__ import annotations

from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facelake.atomic import replacing
from facelake.errors import ExportError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Paul Tol's "bright" and "muted" schemes without their greys: told apart with every common colour
# vision (personal.sron.nl/~pault). Further identities take the same colours again, in other rows.
PALETTE = (
    "#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377",
    "#332288", "#DDCC77", "#117733", "#CC6677", "#88CCEE", "#882255",
    "#44AA99", "#999933",
)  # fmt: skip

INK, QUIET, LINE = "#22252A", "#6B7280", "#E3E6EA"
"""Letters, quieter letters, and lines that only guide the eye."""

_MORE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC", "Hiragino Sans",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans Arabic", "Noto Sans Devanagari",
    "Noto Sans Thai", "Noto Emoji", "Arial Unicode MS",
)  # fmt: skip


def new_figure(width_in: float, height_in: float, caption: str) -> Figure:
    """An empty figure with a line below it that says how to read it.

    No backend is chosen and pyplot does not know of it; JupyterLab shows it all the same.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(
        figsize=(width_in, height_in),
        layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.12),
        facecolor="white",
    )
    # pyplot, which teaches Jupyter to show figures, is left alone: this one shows itself.
    setattr(figure, "_repr_png_", partial(_png, figure))  # noqa: B010
    figure.supxlabel(caption, x=0.012, ha="left", fontsize=8, color=QUIET)
    return figure


def _png(figure: Figure) -> bytes:
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()


def save_plot(axes: np.ndarray[Any, Any], path: str | Path, *, dpi: int = 150) -> None:
    """Write the picture that the axes belong to; the file appears whole or not at all.

    Parameters
    ----------
    axes
        As `plot_spans` gives them.
    path
        The ending says the format: ``.png``, ``.svg``, ``.pdf``, … A missing folder is made.
    dpi
        Pixels an inch.

    Raises
    ------
    ExportError
        The format is unknown or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path = Path(path)
    figure = np.asarray(axes).flat[0].figure
    known = FigureCanvasAgg(figure).get_supported_filetypes()
    kind = path.suffix.lstrip(".").lower()
    if kind not in known:
        raise ExportError(f"{path}: a picture must end in one of {', '.join(sorted(known))}")
    try:
        with replacing(path) as part:
            figure.savefig(part, format=kind, dpi=dpi, facecolor="white")
    except OSError as error:
        raise ExportError(f"{path}: the picture could not be written ({error})") from error


@cache
def fonts() -> list[str]:
    """Matplotlib's own font, then those installed here that know more scripts."""
    from matplotlib import font_manager, rcParams

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [*rcParams["font.family"], *(font for font in _MORE_FONTS if font in installed)]


def plain(text: str) -> str:
    """The text as it is: a dollar sign starts no formula, a line break no second line."""
    shown = " ".join(text.split()).replace("$", r"\$")
    return shown if len(shown) <= 60 else f"{shown[:40]}…{shown[-19:]}"
