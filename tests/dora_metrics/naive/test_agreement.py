"""The calculators and the naive implementation give the same values for a thousand random histories."""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from dora_metrics.calculators.inputs import Facts, Issue, PullRequest
from dora_metrics.calculators.linked_facts import link_facts
from dora_metrics.calculators.metric_values import MetricValue, metric_values, values_in
from dora_metrics.calculators.periods import RANGE, Period
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.naive import causes
from tests.dora_metrics.naive.attempts import PRODUCTION, logged
from tests.dora_metrics.naive.histories import history, history_of_two
from tests.dora_metrics.naive.logs import spells
from tests.dora_metrics.naive.metrics import METRICS, Values, naive_values

CHUNK, CHUNKS = 100, 10
RANGED = 100
FEWER = 50  # histories of two repositories, because each takes more than twice as long
RICH = 300  # histories in which traits (unusual cases) are counted: fewer than all, to save time
A_HANDFUL = 5
# The first chunk is part of every run. The others are marked slow, because together they take more than a minute.
EACH_CHUNK = [0, *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in range(1, CHUNKS))]
TIMES = ("deployment_frequency", "change_lead_time", "failed_deployment_recovery_time")


@pytest.mark.parametrize("chunk", EACH_CHUNK)
def test_it_agrees_with_the_naive_reading(chunk: int) -> None:
    found = []
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        facts, settings, now = history(seed)
        for environment in (PRODUCTION, "staging") if seed % 5 == 0 else (PRODUCTION,):
            found += [f"seed {seed}, {environment}: {line}" for line in differences(facts, settings, now, environment)]
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:30])


@pytest.mark.parametrize("chunk", EACH_CHUNK)
def test_it_agrees_on_a_service_with_two_repositories(chunk: int) -> None:
    found = []
    for seed in range(chunk * FEWER, (chunk + 1) * FEWER):
        facts, settings, now = history_of_two(seed)
        for environment in (PRODUCTION, "staging") if seed % 5 == 0 else (PRODUCTION,):
            found += [f"seed {seed}, {environment}: {line}" for line in differences(facts, settings, now, environment)]
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:30])


def test_it_agrees_on_ranges() -> None:
    found = []
    for seed in range(RANGED):
        facts, settings, now = history(seed)
        rng = random.Random(f"ranges of {seed}")
        first = rng.choice([span.since.date() for span in facts.coverage.values()] or [now.date()])
        starts = rng.sample([first + timedelta(days=day) for day in range(-5, 60)], 12)
        ranges = [(start, start + timedelta(days=rng.choice((1, 3, 6, 7, 8, 14, 30, 45)))) for start in starts]
        for environment in (PRODUCTION, "staging") if seed % 5 == 0 else (PRODUCTION,):
            ours = naive_values(facts, settings, now=now, environment=environment, ranges=ranges)
            linked = link_facts(facts, settings, now=now, environment=environment)
            values = [value for start, end in ranges for value in values_in(linked, Period(start, end, RANGE))]
            found += [f"seed {seed}, {environment}: {line}" for line in differences_between(ours, values)]
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:30])


def differences(facts: Facts, settings: Settings, now: datetime, environment: str) -> list[str]:
    """Return one line for each field in which the calculators and the naive implementation differ."""
    ours = naive_values(facts, settings, now=now, environment=environment)
    return differences_between(ours, metric_values(facts, settings, now=now, environment=environment))


def differences_between(ours: Values, values: list[MetricValue]) -> list[str]:
    theirs = {(value.metric, value.period_kind, value.period_start): value for value in values}
    assert len(theirs) == len(values)
    found = []
    for key in sorted(ours | theirs):
        name = f"{key[0]} {key[1]} {key[2]}"
        if key not in ours or key not in theirs:
            found.append(f"{name}: only {'theirs' if key in theirs else 'ours'} has it")
            continue
        for field, our in ours[key].items():
            their = getattr(theirs[key], field)
            if not is_same(their, our):
                found.append(f"{name} {field}: theirs {their!r}, ours {our!r}")
    return found


def is_same(their: Any, our: Any) -> bool:
    """Whether two values are equal. Percentiles, means and shares may differ in their last digits."""
    if isinstance(their, dict) and isinstance(our, dict):
        return their.keys() == our.keys() and all(is_same(their[key], our[key]) for key in our)
    if isinstance(their, float) and isinstance(our, int | float):
        return their == pytest.approx(our, rel=1e-9, abs=0)
    return their == our


# The histories contain every unusual case


@pytest.fixture(scope="module")
def traits() -> Counter[str]:
    """Count how often each unusual case occurs in the histories."""
    found: Counter[str] = Counter()
    for seed in range(RICH):
        facts, settings, now = history(seed)
        world = causes.world_of(facts, settings, PRODUCTION, now)
        found.update(traits_of_values(naive_values(facts, settings, now=now)))
        found.update([f"source {world.source}", f"auto {settings.deployments_from == 'auto'}", f"zone {settings.time_zone}"])
        found.update(trait for part, pull in world.pulls for trait in traits_of_pull(world, part, pull))
        found.update(trait for part in facts.parts for issue in part.issues for trait in traits_of_issue(world, part, issue))
        found.update(traits_of_logs(world, now))
        found.update(trait for attempt in world.attempts for trait in traits_of_attempt(world, attempt))
    return found


