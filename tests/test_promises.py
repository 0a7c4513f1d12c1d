"""docs/security.md and docs/reliability.md name a test for each promise, and these tests exist."""

import ast
import re

import pytest
from django.conf import settings

HEADING = "## What is promised, and the test that shows it"


def rows(page: str) -> list[list[str]]:
    """Return promise and tests of each row of the tables below HEADING."""
    section = (settings.BASE_DIR / "docs" / page).read_text().partition(HEADING)[2].partition("\n## ")[0]
    lines = (line for line in section.splitlines() if line.startswith("|") and not line.startswith(("| promise", "| ---", "| **")))
    return [line.strip("|").rsplit("|", 1) for line in lines]


ROWS = [row for page in ("security.md", "reliability.md") for row in rows(page)]
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
    assert len(rows("security.md")) > 35
    assert len(rows("reliability.md")) > 40
