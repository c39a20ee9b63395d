"""The nouns: what a video, a sample, a face and a span are, and every table's columns and units.

Times are seconds in the video's own presentation time; a frame *is* its integer ``pts`` in the
stream's time base, and ``time_s = pts × time_base``. Boxes and landmarks are pixels of the upright
frame. A score is a cosine similarity in [−1, 1]: higher is more alike, accepted when
``score >= threshold``. Spans are half-open, ``[start_s, end_s)``.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from facelake.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

SCHEMA_VERSION = 1
"""Version of the tables below. A reader takes its own version and every older one."""

DecoderName = Literal["auto", "decord", "pyav"]
EmbedName = Literal["tracks", "all"]
Device = Literal["auto", "cpu", "cuda"]

# How an instant came to be examined: values of `SAMPLES`' column ``source``.
DETECTED, REFINED, CARRIED, UNDECODED = "detected", "refined", "carried", "none"


# Settings ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IngestSettings:
    """What decides the samples, faces and tracks that an ingest writes: equal settings, equal rows.

    Attributes
    ----------
    sample_fps
        Frames looked at a second, at most; ``None`` looks at every frame.
    decoder
        ``auto`` takes decord where a preflight proves it safe and PyAV elsewhere.
    det_size
        Longer side of the detector's input, in pixels; a multiple of 32.
    det_threshold
        Lowest detection score kept, in (0, 1).
    nms_iou
        Overlap above which the weaker of two detections is dropped, in (0, 1).
    embed
        ``tracks`` embeds of each track the first, the best and the last face, every change of pose
        or size, and one a second; the other faces are rows without an embedding. It also carries
        detections over frames that did not change. ``all`` embeds every face of every sample.
    refine
        Look at more frames where a track starts or ends, until both are known to the frame.
        Nothing is left to do where every frame is looked at.
    """

    sample_fps: float | None = 5.0
    decoder: DecoderName = "auto"
    det_size: int = 640
    det_threshold: float = 0.5
    nms_iou: float = 0.4
    embed: EmbedName = "tracks"
    refine: bool = True

    def __post_init__(self) -> None:
        if self.sample_fps is not None and not 0 < self.sample_fps < float("inf"):
            raise ValueError(
                f"sample_fps must be above 0 and finite, but is {self.sample_fps}; "
                "give None (--every-frame) to look at every frame"
            )
        if self.decoder not in ("auto", "decord", "pyav"):
            raise ValueError(f"decoder must be auto, decord or pyav, but is {self.decoder!r}")
        if self.embed not in ("tracks", "all"):
            raise ValueError(f"embed must be tracks or all, but is {self.embed!r}")
        if self.det_size <= 0 or self.det_size % 32:
            raise ValueError(f"det_size must be a positive multiple of 32, but is {self.det_size}")
        for name in ("det_threshold", "nms_iou"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, but is {value}")

    @property
    def refines(self) -> bool:
        """Whether there are frames between the samples to refine with."""
        return self.refine and self.sample_fps is not None

    def to_json(self) -> str:
        """The settings as one line of JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class SpanRules:
    """How scored samples become spans.

    Attributes
    ----------
    threshold
        Lowest score that starts a span, in [−1, 1].
    exit_threshold
        Lowest score that continues one, at most ``threshold``; ``None`` is ``threshold``.
    min_hits
        Fewest hits (samples at or above the exit threshold) a span must hold.
    miss_s
        Longest time between two hits with only misses (looked, not found) between them, in seconds.
    blind_s
        Longest time between two neighbouring samples for which nobody looked, in seconds.
    bridge_s
        Spans that lie no further apart than this are joined, in seconds.
    min_span_s
        Shortest span kept, in seconds; looked at after bridging.
    """

    threshold: float
    exit_threshold: float | None = None
    min_hits: int = 1
    miss_s: float = 1.0
    blind_s: float = 2.0
    bridge_s: float = 0.0
    min_span_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("threshold", "exit_threshold"):
            value = getattr(self, name)
            if value is not None and not -1.0 <= value <= 1.0:
                raise ValueError(
                    f"{name} must lie in [-1, 1] because scores are cosine similarities, "
                    f"but is {value}; 0.2 to 0.4 is usual"
                )
        if self.exit_threshold is not None and self.exit_threshold > self.threshold:
            raise ValueError(
                f"exit_threshold must be at most threshold ({self.threshold}), "
                f"but is {self.exit_threshold}"
            )
        if self.min_hits < 1:
            raise ValueError(f"min_hits must be at least 1, but is {self.min_hits}")
        for name in ("miss_s", "blind_s", "bridge_s", "min_span_s"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name} must be 0 or more seconds, but is {value}")

    @property
    def stay(self) -> float:
        """The lowest score that continues a span."""
        return self.threshold if self.exit_threshold is None else self.exit_threshold

    def at(self, threshold: float) -> SpanRules:
        """The same rules at another threshold; an exit threshold above it is lowered to it."""
        stay = None if self.exit_threshold is None else min(self.exit_threshold, threshold)
        return replace(self, threshold=threshold, exit_threshold=stay)


