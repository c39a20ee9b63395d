"""The questions of `asks`, each in a process of its own: reads its job, writes its answer there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facelake.bench.searches import peak_bytes

_VIDEO_S, _SPAN_S = 8.0, 4.0  # of a made-up video for each of its spans, and of a span on average
_SPANS_A_VIDEO = 2500
_PEOPLE_A_SIDE = 8


def ask(job: str) -> None:
    """Do what a job file says; put seconds by question, counts and peak memory in its place."""
    path = Path(job)
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    side: Callable[[dict[str, Any]], dict[str, Any]] = _SIDES[told["side"]]
    path.write_text(json.dumps(side(told) | {"peak_bytes": peak_bytes()}), "utf-8")


def _sweep(told: dict[str, Any]) -> dict[str, Any]:
    """One sweep, one query, and a query for every threshold of the sweep, over the same scores."""
    from facelake.catalog import open_catalog
    from facelake.query.sweep import DEFAULT_THRESHOLDS

    scores = open_catalog(told["root"]).match()
    seconds: dict[str, list[float]] = {"sweep": [], "one query": [], "all queries": []}
    for _ in range(told["runs"]):
        seconds["one query"].append(_timed(lambda: scores.spans(told["threshold"])))
        seconds["sweep"].append(_timed(scores.sweep))
    found: list[int] = []
    seconds["all queries"].append(
        _timed(lambda: found.extend(len(scores.spans(at)) for at in DEFAULT_THRESHOLDS))
    )
    counts = {
        "scores": len(scores),
        "thresholds": len(DEFAULT_THRESHOLDS),
        "spans": sum(found),
        "spans of the sweep": int(np.sum(scores.sweep().table["n_spans"].to_numpy())),
    }
    return {"seconds": seconds, "counts": counts}


def _calibrate(told: dict[str, Any]) -> dict[str, Any]:
    from facelake.catalog import open_catalog

    catalog, found = open_catalog(told["root"]), []
    took_s = _timed(lambda: found.append(catalog.calibrate(progress=False)))
    counts = {name: int(count) for name, count in found[0].counts.items()}
    return {"seconds": {"calibrate": [took_s]}, "counts": counts}


def _people(told: dict[str, Any]) -> dict[str, Any]:
    from facelake.catalog import open_catalog

    catalog, found = open_catalog(told["root"]), []
    took_s = _timed(lambda: found.append(catalog.people()))
    counts = {"tracks": len(found[0].tracks), "people": len(found[0].table)}
    return {"seconds": {"people": [took_s]}, "counts": counts}


def _algebra(told: dict[str, Any]) -> dict[str, Any]:
    """Every operation on two tables of so many spans each."""
    from facelake import algebra

    a, b = _spans(told["n_spans"], side=0), _spans(told["n_spans"], side=1)
    operations: dict[str, Callable[[], Any]] = {
        "and": partial(algebra.and_spans, a, b),
        "or": partial(algebra.or_spans, a, b),
        "minus": partial(algebra.minus_spans, a, b),
        "coalesce": partial(algebra.coalesce_spans, a, gap_s=1.0),
        "dilate": partial(algebra.dilate_spans, a, before_s=1.0, after_s=1.0),
        "within": partial(algebra.within, a, b, window_s=5.0),
        "before": partial(algebra.before, a, b, max_gap_s=5.0),
        "during": partial(algebra.during, a, b),
        "overlapping": partial(algebra.overlapping, a, b),
        "join": partial(algebra.join_times, a, b),
        "screen time": partial(algebra.screen_time, a),
        "co-occurrence": partial(algebra.co_occurrence, a),
    }
    seconds = {
        name: [_timed(operation) for _ in range(told["runs"])]
        for name, operation in operations.items()
    }
    counts = {"spans": len(a), "overlaps": len(algebra.overlapping(a, b))}
    return {"seconds": seconds, "counts": counts}


_SIDES = {
    "sweep": _sweep,
    "calibrate": _calibrate,
    "people": _people,
    "algebra": _algebra,
}


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _spans(n: int, *, side: int) -> Any:
    """So many spans of eight people; in a video a second of each side overlaps one of the other."""
    import pyarrow as pa

    from facelake.schema import SPANS

    random = np.random.default_rng([2030, side])
    video = np.arange(n) // _SPANS_A_VIDEO
    start_s = random.uniform(0, _SPANS_A_VIDEO * _VIDEO_S, n)
    end_s = start_s + 0.2 + random.exponential(_SPAN_S - 0.2, n)
    score = random.uniform(0.3, 0.8, n).astype(np.float32)
    who = side * _PEOPLE_A_SIDE + random.integers(0, _PEOPLE_A_SIDE, n)
    n_hits = np.ceil((end_s - start_s) * 5).astype(np.int64)

    def named(prefix: str, numbers: Any) -> Any:
        values = pa.array([f"{prefix}{one}" for one in range(int(numbers.max(initial=0)) + 1)])
        return values.take(pa.array(numbers))

    return pa.table(
        {
            "video_id": named("video-", video),
            "path": named("/archive/", video),
            "identity": named("person ", who),
            "start_s": start_s,
            "end_s": end_s,
            "score_max": score,
            "score_mean": score * np.float32(0.9),
            "n_hits": n_hits,
            "n_samples": n_hits + 1,
            "start_after_s": start_s - 0.1,
            "end_before_s": end_s + 0.1,
            "best_face_id": named(f"{side}", np.arange(n)),
            "best_time_s": start_s,
        },
        schema=SPANS,
    )
