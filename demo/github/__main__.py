"""python -m demo.github --repository acme/billing: serve a generated repository until stopped."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from demo.github.server import StandIn
from demo.github.world import World


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for GitHub with a generated service.")
    parser.add_argument("--repository", action="append", metavar="OWNER/NAME", help="may be repeated; default acme/billing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8701)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--end", type=datetime.fromisoformat, help="the end of what was generated; default now")
    parser.add_argument("--port-file", type=Path, help="write the address there once it answers")
    options = parser.parse_args()
    end = options.end or datetime.now(UTC)
    worlds = {name: World(name, end=end, days=options.days, seed=options.seed) for name in options.repository or ["acme/billing"]}
    server = StandIn(worlds, host=options.host, port=options.port)
    print(f"stand-in: {server.url}", flush=True)
    if options.port_file:
        options.port_file.write_text(server.url)
    server.serve_forever()


if __name__ == "__main__":
    main()