# Nouns ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VideoFacts:
    """What a video's packets and header say of it as a whole.

    Attributes
    ----------
    stream
        Number of the stream that is looked at.
    width, height
        Of the upright picture, in pixels.
    rotation
        Degrees counter-clockwise that make the stored picture upright.
    time_base
        Seconds of one pts unit.
    n_frames
        Frames the packets promise; 0 when the file carries no usable times. It is then read from
        start to end, and ``assumed_fps`` makes the times.
    start_pts, end_pts
        Where the first frame starts and the last one stops being shown.
    assumed_fps
        Frames a second of a file without times; ``None`` for one with.
    n_missing
        Frames the header promises beyond those that are there.
    n_bad_packets
        Packets the demuxer calls damaged.
    decord_doubt
        Why decord is not proved safe on this file; empty when it is.
    """

    stream: int
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    time_base: Fraction
    n_frames: int
    start_pts: int
    end_pts: int
    assumed_fps: float | None
    n_missing: int
    n_bad_packets: int
    decord_doubt: str

    @property
    def start_s(self) -> float:
        """Presentation time of the first frame, in seconds."""
        return float(self.start_pts * self.time_base)

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the end of the last, in seconds; 0 when unknown."""
        return float((self.end_pts - self.start_pts) * self.time_base)


@dataclass(frozen=True)
class VideoIndex:
    """A video's facts and every frame's time, without a frame decoded.

    Attributes
    ----------
    pts
        Presentation times of all packets that are shown, increasing, shape ``(n_frames,)``, int64.
    key_pts
        Those of key frames, increasing, int64.
    is_cheap
        Which frames are decoded anyway because others refer to them, shape ``(n_frames,)``, bool;
        all the others can be left out. None is marked where the packets do not tell.
    """

    facts: VideoFacts
    pts: npt.NDArray[np.int64]
    key_pts: npt.NDArray[np.int64]
    is_cheap: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stretch:
    """A run of samples of one video that one task decodes.

    Attributes
    ----------
    number
        Place in the video, from 0.
    end_pts
        Frames from here on belong to the next stretch.
    seek_pts
        The key frame to start decoding from; ``None`` is the start of the file.
    key_pts
        The key frames between the first and the last of ``frame_pts`` that decoding can start
        from, increasing, int64.
    want_pts
        The instants to look at, increasing, int64. Empty when the file carries no times: the
        whole of it is then counted through at ``sample_fps``.
    want_index
        Their positions among all frames in presentation order (what decord counts), int64.
    peek_pts
        The first instant of the next stretch, decoded after the wanted ones to see what happens
        in between; ``None`` when nothing is to be refined, and in the last stretch.
    frame_pts
        Every frame of the video from the first wanted one to the peek, and without a peek to
        ``end_pts``; increasing, int64. Empty when the file carries no times.
    frame_shown_s
        How long each of these stays on screen, in seconds, float64.
    can_skip
        Whether the packets tell which frames nothing refers to, so that a decoder may leave out
        those that are not wanted.
    sample_fps
        As in `IngestSettings`.
    """

    number: int
    end_pts: int
    seek_pts: int | None
    key_pts: npt.NDArray[np.int64]
    want_pts: npt.NDArray[np.int64]
    want_index: npt.NDArray[np.int64]
    peek_pts: int | None
    frame_pts: npt.NDArray[np.int64]
    frame_shown_s: npt.NDArray[np.float64]
    can_skip: bool
    sample_fps: float | None


@dataclass(frozen=True)
class Face:
    """One detected face: its box and landmarks in pixels of the upright frame.

    Attributes
    ----------
    bbox_xyxy
        Left, top, right, bottom; shape ``(4,)``, float32. May reach over the frame's edge.
    det_score
        The detector's score, in (0, 1].
    landmarks
        Left eye, right eye, nose, left and right corner of the mouth (as seen in the picture);
        shape ``(5, 2)``, float32.
    embedding
        Unit length, shape ``(dim,)``, float32; ``None`` when the face was not embedded.
    align_rms
        How badly the landmarks fit a frontal face: root mean square distance to the 112-pixel
        template after the best similarity transform, in template pixels. Frontal below about 3,
        profile above about 8.
    sharpness
        Variance of the Laplacian of the grey 112-pixel chip; below about 50 is blurred.
    """

    bbox_xyxy: npt.NDArray[np.float32]
    det_score: float
    landmarks: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32] | None
    align_rms: float
    sharpness: float

    @property
    def size_px(self) -> float:
        """Square root of the box's area, in pixels."""
        x1, y1, x2, y2 = (float(v) for v in self.bbox_xyxy)
        return float(np.sqrt(max(0.0, x2 - x1) * max(0.0, y2 - y1)))

    @property
    def quality(self) -> float:
        """How far this face can be trusted to be recognised, in [0, 1].

        ``det_score × min(1, size_px / 112) × exp(−(align_rms / 8)²)``: a weak detection, fewer
        pixels than the embedder reads, or a turned head each lower it.
        """
        frontal = float(np.exp(-((self.align_rms / 8.0) ** 2)))
        return self.det_score * min(1.0, self.size_px / 112.0) * frontal


