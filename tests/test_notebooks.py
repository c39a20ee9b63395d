"""The notebooks run from top to bottom on made-up footage, and are kept without outputs."""

import ast
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
CELL_LIMIT_S = 300  # a hang, not a measure of speed


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def parameters_cell(notebook: Any) -> Any:
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    return cell


def parameter_names(cell: Any) -> set[str]:
    assigned = (node for node in ast.parse(cell.source).body if isinstance(node, ast.Assign))
    return {
        target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)
    }


def run(name: str, folder: Path, **values: Any) -> Any:
    """The notebook as it is after running in ``folder`` with some parameters changed."""
    notebook = read(name)
    cell = parameters_cell(notebook)
    assert set(values) <= parameter_names(cell)
    cell.source += "\n" + "\n".join(f"{key} = {value!r}" for key, value in values.items())
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=CELL_LIMIT_S, resources=resources).execute()
    return notebook


def outputs_of(notebook: Any, cell_id: str) -> str:
    (cell,) = (c for c in notebook.cells if c.id == cell_id)
    return "".join(
        o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place like the repository's root, where ``notebooks/`` is the working directory."""
    root = tmp_path_factory.mktemp("notebooks")
    (root / "notebooks").mkdir()
    return root


@pytest.fixture(scope="module")
def built(folder: Path) -> Any:
    """What `00_build_catalog` looks like when it has run."""
    return run("00_build_catalog", folder / "notebooks", n_workers=2)


def test_there_are_the_notebooks_that_the_readme_names() -> None:
    assert NAMES == [
        "00_build_catalog",
        "10_find_identity",
        "20_sweep_threshold",
        "25_calibrate_threshold",
        "30_name_strangers",
        "40_span_algebra",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_carries_no_outputs(name: str) -> None:
    for cell in read(name).cells:
        if cell.cell_type == "code":
            assert not cell.outputs, f"{name}, cell {cell.id}: strip it with nbstripout"
            assert cell.execution_count is None, f"{name}, cell {cell.id}: strip it"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_opens_with_what_it_reads_and_writes(name: str) -> None:
    first, imports, parameters = read(name).cells[:3]
    assert "**Reads**" in first.source
    assert "**Writes**" in first.source
    assert imports.id == "imports"
    assert parameters == parameters_cell(read(name))


@pytest.mark.models
def test_the_catalog_is_built_from_made_up_footage(built: Any, folder: Path) -> None:
    assert list((folder / "catalogs" / "notebook" / "videos").rglob("*.parquet"))
    assert "failed" not in outputs_of(built, "videos")


@pytest.mark.models
def test_people_are_found_in_the_catalog_that_was_built(built: Any, folder: Path) -> None:
    run("10_find_identity", folder / "notebooks")
    clips = list((folder / "outputs" / "notebook" / "clips").glob("*.mp4"))
    rows = (folder / "outputs" / "notebook" / "spans.csv").read_text().splitlines()
    assert clips
    assert len(rows) == 1 + len(clips)


@pytest.mark.models
def test_every_threshold_is_swept_in_the_catalog_that_was_built(built: Any, folder: Path) -> None:
    notebook = run("20_sweep_threshold", folder / "notebooks")
    outputs = folder / "outputs" / "notebook"
    assert "over 61 thresholds from 0.1 to 0.7" in outputs_of(notebook, "sweep")
    rows = (outputs / "sweep.csv").read_text().splitlines()
    assert len(rows) > 1
    assert (len(rows) - 1) % 61 == 0
    assert (outputs / "sweep-grid" / "grid.parquet").is_file()


@pytest.mark.models
def test_people_whom_nobody_enrolled_are_named(built: Any, folder: Path) -> None:
    notebook = run("30_name_strangers", folder / "notebooks", who="Ann")
    assert "(0 named)" in outputs_of(notebook, "people")
    assert "(1 named)" in outputs_of(notebook, "again")
    rows = (folder / "outputs" / "notebook" / "people.csv").read_text().splitlines()
    assert sum('"Ann"' in row for row in rows) == 1
    assert "nobody" not in outputs_of(notebook, "strict")


@pytest.mark.models
def test_a_threshold_is_found_or_refused_in_the_catalog_that_was_built(
    built: Any, folder: Path
) -> None:
    notebook = run("25_calibrate_threshold", folder / "notebooks")
    assert "impostor pairs of 3 videos" in outputs_of(notebook, "calibrate")
    assert "too small to tell" in outputs_of(notebook, "store")
    rows = (folder / "outputs" / "notebook" / "calibration.csv").read_text().splitlines()
    assert len(rows) == 1 + 101


@pytest.mark.models
def test_people_are_asked_for_together_in_the_catalog_that_was_built(
    built: Any, folder: Path
) -> None:
    notebook = run("40_span_algebra", folder / "notebooks")
    assert "&" in outputs_of(notebook, "both")
    assert "Hello." in outputs_of(notebook, "join")
    assert list((folder / "outputs" / "notebook" / "together").glob("*.mp4"))
