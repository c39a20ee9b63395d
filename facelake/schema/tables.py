"""Every table's columns and units, and how embeddings are kept in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from facelake.errors import CatalogError

if TYPE_CHECKING:
    import numpy.typing as npt

SCHEMA_VERSION = 3
"""Version of the tables below. A reader takes its own version and every older one."""

TWIN = "embedding_i5"
"""A column that stands beside ``embedding`` in the faces' files: its five-bit twin, by which a scan
finds the faces that are worth comparing. The lake writes and reads it; tables do not show it."""

# A run whose files are no longer what was written: a value of `VIDEOS`' column ``status``.
DAMAGED = "damaged"

# How an instant came to be examined: values of `SAMPLES`' column ``source``.
DETECTED, REFINED, CARRIED, UNDECODED = "detected", "refined", "carried", "none"

VIDEOS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("content_id", pa.string(), nullable=False),  # sha256 of the bytes, hex
        pa.field("paths", pa.list_(pa.string()), nullable=False),  # every file with these bytes
        pa.field("mtimes_ns", pa.list_(pa.int64()), nullable=False),  # row-aligned with paths
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # ok | partial | failed | damaged
        pa.field("error", pa.string()),  # the reason, for a person
        pa.field("stream", pa.int32()),  # number of the video stream in its container
        pa.field("container", pa.string()),
        pa.field("codec", pa.string()),
        pa.field("pixel_format", pa.string()),
        pa.field("width", pa.int32()),  # upright
        pa.field("height", pa.int32()),
        pa.field("rotation", pa.int32()),  # degrees counter-clockwise, already applied
        pa.field("time_base_num", pa.int64()),
        pa.field("time_base_den", pa.int64()),
        pa.field("start_s", pa.float64()),
        pa.field("duration_s", pa.float64()),
        pa.field("n_frames", pa.int64()),
        pa.field("assumed_fps", pa.float64()),  # only where the file carries no times
        pa.field("decoder", pa.string()),
        pa.field("decoder_reason", pa.string()),
        pa.field("settings", pa.string(), nullable=False),  # JSON of IngestSettings
        pa.field("sample_fps", pa.float64()),  # null: every frame
        pa.field("space", pa.string(), nullable=False),
        pa.field("pack", pa.string(), nullable=False),
        pa.field("detector", pa.string(), nullable=False),  # file and sha256
        pa.field("device", pa.string(), nullable=False),  # asked for
        pa.field("provider", pa.string()),  # what ran, read back from the session
        pa.field("n_samples", pa.int64(), nullable=False),
        pa.field("n_undecodable", pa.int64(), nullable=False),
        pa.field("n_bad_packets", pa.int64(), nullable=False),
        pa.field("n_faces", pa.int64(), nullable=False),
        pa.field("n_tracks", pa.int64(), nullable=False),
        pa.field("n_refined", pa.int64()),  # samples added where a track starts or ends
        pa.field("n_carried", pa.int64()),  # samples taken to show what the one before shows
        pa.field("n_embedded", pa.int64()),  # faces with an embedding of their own
        pa.field("n_second_looks", pa.int64()),  # frames looked at again for a large face
        pa.field("engine_note", pa.string()),  # why a model ran slower than it could
        pa.field("decode_s", pa.float64()),  # worker seconds by stage
        pa.field("detect_s", pa.float64()),
        pa.field("align_s", pa.float64()),
        pa.field("embed_s", pa.float64()),
        pa.field("write_s", pa.float64()),
        pa.field("created_utc", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("facelake_version", pa.string(), nullable=False),
        pa.field("generation", pa.string()),  # which writing of the run its parts are of
    ]
)

SAMPLES = pa.schema(
    [
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("shown_s", pa.float64(), nullable=False),  # how long this frame stays on screen
        pa.field("n_faces", pa.int32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # ok | undecodable
        # detected; refined: between samples, where a track starts or ends; carried: not looked at,
        # the picture is that of the sample before; none: undecodable
        pa.field("source", pa.string(), nullable=False),
        # Whether the picture changes to it from the sample before as at a cut; null at the first.
        pa.field("new_shot", pa.bool_()),
    ]
)

FACES = pa.schema(
    [
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("bbox_xyxy", pa.list_(pa.float32(), 4), nullable=False),
        pa.field("det_score", pa.float32(), nullable=False),
        pa.field("landmarks", pa.list_(pa.float32(), 10), nullable=False),
        pa.field("align_rms", pa.float32(), nullable=False),
        pa.field("sharpness", pa.float32(), nullable=False),
        pa.field("quality", pa.float32(), nullable=False),
        pa.field("track_id", pa.int32()),
        # Of a face without an embedding, the one whose embedding stands for it: of the embedded
        # faces of its track the nearest in time. Null where it has its own.
        pa.field("embedded_face_id", pa.string()),
        # embedding: see faces_schema, its width depends on the space
    ]
)

TRACKS = pa.schema(
    [
        pa.field("track_id", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),  # half-open: the last frame's end
        pa.field("n_faces", pa.int32(), nullable=False),
        pa.field("best_face_id", pa.string(), nullable=False),  # highest quality
        pa.field("cos_to_mean_min", pa.float32()),  # spread: the face least like the mean
        # embedding: unit length mean, see faces_schema
    ]
)

CHIPS = pa.schema(
    [
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("picture", pa.binary(), nullable=False),  # 112 × 112, as a picture file
        pa.field("format", pa.string(), nullable=False),  # webp | jpeg
    ]
)

TOMBSTONES = pa.schema(
    [
        pa.field("tombstone_id", pa.string(), nullable=False),  # one for everything a request took
        pa.field("created_utc", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("request", pa.string(), nullable=False),  # identity | face | video: what was named
        # video: all of it; track: these faces and whatever is linked to them; face: these alone
        pa.field("scope", pa.string(), nullable=False),
        pa.field("content_id", pa.string(), nullable=False),
        # The rest is null where the scope is a video. There is no embedding and no name here.
        pa.field("face_id", pa.string()),
        pa.field("track", pa.int32()),  # number within the tombstone: faces that were one track
        pa.field("pts", pa.int64()),
        pa.field("time_s", pa.float64()),
        pa.field("shown_s", pa.float64()),  # how long its frame stays on screen
        pa.field("bbox_xyxy", pa.list_(pa.float32(), 4)),
    ]
)

EXEMPLARS = pa.schema(
    [
        pa.field("exemplar_id", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("photo", pa.string(), nullable=False),  # path as it was enrolled
        pa.field("photo_sha256", pa.string(), nullable=False),
        pa.field("bbox_xyxy", pa.list_(pa.float32(), 4), nullable=False),
        pa.field("det_score", pa.float32(), nullable=False),
        pa.field("quality", pa.float32(), nullable=False),
        pa.field("note", pa.string()),  # what a person should know of this photo
        # anchor (or null): the user's; grown: taken from the archive by `grow_gallery`; negative:
        # a face that is not this person; vetoed: not compared, and not to be grown again
        pa.field("role", pa.string()),
        # Of an exemplar that is a face of the lake; the photo is then its video's path with #t=S,
        # the sha256 that of the video.
        pa.field("face_id", pa.string()),
        pa.field("video_id", pa.string()),
        pa.field("time_s", pa.float64()),
        pa.field("score", pa.float32()),  # best score with the anchors when it was grown
        pa.field("margin", pa.float32()),  # that score minus the best with anybody else
        pa.field("added_utc", pa.timestamp("ms", tz="UTC")),
        # embedding: see faces_schema
    ]
)

LABELS = pa.schema(
    [
        pa.field("label_id", pa.string(), nullable=False),
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("bbox_xyxy", pa.list_(pa.float32(), 4), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        # is; is_not: somebody else; none: whatever was said of this face before is taken back
        pa.field("kind", pa.string(), nullable=False),
        pa.field("person_id", pa.string()),  # of whom it was a face when it was named
        pa.field("evidence", pa.string()),  # why, for a person
        pa.field("author", pa.string()),
        pa.field("created_utc", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("replaces", pa.string()),  # the label of this face that counted before
    ]
)

SCORES = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("track_id", pa.int32()),  # null where the run that saw it is not the densest
        pa.field("identity", pa.string(), nullable=False),  # the best one
        pa.field("score", pa.float32(), nullable=False),
        pa.field("exemplar_id", pa.string(), nullable=False),  # the photo that gave the score
        pa.field("runner_up", pa.string()),
        pa.field("margin", pa.float32()),  # score − runner-up's score; null with one identity
        # The face whose embedding was compared: itself, or the one that stands for it.
        pa.field("embedded_face_id", pa.string()),
    ]
)

SPANS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("score_max", pa.float32(), nullable=False),
        pa.field("score_mean", pa.float32(), nullable=False),  # over the hits
        pa.field("n_hits", pa.int64(), nullable=False),
        pa.field("n_samples", pa.int64(), nullable=False),  # examined within the span
        # The bracket: the true start lies in (start_after_s, start_s], the true end in
        # [end_s, end_before_s]. Null where nothing was examined on that side.
        pa.field("start_after_s", pa.float64()),
        pa.field("end_before_s", pa.float64()),
        pa.field("best_face_id", pa.string(), nullable=False),
        pa.field("best_time_s", pa.float64(), nullable=False),
    ]
)

CLIPS = pa.schema(
    [
        pa.field("clip", pa.string(), nullable=False),  # file name within the folder
        *[SPANS.field(name) for name in ("video_id", "path", "identity", "start_s", "end_s")],
        pa.field("clip_start_s", pa.float64(), nullable=False),  # first frame's time in the source
        pa.field("clip_end_s", pa.float64(), nullable=False),  # end of its last frame
        pa.field("n_frames", pa.int64(), nullable=False),
        pa.field("has_audio", pa.bool_(), nullable=False),
        *[SPANS.field(name) for name in ("score_max", "score_mean", "n_hits")],
    ]
)


def with_embedding(schema: pa.Schema, space: str, dim: int) -> pa.Schema:
    """A table's schema with the embedding column of a space added.

    Unit length, float16, little endian, one FixedSizeBinary a row: 15 times the read rate of a
    list column. The field's metadata says how to read it.
    """
    field = pa.field(
        "embedding",
        pa.binary(2 * dim),
        metadata={"space": space, "dtype": "<f2", "dim": str(dim), "norm": "1"},
    )
    return schema.append(field)


def pack_embeddings(vectors: npt.NDArray[np.float32]) -> pa.Array:
    """Float vectors, shape ``(n, dim)``, as the float16 column of `with_embedding`.

    A row of NaN, a face that was not embedded, becomes null.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2:
        raise ValueError(f"vectors must have shape (n, dim), but have {vectors.shape}")
    raw = np.ascontiguousarray(vectors, dtype="<f2")
    known = ~np.isnan(raw).any(axis=1)
    valid = None if known.all() else pa.array(known).buffers()[1]
    return pa.Array.from_buffers(
        pa.binary(2 * vectors.shape[1]), len(vectors), [valid, pa.py_buffer(raw.tobytes())]
    )


