import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dora_metrics.models import Service
from etl_tasks.models import Source
from log_store.cassandra.connection import connection as cassandra
from log_store.event import LogEvent, event_id, file_key
from log_store.opening import open_log_store
from log_store.store import position

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = {"source": "calls", "from": "2026-03-01", "to": "2026-03-02"}


@pytest.fixture(autouse=True)
def _sql_store(settings: Any) -> None:
    settings.CASSANDRA_CONTACT_POINTS = []  # the view uses only the store's interface, for which both stores are tested in tests/log_store


@pytest.fixture
def calls(db: None) -> Source:
    service = Service.objects.create(name="billing")
    return Source.objects.create(name="calls", service=service, kind=Source.Kind.LOGS, path="/var/log/calls/*.log", log_format="json")


@pytest.fixture
def reader(client: Client, db: None) -> Client:
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_logeventrow"))
    client.force_login(user)
    return client


def event(number: int, **fields: Any) -> LogEvent:
    made = {"level": "info", "message": f"call {number}", "time": NOW + timedelta(seconds=number), **fields}
    return LogEvent(event_id=event_id(file_key(1, "1:2:0"), number * 100), source="calls", **made)


def store(*events: LogEvent) -> None:
    open_log_store().write(events)


def text(client: Client, **asked: str) -> str:
    answer = client.get(reverse("dashboard:logs"), {**DAY, **asked})
    assert answer.status_code == 200, answer.content.decode()[:3000]
    return answer.content.decode()


def test_who_is_not_logged_in_is_sent_to_the_login(client: Client, calls: Source) -> None:
    assert client.get(reverse("dashboard:logs")).status_code == 302


def test_staff_without_the_permission_may_not_read_log_lines(client: Client, calls: Source) -> None:
    client.force_login(User.objects.create_user("staff", is_staff=True))
    for name, args in (("logs", []), ("new_events", []), ("log_event", ["calls", "1-ab"])):
        assert client.get(reverse(f"dashboard:{name}", args=args)).status_code == 403


def test_the_newest_event_comes_first_and_the_older_ones_by_pages(reader: Client, calls: Source) -> None:
    store(*(event(number) for number in range(150)))
    first = text(reader)
    assert first.index("call 149<") < first.index("call 50<")
    assert "call 49<" not in first
    older = first.split('class="button" href="?')[1].split('"')[0].replace("&amp;", "&")
    second = reader.get(reverse("dashboard:logs") + "?" + older).content.decode()
    assert "call 49<" in second
    assert "call 0<" in second
    assert "call 50<" not in second
    assert ">Older<" not in second


def test_a_page_asks_the_database_as_often_for_a_hundred_events_as_for_one(reader: Client, calls: Source) -> None:
    def queries(path: str, **asked: str) -> int:
        with CaptureQueriesContext(connection) as asked_for:
            assert reader.get(path, asked).status_code == 200
        return len(asked_for)

    pages = (reverse("dashboard:logs"), DAY), (reverse("dashboard:log_event", args=["calls", position(event(1))]), {})
    store(event(1))
    for_one = [queries(path, **asked) for path, asked in pages]
    store(*(event(number) for number in range(150)))
    assert [queries(path, **asked) for path, asked in pages] == for_one


def test_level_and_text_narrow_it(reader: Client, calls: Source) -> None:
    store(event(1), event(2, level="error", message="queue FULL"), event(3, level="critical", message="down"), event(4, level="unknown", message="?"))
    assert "queue FULL" in text(reader, level="error")
    assert "down" in text(reader, level="error")
    assert "call 1<" not in text(reader, level="error")
    assert "queue FULL" in text(reader, text="full")
    assert "call 1<" not in text(reader, text="full")


def test_times_are_shown_in_the_business_s_zone_to_the_millisecond(reader: Client, calls: Source, settings: Any) -> None:
    settings.ETL_TIME_ZONE = "America/Mexico_City"
    store(event(1, time=NOW.replace(microsecond=45_000)))
    assert ">2026-03-01 06:00:00.045<" in text(reader)


def test_what_a_line_says_is_escaped(reader: Client, calls: Source) -> None:
    store(event(1, message="<script>alert(1)</script>\n<b>second</b>", logger="<i>"))
    page = text(reader)
    assert "<script>alert" not in page
    assert "<b>second" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_chart_links_to_its_hours(reader: Client, calls: Source) -> None:
    store(event(1), event(2, level="error"))
    page = text(reader)
    assert "2026-03-01 12:00: 2 events, 0 warnings, 1 errors" in page
    assert "from=2026-03-01T12%3A00%3A00%2B00%3A00" in page


def test_the_chart_s_first_and_last_bar_are_whole_where_the_period_begins_and_ends_inside_them(reader: Client, calls: Source) -> None:
    store(event(60 * 10), event(60 * 20), event(60 * 50))
    page = text(reader, **{"from": "2026-03-01T12:15", "to": "2026-03-01T12:30"})
    assert "2026-03-01 12:00: 3 events" in page
    assert ">call 1200<" in page
    assert ">call 600<" not in page
    assert "2026-03-01 00:00: 3 events" in text(reader, **{"from": "2026-03-01T15:00", "to": "2026-03-12"})


