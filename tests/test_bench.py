import itertools
import json
import random
import re
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
from facelake.bench.floor import Calls, FloorJob, gather_calls, share_out
from facelake.bench.footage import Film, Footage, plan_footage
from facelake.bench.looks import Looks
from facelake.bench.machine import MemoryWatch
from facelake.bench.own import OwnJob
from facelake.bench.parity import Parity, Seen, compare_seen, match_faces, overlaps
from facelake.bench.peer import Job, iter_frames, read_seen, write_seen
from facelake.bench.process import run_together
from facelake.bench.result import (
    FACELAKE,
    FACELAKE_DEFAULT,
    FLOOR,
    SAMPLED_PEER,
    Run,
    Spread,
)
from facelake.errors import EngineError, SourceError
from facelake.schema import IngestSettings
from facelake.testing.fakepack import write_fake_pack
from facelake.testing.footage import numbered_frames, read_number, write_video
from facelake.testing.pictures import moving_shot, reference_photo, wheel_picture

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
LOOKS = Looks(n_looked=8, n_refined=3, n_second_looks=1, n_carried=4, n_faces=20, n_embedded=9)
LABELS = {
    DEFAULT: "insightface, default threads",
    ONE: "insightface, one thread",
    FACELAKE: "facelake, 2 workers",
    FLOOR: "onnxruntime alone, 2 × one thread",
    SAMPLED_PEER: "insightface, one thread",
    FACELAKE_DEFAULT: "facelake, 2 workers",
}


def run(side: str, source_per_s: float, *, n_workers: int = 1, decode_s: float = 1.0) -> Run:
    """Over a video of 60 frames; the sampled sides look at 12 of them."""
    stages = {"decode": decode_s, "detect": 2.0, "align": 0.25, "embed": 1.5, "write": 0.25}
    sampled = side in (SAMPLED_PEER, FACELAKE_DEFAULT)
    return Run(
        side=side,
        label=LABELS[side],
        sample_fps=5.0 if sampled else None,
        n_workers=n_workers,
        n_source_frames=60,
        n_frames=12 if sampled else 60,
        n_faces=100,
        start_s=1.5,
        work_s=60 / source_per_s,
        first_row_s=2.5 if side in (FACELAKE, FACELAKE_DEFAULT) else None,
        stage_s={} if side == FLOOR else stages,
        largest_bytes=400_000_000,
        together_bytes=800_000_000,
    )


def result(**source_per_s: Sequence[float]) -> BenchResult:
    turns = zip(*source_per_s.values(), strict=True)
    runs = [
        run(side, pace) for turn in turns for side, pace in zip(source_per_s, turn, strict=True)
    ]
    return BenchResult(
        sources=("archive",),
        left_out={"archive/b.mp4": "the same bytes as archive/a.mp4"},
        n_videos=2,
        n_source_frames=60,
        duration_s=2.4,
        det_size=640,
        pack="buffalo_sc",
        cpu="A processor",
        n_cores=2,
        versions={"facelake": "0.1.0", "onnxruntime": "1.31"},
        decoders={"decord": 2},
        runs=tuple(runs),
        parity=SAME,
        looks=LOOKS if FACELAKE_DEFAULT in source_per_s else None,
    )


# One thread has the higher median, default threads the highest single run.
THREE = {
    DEFAULT: (9.0, 30.0, 9.0),
    ONE: (10.0, 12.0, 8.0),
    FACELAKE: (20.0, 30.0, 22.0),
    FLOOR: (22.0, 33.0, 26.4),
}
ALL = THREE | {SAMPLED_PEER: (50.0, 60.0, 40.0), FACELAKE_DEFAULT: (200.0, 300.0, 240.0)}


def test_the_peer_is_the_one_with_the_higher_median() -> None:
    assert result(**THREE).peer == ONE
    assert result(**THREE | {DEFAULT: (11.0, 11.0, 11.0)}).peer == DEFAULT


