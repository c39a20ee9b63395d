"""Looking at made-up scenes whose every face is on paper: what is seen, and how often."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facelake.faces import Found
from facelake.ingest import look as look_module
from facelake.ingest.look import CARRY_S, Look, Looker
from facelake.schema import (
    CARRIED,
    DETECTED,
    REFINED,
    EmbedName,
    Face,
    IngestSettings,
    Stretch,
    VideoFacts,
)

Image = npt.NDArray[np.uint8]

FPS = 25
ANN, BEN, CLEO = 0, 1, 2
N_PEOPLE = 3
SPARSE, ALL = IngestSettings(), IngestSettings(embed="all")
FRONTAL = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)
# No two pictures are the same, and none but a cut changes them all.
GRAIN = np.random.default_rng(0).integers(0, 9, (101, 64, 64))

a_few = settings(deadline=None, max_examples=30)  # a scene takes 10 ms


@dataclass(frozen=True)
class Role:
    """Somebody who is on screen from frame ``begin`` until before frame ``end``."""

    person: int
    begin: int
    end: int
    seat: int = 0  # seats are far apart


@dataclass(frozen=True)
class Scene:
    """What each frame shows: pts are frame numbers, 25 a second."""

    roles: tuple[Role, ...] = ()
    n_frames: int = 100
    cuts: tuple[int, ...] = ()
    still_from: int = 10**6  # from this frame on, only roles and cuts change the picture
    lost: frozenset[int] = frozenset()
    grows_at: int = 10**6  # from this frame on the picture is higher

    def cast(self, pts: int) -> list[Role]:
        return [role for role in self.roles if role.begin <= pts < role.end]

    def thumb(self, pts: int) -> Image:
        changes = {0, *self.cuts, *(x for role in self.roles for x in (role.begin, role.end))}
        last_change = max(change for change in changes if change <= pts)
        picture = pts if pts < self.still_from else max(last_change, self.still_from)
        shade = 60 + 100 * (sum(cut <= pts for cut in self.cuts) % 2)
        thumb: Image = (GRAIN[picture % len(GRAIN)] + shade).astype(np.uint8)
        return thumb

    def stretch(self, step: int, *, peek: bool = False) -> Stretch:
        """Every step-th frame and the last; with a peek, that is the next stretch's first."""
        want = [*range(0, self.n_frames - 1, step), self.n_frames - 1]
        frames = np.arange(self.n_frames, dtype=np.int64)
        last = want.pop() if peek else None
        wanted = np.array(want, np.int64)
        return Stretch(
            number=0, end_pts=self.n_frames if last is None else last, seek_pts=None,
            key_pts=frames[:0], want_pts=wanted, want_index=wanted, peek_pts=last,
            frame_pts=frames, frame_shown_s=np.full(len(frames), 1 / FPS), can_skip=False,
            sample_fps=FPS / step,
        )  # fmt: skip


@dataclass(frozen=True)
class FakeFrame:
    scene: Scene
    pts: int
    width: int = 1

    @property
    def height(self) -> int:
        return 1 if self.pts < self.scene.grows_at else 2

    def rgb(self) -> Image:
        return np.full((self.height, self.width, 3), self.pts, np.uint8)

    def thumb(self) -> Image:
        return self.scene.thumb(self.pts)


@dataclass
class FakeReader:
    scene: Scene
    asked: list[tuple[int, int]] = field(default_factory=list)

    def frames(self, stretch: Stretch) -> Iterator[FakeFrame]:
        peek = [] if stretch.peek_pts is None else [stretch.peek_pts]
        yield from self._readable([*stretch.want_pts.tolist(), *peek])

    def between(
        self, stretch: Stretch, intervals: Iterable[tuple[int, int]]
    ) -> Iterator[list[FakeFrame]]:
        for low, high in intervals:
            self.asked.append((low, high))
            inside = [pts for pts in stretch.frame_pts.tolist() if low < pts < high]
            yield list(self._readable(inside))

    def _readable(self, pts: list[int]) -> Iterator[FakeFrame]:
        return (FakeFrame(self.scene, each) for each in pts if each not in self.scene.lost)


