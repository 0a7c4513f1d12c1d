"""GitHub's published GraphQL schema, kept without its descriptions, and queries checked against it.

python -m github_stand_in.schema FILE VERSION: keep another version, FILE being schema.graphql of npm's
@octokit/graphql-schema, its LICENSE.md beside it.
"""

import argparse
import gc
import gzip
import re
from functools import lru_cache
from pathlib import Path

from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse, validate
from graphql.utilities import build_ast_schema, strip_ignored_characters

KEPT = Path(__file__).parent / "published-schema.graphql.gz"
DESCRIPTION = re.compile(r'""".*?"""', re.DOTALL)


def keep(file: Path, version: str, *, kept: Path = KEPT) -> None:
    """Descriptions are nine tenths of the file; without a time in it, the same version gives the same bytes."""
    licence = (file.parent / "LICENSE.md").read_text()
    head = [f"@octokit/graphql-schema {version}, MIT: GitHub's schema without its descriptions", *licence.splitlines()]
    comments = "".join(f"# {line}".rstrip() + "\n" for line in head)
    text = comments + strip_ignored_characters(DESCRIPTION.sub("", file.read_text())) + "\n"
    kept.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


@lru_cache(maxsize=1)
def load() -> GraphQLSchema:
    """The schema without resolvers. It is taken as valid: checking it would cost seconds."""
    definitions = parse(gzip.decompress(KEPT.read_bytes()).decode(), no_location=True)
    found = build_ast_schema(definitions, assume_valid=True, assume_valid_sdl=True)
    gc.collect()
    gc.freeze()  # else each full collection walks the schema's half a million objects, in the middle of an answer
    return found


@lru_cache(maxsize=256)
def document(query: str) -> DocumentNode | tuple[GraphQLError, ...]:
    """A query, parsed and valid against the schema, or what is wrong with it."""
    try:
        parsed = parse(query)
    except GraphQLError as exc:
        return (exc,)
    return tuple(validate(load(), parsed)) or parsed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Keep another version of GitHub's published GraphQL schema.")
    parser.add_argument("file", type=Path)
    parser.add_argument("version")
    options = parser.parse_args()
    keep(options.file, options.version)
