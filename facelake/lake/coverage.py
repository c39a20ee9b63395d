"""Which time of a video was looked at, and which never was.

A sample is an instant. What lies between two of them was looked at as well as was asked for when
they are as close as the sampling promised; this is what ``tolerance_s`` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.lake.lake import Lake
from facelake.schema import CARRIED, REFINED

COVERAGE = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64()),  # half-open; null where nobody knows the video's end
        pa.field("state", pa.string(), nullable=False),
        pa.field("sample_fps", pa.float64()),  # of the run that looked; null: every frame, or none
        pa.field("run", pa.string()),  # that run; null where none looked
        pa.field("note", pa.string()),  # why it was not looked at, where that is known
    ]
)
EXAMINED, CARRIED_ON, UNDECODABLE, NOT_EXAMINED = (
    "examined",
    "carried",
    "undecodable",
    "not_examined",
)
STATES = (EXAMINED, CARRIED_ON, UNDECODABLE, NOT_EXAMINED)
"""States of a stretch of time, best first."""

_LOOKED = len(STATES) - 1  # codes below it are of samples


@dataclass(frozen=True)
class Looks:
    """The samples of one run, as stretches of time are made of them.

    Attributes
    ----------
    time_s, shown_s
        When, strictly increasing, and how long each frame stays on screen, in seconds, shape
        ``(n,)``.
    state
        Positions among `STATES`, shape ``(n,)``, int64.
    tolerance_s
        Neighbours no further apart than this leave nothing unexamined between them.
    """

    time_s: npt.NDArray[np.float64]
    shown_s: npt.NDArray[np.float64]
    state: npt.NDArray[np.int64]
    tolerance_s: float


def find_coverage(
    runs: list[Looks], *, start_s: float, end_s: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The stretches of ``[start_s, end_s)``, and what is known of each.

    Of several runs the one with the best state counts, and of equals the first.

    Returns
    -------
    edges
        Shape ``(n + 1,)``, increasing, from ``start_s`` to ``end_s``; empty where that is no time.
    state, run
        Positions among `STATES` and among ``runs``, shape ``(n,)``; the run is −1 where none
        looked. Neighbours differ in one of them.

    Examples
    --------
    >>> seen = Looks(np.array([0.0, 0.2, 3.0]), np.full(3, 0.04), np.zeros(3, int), 0.4)
    >>> edges, state, _ = find_coverage([seen], start_s=0.0, end_s=4.0)
    >>> edges.round(2).tolist(), [STATES[code] for code in state]
    ([0.0, 0.24, 3.0, 3.04, 4.0], ['examined', 'not_examined', 'examined', 'not_examined'])
    """
    spoken = [_spoken_for(run, start_s, end_s) for run in runs]
    edges = np.unique(np.concatenate([[start_s, end_s], *(np.ravel(one) for one in spoken)]))
    if end_s <= start_s:
        return np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64)
    state = np.full(len(edges) - 1, _LOOKED)
    owner = np.full(len(edges) - 1, -1)
    for number, (run, (begin, end)) in enumerate(zip(runs, spoken, strict=True)):
        if not len(begin):
            continue
        # The last sample at or before each stretch, where it speaks for it.
        sample = np.searchsorted(begin, edges[:-1], side="right") - 1
        held = (sample >= 0) & (edges[:-1] < end[sample])
        better = held & (run.state[sample] < state)
        state[better], owner[better] = run.state[sample[better]], number
    new = np.append(True, (np.diff(state) != 0) | (np.diff(owner) != 0))
    return np.append(edges[:-1][new], end_s), state[new], owner[new]


