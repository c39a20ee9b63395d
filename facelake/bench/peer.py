"""The peer: insightface's own classes over videos, frame by frame, in a process of its own.

This is what its users write: PyAV decodes one frame after the other, `SCRFD.detect` finds faces,
`norm_crop` aligns and `ArcFaceONNX.get_feat` embeds each. The job names the frames, the model files
and the threads; the answer is one Parquet file of frames and one of faces a video, and
``told.json``. It is slow on purpose and nobody's product code.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facelake.bench.footage import Film
from facelake.bench.parity import Seen
from facelake.media import iter_packets, open_media, upright

if TYPE_CHECKING:
    import av
    import numpy.typing as npt
    from av.video.stream import VideoStream

STAGES = ("decode", "detect", "align", "embed", "write")


@dataclass(frozen=True)
class Job:
    """What the peer is to do.

    Attributes
    ----------
    films
        Videos and the frames of them to look at.
    detector, embedder
        Model files.
    threads
        Of each onnxruntime session; 0 is onnxruntime's own choice.
    det_size
        Side of the detector's square input, in pixels.
    det_threshold, nms_iou
        Lowest detection score kept, and overlap above which the weaker detection is dropped.
    out
        Folder for the answer.
    asked_at
        When the process was asked for, as `time.time` says it.
    """

    films: tuple[Film, ...]
    detector: str
    embedder: str
    threads: int
    det_size: int
    det_threshold: float
    nms_iou: float
    out: str
    asked_at: float

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def load(cls, path: Path) -> Job:
        """What `save` wrote."""
        told = json.loads(path.read_text("utf-8"))
        return cls(**told | {"films": tuple(Film(**film) for film in told["films"])})


class Stopwatch:
    """Seconds spent so far by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start


def main() -> None:
    """Do the job whose file the command line names."""
    job = Job.load(Path(sys.argv[1]))
    detector, embedder = load_models(job)
    start_s = time.time() - job.asked_at
    start, watch = time.perf_counter(), Stopwatch()
    n_frames = n_faces = 0
    for number, film in enumerate(job.films):
        seen = look_at(film, detector, embedder, watch)
        n_frames, n_faces = n_frames + len(seen.sample_pts), n_faces + len(seen.face_pts)
        with watch("write"):
            write_seen(seen, Path(job.out), number)
    told = {
        "start_s": start_s,
        "work_s": time.perf_counter() - start,
        "stage_s": watch.seconds,
        "n_frames": n_frames,
        "n_faces": n_faces,
        "versions": _versions(),
    }
    (Path(job.out) / "told.json").write_text(json.dumps(told), "utf-8")


def load_models(job: Job) -> tuple[Any, Any]:
    """Detector and embedder of insightface on the CPU, warm."""
    import onnxruntime
    from insightface.model_zoo import arcface_onnx, scrfd

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.log_severity_level = 3

    def session(model: str) -> Any:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    detector = scrfd.SCRFD(model_file=job.detector, session=session(job.detector))
    # ctx_id 0, not -1: -1 makes insightface rebuild the session without our options.
    detector.prepare(
        0,
        input_size=(job.det_size, job.det_size),
        det_thresh=job.det_threshold,
        nms_thresh=job.nms_iou,
    )
    embedder = arcface_onnx.ArcFaceONNX(model_file=job.embedder, session=session(job.embedder))
    # The first call of detect makes a session for its input size, which is no work on a frame.
    detector.detect(np.zeros((job.det_size, job.det_size, 3), np.uint8))
    embedder.get_feat(np.zeros((112, 112, 3), np.uint8))
    return detector, embedder


def look_at(film: Film, detector: Any, embedder: Any, watch: Stopwatch) -> Seen:
    """The faces of a video's wanted frames."""
    from insightface.utils import face_align

    frames = iter_frames(film)
    sample_pts: list[int] = []
    face_pts: list[int] = []
    boxes, vectors = [np.empty((0, 4), np.float32)], []
    while True:
        with watch("decode"):
            pts, image = next(frames, (None, None))
        if pts is None:
            break
        with watch("detect"):
            found, landmarks = detector.detect(image)[:2]
        with watch("align"):
            chips = [face_align.norm_crop(image, points) for points in landmarks]
        with watch("embed"):
            vectors += [embedder.get_feat(chip)[0] for chip in chips]
        sample_pts.append(pts)
        face_pts += [pts] * len(found)
        boxes.append(found[:, :4])
    dim = int(embedder.output_shape[-1])
    embedding = np.array(vectors, np.float32).reshape(len(vectors), dim)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    return Seen(
        np.array(sample_pts, np.int64),
        np.array(face_pts, np.int64),
        np.concatenate(boxes),
        embedding,
    )


def iter_frames(film: Film) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Each wanted frame's pts and upright BGR image, as insightface takes them."""
    wanted = set(film.pts)
    for frame in _decode(film):
        if frame.pts in wanted:
            wanted.remove(frame.pts)
            image: Any = frame.to_ndarray(format="bgr24")
            yield frame.pts, upright(image, frame.rotation)
            if not wanted:
                return


def _decode(film: Film) -> Iterator[av.VideoFrame]:
    """Every frame that decodes, as ``container.decode`` gives them, but past damaged packets."""
    from av.error import FFmpegError

    with open_media(film.path) as container:
        stream = cast("VideoStream", container.streams[film.stream])
        packets = iter_packets(container, stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, FFmpegError):
                return
            try:
                frames: Any = packet.decode()
            except FFmpegError:
                continue
            yield from frames


def write_seen(seen: Seen, folder: Path, number: int) -> None:
    """Write what was seen in the video of this number."""
    samples = pa.table({"pts": seen.sample_pts})
    faces = pa.table(
        {
            "pts": seen.face_pts,
            "bbox_xyxy": _list_column(seen.bbox_xyxy),
            "embedding": _list_column(seen.embedding),
        }
    )
    pq.write_table(samples, folder / f"samples-{number}.parquet")
    pq.write_table(faces, folder / f"faces-{number}.parquet")


def read_seen(folder: Path, number: int) -> Seen:
    """What `write_seen` wrote."""
    samples = pq.read_table(folder / f"samples-{number}.parquet")
    faces = pq.read_table(folder / f"faces-{number}.parquet")
    boxes, vectors = (_rows(faces[name]) for name in ("bbox_xyxy", "embedding"))
    return Seen(samples["pts"].to_numpy(), faces["pts"].to_numpy(), boxes, vectors)


def _rows(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    flat: npt.NDArray[np.float32] = column.combine_chunks().flatten().to_numpy()
    return flat.reshape(len(column), column.type.list_size)


def _list_column(rows: npt.NDArray[np.floating]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


def _versions() -> dict[str, str]:
    """Versions of what did the work."""
    import av
    import insightface
    import onnxruntime

    modules = (insightface, onnxruntime, av)
    return {module.__name__: str(module.__version__) for module in modules}
