"""What spans are worth by a truth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from facelake.evaluate import VideoName
from facelake.query.evaluate import TruthRules, compare_with_truth
from facelake.results.answer import as_html
from facelake.tabular import write_tabular
from facelake.words import counted

if TYPE_CHECKING:
    import pandas as pd

_NONE = "–"


@dataclass(frozen=True)
class Evaluation:
    """What spans are worth by a truth.

    Attributes
    ----------
    table
        Rows of `schema.EVALUATION`, one for each person in each video.
    totals
        The same for each person, for each video, and in all (the last row); seconds and spans are
        added up and rates made of the sums.
    matches
        Rows of `schema.SPAN_MATCHES`: every span of the truth and every one found.
    truth
        What the truth is called.
    rules
        How it was taken.
    notes
        Sentences on names that only one side knows, and on what was left out.
    """

    table: pa.Table
    totals: pa.Table
    matches: pa.Table
    truth: str
    rules: TruthRules
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        spans: str | Path | pa.Table,
        truth: str | Path | pa.Table,
        rules: TruthRules,
        *,
        looked_at: Sequence[VideoName] | None = None,
    ) -> Evaluation:
        """Evaluate spans of a file or table; see `facelake.query.evaluate.compare_with_truth`."""
        judged, name = compare_with_truth(spans, truth, rules, looked_at=looked_at)
        return cls(judged.table, judged.totals, judged.matches, name, rules, judged.notes)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return "\n".join(self._report())

    def _repr_html_(self) -> str:
        return as_html(repr(self), self.rows())

    def rows(self) -> pa.Table:
        """All rows of `schema.EVALUATION`: `table` and, below it, `totals`."""
        return pa.concat_tables([self.table, self.totals])

    def to_pandas(self) -> pd.DataFrame:
        """`rows` as a pandas DataFrame."""
        return self.rows().to_pandas()

    def to_csv(self, path: str | Path) -> Path:
        """Write `rows` as CSV; gives the path."""
        return write_tabular(self.rows(), path, "csv")

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON has."""
        tables = {"table": self.table, "totals": self.totals, "matches": self.matches}
        return {
            "truth": self.truth,
            "rules": json.loads(json.dumps(asdict(self.rules))),
            "notes": list(self.notes),
            **{name: table.to_pylist() for name, table in tables.items()},
        }

    def _report(self) -> Iterator[str]:
        (all_,) = self.totals.slice(len(self.totals) - 1).to_pylist()
        people = counted(pc.count_distinct(self.table["identity"]).as_py(), "identity")
        videos = counted(pc.count_distinct(self.table["video"]).as_py(), "video")
        yield f"{people} in {videos} against {self.truth}"
        yield (
            f"seconds  precision {_rate(all_['precision'])} of {all_['found_s']:.1f} s found, "
            f"recall {_rate(all_['recall'])} of {all_['truth_s']:.1f} s wanted, "
            f"F1 {_rate(all_['f1'])}"
        )
        yield (
            f"spans    precision {_rate(all_['span_precision'])} of {all_['n_found_spans']:,} "
            f"found, recall {_rate(all_['span_recall'])} of {all_['n_truth_spans']:,} wanted, "
            f"F1 {_rate(all_['span_f1'])}, matched from an IoU of {self.rules.min_iou:g} on"
        )
        yield f"edges    {_edges(all_, 'start')}; {_edges(all_, 'end')}"
        yield (
            f"not counted: {self.rules.collar_s:g} s around the truth's edges (seconds alone), and "
            f"visibilities other than {', '.join(self.rules.visibilities)}"
        )


def _edges(row: dict[str, Any], edge: str) -> str:
    count = counted(row[f"n_{edge}s"], edge)
    if not row[f"n_{edge}s"]:
        return count
    return (
        f"{count}: error {row[f'{edge}_error_median_s']:.2f} s (median), "
        f"{row[f'{edge}_error_p90_s']:.2f} s (90 %), mean {row[f'{edge}_bias_s']:+.2f} s"
    )


def _rate(rate: float | None) -> str:
    return _NONE if rate is None else f"{rate:.3f}"
