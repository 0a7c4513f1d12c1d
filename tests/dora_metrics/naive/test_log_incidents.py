"""The calculator and the naive implementation find the same incidents in a thousand random logs.

The naive implementation is also compared with incidents that were found by hand.
"""

import random
from datetime import datetime, timedelta

import pytest

from dora_metrics.calculators.inputs import Coverage, Facts, LogHour
from dora_metrics.calculators.log_incidents import log_incidents
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import at, log_hours
from tests.dora_metrics.naive.log_histories import log_settings, minutes
from tests.dora_metrics.naive.logs import MINUTE, Spell, spells

LOGS, CHUNKS = 1000, 4
HOUR = timedelta(hours=1)
BAD, GOOD = (20, 2), (20, 1)


def a_log(seed: int) -> tuple[Facts, Settings, datetime]:
    """Return a few hours of one or two logs, in random order. Some hours come in two parts, and the last hours may not have been read yet."""
    rng = random.Random(seed)
    parts = [
        LogHour(source, at(0) + number * HOUR, minutes(rng))
        for source in rng.choice((("web",), ("web",), ("web", "worker"), ("web", "web", "worker")))
        for number in range(rng.randint(1, 4))
        if rng.random() < 0.9
    ]
    end = at(0) + rng.randint(30, 300) * MINUTE + rng.choice((0, 0, 30)) * timedelta(seconds=1)
    coverage = {"log_events": Coverage(at(0), end)} if rng.random() < 0.95 else {}
    now = end + rng.choice((1, 1, -1)) * rng.randint(0, 60) * MINUTE
    return Facts(log_hours=tuple(rng.sample(parts, len(parts))), coverage=coverage), Settings(**log_settings(rng)), now


def theirs(facts: Facts, settings: Settings, now: datetime) -> list[Spell]:
    read = facts.coverage.get("log_events")
    found = log_incidents(facts.log_hours, settings, until=min(read.until, now) if read else None)
    return [Spell(one.started_at, one.ended_at) for one in found]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_it_agrees_with_the_walk_through_every_minute(chunk: int) -> None:
    logs = {seed: a_log(seed) for seed in range(chunk, LOGS, CHUNKS)}
    differences = {seed: (theirs(*log), spells(*log)) for seed, log in logs.items() if theirs(*log) != spells(*log)}
    assert differences == {}


def test_the_logs_have_incidents_of_every_sort() -> None:
    found = [spell for seed in range(LOGS // 4) for spell in spells(*a_log(seed))]
    assert sum(spell.end is None for spell in found) > 20
    assert sum(spell.end is not None for spell in found) > 100
    assert sum(spell.end is not None and spell.end.hour != spell.start.hour for spell in found) > 20


# The naive implementation


def walked(*counts: tuple[int, int], read: int = 300) -> list[Spell]:
    return spells(Facts(log_hours=log_hours(at(0), *counts), coverage={"log_events": Coverage(at(0), at(0) + read * MINUTE)}), Settings(), at(9))


def minute(number: int) -> datetime:
    return at(0) + number * MINUTE


def test_the_walk_begins_with_the_fifth_and_ends_with_the_tenth() -> None:
    assert walked(*[BAD] * 4, GOOD, *[BAD] * 4) == []
    assert walked(GOOD, *[BAD] * 5) == [Spell(minute(1), minute(6))]
    assert walked(*[BAD] * 5, *[GOOD] * 9, BAD, *[GOOD] * 10, *[BAD] * 5) == [Spell(minute(0), minute(15)), Spell(minute(25), minute(30))]


def test_the_walk_ends_nothing_that_was_not_read() -> None:
    assert walked(*[BAD] * 5, read=14) == [Spell(minute(0), None)]
    assert walked(*[BAD] * 5, read=15) == [Spell(minute(0), minute(5))]
