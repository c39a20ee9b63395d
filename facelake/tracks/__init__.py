"""The faces of one video → tracks: runs of faces that are one person in one shot.

`link_tracks` says which face belongs to which track, `summarise_tracks` what a track is like,
`add_tracks` puts both into tables, and `stand_in_rows` reads out of them which embedding stands for
a face without one; `choose_faces`, `faces_between` and `part_strangers` say which faces of a track
need an embedding.
"""

from facelake.tracks.choose import choose_faces, faces_between, part_strangers, stand_ins
from facelake.tracks.link import TrackArrays, link_tracks, match_boxes, summarise_tracks
from facelake.tracks.table import add_tracks, stand_in_rows

__all__ = [
    "TrackArrays",
    "add_tracks",
    "choose_faces",
    "faces_between",
    "link_tracks",
    "match_boxes",
    "part_strangers",
    "stand_in_rows",
    "stand_ins",
    "summarise_tracks",
]
