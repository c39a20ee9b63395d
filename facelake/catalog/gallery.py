"""Who is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facelake.catalog.door import Door
from facelake.progress import count_bar
from facelake.query import choose_space
from facelake.query.enrol_faces import (
    add_negative_faces,
    enrol_lake_faces,
    remove_exemplars,
    veto_exemplars,
)
from facelake.query.grow import choose_growth_rules, grow_gallery
from facelake.results import Gallery, GalleryGrowth
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
            Drop the anchors and grown exemplars that these people had before.
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
        lake = self._lake()
        return Gallery(lake.exemplars(told.space), told.outcomes, told.passed_over, lake)

    def enrol_faces(
        self,
        identity: str,
        *,
        faces: Sequence[str] = (),
        tracks: Sequence[tuple[str, int]] = (),
        space: str | None = None,
    ) -> Gallery:
        """Say who faces of the catalog are; gives the whole gallery. No photo or model is needed.

        Parameters
        ----------
        identity
            Their name.
        faces
            Faces by ``face_id``; of one without an embedding, the face that stands for it.
        tracks
            A video's id, path or file name, and the number of a track: of each its best faces that
            differ from each other.
        space
            Whose embeddings; ``None`` is the space of the videos.

        Raises
        ------
        CatalogError
            There is no such face, video or track, or none of it is embedded.
        ValueError
            The identity is blank, or neither a face nor a track is named.
        """
        lake = self._lake()
        space = choose_space(lake, space, for_gallery=False)
        told = enrol_lake_faces(lake, identity, space=space, face_ids=faces, tracks=tracks)
        return Gallery(lake.exemplars(space), told, {}, lake)

    def add_negative(
        self,
        identity: str,
        *,
        faces: Sequence[str] = (),
        photos: str | Path | None = None,
        space: str | None = None,
    ) -> Gallery:
        """Say that faces are *not* a person, however alike; gives the whole gallery.

        From then on a face that is at least as much like one of these as like any exemplar of the
        person is not this person, and is held against the others. Nobody's score ever rises by it.

        Parameters
        ----------
        identity
            Who they are not; must be enrolled.
        faces
            Faces of the catalog by ``face_id``.
        photos
            Photos of a look-alike: a folder, or one photo.
        space
            Whose embeddings, of faces; ``None`` is the space of the videos.

        Raises
        ------
        GalleryError
            Nobody of this name is enrolled, or no photo is usable.
        CatalogError
            There is no such face.
        ValueError
            Neither faces nor photos are named, or both.
        """
        lake = self._lake()
        if bool(faces) == (photos is not None):
            raise ValueError("either faces or photos must be named, and not both")
        if photos is not None:
            from facelake.enrol import add_negative_photos

            told = add_negative_photos(self.path, photos, identity)
            return Gallery(lake.exemplars(told.space), told.outcomes, told.passed_over, lake)
        space = choose_space(lake, space, for_gallery=False)
        outcomes = add_negative_faces(lake, identity, space=space, face_ids=faces)
        return Gallery(lake.exemplars(space), outcomes, {}, lake)

    def grow_gallery(
        self,
        identity: str | None = None,
        *,
        add_threshold: float | None = None,
        min_margin: float | None = None,
        min_quality: float | None = None,
        max_per_video: int | None = None,
        max_per_identity: int | None = None,
        space: str | None = None,
        dry_run: bool = False,
    ) -> GalleryGrowth:
        """Add faces of the archive to the gallery that are surely its people and say more of them.

        A face must be like an anchor, what the user enrolled: what grew before has no say, so a
        gallery cannot wander off. Growing again adds nothing new.

        Parameters
        ----------
        identity
            Only this one; ``None`` is everybody.
        add_threshold
            Lowest score with an anchor, in [−1, 1]; ``None`` is 0.20 above the threshold that the
            catalog keeps: a wrong answer is one row, a wrong exemplar brings in all its likenesses.
        min_margin
            Least score above that with anybody else; ``None`` is 0.15.
        min_quality
            Lowest quality of the face, in [0, 1]; ``None`` is 0.5.
        max_per_video, max_per_identity
            Most of one video, 4, and in all, 20.
        space
            Whose embeddings; ``None`` is that of both the videos and the gallery.
        dry_run
            Change nothing.

        Raises
        ------
        GalleryError
            Nobody is enrolled, or not this one.
        CatalogError
            No ``add_threshold`` is given, and the catalog keeps no threshold.
        """
        lake = self._lake()
        space = choose_space(lake, space)
        rules = choose_growth_rules(
            lake,
            space,
            add_threshold,
            min_margin=min_margin,
            min_quality=min_quality,
            max_per_video=max_per_video,
            max_per_identity=max_per_identity,
        )
        grown = grow_gallery(lake, rules, space=space, identity=identity, dry_run=dry_run)
        return GalleryGrowth.of(grown, dry_run=dry_run)

    def veto(self, *exemplar_ids: str, space: str | None = None) -> Gallery:
        """Let exemplars take part no more; gives the whole gallery.

        A vetoed one is not compared, and neither it nor faces nearly equal to it are grown again.

        Raises
        ------
        GalleryError
            There is no such exemplar.
        """
        lake = self._lake()
        space = choose_space(lake, space)
        veto_exemplars(lake, exemplar_ids, space=space)
        return Gallery(lake.exemplars(space), _lake=lake)

    def remove_exemplars(self, *exemplar_ids: str, space: str | None = None) -> Gallery:
        """Take exemplars out of the gallery, of whatever role; gives what is left.

        Raises
        ------
        GalleryError
            There is no such exemplar.
        """
        lake = self._lake()
        space = choose_space(lake, space)
        remove_exemplars(lake, exemplar_ids, space=space)
        return Gallery(lake.exemplars(space), _lake=lake)

    def gallery(self, space: str | None = None) -> Gallery:
        """Everybody who is enrolled.

        Parameters
        ----------
        space
            Whose embeddings; ``None`` is the space that the videos and the gallery have in common.
        """
        lake = self._lake()
        return Gallery(lake.exemplars(choose_space(lake, space)), _lake=lake)
