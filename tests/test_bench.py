import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.bench import BenchResult, compare_speed, sides
from facelake.bench.footage import Film, Footage, plan_footage
from facelake.bench.machine import MemoryWatch
from facelake.bench.parity import Parity, Seen, compare_seen, match_faces, overlaps
from facelake.bench.peer import Job, iter_frames, read_seen, write_seen
from facelake.bench.result import FACELAKE, Run, Spread
from facelake.errors import EngineError, SourceError
from facelake.schema import IngestSettings
from facelake.testing.fakepack import write_fake_pack
from facelake.testing.footage import numbered_frames, read_number, write_video
from facelake.testing.pictures import moving_shot, wheel_picture

# Parity -------------------------------------------------------------------------------------------

BOX = (10.0, 20.0, 110.0, 120.0)  # 100 × 100


def seen(
    faces: Sequence[tuple[int, tuple[float, ...], tuple[float, ...]]],
    sample_pts: Sequence[int] = (0, 40, 80),
) -> Seen:
    """What one side saw: faces as (pts, box, embedding)."""
    return Seen(
        np.array(sample_pts, np.int64),
        np.array([pts for pts, _, _ in faces], np.int64),
        np.array([box for _, box, _ in faces], np.float32).reshape(-1, 4),
        np.array([vector for _, _, vector in faces], np.float32).reshape(-1, 2),
    )


def moved(right: float) -> tuple[float, ...]:
    return (BOX[0] + right, BOX[1], BOX[2] + right, BOX[3])


def test_overlap_is_the_shared_area_over_the_area_of_both() -> None:
    # Moved by 1 of 100 pixels: 99·100 shared of 2·100² − 99·100. Beside each other: nothing.
    boxes = np.array([BOX, moved(1.0), moved(100.0), moved(300.0)])
    np.testing.assert_allclose(overlaps(boxes[:1], boxes), [[1.0, 9900 / 10100, 0.0, 0.0]])


def test_a_face_moved_by_one_pixel_of_a_hundred_is_the_same_and_by_three_is_not() -> None:
    peer = seen([(0, BOX, (1, 0))])
    assert compare_seen([(peer, seen([(0, moved(1.0), (1, 0))]))]).n_matched == 1  # IoU 0.980
    assert compare_seen([(peer, seen([(0, moved(3.0), (1, 0))]))]).n_matched == 0  # IoU 0.942


def test_the_same_place_in_another_frame_is_no_match() -> None:
    assert compare_seen([(seen([(0, BOX, (1, 0))]), seen([(40, BOX, (1, 0))]))]).n_matched == 0


def test_a_face_has_one_partner_the_one_that_overlaps_most() -> None:
    peer = seen([(40, BOX, (1, 0))])
    facelake = seen([(40, moved(1.0), (1, 0)), (40, BOX, (1, 0)), (40, moved(2.0), (1, 0))])
    rows, other_rows = match_faces(peer, facelake)
    assert (rows.tolist(), other_rows.tolist()) == ([0], [1])


def test_parity_counts_frames_and_faces_over_all_videos() -> None:
    first = seen([(0, BOX, (1, 0)), (40, BOX, (1, 0))]), seen([(0, BOX, (1, 0))], (0, 40))
    second = seen([], (0,)), seen([(5, BOX, (1, 0))], (0, 5))
    parity = compare_seen([first, second])
    assert parity.n_frames_both == 2 + 1
    assert (parity.n_frames_peer_only, parity.n_frames_facelake_only) == (1, 1)
    assert (parity.n_faces_peer, parity.n_faces_facelake, parity.n_matched) == (2, 2, 1)
    assert parity.share_found == 0.5


def test_cosines_are_of_the_matched_faces_whatever_their_length() -> None:
    at_60_degrees = (0.5, np.sqrt(0.75))
    peer = seen([(0, BOX, (2, 0)), (40, BOX, (3, 0)), (80, BOX, (0, 1))])
    facelake = seen([(40, BOX, at_60_degrees), (0, BOX, (0.1, 0))])
    parity = compare_seen([(peer, facelake)])
    # Of 0.5 and 1.0: the middle, and a hundredth of the way from the lower to the higher.
    assert parity.cosine_median == pytest.approx(0.75)
    assert parity.cosine_p01 == pytest.approx(0.505)


