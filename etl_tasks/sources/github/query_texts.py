"""The texts of the GraphQL queries: the files in queries/, each with the fragments that it uses."""

import re
from functools import cache
from pathlib import Path

QUERIES = Path(__file__).parent / "queries"
FRAGMENTS = QUERIES / "fragments"


@cache
def query_text(file_name: str) -> str:
    """Return the query in a file of queries/, with its fragments."""
    return with_fragments((QUERIES / file_name).read_text())


def with_fragments(query: str) -> str:
    """Return the query followed by every fragment that it uses, directly or through another fragment."""
    known = _fragments()
    needed: dict[str, str] = {}
    waiting = re.findall(r"\.\.\.(\w+)", query)
    while waiting:
        name = waiting.pop()
        if name in known and name not in needed:
            needed[name] = known[name]
            waiting.extend(re.findall(r"\.\.\.(\w+)", known[name]))
    return "\n".join([query, *needed.values()])


@cache
def _fragments() -> dict[str, str]:
    """Return the text of every fragment by its name."""
    text = "\n".join(path.read_text() for path in sorted(FRAGMENTS.glob("*.graphql")))
    return {part.split()[1]: part for part in re.findall(r"^fragment .*?^}", text, re.DOTALL | re.MULTILINE)}
