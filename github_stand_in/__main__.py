"""Serve generated repositories until the process is stopped.

python -m github_stand_in --repository acme/billing
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from github_stand_in.server import LIMIT, StandIn
from github_stand_in.worlds.exact_size import exact_world
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for GitHub with generated services.")
    parser.add_argument("--repository", action="append", metavar="OWNER/NAME", help="may be repeated; default acme/billing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8701)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--end", type=datetime.fromisoformat, help="the end of what was generated; default now")
    parser.add_argument("--large", action="store_true", help="with pull requests of hundreds of commits, files and reviews")
    parser.add_argument("--sized", action="store_true", help="2,000 pull requests, 1,000 deployments and so on, instead of ordinary days")
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    parser.add_argument("--limit", type=int, default=LIMIT, help="points and requests an hour")
    parser.add_argument("--port-file", type=Path, help="write the address there once it answers")
    options = parser.parse_args()
    worlds = {name: _world(name, options) for name in options.repository or ["acme/billing"]}
    server = StandIn(worlds, host=options.host, port=options.port, latency_seconds=options.latency_seconds, limit=options.limit)
    print(f"stand-in: {server.url}", flush=True)
    if options.port_file:
        options.port_file.write_text(server.url)
    server.serve_forever()


def _world(name: str, options: argparse.Namespace) -> World:
    end = options.end or datetime.now(UTC)
    if options.sized:
        return exact_world(name, end=end)
    return ordinary_world(name, end=end, days=options.days, seed=options.seed, large=options.large)


if __name__ == "__main__":
    main()
