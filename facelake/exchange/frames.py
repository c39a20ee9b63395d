"""A catalog's tables as lazy Dask DataFrames: one partition a video, read where it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa

from facelake.errors import ExportError
from facelake.exchange.parquet import to_embedding_kind
from facelake.lake import Lake, is_url
from facelake.schema import FACES, SAMPLES, TRACKS, with_embedding

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

FrameTable = Literal["samples", "faces", "tracks"]
_KEY = pa.field("video_id", pa.string(), nullable=False)


def open_frame(lake: Lake, table: FrameTable, *, space: str) -> dd.DataFrame:
    """A table of all videos as a Dask DataFrame; nothing is read before it is computed.

    Each partition is read through the lake, so an instant that several runs looked at counts once,
    and only the columns that are used are read. Columns have pandas' Arrow types: identifiers stay
    text, missing numbers stay missing, and embeddings are lists of float32.

    Parameters
    ----------
    table
        ``samples``, ``faces`` or ``tracks``.
    space
        Whose samples, faces or tracks.

    Raises
    ------
    ExportError
        pandas or ``dask.dataframe`` is not installed.
    ValueError
        There is no such table.
    """
    if table not in get_args(FrameTable):
        raise ValueError(f"table must be samples, faces or tracks, but is {table!r}")
    try:
        import dask.dataframe as dd
    except ImportError as error:
        raise ExportError(
            f"a Dask DataFrame needs pandas beside Dask ({error}); pip install 'dask[dataframe]'"
        ) from error
    schema = _schema(table, space, lake.dim(space))
    meta = _to_pandas(schema.empty_table())
    video_ids = list(lake.iter_video_ids(space))
    if not video_ids:
        empty: dd.DataFrame = dd.from_pandas(meta, npartitions=1)
        return empty
    frame: dd.DataFrame = dd.from_map(
        _read_partition, video_ids, root=_for_workers(lake), table=table, space=space, meta=meta
    )
    return frame


def _read_partition(
    video_id: str,
    *,
    root: str,
    table: FrameTable,
    space: str,
    columns: Sequence[str] | None = None,  # Dask fills it with those that are used
) -> pd.DataFrame:
    lake = Lake.open(root)
    schema = _schema(table, space, lake.dim(space))
    names = schema.names if columns is None else list(columns)
    if table == "samples":
        rows = lake.samples(video_id, space)
    elif table == "faces":
        rows = lake.faces(video_id, space, [name for name in names if name != _KEY.name])
    else:
        rows = lake.tracks(video_id, space)
    keyed = rows.append_column(_KEY, pa.array([video_id] * len(rows), pa.string()))
    return _to_pandas(keyed.select(names))


def _schema(table: FrameTable, space: str, dim: int) -> pa.Schema:
    if table == "samples":
        return pa.schema([_KEY, *SAMPLES])
    return with_embedding(pa.schema([_KEY, *(FACES if table == "faces" else TRACKS)]), space, dim)


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    import pandas as pd

    # Arrow's types, because Dask turns every column of Python objects into text.
    frame: Any = to_embedding_kind(table, "list-f32").to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _for_workers(lake: Lake) -> str:
    """The catalog's place as another process finds it, whatever folder that runs in."""
    return lake.where if is_url(lake.where) else str(Path(lake.where).absolute())