def traits_of_values(values: Values) -> list[str]:
    found = [f"metric {metric}" for metric, _, _ in values]
    for (metric, kind, _), value in values.items():
        found += [f"flag {flag}" for flag in value["quality_flags"]]
        found += [f"tier of {metric} {value['tier']}"] * (kind != "day")
        found += [f"reason {reason}" for reason in value["details"].get("reasons", ())]
        found += ["partial"] * value["is_partial"]
    return found


def traits_of_pull(world: causes.World, part: Facts, pull: PullRequest) -> list[str]:
    signs, target, key = pull.revert_signs, causes.target_of(world, part, pull), (part.repository, pull.number)
    found = [f"sign {sign}" for sign in ("pull", "branch", "sha", "has_title") if getattr(signs, sign)]
    if signs.pull is not None and target is None:
        found.append("revert of another repository's")
    if target is not None:
        found.append("target pull" if target.pull is not None else "target commit" if target.commit else "target unknown")
    carrier = world.carriers[key]
    undone = causes.puts_back(world, part, pull)
    if undone is not None:
        is_together = carrier is not None and carrier == world.carriers[part.repository, undone.number]
        found.append(f"revert of a revert, in the same deployment {is_together}")
    if causes.is_revert(world, part, pull):
        found.append("revert that counts" if key in world.counting else "revert that does not count")
        if target is not None and target.pull is not None and causes.puts_back(world, part, pull_of(part, target.pull)) is not None:
            found.append("revert of a revert of a revert")
    if key in world.hotfixes:
        found.append(f"hotfix, linked {world.hotfixes[key] is not None}, with own links {pull.links != causes.Links()}")
    if pull.commit_shas and pull.merge_sha == pull.commit_shas[-1]:
        found.append("fast-forward")
    elif pull.merge_sha in part.parents:
        found.append(f"merge with {len(part.parents[pull.merge_sha])} parents")
    else:
        found.append("merge commit gone")
    found.append(f"carried {carrier is not None}")
    found += [f"closes {'own' if causes.is_own(part, name) else 'other'} {name}" for name, _ in pull.closes]
    return found


def pull_of(part: Facts, number: int) -> PullRequest:
    return next(pull for pull in part.pull_requests if pull.number == number)


def traits_of_issue(world: causes.World, part: Facts, issue: Issue) -> list[str]:
    incidents = [incident for incident in world.incidents if (incident.repository, incident.number) == (part.repository, issue.number)]
    if not incidents:
        return [f"no incident: {issue.state_reason if issue.labels else 'no label'}"]
    incident = incidents[0]
    found = [f"link {incident.kind}", f"incident open {incident.end is None}", f"incident with skew {incident.has_skew}"]
    names = [name for name in ("deployments", "root_causes", "caused_by") if getattr(issue.links, name)]
    if incident.attempt and incident.attempt.started_at > incident.start:
        found.append("link to a retried attempt's first try")
    if len(names) == 1 and incident.kind == "explicit":
        found.append(f"link by {names[0]}")
    if issue.links.deployments and incident.kind == "explicit":
        found.append("by id" if issue.links.deployments[0].isdigit() else "by sha")
    if causes.explicit_link(world, part, issue.links, issue.created_at)[:2] == (True, None):
        found.append("deployment of somewhere else")
    for sha in issue.links.root_causes:
        full = causes._commit_named(world, part, sha)
        found.append("root cause in git" if full in part.parents else "root cause inside a pull request" if full else "root cause unknown")
    return found


def traits_of_logs(world: causes.World, now: datetime) -> list[str]:
    """Return the traits that come from logs. "line None" is a log line that does not report the end of a deployment."""
    ours = [incident for incident in world.incidents if incident.number is None]
    found = [f"from logs, linked {incident.attempt is not None}, open {incident.end is None}" for incident in ours]
    found += ["from logs, an issue's"] * (len(spells(world.facts, world.settings, now)) - len(ours))
    for issue in (incident for incident in world.incidents if incident.number is not None):
        if any(issue.start < spell.start and (issue.end is None or spell.start < issue.end) for spell in ours):
            found.append(f"from logs, long after the start of an issue that is {'open' if issue.end is None else 'closed'}")
    for line in world.facts.log_deployments if world.source == "logs" else ():
        attempt = logged(line, world.facts)
        found.append(f"line {attempt.is_success if attempt else None}")
        found += ["line with a shortened sha"] * (attempt is not None and attempt.sha != line.sha)
    return found


