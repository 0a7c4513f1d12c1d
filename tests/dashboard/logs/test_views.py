import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dora_metrics.models import Service
from etl_tasks.models import Cursor, Source
from log_store.cassandra.connection import connection as cassandra
from log_store.event import EPOCH, LogEvent, event_id, file_key
from log_store.opening import open_log_store
from log_store.store import LEVELS, position

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
    assert ">1 Mar 2026, 06:00:00.045 CST<" in text(reader)


def test_what_a_line_says_is_escaped(reader: Client, calls: Source) -> None:
    store(event(1, message="<script>alert(1)</script>\n<b>second</b>", logger="<i>"))
    page = text(reader)
    assert "<script>alert" not in page
    assert "<b>second" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_chart_links_to_its_hours(reader: Client, calls: Source) -> None:
    store(event(1), event(2, level="error"))
    page = text(reader)
    assert "1 Mar 2026, 12:00 UTC: 2 events, 0 warnings, 1 error" in page
    assert "from=2026-03-01T12%3A00%3A00%2B00%3A00" in page


def test_the_chart_counts_exactly_the_events_of_the_table(reader: Client, calls: Source) -> None:
    store(event(60 * 10), event(60 * 20), event(60 * 21, level="error"), event(60 * 50))
    page = text(reader, **{"from": "2026-03-01T12:15", "to": "2026-03-01T12:30"})
    assert "<strong>2 events</strong> from" in page
    assert ">call 1200<" in page
    assert ">call 600<" not in page
    assert "1 Mar 2026, 12:20 UTC: 1 event, 0 warnings, 0 errors" in page
    assert "<strong>1 event</strong>" in text(reader, **{"from": "2026-03-01T12:15", "to": "2026-03-01T12:30"}, level="error")
    assert "<strong>1 event</strong>" in text(reader, text="CALL 3000")
    assert "1 Mar 2026, 00:00 UTC: 4 events" in text(reader, **{"from": "2026-03-01T03:00", "to": "2026-03-12"})


def test_the_chart_of_more_events_than_were_read_follows_the_level_and_the_period(reader: Client, calls: Source) -> None:
    store(*(event(number * 5, level="warning" if number % 3 else "error") for number in range(1200)))  # 100 minutes
    assert "<strong>1,200 events</strong>" in text(reader)
    assert "<strong>400 events</strong>" in text(reader, level="error") + text(reader, level="critical")
    assert "<strong>1,080 events</strong>" in text(reader, **{"from": "2026-03-01T12:10"})
    assert "<strong>1,080 events</strong>" in text(reader, **{"from": "2026-03-01T12:10", "to": "2026-03-01T14:00"})
    assert "1 Mar 2026, 12:10 UTC: 60 events" in text(reader, **{"from": "2026-03-01T12:10", "to": "2026-03-01T14:00"})


def test_the_chart_says_that_it_counts_every_text_if_too_many_events_match(reader: Client, calls: Source) -> None:
    sentence = "count events with any text"
    store(*(event(number) for number in range(1001)), event(2000, message="rare"))
    page = text(reader, text="call")
    assert sentence in page
    assert "<strong>1,002 events</strong>" in page
    assert sentence not in text(reader, text="rare")
    assert sentence not in text(reader)


def test_it_opens_with_the_source_that_was_collected_last_and_says_the_period(reader: Client, calls: Source) -> None:
    newer = Source.objects.create(name="agents", service=calls.service, kind=Source.Kind.LOGS, path="/x", log_format="json")
    Cursor.objects.create(source=newer, stream="logs", position={})
    Cursor.objects.create(source=calls, stream="logs", position={})
    store(event(1, time=datetime.now(UTC) - timedelta(minutes=5)))
    page = reader.get(reverse("dashboard:logs")).content.decode()
    assert "<option selected>calls</option>" in page
    assert 'period=24h" aria-current="true">Last 24 hours</a>' in page
    assert "<strong>1 event</strong> since" in page
    assert ">call 1<" in page


