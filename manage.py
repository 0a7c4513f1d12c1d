#!/usr/bin/env python
"""Run Django's command line."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
    from callcentersite.command_errors import execute

    sys.exit(execute(sys.argv))


if __name__ == "__main__":
    main()
