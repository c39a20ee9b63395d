"""A catalog on disk: its layout, its commit record, and reading it.

    catalogs/NAME/
      catalog.json                          format, schema version, spaces
      videos/video_id=K/part-RUN.parquet    1 row: the commit record, written last
      samples/video_id=K/part-RUN.parquet   1 row per examined instant, also the empty ones
      faces/space=S/video_id=K/part-RUN.parquet
      tracks/space=S/video_id=K/part-RUN.parquet
      gallery/space=S/exemplar-ID.parquet   1 row, named by its content

Readers take only what a ``videos`` row names: a crash shows the old video or the new one, never a
mix. A run is named by the video's content, the settings and the models, so the same work has the
same name, and denser runs of a video lie side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.lake.files import read_table, remove_file, replace_file, write_table
from facelake.lake.staging import Staging, scratch_folder
from facelake.schema import (
    EXEMPLARS,
    FACES,
    SAMPLES,
    SCHEMA_VERSION,
    TRACKS,
    VIDEOS,
    conform,
    with_embedding,
)

_FORMAT = "facelake"


class Lake:
    """A catalog's folder.

    Use `Lake.open` or `Lake.create`.
    """

    def __init__(self, root: Path, told: dict[str, Any]) -> None:
        self.root = root
        self._told = told

    @classmethod
    def open(cls, root: str | Path) -> Lake:
        """An existing catalog.

        Raises
        ------
        CatalogError
            There is none, it is unreadable, or a newer facelake wrote it.
        """
        root = Path(root)
        if not root.is_dir():
            raise CatalogError(_no_catalog(root))
        return cls(root, _read_catalog_file(root))

    @classmethod
    def create(cls, root: str | Path) -> Lake:
        """The catalog at this place, made when it is not there yet.

        Raises
        ------
        CatalogError
            The folder holds something else.
        """
        root = Path(root)
        if (root / "catalog.json").exists():
            return cls.open(root)
        if root.is_dir() and any(not path.name.startswith(".") for path in root.iterdir()):
            raise CatalogError(
                f"{root}: a new catalog needs an empty folder, but this one holds files and no "
                "catalog.json; name another folder"
            )
        if root.exists() and not root.is_dir():
            raise CatalogError(f"{root}: a catalog must be a folder, but this is a file")
        told = {
            "format": _FORMAT,
            "schema_version": SCHEMA_VERSION,
            "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "spaces": {},
        }
        lake = cls(root, told)
        lake._write_catalog_file()
        return lake

    # Spaces -------------------------------------------------------------------------------------

    @property
    def spaces(self) -> dict[str, dict[str, Any]]:
        """Embedding spaces of this catalog: name → pack, dim, licence."""
        return dict(self._told["spaces"])

    def add_space(self, space: str, **facts: str | int) -> None:
        """Note a space and what is to be known of it."""
        if self._told["spaces"].get(space) != facts:
            self._told = _read_catalog_file(self.root)  # another ingest may have added one
            self._told["spaces"][space] = facts
            self._write_catalog_file()

    def only_space(self) -> str:
        """The space of a catalog that has one.

        Raises
        ------
        CatalogError
            It has none yet, or several.
        """
        names = sorted(self.spaces)
        if not names:
            raise CatalogError(f"{self.root}: nothing is ingested yet; facelake ingest comes first")
        if len(names) > 1:
            raise CatalogError(f"{self.root}: holds several spaces, name one: {', '.join(names)}")
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
                f"{self.root}: holds embeddings of {', '.join(sorted(self.spaces)) or 'no space'}, "
                f"not of {space}; embeddings of two models cannot be compared"
            )
        return int(self.spaces[space]["dim"])

    # Writing ------------------------------------------------------------------------------------

    def staging(self, video_id: str, run: str) -> Staging:
        """Where the stretches of a run are kept until they are published."""
        return Staging(self.root, video_id, run)

    def publish(
        self,
        video: dict[str, Any],
        samples: pa.Table | None = None,
        faces: pa.Table | None = None,
        tracks: pa.Table | None = None,
    ) -> None:
        """Write a run of a video; its ``videos`` row, which makes it visible, comes last.

        Parameters
        ----------
        video
            One row of `schema.VIDEOS`; missing columns are null.
        samples, faces, tracks
            Rows of these tables; ``None`` for a video that gave nothing.
        """
        video_id, run, space = video["video_id"], video["run"], video["space"]
        # Where this very run is published anew, no reader shall see its old rows beside new ones.
        self.withdraw(video_id, run)
        for name, table in {"faces": faces, "tracks": tracks, "samples": samples}.items():
            path = self._part(name, video_id, run, space)
            if table is None:
                path.unlink(missing_ok=True)
            else:
                write_table(table, path, scratch=scratch_folder(self.root), run=run, space=space)
        self._commit(video)

    def withdraw(self, video_id: str, run: str) -> None:
        """Take a run out of sight; what it wrote is no longer read."""
        remove_file(self._part("videos", video_id, run, ""))

    def add_path(self, video: dict[str, Any], path: str, mtime_ns: int) -> None:
        """Note that one more file holds a video's bytes, or that a known one was touched."""
        files = dict(zip(video["paths"], video["mtimes_ns"], strict=True))
        if files.get(path) != mtime_ns:
            self._commit(video | _file_columns(files | {path: mtime_ns}))

    def drop_path(self, video: dict[str, Any], path: str) -> None:
        """Note that a file holds other bytes now.

        A run that saw something keeps the last name it had; one that saw nothing has then nothing
        left to tell, and goes.
        """
        files = dict(zip(video["paths"], video["mtimes_ns"], strict=True))
        if files.pop(path, None) is None:
            return
        if files:
            self._commit(video | _file_columns(files))
        elif not video["n_samples"]:
            self.withdraw(video["video_id"], video["run"])

    def _commit(self, video: dict[str, Any]) -> None:
        row = pa.Table.from_pylist([{name: video.get(name) for name in VIDEOS.names}], VIDEOS)
        run, space = video["run"], video["space"]
        path = self._part("videos", video["video_id"], run, space)
        write_table(row, path, scratch=scratch_folder(self.root), run=run, space=space)

    # Reading ------------------------------------------------------------------------------------

    def runs(self, space: str | None = None) -> pa.Table:
        """Every committed run: one row per video and run, in order of both."""
        files = sorted((self.root / "videos").glob("video_id=*/part-*.parquet"))
        tables = [read_table(file) for file in files]
        if not tables:
            return VIDEOS.empty_table()
        table = pa.concat_tables([conform(table, VIDEOS) for table in tables])
        return table if space is None else table.filter(pc.field("space") == space)

    def has_run(self, video_id: str, run: str) -> bool:
        """Whether a run is published."""
        return self._part("videos", video_id, run, "").is_file()

    def run_row(self, video_id: str, run: str) -> dict[str, Any]:
        """The ``videos`` row of one run."""
        path = self._part("videos", video_id, run, "")
        row: dict[str, Any] = conform(read_table(path), VIDEOS).to_pylist()[0]
        return row

    def is_whole(self, video: dict[str, Any]) -> bool:
        """Whether every file that belongs to a run is there; ``video`` is its ``videos`` row."""
        tables = ("samples", "faces", "tracks") if video["n_samples"] else ()
        place = video["video_id"], video["run"], video["space"]
        return all(self._part(table, *place).is_file() for table in tables)

    def videos(self, space: str | None = None) -> pa.Table:
        """One row per video: its densest run (`read_video`), with the paths of all runs."""
        table = self.runs(space)
        n_embedded = pc.coalesce(table["n_embedded"], table["n_faces"])
        order = np.lexsort(
            [
                table["created_utc"].cast(pa.int64()).to_numpy(),
                n_embedded.to_numpy(),
                table["n_samples"].to_numpy(),
            ]
        )
        chosen = {table["video_id"][int(row)].as_py(): int(row) for row in order}
        rows = pa.array(sorted(chosen.values()), pa.int64())  # typed, for there may be none
        return _with_all_paths(table.take(rows), table)

    def samples(self, video_id: str, space: str) -> pa.Table:
        """The examined instants of a video, in order of time, each once."""
        return self.read_video(video_id, space, columns=("pts",))[0]

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
        samples, faces = [SAMPLES.empty_table()], [schema.empty_table()]
        lost, seen = [SAMPLES.empty_table()], np.empty(0, np.int64)
        for rank, run in enumerate(self._runs_of(video_id, space)):
            path = self._part("samples", video_id, run, space)
            if not path.is_file():
                continue  # a failed video has none
            of_run = conform(read_table(path), SAMPLES)
            is_ok = pc.equal(of_run["status"], "ok").to_numpy()
            lost.append(of_run.filter(pa.array(~is_ok)))
            own = of_run.filter(pa.array(is_ok & ~np.isin(of_run["pts"].to_numpy(), seen)))
            samples.append(own)
            rows = conform(
                read_table(self._part("faces", video_id, run, space), schema.names), schema
            )
            rows = rows.filter(pa.array(np.isin(rows["pts"].to_numpy(), own["pts"].to_numpy())))
            faces.append(rows if rank == 0 else _without_tracks(rows))
            seen = np.concatenate([seen, own["pts"].to_numpy()])
        samples.append(_first_of_each(pa.concat_tables(lost), seen))
        by_time = [("pts", "ascending")]
        return pa.concat_tables(samples).sort_by(by_time), pa.concat_tables(faces).sort_by(by_time)

    def tracks(self, video_id: str, space: str) -> pa.Table:
        """The tracks of a video's densest run."""
        schema = with_embedding(TRACKS, space, self.dim(space))
        for run in self._runs_of(video_id, space)[:1]:
            path = self._part("tracks", video_id, run, space)
            if path.is_file():  # a failed video has none
                return conform(read_table(path), schema)
        return schema.empty_table()

    def iter_video_ids(self, space: str | None = None) -> Iterator[str]:
        """Names of the videos, in order."""
        yield from self.videos(space)["video_id"].to_pylist()

    # Gallery ------------------------------------------------------------------------------------

    def exemplars(self, space: str) -> pa.Table:
        """Every enrolled exemplar of a space, in order of identity."""
        files = sorted(self._gallery(space).glob("exemplar-*.parquet"))
        if not files and space not in self.spaces:
            return EXEMPLARS.empty_table()
        schema = with_embedding(EXEMPLARS, space, self.dim(space))
        tables = [conform(read_table(file), schema) for file in files]
        table = pa.concat_tables([schema.empty_table(), *tables])
        return table.sort_by([("identity", "ascending"), ("exemplar_id", "ascending")])

    def add_exemplars(self, exemplars: pa.Table, space: str) -> None:
        """Add exemplars, one file each, named by content: adding one twice changes nothing."""
        for row in range(len(exemplars)):
            name = f"exemplar-{exemplars['exemplar_id'][row].as_py()}.parquet"
            write_table(
                exemplars.slice(row, 1),
                self._gallery(space) / name,
                scratch=scratch_folder(self.root),
                space=space,
            )

    def drop_exemplars(self, exemplar_ids: Sequence[str], space: str) -> None:
        """Remove exemplars by name."""
        for name in exemplar_ids:
            (self._gallery(space) / f"exemplar-{name}.parquet").unlink(missing_ok=True)

    # Inside -------------------------------------------------------------------------------------

    def _runs_of(self, video_id: str, space: str) -> list[str]:
        """The runs of a video in a space, densest first."""
        files = (self.root / "videos" / f"video_id={video_id}").glob("part-*.parquet")
        told = [conform(read_table(file, _DENSITY.names), _DENSITY) for file in sorted(files)]
        rows = [table.to_pylist()[0] for table in told]
        rows = [row for row in rows if row["space"] == space]
        rows.sort(key=_density, reverse=True)
        return [row["run"] for row in rows]

    def _part(self, table: str, video_id: str, run: str, space: str) -> Path:
        folder = self.root / table
        if table in ("faces", "tracks"):
            folder /= f"space={space}"
        return folder / f"video_id={video_id}" / f"part-{run}.parquet"

    def _gallery(self, space: str) -> Path:
        return self.root / "gallery" / f"space={space}"

    def _write_catalog_file(self) -> None:
        text = json.dumps(self._told, indent=2, sort_keys=True) + "\n"
        replace_file(
            self.root / "catalog.json",
            lambda temporary: temporary.write_text(text, "utf-8"),
            scratch=scratch_folder(self.root),
        )


