"""The corridor of the chips: lake → faces → lake. No video is opened.

A chip is the picture that a face was embedded from, so another model can embed it again. Each run
that keeps chips becomes one more run, in the other model's space: the same instants, faces and
tracks, with other embeddings.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake import __version__
from facelake.errors import CatalogError
from facelake.faces import FaceEngine, Pack, find_pack
from facelake.faces.chip import decode_chip
from facelake.lake import Lake, read_table
from facelake.lake.forget.tombstones import ForgottenError
from facelake.lake.layout import CHIPS_FOLDER, FACES_FOLDER, SAMPLES_FOLDER, part_of
from facelake.schema import (
    CHIPS,
    DAMAGED,
    FACES,
    SAMPLES,
    Device,
    IngestSettings,
    conform,
    pack_embeddings,
    with_embedding,
)
from facelake.tracks import add_tracks
from facelake.words import counted

if TYPE_CHECKING:
    from PIL.Image import Image

FROM_CHIPS = "from_chips"
"""In the settings of a run: the run whose chips it was made from."""

_BATCH = 256  # chips decoded while the ones before are embedded, 10 MB


@dataclass(frozen=True)
class ReembedReport:
    """What embedding the chips of a catalog came to.

    Attributes
    ----------
    space
        The space of the new embeddings.
    n_new, n_present, n_without_chips
        Videos that were embedded now, that the space had already, and that keep no chips.
    n_faces
        Faces that were embedded now.
    work_s
        Seconds it took, once the model was open.
    note
        Why the model ran slower than it could; empty when all is as it should be.
    troubles
        Path and reason of every video whose chips could not be read.
    """

    space: str
    n_new: int
    n_present: int
    n_without_chips: int
    n_faces: int
    work_s: float
    note: str = ""
    troubles: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        pace = f" ({self.n_faces / self.work_s:,.0f} faces/s)" if self.n_faces else ""
        lines = [
            f"{counted(self.n_new, 'video')} embedded as {self.space}, {self.n_present} already "
            f"there: {counted(self.n_faces, 'face')} in {self.work_s:.1f} s{pace}"
        ]
        if self.n_without_chips:
            lines.append(
                f"  without chips: {counted(self.n_without_chips, 'video')}; facelake ingest "
                "--chips keeps them, or ingest with this pack"
            )
        lines += [f"  slower: {self.note}"] if self.note else []
        lines += [f"  not embedded: {path}: {reason}" for path, reason in self.troubles]
        return "\n".join(lines)


def reembed_videos(
    root: str | Path,
    pack: str | Path,
    *,
    device: Device = "auto",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> ReembedReport:
    """Embed the chips of a catalog with another model, beside what is there.

    What the catalog has in that model's space already is left alone; what was interrupted goes on
    with the next video.

    Parameters
    ----------
    root
        The catalog's folder or URL.
    pack
        Name or folder of a model pack; its detector is not asked.
    progress
        Called with the number of faces done and of all.

    Raises
    ------
    CatalogError
        No video keeps chips, or the catalog cannot be written.
    PackError, EngineError
        Before anything is read.
    """
    lake = Lake.open(root)
    runs = lake.runs().to_pylist()
    sources = [run for run in runs if _keeps_chips(run)]
    if not sources:
        raise CatalogError(
            f"{lake.where}: no video keeps chips, from which its faces could be embedded again; "
            f"facelake ingest SOURCE --chips -c {lake.where} keeps them"
        )
    chosen = find_pack(pack)
    of_space = _by_video(run for run in runs if run["space"] == chosen.space and lake.is_whole(run))
    todo = [run for run in sources if not _is_answered(run, chosen.space, of_space)]
    work = _Work(progress, n_all=sum(run["n_embedded"] or 0 for run in todo))
    if todo:
        _embed_runs(lake, chosen, todo, device, work)
    present = set(of_space) - {run["video_id"] for run in todo}
    seen = {run["video_id"] for run in runs if run["n_samples"]}
    return ReembedReport(
        space=chosen.space,
        n_new=len(work.video_ids),
        n_present=len(present),
        n_without_chips=len(seen - set(of_space) - {run["video_id"] for run in sources}),
        n_faces=work.n_faces,
        work_s=work.seconds,
        note=work.note,
        troubles=tuple(work.troubles),
    )


def read_thumbnail(root: str | Path, face_id: str, *, video_id: str | None = None) -> Image:
    """The chip of a face as a picture for people, 112 × 112 pixels.

    Parameters
    ----------
    root
        The catalog's folder or URL.
    video_id
        Where the face is; ``None`` looks through all videos.

    Raises
    ------
    CatalogError
        None is kept of it.
    """
    from PIL import Image

    lake = Lake.open(root)
    for run in lake.runs().to_pylist():
        if _keeps_chips(run) and run["n_samples"] and video_id in (None, run["video_id"]):
            picture = lake.steadily(partial(_find_picture, lake, run, face_id))
            if picture is not None:
                return Image.fromarray(decode_chip(picture))
    raise CatalogError(
        f"{lake.where}: keeps no picture of face {face_id}; facelake ingest SOURCE --chips -c "
        f"{lake.where} keeps one of every face with an embedding of its own"
    )


# Which runs -------------------------------------------------------------------------------------


def _keeps_chips(run: dict[str, Any]) -> bool:
    return bool(_settings(run).get("chips", False))


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run["settings"])
    return told


def _run_in(space: str, run: dict[str, Any]) -> str:
    """Name of what a run becomes in another space, 12 hex digits."""
    return blake2b(f"{run['run']}|{space}".encode(), digest_size=6).hexdigest()


def _by_video(runs: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        found.setdefault(run["video_id"], []).append(run)
    return found


def _is_answered(
    run: dict[str, Any], space: str, of_space: dict[str, list[dict[str, Any]]]
) -> bool:
    """Whether a space has what a run would become there, or better.

    Better is what was embedded from the frames themselves, at no fewer instants.
    """
    return any(
        other["run"] == _run_in(space, run)
        or (FROM_CHIPS not in _settings(other) and other["n_samples"] >= run["n_samples"])
        for other in of_space.get(run["video_id"], ())
        if other["status"] != DAMAGED
    )


# Embedding --------------------------------------------------------------------------------------


@dataclass
class _Work:
    """What was embedded so far."""

    progress: Callable[[int, int], None]
    n_all: int
    video_ids: set[str] = field(default_factory=set)
    n_faces: int = 0
    seconds: float = 0.0
    note: str = ""
    troubles: list[tuple[str, str]] = field(default_factory=list)

    def count(self, n_faces: int) -> None:
        self.n_faces += n_faces
        self.progress(self.n_faces, self.n_all)


@dataclass(frozen=True)
class _Source:
    """A run that keeps chips: its ``videos`` row and its parts; a failed one has no rows."""

    video: dict[str, Any]
    samples: pa.Table
    faces: pa.Table
    chips: pa.Table


def _embed_runs(
    lake: Lake, pack: Pack, runs: Sequence[dict[str, Any]], device: Device, work: _Work
) -> None:
    engine = FaceEngine(pack, IngestSettings(), device=device, threads=0)
    lake.add_space(
        pack.space,
        dim=engine.dim,
        pack=pack.name,
        licence=pack.licence,
        embedder_sha256=pack.embedder_sha256,
    )
    work.note, start = engine.note, time.perf_counter()
    for run in runs:
        try:
            source = lake.steadily(partial(_read_run, lake, run))
            embeddings = _embed(engine, source.chips["picture"], work.count)
        except CatalogError as error:
            work.troubles.append((run["paths"][0], str(error)))
            continue
        with suppress(ForgottenError):  # while its chips were embedded
            _publish(lake, engine, source, embeddings, device)
            work.video_ids.add(run["video_id"])
    work.seconds = time.perf_counter() - start


def _embed(engine: FaceEngine, pictures: pa.ChunkedArray, count: Callable[[int], None]) -> pa.Array:
    """The embeddings of chips, as a column; some are decoded while those before are embedded."""
    columns = [pack_embeddings(np.empty((0, engine.dim), np.float32))]
    with ThreadPoolExecutor() as pool:
        waiting = pool.map(decode_chip, pictures.slice(0, _BATCH).to_pylist())
        for begin in range(0, len(pictures), _BATCH):
            chips = list(waiting)
            waiting = pool.map(decode_chip, pictures.slice(begin + _BATCH, _BATCH).to_pylist())
            columns.append(pack_embeddings(engine.embed(chips)))
            count(len(chips))
    return pa.concat_arrays(columns)


def _publish(
    lake: Lake, engine: FaceEngine, source: _Source, embeddings: pa.Array, device: Device
) -> None:
    row = _row(engine, source.video, device)
    if not row["n_samples"]:
        lake.publish(row)
        return
    which = pc.index_in(source.faces["face_id"], source.chips["face_id"].combine_chunks())
    faces = pa.table(
        [*source.faces.columns, embeddings.take(which.combine_chunks())],
        schema=with_embedding(FACES, engine.space, engine.dim),
    )
    faces, tracks = add_tracks(faces, source.samples, source.faces["track_id"].to_numpy())
    row |= {"n_tracks": len(tracks), "n_embedded": len(faces) - faces["embedding"].null_count}
    lake.publish(row, source.samples, faces, tracks)


def _row(engine: FaceEngine, video: dict[str, Any], device: Device) -> dict[str, Any]:
    """The ``videos`` row of what a run becomes; it took none of the time that the first one did."""
    settings = _settings(video) | {FROM_CHIPS: video["run"]}
    del settings["chips"]  # they are kept once
    return video | {
        "run": _run_in(engine.space, video),
        "settings": json.dumps(settings, sort_keys=True),
        "space": engine.space,
        "pack": engine.pack.name,
        "device": device,
        "provider": engine.provider,
        "engine_note": engine.note or None,
        **dict.fromkeys(("decode_s", "detect_s", "align_s", "embed_s", "write_s")),
        "created_utc": datetime.now(UTC),
        "facelake_version": __version__,
    }


# Reading ----------------------------------------------------------------------------------------


def _read_run(lake: Lake, run: dict[str, Any]) -> _Source:
    now = lake.run_row(run["video_id"], run["run"])  # it may have been written anew meanwhile
    if now["status"] == DAMAGED:
        raise CatalogError(f"{now['error']}; ingest the video again first")
    if not now["n_samples"]:
        return _Source(now, SAMPLES.empty_table(), FACES.empty_table(), CHIPS.empty_table())
    return _Source(
        now,
        _read_part(lake, now, SAMPLES_FOLDER, SAMPLES),
        _read_part(lake, now, FACES_FOLDER, FACES),
        _read_part(lake, now, CHIPS_FOLDER, CHIPS),
    )


def _find_picture(lake: Lake, run: dict[str, Any], face_id: str) -> bytes | None:
    now = lake.run_row(run["video_id"], run["run"])
    names = _read_part(lake, now, CHIPS_FOLDER, pa.schema([CHIPS.field("face_id")]))
    row = pc.index(names["face_id"], face_id).as_py()
    if row < 0:
        return None
    picture: bytes = _read_part(lake, now, CHIPS_FOLDER, CHIPS)["picture"][row].as_py()
    return picture


def _read_part(lake: Lake, run: dict[str, Any], table: str, schema: pa.Schema) -> pa.Table:
    return conform(read_table(lake.store, part_of(table, run), schema.names), schema)