def test_the_ratio_is_over_runs_of_one_turn() -> None:
    # 20/10, 30/12 and 22/8; the ratio of the medians would be 2.2.
    assert_spread(result(**THREE).speedups["same_frames"], 2.5, 2.0, 2.75)


def test_the_floor_is_compared_by_wall_time() -> None:
    # 22/20, 33/30 and 26.4/22 times as long as the floor.
    assert_spread(result(**THREE).over_floor, 1.1, 1.1, 1.2)


def test_default_settings_are_compared_with_the_every_frame_peer_and_with_the_sampled_one() -> None:
    speedups = result(**ALL).speedups
    # 200/10, 300/12 and 240/8; 200/50, 300/60 and 240/40.
    assert_spread(speedups["default"], 25.0, 20.0, 30.0)
    assert_spread(speedups["default_same_rate"], 5.0, 4.0, 6.0)
    assert result(**THREE).speedups.keys() == {"same_frames"}


def assert_spread(spread: Spread, median: float, lowest: float, highest: float) -> None:
    assert spread.median == pytest.approx(median)
    assert spread.lowest == pytest.approx(lowest)
    assert spread.highest == pytest.approx(highest)


def test_a_sampled_side_gets_over_more_frames_than_it_looks_at() -> None:
    one = run(FACELAKE_DEFAULT, 240.0)
    assert one.source_frames_per_s == pytest.approx(240.0)
    assert one.frames_per_s == pytest.approx(240.0 * 12 / 60)


def test_other_is_what_the_stages_leave_of_all_workers_time() -> None:
    # Two workers for 6 s each; the stages take 5 s of these 12.
    assert run(FACELAKE, 10.0, n_workers=2).other_s == pytest.approx(7.0)


def test_seconds_by_stage_are_medians_over_the_runs() -> None:
    told = result(**dict.fromkeys((DEFAULT, ONE, FACELAKE), [1.0] * 3))
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
    text = re.sub(" +", " ", str(result(**ALL)))
    for words in (
        "left out: archive/b.mp4: the same bytes as archive/a.mp4",
        "A processor, 2 cores",
        "3 runs of each",
        "onnxruntime 1.31",
        "10.0 (8.0–12.0)",
        "is 2.50 (2.00–2.75) times as fast as insightface, one thread\n",
        "takes 1.10 (1.10–1.20) times as long as onnxruntime alone",
        "is 25.00 (20.00–30.00) times as fast as insightface, one thread, on every frame",
        "is 5.00 (4.00–6.00) times as fast as insightface, one thread, at 5 frames a second",
        "48.0 (40.0–60.0) 240.0 12",  # looked at, got over, frames
        "looked at as samples 5 (8.3%)",
        "carried over, not looked at 4 (6.7%)",
        "faces embedded 9 (45.0%)",
        "400 MB",
        "same frames: 60 looked at by both, 0 by one alone",
        "insightface 100, facelake 101 (+1); 99 of insightface's (99.00%)",
        "0.9999 on the median, 0.9800 at the first percentile",
    ):
        assert words in text


def test_the_dictionary_goes_through_json_and_back() -> None:
    told = result(**ALL).to_dict()
    again = json.loads(json.dumps(told))
    assert again == told
    assert again["peer"] == ONE
    assert again["speedups"]["default"]["median"] == pytest.approx(25.0)
    assert again["over_floor"]["median"] == pytest.approx(1.1)
    assert again["sides"][FACELAKE]["frames_per_s"]["median"] == pytest.approx(22.0)
    assert again["sides"][FACELAKE_DEFAULT]["first_row_s"] == 2.5
    assert again["looks"]["n_carried"] == 4
    assert [one["side"] for one in again["runs"]] == list(ALL) * 3


def test_one_rate_alone_has_no_default_settings_to_tell_of() -> None:
    told = result(**THREE)
    assert "as it comes" not in str(told)
    assert told.to_dict()["looks"] is None


# Which frames -------------------------------------------------------------------------------------

TIMES_S = (1.0, 1.04, 1.1, 1.19, 1.21, 1.3, 1.65, 1.7, 1.79)