_DENSITY = pa.schema(
    [
        VIDEOS.field(name)
        for name in ("run", "space", "n_samples", "n_faces", "n_embedded", "created_utc")
    ]
)


def _density(video: dict[str, Any]) -> tuple[int, int, datetime]:
    """What decides which run of a video owns an instant; ``video`` is its ``videos`` row."""
    n_embedded = video["n_faces"] if video["n_embedded"] is None else video["n_embedded"]
    return video["n_samples"], n_embedded, video["created_utc"]


def _file_columns(files: dict[str, int]) -> dict[str, list[str] | list[int]]:
    """The columns ``paths`` and ``mtimes_ns`` of files and their times of change."""
    return {"paths": sorted(files), "mtimes_ns": [files[path] for path in sorted(files)]}


def _with_all_paths(videos: pa.Table, runs: pa.Table) -> pa.Table:
    """The videos with every path that any of their runs knows: each run notes what it meets."""
    files: dict[str, dict[str, int]] = {}
    for row in runs.select(["video_id", "paths", "mtimes_ns"]).to_pylist():
        known = files.setdefault(row["video_id"], {})
        for path, mtime_ns in zip(row["paths"], row["mtimes_ns"], strict=True):
            known[path] = max(mtime_ns, known.get(path, mtime_ns))
    columns = [_file_columns(files[video_id]) for video_id in videos["video_id"].to_pylist()]
    for name in ("paths", "mtimes_ns"):
        field = VIDEOS.field(name)
        values = pa.array([column[name] for column in columns], field.type)
        videos = videos.set_column(VIDEOS.get_field_index(name), field, values)
    return videos


