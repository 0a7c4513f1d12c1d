"""All settings, read from environment variables.

Names and defaults are public (README, "Settings"). A secret NAME can come from a file: set NAME_FILE to its path.
A value that cannot work is reported with what to do: this module raises ImproperlyConfigured, or `manage.py check` fails (checks.py).
"""

import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

from callcentersite import mysql_types
from callcentersite.environment_variables import (
    adapters,
    database,
    flag,
    folder,
    folders,
    given,
    host_names,
    kept_secret_key,
    listed,
    mail_server,
    networks,
    number,
    one_of,
    origins,
    regexes,
    schedule,
    secret,
    time_zone,
)
from callcentersite.installed_apps import apps_of_process

BASE_DIR = Path(__file__).resolve().parent.parent


class Queue(NamedTuple):
    """A queue of Celery. celery_settings.py turns it into an object of kombu, whose import would slow down the start of every command."""

    name: str


def github_credential(suffix: str) -> dict[str, str]:
    """Return the token or the GitHub App from the variables whose names end with `suffix`: "" or _NAME."""
    return {
        "token": secret(f"GITHUB_TOKEN{suffix}"),
        "app_id": given(f"GITHUB_APP_ID{suffix}"),
        # A .env file has the key in one line, with \n (a backslash and an n) in place of its line ends.
        "private_key": secret(f"GITHUB_APP_PRIVATE_KEY{suffix}").replace("\\n", "\n"),
        "installation_id": given(f"GITHUB_APP_INSTALLATION_ID{suffix}"),
    }


def github_credential_names() -> set[str]:
    """Return the names of all credentials: "" for GITHUB_TOKEN or GITHUB_APP_ID, NAME for GITHUB_TOKEN_NAME or GITHUB_APP_ID_NAME."""
    found = {""}
    for prefix in ("GITHUB_TOKEN_", "GITHUB_APP_ID_"):
        found |= {name.removeprefix(prefix).removesuffix("_FILE") for name in os.environ if name.startswith(prefix)}
    return found - {"FILE"}


# The folder of all local files. Two installations on one machine need two folders.
VAR = folder("CALLCENTERSITE_VAR", BASE_DIR / "var")

