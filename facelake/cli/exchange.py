"""Commands that hand a catalog's tables on and take other tools' in: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from facelake.catalog import Catalog
from facelake.cli.common import DONE, DONE_WITH_FAILURES, catalog_option, quiet_option, space_option
from facelake.exchange import export_visage, import_visage
from facelake.exchange.dataset import TABLES
from facelake.exchange.parquet import EmbeddingKind
from facelake.exchange.visage import DEFAULT_SPACE
from facelake.lake import Lake
from facelake.progress import count_bar
from facelake.query import choose_space

_VISAGE = "visage:"


@click.command(short_help="Write the tables as Parquet that every tool opens.")
@catalog_option
@click.option(
    "--to",
    required=True,
    metavar="DIR|FILE|visage:DIR",
    help="A new folder; for one table a FILE.parquet; or visage:DIR for the files of Visage.",
)
@click.option(
    "--tables",
    metavar="NAMES",
    help=f"Which tables, with commas between: {','.join(TABLES)}.  [default: all of them in a "
    "folder, faces in a file]",
)
@click.option(
    "--embeddings",
    type=click.Choice(get_args(EmbeddingKind)),
    help="Lists of 32-bit or 16-bit floats, the bytes of the catalog, or none.  "
    "[default: list-f32]",
)
@click.option(
    "--video",
    "videos",
    multiple=True,
    metavar="NAME",
    help="Only this video, by id, path or file name; may be given several times.  [default: all]",
)
@space_option
@click.option("--overwrite", is_flag=True, help="Replace an earlier export, as a whole.")
@quiet_option
def export(
    catalog: Catalog,
    to: str,
    tables: str | None,
    embeddings: str | None,
    videos: tuple[str, ...],
    quiet: bool,
    **options: Any,
) -> None:
    """Write a catalog's tables as Parquet files that every tool opens.

    A folder gets a folder a table, a README.md and a schema.json that name every column; what
    several ingests of a video hold twice appears once. The files are there as a whole or not at
    all. They hold biometric data: hand them on with care.

    visage:DIR writes detections.csv, embeddings.hdf5 and metadata.json, a folder a video.

    \b
    facelake export -c catalogs/tv --to outputs/tv
    facelake export -c catalogs/tv --to faces.parquet --embeddings none
    facelake export -c catalogs/tv --to visage:outputs/visage --video film.mp4
    """  # noqa: D301
    options["videos"] = videos or None
    if to.startswith(_VISAGE):
        if tables is not None or embeddings is not None:
            raise click.UsageError("--tables and --embeddings are of Parquet, not of visage:DIR")
        report = _export_visage(catalog, to.removeprefix(_VISAGE), quiet=quiet, **options)
    else:
        names = None if tables is None else [name.strip() for name in tables.split(",")]
        options["embeddings"] = embeddings or "list-f32"
        report = str(catalog.export(to, tables=names, progress=not quiet, **options))
    click.echo(report, err=True)


def _export_visage(
    catalog: Catalog, folder: str, *, space: str | None, quiet: bool, **options: Any
) -> str:
    lake = Lake.open(catalog.path)
    chosen = choose_space(lake, space, for_gallery=False)
    with count_bar("videos", show=not quiet) as update:
        return str(export_visage(lake, folder, space=chosen, progress=update, **options))


@click.group("import", short_help="Take in what other tools found.")
def import_() -> None:
    """Take in what other tools found.

    \b
    facelake import visage results/film -c catalogs/tv
    """  # noqa: D301


@import_.command("visage", short_help="Videos that Visage looked at.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@catalog_option
@click.option(
    "--video",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The video's file.  [default: the filepath of metadata.json, or its name beside DIR]",
)
@click.option(
    "--space",
    metavar="NAME",
    default=DEFAULT_SPACE,
    show_default=True,
    help="Name for the model that made the embeddings; only those of one space are compared.",
)
@quiet_option
@click.pass_context
def import_visage_command(
    ctx: click.Context, /, folder: Path, catalog: Catalog, quiet: bool, **options: Any
) -> None:
    """Take in videos that Visage looked at.

    DIR holds detections.csv, embeddings.hdf5 and metadata.json, or folders that do. The video's
    file is needed too, for the times of its frames; it is not decoded. Importing the same again
    replaces what was there.

    \b
    facelake import visage results/film -c catalogs/tv --video archive/film.mp4
    """  # noqa: D301
    with count_bar("videos", show=not quiet) as update:
        report = import_visage(catalog.path, folder, progress=update, **options)
    click.echo(str(report), err=True)
    ctx.exit(DONE_WITH_FAILURES if report.errors else DONE)
