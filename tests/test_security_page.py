"""docs/security.md names a test for each promise, and these tests exist."""

import ast
import re

import pytest
from django.conf import settings

ROWS = [
    line.strip("|").rsplit("|", 1)
    for line in (settings.BASE_DIR / "docs/security.md").read_text().splitlines()
    if line.startswith("|") and not line.startswith(("| promise", "| ---", "| **"))
]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize(("promise", "cell"), [pytest.param(promise, cell, id=promise.strip()) for promise, cell in ROWS])
def test_every_promise_names_tests_that_exist(promise: str, cell: str) -> None:
    named = NAMED.findall(cell)
    assert named
    assert NAMED.sub("", cell).strip(" ,") == ""
    for path, name in named:
        tree = ast.parse((settings.BASE_DIR / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{path} has no {name}"


def test_the_table_is_read() -> None:
    assert len(ROWS) > 35
