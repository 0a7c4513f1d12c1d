"""What scripts/fuzz calls with random bytes. A target fails if it raises, which no input may cause."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

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
    from etl_tasks.sources.github.streams import BY_ID, EXISTENCE, NEXT_PAGES, SINGLE_RECORD, STREAMS
    from etl_tasks.sources.logs.formats.detection import detect
    from etl_tasks.sources.logs.formats.known_formats import format_of
    from etl_tasks.sources.logs.masking.masker import mask
    from tests.etl_tasks.sources.logs.formats.parsed import origin
    from tests.etl_tasks.sources.logs.formats.test_properties import READINGS, assert_storable

AT = datetime(2026, 3, 20, 1, tzinfo=UTC)
FORMATS = [format_of(msgspec.structs.replace(options, is_strict=is_strict)) for options in READINGS.values() for is_strict in (False, True)]
PAGES = [(stream, shape) for stream in STREAMS for shape in ("", BY_ID, NEXT_PAGES, SINGLE_RECORD, EXISTENCE)]
TIMES = ["2026-03-01T12:00:00Z", "2026-03-01 12:00:00,123", "[01/Mar/2026:12:00:00 +0000]", "Mar  1 12:00:00", "Sun Mar 01 12:00:00 2026"]


def formats(given: bytes) -> None:
    """Read a log's bytes in the format that the first byte chooses."""
    if not given:
        return
    form, body = FORMATS[given[0] % len(FORMATS)], given[1:]
    found = list(form.read(body, origin(cut_bytes=given[0] >> 7)))
    assert form.count(body) == len(found)
    ids = [one.key if isinstance(one, Bad) else one.fact.event_id for one in found]
    assert ids == sorted(set(ids))
    for one in found:
        if isinstance(one, Good):
            assert_storable(one.fact)
            msgspec.json.decode(msgspec.json.encode(one.fact))
        else:
            assert one.error
    detect(body.split(b"\n"))


def masking(given: bytes) -> None:
    """Mask secrets. Masking the result again changes nothing that a format would count."""
    masked = mask(given)
    assert masked.count(b"\n") == given.count(b"\n")
    assert mask(masked).count(b"\n") == given.count(b"\n")


def pages(given: bytes) -> None:
    """Decode an answer of GitHub as a page of the stream and shape that the first byte chooses, as extract and as transform."""
    if not given:
        return
    (stream, shape), body = PAGES[given[0] % len(PAGES)], given[1:]
    context = {"shape": shape, "ids": ["a", "b"], "repository": "R_1", "at": AT.isoformat()} if shape in (BY_ID, EXISTENCE) else {"shape": shape}
    expected = None
    if shape != EXISTENCE:
        try:
            given_context = {name: value for name, value in context.items() if name != "shape"}
            answer = Answer(url="https://api.github.com/x", status=200, body=body, etag="", next_url="", fetched_at=AT)
            expected = AnswerContent(stream, answer, shape=shape, **given_context).page(cursor={"a": 1}, resume={}, is_done=True)
        except RetriableError:
            return
    try:
        found = list(null_records.records(stream, body, context))
    except UnreadablePage:
        assert expected is None or (expected.record_count == 1 and not expected.cursor)
        return
    assert expected is None or expected.record_count == len(found)
    for one in found:
        if isinstance(one, Good):
            msgspec.json.decode(msgspec.json.encode(one.fact))
        else:
            assert one.error
            assert one.data


TARGETS: dict[str, Callable[[bytes], None]] = {"formats": formats, "masking": masking, "pages": pages}


# --- where the search begins ------------------------------------------------------------------------------------------


def seeds(target: str) -> Iterator[bytes]:
    """Yield input that reaches much of the code, to begin with."""
    if target == "pages":
        for number, (stream, shape) in enumerate(PAGES):
            record_type, _ = MAPPINGS[stream.fact_of({"shape": shape})]
            node = {field.encode_name: sample(field.type) for field in msgspec.structs.fields(record_type)}
            content = {"totalCount": 1, "pageInfo": {"hasNextPage": True, "endCursor": "x"}, "nodes": [node, node]}
            inner = node if shape in (NEXT_PAGES, SINGLE_RECORD) else [node, None] if shape == BY_ID or not stream.query else content
            for key in reversed(stream.path_in({"shape": shape})):
                inner = {key: inner}
            yield bytes([number]) + json.dumps(inner).encode()
        return
    lines = [
        *(
            '{"time": "2026-03-01T12:00:00Z", "level": "error", "message": "x"}',
            '::1 - - [01/Mar/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x"',
        ),
        *(
            "[Sun Mar 01 12:00:00 2026] [core:error] [pid 7] x",
            "<34>Mar  1 12:00:00 web-1 app[1]: x",
            '<34>1 2026-03-01T12:00:00Z web-1 app 1 - [a b="c"] x',
        ),
        *(
            "2026-03-01 12:00:00,123 ERROR a.b: x\n  at y",
            'ts=2026-03-01T12:00:00Z level=error msg="x"',
            "01.03.2026 12:00:00,123 [main] ERROR a - x (C.java:4)",
        ),
        *("password=hunter2 curl -u a:b https://a:b@c/", "Authorization: Bearer abc", "4111 1111 1111 1111", "+34 600 000 000"),
    ]
    for number in range(len(FORMATS)):
        yield bytes([number]) + "\n".join(lines).encode()
        yield from (bytes([number]) + line.encode() for line in lines)


def sample(kind: object) -> object:
    """Return a value of a field's type."""
    text = str(kind)
    if "datetime" in text:
        return TIMES[0]
    for name in sorted(vars(records), key=len, reverse=True):
        found = getattr(records, name)
        if f"records.{name}" in text and isinstance(found, type) and issubclass(found, msgspec.Struct):
            value = {field.encode_name: sample(field.type) for field in msgspec.structs.fields(found)}
            return [value, None] if "list[" in text else value
    return 7 if "int" in text else True if "bool" in text else "x"


def words(target: str) -> set[str]:
    """Return what is often part of such input."""
    if target != "pages":
        return {*TIMES, "ERROR", "INFO", "level", "message", "time", "password", "Bearer ", "\\x00", "\\xff", '\\"', "\\xef\\xbb\\xbf"}
    types = [found for found in vars(records).values() if isinstance(found, type) and issubclass(found, msgspec.Struct)]
    names = {field.encode_name for found in types for field in msgspec.structs.fields(found)}
    return {
        *(f'\\"{name}\\":' for name in names),
        "null",
        "[]",
        "{}",
        "[null]",
        "-1",
        "1e999",
        "9223372036854775808",
        '\\"0001-01-01T00:00:00+14:00\\"',
    }


def main() -> None:
    target, *arguments = sys.argv[1:]
    folder = Path("var/fuzz") / target
    dictionary = folder.with_suffix(".dict")
    dictionary.write_text("".join(f'"{word}"\n' for word in sorted(words(target))))
    if not any(folder.iterdir()):
        for number, seed in enumerate(seeds(target)):
            (folder / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], f"-dict={dictionary}", *arguments], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
