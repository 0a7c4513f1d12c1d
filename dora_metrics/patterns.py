"""Regular expressions that people enter. RE2 runs in linear time, so no pattern can hang a worker."""

from functools import lru_cache

import re2


@lru_cache(maxsize=256)
def compiled(pattern: str | bytes, *, is_latin_1: bool = False) -> "re2._Regexp":
    """Return the compiled pattern. Raises ValueError with RE2's reason.

    `is_latin_1`: True if bytes of any encoding are searched; each byte is then one character.
    """
    options = re2.Options()
    options.log_errors = False  # otherwise RE2 writes errors to standard error
    if is_latin_1:
        options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile(pattern, options)
    except re2.error as exc:
        reason = exc.args[0] if exc.args else exc
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from exc


@lru_cache(maxsize=4096)
def is_found(pattern: str, text: str) -> bool:
    """Return whether the pattern is found in the text. It is remembered, because the names of environments and labels occur thousands of times."""
    return compiled(pattern).search(text) is not None
