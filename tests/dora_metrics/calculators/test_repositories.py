"""docs/metrics.md, "Several repositories": a service that has more than one."""

from dataclasses import replace
from typing import Any

import pytest

from dora_metrics.calculators.deployment_sources import attempts
from dora_metrics.calculators.inputs import Facts, RevertSigns
from dora_metrics.calculators.linked_facts import LinkedFacts, link_facts
from dora_metrics.calculators.metric_values import metric_values
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import (
    DAY_S,
    GITHUB,
    JANUARY,
    LATER,
    LOGS,
    PULLS,
    at,
    change,
    deployment,
    facts,
    hotfix,
    issue,
    line,
    links,
    logged,
    release,
    revert,
)

API, WEB = "acme/api", "acme/web"


def part(name: str, *shas: str, first: int = 0, **changed: Any) -> Facts:
    """Return one repository with a linear history. Deployment `first` is on day 0, the next one on day 1 and so on."""
    deployments = tuple(deployment(first + day, sha, at(day)) for day, sha in enumerate(shas))
    usual = {"deployments": deployments, "parents": line(*dict.fromkeys(shas)), "repositories": frozenset({name}), "default_branch": "main"}
    return Facts(repository=name, **(usual | changed))


def both(first: Facts, second: Facts) -> Facts:
    return replace(first, coverage=facts().coverage, others=(second,))


def judged(known: Facts, settings: Settings = GITHUB) -> LinkedFacts:
    return link_facts(known, settings, now=LATER)


def failed(known: Facts, settings: Settings = GITHUB) -> dict[str, list[str]]:
    return {one.attempt.key: [f"{cause.rule} {cause.fact}" for cause in one.causes] for one in judged(known, settings).attempts if one.is_failed}


def unplanned(known: Facts, settings: Settings = GITHUB) -> dict[str, list[str]]:
    return {one.attempt.key: [f"{cause.rule} {cause.fact}" for cause in one.unplanned] for one in judged(known, settings).attempts if one.unplanned}


def linked(known: Facts, settings: Settings = GITHUB) -> dict[str, tuple[str, str]]:
    return {one.incident.key: (one.link.attempt.key if one.link.attempt else "", one.link.how) for one in judged(known, settings).incidents}


def delivered(known: Facts, settings: Settings = GITHUB) -> dict[str, str]:
    return {one.key: one.match.deployment.key for one in judged(known, settings).changes}


def month(metric: str, known: Facts, settings: Settings = GITHUB) -> Any:
    values = metric_values(known, settings, now=LATER)
    return next(value for value in values if (value.metric, value.period_kind, value.period_start) == (metric, "month", JANUARY))


def test_the_numbers_of_a_service_join_its_repositories():
    """Calculated by hand: three deployments of one repository and two of the other, four changes, one failure, one incident."""
    api = part(API, "a", "m1", "m2", pull_requests=(change(1), change(2)))
    web = part(
        WEB,
        first=10,
        parents=line("b", "n1", "n2"),
        deployments=(deployment(10, "b", at(0)), deployment(11, "n1", at(3), "failure"), deployment(12, "n2", at(5))),
        pull_requests=(change(1, head_sha="x", merge_sha="n1"), change(2, head_sha="y", merge_sha="n2")),
        issues=(issue(3, at(5.5), at(6)),),
    )
    joined = both(api, web)
    frequency = month("deployment_frequency", joined)
    assert (frequency.details["deployments"], frequency.value, frequency.details["deploy_days"]) == (5, 5 / 31, 4)
    lead_time = month("change_lead_time", joined)
    # Deployed on days 1, 2, 5 and 5; opened on days 0.25, 1.25, 0.25 and 1.25.
    assert (lead_time.n, lead_time.p50) == (4, (0.75 + 3.75) / 2 * DAY_S)
    rate = month("change_fail_rate", joined)
    assert (rate.details["failed"], rate.details["deployments"], rate.details["reasons"]) == (2, 6, {"state": 1, "incident": 1})
    recovery = month("failed_deployment_recovery_time", joined)
    assert (recovery.n, recovery.p50) == (2, (2 + 1) / 2 * DAY_S)
    assert {one.attempt.key: one.attempt.repository for one in judged(joined).attempts} == {
        "0": API,
        "1": API,
        "2": API,
        "10": WEB,
        "11": WEB,
        "12": WEB,
    }


def test_a_change_is_carried_by_the_deployments_of_its_own_repository_alone():
    """Both repositories have the same numbers and, like forks, the same commits."""
    api, web = part(API, "a", "m1", "m2", pull_requests=(change(2),)), part(WEB, "a", "m1", first=10, pull_requests=(change(1), change(2)))
    assert delivered(both(api, web)) == {"pull request acme/web#1": "11", "pull request acme/api#2": "2"}


