#!/usr/bin/env python
"""Run Django's command line."""

import gc
import os
import sys

from callcentersite.garbage_collection import collect_rarely


def main() -> None:
    collect_rarely()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
    from callcentersite.command_errors import execute

    try:
        status = execute(sys.argv)
    finally:
        # When a process ends, Python collects garbage among all its objects, which takes a sixth of the time of a short command. The operating
        # system takes the memory back anyway.
        gc.freeze()
    sys.exit(status)


if __name__ == "__main__":
    main()
