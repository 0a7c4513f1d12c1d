"""A soak's plan depends on its seed and length only, and contains every kind of fault."""

from itertools import pairwise

import pytest

from github_stand_in import faults
from soak.misbehaviour import MISBEHAVIOURS
from soak.plan import ACTIONS, FAULTS, LOG_STEPS, RECOVERY_S, plan, resource

pytestmark = pytest.mark.xdist_group("soak")


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(7, seconds=600) == plan(7, seconds=600)
    assert plan(7, seconds=600) != plan(8, seconds=600)


def test_a_longer_soak_begins_like_a_shorter_one() -> None:
    short = plan(7, seconds=90)
    assert plan(7, seconds=600)[: len(short)] == short


def test_ten_minutes_have_every_fault_action_and_rotation() -> None:
    found = {(step.lane, step.what, step.target) for step in plan(1, seconds=600)}
    expected = {("fault", what, target) for what, targets, _, _ in FAULTS for target in targets}
    expected |= {("action", what, "") for what in ACTIONS} | {("log", what, "") for what in LOG_STEPS}
    assert found == expected


@pytest.mark.parametrize("seed", range(5))
def test_a_target_has_one_fault_at_a_time_and_time_to_start_again(seed: int) -> None:
    by_target: dict[str, list[tuple[float, float]]] = {}
    for step in plan(seed, seconds=900):
        if step.lane == "fault":
            used = resource(step.what, step.target)
            recovery = RECOVERY_S.get(used, 0) if step.what in ("kill", "freeze") else 0
            by_target.setdefault(used, []).append((step.at, step.at + step.lasts + recovery))
    assert len(by_target) == 10
    for spans in by_target.values():
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_every_misbehaviour_of_the_stand_in_is_among_the_faults() -> None:
    described = {line.split('"')[1] for line in (faults.__doc__ or "").splitlines() if line.startswith(('- {"', '{"rate"'))}
    assert described == MISBEHAVIOURS.keys()
    assert len(MISBEHAVIOURS) >= 18
