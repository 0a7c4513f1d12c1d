"""Logs of a random history: lines about its deployments, and hours with many errors."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

from dora_metrics.calculators.inputs import Facts, LogDeployment, LogHour
from dora_metrics.calculators.service_settings import Settings

HOUR = timedelta(hours=1)
STATES = {"success": ("success", "Succeeded", ""), "failure": ("failure", "FAILED", "error")}


def with_logs(facts: Facts, settings: Settings, now: datetime, rng: random.Random) -> tuple[Facts, Settings, datetime]:
    """Return the same history. Half of the time it also has logs, and sometimes logs are its only source of deployments."""
    share = rng.random()
    if share < 0.5:
        return facts, settings, now
    facts = replace(facts, log_hours=log_hours(facts, rng), log_deployments=log_deployments(facts, rng) if share < 0.8 else ())
    settings = replace(settings, **log_settings(rng))
    if facts.log_deployments and rng.random() < 0.7:
        settings = replace(settings, deployments_from="logs")
    elif facts.log_deployments and settings.deployments_from == "auto":
        facts = replace(facts, deployments=(), others=tuple(replace(part, deployments=()) for part in facts.others))
    return facts, settings, now


def log_settings(rng: random.Random) -> dict[str, float]:
    return {
        "log_minute_events": rng.choice((1, 20, 20)),
        "log_error_share": rng.choice((0, 5, 5, 12.5)),
        "log_bad_minutes": rng.choice((1, 3, 5, 5)),
        "log_good_minutes": rng.choice((1, 4, 10, 10)),
        "log_issue_hours": rng.choice((0, 1, 24, 24, 24)),
    }


def log_deployments(facts: Facts, rng: random.Random) -> tuple[LogDeployment, ...]:
    """Return log lines for GitHub's deployments, runs and some merges. Some shas are shortened, and the outcomes are drawn anew."""
    told: list[tuple[str, str, datetime]] = []
    for part in facts.parts:
        ours = [(one.environment, one.sha, one.created_at) for one in part.deployments]
        ours += [("", one.sha, one.updated_at) for one in part.workflow_runs]
        ours += [("", one.merge_sha, one.merged_at + HOUR) for one in part.pull_requests if not ours or rng.random() < 0.2]
        told += ours
    found = []
    for number, (environment, sha, time) in enumerate(told, start=1):
        end = rng.choices(("success", "failure", "started"), (75, 18, 7))[0]
        found.append(
            LogDeployment(
                id=f"{number}",
                time=time,
                sha=sha[: rng.choice((40, 40, 40, 12, 8, 6))],
                environment=environment if rng.random() < 0.9 else "",
                state=rng.choice(STATES.get(end, (end,))),
            )
        )
    return tuple(rng.sample(found, len(found)))


def log_hours(facts: Facts, rng: random.Random) -> tuple[LogHour, ...]:
    """Return hours near deployments, issues and merges. Some hours come in several parts, to be added, or from two logs."""
    moments = [one.created_at for part in facts.parts for one in (*part.deployments, *part.issues)]
    moments += [one.merged_at for part in facts.parts for one in part.pull_requests]
    found: list[LogHour] = []
    for moment in rng.sample(moments, min(len(moments), rng.randint(1, 5))):
        hour = moment.replace(minute=0, second=0, microsecond=0) + rng.randint(-1, 3) * HOUR
        for source in rng.choice((("web",), ("web",), ("web", "web"), ("web", "worker"))):
            found += [LogHour(source, hour + number * HOUR, minutes(rng)) for number in range(rng.choice((1, 1, 2)))]
    return tuple(rng.sample(found, len(found)))


def minutes(rng: random.Random) -> dict[int, tuple[int, int]]:
    """Return the (events, errors) of one hour's minutes: runs of bad and of good minutes of random length, and minutes without events."""
    found: dict[int, tuple[int, int]] = {}
    number = 0
    while number < 60:
        is_bad = rng.random() < 0.5
        for minute in range(number, min(60, number + rng.choice((1, 2, 3, 5, 8, 12)))):
            if rng.random() < 0.9:
                events = rng.choice((1, 10, 19, 20, 40, 200))
                found[minute] = (events, rng.randint(1, events) if is_bad else rng.choice((0, 0, events // 20)))
            number = minute + 1
    return found
