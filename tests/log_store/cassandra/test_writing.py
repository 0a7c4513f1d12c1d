"""Events are encoded as the driver's own type would encode them."""

import re

import pytest
from cassandra.cqltypes import DoubleType, Int32Type, MapType, UserType, UTF8Type

from log_store.cassandra.schema import EVENT
from log_store.cassandra.writing import TRAILING_NULLS, event_values
from log_store.event import LogEvent
from tests.log_store.log_events import events

PROTOCOL = 5
TYPES = {"text": UTF8Type, "int": Int32Type, "double": DoubleType, "frozen<map<text, text>>": MapType.apply_parameters((UTF8Type, UTF8Type))}
# The names and types of the fields, from the statement that creates the type.
FIELDS = dict(re.findall(rf"(\w+) ({'|'.join(TYPES)})", EVENT.partition("(")[2]))
CASES = {
    "nothing": {},
    "all": {
        "service": "billing",
        "host": "pbx-1",
        "logger": "calls.router",
        "message": "naïve ☎ call",
        "method": "GET",
        "path": "/calls/é",
        "status": 503,
        "duration_ms": 1.25,
        "trace_id": "f00d",
        "extra": {"queue": "7", "ünit": "é", "agent": "", "": "no name"},
    },
    "zeros": {"status": 0, "duration_ms": 0.0},
    "an unparsed line": {"message": "?", "extra": {"unparsed": "The line is not JSON."}},
}


@pytest.mark.parametrize("case", CASES)
def test_an_event_is_encoded_as_by_the_type_of_the_driver(case: str) -> None:
    event_type = UserType.make_udt_class("logs", "event", tuple(FIELDS), tuple(TYPES[name] for name in FIELDS.values()))
    given = events("calls", 3, **CASES[case])
    assert list(event_values(given)) == [event_type.serialize(driver_value(event), PROTOCOL).removesuffix(TRAILING_NULLS) for event in given]


def driver_value(event: LogEvent) -> tuple[object, ...]:
    """Return the fields in the order of the type. An empty one is None, and the keys of a map are in the order of their bytes."""
    values = [getattr(event, name) for name in FIELDS]
    return tuple(dict(sorted(value.items())) or None if isinstance(value, dict) else None if value == "" else value for value in values)
