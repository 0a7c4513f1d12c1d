"""The rule by which an account is a bot (docs/metrics.md, "Change lead time")."""


def is_bot(login: str, is_marked: bool, bots: frozenset[str]) -> bool:
    """Return whether the account is a bot: GitHub marks it (`is_marked`), its login ends in "[bot]", or the service lists its login (`bots`)."""
    return is_marked or login.endswith("[bot]") or login in bots
