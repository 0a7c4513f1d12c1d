"""The credentials for GitHub: whether GitHub accepts them, until when, what they may do, and what is left of their limits."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dora_metrics.display import duration_text, minute_text
from etl_tasks.doctor.findings import Finding, ok, problem, warning
from etl_tasks.doctor.server_checks import skew_finding
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import Source
from etl_tasks.sources.github.token_facts import TokenFacts, token_facts

EXPIRES_SOON = timedelta(days=14)
# Scopes of a classic token that reading never needs. `repo` cannot be avoided: no smaller scope reads private repositories.
WRITING = ("admin:", "delete_", "write:", "workflow", "gist", "user", "codespace", "project")


def credentials_set() -> set[str]:
    """Return the names of the credentials that are in the environment."""
    return {name for name, given in settings.GITHUB_CREDENTIALS.items() if any(given.values())}


def credentials_needed() -> set[str]:
    """Return the names of the credentials that the enabled sources need."""
    github = Source.objects.filter(is_enabled=True, kind=Source.Kind.GITHUB)
    return set(github.order_by().values_list("credential", flat=True).distinct())


def check_needed_credentials() -> Iterator[Finding]:
    """Check that each credential that a source needs is set. `check_credential` asks GitHub about those that are."""
    for name in sorted(credentials_needed() - credentials_set()):
        yield from check_credential(name)


def check_credential(name: str) -> Iterator[Finding]:
    """Ask GitHub about the credential with one request, which costs nothing."""
    label = variable_of(name)
    try:
        facts = token_facts(name)
    except RetriableError as exc:
        yield problem(label, str(exc), _("Check GITHUB_API_URL, the network and the variables of a proxy"))
        return
    except FatalError as exc:
        yield _failed(label, str(exc))
        return
    yield from facts_findings(label, facts, moment=now())


def variable_of(name: str) -> str:
    """Return the name of the variable that has the credential."""
    given = settings.GITHUB_CREDENTIALS.get(name, {})
    kind = "GITHUB_APP_ID" if given.get("app_id") else "GITHUB_TOKEN"
    return f"{kind}_{name}" if name else kind


def _failed(label: str, message: str) -> Finding:
    """Divide the error into what is wrong and what to do, which follows the first colon."""
    sentence, _colon, action = message.partition(": ")
    return problem(label, sentence, action[:1].upper() + action[1:])


def facts_findings(label: str, facts: TokenFacts, *, moment: datetime) -> Iterator[Finding]:
    valid = _("GitHub accepts it")
    if facts.expires_at is None:
        yield ok(label, valid)
    elif facts.expires_at - moment < EXPIRES_SOON:
        left = duration_text((facts.expires_at - moment).total_seconds())
        sentence = _("it expires in %(duration)s, at %(time)s") % {"duration": left, "time": minute_text(facts.expires_at)}
        yield warning(label, sentence, _("Create a new token, set %(variable)s to it and restart the workers") % {"variable": label})
    else:
        yield ok(label, _("%(valid)s until %(time)s") % {"valid": valid, "time": minute_text(facts.expires_at)})
    if writing := [scope for scope in facts.scopes if scope.startswith(WRITING)]:
        sentence = _("it may do more than read: %(scopes)s") % {"scopes": ", ".join(writing)}
        yield warning(label, sentence, _("Use a fine-grained token with read permissions: docs/github.md"))
    elif facts.scopes:
        yield ok(label, _("its scopes: %(scopes)s") % {"scopes": ", ".join(facts.scopes)})
    if facts.points_left is not None and facts.points:
        yield _budget(label, facts)
    if facts.server_time:
        yield skew_finding(_("GitHub's clock"), facts.server_time, moment)


def _budget(label: str, facts: TokenFacts) -> Finding:
    reset = minute_text(facts.resets_at)
    values = {"left": facts.points_left, "all": facts.points, "time": reset}
    if (facts.points_left or 0) <= (facts.points or 0) * settings.GITHUB_RESERVE_SHARE:
        sentence = _("%(left)s of this hour's %(all)s points are left: runs wait until %(time)s") % values
        return warning(label, sentence, _("Nothing, if a large collection is running; otherwise look for another program that uses the token"))
    return ok(label, _("%(left)s of this hour's %(all)s points are left") % values)