def test_without_a_face_there_is_no_share_and_no_cosine() -> None:
    parity = compare_seen([(seen([]), seen([]))])
    assert (parity.share_found, parity.cosine_median, parity.cosine_p01) == (None, None, None)
    assert parity.n_frames_both == 3


@given(
    boxes=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=1, max_size=8, unique=True
    ),
    order=st.randoms(use_true_random=False),
)
def test_matching_is_one_to_one_and_does_not_depend_on_the_order_of_rows(
    boxes: list[tuple[int, int]], order: random.Random
) -> None:
    faces = [(40 * frame, moved(30.0 * place), (1.0, 0.0)) for frame, place in boxes]
    shuffled = list(faces)
    order.shuffle(shuffled)
    rows, other_rows = match_faces(seen(faces), seen(shuffled))
    assert sorted(rows) == list(range(len(faces)))
    assert [faces[row] for row in rows] == [shuffled[row] for row in other_rows]


# The report's arithmetic --------------------------------------------------------------------------

DEFAULT, ONE = "insightface_default_threads", "insightface_one_thread"
SAME = Parity(60, 0, 0, 100, 101, 99, 0.9999, 0.98)


def run(side: str, frames_per_s: float, *, n_workers: int = 1, decode_s: float = 1.0) -> Run:
    stages = {"decode": decode_s, "detect": 2.0, "align": 0.25, "embed": 1.5, "write": 0.25}
    return Run(side, n_workers, 60, 100, 1.5, 60 / frames_per_s, stages, 400_000_000, 800_000_000)


def result(**frames_per_s: Sequence[float]) -> BenchResult:
    turns = zip(*frames_per_s.values(), strict=True)
    runs = [
        run(side, pace) for turn in turns for side, pace in zip(frames_per_s, turn, strict=True)
    ]
    return BenchResult(
        sources=("archive",),
        left_out={"archive/b.mp4": "the same bytes as archive/a.mp4"},
        n_videos=2,
        n_frames=60,
        duration_s=2.4,
        sample_fps=None,
        det_size=640,
        pack="buffalo_sc",
        cpu="A processor",
        n_cores=2,
        versions={"facelake": "0.1.0", "onnxruntime": "1.31"},
        decoders={"decord": 2},
        runs=tuple(runs),
        parity=SAME,
    )


# One thread has the higher median, default threads the highest single run.
THREE = {DEFAULT: (9.0, 30.0, 9.0), ONE: (10.0, 12.0, 8.0), FACELAKE: (20.0, 30.0, 22.0)}


def test_the_peer_is_the_one_with_the_higher_median() -> None:
    assert result(**THREE).peer == ONE
    assert result(**THREE | {DEFAULT: (11.0, 11.0, 11.0)}).peer == DEFAULT


def test_the_ratio_is_over_runs_of_one_turn() -> None:
    # 20/10, 30/12 and 22/8; the ratio of the medians would be 2.2.
    ratio = result(**THREE).ratio
    assert ratio.median == pytest.approx(2.5)
    assert ratio.lowest == pytest.approx(2.0)
    assert ratio.highest == pytest.approx(2.75)


def test_other_is_what_the_stages_leave_of_all_workers_time() -> None:
    # Two workers for 6 s each; the stages take 5 s of these 12.
    assert run(FACELAKE, 10.0, n_workers=2).other_s == pytest.approx(7.0)


def test_seconds_by_stage_are_medians_over_the_runs() -> None:
    told = result(**{DEFAULT: [1.0] * 3, ONE: [1.0] * 3, FACELAKE: [1.0] * 3})
    decode_s = itertools.cycle([3.0, 9.0, 4.0])
    runs = tuple(
        replace(one, stage_s=one.stage_s | {"decode": next(decode_s)})
        if one.side == FACELAKE
        else one
        for one in told.runs
    )
    assert replace(told, runs=runs).stages(FACELAKE)["decode"] == 4.0