def test_what_is_deployed_from_one_repository_neither_mends_nor_rolls_back_the_other():
    api = part(API, "a", "m1", deployments=(deployment(0, "m1", at(0)), deployment(1, "m1", at(2), "failure")), parents=line("a", "m1"))
    web = part(WEB, "a", parents=line("a", "m1"), deployments=(deployment(10, "a", at(3)),))
    assert failed(both(api, web)) == {"1": ["state status"]}
    assert judged(both(api, web)).attempts[1].recovered_at is None
    assert unplanned(both(api, web)) == {}
    together = replace(api, deployments=(*api.deployments, *web.deployments), coverage=facts().coverage)
    assert failed(together)["1"] == ["rollback deployment 10", "state status"]


def test_a_failure_is_retried_in_its_own_repository_alone():
    api, web = part(API, deployments=(deployment(1, "a", at(0), "failure"),)), part(WEB, deployments=(deployment(2, "a", at(0, minutes=5)),))
    assert [one.ids for one in attempts(both(api, web), GITHUB)[0]] == [("1",), ("2",)]
    one = replace(api, deployments=(*api.deployments, *web.deployments))
    assert [one.ids for one in attempts(one, GITHUB)[0]] == [("1", "2")]


def test_a_revert_is_of_its_own_repository_s_pull_request():
    api = part(API, "a", "m1", "b", parents=line("a", "m1", "b"), pull_requests=(change(1),))
    web = part(WEB, "a", "n0", "m2", first=10, pull_requests=(change(1, merge_sha="n0"), revert(2, 1)))
    assert failed(both(api, web)) == {"11": ["revert pull request acme/web#2"]}
    named = replace(web, pull_requests=(web.pull_requests[0], revert(2, 1, revert_signs=RevertSigns(pull=1, pull_repository=API))))
    assert failed(both(api, named)) == {}


def test_a_hotfix_is_of_its_own_repository_s_cause():
    api = part(API, "a", "m1")
    web = part(WEB, "b", "n1", "m2", first=10, pull_requests=(change(1, merge_sha="n1"), hotfix(2, links=links(caused_by=1))))
    assert failed(both(api, web)) == {"11": ["hotfix pull request acme/web#2"]}
    assert unplanned(both(api, web)) == {"12": ["hotfix pull request acme/web#2"]}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"caused_by": 1}, ("11", "explicit")),  # pull request 1 of the incident's own repository
        ({"root_cause": "abcdef1"}, ("11", "explicit")),  # a commit that both repositories have
        ({"root_cause": "fedcba9"}, ("2", "time")),  # a commit that only the other repository has
        ({"deployment": "abcdef1"}, ("11", "explicit")),
        ({"deployment": "fedcba9"}, ("2", "time")),
        ({"deployment": "11"}, ("11", "explicit")),
        ({"deployment": "1"}, ("1", "explicit")),  # GitHub's ids are unique across repositories
        ({}, ("2", "time")),  # the latest success of any repository
    ],
)
def test_what_an_incident_names_is_looked_for_in_its_own_repository(named, expected):
    api = part(API, "a", "abcdef1", "fedcba9", pull_requests=(change(1, merge_sha="abcdef1"),))
    web = part(WEB, "b", "abcdef1", first=10, pull_requests=(change(1, merge_sha="abcdef1"),), issues=(issue(7, at(2.5), links=links(**named)),))
    assert linked(both(api, web)) == {"issue acme/web#7": expected}


def test_incidents_of_one_number_are_two():
    api, web = part(API, "a", issues=(issue(7, at(0.5), at(1)),)), part(WEB, "b", first=10, issues=(issue(7, at(0.75)),))
    known = judged(both(api, web))
    assert [(one.incident.key, one.incident.repository, one.incident.ended_at) for one in known.incidents] == [
        ("issue acme/api#7", API, at(1)),
        ("issue acme/web#7", WEB, None),
    ]


@pytest.mark.parametrize("name", [WEB, "ACME/Web", "acme/site"])
def test_a_pull_request_may_close_an_incident_of_another_repository_of_the_service(name):
    api = part(API, "a", "m1", "m2", pull_requests=(change(2, closes=((name, 7), ("acme/other", 7))),), issues=(issue(7, at(0.5), at(3)),))
    web = part(WEB, "b", first=10, issues=(issue(7, at(0.5), at(3)),), repositories=frozenset({WEB, "acme/site"}))
    assert unplanned(both(api, web)) == {"2": ["fix pull request acme/api#2"]}


