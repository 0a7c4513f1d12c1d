"""Patterns match the same files as `glob`, and circular links do not cause endless searches."""

import glob
import os
import time
from pathlib import Path

import pytest

from etl_tasks.sources.logs.following.globbing import paths_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.log", "b.txt", ".hidden.log", "x/c.log", "x/y/d.log", "x/y/.e.log", ".f/g.log", "[h].log", "empty.log/i.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link.log").symlink_to("a.log")
    (tmp_path / "nowhere.log").symlink_to("nothing")
    (tmp_path / "linked").symlink_to("x/y")
    return tmp_path


PATTERNS = [
    "*.log",
    "a.log",
    "**/*.log",
    "**",
    "x/**",
    "*/*.log",
    "x/**/y/*.log",
    "**/y/**/*.log",
    ".*.log",
    "[[]h].log",
    "[a-b].*",
    "?.log",
    "x/../*.log",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_names_what_glob_names_without_folders(tree, pattern):
    expected = {path for path in glob.glob(str(tree / pattern), recursive=True) if not os.path.isdir(path)}

    assert {os.path.realpath(path) for path in paths_of(str(tree / pattern))} == {os.path.realpath(path) for path in expected}


def test_a_pattern_may_be_relative(tree, monkeypatch):
    monkeypatch.chdir(tree)

    assert paths_of("x/**/*.log") == ["x/c.log", "x/y/d.log"]
    assert paths_of("./a.log") == ["./a.log"]


def test_links_in_circles_end(tree):
    (tree / "x" / "up").symlink_to(tree)
    (tree / "x" / "y" / "up").symlink_to(tree / "x")
    (tree / "loop").symlink_to("loop")
    started = time.monotonic()

    found = paths_of(str(tree / "**" / "*.log"))

    assert {os.path.realpath(path) for path in found} >= {str(tree / "a.log"), str(tree / "x/c.log"), str(tree / "x/y/d.log")}
    assert len(found) < 20
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("pattern", ["", "/", "*.nothing", "x", "x/y/"])
def test_a_pattern_that_names_no_file_is_an_error(tree, pattern):
    with pytest.raises(FileNotFoundError, match="No file matches"):
        paths_of(str(tree / pattern) if pattern.strip("/") else pattern)