def test_a_spread_of_two_has_their_middle_as_median() -> None:
    assert Spread.of([3.0, 1.0]) == Spread(2.0, 1.0, 3.0)


def test_the_table_says_what_a_reader_needs() -> None:
    text = str(result(**THREE))
    for words in (
        "left out: archive/b.mp4: the same bytes as archive/a.mp4",
        "A processor, 2 cores",
        "3 runs of each",
        "onnxruntime 1.31",
        "10.0 (8.0–12.0)",
        "2.50 (2.00–2.75) times as fast as insightface, one thread",
        "400 MB",
        "same frames: 60 looked at by both, 0 by one alone",
        "insightface 100, facelake 101 (+1); 99 of insightface's (99.00%)",
        "0.9999 on the median, 0.9800 at the first percentile",
    ):
        assert words in text


def test_the_dictionary_goes_through_json_and_back() -> None:
    told = result(**THREE).to_dict()
    again = json.loads(json.dumps(told))
    assert again == told
    assert again["peer"] == ONE
    assert again["ratio"]["median"] == pytest.approx(2.5)
    assert again["sides"][FACELAKE]["frames_per_s"]["median"] == pytest.approx(22.0)
    assert [one["side"] for one in again["runs"]] == [DEFAULT, ONE, FACELAKE] * 3


# Which frames -------------------------------------------------------------------------------------

TIMES_S = (1.0, 1.04, 1.1, 1.19, 1.21, 1.3, 1.65, 1.7, 1.79)


def test_the_frames_are_those_of_the_sampling_grid(tmp_path: Path) -> None:
    film = write_video(tmp_path / "uneven.mp4", numbered_frames(len(TIMES_S)), times_s=TIMES_S)
    ((every,), (sampled,)) = (plan_footage([film], fps).films for fps in (None, 5.0))
    assert len(every.pts) == len(TIMES_S)
    # The grid is 1.0, 1.2, 1.4, 1.6 and so on; nothing is shown in [1.4, 1.6).
    expected = [every.pts[TIMES_S.index(time_s)] for time_s in (1.0, 1.21, 1.65)]
    assert sampled.pts == expected


def test_the_peer_decodes_the_frames_it_is_told_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "turned.mp4", numbered_frames(30), rotation=90, start_s=2.0)
    ((film,), wanted) = plan_footage([path], None).films, (3, 4, 17, 29)
    chosen = replace(film, pts=[film.pts[number] for number in wanted])
    images = dict(iter_frames(chosen))
    assert list(images) == chosen.pts
    assert tuple(read_number(image) for image in images.values()) == wanted


def test_copies_broken_files_and_files_without_times_are_left_out_with_a_reason(
    tmp_path: Path,
) -> None:
    good = write_video(tmp_path / "a.mp4", numbered_frames(5))
    (tmp_path / "b.mp4").write_bytes(good.read_bytes())
    (tmp_path / "c.mp4").write_text("no video")
    write_video(tmp_path / "d.avi", numbered_frames(5), codec="mjpeg", pix_fmt="yuvj420p")
    footage = plan_footage([tmp_path], None)
    assert [Path(film.path).name for film in footage.films] == ["a.mp4"]
    assert footage.n_frames == 5
    reasons = {Path(path).name: reason for path, reason in footage.left_out.items()}
    assert reasons["b.mp4"] == f"the same bytes as {good}"
    assert "not a video" in reasons["c.mp4"]
    assert "no times" in reasons["d.avi"]


def test_nothing_to_look_at_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "c.mp4").write_text("no video")
    with pytest.raises(SourceError, match=r"c\.mp4: a benchmark needs a video .* not a video"):
        plan_footage([tmp_path], None)


# The peer's process -------------------------------------------------------------------------------


def test_a_job_written_and_read_is_equal(tmp_path: Path) -> None:
    films = (Film("/films/ä b.mp4", 1, 2.5, [0, 40, 80]),)
    job = Job(films, "det.onnx", "rec.onnx", 1, 640, 0.5, 0.4, "out", 12.5)
    job.save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json") == job


