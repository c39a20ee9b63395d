"""What share of the faces was missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from facelake.audit import EMPTY_INDEED, MISSED, STRATA
from facelake.recheck import AuditTables
from facelake.results.answer import as_html
from facelake.words import clock, counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Audit:
    """What share of the faces was missed, by looking again at random instants.

    Attributes
    ----------
    tables
        See `facelake.recheck.AuditTables`.
    space
        Whose ingests were looked at again.
    det_size, det_threshold
        Of the strongest look; a threshold of ``None`` is that of each video's ingest.
    """

    tables: AuditTables
    space: str
    det_size: int
    det_threshold: float | None

    @property
    def table(self) -> pa.Table:
        """Every face that the strongest look saw: rows of `schema.AUDIT_FACES`."""
        return self.tables.faces

    @property
    def instants(self) -> pa.Table:
        """Every instant that was drawn: rows of `schema.AUDIT_INSTANTS`."""
        return self.tables.instants

    @property
    def summary(self) -> pa.Table:
        """The shares with their intervals: rows of `schema.AUDIT_SUMMARY`."""
        return self.tables.summary

    def __len__(self) -> int:
        return len(self.table)

    def to_pandas(self) -> pd.DataFrame:
        """The faces as a pandas DataFrame."""
        return self.table.to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """The shares, times and what was left out; nothing that JSON cannot hold."""
        left_out = [
            {"path": path, "reason": reason, "duration_s": duration_s}
            for path, reason, duration_s in self.tables.left_out
        ]
        return {
            "space": self.space,
            "det_size": self.det_size,
            "det_threshold": self.det_threshold,
            "seconds": dict(zip(STRATA, self.tables.seconds, strict=True)),
            "summary": self.summary.to_pylist(),
            "left_out": left_out,
        }

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return as_html(repr(self))

    def _lines(self) -> Iterator[str]:
        missed, *parts = self._rows(MISSED)
        yield (
            f"{_share(missed)} of the faces were missed: {missed['n_counted']} of "
            f"{counted(missed['n_total'], 'face')} seen by the strongest look at "
            f"{counted(missed['n_instants'], 'instant')} of {clock(sum(self.tables.seconds))}"
            if missed["n_total"]
            else f"no face seen by the strongest look at {counted(missed['n_instants'], 'instant')}"
        )
        for row in parts:
            if row["n_total"]:
                faces = f"{row['n_counted']} of {row['n_total']}"
                yield f"  {row['where']:<15} {_share(row)}  ({faces})"
        (empty,) = self._rows(EMPTY_INDEED)
        if empty["n_total"]:
            yield (
                f"of the examined instants without a face {_share(empty)} are truly empty "
                f"({empty['n_counted']} of {empty['n_total']})"
            )
        yield from self._doubts()

    def _doubts(self) -> Iterator[str]:
        n_known = pc.sum(self.instants["n_known"]).as_py() or 0
        n_not_again = pc.sum(self.instants["n_unconfirmed"]).as_py() or 0
        if n_not_again:
            yield f"{n_not_again} of {n_known} faces of the catalog were not seen again"
        n_lost = pc.sum(pc.equal(self.instants["status"], "undecodable")).as_py() or 0
        if n_lost:
            yield f"{counted(n_lost, 'instant')} could not be decoded and tell nothing"
        gone_s = sum(seconds or 0.0 for _, _, seconds in self.tables.left_out)
        for path, reason, _ in self.tables.left_out[:3]:
            yield f"left out: {path}: {reason}"
        if self.tables.left_out:
            share = gone_s / (gone_s + sum(self.tables.seconds))
            videos = counted(len(self.tables.left_out), "video")
            yield f"{videos} left out, {share:.0%} of the time that is known"

    def _rows(self, what: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.summary.filter(pc.field("what") == what).to_pylist()
        return rows


def _share(row: dict[str, Any]) -> str:
    return f"{row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
