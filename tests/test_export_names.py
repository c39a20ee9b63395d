from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facelake.export.names import DEFAULT_TEMPLATE, clip_name, format_time

RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{p}{n}" for p in ("COM", "LPT") for n in range(10))}


def name(template: str = DEFAULT_TEMPLATE, **given_facts: Any) -> str:
    facts: dict[str, Any] = {
        "video": "news",
        "identity": "Ann",
        "start_s": 83.45,
        "end_s": 90.0,
        "score_max": 0.715,
        "n": 7,
        "taken": set(),
    }
    return clip_name(template, **(facts | given_facts))


def test_the_default_is_made_of_video_identity_start_and_end() -> None:
    assert name() == "news_Ann_00h01m23.450s-00h01m30.000s.mp4"


def test_every_field_and_its_format_can_be_used() -> None:
    template = (
        "{identity}/{n:04d}_{score_max:.2f}_{start_s:.1f}_{end_s:.1f}_{start}_{end}_{video}.mp4"
    )
    assert name(template, score_max=0.72) == (
        "Ann/0007_0.72_83.5_90.0_00h01m23.450s_00h01m30.000s_news.mp4"
    )


@given(st.text(), st.text(), st.sampled_from([DEFAULT_TEMPLATE, "{identity}/{video}.mp4"]))
def test_any_video_and_identity_give_a_legal_name(video: str, identity: str, template: str) -> None:
    made = name(template, video=video, identity=identity)
    parts = made.split("/")
    assert len(parts) == template.count("/") + 1
    for part in parts:
        assert 0 < len(part.encode()) <= 200
        assert part[0] not in "-. "
        assert part[-1] not in ". "
        assert part not in {"", ".", ".."}
        assert part.split(".")[0].upper() not in RESERVED
        assert not any(char in '<>:"|?*\\' for char in part)
        assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in part)
    assert made.endswith(".mp4")


@given(st.lists(st.sampled_from(["Ann", "ann", "ANN", "Å", "A\u030a", "Bo"]), max_size=30))
def test_no_two_clips_have_one_name_on_any_file_system(identities: list[str]) -> None:
    taken: set[str] = set()
    names = [name(identity=identity, taken=taken) for identity in identities]
    assert len({unicodedata.normalize("NFC", made).casefold() for made in names}) == len(names)
    again: set[str] = set()
    assert [name(identity=identity, taken=again) for identity in identities] == names


def test_a_taken_name_is_numbered() -> None:
    taken: set[str] = set()
    made = [name("{identity}.mp4", taken=taken) for _ in range(3)]
    assert made == ["Ann.mp4", "Ann_2.mp4", "Ann_3.mp4"]


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        ("Zoë O'Neil", "Zoë_O_Neil"),
        ("李娜", "李娜"),
        ("Zoe\u0308", "Zoë"),
        ("../../etc/passwd", "etc_passwd"),
        ("--rm -rf", "rm_-rf"),
        ("J. R. R.", "J._R._R"),
        ("NUL", "_NUL"),
        ("com1.x", "_com1.x"),
        ("🎬", "unnamed"),
        ("a\nb\x00c\u202egpj", "a_b_c_gpj"),
    ],
)
def test_identities_become_safe_and_stay_readable(identity: str, told: str) -> None:
    assert name("{identity}.mp4", identity=identity) == f"{told}.mp4"


@given(st.text("aé李", min_size=300, max_size=600))
def test_a_long_name_loses_its_middle_and_keeps_its_times(long: str) -> None:
    assert name(video=long, identity=long).endswith("_00h01m23.450s-00h01m30.000s.mp4")


@given(st.floats(0, 359_000), st.floats(0, 359_000))
def test_times_sort_as_text(one_s: float, other_s: float) -> None:
    assume(round(one_s, 3) < round(other_s, 3) - 0.001)
    assert format_time(one_s) < format_time(other_s)


@pytest.mark.parametrize(
    ("time_s", "told"),
    [
        (0.0, "00h00m00.000s"),
        (59.9996, "00h01m00.000s"),
        (3683.45, "01h01m23.450s"),
        (360_000.0, "100h00m00.000s"),
        (-1.5, "neg00h00m01.500s"),
    ],
)
def test_times_read_as_hours_minutes_seconds(time_s: float, told: str) -> None:
    assert format_time(time_s) == told


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{who}.mp4", "unknown field 'who'; known are video, identity, start"),
        ("{}.mp4", "unknown field ''"),
        ("{video.__class__}.mp4", "unknown field"),
        ("{start_s:{n}}.mp4", "must not put a field into a format"),
        ("{video.mp4", "cannot be read"),
        ("{video:d}.mp4", "cannot be filled in"),
        ("../{video}.mp4", "stay within the folder"),
        ("a/../../{video}.mp4", "stay within the folder"),
        ("/tmp/{video}.mp4", "stay within the folder"),
        ("C:{video}.mp4", "holds ':'"),
        ("a\\{video}.mp4", "folders are divided by /"),
        ("{video}.mkv", r"must end in \.mp4"),
    ],
)
def test_a_bad_template_is_refused(template: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        name(template)
