"""The command that says who each track is, and how sure: decide."""

from __future__ import annotations

from pathlib import Path

import click

from facelake.catalog import Catalog
from facelake.cli.common import (
    DASH,
    catalog_option,
    check_format,
    emit,
    format_options,
    space_option,
)
from facelake.decide import TIERS

_SHOWN = ["video_id", "track_id", "start_s", "end_s", "identity", "tier", "score", "margin",
          "z_score", "rank", "rule"]  # fmt: skip


@click.command(short_help="Who each track is: certain, likely or unknown, and by which rule.")
@catalog_option
@click.option(
    "--threshold",
    "-t",
    type=click.FloatRange(min=-1.0, max=1.0),
    help="The score you ask at; the tiers follow from it.  [default: the catalog's own, see "
    "facelake calibrate]",
)
@click.option(
    "--min-margin",
    type=click.FloatRange(min=0.0, max=2.0),
    default=0.10,
    show_default=True,
    help="Least score above that with anybody else, for certain.",
)
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    type=click.Choice(TIERS),
    help="Only this tier; may be given several times.  [default: all]",
)
@space_option
@format_options
def decide(
    catalog: Catalog,
    threshold: float | None,
    min_margin: float,
    tiers: tuple[str, ...],
    space: str | None,
    kind: str | None,
    out: Path | None,
) -> None:
    """Who each track is, how sure that is, and by which rule.

    One face takes a higher score than a short track, and that a higher one than a track whose faces
    are a second and more apart. certain: all the faces that are asked agree, and score 0.10 more
    than it takes to be likely. conflict: one track holds two people. The identity of an unknown is
    whom it is most like.

    rank is the place of the score among all faces of the archive (1: none is more like this
    person), z_score how many standard deviations it lies above the scores of strangers.

    \b
    facelake decide -c catalogs/tv -t 0.30
    facelake decide -c catalogs/tv --tier certain --tier conflict --format csv > sure.csv
    """  # noqa: D301
    kind = check_format(kind, out)
    found = catalog.decide(catalog.gallery(space), threshold=threshold, min_margin=min_margin)
    chosen = found.of(*tiers) if tiers else found
    facts: dict[str, str | float] = {
        "space": found.space,
        "gallery_version": found.gallery_version,
        "threshold": found.bars.threshold,
        "threshold_note": found.threshold_note,
    }
    emit(chosen.table, kind, out, shown=chosen.table.select(_SHOWN), facts=facts)
    where = "" if out is None or str(out) == DASH else f"{out}: "
    click.echo(f"{where}{found!r}", err=True)