@dataclass
class FakeEyes:
    """See who is there, and count."""

    scene: Scene
    batch: int = 1
    looked: list[int] = field(default_factory=list)
    embedded: list[tuple[int, ...]] = field(default_factory=list)  # pts, seat, person
    most_waiting: int = 0
    _n_found: int = 0

    def look(self, images: Sequence[Image]) -> list[list[Found]]:
        assert 1 <= len(images) <= self.batch
        assert len({image.shape for image in images}) == 1
        found = []
        for image in images:
            pts = int(image[0, 0, 0])
            self.looked.append(pts)
            found.append([self._found(pts, role) for role in self.scene.cast(pts)])
        self._n_found += sum(map(len, found))
        self.most_waiting = max(self.most_waiting, self._n_found - len(self.embedded))
        return found

    def _found(self, pts: int, role: Role) -> Found:
        corner = np.array([300 * role.seat, 0], np.float32)
        box = np.concatenate([corner, corner + 100])
        chip = np.array([[[pts, role.seat, role.person]]], np.uint8)
        return Found(Face(box, 0.9, FRONTAL + corner, None, 1.0, 100.0), chip)

    def embed(self, chips: Sequence[Image]) -> npt.NDArray[np.float32]:
        told = [tuple(chip[0, 0].tolist()) for chip in chips]
        self.embedded += told
        people = [person for _, _, person in told]
        return np.eye(N_PEOPLE, dtype=np.float32)[people].reshape(-1, N_PEOPLE)


FACTS = VideoFacts(
    stream=0, container="mp4", codec="h264", pixel_format="yuv420p", width=1000, height=200,
    rotation=0, time_base=Fraction(1, FPS), n_frames=100, start_pts=0, end_pts=100,
    assumed_fps=None, n_missing=0, n_bad_packets=0, decord_doubt="",
)  # fmt: skip


@dataclass
class Seen:
    looks: list[Look]
    new_shot_after: bool
    eyes: FakeEyes
    reader: FakeReader

    @property
    def pts(self) -> list[int]:
        return [look.pts for look in self.looks]

    def of(self, source: str) -> list[int]:
        return [look.pts for look in self.looks if look.source == source]

    def with_face(self, seat: int = 0) -> list[int]:
        """The instants at which a seat is taken."""
        return [look.pts for look in self.looks if any(box[0] == 300 * seat for box in look.boxes)]


def examine(
    scene: Scene,
    step: int = 5,
    *,
    settings: IngestSettings = SPARSE,
    batch: int = 1,
    peek: bool = False,
    stretch: Stretch | None = None,
) -> Seen:
    reader: Any = FakeReader(scene)
    eyes = FakeEyes(scene, batch)
    looker = Looker(reader, FACTS, settings, eyes)
    looks, after = looker.examine(stretch or scene.stretch(step, peek=peek))
    assert [look.pts for look in looks] == sorted({look.pts for look in looks})
    assert sorted(eyes.looked) == sorted(set(eyes.looked))  # no frame twice
    assert len(eyes.embedded) == len(set(eyes.embedded))  # no face twice
    for look in looks:
        assert look.time_s == look.pts / FPS
        assert len(look.faces) == len(look.chips) == len(look.fragment)
        assert len(look.faces) == len(scene.cast(look.pts))
        assert len(set(look.fragment)) == len(look.fragment)
        for face, role in zip(look.faces, scene.cast(look.pts), strict=True):
            if face.embedding is not None:
                assert face.embedding.argmax() == role.person
    return Seen(looks, after, eyes, reader)


def fragments(seen: Seen) -> list[tuple[int, int]]:
    """First and last instant of each fragment, in order."""
    times: dict[int, list[int]] = {}
    for look in seen.looks:
        for number in look.fragment:
            times.setdefault(number, []).append(look.pts)
    return sorted((min(found), max(found)) for found in times.values())


def most_looks(step: int) -> int:
    """How often an interval of samples is halved until one frame is left of it."""
    return math.floor(math.log2(step - 1)) + 1 if step > 1 else 0


# Samples ----------------------------------------------------------------------------------------


def test_a_stretch_without_a_frame_shows_nothing() -> None:
    scene = Scene(lost=frozenset(range(100)))
    seen = examine(scene)
    assert (seen.looks, seen.new_shot_after) == ([], False)


def test_every_sample_is_a_look_also_where_nobody_is() -> None:
    seen = examine(Scene())
    assert seen.of(DETECTED) == [*range(0, 99, 5), 99]
    assert seen.pts == seen.of(DETECTED)


def test_whoever_watches_is_told_of_every_frame() -> None:
    scene = Scene((Role(ANN, 20, 60),))
    told: list[None] = []
    reader: Any = FakeReader(scene)
    eyes = FakeEyes(scene)
    looker = Looker(reader, FACTS, SPARSE, eyes, lambda: told.append(None))
    looker.examine(scene.stretch(5))
    assert len(told) >= len(eyes.looked)
    assert looker.decode_s > 0