def test_the_chart_says_that_it_counts_what_the_search_leaves_out(reader: Client, calls: Source) -> None:
    store(event(1), event(2, level="error"))
    assert "of every level and text" in text(reader, level="error")
    assert "of every level and text" not in text(reader)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"source": "nobody"}, "there is no log source"),
        ({"from": "soon"}, "is not a valid time"),
        ({"level": "loud"}, "there is no level"),
        ({"from": "2026-03-03"}, "ends before it begins"),
        ({"after": "nowhere"}, "is not a position"),
    ],
)
def test_a_question_that_cannot_be_is_answered_with_a_sentence(reader: Client, calls: Source, asked: dict[str, str], sentence: str) -> None:
    answer = reader.get(reverse("dashboard:logs"), {**DAY, **asked})
    assert answer.status_code == 400
    assert sentence in answer.content.decode()


def test_without_a_source_it_asks_for_one(reader: Client, db: None) -> None:
    answer = reader.get(reverse("dashboard:logs"))
    assert answer.status_code == 200
    assert "add_log_source" in answer.content.decode()


def test_the_live_tail_brings_each_new_event_once(reader: Client, calls: Source) -> None:
    store(event(1), event(2))

    def poll(newest: str) -> dict[str, str]:
        answer = reader.get(reverse("dashboard:new_events"), {"source": "calls", "after": newest})
        assert answer.status_code == 200
        found: dict[str, str] = json.loads(answer.content)
        return found

    nothing = poll(position(event(2)))
    assert (nothing["html"].strip(), nothing["newest"]) == ("", position(event(2)))
    store(event(3), event(4))
    answer = poll(position(event(2)))
    assert answer["newest"] == position(event(4))
    assert answer["html"].index("call 4<") < answer["html"].index("call 3<")
    assert "call 2<" not in answer["html"]
    assert "call" not in poll(answer["newest"])["html"]


def test_the_live_tail_of_a_rare_text_goes_on_where_its_last_search_ended(reader: Client, calls: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("log_store.store.MOST_SCANNED", 20)
    store(*(event(number) for number in range(30)), event(30, message="timeout"))
    newest, found = position(event(0)), ""
    for _ in range(2):
        answer = json.loads(reader.get(reverse("dashboard:new_events"), {"source": "calls", "text": "timeout", "after": newest}).content)
        newest, found = answer["newest"], found + answer["html"]
    assert ">timeout<" in found
    assert newest == position(event(30))


def test_the_live_tail_shows_nothing_from_before_the_period(reader: Client, calls: Source) -> None:
    now = datetime.now(UTC)
    store(event(1, time=now - timedelta(minutes=30)), event(2, time=now - timedelta(minutes=1)))
    answer = reader.get(reverse("dashboard:new_events"), {"source": "calls", "from": (now - timedelta(minutes=5)).isoformat()})
    html = json.loads(answer.content)["html"]
    assert "call 2<" in html
    assert "call 1<" not in html


def test_a_poll_that_cannot_be_says_why(reader: Client, calls: Source) -> None:
    assert reader.get(reverse("dashboard:new_events"), {"source": "calls", "after": "x"}).status_code == 400


def test_an_event_has_a_page_of_its_own_with_all_it_says_and_its_neighbours(reader: Client, calls: Source) -> None:
    one = event(30, level="error", message="boom\n  at line 2", status=503, method="POST", path="/api", trace_id="abc", extra={"deploy.sha": "f00"})
    store(*(event(number) for number in range(60) if number != 30), one)
    answer = reader.get(reverse("dashboard:log_event", args=["calls", position(one)]))
    page = answer.content.decode()
    assert answer.status_code == 200
    for part in ("boom", "at line 2", "503", "POST /api", "abc", "deploy.sha", "f00", "billing", "call 29<", "call 31<", "call 10<", "call 50<"):
        assert part in page
    assert "call 51<" not in page
    assert page.index("call 29<") < page.index("call 31<")


@pytest.mark.parametrize("place", ["nowhere", "1772366400000-" + "0" * 28])
def test_an_event_that_is_not_there_is_not_found(reader: Client, calls: Source, place: str) -> None:
    answer = reader.get(reverse("dashboard:log_event", args=["calls", place]))
    assert answer.status_code == 404
    assert "it may have reached the end of its life" in answer.content.decode()
    assert '<select name="source"' in answer.content.decode()


def test_a_store_that_does_not_answer_is_said_so(reader: Client, calls: Source, settings: Any) -> None:
    cassandra.drop()  # close the session of an earlier test
    settings.CASSANDRA_CONTACT_POINTS, settings.CASSANDRA_PORT = ["127.0.0.1"], 9
    answer = reader.get(reverse("dashboard:logs"), DAY)
    assert answer.status_code == 503
    assert "Cassandra cannot be reached" in answer.content.decode()
