"""What a model is worth on labelled pairs of photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facelake.evaluate import THRESHOLDS, PairErrors
from facelake.progress import count_bar
from facelake.results.answer import Answer
from facelake.schema import Device
from facelake.words import counted

_TABLES = ("rates", "folds", "curve")


@dataclass(frozen=True)
class PairEvaluation(Answer):
    """Error rates of a model on labelled pairs of photos.

    Attributes
    ----------
    errors
        `evaluate.PairErrors` of the pairs that could be compared.
    pairs
        Rows of `schema.PAIRS`; ``score`` is null where a picture could not be enrolled.
    pictures
        Rows of `schema.PICTURES`.
    space
        The space of the embeddings.
    """

    errors: PairErrors
    pairs: pa.Table
    pictures: pa.Table
    space: str

    @property
    def table(self) -> pa.Table:
        """Rows of `schema.PAIR_RATES`: at given thresholds, and for wanted FMRs."""
        return self.errors.rates

    @property
    def failures(self) -> pa.Table:
        """Of `pictures` those that could not be enrolled (FTE, ISO/IEC 19795-1)."""
        return self.pictures.filter(pc.is_valid(self.pictures["error"]))

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return "\n".join(self._report())

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single pairs, in types that JSON has."""
        told = {
            name: value if value is None or isinstance(value, int | float) else asdict(value)
            for name, value in vars(self.errors).items()
            if name not in _TABLES
        }
        tables = {name: getattr(self.errors, name).to_pylist() for name in _TABLES}
        return {
            "space": self.space,
            **told,
            "n_pictures": len(self.pictures),
            "n_several_faces": self._n_several(),
            "failures": self.failures.select(["image", "error"]).to_pylist(),
            **dict(zip(("n_genuine_failed", "n_impostor_failed"), self._failed(), strict=True)),
            **tables,
        }

    def plot(self, *, axes: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
        """The Axes of the DET and the ROC curve; see `facelake.plot.plot_rates`."""
        from facelake.plot import plot_rates

        return plot_rates(self.errors.curve, axes=axes)

    def _failed(self) -> tuple[int, int]:
        """Genuine and impostor pairs that could not be compared."""
        same = self.pairs.filter(pc.is_null(self.pairs["score"]))["same"].to_pylist()
        return sum(same), len(same) - sum(same)

    def _n_several(self) -> int:
        return int((self.pictures["n_faces"].to_numpy() > 1).sum())

    def _report(self) -> Iterator[str]:
        errors, (n_genuine, n_impostor) = self.errors, self._failed()
        pairs = f"{errors.n_genuine:,} genuine and {errors.n_impostor:,} impostor pairs"
        yield f"{pairs} of {counted(len(self.pictures), 'picture')} ({self.space})"
        yield (
            f"{counted(len(self.failures), 'picture')} without a usable face, and so {n_genuine:,} "
            f"genuine and {n_impostor:,} impostor pairs not compared; in "
            f"{counted(self._n_several(), 'picture')} with several faces that at the centre taken"
        )
        if errors.genuine_mean is not None and errors.impostor_mean is not None:
            means = (errors.genuine_mean, errors.impostor_mean)
            yield f"mean score {means[0]:.3f} genuine, {means[1]:.3f} impostor"
        yield from _points(errors)


def _points(errors: PairErrors) -> Iterator[str]:
    if errors.best is not None:
        best = errors.best
        yield f"best accuracy {best.accuracy:.2%} at {best.threshold:.3f}, chosen on these pairs"
    if errors.folded is not None:
        folded = errors.folded
        yield (
            f"accuracy {folded.mean:.2%} ± {folded.standard_error:.2%} (mean and standard error of "
            f"{folded.n_folds} folds, each at the threshold best on the others)"
        )
    if errors.equal_error is not None:
        equal = errors.equal_error
        yield f"equal error rate {equal.rate:.2%} at {equal.threshold:.3f}"


def evaluate_photo_pairs(
    pairs: str | Path | Iterable[str | Path],
    images: str | Path,
    *,
    pack: str | Path = "buffalo_sc",
    device: Device = "auto",
    thresholds: Sequence[float] = THRESHOLDS,
    progress: bool = True,
) -> PairEvaluation:
    """Error rates of a model on labelled pairs of photos, by the protocol of LFW where it is LFW.

    Parameters
    ----------
    pairs
        One or more files that `facelake.evaluate.read_pairs` takes.
    images
        Folder in which the pictures lie by the names that the pairs give them.
    pack, device
        As for `facelake.Catalog.enrol`.
    thresholds
        At which FMR and FNMR are told.
    progress
        Whether to show a bar.

    Raises
    ------
    ValueError
        A file is no list of pairs.
    SourceError, PackError, OSError
        A picture, the pack or a file is not there.
    """
    from facelake.photo_pairs import rate_photo_pairs

    files = [pairs] if isinstance(pairs, str | Path) else pairs
    with count_bar("pictures", show=progress) as update:
        scored, errors = rate_photo_pairs(
            files, images, thresholds=thresholds, pack=pack, device=device, progress=update
        )
    return PairEvaluation(errors, scored.pairs, scored.pictures, scored.space)
