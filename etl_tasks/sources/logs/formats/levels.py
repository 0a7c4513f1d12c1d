"""The words and numbers that programs use for levels."""

from collections.abc import Mapping

_WORDS = {
    **dict.fromkeys(("trace", "debug", "verbose", "fine", "finer", "finest", "notset", *(f"trace{n}" for n in range(1, 9))), "debug"),
    **dict.fromkeys(("info", "information", "informational", "notice", "default", "config", "success"), "info"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("err", "error", "severe"), "error"),
    **dict.fromkeys(("critical", "crit", "fatal", "alert", "emerg", "emergency", "panic"), "critical"),
}
LEVELS = {spelling: level for word, level in _WORDS.items() for spelling in (word, word.upper(), word.title())}

SYSLOG = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
_SEVERITIES = dict(enumerate(SYSLOG))
_PYTHON = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
_BUNYAN = {10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "critical"}
# The levels that numbers mean, by the key of the number. The numbers of all other keys are looked up in _NUMBERS_OF_LEVEL.
_NUMBERS: Mapping[str, Mapping[int, str]] = {"PRIORITY": _SEVERITIES, "levelno": _PYTHON}
# Under the key `level`, bunyan and pino write 10 to 60, and GELF writes syslog's severities, 0 to 7. No number occurs in both, so one table serves
# both.
_NUMBERS_OF_LEVEL = {**_SEVERITIES, **_BUNYAN}


def level_of(value: object, key: str = "level") -> str | None:
    """Return the level that `value` means under the key `key`, or None if it is unknown."""
    if isinstance(value, str):
        level = LEVELS.get(value) or LEVELS.get(value.strip().lower())
        if level is not None or not value.strip().isdecimal() or len(value) > 4:
            return level
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _NUMBERS.get(key, _NUMBERS_OF_LEVEL).get(value)
    return None


def level_of_status(status: int) -> str:
    """Return the level for an HTTP status. It is used for lines that have no level."""
    return "error" if status >= 500 else "warning" if status >= 400 else "info"
