"""Append a line to the log of call-routing every few seconds, as its program would, until the process is stopped."""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from demo.team.log_lines import LineWriter, append
from demo.team.profiles import CALL_ROUTING

LIVE_CALLS_A_MINUTE = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the folder of the logs")
    options = parser.parse_args()
    writer = LineWriter(CALL_ROUTING, (), calls_a_minute=LIVE_CALLS_A_MINUTE)
    written_until = datetime.now(UTC)
    while True:
        time.sleep(1)
        moment = datetime.now(UTC)
        append(writer, options.folder, written_until, moment)
        written_until = moment


if __name__ == "__main__":
    main()
