"""GitHub's published GraphQL schema, stored without descriptions, and validation of queries against it.

To store another version: python -m github_stand_in.schema FILE VERSION. FILE is schema.graphql of the npm package
@octokit/graphql-schema, with its LICENSE.md in the same folder.
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
    """Store the schema without its descriptions, which are nine tenths of the file. The same version always gives the same bytes."""
    licence = (file.parent / "LICENSE.md").read_text()
    head = [f"@octokit/graphql-schema {version}, MIT: GitHub's schema without its descriptions", *licence.splitlines()]
    comments = "".join(f"# {line}".rstrip() + "\n" for line in head)
    text = comments + strip_ignored_characters(DESCRIPTION.sub("", file.read_text())) + "\n"
    kept.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


@lru_cache(maxsize=1)
def load() -> GraphQLSchema:
    """Return the schema without resolvers. It is not validated, which would take seconds."""
    definitions = parse(gzip.decompress(KEPT.read_bytes()).decode(), no_location=True)
    found = build_ast_schema(definitions, assume_valid=True, assume_valid_sdl=True)
    gc.collect()
    gc.freeze()  # otherwise garbage collections during an answer would visit the half a million objects of the schema
    return found


@lru_cache(maxsize=256)
def document(query: str) -> DocumentNode | tuple[GraphQLError, ...]:
    """Parse and validate a query. Return the document, or the errors."""
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
