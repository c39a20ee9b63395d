"""Videos → faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facelake.catalog.door import Door
from facelake.progress import count_bar, ingest_bar
from facelake.schema import DecoderName, Device, EmbedName, IngestSettings

if TYPE_CHECKING:
    from facelake.ingest import IngestReport
    from facelake.reembed import ReembedReport


class Building(Door):
    """What puts videos into a catalog."""

    def ingest(
        self,
        *sources: str | Path,
        sample_fps: float = 5.0,
        every_frame: bool = False,
        decoder: DecoderName = "auto",
        det_size: int = 640,
        det_threshold: float = 0.5,
        embed: EmbedName = "tracks",
        refine: bool = True,
        chips: bool = False,
        pack: str | Path = "buffalo_sc",
        device: Device = "auto",
        workers: int | None = None,
        scheduler: str | None = None,
        retry_failed: bool = False,
        progress: bool = True,
    ) -> IngestReport:
        """Look at videos once; what the catalog has already is left alone.

        Interrupt it and call it again: finished videos are not touched, the rest is done.

        Parameters
        ----------
        sources
            Files, folders and globs.
        sample_fps
            Frames looked at a second, at most.
        every_frame
            Look at every frame instead.
        decoder
            ``auto`` takes decord where a preflight proves it safe and PyAV elsewhere.
        det_size
            Longer side of the detector's input in pixels, a multiple of 32.
        det_threshold
            Lowest detection score kept, in (0, 1).
        embed
            ``tracks`` embeds those faces of a track that say something new; ``all`` every one.
        refine
            Look at more frames where a track starts or ends, until both are known to the frame.
        chips
            Keep the picture of every embedded face, 112 × 112 pixels, for `reembed` and
            `thumbnail`. A video that the catalog knows without chips is looked at again.
        pack
            Name or folder of a model pack.
        device
            ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
        workers
            Worker processes; ``None`` is one per core.
        scheduler
            Address of a Dask scheduler to use instead of own workers.
        retry_failed
            Look again at videos that failed before.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        SourceError, PackError, EngineError, CatalogError
            Before any video is touched; a broken video is reported, not raised.
        """
        from facelake.ingest import ingest_videos

        settings = IngestSettings(
            sample_fps=None if every_frame else sample_fps,
            decoder=decoder,
            det_size=det_size,
            det_threshold=det_threshold,
            embed=embed,
            refine=refine,
            chips=chips,
        )
        with ingest_bar(show=progress) as update:
            return ingest_videos(
                self.path,
                sources,
                settings,
                pack=pack,
                device=device,
                workers=workers,
                scheduler=scheduler,
                retry_failed=retry_failed,
                progress=update,
            )

    def reembed(
        self, pack: str | Path, *, device: Device = "auto", progress: bool = True
    ) -> ReembedReport:
        """Embed the kept chips with another model, beside what is there; no video is opened.

        Parameters
        ----------
        pack
            Name or folder of a model pack.
        device
            ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        CatalogError
            No video was ingested with ``chips=True``.
        PackError, EngineError
            The pack is not to be had, or does not run here.
        """
        from facelake.reembed import reembed_videos

        with count_bar("faces", show=progress) as update:
            return reembed_videos(self.path, pack, device=device, progress=update)
