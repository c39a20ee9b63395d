"""Who is looked for."""

from __future__ import annotations

from pathlib import Path

from facelake.catalog.door import Door
from facelake.progress import count_bar
from facelake.query import choose_space
from facelake.results import Gallery
from facelake.schema import Device


class Enrolling(Door):
    """What says who is who."""

    def enrol(
        self,
        photos: str | Path,
        *,
        identity: str | None = None,
        pack: str | Path | None = None,
        device: Device = "auto",
        replace: bool = False,
        progress: bool = True,
    ) -> Gallery:
        """Put the faces of photos into the gallery; gives the whole gallery.

        Parameters
        ----------
        photos
            A folder with a folder per person or photos named after them, or one photo.
        identity
            Who all the photos are of, instead of what folders and files are called.
        pack
            Name or folder of a model pack; ``None`` is the one of the catalog's videos.
        device
            ``auto``, ``cpu`` or ``cuda``; never a silent fallback.
        replace
            Drop the photos that these people had before.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        GalleryError
            No photo is there, or none is usable.
        PackError
            The pack is not to be had, or is another one than the videos were ingested with.
        """
        from facelake.enrol import enrol_photos

        with count_bar("photos", show=progress) as update:
            told = enrol_photos(
                self.path,
                photos,
                identity=identity,
                pack=pack,
                device=device,
                replace=replace,
                progress=update,
            )
        return Gallery(self._lake().exemplars(told.space), told.outcomes, told.passed_over)

    def gallery(self, space: str | None = None) -> Gallery:
        """Everybody who is enrolled.

        Parameters
        ----------
        space
            Whose embeddings; ``None`` is the space that the videos and the gallery have in common.
        """
        lake = self._lake()
        return Gallery(lake.exemplars(choose_space(lake, space)))
