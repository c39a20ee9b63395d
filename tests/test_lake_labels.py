"""Labels in the lake: only ever added, named by content, verified, and forgotten."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from planted import new_lake

from facelake.lake import verify_catalog
from facelake.lake.labels import add_labels, drop_labels, read_labels
from facelake.lake.layout import is_label, label_file
from facelake.schema import LABELS


def labels(*names: str, second: int = 0) -> pa.Table:
    rows = [
        {
            "label_id": f"{second}-{name}",
            "face_id": f"face of {name}",
            "video_id": "v",
            "content_id": "c",
            "pts": 1,
            "time_s": 0.5,
            "bbox_xyxy": [0, 0, 1, 1],
            "name": name,
            "kind": "is",
            "created_utc": datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC),
        }
        for name in names
    ]
    return pa.Table.from_pylist(rows, LABELS)


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "labels").glob("*"))


def test_labels_are_read_as_they_were_written_oldest_first(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "c")
    add_labels(lake, labels("Bob", second=2))
    add_labels(lake, labels("Ann", "Cid", second=1))
    assert read_labels(lake).to_pylist() == [
        *labels("Ann", "Cid", second=1).to_pylist(),
        *labels("Bob", second=2).to_pylist(),
    ]


def test_a_catalog_without_labels_has_an_empty_table(tmp_path: Path) -> None:
    assert read_labels(new_lake(tmp_path / "c")).equals(LABELS.empty_table())


def test_labels_given_at_once_are_one_file_and_adding_them_twice_changes_nothing(
    tmp_path: Path,
) -> None:
    lake = new_lake(tmp_path / "c")
    for _ in range(2):
        add_labels(lake, labels("Ann", "Bob"))
    assert len(files(tmp_path / "c")) == 1
    assert len(read_labels(lake)) == 2


def test_no_labels_are_no_file(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "c")
    add_labels(lake, labels())
    assert not (tmp_path / "c" / "labels").exists()


def test_what_is_dropped_is_in_no_file_and_the_rest_stays(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "c")
    add_labels(lake, labels("Ann Lee", "Bob"))
    add_labels(lake, labels("Cid", second=1))
    drop_labels(lake, lambda rows: np.array([n == "Ann Lee" for n in rows["name"].to_pylist()]))
    assert read_labels(lake)["name"].to_pylist() == ["Bob", "Cid"]
    left = [path.read_bytes() for path in (tmp_path / "c" / "labels").iterdir()]
    assert len(left) == 2
    assert not any(b"Ann Lee" in data for data in left)


def test_verify_knows_labels_and_finds_a_flipped_bit(tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "c")
    add_labels(lake, labels("Ann"))
    assert not verify_catalog(tmp_path / "c").troubles
    (path,) = (tmp_path / "c" / "labels").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    (trouble,) = verify_catalog(tmp_path / "c").troubles
    assert (trouble.kind, trouble.file) == ("damaged", f"labels/{path.name}")
    assert "say again who these people are" in trouble.todo


def test_labels_are_known_by_their_names() -> None:
    assert is_label(label_file("0a1b"))
    assert not is_label("labels/mine.parquet")
    assert not is_label("labels/deeper/label-1.parquet")