# Identifiers ------------------------------------------------------------------------------------


def face_id(content_id: str, pts: int, bbox_xyxy: npt.NDArray[np.float32]) -> str:
    """Name of a face: 16 hex digits made of what was looked at, not of the run that looked.

    The box is rounded to 4 pixels, so that another machine's last digits give the same name, and
    labels survive re-detection.
    """
    box = ",".join(str(int(v)) for v in np.round(np.asarray(bbox_xyxy, np.float64) / 4.0))
    return hashlib.blake2b(f"{content_id}|{pts}|{box}".encode(), digest_size=8).hexdigest()


def video_name(stem: str, content_id: str, taken: Iterable[str] = ()) -> str:
    """Name of a video: a slug of its file's name and as many digits of its content id as it takes.

    Examples
    --------
    >>> video_name("Évening News (1998)", "1a2b3c4d5e")
    'evening-news-1998-1a2b3c4d'
    """
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "video"
    digits = re.sub(r"[^0-9a-f]", "", content_id)
    taken = set(taken)
    for length in (8, 16, 64):
        name = f"{slug}-{digits[:length]}"
        if name not in taken:
            break
    return name


# Tables -----------------------------------------------------------------------------------------

VIDEOS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("content_id", pa.string(), nullable=False),  # sha256 of the bytes, hex
        pa.field("paths", pa.list_(pa.string()), nullable=False),  # every file with these bytes
        pa.field("mtimes_ns", pa.list_(pa.int64()), nullable=False),  # row-aligned with paths
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # ok | partial | failed
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
        # embedding: see faces_schema
    ]
)

SCORES = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("face_id", pa.string(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
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
