"""The timeline of a change: its milestones, the stages between them, and their parts of the bar."""

import pytest

from dashboard.facts.timeline import LEAST_WIDTH, WIDTH, timeline
from dora_metrics.calculators.change_matching import Match
from dora_metrics.calculators.lead_time_stages import lead_time
from tests.dora_metrics.calculators.examples import HOUR_S, at, change, success


def test_each_stage_ends_at_its_milestone_and_has_its_share_of_the_bar():
    pull = change(1, authored_at=(at(0, hours=2),))
    found = lead_time(pull, Match(success(1, "m1", at(1)), "sha"))
    steps = timeline([("first_commit", at(0, hours=2)), ("created", at(0.25)), ("merged", at(0.5)), ("deployed", at(1))], found)
    assert [(step.name, step.stage, step.seconds) for step in steps] == [
        ("first_commit", "", None),
        ("created", "coding", 4 * HOUR_S),
        ("merged", "", None),  # without a review there is no review stage
        ("deployed", "deploy", 12 * HOUR_S),
    ]
    assert [step.width for step in steps] == pytest.approx([0, WIDTH / 4, 0, 3 * WIDTH / 4])
    assert [step.x for step in steps] == pytest.approx([0, 0, WIDTH / 4, WIDTH / 4])


def test_a_stage_of_a_second_can_still_be_seen():
    found = lead_time(change(1, created_at=at(0), merged_at=at(90)), Match(success(1, "m1", at(90, seconds=1)), "sha"))
    found.stages["coding"] = 90 * 24 * HOUR_S
    widths = [step.width for step in timeline([("created", at(0)), ("deployed", at(90, seconds=1))], found)]
    assert widths[1] == pytest.approx(LEAST_WIDTH, rel=0.01)
    assert sum(widths) == pytest.approx(WIDTH)


def test_without_a_lead_time_there_are_milestones_only():
    steps = timeline([("created", at(0)), ("merged", at(1))], None)
    assert [(step.stage, step.width) for step in steps] == [("", 0), ("", 0)]