def test_a_shot_is_new_where_the_picture_changes_as_at_a_cut() -> None:
    looks = examine(Scene(cuts=(20, 63))).looks
    assert looks[0].new_shot is None
    assert [look.pts for look in looks if look.new_shot] == [20, 65]
    assert all(look.new_shot is not None for look in looks[1:])


# Refining ---------------------------------------------------------------------------------------


@given(
    begin=st.integers(0, 98),
    length=st.integers(1, 99),
    step=st.integers(1, 20),
    settings_=st.sampled_from([SPARSE, ALL]),
    batch=st.sampled_from([1, 4]),
)
@a_few
def test_a_face_that_comes_and_goes_is_known_to_the_frame(
    begin: int, length: int, step: int, settings_: IngestSettings, batch: int
) -> None:
    end = min(begin + length, 100)
    scene = Scene((Role(ANN, begin, end),))
    seen = examine(scene, step, settings=settings_, batch=batch)
    if not any(begin <= pts < end for pts in scene.stretch(step).want_pts):
        assert seen.with_face() == seen.of(REFINED) == []
        return
    assert (seen.with_face()[0], seen.with_face()[-1]) == (begin, end - 1)
    assert begin == 0 or begin - 1 in seen.pts
    assert end == 100 or end in seen.pts
    n_edges = (begin > 0) + (end < 100)
    assert len(seen.of(REFINED)) <= n_edges * most_looks(step)
    assert fragments(seen) == [(begin, end - 1)]


@given(
    one=st.tuples(st.integers(0, 50), st.integers(50, 100)),
    other=st.tuples(st.integers(0, 50), st.integers(50, 100)),
    step=st.integers(1, 20),
)
@a_few
def test_each_of_two_people_is_known_to_the_frame(
    one: tuple[int, int], other: tuple[int, int], step: int
) -> None:
    scene = Scene((Role(ANN, *one, seat=0), Role(BEN, *other, seat=1)))
    seen = examine(scene, step)
    wanted = scene.stretch(step).want_pts
    for seat, (begin, end) in enumerate((one, other)):
        if any(begin <= pts < end for pts in wanted):
            found = seen.with_face(seat)
            assert (found[0], found[-1]) == (begin, end - 1)
            assert {begin - 1, end} & set(range(100)) <= set(seen.pts)


@given(cut=st.integers(1, 99), step=st.integers(1, 20), embed=st.sampled_from([SPARSE, ALL]))
@a_few
def test_two_people_exchanged_at_a_cut_in_the_same_place_part_at_the_cut(
    cut: int, step: int, embed: IngestSettings
) -> None:
    scene = Scene((Role(ANN, 0, cut), Role(BEN, cut, 100)), cuts=(cut,))
    seen = examine(scene, step, settings=embed)
    assert {cut - 1, cut} <= set(seen.pts)
    assert [look.pts for look in seen.looks if look.new_shot] == [cut]
    assert fragments(seen) == [(0, cut - 1), (cut, 99)]


@given(change=st.integers(1, 99), step=st.integers(1, 20))
@a_few
def test_two_people_exchanged_in_the_same_place_without_a_cut_part_between_two_samples(
    change: int, step: int
) -> None:
    # No picture tells of it, but their faces do.
    scene = Scene((Role(ANN, 0, change), Role(BEN, change, 100)))
    seen = examine(scene, step)
    before = max(pts for pts in seen.pts if pts < change)
    after = min(pts for pts in seen.pts if pts >= change)
    assert after - before <= step
    assert fragments(seen) == [(0, before), (after, 99)]


@pytest.mark.parametrize(
    "scene",
    [
        Scene(),
        Scene((Role(ANN, 0, 100),)),
        Scene((Role(ANN, 0, 100, seat=0), Role(BEN, 0, 100, seat=1))),
        Scene(cuts=(33,)),  # nobody's track ends at it
        Scene((Role(ANN, 1, 5), Role(BEN, 6, 9))),  # between two samples: nobody knows
    ],
)
@pytest.mark.parametrize("embed", [SPARSE, ALL])
def test_nothing_is_refined_where_no_track_begins_or_ends(
    scene: Scene, embed: IngestSettings
) -> None:
    seen = examine(scene, 10, settings=embed)
    assert seen.of(REFINED) == []
    assert seen.reader.asked == []
    assert len(seen.looks) == 11