def test_the_frames_are_those_of_the_sampling_grid(tmp_path: Path) -> None:
    # Without B-frames: the first of each step is looked at only where another refers to it.
    film = write_video(
        tmp_path / "uneven.mp4",
        numbered_frames(len(TIMES_S)),
        times_s=TIMES_S,
        options={"bf": "0"},
    )
    ((every,), (sampled,)) = (plan_footage([film], fps).films for fps in (None, 5.0))
    assert len(every.pts) == every.n_frames == sampled.n_frames == len(TIMES_S)
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
    films = (Film("/films/ä b.mp4", 1, 2.5, 100, 0.04, [0, 40, 80]),)
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
        sides.run_peer(plan, plan.footage, ONE, 1, tmp_path)


# Processes together, and the floor --------------------------------------------------------------


def write_jobs(folder: Path, count: int) -> list[Path]:
    jobs = [folder / f"job-{number}.json" for number in range(count)]
    for job in jobs:
        job.write_text("{}")
    return jobs


def test_processes_begin_together_when_the_last_one_is_ready(tmp_path: Path) -> None:
    # The one of an odd number is half a second late; each notes when it was ready and let go.
    code = """
import sys, time
from pathlib import Path
from facelake.bench.process import wait_for_start
job = Path(sys.argv[1])
print("a library's words")
time.sleep(0.5 * ("1" in job.stem))
ready = time.time()
wait_for_start()
job.with_suffix(".told").write_text(f"{ready} {time.time()}")
"""
    jobs = write_jobs(tmp_path, 2)
    run_together(code, jobs, who="somebody")
    told = [job.with_suffix(".told").read_text().split() for job in jobs]
    assert min(float(began) for _, began in told) >= max(float(ready) for ready, _ in told)


@pytest.mark.parametrize("wait", ["", "wait_for_start(); "])
def test_one_process_that_fails_ends_all_with_its_last_words(tmp_path: Path, wait: str) -> None:
    # Before the start the others wait for it, after the start they have long ended.
    code = f"""
import sys
from facelake.bench.process import wait_for_start
if "1" in sys.argv[1].rsplit("/", 1)[-1]:
    {wait}raise MemoryError("no more")
wait_for_start()
"""
    with pytest.raises(EngineError, match=r"somebody must run .* \(MemoryError: no more\)"):
        run_together(code, write_jobs(tmp_path, 2), who="somebody")


def test_jobs_written_and_read_are_equal(tmp_path: Path) -> None:
    floor = FloorJob((Calls(720, 1280, 5, 2),), {"det_size": 640}, "pack", "out", 12.5)
    own = OwnJob(("ä b.mp4",), "catalog", {"every_frame": True}, "out", 12.5)
    for job in (floor, own):
        job.save(tmp_path / "job.json")
        assert type(job).load(tmp_path / "job.json") == job


def test_calls_of_one_size_are_gathered_and_the_faces_of_all() -> None:
    wide, tall = (720, 1280), (1280, 720)
    videos = [Calls(*wide, 10, 3), Calls(*tall, 4, 1), Calls(*wide, 5, 2)]
    assert gather_calls(videos) == [Calls(*wide, 15, 6), Calls(*tall, 4, 0)]


