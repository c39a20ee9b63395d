"""Commands that ask a catalog: spans, clips, plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from facelake.catalog import Catalog
from facelake.cli.common import (
    DASH,
    catalog_option,
    check_format,
    emit,
    find_spans,
    format_options,
    picture_options,
    quiet_option,
    rules_options,
)
from facelake.words import counted

_SHOWN = ("video", "identity", "start_s", "end_s", "score_max", "score_mean", "n_hits")


@click.command(short_help="Who is on screen when, and how sure.")
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
    """Who is on screen from when to when, and how sure.

    Times are seconds in the video's own presentation time; a span is [start_s, end_s). csv, json
    and parquet also hold the video's path, its video_id and how far a span's true ends may reach:
    nobody looked between start_after_s and start_s, or between end_s and end_before_s.

    \b
    facelake spans -c catalogs/tv --threshold 0.30
    facelake spans -c catalogs/tv -t 0.35 --identity "Ann Lee" --format csv > ann.csv
    facelake spans -c catalogs/tv -t 0.30 --out outputs/spans.parquet
    """  # noqa: D301
    kind = check_format(kind, out)
    found = find_spans(catalog, identities, rules)
    made = {"space": found.space, "gallery_version": found.gallery_version}
    facts = made | found.settings.told()
    emit(found.table, kind, out, shown=_for_people(found.table), facts=facts)
    if len(found):
        where = "" if out is None or str(out) == DASH else f"{out}: "
        click.echo(f"{where}{found!r}", err=True)


@click.command(short_help="Cut a clip of each span.")
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
    metavar="SECONDS",
    default=0.0,
    show_default=True,
    help="Shown before and after each span.",
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
    """Cut a clip of each span: exactly its frames, H.264 with sound, playable in a browser.

    The videos must still lie where they were ingested from. clips.csv lists the clips with the
    span and the source that each one shows.

    \b
    facelake clips -c catalogs/tv --threshold 0.30 --out outputs/clips --pad-s 0.5
    facelake clips -c catalogs/tv -t 0.30 --template "{identity}/{video}_{start}.mp4"
    """  # noqa: D301
    found = find_spans(catalog, identities, rules)
    cut = found.clips(out, pad_s=pad_s, template=template, progress=not quiet)
    of = f", of {found!r}" if len(found) else ""
    click.echo(f"{out}: {counted(len(cut), 'clip')} and clips.csv{of}", err=True)


@click.group(short_help="Draw a timeline of the spans.")
def plot() -> None:
    """Draw what a catalog answers.

    \b
    facelake plot spans -c catalogs/tv --threshold 0.30 --out outputs/timeline.png
    """  # noqa: D301


@plot.command("spans", short_help="A timeline: who is on screen when.")
@catalog_option
@rules_options
@picture_options("outputs/timeline.png")
def plot_spans(
    catalog: Catalog, identities: tuple[str, ...], out: Path, dpi: int, **rules: Any
) -> None:
    """Draw a timeline: one panel per video, one row per person, one bar per span.

    Time that nobody looked at is hatched; the thin brackets at a bar's ends say how far its true
    ends may reach.

    \b
    facelake plot spans -c catalogs/tv --threshold 0.30 --out outputs/timeline.png
    """  # noqa: D301
    from facelake.plot import save_plot

    found = find_spans(catalog, identities, rules)
    save_plot(found.plot(), out, dpi=dpi)
    click.echo(f"{out}: {found!r}" if len(found) else f"{out}: an empty timeline", err=True)


def _for_people(table: pa.Table) -> pa.Table:
    """The columns a person reads, with the file's name for the path."""
    names = [Path(path).name for path in table["path"].to_pylist()]
    named = table.append_column("video", pa.array(names, pa.string()))
    return named.select(list(_SHOWN))
