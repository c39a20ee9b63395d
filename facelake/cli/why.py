"""Commands that account for answers: explain, why-not, audit."""

from __future__ import annotations

import json
from functools import partial
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
    format_options,
    quiet_option,
    rules_options,
    space_option,
)
from facelake.tabular import write_file

_SHOWN_SHARES = ("what", "where", "share", "low", "high", "n_counted", "n_total", "n_instants")


_rules = partial(rules_options, where=False)
_PACK = click.option(
    "--pack",
    metavar="NAME|FOLDER",
    help="Models to look again with.  [default: those the videos were ingested with]",
)
_DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where models run; cuda never falls back to the CPU.",
)


@click.command(short_help="Everything that is known of a face, and why it counts as it does.")
@click.argument("face_id")
@catalog_option
@click.option("--identity", metavar="NAME", help="About whom.  [default: whom it counts as]")
@click.option("--video-id", metavar="ID", help="Where the face is.  [default: looks everywhere]")
@_rules
@space_option
@format_options
def explain(
    face_id: str, catalog: Catalog, kind: str | None, out: Path | None, **asked: Any
) -> None:
    """Everything that is known of a face: where it is, how good, whom it is like and how much.

    FACE_ID is a face of the catalog, such as the best_face_id of a span. The answer says which
    photo gave the score, who comes next and by how much, which embedding was compared, the span it
    is in and the threshold at which it would leave, and nearly equal faces elsewhere.

    json holds all of it; csv and parquet hold the face's score with every exemplar.

    \b
    facelake explain 0adc9e5c10c0ba30 -c catalogs/tv -t 0.30
    facelake explain 0adc9e5c10c0ba30 -c catalogs/tv --identity "Ann Lee" --format json
    """  # noqa: D301
    kind = check_format(kind, out)
    found = catalog.explain(face_id, **asked)
    _emit_told(found.table, repr(found), found.to_dict(), kind, out)


@click.command("why-not", short_help="Why somebody is not found at an instant.")
@click.argument("video")
@click.argument("time_s", type=float)
@click.argument("identity")
@catalog_option
@_rules
@space_option
@click.option(
    "--look/--no-look",
    default=True,
    show_default=True,
    help="Open the video and look again where nothing was detected or a face was not embedded.",
)
@_PACK
@_DEVICE
@format_options
def why_not(
    video: str,
    time_s: float,
    identity: str,
    catalog: Catalog,
    kind: str | None,
    out: Path | None,
    **asked: Any,
) -> None:
    """Why IDENTITY is not found in VIDEO at TIME_S: the first reason that holds, with its numbers.

    VIDEO is an id, a path or a file name, TIME_S a time in seconds. The reason is one of:
    video_unknown, video_forgotten, video_failed, outside, not_sampled, not_decodable, forgotten,
    not_detected, below_entry, too_few_hits, too_short, too_small, too_poor, not_embedded, negative,
    like_another, vetoed, below_threshold; or found, with the span.

    Where nothing was detected the frame is looked at again, and the answer says what a lower
    detector threshold and a larger input would have given.

    \b
    facelake why-not film.mp4 12.5 "Ann Lee" -c catalogs/tv -t 0.30
    facelake why-not film.mp4 12.5 "Ann Lee" -c catalogs/tv -t 0.30 --min-hits 3 --format json
    """  # noqa: D301
    kind = check_format(kind, out)
    found = catalog.why_not(video, time_s, identity, **asked)
    _emit_told(found.table, repr(found), found.to_dict(), kind, out)


@click.command(short_help="What share of the faces was missed.")
@catalog_option
@click.option(
    "--n",
    type=click.IntRange(min=20),
    default=200,
    show_default=True,
    help="Instants to look at again; four times as many halve the interval.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same draws the same.")
@click.option(
    "--det-size",
    type=click.IntRange(min=32),
    default=1280,
    show_default=True,
    help="Longer side of the larger input in pixels, a multiple of 32.",
)
@click.option(
    "--det-threshold",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    help="Lowest detection score of a face that counts.  [default: that of each video's ingest]",
)
@click.option("--summary", is_flag=True, help="Write the shares to --out, not the faces.")
@_PACK
@_DEVICE
@space_option
@format_options
@quiet_option
def audit(
    catalog: Catalog,
    kind: str | None,
    out: Path | None,
    summary: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """What share of the faces was missed: random instants of the videos are looked at again.

    The instants are drawn from the time that nobody looked at, from examined time without a face
    and from examined time with faces, and each is looked at as the ingest did, with a larger input,
    and that mirrored. The shares are of the whole archive's time, with 95 % intervals, by stratum
    and by size of face. What no look sees is not known to be missed: docs/why.md.

    The table shows the shares. csv, json and parquet hold every face that the strongest look saw,
    whether the catalog has it and where it is; --summary writes the shares instead.

    \b
    facelake audit -c catalogs/tv
    facelake audit -c catalogs/tv --n 800 --out outputs/audit.csv
    facelake audit -c catalogs/tv --summary --format json
    """  # noqa: D301
    kind = check_format(kind, out)
    found = catalog.audit(progress=not quiet, **asked)
    shares = found.summary.select(list(_SHOWN_SHARES))
    emit(found.summary if summary else found.table, kind, out, shown=shares)
    click.echo(repr(found), err=True)


def _emit_told(
    table: pa.Table, told: str, record: dict[str, Any], kind: str, out: Path | None
) -> None:
    """Print one answer: sentences for people, all of it as JSON, else a table."""
    to_file = out is not None and str(out) != DASH
    if kind not in ("table", "json"):
        emit(table, kind, out, shown=table)
        return
    text = told
    if kind == "json":
        text = json.dumps(record, indent=1, ensure_ascii=False, default=str)
    if to_file and out is not None:
        write_file(out, lambda part: part.write_text(text + "\n", "utf-8"))
    else:
        click.echo(text.encode() if kind == "json" else text)
