"""The demo (`scripts/demo`): run some nights of the pipeline with an embedded broker and SQLite, and print each step."""

import argparse
import os
import signal
import sys
from pathlib import Path

from callcentersite.local_processes import STOP_SIGNALS, CannotStart, sole_owner
from demo.environment import PROJECT, Demo, DemoFailed
from demo.steps import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Some nights of the pipeline on the embedded defaults.")
    parser.add_argument("--serve", action="store_true", help="leave web, worker and beat running")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="a real repository; needs GITHUB_TOKEN")
    options = parser.parse_args()
    if options.repository and not os.environ.get("GITHUB_TOKEN"):
        print("error: --repository needs GITHUB_TOKEN, a token that may read the repository", file=sys.stderr)
        return 2
    folder = Path(os.environ.get("CALLCENTERSITE_VAR") or PROJECT / "var").absolute() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    for number in STOP_SIGNALS:  # each then raises KeyboardInterrupt, so that the started processes are stopped
        signal.signal(number, signal.default_int_handler)
    try:
        with sole_owner(folder, what="a demo"):
            clear(folder)
            run(Demo(folder, options.repository), serve=options.serve)
    except (DemoFailed, CannotStart) as exc:
        print(f"demo: failed: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped")
        return 130
    print("demo: everything is stopped")
    return 0


def clear(folder: Path) -> None:
    """Delete the files of the previous demo. Only the lock, which this demo holds, stays."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path != folder / "owner.lock":
            path.rmdir() if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(main())
