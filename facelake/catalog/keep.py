"""Keeping a catalog: is it whole, what is in it, and what must go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facelake.catalog.door import Door
from facelake.lake import VerifyReport, verify_catalog
from facelake.lake.forget.retention import describe_catalog, description
from facelake.lake.labels import read_labels
from facelake.lake.thresholds import read_threshold
from facelake.progress import count_bar

if TYPE_CHECKING:
    from facelake.forget import ForgetReport


class Keeping(Door):
    """What keeps a catalog, and takes things out of it."""

    def verify(self, *, mend: bool = False, progress: bool = True) -> VerifyReport:
        """Read every byte of the catalog, and tell what is not as it was written.

        Parameters
        ----------
        mend
            Remove what no reader reads, and note damaged videos, so that the same ingest looks at
            them again; see `facelake.lake.verify_catalog`.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        CatalogError
            There is no catalog, or a newer facelake wrote it.
        """
        with count_bar("MB", show=progress) as update:
            return verify_catalog(
                self.path,
                mend=mend,
                progress=lambda done, n_bytes: update(done // 1_000_000, n_bytes // 1_000_000),
            )

    def info(self) -> dict[str, Any]:
        """What is in the catalog, in numbers and names."""
        lake = self._lake()
        videos = lake.videos().to_pylist()
        statuses = Counter(video["status"] for video in videos)
        return {
            "catalog": str(self.path),
            "n_videos": len(videos),
            **{f"n_{status}": statuses[status] for status in ("ok", "partial", "failed")},
            "hours": sum(video["duration_s"] or 0.0 for video in videos) / 3600,
            "n_samples": sum(video["n_samples"] for video in videos),
            "n_faces": sum(video["n_faces"] for video in videos),
            "n_tracks": sum(video["n_tracks"] for video in videos),
            "n_refined": sum(video["n_refined"] or 0 for video in videos),
            "n_carried": sum(video["n_carried"] or 0 for video in videos),
            "n_embedded": sum(
                video["n_faces"] if video["n_embedded"] is None else video["n_embedded"]
                for video in videos
            ),
            "spaces": lake.spaces,
            "thresholds": {
                space: stored.to_dict()
                for space in sorted(lake.spaces)
                if (stored := read_threshold(lake, space)) is not None
            },
            "n_labels": len(read_labels(lake)),
            "enrolled": {
                space: dict(Counter(lake.exemplars(space)["identity"].to_pylist()))
                for space in sorted(lake.spaces)
            },
            "providers": _count(videos, "provider"),
            "decoders": _count(videos, "decoder"),
            "engine_notes": _count(videos, "engine_note"),
            "bytes": lake.size_bytes(),
            **description(lake),
            "troubles": [
                {name: video[name] for name in ("paths", "status", "error")}
                for video in videos
                if video["status"] != "ok"
            ],
        }

    def forget(
        self,
        *,
        identity: str | None = None,
        threshold: float = 0.30,
        faces: Sequence[str] = (),
        video: str | None = None,
        faces_only: bool = False,
        outputs: Sequence[str | Path] = (),
        dry_run: bool = False,
        confirm: Callable[[ForgetReport], bool] = lambda _: True,
    ) -> ForgetReport:
        """Take a person, faces or a video out of the catalog for good.

        Every file that holds them is written anew or removed, and a tombstone without embedding
        or name keeps them out of later ingests. Call it again where it was interrupted.

        Parameters
        ----------
        identity
            Somebody who is enrolled: their photos' faces, and every face that is most like them.
        threshold
            Lowest score of such a face.
        faces
            Faces by ``face_id``.
        video
            A video's id, path or file name.
        faces_only
            Keep to the faces; else the whole track of each goes, since it shows the same person.
        outputs
            Folders in which to remove the clips that were cut of them.
        dry_run
            Say what would go and touch nothing.
        confirm
            Called with what would go; when it says no, nothing is touched.

        Raises
        ------
        ValueError
            Not exactly one of ``identity``, ``faces`` and ``video`` is given.
        GalleryError, CatalogError
            There is no such person, face or video, or somebody is writing into the catalog.
        """
        from facelake.forget import Request, carry_out, plan_forgetting, report_plan

        request = Request(identity, threshold, tuple(faces), video, faces_only, tuple(outputs))
        lake = self._lake()
        plan = plan_forgetting(lake, request)
        planned = report_plan(plan)
        if dry_run or not confirm(planned):
            return planned
        return carry_out(lake, plan)

    def describe(
        self,
        *,
        purpose: str | None = None,
        retain_until: date | str | None = None,
        contact: str | None = None,
    ) -> dict[str, Any]:
        """Note what the catalog is for, until when it may be kept, whom to ask; gives all of it.

        What is ``None`` stays as it is; an empty text takes a note away.

        Parameters
        ----------
        retain_until
            The last day, in UTC, such as ``2027-12-31``: `purge` removes the catalog after it.
        """
        lake = self._lake()
        if (purpose, retain_until, contact) != (None, None, None):
            describe_catalog(lake, purpose=purpose, retain_until=retain_until, contact=contact)
        return description(lake)

    def purge(self) -> None:
        """Remove the whole catalog, when its last day has passed.

        Raises
        ------
        CatalogError
            It has no last day, that has not passed, or something cannot be removed.
        """
        from facelake.forget import purge_catalog

        purge_catalog(self._lake())


def _count(rows: list[dict[str, Any]], name: str) -> dict[str, int]:
    return dict(Counter(row[name] for row in rows if row[name] is not None))
