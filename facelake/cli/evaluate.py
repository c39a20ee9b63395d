"""The command that holds answers against labels: evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from facelake.catalog import open_catalog
from facelake.cli.common import (
    DASH,
    check_format,
    emit,
    find_spans,
    format_options,
    quiet_option,
    rules_options,
)
from facelake.evaluate import COLLAR_S, MIN_IOU, WANTED
from facelake.query.evaluate import TruthRules
from facelake.results import Evaluation, evaluate_photo_pairs
from facelake.tabular import write_file

_EVERYWHERE = {"kind", "out", "quiet"}
_OF_TRUTH = {"files", "videos", "identities", "visibilities", "collar_s", "min_iou", "matches"}
_OF_PAIRS = {"pairs", "images", "pack", "device", "picture"}
_SHOWN = (
    "video", "identity", "truth_s", "found_s", "precision", "recall", "f1",
    "n_truth_spans", "n_found_spans", "n_matched",
)  # fmt: skip


@click.command(short_help="How right spans are by a truth, or a model by labelled photos.")
@click.argument("files", nargs=-1, metavar="[SPANS] TRUTH", type=click.Path(path_type=Path))
@click.option(
    "-c",
    "--catalog",
    metavar="CATALOG",
    help="Evaluate this catalog's spans by the rules below, instead of those of a file.",
)
@rules_options
@click.option(
    "--video",
    "videos",
    multiple=True,
    metavar="NAME",
    help="Only this video; may be given several times.  [default: all of the truth's]",
)
@click.option(
    "--visibility",
    "visibilities",
    multiple=True,
    default=WANTED,
    show_default=True,
    metavar="NAME",
    help="Of faces that should be found; time of any other counts neither way.",
)
@click.option(
    "--collar-s",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    default=COLLAR_S,
    show_default=True,
    help="Before and after each edge of the truth, no second of this counts.",
)
@click.option(
    "--min-iou",
    type=click.FloatRange(min=0.0, max=1.0, min_open=True),
    default=MIN_IOU,
    show_default=True,
    help="Least intersection over union of two spans that match.",
)
@click.option("--matches", is_flag=True, help="A row for each span: matched, missed or false.")
@click.option(
    "--pairs",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Pairs of photos instead: image_a,image_b,same[,fold], or LFW's pairs.txt; may be given "
    "several times.",
)
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder that the names in --pairs begin in.",
)
@click.option("--pack", metavar="PACK", help="Model pack for --pairs.  [default: buffalo_sc]")
@click.option(
    "--plot",
    "picture",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw DET and ROC of --pairs; the ending says the format (.png, .svg, .pdf).",
)
@format_options
@quiet_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    kind: str | None,
    out: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """How right spans are by a truth, or a model by labelled pairs of photos.

    SPANS is what `facelake spans --out` wrote (csv, json, parquet); with -c a catalog is asked
    instead. TRUTH is a table of who is to be seen when: video,label,start_s,end_s[,visibility], or
    other spans. Seconds, whole spans and their edges are counted for each person in each video,
    for each person, for each video, and in all; a rate of nothing is left empty. A label in
    parentheses is nobody who has a name: whoever is found in that video is found falsely.

    With --pairs the models look at photos: false matches and non-matches (FMR, FNMR) at 0.20, 0.30
    and 0.40 and for wanted FMRs, each with its counts and 95 % bounds; with folds also the accuracy
    as Labeled Faces in the Wild has it. Of several faces in a photo that at the centre is taken.

    \b
    facelake evaluate spans.csv truth.csv
    facelake evaluate -c catalogs/tv -t 0.30 truth.csv --visibility front
    facelake evaluate spans.csv truth.csv --matches --format csv > matches.csv
    facelake evaluate --pairs pairs.txt --images lfw/ --plot outputs/det.png
    """  # noqa: D301
    kind = check_format(kind, out)
    if options["pairs"]:
        _refuse_others(ctx, _OF_PAIRS, "with --pairs")
        _evaluate_pairs(ctx, options, kind, out, quiet=quiet)
    elif options["catalog"] is not None:
        _refuse_others(ctx, set(ctx.params) - (_OF_PAIRS - {"device"}), "without --pairs")
        _show_spans(_of_catalog(files, options), options, kind, out)
    else:
        _refuse_others(ctx, _OF_TRUTH, "without -c CATALOG or --pairs")
        _show_spans(_of_files(files, options), options, kind, out)


def _refuse_others(ctx: click.Context, known: set[str], why: str) -> None:
    """Refuse what was typed and means nothing here, before it is taken for heeded."""
    for param in ctx.command.params:
        name = param.name or ""
        typed = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if typed and name not in known | _EVERYWHERE and ctx.params.get(name) not in (None, ()):
            what = "TRUTH" if isinstance(param, click.Argument) else param.opts[0]
            raise click.UsageError(f"{what} means nothing {why}", ctx)


def _rules(options: dict[str, Any]) -> TruthRules:
    return TruthRules(
        options.pop("visibilities"),
        options.pop("collar_s"),
        options.pop("min_iou"),
        options.pop("videos"),
        options.pop("identities"),
    )


def _of_files(files: tuple[Path, ...], options: dict[str, Any]) -> Evaluation:
    if len(files) != 2:
        raise click.UsageError("give SPANS and TRUTH, or -c CATALOG and TRUTH, or --pairs FILE")
    return Evaluation.of(files[0], files[1], _rules(options))


def _of_catalog(files: tuple[Path, ...], options: dict[str, Any]) -> Evaluation:
    if len(files) != 1:
        raise click.UsageError("with -c CATALOG give TRUTH alone")
    rules = _rules(options)
    others = ("catalog", "matches", *(_OF_PAIRS - {"device"}))
    of_spans = {name: value for name, value in options.items() if name not in others}
    found = find_spans(open_catalog(options["catalog"]), rules.identities, of_spans)
    return found.evaluate(
        files[0],
        visibilities=rules.visibilities,
        collar_s=rules.collar_s,
        min_iou=rules.min_iou,
        videos=rules.videos,
        identities=rules.identities,
    )


def _show_spans(told: Evaluation, options: dict[str, Any], kind: str, out: Path | None) -> None:
    if kind == "json":
        _emit_json(told.to_dict(), out)
    elif options["matches"]:
        emit(told.matches, kind, out, shown=told.matches)
    else:
        emit(told.rows(), kind, out, shown=_for_people(told))
    click.echo(f"{told!r}", err=True)
    for note in told.notes:
        click.echo(note, err=True)


def _for_people(told: Evaluation) -> pa.Table:
    """Each person in each video, and all; where there is no name stands what is summed up."""
    rows = told.table.select(list(_SHOWN)).to_pylist()
    all_ = told.totals.select(list(_SHOWN)).to_pylist()[-1] | {"video": "all", "identity": "all"}
    return pa.Table.from_pylist([*rows, all_], told.table.select(list(_SHOWN)).schema)


def _evaluate_pairs(
    ctx: click.Context, options: dict[str, Any], kind: str, out: Path | None, *, quiet: bool
) -> None:
    if options["images"] is None:
        raise click.UsageError("--pairs needs --images DIR, the folder of the pictures")
    typed = ctx.get_parameter_source("device") is click.core.ParameterSource.COMMANDLINE
    told = evaluate_photo_pairs(
        options["pairs"],
        options["images"],
        pack=options["pack"] or "buffalo_sc",
        device=options["device"] if typed else "auto",
        progress=not quiet,
    )
    if kind == "json":
        _emit_json(told.to_dict(), out)
    else:
        emit(told.table, kind, out, shown=_rates_for_people(told.table))
    if options["picture"] is not None:
        from facelake.plot import save_plot

        save_plot(told.plot(), options["picture"])
    click.echo(f"{told!r}", err=True)


def _rates_for_people(rates: pa.Table) -> pa.Table:
    """What was asked, the threshold, and both errors with their counts and bounds, as text."""
    rows = [
        {
            "asked": "at" if row["wanted_fmr"] is None else f"FMR {row['wanted_fmr']:.4g}",
            "threshold": "–" if row["threshold"] is None else f"{row['threshold']:.3f}",
            "fmr": _error(row, "fmr", "false_matches", "impostor"),
            "fnmr": _error(row, "fnmr", "false_non_matches", "genuine"),
            "note": row["note"] or "",
        }
        for row in rates.to_pylist()
    ]
    return pa.Table.from_pylist(rows)


def _error(row: dict[str, Any], rate: str, errors: str, pairs: str) -> str:
    if row[rate] is None:
        return f"– (of {row[f'n_{pairs}']:,})"
    low, high = row[f"{rate}_low"], row[f"{rate}_high"]
    count = f"{row[f'n_{errors}']:,} of {row[f'n_{pairs}']:,}"
    return f"{row[rate]:.4g} ({count}; {low:.2g}–{high:.2g})"


def _emit_json(told: dict[str, Any], out: Path | None) -> None:
    """An object, not the array that a table is."""
    text = json.dumps(told, indent=1, ensure_ascii=False)
    if out is None or str(out) == DASH:
        click.echo(text.encode())
    else:
        write_file(out, lambda part: part.write_text(text + "\n", "utf-8"))
