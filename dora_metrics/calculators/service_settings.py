"""A service's settings and their defaults (docs/metrics.md, "Settings")."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """A service's settings. The defaults are also the defaults of the model and of `add_service`. Patterns are RE2 regular expressions."""

    time_zone: str = "UTC"
    production: str = r"(?i)^(prod|production|live)([-_ /].*)?$"  # names of environments
    deployments_from: str = "auto"
    workflow: str = r"(?i)deploy"  # names or paths of deploying workflows
    prereleases: bool = False
    incident_label: str = r"(?i)^(incident|outage|sev[-_ ]?[0-9])"
    hotfix: str = r"(?i)^hot-?fix([-_ /].*)?$"  # labels or branches of pull requests
    look_back_hours: int = 168
    log_incidents: bool = True
    log_minute_events: int = 20
    log_error_share: float = 5  # percent
    log_bad_minutes: int = 5
    log_good_minutes: int = 10
    log_issue_hours: int = 24
    bots: frozenset[str] = frozenset()
    # Where log lines can be looked up: the path of the log page, and the command that prints log lines. Django's settings have both.
    log_page_url: str = ""
    log_command: str = ""


DEFAULTS = Settings()
