"""One row of every model that the admin shows. All texts are hostile, so that a page that does not escape one is found."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from django_celery_results.models import GroupResult, TaskResult

from dora_metrics.models import (
    AlertEpisode,
    AlertRule,
    ApiToken,
    Attempt,
    Change,
    Delivery,
    Deployment,
    DORAMetric,
    Incident,
    Issue,
    LogDeployment,
    LoginAttempts,
    LogTraffic,
    MetricRevision,
    Release,
    Service,
    WorkflowRun,
)
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Fault, Source, StagedPage, StreamProgress, compressed

EVIL = '<script>alert(1)</script> it\'s & "q" '
TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "javascript:alert(1)"
NESTED = {
    EVIL: [{"a": EVIL, "at": TIME.isoformat(), "url": URL}, {"b": [1, None, True, 0.3333333333333333]}],
    "empty": {},
    "link": "https://example.org/",
}


def make_every_row(name: str = "billing") -> Source:
    """Create the rows of one service, and return its source."""
    service = Service.objects.create(name=name, bots=["renovate"])
    source = Source.objects.create(name=name, service=service, kind="github", repository=f"acme/{name}", is_archived=True)
    make_ledger(source)
    make_facts(source)
    make_derived(service)
    make_schedule(name)
    ApiToken.create(f"{name} token")
    LoginAttempts.objects.create(kind="password", name=f"{name} {EVIL}", address=EVIL[:50], failures=5, failed_at=TIME, succeeded_at=TIME)
    Group.objects.get_or_create(name="a group")
    user = User.objects.create_user(f"{name} user", first_name=EVIL)
    of_service = ContentType.objects.get_for_model(Service)
    LogEntry.objects.create(user=user, content_type=of_service, object_id=str(service.pk), object_repr=EVIL, action_flag=CHANGE, change_message=EVIL)
    return source


def make_ledger(source: Source) -> None:
    run = ETLRun.objects.create(
        source=source,
        pipeline=EVIL,
        trigger="command",
        status="failed",
        options=NESTED,
        task_ids={"extract": EVIL},
        lease_until=TIME,
        started_at=TIME,
        completed_at=TIME,
        duration_seconds=88058.0,
        extract_began_at=TIME,
        extract_ended_at=TIME + timedelta(minutes=3),
        error=EVIL * 40,
    )
    page = StagedPage.objects.create(
        run=run, number=1, stream=EVIL, url=URL, context=NESTED, body=compressed(EVIL.encode()), sha256="0", record_count=1, fetched_at=TIME
    )
    StreamProgress.objects.create(run=run, stream=EVIL, cursor=NESTED)
    Cursor.objects.create(source=source, stream=EVIL, position=NESTED)
    letter: dict[str, Any] = {"source": source, "run": run, "page": page, "stage": "transform", "stream": EVIL, "error": EVIL * 40}
    DeadLetter.objects.create(**letter, key="1", kind="record", data='{"a": "</script><script>alert(1)</script>"}')
    DeadLetter.objects.create(**letter, key="2", kind="page", data=EVIL, state="replayed", resolved_at=TIME, resolved_by=EVIL)
    Fault.objects.create(name=f"{source} {EVIL}"[:100], error=EVIL)
    TaskResult.objects.create(task_id=f"{source}", task_name=EVIL, task_args=EVIL, status="FAILURE", result=EVIL, traceback=EVIL, worker=EVIL)
    GroupResult.objects.create(group_id=f"{source}", result=EVIL)


def make_facts(source: Source) -> None:
    service, repository = source.service, source.ensure_facts_repository()
    common = {"service": service, "run_id": 1, "page_id": 1, "url": URL}
    on_github = {**common, "repository": repository}
    statuses = [{"state": state, "created_at": TIME.isoformat(), "log_url": URL} for state in ("in_progress", "success", "inactive")]
    Deployment.objects.create(
        **on_github, external_id=1, environment=EVIL, sha="a" * 40, state="inactive", created_at=TIME, version_at=TIME, statuses=statuses
    )
    LogDeployment.objects.create(**common, source=EVIL, event_id="1", time=TIME, environment=EVIL, state=EVIL[:30])
    LogTraffic.objects.create(
        service=service,
        source=EVIL,
        segment="1",
        hour=TIME,
        minutes={"59": [10, 1]},
        events=10,
        errors=1,
        worst_share=100 / 3,
        run_id=1,
        page_id=1,
    )
    WorkflowRun.objects.create(
        **on_github, external_id=1, attempt=1, name=EVIL, sha="a" * 40, conclusion="timed_out", created_at=TIME, started_at=TIME, version_at=TIME
    )
    Change.objects.create(
        **on_github,
        number=12,
        title=EVIL * 10,
        state="merged",
        author=EVIL[:100],
        merged_at=TIME,
        created_at=TIME,
        version_at=TIME,
        commits=[{"sha": "a" * 40, "authored_at": TIME.isoformat()}],
        labels=[EVIL],
        gone_at=TIME,
    )
    Change.objects.create(**on_github, number=13, title="open", state="open", is_draft=True, created_at=TIME, version_at=TIME)
    Issue.objects.create(**on_github, number=1, title=EVIL, state="closed", state_reason="not_planned", created_at=TIME, version_at=TIME)
    Release.objects.create(**on_github, external_id=1, tag=EVIL, is_prerelease=True, created_at=TIME, version_at=TIME)


def make_derived(service: Service) -> None:
    repository = service.repositories.get()
    Attempt.objects.create(
        service=service,
        repository=repository,
        key="55",
        ids=["55"],
        source="github",
        environment=EVIL,
        started_at=TIME,
        finished_at=TIME,
        is_success=True,
        is_failed=True,
        causes=[{"rule": "incident", "fact": EVIL, "ended_at": TIME.isoformat()}],
        is_unplanned=True,
        unplanned=[{"rule": "revert", "fact": EVIL, "ended_at": None}],
        recovered_at=TIME + timedelta(days=2),
        flags=["low_n", EVIL],
        url=URL,
        page_id=1,
    )
    Delivery.objects.create(
        service=service,
        change=Change.objects.get(service=service, number=12),
        deployment="55",
        how="sha",
        change_start=TIME,
        deployed_at=TIME,
        lead_time_seconds=88058.0,
        is_bots=True,
        stages={"coding": 88058.0, "draft": None},
    )
    Incident.objects.create(
        service=service,
        key="logs 1",
        title=EVIL,
        started_at=TIME,
        deployment="55/1",
        how="time",
        evidence={
            "first_minute": TIME.isoformat(),
            "last_minute": TIME.isoformat(),
            "bad_minutes": 1,
            "events": 30,
            "errors": 3,
            "sources": [{"source": EVIL, "events": 30, "errors": 3, "url": URL}],
        },
        flags=["time_matched"],
        page_id=1,
    )
    value: dict[str, Any] = {"service": service, "environment": "production", "metric": "change_fail_rate", "period": "month"}
    value |= {"period_start": date(2026, 3, 1), "definition_version": "1", "run_id": 1}
    numbers = {"value": 1 / 3, "n": 3, "p50": None, "quality_flags": ["low_n"], "details": NESTED}
    DORAMetric.objects.create(**value, period_end=date(2026, 4, 1), unit="share", tier="high", is_partial=True, time_zone="UTC", **numbers)
    MetricRevision.objects.create(**value, before=numbers, after={})
    rule = AlertRule.objects.create(name=f"{service} rule", kind="fail_rate", level="warning", threshold=15, service=service)
    AlertEpisode.objects.create(rule=rule, service=service, began_at=TIME, message=EVIL)


def make_schedule(name: str) -> None:
    crontab = CrontabSchedule.objects.create(minute="7", hour="*/2", day_of_week="1-5")
    interval = IntervalSchedule.objects.create(every=5, period="minutes")
    solar, _ = SolarSchedule.objects.get_or_create(event="sunrise", latitude=1, longitude=1)
    ClockedSchedule.objects.create(clocked_time=TIME)
    PeriodicTask.objects.create(name=f"{name} nightly", task=EVIL, crontab=crontab, description=EVIL)
    PeriodicTask.objects.create(name=f"{name} often", task="etl.sweep", interval=interval)
    PeriodicTask.objects.create(name=f"{name} solar", task="etl.sweep", solar=solar)
