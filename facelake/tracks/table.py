"""The tracks of one video as a table, and what its faces' table says of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.schema import FACES, TRACKS, pack_embeddings, unpack_embeddings
from facelake.tracks.choose import stand_ins
from facelake.tracks.link import summarise_tracks

_LONGEST_CHAIN = 4  # names followed from a face to the one that stands for it


def add_tracks(
    faces: pa.Table, samples: pa.Table, track_id: npt.NDArray[np.int32]
) -> tuple[pa.Table, pa.Table]:
    """The faces of a video with their tracks, and the tracks.

    Parameters
    ----------
    faces
        Rows of `schema.FACES` with their embeddings; what they say of tracks is replaced.
    samples
        Rows of `schema.SAMPLES`, in order of time; every face is at one of these instants.
    track_id
        Track of each face, shape ``(n_faces,)``.

    Returns
    -------
    faces
        ``track_id`` and ``embedded_face_id`` as they follow.
    tracks
        Rows of `schema.TRACKS` with embeddings of the same space.
    """
    schema = TRACKS.append(faces.schema.field("embedding"))
    if not len(faces):
        return faces, schema.empty_table()
    # Half precision as it is: a long film's float32 is gigabytes.
    vectors = unpack_embeddings(faces["embedding"], missing_ok=True)
    time_s = faces["time_s"].to_numpy()
    at = np.searchsorted(samples["pts"].to_numpy(), faces["pts"].to_numpy())
    shown_s = samples["shown_s"].to_numpy()[at]
    found = summarise_tracks(track_id, time_s, shown_s, faces["quality"].to_numpy(), vectors)
    tracks = pa.table(
        {
            "track_id": found.track_id,
            "start_s": found.start_s,
            "end_s": found.end_s,
            "n_faces": found.n_faces,
            "best_face_id": faces["face_id"].take(found.best),
            "cos_to_mean_min": found.cos_to_mean_min,
            "embedding": pack_embeddings(found.embedding),
        },
        schema=schema,
    )
    named = stand_ins(track_id, time_s, ~np.isnan(vectors[:, 0]))
    own = named == np.arange(len(named))
    return _with_columns(
        faces,
        track_id=pa.array(track_id),
        embedded_face_id=faces["face_id"].take(pa.array(named, mask=own | (named < 0))),
    ), tracks


def stand_in_rows(faces: pa.Table) -> npt.NDArray[np.int64]:
    """The row of the face whose embedding stands for each face of a video.

    Where several runs saw a video, the face that one names may itself have been taken from another
    run and name a third, so names are followed.

    Parameters
    ----------
    faces
        ``face_id``, ``embedded_face_id`` and ``embedding`` of one video's faces.

    Returns
    -------
    ndarray
        Shape ``(n,)``, int64: its own row where it is embedded; −1 where nothing stands for it.
    """
    own = np.arange(len(faces), dtype=np.int64)
    known = np.asarray(pc.is_valid(faces["embedding"]).to_numpy(), bool)
    if known.all():
        return own
    named = pc.index_in(faces["embedded_face_id"], faces["face_id"].combine_chunks())
    step = np.where(known, own, pc.fill_null(named, -1).to_numpy())
    rows = step
    for _ in range(_LONGEST_CHAIN):
        rows = np.where(rows >= 0, step[rows], -1)
    return np.where((rows >= 0) & known[rows], rows, -1)


def _with_columns(faces: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    for name, values in columns.items():
        place = faces.schema.get_field_index(name)
        faces = faces.set_column(place, FACES.field(name), values)
    return faces