def test_frames_are_asked_for_in_one_go_only_between_the_samples_that_differ() -> None:
    seen = examine(Scene((Role(ANN, 22, 47), Role(BEN, 0, 81, seat=1))), 10)
    assert seen.reader.asked == [(20, 30), (40, 50), (80, 90)]


def test_nothing_is_refined_unless_that_is_wanted() -> None:
    seen = examine(Scene((Role(ANN, 22, 47),)), 10, settings=IngestSettings(refine=False))
    assert seen.pts == [*range(0, 99, 10), 99]


def test_nothing_is_refined_in_a_file_without_times() -> None:
    scene = Scene((Role(ANN, 22, 47),))
    whole = scene.stretch(10)
    none = whole.frame_pts[:0]
    seen = examine(scene, stretch=Stretch(**{**vars(whole), "frame_pts": none}))
    assert seen.of(REFINED) == []
    assert seen.with_face() == [30, 40]


@given(lost=st.frozensets(st.integers(21, 29)), begin=st.integers(21, 30))
@a_few
def test_a_frame_that_cannot_be_decoded_costs_nothing_but_itself(
    lost: frozenset[int], begin: int
) -> None:
    seen = examine(Scene((Role(ANN, begin, 100),), lost=lost), 10)
    readable = sorted(set(range(100)) - lost)
    first = min(pts for pts in readable if pts >= begin)
    before = max(pts for pts in readable if pts < begin)
    assert seen.with_face()[0] == first
    assert before in seen.pts
    assert not lost & set(seen.pts)


def test_a_sample_that_cannot_be_decoded_costs_nothing_but_itself() -> None:
    seen = examine(Scene((Role(ANN, 22, 47),), lost=frozenset({30, 40})), 10)
    assert seen.of(DETECTED) == [0, 10, 20, 50, 60, 70, 80, 90, 99]
    assert seen.with_face() == []  # seen at neither 20 nor 50
    seen = examine(Scene((Role(ANN, 22, 47),), lost=frozenset({40})), 10)
    assert (seen.with_face()[0], seen.with_face()[-1]) == (22, 46)


# The next stretch's first sample ----------------------------------------------------------------


@given(end=st.integers(1, 100), step=st.integers(2, 20), batch=st.sampled_from([1, 3]))
@a_few
def test_the_peek_shows_what_happens_before_it_and_is_not_in_the_result(
    end: int, step: int, batch: int
) -> None:
    seen = examine(Scene((Role(ANN, 0, end),)), step, batch=batch, peek=True)
    assert 99 not in seen.pts
    assert 99 in seen.eyes.looked
    assert seen.with_face()[-1] == min(end, 99) - 1 if end < 99 else True
    assert not seen.new_shot_after
    assert not any(pts == 99 for pts, *_ in seen.eyes.embedded)


@pytest.mark.parametrize(("cut", "told"), [(99, True), (98, False), (96, False), (95, False)])
def test_a_shot_that_begins_with_the_next_stretch_is_told(cut: int, told: bool) -> None:
    seen = examine(Scene((Role(ANN, 0, 100),), cuts=(cut,)), 5, peek=True)
    assert seen.new_shot_after == told
    assert [look.pts for look in seen.looks if look.new_shot] == ([] if told else [cut])


def test_a_peek_that_cannot_be_decoded_is_missed_by_nobody() -> None:
    seen = examine(Scene((Role(ANN, 0, 97),), lost=frozenset({99})), 5, peek=True)
    assert seen.pts[-1] == 95
    assert not seen.new_shot_after


# Still pictures ---------------------------------------------------------------------------------


@given(still_from=st.integers(0, 60), step=st.integers(1, 12), batch=st.sampled_from([1, 4]))
@a_few
def test_in_a_still_picture_there_is_a_look_each_second_and_the_others_are_carried(
    still_from: int, step: int, batch: int
) -> None:
    seen = examine(Scene((Role(ANN, 0, 100),), still_from=still_from), step, batch=batch)
    wanted = [*range(0, 99, step), 99]
    expected, anchor = [], -1000
    for pts in wanted:
        if anchor < still_from or pts - anchor >= CARRY_S * FPS:  # frames: no rounding
            anchor = pts
            expected.append(pts)
    assert seen.of(DETECTED) == expected
    assert seen.of(CARRIED) == sorted(set(wanted) - set(expected))
    assert seen.eyes.looked == expected


