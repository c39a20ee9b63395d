"""Options and output that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from facelake.catalog import Catalog, open_catalog
from facelake.gallery import plain_name, refuse_unknown
from facelake.query import SpanSettings
from facelake.results import Gallery, Spans
from facelake.tabular import to_json, write_file, write_tabular

DONE, FAILED, WRONG_USAGE, DONE_WITH_FAILURES, INTERRUPTED = 0, 1, 2, 3, 130
DASH = "-"
"""As ``--out``: standard output."""

_DEBUG = "facelake.debug"
_STEP = 0.2  # by which a lower score is tried, where nothing was found

Command = TypeVar("Command", bound=Callable[..., Any])


def catalog_option(command: Command) -> Command:
    """``-c CATALOG``: the catalog's folder or URL."""
    return click.option(
        "-c",
        "--catalog",
        "catalog",
        required=True,
        metavar="CATALOG",
        type=click.Path(path_type=str),
        callback=lambda _ctx, _option, path: open_catalog(path),
        help="The catalog's folder, such as catalogs/tv, or its URL, such as s3://bucket/tv.",
    )(command)


def rules_options(command: Command, *, threshold: bool = True, where: bool = True) -> Command:
    """The options that decide spans, in one order everywhere.

    ``--threshold`` may be left out, and those that say whose faces are compared, and where.
    """
    seconds = click.FloatRange(min=0.0)
    options = [
        click.option(
            "--threshold",
            "-t",
            type=float,
            help="Lowest score (cosine similarity, -1 to 1) that starts a span; 0.30 is a place to "
            "start with buffalo_sc.  [default: the catalog's own, see facelake calibrate]",
        ),
        click.option(
            "--exit-threshold",
            type=float,
            help="Lowest score that continues a span.  [default: the threshold]",
        ),
        click.option(
            "--min-hits",
            type=click.IntRange(min=1),
            metavar="N",
            default=1,
            show_default=True,
            help="Fewest samples with the person that a span must hold.",
        ),
        click.option(
            "--miss-s",
            type=seconds,
            metavar="SECONDS",
            help="Longest time between two hits in which looks did not find the person.  "
            "[default: 1, and at least one missed sample]",
        ),
        click.option(
            "--blind-s",
            type=seconds,
            metavar="SECONDS",
            help="Longest time for which nobody looked that a span tolerates.  "
            "[default: 2, and at least the sampling period]",
        ),
        click.option(
            "--bridge-s",
            type=seconds,
            metavar="SECONDS",
            default=0.0,
            show_default=True,
            help="Join spans no further apart than this.",
        ),
        click.option(
            "--min-span-s",
            type=seconds,
            metavar="SECONDS",
            default=0.0,
            show_default=True,
            help="Drop spans shorter than this.",
        ),
    ]
    compared = [
        click.option(
            "--identity",
            "identities",
            multiple=True,
            metavar="NAME",
            help="Only this person; may be given several times.  [default: everybody]",
        ),
        space_option,
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda"]),
            default="cpu",
            show_default=True,
            help="Where faces are compared; cuda takes CuPy.",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Let the workers of a running Dask scheduler compare.  [default: this process, on "
            "every core]",
        ),
    ]
    chosen = [*(options if threshold else options[1:]), *(compared if where else [])]
    for option in reversed(chosen):
        command = option(command)
    return command


def space_option(command: Command) -> Command:
    """``--space``: whose embeddings."""
    return click.option(
        "--space",
        metavar="NAME",
        help="Whose embeddings, where the catalog holds several models'; facelake info lists them.",
    )(command)


class ListsByDefault(click.Group):
    """A group that is its command ``list`` where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, with the command's name before them where it is left out."""
        known = {*self.commands, *ctx.help_option_names, "--debug"}
        return super().parse_args(ctx, ["list", *args] if args and args[0] not in known else args)


def picture_options(default: str) -> Callable[[Command], Command]:
    """``--out`` and ``--dpi`` of commands that draw; ``default`` is where the picture goes."""

    def add(command: Command) -> Command:
        command = click.option(
            "--dpi",
            type=click.IntRange(min=20, max=1200),
            default=150,
            show_default=True,
            help="Pixels an inch.",
        )(command)
        return click.option(
            "--out",
            type=click.Path(dir_okay=False, path_type=Path),
            default=Path(default),
            show_default=True,
            help="The picture; its ending says the format (.png, .svg, .pdf).",
        )(command)

    return add


def format_options(command: Command) -> Command:
    """``--format`` and ``--out`` of commands that print a table."""
    command = click.option(
        "--out",
        type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
        help="Write to this file; its ending says the format.  [default: stdout]",
    )(command)
    return click.option(
        "--format",
        "kind",
        type=click.Choice(["table", "csv", "json", "parquet"]),
        help="How to write it.  [default: by --out's ending, else table]",
    )(command)


