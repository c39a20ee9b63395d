"""Commands about a catalog's own files: verify, coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from facelake.catalog import Catalog
from facelake.cli.common import (
    DONE,
    FAILED,
    catalog_option,
    check_format,
    emit,
    format_options,
    quiet_option,
)
from facelake.lake import total_coverage

_SHOWN_TROUBLES = ("kind", "file", "what", "todo")


@click.command(short_help="Is every byte as it was written; mend what is not.")
@catalog_option
@click.option(
    "--mend",
    is_flag=True,
    help="Remove what no reader reads: parts that no record names, records that cannot be read, "
    "unfinished work. Note damaged videos, so that the same ingest looks at them again.",
)
@format_options
@quiet_option
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    catalog: Catalog,
    mend: bool,
    kind: str | None,
    out: Path | None,
    quiet: bool,
) -> None:
    """Read every byte of a catalog and tell what is not as it was written.

    Finds each flipped bit of every file, files that are missing, swapped or at odds with each
    other, parts that no record names, unfinished work, and files that are not facelake's. The exit
    code is 0 when there is no trouble, or none left, and 1 otherwise.

    --mend removes nothing that can be read, nothing while an ingest is at work, and no stranger.

    \b
    facelake verify -c catalogs/tv
    facelake verify -c catalogs/tv --mend
    """  # noqa: D301
    kind = check_format(kind, out)
    report = catalog.verify(mend=mend, progress=not quiet)
    if len(report) or kind != "table":
        emit(report.table, kind, out, shown=report.table.select(list(_SHOWN_TROUBLES)))
    click.echo(str(report), err=True)
    ctx.exit(FAILED if report.n_left else DONE)


@click.command(short_help="Which time was looked at, and which never was.")
@catalog_option
@click.option(
    "--video",
    "videos",
    multiple=True,
    metavar="NAME",
    help="Only this video, by id, path or file name; may be given several times.  [default: all]",
)
@click.option(
    "--tolerance-s",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    help="Time between two samples no further apart than this counts as looked at; 0 counts the "
    "frames alone.  [default: twice the sampling period]",
)
@click.option("--pieces", is_flag=True, help="Print each stretch of time, not a video's totals.")
@click.option(
    "--space",
    metavar="NAME",
    help="Whose ingests, where the catalog holds several models'; facelake info lists them.",
)
@format_options
def coverage(
    catalog: Catalog,
    videos: tuple[str, ...],
    pieces: bool,
    kind: str | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Which time of each video was looked at, and which never was.

    Each video's time is examined, carried (the picture did not change from the look before),
    undecodable, or not_examined. Where no span is found, this says whether anybody looked.

    Without --pieces the table shows seconds by video. csv, json and parquet hold every stretch:
    video_id, path, start_s, end_s, state, sample_fps and run of the ingest that looked, and a note
    that says why time is dark.

    \b
    facelake coverage -c catalogs/tv
    facelake coverage -c catalogs/tv --video film.mp4 --pieces
    facelake coverage -c catalogs/tv --format csv > coverage.csv
    """  # noqa: D301
    kind = check_format(kind, out)
    found = catalog.coverage(videos or None, **options)
    emit(found, kind, out, shown=_for_people(found if pieces else total_coverage(found)))


def _for_people(table: pa.Table) -> pa.Table:
    """The columns a person reads, with the file's name for the path."""
    names = [Path(path).name for path in table["path"].to_pylist()]
    shown = table.drop_columns(["video_id", "path"])
    return shown.add_column(0, "video", pa.array(names, pa.string()))
