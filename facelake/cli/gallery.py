"""Commands about who is looked for: gallery list, audit, grow, not, veto, remove."""

from __future__ import annotations

from pathlib import Path

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
from facelake.gallery import plain_name, refuse_unknown
from facelake.results import Gallery
from facelake.words import counted

_SHOWN = ["identity", "role", "exemplar_id", "photo", "quality", "to_anchors", "nearest",
          "to_nearest", "note"]  # fmt: skip
_COUNTS = ["n_faces", "n_alone"]
_SHOWN_GROWTH = ["identity", "video_id", "time_s", "track_id", "score", "margin", "quality",
                 "likeness", "exemplar_id"]  # fmt: skip


@click.group(cls=ListsByDefault, short_help="Who is looked for: list, grow, veto, not, remove.")
def gallery() -> None:
    """Who is looked for, by which faces, and which faces they are not.

    Anchors are what you enrolled, photos or faces of the catalog, and never change by themselves.
    Grown exemplars are faces of the archive that are surely the same person; each names its face
    and can be vetoed. Negatives are look-alikes: whoever is at least as much like one of them as
    like the person is not that person.

    \b
    facelake gallery -c catalogs/tv                            list, with what does not agree
    facelake gallery grow -c catalogs/tv --dry-run             what would be added
    facelake gallery not FACE_ID --identity "Ann Lee" -c catalogs/tv
    facelake gallery audit -c catalogs/tv -t 0.30              what each one brings in
    facelake gallery veto EXEMPLAR_ID -c catalogs/tv

    `facelake gallery OPTIONS` is `facelake gallery list OPTIONS`.
    """  # noqa: D301


@gallery.command("list", short_help="Everybody, and whose photos do not agree.")
@catalog_option
@click.option("--identity", metavar="NAME", help="Only this person.  [default: everybody]")
@space_option
@format_options
def list_(
    catalog: Catalog, identity: str | None, space: str | None, kind: str | None, out: Path | None
) -> None:
    """Every exemplar: its role, how like the person's anchors it is, and whom else it is like.

    to_anchors is its best score with another anchor of the same person, to_nearest that with the
    most similar other person. The note says where a photo seems to be of somebody else.

    \b
    facelake gallery list -c catalogs/tv
    facelake gallery list -c catalogs/tv --identity "Ann Lee" --format csv > ann.csv
    """  # noqa: D301
    kind = check_format(kind, out)
    known = catalog.gallery(space)
    members = _of(known.members(), known, identity)
    emit(members, kind, out, shown=members.select(_SHOWN), facts={"gallery_version": known.version})
    _tell(known)


@gallery.command(short_help="What each exemplar brings in.")
@catalog_option
@click.option(
    "--threshold",
    "-t",
    type=click.FloatRange(min=-1.0, max=1.0),
    help="Lowest score that counts.  [default: the catalog's own, see facelake calibrate]",
)
@click.option("--identity", metavar="NAME", help="Only this person.  [default: everybody]")
@space_option
@format_options
def audit(
    catalog: Catalog,
    threshold: float | None,
    identity: str | None,
    space: str | None,
    kind: str | None,
    out: Path | None,
) -> None:
    """What each exemplar does in the archive today.

    n_faces is how many faces of the person it brings in at the threshold, n_alone how many of them
    no other exemplar of the person would. A grown exemplar that brings in many alone is one to look
    at: either it closes a gap, or it is of somebody else and `facelake gallery veto` ends that.

    \b
    facelake gallery audit -c catalogs/tv -t 0.30
    facelake gallery audit -c catalogs/tv -t 0.30 --identity "Ann Lee" --format json
    """  # noqa: D301
    kind = check_format(kind, out)
    known = catalog.gallery(space)
    members = _of(known.audit(threshold), known, identity)
    shown = members.select([*_SHOWN[:4], *_COUNTS, *_SHOWN[4:]])
    emit(members, kind, out, shown=shown, facts={"gallery_version": known.version})
    _tell(known)


