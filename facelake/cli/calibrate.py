"""The command that finds a threshold: calibrate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from facelake.calibrate import percent
from facelake.catalog import Catalog
from facelake.cli.ask import plot
from facelake.cli.common import (
    DASH,
    catalog_option,
    check_format,
    emit,
    format_options,
    picture_options,
    quiet_option,
    space_option,
)
from facelake.results import Calibration
from facelake.results.calibration import USUAL_FMRS

_GAPS = {"500ms": "after 0.5 s", "5s": "after 5 s", "30s": "after 30 s",
         "across_shots": "across shots"}  # fmt: skip
_TABLES = ("fmr", "threshold", "quality", "size", "look-alikes")


@click.command(short_help="Which threshold, and what it costs.")
@catalog_option
@click.option(
    "--fmr",
    "fmrs",
    multiple=True,
    type=click.FloatRange(min=0.0, max=1.0, min_open=True, max_open=True),
    metavar="RATE",
    help="Share of comparisons of two different people that may pass; may be given several times.  "
    "[default: 0.01, 0.001, 0.0001]",
)
@click.option(
    "--by",
    type=click.Choice(_TABLES),
    default="fmr",
    show_default=True,
    help="What to list: the threshold for each rate; the rates at each threshold, also by quality "
    "or size of the poorer face; or the pairs of people that are most alike.",
)
@click.option("--store", is_flag=True, help="Keep the threshold for --fmr as the catalog's own.")
@click.option(
    "--set",
    "by_hand",
    type=click.FloatRange(min=-1.0, max=1.0),
    metavar="THRESHOLD",
    help="Keep this threshold as the catalog's own, without calibrating.",
)
@click.option("--note", default="", help="Where it comes from; results show it.")
@click.option("--clear", is_flag=True, help="Forget the catalog's own threshold.")
@click.option(
    "--reference-quality",
    type=click.FloatRange(min=0.0, max=1.0),
    default=0.4,
    show_default=True,
    help="Least quality of the better face of each pair: that of a photo that is enrolled.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Of what is drawn at random.")  # fmt: skip
@space_option
@format_options
@quiet_option
def calibrate(
    catalog: Catalog,
    fmrs: tuple[float, ...],
    by: str,
    store: bool,
    by_hand: float | None,
    note: str,
    clear: bool,
    space: str | None,
    kind: str | None,
    out: Path | None,
    quiet: bool,
    **sampling: Any,
) -> None:
    """Which threshold, and what it costs: from the archive's own faces, without a label.

    Two faces in one frame are two people; the faces of one track are one person. From such pairs
    follow the false match rate (FMR: strangers taken for a person) and the false non-match rate
    (FNMR: a person not known again), with 95 % intervals. A rate that the pairs do not carry is
    refused. docs/thresholds.md tells which rate to ask for.

    \b
    facelake calibrate -c catalogs/tv
    facelake calibrate -c catalogs/tv --fmr 0.001 --store      then spans needs no number
    facelake calibrate -c catalogs/tv --by quality --format csv > quality.csv
    facelake calibrate -c catalogs/tv --set 0.32 --note "looked at 200 clips"
    facelake calibrate -c catalogs/tv --clear
    """  # noqa: D301
    _refuse_mixed(store=store, by_hand=by_hand, clear=clear, note=note, fmrs=fmrs)
    kind = check_format(kind, out)
    if clear:
        catalog.clear_threshold(space)
        click.echo("the catalog has no threshold of its own now", err=True)
    elif by_hand is not None:
        _say_stored(catalog, catalog.store_threshold(by_hand, note=note, space=space).threshold)
    else:
        found = catalog.calibrate(space=space, progress=not quiet, **sampling)
        stored = catalog.store_threshold(found.threshold(fmrs[0]), note=note) if store else None
        _emit(found, fmrs or USUAL_FMRS, by, kind, out)
        if stored is not None:
            _say_stored(catalog, stored.threshold)


@plot.command("calibration", short_help="Error rates against the threshold.")
@catalog_option
@click.option(
    "--reference-quality",
    type=click.FloatRange(min=0.0, max=1.0),
    default=0.4,
    show_default=True,
    help="As for facelake calibrate.",
)
@space_option
@picture_options("outputs/calibration.png")
@quiet_option
def plot_rates(
    catalog: Catalog, reference_quality: float, space: str | None, out: Path, dpi: int, quiet: bool
) -> None:
    """Draw both error rates against the threshold, with their 95 % intervals.

    \b
    facelake plot calibration -c catalogs/tv --out outputs/calibration.png
    """  # noqa: D301
    import numpy as np

    from facelake.plot import save_plot

    found = catalog.calibrate(space=space, reference_quality=reference_quality, progress=not quiet)
    save_plot(np.array([found.plot()]), out, dpi=dpi)
    click.echo(f"{out}: {found!r}", err=True)


def _refuse_mixed(
    *, store: bool, by_hand: float | None, clear: bool, note: str, fmrs: tuple[float, ...]
) -> None:
    if store + clear + (by_hand is not None) > 1:
        raise click.UsageError("give one of --store, --set and --clear")
    if store and len(fmrs) != 1:
        raise click.UsageError("--store needs one --fmr: the threshold for it is kept")
    if note and not store and by_hand is None:
        raise click.UsageError("--note needs --store or --set: it is kept with the threshold")


def _say_stored(catalog: Catalog, threshold: float) -> None:
    click.echo(
        f"{catalog.path}: {threshold:g} is taken from now on where no --threshold is given",
        err=True,
    )


def _emit(
    found: Calibration, fmrs: tuple[float, ...], by: str, kind: str, out: Path | None
) -> None:
    tables = {
        "threshold": (found.table, _rates),
        "quality": (found.by_quality, _rates),
        "size": (found.by_size, _rates),
        "look-alikes": (found.look_alikes, _look_alikes),
    }
    table, for_people = tables[by] if by in tables else (found.thresholds(fmrs), _choices)
    emit(table, kind, out, shown=for_people(table), facts={"space": found.space})
    where = "" if out is None or str(out) == DASH else f"{out}: "
    n, videos = found.counts["n_impostor"], found.counts["n_videos"]
    click.echo(f"{where}{n:,} impostor pairs of {videos:,} videos, {found.space}", err=True)
    refusals = [] if by in tables else [why for why in table["why"].to_pylist() if why]
    for sentence in [*found.warnings(), *refusals]:
        click.echo(f"  {sentence}", err=True)


def _choices(chosen: pa.Table) -> pa.Table:
    """The threshold for each rate as a person reads it."""
    rows = [
        {
            "wanted FMR": f"{row['wanted_fmr']:g}",
            "threshold": None if row["threshold"] is None else f"{row['threshold']:.4f}",
            "95 % interval": _between(row, "threshold", lambda value: f"{value:.4f}"),
            "FMR": _rate(row, "fmr"),
            **{f"FNMR {gap}": _rate(row, f"fnmr_{name}") for name, gap in _GAPS.items()},
        }
        for row in chosen.to_pylist()
    ]
    return pa.Table.from_pylist(rows)


def _rates(table: pa.Table) -> pa.Table:
    """Rates at each threshold as a person reads them."""
    names = [name for name in table.column_names if not name.startswith(("f", "n_genuine", "n_f"))]
    rows = [
        {
            **{name: row[name] for name in names},
            "FMR": _rate(row, "fmr"),
            **{f"FNMR {gap}": _rate(row, f"fnmr_{name}") for name, gap in _GAPS.items()},
        }
        for row in table.to_pylist()
    ]
    return pa.Table.from_pylist(rows)


def _rate(row: dict[str, Any], name: str) -> str | None:
    if row[name] is None:
        return None
    return f"{percent(row[name])} ({_between(row, name, percent)})"


def _between(row: dict[str, Any], name: str, say: Callable[[float], str]) -> str | None:
    if row[name] is None:
        return None
    return f"{say(row[f'{name}_low'])} – {say(row[f'{name}_high'])}"


def _look_alikes(table: pa.Table) -> pa.Table:
    names = [Path(path).name for path in table["path"].to_pylist()]
    named = table.append_column("video", pa.array(names, pa.string()))
    return named.select(["verdict", "score", "video", "time_s", "other_time_s", "n_pairs"])
