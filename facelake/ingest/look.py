"""Looking at one stretch: its samples, then the frames where something begins or ends.

The samples are looked at first, in order. Their faces are linked by place alone into fragments of
tracks; where a fragment begins or ends, or the shot changes, the frames between the two samples are
looked at by bisection, until it is known to the frame. Then those faces are embedded that say
something new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from facelake.faces import Found
from facelake.faces.chip import encode_chip
from facelake.ingest.ahead import ReadAhead
from facelake.schema import (
    CARRIED,
    DETECTED,
    REFINED,
    Face,
    IngestSettings,
    Stretch,
    VideoFacts,
)
from facelake.tracks import choose_faces, faces_between, link_tracks, match_boxes, part_strangers
from facelake.video import Frame, FrameReader, is_new_shot, same_picture

Image = npt.NDArray[np.uint8]
CARRY_S = 1.0
"""A detection is carried over unchanged frames for less than this, in seconds."""
# Chips wait until it is known which are worth an embedding. In a crowd they are too many to keep
# (37 kB each), so beyond this every further face is embedded at once.
_MOST_CHIPS = 2000
_AHEAD = 4  # frames that wait decoded: enough to bridge one slow one, 12 MB at 1080p
T = TypeVar("T")


class Eyes(Protocol):
    """What finds and embeds faces."""

    @property
    def batch(self) -> int:
        """Frames that are worth looking at together."""

    def look(self, images: Sequence[Image]) -> list[list[Found]]:
        """The faces of frames of one size."""

    def embed(self, chips: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Unit vectors of aligned chips."""


@dataclass
class Look:
    """An instant that was examined.

    Attributes
    ----------
    thumb
        A small grey picture of it.
    source
        ``detected``; ``refined`` where it was no sample but lies where something begins or ends;
        ``carried`` where it is taken to show what the unchanged sample before shows.
    faces
        What is there; embedded where that says something new.
    chips
        Their aligned chips, dropped once they are embedded.
    fragment
        Number of the fragment that each face belongs to.
    new_shot
        Whether the picture changes to it from the instant before as at a cut; ``None`` at the
        first.
    pictures
        Place of a face → its chip as a picture file, of those that are embedded where chips are
        kept.
    """

    pts: int
    time_s: float
    thumb: Image
    source: str
    faces: list[Face]
    chips: list[Image | None]
    fragment: list[int] = field(default_factory=list)
    new_shot: bool | None = None
    pictures: dict[int, bytes] = field(default_factory=dict)

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """Shape ``(n, 4)``."""
        return np.array([face.bbox_xyxy for face in self.faces], np.float32).reshape(-1, 4)


