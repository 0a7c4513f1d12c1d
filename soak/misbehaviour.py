"""Every kind of misbehaviour of the stand-in for GitHub, with the settings that switch it on: github_stand_in/faults.py."""

import random
from collections.abc import Callable
from typing import Any

# What the last six change in an answer stays in the database until somebody reads everything again, so only this repository has them. At the
# end of a soak, one full run of it brings the right values.
ODD = "acme/odd"
LISTS = ("PullRequests", "Deployments", "Issues", "Commits", "Releases", "WorkflowRuns")
ANSWERS: tuple[Any, ...] = ([], "half a proxy's page", {"data": None}, {"message": "Login"}, {"data": None, "errors": []})


def _somewhere(rng: random.Random) -> str | bool:
    return rng.choice((True, *LISTS))


MISBEHAVIOURS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "outage": lambda rng: {"outage": _somewhere(rng), "status": rng.choice((500, 502, 503, 504))},
    "every": lambda rng: {"every": rng.randint(2, 4), "status": rng.choice((500, 502, 503))},
    "retry_after": lambda rng: {"retry_after": rng.randint(1, 3), "status": rng.choice((403, 429)), "times": rng.randint(1, 4)},
    "unfinished_above": lambda rng: {"unfinished_above": rng.choice((10, 30, 60))},
    "garbage": lambda rng: {"garbage": _somewhere(rng), "times": rng.randint(1, 6)},
    "redirect": lambda rng: {"redirect": _somewhere(rng), "to": "http://127.0.0.1:9/elsewhere"},
    "instead": lambda rng: {"instead": _somewhere(rng), "answer": rng.choice(ANSWERS), "times": rng.randint(1, 6)},
    "echo": lambda rng: {"echo": _somewhere(rng), "status": rng.choice((200, 403)), "times": rng.randint(1, 4)},
    "slow_seconds": lambda rng: {"slow_seconds": rng.uniform(0.05, 0.4)},
    "cut": lambda rng: {"cut": _somewhere(rng), "times": rng.randint(1, 6)},
    "drip": lambda rng: {"drip": _somewhere(rng), "drip_seconds": rng.uniform(1, 8), "times": rng.randint(1, 4)},
    "shift": lambda rng: {"shift": _somewhere(rng), "shift_seconds": rng.randint(60, 7200), "times": rng.randint(1, 3)},
    "rate": lambda rng: {"rate": rng.uniform(0.2, 0.7), "seed": rng.getrandbits(16)},
    "bad_record": lambda rng: {"repository": ODD, "bad_record": _somewhere(rng), "times": rng.randint(1, 4)},
    "null_nodes": lambda rng: {"repository": ODD, "null_nodes": _somewhere(rng), "times": rng.randint(1, 6)},
    "null_object": lambda rng: {"repository": ODD, "null_object": "Commits", "times": rng.randint(1, 6)},
    "new_enum": lambda rng: {"repository": ODD, "new_enum": _somewhere(rng), "times": rng.randint(1, 4)},
    "new_field": lambda rng: {"repository": ODD, "new_field": _somewhere(rng)},
    "new_ids": lambda rng: {"repository": ODD, "new_ids": _somewhere(rng), "times": rng.randint(1, 4)},
}
