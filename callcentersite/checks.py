"""The system checks of `manage.py check`. They find settings that cannot work; each message has an id and a hint that says what to do."""

import re
import ssl
from email.utils import parseaddr
from importlib.util import find_spec
from urllib.parse import urlsplit

from django.conf import settings
from django.core import mail
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from kombu import Connection

from callcentersite.environment_variables import Unusable, address, is_host
from etl_tasks.errors import FatalError
from etl_tasks.sources.github.credentials import Credential
from etl_tasks.sources.logs.masking.masker import masker
from etl_tasks.sources.registry import BUILT_IN

# The consistency levels that Cassandra accepts for both reads and writes. ANY and EACH_QUORUM are not for reads.
CONSISTENCIES = ("LOCAL_QUORUM", "QUORUM", "ALL", "LOCAL_ONE", "ONE", "TWO", "THREE")
# Cassandra's limit is 20 years. It is a day less here, because counts are kept a day longer than events.
MOST_TTL_DAYS = 20 * 365 - 1
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
LONGEST_SOCKET_PATH = 107  # bytes; Linux's limit for the path of a socket (sun_path without its final NUL)


@register()
def check_github(**_: object) -> list[CheckMessage]:
    # Imported here so that a process that does not read GitHub does not load the HTTP client.
    from etl_tasks.sources.github.client import goes_in_clear

    found: list[CheckMessage] = []
    for name in ("GITHUB_API_URL", "GITHUB_GRAPHQL_URL"):
        url = getattr(settings, name)
        if reason := _web_address_error(url) or ("it has a query or a fragment" if set("?#") & set(url) else ""):
            found.append(Error(f"{name} is not a web address: {reason}", hint="Write https://api.github.com, or https://HOST/api/v3", id="etl.E002"))
        elif goes_in_clear(url):
            found.append(
                Error(f"{name} would send the token over plain http", hint="Use https, or set GITHUB_ALLOW_HTTP=1 for a stand-in", id="etl.E003")
            )
    return found + [message for name in sorted(settings.GITHUB_CREDENTIALS) for message in _check_credential(name)]


def _check_credential(name: str) -> list[CheckMessage]:
    """Check one set of GITHUB_ variables. An empty set is no error, because an installation may read log files only."""
    values, suffix = settings.GITHUB_CREDENTIALS[name], f"_{name}" if name else ""
    if re.search(r"[^\x21-\x7e]", values["token"]):
        return [Error(f"GITHUB_TOKEN{suffix} has characters that no token has", hint="Copy it again, without spaces and line ends", id="etl.E015")]
    app = [values["app_id"], values["private_key"], values["installation_id"]]
    if not any(app):
        return []
    if not all(app) or not (values["app_id"].isalnum() and values["installation_id"].isdecimal()):
        names = ", ".join(f"GITHUB_APP_{part}{suffix}" for part in ("ID", "PRIVATE_KEY", "INSTALLATION_ID"))
        return [Error(f"one of {names} is missing, or an id has the wrong form", hint="Set all three to the values on the App's page", id="etl.E016")]
    try:
        Credential(name).app_token()
    except FatalError as exc:
        return [Error(str(exc), hint="Create a new key on the App's page", id="etl.E017")]
    return []


@register()
def check_broker(**_: object) -> list[CheckMessage]:
    url = settings.CELERY_BROKER_URL
    if settings.BROKER_IS_EMBEDDED:
        socket = urlsplit(url).path
        if len(socket.encode()) > LONGEST_SOCKET_PATH:
            return [Error(f"the broker's socket has too long a path: {socket}", hint="Set CALLCENTERSITE_VAR to a shorter folder", id="etl.E004")]
        return []
    try:
        parts = address(url, "redis", "rediss")
        if "#" in url or not re.fullmatch(r"/?\d{0,9}", parts.path):
            raise Unusable("there is no number of a database after the host and port")
        Connection(url)
    except (ValueError, TypeError, KeyError) as exc:
        reason = str(exc) if isinstance(exc, Unusable) else "Redis does not know its options"
        return [
            Error(f"CELERY_BROKER_URL is not a Redis address: {reason}", hint="Write redis://:password@host:6379/0, with %40 for @", id="etl.E005")
        ]
    return []


