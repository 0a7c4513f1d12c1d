"""The filter for the changes of a service that is only a part of its repository (docs/metrics.md, "Path filter")."""

import re
from collections.abc import Callable, Iterable

from dora_metrics.patterns import compiled


def path_filter(glob: str) -> Callable[[Iterable[str]], bool]:
    """Return a function that takes the changed files and returns whether any of them matches the glob.

    `*` matches any characters inside a folder, `**` matches across folders, and `?` matches one character. An empty glob matches
    everything, even if no file was changed.
    """
    if not glob:
        return lambda paths: True
    expression_of = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    matches = compiled("".join(expression_of.get(part) or re.escape(part) for part in parts))
    return lambda paths: any(matches.fullmatch(path) for path in paths)
