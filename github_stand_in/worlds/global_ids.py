"""Global ids in GitHub's format: they contain the kind of a record, its repository and its number."""

import base64

# msgpack's type bytes for 32-bit and 64-bit numbers.
REPOSITORY_MARK, FACT_MARK = b"\xce", b"\xcf"


def global_id(kind: str, repository: int, number: int = 0) -> str:
    """Return an id in GitHub's format: the kind, then the repository and the number in msgpack. `kind`: R, PR, I, DE, RE or WFR."""
    packed = b"\x92\x00" if kind == "R" else b"\x93\x02" if kind == "WFR" else b"\x93\x00"
    packed += REPOSITORY_MARK + repository.to_bytes(4)
    if kind != "R":
        packed += FACT_MARK + number.to_bytes(8)
    return f"{kind}_{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"


def parse_global_id(text: str) -> tuple[str, int, int] | None:
    """Return the kind, repository and number of a global id, or None if it has another format."""
    kind, _, packed_text = text.partition("_")
    try:
        packed = base64.urlsafe_b64decode(packed_text + "=" * (-len(packed_text) % 4))
    except ValueError:
        return None
    repository, number = int.from_bytes(packed[3:7]), int.from_bytes(packed[8:16])
    return (kind, repository, number) if text == global_id(kind, repository, number) else None
