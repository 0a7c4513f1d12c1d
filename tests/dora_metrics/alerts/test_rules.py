"""Alert rules: one alert when an episode (a time during which a rule is broken) begins, and one when it ends.

No episode begins while neither e-mail nor a webhook is configured.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.exceptions import ValidationError

from dora_metrics.alerts import critical_alert, rules, warning_alert
from dora_metrics.models import AlertEpisode, AlertRule, Attempt, Change, Coverage, Delivery, Service
from tests.dora_metrics.stored_rows import cover, repository_of

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 20, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def service(settings) -> Service:
    settings.ALERT_EMAILS = ["team@example.com"]
    service = Service.objects.create(name="billing")
    cover(repository_of(service), "deployments", since=NOW - 100 * DAY, until=NOW)
    return service


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str]]]:
    """Record the level and message of every alert."""
    found: list[tuple[str, str]] = []

    def hear_critical(sender: object, message: str, **_: object) -> None:
        found.append(("critical", message))

    def hear_warning(sender: object, message: str, **_: object) -> None:
        found.append(("warning", message))

    critical_alert.connect(hear_critical)
    warning_alert.connect(hear_warning)
    yield found
    critical_alert.disconnect(hear_critical)
    warning_alert.disconnect(hear_warning)


@pytest.fixture
def evaluate(service: Service, django_capture_on_commit_callbacks):
    def evaluated(moment: datetime = NOW) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            rules.evaluate(service, moment=moment)

    return evaluated


def attempt(service: Service, number: int, finished_at: datetime, **changed: object) -> Attempt:
    usual = {"environment": "production", "started_at": finished_at, "is_success": True, "is_failed": False, "is_unplanned": False, "page_id": 0}
    return Attempt.objects.create(service=service, key=str(number), source="github", finished_at=finished_at, **(usual | changed))


def delivery(service: Service, number: int, hours: float) -> None:
    when = NOW - number * DAY
    change = Change.objects.create(
        service=service,
        repository=repository_of(service),
        number=number,
        state="merged",
        base_branch="main",
        head_branch="x",
        head_sha="h",
        created_at=when,
        merged_at=when,
        version_at=when,
        run_id=0,
        page_id=0,
    )
    Delivery.objects.create(
        service=service,
        change=change,
        deployment="1",
        how="sha",
        change_start=when,
        deployed_at=when,
        lead_time_seconds=hours * 3600,
        is_bots=False,
    )


def test_the_first_two_rules_are_seeded():
    seeded = set(AlertRule.objects.values_list("kind", "level", "is_enabled"))
    assert seeded == {("no_deployment", "critical", True), ("fail_rate", "warning", True)}


def test_no_production_deployment_is_told_once_and_its_end_once(service, heard, evaluate):
    attempt(service, 1, NOW - 15 * DAY)
    evaluate()
    evaluate(NOW + DAY)
    assert heard == [("critical", "billing: no production deployment since 2026-03-05 01:00 UTC: more than 14 days")]

    attempt(service, 2, NOW + DAY)
    evaluate(NOW + 2 * DAY)
    evaluate(NOW + 2 * DAY)
    assert heard[1:] == [("critical", "billing: over: no production deployment")]
    episode = AlertEpisode.objects.get()
    assert (episode.began_at, episode.ended_at, episode.is_open) == (NOW, NOW + 2 * DAY, None)

    Coverage.objects.update(until=NOW + 30 * DAY)
    evaluate(NOW + 30 * DAY)
    assert len(heard) == 3  # a second episode sends a new alert
    assert AlertEpisode.objects.count() == 2


def test_exactly_the_limit_is_not_beyond_it(service, heard, evaluate):
    attempt(service, 1, NOW - 14 * DAY)
    evaluate()
    assert heard == []


def test_a_failed_attempt_is_no_deployment(service, heard, evaluate):
    attempt(service, 1, NOW - 15 * DAY)
    attempt(service, 2, NOW - DAY, is_success=False, is_failed=True)
    evaluate()
    assert len(heard) == 1


def test_a_service_that_was_never_deployed_is_told_of_once_it_was_collected_long_enough(service, heard, evaluate):
    Coverage.objects.update(since=NOW - 13 * DAY)
    evaluate()
    assert heard == []
    Coverage.objects.update(since=NOW - 15 * DAY)
    evaluate()
    assert heard == [("critical", "billing: no production deployment since collection began: more than 14 days")]


def test_a_fail_rate_above_the_limit_is_a_warning(service, heard, evaluate):
    for number in range(20):
        attempt(service, number, NOW - number * timedelta(hours=1), is_failed=number < 3)
    evaluate()
    assert heard == []  # exactly 15 %, which is not above the limit
    Attempt.objects.filter(key="3").update(is_failed=True)
    evaluate()
    assert heard == [("warning", "billing: 20.0 % of the latest 20 deployments failed: more than 15 %")]


def test_a_fail_rate_of_too_few_or_of_unknown_outcome_says_nothing(service, heard, evaluate):
    for number in range(19):
        attempt(service, number, NOW - number * timedelta(hours=1), is_failed=True)
    evaluate()
    attempt(service, 20, NOW, is_failed=None)
    evaluate()
    assert heard == []


def test_a_median_lead_time_above_the_limit_is_told(service, heard, evaluate):
    AlertRule.objects.create(name="slow", kind="lead_time", level="warning", threshold=24, window=3, service=service)
    attempt(service, 1, NOW)
    for number, hours in enumerate((10, 30, 40), start=1):
        delivery(service, number, hours)
    evaluate()
    assert heard == [("warning", "billing: half of the latest 3 changes took longer than 30.0 hours: more than 24")]


def test_nothing_collected_lately_is_not_nothing_deployed(service, heard, evaluate):
    attempt(service, 1, NOW - 20 * DAY)
    Coverage.objects.update(until=NOW - 19 * DAY)
    evaluate()
    assert heard == []


def test_who_could_not_be_told_is_told_the_next_time(service, heard, evaluate, settings, retries_at_once):
    settings.ALERT_EMAILS, settings.ALERT_WEBHOOK_URL = [], "http://127.0.0.1:9/"
    attempt(service, 1, NOW - 15 * DAY)
    evaluate()
    assert AlertEpisode.objects.count() == 0
    settings.ALERT_EMAILS = ["team@example.com"]
    evaluate(NOW + DAY)
    assert [letter.subject for letter in mail.outbox] == [f"[callcentersite] critical: {heard[-1][1]}"]

    settings.ALERT_EMAILS = []
    attempt(service, 2, NOW + DAY)
    evaluate(NOW + 2 * DAY)
    assert AlertEpisode.objects.get().is_open is True
    settings.ALERT_EMAILS = ["team@example.com"]
    evaluate(NOW + 3 * DAY)
    evaluate(NOW + 4 * DAY)
    assert len(mail.outbox) == 2
    assert AlertEpisode.objects.get().ended_at == NOW + 3 * DAY


def test_a_rule_that_cannot_be_evaluated_fails_no_load_and_no_other_rule(service, heard, evaluate, caplog):
    AlertRule.objects.create(name="a typing error", kind="no_deployment", level="warning", threshold=1e9)
    attempt(service, 1, NOW - 15 * DAY)
    evaluate()
    assert len(heard) == 1
    assert [record.rule for record in caplog.records if record.message == "alert_rule_failed"] == ["a typing error"]


@pytest.mark.parametrize("wrong", [{"window": 0}, {"threshold": -1}, {"threshold": 1e9}, {"window": 10**6}])
def test_a_rule_that_cannot_work_is_refused(wrong):
    rule = AlertRule(**{"name": "x", "kind": "fail_rate", "level": "warning", "threshold": 1, **wrong})
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        rule.full_clean()


def test_a_rule_that_becomes_another_one_ends_its_episodes_in_silence(service, heard, evaluate, admin_client):
    attempt(service, 1, NOW - 15 * DAY)
    evaluate()
    rule = AlertRule.objects.get(kind="no_deployment")
    form = {"name": rule.name, "kind": "lead_time", "level": "critical", "threshold": 24, "window": 20, "service": "", "is_enabled": "on"}
    assert admin_client.post(f"/admin/dora_metrics/alertrule/{rule.pk}/change/", form).status_code == 302
    assert AlertEpisode.objects.get().is_open is None
    assert len(heard) == 1


def test_another_services_rule_is_not_ours(service, heard, evaluate):
    other = Service.objects.create(name="other")
    AlertRule.objects.all().delete()
    AlertRule.objects.create(name="theirs", kind="no_deployment", level="critical", threshold=1, service=other)
    attempt(service, 1, NOW - 15 * DAY)
    evaluate()
    assert heard == []


def test_a_rule_that_is_switched_off_ends_its_episode_in_silence(service, heard, evaluate):
    attempt(service, 1, NOW - 15 * DAY)
    evaluate()
    AlertRule.objects.update(is_enabled=False)
    evaluate()
    assert len(heard) == 1
    assert AlertEpisode.objects.get().is_open is None


def test_nothing_begins_before_somebody_can_be_told(service, heard, evaluate, settings):
    settings.ALERT_EMAILS = []
    attempt(service, 1, NOW - 15 * DAY)
    evaluate()
    assert (heard, AlertEpisode.objects.count()) == ([], 0)
    settings.ALERT_WEBHOOK_URL = "http://127.0.0.1:9/"
    settings.ETL_MAX_ATTEMPTS = 1
    rules.evaluate(service, moment=NOW)
    assert AlertEpisode.objects.count() == 1
