"""The record of a letter, with the failed field marked."""

import json

import msgspec
import pytest

from dashboard.letters.record_text import MOST_LINES, failed_place, record_lines


class Author(msgspec.Struct):
    id: int


class Record(msgspec.Struct):
    number: int
    author: Author
    reviews: list[Author] = []
    labels: dict[str, Author] = {}


def error_of(record: dict) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(record, Record)
    return f"change: {caught.value}"


GOOD = {"number": 1, "author": {"id": 2}}


@pytest.mark.parametrize(
    ("record", "place", "marked"),
    [
        ({**GOOD, "number": "x"}, ("number",), ['  "number": "x",']),
        ({**GOOD, "author": {}}, ("author",), ['  "author": {}']),
        ({**GOOD, "reviews": [{"id": 1}, {"id": "x"}]}, ("reviews", "1", "id"), ['      "id": "x"']),
        ({**GOOD, "labels": {"bug": {"id": "x"}}}, ("labels", "*", "id"), ['      "id": "x"']),
    ],
)
def test_the_field_that_a_validation_error_names_is_marked(record: dict, place: tuple, marked: list[str]) -> None:
    error = error_of(record)
    assert failed_place(error) == place
    assert [line.text for line in record_lines(json.dumps(record), error) if line.is_marked] == marked


def test_if_a_field_of_the_record_itself_is_missing_the_whole_record_is_marked() -> None:
    record = {"number": 1}
    assert all(line.is_marked for line in record_lines(json.dumps(record), error_of(record)))


def test_the_lines_are_the_record_pretty_printed() -> None:
    record = {"a": [1, {"b": None}, []], "ü": "é\n<b>", "c": {}}
    text = "\n".join(line.text for line in record_lines(json.dumps(record), "some other error"))
    assert text == json.dumps(record, indent=2, ensure_ascii=False)


def test_a_record_that_is_not_json_is_shown_as_it_is() -> None:
    lines = record_lines("a line\nand its traceback", "no format matches")
    assert [(line.text, line.is_marked) for line in lines] == [("a line", False), ("and its traceback", False)]


def test_a_long_record_is_cut() -> None:
    assert len(record_lines(json.dumps(list(range(10_000))), "")) == MOST_LINES