class Looker:
    """Looks at the stretches of one video.

    Parameters
    ----------
    reader, facts
        The video's frames, and what its packets say of it.
    settings
        How much of it is looked at and embedded.
    eyes
        What finds and embeds faces.
    alive
        Called after each frame, to tell a watchdog that work goes on.
    cores
        Cores that this process may use.
    """

    def __init__(
        self,
        reader: FrameReader,
        facts: VideoFacts,
        settings: IngestSettings,
        eyes: Eyes,
        alive: Callable[[], None] = lambda: None,
        *,
        cores: int = 2,
    ) -> None:
        self._cores = cores
        self._reader, self._facts, self._settings = reader, facts, settings
        self._eyes, self._alive = eyes, alive
        self._embeds_all = settings.embed == "all"
        self._n_chips = 0
        self._waits_s: list[float] = []  # two threads add to it

    @property
    def decode_s(self) -> float:
        """Seconds spent so far on getting frames, partly while others were looked at."""
        return sum(self._waits_s)

    def examine(self, stretch: Stretch) -> tuple[list[Look], bool]:
        """Every instant of the stretch that was looked at, in order of time.

        Returns
        -------
        looks
            One per instant.
        new_shot_after
            Whether the next stretch begins with a new shot, where that was looked at.
        """
        with self._frames(stretch) as frames:
            looks = list(self._samples(frames))
        _mark_shots(looks)
        _number_fragments(looks)
        if self._settings.refines and len(stretch.frame_pts):
            looks = self._refined(looks, stretch)
            _number_fragments(looks)
        peek = bool(looks) and looks[-1].pts == stretch.peek_pts
        after = looks.pop() if peek else None
        if not self._embeds_all:
            self._embed_what_is_new(looks)
        return looks, bool(after and after.new_shot)

    # Samples ------------------------------------------------------------------------------------

    def _frames(self, stretch: Stretch) -> AbstractContextManager[Iterable[Frame]]:
        """The frames of a stretch, decoded ahead on a second thread where there is a core for it.

        With a worker on each core there is none: two threads of two workers on two cores took as
        long as one each, and the tail of a video a little longer.
        """
        frames = self._decoded(self._reader.frames(stretch))
        return ReadAhead(frames, depth=_AHEAD) if self._cores > 1 else nullcontext(frames)

    def _samples(self, frames: Iterable[Frame]) -> Iterator[Look]:
        """The samples, in order; several are looked at together where that is faster."""
        waiting: list[Frame] = []
        anchor: Look | None = None
        for frame in frames:
            before = waiting[-1] if waiting else anchor
            is_same = before is not None and self._unchanged(before, frame)
            if is_same or len(waiting) == self._eyes.batch or _of_other_size(waiting, frame):
                for anchor in self._look(waiting, DETECTED):
                    yield anchor
                waiting.clear()
            if is_same:
                yield self._carry(anchor, frame)
            else:
                waiting.append(frame)
        yield from self._look(waiting, DETECTED)

    def _unchanged(self, before: Look | Frame, frame: Frame) -> bool:
        if self._embeds_all:
            return False
        since_s = self._seconds(frame.pts) - self._seconds(before.pts)
        # Times are pts × time_base in doubles: a second may come out a rounding error short.
        return since_s < CARRY_S - 1e-9 and same_picture(_thumb(before), frame.thumb())

    def _carry(self, anchor: Look | None, frame: Frame) -> Look:
        faces = [replace(face, embedding=None) for face in anchor.faces] if anchor else []
        return Look(
            frame.pts, self._seconds(frame.pts), frame.thumb(), CARRIED, faces, [None] * len(faces)
        )

    def _look(self, frames: Sequence[Frame], source: str) -> list[Look]:
        if not frames:
            return []
        looks = []
        images = list(self._decoded(frame.rgb() for frame in frames))
        for frame, found in zip(frames, self._eyes.look(images), strict=True):
            look = Look(
                pts=frame.pts,
                time_s=self._seconds(frame.pts),
                thumb=frame.thumb(),
                source=source,
                faces=[each.face for each in found],
                chips=[each.chip for each in found],
            )
            self._n_chips += len(found)
            if self._embeds_all or self._n_chips > _MOST_CHIPS:
                self._embed([(look, place) for place in range(len(found))])
            looks.append(look)
            self._alive()
        return looks

    # Refining -----------------------------------------------------------------------------------

    def _refined(self, looks: list[Look], stretch: Stretch) -> list[Look]:
        """The looks, and more where a track starts or ends or the shot changes."""
        first, last = _extent(looks)
        pairs = [
            (before, after)
            for before, after in pairwise(looks)
            if any(last[number] == before.pts for number in before.fragment)
            or any(first[number] == after.pts for number in after.fragment)
        ]
        intervals = [(before.pts, after.pts) for before, after in pairs]
        new: list[Look] = []
        for (before, after), frames in zip(
            pairs, self._decoded(self._reader.between(stretch, intervals)), strict=True
        ):
            new += self._look_between(before, after, frames)
        return sorted([*looks, *new], key=lambda look: look.pts)

    def _look_between(self, before: Look, after: Look, frames: Sequence[Frame]) -> list[Look]:
        """Looks at frames between two: beside each cut, and where else something changes.

        Neighbouring frames tell a cut from a fast movement, which two samples do not.
        """
        thumbs = [before.thumb, *(frame.thumb() for frame in frames), after.thumb]
        cuts = [n for n, (one, other) in enumerate(pairwise(thumbs)) if is_new_shot(one, other)]
        shots = [list(frames[one:other]) for one, other in pairwise([0, *cuts, len(frames)])]
        after.new_shot = bool(cuts) and not shots[-1]
        new: list[Look] = []
        for number, shot in enumerate(shots):
            first = before if number == 0 else self._look_at(shot.pop(0)) if shot else after
            if first is not before and first is not after:
                first.new_shot = True
                new.append(first)
            if number == len(shots) - 1:
                new += self._bisect(first, after, shot)
            elif shot:
                last = self._look_at(shot.pop())
                new += [*self._bisect(first, last, shot), last]
        return new

    def _bisect(self, before: Look, after: Look, frames: Sequence[Frame]) -> list[Look]:
        """Looks at frames of one shot, as few as tell where what differs begins and ends."""
        if not frames or _show_the_same(before, after):
            return []
        half = len(frames) // 2
        middle = self._look_at(frames[half])
        return [
            *self._bisect(before, middle, frames[:half]),
            middle,
            *self._bisect(middle, after, frames[half + 1 :]),
        ]

    def _look_at(self, frame: Frame) -> Look:
        (look,) = self._look([frame], REFINED)
        look.new_shot = False
        return look

    # Embedding ----------------------------------------------------------------------------------

    def _embed_what_is_new(self, looks: list[Look]) -> None:
        """Embed the faces that say something new, and part fragments that hold two people."""
        rows = [
            (look, place)
            for look in looks
            if look.source != CARRIED
            for place in range(len(look.faces))
        ]
        if not rows:
            return
        times = np.array([look.time_s for look, _ in rows])
        fragment = np.array([look.fragment[place] for look, place in rows])
        faces = [look.faces[place] for look, place in rows]
        chosen = choose_faces(
            fragment,
            times,
            [face.quality for face in faces],
            [face.landmarks for face in faces],
        )
        wanted = np.flatnonzero(chosen)
        while len(wanted):
            self._embed([rows[row] for row in wanted])
            vectors = _vectors(rows)
            asked = faces_between(fragment, times, vectors)
            # A model may answer with no numbers; nobody asks it the same twice.
            wanted = asked[[rows[row][0].chips[rows[row][1]] is not None for row in asked]]
        _renumber(looks, rows, part_strangers(fragment, times, vectors))

    def _embed(self, rows: Sequence[tuple[Look, int]]) -> None:
        """Embed faces that are not yet, and let their chips go; a small picture may be kept."""
        rows = [(look, place) for look, place in rows if look.chips[place] is not None]
        chips = [chip for look, place in rows if (chip := look.chips[place]) is not None]
        for (look, place), chip, vector in zip(rows, chips, self._eyes.embed(chips), strict=True):
            look.faces[place] = replace(look.faces[place], embedding=vector)
            if self._settings.chips:
                look.pictures[place] = encode_chip(chip)
            look.chips[place] = None
        self._n_chips -= len(rows)
        self._alive()

    def _decoded(self, items: Iterable[T]) -> Iterator[T]:
        """The same, and the time they take is counted."""
        source = iter(items)
        while True:
            start = time.perf_counter()
            item = next(source, None)
            self._waits_s.append(time.perf_counter() - start)
            if item is None:
                return
            yield item

    def _seconds(self, pts: int) -> float:
        base = self._facts.time_base
        return pts * base.numerator / base.denominator


