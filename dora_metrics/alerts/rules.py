"""Rules about metrics: evaluated after each load, told of once when an episode begins and once when it ends."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils.timezone import now

from dora_metrics.alerts.receivers import has_receiver
from dora_metrics.alerts.signals import critical_alert, notify, warning_alert
from dora_metrics.calculators.deployments import STREAM_OF
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.derivation.stored_facts import coverage_of
from dora_metrics.models import AlertEpisode, AlertRule, Attempt, Delivery, Service

logger = logging.getLogger(__name__)

UP_TO_DATE = timedelta(days=2)  # one night may fail
SIGNALS = {AlertRule.Level.CRITICAL: critical_alert, AlertRule.Level.WARNING: warning_alert}


def evaluate(service: Service, *, moment: datetime | None = None) -> None:
    """Begin and end the service's episodes; call it inside the transaction that has written its rows.

    Nothing happens until somebody can be told (has_receiver): an episode that began unheard would never be told of.
    """
    if not has_receiver():
        return
    moment = moment or now()
    for rule in rules_of(service).filter(kind__in=BROKEN_BY):
        try:
            with transaction.atomic():  # what a rule does must not fail the load
                _evaluate(rule, service, moment)
        except (OperationalError, InterfaceError):
            raise  # no fault of the rule: the transaction is lost with it, and the load is tried again
        except Exception:
            logger.exception("alert_rule_failed", extra={"rule": rule.name, "service": service.name})


def _evaluate(rule: AlertRule, service: Service, moment: datetime) -> None:
    broken = BROKEN_BY[AlertRule.Kind(rule.kind)](rule, service, moment) if rule.is_enabled else ""
    if broken:
        _begin(rule, service, broken, moment)
    elif broken is not None:  # else too little is known: what lasts goes on, what has not begun does not
        _end(rule, service, moment)


def rules_of(service: Service) -> QuerySet[AlertRule]:
    return AlertRule.objects.filter(Q(service=None) | Q(service=service))


def no_deployment(rule: AlertRule, service: Service, moment: datetime) -> str | None:
    limit = moment - timedelta(days=rule.threshold)
    latest = Attempt.objects.filter(service=service, is_success=True).order_by("-finished_at").first()
    if latest and latest.finished_at >= limit:
        return ""
    source = latest.source if latest else service.deployments_from
    streams = [STREAM_OF[source]] if source in STREAM_OF else list(STREAM_OF.values())
    # Nothing was deployed, or nothing was collected: only what is collected to this day says which.
    spans = [span for stream, span in coverage_of(service, service.repositories.all()).items() if stream in streams]
    if not any(span.since < limit and span.until >= moment - UP_TO_DATE for span in spans):
        return None
    since = f"since {latest.finished_at:%Y-%m-%d %H:%M} UTC" if latest else "since collection began"
    return f"no production deployment {since}: more than {rule.threshold:g} days"


def fail_rate(rule: AlertRule, service: Service, moment: datetime) -> str | None:
    failed = list(Attempt.objects.filter(service=service).order_by("-finished_at").values_list("is_failed", flat=True)[: rule.window])
    if len(failed) < rule.window or None in failed:
        return None
    share = 100 * sum(map(bool, failed)) / len(failed)
    return f"{share:.1f} % of the latest {len(failed)} deployments failed: more than {rule.threshold:g} %" if share > rule.threshold else ""


def lead_time(rule: AlertRule, service: Service, moment: datetime) -> str | None:
    peoples = Delivery.objects.filter(service=service, is_bots=False)
    seconds = list(peoples.order_by("-deployed_at").values_list("lead_time_seconds", flat=True)[: rule.window])
    if len(seconds) < rule.window:
        return None
    hours = (percentile(seconds, 0.5) or 0.0) / 3600
    is_slow = hours > rule.threshold
    return f"half of the latest {len(seconds)} changes took longer than {hours:.1f} hours: more than {rule.threshold:g}" if is_slow else ""


# A sentence where the rule is broken, "" where it is kept, None where too little is known.
BROKEN_BY: dict[AlertRule.Kind, Callable[[AlertRule, Service, datetime], str | None]] = {
    AlertRule.Kind.NO_DEPLOYMENT: no_deployment,
    AlertRule.Kind.FAIL_RATE: fail_rate,
    AlertRule.Kind.LEAD_TIME: lead_time,
}


def _begin(rule: AlertRule, service: Service, broken: str, moment: datetime) -> None:
    episode, is_new = AlertEpisode.objects.get_or_create(rule=rule, service=service, is_open=True, defaults={"began_at": moment, "message": broken})
    if is_new:
        # Nobody could be told: the next evaluation begins it anew.
        _tell(rule, service, f"{service}: {broken}", "begun", take_back=episode.delete)


def _end(rule: AlertRule, service: Service, moment: datetime) -> None:
    open_one = AlertEpisode.objects.filter(rule=rule, service=service, is_open=True).first()
    if open_one is None:
        return
    episode = AlertEpisode.objects.filter(pk=open_one.pk)
    episode.update(is_open=None, ended_at=moment)
    if rule.is_enabled:
        _tell(rule, service, f"{service}: over: {rule}", "ended", take_back=partial(episode.update, is_open=True, ended_at=None))


def _tell(rule: AlertRule, service: Service, message: str, episode: str, *, take_back: Callable[[], object]) -> None:
    """After the commit. `take_back`: what makes a later evaluation try again, if nobody could be told."""
    context = {"stage": "metrics", "error": message, "rule": rule.name, "service": service.name, "episode": episode}

    def tell() -> None:
        if not notify(SIGNALS[AlertRule.Level(rule.level)], sender=AlertRule, message=message, context=context):
            take_back()

    transaction.on_commit(tell)


def end_silently(rule: AlertRule) -> None:
    """The open episodes of a rule that has become another one: they speak of what it was."""
    AlertEpisode.objects.filter(rule=rule, is_open=True).update(is_open=None, ended_at=now())


def overdue_rules() -> dict[int | None, AlertRule]:
    """By service (None: every other one), the enabled rule that says after how many hours without a successful run to tell."""
    return {rule.service_id: rule for rule in AlertRule.objects.filter(kind=AlertRule.Kind.NO_SUCCESS, is_enabled=True).order_by("-pk")}