def test_it_opens_with_the_last_day_that_has_events(reader: Client, calls: Source) -> None:
    store(event(1), event(2, time=NOW - timedelta(hours=30)), *(event(number) for number in range(3, 150)))
    page = reader.get(reverse("dashboard:logs")).content.decode()
    assert "calls has no events in the last 24 hours" in page
    assert "up to <time" in page
    assert ">call 149<" in page
    assert "1 Mar 2026, 12:00 UTC: 148 events" in page
    older = page.split('class="button" href="?')[1].split('"')[0].replace("&amp;", "&")
    assert ">call 1<" in reader.get(reverse("dashboard:logs") + "?" + older).content.decode()
    # A search is not replaced, but there is a link.
    page = reader.get(reverse("dashboard:logs"), {"period": "24h"}).content.decode()
    assert "No events. Try a longer period" in page
    assert "Show the last day that has events, up to" in page
    page = text(reader, **{"from": "2026-02-01", "to": "2026-02-02"})
    assert "Show the last day that has events, up to" in page


def test_a_search_that_finds_nothing_says_for_what_and_offers_to_drop_it(reader: Client, calls: Source) -> None:
    store(event(1))
    page = reader.get(reverse("dashboard:logs"), {"source": "calls", "text": "<zzz>"}).content.decode()
    assert "containing “&lt;zzz&gt;”" in page
    assert 'href="?source=calls&amp;period=24h">Any level and text</a>' in page


@pytest.mark.parametrize("period", ["15m", "1h", "24h", "7d", "30d"])
def test_the_chart_of_each_quick_period_has_the_total_of_the_table(reader: Client, calls: Source, period: str) -> None:
    moment = datetime.now(UTC)
    store(*(event(number, time=moment - timedelta(seconds=number / 2)) for number in range(1500)))
    page = reader.get(reverse("dashboard:logs"), {"period": period}).content.decode()
    assert "<strong>1,500 events</strong> since" in page
    assert "counted as a whole" not in page


def test_the_form_shows_a_time_with_an_offset_in_the_zone_of_the_pages(reader: Client, calls: Source, settings: Any) -> None:
    settings.ETL_TIME_ZONE = "America/Mexico_City"
    page = text(reader, **{"from": "2026-03-01T12:00:30Z", "to": "2026-03-01T19:00+01:00"})
    assert 'name="from" value="2026-03-01T06:00:30"' in page
    assert 'name="to" value="2026-03-01T12:00"' in page
    assert 'name="period"' not in page


def test_a_page_costs_at_most_15_queries(client: Client, calls: Source) -> None:
    user = User.objects.create_user("viewer")
    user.groups.add(Group.objects.get(name="Viewer"))
    client.force_login(user)
    Source.objects.bulk_create(
        Source(name=f"log {number}", service=calls.service, kind=Source.Kind.LOGS, path="/x", log_format="json") for number in range(100)
    )
    store(*(event(number * 5, trace_id="t", level=LEVELS[number % 5]) for number in range(3000)))
    addresses: list[tuple[str, dict[str, str]]] = [
        (reverse("dashboard:logs"), {}),
        (reverse("dashboard:logs"), {**DAY, "level": "debug"}),
        (reverse("dashboard:logs"), {**DAY, "level": "error", "text": "call", "from": "2026-03-01T12:10", "to": "2026-03-01T16:50"}),
        (reverse("dashboard:logs"), {**DAY, "text": "nowhere"}),
        (reverse("dashboard:log_event", args=["calls", position(event(50, level=LEVELS[0]))]), {}),
    ]
    for path, asked in addresses:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path, asked).status_code == 200
        assert len(queries) <= 15, (path, asked, [query["sql"][:120] for query in queries])


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"source": "nobody"}, "There is no log source"),
        ({"from": "soon"}, "is not a valid time"),
        ({"level": "loud"}, "There is no level"),
        ({"from": "2026-03-03"}, "ends before it begins"),
        ({"after": "nowhere"}, "is not a position"),
        ({"from": "", "to": "", "period": "aeon"}, "There is no period"),
    ],
)
def test_a_question_that_cannot_be_is_answered_with_a_sentence(reader: Client, calls: Source, asked: dict[str, str], sentence: str) -> None:
    answer = reader.get(reverse("dashboard:logs"), {**DAY, **asked})
    assert answer.status_code == 400
    assert sentence in answer.content.decode()


