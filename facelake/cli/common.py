"""Options and output that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import pyarrow as pa
from pyarrow import csv

from facelake.catalog import Catalog, Spans, open_catalog, to_json, write_tabular
from facelake.gallery import refuse_unknown

DONE, FAILED, WRONG_USAGE, DONE_WITH_FAILURES = 0, 1, 2, 3

Command = TypeVar("Command", bound=Callable[..., Any])


def catalog_option(command: Command) -> Command:
    """``-c CATALOG``: the catalog's folder."""
    return click.option(
        "-c",
        "--catalog",
        "catalog",
        required=True,
        metavar="CATALOG",
        type=click.Path(path_type=Path),
        callback=lambda _ctx, _option, path: open_catalog(path),
        help="The catalog's folder, such as catalogs/tv.",
    )(command)


def rules_options(command: Command) -> Command:
    """The options that decide spans, in one order everywhere."""
    seconds = click.FloatRange(min=0.0)
    options = [
        click.option(
            "--threshold",
            "-t",
            type=float,
            required=True,
            help="Lowest score (cosine similarity, -1 to 1) that starts a span; 0.30 is a place to "
            "start with buffalo_sc.",
        ),
        click.option(
            "--exit-threshold",
            type=float,
            help="Lowest score that continues a span.  [default: the threshold]",
        ),
        click.option(
            "--min-hits",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Fewest samples with the person that a span must hold.",
        ),
        click.option(
            "--miss-s",
            type=seconds,
            help="Seconds between two hits with looks that did not find the person.  "
            "[default: 1, and at least one missed sample]",
        ),
        click.option(
            "--blind-s",
            type=seconds,
            help="Seconds for which nobody looked that a span tolerates.  "
            "[default: 2, and at least the sampling period]",
        ),
        click.option(
            "--bridge-s",
            type=seconds,
            default=0.0,
            show_default=True,
            help="Join spans no further apart than this, in seconds.",
        ),
        click.option(
            "--min-span-s",
            type=seconds,
            default=0.0,
            show_default=True,
            help="Drop spans shorter than this, in seconds.",
        ),
        click.option(
            "--identity",
            "identities",
            multiple=True,
            metavar="NAME",
            help="Only this person; may be given several times.  [default: everybody]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def format_options(command: Command) -> Command:
    """``--format`` and ``--out`` of commands that print a table."""
    command = click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write to this file.  [default: stdout]",
    )(command)
    return click.option(
        "--format",
        "kind",
        type=click.Choice(["table", "csv", "json", "parquet"]),
        help="How to print it.  [default: by --out's ending, else table]",
    )(command)


def find_spans(catalog: Catalog, identities: tuple[str, ...], rules: dict[str, Any]) -> Spans:
    """Match the catalog with its gallery and apply the rules."""
    gallery = catalog.gallery()
    for identity in identities:  # before the work, not after it
        refuse_unknown(identity, gallery.identities)
    return catalog.match(gallery).spans(identities=identities or None, **rules)


def emit(table: pa.Table, kind: str | None, out: Path | None, *, shown: pa.Table | None) -> None:
    """Print a table, or write it to a file.

    Parameters
    ----------
    kind
        ``None`` goes by the file's ending, or is a table for people.
    shown
        What people see where they see less than machines.
    """
    kind = kind or _kind_of(out)
    if out is None and kind == "parquet":
        raise click.UsageError("--format parquet needs --out FILE")
    if kind == "table":
        text = render(table if shown is None else shown)
        if out is None:
            click.echo(text)
        else:
            out.write_text(text + "\n", "utf-8")
    elif out is not None:
        write_tabular(table, out, kind)
        click.echo(f"{out}: {len(table)} rows", err=True)
    elif kind == "json":
        click.echo(to_json(table))
    else:
        csv.write_csv(table, sys.stdout.buffer)


def render(table: pa.Table) -> str:
    """A table for people, as wide as it needs to be."""
    from rich.console import Console
    from rich.table import Table

    pretty = Table(box=None, pad_edge=False, header_style="bold")
    for field in table.schema:
        number = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        pretty.add_column(field.name, justify="right" if number else "left", no_wrap=True)
    for row in table.to_pylist():
        pretty.add_row(*(_cell(name, value) for name, value in row.items()))
    # Wide enough for any row: a pipe has no width, and a cut-off name is a wrong name.
    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(pretty)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if name.endswith("_s") else f"{value:.2f}"
    return str(value)


def _kind_of(out: Path | None) -> str:
    if out is None:
        return "table"
    kinds = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".txt": "table"}
    if out.suffix.lower() not in kinds:
        raise click.UsageError(
            f"--out {out}: the ending must be .csv, .json, .parquet or .txt, or give --format"
        )
    return kinds[out.suffix.lower()]


def debugging(ctx: click.Context) -> bool:
    """Whether ``--debug`` was given."""
    return bool(ctx.find_root().params.get("debug"))


def quiet_option(command: Command) -> Command:
    """``--quiet``: no progress bar."""
    return click.option("--quiet", "-q", is_flag=True, help="No progress bar.")(command)
