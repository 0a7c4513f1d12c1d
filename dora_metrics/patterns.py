"""Regular expressions that people enter. RE2 is linear in what it searches, so no pattern can hang a worker."""

from functools import lru_cache

import re2


@lru_cache(maxsize=256)
def compiled(pattern: str | bytes, *, is_latin_1: bool = False) -> "re2._Regexp":
    """Raises ValueError with RE2's reason. `is_latin_1`: bytes are searched one by one, whatever they encode."""
    options = re2.Options()
    options.log_errors = False  # RE2 would write to standard error by itself
    if is_latin_1:
        options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile(pattern, options)
    except re2.error as exc:
        reason = exc.args[0] if exc.args else exc
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from exc
