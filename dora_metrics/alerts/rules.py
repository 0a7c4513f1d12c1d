"""Alert rules about metrics, evaluated each time new facts of a service have been loaded.

A span of time during which a rule is broken for a service is an episode. One alert is sent when an episode begins, and one when it
ends.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils.timezone import now

from dora_metrics.alerts.receivers import has_receiver
from dora_metrics.alerts.signals import critical_alert, notify, warning_alert
from dora_metrics.calculators.deployment_sources import STREAM_OF
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.derivation.stored_facts import coverage_of
from dora_metrics.models import AlertEpisode, AlertRule, Attempt, Delivery, Service

logger = logging.getLogger(__name__)

COLLECTED_WITHIN = timedelta(days=2)  # two days, because the collection of one night may fail
SIGNALS = {AlertRule.Level.CRITICAL: critical_alert, AlertRule.Level.WARNING: warning_alert}


def evaluate(service: Service, *, moment: datetime | None = None) -> None:
    """Evaluate the rules for the service. Call this inside the transaction that has written the service's metrics.

    Nothing is evaluated if neither e-mail nor a webhook is configured, because no alert could be sent.
    """
    if not has_receiver():
        return
    moment = moment or now()
    for rule in rules_of(service).filter(kind__in=EVALUATORS):
        try:
            with transaction.atomic():  # an error in a rule must not make the load fail
                _evaluate(rule, service, moment)
        except (OperationalError, InterfaceError):
            raise  # the database failed, not the rule: the whole transaction is lost, and the load is retried
        except Exception:
            logger.exception("alert_rule_failed", extra={"rule": rule.name, "service": service.name})


def _evaluate(rule: AlertRule, service: Service, moment: datetime) -> None:
    broken = EVALUATORS[AlertRule.Kind(rule.kind)](rule, service, moment) if rule.is_enabled else ""
    if broken:
        _begin(rule, service, broken, moment)
    elif broken is not None:  # None: too little is known, so nothing begins or ends
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
    # Unless deployments were collected from before `limit` until two days ago or later, some may be missing. So the rule cannot be evaluated.
    spans = [span for stream, span in coverage_of(service, service.repositories.all()).items() if stream in streams]
    if not any(span.since < limit and span.until >= moment - COLLECTED_WITHIN for span in spans):
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
    deliveries = Delivery.objects.filter(service=service, is_bots=False)
    seconds = list(deliveries.order_by("-deployed_at").values_list("lead_time_seconds", flat=True)[: rule.window])
    if len(seconds) < rule.window:
        return None
    hours = (percentile(seconds, 0.5) or 0.0) / 3600
    is_slow = hours > rule.threshold
    return f"half of the latest {len(seconds)} changes took longer than {hours:.1f} hours: more than {rule.threshold:g}" if is_slow else ""


# The function that evaluates each kind of rule. It returns a sentence if the rule is broken, "" if it is not, None if too little is known.
EVALUATORS: dict[AlertRule.Kind, Callable[[AlertRule, Service, datetime], str | None]] = {
    AlertRule.Kind.NO_DEPLOYMENT: no_deployment,
    AlertRule.Kind.FAIL_RATE: fail_rate,
    AlertRule.Kind.LEAD_TIME: lead_time,
}


def _begin(rule: AlertRule, service: Service, broken: str, moment: datetime) -> None:
    episode, is_new = AlertEpisode.objects.get_or_create(rule=rule, service=service, is_open=True, defaults={"began_at": moment, "message": broken})
    if is_new:
        # If the alert cannot be sent, the episode is deleted, and the next evaluation begins it again.
        _send_after_commit(rule, service, f"{service}: {broken}", "begun", undo=episode.delete)


def _end(rule: AlertRule, service: Service, moment: datetime) -> None:
    open_episode = AlertEpisode.objects.filter(rule=rule, service=service, is_open=True).first()
    if open_episode is None:
        return
    episode = AlertEpisode.objects.filter(pk=open_episode.pk)
    episode.update(is_open=None, ended_at=moment)
    if rule.is_enabled:
        _send_after_commit(rule, service, f"{service}: over: {rule}", "ended", undo=partial(episode.update, is_open=True, ended_at=None))


def _send_after_commit(rule: AlertRule, service: Service, message: str, episode: str, *, undo: Callable[[], object]) -> None:
    """Send the alert after the transaction is committed.

    `episode`: "begun" or "ended". `undo`: is called if the alert cannot be sent, so that a later evaluation sends it again.
    """
    context = {"stage": "metrics", "error": message, "rule": rule.name, "service": service.name, "episode": episode}

    def send() -> None:
        if not notify(SIGNALS[AlertRule.Level(rule.level)], sender=AlertRule, message=message, context=context):
            undo()

    transaction.on_commit(send)


def end_silently(rule: AlertRule) -> None:
    """End the open episodes of a rule that was changed. No alert is sent.

    An alert would be wrong, because the episodes belong to the rule as it was before the change.
    """
    AlertEpisode.objects.filter(rule=rule, is_open=True).update(is_open=None, ended_at=now())


def overdue_rules() -> dict[int | None, AlertRule]:
    """Return the enabled rules of the kind `no_success` (no successful run for so many hours), by the id of their service.

    The rule with the key None applies to all services that have no rule of their own. If there are several rules for the same key,
    the oldest one is returned.
    """
    return {rule.service_id: rule for rule in AlertRule.objects.filter(kind=AlertRule.Kind.NO_SUCCESS, is_enabled=True).order_by("-pk")}
