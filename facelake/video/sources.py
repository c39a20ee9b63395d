"""Which files a person meant: files as they are, globs as they match, folders by extension."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from facelake.errors import SourceError

EXTENSIONS = frozenset(
    ".3g2 .3gp .264 .265 .asf .avi .divx .dv .f4v .flv .h264 .h265 .hevc .ivf .m1v .m2t .m2ts .m2v "
    ".m4v .mjpeg .mjpg .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf .nut .obu .ogm .ogv .qt .ts .vob "
    ".webm .wmv .y4m".split()
)


@dataclass(frozen=True)
class Found:
    """The videos of some sources, and what lay beside them.

    Attributes
    ----------
    paths
        Absolute, each once, sorted.
    passed_over
        Files of folders that are no videos by their extension, or whose names are not Unicode and
        fit into no table: extension or reason → how many.
    """

    paths: tuple[Path, ...]
    passed_over: dict[str, int]


def find_videos(sources: Iterable[str | Path]) -> Found:
    """The video files that files, folders and globs name.

    A file, or one that a glob matches, is taken whatever its extension; a folder, or one that a
    glob without ``**`` matches, gives the files below it with a video's extension. Hidden files
    and folders are left out of folders.

    Raises
    ------
    SourceError
        A source does not exist, or a folder or glob holds no video.
    """
    paths: set[Path] = set()
    passed_over: Counter[str] = Counter()
    for source in sources:
        try:
            found, left = _resolve(str(source))
        except OSError as error:
            raise SourceError(f"{source}: the source cannot be read ({error.strerror})") from error
        if not found:
            beside = f"; there are {_count(left)}" if left else ""
            raise SourceError(
                f"{source}: a source must name at least one video, but it holds none{beside}; "
                "give files, folders or globs such as 'archive/**/*.mp4'"
            )
        paths.update(found)
        passed_over.update(left)
    if not paths:
        raise SourceError("no source was given; name files, folders or globs of videos")
    return Found(tuple(sorted(paths)), dict(passed_over))


def _resolve(source: str) -> tuple[list[Path], Counter[str]]:
    # Path.expanduser raises where "~draft.mp4" is a file and "draft" no user.
    path = Path(os.path.expanduser(source))  # noqa: PTH111
    if "://" in source:
        raise SourceError(
            f"{source}: sources must be files of this machine or of a mounted disk, not URLs"
        )
    if path.is_dir():
        return _walk(path)
    if path.is_file():
        return _sorted_out([path], any_extension=True)
    if path.exists():
        raise SourceError(f"{source}: a source must be a file or a folder, but is neither")
    if has_magic(source):
        return _match(str(path))
    raise SourceError(f"{source}: there is no such file or folder")


def _match(pattern: str) -> tuple[list[Path], Counter[str]]:
    # glob.glob, not Path.glob: the pattern may be absolute.
    matches = [Path(match) for match in glob(pattern, recursive=True)]  # noqa: PTH207
    found, left = _sorted_out([path for path in matches if path.is_file()], any_extension=True)
    if "**" not in pattern:  # which has matched the files of the folders as well
        for folder in filter(Path.is_dir, matches):
            more, beside = _walk(folder)
            found, left = found + more, left + beside
    return found, left


def _walk(folder: Path) -> tuple[list[Path], Counter[str]]:
    shown = (
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return _sorted_out((path for path in shown if path.is_file()), any_extension=False)


def _sorted_out(files: Iterable[Path], *, any_extension: bool) -> tuple[list[Path], Counter[str]]:
    """The videos among files, absolute, and what the others are."""
    found, left = [], Counter[str]()
    for file in files:
        path = file.absolute()
        if not any_extension and path.suffix.lower() not in EXTENSIONS:
            left[_printable(path.suffix.lower()) or "(no extension)"] += 1
        elif _printable(str(path)) != str(path):
            left["(name is not Unicode)"] += 1
        else:
            found.append(path)
    return found, left


def _printable(name: str) -> str:
    """The name with a mark for each byte that is not Unicode."""
    return name.encode(errors="replace").decode()


def _count(left: Counter[str]) -> str:
    return ", ".join(f"{n} × {suffix}" for suffix, n in left.most_common(4)) + " files"
