"""The apps that a process installs. Importing an app costs CPU time at each start and memory for as long as the process lives.

All apps together take longer to import than most nights take to extract, and their pages take a fifth of a worker's memory. So a process
that serves no pages leaves out the apps of pages, and a stage command also leaves out the tables of Celery, the admin and the sessions.
"""

from collections.abc import Sequence
from pathlib import PurePath

# What stages read and write.
FACTS = ("django.contrib.auth", "django.contrib.contenttypes", "log_store", "dora_metrics", "etl_tasks", "callcentersite.apps.CallCenterSiteConfig")
# Tables that beat, the sweep, the nightly pruning and the ledger's reports use. They import Celery.
TABLES = ("django_celery_beat", "django_celery_results", "django.contrib.sessions", "django.contrib.admin.apps.SimpleAdminConfig")
# All. The order matters: templates and static files of an earlier app win, and `dashboard` comes after all apps with models.
ALL = (
    "callcentersite.admin_app.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "csp",
    "ninja",  # listed so that this server, and no other host, serves the scripts of the API's docs page
    "log_store",
    "dora_metrics",
    "etl_tasks",
    "dashboard",
    "callcentersite.apps.CallCenterSiteConfig",
)

STAGE_COMMANDS = frozenset({"etl_extract", "etl_transform", "etl_load"})
# Other commands that are called often. They have every table, but no pages. `doctor` is not among them, because it runs all system checks.
COMMANDS_WITHOUT_PAGES = frozenset({"etl_run", "etl_status", "dead_letters", "prune"})
CELERY_WITHOUT_PAGES = frozenset({"worker", "beat"})


def apps_of_process(argv: Sequence[str]) -> list[str]:
    """Return INSTALLED_APPS for the process with this command line. An unknown process has all apps."""
    command = argv[1] if len(argv) > 1 else ""
    if command in STAGE_COMMANDS:
        return list(FACTS)
    if command in COMMANDS_WITHOUT_PAGES or (_is_celery(argv) and CELERY_WITHOUT_PAGES & set(argv)):
        return [*TABLES, *FACTS]
    return list(ALL)


def _is_celery(argv: Sequence[str]) -> bool:
    """Return whether the process is `celery …` or `python -m celery …`."""
    program = PurePath(argv[0]) if argv else PurePath()
    return program.name == "celery" or (program.name == "__main__.py" and program.parent.name == "celery")
