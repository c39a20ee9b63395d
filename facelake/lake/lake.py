"""A catalog: its commit records, and reading what they name.

Readers take only what a ``videos`` row names: a crash shows the old video or the new one, never a
mix. `layout` says what the files are called.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.lake.files import MissingPartError, NewerVersionError, read_table, write_table
from facelake.lake.forget.tombstones import (
    ForgottenError,
    RunTables,
    leave_out_forgotten,
    read_tombstones,
    tombstone_files,
)
from facelake.lake.layout import (
    CATALOG_FILE,
    CHIPS_FOLDER,
    FACES_FOLDER,
    GALLERY_FOLDER,
    PARTED,
    SAMPLES_FOLDER,
    TRACKS_FOLDER,
    exemplar_file,
    is_exemplar,
    parse_part,
    part_of,
    required_parts,
    video_row,
)
from facelake.lake.records import (
    densest_of_each,
    density,
    file_columns,
    read_records,
    read_row,
    records_of,
    write_record,
)
from facelake.lake.scan.codes import encode_twins
from facelake.lake.scan.kernels import KernelName
from facelake.lake.scan.scan import FacesScan, find_stood_for, read_faces
from facelake.lake.staging import Staging
from facelake.lake.stores.store import LocalStore, Store, is_url, open_stores
from facelake.schema import (
    CHIPS,
    DAMAGED,
    EXEMPLARS,
    FACES,
    SAMPLES,
    SCHEMA_VERSION,
    TRACKS,
    TWIN,
    conform,
    with_embedding,
)

_FORMAT = "facelake"
_TRIES, _PAUSE_S = 8, 0.02
WRITERS = "writers"  # the lock that all who write share

Read = TypeVar("Read")


class Lake:
    """A catalog's files.

    Use `Lake.open` or `Lake.create`.
    """

    def __init__(self, store: Store, scratch: Store, told: dict[str, Any]) -> None:
        self.store, self.scratch = store, scratch
        self._told = told

    @classmethod
    def open(cls, root: str | Path) -> Lake:
        """An existing catalog, in a folder or at a URL such as ``s3://bucket/tv``.

        Raises
        ------
        CatalogError
            There is none, it is unreadable, or a newer facelake wrote it.
        """
        store, scratch = open_stores(root)
        return cls(store, scratch, _read_catalog_file(store))

    @classmethod
    def create(cls, root: str | Path) -> Lake:
        """The catalog at this place, made when it is not there yet.

        Raises
        ------
        CatalogError
            The folder holds something else.
        """
        store, _ = open_stores(root)
        if store.has(CATALOG_FILE):
            return cls.open(root)
        if not store.is_empty():
            raise CatalogError(
                f"{root}: a new catalog needs an empty folder, but this one holds files and no "
                f"{CATALOG_FILE}; name another folder"
            )
        lake = cls.restored(root, {})
        lake.write_catalog_file()
        return lake

    @classmethod
    def restored(cls, root: str | Path, spaces: dict[str, dict[str, Any]]) -> Lake:
        """A catalog that is new, or whose ``catalog.json`` is lost; nothing is written yet."""
        told = {
            "format": _FORMAT,
            "schema_version": SCHEMA_VERSION,
            "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "spaces": spaces,
        }
        return cls(*open_stores(root), told)

    @property
    def where(self) -> str:
        """How a person would call this catalog: its path or URL."""
        return self.store.where()

    @property
    def root(self) -> Path:
        """The folder of a catalog on this machine.

        Raises
        ------
        CatalogError
            It is in an object store.
        """
        if not isinstance(self.store, LocalStore):
            raise CatalogError(f"{self.where}: this needs a catalog in a folder, but it is a URL")
        return self.store.root

    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(entry.size_bytes for entry in self.store.find())

    # Spaces -------------------------------------------------------------------------------------

    @property
    def spaces(self) -> dict[str, dict[str, Any]]:
        """Embedding spaces of this catalog: name → pack, dim, licence."""
        return dict(self._told["spaces"])

    def add_space(self, space: str, **facts: str | int) -> None:
        """Note a space and what is to be known of it."""
        if self._told["spaces"].get(space) != facts:
            with self.changing() as told:
                told["spaces"][space] = facts

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """What ``catalog.json`` tells, to be changed; it is written when the block ends well."""
        # Another ingest may add a space at this moment.
        with self.writing(), self.scratch.alone(CATALOG_FILE):
            self._told = _read_catalog_file(self.store)
            yield self._told
            self.write_catalog_file()

    @property
    def told(self) -> dict[str, Any]:
        """What ``catalog.json`` tells."""
        return dict(self._told)

    def only_space(self) -> str:
        """The space of a catalog that has one.

        Raises
        ------
        CatalogError
            It has none yet, or several.
        """
        names = sorted(self.spaces)
        if not names:
            raise CatalogError(
                f"{self.where}: nothing is ingested yet; facelake ingest comes first"
            )
        if len(names) > 1:
            raise CatalogError(f"{self.where}: holds several spaces, name one: {', '.join(names)}")
        return names[0]

    def dim(self, space: str) -> int:
        """Length of the embeddings of a space.

        Raises
        ------
        CatalogError
            The catalog has no such space.
        """
        if space not in self.spaces:
            raise CatalogError(
                f"{self.where}: holds embeddings of {', '.join(sorted(self.spaces)) or 'no space'},"
                f" not of {space}; embeddings of two models cannot be compared"
            )
        return int(self.spaces[space]["dim"])

    # Writing ------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold off those who clear up, while the block runs; any number may write at once."""
        with self.scratch.shared(WRITERS):
            yield

    @contextmanager
    def clearing(self) -> Iterator[bool]:
        """Hold off those who write; gives whether nobody does, and false where nobody can tell."""
        with self.scratch.alone(WRITERS, wait=False) as is_alone:
            yield is_alone

    def staging(self, video_id: str, run: str) -> Staging:
        """Where the stretches of a run are kept until they are published."""
        return Staging(self.scratch, video_id, run)

    def publish(
        self,
        video: dict[str, Any],
        samples: pa.Table | None = None,
        faces: pa.Table | None = None,
        tracks: pa.Table | None = None,
        chips: pa.Table | None = None,
    ) -> dict[str, Any]:
        """Write a run of a video; its ``videos`` row, which makes it visible, comes last.

        A reader sees the run as it was before, or this writing of it, whole. What tombstones name
        is left out, whoever writes it.

        Parameters
        ----------
        video
            One row of `schema.VIDEOS`; missing columns are null.
        samples, faces, tracks, chips
            Rows of these tables; ``None`` for a video that gave nothing.

        Returns
        -------
        dict
            The row as it was written.

        Raises
        ------
        ForgottenError
            The video was forgotten as a whole; nothing of it is there.
        """
        known = tombstone_files(self.store, video["content_id"])
        run = RunTables(video, samples, faces, tracks, chips)
        try:
            run = leave_out_forgotten(run, read_tombstones(self.store, video["content_id"]))
        except ForgottenError:
            self.withdraw(video["video_id"], video["run"])
            raise
        written = self._write_run(run)
        if tombstone_files(self.store, video["content_id"]) != known:  # forgotten meanwhile
            return self.publish(video, samples, faces, tracks, chips)
        return written

    def _write_run(self, run: RunTables) -> dict[str, Any]:
        faces = run.faces
        if faces is not None:
            faces = faces.append_column(TWIN, encode_twins(faces["embedding"]))
        tables = {
            SAMPLES_FOLDER: run.samples,
            FACES_FOLDER: faces,
            TRACKS_FOLDER: run.tracks,
            CHIPS_FOLDER: run.chips,
        }
        new = run.video | {"generation": secrets.token_hex(4)}
        with self._alone_with(new) as is_alone:
            before = self._record(new["video_id"], new["run"])
            try:
                for table, rows in tables.items():
                    if rows is not None:
                        write_table(rows, self.store, part_of(table, new), **_facts(new))
                self._commit(new)
            except BaseException:
                self._take_back(new)
                raise
            self._sweep(new, before, is_alone=is_alone)
        return new

    def _take_back(self, video: dict[str, Any]) -> None:
        """Remove what a writing that failed has left, unless it counts after all."""
        row = self._record(video["video_id"], video["run"])
        if row is None or row["generation"] != video["generation"]:
            with suppress(CatalogError):
                self._remove_parts(video)

    def withdraw(self, video_id: str, run: str) -> None:
        """Take a run out of sight, then remove what it wrote."""
        with self._alone_with({"video_id": video_id, "run": run}):
            before = self._record(video_id, run)
            self.store.remove(video_row(video_id, run))
            if before is not None:
                self._remove_parts(before)

    def retry(self, video_id: str, run: str) -> None:
        """Make room for a run that is looked at again.

        A failed one goes; what can be read of another stays until the new one is published.
        """
        row = self._record(video_id, run)
        if row is None or row["status"] == "failed":
            self.withdraw(video_id, run)
        elif row["status"] != DAMAGED:
            self.mark_damaged(row, "parts of it are missing; the same ingest looks at it again")

    def mark_damaged(self, video: dict[str, Any], why: str) -> bool:
        """Note that a run is not as it was written; gives whether it still is the one meant.

        What can be read of it stays; the same ingest looks at the video again.
        """
        with self._alone_with(video):
            row = self._record(video["video_id"], video["run"])
            if row is None or row["generation"] != video["generation"]:
                return False
            self._commit(row | {"status": DAMAGED, "error": why})
        return True

    def add_path(self, video: dict[str, Any], path: str, mtime_ns: int) -> None:
        """Note that one more file holds a video's bytes, or that a known one was touched."""
        files = dict(zip(video["paths"], video["mtimes_ns"], strict=True))
        if files.get(path) != mtime_ns:
            self._note_files(video, {path: mtime_ns})

    def drop_path(self, video: dict[str, Any], path: str) -> None:
        """Note that a file holds other bytes now.

        A run that saw something keeps the last name it had; one that saw nothing has then nothing
        left to tell, and goes.
        """
        files = dict(zip(video["paths"], video["mtimes_ns"], strict=True))
        if files.pop(path, None) is None:
            return
        if files:
            self._note_files(video, {path: None})
        elif not video["n_samples"]:
            self.withdraw(video["video_id"], video["run"])

    def _note_files(self, video: dict[str, Any], changes: dict[str, int | None]) -> None:
        """Change what a run's row says of files; of what was written meanwhile nothing is lost."""
        with self._alone_with(video):
            row = self.run_row(video["video_id"], video["run"])
            files = dict(zip(row["paths"], row["mtimes_ns"], strict=True)) | changes
            known = {path: mtime_ns for path, mtime_ns in files.items() if mtime_ns is not None}
            self._commit(row | file_columns(known))

    def _commit(self, video: dict[str, Any]) -> None:
        write_record(self.store, video, _facts(video))

    @contextmanager
    def _alone_with(self, video: dict[str, Any]) -> Iterator[bool]:
        name = f"{video['video_id']}.{video['run']}"
        with self.writing(), self.scratch.alone(name) as is_alone:
            yield is_alone

    def _sweep(
        self, video: dict[str, Any], before: dict[str, Any] | None, *, is_alone: bool
    ) -> None:
        """Remove what a run wrote before.

        Where nobody else can be writing it, the parts of writers that died go, too.
        """
        if not is_alone:
            if before is not None:
                self._remove_parts(before)
            return
        kept = {part_of(table, video) for table in PARTED}
        for table in PARTED:
            folder = part_of(table, video).rpartition("/")[0]
            for entry in self.store.find(folder):
                part = parse_part(entry.name)
                if part is not None and part.run == video["run"] and entry.name not in kept:
                    self.store.remove(entry.name)

    def _remove_parts(self, video: dict[str, Any]) -> None:
        for table in PARTED:
            self.store.remove(part_of(table, video))

    def _record(self, video_id: str, run: str) -> dict[str, Any] | None:
        try:
            return self.run_row(video_id, run)
        except CatalogError:  # there is none, or none that can be read
            return None

    # Reading ------------------------------------------------------------------------------------

    def runs(self, space: str | None = None) -> pa.Table:
        """Every committed run: one row per video and run, in order of both."""
        table = read_records(self.store, self.scratch)
        return table if space is None else table.filter(pc.field("space") == space)

    def has_run(self, video_id: str, run: str) -> bool:
        """Whether a run is published."""
        return self.store.has(video_row(video_id, run))

    def run_row(self, video_id: str, run: str) -> dict[str, Any]:
        """The ``videos`` row of one run."""
        return read_row(self.store, video_row(video_id, run))

    def is_whole(self, video: dict[str, Any], held: Container[str] | None = None) -> bool:
        """Whether every part that a run must have is there.

        Parameters
        ----------
        video
            Its ``videos`` row.
        held
            Names of the catalog's files; ``None`` asks the store for each.
        """
        names = required_parts(video)
        return all(self.store.has(name) if held is None else name in held for name in names)

    def videos(self, space: str | None = None) -> pa.Table:
        """One row per video: its densest run (`read_video`), with the paths of all runs."""
        return densest_of_each(self.runs(space))

    def runs_of(self, video_id: str, space: str) -> list[dict[str, Any]]:
        """The ``videos`` rows of a video in a space, densest first."""
        rows = [row for row in records_of(self.store, video_id) if row["space"] == space]
        return sorted(rows, key=density, reverse=True)

    def samples(self, video_id: str, space: str) -> pa.Table:
        """The examined instants of a video, in order of time, each once."""
        return _merge_samples([of_run for _, of_run in self.read_runs(video_id, space)])[0]

    def faces(self, video_id: str, space: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The faces of a video, in order of time; an instant looked at twice counts once."""
        return self.read_video(video_id, space, columns)[1]

    def read_video(
        self, video_id: str, space: str, columns: Sequence[str] | None = None
    ) -> tuple[pa.Table, pa.Table]:
        """Samples and faces of a video over all runs; the densest that saw an instant owns it.

        That is the run with the most samples, of equals the one with the most embeddings, and of
        those the newest.
        """
        schema = with_embedding(FACES, space, self.dim(space))
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in dict.fromkeys([*columns, "pts"])])
        return self.steadily(lambda: self._read_video(video_id, space, schema))

    def _read_video(
        self, video_id: str, space: str, schema: pa.Schema
    ) -> tuple[pa.Table, pa.Table]:
        runs = self._read_runs(video_id, space)
        samples, owned = _merge_samples([of_run for _, of_run in runs])
        faces = [schema.empty_table()]
        for rank, ((video, _), own) in enumerate(zip(runs, owned, strict=True)):
            if not video["n_samples"]:
                continue  # a failed video has no parts
            rows = self._read_part(FACES_FOLDER, video, schema)
            rows = rows.filter(pa.array(np.isin(rows["pts"].to_numpy(), own)))
            faces.append(rows if rank == 0 else _without_tracks(rows))
        return samples, pa.concat_tables(faces).sort_by([("pts", "ascending")])

    def read_runs(self, video_id: str, space: str) -> list[tuple[dict[str, Any], pa.Table]]:
        """The ``videos`` row and the samples of each run of a video, densest first."""
        return self.steadily(lambda: self._read_runs(video_id, space))

    def _read_runs(self, video_id: str, space: str) -> list[tuple[dict[str, Any], pa.Table]]:
        none = SAMPLES.empty_table()
        return [
            (video, self._read_part(SAMPLES_FOLDER, video, SAMPLES) if video["n_samples"] else none)
            for video in self.runs_of(video_id, space)
        ]

    def tracks(self, video_id: str, space: str) -> pa.Table:
        """The tracks of a video's densest run."""
        return self._of_densest(TRACKS_FOLDER, video_id, space)

    def chips(self, video_id: str, space: str) -> pa.Table:
        """The aligned faces kept of a video's densest run; empty where none were asked for."""
        return self._of_densest(CHIPS_FOLDER, video_id, space)

    def _of_densest(self, table: str, video_id: str, space: str) -> pa.Table:
        schema = with_embedding(TRACKS, space, self.dim(space)) if table == TRACKS_FOLDER else CHIPS

        def read() -> pa.Table:
            for video in self.runs_of(video_id, space)[:1]:
                if video["n_samples"] and (
                    table == TRACKS_FOLDER or self.store.has(part_of(table, video))
                ):
                    return self._read_part(table, video, schema)
            return schema.empty_table()

        return self.steadily(read)

    def _read_part(self, table: str, video: dict[str, Any], schema: pa.Schema) -> pa.Table:
        return conform(read_table(self.store, part_of(table, video), schema.names), schema)

    def steadily(self, read: Callable[[], Read]) -> Read:
        """What ``read`` gives; again where a writer has just replaced what was being read."""
        for _ in range(_TRIES - 1):
            try:
                return read()
            except MissingPartError:
                time.sleep(_PAUSE_S)
        return read()

    # Scanning -----------------------------------------------------------------------------------

    def scan(
        self,
        probes: npt.NDArray[np.floating[Any]],
        *,
        min_score: float,
        kernel: KernelName = "auto",
    ) -> FacesScan:
        """What finds the faces that may score at least so much with a probe; see `FacesScan`."""
        return FacesScan(self.store, probes, min_score=min_score, kernel=kernel)

    def read_faces(
        self, video: dict[str, Any], rows: npt.NDArray[np.int64], columns: Sequence[str]
    ) -> pa.Table:
        """Some faces of a run, by their rows in its part; ``video`` is its ``videos`` row."""
        return read_faces(self.store, video, rows, list(columns))

    def find_stood_for(self, video: dict[str, Any], face_ids: pa.Array) -> pa.Table:
        """The faces of a run that have no embedding and for which some others stand."""
        return find_stood_for(self.store, video, face_ids)

    def iter_video_ids(self, space: str | None = None) -> Iterator[str]:
        """Names of the videos, in order."""
        yield from self.videos(space)["video_id"].to_pylist()

    # Gallery ------------------------------------------------------------------------------------

    def exemplars(self, space: str) -> pa.Table:
        """Every enrolled exemplar of a space, in order of identity."""
        entries = self.store.find(f"{GALLERY_FOLDER}/space={space}")
        if not entries and space not in self.spaces:
            return EXEMPLARS.empty_table()
        schema = with_embedding(EXEMPLARS, space, self.dim(space))
        names = [entry.name for entry in entries if is_exemplar(entry.name)]
        tables = self.store.read_each(partial(read_table, self.store), names)
        conformed = [conform(table, schema) for table in tables]
        table = pa.concat_tables([schema.empty_table(), *conformed])
        return table.sort_by([("identity", "ascending"), ("exemplar_id", "ascending")])

    def add_exemplars(self, exemplars: pa.Table, space: str) -> None:
        """Add exemplars, one file each, named by content: adding one twice changes nothing."""
        for row in range(len(exemplars)):
            name = exemplar_file(exemplars["exemplar_id"][row].as_py(), space)
            write_table(exemplars.slice(row, 1), self.store, name, space=space)

    def drop_exemplars(self, exemplar_ids: Sequence[str], space: str) -> None:
        """Remove exemplars by name."""
        for exemplar_id in exemplar_ids:
            self.store.remove(exemplar_file(exemplar_id, space))

    def write_catalog_file(self) -> None:
        """Write ``catalog.json`` as this lake tells it; see `changing`."""
        self._told["schema_version"] = SCHEMA_VERSION
        self.store.write_text(CATALOG_FILE, json.dumps(self._told, indent=2, sort_keys=True) + "\n")


def _facts(video: dict[str, Any]) -> dict[str, str]:
    """What a run's files say of themselves."""
    told = ("video_id", "run", "space", "generation")
    return {name: video[name] for name in told if video.get(name)}


def _without_tracks(faces: pa.Table) -> pa.Table:
    """The faces of a run whose tracks are not those that `Lake.tracks` gives."""
    column = faces.schema.get_field_index("track_id")
    if column < 0:
        return faces
    field = faces.schema.field(column)
    return faces.set_column(column, field, pa.nulls(len(faces), field.type))


def _merge_samples(
    runs: Sequence[pa.Table],
) -> tuple[pa.Table, list[npt.NDArray[np.int64]]]:
    """The samples of a video's runs, densest first, by time and each once; whose each one is.

    The first that saw an instant owns it; one that none could decode is there, too.
    """
    samples, lost = [SAMPLES.empty_table()], [SAMPLES.empty_table()]
    owned, seen = [], np.empty(0, np.int64)
    for of_run in runs:
        is_ok = pc.equal(of_run["status"], "ok").to_numpy()
        lost.append(of_run.filter(pa.array(~is_ok)))
        own = of_run.filter(pa.array(is_ok & ~np.isin(of_run["pts"].to_numpy(), seen)))
        samples.append(own)
        owned.append(own["pts"].to_numpy())
        seen = np.concatenate([seen, owned[-1]])
    samples.append(_first_of_each(pa.concat_tables(lost), seen))
    return pa.concat_tables(samples).sort_by([("pts", "ascending")]), owned


def _first_of_each(samples: pa.Table, seen: npt.NDArray[np.int64]) -> pa.Table:
    """One row for each instant that is not among those that were seen."""
    pts = samples["pts"].to_numpy()
    keep = ~np.isin(pts, seen)
    first = np.zeros(len(pts), bool)
    first[np.unique(pts, return_index=True)[1]] = True
    return samples.filter(pa.array(keep & first))


def _read_catalog_file(store: Store) -> dict[str, Any]:
    where = store.where(CATALOG_FILE)
    try:
        told: Any = json.loads(store.read_bytes(CATALOG_FILE))
    except (FileNotFoundError, NotADirectoryError) as error:
        store.is_empty()  # says so where not even the place is there
        raise CatalogError(_no_catalog(store.where())) from error
    except (OSError, ValueError) as error:
        raise CatalogError(f"{where}: must be readable JSON, but is not ({error})") from error
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise CatalogError(f"{where}: must describe a facelake catalog, but does not")
    version = told.get("schema_version")
    if not isinstance(version, int):
        raise CatalogError(f"{where}: must tell its schema version, but does not")
    if version > SCHEMA_VERSION:
        raise NewerVersionError(
            f"{store.where()}: its schema version must be at most {SCHEMA_VERSION}, but is "
            f"{version}; a newer facelake wrote it: pip install -U facelake"
        )
    if not isinstance(told.get("spaces"), dict):
        raise CatalogError(f"{where}: must list the catalog's spaces, but does not")
    return told


def _no_catalog(where: str) -> str:
    if is_url(where):
        return f"{where}: holds no {CATALOG_FILE}; facelake ingest SOURCE -c {where} makes one"
    root = Path(where)
    beside = root.parent
    names = [p.parent.name for p in beside.glob(f"*/{CATALOG_FILE}")] if beside.is_dir() else []
    near = get_close_matches(root.name, names, 1)
    hint = f"; did you mean {beside / near[0]}?" if near else ""
    what = f"holds no {CATALOG_FILE}" if root.is_dir() else "there is no such catalog"
    return f"{root}: {what}{hint or '; facelake ingest SOURCE -c ' + str(root) + ' makes one'}"