def test_carried_faces_are_where_and_who_those_were_that_they_are_carried_from() -> None:
    scene = Scene((Role(ANN, 0, 100), Role(BEN, 0, 100, seat=1)), still_from=0)
    seen = examine(scene)
    anchor = seen.looks[0]
    for look in seen.looks:
        if look.source != CARRIED:
            anchor = look
            continue
        assert all(face.embedding is None for face in look.faces)
        assert look.fragment == anchor.fragment
        np.testing.assert_array_equal(look.boxes, anchor.boxes)
        assert [face.det_score for face in look.faces] == [0.9, 0.9]
    assert seen.of(DETECTED) == [0, 25, 50, 75]
    assert all(face.embedding is not None for face in seen.looks[0].faces)


def test_carried_faces_have_no_embedding_also_where_a_crowd_is_embedded_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(look_module, "_MOST_CHIPS", 0)
    seen = examine(Scene((Role(ANN, 0, 100),), still_from=0))
    assert seen.of(CARRIED)
    assert embedded(seen) == seen.of(DETECTED)


def test_carried_faces_follow_when_a_fragment_turns_out_to_be_two_people() -> None:
    # Ann is exchanged for Ben within one thumb's tolerance of change: nothing but their faces tell.
    scene = Scene((Role(ANN, 0, 100),), still_from=0)
    eyes = FakeEyes(Scene((Role(ANN, 0, 50), Role(BEN, 50, 100)), still_from=0))
    reader: Any = FakeReader(scene)
    looks, _ = Looker(reader, FACTS, SPARSE, eyes).examine(scene.stretch(5))
    numbers = {look.pts: look.fragment[0] for look in looks}
    assert {numbers[pts] for pts in range(0, 50, 5)} == {numbers[0]}
    assert {numbers[pts] for pts in [*range(50, 99, 5), 99]} == {numbers[99]}
    assert numbers[0] != numbers[99]


def test_what_appears_in_a_still_picture_is_looked_at_and_known_to_the_frame() -> None:
    seen = examine(Scene((Role(ANN, 42, 68),), still_from=0), 5)
    assert (seen.with_face()[0], seen.with_face()[-1]) == (42, 67)
    assert {41, 68} <= set(seen.pts)
    assert seen.of(CARRIED)


def test_nothing_is_carried_over_a_cut() -> None:
    seen = examine(Scene((Role(ANN, 0, 100),), cuts=(40,), still_from=0), 5)
    assert 40 in seen.of(DETECTED)


def test_nothing_is_carried_where_every_face_is_embedded() -> None:
    seen = examine(Scene((Role(ANN, 0, 100),), still_from=0), settings=ALL)
    assert seen.of(CARRIED) == []
    assert len(seen.of(DETECTED)) == 21


# Embedding --------------------------------------------------------------------------------------


def embedded(seen: Seen) -> list[int]:
    return [look.pts for look in seen.looks for face in look.faces if face.embedding is not None]


def test_of_a_face_that_does_not_change_one_a_second_is_embedded() -> None:
    seen = examine(Scene((Role(ANN, 0, 100),)))
    assert embedded(seen) == [0, 25, 50, 75, 99]
    assert [pts for pts, *_ in seen.eyes.embedded] == [0, 25, 50, 75, 99]


def test_where_all_are_wanted_every_face_is_embedded() -> None:
    seen = examine(Scene((Role(ANN, 3, 71), Role(BEN, 40, 96, seat=1))), settings=ALL)
    faces = [face for look in seen.looks for face in look.faces]
    assert len(faces) > 20
    assert all(face.embedding is not None for face in faces)


def test_no_chip_is_kept_once_its_face_is_embedded() -> None:
    seen = examine(Scene((Role(ANN, 0, 100),)))
    for look in seen.looks:
        for face, chip in zip(look.faces, look.chips, strict=True):
            assert (face.embedding is None) or (chip is None)


CROWD = tuple(Role(n % N_PEOPLE, 7 * n, 100 - 5 * n, seat=n) for n in range(6))


