"""Read settings.py in this process with a given environment."""

import os
import runpy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.conf import settings
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

CHECKED = (
    "ETL_",
    "GITHUB_",
    "CASSANDRA_",
    "LOG_",
    "ALERT_",
    "EMAIL_",
    "FLOWER_",
    "HEARTBEAT_",
    "METRICS_",
    "CELERY_BROKER_URL",
    "BROKER_",
    "DEFAULT_FROM_EMAIL",
)
NEEDED = {"CALLCENTERSITE_VAR": str(settings.VAR), "DJANGO_SECRET_KEY": "only-for-tests"}


class Recording(dict[str, str]):
    """An environment that records which variables are read."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[Recording]:
    recording = Recording({**NEEDED, **values})
    # settings.py must run in this process, so that the names of the variables that it reads can be recorded.
    with mock.patch.object(os, "environ", recording):
        yield recording


def read(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings, by name, that settings.py defines in an environment with these values. Raises ImproperlyConfigured."""
    with environment(values):
        found = runpy.run_path(str(settings.BASE_DIR / "callcentersite/settings.py"))
    return {name: value for name, value in found.items() if name.isupper()}


def variables() -> set[str]:
    """Return every variable that settings.py reads."""
    with environment({}) as recorded:
        runpy.run_path(str(settings.BASE_DIR / "callcentersite/settings.py"))
    return recorded.asked


def check_messages(**values: str) -> list[str]:
    """Return the messages of `manage.py check` in an environment with these variables."""
    try:
        found = read(values)
    except ImproperlyConfigured as exc:
        return [str(exc)]
    with override_settings(**{name: value for name, value in found.items() if name.startswith(CHECKED)}):
        ours = [check for check in registry.registered_checks if check.__module__ == "callcentersite.checks"]
        return [f"{message.msg} {message.hint}" for check in ours for message in check(app_configs=None)]
