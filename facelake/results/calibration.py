"""Which threshold, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from facelake.calibrate import Curves, PairSettings, ThresholdChoice, choice_table, percent
from facelake.results.answer import Answer
from facelake.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

USUAL_FMRS = (1e-2, 1e-3, 1e-4)
"""False match rates that are asked for where none is named."""


@dataclass(frozen=True)
class Calibration(Answer):
    """Error rates of an archive at every threshold, from its own faces.

    Attributes
    ----------
    table
        Rows of `schema.CALIBRATION`: both rates at every hundredth, with counts and intervals.
    by_quality, by_size
        The same for each quality of the poorer face of a pair, and each size of the smaller one:
        rows of `schema.CALIBRATION_BY_QUALITY` and `CALIBRATION_BY_SIZE`.
    look_alikes
        Rows of `schema.LOOK_ALIKES`: the pairs of tracks that decide low rates, for a person to
        look at, and those that were set apart.
    counts
        Name → number, of pairs, tracks and videos.
    """

    table: pa.Table
    by_quality: pa.Table
    by_size: pa.Table
    look_alikes: pa.Table
    counts: dict[str, int]
    _curves: Curves

    @property
    def space(self) -> str:
        """Whose embeddings."""
        return self._curves.space

    @property
    def settings(self) -> PairSettings:
        """Which pairs were compared."""
        return self._curves.settings

    def threshold(self, fmr: float) -> ThresholdChoice:
        """The lowest threshold whose false match rate is at most ``fmr``, with what speaks for it.

        Parameters
        ----------
        fmr
            Share of comparisons of two different people that may score the threshold or more, in
            (0, 1).

        Raises
        ------
        CalibrationError
            The archive's pairs do not carry so low a rate.
        ValueError
            ``fmr`` is not between 0 and 1.
        """
        return self._curves.choose(fmr)

    def thresholds(self, fmrs: Sequence[float] = USUAL_FMRS) -> pa.Table:
        """Rows of `schema.THRESHOLD_CHOICES`: for each rate the threshold, or why there is none."""
        return choice_table(self._curves, fmrs)

    def plot(self, **options: Any) -> Axes:
        """The curves' Axes; see `facelake.plot.plot_calibration`."""
        from facelake.plot import plot_calibration

        return plot_calibration(self.table, self.thresholds(), **options)

    def __repr__(self) -> str:
        pairs = counted(self.counts["n_impostor"], "impostor pair")
        videos = counted(self.counts["n_videos"], "video")
        lines = [f"Calibration of {self.space} on {pairs} of {videos}"]
        lines += [f"  FMR {row['wanted_fmr']:g}: {_answer(row)}" for row in
                  self.thresholds().to_pylist()]  # fmt: skip
        return "\n".join([*lines, *(f"  {warning}" for warning in self.warnings())])

    def warnings(self) -> list[str]:
        """What a person should know of the pairs: a sentence each."""
        told, counts = [], self.counts
        if counts["n_seen_twice"]:
            told.append(
                f"set apart: {counted(counts['n_seen_twice'], 'pair')} of faces of one frame that "
                f"score above {self.settings.lookalike_score:g} (mirrors, pictures in the "
                f"picture); most in {self._most('one person seen twice')}"
            )
        if counts["n_overlapping"]:
            told.append(
                f"set apart: {counted(counts['n_overlapping'], 'pair')} of faces whose boxes "
                f"overlap; most in {self._most('boxes overlap')}"
            )
        if counts["n_mixed_tracks"]:
            told.append(
                f"{counts['n_mixed_tracks']:,} of {counted(counts['n_tracks'], 'track')} may hold "
                "two people, which makes the FNMR too high"
            )
        if counts["n_track_pairs_left_out"]:
            told.append(
                f"of {counted(counts['n_track_pairs_left_out'], 'pair')} of tracks no face was "
                f"compared: at most {self.settings.max_track_pairs:,} a video are drawn, with "
                f"seed {self.settings.seed}"
            )
        return told

    def _most(self, verdict: str) -> str:
        """The video that has most of what was set apart."""
        import pyarrow.compute as pc

        rows = self.look_alikes.filter(pc.equal(self.look_alikes["verdict"], verdict))
        of_each = rows.group_by("path").aggregate([("n_pairs", "sum")])
        first = of_each.sort_by([("n_pairs_sum", "descending"), ("path", "ascending")])
        return Path(first["path"][0].as_py()).name


def _answer(row: dict[str, Any]) -> str:
    if row["threshold"] is None:
        return f"no threshold: {row['why']}"
    gaps = {"500ms": "0.5 s", "5s": "5 s", "30s": "30 s"}
    costs = [
        f"{_with_interval(row, f'fnmr_{name}')} after {gap}"
        for name, gap in gaps.items()
        if row[f"fnmr_{name}"] is not None
    ]
    return (
        f"threshold {row['threshold']:.4f} ({row['threshold_low']:.4f} to "
        f"{row['threshold_high']:.4f}), FMR {_with_interval(row, 'fmr')}; of one person's faces "
        f"it misses {', '.join(costs) or 'nobody knows how many'}"
    )


def _with_interval(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{percent(row[name])} ({percent(low)} to {percent(high)})"