def _spoken_for(
    run: Looks, start_s: float, end_s: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """From when to when each sample of a run speaks, within the video."""
    if not len(run.time_s):
        return np.empty(0), np.empty(0)
    begin, after = run.time_s.copy(), np.append(run.time_s[1:], end_s)
    if begin[0] - start_s <= run.tolerance_s:
        begin[0] = start_s
    # Where the next sample is further off, or the last one far from the end, the frame itself.
    is_near = after - run.time_s <= run.tolerance_s
    end = np.where(is_near, after, np.minimum(run.time_s + run.shown_s, after))
    return np.clip(begin, start_s, end_s), np.clip(end, start_s, end_s)


def read_coverage(lake: Lake, videos: pa.Table, space: str, tolerance_s: float | None) -> pa.Table:
    """What was looked at of some videos: rows of `COVERAGE`, by path and time.

    Parameters
    ----------
    videos
        Rows of `schema.VIDEOS`, one a video.
    tolerance_s
        As `Looks`; ``None`` is what each run's sampling promised: one instant in each period, so
        that two neighbours are less than two periods apart.
    """
    tables = [COVERAGE.empty_table()]
    for video in videos.to_pylist():
        runs = lake.read_runs(video["video_id"], space)
        looks = [_looks(row, samples, tolerance_s) for row, samples in runs]
        tables.append(_cover(video, [row for row, _ in runs], looks))
    by_time = [(name, "ascending") for name in ("path", "video_id", "start_s")]
    return pa.concat_tables(tables).sort_by(by_time)


def _looks(video: dict[str, Any], samples: pa.Table, tolerance_s: float | None) -> Looks:
    if tolerance_s is None:
        tolerance_s = 2 * _period_s(video["sample_fps"], samples)
    is_lost = pc.not_equal(samples["status"], "ok").to_numpy()
    is_carried = pc.equal(samples["source"], CARRIED).to_numpy()
    state = np.select(
        [is_lost, is_carried], [STATES.index(UNDECODABLE), STATES.index(CARRIED_ON)], 0
    )
    return Looks(samples["time_s"].to_numpy(), samples["shown_s"].to_numpy(), state, tolerance_s)


def _period_s(sample_fps: float | None, samples: pa.Table) -> float:
    """How far apart the samples of a run are that no track asked for, in seconds."""
    if sample_fps is not None:
        return 1.0 / sample_fps
    time_s = samples.filter(pc.not_equal(samples["source"], REFINED))["time_s"].to_numpy()
    return float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0


def _cover(video: dict[str, Any], rows: list[dict[str, Any]], looks: list[Looks]) -> pa.Table:
    start_s, end_s = _bounds(video, looks)
    if end_s is None:
        edges, state, owner = [start_s, None], np.array([_LOOKED]), np.array([-1])
    else:
        found, state, owner = find_coverage(looks, start_s=start_s, end_s=end_s)
        edges = list(found.tolist())
    known = [rows[number] if number >= 0 else {} for number in owner.tolist()]
    is_dark = [STATES[code] in (UNDECODABLE, NOT_EXAMINED) for code in state.tolist()]
    n = len(state)
    return pa.table(
        {
            "video_id": [video["video_id"]] * n,
            "path": [video["paths"][0]] * n,
            "start_s": edges[:-1],
            "end_s": edges[1:],
            "state": [STATES[code] for code in state.tolist()],
            "sample_fps": [row.get("sample_fps") for row in known],
            "run": [row.get("run") for row in known],
            "note": [video["error"] if dark else None for dark in is_dark],
        },
        schema=COVERAGE,
    )


def _bounds(video: dict[str, Any], looks: list[Looks]) -> tuple[float, float | None]:
    """Where a video starts and ends; of one without times, what its samples say."""
    seen = [run for run in looks if len(run.time_s)]
    start_s = min([run.time_s[0] for run in seen], default=0.0)
    if video["start_s"] is not None:
        start_s = min([video["start_s"], *(run.time_s[0] for run in seen)])
    ends = [float(run.time_s[-1] + run.shown_s[-1]) for run in seen]
    if video["duration_s"]:
        ends.append((video["start_s"] or 0.0) + video["duration_s"])
    return float(start_s), max(ends, default=None)


def total_coverage(coverage: pa.Table) -> pa.Table:
    """Seconds in each state, one row a video, in the order of the table; null where unknown."""
    rows: dict[str, dict[str, Any]] = {}
    for piece in coverage.to_pylist():
        row = rows.setdefault(
            piece["video_id"],
            {"video_id": piece["video_id"], "path": piece["path"], "note": None}
            | {f"{state}_s": 0.0 for state in STATES},
        )
        column = f"{piece['state']}_s"
        if piece["end_s"] is None:
            row[column] = None
        elif row[column] is not None:
            row[column] += piece["end_s"] - piece["start_s"]
        row["note"] = row["note"] or piece["note"]
    return pa.Table.from_pylist(list(rows.values()), _TOTALS)


_TOTALS = pa.schema(
    [
        *[COVERAGE.field(name) for name in ("video_id", "path")],
        *[pa.field(f"{state}_s", pa.float64()) for state in STATES],
        COVERAGE.field("note"),
    ]
)
