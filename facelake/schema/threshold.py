"""A threshold that a catalog keeps, with what speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class StoredThreshold:
    """The threshold that is taken where none is given.

    Attributes
    ----------
    threshold
        Lowest score that counts, in [−1, 1].
    note
        Where it comes from, in a few words for a person, such as ``FMR 0.001, calibrated``.
    created_utc
        When it was stored, ISO 8601.
    evidence
        What speaks for it: rates, intervals, counts, settings; anything JSON can hold.
    """

    threshold: float
    note: str
    created_utc: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not -1.0 <= self.threshold <= 1.0:
            raise ValueError(f"a threshold must lie in [-1, 1], but is {self.threshold}")

    def to_dict(self) -> dict[str, Any]:
        """As `from_dict` takes it."""
        return asdict(self) | {"evidence": dict(self.evidence)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> StoredThreshold:
        """What `to_dict` gave; what a newer facelake added is left out.

        Raises
        ------
        ValueError
            Something is missing or is none.
        """
        try:
            threshold, note = float(told["threshold"]), str(told["note"])
            created_utc, evidence = str(told["created_utc"]), dict(told.get("evidence", {}))
        except (KeyError, TypeError) as error:
            raise ValueError(f"a stored threshold must tell {error}") from error
        return cls(threshold, note, created_utc, evidence)
