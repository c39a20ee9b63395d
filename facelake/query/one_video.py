"""One video of a catalog, and how its faces compare with the gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.gallery import ANCHOR, compared, of_role
from facelake.gallery.members import unit_vectors
from facelake.lake import Lake
from facelake.match import score_matrix
from facelake.query.match import match_gallery
from facelake.query.settings import SpanSettings
from facelake.query.spans import find_all_spans
from facelake.schema import SCORES, unpack_embeddings
from facelake.tracks import stand_in_rows


@dataclass(frozen=True)
class OneVideo:
    """What a catalog knows of one video.

    Attributes
    ----------
    row
        Its ``videos`` row.
    space
        Whose embeddings are compared.
    exemplars
        The whole gallery: rows of `schema.EXEMPLARS`, of every role.
    """

    lake: Lake
    row: dict[str, Any]
    space: str
    exemplars: pa.Table

    @property
    def video_id(self) -> str:
        """Its id."""
        return str(self.row["video_id"])

    @cached_property
    def samples(self) -> pa.Table:
        """The instants that were looked at and could be decoded."""
        samples = self.lake.samples(self.video_id, self.space)
        return samples.filter(pc.field("status") == "ok")

    @cached_property
    def faces(self) -> pa.Table:
        """Every face, in order of time, with its embedding where it has one of its own."""
        return self.lake.faces(self.video_id, self.space)

    @cached_property
    def stand_in(self) -> npt.NDArray[np.int64]:
        """The row of the face whose embedding stands for each; −1 where none does."""
        return stand_in_rows(self.faces)

    @cached_property
    def scores(self) -> pa.Table:
        """Who each face counts as: rows of `schema.SCORES`; none where nobody is enrolled."""
        if not len(compared(self.exemplars)):
            return SCORES.empty_table()
        return match_gallery(self.lake, self.exemplars, spread=self._alone)

    def score_exemplars(self, row: int) -> pa.Table | None:
        """A face beside every exemplar of every role, best first: their columns and ``score``.

        ``None`` where nothing stands for the face.
        """
        stands = int(self.stand_in[row])
        if stands < 0:
            return None
        vector = unpack_embeddings(self.faces["embedding"].slice(stands, 1))
        return score_exemplars(vector, self.exemplars)

    def spans(self, settings: SpanSettings, identity: str) -> pa.Table:
        """When an identity is on screen: rows of `schema.SPANS`."""
        only = (identity,)
        return find_all_spans(self.lake, self.scores, self.space, settings, identities=only)

    def span_at(
        self, settings: SpanSettings, identity: str, time_s: float
    ) -> dict[str, Any] | None:
        """The span that holds an instant; ``None`` where none does."""
        spans = self.spans(settings, identity)
        inside = pc.and_(
            pc.less_equal(spans["start_s"], time_s), pc.greater(spans["end_s"], time_s)
        )
        found: list[dict[str, Any]] = spans.filter(inside).to_pylist()
        return found[0] if found else None

    def _alone(
        self,
        match: Callable[[list[dict[str, Any]]], pa.Table],
        videos: list[list[dict[str, Any]]],
    ) -> Iterable[pa.Table]:
        return [match(runs) for runs in videos if runs[0]["video_id"] == self.video_id]


def score_exemplars(vector: npt.NDArray[np.floating[Any]], exemplars: pa.Table) -> pa.Table:
    """One embedding, shape ``(1, dim)``, beside every exemplar: their columns and ``score``.

    Best first; the scores are those that a match would give each exemplar.
    """
    of_growth = ["score", "margin"]  # what a grown one scored when it was grown
    table = exemplars.drop_columns(["embedding", *of_growth])
    table = table.set_column(
        table.schema.get_field_index("role"), "role", pc.fill_null(table["role"], ANCHOR)
    )
    if not len(exemplars):
        return table.append_column("score", pa.array([], pa.float32()))
    n = len(exemplars)
    score = score_matrix(vector, unit_vectors(exemplars["embedding"]), np.arange(n), n_identities=n)
    # As the match takes equals: the first identity, then the first exemplar.
    order = np.argsort(-score[0], kind="stable")
    return table.append_column("score", pa.array(score[0])).take(pa.array(order))


def best_score(scored: pa.Table | None, *roles: str, identity: str | None = None) -> float | None:
    """The best score among exemplars of some roles, and of one identity where one is named."""
    if scored is None:
        return None
    rows = of_role(scored, *roles)
    if identity is not None:
        rows = rows.filter(pc.field("identity") == identity)
    best: float | None = pc.max(rows["score"]).as_py()
    return best