def test_without_any_source_it_says_how_to_add_one(reader: Client, db: None) -> None:
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


def test_an_event_s_page_says_its_time_once_and_links_to_source_service_trace_and_neighbours(client: Client, calls: Source) -> None:
    user = User.objects.create_user("viewer")
    user.groups.add(Group.objects.get(name="Viewer"))
    client.force_login(user)
    one = event(2, trace_id="abc", level="error")
    store(event(1), one, event(3))
    page = client.get(reverse("dashboard:log_event", args=["calls", position(one)])).content.decode()
    facts = page.split('<dl class="facts">')[1].split("</dl>")[0]
    assert facts.count("<time") == 1
    assert f'href="{reverse("dashboard:source", args=[calls.pk])}"' in facts
    assert f'href="{reverse("dashboard:service", args=["billing"])}"' in facts
    assert "text=abc&amp;from=2026-03-01T11%3A00%3A02%2B00%3A00" in facts
    assert "Surrounding events" in page
    for rel, neighbour in (("prev", event(1)), ("next", event(3))):
        assert f'rel="{rel}" href="{reverse("dashboard:log_event", args=["calls", position(neighbour)])}"' in page
    assert 'class="this" aria-current="true"' in page


def test_a_source_may_have_any_name(reader: Client, calls: Source) -> None:
    Source.objects.update(name="desk/<b>calls?")
    one = msgspec.structs.replace(event(2, time=EPOCH + timedelta(seconds=5), trace_id="abc"), source="desk/<b>calls?")
    store(one)
    page = reader.get(reverse("dashboard:logs")).content.decode()
    assert "desk/&lt;b&gt;calls? has no events in the last 24 hours" in page
    address = reverse("dashboard:log_event", args=[one.source, position(one)])
    assert f'href="{address}"' in page
    page = reader.get(address).content.decode()
    trace_search = page.split('<dt>Trace</dt><dd><a href="')[1].split('"')[0].replace("&amp;", "&")
    assert ">call 2<" in reader.get(trace_search).content.decode()


def test_a_service_that_only_the_line_names_is_no_link(client: Client, calls: Source) -> None:
    client.force_login(User.objects.create_superuser("lead"))
    one = event(2, service="<b>somebody")
    store(one)
    page = client.get(reverse("dashboard:log_event", args=["calls", position(one)])).content.decode()
    assert "<dd>&lt;b&gt;somebody</dd>" in page


@pytest.mark.parametrize("place", ["nowhere", "1772366400000-" + "0" * 28])
def test_an_event_that_is_not_there_is_not_found(reader: Client, calls: Source, place: str) -> None:
    answer = reader.get(reverse("dashboard:log_event", args=["calls", place]))
    assert answer.status_code == 404
    assert "It may have expired" in answer.content.decode()
    assert '<select name="source"' in answer.content.decode()


def test_a_store_that_does_not_answer_is_said_so(reader: Client, calls: Source, settings: Any) -> None:
    cassandra.drop()  # close the session of an earlier test
    settings.CASSANDRA_CONTACT_POINTS, settings.CASSANDRA_PORT = ["127.0.0.1"], 9
    answer = reader.get(reverse("dashboard:logs"), DAY)
    assert answer.status_code == 503
    assert "Cassandra cannot be reached" in answer.content.decode()
