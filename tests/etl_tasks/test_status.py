"""etl_status reports whether last night's runs succeeded. Its exit status says whether an operator must act."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django_celery_beat.models import PeriodicTask

from dora_metrics.models import Service
from etl_tasks import dead_letters, ledger, night_schedule
from etl_tasks.models import ETLRun, Fault, Source
from etl_tasks.night_report import last_night, report_last_night
from etl_tasks.outcomes import Unreadable

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 11, 26, 1, tzinfo=UTC)
MORNING = NIGHT + timedelta(hours=7)
ALL_WELL = "last night (2026-11-26 01:00 UTC): 3 of 3 sources succeeded"


@pytest.fixture
def three(db: None) -> dict[str, Source]:
    """Three sources, created ten days ago, with a successful run on the night before NIGHT."""
    service = Service.objects.create(name="shop")
    found = {
        name: Source.objects.create(name=name, service=service, kind="github", repository=f"acme/{name}") for name in ("billing", "calls", "web")
    }
    Source.objects.update(created_at=NIGHT - timedelta(days=10))
    for source in found.values():
        end(begun(source, NIGHT - timedelta(days=1)), NIGHT - timedelta(hours=23))
    return found


def begun(source: Source, at: datetime, *, is_night: bool = True, **options: Any) -> ETLRun:
    with time_machine.travel(at, tick=False):
        run = ledger.open_run(source, trigger="beat" if is_night else "command", logical_date=at.date() if is_night else None, options=options)
        assert run
        return ledger.claim(run.pk, "extract", "worker")


def end(run: ETLRun, at: datetime, status: str = "success") -> None:
    with time_machine.travel(at, tick=False):
        assert ledger.close(run.pk, status)


def good(source: Source, *, at: datetime = NIGHT, **options: Any) -> None:
    end(begun(source, at, **options), at + timedelta(minutes=5))


def bad(source: Source, *, at: datetime = NIGHT, **options: Any) -> ETLRun:
    run = begun(source, at, **options)
    with time_machine.travel(at + timedelta(minutes=2), tick=False):
        assert dead_letters.bury_stage(run.pk, "extract", "GitHub answered HTTP 502")
    return run


def status(*words: str, at: datetime = MORNING) -> tuple[int, str]:
    out = StringIO()
    with time_machine.travel(at, tick=False):
        try:
            call_command("etl_status", *words, stdout=out)
        except CommandError as exc:
            return exc.returncode, out.getvalue()
    return 0, out.getvalue()


def test_a_good_night_is_one_sentence_with_times_and_status_0(three: dict[str, Source]) -> None:
    for source in three.values():
        good(source)
    found, said = status()
    assert found == 0
    assert said.splitlines()[0] == ALL_WELL
    assert "began 2026-11-26 01:00:00 UTC, ended 2026-11-26 01:05:00 UTC; last success 2026-11-26 01:05:00 UTC" in said
    assert said.splitlines()[-1] == "the next night is due at 2026-11-27 01:00:00 UTC"
    assert "needs a person" not in said


def test_a_failed_source_is_named_with_its_reason_once_and_the_status_is_1(three: dict[str, Source]) -> None:
    run = bad(three["billing"])
    good(three["calls"])
    good(three["web"])
    found, said = status()
    assert found == 1
    assert said.splitlines()[0] == "last night (2026-11-26 01:00 UTC): 2 of 3 sources succeeded; billing failed: GitHub answered HTTP 502"
    assert said.count("GitHub answered HTTP 502") == 1
    assert f"needs a person: billing: run {run.pk} failed in extract: `etl_status --run {run.pk}` says more" in said
    assert "needs a person: billing: 1 open dead letter: `dead_letters list --source billing`" in said
    assert status("--run", str(run.pk))[0] == 1


def test_json_has_the_same_facts(three: dict[str, Source]) -> None:
    run = bad(three["billing"])
    good(three["calls"])
    found, said = status("--json")
    report = json.loads(said)
    assert found == 1
    assert report["last_night"]["sentence"].endswith("1 of 3 sources succeeded; billing failed: GitHub answered HTTP 502; web did not run")
    assert (report["last_night"]["succeeded"], report["last_night"]["sources"]) == (1, 3)
    assert [(one["source"], one["outcome"], one["run"]) for one in report["last_night"]["outcomes"]][::2] == [
        ("billing", "failed", run.pk),
        ("web", "missing", None),
    ]
    assert len(report["needs_a_person"]) == 3
    assert (report["night_was_due_at"], report["next_night_due_at"]) == ("2026-11-26T01:00:00+00:00", "2026-11-27T01:00:00+00:00")
    assert report["time_zone"] == "UTC"


def test_times_are_of_the_business_s_zone_which_they_name(three: dict[str, Source], settings: Any) -> None:
    settings.ETL_TIME_ZONE = "Asia/Kolkata"
    for source in three.values():
        good(source)
    said = status()[1]
    assert "began 2026-11-26 06:30:00 IST, ended 2026-11-26 06:35:00 IST" in said


def test_a_missing_night_needs_a_person_but_not_in_its_first_minutes(three: dict[str, Source]) -> None:
    good(three["billing"])
    good(three["calls"])
    found, said = status(at=NIGHT + timedelta(minutes=6))
    assert (found, "web has not begun yet" in said) == (0, True)
    found, said = status()
    assert (found, "needs a person: web: it did not run: check that beat and a worker run" in said) == (1, True)


def test_before_the_hour_last_night_is_the_day_before(three: dict[str, Source]) -> None:
    found, said = status(at=NIGHT - timedelta(minutes=1))
    assert (found, said.splitlines()[0]) == (0, "last night (2026-11-25 01:00 UTC): 3 of 3 sources succeeded")
    assert said.splitlines()[-1] == "the next night is due at 2026-11-26 01:00:00 UTC"


def test_what_runs_or_is_postponed_needs_nobody(three: dict[str, Source]) -> None:
    good(three["billing"])
    begun(three["calls"], NIGHT)
    ledger.postpone(begun(three["web"], NIGHT), NIGHT + timedelta(minutes=45))
    found, said = status(at=NIGHT + timedelta(minutes=2))
    assert found == 0
    assert said.splitlines()[0] == (
        "last night (2026-11-26 01:00 UTC): 1 of 3 sources succeeded; calls is running (extract); web is postponed until 2026-11-26 01:45 UTC"
    )
    assert "began 2026-11-26 01:00:00 UTC, postponed until 2026-11-26 01:45:00 UTC" in said


def test_a_run_that_nobody_takes_up_needs_a_person(three: dict[str, Source]) -> None:
    for name in ("billing", "calls"):
        good(three[name])
    run = begun(three["web"], NIGHT)
    found, said = status()
    assert found == 1
    assert f"web: run {run.pk} has stood at extract since" in said
    assert "check that beat and a worker run" in said


def test_a_run_by_hand_that_succeeds_makes_up_for_the_night_and_a_backfill_does_not(three: dict[str, Source]) -> None:
    for source in three.values():
        bad(source)
    good(three["billing"], at=NIGHT + timedelta(hours=2), is_night=False)
    good(three["calls"], at=NIGHT + timedelta(hours=2), is_night=False, until="2026-01-01T00:00:00+00:00")
    assert "1 of 3 sources succeeded; calls failed: GitHub answered HTTP 502; web failed" in status()[1]


def test_an_open_dead_letter_of_a_record_or_file_needs_a_person(three: dict[str, Source]) -> None:
    for source in three.values():
        good(source)
    dead_letters.bury_unreadable(ETLRun.objects.latest("pk"), Unreadable(stream="read", name="/var/log/x", reason="no permission"))
    found, said = status()
    assert (found, said.splitlines()[:2]) == (1, [ALL_WELL, "needs a person: web: 1 open dead letter: `dead_letters list --source web`"])


def test_a_source_without_a_success_for_too_long_needs_a_person(three: dict[str, Source]) -> None:
    for name in ("billing", "calls"):
        good(three[name])
    Source.objects.filter(name="web").update(is_enabled=False)
    assert status()[0] == 0
    Source.objects.filter(name="web").update(is_enabled=True)
    ledger.postpone(begun(three["web"], MORNING - timedelta(minutes=1)), MORNING + timedelta(hours=1))
    found, said = status()
    assert (found, "needs a person: web: no successful run for 26 hours" in said) == (1, True)


def test_what_fails_beside_the_runs_needs_a_person(three: dict[str, Source]) -> None:
    for source in three.values():
        good(source)
    Fault.objects.create(name="the survey of github sources", error="GitHub is away")
    found, said = status()
    assert (found, "the survey of github sources: failing since" in said) == (1, True)


def test_a_new_source_waits_for_its_first_night(three: dict[str, Source]) -> None:
    for source in three.values():
        good(source)
    Source.objects.create(name="new", service=three["web"].service, kind="github", repository="acme/new")
    Source.objects.filter(name="new").update(created_at=MORNING - timedelta(hours=1))
    assert status()[1].splitlines()[0] == ALL_WELL
    assert status()[0] == 0


def test_where_cron_starts_the_runs_the_last_day_counts(three: dict[str, Source]) -> None:
    ETLRun.objects.all().delete()
    for source in three.values():
        good(source, at=NIGHT - timedelta(minutes=30), is_night=False)
    found, said = status()
    assert (found, said.splitlines()[0]) == (0, "the last 26 hours: 3 of 3 sources succeeded")
    for source in three.values():
        good(source, at=NIGHT + timedelta(minutes=30), is_night=False)
    assert status()[1].splitlines()[0] == ALL_WELL


def test_where_cron_starts_the_runs_a_postponed_one_waits_for_its_next_call(three: dict[str, Source]) -> None:
    ETLRun.objects.all().delete()
    for name in ("billing", "calls"):
        good(three[name], at=NIGHT, is_night=False)
    Source.objects.filter(name="web").update(created_at=MORNING - timedelta(hours=10))
    ledger.postpone(begun(three["web"], NIGHT, is_night=False), NIGHT + timedelta(minutes=45))
    found, said = status()
    assert (found, said.splitlines()[0]) == (
        0,
        "last night (2026-11-26 01:00 UTC): 2 of 3 sources succeeded; web is postponed until 2026-11-26 01:45 UTC",
    )


def test_without_a_schedule_the_last_day_counts(three: dict[str, Source]) -> None:
    PeriodicTask.objects.filter(task="etl.nightly").update(enabled=False)
    for source in three.values():
        good(source)
    found, said = status()
    assert (found, said.splitlines()[0]) == (0, "the last 26 hours: 3 of 3 sources succeeded")
    assert said.splitlines()[-1] == "no next night is due: see periodic tasks in the admin"


def test_two_hundred_sources_cost_no_more_queries_than_three(three: dict[str, Source], django_assert_max_num_queries: Any) -> None:
    more = [Source(name=f"s{n}", service=three["web"].service, kind="github", repository=f"acme/s{n}") for n in range(200)]
    Source.objects.bulk_create(more)
    Source.objects.update(created_at=NIGHT - timedelta(days=10))
    with django_assert_max_num_queries(45):
        found, said = status()
    assert found == 1
    assert said.splitlines()[0].endswith("and 193 more")


def test_the_last_and_the_next_night_are_those_of_the_admin_s_schedule(three: dict[str, Source]) -> None:
    assert night_schedule.last_night_due_at(MORNING) == NIGHT
    assert night_schedule.last_night_due_at(NIGHT - timedelta(seconds=1)) == NIGHT - timedelta(days=1)
    assert night_schedule.next_night_due_at(NIGHT) == NIGHT + timedelta(days=1)


def test_the_report_names_the_source_and_the_run_of_each_need(three: dict[str, Source]) -> None:
    good(three["billing"])
    failed = bad(three["calls"])
    with time_machine.travel(MORNING, tick=False):
        Fault.objects.create(name="sending lost runs again", error="no broker")
        needs = report_last_night(MORNING).needs
    assert [(need.kind, str(need.source), need.run and need.run.pk, need.count) for need in needs] == [
        ("fault", "None", None, 0),
        ("failed", "calls", failed.pk, 0),
        ("missing", "web", None, 0),
        ("letters", "calls", None, 1),
    ]
    assert needs[0].detail == "sending lost runs again: no broker"


def test_the_report_takes_as_many_queries_for_many_sources_as_for_few(
    three: dict[str, Source], django_assert_max_num_queries: pytest.FixtureRequest
) -> None:
    for number in range(30):
        source = Source.objects.create(name=f"more-{number}", service=three["web"].service, kind="github", repository=f"acme/more-{number}")
        Source.objects.filter(pk=source.pk).update(created_at=NIGHT - timedelta(days=10), host_silent_since=NIGHT)
        bad(source)
    for source in three.values():
        bad(source)
    with django_assert_max_num_queries(11):  # type: ignore[operator]
        report = report_last_night(MORNING)
    assert len([need for need in report.needs if need.kind == "silent"]) == 30


def test_the_outcomes_alone_are_those_of_the_report(three: dict[str, Source], django_assert_max_num_queries: Any) -> None:
    good(three["billing"])
    bad(three["calls"])
    with django_assert_max_num_queries(4):
        night = last_night(MORNING)
    report = report_last_night(MORNING)
    assert (night.due, night.is_night, night.outcomes) == (report.due, report.is_night, report.outcomes)
    assert [outcome.state for outcome in night.outcomes] == ["succeeded", "failed", "missing"]


def test_shortly_after_the_hour_the_success_of_the_night_before_does_not_count(three: dict[str, Source]) -> None:
    begun(three["billing"], NIGHT)
    good(three["calls"])
    states = [outcome.state for outcome in last_night(NIGHT + timedelta(minutes=20)).outcomes]
    assert states == ["under way", "succeeded", "missing"]


def test_letters_of_a_disabled_source_still_need_a_person(three: dict[str, Source]) -> None:
    for source in three.values():
        good(source)
    bad(three["web"], at=NIGHT + timedelta(hours=1), is_night=False)
    Source.objects.filter(name="web").update(is_enabled=False)
    assert [need.sentence for need in report_last_night(MORNING).needs] == ["web: 1 open dead letter: `dead_letters list --source web`"]
