"""Report how long pytest took and which tests were the slowest. This is a pytest plugin, loaded by pyproject.toml."""

import os
import time
from collections import Counter
from collections.abc import Generator

import pytest

SHOWN = 10
UNMARKED_MOST_S = 10  # a test that takes longer should be marked slow; generous, because a busy machine takes several times as long
STARTED_AT = float(os.environ.get("TESTS_STARTED_AT") or time.time())  # set by scripts/test before any set-up


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    yield
    terminal = session.config.pluginmanager.getplugin("terminalreporter")
    if terminal is None:  # a worker process of pytest-xdist, which prints nothing
        return
    seconds: Counter[str] = Counter()
    unmarked: set[str] = set()
    for reports in terminal.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid] += report.duration
                # The set-up does not count, because that of the first test creates the database.
                if report.when == "call" and report.duration > UNMARKED_MOST_S and "slow" not in report.keywords:
                    unmarked.add(report.nodeid)
    if not seconds:
        return
    if os.getloadavg()[0] > 2 * (os.cpu_count() or 1):  # other programs make every test slow
        unmarked.clear()
    slowest = seconds.most_common(SHOWN)
    minutes, rest = divmod(round(time.time() - STARTED_AT), 60)
    terminal.write_sep("=", "time")
    for test, duration in slowest:
        terminal.write_line(f"{duration:7.1f} s  {test}{'  (mark it as slow)' if test in unmarked else ''}")
    terminal.write_line(f"{minutes} min {rest} s in all, with the set-up; {sum(seconds.values()):.0f} s in tests, the {len(slowest)} slowest above")
