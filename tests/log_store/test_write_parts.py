"""What a write is divided into."""

from datetime import UTC, datetime

from log_store.event import LogEvent, segment_of
from log_store.write_parts import parts_of


def test_an_id_of_an_older_release_that_begins_as_a_segment_is_called_lies_in_its_own() -> None:
    ids = ["old-3:0:9", "old-3:0:10"]
    assert list(map(segment_of, ids)) == ["old-3", "old-b"]

    parts = parts_of(LogEvent(event_id, "old-3", datetime(2026, 3, 1, tzinfo=UTC), "info") for event_id in ids)

    assert [part.segment for part in parts] == ["old-3", "old-b"]
