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
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.lake.files import read_table, replace_file, write_table
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
        if root.is_dir() and any(root.iterdir()):
            return cls.open(root)
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
        row = {name: video.get(name) for name in VIDEOS.names}
        tables = {"faces": faces, "tracks": tracks, "samples": samples}
        tables["videos"] = pa.Table.from_pylist([row], schema=VIDEOS)
        for name, table in tables.items():
            if table is not None:
                path = self._part(name, video_id, run, space)
                write_table(table, path, scratch=scratch_folder(self.root), run=run, space=space)

    def add_path(self, video: dict[str, Any], path: str, mtime_ns: int) -> None:
        """Note that one more file holds a video's bytes, or that a known one was touched."""
        files = dict(zip(video["paths"], video["mtimes_ns"], strict=True))
        if files.get(path) == mtime_ns:
            return
        files[path] = mtime_ns
        self.publish(
            video | {"paths": sorted(files), "mtimes_ns": [files[p] for p in sorted(files)]}
        )

    # Reading ------------------------------------------------------------------------------------

    def runs(self, space: str | None = None) -> pa.Table:
        """Every committed run: one row per video and run, in order of both."""
        files = sorted((self.root / "videos").glob("video_id=*/part-*.parquet"))
        tables = [read_table(file) for file in files]
        if not tables:
            return VIDEOS.empty_table()
        table = pa.concat_tables([conform(table, VIDEOS) for table in tables])
        return table if space is None else table.filter(pc.field("space") == space)

    def run_row(self, video_id: str, run: str) -> dict[str, Any]:
        """The ``videos`` row of one run."""
        path = self.root / "videos" / f"video_id={video_id}" / f"part-{run}.parquet"
        row: dict[str, Any] = conform(read_table(path), VIDEOS).to_pylist()[0]
        return row

    def videos(self, space: str | None = None) -> pa.Table:
        """One row per video: its densest run, the newest of equals."""
        table = self.runs(space)
        order = np.lexsort(
            [
                table["created_utc"].cast(pa.int64()).to_numpy(),
                table["n_samples"].to_numpy(),
            ]
        )
        chosen = {table["video_id"][int(row)].as_py(): int(row) for row in order}
        return table.take(sorted(chosen.values()))

    def samples(self, video_id: str, space: str) -> pa.Table:
        """The examined instants of a video, in order of time, each once."""
        return self._merged(video_id, space)[0]

    def faces(self, video_id: str, space: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The faces of a video, in order of time; an instant looked at twice counts once."""
        return self._merged(video_id, space, columns)[1]

    def read_video(
        self, video_id: str, space: str, columns: Sequence[str] | None = None
    ) -> tuple[pa.Table, pa.Table]:
        """Samples and faces of a video that belong together."""
        return self._merged(video_id, space, columns)

    def tracks(self, video_id: str, space: str) -> pa.Table:
        """The tracks of a video's densest run."""
        schema = with_embedding(TRACKS, space, self.dim(space))
        runs = self._runs_of(video_id, space)
        path = self._part("tracks", video_id, runs[0], space) if runs else None
        return read_table(path) if path and path.is_file() else schema.empty_table()

    def iter_video_ids(self, space: str | None = None) -> Iterator[str]:
        """Names of the videos, in order."""
        yield from self.videos(space)["video_id"].to_pylist()

    # Gallery ------------------------------------------------------------------------------------

    def exemplars(self, space: str) -> pa.Table:
        """Every enrolled exemplar of a space, in order of identity."""
        schema = with_embedding(EXEMPLARS, space, self.dim(space)) if space in self.spaces else None
        files = sorted(self._gallery(space).glob("exemplar-*.parquet"))
        if not files:
            return schema.empty_table() if schema else EXEMPLARS.empty_table()
        table = pa.concat_tables([read_table(file) for file in files])
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

    def _merged(
        self, video_id: str, space: str, columns: Sequence[str] | None = None
    ) -> tuple[pa.Table, pa.Table]:
        """Samples and faces over all runs; the densest run that examined an instant owns it."""
        faces_schema = with_embedding(FACES, space, self.dim(space))
        wanted = None if columns is None else list(dict.fromkeys([*columns, "pts"]))
        samples, faces, taken = [], [], np.empty(0, np.int64)
        for run in self._runs_of(video_id, space):
            path = self._part("samples", video_id, run, space)
            if not path.is_file():
                continue  # a failed video has none
            of_run = conform(read_table(path), SAMPLES)
            new = ~np.isin(of_run["pts"].to_numpy(), taken)
            own = of_run["pts"].to_numpy()[new]
            taken = np.concatenate([taken, own])
            samples.append(of_run.filter(pa.array(new)))
            rows = read_table(self._part("faces", video_id, run, space), wanted)
            rows = conform(rows, faces_schema) if wanted is None else rows
            faces.append(rows.filter(pa.array(np.isin(rows["pts"].to_numpy(), own))))
        if not samples:
            empty = faces_schema.empty_table()
            return SAMPLES.empty_table(), empty if wanted is None else empty.select(wanted)
        by_time = [("pts", "ascending")]
        return pa.concat_tables(samples).sort_by(by_time), pa.concat_tables(faces).sort_by(by_time)

    def _runs_of(self, video_id: str, space: str) -> list[str]:
        """The runs of a video in a space, densest first, newest first among equals."""
        files = (self.root / "videos" / f"video_id={video_id}").glob("part-*.parquet")
        columns = ["run", "space", "n_samples", "created_utc"]
        rows = [read_table(file, columns).to_pylist()[0] for file in sorted(files)]
        rows = [row for row in rows if row["space"] == space]
        rows.sort(key=lambda row: (row["n_samples"], row["created_utc"]), reverse=True)
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


def _read_catalog_file(root: Path) -> dict[str, Any]:
    path = root / "catalog.json"
    try:
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CatalogError(_no_catalog(root)) from error
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: must be readable JSON, but is not ({error})") from error
    if told.get("format") != _FORMAT or not isinstance(told.get("spaces"), dict):
        raise CatalogError(f"{path}: must describe a facelake catalog, but does not")
    version = told.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise CatalogError(
            f"{root}: its schema version must be at most {SCHEMA_VERSION}, but is {version}; "
            "a newer facelake wrote it: pip install -U facelake"
        )
    return told


def _no_catalog(root: Path) -> str:
    beside = root.parent
    names = [p.parent.name for p in beside.glob("*/catalog.json")] if beside.is_dir() else []
    near = get_close_matches(root.name, names, 1)
    hint = f"; did you mean {beside / near[0]}?" if near else ""
    what = "holds no catalog.json" if root.is_dir() else "there is no such catalog"
    return f"{root}: {what}{hint or '; facelake ingest SOURCE -c ' + str(root) + ' makes one'}"
