"""Which files a person meant: files as they are, globs as they match, folders by extension."""

from __future__ import annotations

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
        Files of folders that are no videos by their extension: extension → how many.
    """

    paths: tuple[Path, ...]
    passed_over: dict[str, int]


def find_videos(sources: Iterable[str | Path]) -> Found:
    """The video files that files, folders and globs name.

    A file, or a glob's match, is taken whatever its name; a folder gives the files below it with a
    video's extension. Hidden files and folders are left out of folders.

    Raises
    ------
    SourceError
        A source does not exist, or a folder or glob holds no video.
    """
    paths: set[Path] = set()
    passed_over: Counter[str] = Counter()
    for source in sources:
        found, left = _resolve(str(source))
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
    path = Path(source).expanduser()
    if "://" in source:
        raise SourceError(
            f"{source}: sources must be files of this machine or of a mounted disk, not URLs"
        )
    if path.is_dir():
        return _walk(path)
    if path.exists():
        return [path.absolute()], Counter()
    if has_magic(source):
        # glob.glob, not Path.glob: the pattern may be absolute.
        matches = (Path(p) for p in glob(str(path), recursive=True))  # noqa: PTH207
        return [p.absolute() for p in matches if p.is_file()], Counter()
    raise SourceError(f"{source}: there is no such file or folder")


def _walk(folder: Path) -> tuple[list[Path], Counter[str]]:
    found, left = [], Counter[str]()
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if not path.is_file():
            continue
        if path.suffix.lower() in EXTENSIONS:
            found.append(path.absolute())
        else:
            left[path.suffix.lower() or "(no extension)"] += 1
    return found, left


def _count(left: Counter[str]) -> str:
    return ", ".join(f"{n} × {suffix}" for suffix, n in left.most_common(4)) + " files"
