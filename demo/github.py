"""Serve the demo's team as GitHub would, until the process is stopped. The server's clock goes on from the time that it was set to."""

import argparse
import time
from datetime import datetime, timedelta
from pathlib import Path

from demo.team.worlds import team_worlds
from github_stand_in.server import StandIn


class LivingGitHub(StandIn):
    """The stand-in, with a clock that goes on. It goes in whole minutes, because each new time makes the server sort its lists again."""

    _set_to: datetime
    _set_at: float

    @property
    def clock(self) -> datetime:
        return self._set_to + timedelta(minutes=(time.monotonic() - self._set_at) // 60)

    @clock.setter
    def clock(self, moment: datetime) -> None:
        self._set_to, self._set_at = moment, time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True, help="the time at which the demo began")
    parser.add_argument("--port-file", type=Path, required=True, help="write the address there once it answers")
    options = parser.parse_args()
    server = LivingGitHub(team_worlds(options.now), clock=options.now)
    unfinished = options.port_file.with_suffix(".part")
    unfinished.write_text(server.url)
    unfinished.rename(options.port_file)  # so that nobody reads half an address
    server.serve_forever()


if __name__ == "__main__":
    main()
