"""Commands about this machine and what is on it: demo, info, doctor, lab."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from facelake.catalog import Catalog
from facelake.cli.common import DONE, FAILED, catalog_option, emit, kind_option, quiet_option
from facelake.errors import FacelakeError
from facelake.words import clock, counted


@click.command(short_help="All of it once, offline, on footage it makes itself.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("outputs/demo"),
    show_default=True,
    help="Folder for everything the demo makes.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Worker processes on this machine.  [default: one per core]",
)
@quiet_option
@click.pass_context
def demo(ctx: click.Context, out: Path, workers: int | None, quiet: bool) -> None:
    """All of it once, offline: make footage, ingest, enrol, find spans, cut clips, compare.

    The footage is a camera moving over face pictures that ship inside installed wheels, with cuts
    that are known, so that what facelake finds can be compared with what was planted. The exit
    code is 1 when too little of it is found.

    \b
    facelake demo --out outputs/demo
    """  # noqa: D301
    from facelake.demo import run_demo

    result = run_demo(out, workers=workers, progress=not quiet)
    click.echo(str(result))
    ctx.exit(DONE if result.passed else FAILED)


@click.command(short_help="What is in a catalog, and what failed.")
@catalog_option
@click.option("--videos", is_flag=True, help="List the videos, one a row, instead of the summary.")
@kind_option
def info(catalog: Catalog, videos: bool, kind: str) -> None:
    """What is in a catalog: videos, hours, faces, failures, models, providers, who is enrolled.

    \b
    facelake info -c catalogs/tv
    facelake info -c catalogs/tv --videos
    """  # noqa: D301
    if videos:
        table = catalog.videos()
        emit(table, kind, None, shown=_for_people(table))
        return
    told = catalog.info()
    click.echo(json.dumps(told, indent=1, ensure_ascii=False) if kind == "json" else _say(told))


@click.command(short_help="Is this machine right, and how to mend what is not.")
@kind_option
@click.pass_context
def doctor(ctx: click.Context, kind: str) -> None:
    """Is this machine right? What is installed, what runs, and how to mend what is missing.

    The exit code is 0 where videos can be ingested, and 1 where not.

    \b
    facelake doctor
    """  # noqa: D301
    from rich.console import Console

    from facelake.doctor import can_ingest, diagnose, render

    findings = diagnose()
    if kind == "json":
        click.echo(json.dumps([asdict(one) for one in findings], indent=1))
    else:
        Console().print(render(findings))
    ctx.exit(DONE if can_ingest(findings) else FAILED)


@click.command(short_help="Open JupyterLab in the notebooks' folder.")
@click.argument("folder", default="notebooks", type=click.Path(path_type=Path))
@click.pass_context
def lab(ctx: click.Context, folder: Path) -> None:
    """Open JupyterLab in the notebooks' folder.

    \b
    facelake lab notebooks/
    """  # noqa: D301
    import subprocess
    import sys
    from importlib.util import find_spec

    if find_spec("jupyterlab") is None:
        raise FacelakeError("JupyterLab is not installed; pip install 'facelake[lab]'")
    if not folder.is_dir():
        raise FacelakeError(f"{folder}: there is no such folder; name the one with your notebooks")
    ended = subprocess.run([sys.executable, "-m", "jupyterlab", str(folder)], check=False)
    ctx.exit(ended.returncode)


_DESCRIBED = (("purpose", "purpose"), ("keep until", "retain_until"), ("contact", "contact"))
_VIDEO_COLUMNS = (
    "video", "status", "duration_s", "n_samples", "n_faces", "n_tracks", "decoder", "error",
)  # fmt: skip


def _for_people(videos: pa.Table) -> pa.Table:
    """The columns a person reads, in order of the files' names."""
    names = [_named(paths) for paths in videos["paths"].to_pylist()]
    named = videos.append_column("video", pa.array(names, pa.string()))
    return named.select(list(_VIDEO_COLUMNS)).sort_by("video")


def _named(paths: list[str]) -> str:
    """The first of a video's files by name, and how many more hold the same."""
    more = f" (+{len(paths) - 1} of the same content)" if len(paths) > 1 else ""
    return Path(paths[0]).name + more


def _say(told: dict[str, Any]) -> str:
    rows = [
        (
            "videos",
            f"{told['n_videos']:,} ({told['n_ok']:,} ok, {told['n_partial']:,} partial, "
            f"{told['n_failed']:,} failed), {clock(told['hours'] * 3600)} of footage",
        ),
        (
            "looked at",
            f"{told['n_samples']:,} frames ({told['n_refined']:,} of them where somebody comes or "
            f"goes, {told['n_carried']:,} unchanged): {told['n_faces']:,} faces, "
            f"{told['n_embedded']:,} embedded, in {told['n_tracks']:,} tracks",
        ),
        ("decoded by", _counts(told["decoders"], " videos")),
        ("ran on", _counts(told["providers"], " videos")),
        ("on disk", f"{told['bytes'] / 1e6:,.1f} MB"),
    ]
    for space, facts in told["spaces"].items():
        rows += [
            ("space", f"{space} ({facts['dim']} dimensions), of the pack {facts['pack']}"),
            ("  licence", facts["licence"]),
            ("  enrolled", _people(told["enrolled"].get(space, {}))),
        ]
        if space in told["thresholds"]:
            stored = told["thresholds"][space]
            rows.append(("  threshold", f"{stored['threshold']:g} ({stored['note']})"))
    if told["n_labels"]:
        rows.append(("labelled", f"{counted(told['n_labels'], 'label')} of faces"))
    rows += [(name, told[key]) for name, key in _DESCRIBED if told[key]]
    for note, n_videos in told["engine_notes"].items():
        rows.append(("slower", f"{counted(n_videos, 'video')}: {note}"))
    for trouble in told["troubles"]:
        rows.append((trouble["status"], f"{trouble['paths'][0]}: {trouble['error']}"))
    return "\n".join([str(told["catalog"]), *(f"  {name:11s}  {what}" for name, what in rows)])


def _counts(counts: dict[str, int], what: str = "") -> str:
    return ", ".join(f"{name} ({n:,}{what})" for name, n in sorted(counts.items())) or "–"


def _people(counts: dict[str, int]) -> str:
    return _counts(counts) if counts else "nobody yet; facelake enrol PHOTOS -c CATALOG"
