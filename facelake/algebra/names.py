"""What spans that were made of others' spans are called: ``Ann & Bob``, ``Ann | Bob``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from facelake.algebra.rows import number_values

if TYPE_CHECKING:
    import numpy.typing as npt

_AND, _OR = " & ", " | "


def name_both(a: str, b: str) -> str:
    """The name of time in which both are on screen; nobody is named twice.

    Examples
    --------
    >>> name_both("Ann", "Bob"), name_both("Ann & Bob", "Bob"), name_both("Ann | Bob", "Cleo")
    ('Ann & Bob', 'Ann & Bob', '(Ann | Bob) & Cleo')
    """
    parts: list[str] = []
    for name in (a, b):
        is_either = len(_split(name, _OR)) > 1
        parts += [f"({name})"] if is_either else _split(name, _AND)
    return _AND.join(dict.fromkeys(parts))


def name_either(names: Iterable[str]) -> str:
    """The name of time in which any of them is on screen; nobody is named twice.

    Examples
    --------
    >>> name_either(["Ann", "Bob"]), name_either(["Ann | Bob", "Ann"])
    ('Ann | Bob', 'Ann | Bob')
    """
    return _join_parts(_split(name, _OR) for name in names)


def _join_parts(parts: Iterable[list[str]]) -> str:
    return _OR.join(dict.fromkeys(chain.from_iterable(parts)))


def _split(name: str, separator: str) -> list[str]:
    """What stands between the separators, but for those in parentheses."""
    if separator not in name:
        return [name]
    parts: list[str] = []
    for piece in name.split(separator):
        if parts and parts[-1].count("(") > parts[-1].count(")"):
            parts[-1] += separator + piece
        else:
            parts.append(piece)
    return parts


def name_pairs(
    a: pa.ChunkedArray,
    b: pa.ChunkedArray,
    row_a: npt.NDArray[np.intp],
    row_b: npt.NDArray[np.intp],
) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """`name_both` of pairs of rows.

    Returns
    -------
    names, which
        The different names in order of the alphabet, and for each pair the number of its name.
    """
    a, b = (column.combine_chunks().dictionary_encode() for column in (a, b))
    names_a, names_b = a.dictionary.to_pylist(), b.dictionary.to_pylist()
    code = a.indices.to_numpy()[row_a].astype(np.int64) * len(names_b)
    codes, of_code = np.unique(code + b.indices.to_numpy()[row_b], return_inverse=True)
    pairs = (divmod(one, len(names_b)) for one in codes.tolist())
    told = [name_both(names_a[i], names_b[j]) for i, j in pairs]
    names = sorted(set(told))
    number = {name: n for n, name in enumerate(names)}
    which = np.array([number[name] for name in told], np.int64)[of_code]
    return pa.array(names, pa.string()), which


def name_runs(names: pa.Table, run: npt.NDArray[np.int64]) -> pa.Array:
    """`name_either` of the names of each run.

    Parameters
    ----------
    names
        Columns ``side`` and ``identity``: a run's names are in the order of both.
    run
        The number of each row's run, shape ``(n,)``, from 0 on, each there.
    """
    code = number_values(names, by=["side", "identity"])
    _, place, code = np.unique(code, return_index=True, return_inverse=True)
    texts = names["identity"].take(pa.array(place)).to_pylist()
    member = np.sort(run * len(texts) + code)  # np.unique would hash a million numbers first
    member = member[np.diff(member, prepend=-1) > 0]
    of_run, code = np.divmod(member, max(len(texts), 1))
    nth = np.arange(len(member)) - np.searchsorted(of_run, of_run)
    # Which set of names each run has so far: first its first name, then those that come to it.
    sets = [(one,) for one in range(len(texts))]
    which = code[nth == 0]
    for n in range(1, int(nth.max(initial=0)) + 1):
        runs, more = of_run[nth == n], code[nth == n]
        grown, back = np.unique(which[runs] * len(texts) + more, return_inverse=True)
        which[runs] = len(sets) + back
        sets += [(*sets[one // len(texts)], one % len(texts)) for one in grown.tolist()]
    used, which = np.unique(which, return_inverse=True)
    parts = [_split(text, _OR) for text in texts]
    told = [_join_parts(parts[one] for one in sets[number]) for number in used.tolist()]
    return pa.array(told, pa.string()).take(pa.array(which))
