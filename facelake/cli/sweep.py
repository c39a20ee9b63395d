"""Commands that ask at every threshold at once: sweep, sweep-grid, plot sweep."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa

from facelake.catalog import Catalog
from facelake.cli.ask import plot
from facelake.cli.common import (
    catalog_option,
    check_format,
    emit,
    format_options,
    picture_options,
    quiet_option,
    rules_options,
)
from facelake.gallery import plain_name, refuse_unknown
from facelake.query.sweep import choose_thresholds
from facelake.results import Sweep

_MOST = 10_001  # thresholds: [-1, 1] in steps of 0.0002
_SHOWN_ROWS = 20  # thresholds a person is shown of each identity, at most


def _read_thresholds(
    _ctx: click.Context, _option: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    """``START:STOP:STEP``, both ends included, or numbers with commas between them."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.replace(":", ",").split(",")]
    except ValueError:
        numbers = []
    if ":" not in text and numbers:
        return tuple(numbers)
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)) or numbers[2] <= 0:
        wanted = "START:STOP:STEP, as 0.1:0.7:0.01, or numbers with commas"
        raise click.BadParameter(f"{text!r} must be {wanted}")
    start, stop, step = numbers
    count = math.floor((stop - start) / step + 1e-9) + 1
    if not 1 <= count <= _MOST:
        told = f"1 to {_MOST:,} thresholds, but is {max(0, count)}"
        raise click.BadParameter(f"{text!r} must be {told}")
    return tuple(round(start + step * number, 9) for number in range(count))


thresholds_option = click.option(
    "--thresholds",
    callback=_read_thresholds,
    metavar="START:STOP:STEP",
    help="Thresholds to ask at, both ends included, or numbers with commas between them.  "
    "[default: 0.1:0.7:0.01]",
)


@click.command(short_help="Spans at every threshold at once, and how long each one lives.")
@catalog_option
@thresholds_option
@click.option(
    "--by",
    type=click.Choice(["identity", "video"]),
    default="identity",
    show_default=True,
    help="One row a threshold and identity, over all videos, or one for each video as well.",
)
@click.option(
    "--lives",
    is_flag=True,
    help="Instead one row a span: the thresholds over which it is there on its own.",
)
@partial(rules_options, threshold=False)
@format_options
def sweep(
    catalog: Catalog,
    by: str,
    lives: bool,
    kind: str | None,
    out: Path | None,
    **asked: Any,
) -> None:
    """What every threshold would find: faces, tracks, spans and seconds of each person.

    A row is what `facelake spans` finds at its threshold; all of them take about as long as one.
    On stderr stands the widest range of thresholds over which no video gains or loses a span of a
    person: in there the choice moves the ends of spans and nothing else.

    --lives tells of each span down to which threshold it stays one of its own (low_threshold) and
    into which it then goes over (parent_id). A short life, with a high_threshold near those of
    strangers, is a span to doubt.

    \b
    facelake sweep -c catalogs/tv
    facelake sweep -c catalogs/tv --thresholds 0.2:0.5:0.05 --identity "Ann Lee"
    facelake sweep -c catalogs/tv --by video --format csv > sweep.csv
    facelake sweep -c catalogs/tv --lives --out outputs/lives.parquet
    """  # noqa: D301
    if lives and by == "video":
        raise click.UsageError("--lives is one row a span already; leave out --by video")
    kind = check_format(kind, out)
    found = _find_sweep(catalog, **asked)
    rules = {
        name: value
        for name, value in found.settings.told().items()
        if not name.startswith("threshold")
    }
    facts = {"space": found.space, "gallery_version": found.gallery_version} | rules
    if lives:
        table = found.lives
        emit(table, kind, out, shown=_lives_for_people(table), facts=facts)
    else:
        table = found.table if by == "video" else found.totals
        emit(table, kind, out, shown=_for_people(table, found.thresholds), facts=facts)
    click.echo(repr(found), err=True)


@plot.command("sweep", short_help="The lives of spans, and what each threshold finds.")
@catalog_option
@thresholds_option
@partial(rules_options, threshold=False)
@picture_options("outputs/sweep.png")
def plot_sweep(catalog: Catalog, out: Path, dpi: int, **asked: Any) -> None:
    """Draw a sweep: a row for each person, the most seconds first.

    On the left each bar is a span, over the thresholds at which it is there on its own: long bars
    are certain. On the right seconds and spans against the threshold.

    \b
    facelake plot sweep -c catalogs/tv --out outputs/sweep.png
    facelake plot sweep -c catalogs/tv --identity "Ann Lee" --thresholds 0:0.8:0.01
    """  # noqa: D301
    from facelake.plot import save_plot

    found = _find_sweep(catalog, **asked)
    save_plot(found.plot(), out, dpi=dpi)
    click.echo(f"{out}: {found!r}", err=True)


