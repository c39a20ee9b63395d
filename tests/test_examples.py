"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import facelake

PACKAGE = Path(facelake.__file__).parent
MODULES = [
    ".".join(["facelake", *path.relative_to(PACKAGE).with_suffix("").parts])
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>>" in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_of_a_module_gives_what_it_says(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert (failed, tried > 0) == (0, True)
