"""Which files are meant: what lies in a folder made for the test, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facelake.errors import SourceError
from facelake.video import find_videos
from facelake.video.sources import EXTENSIONS


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: ``archive/`` with videos, other files, and hidden ones."""
    for name in (
        "a.mp4",
        "B.MKV",
        "2020/c.mov",
        "2020/deep/er/d.webm",
        "2020/notes.txt",
        "2020/more.TXT",
        "README",
        ".hidden.mp4",
        ".cache/e.mp4",
        "2020/.e.mp4.part",
    ):
        touch(tmp_path / "archive" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "archive"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def names(*sources: str | Path) -> list[str]:
    return [path.name for path in find_videos(sources).paths]


# Files and folders ------------------------------------------------------------------------------


def test_a_folder_gives_its_videos_at_any_depth_and_counts_the_rest(archive: Path) -> None:
    found = find_videos([archive])
    expected = ["2020/c.mov", "2020/deep/er/d.webm", "B.MKV", "a.mp4"]
    assert found.paths == tuple(archive / name for name in expected)
    assert found.passed_over == {".txt": 2, "(no extension)": 1}


def test_relative_sources_give_absolute_paths(archive: Path) -> None:
    assert find_videos(["archive/a.mp4"]).paths == (archive / "a.mp4",)
    assert find_videos(["archive"]).paths == find_videos([archive]).paths


def test_a_hidden_folder_that_is_named_is_looked_into(archive: Path) -> None:
    assert names(archive / ".cache") == ["e.mp4"]


def test_a_file_that_is_named_is_taken_whatever_it_is_called(archive: Path) -> None:
    assert names(archive / "README", archive / ".hidden.mp4") == [".hidden.mp4", "README"]


def test_a_file_that_several_sources_name_comes_once(archive: Path) -> None:
    assert names(archive, archive / "a.mp4", "archive/*.mp4").count("a.mp4") == 1


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_extensions_are_known_in_any_case(extension: str, tmp_path: Path) -> None:
    assert extension == extension.lower()
    touch(tmp_path / f"a{extension.upper()}")
    assert len(find_videos([tmp_path]).paths) == 1


def test_a_link_to_a_video_is_one(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/linked.mp4").symlink_to(archive / "a.mp4")
    assert names(tmp_path / "links") == ["linked.mp4"]


def test_the_home_folder_is_known_by_its_sign(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(archive))
    assert names("~/a.mp4", "~/2020/*.mov") == ["c.mov", "a.mp4"]


# Globs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("archive/*.mp4", ["a.mp4"]),
        ("archive/**/*.mov", ["c.mov"]),
        ("archive/**/*.[mw]*", ["c.mov", "d.webm", "a.mp4"]),
        ("archive/2020/?.mov", ["c.mov"]),
        ("archive/2020/*.txt", ["notes.txt"]),
    ],
)
def test_a_glob_gives_the_files_it_matches(
    pattern: str, expected: list[str], archive: Path
) -> None:
    assert names(pattern) == expected
    assert names(archive.parent / pattern) == expected


def test_a_folder_that_a_glob_matches_is_looked_into_as_when_the_shell_expands_it(
    archive: Path,
) -> None:
    by_shell = [path for path in archive.iterdir() if not path.name.startswith(".")]
    assert find_videos(["archive/*"]) == find_videos(by_shell)
    assert names("archive/20*") == ["c.mov", "d.webm"]


@pytest.mark.parametrize("name", ["[1].mp4", "what?.mp4", "all*.mp4"])
def test_a_file_with_a_globs_signs_in_its_name_is_that_file(name: str, tmp_path: Path) -> None:
    touch(tmp_path / "1.mp4")
    assert find_videos([touch(tmp_path / name)]).paths == (tmp_path / name,)


# Names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "-leading-dash.mp4",
        "quote'\"s.mp4",
        "percent%d_%03d.mp4",
        "ünïcödé 日本語 🎬.mp4",
        "~draft.mp4",
        "concat:a|b.mp4",
        "new\nline.mp4",
        "#1;&.mp4",
    ],
)
def test_odd_names_stay_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = touch(tmp_path / name)
    assert find_videos([path]).paths == (path,)
    assert find_videos([name]).paths == (path,)
    assert find_videos([tmp_path]).paths == (path,)


def test_a_name_that_is_no_unicode_is_counted_because_no_table_can_hold_it(tmp_path: Path) -> None:
    path = touch(tmp_path / "plain.mp4").with_name(os.fsdecode(b"\xe9t\xe9.mp4"))
    try:
        touch(path)
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    found = find_videos([tmp_path])
    assert (found.paths, found.passed_over) == (
        (tmp_path / "plain.mp4",),
        {"(name is not Unicode)": 1},
    )
    with pytest.raises(SourceError, match="1 × \\(name is not Unicode\\)"):
        find_videos([path])


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("missing.mp4", "no such file or folder"),
        ("missing/", "no such file or folder"),
        ("concat:archive/a.mp4|archive/a.mp4", "no such file or folder"),
        ("archive/*.avi", "at least one video, but it holds none"),
        ("http://example.org/a.mp4", "not URLs"),
        ("s3://bucket/a.mp4", "not URLs"),
        ("file:///archive/a.mp4", "not URLs"),
        ("", "no such file|none"),
        ("n" * 300 + ".mp4", "cannot be read"),
        ("archive/a.mp4/b.mp4", "no such file or folder"),
        ("a\0.mp4", "no such file or folder"),
        ("~nobody-of-that-name/a.mp4", "no such file or folder"),
    ],
)
def test_a_source_that_is_none_is_refused(
    source: str, reason: str, archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not source:
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(SourceError, match=reason):
        find_videos([source])


def test_a_folder_without_videos_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.jpg", "d"):
        touch(tmp_path / name)
    with pytest.raises(SourceError, match=r"2 × \.txt, 1 × .*files"):
        find_videos([tmp_path])


def test_one_bad_source_among_good_ones_is_said(archive: Path) -> None:
    with pytest.raises(SourceError, match=r"missing\.mp4"):
        find_videos([archive, "missing.mp4"])


def test_no_source_at_all_is_refused() -> None:
    with pytest.raises(SourceError, match="no source was given"):
        find_videos([])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_source_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    touch(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match="a file or a folder, but is neither"):
        find_videos([tmp_path / "pipe.mp4"])
    assert names(tmp_path) == ["a.mp4"]
    assert names(f"{tmp_path}/*") == ["a.mp4"]
