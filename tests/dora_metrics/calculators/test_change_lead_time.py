from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.calculators.change_matching import Match
from dora_metrics.calculators.inputs import DraftEvent, Review
from dora_metrics.calculators.lead_time_stages import lead_time
from dora_metrics.calculators.metric_values import metric_values
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import (
    DAY,
    DAY_S,
    GITHUB,
    HOUR,
    HOUR_S,
    PULLS,
    at,
    covering,
    deployment,
    facts,
    line,
    pull,
    release,
    run,
    success,
    value_of,
)

NEXT_DAY = at(1)
value = partial(value_of, "change_lead_time")


def deployed(one, finished_at=NEXT_DAY, *, how="sha", bots=frozenset()):
    return lead_time(one, Match(success(1, one.merge_sha, finished_at), how), bots=bots)


def stages_of(**changed):
    return deployed(pull(1, **changed)).stages


def review(moment, login="grace", *, is_bot=False):
    return Review(login, is_bot, moment)


def ready(moment):
    return DraftEvent("ready_for_review", moment)


def drafted(moment):
    return DraftEvent("convert_to_draft", moment)


def history(*pulls, deploy_at=NEXT_DAY, **changed):
    """Return facts in which one deployment carries all of `pulls`, after a first deployment that carries none of them."""
    shas = ["a", *(one.merge_sha for one in pulls)]
    return {"deployments": (deployment(1, "a", at(0)), deployment(2, shas[-1], deploy_at)), "pull_requests": pulls, "parents": line(*shas)} | changed


def test_a_change_starts_with_its_creation_if_no_commit_is_earlier():
    one = deployed(pull(1, authored_at=(at(-0.5),)))
    assert (one.change_start, one.seconds) == (at(-1), 2 * DAY_S)


def test_a_change_starts_with_its_earliest_authored_commit():
    one = deployed(pull(1, authored_at=(at(-2), at(-3), at(-0.5))))
    assert (one.change_start, one.seconds, one.stages["coding"]) == (at(-3), 4 * DAY_S, 2 * DAY_S)


@pytest.mark.parametrize("strange", [datetime(2004, 12, 31, 23, 59, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), at(0, seconds=1)])
def test_dates_before_2005_or_after_the_merge_are_left_out_and_flagged(strange):
    one = deployed(pull(1, authored_at=(strange, at(-2))))
    assert (one.change_start, one.flags) == (at(-2), {"clock_skew"})


@pytest.mark.parametrize("authored", [datetime(2005, 1, 1, tzinfo=UTC), at(0)], ids=["with 2005", "with the merge"])
def test_dates_from_2005_to_the_merge_count(authored):
    one = deployed(pull(1, authored_at=(authored,)))
    assert (one.change_start, one.flags) == (min(authored, at(-1)), frozenset())


def test_of_250_commits_the_earliest_counts_wherever_it_stands():
    authored = tuple(at(-2, minutes=number) for number in range(249))
    assert deployed(pull(1, authored_at=(*authored[:120], at(-3), *authored[120:]))).change_start == at(-3)


@pytest.mark.parametrize(
    "changed", [{"created_at": at(0, seconds=1)}, {"closed_at": None}], ids=["merged before it was created", "merged and yet not closed"]
)
def test_an_impossible_date_is_kept_and_flagged(changed):
    one = deployed(pull(1, **changed))
    assert (one.change_start, one.flags) == (changed.get("created_at", at(-1)), {"clock_skew"})


def test_a_deleted_author_s_change_counts_and_so_does_a_deleted_user_s_review_of_another():
    nobody_s = deployed(pull(1, author="", reviews=(review(at(-0.5)),)))
    by_nobody = deployed(pull(1, reviews=(review(at(-0.5), ""),)))
    assert (nobody_s.is_by_bot, nobody_s.stages["pickup"], by_nobody.stages["pickup"]) == (False, 0.5 * DAY_S, 0.5 * DAY_S)


def test_a_change_without_commits_starts_with_its_creation():
    assert deployed(pull(1)).change_start == at(-1)