@given(
    counts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6),
    n_processes=st.integers(1, 5),
)
def test_calls_shared_out_are_all_there_and_even(
    counts: list[tuple[int, int]], n_processes: int
) -> None:
    gathered = [Calls(10 * row, 20, *count) for row, count in enumerate(counts, 1)]
    parts = share_out(gathered, n_processes)
    assert len(parts) == n_processes
    for row, calls in enumerate(gathered):
        for name in ("n_frames", "n_faces"):
            shares = [getattr(part[row], name) for part in parts]
            assert sum(shares) == getattr(calls, name)
            assert max(shares) - min(shares) <= 1
        assert {(part[row].height, part[row].width) for part in parts} == {(10 * (row + 1), 20)}


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
        ({"sample_fps": 2.0, "every_frame": True}, r"sample_fps \(2\) or every_frame, not both"),
        ({"gallery": "photos", "every_frame": True}, "leave out sample_fps and every_frame"),
        ({"truth": "truth.csv"}, "needs a gallery"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare_speed(["anything"], **arguments)  # type: ignore[arg-type]


# All sides ----------------------------------------------------------------------------------------


def trio_shot(n_frames: int) -> list[npt.NDArray[np.uint8]]:
    picture = wheel_picture("trio")
    windows = [picture.around("trio-2", zoom=6.0), picture.around("trio-2", zoom=4.0)]
    return list(moving_shot(picture, windows, n_frames=n_frames))


@pytest.mark.models
def test_both_sides_see_the_same_faces_in_the_same_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "trio.mp4", trio_shot(9), times_s=TIMES_S)
    write_video(tmp_path / "nobody.mp4", numbered_frames(6), start_s=0.5)
    result = compare_speed([tmp_path], sample_fps=10.0, runs=1, workers=1, det_size=320)
    # Of each tenth of a second the first frame: 1.0, 1.1, 1.21, 1.3, 1.65 and 1.7 s of the one
    # video, 0.5, 0.62 and 0.7 s of the other.
    assert [one.n_frames for one in result.runs] == [6 + 3] * 4
    parity = result.parity
    assert parity.n_frames_both == 6 + 3
    assert (parity.n_frames_peer_only, parity.n_frames_facelake_only) == (0, 0)
    assert parity.n_faces_peer == parity.n_faces_facelake >= 6
    assert parity.share_found == 1.0
    assert parity.cosine_p01 is not None
    assert parity.cosine_p01 > 0.995
    assert all(one.largest_bytes > 50e6 for one in result.runs)
    assert all(min(one.stage_s.values()) > 0 for one in result.runs if one.side != FLOOR)
    assert result.looks is None
    assert capsys.readouterr().err.count("frames/s") == 4
    assert json.loads(json.dumps(result.to_dict()))["versions"].keys() >= {"insightface", "av"}


@pytest.mark.models
def test_all_sides_run_and_default_settings_lose_no_edge_of_a_plain_cut(tmp_path: Path) -> None:
    shot = trio_shot(18)
    film = write_video(tmp_path / "trio.mp4", [*shot, *[np.zeros_like(shot[0])] * 28, *shot])
    photo = reference_photo(wheel_picture("trio"), "trio-2", tmp_path / "Two.png", zoom=1.5)
    truth = tmp_path / "truth.csv"
    truth.write_text("video,label,start_s,end_s\ntrio.mp4,two,0,0.72\ntrio.mp4,two,1.84,2.56\n")
    result = compare_speed(
        [film], runs=1, workers=1, det_size=320, gallery=photo, truth=truth, progress=False
    )
    assert result.sides == (DEFAULT, ONE, FACELAKE, FLOOR, SAMPLED_PEER, FACELAKE_DEFAULT)
    assert [one.n_source_frames for one in result.runs] == [64] * 6
    dense, floor, sampled = (result.of(side)[0] for side in (FACELAKE, FLOOR, SAMPLED_PEER))
    assert (dense.n_frames, floor.n_frames, sampled.n_frames) == (64, 64, 13)
    assert dense.n_faces == floor.n_faces
    assert result.looks is not None
    assert result.looks.n_embedded <= result.looks.n_faces
    assert result.spans is not None
    # On every frame: seen from 0 to 0.72 s and from 1.84 to 2.56 s, the video's end.
    assert (result.spans.edges["video"].n_edges, result.spans.edges["face"].n_edges) == (2, 2)
    assert result.spans.all_edges.share == 1.0
    assert result.spans.seconds.f1 == pytest.approx(1.0)
    assert result.spans.to_truth is not None
    assert result.spans.to_truth.f1 == pytest.approx(1.0)
    assert json.loads(json.dumps(result.to_dict()))["spans"]["edges"]["all"]["share"] == 1.0
    assert "spans of 1 identity at threshold 0.3: 2 as it comes, 2 on every frame" in str(result)
