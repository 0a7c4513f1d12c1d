"""A JSON column gives what Django's own field gives."""

import json
from typing import Any

import pytest
from django.db import connection, models
from django.db.models.expressions import Col

from dora_metrics.json_column import JSONField
from dora_metrics.models import Issue


@pytest.mark.parametrize(
    "value",
    [None, [], {}, "ñ 💥", [{"number": 12345678901234567890123, "share": 0.1}], {"a": {"b": [True, None, -0.0, 1e300]}}, float("inf"), "\ud800"],
)
def test_it_reads_what_djangos_field_reads(value: Any) -> None:
    column = Col("issues", Issue._meta.get_field("labels"))
    for text in (json.dumps(value), json.dumps(value, indent=1)):
        assert JSONField().from_db_value(text, column, connection) == models.JSONField().from_db_value(text, column, connection) == value


def test_a_null_of_the_database_is_none_and_migrations_name_djangos_field() -> None:
    assert JSONField().from_db_value(None, Col("issues", Issue._meta.get_field("labels")), connection) is None
    assert JSONField(default=list).deconstruct()[1:] == models.JSONField(default=list).deconstruct()[1:]
