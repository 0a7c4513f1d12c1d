"""Lines that tell of a deployment."""

import re2

from dora_metrics import patterns

GROUPS = ("sha", "environment", "state")
_ANCHORS_OF_A_TEXT = (r"\A", r"\z")


class Deploys:
    """What a source's deploy pattern finds in events. RE2 is linear in what it searches, whatever the pattern is."""

    def __init__(self, pattern: str) -> None:
        """Raises ValueError, with a sentence, on a pattern that RE2 refuses, and on a group that would be passed over: `env` is no environment."""
        regex = compiled(pattern, "deploy pattern")
        for name in regex.groupindex:
            if name not in GROUPS:
                raise ValueError(f"the deploy pattern {pattern!r} has a group {name!r}: its groups are {', '.join(GROUPS)}")
        self._search = regex.search
        self._groups = [name for name in GROUPS if name in regex.groupindex]
        # One search tells that a body has none, if ^ and $ mean lines there, as they do at the ends of an event.
        self._search_body = None if any(anchor in pattern for anchor in _ANCHORS_OF_A_TEXT) else patterns.compiled(f"(?m:{pattern})").search

    def may_be_in(self, text: str) -> bool:
        return self._search_body is None or self._search_body(text) is not None

    def told_by(self, event: str) -> dict[str, str]:
        """The marks of an event's `extra`; none if it tells of no deployment."""
        found = self._search(event)
        if found is None:
            return {}
        marks = {f"deploy.{name}": found[name] for name in self._groups if found[name]}
        marks["deploy.state"] = marks.get("deploy.state", "success").lower()
        return marks


def compiled(pattern: str, called: str, *, as_bytes: bool = False) -> "re2._Regexp":
    """A regex that a person entered. Raises ValueError with a sentence if RE2 refuses it."""
    try:
        return patterns.compiled(pattern.encode() if as_bytes else pattern)
    except ValueError as exc:
        raise ValueError(
            f"the {called} {pattern!r} is no regular expression that RE2 reads ({exc}): it has no look-around and no back-references"
        ) from exc
