"""Functions with which settings.py reads environment variables.

For a value that cannot work they raise ImproperlyConfigured, with a message that says what to do. An empty variable counts as
not set. Spaces around a value are ignored.
"""

import json
import os
import re
import secrets
import time
from calendar import monthrange
from collections.abc import Collection
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ImproperlyConfigured, ValidationError
from environ import Env

from dora_metrics.name_suggestions import closest

TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
A_LEAP_YEAR = 2024
# A minute and an hour of every day: no more needs to be read to see that such a schedule works.
DAILY = re.compile(r"[0-5]?\d ([01]?\d|2[0-3]) \* \* \*", re.ASCII)
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_NAME}(?:\.{_NAME})*\.?")

# The options that the query of a mysql:// address may set: mysqlclient's options whose value is a text, except those that settings.py sets.
MYSQL_OPTIONS = frozenset({"unix_socket", "ssl_mode", "read_default_file", "read_default_group", "auth_plugin"})
MYSQL_SSL_MODES = frozenset({"DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"})


def refused(name: str, raw: str, what_to_do: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name}={raw!r} does not work: {what_to_do}")


def given(name: str, default: str = "") -> str:
    """Return the variable's value, or the default if it is not set."""
    return os.environ.get(name, "").strip() or default


def secret(name: str, default: str = "") -> str:
    """Return the value of NAME, or the content of the file that NAME_FILE names."""
    if path := given(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip() or default
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
            raise ImproperlyConfigured(f"{name}_FILE: {path} cannot be read ({reason}); name a readable file") from exc
    return given(name, default)


def number(name: str, default: int, *, minimum: int = 0, maximum: int = 999_999_999) -> int:
    raw = given(name, str(default))
    # The length is limited because int() raises ValueError for thousands of digits.
    if not re.fullmatch(r"\d{1,12}", raw, re.ASCII) or not minimum <= int(raw) <= maximum:
        raise refused(name, raw, f"give a whole number of at least {minimum} and at most {maximum}")
    return int(raw)


def flag(name: str, default: bool = False) -> bool:
    raw = given(name, str(int(default))).lower()
    if raw not in TRUE | FALSE:
        raise refused(name, raw, "give 1 or 0")
    return raw in TRUE


def one_of(name: str, default: str, choices: Collection[str]) -> str:
    raw = given(name, default).upper()
    if raw not in choices:
        raise refused(name, raw, f"write one of {', '.join(choices)}")
    return raw


def listed(name: str, default: str = "") -> list[str]:
    """Return the values of a comma-separated list."""
    return [value.strip() for value in given(name, default).split(",") if value.strip()]


def regexes(name: str) -> list[str]:
    """Return the texts of a JSON list. The code that compiles them checks that they are regexes."""
    raw = given(name, "[]")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(regex, str) for regex in found):
        raise refused(name, raw[:200], "write a JSON list of regexes, as in docs/masking.md")
    return found


def adapters(name: str) -> dict[str, str]:
    """Return {kind: path of its class} from a list such as "kind=module.Class, …"."""
    found = {}
    for pair in listed(name):
        kind, _, path = (part.strip() for part in pair.partition("="))
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,49}", kind) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", path):
            raise refused(
                name, pair[:200], "write kind=module.Class, as in docs/contributing.md; a kind has at most 50 small letters, digits, _ and -"
            )
        found[kind] = path
    return found


def time_zone(name: str) -> str:
    raw = given(name, "UTC")
    try:
        ZoneInfo(raw)
    except Exception as exc:
        similar = closest(raw, available_timezones()) or "America/Mexico_City"
        raise ImproperlyConfigured(f"{name}={raw[:200]!r} is not an IANA time zone: write, for example, {similar}") from exc
    return raw


def schedule(name: str, default: str) -> str:
    """Return the five fields of a crontab line. Both Celery and the form of the admin, in which people edit them, must accept the fields."""
    raw = " ".join(given(name, default).split())
    if DAILY.fullmatch(raw):
        return raw
    # Imported here because Celery is slow to import, and nearly every schedule is daily.
    from celery.schedules import ParseException, crontab
    from django_celery_beat.validators import crontab_validator

    try:
        fields = dict(zip(CRONTAB_FIELDS, raw.split(), strict=True))
        crontab_validator(raw)
        when = crontab(**fields)
    except (ParseException, ValidationError, ValueError) as exc:
        raise ImproperlyConfigured(
            f"{name}={raw[:200]!r} is not a crontab line: write five fields (minute, hour, day of the month, month, day of the week; Sunday is 0), "
            "for example 0 1 * * *"
        ) from exc
    if not any(day <= monthrange(A_LEAP_YEAR, month)[1] for month in when.month_of_year for day in when.day_of_month):
        raise refused(name, raw, "none of its months has such a day")
    return raw


def folder(name: str, default: Path) -> Path:
    """Return the path of a folder, and create the folder if it does not exist."""
    path = Path(given(name, str(default))).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise refused(name, str(path), f"the folder cannot be made ({exc.strerror}); name a folder that can be written to") from exc
    return path


def folders(name: str, default: str) -> list[str]:
    """Return the absolute paths of a comma-separated list."""
    found = listed(name, default)
    if relative := [path for path in found if not path.startswith("/")]:
        raise refused(name, relative[0], "write absolute paths, separated by commas")
    return found