def traits_of_attempt(world: causes.World, attempt: causes.Attempt) -> list[str]:
    found = [f"environment {attempt.environment}", f"success {attempt.is_success}"]
    found += ["retry"] * (len(attempt.ids) > 1) + ["skewed"] * attempt.has_skew
    ties = [other for other in world.attempts if other.finished_at == attempt.finished_at]
    return found + ["tie"] * (len(ties) > 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "trait",
    [
        *(f"metric {metric}" for metric in METRICS),
        *(f"reason {reason}" for reason in ("state", "incident", "revert", "hotfix", "rollback")),
        *(f"source {source}" for source in ("github", "logs", "releases", "workflows", "pulls")),
        *("from logs, linked True, open False", "from logs, linked False, open False", "from logs, linked True, open True"),
        *("from logs, long after the start of an issue that is open", "from logs, long after the start of an issue that is closed"),
        *("from logs, an issue's", "line True", "line False", "line None", "line with a shortened sha"),
        *("flag clock_skew", "flag deployed_before_merge", "flag proxy_pr_merge", "flag time_matched", "flag unknown_sha"),
        *("flag unlinked_incidents", "flag impossible_cause", "flag recovered_before_finish"),
        *("auto True", "partial", "retry", "skewed", "tie", "success False", "link to a retried attempt's first try"),
        *("environment production", "environment prod-eu", "environment Production / west"),
        *("zone UTC", "zone Asia/Kolkata", "zone America/Los_Angeles", "zone Europe/Madrid"),
        *("link explicit", "link revert", "link time", "link ", "link by deployments", "link by root_causes", "link by caused_by"),
        *("by id", "by sha", "deployment of somewhere else"),
        *("root cause in git", "root cause inside a pull request", "root cause unknown"),
        *("incident open True", "incident with skew True", "no incident: not_planned", "no incident: duplicate", "no incident: no label"),
        *("sign pull", "sign branch", "sign sha", "sign has_title", "revert of another repository's"),
        *("target pull", "target commit", "target unknown", "revert that counts", "revert that does not count"),
        *("revert of a revert, in the same deployment True", "revert of a revert, in the same deployment False", "revert of a revert of a revert"),
        *("hotfix, linked True, with own links True", "hotfix, linked True, with own links False", "hotfix, linked False, with own links False"),
        *("fast-forward", "merge with 1 parents", "merge with 2 parents", "merge commit gone", "carried True", "carried False"),
        *("closes own acme/shop", "closes own Acme/Shop", "closes own acme/old-shop", "closes other other/shop"),
        *(f"tier of {metric} {tier}" for metric in METRICS for tier in ("elite", "high", "medium", "low") if metric in TIMES),
        *("tier of change_fail_rate elite", "tier of change_fail_rate low", "tier of deployment_frequency None"),
    ],
)
def test_the_histories_have_it(traits: Counter[str], trait: str) -> None:
    assert traits[trait] >= A_HANDFUL


@pytest.fixture(scope="module")
def shared() -> Counter[str]:
    """Count how often two repositories have the same number or commit, and how often a link leads from one to the other."""
    found: Counter[str] = Counter()
    for seed in range(RICH):
        facts, settings, now = history_of_two(seed)
        world = causes.world_of(facts, settings, PRODUCTION, now)
        first, second = ({pull.number for pull in part.pull_requests} for part in facts.parts)
        found["number of both"] += len(first & second)
        found["commit of both"] += len(facts.parents.keys() & facts.others[0].parents.keys())
        found.update(
            trait for part, issue in ((part, issue) for part in facts.parts for issue in part.issues) for trait in links_across(world, part, issue)
        )
        found["closed across"] += sum(one[0] != part.repository for part, pull in world.pulls for one in causes.closed_by(world, pull))
        deployed = [{attempt.sha for attempt in world.attempts if attempt.repository == part.repository} - {""} for part in facts.parts]
        found["deployed from both"] += len(deployed[0] & deployed[1])
        if world.source == "logs":
            found.update(f"line of {attempt.repository or 'neither'}" for attempt in world.attempts)
    return found


def links_across(world: causes.World, part: Facts, issue: Issue) -> list[str]:
    ours = [one for one in world.incidents if (one.repository, one.number) == (part.repository, issue.number) and one.attempt]
    return [f"linked across by {one.kind}" for one in ours if one.attempt and one.attempt.repository != part.repository]


@pytest.mark.slow
@pytest.mark.parametrize(
    "trait",
    [
        *("number of both", "commit of both", "deployed from both", "closed across"),
        *("linked across by time", "linked across by explicit", "linked across by revert"),
        *("line of acme/shop", "line of acme/till", "line of neither"),
    ],
)
def test_the_histories_of_two_have_it(shared: Counter[str], trait: str) -> None:
    assert shared[trait] >= A_HANDFUL


def test_a_seed_gives_one_history() -> None:
    assert history_of_two(7) == history_of_two(7)
    assert history(7) == history(7)
    assert history(7) != history(8)
