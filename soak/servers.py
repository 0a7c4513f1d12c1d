"""MariaDB, Redis and Cassandra of this soak alone, on ports of their own, and a proxy in front of each."""

import os
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from soak.plan import SERVERS
from tests.tcp_proxy import Proxy

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "services"


class Servers:
    """`with Servers(folder) as servers:` starts them, and kills them at the end.

    A killed server must lose nothing that it has acknowledged, so they write to disk at once (SVC_DURABLE).
    """

    def __init__(self, folder: Path) -> None:
        settings = {"SVC_DIR": str(folder), "SVC_MODE": "native", "SVC_DURABLE": "1", "SVC_HEAP": "512m", "SVC_BASE": "15300"}
        self._env = {**os.environ, **settings}
        self._folder = folder
        self._exit = ExitStack()
        self.proxies: dict[str, Proxy] = {}

    def __enter__(self) -> Self:
        self._exit.callback(self._run, "kill")
        try:
            self._run("start", *SERVERS)
            variables = dict(re.findall(r"export (\w+)=(.*)", self._run("env")))
            ports = {
                "mariadb": int(re.findall(r":(\d+)/", variables["DATABASE_URL"])[0]),
                "redis": int(re.findall(r":(\d+)/", variables["CELERY_BROKER_URL"])[0]),
                "cassandra": int(variables["CASSANDRA_PORT"]),
            }
            self.proxies = {name: self._exit.enter_context(Proxy(port)) for name, port in ports.items()}
            self.ports = ports
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def start(self, name: str) -> None:
        """Start a killed server, without waiting for another one that is being started: the script locks its cache meanwhile."""
        cache = self._folder / f"cache-{name}"
        if not cache.exists():
            cache.mkdir()
            for path in Path(os.environ.get("SVC_CACHE", Path.home() / ".cache" / "services")).iterdir():
                if path.name != "lock":
                    (cache / path.name).symlink_to(path)
        self._run("start", name, SVC_CACHE=str(cache))

    def kill(self, name: str) -> None:
        self._run("kill", name)

    def direct(self) -> dict[str, str]:
        """Return the environment variables with the servers' own addresses."""
        return _addresses(self.ports)

    def behind_proxies(self) -> dict[str, str]:
        return _addresses({name: proxy.port for name, proxy in self.proxies.items()})

    def _run(self, verb: str, *names: str, **env: str) -> str:
        done = subprocess.run([SCRIPT, verb, *names], env=self._env | env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"scripts/services {verb} {' '.join(names)}: {done.stderr[-2000:]}")
        return done.stdout


def _addresses(ports: dict[str, int]) -> dict[str, str]:
    return {
        "DATABASE_URL": f"mysql://etl:etl@127.0.0.1:{ports['mariadb']}/etl",
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "CASSANDRA_CONTACT_POINTS": "127.0.0.1",
        "CASSANDRA_PORT": str(ports["cassandra"]),
        "CASSANDRA_LOCAL_DC": "datacenter1",
        "CASSANDRA_KEYSPACE": "soak",
    }
