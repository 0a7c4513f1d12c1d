"""The demo's team looks like a team: its titles, its failures, and outages that GitHub and the logs agree about."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from demo.team.log_lines import LineWriter, first_line, writers
from demo.team.outages import Outage, outages
from demo.team.profiles import AGENT_DESKTOP, CALL_ROUTING, TEAM
from demo.team.worlds import logged_deployments, team_worlds
from github_stand_in.worlds.world import World

FRIDAY, SUNDAY = datetime(2026, 11, 27, 16, 4, tzinfo=UTC), datetime(2026, 11, 29, 5, 31, tzinfo=UTC)


@pytest.fixture(scope="module", params=[FRIDAY, SUNDAY], ids=["friday", "sunday"])
def now(request: pytest.FixtureRequest) -> datetime:
    moment: datetime = request.param
    return moment


@pytest.fixture(scope="module")
def worlds(now: datetime) -> dict[str, World]:
    return team_worlds(now)


def test_the_same_time_gives_the_same_worlds(worlds, now):
    again = team_worlds(now)
    for name, world in worlds.items():
        assert world.pull_requests(now) == again[name].pull_requests(now)
        assert world.deployments(now) == again[name].deployments(now)
        assert world.issues(now) == again[name].issues(now)


def test_there_is_work_in_every_month_of_the_last_year_and_the_young_service_has_little(worlds, now):
    for name, world in worlds.items():
        months = Counter((pull.merged or pull.created).strftime("%Y-%m") for pull in world.pulls.values() if pull.created <= now)
        assert len(months) >= (2 if name == "acme/voice-bot" else 13), name
    assert len(worlds["acme/voice-bot"].pulls) < 80


def test_no_two_ordinary_pull_requests_of_a_repository_have_the_same_title(worlds):
    for name, world in worlds.items():
        titles = Counter(pull.title for pull in world.pulls.values() if not {"hotfix", "revert"} & set(pull.labels))
        repeated = [title for title, count in titles.items() if count > 1]
        assert len(repeated) <= len(titles) / 50, (name, repeated)


def test_titles_are_sentences_and_branches_are_ascii(worlds):
    for world in worlds.values():
        for pull in world.pulls.values():
            assert re.match(r"[A-Z]\S* \S", pull.title), pull.title
            assert "{" not in pull.title + pull.body
            assert re.fullmatch(r"[\x21-\x7e]{5,140}", pull.branch), pull.branch


def test_some_recent_titles_would_break_a_page_that_does_not_escape_them(worlds, now):
    recent = " ".join(pull.title for world in worlds.values() for pull in world.pulls.values() if now - timedelta(days=30) < pull.created <= now)
    for needed in ("<b>", "<script>", "'", '"', "&", "👩🏽‍💻", "مرحبا", "花"):
        assert needed in recent


def test_incidents_name_their_people_and_often_their_cause(worlds):
    bodies = [issue.build(1, "a/b", world.end)["body"] for world in worlds.values() for issue in _incidents(world)]
    assert len(bodies) > 60
    assert sum("On call: " in body for body in bodies) > 0.9 * len(bodies)
    assert 0.4 < sum(bool(re.search(r"caused by #\d|deployment: \d", body)) for body in bodies) / len(bodies) < 0.95
    assert any("On call: 鈴木 花" in body for body in bodies)


def test_the_improving_service_gets_faster_and_the_other_one_slower(worlds, now):
    def median_hours(name: str, since: datetime, until: datetime) -> float:
        merged = [pull for pull in worlds[name].pulls.values() if pull.merged and since <= pull.merged < until]
        hours = sorted((pull.merged - pull.created).total_seconds() / 3600 for pull in merged if pull.merged)
        return hours[len(hours) // 2]

    year_ago, spring, autumn = now - timedelta(days=365), now - timedelta(days=240), now - timedelta(days=90)
    assert median_hours("acme/call-routing", autumn, now) < median_hours("acme/call-routing", year_ago, spring) / 2
    assert median_hours("acme/agent-desktop", autumn, now) > 1.3 * median_hours("acme/agent-desktop", year_ago, spring)


def test_every_night_finds_something_new(worlds, now):
    for name, world in worlds.items():
        for days_ago in range(5):
            end = now - timedelta(days=days_ago)
            assert any(end - timedelta(days=1) < pull.created <= end for pull in world.pulls.values()), (name, days_ago)


def test_the_team_goes_on_working_after_the_demo_has_begun(worlds, now):
    assert sum(len(world.pull_requests(now + timedelta(days=2))) - len(world.pull_requests(now)) for world in worlds.values()) > 5


def test_a_commit_that_was_rolled_back_is_not_deployed_again(worlds):
    for name, world in worlds.items():
        production = [
            one for one in world.deploys.values() if one.environment == "production" and any(state == "SUCCESS" for _, state in one.statuses)
        ]
        commits = [one.oid for one in sorted(production, key=lambda one: one.created)]
        for position, oid in enumerate(commits):
            if oid in commits[:position]:  # a rollback to an earlier commit: what it replaced is gone
                assert commits[position - 1] not in commits[position:], name


@pytest.mark.parametrize("number", range(3))
def test_an_outage_lies_between_a_deployment_and_its_rollback(worlds, now, number):
    outage = outages(now)[number]
    finished = _successes(worlds[outage.repository])
    assert outage.deployed in finished
    assert outage.ended in finished
    assert not [moment for moment in finished if outage.deployed < moment < outage.ended]
    assert finished[outage.ended] in _history(worlds[outage.repository], finished[outage.deployed])


def test_errors_fill_the_minutes_of_an_outage_and_no_others(now):
    for outage in outages(now):
        [service] = [service for service in TEAM if service.repositories[0].repository == outage.repository]
        writer = LineWriter(service, outages(now))
        share = [_error_share(writer, outage.began + timedelta(minutes=minute)) for minute in (-10, 0, 7, 20, 60)]
        assert max(share[0], share[4]) < 0.5
        assert min(share[1:4]) > 0.5


def test_lines_do_not_depend_on_how_they_are_written(now):
    writer = LineWriter(CALL_ROUTING, outages(now))
    begin, end = now - timedelta(minutes=30), now
    between = begin + timedelta(minutes=11, seconds=17)
    assert [*writer.lines(begin, between), *writer.lines(between, end)] == list(writer.lines(begin, end))


def test_every_log_has_recent_lines(now):
    for writer in writers(outages(now), logged_deployments(now)):
        assert first_line(writer.service, now) < now - timedelta(days=6)
        assert list(writer.lines(now - timedelta(hours=3), now)), writer.service.name


def test_the_access_log_of_the_outage_answers_with_5xx(now):
    outage: Outage = outages(now)[-1]
    lines = [text for _, text in LineWriter(AGENT_DESKTOP, outages(now)).lines(outage.began, outage.ended)]
    assert sum(bool(re.search(r'" 50\d ', text)) for text in lines) > len(lines) / 2


def _incidents(world: World) -> list:
    return [issue for issue in world.issue_of.values() if len(issue.labelled) == 2 and issue.labelled[0][0] == "incident"]


def _successes(world: World) -> dict[datetime, str]:
    """Return the commit of each successful attempt to deploy to production, by the attempt's end."""
    found = {end: run.oid for run in world.runs.values() for _, end, conclusion in run.attempts if conclusion == "success"}
    deploys = [one for one in world.deploys.values() if one.environment == "production"]
    return found | {when: one.oid for one in deploys for when, state in one.statuses if state == "SUCCESS"}


def _history(world: World, oid: str) -> set[str]:
    return {commit.oid for commit in world.history(oid)} - {oid}


def _error_share(writer: LineWriter, minute: datetime) -> float:
    texts = [text for _, text in writer.lines(minute, minute + timedelta(minutes=1))]
    bad = [text for text in texts if re.search(r'"level": "error"|" 50\d |ERROR', text)]
    return len(bad) / max(len(texts), 20)