@gallery.command(short_help="Add faces of the archive that are surely the same person.")
@catalog_option
@click.option("--identity", metavar="NAME", help="Only this person.  [default: everybody]")
@click.option(
    "--add-threshold",
    type=click.FloatRange(min=-1.0, max=1.0),
    help="Lowest score with an anchor, well above the threshold you ask at: a wrong answer is one "
    "row, a wrong exemplar brings in all its likenesses.  [default: the catalog's own + 0.20]",
)
@click.option(
    "--min-margin",
    type=click.FloatRange(min=0.0, max=2.0),
    help="Least score above that with anybody else.  [default: 0.15]",
)
@click.option(
    "--min-quality",
    type=click.FloatRange(min=0.0, max=1.0),
    help="Lowest quality of the face.  [default: 0.5]",
)
@click.option("--max-per-video", type=click.IntRange(min=1), help="[default: 4]")
@click.option("--max-per-identity", type=click.IntRange(min=1), help="[default: 20]")
@click.option("--dry-run", is_flag=True, help="Say what would be added; change nothing.")
@space_option
@format_options
def grow(
    catalog: Catalog, kind: str | None, out: Path | None, identity: str | None, **rules: object
) -> None:
    """Add faces of the archive to the gallery that are surely its people and say more of them.

    Who may be added is decided by the anchors alone, what you enrolled: what grew before has no
    say, so a gallery cannot wander off. A face nearer to a negative, or nearly equal to a vetoed
    exemplar, is never added. Growing again adds nothing new.

    \b
    facelake gallery grow -c catalogs/tv --add-threshold 0.50 --dry-run
    facelake gallery grow -c catalogs/tv --identity "Ann Lee" --out outputs/grown.csv
    """  # noqa: D301
    kind = check_format(kind, out)
    grown = catalog.grow_gallery(identity, **rules)  # type: ignore[arg-type]
    emit(grown.table, kind, out, shown=grown.table.select(_SHOWN_GROWTH))
    where = "" if out is None or str(out) == DASH else f"{out}: "
    click.echo(f"{where}{grown!r}", err=True)


@gallery.command("not", short_help="Say that a face is not a person.")
@click.argument("faces", nargs=-1, metavar="[FACE_ID]...")
@catalog_option
@click.option("--identity", required=True, metavar="NAME", help="Who it is not.")
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    help="A photo of the look-alike, or a folder of them, instead of faces of the catalog.",
)
@space_option
def not_(
    faces: tuple[str, ...], catalog: Catalog, identity: str, photos: Path | None, space: str | None
) -> None:
    """Say that faces are not a person, however alike.

    A face that is at least as much like one of these as like any exemplar of the person is not that
    person from now on, and is held against the others. Nobody's score ever rises by it. FACE_ID is
    in the column best_face_id of `facelake spans`.

    \b
    facelake gallery not 9f86d081884c7d65 --identity "Ann Lee" -c catalogs/tv
    facelake gallery not --photos twin.jpg --identity "Ann Lee" -c catalogs/tv
    """  # noqa: D301
    known = catalog.add_negative(identity, faces=faces, photos=photos, space=space)
    click.echo(repr(known), err=True)


@gallery.command(short_help="Let exemplars take part no more.")
@click.argument("exemplars", nargs=-1, required=True, metavar="EXEMPLAR_ID...")
@catalog_option
@space_option
def veto(exemplars: tuple[str, ...], catalog: Catalog, space: str | None) -> None:
    """Let exemplars take part no more: not compared, and neither they nor their twins grown again.

    \b
    facelake gallery veto 9f86d081884c7d65 -c catalogs/tv
    """  # noqa: D301
    known = catalog.veto(*exemplars, space=space)
    click.echo(f"{counted(len(exemplars), 'exemplar')} vetoed\n{known!r}", err=True)


@gallery.command(short_help="Take exemplars out of the gallery.")
@click.argument("exemplars", nargs=-1, required=True, metavar="EXEMPLAR_ID...")
@catalog_option
@space_option
def remove(exemplars: tuple[str, ...], catalog: Catalog, space: str | None) -> None:
    """Take exemplars out of the gallery, of whatever role; also takes back a veto or a "not".

    A grown one may be grown again: veto it to keep it out.

    \b
    facelake gallery remove 9f86d081884c7d65 -c catalogs/tv
    """  # noqa: D301
    known = catalog.remove_exemplars(*exemplars, space=space)
    click.echo(f"{counted(len(exemplars), 'exemplar')} removed\n{known!r}", err=True)


def _of(members: pa.Table, known: Gallery, identity: str | None) -> pa.Table:
    """The members that are of one identity, or all."""
    if identity is None:
        return members
    name = plain_name(identity)
    refuse_unknown(name, [*known.identities, *known.without_exemplar])
    return members.filter(pa.array([one == name for one in members["identity"].to_pylist()]))


def _tell(known: Gallery) -> None:
    click.echo(f"{known!r}\nversion {known.version}", err=True)