@register()
def check_cassandra(**_: object) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if invalid := [host for host in settings.CASSANDRA_CONTACT_POINTS if not is_host(host)]:
        hint = "Write host names or addresses, separated by commas; the port is CASSANDRA_PORT"
        found.append(Error(f"CASSANDRA_CONTACT_POINTS: {invalid[0]!r} is not a host", hint=hint, id="etl.E021"))
    if not re.fullmatch(r"[A-Za-z0-9_]{1,48}", settings.CASSANDRA_KEYSPACE):
        hint = "Use at most 48 letters, digits and underscores"
        found.append(Error(f"CASSANDRA_KEYSPACE={settings.CASSANDRA_KEYSPACE!r} is not a valid keyspace name", hint=hint, id="etl.E022"))
    if settings.CASSANDRA_CONSISTENCY not in CONSISTENCIES:
        found.append(
            Error(
                f"CASSANDRA_CONSISTENCY={settings.CASSANDRA_CONSISTENCY!r} cannot be used for reads and writes",
                hint=f"Use one of {', '.join(CONSISTENCIES)}",
                id="etl.E009",
            )
        )
    elif settings.CASSANDRA_CONSISTENCY in ("ONE", "LOCAL_ONE") and settings.CASSANDRA_REPLICATION_FACTOR > 1:
        found.append(
            Warning(
                "with several replicas and CASSANDRA_CONSISTENCY at ONE, a read may miss what was just written, and counts become wrong",
                hint="Use LOCAL_QUORUM",
                id="etl.W002",
            )
        )
    if settings.CASSANDRA_TTL_DAYS > MOST_TTL_DAYS:
        found.append(Error("CASSANDRA_TTL_DAYS is above Cassandra's limit of 20 years", hint=f"Use at most {MOST_TTL_DAYS}", id="etl.E010"))
    if bool(settings.CASSANDRA_USERNAME) != bool(settings.CASSANDRA_PASSWORD):
        found.append(Error("only one of CASSANDRA_USERNAME and CASSANDRA_PASSWORD is set", hint="Set both, or neither", id="etl.E011"))
    return found + _check_cassandra_tls()


def _check_cassandra_tls() -> list[CheckMessage]:
    authority, certificate, key = settings.CASSANDRA_TLS_CA, settings.CASSANDRA_TLS_CERT, settings.CASSANDRA_TLS_KEY
    if not authority:
        if certificate or key:
            return [Error("CASSANDRA_TLS_CERT or _KEY is set without CASSANDRA_TLS_CA", hint="Set CASSANDRA_TLS_CA: it turns TLS on", id="etl.E012")]
        return []
    if bool(certificate) != bool(key):
        return [Error("only one of CASSANDRA_TLS_CERT and CASSANDRA_TLS_KEY is set", hint="Set both; they may name the same PEM file", id="etl.E013")]
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as exc:  # ssl.SSLError is an OSError, too
        return [
            Error(
                f"the TLS files for Cassandra cannot be used ({exc})",
                hint="Name readable PEM files; the key must belong to the certificate and have no password",
                id="etl.E014",
            )
        ]
    return []


@register()
def check_alerts(**_: object) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.ALERT_WEBHOOK_URL and (reason := _web_address_error(settings.ALERT_WEBHOOK_URL)):
        hint = "Copy the https:// address from the chat's webhook page"
        found.append(Error(f"ALERT_WEBHOOK_URL is not a web address: {reason}", hint=hint, id="etl.E007"))
    for recipient in settings.ALERT_EMAILS:
        try:
            validate_email(recipient)
        except ValidationError:
            found.append(Error(f"ALERT_EMAILS: {recipient!r} is not an e-mail address", hint="Separate the addresses by commas", id="etl.E008"))
    try:
        # Build a message as an alert does, without sending it.
        mail.EmailMessage(subject="", body="", from_email=settings.DEFAULT_FROM_EMAIL, to=["team@example.com"]).message()
        if "@" not in parseaddr(settings.DEFAULT_FROM_EMAIL)[1]:
            raise ValueError
    except (ValueError, IndexError):
        hint = "Write it as callcentersite@example.com"
        found.append(Error(f"ALERT_FROM={settings.DEFAULT_FROM_EMAIL!r} is not an e-mail address", hint=hint, id="etl.E018"))
    try:
        mail.get_connection()
    except (ImproperlyConfigured, ValueError, OSError) as exc:
        found.append(Error(f"EMAIL_URL cannot be used: {exc}", hint="Write smtp+tls://user:password@host:587", id="etl.E019"))
    return found


