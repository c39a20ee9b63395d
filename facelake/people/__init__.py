"""The people room: who appears, without anybody having said who they are.

Tracks are joined into people by their mean embeddings, within and across videos. Two tracks that
share an instant are two people, and what a person has said of faces holds: tracks of one name are
joined, of two names never. Arrays and tables in, arrays and tables out.
"""

from facelake.people.apart import Pairs, find_apart, find_same_box
from facelake.people.cluster import cluster_tracks
from facelake.people.labels import (
    IS,
    IS_NOT,
    NONE,
    FaceLabel,
    TrackNames,
    anonymous_name,
    digest,
    is_anonymous,
    name_tracks,
    settle_labels,
)
from facelake.people.table import Clustered, tabulate_people

__all__ = [
    "IS",
    "IS_NOT",
    "NONE",
    "Clustered",
    "FaceLabel",
    "Pairs",
    "TrackNames",
    "anonymous_name",
    "cluster_tracks",
    "digest",
    "find_apart",
    "find_same_box",
    "is_anonymous",
    "name_tracks",
    "settle_labels",
    "tabulate_people",
]
