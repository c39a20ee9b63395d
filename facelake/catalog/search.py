"""Where a face appears, and which videos show the same footage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facelake.catalog.door import Door
from facelake.progress import count_bar
from facelake.query import choose_space
from facelake.query.copies import find_copies
from facelake.query.search import SearchBy, choose_least, search_faces
from facelake.results.search import Copies, Search
from facelake.schema import Device


class Searching(Door):
    """What looks for a face, or for footage, over the whole catalog."""

    def search(
        self,
        query: str | Path | None = None,
        *,
        identity: str | None = None,
        min_score: float | None = None,
        top: int | None = None,
        other_videos: bool = False,
        by: SearchBy = "track",
        face_number: int | None = None,
        space: str | None = None,
        pack: str | Path | None = None,
        device: Device = "auto",
    ) -> Search:
        """Where a face appears, over the whole catalog: each appearance a row, by score.

        Every face is compared, exactly. One that is like several queries counts for the one that
        it is most like.

        Parameters
        ----------
        query
            A ``face_id``; a video's id, path or file name, for everybody in it; this with ``@`` and
            seconds, ``news.mp4@12.4``, for the faces at that instant; or a photo on disk.
        identity
            An enrolled person instead.
        min_score
            Lowest score that counts, in [−1, 1]; ``None`` is the threshold that the catalog keeps,
            else 0.30.
        top
            At most so many rows; ``None`` is all.
        other_videos
            Leave out the query's own video, and the same footage in other videos.
        by
            ``track`` gives an appearance a row, ``face`` every single face.
        face_number
            Of a photo with several faces only this one; the largest is 1.
        space
            Whose embeddings to compare; ``None`` is the space of the videos.
        pack, device
            What looks at a photo; ``None`` is the pack of the videos.

        Raises
        ------
        CatalogError
            The query names nothing, or several videos; or nothing is ingested yet.
        GalleryError
            The photo shows no face, or nobody of this name is enrolled.
        ValueError
            Neither a query nor an identity is given, or both.
        """
        from facelake.search_photo import find_queries

        lake = self._lake()
        space = choose_space(lake, space, for_gallery=False)
        least, note = choose_least(lake, space, min_score)
        asked = find_queries(
            lake,
            query,
            space,
            identity=identity,
            face_number=face_number,
            pack=pack,
            device=device,
        )
        table = search_faces(
            lake, asked, min_score=least, by=by, top=top, other_videos=other_videos
        )
        names = tuple(dict.fromkeys(asked["identity"].to_pylist()))
        return Search(table, space, names, least, note)

    def copies(
        self,
        videos: str | Sequence[str] | None = None,
        *,
        space: str | None = None,
        progress: bool = True,
    ) -> Copies:
        """Which videos show the same footage: re-encoded, scaled, cropped or trimmed copies.

        Told from the faces and their times alone; what shows no face cannot be compared.

        Parameters
        ----------
        videos
            Ids, paths or file names: only what these share with any other; ``None`` is all.
        space
            Whose embeddings to compare; ``None`` is the space of the videos.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        CatalogError
            A name fits no video, or several.
        """
        lake = self._lake()
        space = choose_space(lake, space, for_gallery=False)
        names = [videos] if isinstance(videos, str) else videos
        with count_bar("pairs", show=progress) as update:
            return Copies(find_copies(lake, space, videos=names, progress=update), space)
