"""Do the faults of a plan. Each runs in a thread of its own, and heals what it has damaged when its time is over."""

import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

import redis

from github_stand_in.server import StandIn
from soak.misbehaviour import MISBEHAVIOURS
from soak.plan import Step, resource
from soak.processes import Processes
from soak.servers import Servers
from tests.tcp_proxy import Proxy

SLOW_S = 0.05  # for each piece of data


class Faults:
    def __init__(self, servers: Servers, processes: Processes, github: StandIn, github_proxy: Proxy) -> None:
        self.servers, self.processes, self.github = servers, processes, github
        self.links = {**servers.proxies, "github": github_proxy}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._kinds: dict[str, Callable[[Step], str]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "flush": self._flush,
            "reset": self._reset,
            "cut": self._cut,
            "slow": self._slow,
            "black hole": self._black_hole,
            "github": self._misbehave,
        }

    def strike(self, step: Step) -> str:
        """Do the fault, and return once it is healed. The text says why nothing was done, or is empty."""
        # On a busy machine a server may need longer to start than the plan expects. It is not killed meanwhile.
        with self._locks[resource(step.what, step.target)]:
            return self._kinds[step.what](step)

    def _kill(self, step: Step) -> str:
        if step.target in self.servers.ports:
            self.servers.kill(step.target)
            time.sleep(step.lasts)
            self.servers.start(step.target)
            return ""
        pids = self._pids(step)
        for pid in pids:
            with suppress(ProcessLookupError):
                (os.killpg if step.target == "worker and children" else os.kill)(pid, signal.SIGKILL)
        return "" if pids else "it does not run"

    def _freeze(self, step: Step) -> str:
        pids = self._pids(step)
        if not pids:
            return "it does not run"
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(step.lasts)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return ""

    def _pids(self, step: Step) -> list[int]:
        """Return the processes that the fault concerns. A worker is frozen with its children; it may be killed without them."""
        children = self.processes.children()
        if step.target == "child":
            return [random.Random(step.seed).choice(sorted(children))] if children else []
        pid = self.processes.pid("beat" if step.target == "beat" else "worker")
        if pid is None:
            return []
        return [pid, *children] if step.what == "freeze" else [pid]

    def _flush(self, step: Step) -> str:
        try:
            redis.Redis(port=self.servers.ports["redis"], socket_timeout=5).flushall()
        except redis.RedisError as exc:
            return f"it does not answer ({type(exc).__name__})"
        return ""

    def _reset(self, step: Step) -> str:
        self.links[step.target].reset()
        return ""

    def _cut(self, step: Step) -> str:
        self.links[step.target].cut()
        time.sleep(step.lasts)
        self.links[step.target].open()
        return ""

    def _slow(self, step: Step) -> str:
        self.links[step.target].slow(SLOW_S)
        time.sleep(step.lasts)
        self.links[step.target].slow(0)
        return ""

    def _black_hole(self, step: Step) -> str:
        self.links[step.target].freeze()
        time.sleep(step.lasts)
        self.links[step.target].thaw()
        return ""

    def _misbehave(self, step: Step) -> str:
        self.github.faults = MISBEHAVIOURS[step.target](random.Random(step.seed))
        time.sleep(step.lasts)
        self.github.faults = {}
        return ""
