"""The faces of one video → tracks: runs of faces that are one person in one shot.

`link_tracks` says which face belongs to which track, `summarise_tracks` what a track is like, and
`choose_faces`, `faces_between` and `part_strangers` which faces of it need an embedding.
"""

from facelake.tracks.choose import choose_faces, faces_between, part_strangers, stand_ins
from facelake.tracks.link import TrackArrays, link_tracks, match_boxes, summarise_tracks

__all__ = [
    "TrackArrays",
    "choose_faces",
    "faces_between",
    "link_tracks",
    "match_boxes",
    "part_strangers",
    "stand_ins",
    "summarise_tracks",
]
