"""The command `people`: who appears, and saying who they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import pyarrow as pa

from facelake.catalog import Catalog
from facelake.cli.common import (
    DASH,
    ListsByDefault,
    catalog_option,
    check_format,
    emit,
    format_options,
    space_option,
)
from facelake.words import counted

Command = TypeVar("Command", bound=Callable[..., Any])

_PEOPLE = ("person_id", "name", "n_tracks", "n_videos", "seconds", "best_face_id", "best_time_s",
           "cos_to_mean_min", "identity", "score", "n_conflicts")  # fmt: skip
_TRACKS = ("person_id", "name", "video", "track_id", "start_s", "end_s", "n_faces", "best_face_id",
           "best_time_s", "score", "cos_to_mean_min")  # fmt: skip
_LABELS = ("created_utc", "face_id", "kind", "name", "person_id", "author", "evidence")


def _clustering_options(command: Command) -> Command:
    """``--threshold`` and ``--space``, which decide who is one person."""
    command = space_option(command)
    return click.option(
        "--threshold",
        "-t",
        type=float,
        help="Lowest score (cosine similarity, -1 to 1) of two people that are taken for one; "
        "lower joins more.  [default: 0.40, or the catalog's own where that is higher]",
    )(command)


def _saying_options(command: Command) -> Command:
    """``--evidence`` and ``--author``."""
    command = click.option("--author", metavar="NAME", help="Who says so.")(command)
    return click.option("--evidence", metavar="TEXT", help="Why, for people to read.")(command)


@click.group(cls=ListsByDefault, short_help="Who appears, named or not; say who they are.")
def people() -> None:
    """Who appears in the videos, whether or not anybody said who they are.

    Without a command it is `list`. PERSON is a person_id, its first 4 digits or more, or a name.
    What you say is kept as labels of faces, so it survives another threshold, new videos and
    another model.

    \b
    facelake people -c catalogs/tv                       everybody, longest seen first
    facelake people -c catalogs/tv --strangers           those like nobody who is enrolled
    facelake people tracks 3f21 -c catalogs/tv           where and when, with the best faces
    facelake people name 3f21 "Ann Lee" -c catalogs/tv
    facelake people merge "Ann Lee" 77ab -c catalogs/tv
    facelake people split "Ann Lee" 0a1b2c3d4e5f6071 --name Bob -c catalogs/tv
    facelake people enrol "Ann Lee" -c catalogs/tv       find her with facelake spans, too
    """  # noqa: D301


@people.command("list", short_help="Everybody, longest seen first.")
@catalog_option
@_clustering_options
@click.option(
    "--strangers",
    is_flag=True,
    help="Only those without a name who are like nobody who is enrolled.",
)
@click.option(
    "--min-tracks",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Leave out people with fewer tracks; those that are named stay.",
)
@format_options
def list_people(
    catalog: Catalog, strangers: bool, kind: str | None, out: Path | None, **options: Any
) -> None:
    """Everybody who appears, longest seen first.

    seconds is the time within their tracks; cos_to_mean_min how alike the track is that is least
    like the others; identity who of the gallery they are most like, and score how much.

    \b
    facelake people -c catalogs/tv
    facelake people list -c catalogs/tv --strangers --min-tracks 3
    facelake people -c catalogs/tv --threshold 0.45 --format csv > people.csv
    """  # noqa: D301
    kind = check_format(kind, out)
    found = catalog.people(**options)
    shown = found.strangers() if strangers else found
    emit(shown.table, kind, out, shown=shown.table.select(list(_PEOPLE)))
    _say(repr(shown), out)


@people.command("tracks", short_help="Where and when people appear, track by track.")
@click.argument("person", required=False)
@catalog_option
@_clustering_options
@format_options
def list_tracks(
    catalog: Catalog, person: str | None, kind: str | None, out: Path | None, **options: Any
) -> None:
    """Where and when a person appears, or everybody: a row for each track.

    score is how alike a track is with all of its person's; cos_to_mean_min how alike its own faces
    are: below 0.4 or so a track may show two people.

    \b
    facelake people tracks 3f21 -c catalogs/tv
    facelake people tracks -c catalogs/tv --format parquet --out tracks.parquet
    """  # noqa: D301
    kind = check_format(kind, out)
    found = catalog.people(**options)
    table = found.tracks if person is None else found.tracks_of(person)
    files = pa.array([Path(path).name for path in table["path"].to_pylist()], pa.string())
    emit(table, kind, out, shown=table.append_column("video", files).select(list(_TRACKS)))
    _say(counted(len(table), "track"), out)


@people.command("conflicts", short_help="What labels say that does not go together.")
@catalog_option
@_clustering_options
@format_options
def list_conflicts(catalog: Catalog, kind: str | None, out: Path | None, **options: Any) -> None:
    """What labels say that does not go together, with one another or with the pictures.

    \b
    two_names     faces of one track have several names
    not_named     a track has a name that one of its faces does not have
    same_instant  two tracks of one name share an instant
    unlike        a track scores below the threshold with the others of its name
    lost          the labelled face is in no track

    \b
    facelake people conflicts -c catalogs/tv
    """  # noqa: D301
    kind = check_format(kind, out)
    table = catalog.people(**options).conflicts
    emit(table, kind, out, shown=table)
    _say(counted(len(table), "conflict"), out)


@people.command("name", short_help="Say who somebody is.")
@click.argument("person")
@click.argument("name", required=False)
@click.option("--clear", is_flag=True, help="Take back whatever was said of their faces.")
@catalog_option
@_clustering_options
@_saying_options
def name_somebody(
    catalog: Catalog, person: str, name: str | None, clear: bool, **options: Any
) -> None:
    """Say who somebody is: the best face of each of their tracks is labelled.

    Give the --threshold that PERSON was listed with.

    \b
    facelake people name 3f21 "Ann Lee" -c catalogs/tv --evidence "caption at 12.4 s"
    facelake people name "Ann Lee" --clear -c catalogs/tv
    """  # noqa: D301
    if (name is None) != clear:
        raise click.UsageError("give a NAME, or --clear")
    _tell(catalog.name_person(person, name, **options), catalog)


@people.command("merge", short_help="Say that several people are one.")
@click.argument("persons", nargs=-1, required=True, metavar="PERSON PERSON...")
@click.option("--name", help="Who it is.  [default: the name that one of them has, or none]")
@catalog_option
@_clustering_options
@_saying_options
def merge_somebody(catalog: Catalog, persons: tuple[str, ...], **options: Any) -> None:
    """Say that several people are one.

    \b
    facelake people merge 3f21 77ab -c catalogs/tv
    facelake people merge 3f21 77ab 9c0d --name "Ann Lee" -c catalogs/tv
    """  # noqa: D301
    _tell(catalog.merge_people(*persons, **options), catalog)


@people.command("split", short_help="Say that some tracks of a person are somebody else's.")
@click.argument("person")
@click.argument("faces", nargs=-1, required=True, metavar="FACE_ID...")
@click.option("--name", help="Who that is.  [default: nobody knows]")
@catalog_option
@_clustering_options
@_saying_options
def split_somebody(catalog: Catalog, person: str, faces: tuple[str, ...], **options: Any) -> None:
    """Say that the tracks of some faces are not this person's.

    `facelake people tracks PERSON` names a face of each track.

    \b
    facelake people split "Ann Lee" 0a1b2c3d4e5f6071 --name Bob -c catalogs/tv
    """  # noqa: D301
    _tell(catalog.split_person(person, faces, **options), catalog)


@people.command("label", short_help="Say of one face who it is or is not.")
@click.argument("face_id")
@click.argument("name", required=False)
@click.option(
    "--kind",
    type=click.Choice(["is", "is_not", "none"]),
    default="is",
    show_default=True,
    help="is_not: somebody else; none: take back what was said of this face.",
)
@click.option("--space", metavar="NAME", help="Where to look for the face.")
@catalog_option
@_saying_options
def label_somebody(catalog: Catalog, face_id: str, name: str | None, **options: Any) -> None:
    """Say of one face who it is or is not.

    \b
    facelake people label 0a1b2c3d4e5f6071 "Ann Lee" -c catalogs/tv
    facelake people label 0a1b2c3d4e5f6071 "Ann Lee" --kind is_not -c catalogs/tv
    facelake people label 0a1b2c3d4e5f6071 --kind none -c catalogs/tv
    """  # noqa: D301
    _tell(catalog.label(face_id, name, **options), catalog)


@people.command("labels", short_help="Everything that was said of faces.")
@catalog_option
@format_options
def list_labels(catalog: Catalog, kind: str | None, out: Path | None) -> None:
    """Everything that was said of faces, oldest first. The newest label of a face counts.

    A name that begins with # is nobody's: faces so called are one person, whoever it is.

    \b
    facelake people labels -c catalogs/tv --format csv > labels.csv
    """  # noqa: D301
    kind = check_format(kind, out)
    table = catalog.labels()
    emit(_with_sides(table), kind, out, shown=table.select(list(_LABELS)))
    _say(counted(len(table), "label"), out)


@people.command("enrol", short_help="Put somebody into the gallery.")
@click.argument("person")
@click.option("--identity", metavar="NAME", help="Enrolled as.  [default: their name]")
@catalog_option
@_clustering_options
def enrol_somebody(catalog: Catalog, person: str, **options: Any) -> None:
    """Put somebody into the gallery by the best faces of their best tracks, 8 at most.

    \b
    facelake people enrol "Ann Lee" -c catalogs/tv
    facelake people enrol 3f21 --identity "Ann Lee" -c catalogs/tv
    """  # noqa: D301
    click.echo(repr(catalog.enrol_person(person, **options)), err=True)


def _with_sides(labels: pa.Table) -> pa.Table:
    """The labels with a column for each side of the box: CSV has no lists."""
    sides = labels["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    labels = labels.drop_columns(["bbox_xyxy"])
    for number, side in enumerate(("x1", "y1", "x2", "y2")):
        labels = labels.append_column(side, pa.array(sides[:, number], pa.float32()))
    return labels


def _tell(labels: pa.Table, catalog: Catalog) -> None:
    click.echo(f"{catalog.path}: {counted(len(labels), 'label')} added", err=True)


def _say(what: str, out: Path | None) -> None:
    where = "" if out is None or str(out) == DASH else f"{out}: "
    click.echo(f"{where}{what}", err=True)