def test_a_deployment_before_the_merge_is_flagged_and_its_deploy_stage_is_0():
    one = deployed(pull(1), at(-0.5))
    assert (one.seconds, one.stages["deploy"], one.flags) == (0.5 * DAY_S, 0, {"deployed_before_merge"})


def test_a_lead_time_is_never_negative():
    assert deployed(pull(1), at(-2)).seconds == 0


def test_a_match_by_time_is_flagged():
    assert deployed(pull(1), how="time_matched").flags == {"time_matched"}


def test_stages_of_a_plain_change():
    assert stages_of(reviews=(review(at(-0.75)),)) == {
        "coding": 0,
        "draft": None,
        "pickup": 0.25 * DAY_S,
        "review": 0.75 * DAY_S,
        "deploy": DAY_S,
    }


def test_stages_with_a_missing_end_are_unknown():
    stages = stages_of()
    assert (stages["draft"], stages["pickup"], stages["review"]) == (None, None, None)


def test_a_draft_is_ready_at_its_first_ready_for_review():
    stages = stages_of(draft_events=(ready(at(-0.25)), drafted(at(-0.4)), ready(at(-0.5))), reviews=(review(at(-0.1)),))
    assert (stages["draft"], stages["pickup"]) == (0.5 * DAY_S, pytest.approx(0.4 * DAY_S))


def test_one_that_became_a_draft_later_was_ready_from_its_creation():
    stages = stages_of(draft_events=(drafted(at(-0.9)), ready(at(-0.5))), reviews=(review(at(-0.5)),))
    assert (stages["draft"], stages["pickup"]) == (None, 0.5 * DAY_S)


def test_one_that_only_became_a_draft_was_ready_from_its_creation():
    assert stages_of(draft_events=(drafted(at(-0.9)),))["draft"] is None


def test_a_review_before_ready_gives_a_pickup_of_0():
    stages = stages_of(draft_events=(ready(at(-0.5)),), reviews=(review(at(-0.75)),))
    assert (stages["pickup"], stages["review"]) == (0, 0.75 * DAY_S)


@pytest.mark.parametrize(
    "ignored",
    [
        review(at(-0.9), "ada"),
        review(at(-0.9), "grace", is_bot=True),
        review(at(-0.9), "lint[bot]"),
        review(at(-0.9), "checker"),
        review(at(-1, seconds=-1)),
        review(at(0, seconds=1)),
    ],
    ids=["the author's", "a bot's", "a [bot] login's", "a configured bot's", "before creation", "after merge"],
)
def test_a_review_that_does_not_count_is_passed_over(ignored):
    one = deployed(pull(1, reviews=(ignored, review(at(-0.5)))), bots=frozenset({"checker"}))
    assert one.stages["pickup"] == 0.5 * DAY_S


@pytest.mark.parametrize("edge", [at(-1), at(0)])
def test_a_review_at_creation_or_merge_counts(edge):
    assert stages_of(reviews=(review(edge),))["pickup"] is not None


def test_the_headline_is_the_median():
    pulls = [pull(number, created_at=at(1) - hours * HOUR) for number, hours in enumerate((30, 40, 60))]
    found = value(**history(*pulls))
    assert (found.value, found.p50, found.n, found.unit) == (40 * HOUR_S, 40 * HOUR_S, 3, "seconds")
    assert (found.p75, found.p90) == (50 * HOUR_S, pytest.approx(56 * HOUR_S))
    assert (found.tier, found.tier_year) == ("high", 2023)


def test_one_change_is_every_percentile():
    found = value(**history(pull(1)))
    assert (found.p50, found.p75, found.p90, found.n) == (2 * DAY_S, 2 * DAY_S, 2 * DAY_S, 1)


def test_two_changes_meet_in_the_middle():
    found = value(**history(pull(1, created_at=at(-1)), pull(2, created_at=at(-2))))
    assert (found.p50, found.p75) == (2.5 * DAY_S, 2.75 * DAY_S)


