"""How many random examples hypothesis tries: few by default; FUZZ_EXAMPLES=3000 tries so many of each kind (docs/contributing.md)."""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings


def examples(few: int) -> settings:
    """Return hypothesis' settings for a test that tries `few` examples, unless FUZZ_EXAMPLES names another number."""
    number = int(os.environ.get("FUZZ_EXAMPLES") or few)
    # The examples are few and named by the failure itself. Shrinking one would run hundreds of whole stages.
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(max_examples=number, deadline=None, phases=phases, report_multiple_bugs=False, suppress_health_check=list(HealthCheck))


# Values on which decoders, databases and comparisons of times are known to fail.
ODD_NUMBERS: tuple[float, ...] = (
    *(-1, 0, 1, 2, 255, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30),
    *(0.5, -0.0, 1e308, float("inf"), float("nan")),
)
ODD_TIMES = (
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z"),
    *("1970-01-01T00:00:00Z", "2099-12-31T23:59:59Z", "2100-01-01T00:00:00.000001Z", "2026-03-01T12:00:00", "2026-03-01", "2026-02-30T12:00:00Z"),
    *("2026-03-01T24:00:00Z", "2026-03-01T12:00:60Z", "2026-03-01T12:00:00+00:00", "2026-03-01 12:00:00Z", "2026-03-01T12:00:00.123456789Z", "now"),
)
ODD_TEXTS = (
    *("", " ", "0", "-1", "1e5", "null", "NaN", "\0", "a\0b", "\ud800", "x" * 64, "x" * 256, "x" * 3000, "İ" * 30, "ß" * 100, "ﬃ" * 64, "\u202e"),
    *("9" * 18, "9" * 19, "9" * 30, "%s", "%", "{}", "{0.__class__}", "'; DROP TABLE x; --", "<script>alert(1)</script>", "=1+1", "../../etc/passwd"),
    *("abc", "ABC", "abc ", "(", "[", "(?P<sha>", "(a+)+$", "\\", "*" * 50, "acme/billing", "SUCCESS", "production", "٣", "²", "1_000", "+5", "\r\n"),
    *("a" * 40, "😀" * 80),
)
ODD_CONTAINERS: tuple[Any, ...] = (
    *([], {}, [None], [[]], [{}], [1, "a"], {"nodes": None}, {"nodes": [None]}, {"nodes": {}}),
    *({"totalCount": -1}, {"oid": 7}),
)
ODD_VALUES: tuple[Any, ...] = (None, True, False, *ODD_NUMBERS, *ODD_TIMES, *ODD_TEXTS, *ODD_CONTAINERS)
