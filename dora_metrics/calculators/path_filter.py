"""Which changes touch a service that is a part of its repository: docs/metrics.md, "Path filter"."""

import re
from collections.abc import Callable, Iterable

from dora_metrics.patterns import compiled


def path_filter(glob: str) -> Callable[[Iterable[str]], bool]:
    """True for changed files of which one matches: `*` inside a folder, `**` across folders, `?` one letter. Empty: always true."""
    if not glob:
        return lambda paths: True
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    matches = compiled("".join(words.get(part) or re.escape(part) for part in parts))
    return lambda paths: any(matches.fullmatch(path) for path in paths)
