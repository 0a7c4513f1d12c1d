"""Dates and times come out of the database as they went in, also through our own conversions of MySQL's texts."""

from datetime import UTC, date, datetime

import pytest
from django.db import connection

from callcentersite import mysql_types
from dora_metrics.models import DORAMetric, Service


@pytest.mark.parametrize("text", ["2026-02-28 13:14:15", "2026-02-28 13:14:15.000007", "2026-02-28 00:00:00.120000", "0001-01-01 00:00:00"])
def test_a_time_is_read_as_the_driver_reads_it(text: str) -> None:
    times = pytest.importorskip("MySQLdb.times")
    assert mysql_types.time_of(text) == times.DateTime_or_None(text) is not None


@pytest.mark.parametrize("text", ["2026-02-28", "9999-12-31"])
def test_a_date_is_read_as_the_driver_reads_it(text: str) -> None:
    times = pytest.importorskip("MySQLdb.times")
    assert mysql_types.date_of(text) == times.Date_or_None(text) is not None


def test_what_is_no_date_is_none() -> None:
    assert mysql_types.time_of("0000-00-00 00:00:00") is None
    assert mysql_types.date_of("0000-00-00") is None


@pytest.mark.django_db
@pytest.mark.parametrize("moment", [datetime(2026, 2, 28, 13, 14, 15, tzinfo=UTC), datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)])
def test_they_come_out_of_the_database_as_they_went_in(moment: datetime) -> None:
    service = Service.objects.create(name="billing")
    Service.objects.filter(pk=service.pk).update(created_at=moment)
    DORAMetric.objects.create(service=service, metric="x", period="day", period_start=moment.date(), period_end=date(2999, 12, 31), n=0)
    assert Service.objects.values_list("created_at", flat=True).get() == moment
    assert DORAMetric.objects.values_list("period_start", "period_end").get() == (moment.date(), date(2999, 12, 31))


@pytest.mark.skipif(connection.vendor != "mysql", reason="SQLite has no driver of its own")
@pytest.mark.django_db
def test_the_connection_uses_them() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CAST('2026-02-28 13:14:15.000007' AS DATETIME(6)), CAST('2026-02-28' AS DATE)")
        assert cursor.fetchone() == (datetime(2026, 2, 28, 13, 14, 15, 7), date(2026, 2, 28))
    assert mysql_types.time_of in connection.connection.converter.values()