def test_a_name_that_one_repository_had_and_another_has_is_the_other_s():
    api = part(API, "a", "m1", "m2", pull_requests=(change(2, closes=((WEB, 7),)),), repositories=frozenset({API, WEB}))
    web = part(WEB, "b", first=10, issues=(issue(7, at(0.5), at(3)),))
    assert unplanned(both(api, web)) == unplanned(both(web, api)) == {"2": ["fix pull request acme/api#2"]}


def test_merged_pull_requests_of_several_repositories_have_keys_of_their_own():
    api, web = part(API, pull_requests=(change(2), change(10))), part(WEB, pull_requests=(change(2), change(3, base_branch="topic")))
    found, _ = attempts(both(api, web), PULLS)
    assert [one.key for one in found] == ["acme/api#2", "acme/web#2", "acme/api#10"]
    assert delivered(both(api, web), PULLS) == {
        "pull request acme/api#2": "acme/api#2",
        "pull request acme/web#2": "acme/web#2",
        "pull request acme/api#10": "acme/api#10",
    }
    named = replace(web, issues=(issue(7, at(3), links=links(deployment="2")),))
    assert linked(both(api, named), PULLS) == {"issue acme/web#7": ("acme/web#2", "explicit")}


def test_each_repository_has_a_default_branch_of_its_own():
    api, web = part(API, pull_requests=(change(1),)), part(WEB, pull_requests=(change(1, base_branch="trunk"),), default_branch="trunk")
    assert [one.key for one in attempts(both(api, web), PULLS)[0]] == ["acme/api#1", "acme/web#1"]


def test_one_source_of_deployments_counts_for_all_repositories():
    api, web = part(API, "a"), part(WEB, releases=(release(5, "b", at(1)),))
    found, source = attempts(both(api, web), Settings())
    assert (source, [one.key for one in found]) == ("github", ["0"])
    found, source = attempts(both(replace(api, deployments=()), web), Settings())
    assert (source, [(one.key, one.repository) for one in found]) == ("releases", [("5", WEB)])


SHA = "abcdef1" + "0" * 33


def told(*lines: Any) -> Facts:
    """Return a service whose logs report the deployments `lines`. Its first repository has commit a; its second has a and the child `SHA` of a."""
    second = part(WEB, parents=line("a", SHA), pull_requests=(change(3, merge_sha=SHA),))
    return replace(both(part(API, parents=line("a"), pull_requests=(change(1, merge_sha="x"),)), second), log_deployments=lines)


def test_a_line_of_a_log_is_of_the_repository_that_has_its_commit():
    known = told(
        logged(1, at(0), sha="a"), logged(2, at(1), sha=SHA), logged(3, at(2), sha="abcdef1"), logged(4, at(3), sha="f" * 40), logged(5, at(4))
    )
    found, _ = attempts(known, LOGS)
    assert [(one.key, one.sha[:7], one.repository) for one in found] == [
        ("1", "a", API),
        ("2", "abcdef1", WEB),
        ("3", "abcdef1", WEB),
        ("4", "fffffff", ""),
        ("5", "", ""),
    ]
    assert {one.attempt.key for one in judged(known, LOGS).attempts if "unknown_sha" in one.flags} == {"4"}


def test_a_failure_without_a_commit_is_mended_by_whatever_is_deployed_next():
    known = told(logged(1, at(0), state="failed"), logged(2, at(1), sha="a"))
    assert [one.recovered_at for one in judged(known, LOGS).attempts] == [at(1), None]
    other = told(logged(1, at(0), sha="a", state="failed"), logged(2, at(1), sha=SHA))
    assert [one.recovered_at for one in judged(other, LOGS).attempts] == [None, None]


def test_lines_without_commits_are_matched_by_time_to_the_changes_of_all_repositories():
    known = told(logged(1, at(0)), logged(2, at(9)))
    assert delivered(known, LOGS) == {"pull request acme/api#1": "2", "pull request acme/web#3": "2"}
    one_commit = told(logged(1, at(0)), logged(2, at(9)), logged(3, at(10), sha="a"))
    assert delivered(one_commit, LOGS) == {}


def test_a_line_whose_commit_no_repository_has_can_still_be_named():
    known = told(logged(1, at(0), sha="fedcba9"), logged(2, at(2), sha=SHA))
    known = replace(known, issues=(issue(7, at(3), links=links(deployment="fedcba9")),))
    assert linked(known, LOGS) == {"issue acme/api#7": ("1", "explicit")}


def test_a_service_with_one_repository_keeps_its_keys():
    one = replace(part(API, "a", "m1", pull_requests=(change(1),), issues=(issue(7, at(1.5)),)), coverage=facts().coverage)
    assert delivered(one) == {"pull request 1": "1"}
    assert linked(one) == {"issue 7": ("1", "time")}
    assert delivered(one, PULLS) == {"pull request 1": "1"}
