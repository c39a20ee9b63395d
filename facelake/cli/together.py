"""Commands that add up spans: screentime, together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from facelake.catalog import Catalog
from facelake.cli.common import (
    catalog_option,
    check_format,
    emit,
    find_spans,
    format_options,
    rules_options,
)

_TIMES = ("identity", "seconds", "seconds_max", "n_spans")
_SHOWN = (*_TIMES, "n_videos", "first_video", "first_s", "last_video", "last_s")
_SHOWN_BY_VIDEO = ("video", *_TIMES, "first_s", "last_s")
_LOOKED = ("examined_s", "unexamined_s")


@click.command(short_help="How long everybody is on screen.")
@catalog_option
@rules_options
@click.option("--by-video", is_flag=True, help="One row a video and person, not one a person.")
@click.option(
    "--coverage",
    is_flag=True,
    help="Also tell how many seconds were looked at, and how many never were: in these, they may "
    "be on screen, too.",
)
@format_options
def screentime(
    catalog: Catalog,
    identities: tuple[str, ...],
    by_video: bool,
    coverage: bool,
    kind: str | None,
    out: Path | None,
    **rules: Any,
) -> None:
    """How long each person is on screen, when first and last, and how sure that is.

    seconds is what the spans of facelake spans cover, no moment twice; seconds_max what they cover
    if each began and ended at the far end of what nobody looked at. Videos come in order of path.

    \b
    facelake screentime -c catalogs/tv --threshold 0.30
    facelake screentime -c catalogs/tv -t 0.30 --by-video --format csv > screentime.csv
    facelake screentime -c catalogs/tv -t 0.30 --identity "Ann Lee" --coverage
    """  # noqa: D301
    kind = check_format(kind, out)
    space = rules["space"]
    found = find_spans(catalog, identities, rules)
    looked = catalog.coverage(space=space) if coverage else None
    table = found.screen_time(by_video=by_video, coverage=looked)
    emit(table, kind, out, shown=_for_people(table, by_video=by_video, coverage=coverage))
    if len(found):
        click.echo(f"{found!r}", err=True)


@click.command(short_help="Who is on screen with whom, and how long.")
@catalog_option
@rules_options
@click.option(
    "--matrix",
    is_flag=True,
    help="Everybody against everybody, in seconds; on the diagonal each one's own.",
)
@format_options
def together(
    catalog: Catalog,
    identities: tuple[str, ...],
    matrix: bool,
    kind: str | None,
    out: Path | None,
    **rules: Any,
) -> None:
    """How long each two people are on screen at the same time.

    One row for each two who ever are, the longest time first. jaccard is the share of the time of
    either that is time of both, from 0 to 1.

    \b
    facelake together -c catalogs/tv --threshold 0.30
    facelake together -c catalogs/tv -t 0.30 --matrix --format csv > together.csv
    facelake together -c catalogs/tv -t 0.30 --identity Ann --identity Bob
    """  # noqa: D301
    kind = check_format(kind, out)
    found = find_spans(catalog, identities, rules)
    table = found.together_matrix() if matrix else found.together()
    emit(table, kind, out, shown=table)
    if len(found):
        click.echo(f"{found!r}", err=True)


def _for_people(table: pa.Table, *, by_video: bool, coverage: bool) -> pa.Table:
    """The columns a person reads, with the files' names for the paths."""
    named = (
        {"path": "video"} if by_video else {"first_path": "first_video", "last_path": "last_video"}
    )
    for path, video in named.items():
        names = [Path(one).name for one in table[path].to_pylist()]
        table = table.append_column(video, pa.array(names, pa.string()))
    shown = _SHOWN_BY_VIDEO if by_video else _SHOWN
    return table.select([*shown, *(_LOOKED if coverage else ())])
