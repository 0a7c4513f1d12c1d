import pytest

from etl_tasks.doctor import Finding, Level
from etl_tasks.doctor.settings_checks import check_pages, check_secret_key, check_settings

MYSQL = {"ENGINE": "django.db.backends.mysql", "NAME": "etl"}
LONG = "a-long-random-value-0123456789-abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def on_a_server(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES, "default", settings.DATABASES["default"] | MYSQL)
    settings.SECRET_KEY, settings.DEBUG = LONG, False
    settings.ALLOWED_HOSTS = ["dora.example.com", "localhost", "127.0.0.1"]
    settings.SESSION_COOKIE_SECURE = True


def named(name: str) -> list[Finding]:
    return [finding for finding in check_settings() if finding.name == name]


def levels() -> dict[str, Level]:
    return {finding.name: finding.level for finding in check_pages()}


def test_a_safe_server_is_well(on_a_server: None) -> None:
    assert set(levels().values()) == {Level.OK}
    assert check_secret_key().level is Level.OK


def test_a_setting_that_cannot_work_is_a_problem_with_what_to_do(settings) -> None:
    settings.ALERT_EMAILS = ["nobody"]
    [found] = named("etl.E008")
    assert found.level is Level.PROBLEM
    assert "is not an e-mail address" in found.sentence
    assert found.action == "Separate the addresses by commas"
    assert not named("values")


def test_settings_that_can_work_are_one_line() -> None:
    assert [finding.level for finding in named("values")] == [Level.OK]


@pytest.mark.parametrize("key", ["tiny!", "a" * 60, "django-insecure-" + LONG])
def test_a_secret_key_that_can_be_guessed_is_a_problem_and_is_not_shown(on_a_server: None, settings, key: str) -> None:
    settings.SECRET_KEY = key
    found = check_secret_key()
    assert found.level is Level.PROBLEM
    assert key not in found.sentence + found.action


def test_debug_is_a_problem_on_a_server_and_a_warning_on_a_laptop(on_a_server: None, settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DEBUG = True
    assert levels()["DJANGO_DEBUG"] is Level.PROBLEM
    monkeypatch.setitem(settings.DATABASES, "default", settings.DATABASES["default"] | {"ENGINE": "django.db.backends.sqlite3"})
    assert levels()["DJANGO_DEBUG"] is Level.WARNING


@pytest.mark.parametrize(("hosts", "sentence"), [(["*"], "any host name"), ([], "this machine only")])
def test_hosts_that_are_too_many_or_too_few_are_a_warning(on_a_server: None, settings, hosts: list[str], sentence: str) -> None:
    settings.ALLOWED_HOSTS = [*hosts, "localhost", "127.0.0.1"]
    [found] = [finding for finding in check_pages() if finding.name == "DJANGO_ALLOWED_HOSTS"]
    assert found.level is Level.WARNING
    assert sentence in found.sentence


def test_cookies_without_https_are_a_warning(on_a_server: None, settings) -> None:
    settings.SESSION_COOKIE_SECURE = False
    assert levels()["DJANGO_HTTPS"] is Level.WARNING