def host_names(name: str, default: str) -> list[str]:
    """Return host names as in ALLOWED_HOSTS: a host, .example.com for example.com and its subdomains, or * for any host."""
    found = listed(name, default)
    for host in found:
        if host != "*" and not is_host(host.removeprefix(".")) and not is_host(host.removeprefix("[").removesuffix("]")):
            raise refused(name, host, "write host names without https:// and without a port, separated by commas")
    return found


def networks(name: str, default: str) -> list[str]:
    """Return addresses and networks as gunicorn takes them; * stands for all."""
    found = listed(name, default)
    for network in found:
        try:
            ip_network("::" if network == "*" else network)
        except ValueError as exc:
            raise refused(name, network, "write IP addresses or networks such as 10.0.0.0/8, separated by commas, or *") from exc
    return found


class Unusable(ValueError):
    """An address cannot be used. The message says why, and never quotes the address, which may contain a password."""


def origins(name: str) -> list[str]:
    """Return origins as in CSRF_TRUSTED_ORIGINS: scheme and host, and the port if it is not the default port of the scheme.

    The host *.example.com stands for all subdomains of example.com.
    """
    found = listed(name)
    for origin in found:
        try:
            parts = address(origin.replace("://*.", "://", 1), "http", "https")
        except Unusable as exc:
            raise refused(name, origin, f"{exc}; write https://dora.example.com, separated by commas") from exc
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            raise refused(name, origin, "leave out everything after the host and port")
    return found


def is_host(text: str) -> bool:
    try:
        return bool(_HOST.fullmatch(text) or IPv6Address(text))
    except ValueError:
        return False


def address(text: str, *schemes: str) -> SplitResult:
    """Return the parts of a server's address. Raises Unusable if no client could connect to it."""
    if re.search(r"[^\x21-\x7e]", text):
        raise Unusable("it has a space, or a character that must be written with %")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Unusable("its host or port cannot be read") from None
    if parts.scheme not in schemes:
        raise Unusable(f"it does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if not host or not is_host(host):
        raise Unusable("it names no host")
    if port == 0:
        raise Unusable("its port is 0")
    return parts


def database(url: str) -> dict[str, Any]:
    """Return Django's settings for the database of a URL."""
    scheme = url.partition(":")[0]
    if scheme not in {"mysql", "sqlite"}:
        raise ImproperlyConfigured("DATABASE_URL names neither MySQL nor SQLite: write mysql://user:password@host:3306/name or sqlite:///path")
    try:
        if scheme == "mysql" and "unix_socket=" not in url:
            address(url, "mysql")
        found: dict[str, Any] = Env.db_url_config(url)
        (_check_mysql if scheme == "mysql" else _check_sqlite)(url, found)
    except Exception as exc:
        reason = str(exc) if isinstance(exc, Unusable) else "it is not a database address"
        raise ImproperlyConfigured(
            f"DATABASE_URL cannot be used ({reason}): write mysql://user:password@host:3306/name, with %40 for @ in a password and the like, "
            "or sqlite:///path"
        ) from exc
    return found


def _check_mysql(url: str, found: dict[str, Any]) -> None:
    options = found.get("OPTIONS", {})
    if "#" in url:
        raise Unusable("the part after a # would be lost")
    if not found["NAME"] or "/" in found["NAME"]:
        raise Unusable("it names no database")
    if set(options) - MYSQL_OPTIONS or set(found) - {"ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS"}:
        raise Unusable(f"it has an option other than {', '.join(sorted(MYSQL_OPTIONS))}")
    if options.get("ssl_mode", "REQUIRED") not in MYSQL_SSL_MODES:
        raise Unusable(f"ssl_mode must be one of {', '.join(sorted(MYSQL_SSL_MODES))}")


def _check_sqlite(url: str, found: dict[str, Any]) -> None:
    parts = urlsplit(url)
    if parts.netloc or found["NAME"] in {"", ":memory:"}:
        raise Unusable("it names no file, and several processes share the database")
    if parts.query or parts.fragment:
        raise Unusable("the part after a ? or # would be lost")
    file = Path(found["NAME"])
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise Unusable(f"{file} cannot be written to, or its folder is missing")


def mail_server(url: str) -> dict[str, Any]:
    """Return Django's settings for the mail server of a URL."""
    try:
        if urlsplit(url).scheme in {"smtp", "smtps", "smtp+tls", "smtp+ssl"}:
            address(url, urlsplit(url).scheme)
        found: dict[str, Any] = Env.email_url_config(url)
    except Exception as exc:
        reason = str(exc) if isinstance(exc, Unusable) else "it is not a mail server's address"
        raise ImproperlyConfigured(
            f"EMAIL_URL cannot be read ({reason}): write smtp+tls://user:password@host:587, with %40 for @ in a password and the like"
        ) from exc
    return found


def kept_secret_key(path: Path) -> str:
    """Return the secret key in the file, and create the file with a random key if it does not exist."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    except OSError as exc:
        raise ImproperlyConfigured(f"{path} cannot be written ({exc.strerror}): set DJANGO_SECRET_KEY, or make its folder writable") from exc
    # Another process may have created the file and not written it yet.
    for _ in range(50):
        if key := path.read_text():
            return key
        time.sleep(0.02)
    raise ImproperlyConfigured(f"{path} is empty: remove it, or set DJANGO_SECRET_KEY")
