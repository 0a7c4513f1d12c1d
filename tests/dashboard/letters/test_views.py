"""Dead letters as a work list."""

from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from dora_metrics.models import Service
from etl_tasks import dead_letters
from etl_tasks.models import DeadLetter, ETLRun, Source, StagedPage
from etl_tasks.models.staging import compressed
from etl_tasks.sources.registry import adapter_of

GOOD = b'{"time": "2026-03-01T12:00:00Z", "message": "call begun"}\n'
BAD = b"<script>no JSON</script>\n"
CONTEXT = {"identity": "1:2:0", "start": 1000, "written_at": "2026-03-01T12:00:00+00:00"}


@pytest.fixture
def reader(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def calls(db: None) -> Source:
    service = Service.objects.create(name="billing")
    return Source.objects.create(name="calls", service=service, kind=Source.Kind.LOGS, path="/var/log/calls/*.log", log_format="json", is_strict=True)


def a_run(source: Source) -> ETLRun:
    return ETLRun.objects.create(source=source, pipeline=source.name, trigger="beat", status="partial", stage="load", lease_until=now())


def bury_lines(source: Source, body: bytes = GOOD + BAD) -> list[DeadLetter]:
    run = a_run(source)
    page = StagedPage.objects.create(
        run=run,
        number=1,
        stream="file:calls",
        url="file:///var/log/calls/a.log#1000",
        context=CONTEXT,
        body=compressed(body),
        sha256="0" * 64,
        record_count=2,
        fetched_at=now(),
    )
    records = list(adapter_of(source).clean(source, page.stream, page.content, page.context))
    dead_letters.bury_records(run, page, [record for record in records if hasattr(record, "error")])
    return list(DeadLetter.objects.filter(run=run))


def shown(client: Client, name: str, *args: Any, **query: str) -> str:
    answer = client.get(reverse(f"dashboard:{name}", args=args), query)
    assert answer.status_code == 200, answer.content.decode()[:2000]
    return answer.content.decode()


def test_letters_with_one_cause_are_one_line(reader: Client, calls: Source) -> None:
    letters = bury_lines(calls, GOOD + BAD + b"<i>neither</i>\n")
    assert len(letters) == 2
    html = shown(reader, "letters")
    assert html.count(reverse("dashboard:letter_group", args=[letters[0].pk])) == 1
    assert "2 letters" in html
    assert "1 cause" in html


def test_a_line_of_the_list_costs_no_query_of_its_own(reader: Client, calls: Source) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            shown(reader, "letters")
        return len(found)

    bury_lines(calls)
    before = queries()
    for number in range(5):
        dead_letters.bury_stage(
            ETLRun.objects.create(
                source=Source.objects.create(name=f"s{number}", service=calls.service, kind="logs", path="/var/log/x", log_format="json"),
                pipeline="x",
                trigger="beat",
                status="running",
                lease_until=now(),
            ).pk,
            "extract",
            f"GitHub answered HTTP 50{number}",
        )
    assert queries() == before <= 15


def test_a_letter_of_a_stage_has_no_record(reader: Client, calls: Source) -> None:
    [line] = bury_lines(calls)
    assert "The record" in shown(reader, "letter", line.pk)
    ETLRun.objects.filter(pk=line.run_id).update(status="running")
    dead_letters.bury_stage(line.run_id, "extract", "GitHub answered HTTP 502")
    assert "The record" not in shown(reader, "letter", DeadLetter.objects.latest("pk").pk)


def test_the_list_shows_open_letters_unless_others_are_asked_for(reader: Client, calls: Source) -> None:
    [letter] = bury_lines(calls)
    dead_letters.discard(letter, by="a test")
    assert "No open dead letters" in shown(reader, "letters")
    assert f"/operations/letters/{letter.pk}/" in shown(reader, "letters", state="discarded")
    assert f"/operations/letters/{letter.pk}/" in shown(reader, "letters", state="all", source="calls")
    assert "No open dead letters" in shown(reader, "letters", state="nonsense")


def test_a_letter_names_its_file_and_the_byte_at_which_the_line_begins(reader: Client, calls: Source) -> None:
    [letter] = bury_lines(calls)
    html = shown(reader, "letter", letter.pk)
    assert "<code>/var/log/calls/a.log</code>" in html
    assert f"from byte {1000 + len(GOOD):,} on" in html
    assert "&lt;script&gt;no JSON" in html
    assert "<script>no" not in html


def test_a_letter_says_what_a_replay_would_do(reader: Client, calls: Source) -> None:
    [letter] = bury_lines(calls)
    assert "It would fail again:" in shown(reader, "letter", letter.pk)
    Source.objects.update(is_strict=False)
    assert "It would succeed:" in shown(reader, "letter", letter.pk)
    assert DeadLetter.objects.get().state == DeadLetter.State.OPEN


def test_a_letter_without_its_staged_copy_says_that_the_next_run_reads_it(reader: Client, calls: Source) -> None:
    [letter] = bury_lines(calls)
    StagedPage.objects.all().delete()
    assert "has no staged copy" in shown(reader, "letter", letter.pk)


def test_the_letters_of_a_cause_come_in_pages(reader: Client, calls: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.letters.views.LETTERS_PER_PAGE", 2)
    letters = bury_lines(calls, b"a\nb\nc\n")
    assert len(letters) == 3
    first = shown(reader, "letter_group", letters[0].pk)
    assert f"after={letters[1].pk}" in first
    assert f'/operations/letters/{letters[2].pk}/"' in shown(reader, "letter_group", letters[0].pk, after=str(letters[1].pk))


def test_who_may_not_read_log_lines_does_not_see_the_record(client: Client, calls: Source) -> None:
    [letter] = bury_lines(calls)
    user = User.objects.create_user("viewer")
    user.user_permissions.add(*Permission.objects.filter(codename__in=("view_deadletter", "view_service")))
    client.force_login(user)
    html = shown(client, "letter", letter.pk)
    assert "no JSON" not in html
    assert "Your account may not read them" in html
    assert "Replay" not in html.split("<main")[1].split("What failed")[0]


@pytest.mark.parametrize("name", ["letter", "letter_group"])
def test_an_unknown_letter_is_not_found(reader: Client, db: None, name: str) -> None:
    answer = reader.get(reverse(f"dashboard:{name}", args=[99]))
    assert answer.status_code == 404
    assert "There is no dead letter 99." in answer.content.decode()


def test_times_are_shown_in_the_zone_of_the_metrics(reader: Client, calls: Source, settings: Any) -> None:
    settings.ETL_TIME_ZONE = "America/Mexico_City"
    [letter] = bury_lines(calls)
    assert datetime.fromisoformat(letter.timestamp.isoformat()).tzinfo is not None
    assert " CST</time>" in shown(reader, "letters")
