"""Recognise deployments in log lines, by the deploy pattern of the source."""

from dora_metrics import patterns
from dora_metrics.calculators.sentences import Sentence, gettext_noop
from etl_tasks.sources.logs.formats.user_patterns import compiled

GROUPS = ("sha", "environment", "state")
_REFUSED = gettext_noop("the deploy pattern {!r} is not a regular expression that RE2 reads ({}): it has no look-around and no back-references")
_TEXT_ANCHORS = (r"\A", r"\z")


class DeployPattern:
    """Searches events for a deployment."""

    def __init__(self, pattern: str) -> None:
        """Raises ValueError, with an explanation, if RE2 refuses the pattern, or if a group has a name that is not in GROUPS, such as `env`."""
        regex = compiled(pattern, _REFUSED)
        for name in regex.groupindex:
            if name not in GROUPS:
                raise ValueError(
                    Sentence(gettext_noop("the deploy pattern {!r} has a group {!r}: its groups are {}"), pattern, name, ", ".join(GROUPS))
                )
        self._search = regex.search
        self._groups = [name for name in GROUPS if name in regex.groupindex]
        # If one search over a whole body finds nothing, none of its events is a deployment. In this search ^ and $ must match at every line,
        # because an event may begin or end at any line. \A and \z cannot do this, so a pattern with them is searched in each event.
        self._search_body = None if any(anchor in pattern for anchor in _TEXT_ANCHORS) else patterns.compiled(f"(?m:{pattern})").search

    def may_match(self, text: str) -> bool:
        return self._search_body is None or self._search_body(text) is not None

    def marks(self, event: str) -> dict[str, str]:
        """Return the entries for the event's `extra`; none if the event is no deployment. `event`: the lines of the event."""
        found = self._search(event)
        if found is None:
            return {}
        marks = {f"deploy.{name}": found[name] for name in self._groups if found[name]}
        marks["deploy.state"] = marks.get("deploy.state", "success").lower()
        return marks