DEBUG = flag("DJANGO_DEBUG")
# The last two are for health checks on this machine.
ALLOWED_HOSTS = [*host_names("DJANGO_ALLOWED_HOSTS", ""), "localhost", "127.0.0.1"]
# DJANGO_HTTPS is for a server behind a TLS proxy: cookies are sent over https only, http is redirected to https, and browsers are told to
# stay with https (HSTS). Whether a request came by https is in X-Forwarded-Proto, which gunicorn accepts only from the proxies in
# FORWARDED_ALLOW_IPS (docs/deploy.md).
SECURE_SSL_REDIRECT = flag("DJANGO_HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = flag("DJANGO_SECURE_COOKIES", SECURE_SSL_REDIRECT)
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if SECURE_SSL_REDIRECT else 0
# These two checks ask for HSTS for subdomains and for the browsers' preload list. The domain's owner may set both in the proxy.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# Trust forms of our own hosts even if a proxy does not forward the host name and port. DJANGO_CSRF_TRUSTED_ORIGINS adds other
# origins.
CSRF_TRUSTED_ORIGINS = [f"https://{'*' if host.startswith('.') else ''}{host}" for host in ALLOWED_HOSTS[:-2] if host != "*"]
CSRF_TRUSTED_ORIGINS += origins("DJANGO_CSRF_TRUSTED_ORIGINS")

# The proxies that are believed: by gunicorn, which reads this variable, too, whether a request used https, and by dora_metrics/client_address.py
# from where it came.
FORWARDED_ALLOW_IPS = networks("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
# After this many wrong passwords, an address may not log in with this name for LOGIN_LOCK_MINUTES (dora_metrics/lockout.py).
LOGIN_ATTEMPTS = number("LOGIN_ATTEMPTS", 5, minimum=1, maximum=1000)
LOGIN_LOCK_MINUTES = number("LOGIN_LOCK_MINUTES", 15, minimum=1, maximum=1440)

INSTALLED_APPS = apps_of_process(sys.argv)
MIDDLEWARE = [
    "callcentersite.health.MonitoringMiddleware",  # the first, so that /healthz, /readyz and /metrics need no host name, https, session or database
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "callcentersite.urls"
WSGI_APPLICATION = "callcentersite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "dashboard" / "templates"],  # first, because it replaces some templates of the admin
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.context_processors.time_zone",
            ]
        },
    }
]
# The address at which people reach Flower, which has a login of its own. The operations page links to it; if it is empty, there is no link.
FLOWER_URL = given("FLOWER_URL")
LOG_PAGE_URL = "/logs/"  # the path of the log page; links that are stored with facts begin with it
LOG_EVENTS_COMMAND = "manage.py log_events"  # the command that prints log lines; explanations of incidents name it
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static_collected"
WHITENOISE_USE_FINDERS = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- pages --------------------------------------------------------------------------------------------------------
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "dashboard:login", "dashboard:overview", "dashboard:login"
# Scripts, styles, fonts and requests come from this server only, and no page has inline scripts or styles.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
# A page is shown in the language that the user chose or the browser asks for. DJANGO_LANGUAGE is the language of everybody else and of the
# commands. Texts that are stored, such as the error of a run, are always English.
LANGUAGES = [("en", "English"), ("es", "Español")]
LANGUAGE_CODE = one_of("DJANGO_LANGUAGE", "EN", ("EN", "ES")).lower()
LOCALE_PATHS = [BASE_DIR / "locale"]

# Django and Celery use UTC: with another zone, date_hierarchy answers 500 on a MySQL server without time-zone tables.
# The zone of the schedule and of the metrics' periods is ETL_TIME_ZONE.
USE_TZ = True
TIME_ZONE = "UTC"

# --- database -------------------------------------------------------------------------------------------------
DATABASE_URL = secret("DATABASE_URL", f"sqlite:///{VAR}/callcentersite.sqlite3")
DATABASES = {"default": database(DATABASE_URL)}
_is_sqlite = DATABASES["default"]["ENGINE"].endswith("sqlite3")
if _is_sqlite:
    DATABASES["default"]["OPTIONS"] = {
        # Worker children, beat and web write at the same time. Without IMMEDIATE, many writes fail with "database is locked".
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    DATABASES["default"]["TEST"] = {"NAME": str(VAR / "test.sqlite3")}  # a file, because the tests start worker processes that open it, too
else:
    DATABASES["default"]["OPTIONS"] = DATABASES["default"].get("OPTIONS", {}) | {
        "charset": "utf8mb4",
        **mysql_types.options(),
        "isolation_level": "read committed",  # takes no gap locks, which would block upserts of neighbouring rows
        "init_command": "SET sql_mode='STRICT_TRANS_TABLES', time_zone='+00:00'",
        # Shorter than the soft time limit of a stage, so that a server that hangs fails only the stage and not the worker.
        "connect_timeout": 10,
        "read_timeout": 120,
        "write_timeout": 120,
    }
    DATABASES["default"]["TEST"] = {"CHARSET": "utf8mb4"}

# The overview keeps computed values in the memory of each web process until the rows they come from change. With a thousand services an entry
# has a megabyte.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "overview": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "overview", "OPTIONS": {"MAX_ENTRIES": 40}},
}

# --- secret key -----------------------------------------------------------------------------------------------
SECRET_KEY = secret("DJANGO_SECRET_KEY")
if not SECRET_KEY:
    if not DEBUG and not _is_sqlite:
        raise ImproperlyConfigured("DJANGO_SECRET_KEY is empty: set it, or DJANGO_SECRET_KEY_FILE, to a long random value")
    # With DEBUG or SQLite, which are for a laptop, a random key is created once and kept in a file. So all processes use the same key, and
    # sessions stay valid after a restart.
    SECRET_KEY = kept_secret_key(VAR / "secret_key")

