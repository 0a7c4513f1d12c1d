"""Find the files that match a pattern, as `glob` does. If a link leads to a folder that was searched already, the folder is not searched again."""

import glob
import os
import re
from collections.abc import Iterator
from fnmatch import translate

from django.utils.translation import gettext as _

from etl_tasks.sources.logs.allowed_folders import ANYWHERE, Roots

ANY_FOLDERS = "**"


def paths_of(pattern: str, roots: Roots = ANYWHERE) -> list[str]:
    """Return the files that match the pattern (** matches folders at any depth). Raises FileNotFoundError if there are none.

    If a link leads to a folder outside `roots`, the folder is not searched. Its path is returned like that of a file, and `inspect_file` refuses
    it.
    """
    parts = tuple(part for part in pattern.split("/") if part)
    paths = sorted(set(_named("/" if pattern.startswith("/") else "", parts, set(), roots))) if parts else []
    if not paths:
        raise FileNotFoundError(_("No file matches %(pattern)r: check the pattern, and that the worker sees this folder.") % {"pattern": pattern})
    return paths


def _named(folder: str, parts: tuple[str, ...], visited: set[tuple[int, int, int]], roots: Roots) -> Iterator[str]:
    """Yield the files in `folder` that match `parts`, the parts of the pattern that are left.

    `visited`: for each folder that was searched, the number of parts that were left, its device and its inode. Without this set, a loop of links
    would be followed until the system refuses: on Linux, after forty links.
    """
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
    visit = (len(rest), found.st_dev, found.st_ino)
    if visit in visited:
        return
    visited.add(visit)
    if not roots.hold(folder or "."):
        yield folder
        return
    yield from _named(folder, rest, visited, roots)
    for name in _names(folder, "*"):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from _at_any_depth(path, rest, visited, roots)


def _names(folder: str, part: str) -> list[str]:
    """Return the names in `folder` that match `part`, one part of a pattern.

    As in a shell, a name that begins with a dot matches only a part that begins with a dot.
    """
    if not glob.has_magic(part):
        return [part] if os.path.lexists(os.path.join(folder, part)) else []
    matches = re.compile(translate(part)).match
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    return sorted(name for name in names if matches(name) and (part.startswith(".") or not name.startswith(".")))
