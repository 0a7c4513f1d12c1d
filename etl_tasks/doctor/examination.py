"""All checks, each with a time limit: a server that hangs delays the answer by its limit and prevents no other check."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from time import monotonic

from django.db import DatabaseError
from django.utils import translation
from django.utils.translation import gettext as _

from etl_tasks.bounded_checks import BoundedCheck, Unanswered
from etl_tasks.doctor import github_checks, host_checks, night_checks, server_checks, settings_checks, source_checks
from etl_tasks.doctor.findings import Finding, Level, problem, warning

Find = Callable[[], Iterable[Finding]]
ANSWER_SECONDS = 15.0
SOURCES_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """`name`: what is checked, for the line that says that it took too long or failed. `seconds`: how long it may take.

    `needs_database`: whether it is left out if the database does not work.
    """

    name: str
    find: Find
    seconds: float = ANSWER_SECONDS
    needs_database: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """The findings about one area, such as the settings."""

    name: str
    findings: list[Finding]


def examine(on_begin: Callable[[str], None] = lambda name: None) -> Iterator[Area]:
    """Check one area after the other, and yield the findings of each. `on_begin` is called with the name of an area before its checks.

    The checks of an area run at the same time.
    """
    has_database = True
    for name, checks in areas():
        on_begin(name)
        findings = findings_of(checks, has_database=has_database)
        has_database = has_database and problem_with_database() not in [(finding.name, finding.level) for finding in findings]
        yield Area(name, findings)


def problem_with_database() -> tuple[str, Level]:
    """Return the name and the level of the finding after which the other checks need not wait for the database."""
    return _("database"), Level.PROBLEM


def areas() -> list[tuple[str, list[Check]]]:
    """Return the areas with their checks. The servers come before the checks that need them."""
    return [
        (_("settings"), [Check(_("settings"), settings_checks.check_settings)]),
        (
            _("servers"),
            [
                Check(_("servers"), server_checks.check_components),
                Check(_("database"), server_checks.check_database),
                Check(_("log store's tables"), server_checks.check_log_store),
                Check(_("workers"), server_checks.check_queues),
                Check(_("nightly run"), server_checks.check_schedule),
            ],
        ),
        (
            _("GitHub"),
            [
                *(
                    Check(github_checks.variable_of(name), partial(github_checks.check_credential, name))
                    for name in sorted(github_checks.credentials_set())
                ),
                Check(_("credentials of sources"), github_checks.check_needed_credentials, needs_database=True),
            ],
        ),
        (_("sources"), [Check(_("sources"), source_checks.check_sources, SOURCES_SECONDS, needs_database=True)]),
        (_("this machine"), [Check(_("disk"), host_checks.check_disk), Check("LOG_ROOTS", host_checks.check_log_roots, needs_database=True)]),
        (_("alerts"), [Check(_("alerts"), host_checks.check_alerts)]),
        (_("runs"), [Check(_("runs"), night_checks.check_runs, needs_database=True)]),
    ]


def findings_of(checks: Iterable[Check], *, has_database: bool = True) -> list[Finding]:
    """Run the checks at the same time and return their findings in the order of the checks.

    `has_database`: False if the database does not work, so that checks that need it are left out.
    """
    language = translation.get_language()
    began = monotonic()
    running = [
        (check, BoundedCheck().begin(partial(_found, check, language)) if has_database or not check.needs_database else None) for check in checks
    ]
    found: list[Finding] = []
    for check, wait in running:
        if wait is None:
            found.append(warning(check.name, _("unknown, because the database does not work")))
            continue
        try:
            found += wait(began + check.seconds - monotonic())
        except Unanswered:
            sentence = _("it has not answered within %(seconds)g seconds") % {"seconds": check.seconds}
            found.append(problem(check.name, sentence, _("Check that the server runs and that the network reaches it")))
    # Several checks may find the same, for example one for each credential that GitHub's clock is right.
    return list(dict.fromkeys(found))


def _found(check: Check, language: str | None) -> list[Finding]:
    """Run one check, in a thread of its own. An unexpected error becomes a finding without its text, which may contain a secret."""
    with translation.override(language):
        try:
            return list(check.find())
        except DatabaseError:
            return [warning(check.name, _("unknown, because the database does not work"))]
        except Exception as exc:  # noqa: BLE001  one check that fails must not prevent the others
            return [problem(check.name, _("the check itself failed (%(error)s)") % {"error": type(exc).__name__})]
