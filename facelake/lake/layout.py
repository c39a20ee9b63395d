"""What the files of a catalog are called.

    catalogs/NAME/
      catalog.json                               format, schema version, spaces, purpose
      videos/video_id=K/part-RUN.parquet         1 row: the commit record, written last
      samples/video_id=K/part-RUN-GEN.parquet    1 row per examined instant, also the empty ones
      faces/space=S/video_id=K/part-RUN-GEN.parquet
      tracks/space=S/video_id=K/part-RUN-GEN.parquet
      chips/video_id=K/part-RUN-GEN.parquet      only where they were asked for
      gallery/space=S/exemplar-ID.parquet        1 row, named by its content
      labels/label-ID.parquet                    what was said of faces at once, named so, too
      forgotten/video_id=K/tombstone-ID.parquet  what must not come back

A run is named by the video's content, the settings and the models, so the same work has the same
name. A generation is one writing of a run; the ``videos`` row names the one that counts, so that
whoever reads sees a run as it was written by one writer, whoever else is writing it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

CATALOG_FILE = "catalog.json"
VIDEOS_FOLDER, SAMPLES_FOLDER, FACES_FOLDER = "videos", "samples", "faces"
TRACKS_FOLDER, CHIPS_FOLDER = "tracks", "chips"
GALLERY_FOLDER, LABELS_FOLDER, FORGOTTEN_FOLDER = "gallery", "labels", "forgotten"

OF_A_SPACE = (FACES_FOLDER, TRACKS_FOLDER)
PARTED = (SAMPLES_FOLDER, FACES_FOLDER, TRACKS_FOLDER, CHIPS_FOLDER)
"""The tables that a run has a part of."""

_PART = re.compile(
    r"(?P<table>videos|samples|faces|tracks|chips)/(?:space=(?P<space>[^/]+)/)?"
    r"video_id=(?P<video_id>[^/]+)/part-(?P<run>[^/]+?)(?:-(?P<generation>[0-9a-f]{8}))?\.parquet"
)

_EXEMPLAR = re.compile(r"gallery/space=[^/]+/exemplar-[^/]+\.parquet")
_LABEL = re.compile(r"labels/label-[^/]+\.parquet")
_TOMBSTONE = re.compile(r"forgotten/video_id=[^/]+/tombstone-[^/]+\.parquet")


@dataclass(frozen=True)
class Part:
    """What a part's name tells.

    Attributes
    ----------
    space
        Empty for the tables that are of none.
    generation
        Empty for ``videos``, and for what schema version 1 wrote.
    """

    table: str
    space: str
    video_id: str
    run: str
    generation: str

    @property
    def name(self) -> str:
        """Where it lies in the catalog."""
        space = f"space={self.space}/" if self.table in OF_A_SPACE else ""
        tail = f"-{self.generation}" if self.generation else ""
        return f"{self.table}/{space}video_id={self.video_id}/part-{self.run}{tail}.parquet"


def part_of(table: str, video: dict[str, Any]) -> str:
    """The name of a run's part; ``video`` is its ``videos`` row."""
    generation = "" if table == VIDEOS_FOLDER else video.get("generation") or ""
    space = video["space"] if table in OF_A_SPACE else ""
    return Part(table, space, video["video_id"], video["run"], generation).name


def required_parts(video: dict[str, Any]) -> list[str]:
    """The names of the parts that a run must have; ``video`` is its ``videos`` row."""
    if not video["n_samples"]:
        return []  # a failed video has none
    with_chips = bool(json.loads(video["settings"]).get("chips"))
    tables = (SAMPLES_FOLDER, FACES_FOLDER, TRACKS_FOLDER) + (CHIPS_FOLDER,) * with_chips
    return [part_of(table, video) for table in tables]


def parse_part(name: str) -> Part | None:
    """What a file's name tells, if it is a part's."""
    told = _PART.fullmatch(name)
    if told is None:
        return None
    part = Part(**{key: value or "" for key, value in told.groupdict().items()})
    if part.table == VIDEOS_FOLDER and part.generation:  # no generation: its run is so called
        part = replace(part, run=f"{part.run}-{part.generation}", generation="")
    return part if part.name == name else None


def video_row(video_id: str, run: str) -> str:
    """The name of a run's commit record."""
    return Part(VIDEOS_FOLDER, "", video_id, run, "").name


def exemplar_file(exemplar_id: str, space: str) -> str:
    """The name of an exemplar's file."""
    return f"{GALLERY_FOLDER}/space={space}/exemplar-{exemplar_id}.parquet"


def is_exemplar(name: str) -> bool:
    """Whether a file's name is an exemplar's."""
    return _EXEMPLAR.fullmatch(name) is not None


def label_file(name: str) -> str:
    """The name of a file of labels that were given at once."""
    return f"{LABELS_FOLDER}/label-{name}.parquet"


def is_label(name: str) -> bool:
    """Whether a file's name is that of labels."""
    return _LABEL.fullmatch(name) is not None


def is_tombstone(name: str) -> bool:
    """Whether a file's name is that of a note of what must not come back."""
    return _TOMBSTONE.fullmatch(name) is not None
