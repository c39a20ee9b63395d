"""What a data set holds, for people (README.md) and for programs (schema.json)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

import facelake
from facelake.exchange.meanings import ADDED, MEANINGS
from facelake.schema import SCHEMA_VERSION

_FORMAT = "facelake data set"

_README = """\
# Faces in videos

Written by facelake {facelake_version} on {created_utc}. `schema.json` says the same for programs.

Times are seconds of the video's own presentation time, and `time_s` is `pts` times the video's
time base. Boxes and landmarks are pixels of the upright frame. Scores are cosine similarities in
[-1, 1]; higher is more alike. `samples` holds every instant that was looked at, also those without
a face: where it holds none, nobody looked.

## Embeddings

Space `{space}`, {dim} dimensions, unit length, made by the model pack {pack}. Compare them only
with embeddings of the same space. {kind}

Licence of the model: {licence}

A face whose `embedding` is null looks like a neighbour in its track; `embedded_face_id` names that
neighbour, and its embedding stands for both.

Embeddings of faces are biometric data. Keep, use and pass them on as the law where you are allows.

## Open it

```sql
-- DuckDB
SELECT video_id, path, time_s, det_score FROM read_parquet('{example}/*.parquet') LIMIT 10;
```

```python
import pandas as pd

table = pd.read_parquet("{example}")
```

## Tables
"""

_KINDS = {
    "list-f32": "They are lists of 32-bit floats; their values are exact in 16 bits.",
    "list-f16": "They are lists of 16-bit floats.",
    "binary": "They are 16-bit floats, little endian, as bytes of fixed size.",
    "none": "They were left out of this data set.",
}


def describe(
    tables: dict[str, tuple[pa.Schema, int]], *, space: dict[str, Any], embeddings: str
) -> dict[str, Any]:
    """What a data set holds, as it stands in ``schema.json``.

    Parameters
    ----------
    tables
        Name → columns and number of rows.
    space
        Name of the space, and what the catalog knows of it.
    embeddings
        In which form they leave.
    """
    return {
        "format": _FORMAT,
        "schema_version": SCHEMA_VERSION,
        "facelake_version": facelake.__version__,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "space": space,
        "embeddings": embeddings,
        "tables": {
            name: {"n_rows": n_rows, "columns": [_column(name, field) for field in schema]}
            for name, (schema, n_rows) in tables.items()
        },
    }


def _column(table: str, field: pa.Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": str(field.type),
        "nullable": field.nullable,
        "meaning": MEANINGS[table].get(field.name) or ADDED.get(field.name, ""),
    }


def to_readme(told: dict[str, Any]) -> str:
    """The same in words, as Markdown."""
    space = told["space"]
    head = _README.format(
        facelake_version=told["facelake_version"],
        created_utc=told["created_utc"],
        space=space["name"],
        dim=space["dim"],
        pack=space.get("pack", "unknown"),
        licence=space.get("licence", "unknown"),
        kind=_KINDS[told["embeddings"]],
        example="faces" if "faces" in told["tables"] else next(iter(told["tables"])),
    )
    return head + "".join(_section(name, table) for name, table in told["tables"].items())


def _section(name: str, table: dict[str, Any]) -> str:
    lines = [
        f"| `{column['name']}` | `{column['type']}` | {'yes' if column['nullable'] else ''} "
        f"| {column['meaning']} |"
        for column in table["columns"]
    ]
    head = ["| column | type | null | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join(["", f"### {name}", "", f"{table['n_rows']:,} rows.", "", *head, *lines, ""])


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds an export of this kind."""
    try:
        told = json.loads((folder / "schema.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("format") == _FORMAT
