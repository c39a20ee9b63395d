"""What is in the catalogs: the faces beside the peer's, and how often facelake looked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from facelake.bench.footage import Footage
from facelake.bench.parity import Parity, Seen, compare_seen
from facelake.bench.peer import read_seen
from facelake.lake import Lake
from facelake.schema import unpack_embeddings


@dataclass(frozen=True)
class Looks:
    """What an ingest looked at.

    Attributes
    ----------
    n_looked
        Frames that the detector looked at.
    n_refined
        Of these, frames between the samples: where a track starts or ends.
    n_second_looks
        Frames that it looked at once more, for a face that fills them.
    n_carried
        Frames that did not change and took over the faces of the one before.
    n_faces, n_embedded
        Rows of faces, and those with an embedding of their own.
    """

    n_looked: int
    n_refined: int
    n_second_looks: int
    n_carried: int
    n_faces: int
    n_embedded: int


def count_looks(lake: Lake) -> Looks:
    """What the ingest that filled a catalog looked at, over all its videos."""
    videos = lake.videos().to_pylist()

    def total(name: str) -> int:
        return sum(video[name] or 0 for video in videos)

    return Looks(
        n_looked=total("n_samples") - total("n_undecodable") - total("n_carried"),
        n_refined=total("n_refined"),
        n_second_looks=total("n_second_looks"),
        n_carried=total("n_carried"),
        n_faces=total("n_faces"),
        n_embedded=total("n_embedded"),
    )


def compare_last(footage: Footage, peer_folder: Path, lake: Lake) -> Parity:
    """Whether insightface and facelake saw the same.

    Parameters
    ----------
    peer_folder
        With what insightface saw of each video.
    lake
        The catalog of an ingest in which every face was embedded.
    """

    def seen() -> Iterator[tuple[Seen, Seen]]:
        videos = lake.videos().to_pylist()
        names = {path: video["video_id"] for video in videos for path in video["paths"]}
        for number, film in enumerate(footage.films):
            yield read_seen(peer_folder, number), _seen_in(lake, names[film.path])

    return compare_seen(seen())


def _seen_in(lake: Lake, video_id: str) -> Seen:
    samples, faces = lake.read_video(video_id, lake.only_space())
    boxes = faces["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(len(faces), 4)
    return Seen(
        samples.filter(pc.field("status") == "ok")["pts"].to_numpy(),
        faces["pts"].to_numpy(),
        boxes,
        unpack_embeddings(faces["embedding"]),
    )