@pytest.mark.parametrize("n_faces", [0, 3])
def test_what_was_seen_written_and_read_is_equal(tmp_path: Path, n_faces: int) -> None:
    generator = np.random.default_rng(0)
    boxes, vectors = (generator.random((n_faces, width), np.float32) for width in (4, 512))
    before = Seen(np.array([0, 40, 80]), np.arange(n_faces), boxes, vectors)
    write_seen(before, tmp_path, 7)
    after = read_seen(tmp_path, 7)
    for name in ("sample_pts", "face_pts", "bbox_xyxy", "embedding"):
        column: npt.NDArray[np.generic] = getattr(after, name)
        np.testing.assert_array_equal(column, getattr(before, name), strict=True)


def test_a_peer_that_fails_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    pack = write_fake_pack(tmp_path / "pack")
    monkeypatch.setattr(sides, "_PEER", "print('loading'); raise ImportError('libGL is absent')")
    plan = sides.Plan(Footage((), {}), IngestSettings(), pack, workers=1)
    with pytest.raises(EngineError, match=r"process failed \(ImportError: libGL is absent\)"):
        sides.run_peer(plan, ONE, tmp_path)


def hold(megabytes: int) -> subprocess.Popen[bytes]:
    """A process that holds this much memory until its standard input is closed."""
    code = f"import sys; held = b'x' * {megabytes}_000_000; sys.stdin.read()"
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)


def test_memory_is_of_the_processes_started_within() -> None:
    with hold(300) as older:
        with MemoryWatch() as memory, hold(100) as newer:
            deadline = time.monotonic() + 20.0
            while memory.largest_bytes < 100e6 and time.monotonic() < deadline:
                time.sleep(0.02)
            newer.communicate()
        older.communicate()
    assert 100e6 <= memory.largest_bytes < 200e6
    assert memory.together_bytes >= memory.largest_bytes


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["insightface", "onnxruntime"])
def test_an_absent_library_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineError, match=rf"{module}.*pip install 'facelake\[cpu\]'"):
        compare_speed([tmp_path])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"runs": 0}, "runs must be at least 1, but is 0"),
        ({"workers": 0}, "workers must be at least 1, but is 0"),
        ({"det_size": 100}, "multiple of 32, but is 100"),
        ({"sample_fps": 0.0}, "sample_fps must be above 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare_speed(["anything"], **arguments)  # type: ignore[arg-type]


# Both sides ---------------------------------------------------------------------------------------


@pytest.mark.models
def test_both_sides_see_the_same_faces_in_the_same_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = wheel_picture("trio")
    windows = [picture.around("trio-2", zoom=6.0), picture.around("trio-2", zoom=4.0)]
    shot = moving_shot(picture, windows, n_frames=9)
    write_video(tmp_path / "trio.mp4", shot, times_s=TIMES_S)
    write_video(tmp_path / "nobody.mp4", numbered_frames(6), start_s=0.5)
    result = compare_speed([tmp_path], sample_fps=10.0, runs=1, workers=1, det_size=320)
    # Of each tenth of a second the first frame: 1.0, 1.1, 1.21, 1.3, 1.65 and 1.7 s of the one
    # video, 0.5, 0.62 and 0.7 s of the other.
    assert [one.n_frames for one in result.runs] == [6 + 3] * 3
    parity = result.parity
    assert parity.n_frames_both == 6 + 3
    assert (parity.n_frames_peer_only, parity.n_frames_facelake_only) == (0, 0)
    assert parity.n_faces_peer == parity.n_faces_facelake >= 6
    assert parity.share_found == 1.0
    assert parity.cosine_p01 is not None
    assert parity.cosine_p01 > 0.995
    assert all(one.largest_bytes > 50e6 for one in result.runs)
    assert all(min(one.stage_s.values()) > 0 for one in result.runs)
    assert capsys.readouterr().err.count("frames/s") == 3
    assert json.loads(json.dumps(result.to_dict()))["versions"].keys() >= {"insightface", "av"}
