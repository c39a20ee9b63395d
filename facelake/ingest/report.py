"""How far an ingest is, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

from facelake.words import clock, counted


@dataclass
class Tally:
    """How far an ingest is.

    Attributes
    ----------
    n_files, n_files_done
        Files named, and those that are in the catalog or cannot be.
    n_samples, n_faces, video_s
        Instants looked at, faces found and seconds of video gone through so far, in this ingest.
    bytes_total, bytes_done
        Of the files to look at: what time is left by.
    elapsed_s
        Seconds since the workers were ready.
    """

    n_files: int = 0
    n_files_done: int = 0
    n_samples: int = 0
    n_faces: int = 0
    video_s: float = 0.0
    n_failed: int = 0
    bytes_total: int = 0
    bytes_done: float = 0.0
    elapsed_s: float = 0.0

    @property
    def pace(self) -> float:
        """Seconds of video gone through in a second."""
        return self.video_s / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left at this pace; ``None`` before anything is done."""
        if not self.bytes_done:
            return None
        return self.elapsed_s * max(0.0, self.bytes_total - self.bytes_done) / self.bytes_done


@dataclass(frozen=True)
class IngestReport:
    """What an ingest came to.

    Attributes
    ----------
    n_new, n_present, n_failed, n_partial
        Videos that were looked at now, that the catalog had already, and of both together those
        of which nothing or only a part could be read.
    n_samples, n_faces, video_s
        Instants looked at, faces found and seconds of video gone through now.
    troubles
        Path and reason of every failed or partial video, whether of now or of before.
    passed_over
        Files of folders that are no videos by their extension: extension → how many.
    start_s, work_s
        Seconds until the workers were ready, and from then on.
    first_row_s
        Seconds from the call until the first faces were written; ``None`` when nothing was to do.
    lake_s
        Worker seconds of staging and publishing: linking, writing, syncing to the disk.
    notes
        Why models ran slower than they could.
    forgotten
        Files of videos that were forgotten as a whole: they are not looked at again.
    """

    n_files: int
    n_new: int
    n_present: int
    n_failed: int
    n_partial: int
    n_samples: int
    n_faces: int
    video_s: float
    troubles: tuple[tuple[str, str, str], ...]
    passed_over: dict[str, int]
    start_s: float
    work_s: float
    first_row_s: float | None = None
    lake_s: float = 0.0
    notes: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()

    def __str__(self) -> str:
        pace = f", {self.video_s / self.work_s:.1f}× real time" if self.n_samples else ""
        lines = [
            f"{counted(self.n_new, 'video')} looked at, {self.n_present} already there"
            f"{_part(self.n_partial, 'partial')}{_part(self.n_failed, 'failed')}: "
            f"{clock(self.video_s)} of video, {self.n_samples:,} frames looked at, "
            f"{self.n_faces:,} faces in {self.work_s:.1f} s{pace} "
            f"(start-up {self.start_s:.1f} s)"
        ]
        lines += [f"  slower: {note}" for note in self.notes]
        lines += [f"  {status}: {path}: {reason}" for path, status, reason in self.troubles]
        lines += [
            f"  forgotten: {path}: not looked at again; to lift that, delete its tombstone in the "
            "catalog's folder forgotten/"
            for path in self.forgotten
        ]
        if self.passed_over:
            kinds = ", ".join(f"{n} × {suffix}" for suffix, n in sorted(self.passed_over.items()))
            lines.append(f"  passed over, no videos by their names: {kinds}")
        return "\n".join(lines)


def _part(count: int, word: str) -> str:
    return f", {count} {word}" if count else ""
