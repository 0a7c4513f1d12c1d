"""What is done to the installation, and when. The same seed and length always give the same plan."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from soak.misbehaviour import MISBEHAVIOURS

LEASE_S, SOFT_LIMIT_S, GRACE_S = 10, 20, 30  # in the proportions of the defaults
SERVERS = ("mariadb", "redis", "cassandra")
LINKS = (*SERVERS, "github")

# Each kind of fault: what is done, to what, for how many seconds (from, to), and how often it is in a deck.
FAULTS: tuple[tuple[str, tuple[str, ...], tuple[float, float], int], ...] = (
    ("kill", ("child",), (0, 0), 3),
    ("kill", ("worker", "worker and children", "beat"), (0, 0), 1),
    ("kill", ("mariadb", "redis"), (0, 6), 1),
    ("kill", ("cassandra",), (0, 3), 1),
    ("freeze", ("child", "worker"), (LEASE_S + 1, LEASE_S + 4), 1),
    ("flush", ("redis",), (0, 0), 1),
    ("reset", LINKS, (0, 0), 1),
    ("cut", LINKS, (0.5, 6), 1),
    ("slow", LINKS, (2, 8), 1),
    ("black hole", LINKS, (1, 12), 1),
    ("github", tuple(MISBEHAVIOURS), (2, 6), 1),
)
# A target is left alone for this long after its fault, so that it can start again.
RECOVERY_S = {"worker": 6, "beat": 4, "mariadb": 5, "redis": 3, "cassandra": 25}
FAULT_GAP_S = (0.3, 3.2)

ACTIONS = {
    "night": 5,
    "run": 3,
    "full run": 1,
    "backfill": 1,
    "cancel": 1,
    "replay stage": 3,
    "replay record": 2,
    "mend and replay": 2,
    "discard": 1,
    "messages twice": 2,
    "second beat": 1,
    "second sweeper": 1,
}
ACTION_GAP_S = (0.8, 3)

LOG_STEPS = {"write": 12, "poison": 3, "rename": 2, "copytruncate": 2, "compress": 3, "delete": 2, "delete and recreate": 1}
LOG_GAP_S = (0.3, 1.2)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done. `at`, `lasts`: in seconds. `lane`: fault, action or log. `seed`: of what is chosen when the step begins."""

    at: float
    lane: str
    what: str
    target: str
    lasts: float
    seed: int

    def __str__(self) -> str:
        duration = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.at:7.1f} s  {self.what} {self.target}".rstrip() + duration


def plan(seed: int, *, seconds: float) -> list[Step]:
    """Return the steps in the order of their times."""
    # Each lane has its own random numbers, so that a longer run begins like a shorter one.
    lanes = (faults(random.Random(f"{seed}/faults"), seconds), *(_drawn(seed, seconds, *one) for one in _DRAWN))
    return sorted((step for lane in lanes for step in lane), key=lambda step: step.at)


def faults(rng: random.Random, seconds: float) -> Iterable[Step]:
    """Deal a shuffled deck that has every kind of fault, again and again. A fault waits in the deck while its target still has another one."""
    deck: list[tuple[str, str, tuple[float, float]]] = []
    busy_until: dict[str, float] = {}
    at = rng.uniform(*FAULT_GAP_S)
    while at < seconds:
        if not deck:
            deck = [(what, target, lasts) for what, targets, lasts, count in FAULTS for target in targets for _ in range(count)]
            rng.shuffle(deck)
        chosen = next((card for card in deck if busy_until.get(resource(*card[:2]), 0.0) <= at), None)
        if chosen:
            deck.remove(chosen)
            what, target, (least, most) = chosen
            lasts = rng.uniform(least, most)
            used = resource(what, target)
            recovery = RECOVERY_S.get(used, 0) if what in ("kill", "freeze") else 0
            busy_until[used] = at + lasts + recovery
            yield Step(at, "fault", what, target, lasts, rng.getrandbits(32))
        at += rng.uniform(*FAULT_GAP_S)


def resource(what: str, target: str) -> str:
    """Return what a fault occupies: a process, a server, or the connection to a server."""
    if what == "github":
        return "stand-in"
    if what in ("reset", "cut", "slow", "black hole"):
        return f"connection to {target}"
    return "worker" if target in ("child", "worker", "worker and children") else target


_DRAWN = (("action", ACTIONS, ACTION_GAP_S), ("log", LOG_STEPS, LOG_GAP_S))


def _drawn(seed: int, seconds: float, lane: str, weights: dict[str, int], gap_s: tuple[float, float]) -> Iterable[Step]:
    rng = random.Random(f"{seed}/{lane}")
    at = 0.0
    while (at := at + rng.uniform(*gap_s)) < seconds:
        [what] = rng.choices(list(weights), list(weights.values()))
        yield Step(at, lane, what, "", 0.0, rng.getrandbits(32))
