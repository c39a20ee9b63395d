"""Why a face counts as it does, why somebody is not found, and what was missed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facelake.catalog.door import Door
from facelake.progress import count_bar
from facelake.query import SpanSettings, choose_space, choose_threshold
from facelake.schema import Device

if TYPE_CHECKING:
    from facelake.results.audit import Audit
    from facelake.results.why import Explanation, WhyNot


class Explaining(Door):
    """What accounts for what was found, and for what was not."""

    def explain(
        self,
        face_id: str,
        identity: str | None = None,
        *,
        threshold: float | None = None,
        exit_threshold: float | None = None,
        min_hits: int = 1,
        miss_s: float | None = None,
        blind_s: float | None = None,
        bridge_s: float = 0.0,
        min_span_s: float = 0.0,
        video_id: str | None = None,
        space: str | None = None,
    ) -> Explanation:
        """Everything that is known of a face: where it is, how good, whom it is like and how much.

        Parameters
        ----------
        face_id
            Such as a span's ``best_face_id``.
        identity
            About whom; ``None`` is the one that the face counts as.
        threshold, exit_threshold, min_hits, miss_s, blind_s, bridge_s, min_span_s
            The rules of spans, as for `Scores.spans`. Without a threshold, given or stored, spans
            are left out.
        video_id
            Where the face is; ``None`` looks through all videos.
        space
            Whose embeddings; ``None`` is the space that the videos and the gallery have in common.

        Raises
        ------
        CatalogError
            The catalog has no such face.
        GalleryError
            The identity is not enrolled.
        ValueError
            Rules that cannot be.
        """
        from facelake.lake.thresholds import read_threshold
        from facelake.query.explain import explain_face
        from facelake.results.why import Explanation

        lake = self._lake()
        space = choose_space(lake, space)
        settings = None
        if threshold is not None or read_threshold(lake, space) is not None:
            chosen, note = choose_threshold(lake, space, threshold)
            settings = SpanSettings(
                threshold=chosen,
                exit_threshold=exit_threshold,
                min_hits=min_hits,
                miss_s=miss_s,
                blind_s=blind_s,
                bridge_s=bridge_s,
                min_span_s=min_span_s,
                threshold_note=note,
            )
        return Explanation(
            explain_face(
                lake, space, face_id, identity=identity, settings=settings, video_id=video_id
            )
        )

    def why_not(
        self,
        video: str | Path,
        time_s: float,
        identity: str,
        *,
        threshold: float | None = None,
        exit_threshold: float | None = None,
        min_hits: int = 1,
        miss_s: float | None = None,
        blind_s: float | None = None,
        bridge_s: float = 0.0,
        min_span_s: float = 0.0,
        look: bool = True,
        pack: str | Path | None = None,
        device: Device = "auto",
        space: str | None = None,
    ) -> WhyNot:
        """Why somebody is not found at an instant: the first reason that holds, with its numbers.

        Parameters
        ----------
        video
            Id, path or file name.
        time_s
            Presentation time in seconds. Where the frame shown then was not looked at, the nearest
            sample speaks for it, and the answer says so.
        identity
            Somebody who is enrolled.
        threshold, exit_threshold, min_hits, miss_s, blind_s, bridge_s, min_span_s
            The rules of spans, as for `Scores.spans`.
        look
            Where nothing was detected, or a face was not embedded, open the video and look again.
        pack
            Models to look with; ``None`` is those that the videos were ingested with.
        device
            ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
        space
            Whose embeddings; ``None`` is the space that the videos and the gallery have in common.

        Raises
        ------
        CatalogError
            Several videos have this name, or no threshold is given and none is stored.
        GalleryError
            The identity is not enrolled, or has no exemplar left.
        ValueError
            A time that is none, or rules that cannot be.
        """
        from facelake.query.why_not import find_reason
        from facelake.recheck import look_again
        from facelake.results.why import WhyNot

        lake = self._lake()
        space = choose_space(lake, space)
        chosen, note = choose_threshold(lake, space, threshold)
        settings = SpanSettings(
            threshold=chosen,
            exit_threshold=exit_threshold,
            min_hits=min_hits,
            miss_s=miss_s,
            blind_s=blind_s,
            bridge_s=bridge_s,
            min_span_s=min_span_s,
            threshold_note=note,
        )
        answer = find_reason(lake, space, str(video), time_s, identity, settings)
        second = look_again(lake, answer, pack=pack, device=device) if look else None
        return WhyNot(answer, second)

    def audit(
        self,
        n: int = 200,
        *,
        seed: int = 0,
        space: str | None = None,
        pack: str | Path | None = None,
        device: Device = "auto",
        det_size: int = 1280,
        det_threshold: float | None = None,
        progress: bool = True,
    ) -> Audit:
        """What share of the faces was missed: random instants are looked at again.

        The instants are drawn from the time that nobody looked at, from examined time without a
        face and from examined time with faces, and weighted so that the shares are of the whole
        archive's time. Each is looked at in three ways: as the ingest did, with a larger input, and
        that mirrored. Faces that were forgotten on request are left out.

        Parameters
        ----------
        n
            Instants to look at; 200 take a minute or two on two cores.
        seed
            The same gives the same instants.
        space
            Whose ingests; ``None`` is the space of the videos.
        pack
            Whose detector; ``None`` is the one that the videos were ingested with.
        device
            ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
        det_size
            Longer side of the larger input in pixels, a multiple of 32.
        det_threshold
            Lowest detection score of a face that counts; ``None`` is that of each video's ingest,
            and it is never below that.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        CatalogError
            No video can be looked at.
        PackError, EngineError
            The detector is not to be had, or does not run here.
        ValueError
            Too few instants, or settings that no detector has.
        """
        from facelake.recheck import audit_catalog
        from facelake.results.audit import Audit

        lake = self._lake()
        space = choose_space(lake, space, for_gallery=False)
        with count_bar("instants", show=progress) as update:
            tables = audit_catalog(
                lake,
                space,
                n=n,
                seed=seed,
                pack=pack,
                device=device,
                det_size=det_size,
                det_threshold=det_threshold,
                progress=update,
            )
        return Audit(tables, space, det_size, det_threshold)
