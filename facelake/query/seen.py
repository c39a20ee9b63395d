"""What was seen of whom: scored faces and the samples of a video, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.lake import Lake
from facelake.query.spans import sampling_period_s
from facelake.schema import REFINED

_ROUNDING = 1e-6  # of a sampling period: a time that is a whole number of them on paper is one


@dataclass(frozen=True)
class SeenFaces:
    """Scored faces as arrays, shape ``(n,)``, and the pairs of video and identity they belong to.

    Attributes
    ----------
    pairs
        Columns ``video_id, path, identity``, by path and identity.
    pair
        The row of ``pairs`` of each face, int64.
    row
        The face's row in the scores, int64.
    track_id
        −1 where the face has none, int64.
    """

    pairs: pa.Table
    pair: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    pts: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    track_id: npt.NDArray[np.int64]

    @classmethod
    def of(cls, lake: Lake, scores: pa.Table, space: str, identities: Sequence[str]) -> SeenFaces:
        """The faces of some identities, as `match_gallery` scored them.

        Raises
        ------
        CatalogError
            A score is of a video that the catalog does not hold.
        """
        paths = _paths(lake, space)
        videos = sorted(paths, key=lambda video_id: (paths[video_id], video_id))
        names = pa.array(sorted(identities), pa.string())
        video, identity = _numbers(lake, scores, videos, names)
        known = np.flatnonzero(identity >= 0)
        pairs, pair = np.unique(video[known] * len(names) + identity[known], return_inverse=True)
        at, who = np.divmod(pairs, max(1, len(names)))
        return cls(
            pairs=pa.table(
                {
                    "video_id": pa.array(videos, pa.string()).take(pa.array(at)),
                    "path": pa.array(map(paths.get, videos), pa.string()).take(pa.array(at)),
                    "identity": names.take(pa.array(who)),
                }
            ),
            pair=pair.astype(np.int64),
            row=known,
            pts=scores["pts"].to_numpy()[known],
            score=scores["score"].to_numpy()[known].astype(np.float64),
            track_id=pc.fill_null(scores["track_id"], -1).to_numpy()[known].astype(np.int64),
        )

    @classmethod
    def concat(cls, pairs: pa.Table, parts: Sequence[SeenFaces]) -> SeenFaces:
        """Faces of the same pairs, one part after another."""
        none = {"row": np.int64, "pair": np.int64, "pts": np.int64, "track_id": np.int64}
        columns = {
            name: np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])
            for name, dtype in (none | {"score": np.float64}).items()
        }
        return cls(pairs, **columns)

    def take(self, at: npt.NDArray[np.int64]) -> SeenFaces:
        """Some of the faces."""
        names = [field.name for field in fields(self) if field.name != "pairs"]
        return SeenFaces(self.pairs, **{name: getattr(self, name)[at] for name in names})

    def reaching(self, threshold: float, lowest: float) -> SeenFaces:
        """The faces from a lowest score on, of the pairs with a face at the threshold."""
        reached = np.unique(self.pair[~(self.score < threshold)])
        number = np.full(len(self.pairs), -1)
        number[reached] = np.arange(len(reached))
        kept = np.flatnonzero((number[self.pair] >= 0) & ~(self.score < lowest))
        faces = self.take(kept)
        return replace(faces, pairs=self.pairs.take(pa.array(reached)), pair=number[faces.pair])

    def iter_videos(self) -> Iterator[tuple[str, SeenFaces]]:
        """Each video and its faces, in the order of the pairs."""
        names = self.pairs["video_id"].combine_chunks().dictionary_encode()
        video = names.indices.to_numpy()[self.pair] if len(self.pair) else self.pair
        order = np.argsort(video, kind="stable")
        bounds = np.searchsorted(video[order], np.arange(len(names.dictionary) + 1))
        for number, video_id in enumerate(names.dictionary.to_pylist()):
            yield video_id, self.take(order[bounds[number] : bounds[number + 1]])


def _paths(lake: Lake, space: str) -> dict[str, str]:
    """The first file of each video."""
    videos = lake.videos(space).select(["video_id", "paths"])
    return {row["video_id"]: row["paths"][0] for row in videos.to_pylist()}


def _numbers(
    lake: Lake, scores: pa.Table, videos: list[str], names: pa.Array
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The numbers of each score's video and identity; −1 for one that is not asked for."""
    video = pc.index_in(scores["video_id"], pa.array(videos, pa.string()))
    if video.null_count:
        stray = scores["video_id"].filter(pc.is_null(video))[0]
        raise CatalogError(
            f"{lake.where}: every score must be of a video of this catalog, but {stray} is none; "
            "match this catalog's faces, and do not mix the tables of two"
        )
    identity = pc.fill_null(pc.index_in(scores["identity"], names), -1)
    return video.to_numpy().astype(np.int64), identity.to_numpy().astype(np.int64)


@dataclass(frozen=True)
class VideoLook:
    """When a video was looked at; arrays of shape ``(n,)``, in order of time.

    Attributes
    ----------
    where
        The video and its catalog, for a person.
    pts, time_s, shown_s
        Of the samples that could be decoded.
    period_s
        Their usual distance, in seconds.
    is_thinned
        Whether samples of the catalog were left out.
    """

    where: str
    pts: npt.NDArray[np.int64]
    time_s: npt.NDArray[np.float64]
    shown_s: npt.NDArray[np.float64]
    period_s: float
    is_thinned: bool

    @classmethod
    def read(
        cls, lake: Lake, video_id: str, space: str, *, sample_fps: float | None = None
    ) -> VideoLook:
        """The samples of a video.

        Parameters
        ----------
        sample_fps
            Keep the first sample in each period of so many a second, as an ingest at this rate
            would, and none that was added between; ``None`` keeps all.
        """
        samples = lake.samples(video_id, space)
        samples = samples.filter(pc.field("status") == "ok")
        if sample_fps is not None:
            samples = _thinned(samples, sample_fps)
        return cls(
            where=f"{lake.where}: {video_id}",
            pts=samples["pts"].to_numpy(),
            time_s=samples["time_s"].to_numpy(),
            shown_s=samples["shown_s"].to_numpy(),
            period_s=sampling_period_s(samples),
            is_thinned=sample_fps is not None,
        )

    def place(
        self, face_pts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The faces that lie at one of the samples, and at which.

        Raises
        ------
        CatalogError
            One lies at none although no sample was left out.
        """
        at = np.searchsorted(self.pts, face_pts)
        is_seen = np.append(self.pts, -1)[at] == face_pts
        kept = np.flatnonzero(is_seen & (at < len(self.pts)))
        if len(kept) < len(face_pts) and not self.is_thinned:
            raise CatalogError(
                f"{self.where}: every face must lie at an examined instant, but "
                f"{len(face_pts) - len(kept)} scored faces do not; the video was ingested again "
                "since, so match again"
            )
        return kept, at[kept]


def _thinned(samples: pa.Table, sample_fps: float) -> pa.Table:
    regular = samples.filter(pc.field("source") != REFINED)
    time_s = regular["time_s"].to_numpy()
    if not len(time_s):
        return regular
    period = np.floor((time_s - time_s[0]) * sample_fps + _ROUNDING)
    return regular.take(pa.array(np.flatnonzero(np.diff(period, prepend=-1.0))))
