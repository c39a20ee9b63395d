"""The searches of `scan`, each in a process of its own: reads its job, writes its answer there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_IO = Path("/proc/self/io")


def search(job: str) -> None:
    """Do what a job file says, and put seconds, bytes read and faces found in its place."""
    path = Path(job)
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    side: Callable[[dict[str, Any]], dict[str, Any]] = _SIDES[told["side"]]
    if path.with_suffix(".npy").exists():
        told["probes"] = np.load(path.with_suffix(".npy"))
    path.write_text(json.dumps(side(told)), "utf-8")


def _facelake(told: dict[str, Any]) -> dict[str, Any]:
    """All there is from importing facelake to the answer."""
    start, before = time.perf_counter(), _bytes_read()
    from facelake.catalog import open_catalog
    from facelake.results import Gallery

    gallery = Gallery(_exemplars(told["probes"]))
    scores = open_catalog(told["root"]).match(gallery, min_score=told["threshold"])
    return _answer(start, before, len(scores))


def _open(told: dict[str, Any]) -> dict[str, Any]:
    start, before = time.perf_counter(), _bytes_read()
    from facelake.catalog import open_catalog

    return _answer(start, before, len(open_catalog(told["root"]).videos()))


def _numpy(told: dict[str, Any]) -> dict[str, Any]:
    vectors, probes = _resident(told["root"]), told["probes"].T.copy()
    start, before = time.perf_counter(), _bytes_read()
    best = (vectors @ probes).max(axis=1)
    return _answer(start, before, int(np.count_nonzero(best >= np.float32(told["threshold"]))))


def _faiss(told: dict[str, Any]) -> dict[str, Any]:
    import faiss

    vectors = _resident(told["root"])
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    del vectors
    start, before = time.perf_counter(), _bytes_read()
    _, _, rows = index.range_search(told["probes"], told["threshold"])
    return _answer(start, before, len(np.unique(rows)))


def _duckdb(told: dict[str, Any]) -> dict[str, Any]:
    import duckdb

    from facelake.catalog import open_catalog

    exported = Path(told["root"]).parent / f"{Path(told['root']).name}.export"
    if not exported.exists():
        open_catalog(told["root"]).export(exported, tables=("faces",), progress=False)
    dim = told["probes"].shape[1]
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE probes (probe FLOAT[{dim}])")
    for probe in told["probes"]:
        connection.execute("INSERT INTO probes VALUES (?)", [probe.tolist()])
    start, before = time.perf_counter(), _bytes_read()
    answer = connection.execute(
        f"SELECT count(DISTINCT face_id) FROM read_parquet('{exported}/faces/*.parquet') f, probes "
        f"WHERE array_cosine_similarity(f.embedding::FLOAT[{dim}], probe) >= ?",
        [told["threshold"]],
    ).fetchone()
    return _answer(start, before, 0 if answer is None else int(answer[0]))


_SIDES = {
    "facelake": _facelake,
    "open": _open,
    "numpy": _numpy,
    "faiss flat": _faiss,
    "duckdb": _duckdb,
}


def _answer(start: float, before: int, n_found: int) -> dict[str, Any]:
    return {
        "seconds": time.perf_counter() - start,
        "bytes_read": _bytes_read() - before,
        "peak_bytes": peak_bytes(),
        "n_found": n_found,
    }


def _bytes_read() -> int:
    """Bytes this process has asked files for; 0 where the system does not tell."""
    try:
        return int(_IO.read_text().partition("rchar:")[2].split()[0])
    except OSError:
        return 0


def peak_bytes() -> int:
    """Most memory this process ever had, in bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _resident(root: str) -> npt.NDArray[np.float32]:
    """All embeddings of a catalog, as float32 in memory."""
    from facelake.lake import Lake
    from facelake.schema import unpack_embeddings

    lake = Lake.open(root)
    space = lake.only_space()
    parts = [
        unpack_embeddings(lake.faces(video_id, space, ("embedding",))["embedding"])
        for video_id in lake.iter_video_ids(space)
    ]
    vectors = np.empty((sum(map(len, parts)), lake.dim(space)), np.float32)
    begin = 0
    for part in parts:
        vectors[begin : begin + len(part)] = part
        begin += len(part)
    return vectors


def _exemplars(probes: npt.NDArray[np.float32]) -> Any:
    """The probes as a gallery: one person each."""
    import pyarrow as pa

    from facelake.bench.planted import DIM, SPACE
    from facelake.schema import EXEMPLARS, pack_embeddings, with_embedding

    rows = [
        {
            "exemplar_id": f"probe-{number:02d}",
            "identity": f"person {number:02d}",
            "photo": "",
            "photo_sha256": "",
            "bbox_xyxy": [0, 0, 1, 1],
            "det_score": 1.0,
            "quality": 1.0,
        }
        for number in range(len(probes))
    ]
    table = pa.Table.from_pylist(rows, schema=EXEMPLARS)
    schema = with_embedding(EXEMPLARS, SPACE, DIM)
    return pa.table([*table.columns, pack_embeddings(probes)], schema=schema)
