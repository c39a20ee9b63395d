"""How fast facelake is, beside others on the same footage and the same faces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from facelake.cli.common import kind_option, quiet_option


class _WithVideos(click.Group):
    """A group whose first word may be left out where it is ``videos``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help", "-h", "--debug"}:
            args = ["videos", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_WithVideos, short_help="How fast: ingest beside insightface, scans beside FAISS.")
def bench() -> None:
    """How fast facelake is, beside others on the same footage and the same faces.

    \b
    facelake bench videos archive/sample.mp4     ingest, beside insightface frame by frame
    facelake bench archive/sample.mp4            the same
    facelake bench lake                          scans of ten million faces, beside FAISS and DuckDB
    facelake bench ask                           sweeps, calibration, span algebra, people
    """  # noqa: D301


@bench.command(short_help="Ingest: insightface frame by frame, and facelake.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--sample-fps",
    type=click.FloatRange(min=0.0, min_open=True),
    help="Compare at this rate alone: frames looked at a second, at most.",
)
@click.option("--every-frame", is_flag=True, help="Compare over every frame alone.")
@click.option(
    "--gallery",
    metavar="PHOTOS",
    type=click.Path(path_type=Path),
    help="Reference photos, as for enrol: compare the spans of the default settings with those of "
    "every frame, too.",
)
@click.option(
    "--threshold",
    "-t",
    type=float,
    default=0.30,
    show_default=True,
    help="Lowest score that starts a span.",
)
@click.option(
    "--truth",
    metavar="CSV",
    type=click.Path(path_type=Path),
    help="Who is to be seen when (video,label,start_s,end_s[,visibility]): compare both with it.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often each is run; medians are compared.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Worker processes on this machine.  [default: one per core]",
)
@kind_option
@quiet_option
def videos(sources: tuple[str, ...], kind: str, quiet: bool, **options: Any) -> None:
    """How fast: insightface's own classes frame by frame, and facelake, on the same footage.

    In one run, in turns: insightface and facelake over every frame, what onnxruntime alone takes
    for that, insightface at facelake's default rate, and facelake as it comes. Printed are frames
    a second, ratios, start-up, peak memory, seconds by stage, and whether both saw the same; with
    --gallery also what the default settings lose.

    \b
    facelake bench videos archive/sample.mp4
    facelake bench videos archive/sample.mp4 --gallery photos/ --truth truth.csv
    """  # noqa: D301
    from facelake.bench import compare_speed

    result = compare_speed(sources, progress=not quiet, **options)
    click.echo(json.dumps(result.to_dict(), indent=1) if kind == "json" else str(result))


@bench.command(short_help="Scans: millions of faces, beside NumPy, FAISS and DuckDB.")
@click.option(
    "--faces",
    "sizes",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1_000_000, 10_000_000),
    show_default=True,
    help="Faces of a catalog; may be given several times. Each takes 1.4 kB of disk.",
)
@click.option(
    "--videos",
    "n_videos",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Videos of the catalog that is only opened.",
)
@click.option(
    "--threshold", "-t", type=float, default=0.30, show_default=True, help="Lowest score found."
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often each side searches; medians are compared.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("outputs/bench"),
    show_default=True,
    help="Folder for the made-up catalogs; those that lie there already are taken.",
)
@kind_option
@quiet_option
def lake(
    sizes: tuple[int, ...], n_videos: int, out: Path, kind: str, quiet: bool, **options: Any
) -> None:
    """Search made-up catalogs for 16 people, each time from a cold process.

    Faces come in tracks as a film's do, a hundredth of them of the people who are looked for.
    NumPy and FAISS search a million vectors that are in memory already; DuckDB reads the set that
    `facelake export` writes. FAISS and DuckDB are left out where they are not installed (pip
    install faiss-cpu duckdb).

    \b
    facelake bench lake --faces 1000000
    """  # noqa: D301
    from facelake.bench import compare_scans

    def say(what: str) -> None:
        if not quiet:
            click.echo(what, err=True)

    result = compare_scans(out, sizes=sizes, n_videos=n_videos, say=say, **options)
    click.echo(json.dumps(result.to_dict(), indent=1) if kind == "json" else str(result))


@bench.command(short_help="Asking: sweeps, calibration, span algebra, people.")
@click.option(
    "--scores",
    "n_scores",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Scores that are swept; a face each, and each face takes 1.4 kB of disk.",
)
@click.option(
    "--faces",
    "n_faces",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Faces that are calibrated on.",
)
@click.option(
    "--spans",
    "n_spans",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Spans of each of two tables that are taken together.",
)
@click.option(
    "--tracks",
    "n_tracks",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Tracks that are joined to people, of ten faces each.",
)
@click.option(
    "--only",
    "questions",
    type=click.Choice(["sweep", "calibrate", "algebra", "people"]),
    multiple=True,
    help="Only this; may be given several times.  [default: all]",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often the sweep and each operation are done; medians are told.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("outputs/bench"),
    show_default=True,
    help="Folder for the made-up archives; those that lie there already are taken.",
)
@kind_option
@quiet_option
def ask(out: Path, questions: tuple[str, ...], kind: str, quiet: bool, **sizes: Any) -> None:
    """Ask made-up archives what they are asked in practice, each question in a fresh process.

    A sweep of 61 thresholds beside one query for spans and 61 of them, over the same scores, with
    16 people enrolled; calibration without labels; every operation of the span algebra on two
    tables; and the people of an archive. Printed are seconds, ratios and peak memory.

    \b
    facelake bench ask
    facelake bench ask --only sweep --scores 100000
    """  # noqa: D301
    from facelake.bench import compare_asks
    from facelake.bench.asks import QUESTIONS

    def say(what: str) -> None:
        if not quiet:
            click.echo(what, err=True)

    result = compare_asks(out, questions=questions or QUESTIONS, say=say, **sizes)
    click.echo(json.dumps(result.to_dict(), indent=1) if kind == "json" else str(result))
