"""How scores are to become spans, as a person says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from facelake.schema import SpanRules


@dataclass(frozen=True)
class SpanSettings:
    """`schema.SpanRules` as a person gives them: what is ``None`` follows the sampling.

    Attributes
    ----------
    miss_s
        ``None`` tolerates 1 second, and at least one missed sample.
    blind_s
        ``None`` tolerates 2 seconds, and always the usual distance of samples.
    threshold_note
        Where the threshold comes from, where it is the catalog's own.
    """

    threshold: float
    exit_threshold: float | None = None
    min_hits: int = 1
    miss_s: float | None = None
    blind_s: float | None = None
    bridge_s: float = 0.0
    min_span_s: float = 0.0
    threshold_note: str = ""

    def __post_init__(self) -> None:
        self.rules(period_s=1.0)  # refuses what no rules can be made of

    def __str__(self) -> str:
        note = f" ({self.threshold_note})" if self.threshold_note else ""
        return f"threshold {self.threshold:g}{note}"

    def told(self) -> dict[str, str | int | float]:
        """What was said, for the metadata of a file; what follows the sampling is left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    def rules(self, period_s: float) -> SpanRules:
        """The rules for a video whose samples are ``period_s`` apart."""
        return SpanRules(
            threshold=self.threshold,
            exit_threshold=self.exit_threshold,
            min_hits=self.min_hits,
            miss_s=max(1.0, 2.5 * period_s) if self.miss_s is None else self.miss_s,
            blind_s=max(2.0, 2.5 * period_s) if self.blind_s is None else self.blind_s,
            bridge_s=self.bridge_s,
            min_span_s=self.min_span_s,
        )
