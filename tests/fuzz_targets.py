"""What scripts/fuzz calls with random bytes. A target fails if it raises, which no input may cause."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import atheris  # type: ignore[import-not-found]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
os.environ.setdefault("DJANGO_SECRET_KEY", "only-for-fuzzing")
with atheris.instrument_imports(include=["etl_tasks.sources", "etl_tasks.outcomes", "log_store.event", "dora_metrics.calculators", "json"]):
    import django

    django.setup()
    import msgspec

    from etl_tasks.errors import RetriableError
    from etl_tasks.outcomes import Bad, Good, UnreadablePage
    from etl_tasks.sources.github import null_records, records
    from etl_tasks.sources.github.client import Answer
    from etl_tasks.sources.github.mapping import MAPPINGS
    from etl_tasks.sources.github.readers.answers import AnswerContent
    from etl_tasks.sources.github.streams import BY_ID, BY_NAME, EXISTENCE, NEXT_PAGES, SINGLE_RECORD
    from etl_tasks.sources.logs.formats.detection import detect
    from etl_tasks.sources.logs.formats.known_formats import format_of
    from etl_tasks.sources.logs.masking.masker import mask
    from tests.etl_tasks.sources.github.test_damaged_answers import SHAPES
    from tests.etl_tasks.sources.logs.formats.parsed import origin
    from tests.etl_tasks.sources.logs.formats.test_properties import READINGS, assert_storable

AT = datetime(2026, 3, 20, 1, tzinfo=UTC)
FORMATS = [format_of(msgspec.structs.replace(options, is_strict=is_strict)) for options in READINGS.values() for is_strict in (False, True)]
TIMES = ("2026-03-01T12:00:00Z", "2026-03-01 12:00:00,123", "[01/Mar/2026:12:00:00 +0000]", "Mar  1 12:00:00", "Sun Mar 01 12:00:00 2026")
LINES = r"""
{"time": "2026-03-01T12:00:00Z", "level": "error", "message": "x"}
::1 - - [01/Mar/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x"
[Sun Mar 01 12:00:00 2026] [core:error] [pid 7] x
<34>Mar  1 12:00:00 web-1 app[1]: x
<34>1 2026-03-01T12:00:00Z web-1 app 1 - [a b="c"] x
2026-03-01 12:00:00,123 ERROR a.b: x
  at y
ts=2026-03-01T12:00:00Z level=error msg="deployed abc"
01.03.2026 12:00:00,123 [main] ERROR a - x (C.java:4)
password=hunter2 curl -u a:b https://a:b@c/
Authorization: Bearer abc
4111 1111 1111 1111 +34 600 000 000
""".strip().split("\n")


def formats(given: bytes) -> None:
    """Read a log's bytes in the format that the first byte chooses, or detect their format."""
    if not given:
        return
    number, body = given[0] % (len(FORMATS) + 1), given[1:]
    if number == len(FORMATS):
        assert 0 <= detect(body.split(b"\n")).share <= 1
        return
    found = list(FORMATS[number].read(body, origin(cut_bytes=given[0] >> 7)))
    assert FORMATS[number].count(body) == len(found)
    ids = [one.key if isinstance(one, Bad) else one.fact.event_id for one in found]
    assert ids == sorted(set(ids))
    for one in found:
        if isinstance(one, Good):
            assert_storable(one.fact)
        assert_stageable(one)


def assert_stageable(outcome: Good | Bad) -> None:
    """Check that what transform writes of an outcome is JSON, or that a bad record has data and a reason."""
    if isinstance(outcome, Good):
        msgspec.json.decode(msgspec.json.encode(outcome.fact))
    else:
        assert outcome.error
        outcome.error.encode()
        outcome.data.encode()


def masking(given: bytes) -> None:
    """Mask secrets, twice: as many lines are left."""
    masked = mask(given)
    assert masked.count(b"\n") == mask(masked).count(b"\n") == given.count(b"\n")


def pages(given: bytes) -> None:
    """Decode an answer of GitHub as a page of the stream and shape that the first byte chooses, as extract and as transform."""
    if not given:
        return
    (name, shape), body = SHAPES[given[0] % len(SHAPES)], given[1:]
    asked = {"ids": ["a", "b"], "repository": "R_1", "at": AT.isoformat()} if shape in (BY_ID, EXISTENCE) else {}
    expected = None
    if shape != EXISTENCE:
        answer = Answer(url="https://api.github.com/x", status=200, body=body, etag="", next_url="", fetched_at=AT)
        try:
            expected = AnswerContent(BY_NAME[name], answer, shape=shape, **asked).page(cursor={"a": 1}, resume={}, is_done=True)
        except RetriableError:
            return
    try:
        found = list(null_records.records(BY_NAME[name], body, {"shape": shape, **asked}))
    except UnreadablePage:
        # Extract has counted the page as one record and has left the stream's cursor where it was.
        assert expected is None or (expected.record_count == 1 and not expected.cursor)
        return
    assert expected is None or expected.record_count == len(found)
    for one in found:
        assert_stageable(one)


TARGETS: dict[str, Callable[[bytes], None]] = {"formats": formats, "masking": masking, "pages": pages}


# --- where the search begins ------------------------------------------------------------------------------------------


def seeds(target: str) -> Iterator[bytes]:
    """Yield input that reaches much of the code."""
    if target == "pages":
        yield from (bytes([number]) + json.dumps(answer(*page)).encode() for number, page in enumerate(SHAPES))
        return
    for number in range(len(FORMATS) + 1):
        yield bytes([number]) + "\n".join(LINES).encode()
        yield from (bytes([number]) + line.encode() for line in LINES)


def answer(name: str, shape: str) -> object:
    """Return an answer with two records of the stream."""
    stream, context = BY_NAME[name], {"shape": shape}
    record_type, _ = MAPPINGS[stream.fact_of(context)]
    record = sample(record_type)
    if shape == EXISTENCE:
        return {"data": {"nodes": [{"id": "a"}, None]}}
    found: object = {"totalCount": 2, "pageInfo": {"hasNextPage": True, "endCursor": "x"}, "nodes": [record, record]}
    if shape in (NEXT_PAGES, SINGLE_RECORD):
        found = record
    elif shape == BY_ID or not stream.query:
        found = [record, None]
    for key in reversed(stream.path_in(context)):
        found = {key: found}
    return found


def sample(kind: Any) -> Any:
    """Return a value of a type: one that is not None, and two items of a list."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        return {field.encode_name: sample(hints[field.name]) for field in msgspec.structs.fields(kind)}
    if inner := [argument for argument in get_args(kind) if argument is not type(None)]:
        return [sample(inner[0])] * 2 if get_origin(kind) is list else sample(inner[0])
    return {datetime: TIMES[0], int: 7, bool: True}.get(kind, "x")


def words(target: str) -> list[str]:
    """Return what is often part of such input, as libFuzzer's dictionaries write it."""
    if target != "pages":
        return [*TIMES, "ERROR", "INFO", "level", "message", "time", "password", "Bearer ", r"\x00", r"\xff", r"\"", r"\xef\xbb\xbf"]
    types = [found for found in vars(records).values() if isinstance(found, type) and issubclass(found, msgspec.Struct)]
    names = sorted({field.encode_name for found in types for field in msgspec.structs.fields(found)})
    values = ["null", "[]", "{}", "[null]", "-1", "1e999", "9223372036854775808", r"\"0001-01-01T00:00:00+14:00\"", r"\"\\ud800\""]
    return [*(rf"\"{name}\":" for name in names), *values]


def main() -> None:
    target, *arguments = sys.argv[1:]
    folder = Path("var/fuzz") / target
    dictionary = folder.with_suffix(".dict")
    dictionary.write_text("".join(f'"{word}"\n' for word in words(target)))
    if not any(folder.iterdir()):
        for number, seed in enumerate(seeds(target)):
            (folder / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], f"-dict={dictionary}", *arguments], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