@pytest.mark.parametrize("most", [0, 3, 20])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_crowd_is_embedded_early_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, most: int, batch: int
) -> None:
    calm = examine(Scene(CROWD), batch=batch)
    monkeypatch.setattr(look_module, "_MOST_CHIPS", most)
    crowded = examine(Scene(CROWD), batch=batch)
    assert crowded.eyes.most_waiting <= most + batch * len(CROWD)
    assert calm.eyes.most_waiting > crowded.eyes.most_waiting
    for one, other in zip(calm.looks, crowded.looks, strict=True):
        assert (one.pts, one.source, one.new_shot) == (other.pts, other.source, other.new_shot)
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert fragments(crowded) == fragments(calm)
    assert set(embedded(calm)) <= set(embedded(crowded))


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    spans = st.tuples(st.integers(0, 99), st.integers(1, 100)).map(sorted)
    roles = [
        Role(draw(st.integers(0, N_PEOPLE - 1)), begin, end, seat)
        for seat, (begin, end) in enumerate(draw(st.lists(spans, max_size=4)))
    ]
    return Scene(
        tuple(roles),
        cuts=tuple(draw(st.lists(st.integers(1, 99), max_size=2, unique=True))),
        still_from=draw(st.sampled_from([0, 30, 10**6])),
        lost=draw(st.frozensets(st.integers(0, 99), max_size=5)),
    )


@given(scenes(), st.integers(1, 12), st.sampled_from([2, 3, 8]), st.booleans())
@a_few
def test_frames_looked_at_together_give_what_they_give_one_by_one(
    scene: Scene, step: int, batch: int, peek: bool
) -> None:
    alone, together = (examine(scene, step, batch=n, peek=peek) for n in (1, batch))
    assert alone.new_shot_after == together.new_shot_after
    for one, other in zip(alone.looks, together.looks, strict=True):
        assert (one.pts, one.source, one.new_shot) == (other.pts, other.source, other.new_shot)
        assert one.fragment == other.fragment
        assert [face.embedding is None for face in one.faces] == [
            face.embedding is None for face in other.faces
        ]


@pytest.mark.parametrize("grows_at", [1, 10, 37, 99])
def test_frames_of_two_sizes_are_not_looked_at_together(grows_at: int) -> None:
    scene = Scene((Role(0, 0, 100, 0),), grows_at=grows_at)
    seen = examine(scene, 5, batch=4)
    assert [look.pts for look in seen.looks] == [*range(0, 99, 5), 99]


@given(scenes(), st.integers(1, 12))
@a_few
def test_the_ends_of_every_fragment_are_embedded_and_neighbours_vouch_for_the_rest(
    scene: Scene, step: int
) -> None:
    seen = examine(scene, step)
    of_fragment: dict[int, list[Face]] = {}
    for look in seen.looks:
        for number, face in zip(look.fragment, look.faces, strict=True):
            if look.source != CARRIED:
                of_fragment.setdefault(number, []).append(face)
    for faces in of_fragment.values():
        known = [face.embedding for face in faces if face.embedding is not None]
        assert faces[0].embedding is not None
        assert faces[-1].embedding is not None
        assert all(float(one @ other) >= 0.3 for one, other in pairwise(known))


def test_an_embedder_that_gives_no_numbers_does_not_keep_the_worker_for_ever() -> None:
    # As half precision does that overflows. Each chip is given in once, whatever comes out.
    scene = Scene((Role(ANN, 0, 60), Role(BEN, 60, 100)))

    class Broken(FakeEyes):
        n_calls = 0

        def embed(self, chips: Sequence[Image]) -> npt.NDArray[np.float32]:
            self.n_calls += 1
            if self.n_calls > 100:
                raise RuntimeError("asked for the same faces again and again")
            vectors = super().embed(chips)
            for row, chip in enumerate(chips):
                if 30 < chip[0, 0, 0] < 90:
                    vectors[row] = np.nan
            return vectors

    reader: Any = FakeReader(scene)
    looks, _ = Looker(reader, FACTS, SPARSE, Broken(scene)).examine(scene.stretch(5))
    assert len(looks) == 21


# Chips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("embed", ["tracks", "all"])
def test_a_picture_is_kept_of_every_embedded_face_and_of_no_other(
    embed: EmbedName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "encode_chip", lambda chip: chip.tobytes())
    scene = Scene((Role(ANN, 0, 60), Role(BEN, 20, 100, seat=1)), still_from=70)
    seen = examine(scene, settings=IngestSettings(embed=embed, chips=True))
    for look in seen.looks:
        cast = scene.cast(look.pts)
        assert look.pictures == {
            row: bytes([look.pts, cast[row].seat, cast[row].person])
            for row, face in enumerate(look.faces)
            if face.embedding is not None
        }
    assert sum(len(look.pictures) for look in seen.looks) == len(seen.eyes.embedded) > 0


def test_no_picture_is_kept_unless_that_is_asked_for() -> None:
    seen = examine(Scene((Role(ANN, 0, 60),)))
    assert not any(look.pictures for look in seen.looks)
