"""Commands about this machine and what is on it: demo, info, doctor, bench, lab."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from facelake.catalog import Catalog
from facelake.cli.common import DONE, FAILED, catalog_option, quiet_option
from facelake.errors import FacelakeError
from facelake.progress import clock


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("outputs/demo"),
    show_default=True,
    help="Folder for everything the demo makes.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.")
@quiet_option
@click.pass_context
def demo(ctx: click.Context, out: Path, workers: int | None, quiet: bool) -> None:
    """All of it once, offline: make footage, ingest, enrol, find spans, cut clips, compare.

    The footage is a camera moving over face pictures that ship inside installed wheels, with cuts
    that are known, so that what facelake finds can be compared with what was planted.
    """
    from facelake.demo import run_demo

    result = run_demo(out, workers=workers, progress=not quiet)
    click.echo(str(result))
    ctx.exit(DONE if result.passed else FAILED)


@click.command()
@catalog_option
@click.option("--format", "kind", type=click.Choice(["table", "json"]), default="table")
def info(catalog: Catalog, kind: str) -> None:
    """What is in a catalog: videos, hours, faces, failures, models, providers, who is enrolled."""
    told = catalog.info()
    click.echo(json.dumps(told, indent=1, ensure_ascii=False) if kind == "json" else _say(told))


@click.command()
@click.option("--format", "kind", type=click.Choice(["table", "json"]), default="table")
@click.pass_context
def doctor(ctx: click.Context, kind: str) -> None:
    """Is this machine right? What is installed, what runs, and how to mend what is missing."""
    from rich.console import Console

    from facelake.doctor import can_ingest, diagnose, render

    findings = diagnose()
    if kind == "json":
        click.echo(json.dumps([asdict(one) for one in findings], indent=1))
    else:
        Console().print(render(findings))
    ctx.exit(DONE if can_ingest(findings) else FAILED)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--sample-fps", type=click.FloatRange(min=0.0, min_open=True), help="Frames a second."
)
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Of each.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.")
@click.option("--format", "kind", type=click.Choice(["table", "json"]), default="table")
def bench(
    sources: tuple[str, ...],
    sample_fps: float | None,
    runs: int,
    workers: int | None,
    kind: str,
) -> None:
    """How fast: insightface's own classes frame by frame, and facelake, on the same frames.

    Both look at every frame (or --sample-fps), at the same input size, with all cores, in one run,
    in turns. Printed are frames a second, the ratio, seconds by stage and peak memory.
    """
    from facelake.bench import compare_speed

    result = compare_speed(sources, sample_fps=sample_fps, runs=runs, workers=workers)
    click.echo(json.dumps(result.to_dict(), indent=1) if kind == "json" else str(result))


@click.command()
@click.argument("folder", default="notebooks", type=click.Path(path_type=Path))
def lab(folder: Path) -> None:
    """Open JupyterLab in the notebooks' folder."""
    import subprocess
    import sys
    from importlib.util import find_spec

    if find_spec("jupyterlab") is None:
        raise FacelakeError("JupyterLab is not installed; pip install 'facelake[lab]'")
    if not folder.is_dir():
        raise FacelakeError(f"{folder}: there is no such folder; name the one with your notebooks")
    subprocess.run([sys.executable, "-m", "jupyterlab", str(folder)], check=False)


def _say(told: dict[str, Any]) -> str:
    lines = [
        f"{told['catalog']}: {told['n_videos']} videos "
        f"({told['n_ok']} ok, {told['n_partial']} partial, {told['n_failed']} failed), "
        f"{clock(told['hours'] * 3600)} of footage, {told['bytes'] / 1e6:.1f} MB",
        f"  looked at   {told['n_samples']:,} frames",
        f"  found       {told['n_faces']:,} faces in {told['n_tracks']:,} tracks",
    ]
    for space, facts in told["spaces"].items():
        lines.append(
            f"  space       {space}: pack {facts['pack']}, {facts['dim']} dimensions; "
            f"licence: {facts['licence']}"
        )
        people = told["enrolled"].get(space) or {}
        names = ", ".join(f"{name} ({n})" for name, n in sorted(people.items()))
        lines.append(f"  enrolled    {names or 'nobody yet; facelake enrol PHOTOS'}")
    for what in ("providers", "decoders"):
        counts = ", ".join(f"{name} ({n} videos)" for name, n in sorted(told[what].items()))
        lines.append(f"  {what:11s} {counts or '–'}")
    lines += [
        f"  {trouble['status']:11s} {trouble['paths'][0]}: {trouble['error']}"
        for trouble in told["troubles"]
    ]
    return "\n".join(lines)
