"""The worlds of the demo's team: all its repositories, as they are now and as they will be in the coming days."""

from collections.abc import Iterator
from datetime import datetime
from functools import cache

from demo.team.deliveries import LogLines
from demo.team.outages import outages
from demo.team.profiles import TEAM, VOICE_BOT, Profile
from demo.team.repository_life import RepositoryLife
from github_stand_in.worlds.facts import DAY
from github_stand_in.worlds.world import World

SEED = 7
DAYS_AHEAD = 3  # the demo may be left running: the team goes on working


def team_worlds(now: datetime, *, seed: int = SEED) -> dict[str, World]:
    """Return the repositories by name. `now`: an aware time in UTC; the history ends DAYS_AHEAD days after it."""
    return {profile.repository: _life(profile, now, seed).live() for profile in _profiles()}


@cache
def logged_deployments(now: datetime, *, seed: int = SEED) -> tuple[tuple[datetime, str, bool], ...]:
    """Return the deployments that only a log knows, as (end, commit, whether it succeeded)."""
    life = _life(VOICE_BOT.repositories[0], now, seed)
    life.live()
    assert isinstance(life.delivery, LogLines)
    return tuple(life.delivery.lines)


def _profiles() -> Iterator[Profile]:
    for service in TEAM:
        yield from service.repositories


def _life(profile: Profile, now: datetime, seed: int) -> RepositoryLife:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return RepositoryLife(profile, midnight=midnight, end=midnight + DAYS_AHEAD * DAY, seed=seed, outages=outages(now))
