"""Which files a pattern names. As `glob` does, but a folder that links lead to again is looked through once."""

import glob
import os
import re
from collections.abc import Iterator
from fnmatch import translate

from etl_tasks.sources.logs.allowed_folders import ANYWHERE, Roots

ANY_FOLDERS = "**"


def paths_of(pattern: str, roots: Roots = ANYWHERE) -> list[str]:
    """What the pattern names (** goes through folders), folders left out. Raises FileNotFoundError if that is nothing.

    A folder outside the roots, which a link leads to, is named itself and not looked into.
    """
    parts = tuple(part for part in pattern.split("/") if part)
    paths = sorted(set(_named("/" if pattern.startswith("/") else "", parts, set(), roots))) if parts else []
    if not paths:
        raise FileNotFoundError(f"No file matches {pattern!r}: check the pattern, and that the worker sees this folder.")
    return paths


def _named(folder: str, parts: tuple[str, ...], visited: set[tuple[int, int, int]], roots: Roots) -> Iterator[str]:
    """`visited`: how many parts were left in which folder; a loop of links would be walked forty levels deep without it."""
    first, rest = parts[0], parts[1:]
    if glob.has_magic(first) and not roots.hold(folder or "."):
        yield folder
        return
    if first == ANY_FOLDERS:
        yield from _at_any_depth(folder, rest or ("*",), visited, roots)
        return
    for name in _names(folder, first):
        path = os.path.join(folder, name)
        if not rest and not os.path.isdir(path):
            yield path
        elif rest and os.path.isdir(path):
            yield from _named(path, rest, visited, roots)


def _at_any_depth(folder: str, rest: tuple[str, ...], visited: set[tuple[int, int, int]], roots: Roots) -> Iterator[str]:
    try:
        found = os.stat(folder or ".")
    except OSError:
        return
    here = (len(rest), found.st_dev, found.st_ino)
    if here in visited:
        return
    visited.add(here)
    if not roots.hold(folder or "."):
        yield folder
        return
    yield from _named(folder, rest, visited, roots)
    for name in _names(folder, "*"):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from _at_any_depth(path, rest, visited, roots)


def _names(folder: str, part: str) -> list[str]:
    """What of a folder one part of a pattern names. Hidden names only if the part begins with a dot, as in a shell."""
    if not glob.has_magic(part):
        return [part] if os.path.lexists(os.path.join(folder, part)) else []
    matches = re.compile(translate(part)).match
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    return sorted(name for name in names if matches(name) and (part.startswith(".") or not name.startswith(".")))
