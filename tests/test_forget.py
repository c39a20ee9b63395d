"""What is forgotten is nowhere any more and does not come back; all else is as it was."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from distributed import LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import new_lake, plant_video

from facelake.catalog import Catalog, open_catalog
from facelake.cli import main
from facelake.errors import CatalogError, ExportError, GalleryError
from facelake.export.plan import write_clip_table
from facelake.forget import ForgetReport
from facelake.ingest import ingest_videos
from facelake.lake import Lake, StagedStretch, verify_catalog
from facelake.lake.files import save_table
from facelake.lake.forget.tombstones import ForgottenError, find_forgotten
from facelake.lake.forget.traces import find_bytes, find_likenesses
from facelake.lake.scan.codes import encode_twins
from facelake.lake.stores.objects import ObjectStore
from facelake.lake.stores.store import LocalStore
from facelake.schema import (
    CHIPS,
    CLIPS,
    EXEMPLARS,
    FACES,
    SAMPLES,
    IngestSettings,
    face_id,
    pack_embeddings,
    unpack_embeddings,
    with_embedding,
)
from facelake.testing.fakepack import write_fake_archive, write_fake_pack
from facelake.tracks import add_tracks

DIM = 32
SPACE, OTHER = "first-00000001", "second-00000002"
MS = 1000
ANN, BOB = 0, 1  # directions, and places on the screen
Vectors = npt.NDArray[np.float16]


# A catalog with two people ----------------------------------------------------------------------


def person(who: int, n: int, seed: str) -> npt.NDArray[np.float32]:
    """Faces of a person: about 0.8 like each other, no two the same."""
    random = np.random.default_rng(list(seed.encode()))
    noise = random.standard_normal((n, DIM)) * 0.08
    noise[:, who] += 1.0
    unit: npt.NDArray[np.float32] = (noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(
        np.float32
    )
    return unit


def box(who: int, time_s: float) -> npt.NDArray[np.float32]:
    """Where a person is: each walks along a line of their own, 60 pixels a second."""
    left = 60.0 * time_s
    return np.array([left, 300.0 * who, left + 100.0, 300.0 * who + 120.0], np.float32)


def sighting(
    film: str,
    cast: dict[int, range],
    *,
    step_ms: int,
    space: str,
    seed: str,
    embed_every: int = 1,
    first_ms: int = 0,
) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Samples, faces, tracks and chips of a film of 4 s; who is there at which milliseconds."""
    content_id = sha256(film.encode()).hexdigest()
    rows, vectors, track_id, n_faces = [], [], [], []
    looks = {who: person(who, 4000 // step_ms + 1, f"{seed}{who}{space}") for who in cast}
    for number, pts in enumerate(range(first_ms, 4000, step_ms)):
        seen = [who for who, when in cast.items() if pts in when]
        n_faces.append(len(seen))
        for who in seen:
            where = box(who, pts / MS)
            rows.append(
                {
                    "face_id": face_id(content_id, pts, where),
                    "pts": pts,
                    "time_s": pts / MS,
                    "bbox_xyxy": where,
                    "det_score": 0.9,
                    "landmarks": np.zeros(10, np.float32),
                    "align_rms": 1.0,
                    "sharpness": 100.0,
                    "quality": 0.5 + 0.01 * (number % 7),
                }
            )
            is_known = number % embed_every == 0
            vectors.append(looks[who][number] if is_known else np.full(DIM, np.nan, np.float32))
            track_id.append(who)
    columns = pa.Table.from_pylist(rows, FACES)
    packed = pack_embeddings(np.array(vectors, np.float32).reshape(-1, DIM))
    faces = pa.table([*columns.columns, packed], schema=with_embedding(FACES, space, DIM))
    looked = list(range(first_ms, 4000, step_ms))
    samples = pa.table(
        {
            "pts": looked,
            "time_s": [pts / MS for pts in looked],
            "shown_s": [0.04] * len(looked),
            "n_faces": n_faces,
            "status": ["ok"] * len(looked),
            "source": ["detected"] * len(looked),
            "new_shot": [False] * len(looked),
        },
        schema=SAMPLES,
    )
    faces, tracks = add_tracks(faces, samples, np.array(track_id, np.int32))
    names = faces["face_id"].to_pylist()
    chips = pa.table(
        {
            "face_id": names,
            "pts": faces["pts"],
            "picture": [sha256(name.encode()).digest() * 4 for name in names],
            "format": ["webp"] * len(names),
        },
        schema=CHIPS,
    )
    return samples, faces, tracks, chips


def publish(
    lake: Lake, film: str, run: str, cast: dict[int, range], *, space: str = SPACE, **how: Any
) -> str:
    """Publish a run of a film; gives its ``video_id``."""
    tables = sighting(film, cast, space=space, seed=film, **how)
    content_id = sha256(film.encode()).hexdigest()
    row = {
        "video_id": f"{film}-{content_id[:8]}",
        "run": run,
        "content_id": content_id,
        "paths": [f"/archive/{film}.mp4"],
        "mtimes_ns": [0],
        "size_bytes": 1000,
        "status": "ok",
        "time_base_num": 1,
        "time_base_den": MS,
        "settings": IngestSettings().to_json(),
        "space": space,
        "pack": "p",
        "detector": "d",
        "device": "cpu",
        "n_samples": len(tables[0]),
        "n_undecodable": 0,
        "n_bad_packets": 0,
        "n_faces": len(tables[1]),
        "n_tracks": len(tables[2]),
        "n_embedded": len(tables[1]) - tables[1]["embedding"].null_count,
        "created_utc": "2026-01-01T00:00:00Z",
        "facelake_version": "0.1.0",
    }
    row["created_utc"] = pa.scalar(row["created_utc"]).cast(pa.timestamp("ms", "UTC")).as_py()
    lake.publish(row, *tables)
    return str(row["video_id"])


WHOLE, LATE = range(4000), range(2000, 4000)


@dataclass(frozen=True)
class Planted:
    """A catalog in which Ann and Bob are, and what must be gone when Ann or a film is forgotten."""

    root: Path
    duo: str  # Ann and Bob, seen by three runs of two models
    solo: str  # Bob alone

    @property
    def lake(self) -> Lake:
        return Lake.open(self.root)

    @property
    def catalog(self) -> Catalog:
        return open_catalog(self.root)

    def runs(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.lake.runs().to_pylist()
        return rows

    def tables(self, table: str, video_id: str) -> dict[str, pa.Table]:
        """The parts of a table that count: run → rows."""
        return {
            row["run"]: pq.read_table(next(self.root.glob(f"{table}/**/{_part(row)}")))
            for row in self.runs()
            if row["video_id"] == video_id
        }

    def faces_of(self, who: int, video_id: str) -> list[pa.Table]:
        """A person's faces in each run; Ann's boxes are above Bob's."""
        found = []
        for faces in self.tables("faces", video_id).values():
            top = np.array(faces["bbox_xyxy"].to_pylist())[:, 1]
            found.append(faces.filter(pa.array(top == 300.0 * who)))
        return found


def _part(row: dict[str, Any]) -> str:
    return f"video_id={row['video_id']}/part-{row['run']}-{row['generation']}.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    root = tmp_path_factory.mktemp("catalogs") / "tv"
    lake = new_lake(root)
    for space in (SPACE, OTHER):
        lake.add_space(space, dim=DIM, pack=space, licence="none", embedder_sha256="00")
    cast = {ANN: WHOLE, BOB: WHOLE}
    duo = publish(lake, "duo", "sparse", cast, step_ms=200, embed_every=2)
    publish(lake, "duo", "dense", cast, step_ms=40, embed_every=3)
    publish(lake, "duo", "other", cast, step_ms=200, space=OTHER)
    solo = publish(lake, "solo", "sparse", {BOB: LATE}, step_ms=200)
    enrol(lake)
    leave_behind(lake, duo)
    return Planted(root, duo, solo)


def enrol(lake: Lake) -> None:
    """Ann and Bob, by the first model alone."""
    rows, vectors = [], []
    for who, name in ((ANN, "Ann"), (BOB, "Bob")):
        for number, vector in enumerate(person(who, 2, f"photo{name}")):
            rows.append(
                {
                    "exemplar_id": f"{name}-{number}",
                    "identity": name,
                    "photo": f"/photos/{name}/{number}.jpg",
                    "photo_sha256": "00",
                    "bbox_xyxy": [0.0] * 4,
                    "det_score": 0.9,
                    "quality": 0.5,
                }
            )
            vectors.append(vector)
    table = pa.Table.from_pylist(rows, EXEMPLARS)
    packed = pack_embeddings(np.array(vectors))
    schema = with_embedding(EXEMPLARS, SPACE, DIM)
    lake.add_exemplars(pa.table([*table.columns, packed], schema=schema), SPACE)


def leave_behind(lake: Lake, duo: str) -> None:
    """What dead writers leave: parts no row names, staged stretches, unfinished files, a cache."""
    samples, faces, tracks, _ = sighting(
        "duo", {ANN: WHOLE}, step_ms=200, space=SPACE, seed="duo", embed_every=2
    )
    folder = f"space={SPACE}/video_id={duo}"
    for place, table in ((f"faces/{folder}", faces), (f"tracks/{folder}", tracks)):
        save_table(table, lake.root / place / "part-dead-0badcafe.parquet")
    lake.staging(duo, "later").put(0, StagedStretch(samples, faces, {"mark": "m"}))
    save_table(faces, Path(lake.scratch.where(".facelake-0123.part.parquet")))
    save_table(faces.drop_columns(["embedding"]), Path(lake.scratch.where("runs.parquet")))


@pytest.fixture
def planted(made: Planted, tmp_path: Path) -> Planted:
    """A copy for a test to change."""
    catalogs = tmp_path / "catalogs"
    shutil.copytree(made.root.parent, catalogs)
    return Planted(catalogs / "tv", made.duo, made.solo)


# Looking through everything ---------------------------------------------------------------------


def every_file(root: Path) -> list[Path]:
    """Files of a catalog and of its scratch."""
    places = (root, root.parent / ".staging" / root.name)
    return sorted(path for place in places for path in place.rglob("*") if path.is_file())


def contents(root: Path) -> dict[Path, bytes]:
    """The bytes of every file but locks, which are empty."""
    return {path: path.read_bytes() for path in every_file(root) if path.suffix != ".lock"}


def is_held(root: Path, patterns: list[bytes]) -> bool:
    """Whether any of the byte sequences is in any file."""
    data = [path.read_bytes() for path in every_file(root)]
    return any(pattern in one for one in data for pattern in patterns)


def every_text(root: Path, *, tombstones: bool = False) -> set[str | bytes]:
    """Every text and picture in every Parquet file, which may be compressed there."""
    told: set[str | bytes] = set()
    for path in every_file(root):
        if path.suffix == ".parquet" and ("forgotten" not in path.parts or tombstones):
            table = pq.read_table(path, partitioning=None)
            for column in table.columns:
                if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
                    told |= set(column.to_pylist())
    return told


def as_bytes(tables: list[pa.Table]) -> list[bytes]:
    """The embeddings of tables as they could lie in a file: two precisions, and their twins."""
    found = []
    for table in tables:
        known = table["embedding"].drop_null()
        vectors = unpack_embeddings(known)
        found += [row.tobytes() for row in vectors]
        found += [row.astype("<f4").tobytes() for row in vectors]
        found += encode_twins(known).to_pylist()
    return found


def without_counts(samples: pa.Table) -> pa.Table:
    return samples.drop_columns(["n_faces"])


# Nothing is left, and nothing else is changed ---------------------------------------------------


FORGET: dict[str, Callable[[Planted], dict[str, Any]]] = {
    "identity": lambda planted: {"identity": "Ann"},
    "face": lambda planted: {
        "faces": planted.faces_of(ANN, planted.duo)[0]["face_id"].to_pylist()[5:6]
    },
    "video": lambda planted: {"video": planted.duo},
}


@pytest.mark.parametrize("kind", FORGET)
def test_no_byte_of_what_was_forgotten_is_left(planted: Planted, kind: str) -> None:
    request = FORGET[kind](planted)
    gone = planted.faces_of(ANN, planted.duo)
    means = [t.slice(ANN, 1) for t in planted.tables("tracks", planted.duo).values()]
    if kind == "video":
        gone += planted.faces_of(BOB, planted.duo)
        means = list(planted.tables("tracks", planted.duo).values())
    patterns = as_bytes([*gone, *means])
    if kind == "identity":
        exemplars = planted.lake.exemplars(SPACE)
        patterns += as_bytes([exemplars.filter(pc.field("identity") == "Ann")])
    names = {name for table in gone for name in table["face_id"].to_pylist()}
    pictures = {sha256(name.encode()).digest() * 4 for name in names}
    assert is_held(planted.root, patterns[:1])
    assert names | pictures <= every_text(planted.root)

    report = planted.catalog.forget(**request)

    assert not is_held(planted.root, patterns)
    told = every_text(planted.root)
    assert not (names | pictures) & told
    assert ("Ann" in told) == (kind != "identity")
    assert "Ann" not in every_text(planted.root, tombstones=True) or kind != "identity"
    assert report.left == ()
    assert "nothing of it is left" in str(report)


@pytest.mark.parametrize("kind", FORGET)
def test_everything_that_was_not_forgotten_is_as_it_was(planted: Planted, kind: str) -> None:
    bob = planted.faces_of(BOB, planted.duo)
    tracks = planted.tables("tracks", planted.duo)
    samples = planted.tables("samples", planted.duo)
    chips = planted.tables("chips", planted.duo)
    gallery = planted.lake.exemplars(SPACE)
    untouched = {p: p.read_bytes() for p in every_file(planted.root) if planted.solo in str(p)}
    assert untouched

    planted.catalog.forget(**FORGET[kind](planted))

    assert {p: p.read_bytes() for p in every_file(planted.root) if planted.solo in str(p)} == (
        untouched
    )
    others = gallery if kind != "identity" else gallery.filter(pc.field("identity") == "Bob")
    assert planted.lake.exemplars(SPACE).equals(others)
    if kind == "video":
        assert [row["video_id"] for row in planted.runs()] == [planted.solo]
        return
    assert all(a.equals(b) for a, b in zip(planted.faces_of(BOB, planted.duo), bob, strict=True))
    for run, table in planted.tables("tracks", planted.duo).items():
        assert table.equals(tracks[run].slice(BOB, 1))
    for run, table in planted.tables("samples", planted.duo).items():
        assert without_counts(table).equals(without_counts(samples[run]))
        assert set(table["n_faces"].to_pylist()) == {1}
    for (run, table), of_bob in zip(planted.tables("chips", planted.duo).items(), bob, strict=True):
        kept = pc.is_in(chips[run]["face_id"], of_bob["face_id"].combine_chunks())
        assert table.equals(chips[run].filter(kept))


@pytest.mark.parametrize("kind", FORGET)
def test_the_catalog_is_whole_and_its_counts_are_true(planted: Planted, kind: str) -> None:
    planted.catalog.forget(**FORGET[kind](planted))
    assert not verify_catalog(planted.root).troubles
    for row in planted.runs():
        table = pq.read_table(next(planted.root.glob(f"faces/**/{_part(row)}")))
        tracks = pq.read_table(next(planted.root.glob(f"tracks/**/{_part(row)}")))
        samples = pq.read_table(next(planted.root.glob(f"samples/**/{_part(row)}")))
        assert row["n_faces"] == len(table) == pc.sum(samples["n_faces"]).as_py()
        assert row["n_embedded"] == len(table) - table["embedding"].null_count
        assert row["n_tracks"] == len(tracks)


def test_the_report_counts_what_went(planted: Planted) -> None:
    clips = planted.root.parent.parent / "clips"
    write_clips(clips, planted.duo)
    report = planted.catalog.forget(identity="Ann", outputs=[clips])
    (row,) = report.table.to_pylist()
    # Of 4 s: 20 instants at 5 a second, 100 at 25, of which the 20 are the same.
    assert (row["n_faces"], row["n_tracks"], row["n_clips"]) == (100, 1, 1)
    assert row["n_chips"] == 20 + 100 + 20
    assert row["n_files"] == 3 * 5  # of three runs the row, samples, faces, tracks and chips
    assert (row["video_id"], row["path"]) == (planted.duo, "/archive/duo.mp4")
    assert report.n_exemplars == 2
    assert report.n_other_files == 2 + 2 + 2  # parts no row names, staged ones, loose files
    assert "forgot 100 faces, 1 track, 140 pictures, 1 clip, 2 enrolled photos in 1 video" in str(
        report
    )
    assert any(f"enrolled in {OTHER}" in note for note in report.notes)


def test_a_dry_run_touches_nothing_and_says_the_same(planted: Planted) -> None:
    before = contents(planted.root)
    dry = planted.catalog.forget(identity="Ann", dry_run=True)
    assert contents(planted.root) == before
    assert dry.is_dry_run
    assert str(dry).startswith("would forget 100 faces")
    done = planted.catalog.forget(identity="Ann")
    assert done.table.equals(dry.table)
    assert (done.n_exemplars, done.n_other_files) == (dry.n_exemplars, dry.n_other_files)


def test_who_says_no_keeps_everything(planted: Planted) -> None:
    before = contents(planted.root)
    asked = []

    def refuse(planned: ForgetReport) -> bool:
        asked.append(planned)
        return False

    report = planted.catalog.forget(identity="Ann", confirm=refuse)
    assert contents(planted.root) == before
    assert asked == [report]


# Faces alone ------------------------------------------------------------------------------------


def test_faces_only_keeps_to_the_faces_and_drops_the_mean_they_were_part_of(
    planted: Planted,
) -> None:
    sparse = list(planted.tables("faces", planted.duo))
    before = dict(zip(sparse, planted.faces_of(ANN, planted.duo), strict=True))
    faces = before["sparse"]
    # The first is embedded and stands for the second.
    gone, after = faces["face_id"][0].as_py(), faces["face_id"][1].as_py()
    assert faces["embedded_face_id"][1].as_py() == gone
    means = [t.slice(ANN, 1) for t in planted.tables("tracks", planted.duo).values()]
    patterns = as_bytes([*means, *(f.filter(pc.field("face_id") == gone) for f in before.values())])

    report = planted.catalog.forget(faces=[gone], faces_only=True)

    assert report.total("n_faces") == 1
    assert not is_held(planted.root, patterns)
    assert gone not in every_text(planted.root)
    left = dict(zip(sparse, planted.faces_of(ANN, planted.duo), strict=True))
    for run, table in left.items():
        rest = before[run].filter(pc.field("face_id") != gone)
        same = ["face_id", "track_id", "embedding", "bbox_xyxy"]
        assert table.select(same).equals(rest.select(same))
    stand_in = left["sparse"]["embedded_face_id"][0].as_py()
    assert left["sparse"]["face_id"][0].as_py() == after
    assert stand_in == faces["face_id"][2].as_py()
    track = planted.tables("tracks", planted.duo)["sparse"].to_pylist()[ANN]
    assert (track["embedding"], track["cos_to_mean_min"]) == (None, None)
    assert (track["n_faces"], track["start_s"], track["end_s"]) == (19, 0.2, 3.84)
    assert not verify_catalog(planted.root).troubles


def test_an_identity_by_faces_alone_takes_those_whose_stand_in_is_theirs(planted: Planted) -> None:
    report = planted.catalog.forget(identity="Ann", faces_only=True)
    assert report.total("n_faces") == 100
    assert all(not len(table) for table in planted.faces_of(ANN, planted.duo))


def test_only_faces_at_the_threshold_are_theirs(planted: Planted) -> None:
    report = planted.catalog.forget(identity="Ann", threshold=0.999)
    assert len(report.table) == 0
    assert report.n_exemplars == 2
    assert sum(map(len, planted.faces_of(ANN, planted.duo))) == 20 + 100 + 20


# Not coming back --------------------------------------------------------------------------------


@pytest.mark.parametrize("step_ms", [30, 70, 130, 200])
def test_another_look_at_the_video_leaves_them_out(planted: Planted, step_ms: int) -> None:
    face = planted.faces_of(ANN, planted.duo)[0]["face_id"][7].as_py()
    planted.catalog.forget(faces=[face])
    cast = {ANN: WHOLE, BOB: WHOLE}  # at other instants than before
    publish(planted.lake, "duo", "again", cast, step_ms=step_ms, first_ms=13)
    again = planted.tables("faces", planted.duo)["again"]
    n_looks = len(range(13, 4000, step_ms))
    assert len(again) == n_looks
    assert set(np.array(again["bbox_xyxy"].to_pylist())[:, 1]) == {300.0}
    row = planted.lake.run_row(planted.duo, "again")
    assert (row["n_faces"], row["n_tracks"]) == (n_looks, 1)
    assert not verify_catalog(planted.root).troubles


def test_a_whole_track_goes_though_only_part_of_it_was_seen_before(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "tv")
    lake.add_space(SPACE, dim=DIM, pack=SPACE, licence="none", embedder_sha256="00")
    film = publish(lake, "duo", "short", {ANN: range(1000)}, step_ms=200)
    planted = Planted(tmp_path / "tv", film, film)
    name = planted.faces_of(ANN, film)[0]["face_id"][0].as_py()
    planted.catalog.forget(faces=[name])
    publish(lake, "duo", "long", {ANN: WHOLE}, step_ms=200)
    assert not planted.lake.run_row(film, "long")["n_faces"]


def test_a_forgotten_video_is_not_published(planted: Planted) -> None:
    planted.catalog.forget(video=planted.duo)
    with pytest.raises(ForgottenError, match="was forgotten and is not put into the catalog again"):
        publish(planted.lake, "duo", "again", {BOB: WHOLE}, step_ms=200)
    assert [row["video_id"] for row in planted.runs()] == [planted.solo]
    assert not [
        p
        for p in every_file(planted.root)
        if planted.duo in str(p) and ("forgotten" not in p.parts and p.suffix != ".lock")
    ]


def test_without_its_tombstone_a_video_comes_back(planted: Planted) -> None:
    planted.catalog.forget(video=planted.duo)
    shutil.rmtree(planted.root / "forgotten")
    publish(planted.lake, "duo", "again", {BOB: WHOLE}, step_ms=200)
    assert planted.duo in {row["video_id"] for row in planted.runs()}


def test_a_run_that_is_published_while_its_faces_are_forgotten_is_published_again_without_them(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = planted.faces_of(ANN, planted.duo)[0]["face_id"][7].as_py()
    commit = Lake._commit

    def forgotten_meanwhile(lake: Lake, video: dict[str, Any]) -> None:
        monkeypatch.undo()
        with monkeypatch.context() as patch:
            patch.setattr("facelake.lake.forget.rewrite.refuse_writers", lambda *_, **__: None)
            patch.setattr("facelake.forget.work.refuse_writers", lambda *_, **__: None)
            # As another process would: the locks of this one are not in its way.
            patch.setattr(LocalStore, "alone", ObjectStore.alone)
            patch.setattr(LocalStore, "shared", ObjectStore.shared)
            planted.catalog.forget(faces=[face])
        commit(lake, video)

    monkeypatch.setattr(Lake, "_commit", forgotten_meanwhile)
    publish(planted.lake, "duo", "again", {ANN: WHOLE, BOB: WHOLE}, step_ms=200)
    again = planted.tables("faces", planted.duo)["again"]
    assert set(np.array(again["bbox_xyxy"].to_pylist())[:, 1]) == {300.0}


def test_a_tombstone_that_cannot_be_read_stops_the_writer(planted: Planted) -> None:
    planted.catalog.forget(identity="Ann")
    (stone,) = (planted.root / "forgotten").rglob("*.parquet")
    stone.write_bytes(stone.read_bytes()[:-20])
    with pytest.raises(CatalogError, match="this tombstone must be readable, but is not"):
        publish(planted.lake, "duo", "again", {BOB: WHOLE}, step_ms=200)


def test_a_tombstone_holds_no_embedding_and_no_name(planted: Planted) -> None:
    planted.catalog.forget(identity="Ann")
    (stone,) = (planted.root / "forgotten").rglob("*.parquet")
    table = pq.read_table(stone, partitioning=None)
    assert set(table.column_names) == {
        "tombstone_id", "created_utc", "request", "scope", "content_id", "face_id", "track",
        "pts", "time_s", "shown_s", "bbox_xyxy",
    }  # fmt: skip
    assert b"Ann" not in stone.read_bytes()
    assert set(table["request"].to_pylist()) == {"identity"}
    assert set(table["scope"].to_pylist()) == {"track"}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 25).map(lambda n: 40 * n),
    st.integers(1, 25).map(lambda n: 40 * n),
    st.floats(-200, 200),
    st.floats(0.0, 1.0),
)
def test_a_walk_seen_at_other_instants_is_the_same_walk(
    old_ms: int, new_ms: int, speed: float, apart: float
) -> None:
    """Of a straight walk every look is recognised; somebody a box's width away never is."""

    def walk(step_ms: int, offset: float) -> pa.Table:
        time_s = np.arange(0, 2001, step_ms) / MS
        left = speed * time_s + offset
        boxes = np.column_stack([left, left * 0, left + 100, left * 0 + 100]).astype(np.float32)
        columns = {
            "face_id": [f"{offset}-{step_ms}-{t}" for t in time_s],
            "time_s": time_s,
            "bbox_xyxy": pa.FixedSizeListArray.from_arrays(pa.array(boxes.ravel()), 4),
            "track_id": pa.array([None] * len(time_s), pa.int32()),
        }
        return pa.table(columns)

    old = walk(old_ms, 0.0)
    n = len(old)
    stones = old.append_column("scope", pa.array(["track"] * n))
    stones = stones.append_column("track", pa.array([0] * n, pa.int32()))
    stones = stones.append_column("shown_s", pa.array([0.04] * n))
    seen = walk(new_ms, 0.0)
    within = seen["time_s"].to_numpy() <= old["time_s"].to_numpy()[-1]
    assert np.array_equal(find_forgotten(seen, stones), within)
    assert not find_forgotten(walk(new_ms, 50.0 + 100.0 * apart), stones).any()


# Interrupted ------------------------------------------------------------------------------------


class KilledError(Exception):
    """The process is killed."""


@pytest.mark.parametrize("kind", FORGET)
def test_interrupted_anywhere_it_is_whole_and_the_next_call_finishes(
    made: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    bob = made.faces_of(BOB, made.duo)
    patterns = as_bytes(made.faces_of(ANN, made.duo))
    steps = count_steps(made, tmp_path / "counted", monkeypatch, kind)
    assert steps > 10
    for step in range(len(kind) % 4, steps, 7):  # other points for each kind
        root = tmp_path / str(step)
        shutil.copytree(made.root.parent, root)
        planted = Planted(root / "tv", made.duo, made.solo)
        request = FORGET[kind](planted)
        with stopping(monkeypatch, after=step), pytest.raises(KilledError):
            planted.catalog.forget(**request)
        assert_old_or_new(planted, bob, kind)
        planted.catalog.forget(**request)
        assert not is_held(planted.root, patterns)
        assert not verify_catalog(planted.root).troubles
        shutil.rmtree(root)


def assert_old_or_new(planted: Planted, bob: list[pa.Table], kind: str) -> None:
    """Every run that a reader sees holds all that it held, or all but what is forgotten."""
    runs = {row["run"]: row for row in planted.runs() if row["video_id"] == planted.duo}
    for run, table in planted.tables("faces", planted.duo).items():
        n_bob = {"sparse": 20, "dense": 100, "other": 20}[run]
        assert len(table) == runs[run]["n_faces"]
        assert len(table) in (n_bob, 2 * n_bob)
    if kind != "video":
        kept = planted.faces_of(BOB, planted.duo)
        assert all(a.equals(b) for a, b in zip(kept, bob, strict=True))


def steps_of(monkeypatch: pytest.MonkeyPatch, each: Callable[[], None]) -> None:
    """Have something happen before each change of a file."""
    for name in ("write", "remove", "remove_tree"):
        change = getattr(LocalStore, name)

        def changing(self: LocalStore, *args: Any, change: Any = change) -> None:
            each()
            change(self, *args)

        monkeypatch.setattr(LocalStore, name, changing)


def count_steps(made: Planted, root: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> int:
    shutil.copytree(made.root.parent, root)
    planted, steps = Planted(root / "tv", made.duo, made.solo), []
    with monkeypatch.context() as patch:
        steps_of(patch, lambda: steps.append(1))
        planted.catalog.forget(**FORGET[kind](planted))
    return len(steps)


class stopping:  # noqa: N801
    """A block in which the process dies after so many changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
        self._context, self._left = monkeypatch.context(), after

    def __enter__(self) -> None:
        steps_of(self._context.__enter__(), self._step)

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def _step(self) -> None:
        if self._left == 0:
            raise KilledError
        self._left -= 1


def test_nothing_is_forgotten_while_somebody_writes(planted: Planted) -> None:
    before = contents(planted.root)
    with planted.lake.writing(), pytest.raises(CatalogError, match="nobody may write into"):
        planted.catalog.forget(identity="Ann")
    assert contents(planted.root) == before


# What is left elsewhere is told -----------------------------------------------------------------


def test_a_copy_of_the_bytes_in_a_foreign_file_is_told(planted: Planted) -> None:
    vector = unpack_embeddings(planted.faces_of(ANN, planted.duo)[0]["embedding"].drop_null())[0]
    foreign = planted.root / "faces" / "notes.bin"
    foreign.write_bytes(b"x" * 1001 + vector.tobytes() + b"y")
    report = planted.catalog.forget(identity="Ann")
    assert report.left == (f"{foreign}: holds an embedding that was forgotten; delete it",)
    assert "something is left" in str(report)


def test_the_same_picture_in_another_video_is_told(planted: Planted) -> None:
    """A copy of the film with other bytes: one may have wanted to forget that, too."""
    tables = sighting("copy", {BOB: WHOLE}, step_ms=200, space=SPACE, seed="duo", embed_every=2)
    row = planted.lake.run_row(planted.duo, "sparse")
    content = sha256(b"copy").hexdigest()
    n = {"n_faces": len(tables[1]), "n_tracks": 1, "n_embedded": 10}
    planted.lake.publish(row | n | {"video_id": "copy-x", "content_id": content}, *tables)
    report = planted.catalog.forget(video=planted.duo)
    assert len(report.left) == 10 + 1  # the embedded faces and their mean
    assert all(
        "copy-x" in sentence and "is the same picture" in sentence for sentence in (report.left)
    )


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_bytes_are_found_wherever_they_are(data: st.DataObject) -> None:
    alphabet = st.sampled_from([b"\0", b"a", b"\xff"])  # few, so that there are near misses
    chunk = st.lists(alphabet, max_size=60).map(b"".join)
    width = data.draw(st.integers(8, 12))
    whole = st.lists(alphabet, min_size=width, max_size=width).map(b"".join)
    patterns = data.draw(st.sets(whole, min_size=1, max_size=3))
    content = data.draw(st.one_of(chunk, st.tuples(chunk, whole, chunk).map(b"".join)))
    with TemporaryDirectory() as folder:
        (Path(folder) / "file").write_bytes(content)
        found = find_bytes(LocalStore(Path(folder), Path(folder)), patterns)
    assert found == (["file"] if any(p in content for p in patterns) else [])


def test_bytes_are_found_across_the_pieces_a_file_is_read_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facelake.lake.forget.traces._CHUNK_BYTES", 64)
    pattern = bytes(range(100, 140))
    for begin in range(150):
        (tmp_path / "file").write_bytes(b"\0" * begin + pattern)
        assert find_bytes(LocalStore(tmp_path, tmp_path), {pattern}) == ["file"]


def test_likenesses_are_those_of_a_comparison_with_every_embedding(planted: Planted) -> None:
    vectors = person(BOB, 3, "duo1" + SPACE).astype(np.float16)
    for min_score in (0.999, 0.9, 0.8):
        found = {
            what for _, what in find_likenesses(planted.lake, SPACE, vectors, min_score=min_score)
        }
        for path in (planted.root / "faces").rglob(f"space={SPACE}/**/*.parquet"):
            table = pq.read_table(path, partitioning=None).filter(pc.field("embedding").is_valid())
            wide = unpack_embeddings(table["embedding"]).astype(np.float64)
            wide /= np.linalg.norm(wide, axis=1, keepdims=True)
            unit = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
            best = (wide @ unit.T).max(axis=1)
            for name, score in zip(table["face_id"].to_pylist(), best, strict=True):
                assert (f"face_id {name}" in found) or score < min_score


# Clips ------------------------------------------------------------------------------------------


def write_clips(folder: Path, video_id: str) -> list[Path]:
    """A clip of Ann from 0 to 1 s and one of Bob from 2 to 3 s."""
    folder.mkdir(parents=True)
    rows = []
    for name, start_s in (("Ann", 0.0), ("Bob", 2.0)):
        row: dict[str, Any] = {
            "clip": f"{name}.mp4", "video_id": video_id, "path": "p", "identity": name,
            "start_s": start_s, "end_s": start_s + 1, "clip_start_s": start_s,
            "clip_end_s": start_s + 1, "n_frames": 25, "has_audio": False, "score_max": 0.5,
            "score_mean": 0.5, "n_hits": 5,
        }  # fmt: skip
        rows.append(row)
        (folder / row["clip"]).write_bytes(b"a film")
    write_clip_table(pa.Table.from_pylist(rows, schema=CLIPS), folder / "clips.csv")
    return [folder / f"{name}.mp4" for name in ("Ann", "Bob")]


@pytest.mark.parametrize(
    ("kind", "left"), [("identity", ["Bob.mp4"]), ("video", []), ("face", ["Bob.mp4"])]
)
def test_clips_of_them_go_with_their_lines(
    planted: Planted, tmp_path: Path, kind: str, left: list[str]
) -> None:
    write_clips(tmp_path / "out" / "deep", planted.duo)
    request = FORGET[kind](planted)
    if kind == "face":  # alone, at 0 s: Ann's clip shows that instant, Bob's does not
        first = planted.faces_of(ANN, planted.duo)[0]["face_id"][0].as_py()
        request = {"faces": [first], "faces_only": True}
    report = planted.catalog.forget(**request, outputs=[tmp_path / "out"])
    assert report.total("n_clips") == 2 - len(left)
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.mp4")) == left
    with (tmp_path / "out" / "deep" / "clips.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == CLIPS.names
    assert [row[0] for row in rows[1:]] == left


def test_a_list_of_clips_cannot_have_other_files_removed(planted: Planted, tmp_path: Path) -> None:
    write_clips(tmp_path / "out", planted.duo)
    precious = tmp_path / "precious.mp4"
    precious.write_bytes(b"mine")
    table = tmp_path / "out" / "clips.csv"
    table.write_text(table.read_text().replace("Ann.mp4", "../precious.mp4"))
    with pytest.raises(ExportError, match="must name clips of its own folder"):
        planted.catalog.forget(identity="Ann", outputs=[tmp_path / "out"])
    assert precious.exists()
    assert sum(map(len, planted.faces_of(ANN, planted.duo))) == 140


def test_a_folder_for_clips_that_is_none_is_refused_before_the_work(planted: Planted) -> None:
    with pytest.raises(ExportError, match="there is no such folder"):
        planted.catalog.forget(identity="Ann", outputs=["nowhere"])


# What is refused --------------------------------------------------------------------------------


def test_exactly_one_thing_must_be_named(planted: Planted) -> None:
    for request in ({}, {"identity": "Ann", "video": planted.duo}):
        with pytest.raises(ValueError, match="exactly one of an identity, faces and a video"):
            planted.catalog.forget(**request)  # type: ignore[arg-type]


def test_what_is_not_there_is_refused_with_a_hint(planted: Planted) -> None:
    with pytest.raises(GalleryError, match="did you mean 'Ann'"):
        planted.catalog.forget(identity="Anne")
    with pytest.raises(CatalogError, match=r"no such video; did you mean duo\.mp4"):
        planted.catalog.forget(video="dua.mp4")
    with pytest.raises(CatalogError, match="the catalog holds no such face"):
        planted.catalog.forget(faces=["0123456789abcdef"])


def test_to_forget_twice_is_no_error(planted: Planted) -> None:
    face = planted.faces_of(ANN, planted.duo)[0]["face_id"][7].as_py()
    planted.catalog.forget(faces=[face])
    assert len(planted.catalog.forget(faces=[face]).table) == 0
    planted.catalog.forget(video=planted.duo)
    assert len(planted.catalog.forget(video=planted.duo).table) == 0


@pytest.mark.parametrize("name", ["duo.mp4", "/archive/duo.mp4"])
def test_a_video_is_found_by_its_file_as_well(planted: Planted, name: str) -> None:
    report = planted.catalog.forget(video=name, dry_run=True)
    assert report.table["video_id"].to_pylist() == [planted.duo]


def test_a_video_of_which_a_file_is_damaged_can_be_forgotten(planted: Planted) -> None:
    row = planted.lake.run_row(planted.duo, "dense")
    part = next(planted.root.glob(f"faces/**/{_part(row)}"))
    part.write_bytes(part.read_bytes()[:-9])
    planted.catalog.forget(video=planted.duo)
    assert not list(planted.root.glob(f"faces/**/video_id={planted.duo}"))


def test_a_video_that_failed_can_be_forgotten(planted: Planted) -> None:
    failed = plant_video(planted.lake, "torn", {}, space=SPACE)
    planted.catalog.forget(video="torn.mp4")
    assert failed not in {row["video_id"] for row in planted.runs()}


# The command line -------------------------------------------------------------------------------


def run(*args: str | Path, **more: Any) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], **more)


def test_the_command_says_what_it_did(planted: Planted, tmp_path: Path) -> None:
    dry = run("forget", "-c", planted.root, "--identity", "Ann", "--dry-run")
    assert dry.exit_code == 0
    assert "would forget 100 faces" in dry.stderr
    out = tmp_path / "forgotten.csv"
    done = run("forget", "-c", planted.root, "--identity", "Ann", "--yes", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "nothing of it is left" in done.stderr
    (row,) = csv.DictReader(out.open())
    assert (row["video_id"], row["n_faces"]) == (planted.duo, "100")


def test_where_nobody_can_be_asked_nothing_is_forgotten(planted: Planted) -> None:
    before = contents(planted.root)
    told = run("forget", "-c", planted.root, "--video", planted.duo)
    assert told.exit_code == 2
    assert "give --yes" in told.stderr
    assert contents(planted.root) == before


@pytest.mark.parametrize(("answer", "code", "n_left"), [("n\n", 1, 140), ("y\n", 0, 0)])
def test_on_a_terminal_it_asks(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, n_left: int
) -> None:
    command = import_module("facelake.cli.forget")  # whose name the command hides
    monkeypatch.setattr(command, "_has_terminal", lambda: True)
    told = run("forget", "-c", planted.root, "--identity", "Ann", input=answer)
    assert told.exit_code == code, told.output
    assert "It cannot be undone" in told.stderr
    assert sum(map(len, planted.faces_of(ANN, planted.duo))) == n_left


def test_the_exit_code_says_that_something_is_left(planted: Planted) -> None:
    vector = unpack_embeddings(planted.faces_of(ANN, planted.duo)[0]["embedding"].drop_null())[0]
    (planted.root / "notes.bin").write_bytes(vector.tobytes())
    assert run("forget", "-c", planted.root, "--identity", "Ann", "--yes").exit_code == 3


# With a real ingest -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_fake_archive(folder, 2)
    return folder / "videos"


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.models
def test_an_ingest_leaves_out_what_was_forgotten_and_says_so(
    tmp_path: Path, pack: Path, videos: Path, scheduler: str
) -> None:
    root = tmp_path / "tv"

    def ingest(**how: Any) -> Any:
        sampling = IngestSettings(det_size=320, **how)
        return ingest_videos(root, [videos], sampling, pack=pack, scheduler=scheduler)

    ingest(sample_fps=5.0)
    catalog = open_catalog(root)
    first, second = catalog.videos()["video_id"].to_pylist()
    lake = Lake.open(root)
    (space,) = lake.spaces
    tracks = lake.tracks(second, space)
    faces = lake.faces(second, space)
    forgotten = faces.filter(pc.field("track_id") == 0)
    catalog.forget(faces=forgotten["face_id"].to_pylist()[:1])
    catalog.forget(video=first)
    n_left = lake.tracks(second, space).num_rows
    assert n_left == len(tracks) - 1

    report = ingest(sample_fps=None)

    assert report.forgotten == (str(videos / f"{first.rpartition('-')[0].replace('-', '_')}.mp4"),)
    assert "not looked at again; to lift that, delete its tombstone" in str(report)
    assert report.n_new == 1
    assert catalog.videos()["video_id"].to_pylist() == [second]
    # Every frame was looked at, and where the forgotten square was, no face is.
    dense = lake.faces(second, space)
    assert len(dense) > len(faces)
    shown = set(forgotten["time_s"].to_pylist())
    again = dense.filter(pc.is_in(dense["time_s"], pa.array(sorted(shown))))
    boxes = np.array(again["bbox_xyxy"].to_pylist()).reshape(-1, 4)
    for row in forgotten.to_pylist():
        here = boxes[np.array(again["time_s"].to_pylist()) == row["time_s"]]
        assert not (np.abs(here - np.array(row["bbox_xyxy"])).max(axis=1) < 20).any()
    assert report.n_faces == catalog.videos()["n_faces"][0].as_py()
    assert not verify_catalog(root).troubles


@pytest.mark.models
@pytest.mark.skipif(os.name != "posix", reason="asks for POSIX modes")
def test_files_are_for_the_owner_alone_also_while_an_ingest_works(
    tmp_path: Path, pack: Path, videos: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    monkeypatch.setattr("facelake.lake.Staging.clear", lambda staging: kept.append(staging.where))
    before = os.umask(0o022)
    try:
        root = tmp_path / "catalogs" / "tv"
        ingest_videos(
            root, [videos], IngestSettings(det_size=320, chips=True), pack=pack, scheduler=scheduler
        )
        open_catalog(root).describe(purpose="a test")
    finally:
        os.umask(before)
    staged = root.parent / ".staging" / "tv"
    assert list(staged.rglob("faces-*.parquet"))
    for place in (root, staged):
        modes = {path: path.stat().st_mode & 0o777 for path in (place, *place.rglob("*"))}
        assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
        assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
