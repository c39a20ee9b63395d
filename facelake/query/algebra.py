"""What the algebra of spans needs to know from the catalog, or from other people's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from facelake.algebra import dilate_spans, join_times, parse_cues
from facelake.errors import SourceError
from facelake.gallery import plain_name, refuse_unknown
from facelake.lake import Lake
from facelake.lake.names import find_video, no_such_video
from facelake.query.settings import SpanSettings


class ArrowTable(Protocol):
    """What hands over its rows by Arrow's C interface: tables of pyarrow, pandas and Polars."""

    def __arrow_c_stream__(self, requested_schema: object = None, /) -> object:
        """A capsule with an Arrow stream."""


def refuse_mixed(lake: Lake, space: str, other: Lake, other_space: str) -> None:
    """Refuse to compare spans of two catalogs, or of two models.

    Raises
    ------
    ValueError
        They are.
    """
    if lake.where != other.where:
        raise ValueError(
            f"spans must be of one catalog to be compared, but these are of {lake.where} and "
            f"{other.where}; ingest the videos into one catalog"
        )
    if space != other_space:
        raise ValueError(
            f"spans must be of one space to be compared, but these are of {space} and "
            f"{other_space}; match both with the same gallery"
        )


def looser(one: SpanSettings, other: SpanSettings) -> SpanSettings:
    """The rules that ask for less, where spans of two rules come together."""
    return other if other.threshold < one.threshold else one


def choose_people(lake: Lake, spans: pa.Table, space: str, names: Sequence[str]) -> pa.Table:
    """The spans of these identities.

    Raises
    ------
    GalleryError
        A name that neither has a span nor is enrolled.
    """
    found = set(spans["identity"].to_pylist())
    wanted = [name if name in found else plain_name(name) for name in names]
    strange = [name for name in wanted if name not in found]
    if strange:
        enrolled = set(lake.exemplars(space)["identity"].to_pylist())
        for name in strange:
            refuse_unknown(name, sorted(found | enrolled))
    return spans.filter(pc.is_in(spans["identity"], pa.array(wanted, pa.string())))


def dilate_in_videos(
    lake: Lake, spans: pa.Table, space: str, *, before_s: float, after_s: float
) -> pa.Table:
    """`algebra.dilate_spans` up to the starts and ends of the catalog's videos."""
    videos = lake.videos(space)
    # Nobody knows where a video without times ends, before all of it is read.
    length_s = pc.if_else(pc.is_null(videos["assumed_fps"]), videos["duration_s"], None)
    bounds = pa.table(
        {
            "video_id": videos["video_id"],
            "start_s": videos["start_s"],
            "end_s": pc.add(videos["start_s"], length_s),
        }
    )
    return dilate_spans(spans, before_s=before_s, after_s=after_s, bounds=bounds)


def join_other(
    lake: Lake,
    spans: pa.Table,
    space: str,
    other: ArrowTable | str | Path,
    *,
    on: str = "video_id",
    start: str = "start_s",
    end: str | None = "end_s",
    video: str | None = None,
    others_ok: bool = False,
) -> pa.Table:
    """`algebra.join_times` with a table or file that calls videos as people do.

    Parameters
    ----------
    other
        A table, or a file: CSV, Parquet, WebVTT or SubRip.
    on
        Its column that names the video: an id, path or file name each.
    video
        The one video that all its rows are of, instead of ``on``.
    others_ok
        Leave out rows of videos that the catalog does not hold; else they are refused.

    Raises
    ------
    CatalogError
        A video's name fits none, or several.
    SourceError
        The file is of another kind, or cannot be read.
    ValueError
        As in `algebra.join_times`.
    """
    table = read_rows(other) if isinstance(other, (str, Path)) else _plain(pa.table(other))
    rows = lake.videos(space).select(["video_id", "paths"]).to_pylist()
    if video is not None:
        named = pa.repeat(pa.scalar(_find_one(video, rows), pa.string()), len(table))
        told = table.append_column(_VIDEO, named)
        return join_times(spans, told, on=_VIDEO, start=start, end=end)
    if on in table.column_names:
        table = _with_ids(table, on, rows, others_ok=others_ok)
    return join_times(spans, table, on=on, start=start, end=end)


_VIDEO = "video_id of the spans"  # no column that people have


def read_rows(path: str | Path) -> pa.Table:
    """The rows of a CSV, Parquet, WebVTT or SubRip file.

    Raises
    ------
    SourceError
        It is a file of another kind, or cannot be read.
    """
    path = Path(path)
    readers = {".csv": csv.read_csv, ".parquet": pq.read_table, ".vtt": _cues, ".srt": _cues}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise SourceError(f"{path}: the file must end in one of {', '.join(readers)}")
    try:
        return read(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise SourceError(f"{path}: the table cannot be read ({error})") from error


def _plain(table: pa.Table) -> pa.Table:
    """Text as pyarrow can take it: Polars hands over views, which have no ``take`` yet."""
    # https://github.com/apache/arrow/issues/43010
    for at, field in enumerate(table.schema):
        if pa.types.is_string_view(field.type):
            table = table.set_column(at, field.name, table[at].cast(pa.string()))
    return table


def _cues(path: Path) -> pa.Table:
    return parse_cues(path.read_text("utf-8-sig"))


def _with_ids(
    table: pa.Table, on: str, rows: Sequence[dict[str, Any]], *, others_ok: bool
) -> pa.Table:
    """The table with the ids of the videos for their names."""
    names = pc.unique(table[on]).cast(pa.string())
    ids = [None if name is None else find_video(name, rows) for name in names.to_pylist()]
    unknown = [name for name, found in zip(names.to_pylist(), ids, strict=True) if found is None]
    if unknown and not others_ok:
        raise no_such_video(str(unknown[0]), rows)
    at = pc.index_in(table[on].cast(pa.string()), names)
    told = pa.array(ids, pa.string()).take(at)
    table = table.set_column(table.column_names.index(on), on, told)
    return table.filter(pc.is_valid(table[on]))


def _find_one(video: str, rows: Sequence[dict[str, Any]]) -> str:
    found = find_video(video, rows)
    if found is None:
        raise no_such_video(video, rows)
    return found