# --- Celery ---------------------------------------------------------------------------------------------------
# A message is only a request to run one stage of a run. The worker that receives it must first claim the run in the database
# (etl_tasks/ledger.py).
BROKER_SOCKET = VAR / "broker.sock"  # the socket of the embedded broker
CELERY_BROKER_URL = secret("CELERY_BROKER_URL", f"redis+socket://{BROKER_SOCKET}")
BROKER_IS_EMBEDDED = CELERY_BROKER_URL.startswith("redis+socket:")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True  # a worker may start before the broker
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # no limit: a broker outage of an hour must not end the worker
BROKER_VISIBILITY_TIMEOUT_SECONDS = 3600  # Redis delivers an unacknowledged message again after this time
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": BROKER_VISIBILITY_TIMEOUT_SECONDS,
    # Look for such messages every 10 seconds: the number of seconds is the product of the two values.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    # A broken connection is noticed within half a minute.
    "socket_timeout": 30,
    "health_check_interval": 25,
}
if not BROKER_IS_EMBEDDED:  # these two options do not exist for a unix socket
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"socket_connect_timeout": 5, "socket_keepalive": True}
# Sending is tried for so long that the broker can restart meanwhile.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 30, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 5}
# JSON only: unpickling a message from the broker could run code.
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"  # as in Django; see TIME_ZONE
# A message is acknowledged when it is received, not when its task ends. If the worker is killed, the sweeper resumes the run, but only a
# limited number of times. The broker would deliver the message of a task that kills its worker again and again.
CELERY_TASK_ACKS_LATE = False
# A child takes a message only when it is free: with prefetching, a task of one second would wait behind a long one.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True  # otherwise a connection reset starts the task a second time
# The soft limit raises an exception in the stage, which can then save its progress. The hard limit kills a child that does not react.
CELERY_TASK_SOFT_TIME_LIMIT = number("ETL_STAGE_SOFT_LIMIT_SECONDS", 600, minimum=1, maximum=86_400)
CELERY_TASK_TIME_LIMIT = CELERY_TASK_SOFT_TIME_LIMIT + 60
# Seconds that a new child may take until it is ready; Celery's default is 4. On an overloaded machine Celery would kill each new child too early.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60.0
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 60  # seconds that a stopping worker waits for its running tasks to end
# Replace a child after 100 tasks or at 400,000 KiB, so that a memory leak stays bounded.
CELERY_WORKER_MAX_TASKS_PER_CHILD = 100
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
CELERY_TASK_TRACK_STARTED = True  # the admin's task results show which tasks run
CELERY_WORKER_SEND_TASK_EVENTS = CELERY_TASK_SEND_SENT_EVENT = True  # for Flower
CELERY_RESULT_BACKEND = "django-db"  # the admin shows task results
CELERY_RESULT_EXTENDED = True  # results have the name and arguments of their task
CELERY_BEAT_SCHEDULER = "callcentersite.beat_scheduler:Scheduler"  # reads the admin's entries; an unusable entry does not end beat
CELERY_BEAT_SYNC_EVERY = 1  # save after each sent task: otherwise, if beat is killed soon afterwards, it sends the task again when it restarts
# There is no CELERY_BEAT_SCHEDULE, because it would overwrite changes in the admin at each start. A migration creates the entries.
# One queue per stage, so that slow extraction does not delay loading. The sweep has its own queue, so that it waits for a free child only, and
# not behind the messages of stages.
CELERY_TASK_DEFAULT_QUEUE = "extract"
CELERY_TASK_QUEUES = [Queue(name) for name in ("extract", "transform", "load", "sweep")]
CELERY_TASK_ROUTES = {
    "etl.extract": {"queue": "extract"},
    "etl.check": {"queue": "extract"},
    "etl.preview": {"queue": "extract"},
    "etl.transform": {"queue": "transform"},
    "etl.load": {"queue": "load"},
    "etl.end_settled": {"queue": "load"},
    "etl.delete": {"queue": "load"},
    "etl.recompute": {"queue": "load"},
    "etl.replay": {"queue": "load"},
    "etl.prune": {"queue": "load"},
    "etl.nightly": {"queue": "sweep"},
    "etl.sweep": {"queue": "sweep"},
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # LOGGING below applies to workers, too

# --- the pipeline ---------------------------------------------------------------------------------------------
# First level of retries: attempts of one request in the GitHub client.
ETL_MAX_ATTEMPTS = number("ETL_MAX_ATTEMPTS", 3, minimum=1, maximum=100)
ETL_BACKOFF_SECONDS = number("ETL_BACKOFF_SECONDS", 4, maximum=3600)
ETL_BACKOFF_MAX_SECONDS = number("ETL_BACKOFF_MAX_SECONDS", 10, maximum=3600)
# Second level: Celery's retries of a stage after 60, 120, 240, 480 and 900 seconds. So a stage survives an outage of half an hour.
ETL_STAGE_RETRIES = number("ETL_STAGE_RETRIES", 5, maximum=100)
ETL_STAGE_BACKOFF_SECONDS = number("ETL_STAGE_BACKOFF_SECONDS", 60, minimum=1, maximum=86_400)
ETL_STAGE_BACKOFF_MAX_SECONDS = number("ETL_STAGE_BACKOFF_MAX_SECONDS", 900, minimum=1, maximum=86_400)
# A run that must wait longer is postponed in the ledger: a task with a countdown beyond the visibility timeout would run twice.
ETL_LONGEST_COUNTDOWN_SECONDS = BROKER_VISIBILITY_TIMEOUT_SECONDS // 2
ETL_LEASE_SECONDS = number("ETL_LEASE_SECONDS", 300, minimum=1, maximum=86_400)  # a run that commits nothing for this long counts as lost
ETL_GRACE_SECONDS = number(
    "ETL_GRACE_SECONDS", 900, minimum=1, maximum=86_400
)  # a message that waits longer in its queue counts as lost; this time doubles each time the run is sent again
ETL_MAX_RESENDS = number("ETL_MAX_RESENDS", 5, maximum=10)  # a run that is lost more often fails
ETL_SWEEP_SECONDS = number("ETL_SWEEP_SECONDS", 60, minimum=1, maximum=3600)  # the sweep's interval, which the first migrate stores for beat
ETL_SCHEDULE = schedule("ETL_SCHEDULE", "0 1 * * *")  # when the nightly runs start; the first migrate stores it for beat
ETL_MAX_BAD_SHARE = number("ETL_MAX_BAD_PERCENT", 50, maximum=100) / 100  # if a larger share of a stream cannot be read, transform fails
ETL_OVERDUE_HOURS = number("ETL_OVERDUE_HOURS", 26, minimum=1, maximum=8760)  # alert after this time without a successful run
ETL_TIME_ZONE = time_zone("ETL_TIME_ZONE")
ETL_ADAPTERS = adapters("ETL_ADAPTERS")  # your own kinds of sources: docs/contributing.md

# --- retention ----------------------------------------------------------------------------------------------------
# After how many days the task etl.prune deletes what is no longer needed; 0: never. docs/operate.md, "What is deleted, and when", says what
# stays although it is older. Facts and metrics are never deleted.
ETL_KEEP_PAGES_DAYS = number("ETL_KEEP_PAGES_DAYS", 30, maximum=36_500)
ETL_KEEP_BATCHES_DAYS = number("ETL_KEEP_BATCHES_DAYS", 7, maximum=36_500)
ETL_KEEP_LETTERS_DAYS = number("ETL_KEEP_LETTERS_DAYS", 90, maximum=36_500)
ETL_KEEP_PROGRESS_DAYS = number("ETL_KEEP_PROGRESS_DAYS", 30, maximum=36_500)
ETL_KEEP_RUNS_DAYS = number("ETL_KEEP_RUNS_DAYS", 180, maximum=36_500)
ETL_KEEP_GONE_FILES_DAYS = number("ETL_KEEP_GONE_FILES_DAYS", 90, maximum=36_500)
ETL_KEEP_LOG_EVENTS_DAYS = number("ETL_KEEP_LOG_EVENTS_DAYS", 45, maximum=36_500)  # in the SQL database only; Cassandra has CASSANDRA_TTL_DAYS
ETL_KEEP_REVISIONS_DAYS = number("ETL_KEEP_REVISIONS_DAYS", 400, maximum=36_500)
ETL_KEEP_EPISODES_DAYS = number("ETL_KEEP_EPISODES_DAYS", 400, maximum=36_500)
ETL_KEEP_RESULTS_DAYS = number("ETL_KEEP_RESULTS_DAYS", 30, maximum=36_500)
ETL_KEEP_HEARTBEATS_DAYS = number("ETL_KEEP_HEARTBEATS_DAYS", 30, maximum=36_500)
ETL_KEEP_SESSIONS_DAYS = number("ETL_KEEP_SESSIONS_DAYS", 1, maximum=36_500)  # after they have expired
ETL_KEEP_AUDIT_DAYS = number("ETL_KEEP_AUDIT_DAYS", 1095, maximum=36_500)
# Beat's own clean-up deletes all old results in one statement. It runs after etl.prune, which has then deleted most of them in batches.
CELERY_RESULT_EXPIRES = ETL_KEEP_RESULTS_DAYS * 24 * 3600

# --- GitHub -----------------------------------------------------------------------------------------------------
GITHUB_API_URL = given("GITHUB_API_URL", "https://api.github.com").rstrip("/")
# The credentials by name. "" is the token or GitHub App of sources that name no credential. The variable GITHUB_TOKEN_ACME defines the
# credential ACME.
GITHUB_CREDENTIALS = {name: github_credential(f"_{name}" if name else "") for name in github_credential_names()}
GITHUB_ALLOW_HTTP = flag("GITHUB_ALLOW_HTTP")  # only for a stand-in on another host: anybody on the way can read a token that is sent over http
GITHUB_PAGE_SIZE = number("GITHUB_PAGE_SIZE", 100, minimum=1, maximum=100)  # most records of a page; GitHub's limit is 100
GITHUB_LANES = number("GITHUB_LANES", 4, minimum=1, maximum=16)  # streams of a source that are read at the same time
GITHUB_RESERVE_SHARE = number("GITHUB_RESERVE_PERCENT", 10, maximum=90) / 100  # share of the hourly rate limit that is left for people
GITHUB_TIMEOUT_SECONDS = number("GITHUB_TIMEOUT_SECONDS", 30, minimum=1, maximum=3600)
# An Enterprise Server has REST under /api/v3 and GraphQL under /api/graphql.
GITHUB_GRAPHQL_URL = given("GITHUB_GRAPHQL_URL", GITHUB_API_URL.removesuffix("/v3") + "/graphql")

# --- log store ----------------------------------------------------------------------------------------------------
CASSANDRA_CONTACT_POINTS = listed("CASSANDRA_CONTACT_POINTS")
CASSANDRA_PORT = number("CASSANDRA_PORT", 9042, minimum=1, maximum=65535)
CASSANDRA_KEYSPACE = given("CASSANDRA_KEYSPACE", "iact_logs")
CASSANDRA_LOCAL_DC = given("CASSANDRA_LOCAL_DC", "datacenter1")
CASSANDRA_USERNAME = secret("CASSANDRA_USERNAME")
CASSANDRA_PASSWORD = secret("CASSANDRA_PASSWORD")
# The level of every read and write. Counts are exact only if a read sees all earlier writes: with LOCAL_QUORUM, QUORUM or ALL, or with a
# single replica.
CASSANDRA_CONSISTENCY = given("CASSANDRA_CONSISTENCY", "LOCAL_QUORUM").upper()
# TLS is used if a CA (PEM file) is set. Certificate and key are for servers that require a client certificate. The certificate of a server
# must contain its IP address, because the driver gets the IP addresses of further nodes from the first one.
CASSANDRA_TLS_CA = given("CASSANDRA_TLS_CA")
CASSANDRA_TLS_CERT = given("CASSANDRA_TLS_CERT")
CASSANDRA_TLS_KEY = given("CASSANDRA_TLS_KEY")
CASSANDRA_TLS_CHECK_HOSTNAME = flag("CASSANDRA_TLS_CHECK_HOSTNAME", default=True)
CASSANDRA_TTL_DAYS = number("CASSANDRA_TTL_DAYS", 90, minimum=1)
CASSANDRA_REPLICATION_FACTOR = number("CASSANDRA_REPLICATION_FACTOR", 1, minimum=1, maximum=100)

# --- log files --------------------------------------------------------------------------------------------------------
ETL_HOST = given("ETL_HOST", socket.gethostname())  # the name of this host in the `host` field of log sources
# Log sources may read only below these folders, after links are resolved. Otherwise whoever may add a source could read every file
# that a worker can read.
LOG_ROOTS = folders("LOG_ROOTS", "/var/log")
LOG_MASK_RULES = listed("LOG_MASK_RULES", "url_password,authorization,bearer,cookie,named,option,token,private_key,card,telephone,named_telephone")
if os.environ.get("LOG_MASK_RULES") == "":
    LOG_MASK_RULES = []  # the variable is set but empty: no rule is applied (docs/masking.md)
LOG_MASK_PATTERNS = regexes("LOG_MASK_PATTERNS")  # a JSON list of further regexes (RE2), whose groups match secrets

# --- alerts -------------------------------------------------------------------------------------------------------
# Critical and warning alerts are written to the log and sent to these e-mail addresses and to this webhook. The webhook's URL is a
# secret, so ALERT_WEBHOOK_URL_FILE may name a file that contains it.
ALERT_EMAILS = listed("ALERT_EMAILS")
ALERT_WEBHOOK_URL = secret("ALERT_WEBHOOK_URL")
vars().update(mail_server(secret("EMAIL_URL", "smtp://localhost:25")))
EMAIL_TIMEOUT = 10  # seconds; a mail server that hangs must not delay a stage
DEFAULT_FROM_EMAIL = SERVER_EMAIL = given("ALERT_FROM", "callcentersite@localhost")

# --- monitoring ---------------------------------------------------------------------------------------------------
# Who may read /metrics and the details of /readyz. If it is empty, only requests that come directly, without a proxy, from this machine or a
# private network may (callcentersite/health.py).
METRICS_TOKEN = secret("METRICS_TOKEN")
# This address is requested after each good night, with /fail appended after a bad one, in the protocol of healthchecks.io. So a service
# elsewhere can alert you if this installation is down and cannot alert anybody itself. Whoever knows the address can report a good night.
HEARTBEAT_URL = secret("HEARTBEAT_URL")

# --- logging ------------------------------------------------------------------------------------------------------
ETL_LOG_LEVEL = one_of("ETL_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "callcentersite.log_formatter.EventFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "etl_tasks": {"level": ETL_LOG_LEVEL},
        "dora_metrics": {"level": ETL_LOG_LEVEL},
        "celery": {"level": "INFO"},
        "cassandra": {"level": "CRITICAL"},  # the driver's warnings and tracebacks repeat the stage's error
    },
}
