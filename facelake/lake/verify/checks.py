"""What is wrong with the files of a catalog: each on its own, and those of a run together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facelake.errors import CatalogError
from facelake.lake.files import MissingPartError, NewerVersionError, PartReader, check_file
from facelake.lake.layout import (
    CHIPS_FOLDER,
    FACES_FOLDER,
    OF_A_SPACE,
    SAMPLES_FOLDER,
    TRACKS_FOLDER,
    VIDEOS_FOLDER,
    Part,
    part_of,
)
from facelake.lake.scan.codes import decode_twins, twin_bytes, twin_rows
from facelake.lake.stores.store import Store
from facelake.schema import DAMAGED, TWIN, unpack_embeddings

Kind = Literal[
    "damaged",
    "missing",
    "inconsistent",
    "misplaced",
    "newer",
    "unreadable",
    "orphan",
    "stranger",
    "staging",
]
_COUNTS = {SAMPLES_FOLDER: "n_samples", FACES_FOLDER: "n_faces", TRACKS_FOLDER: "n_tracks"}
_NEEDED = {
    SAMPLES_FOLDER: {"pts"},
    FACES_FOLDER: {"pts", "face_id", "embedding"},
    TRACKS_FOLDER: {"embedding"},
    CHIPS_FOLDER: {"face_id"},
}
_TWINS_AT_ONCE = 2048  # 8 MB of float64 at 512 dimensions
# Twins are made in float32 and float64 of the same numbers; what is left agrees to rounding.
_ROUNDING = 1e-6

AGAIN = "run the same ingest again: it looks at this video again"
_MEND_FIRST = (
    "facelake verify --mend notes it, and the same ingest then looks at this video again; what can "
    "be read of it stays until that is done"
)
RECORD_LOST = (
    "facelake verify --mend notes it if it can be read and removes it if not, and the same ingest "
    "then looks at this video again"
)


@dataclass(frozen=True)
class Trouble:
    """Something in a catalog that is not as it should be.

    Attributes
    ----------
    kind
        ``damaged``: not the bytes that were written; ``missing``: named and not there;
        ``inconsistent``: whole, but at odds with what belongs to it; ``misplaced``: a file of
        another place; ``newer``: of a newer facelake; ``unreadable``: the disk or its rights;
        ``orphan``: a part that no record names; ``stranger``: no file of facelake's;
        ``staging``: work that was never finished.
    file
        Its name in the catalog, or its path beside it.
    video_id
        Empty where it is of none.
    what, todo
        One sentence each: what is wrong, and what a person can do.
    is_mended
        Whether it no longer is wrong.
    """

    kind: Kind
    file: str
    what: str
    todo: str
    video_id: str = ""
    is_mended: bool = False


@dataclass(frozen=True)
class Checked:
    """What came out of checking some files: how many have no seal, and what is wrong."""

    troubles: list[Trouble]
    n_unsealed: int = 0


def check_known_file(store: Store, name: str, todo: str, video_id: str = "") -> Checked:
    """Check one file of facelake's for itself."""
    try:
        check = check_file(store, name)
    except MissingPartError:  # removed since it was listed
        return Checked([])
    except CatalogError as error:
        return Checked([_refused(error, store, name, video_id)])
    troubles = [Trouble("damaged", name, check.why, todo, video_id)] if check.why else []
    return Checked(troubles, int(not check.is_sealed))


def check_run(store: Store, video: dict[str, Any], spaces: dict[str, dict[str, Any]]) -> Checked:
    """Check the parts of a run, each and together; ``video`` is its ``videos`` row."""
    record = part_of(VIDEOS_FOLDER, video)
    if video["space"] not in spaces:
        what = f"its space {video['space']} is none of this catalog's"
        todo = "remove it with its video's other files if it was copied here from another catalog"
        return Checked([Trouble("misplaced", record, what, todo, video["video_id"])])
    run = _Run(store, video, int(spaces[video["space"]]["dim"]))
    checked = run.check() if video["n_samples"] else Checked([])
    if not checked.troubles and video["status"] == DAMAGED:
        what = f"it was noted: {video['error']}"
        return Checked([Trouble("damaged", record, what, AGAIN, video["video_id"])])
    return checked


