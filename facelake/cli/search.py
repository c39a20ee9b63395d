"""Commands that look for a face or for footage: search, copies."""

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
    format_options,
    quiet_option,
)

_HITS = ("rank", "query", "score", "video", "track_id", "start_s", "end_s", "n_faces",
         "best_time_s", "best_face_id")  # fmt: skip
_COPIES = ("a", "start_a_s", "end_a_s", "b", "start_b_s", "end_b_s", "shared_s", "n_matched",
           "score", "verdict")  # fmt: skip
_SPACE_HELP = (
    "Whose embeddings to compare, where the catalog holds several models'; facelake info lists "
    "them."
)


@click.command(short_help="Has this face appeared anywhere: a photo, a face, a video.")
@click.argument("query", required=False, metavar="[PHOTO|FACE_ID|VIDEO|VIDEO@SECONDS]")
@catalog_option
@click.option("--identity", metavar="NAME", help="Search for an enrolled person instead.")
@click.option(
    "--min-score",
    type=float,
    help="Lowest score (cosine similarity, -1 to 1) that counts.  [default: the threshold that the "
    "catalog keeps, else 0.30]",
)
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="At most so many rows.")
@click.option(
    "--other-videos",
    is_flag=True,
    help="Leave out the query's own video, and the same footage in other videos.",
)
@click.option(
    "--faces",
    "each_face",
    is_flag=True,
    help="Every single face, not a row for each appearance.",
)
@click.option(
    "--face-number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of a photo with several faces only this one; the largest is 1.",
)
@click.option("--space", metavar="NAME", help=_SPACE_HELP)
@click.option("--pack", help="Model pack that looks at a photo.  [default: the one of the videos]")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where it looks at the photo.",
)
@format_options
def search(
    catalog: Catalog,
    query: str | None,
    each_face: bool,
    kind: str | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Where a face appears, over the whole catalog, the most alike first.

    \b
    PHOTO          a picture on disk; each of its faces is searched for
    FACE_ID        a face of the catalog, as best_face_id in tables names it
    VIDEO          everybody in a video of the catalog: its id, path or file name
    VIDEO@SECONDS  the faces at that instant of it

    Every face of the catalog is compared, exactly; a row is an appearance: a track, with its best
    face. A face counts for the query it is most like, and for no other.

    \b
    facelake search photo.jpg -c catalogs/tv
    facelake search news.mp4@12.4 -c catalogs/tv --other-videos --top 20
    facelake search interview.mp4 -c catalogs/tv --other-videos --format csv > elsewhere.csv
    facelake search --identity "Ann Lee" -c catalogs/tv --min-score 0.4 --faces
    """  # noqa: D301
    if (query is None) == (options["identity"] is None):
        raise click.UsageError("a search takes one query, or --identity NAME")
    kind = check_format(kind, out)
    found = catalog.search(query, by="face" if each_face else "track", **options)
    emit(found.table, kind, out, shown=_named(found.table, {"path": "video"}).select(list(_HITS)))
    _say(found, out)


@click.command(short_help="Which videos show the same footage.")
@click.argument("videos", nargs=-1, metavar="[VIDEO...]")
@catalog_option
@click.option("--space", metavar="NAME", help=_SPACE_HELP)
@format_options
@quiet_option
def copies(
    catalog: Catalog,
    videos: tuple[str, ...],
    space: str | None,
    kind: str | None,
    out: Path | None,
    quiet: bool,
) -> None:
    """Which videos show the same footage: re-encoded, scaled, cropped or trimmed copies.

    Told from the faces and their times alone, so footage without faces cannot be compared. A row
    is a stretch that two videos share, from the first face that matches to the last; verdict is
    `same` where that is most of both, else `overlap`. With VIDEO (an id, a path or a file name)
    only what these share with any other.

    \b
    facelake copies -c catalogs/tv
    facelake copies interview.mp4 -c catalogs/tv --format csv > copies.csv
    """  # noqa: D301
    kind = check_format(kind, out)
    found = catalog.copies(list(videos) or None, space=space, progress=not quiet)
    shown = _named(found.table, {"path_a": "a", "path_b": "b"}).select(list(_COPIES))
    emit(found.table, kind, out, shown=shown)
    _say(found, out)


def _named(table: pa.Table, columns: dict[str, str]) -> pa.Table:
    """The table with the names of files beside their paths."""
    for path, name in columns.items():
        files = [Path(one).name for one in table[path].to_pylist()]
        table = table.append_column(name, pa.array(files, pa.string()))
    return table


def _say(found: object, out: Path | None) -> None:
    where = "" if out is None or str(out) == DASH else f"{out}: "
    click.echo(f"{where}{found!r}", err=True)
