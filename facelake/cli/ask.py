"""Commands that ask a catalog: spans, clips, plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from facelake.catalog import Catalog
from facelake.cli.common import (
    catalog_option,
    emit,
    find_spans,
    format_options,
    quiet_option,
    rules_options,
)

_SHOWN = ("video", "identity", "start_s", "end_s", "score_max", "score_mean", "n_hits")


@click.command()
@catalog_option
@rules_options
@format_options
def spans(
    catalog: Catalog,
    identities: tuple[str, ...],
    kind: str | None,
    out: Path | None,
    **rules: Any,
) -> None:
    r"""Who is on screen from when to when, and how sure.

    Times are seconds in the video's own presentation time; a span is [start_s, end_s). csv, json
    and parquet also say how far a span's true ends may reach: nobody looked between start_after_s
    and start_s, or between end_s and end_before_s.

    \b
    facelake spans -c catalogs/tv --threshold 0.30
    facelake spans -c catalogs/tv -t 0.35 --identity "Ann Lee" --format csv > ann.csv
    """
    found = find_spans(catalog, identities, rules)
    emit(found.table, kind, out, shown=_for_people(found.table))
    click.echo(repr(found), err=True)


@click.command()
@catalog_option
@rules_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("outputs/clips"),
    show_default=True,
    help="Folder for the clips and clips.csv.",
)
@click.option(
    "--pad-s",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_default=True,
    help="Seconds shown before and after each span.",
)
@click.option(
    "--template",
    help="Names of the clips, of {video} {identity} {start} {end} {start_s} {end_s} {score_max} "
    "{n}.  [default: {video}_{identity}_{start}-{end}.mp4]",
)
@quiet_option
def clips(
    catalog: Catalog,
    identities: tuple[str, ...],
    out: Path,
    pad_s: float,
    template: str | None,
    quiet: bool,
    **rules: Any,
) -> None:
    r"""Cut a clip of each span: exactly its frames, H.264 with sound, playable in a browser.

    The videos must still lie where they were ingested from. clips.csv lists the clips with the
    span and the source that each one shows.

    \b
    facelake clips -c catalogs/tv --threshold 0.30 --out outputs/clips --pad-s 0.5
    """
    found = find_spans(catalog, identities, rules)
    cut = found.clips(out, pad_s=pad_s, template=template, progress=not quiet)
    click.echo(f"{len(cut)} clips and clips.csv in {out}", err=True)


@click.group()
def plot() -> None:
    """Draw what a catalog answers."""


@plot.command("spans")
@catalog_option
@rules_options
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("outputs/timeline.png"),
    show_default=True,
    help="The picture; its ending says the format (.png, .svg, .pdf).",
)
@click.option(
    "--dpi", type=click.IntRange(min=20, max=1200), default=150, show_default=True,
    help="Pixels an inch.",
)  # fmt: skip
def plot_spans(
    catalog: Catalog, identities: tuple[str, ...], out: Path, dpi: int, **rules: Any
) -> None:
    """Draw a timeline: one panel per video, one row per person, one bar per span."""
    from facelake.plot import save_plot

    found = find_spans(catalog, identities, rules)
    save_plot(found.plot(), out, dpi=dpi)
    click.echo(f"{out}: {found!r}", err=True)


def _for_people(table: pa.Table) -> pa.Table:
    """The columns a person reads, with the file's name for the path."""
    names = [Path(path).name for path in table["path"].to_pylist()]
    named = table.append_column("video", pa.array(names, pa.string()))
    return named.select(list(_SHOWN))
