"""Who appears, and who they are."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from facelake.catalog.door import Door
from facelake.lake.labels import read_labels
from facelake.query import choose_space
from facelake.query.name_people import LabelKind, label_face
from facelake.query.people import find_people
from facelake.results.gallery import Gallery
from facelake.results.people import People


class Naming(Door):
    """What finds people whom nobody enrolled, and says who they are."""

    def people(
        self, *, threshold: float | None = None, space: str | None = None, min_tracks: int = 1
    ) -> People:
        """Everybody who appears, whether or not anybody said who they are.

        The tracks of all videos are joined by their mean embeddings; two that share an instant are
        two people, and labels hold.

        Parameters
        ----------
        threshold
            Lowest score of two people that are taken for one, in [−1, 1]; ``None`` is 0.40, or the
            threshold that the catalog keeps where that is higher. Lower joins more.
        space
            Whose embeddings; ``None`` is the space of the videos.
        min_tracks
            Leave out people with fewer tracks; those that are named stay.

        Raises
        ------
        CatalogError
            Nothing is ingested yet, or there is no such space.
        ValueError
            The threshold is outside of [−1, 1], or ``min_tracks`` below 1.
        """
        lake = self._lake()
        found = find_people(lake, threshold=threshold, space=space, min_tracks=min_tracks)
        return People(lake, found)

    def name_person(
        self,
        person: str,
        name: str | None,
        *,
        threshold: float | None = None,
        space: str | None = None,
        evidence: str | None = None,
        author: str | None = None,
    ) -> pa.Table:
        """Say who somebody is; see `People.name`. ``threshold`` and ``space`` as for `people`."""
        people = self.people(threshold=threshold, space=space)
        return people.name(person, name, evidence=evidence, author=author)

    def merge_people(
        self,
        *people: str,
        name: str | None = None,
        threshold: float | None = None,
        space: str | None = None,
        evidence: str | None = None,
        author: str | None = None,
    ) -> pa.Table:
        """Say that several people are one; see `People.merge`."""
        found = self.people(threshold=threshold, space=space)
        return found.merge(*people, name=name, evidence=evidence, author=author)

    def split_person(
        self,
        person: str,
        faces: Sequence[str],
        *,
        name: str | None = None,
        threshold: float | None = None,
        space: str | None = None,
        evidence: str | None = None,
        author: str | None = None,
    ) -> pa.Table:
        """Say that some tracks of a person are somebody else's; see `People.split`."""
        found = self.people(threshold=threshold, space=space)
        return found.split(person, faces, name=name, evidence=evidence, author=author)

    def enrol_person(
        self,
        person: str,
        *,
        identity: str | None = None,
        threshold: float | None = None,
        space: str | None = None,
    ) -> Gallery:
        """Put somebody into the gallery by their best faces; see `People.enrol`."""
        return self.people(threshold=threshold, space=space).enrol(person, identity=identity)

    def label(
        self,
        face_id: str,
        name: str | None,
        *,
        kind: LabelKind = "is",
        space: str | None = None,
        evidence: str | None = None,
        author: str | None = None,
    ) -> pa.Table:
        """Say of one face who it is or is not; gives the label, a row of `schema.LABELS`.

        Parameters
        ----------
        name
            A name; ``None`` with the kind ``none``.
        kind
            ``is``; ``is_not``: somebody else; ``none`` takes back what was said of this face.
        space
            Where to look for the face; ``None`` is the space of the videos.
        evidence, author
            Why, and who says so, for people to read.

        Raises
        ------
        CatalogError
            There is no such face.
        ValueError
            There is no such kind, or the name is blank, missing, or given where none is wanted.
        """
        lake = self._lake()
        space = choose_space(lake, space, for_gallery=False)
        return label_face(lake, space, face_id, name, kind, evidence=evidence, author=author)

    def labels(self) -> pa.Table:
        """Everything that was said of faces, oldest first: rows of `schema.LABELS`."""
        return read_labels(self._lake())