# What two looks have in common ------------------------------------------------------------------


def _mark_shots(looks: Sequence[Look]) -> None:
    for before, after in pairwise(looks):
        after.new_shot = is_new_shot(before.thumb, after.thumb)


def _number_fragments(looks: Sequence[Look]) -> None:
    """Link the faces by place alone, within a shot."""
    faces = [(look.time_s, box) for look in looks for box in look.boxes]
    unknown = np.full((len(faces), 1), np.nan)
    cuts = [look.time_s for look in looks if look.new_shot]
    times = [time_s for time_s, _ in faces]
    numbers = iter(link_tracks(times, [box for _, box in faces], unknown, cut_s=cuts).tolist())
    for look in looks:
        look.fragment = [next(numbers) for _ in look.faces]


def _extent(looks: Sequence[Look]) -> tuple[dict[int, int], dict[int, int]]:
    """Fragment → pts of its first and of its last face."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for look in looks:
        for number in look.fragment:
            first.setdefault(number, look.pts)
            last[number] = look.pts
    return first, last


def _show_the_same(one: Look, other: Look) -> bool:
    """Whether two looks of one shot show the same faces, as far as their places tell."""
    if len(one.faces) != len(other.faces):
        return False
    return bool((match_boxes(one.boxes, other.boxes) >= 0).all())


def _of_other_size(waiting: Sequence[Frame], frame: Frame) -> bool:
    """Whether a frame cannot be looked at together with those that wait: some videos change."""
    return any((one.height, one.width) != (frame.height, frame.width) for one in waiting)


def _thumb(seen: Look | Frame) -> Image:
    return seen.thumb if isinstance(seen, Look) else seen.thumb()


def _vectors(rows: Sequence[tuple[Look, int]]) -> npt.NDArray[np.float32]:
    """Embeddings of faces, a row of NaN where there is none."""
    known = [look.faces[place].embedding for look, place in rows]
    dim = next((len(vector) for vector in known if vector is not None), 1)
    unknown = np.full(dim, np.nan, np.float32)
    return np.array([unknown if vector is None else vector for vector in known])


def _renumber(
    looks: Sequence[Look],
    rows: Sequence[tuple[Look, int]],
    fragment: npt.NDArray[np.int32],
) -> None:
    """Give faces their new fragments; those carried get that of the face they were carried from."""
    for (look, place), number in zip(rows, fragment.tolist(), strict=True):
        look.fragment[place] = number
    anchor: Look | None = None
    for look in looks:
        if look.source != CARRIED:
            anchor = look
        elif anchor is not None:
            look.fragment = list(anchor.fragment)
