"""`manage.py check`: combinations of settings that cannot work, each with an id and what to do."""

import re
import ssl
from urllib.parse import urlsplit

from celery.schedules import ParseException, crontab
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from etl_tasks.sources.logs.mask import masker

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# ANY cannot be read with, and EACH_QUORUM neither.
CONSISTENCIES = ("LOCAL_QUORUM", "QUORUM", "ALL", "LOCAL_ONE", "ONE", "TWO", "THREE")
# Cassandra's limit, and the day more that the sums live.
MOST_TTL_DAYS = 20 * 365 - 1
LONGEST_SOCKET_PATH = 107  # bytes, Linux's sun_path without its final NUL


@register()
def check_schedule(**_: object) -> list[CheckMessage]:
    try:
        crontab(*settings.ETL_SCHEDULE.split())
    except (ParseException, ValueError, TypeError):
        return [Error(f"ETL_SCHEDULE={settings.ETL_SCHEDULE!r} is no crontab line", hint="Write five fields, for example 0 1 * * *", id="etl.E001")]
    return []


@register()
def check_github(**_: object) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for name in ("GITHUB_API_URL", "GITHUB_GRAPHQL_URL"):
        url = urlsplit(getattr(settings, name))
        if url.scheme not in {"http", "https"} or not url.hostname:
            found.append(Error(f"{name} is no web address", hint="Write https://api.github.com, or https://HOST/api/v3", id="etl.E002"))
        elif url.scheme == "http" and url.hostname not in LOOPBACK and not settings.GITHUB_ALLOW_HTTP:
            found.append(
                Error(f"{name} would send the token over plain http", hint="Use https, or set GITHUB_ALLOW_HTTP=1 for a stand-in", id="etl.E003")
            )
    return found


@register()
def check_broker(**_: object) -> list[CheckMessage]:
    if settings.BROKER_IS_EMBEDDED:
        if len(str(settings.BROKER_SOCKET).encode()) > LONGEST_SOCKET_PATH:
            return [
                Error(
                    f"the broker's socket has too long a path: {settings.BROKER_SOCKET}",
                    hint="Set CALLCENTERSITE_VAR to a shorter folder",
                    id="etl.E004",
                )
            ]
    elif urlsplit(settings.CELERY_BROKER_URL).scheme not in {"redis", "rediss"}:
        return [Error("CELERY_BROKER_URL names no Redis", hint="Write redis://host:6379/0", id="etl.E005")]
    return []


@register()
def check_cassandra(**_: object) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.CASSANDRA_CONSISTENCY not in CONSISTENCIES:
        found.append(
            Error(
                f"CASSANDRA_CONSISTENCY={settings.CASSANDRA_CONSISTENCY!r} cannot be read and written with",
                hint=f"Write one of {', '.join(CONSISTENCIES)}",
                id="etl.E009",
            )
        )
    elif settings.CASSANDRA_CONSISTENCY in ("ONE", "LOCAL_ONE") and settings.CASSANDRA_REPLICATION_FACTOR > 1:
        found.append(
            Warning(
                "with several copies and CASSANDRA_CONSISTENCY at ONE, a read may miss what was just written, and counts with it",
                hint="Use LOCAL_QUORUM",
                id="etl.W002",
            )
        )
    if settings.CASSANDRA_TTL_DAYS > MOST_TTL_DAYS:
        found.append(Error("CASSANDRA_TTL_DAYS is beyond Cassandra's 20 years", hint=f"Give at most {MOST_TTL_DAYS}", id="etl.E010"))
    if bool(settings.CASSANDRA_USERNAME) != bool(settings.CASSANDRA_PASSWORD):
        found.append(Error("of CASSANDRA_USERNAME and CASSANDRA_PASSWORD only one is set", hint="Set both, or neither", id="etl.E011"))
    return found + _check_cassandra_tls()


def _check_cassandra_tls() -> list[CheckMessage]:
    authority, certificate, key = settings.CASSANDRA_TLS_CA, settings.CASSANDRA_TLS_CERT, settings.CASSANDRA_TLS_KEY
    if not authority:
        if certificate or key:
            return [
                Error("CASSANDRA_TLS_CERT or _KEY is set, but no CASSANDRA_TLS_CA", hint="Name the CA: without it there is no TLS", id="etl.E012")
            ]
        return []
    if bool(certificate) != bool(key):
        return [Error("of CASSANDRA_TLS_CERT and CASSANDRA_TLS_KEY only one is set", hint="Set both (one PEM may hold both)", id="etl.E013")]
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as exc:  # what ssl raises, too
        return [
            Error(
                f"the TLS files for Cassandra cannot be used ({exc})",
                hint="Name readable PEM files; the key must be the certificate's and have no password",
                id="etl.E014",
            )
        ]
    return []


@register()
def check_alerts(**_: object) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.ALERT_WEBHOOK_URL and not _is_web_address(settings.ALERT_WEBHOOK_URL):
        found.append(Error("ALERT_WEBHOOK_URL is no web address", hint="Write https://…, as the chat's webhook page gives it", id="etl.E007"))
    for address in settings.ALERT_EMAILS:
        try:
            validate_email(address)
        except ValidationError:
            found.append(Error(f"ALERT_EMAILS: {address!r} is no e-mail address", hint="Write them with commas between", id="etl.E008"))
    return found


def _is_web_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in {"http", "https"} and bool(url.hostname) and (url.port is None or url.port > 0) and not re.search(r"\s", text)
    except ValueError:
        return False


@register()
def check_backoff(**_: object) -> list[CheckMessage]:
    if settings.ETL_BACKOFF_MAX_SECONDS < settings.ETL_BACKOFF_SECONDS:
        return [
            Error("ETL_BACKOFF_MAX_SECONDS is below ETL_BACKOFF_SECONDS", hint="The first wait is the shortest: raise the maximum", id="etl.E006")
        ]
    if settings.ETL_STAGE_BACKOFF_MAX_SECONDS > settings.ETL_LONGEST_COUNTDOWN_SECONDS:
        return [
            Warning(
                "ETL_STAGE_BACKOFF_MAX_SECONDS is beyond half the broker's visibility timeout",
                hint=f"Keep it at or below {settings.ETL_LONGEST_COUNTDOWN_SECONDS}: a longer countdown is delivered twice",
                id="etl.W001",
            )
        ]
    return []


@register()
def check_log_masking(**_: object) -> list[CheckMessage]:
    try:
        masker(tuple(settings.LOG_MASK_RULES), tuple(settings.LOG_MASK_PATTERNS))
    except (ValueError, TypeError) as exc:
        hint = "LOG_MASK_RULES is a comma-separated list of their names, LOG_MASK_PATTERNS a JSON list of regexes; docs/masking.md has both"
        return [Error(f"log lines cannot be masked: {exc}", hint=hint, id="etl.E020")]
    return []