def _several(
    name: str, kind: Any, metavar: str, text: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        name, type=kind, multiple=True, metavar=metavar, help=f"{text}; may be given several times."
    )


_SECONDS = click.FloatRange(min=0.0)


@click.command("sweep-grid", short_help="A sweep for every combination of other settings.")
@catalog_option
@thresholds_option
@_several("--sample-fps", click.FloatRange(0.0, min_open=True), "FPS", "Thin samples to this rate")
@_several("--min-quality", click.FloatRange(0.0, 1.0), "Q", "Faces of less quality do not count")
@_several("--min-det-score", click.FloatRange(0.0, 1.0), "S", "Nor those the detector doubts more")
@_several("--min-size-px", click.FloatRange(0.0), "PX", "Nor smaller ones")
@_several("--exit-threshold", float, "SCORE", "Lowest score that continues a span")
@_several("--min-hits", click.IntRange(min=1), "N", "Fewest samples that a span must hold")
@_several("--miss-s", _SECONDS, "SECONDS", "Longest time of looks in vain within a span")
@_several("--blind-s", _SECONDS, "SECONDS", "Longest time without looks within a span")
@_several("--bridge-s", _SECONDS, "SECONDS", "Join spans no further apart than this")
@_several("--min-span-s", _SECONDS, "SECONDS", "Drop spans shorter than this")
@click.option(
    "--identity",
    "identities",
    multiple=True,
    metavar="NAME",
    help="Only this person; may be given several times.  [default: everybody]",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "json"]),
    help="Print the rows as well.  [default: only write them]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for grid.parquet.  [default: outputs/sweeps/NAME, the catalog's name]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes of a Dask cluster on this machine.  [default: threads]",
)
@click.option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler to use instead.")
@quiet_option
def sweep_grid(
    catalog: Catalog,
    thresholds: tuple[float, ...] | None,
    identities: tuple[str, ...],
    kind: str | None,
    out: Path | None,
    workers: int | None,
    scheduler: str | None,
    quiet: bool,
    **several: tuple[float, ...],
) -> None:
    """Sweep the threshold for every combination of other settings, into one tidy table.

    What is not given stays as `facelake spans` has it; every sample of the catalog is looked at
    unless --sample-fps thins them. No video is opened. Interrupt it whenever you like and give the
    same command again: it goes on where it stopped, and a finished grid is only read.

    \b
    facelake sweep-grid -c catalogs/tv --bridge-s 0 --bridge-s 2 --min-span-s 0 --min-span-s 1
    facelake sweep-grid -c catalogs/tv --sample-fps 1 --sample-fps 5 --out outputs/sweeps/rates
    facelake sweep-grid -c catalogs/tv --min-size-px 0 --min-size-px 60 --format csv > sizes.csv
    """  # noqa: D301
    grid = catalog.sweep_grid(
        thresholds,
        **{name: values for name, values in several.items() if values},  # type: ignore[arg-type]
        identities=identities or None,
        out=out,
        workers=workers,
        scheduler=scheduler,
        progress=not quiet,
    )
    if kind is not None:
        emit(grid.table, kind, None, shown=grid.table)
    click.echo(repr(grid), err=True)


def _find_sweep(
    catalog: Catalog,
    *,
    thresholds: tuple[float, ...] | None,
    identities: tuple[str, ...],
    space: str | None,
    device: Any,
    scheduler: str | None,
    **rules: Any,
) -> Sweep:
    """Match the catalog with its gallery and sweep."""
    chosen, stay = choose_thresholds(thresholds, None), rules["exit_threshold"]
    gallery = catalog.gallery(space)
    for identity in identities:
        refuse_unknown(plain_name(identity), gallery.identities)
    least = chosen[0] if stay is None else min(stay, chosen[0])
    scores = catalog.match(gallery, min_score=least, device=device, scheduler=scheduler)
    return scores.sweep(chosen, identities=identities or None, **rules)


def _for_people(table: pa.Table, thresholds: tuple[float, ...]) -> pa.Table:
    """Some of the thresholds, where there are many, and a file's name for its path."""
    step = math.ceil(len(thresholds) / _SHOWN_ROWS)
    rows = table.filter(np.isin(table["threshold"].to_numpy(), thresholds[::step]))
    return _with_file(rows)


def _lives_for_people(lives: pa.Table) -> pa.Table:
    return _with_file(lives.drop_columns(["best_face_id", "best_time_s"]))


def _with_file(table: pa.Table) -> pa.Table:
    if "path" not in table.column_names:
        return table
    names = [Path(path).name for path in table["path"].to_pylist()]
    at = table.schema.get_field_index("path")
    named = table.set_column(at, "video", pa.array(names, pa.string()))
    return named.drop_columns(["video_id"])
