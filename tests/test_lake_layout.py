"""Names of files say what they are, and nothing else is taken for one of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelake.lake.layout import (
    OF_A_SPACE,
    PARTED,
    VIDEOS_FOLDER,
    Part,
    exemplar_file,
    is_exemplar,
    is_tombstone,
    parse_part,
    part_of,
    video_row,
)

WORDS = st.from_regex(re.compile(r"[a-z0-9_]{1,12}"), fullmatch=True)
GENERATIONS = st.from_regex(re.compile(r"[0-9a-f]{8}"), fullmatch=True) | st.just("")
NAMES = st.from_regex(re.compile(r"[a-z0-9._-]{1,20}"), fullmatch=True)
ROW = {"video_id": "news-01234567", "run": "r1", "space": "s-1", "generation": "0a1b2c3d"}


@given(st.sampled_from([*PARTED, VIDEOS_FOLDER]), NAMES, NAMES, WORDS, GENERATIONS)
def test_what_a_name_is_made_of_is_read_back(
    table: str, space: str, video_id: str, run: str, generation: str
) -> None:
    generation = "" if table == VIDEOS_FOLDER else generation  # a record is replaced in place
    part = Part(table, space if table in OF_A_SPACE else "", video_id, run, generation)
    assert parse_part(part.name) == part


def test_parts_lie_where_the_page_on_the_layout_says() -> None:
    folder = "video_id=news-01234567"
    assert part_of("samples", ROW) == f"samples/{folder}/part-r1-0a1b2c3d.parquet"
    assert part_of("faces", ROW) == f"faces/space=s-1/{folder}/part-r1-0a1b2c3d.parquet"
    assert part_of("videos", ROW) == f"videos/{folder}/part-r1.parquet"
    assert video_row("news-01234567", "r1") == part_of("videos", ROW)


@pytest.mark.parametrize("generation", [None, ""])
def test_parts_of_schema_version_1_have_no_generation(generation: str | None) -> None:
    row = ROW | {"generation": generation}
    assert part_of("samples", row) == "samples/video_id=news-01234567/part-r1.parquet"


@pytest.mark.parametrize(
    "name",
    [
        "faces/video_id=foo/part-r1-0a1b2c3d.parquet",  # of no space
        "samples/space=s/video_id=foo/part-r1-0a1b2c3d.parquet",
        "samples/video_id=foo/mine.parquet",
        "samples/video_id=foo/part-r1-0a1b2c3d.parquet.txt",
        "samples/video_id=foo/deeper/part-r1-0a1b2c3d.parquet",
        "samples/part-r1-0a1b2c3d.parquet",
        "other/video_id=foo/part-r1-0a1b2c3d.parquet",
        "/samples/video_id=foo/part-r1-0a1b2c3d.parquet",
        "notes.txt",
    ],
)
def test_what_people_put_there_is_no_part(name: str) -> None:
    assert parse_part(name) is None


def test_exemplars_and_tombstones_are_known_by_their_names() -> None:
    assert is_exemplar(exemplar_file("0a1b", "s-1"))
    assert not is_exemplar("gallery/space=s-1/mine.parquet")
    assert is_tombstone("forgotten/video_id=foo/tombstone-1.parquet")
    assert not is_tombstone("forgotten/video_id=foo/notes.parquet")
