"""How settings.py reads the environment. Every value is parsed here, once; one that cannot work raises ImproperlyConfigured with what to do.

An empty variable counts as one that is not set, and blanks around a value do not matter.
"""

import json
import os
import re
import secrets
import time
from calendar import monthrange
from collections.abc import Collection
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django_celery_beat.validators import crontab_validator
from environ import Env

TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
A_LEAP_YEAR = 2024
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_NAME}(?:\.{_NAME})*\.?")

# What the query of a mysql:// address may say: those of mysqlclient's options that a text can be and that settings.py leaves alone.
MYSQL_OPTIONS = frozenset({"unix_socket", "ssl_mode", "read_default_file", "read_default_group", "auth_plugin"})
MYSQL_SSL_MODES = frozenset({"DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"})


def refused(name: str, raw: str, what_to_do: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name}={raw!r} does not work: {what_to_do}")


def given(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def secret(name: str, default: str = "") -> str:
    """The value of NAME, or the content of the file that NAME_FILE names."""
    if path := given(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip() or default
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not a text"
            raise ImproperlyConfigured(f"{name}_FILE: {path} cannot be read ({reason}); name a readable file") from exc
    return given(name, default)


def number(name: str, default: int, *, minimum: int = 0, maximum: int = 999_999_999) -> int:
    raw = given(name, str(default))
    # Python refuses to read a number of thousands of digits.
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
    """What is between commas."""
    return [one.strip() for one in given(name, default).split(",") if one.strip()]


def regexes(name: str) -> list[str]:
    raw = given(name, "[]")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise refused(name, raw[:200], "write a JSON list of regexes, as in docs/masking.md")
    return found


def adapters(name: str) -> dict[str, str]:
    """kind=module.Class, …"""
    found = {}
    for one in listed(name):
        kind, _, path = (part.strip() for part in one.partition("="))
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,49}", kind) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", path):
            raise refused(
                name, one[:200], "write kind=module.Class, as in docs/contributing.md; a kind is small letters, digits, _ and -, at most 50"
            )
        found[kind] = path
    return found


def time_zone(name: str) -> str:
    raw = given(name, "UTC")
    try:
        ZoneInfo(raw)
    except Exception as exc:
        raise ImproperlyConfigured(f"{name}={raw[:200]!r} is no IANA time zone: write, for example, America/Mexico_City") from exc
    return raw


def schedule(name: str, default: str) -> str:
    """Five fields of a crontab line that Celery, which starts the night, and the admin, where people change it, both read."""
    raw = " ".join(given(name, default).split())
    try:
        fields = dict(zip(CRONTAB_FIELDS, raw.split(), strict=True))
        crontab_validator(raw)
        when = crontab(**fields)
    except (ParseException, ValidationError, ValueError) as exc:
        raise ImproperlyConfigured(
            f"{name}={raw[:200]!r} is no crontab line: write five fields (minute, hour, day of the month, month, day of the week; Sunday is 0), "
            "for example 0 1 * * *"
        ) from exc
    if not any(day <= monthrange(A_LEAP_YEAR, month)[1] for month in when.month_of_year for day in when.day_of_month):
        raise refused(name, raw, "no month that it names has such a day")
    return raw


def folder(name: str, default: Path) -> Path:
    """A folder that is made where it is missing."""
    path = Path(given(name, str(default))).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise refused(name, str(path), f"the folder cannot be made ({exc.strerror}); name one that can be written to") from exc
    return path


def folders(name: str, default: str) -> list[str]:
    found = listed(name, default)
    if wrong := [one for one in found if not one.startswith("/")]:
        raise refused(name, wrong[0], "write whole paths, from / on, with commas between")
    return found


def host_names(name: str, default: str) -> list[str]:
    """Names that a request may ask for, as Django has them: a host, .example.com for all below it, or * for any."""
    found = listed(name, default)
    for one in found:
        if one != "*" and not is_host(one.removeprefix(".")) and not is_host(one.removeprefix("[").removesuffix("]")):
            raise refused(name, one, "write host names without https:// and without a port, with commas between")
    return found


