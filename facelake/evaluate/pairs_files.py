"""Files that list pairs of pictures: the official ones of LFW, and plain tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from facelake.evaluate.rows import first_of, read_rows
from facelake.schema import PAIRS

_A, _B = ("image_a", "a"), ("image_b", "b")
_YES, _NO = {"1", "true", "yes", "same"}, {"0", "false", "no", "different"}


def read_pairs(paths: Iterable[str | Path]) -> pa.Table:
    """Pairs of pictures from one or more files, one after another: rows of `schema.PAIRS`.

    Parameters
    ----------
    paths
        Files ending in ``.txt`` are as LFW's own ``pairs.txt`` (Huang et al., UMass 07-49): a line
        with the number of folds and of pairs of each kind in a fold (or with that alone), then
        ``name 1 4`` for two pictures of one person and ``name 1 other 2`` for two people's. All
        others are tables with image_a, image_b (or a, b), same and, if wanted, fold.

    Raises
    ------
    ValueError
        A file is no such list.
    OSError
        It cannot be read.
    """
    rows = [row for path in paths for row in _read(Path(path))]
    return pa.Table.from_pylist(rows, schema=PAIRS)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    return _read_lfw(path) if path.suffix.lower() == ".txt" else _read_table(path)


def _read_table(path: Path) -> Iterator[dict[str, Any]]:
    for where, row in read_rows(path, what="a list of pairs", columns=(_A, _B, ("same",))):
        one, other = first_of(row, _A), first_of(row, _B)
        if one is None or other is None:
            raise ValueError(f"{where}: both pictures must be named, but one is not")
        yield {
            "image_a": one,
            "image_b": other,
            "same": _said(where, row["same"]),
            "fold": _fold(where, first_of(row, ("fold",))),
        }


def _said(where: str, value: object) -> bool:
    said = str(value).strip().lower()
    if said not in _YES | _NO:
        raise ValueError(f"{where}: same must be 1 or 0 (or true or false), but is {value!r}")
    return said in _YES


def _fold(where: str, value: str | None) -> int | None:
    try:
        return None if value is None else int(value)
    except ValueError as error:
        raise ValueError(f"{where}: fold must be a whole number, but is {value!r}") from error


def _read_lfw(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: a list of pairs must be UTF-8, but {error}") from error
    head = lines[0].split() if lines else []
    if not 1 <= len(head) <= 2 or not all(part.isdecimal() for part in head):
        raise ValueError(
            f"{path}: must begin with the number of folds and of pairs in each, as LFW's pairs.txt "
            f"does, but begins with {lines[0] if lines else ''!r}"
        )
    n_folds, in_fold = (int(head[0]), int(head[1])) if len(head) == 2 else (1, int(head[0]))
    told = [(number, line.split()) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if len(told) != 2 * n_folds * in_fold:
        raise ValueError(
            f"{path}: must hold {2 * n_folds * in_fold} pairs by its first line, but holds "
            f"{len(told)}"
        )
    for place, (number, parts) in enumerate(told):
        fold = place // (2 * in_fold) + 1 if n_folds > 1 else None
        yield _lfw_pair(f"{path}, line {number}", parts) | {"fold": fold}


def _lfw_pair(where: str, parts: Sequence[str]) -> dict[str, Any]:
    if len(parts) == 3:
        parts = [parts[0], parts[1], parts[0], parts[2]]
    if len(parts) != 4 or not (parts[1].isdecimal() and parts[3].isdecimal()):
        raise ValueError(
            f"{where}: must be 'name 1 4' or 'name 1 other 2', but is {' '.join(parts)!r}"
        )
    images = [f"{name}/{name}_{int(n):04d}.jpg" for name, n in (parts[:2], parts[2:])]
    return {"image_a": images[0], "image_b": images[1], "same": parts[0] == parts[2]}
