"""The pictures of docs/algebra.md are what the methods of spans give."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from planted import SPACE, new_lake, plant_video

from facelake.lake import Lake
from facelake.query import SpanSettings
from facelake.results import Spans
from facelake.schema import SCREEN_TIME, SCREEN_TIME_BY_VIDEO, SPANS, TOGETHER

PAGE = Path(__file__).resolve().parent.parent / "docs" / "algebra.md"
FENCES = re.findall(r"^```spans\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
LENGTH_S = 30

Picture = dict[str, list[tuple[float, float]]]
"""What a line is called → the spans on it, by start and end."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = new_lake(tmp_path_factory.mktemp("catalogs") / "tv")
    plant_video(lake, "film", {0: []}, start_s=0.0, duration_s=float(LENGTH_S))
    return lake


def read_picture(fence: str) -> Picture:
    """The spans of each line; a line without a name goes on with the one above it."""
    ruler, *lines = fence.splitlines()
    zero = ruler.index("0")
    assert ruler.startswith("seconds ")
    assert [ruler.index(str(second)) - zero for second in range(10, LENGTH_S, 5)] == [
        *range(10, LENGTH_S, 5)
    ]
    picture: Picture = {}
    name = ""
    for line in lines:
        name = line[:zero].strip() or name
        drawn = picture.setdefault(name, [])
        for match in re.finditer(r"=+|\|", line[zero:]):
            start, end = match.span()
            drawn.append((start, start if match[0] == "|" else end))
    return {name: sorted(drawn) for name, drawn in picture.items()}


def spans_of(lake: Lake, rows: list[tuple[float, float]]) -> Spans:
    (video,) = lake.videos().to_pylist()
    table = pa.Table.from_pylist(
        [
            {
                "video_id": video["video_id"],
                "path": video["paths"][0],
                "identity": "Ann",
                "start_s": float(start),
                "end_s": float(end),
                "score_max": 0.5,
                "score_mean": 0.5,
                "n_hits": 1,
                "n_samples": 1,
                "best_face_id": "face",
                "best_time_s": float(start),
            }
            for start, end in rows
        ],
        SPANS,
    )
    return Spans(lake, table, SPACE, SpanSettings(0.3))


@pytest.mark.parametrize("fence", FENCES)
def test_the_picture_is_what_the_expression_gives(fence: str, lake: Lake) -> None:
    picture = read_picture(fence)
    names = {name: spans_of(lake, rows) for name, rows in picture.items() if name in {"a", "b"}}
    expressions = [name for name in picture if name not in names]
    assert expressions
    for expression in expressions:
        found = eval(expression, {}, names)  # the page's own words
        table = found.table if isinstance(found, Spans) else found
        drawn = zip(table["start_s"].to_pylist(), table["end_s"].to_pylist(), strict=True)
        assert sorted(drawn) == picture[expression], expression


def test_every_operation_has_a_picture() -> None:
    text = "".join(FENCES)
    for operation in (
        "a & b", "a | b", "a - b", "a.coalesce(", "a.dilate(", "a.within(b", "a.during(b",
        "a.before(b", "a.overlapping(b", "a.first(", "a.last(",
    ):  # fmt: skip
        assert operation in text


@pytest.mark.parametrize("table", [SCREEN_TIME, SCREEN_TIME_BY_VIDEO, TOGETHER])
def test_the_page_names_every_column_of_a_sum(table: pa.Schema) -> None:
    sections = "".join(re.findall(r"^## (?:Screen time|Together)\n(.*?)(?=^## )", PAGE.read_text(),
                                  flags=re.MULTILINE | re.DOTALL))  # fmt: skip
    assert {name for name in table.names if f"`{name}`" not in sections} == set()