def test_no_change_makes_null_and_never_0():
    found = value()
    assert (found.value, found.p50, found.p75, found.p90, found.n, found.tier, found.tier_year) == (None, None, None, None, 0, None, None)
    assert found.details["stages"]["coding"] == {"p50": None, "n": 0}
    assert found.quality_flags == ()


def test_a_change_belongs_to_the_period_of_its_deployment():
    facts_then = history(pull(1), deploy_at=at(32), coverage=covering(at(0), at(60)))
    assert value("month", date(2026, 1, 1), **facts_then).n == 0
    assert value("month", date(2026, 2, 1), **facts_then).n == 1


def test_bots_are_left_out_and_counted():
    pulls = (pull(1), pull(2, author="dependabot", author_is_bot=True), pull(3, author="renovate[bot]"), pull(4, author="release"))
    settings = Settings(deployments_from="github", bots=frozenset({"release"}))
    found = value(settings=settings, **history(*pulls))
    assert (found.n, found.details["n_bots"]) == (1, 3)


def test_a_bot_s_strange_dates_flag_nothing():
    bot = pull(1, author_is_bot=True, authored_at=(at(5),))
    assert value(**history(bot)).quality_flags == ()


def test_stages_have_their_own_n_and_median():
    pulls = (pull(1, reviews=(review(at(-0.5)),)), pull(2), pull(3, draft_events=(ready(at(-0.75)),)))
    stages = value(**history(*pulls)).details["stages"]
    assert {stage: found["n"] for stage, found in stages.items()} == {"coding": 3, "draft": 1, "pickup": 1, "review": 1, "deploy": 3}
    assert (stages["draft"]["p50"], stages["pickup"]["p50"]) == (0.25 * DAY_S, 0.5 * DAY_S)


@pytest.mark.parametrize(("n", "flags"), [(1, ("low_n",)), (9, ("low_n",)), (10, ())])
def test_one_to_nine_values_are_few(n, flags):
    assert value(**history(*(pull(number) for number in range(n)))).quality_flags == flags


def test_flags_are_sorted_and_each_once():
    pulls = [pull(number, authored_at=(at(5),), merged_at=at(2)) for number in (1, 2)]
    assert value(**history(*pulls)).quality_flags == ("clock_skew", "deployed_before_merge", "low_n")


def test_a_deployed_sha_that_is_gone_is_flagged():
    changed = history(pull(1))
    changed["deployments"] += (deployment(3, "gone", at(3)),)
    assert value(**changed).quality_flags == ("low_n", "unknown_sha")


def test_merged_pull_requests_as_deployments_carry_themselves_and_are_flagged():
    found = value(settings=PULLS, pull_requests=(pull(1),))
    assert (found.p50, found.quality_flags) == (DAY_S, ("low_n", "proxy_pr_merge"))


def test_one_failed_attempt_with_a_commit_ends_matching_by_time():
    deployments = deployment(1, "", at(-1)), deployment(2, "x", at(0.5), "failure"), deployment(3, "", at(1))
    assert value(deployments=deployments, pull_requests=(pull(1),)).n == 0


def test_commits_pushed_without_a_pull_request_are_no_changes():
    pushed = history(pull(1)) | {"parents": line("a", "pushed", "m1", "more")}
    assert value(**pushed).n == 1


@pytest.mark.parametrize(
    ("settings", "deployments"),
    [
        ("releases", {"releases": (release(1, "a", at(0)), release(2, "m1", NEXT_DAY))}),
        ("workflows", {"workflow_runs": (run(1, updated_at=at(0)), run(2, sha="m1", updated_at=NEXT_DAY))}),
    ],
)
def test_releases_and_runs_carry_changes_like_deployments(settings, deployments):
    changed = history(pull(1)) | {"deployments": ()} | deployments
    assert value(settings=Settings(deployments_from=settings), **changed).p50 == 2 * DAY_S


def test_where_merged_pull_requests_stand_for_deployments_commits_need_not_be_collected():
    coverage = covering(at(0), at(31))
    del coverage["commits"]
    assert value(settings=PULLS, pull_requests=(pull(1),), coverage=coverage).n == 1


