"""Who appears, named or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from facelake.lake import Lake
from facelake.query.name_people import (
    enrol_person,
    find_person,
    merge_people,
    name_person,
    split_person,
)
from facelake.query.people import FoundPeople, strangers
from facelake.results.answer import Answer
from facelake.results.gallery import Gallery
from facelake.words import clock, counted


@dataclass(frozen=True, repr=False)
class People(Answer):
    """Everybody who appears in a catalog, longest seen first.

    `name`, `merge`, `split` and `enrol` write into the catalog; these tables stay as they are: ask
    the catalog again to see what has become of them.
    """

    _lake: Lake
    _found: FoundPeople

    @property
    def table(self) -> pa.Table:
        """Rows of `schema.PEOPLE`."""
        return self._found.people

    @property
    def tracks(self) -> pa.Table:
        """Who each track is of: rows of `schema.PEOPLE_TRACKS`."""
        return self._found.tracks

    @property
    def conflicts(self) -> pa.Table:
        """What labels say that does not go together: rows of `schema.PEOPLE_CONFLICTS`."""
        return self._found.conflicts

    @property
    def space(self) -> str:
        """The embeddings' space."""
        return self._found.space

    @property
    def threshold(self) -> float:
        """Lowest score at which tracks were joined."""
        return self._found.threshold

    @property
    def n_left_out(self) -> int:
        """Faces in no track of the run that counts, of which nothing is told here."""
        return self._found.n_left_out

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        note = f" ({self._found.note})" if self._found.note else ""
        at = f"at threshold {self.threshold:g}{note}"
        left = f"; {counted(self.n_left_out, 'face')} without a track" if self.n_left_out else ""
        if not len(self):
            return f"nobody {at}{left}"
        people = "1 person" if len(self) == 1 else f"{len(self):,} people"
        n_named = len(self.table) - self.table["name"].null_count
        seconds = pc.sum(self.table["seconds"]).as_py()
        tracks = counted(len(self.tracks), "track")
        wrong = f"; {counted(len(self.conflicts), 'conflict')}" if len(self.conflicts) else ""
        return f"{people} ({n_named} named) in {tracks}, {clock(seconds)} in all, {at}{left}{wrong}"

    def strangers(self) -> People:
        """Those who have no name and are like nobody who is enrolled, by the threshold."""
        return replace(self, _found=strangers(self._found))

    def person(self, person: str) -> dict[str, Any]:
        """The row of one person: by id, its first 4 digits or more, or a name.

        Raises
        ------
        CatalogError
            Nobody is meant, or several could be.
        """
        return find_person(self._found, person)

    def tracks_of(self, person: str) -> pa.Table:
        """The tracks of one person, named as for `person`.

        Raises
        ------
        CatalogError
            Nobody is meant, or several could be.
        """
        person_id = self.person(person)["person_id"]
        return self.tracks.filter(pc.field("person_id") == person_id)

    def name(
        self,
        person: str,
        name: str | None,
        *,
        evidence: str | None = None,
        author: str | None = None,
    ) -> pa.Table:
        """Say who somebody is: their tracks' best faces are labelled; gives the labels.

        Parameters
        ----------
        person
            An id, its first digits, or the name they had.
        name
            ``None`` takes back whatever was said of their faces.
        evidence, author
            Why, and who says so, for people to read.

        Raises
        ------
        CatalogError
            Nobody is meant, or several could be.
        ValueError
            The name is blank or begins with ``#``.
        """
        return name_person(self._lake, self._found, person, name, evidence=evidence, author=author)

    def merge(
        self,
        *people: str,
        name: str | None = None,
        evidence: str | None = None,
        author: str | None = None,
    ) -> pa.Table:
        """Say that several people are one; gives the labels.

        Parameters
        ----------
        people
            Two or more, each named as for `person`.
        name
            Who it is; ``None`` is the name that one of them has, or none.
        evidence, author
            Why, and who says so, for people to read.

        Raises
        ------
        CatalogError
            Somebody is not found, or they have several names and none is given.
        ValueError
            Fewer than two people are named.
        """
        return merge_people(self._lake, self._found, people, name, evidence=evidence, author=author)

    def split(
        self,
        person: str,
        faces: Sequence[str],
        *,
        name: str | None = None,
        evidence: str | None = None,
        author: str | None = None,
    ) -> pa.Table:
        """Say that some tracks of a person are somebody else's; gives the labels.

        Parameters
        ----------
        faces
            Any faces of these tracks, by ``face_id``; `tracks_of` names the best of each.
        name
            Who that is; ``None`` where nobody knows.
        evidence, author
            Why, and who says so, for people to read.

        Raises
        ------
        CatalogError
            Nobody is meant, or a face is in no track of theirs.
        ValueError
            All their tracks are named, or none, or the new name is the old one.
        """
        return split_person(
            self._lake, self._found, person, faces, name, evidence=evidence, author=author
        )

    def enrol(self, person: str, *, identity: str | None = None) -> Gallery:
        """Put somebody into the gallery by their best faces; gives the whole gallery.

        Parameters
        ----------
        identity
            Who they are enrolled as; ``None`` is their name.

        Raises
        ------
        CatalogError
            Nobody is meant, or several could be.
        ValueError
            They have no name and none is given.
        """
        outcomes = enrol_person(self._lake, self._found, person, identity)
        return Gallery(self._lake.exemplars(self.space), outcomes)