@register()
def check_monitoring(**_: object) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.HEARTBEAT_URL and (reason := _web_address_error(settings.HEARTBEAT_URL)):
        hint = "Copy the ping URL of the check, such as https://hc-ping.com/…"
        found.append(Error(f"HEARTBEAT_URL is not a web address: {reason}", hint=hint, id="etl.E023"))
    if re.search(r"[^\x21-\x7e]", settings.METRICS_TOKEN):
        hint = "Generate one: openssl rand -hex 32"
        found.append(Error("METRICS_TOKEN has characters that cannot be sent in a header", hint=hint, id="etl.E024"))
    return found


def _web_address_error(url: str) -> str:
    """Return why no request can be sent to the address, or an empty string if one can."""
    try:
        if "@" in address(url, "http", "https").netloc:
            return "a name and password before the host are not sent"
    except Unusable as exc:
        return str(exc)
    return ""


@register()
def check_flower(**_: object) -> list[CheckMessage]:
    url = settings.FLOWER_URL
    if not url or re.fullmatch(r"/([A-Za-z0-9._~-][A-Za-z0-9._~/-]*)?", url):  # a path on the host of the pages
        return []
    if reason := _web_address_error(url):
        hint = "Write the address at which people reach Flower, such as https://flower.example.com, without its login"
        return [Error(f"FLOWER_URL is not a web address: {reason}", hint=hint, id="etl.E030")]
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in LOOPBACK:
        hint = "Put Flower behind the TLS proxy and write https://: docs/deploy.md"
        return [Warning("with FLOWER_URL as it is, browsers send Flower's password unencrypted", hint=hint, id="etl.W030")]
    return []


@register()
def check_backoff(**_: object) -> list[CheckMessage]:
    if settings.ETL_BACKOFF_MAX_SECONDS < settings.ETL_BACKOFF_SECONDS:
        return [
            Error("ETL_BACKOFF_MAX_SECONDS is below ETL_BACKOFF_SECONDS", hint="Raise the maximum: the first wait is the shortest", id="etl.E006")
        ]
    if settings.ETL_STAGE_BACKOFF_MAX_SECONDS > settings.ETL_LONGEST_COUNTDOWN_SECONDS:
        return [
            Warning(
                "ETL_STAGE_BACKOFF_MAX_SECONDS is above half the broker's visibility timeout",
                hint=f"Keep it at or below {settings.ETL_LONGEST_COUNTDOWN_SECONDS}: a longer countdown is delivered twice",
                id="etl.W001",
            )
        ]
    return []


@register()
def check_adapters(**_: object) -> list[CheckMessage]:
    """Check that each adapter's module can be found, without importing it: an adapter may need libraries that only its workers have."""
    found: list[CheckMessage] = []
    for kind, path in settings.ETL_ADAPTERS.items():
        module = path.rpartition(".")[0]
        try:
            is_found = find_spec(module) is not None
        except (ImportError, ValueError):
            is_found = False
        if not is_found:
            hint = "Install its package where web, worker and beat run, or put its folder on PYTHONPATH"
            found.append(Error(f"ETL_ADAPTERS: there is no module {module} for sources of kind {kind}", hint=hint, id="etl.E021"))
        elif kind in BUILT_IN:
            found.append(Error(f"ETL_ADAPTERS: {kind} is a kind of the product itself", hint="Give your kind another name", id="etl.E022"))
    return found


@register()
def check_log_masking(**_: object) -> list[CheckMessage]:
    try:
        masker(tuple(settings.LOG_MASK_RULES), tuple(settings.LOG_MASK_PATTERNS))
    except (ValueError, TypeError) as exc:
        hint = "LOG_MASK_RULES is a comma-separated list of rule names, LOG_MASK_PATTERNS a JSON list of regexes; see docs/masking.md"
        return [Error(f"log lines cannot be masked: {exc}", hint=hint, id="etl.E020")]
    return []