def _without_tracks(faces: pa.Table) -> pa.Table:
    """The faces of a run whose tracks are not those that `Lake.tracks` gives."""
    column = faces.schema.get_field_index("track_id")
    if column < 0:
        return faces
    field = faces.schema.field(column)
    return faces.set_column(column, field, pa.nulls(len(faces), field.type))


def _first_of_each(samples: pa.Table, seen: npt.NDArray[np.int64]) -> pa.Table:
    """One row for each instant that is not among those that were seen."""
    pts = samples["pts"].to_numpy()
    keep = ~np.isin(pts, seen)
    first = np.zeros(len(pts), bool)
    first[np.unique(pts, return_index=True)[1]] = True
    return samples.filter(pa.array(keep & first))


def _read_catalog_file(root: Path) -> dict[str, Any]:
    path = root / "catalog.json"
    try:
        told: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CatalogError(_no_catalog(root)) from error
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: must be readable JSON, but is not ({error})") from error
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise CatalogError(f"{path}: must describe a facelake catalog, but does not")
    version = told.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise CatalogError(
            f"{root}: its schema version must be at most {SCHEMA_VERSION}, but is {version}; "
            "a newer facelake wrote it: pip install -U facelake"
        )
    if not isinstance(told.get("spaces"), dict):
        raise CatalogError(f"{path}: must list the catalog's spaces, but does not")
    return told


def _no_catalog(root: Path) -> str:
    beside = root.parent
    names = [p.parent.name for p in beside.glob("*/catalog.json")] if beside.is_dir() else []
    near = get_close_matches(root.name, names, 1)
    hint = f"; did you mean {beside / near[0]}?" if near else ""
    what = "holds no catalog.json" if root.is_dir() else "there is no such catalog"
    return f"{root}: {what}{hint or '; facelake ingest SOURCE -c ' + str(root) + ' makes one'}"
