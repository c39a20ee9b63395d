"""The gallery room: who is looked for, by which faces, and which faces they are not.

A folder per person, or one photo named after them; every usable photo is an exemplar, and so is a
face of the lake that somebody names. Nothing is skipped silently: each photo has an outcome and a
sentence. What the user enrols is an anchor and never changes by itself; growth adds faces of the
archive that are surely the same person, and negatives say who somebody is not.
"""

from facelake.gallery.growth import (
    TAKEN,
    Candidates,
    Growth,
    GrowthRules,
    Members,
    choose_grown,
)
from facelake.gallery.likeness import (
    Likeness,
    choose_varied,
    compare_members,
    count_brought_in,
    find_disagreements,
)
from facelake.gallery.members import (
    ANCHOR,
    GROWN,
    NEGATIVE,
    VETOED,
    Probes,
    compared,
    disagreements,
    gallery_version,
    keep_decided,
    of_role,
    unit_vectors,
    with_disagreements,
)
from facelake.gallery.names import (
    NOBODY,
    NOBODY_LEFT,
    exemplar_id,
    face_exemplar_id,
    plain_name,
    refuse_unknown,
)
from facelake.gallery.photos import (
    FoundPhotos,
    Outcome,
    Reference,
    choose_face,
    find_references,
)

__all__ = [
    "ANCHOR",
    "GROWN",
    "NEGATIVE",
    "NOBODY",
    "NOBODY_LEFT",
    "TAKEN",
    "VETOED",
    "Candidates",
    "FoundPhotos",
    "Growth",
    "GrowthRules",
    "Likeness",
    "Members",
    "Outcome",
    "Probes",
    "Reference",
    "choose_face",
    "choose_grown",
    "choose_varied",
    "compare_members",
    "compared",
    "count_brought_in",
    "disagreements",
    "exemplar_id",
    "face_exemplar_id",
    "find_disagreements",
    "find_references",
    "gallery_version",
    "keep_decided",
    "of_role",
    "plain_name",
    "refuse_unknown",
    "unit_vectors",
    "with_disagreements",
]