def unpack_embeddings(
    column: pa.ChunkedArray | pa.Array, *, missing_ok: bool = False
) -> npt.NDArray[np.float16]:
    """The float16 vectors of an embedding column, shape ``(n, dim)``.

    Parameters
    ----------
    missing_ok
        Give a row of NaN where the column holds null: a face that was not embedded.

    Raises
    ------
    ValueError
        The column holds a null, and that is not asked for.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # an empty chunked array stays chunked
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    width = array.type.byte_width
    if array.null_count and not missing_ok:
        raise ValueError(
            f"the column must hold a vector in every row, but {array.null_count} of {len(array)} "
            "are null; filter them out first"
        )
    if len(array) == 0:
        return np.empty((0, width // 2), np.float16)
    raw = np.frombuffer(array.buffers()[1], np.uint8)
    raw = raw[array.offset * width : (array.offset + len(array)) * width]
    vectors = raw.view("<f2").reshape(len(array), width // 2)
    if array.null_count:
        vectors = vectors.copy()
        vectors[array.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return vectors


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the schema's columns; those an older version did not write are null.

    This is how the tables grow: columns are added, nullable, and never change their meaning.

    Raises
    ------
    CatalogError
        A column is missing that every version wrote: the file's footer is damaged.
    """
    lost = [f.name for f in schema if not f.nullable and f.name not in table.column_names]
    if lost:
        raise CatalogError(
            f"a table of the catalog must have the columns {', '.join(lost)}, but has "
            f"{', '.join(table.column_names)}; delete the damaged file and ingest the video again"
        )
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def stamp(schema: pa.Schema, **facts: Any) -> pa.Schema:
    """The schema with ``facelake`` metadata: the schema version and whatever else is given."""
    facts = {"schema_version": SCHEMA_VERSION} | facts
    return schema.with_metadata({"facelake": json.dumps(facts, sort_keys=True)})