def find_spans(catalog: Catalog, identities: tuple[str, ...], rules: dict[str, Any]) -> Spans:
    """Match the catalog with its gallery and apply the rules."""
    space, where = rules.pop("space"), {name: rules.pop(name) for name in ("device", "scheduler")}
    least = _least_score(catalog, space, rules)
    gallery = catalog.gallery(space)
    for identity in identities:
        refuse_unknown(plain_name(identity), gallery.identities, gallery.without_exemplar)
    scores = catalog.match(gallery, min_score=least, **where)
    found = scores.spans(identities=identities or None, **rules)
    if not len(found):
        best = _best_score(catalog, gallery, identities, least)
        click.echo(f"{found!r}: {best}", err=True)
    return found


def _least_score(catalog: Catalog, space: str | None, rules: dict[str, Any]) -> float:
    """The lowest score that the rules ask for; what is wrong is refused before the work."""
    threshold = rules["threshold"]
    if threshold is None:
        threshold = catalog.default_threshold(space).threshold
    return SpanSettings(**rules | {"threshold": threshold}).rules(period_s=1.0).stay


def _best_score(
    catalog: Catalog, gallery: Gallery, identities: tuple[str, ...], least: float
) -> str:
    """What a person needs to know to choose a threshold that finds something."""
    wanted = pa.array([plain_name(name) for name in identities] or gallery.identities)
    while True:  # a lower score is a longer scan
        scores = catalog.match(gallery, min_score=least)
        rows = scores.table.select(["score", "identity"])
        rows = rows.filter(pc.is_in(rows["identity"], wanted))
        if len(rows) or least <= -1.0:
            break
        least = max(-1.0, least - _STEP)
    if not len(rows):
        what = "is most like these people" if len(scores) else "was found in the videos"
        return f"no face {what}"
    best = rows.sort_by([("score", "descending")]).slice(0, 1).to_pylist()[0]
    return f"the best score is {best['score']:.2f}, of {best['identity']}"


def check_format(kind: str | None, out: Path | None) -> str:
    """``--format``, or what ``--out`` ends in; refuses what cannot be, before the work."""
    to_file = out is not None and str(out) != DASH
    kinds = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".txt": "table"}
    if kind is None and out is not None and to_file and out.suffix.lower() not in kinds:
        raise click.UsageError(
            f"--out {out}: the ending must be one of {', '.join(kinds)}, or give --format"
        )
    if kind is None:
        kind = kinds[out.suffix.lower()] if out is not None and to_file else "table"
    if kind == "parquet" and not to_file:
        raise click.UsageError("--format parquet needs --out FILE")
    return kind


def emit(
    table: pa.Table,
    kind: str,
    out: Path | None,
    *,
    shown: pa.Table,
    facts: Mapping[str, str | int | float] | None = None,
) -> None:
    """Print a table, or write it to a file.

    Parameters
    ----------
    kind
        As `check_format` gives it.
    shown
        What people see where they see less than machines.
    facts
        How it was made, for the metadata of a Parquet file.
    """
    if out is not None and str(out) != DASH:
        if kind == "table":
            text = render(shown, to_terminal=False) + "\n"
            write_file(out, lambda part: part.write_text(text, "utf-8"))
        else:
            write_tabular(table, out, kind, **(facts or {}))
    elif kind == "table":
        click.echo(render(shown, to_terminal=sys.stdout.isatty()))
    elif kind == "json":
        click.echo(to_json(table).encode())  # JSON is UTF-8, whatever the terminal speaks
    else:
        csv.write_csv(table, sys.stdout.buffer)


def render(table: pa.Table, *, to_terminal: bool) -> str:
    """A table for people. A terminal's width folds long names; nothing is ever cut off."""
    from rich.console import Console
    from rich.table import Table

    pretty = Table(box=None, pad_edge=False, header_style="bold")
    for field in table.schema:
        number = pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        pretty.add_column(
            field.name,
            justify="right" if number else "left",
            no_wrap=number,
            min_width=len(field.name),
            overflow="fold",
        )
    for row in table.to_pylist():
        pretty.add_row(*(_cell(name, value) for name, value in row.items()))
    # A pipe has no width: a cut-off or folded name is a wrong name there.
    console = Console(
        width=None if to_terminal else 100_000,
        force_terminal=to_terminal,
        highlight=False,
        markup=False,
        emoji=False,
    )
    with console.capture() as capture:
        console.print(pretty)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if name.endswith("_s") else f"{value:.2f}"
    return str(value)


def add_debug(command: click.Command) -> None:
    """Give a command and those below it ``--debug``, so that it may stand anywhere."""
    command.params.append(
        click.Option(
            ["--debug"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_note_debug,
            help="Show tracebacks.",
        )
    )
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        add_debug(below)


def _note_debug(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta[_DEBUG] = True  # one dictionary for a command and the groups above it


def debugging(ctx: click.Context) -> bool:
    """Whether ``--debug`` was given."""
    return bool(ctx.meta.get(_DEBUG))


def quiet_option(command: Command) -> Command:
    """``--quiet``: no progress."""
    return click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")(command)


def kind_option(command: Command) -> Command:
    """``--format`` of commands that print a report."""
    return click.option(
        "--format",
        "kind",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print it.",
    )(command)
