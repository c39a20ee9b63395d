"""What the client and the workers tell each other: small, picklable, no frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b

from facelake.faces import Pack
from facelake.schema import Device, IngestSettings, VideoFacts, VideoIndex

# Raised when the same settings and models would give other rows: a run of before is then another
# one. New columns and other files raise the schema's version, and nobody looks at a video again.
_MEASURES = 1


@dataclass(frozen=True)
class Task:
    """What is the same for every stretch of an ingest.

    Attributes
    ----------
    root
        The catalog's folder, absolute, as the workers see it, or its URL.
    session
        Name of this very ingest, to tell its own failed attempts from an interrupted one's.
    stall_s
        A worker that makes no progress for this long is killed, in seconds.
    """

    root: str
    session: str
    settings: IngestSettings
    pack: Pack
    device: Device
    stall_s: float

    @property
    def engine(self) -> str:
        """Name of the plugin that holds the sessions for this task.

        It names all that the sessions depend on: another ingest may share the workers.
        """
        told = (self.settings.to_json(), self.pack.detector_id, self.pack.space, self.device)
        return f"facelake-{blake2b(repr(told).encode(), digest_size=8).hexdigest()}"

    def run_of(self, content_id: str) -> str:
        """Name of the run that looks at these bytes in this way, 12 hex digits."""
        told = (
            _MEASURES,
            content_id,
            self.settings.to_json(),
            self.pack.detector_id,
            self.pack.space,
        )
        return blake2b(repr(told).encode(), digest_size=6).hexdigest()

    def answers(self, content_id: str) -> frozenset[str]:
        """Names of the runs that hold all that this ingest would see; one with chips holds more."""
        with_chips = replace(self, settings=replace(self.settings, chips=True))
        return frozenset((self.run_of(content_id), with_chips.run_of(content_id)))


@dataclass(frozen=True)
class SourceFile:
    """A file to look at: its path, and size and mtime as they were when the ingest began."""

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Indexed:
    """A file's content id, and its index or why there is none."""

    file: SourceFile
    content_id: str
    index: VideoIndex | None
    error: str = ""


@dataclass(frozen=True)
class Video:
    """A video to look at: its name, the files with its bytes, and its facts."""

    video_id: str
    content_id: str
    files: tuple[SourceFile, ...]
    facts: VideoFacts


@dataclass(frozen=True)
class StretchDone:
    """What a stretch came to.

    Attributes
    ----------
    error
        Why it gave nothing; empty when it did.
    lake_s
        Seconds that staging it took.
    """

    video_id: str
    number: int
    n_samples: int
    n_faces: int
    error: str = ""
    lake_s: float = 0.0


@dataclass(frozen=True)
class Published:
    """A video that is in the catalog; ``lake_s`` are the seconds that putting it there took."""

    video_id: str
    status: str
    error: str
    n_samples: int
    n_faces: int
    lake_s: float = 0.0
