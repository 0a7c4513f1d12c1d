"""docs/configure.md has every setting, with the default and the limits of the code."""

import re
import runpy
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

from callcentersite import environment_variables
from tests.callcentersite.read_settings import environment, variables
from tests.callcentersite.test_compose import FILES, in_example

NO_LIMIT = 999_999_999
# Defaults that depend on other settings or on the machine.
DERIVED = {"DATABASE_URL", "CELERY_BROKER_URL", "CALLCENTERSITE_VAR", "DJANGO_SECURE_COOKIES", "GITHUB_GRAPHQL_URL", "ETL_HOST", "DJANGO_SECRET_KEY"}
LIMITED_BY_CHECKS = {"CASSANDRA_TTL_DAYS": "1 to 7,299"}
# Variables of libraries, and a value.
OTHERS = {"HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "LOCAL_QUORUM"}


def page() -> str:
    return (settings.BASE_DIR / "docs/configure.md").read_text()


def rows() -> dict[str, list[str]]:
    """Return the cells of each variable's row."""
    found = {}
    for line in page().splitlines():
        if match := re.match(r"\| `([A-Z][A-Z0-9_]+)` \|", line):
            assert match[1] not in found, f"{match[1]} has two rows"
            found[match[1]] = [cell.strip() for cell in line.strip("|").split("|")][1:]
    return found


def read_calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """Return, by variable, the function that settings.py reads it with, the default and the limits."""
    calls: dict[str, tuple[str, Any, dict[str, Any]]] = {}

    def recording(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def read(variable: str, *args: Any, **kwargs: Any) -> Any:
            calls.setdefault(variable, (name, args[0] if args else kwargs.pop("default", None), {**kwargs, "choices": args[1:]}))
            return function(variable, *args, **kwargs)

        return read

    with monkeypatch.context() as patched, environment({}):
        for name in ("given", "secret", "number", "flag", "one_of", "listed", "regexes", "adapters", "time_zone", "schedule", "folder", "folders"):
            patched.setattr(environment_variables, name, recording(name, getattr(environment_variables, name)))
        runpy.run_path(str(settings.BASE_DIR / "callcentersite/settings.py"))
    return {variable: call for variable, call in calls.items() if variable in rows()}


def test_every_setting_has_a_row() -> None:
    assert {name for name in variables() if not name.endswith("_FILE")} - rows().keys() == set()


def test_every_row_is_a_setting_of_ours_or_of_compose() -> None:
    compose = {name for file in FILES for name in re.findall(r"\$\{([A-Z_]+)[:}]", (settings.BASE_DIR / file).read_text())}
    assert rows().keys() - variables() - compose - in_example() == set()
    assert in_example() - rows().keys() - variables() == set()


def test_defaults_and_limits_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = read_calls(monkeypatch)
    assert len(calls) > 50
    for variable, (function, default, limits) in calls.items():
        shown, may_be = rows()[variable][0], rows()[variable][1]
        if variable not in DERIVED:
            assert shown == expected_default(function, default), variable
        if function == "number":
            assert may_be == LIMITED_BY_CHECKS.get(variable) or may_be == expected_limits(**limits), variable
        if function == "flag":
            assert may_be == "1 or 0", variable
        if function == "one_of":
            assert may_be.upper().replace(" OR ", ", ") == ", ".join(limits["choices"][0]), variable


def expected_default(function: str, default: Any) -> str:
    if function == "flag":
        return f"`{int(bool(default))}`"
    if function == "time_zone":
        return "`UTC`"
    if function == "regexes":
        return "`[]`"
    if function == "one_of" and default == "EN":
        return "`en`"
    return "empty" if default in (None, "") else f"`{default}`"


def expected_limits(minimum: int = 0, maximum: int = NO_LIMIT, **_: Any) -> str:
    return f"{minimum:,} to {maximum:,}" if maximum < NO_LIMIT else f"{minimum:,} or more"


def test_a_secret_says_that_it_may_be_a_file() -> None:
    files = {name.removesuffix("_FILE") for name in variables() if name.endswith("_FILE")}
    assert len(files) > 8
    assert [name for name in sorted(files) if f"`{name}_FILE`" not in rows()[name][1]] == []


def test_it_names_nothing_else() -> None:
    named = {name for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", page()) if "_" in name and not name.endswith(("_FILE", "_NAME"))}
    assert named - rows().keys() - OTHERS == set()


def test_the_readme_points_to_the_page() -> None:
    assert "docs/configure.md" in (settings.BASE_DIR / "README.md").read_text()
