"""A sweep over more than the threshold: a task for each combination, and one table at the end."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from facelake import __version__
from facelake.atomic import replacing
from facelake.cluster import count_cores
from facelake.errors import ExportError
from facelake.lake import Lake, is_url, save_table
from facelake.query.match import match_gallery
from facelake.query.settings import SpanSettings
from facelake.query.sweep import choose_thresholds, sweep_scores
from facelake.schema import SWEEP_GRID

GRID_FILE = "grid.parquet"
_PARTS = "parts"
_GATED = {"min_quality": "quality", "min_det_score": "det_score", "min_size_px": "size_px"}

Item = TypeVar("Item")
Result = TypeVar("Result")

GridSpread = Callable[[Callable[["_Task"], Path], Sequence["_Task"]], Iterable[Path]]


@dataclass(frozen=True)
class GridPoint:
    """One combination of everything that a grid goes over, but the threshold.

    Attributes
    ----------
    sample_fps
        Samples of the catalog are thinned to so many a second; ``None`` takes all.
    min_quality, min_det_score, min_size_px
        A face with less counts as not there.
    exit_threshold, min_hits, miss_s, blind_s, bridge_s, min_span_s
        As in `SpanSettings`.
    """

    sample_fps: float | None = None
    min_quality: float = 0.0
    min_det_score: float = 0.0
    min_size_px: float = 0.0
    exit_threshold: float | None = None
    min_hits: int = 1
    miss_s: float | None = None
    blind_s: float | None = None
    bridge_s: float = 0.0
    min_span_s: float = 0.0

    def __post_init__(self) -> None:
        if self.sample_fps is not None and not 0 < self.sample_fps < math.inf:
            raise ValueError(
                f"sample_fps must be above 0, but is {self.sample_fps}; None takes all"
            )
        for name in ("min_quality", "min_det_score"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, but is {value}")
        if not 0 <= self.min_size_px < math.inf:
            raise ValueError(f"min_size_px must be 0 or more, but is {self.min_size_px}")

    def settings(self, threshold: float) -> SpanSettings:
        """The rules of this combination; refuses what no rules can be made of."""
        rules = {field.name for field in fields(SpanSettings)} & set(asdict(self))
        return SpanSettings(threshold, **{name: getattr(self, name) for name in rules})

    @property
    def gates(self) -> dict[str, float]:
        """The least value of each measure of a face that is asked for."""
        return {
            column: getattr(self, name) for name, column in _GATED.items() if getattr(self, name)
        }


def make_grid(**values: Any) -> tuple[GridPoint, ...]:
    """Every combination of some values of each field of `GridPoint`, in order, each once.

    Examples
    --------
    >>> [(p.bridge_s, p.min_hits) for p in make_grid(bridge_s=[0, 2], min_hits=1)]
    [(0, 1), (2, 1)]
    """
    axes = {
        name: (value,) if value is None or isinstance(value, int | float) else tuple(value)
        for name, value in values.items()
    }
    for name, axis in axes.items():
        if not axis:
            raise ValueError(f"{name} must have one value or more, but has none")
    points = (GridPoint(**dict(zip(axes, point, strict=True))) for point in product(*axes.values()))
    return tuple(dict.fromkeys(points))


@dataclass(frozen=True)
class Grid:
    """What is swept: the combinations, the thresholds, the people, and where it goes.

    Attributes
    ----------
    points
        From `make_grid`.
    thresholds
        ``None`` is 0.10 to 0.70 in steps of 0.01.
    identities
        Only these; as the gallery names them.
    """

    points: tuple[GridPoint, ...]
    thresholds: Sequence[float] | None
    identities: tuple[str, ...]
    space: str


def spread_tasks(function: Callable[[Item], Result], tasks: Sequence[Item]) -> Iterable[Result]:
    """What a function gives for every task, in order, on every core of this machine."""
    with ThreadPoolExecutor(count_cores()) as pool:
        yield from pool.map(function, tasks)


def sweep_grid(
    lake: Lake,
    exemplars: pa.Table,
    grid: Grid,
    out: Path,
    *,
    spread: GridSpread = spread_tasks,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> pa.Table:
    """Sweep every combination; rows of `schema.SWEEP_GRID`, also kept as ``out/grid.parquet``.

    What is finished is kept as it comes: the same call again goes on where an interrupted one
    stopped, and gives a finished grid without any work. A catalog or gallery that has changed
    since is swept anew.

    Parameters
    ----------
    out
        Folder of this grid, outside of the catalog.
    spread
        What calls a function for every task: `spread_tasks`, or Dask workers'.
    progress
        Called with the number of combinations done and of all.

    Raises
    ------
    ValueError
        A combination or threshold that makes no sense.
    ExportError
        The folder is in the catalog.
    """
    _refuse_place(lake, out)
    grid = replace(grid, thresholds=choose_thresholds(grid.thresholds, None))
    for point in grid.points:
        point.settings(max(grid.thresholds or ()))
    state = _state(lake, exemplars, grid)
    key = _digest(state, *map(asdict, grid.points))
    finished = _read_kept(out / GRID_FILE, key)
    if finished is not None:
        return finished
    tasks = _stage(lake, exemplars, grid, out / _PARTS, state)
    missing = [task for task in tasks if _read_kept(task.part, task.key) is None]
    progress(len(tasks) - len(missing), len(tasks))
    for done, _ in enumerate(spread(_sweep_point, missing), len(tasks) - len(missing) + 1):
        progress(done, len(tasks))
    table = pa.concat_tables([pq.read_table(task.part, schema=SWEEP_GRID) for task in tasks])
    _keep(table, out / GRID_FILE, key)
    shutil.rmtree(out / _PARTS)
    return table


def _refuse_place(lake: Lake, out: Path) -> None:
    if is_url(lake.where):
        return
    place, root = out.expanduser().resolve(), lake.root.resolve()
    if place == root or root in place.parents:
        raise ExportError(
            f"{out}: a grid must lie outside the catalog {root}; name another place, such as "
            "outputs/sweeps/NAME"
        )


# Tasks ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """One combination: what a worker needs, small enough to be sent."""

    lake: Lake
    scores: Path
    point: GridPoint
    grid: Grid
    key: str
    part: Path


def _stage(lake: Lake, exemplars: pa.Table, grid: Grid, folder: Path, state: str) -> list[_Task]:
    """A task for each combination, and the scores that all of them read."""
    gated = any(point.gates for point in grid.points)
    stays = [p.exit_threshold for p in grid.points if p.exit_threshold is not None]
    lowest = min([*stays, *(grid.thresholds or ())])
    key = _digest(state, gated, lowest)
    scores = folder / f"scores-{key}.parquet"
    if _read_kept(scores, key) is None:
        table = match_gallery(lake, exemplars, min_score=lowest)
        _keep(_with_measures(lake, table, grid.space) if gated else table, scores, key)
    keys = [_digest(state, asdict(point)) for point in grid.points]
    common = replace(grid, points=())
    return [
        _Task(lake, scores, point, common, key, folder / f"part-{key}.parquet")
        for point, key in zip(grid.points, keys, strict=True)
    ]


def _sweep_point(task: _Task) -> Path:
    """Sweep one combination and keep what is found; gives where."""
    scores, thresholds = pq.read_table(task.scores), task.grid.thresholds or ()
    for column, least in task.point.gates.items():
        scores = scores.filter(pc.field(column) >= least)
    swept = sweep_scores(
        task.lake, scores, task.grid.space, task.point.settings(max(thresholds)), thresholds,
        identities=task.grid.identities, sample_fps=task.point.sample_fps,
    )  # fmt: skip
    table = swept.table
    for at, (name, value) in enumerate(asdict(task.point).items()):
        field = SWEEP_GRID.field(name)
        column = pa.repeat(pa.scalar(value, field.type), len(table))
        table = table.add_column(at, field, column)
    _keep(table.cast(SWEEP_GRID), task.part, task.key)
    return task.part


def _with_measures(lake: Lake, scores: pa.Table, space: str) -> pa.Table:
    """The scores with what gates are asked of: columns quality, det_score and size_px."""
    columns = ["face_id", "quality", "det_score", "bbox_xyxy"]
    videos = pc.unique(scores["video_id"]).to_pylist()
    tables = [lake.faces(video_id, space, columns).select(columns) for video_id in videos]
    if not tables:
        none = pa.array([], pa.float32())
        for name in _GATED.values():
            scores = scores.append_column(name, none)
        return scores
    faces = pa.concat_tables(tables)
    faces = faces.take(pc.index_in(scores["face_id"], faces["face_id"]))
    box = faces["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    sides = np.maximum(box[:, 2:] - box[:, :2], 0.0)
    measures = {
        "quality": faces["quality"],
        "det_score": faces["det_score"],
        "size_px": pa.array(np.sqrt(sides[:, 0] * sides[:, 1])),
    }
    for name, values in measures.items():
        scores = scores.append_column(name, values)
    return scores


# What is kept -----------------------------------------------------------------------------------


def _state(lake: Lake, exemplars: pa.Table, grid: Grid) -> str:
    """Everything but the combination that a row depends on, as a few digits."""
    runs = lake.runs(grid.space).select(["video_id", "run", "generation", "status", "paths"])
    order = [("video_id", "ascending"), ("run", "ascending")]
    gallery = exemplars.drop_columns(
        [name for name in ("bbox_xyxy", "embedding") if name in exemplars.column_names]
    )
    return _digest(
        __version__, grid.space, grid.identities, tuple(grid.thresholds or ()),
        runs.sort_by(order).to_pylist(), gallery.sort_by("exemplar_id").to_pylist(),
    )  # fmt: skip


def _digest(*facts: Any) -> str:
    told = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _keep(table: pa.Table, path: Path, key: str) -> None:
    with replacing(path) as part:
        save_table(table, part, key=key)


def _read_kept(path: Path, key: str) -> pa.Table | None:
    """A table that was kept under this key; ``None`` where there is none or another."""
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowInvalid):  # not there, or damaged: it is made again
        return None
    facts = json.loads((table.schema.metadata or {}).get(b"facelake", b"{}"))
    return table.replace_schema_metadata(None) if facts.get("key") == key else None