def test_failed_attempts_carry_nothing():
    changed = history(pull(1))
    changed["deployments"] = (deployment(1, "a", at(0)), deployment(2, "m1", at(1), "failure"), deployment(3, "m1", at(2)))
    assert value(**changed).p50 == 3 * DAY_S


def test_the_earliest_finish_is_first_not_the_earliest_start():
    changed = history(pull(1))
    slow = deployment(2, "m1", at(1), *["in_progress"] * 120, "success")
    changed["deployments"] = (deployment(1, "a", at(0)), slow, deployment(3, "m1", at(1, hours=1)))
    assert value(**changed).p50 == 2 * DAY_S + HOUR_S


def test_other_environments_have_their_own_lead_time():
    changed = history(pull(1))
    changed["deployments"] += (deployment(3, "a", at(0), environment="staging"), deployment(4, "m1", at(0.5), environment="staging"))
    assert value(**changed).p50 == 2 * DAY_S
    assert value(environment="staging", **changed).p50 == 1.5 * DAY_S


@pytest.mark.parametrize("missing", ["deployments", "pull_requests", "commits"])
def test_without_a_stream_that_it_needs_it_has_no_value(missing):
    coverage = covering(at(0), at(31))
    del coverage[missing]
    values = metric_values(facts(**history(pull(1), coverage=coverage)), GITHUB, now=at(400))
    assert not [v for v in values if v.metric == "change_lead_time"]


def test_a_period_is_partial_where_either_stream_began_inside_it():
    coverage = covering(at(0), at(31)) | {"pull_requests": covering(at(4), at(31))["commits"]}
    assert value(coverage=coverage).is_partial


def test_a_deployment_on_a_day_that_was_not_collected_is_not_counted():
    assert value(**history(pull(1), coverage=covering(at(5), at(31)))).n == 0


def test_the_period_is_the_local_date_s():
    settings = Settings(deployments_from="github", time_zone="America/Los_Angeles")
    changed = history(pull(1), deploy_at=datetime(2026, 2, 1, 7, 59, tzinfo=UTC), coverage=covering(at(-40), at(60)))
    assert value("month", date(2026, 1, 1), settings=settings, **changed).n == 1


times = st.floats(-30, 30, allow_nan=False).map(lambda days: at(days).replace(microsecond=0))
changes = st.builds(
    lambda number, created, took, authored, reviewed: pull(
        number, created_at=created, merged_at=created + timedelta(hours=took), authored_at=tuple(authored), reviews=tuple(review(t) for t in reviewed)
    ),
    st.integers(0, 7),
    times,
    st.integers(0, 200),
    st.lists(times, max_size=3),
    st.lists(times, max_size=3),
)


@given(
    st.lists(changes, max_size=8, unique_by=lambda one: one.number),
    st.lists(st.tuples(st.integers(0, 7), times), max_size=8),
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_facts_arrive_does_not_matter(pulls, deploys, random):
    deployments = [deployment(number, f"m{sha}", moment) for number, (sha, moment) in enumerate(deploys)]
    parents = line(*(f"m{number}" for number in range(8)))
    coverage = covering(at(-31), at(31))

    def values(found_pulls, found_deployments, found_parents):
        everything = facts(pull_requests=tuple(found_pulls), deployments=tuple(found_deployments), parents=found_parents, coverage=coverage)
        return metric_values(everything, GITHUB, now=at(400))

    mixed = values(
        random.sample(pulls, len(pulls)),
        random.sample(deployments, len(deployments)),
        dict(random.sample(list(parents.items()), len(parents))),
    )
    assert mixed == values(pulls, deployments, parents)


@given(changes, times)
def test_lead_time_and_stages_are_at_least_0(one, finished_at):
    found = deployed(one, finished_at)
    assert found.seconds >= 0
    assert all(seconds is None or seconds >= 0 for seconds in found.stages.values())


def test_a_day_later_is_a_day_longer():
    assert deployed(pull(1), at(2)).seconds - deployed(pull(1), at(1)).seconds == DAY.total_seconds()
