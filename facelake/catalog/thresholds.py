"""Which threshold, and why."""

from __future__ import annotations

from facelake.calibrate import PairSettings, ThresholdChoice
from facelake.catalog.door import Door
from facelake.lake.thresholds import read_threshold
from facelake.progress import count_bar
from facelake.query import choose_space, default_threshold
from facelake.query.calibrate import calibrate_archive
from facelake.query.thresholds import clear_threshold, store_threshold
from facelake.results import Calibration
from facelake.schema import StoredThreshold


class Calibrating(Door):
    """What finds a threshold and keeps it."""

    def calibrate(
        self,
        *,
        space: str | None = None,
        reference_quality: float = 0.4,
        seed: int = 0,
        progress: bool = True,
    ) -> Calibration:
        """Error rates at every threshold, from the archive's own faces, without a label.

        Two faces in one frame are two people, and the faces of one track are one: from these pairs
        follow the false match rate and the false non-match rate (ISO/IEC 19795-1).

        Parameters
        ----------
        space
            Whose embeddings; ``None`` is the space of the videos.
        reference_quality
            Quality of the better face of each pair, at least, in [0, 1]: that of a photo that
            somebody enrols. Of two faces that are both blurred or dark nobody asks, and they are
            alike whoever they are.
        seed
            Of the bootstrap, and of what is drawn where there are too many pairs.
        progress
            Show a progress bar on stderr.

        Raises
        ------
        CalibrationError
            No two people were ever on screen at once.
        CatalogError
            There is no catalog, or nothing is ingested yet.
        ValueError
            ``reference_quality`` is outside of [0, 1].
        """
        settings = PairSettings(reference_quality=reference_quality, seed=seed)
        lake = self._lake()
        with count_bar("videos", show=progress) as update:
            found = calibrate_archive(
                lake, choose_space(lake, space, for_gallery=False), settings, progress=update
            )
        return Calibration(
            found.table,
            found.by_quality,
            found.by_size,
            found.look_alikes,
            found.counts,
            found.curves,
        )

    def store_threshold(
        self, threshold: float | ThresholdChoice, *, note: str = "", space: str | None = None
    ) -> StoredThreshold:
        """Keep a threshold as the one that is taken where none is given; gives what is kept.

        Parameters
        ----------
        threshold
            In [−1, 1], or what `Calibration.threshold` gave: it is kept with its evidence.
        note
            Where it comes from, in a few words; results show it.
        space
            Whose; ``None`` is that of the choice, else the space that the videos and the gallery
            have in common.

        Raises
        ------
        CatalogError
            The catalog has no such space.
        ValueError
            The threshold is outside of [−1, 1], or of another space than the one named.
        """
        return store_threshold(self._lake(), threshold, note=note, space=space)

    def clear_threshold(self, space: str | None = None) -> None:
        """Take the stored threshold away; from then on one must be given.

        Parameters
        ----------
        space
            As for `stored_threshold`.
        """
        clear_threshold(self._lake(), space)

    def stored_threshold(self, space: str | None = None) -> StoredThreshold | None:
        """The threshold that is taken where none is given; ``None`` where none is stored.

        Parameters
        ----------
        space
            Whose; ``None`` is the space that the videos and the gallery have in common.
        """
        lake = self._lake()
        return read_threshold(lake, choose_space(lake, space))

    def default_threshold(self, space: str | None = None) -> StoredThreshold:
        """The threshold that is taken where none is given.

        Parameters
        ----------
        space
            As for `stored_threshold`.

        Raises
        ------
        CatalogError
            None is stored.
        """
        lake = self._lake()
        return default_threshold(lake, choose_space(lake, space))
