"""Facts that are kept packed in memory."""

from datetime import UTC, datetime

import pytest

from dora_metrics.derivation.packed import MOST_UNPACKED, ROWS_PER_BLOCK, Packed

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


def packed(count):
    found = Packed(lambda number, *rest: (number, *rest))
    for number in range(count):
        found.add((number, "ñ", NOON, None, [1], {"a": ["b"]}))
    return found


@pytest.mark.parametrize("count", [0, 1, MOST_UNPACKED, MOST_UNPACKED + 1, MOST_UNPACKED + ROWS_PER_BLOCK, MOST_UNPACKED + 3 * ROWS_PER_BLOCK])
def test_it_has_the_rows_in_their_order_each_time(count):
    found, expected = packed(count), [(number, "ñ", NOON, None, [1], {"a": ["b"]}) for number in range(count)]
    assert [*found] == [*found] == expected
    assert len(found) == count


def test_it_contains_what_is_made_of_its_rows():
    assert (ROWS_PER_BLOCK, "ñ", NOON, None, [1], {"a": ["b"]}) in packed(MOST_UNPACKED + 1)
    assert (0,) not in packed(1)
