"""Commands that put things into a catalog: ingest, reembed, enrol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facelake.catalog import Catalog
from facelake.cli.common import DONE, DONE_WITH_FAILURES, catalog_option, quiet_option
from facelake.results import Gallery

_PACK = click.option(
    "--pack",
    default="buffalo_sc",
    show_default=True,
    metavar="NAME|FOLDER",
    help="Models: buffalo_sc (offline), the name of a folder of insightface's, or a folder with a "
    "manifest.json.",
)
_DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the models run; cuda never falls back to the CPU.",
)


@click.command(short_help="Look at videos once; their faces go into a catalog.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@catalog_option
@click.option(
    "--sample-fps",
    type=click.FloatRange(min=0.0, min_open=True),
    default=5.0,
    show_default=True,
    help="Frames looked at a second, at most.",
)
@click.option("--every-frame", is_flag=True, help="Look at every frame instead.")
@click.option(
    "--decoder",
    type=click.Choice(["auto", "decord", "pyav"]),
    default="auto",
    show_default=True,
    help="auto: decord where the file is proved safe for it, PyAV elsewhere.",
)
@click.option(
    "--det-size",
    type=click.IntRange(min=32),
    default=640,
    show_default=True,
    help="Longer side of the detector's input in pixels, a multiple of 32; more finds smaller "
    "faces.",
)
@click.option(
    "--det-threshold",
    type=click.FloatRange(min=0.0, max=1.0, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="Lowest detection score kept.",
)
@click.option(
    "--embed",
    type=click.Choice(["tracks", "all"]),
    default="tracks",
    show_default=True,
    help="tracks: of each track the faces that say something new; all: every face of every sample.",
)
@click.option(
    "--refine/--no-refine",
    default=True,
    show_default=True,
    help="Look at more frames where somebody comes or goes, until that is known to the frame.",
)
@click.option(
    "--chips",
    is_flag=True,
    help="Keep a picture of every embedded face (112×112, about 4 kB), for facelake reembed and "
    "thumbnails. Off by default: they show people.",
)
@_PACK
@_DEVICE
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Worker processes on this machine.  [default: one per core]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Use the workers of a Dask scheduler that runs already, as tcp://host:8786.",
)
@click.option("--retry-failed", is_flag=True, help="Look again at videos that failed before.")
@quiet_option
@click.pass_context
def ingest(
    ctx: click.Context, /, sources: tuple[str, ...], catalog: Catalog, quiet: bool, **options: Any
) -> None:
    """Look at videos once and put every face into a catalog.

    SOURCE is a file, a folder or a quoted glob such as 'archive/**/*.mp4'. A folder gives the files
    below it that are videos by their names; a file or glob is taken as it is.

    Interrupt it when you like and give the same command again: finished videos are not touched,
    the rest is done. A broken video does not stop the others: it is a row with a reason, and the
    exit code is 3.

    \b
    facelake ingest archive/ -c catalogs/tv
    facelake ingest 'tapes/*.mkv' extra.mp4 -c catalogs/tv --every-frame --embed all
    """  # noqa: D301
    report = catalog.ingest(*sources, progress=not quiet, **options)
    click.echo(str(report), err=True)
    ctx.exit(DONE_WITH_FAILURES if report.n_failed else DONE)


@click.command(short_help="Embed kept faces with another model.")
@catalog_option
@click.option(
    "--pack",
    required=True,
    metavar="NAME|FOLDER",
    help="Models, as for ingest; only the one that embeds is used.",
)
@_DEVICE
@quiet_option
@click.pass_context
def reembed(ctx: click.Context, /, catalog: Catalog, quiet: bool, **options: Any) -> None:
    """Embed the faces of videos that were ingested with --chips again, with another model.

    No video is opened. The new embeddings stand beside the old ones, in a space of their own: enrol
    photos with the same pack, and name the space with --space. Interrupt it when you like and give
    the same command again.

    \b
    facelake ingest archive/ -c catalogs/tv --chips
    facelake reembed -c catalogs/tv --pack buffalo_l
    facelake enrol photos/ -c catalogs/tv --pack buffalo_l
    """  # noqa: D301
    report = catalog.reembed(progress=not quiet, **options)
    click.echo(str(report), err=True)
    ctx.exit(DONE_WITH_FAILURES if report.troubles else DONE)


@click.command(short_help="Say who is who, with photos or faces of the catalog.")
@click.argument("photos", type=click.Path(path_type=Path), required=False)
@catalog_option
@click.option(
    "--identity",
    metavar="NAME",
    help="Who all of PHOTOS shows, whatever folders and files are called; whose face it is.",
)
@click.option(
    "--face",
    "faces",
    multiple=True,
    metavar="FACE_ID",
    help="A face of the catalog instead of a photo; may be given several times.",
)
@click.option(
    "--track",
    "tracks",
    multiple=True,
    metavar="VIDEO:N",
    help="The best faces of a track of the catalog instead of a photo: a video's id or file name "
    "and the track's number; may be given several times.",
)
@click.option(
    "--pack",
    metavar="NAME|FOLDER",
    help="Models, as for ingest.  [default: those the videos were ingested with]",
)
@_DEVICE
@click.option(
    "--replace",
    is_flag=True,
    help="Drop the anchors and grown exemplars that these people had before.",
)
@quiet_option
def enrol(
    photos: Path | None,
    catalog: Catalog,
    faces: tuple[str, ...],
    tracks: tuple[str, ...],
    quiet: bool,
    **options: Any,
) -> None:
    """Say who is who: put the faces of reference photos into the catalog's gallery.

    PHOTOS is a folder with a folder per person or with photos named after the people, or one photo.
    Every usable photo counts; photos with no face, or with several that could be meant, and photos
    that do not look like the person's others are listed. Enrolling a photo twice changes nothing.

    Faces of the catalog's own videos will do as well: --face takes one by its id, as facelake spans
    tells it (best_face_id), --track the best faces of a track, as facelake decide lists them. No
    model is loaded for these.

    \b
    photos/Ann Lee/1.jpg  photos/Ann Lee/2.jpg  photos/Bob.png
    facelake enrol photos/ -c catalogs/tv
    facelake enrol IMG_2041.jpg --identity "Ann Lee" -c catalogs/tv
    facelake enrol --track news.mp4:12 --identity "Ann Lee" -c catalogs/tv
    """  # noqa: D301
    if (photos is None) == (not faces and not tracks):
        raise click.UsageError("name either PHOTOS or faces of the catalog: --face, --track")
    if photos is not None:
        gallery = catalog.enrol(photos, progress=not quiet, **options)
    else:
        gallery = _enrol_faces(catalog, faces, tracks, **options)
    click.echo(repr(gallery), err=True)


def _enrol_faces(
    catalog: Catalog,
    faces: tuple[str, ...],
    tracks: tuple[str, ...],
    *,
    identity: str | None,
    pack: str | None,
    device: str,
    replace: bool,
) -> Gallery:
    if identity is None:
        raise click.UsageError("faces of the catalog need a name: --identity NAME")
    if pack is not None or replace or device != "auto":
        raise click.UsageError("--pack, --device and --replace are for PHOTOS")
    named = []
    for track in tracks:
        video, colon, number = track.rpartition(":")
        if not colon or not number.isdecimal():
            raise click.UsageError(f"--track {track}: must be VIDEO:N, such as news.mp4:12")
        named.append((video, int(number)))
    return catalog.enrol_faces(identity, faces=faces, tracks=named)
