"""Store signs of life: when a part of the system was last seen to work, and how much of GitHub's limits was left then."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from etl_tasks.models import GitHubBudget, Heartbeat

SWEEP = "sweep"  # a worker has begun the sweep
LOOK = "look for workers"  # the sweep has asked all workers which queues they take
QUEUE = "queue "  # followed by a queue's name: a worker takes messages from the queue
LONGEST_NAME = 150


def name_of_queue(queue: str) -> str:
    """Return the name of the heartbeat of the workers that take messages from the queue."""
    return f"{QUEUE}{queue}"[:LONGEST_NAME]


def mark_seen(names: Iterable[str], moment: datetime) -> None:
    """Store that the things with these names worked at `moment`."""
    wanted = set(names)
    Heartbeat.objects.filter(name__in=wanted).update(seen_at=moment)
    new = wanted - set(Heartbeat.objects.filter(name__in=wanted).values_list("name", flat=True))
    Heartbeat.objects.bulk_create([Heartbeat(name=name, seen_at=moment) for name in sorted(new)], ignore_conflicts=True)


def last_seen() -> dict[str, datetime]:
    """Return when each thing was last seen to work, by its name."""
    return dict(Heartbeat.objects.values_list("name", "seen_at"))


def is_seen_since(name: str, moment: datetime) -> bool:
    """Return whether the thing with this name was seen to work at `moment` or later."""
    return Heartbeat.objects.filter(name=name, seen_at__gte=moment).exists()


def is_seen_between(name: str, begin: datetime, end: datetime) -> bool:
    """Return whether the thing with this name was last seen to work between the two times."""
    return Heartbeat.objects.filter(name=name, seen_at__range=(begin, end)).exists()


def store_budget(credential: str, limits: Mapping[str, tuple[int, int, float]], moment: datetime) -> None:
    """Store what GitHub's answers said until `moment`.

    `limits`: for each resource ("graphql", "core"), what is left, the limit, and the time of the reset in seconds since 1970. A row that
    another process has written later stays.
    """
    for resource, (remaining, limit, reset) in limits.items():
        left = {"remaining": remaining, "limit": limit, "resets_at": datetime.fromtimestamp(reset, UTC), "seen_at": moment}
        stored = GitHubBudget.objects.filter(credential=credential, resource=resource)
        if not stored.filter(seen_at__lte=moment).update(**left) and not stored.exists():
            GitHubBudget.objects.bulk_create([GitHubBudget(credential=credential, resource=resource, **left)], ignore_conflicts=True)
