"""Which changes count for a service that is a part of its repository: docs/metrics.md, "Path filter"."""

import re
from collections.abc import Callable, Iterable

from dora_metrics.patterns import compiled


def path_filter(glob: str) -> Callable[[Iterable[str]], bool]:
    """Return a function that tells whether one of the changed files matches the glob.

    `*` matches inside a folder, `**` across folders, `?` one character. An empty glob matches everything.
    """
    if not glob:
        return lambda paths: True
    expression_of = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    matches = compiled("".join(expression_of.get(part) or re.escape(part) for part in parts))
    return lambda paths: any(matches.fullmatch(path) for path in paths)
