"""Which accounts are bots: docs/metrics.md, "Change lead time"."""


def is_bot(login: str, is_marked: bool, bots: frozenset[str]) -> bool:
    """Return whether GitHub marks the account as a bot, its login ends in "[bot]", or the service lists it in `bots`."""
    return is_marked or login.endswith("[bot]") or login in bots
