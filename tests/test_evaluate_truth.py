"""Truths and spans as people write them: which rows count, whose they are, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.evaluate import (
    Appearance,
    VideoName,
    pair_videos,
    plain_key,
    read_spans,
    read_truth,
    spans_from_table,
    truth_from_table,
)

TRUTH = """\
# by eye
video,label,start_s,end_s,visibility,note
films/Night.mp4,Zoë K.,1.0,3.0,front,"a, b"
films/Night.mp4,Zoë K.,5.0,6.0,profile,
films/Night.mp4,Bob,1.0,,front,
films/empty.mp4,(nobody),0.0,,,
films/day.mp4,Bob,0.0,4.0,,
"""
NIGHT, DAY = VideoName("films/Night.mp4"), VideoName("films/day.mp4")


def write(tmp_path: Path, text: str, name: str = "truth.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zoë_Kravitz-2", "zoe kravitz 2"),
        ("OBAMA", "obama"),
        ("Straße", "STRASSE"),
        ("O'Brien", "obrien"),
        ("ガイ", "ｶﾞｲ"),  # full and half width
    ],
)
def test_names_are_one_without_case_accents_and_punctuation(one: str, other: str) -> None:
    assert plain_key(one) == plain_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("山田", "鈴木"), ("Анна", "Иван"), ("किरण", "करण"), ("か", "が"), ("Ann", "Anna")],
)
def test_names_of_any_script_stay_apart(one: str, other: str) -> None:
    assert plain_key(one)
    assert plain_key(one) != plain_key(other)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("/archive/a/1.mp4", "1"),
        ("/archive/a/1.mp4", "1.mkv"),
        ("/archive/a/1.mp4", "a/1.mp4"),
        ("C:\\archive\\a\\1.mp4", "a/1.mp4"),
    ],
)
def test_a_video_is_known_by_its_file_name_without_ending(found: str, told: str) -> None:
    assert pair_videos([VideoName(found)], [VideoName(told)]) == {0: 0}


def test_another_file_name_is_another_video() -> None:
    assert pair_videos([VideoName("a/11.mp4")], [VideoName("1.mp4")]) == {}


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    found = [VideoName("/x/cam2/1.mp4"), VideoName("/x/cam1/1.mp4"), VideoName("/x/cam3/1.mp4")]
    told = [VideoName("cam1/1.mp4"), VideoName("cam2/1.mp4")]
    assert pair_videos(found[:2], told) == {0: 1, 1: 0}
    # cam3 shares no folder with either: nobody can say which is meant.
    with pytest.raises(ValueError, match=r"/x/cam3/1\.mp4: must be one video, but could be"):
        pair_videos(found, told)


def test_a_name_that_could_be_two_videos_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^1\.mp4: .* could be /a/1\.mp4 or /b/1\.mp4; name the"):
        pair_videos([VideoName("/a/1.mp4"), VideoName("/b/1.mp4")], [VideoName("1.mp4")])


def test_a_video_id_says_more_than_a_name() -> None:
    found = [VideoName("/new place/renamed.mp4", "x-01"), VideoName("/b/1.mp4", "y-02")]
    told = [VideoName("/a/1.mp4", "x-01")]
    assert pair_videos(found, told) == {0: 0}


# Truths -------------------------------------------------------------------------------------------


def test_rows_of_other_visibilities_do_not_count_and_empty_ones_do(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path, TRUTH))
    assert truth.appearances == (
        Appearance(NIGHT, "Zoë K.", 1.0, 3.0, counts=True),
        Appearance(NIGHT, "Zoë K.", 5.0, 6.0, counts=False),
        Appearance(DAY, "Bob", 0.0, 4.0, counts=True),
    )
    other = read_truth(write(tmp_path, TRUTH), visibilities=["profile"])
    assert [one.counts for one in other.appearances] == [False, True, True]


def test_nobody_in_parentheses_still_makes_a_video_one_that_is_told_of(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path, TRUTH))
    assert truth.videos == (NIGHT, VideoName("films/empty.mp4"), DAY)


def test_rows_without_an_end_are_passed_over_aloud(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path, TRUTH))
    assert truth.notes == ("truth.csv: 1 row without end_s passed over",)


def test_a_truth_without_a_visibility_that_counts_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "video,label,start_s,end_s,visibility\na,Ann,0,1,clear\n")
    with pytest.raises(ValueError, match=r"holds only clear; name those that count"):
        read_truth(path)
    assert read_truth(path, visibilities=["clear"]).appearances[0].counts


def test_a_table_of_spans_is_a_truth_too(tmp_path: Path) -> None:
    row = {"video_id": "x-01", "path": "/a/x.mp4", "identity": "Ann", "start_s": -1.5, "end_s": 2.0}
    table = pa.Table.from_pylist([row])
    pq.write_table(table, tmp_path / "spans.parquet")
    (tmp_path / "spans.json").write_text(json.dumps([row]))
    header, values = ",".join(row), ",".join(str(value) for value in row.values())
    write(tmp_path, f"{header}\n{values}\n", "spans.csv")
    wanted = (Appearance(VideoName("/a/x.mp4", "x-01"), "Ann", -1.5, 2.0),)
    for ending in ("parquet", "json", "csv"):
        path = tmp_path / f"spans.{ending}"
        assert read_truth(path).appearances == wanted
        assert tuple(read_spans(path)) == wanted
    assert truth_from_table(table, name="t").appearances == wanted
    assert tuple(spans_from_table(table)) == wanted


def test_an_empty_table_is_a_truth_that_tells_nothing(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path, "video,label,start_s,end_s\n"))
    assert (truth.videos, truth.appearances) == ((), ())


def test_of_some_videos_alone(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path, TRUTH)).only(["day"])
    assert truth.videos == (DAY,)
    assert [one.identity for one in truth.appearances] == ["Bob"]
    with pytest.raises(ValueError, match=r"must tell of the video 'dusk', but tells of films/day"):
        truth.only(["dusk"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("video,label,start_s\n", r"truth\.csv: .*but lacks end_s"),
        ("", "but lacks video or path or video_id, label or identity, start_s, end_s"),
        ("# a\nvideo,label,start_s,end_s\na,Ann,1,soon\n", "line 3: .* 'soon'"),
        ("video,label,start_s,end_s\na,Ann,2,1\n", "line 2: start_s must be .* 2 and 1"),
        ("video,label,start_s,end_s\na,Ann,0,inf\n", "line 2: start_s must be"),
        ("video,label,start_s,end_s\na,Ann,nan,1\n", "line 2: start_s must be"),
        ("video,label,start_s,end_s\na,?!,0,1\n", r"line 2: the person must have a name, .*'\?!'"),
        ("video,label,start_s,end_s\n,Ann,0,1\n", "line 2: the video must have a name"),
        ('video,label,start_s,end_s\na,"Ann\nLee",0,1\nb,Bob,3,2\n', "line 4: start_s must be"),
    ],
)
def test_a_wrong_truth_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_truth(write(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("truth.csv", b"\xff\xfe\x00\xd8", "must be a CSV file in UTF-8"),
        ("truth.json", b"{}", "must be a JSON array of objects"),
        ("truth.json", b"[1, 2", "must be a JSON file, but"),
        ("truth.parquet", b"PAR0", "must be a Parquet file, but"),
    ],
)
def test_what_is_no_table_is_no_truth(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=words):
        read_truth(path)


def test_a_table_without_the_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"t: lacks the column start_s; it has video, label"):
        truth_from_table(pa.table({"video": ["a"], "label": ["b"]}), name="t")


@given(st.text())
def test_a_plain_name_is_already_plain(name: str) -> None:
    assert plain_key(plain_key(name)) == plain_key(name)
