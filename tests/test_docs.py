"""What the README and docs/ say is held to what the code is."""

import ast
import re
import shlex
from pathlib import Path

import click
import pyarrow as pa
import pytest

from facelake import schema
from facelake.cli import main
from facelake.doctor import DASK_PIN

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

TABLES = {
    "videos": schema.VIDEOS,
    "samples": schema.SAMPLES,
    "faces": schema.FACES,
    "tracks": schema.TRACKS,
    "chips": schema.CHIPS,
    "gallery": schema.EXEMPLARS,
    "labels": schema.LABELS,
    "forgotten": schema.TOMBSTONES,
    "scores": schema.SCORES,
    "spans": schema.SPANS,
    "sweep": schema.SWEEP,
    "sweep totals": schema.SWEEP_TOTALS,
    "sweep plateaus": schema.SWEEP_PLATEAUS,
    "span lives": schema.SPAN_LIVES,
    "sweep grid": schema.SWEEP_GRID,
    "people": schema.PEOPLE,
    "people tracks": schema.PEOPLE_TRACKS,
    "people conflicts": schema.PEOPLE_CONFLICTS,
    "clips": schema.CLIPS,
}


def fences(page: Path, language: str) -> list[str]:
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, page.read_text(), flags=re.MULTILINE | re.DOTALL)


def shell_commands() -> list[str]:
    """Every `facelake …` line of the README's bash fences."""
    lines = "\n".join(fences(ROOT / "README.md", "bash")).splitlines()
    return [line for line in lines if line.startswith("facelake ")]


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("name", ["demo", "test"])
def test_each_command_of_the_readme_that_ci_runs_is_one_line_after_its_mark(name: str) -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count(f"<!-- ci: {name} -->\n```bash\n") == 1
    (command,) = re.findall(rf"<!-- ci: {name} -->\n```bash\n(.*?)```", text, flags=re.DOTALL)
    assert command.count("\n") == 1
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ")


@pytest.mark.parametrize("line", shell_commands())
def test_the_command_line_takes_what_the_readme_types(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = main
    context = click.Context(command)
    while isinstance(command, click.Group):
        name = "list" if words[0].startswith("-") else words.pop(0)  # what a group does by itself
        found = command.get_command(context, name)
        assert found is not None, line
        command = found
    known = {name for option in command.params for name in option.opts + option.secondary_opts}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = page.parent / file
        assert linked.exists(), f"{page.name} links to {target}"
        headings = re.findall(r"^#+ (.*)$", linked.read_text() if anchor else "", flags=re.M)
        anchors = {heading.lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_python_in_the_pages_is_python(page: Path) -> None:
    for code in fences(page, "python"):
        ast.parse(code)


@pytest.mark.parametrize(("name", "table"), TABLES.items(), ids=list(TABLES))
def test_the_catalog_page_names_every_column_with_its_type(name: str, table: pa.Schema) -> None:
    text = (ROOT / "docs" / "catalog.md").read_text()
    section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (yes)? *\|", section, flags=re.MULTILINE)
    assert rows == [
        (field.name, str(field.type), "yes" if field.nullable else "") for field in table
    ]


def test_the_catalog_page_is_of_this_schema_version() -> None:
    text = (ROOT / "docs" / "catalog.md").read_text()
    assert f"Schema version {schema.SCHEMA_VERSION}." in text


def test_conda_pip_and_the_doctor_agree_on_dask() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    conda = (ROOT / "environment.yml").read_text().splitlines()
    for name in ("dask", "distributed"):
        assert f"{name}=={DASK_PIN}" in pins
        assert f"  - {name}={DASK_PIN}" in conda
