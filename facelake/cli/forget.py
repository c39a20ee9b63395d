"""Commands about personal data: describe, forget, purge."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from facelake.catalog import Catalog, open_catalog
from facelake.cli.common import (
    DONE,
    DONE_WITH_FAILURES,
    FAILED,
    catalog_option,
    check_format,
    emit,
    format_options,
    kind_option,
    render,
)
from facelake.forget import Expired, ForgetReport, find_expired
from facelake.words import counted

Command = Callable[..., Any]

_EXPIRED = pa.schema(
    [
        pa.field("catalog", pa.string(), nullable=False),
        pa.field("retain_until", pa.string(), nullable=False),
        pa.field("purpose", pa.string()),
        pa.field("contact", pa.string()),
        pa.field("size_bytes", pa.int64(), nullable=False),
    ]
)


def _careful_options(command: Command) -> Command:
    """``--dry-run`` and ``--yes`` of commands that cannot be undone."""
    command = click.option("--yes", "-y", is_flag=True, help="Do not ask first.")(command)
    return click.option("--dry-run", is_flag=True, help="Say what would go, and touch nothing.")(
        command
    )


@click.command(short_help="What a catalog is for, until when it may be kept, whom to ask.")
@catalog_option
@click.option("--purpose", metavar="TEXT", help="What the catalog is for.")
@click.option(
    "--retain-until",
    metavar="DAY",
    help="The last day on which it may be kept, such as 2027-12-31 (UTC); facelake purge removes "
    "it after that.",
)
@click.option("--contact", metavar="TEXT", help="Who answers for it.")
@kind_option
def describe(catalog: Catalog, kind: str, **notes: str | None) -> None:
    """Note what a catalog is for, until when it may be kept, and who answers for it.

    Without options, say what is noted; an empty TEXT or DAY takes a note away. facelake info shows
    them, too.

    \b
    facelake describe -c catalogs/tv --purpose "Research project 12" \\
        --retain-until 2027-12-31 --contact privacy@example.org
    """  # noqa: D301
    told = catalog.describe(**notes)
    if kind == "json":
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join(f"{name:12s}  {words or '–'}" for name, words in told.items()))


@click.command(short_help="Take a person, faces or a video out of a catalog for good.")
@catalog_option
@click.option("--identity", metavar="NAME", help="Somebody who is enrolled.")
@click.option(
    "--threshold",
    "-t",
    type=click.FloatRange(min=-1.0, max=1.0),
    default=0.30,
    show_default=True,
    help="With --identity: lowest score of a face that is theirs; facelake spans with the same "
    "threshold shows who that is.",
)
@click.option(
    "--face",
    "faces",
    multiple=True,
    metavar="ID",
    help="A face by its face_id; may be given several times.",
)
@click.option("--video", metavar="NAME", help="A whole video, by id, path or file name.")
@click.option(
    "--faces-only",
    is_flag=True,
    help="Keep to the faces that are meant.  [default: their whole tracks, which show the same "
    "person]",
)
@click.option(
    "--outputs",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Look in this folder and below for clips that were cut of them, and remove these, too; "
    "may be given several times.",
)
@_careful_options
@format_options
@click.pass_context
def forget(
    ctx: click.Context,
    /,
    catalog: Catalog,
    dry_run: bool,
    yes: bool,
    kind: str | None,
    out: Path | None,
    **request: Any,
) -> None:
    """Take a person, faces or a video out of a catalog for good.

    Name exactly one of --identity, --face and --video. Every file that holds the faces is written
    anew without them or removed: embeddings, tracks, pictures, enrolled photos, unfinished work.
    Tombstones, which hold neither embedding nor name, keep them out of later ingests. Then all
    files are looked through; the exit code is 3 when the same pictures are left somewhere.

    Copies elsewhere, exports and backups cannot be known. docs/privacy.md says more.

    \b
    facelake forget -c catalogs/tv --identity "Ann Lee" --dry-run
    facelake forget -c catalogs/tv --identity "Ann Lee" --threshold 0.25 --outputs outputs/
    facelake forget -c catalogs/tv --video "interview 12.mp4" --yes
    """  # noqa: D301
    kind = check_format(kind, out)
    refused = False

    def confirm(planned: ForgetReport) -> bool:
        nonlocal refused
        if not yes:
            click.echo(str(planned), err=True)
        refused = not _may(f"forget this in {catalog.path}", yes=yes)
        return not refused

    report = catalog.forget(dry_run=dry_run, confirm=confirm, **request)
    if refused:
        click.echo("nothing was touched", err=True)
        ctx.exit(FAILED)
    click.echo(str(report), err=True)
    emit(report.table, kind, out, shown=report.table)
    ctx.exit(DONE_WITH_FAILURES if report.left else DONE)


@click.command(short_help="Remove the catalogs whose last day has passed.")
@click.argument("roots", nargs=-1, metavar="[ROOT]...", type=click.Path(path_type=str))
@click.option("--expired", is_flag=True, help="Those whose last day has passed; must be given.")
@_careful_options
@format_options
@click.pass_context
def purge(
    ctx: click.Context,
    roots: tuple[str, ...],
    expired: bool,
    dry_run: bool,
    yes: bool,
    kind: str | None,
    out: Path | None,
) -> None:
    """Remove whole catalogs, and their unfinished work, whose last day has passed.

    ROOT is a catalog or a folder with catalogs in it, catalogs/ by default. The last day is what
    facelake describe --retain-until set; a catalog without one is never removed. The exit code is
    3 when a catalog could not be read or removed.

    \b
    facelake purge --expired --dry-run
    facelake purge --expired archive/catalogs --yes
    """  # noqa: D301
    kind = check_format(kind, out)
    if not expired:
        raise click.UsageError("give --expired: no other catalogs are removed")
    found, troubles = find_expired(roots or ("catalogs",))
    for trouble in troubles:
        click.echo(f"facelake: {trouble}", err=True)
    table = _table(found)
    click.echo(f"{counted(len(found), 'catalog')} whose last day has passed", err=True)
    if found and not dry_run:
        if not yes:
            click.echo(render(table, to_terminal=False), err=True)
        if not _may(f"remove {counted(len(found), 'catalog')}", yes=yes):
            click.echo("nothing was touched", err=True)
            ctx.exit(FAILED)
        for one in found:
            open_catalog(one.root).purge()
    emit(table, kind, out, shown=table)
    ctx.exit(DONE_WITH_FAILURES if troubles else DONE)


def _table(found: list[Expired]) -> pa.Table:
    rows = [{"catalog": one.root, "size_bytes": one.size_bytes} | one.told for one in found]
    return pa.Table.from_pylist(rows, schema=_EXPIRED)


def _may(what: str, *, yes: bool) -> bool:
    """Whether a person says yes; where nobody can be asked, ``--yes`` must have been given."""
    if yes:
        return True
    if not _has_terminal():
        raise click.UsageError("there is no terminal to ask on; give --yes, or --dry-run to look")
    return click.confirm(f"{what}? It cannot be undone", default=False, err=True)


def _has_terminal() -> bool:
    return sys.stdin.isatty()