class _Run:
    """The parts of one run."""

    def __init__(self, store: Store, video: dict[str, Any], dim: int) -> None:
        self._store, self._video, self._dim = store, video, dim
        self._troubles: list[Trouble] = []
        self._n_unsealed = 0
        self._sample_pts: npt.NDArray[np.int64] | None = None

    def check(self) -> Checked:
        """Check all of them; the samples first, which the faces are held against."""
        for table in (SAMPLES_FOLDER, FACES_FOLDER, TRACKS_FOLDER, CHIPS_FOLDER):
            name = part_of(table, self._video)
            if table == CHIPS_FOLDER and not self._store.has(name):
                continue
            try:
                self._check_part(table, name)
            except CatalogError as error:
                self._note(_refused(error, self._store, name, self._video["video_id"]))
        return Checked(self._troubles, self._n_unsealed)

    def _check_part(self, table: str, name: str) -> None:
        check = check_file(self._store, name)
        self._n_unsealed += not check.is_sealed
        if check.why:
            self._tell("damaged", name, check.why)
            return
        with PartReader(self._store, name) as part:
            told = _of_another_place(part.facts, self._video)
            if told:
                self._tell("misplaced", name, f"it is of {told}")
                return
            for what in self._at_odds(table, part):
                self._tell("inconsistent", name, what)

    def _at_odds(self, table: str, part: PartReader) -> Iterator[str]:
        lost = _NEEDED[table].difference(part.schema.names)
        if lost:
            yield f"it lacks the columns {', '.join(sorted(lost))}"
            return
        n_rows, count = part.metadata.num_rows, _COUNTS.get(table)
        if count is not None and n_rows != self._video[count]:
            yield f"it has {n_rows} rows, but the video's record tells of {self._video[count]}"
        if table in OF_A_SPACE:
            width = part.schema.field("embedding").type
            if width != pa.binary(2 * self._dim):
                yield f"its embeddings are {width}, but the space has {self._dim} dimensions"
                return
        if table == SAMPLES_FOLDER:
            self._sample_pts = part.read(["pts"])["pts"].to_numpy()
        elif table == FACES_FOLDER:
            yield from self._faces_at_odds(part)

    def _faces_at_odds(self, part: PartReader) -> Iterator[str]:
        names = part.read(["face_id", "pts", "embedded_face_id"])
        if self._sample_pts is not None:
            n_stray = int(np.sum(~np.isin(names["pts"].to_numpy(), self._sample_pts)))
            if n_stray:
                yield f"{n_stray} of its faces lie at instants that no sample has"
        is_known, n_wrong = _embedded(part)
        if "embedded_face_id" in names.column_names:
            ids = names["face_id"].filter(pa.array(is_known)).combine_chunks()
            named = names["embedded_face_id"].drop_null()
            n_lost = int(pc.sum(pc.invert(pc.is_in(named, ids)), min_count=0).as_py())
            if n_lost:
                yield f"{n_lost} of its faces name one with an embedding that is not there"
        if n_wrong:
            yield f"{n_wrong} of its twins do not fit their embeddings"

    def _tell(self, kind: Kind, name: str, what: str) -> None:
        todo = AGAIN if self._video["status"] == DAMAGED else _MEND_FIRST
        self._note(Trouble(kind, name, what, todo, self._video["video_id"]))

    def _note(self, trouble: Trouble) -> None:
        self._troubles.append(trouble)


def is_of_its_place(facts: dict[str, Any], part: Part) -> bool:
    """Whether what a file says of itself is what its name says."""
    place = {name: getattr(part, name) for name in ("video_id", "run", "generation")}
    if part.table in OF_A_SPACE:
        place["space"] = part.space
    return not _of_another_place(facts, place)


def _of_another_place(facts: dict[str, Any], place: dict[str, Any]) -> str:
    """What a file says of itself that its place does not; an older version says less."""
    told = {name: facts[name] for name in ("video_id", "run", "space", "generation")
            if name in facts and name in place and facts[name] != place[name]}  # fmt: skip
    return ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in told.items())


def _embedded(part: PartReader) -> tuple[npt.NDArray[np.bool_], int]:
    """Which faces have an embedding, and how many have a twin that is not theirs."""
    known, n_wrong = [np.empty(0, bool)], 0
    columns = [name for name in ("embedding", TWIN) if name in part.schema.names]
    for group in range(part.metadata.num_row_groups):
        rows = part.read_groups([group], columns)
        known.append(pc.is_valid(rows["embedding"]).to_numpy())
        if TWIN in columns:
            n_wrong += sum(
                _count_unfit(rows.slice(begin, _TWINS_AT_ONCE))
                for begin in range(0, len(rows), _TWINS_AT_ONCE)
            )
    return np.concatenate(known), n_wrong


def _count_unfit(rows: pa.Table) -> int:
    """How many twins do not leave out exactly as much of their embeddings as they say."""
    has_both = pc.and_(pc.is_valid(rows["embedding"]), pc.is_valid(rows[TWIN]))
    has_one = pc.xor(pc.is_valid(rows["embedding"]), pc.is_valid(rows[TWIN]))
    both = rows.filter(has_both)
    vectors = unpack_embeddings(both["embedding"]).astype(np.float64)
    n_alone = int(pc.sum(has_one, min_count=0).as_py())
    if rows.schema.field(TWIN).type != pa.binary(twin_bytes(vectors.shape[1])):
        return len(both) + n_alone
    meant, error = decode_twins(twin_rows(both[TWIN]), vectors.shape[1])
    left = np.linalg.norm(vectors - meant, axis=1)
    # Written so that a NaN does not fit either.
    return int(np.sum(~(np.abs(left - error) <= _ROUNDING))) + n_alone


def _refused(error: CatalogError, store: Store, name: str, video_id: str) -> Trouble:
    what = str(error).removeprefix(f"{store.where(name)}: ")
    if isinstance(error, MissingPartError):
        return Trouble("missing", name, "the video's record names it", AGAIN, video_id)
    if isinstance(error, NewerVersionError):
        return Trouble("newer", name, what, "pip install -U facelake", video_id)
    todo = "check the disk and its rights, then verify again"
    return Trouble("unreadable", name, what, todo, video_id)