class Unusable(ValueError):
    """What is wrong with an address. The message quotes nothing of it, for it may hold a password."""


def origins(name: str) -> list[str]:
    """Where forms may be sent from, as a browser names it: scheme, host, and a port that is not the scheme's own. *.example.com for all below it."""
    found = listed(name)
    for one in found:
        try:
            parts = address(one.replace("://*.", "://", 1), "http", "https")
        except Unusable as exc:
            raise refused(name, one, f"{exc}; write https://dora.example.com, with commas between") from exc
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            raise refused(name, one, "leave out what stands behind the host and port")
    return found


def is_host(text: str) -> bool:
    try:
        return bool(_HOST.fullmatch(text) or IPv6Address(text))
    except ValueError:
        return False


def address(text: str, *schemes: str) -> SplitResult:
    """The parts of a server's address. Raises Unusable if no client could connect to it."""
    if re.search(r"[^\x21-\x7e]", text):
        raise Unusable("it has a blank, or a letter that must be written with %")
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
    """Django's settings of a database."""
    scheme = url.partition(":")[0]
    if scheme not in {"mysql", "sqlite"}:
        raise ImproperlyConfigured("DATABASE_URL names neither MySQL nor SQLite: write mysql://user:password@host:3306/name or sqlite:///path")
    try:
        if scheme == "mysql" and "unix_socket=" not in url:
            address(url, "mysql")
        found: dict[str, Any] = Env.db_url_config(url)
        (_check_mysql if scheme == "mysql" else _check_sqlite)(url, found)
    except Exception as exc:
        reason = str(exc) if isinstance(exc, Unusable) else "it is no address of a database"
        raise ImproperlyConfigured(
            f"DATABASE_URL cannot be used ({reason}): write mysql://user:password@host:3306/name, with %40 for @ in a password and the like, "
            "or sqlite:///path"
        ) from exc
    return found


def _check_mysql(url: str, found: dict[str, Any]) -> None:
    options = found.get("OPTIONS", {})
    if "#" in url:
        raise Unusable("what stands behind a # is lost")
    if not found["NAME"] or "/" in found["NAME"]:
        raise Unusable("it names no database")
    if set(options) - MYSQL_OPTIONS or set(found) - {"ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS"}:
        raise Unusable(f"it has another option than {', '.join(sorted(MYSQL_OPTIONS))}")
    if options.get("ssl_mode", "REQUIRED") not in MYSQL_SSL_MODES:
        raise Unusable(f"ssl_mode is none of {', '.join(sorted(MYSQL_SSL_MODES))}")


def _check_sqlite(url: str, found: dict[str, Any]) -> None:
    parts = urlsplit(url)
    if parts.netloc or found["NAME"] in {"", ":memory:"}:
        raise Unusable("it names no file, and several processes share the database")
    if parts.query or parts.fragment:
        raise Unusable("what stands behind a ? or # is lost")
    file = Path(found["NAME"])
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise Unusable(f"{file} cannot be written to, or its folder is missing")


def mail_server(url: str) -> dict[str, Any]:
    """Django's settings of the server that sends e-mail."""
    try:
        if urlsplit(url).scheme in {"smtp", "smtps", "smtp+tls", "smtp+ssl"}:
            address(url, urlsplit(url).scheme)
        found: dict[str, Any] = Env.email_url_config(url)
    except Exception as exc:
        reason = str(exc) if isinstance(exc, Unusable) else "it is no address of a mail server"
        raise ImproperlyConfigured(
            f"EMAIL_URL cannot be read ({reason}): write smtp+tls://user:password@host:587, with %40 for @ in a password and the like"
        ) from exc
    return found


def kept_secret_key(path: Path) -> str:
    """The one that is kept in a file, made at the first start."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    except OSError as exc:
        raise ImproperlyConfigured(f"{path} cannot be written ({exc.strerror}): set DJANGO_SECRET_KEY, or make the folder writable") from exc
    # Another process may have created the file and not written it yet.
    for _ in range(50):
        if key := path.read_text():
            return key
        time.sleep(0.02)
    raise ImproperlyConfigured(f"{path} is empty: remove it, or set DJANGO_SECRET_KEY")
