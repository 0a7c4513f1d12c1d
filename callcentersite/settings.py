"""Every setting, from the environment, read in this one place; the reason stands beside what is not obvious.

Names and defaults are public (README, "Settings"). A secret NAME may be given as NAME_FILE, the path of a file.
A value that cannot work raises ImproperlyConfigured here, or fails `manage.py check` (checks.py), with what to do.
"""

import os
import socket
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

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
    number,
    one_of,
    origins,
    regexes,
    schedule,
    secret,
    time_zone,
)

BASE_DIR = Path(__file__).resolve().parent.parent


def github_credential(suffix: str) -> dict[str, str]:
    return {
        "token": secret(f"GITHUB_TOKEN{suffix}"),
        "app_id": given(f"GITHUB_APP_ID{suffix}"),
        # One line of a .env file may hold it, with \\n for its line ends.
        "private_key": secret(f"GITHUB_APP_PRIVATE_KEY{suffix}").replace("\\n", "\n"),
        "installation_id": given(f"GITHUB_APP_INSTALLATION_ID{suffix}"),
    }


def github_credential_names() -> set[str]:
    found = {""}
    for prefix in ("GITHUB_TOKEN_", "GITHUB_APP_ID_"):
        found |= {name.removeprefix(prefix).removesuffix("_FILE") for name in os.environ if name.startswith(prefix)}
    return found - {"FILE"}


# Everything that is written locally lives under one folder, so that two installations do not meet.
VAR = folder("CALLCENTERSITE_VAR", BASE_DIR / "var")

DEBUG = flag("DJANGO_DEBUG")
# This machine itself may always ask: health checks do.
ALLOWED_HOSTS = [*host_names("DJANGO_ALLOWED_HOSTS", ""), "localhost", "127.0.0.1"]
# Behind a TLS proxy: cookies over https only, a redirect from http, and browsers told to stay with https. Whether a request came by https
# is gunicorn's to know: it believes X-Forwarded-Proto of the proxies in FORWARDED_ALLOW_IPS and of nobody else (docs/deploy.md).
SECURE_SSL_REDIRECT = flag("DJANGO_HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = flag("DJANGO_SECURE_COOKIES", SECURE_SSL_REDIRECT)
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]  # asked from inside, without a proxy
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if SECURE_SSL_REDIRECT else 0
# Whether subdomains have TLS, and whether the domain belongs on the browsers' list, is for its owner to say, in the proxy.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# Our own pages, also where a proxy does not tell by what name and port they were asked for; further ones by the setting.
CSRF_TRUSTED_ORIGINS = [f"https://{'*' if host.startswith('.') else ''}{host}" for host in ALLOWED_HOSTS[:-2] if host != "*"]
CSRF_TRUSTED_ORIGINS += origins("DJANGO_CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "ninja",  # its docs page then has its scripts from us, and from no other host
    "log_store",
    "dora_metrics",
    "etl_tasks",
    "dashboard",
    "callcentersite.apps.CallCenterSiteConfig",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
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
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LOG_PAGE_URL = "/logs/"  # the path of the log page; links that are stored with facts begin with it
LOG_EVENTS_COMMAND = "manage.py log_events"  # the command that prints log lines; explanations of incidents name it
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static_collected"
WHITENOISE_USE_FINDERS = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"

# Django and Celery stay on UTC: date_hierarchy answers 500 on a MySQL without time-zone tables otherwise.
# The business's zone, of schedule and metric periods, is ETL_TIME_ZONE.
USE_TZ = True
TIME_ZONE = "UTC"

# --- database -------------------------------------------------------------------------------------------------
DATABASE_URL = secret("DATABASE_URL", f"sqlite:///{VAR}/callcentersite.sqlite3")
DATABASES = {"default": database(DATABASE_URL)}
_is_sqlite = DATABASES["default"]["ENGINE"].endswith("sqlite3")
if _is_sqlite:
    DATABASES["default"]["OPTIONS"] = {
        # Several writers (worker children, beat, web): without IMMEDIATE they meet "database is locked" by the hundred.
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    DATABASES["default"]["TEST"] = {"NAME": str(VAR / "test.sqlite3")}  # a file, so that a worker process can open it too
else:
    DATABASES["default"]["OPTIONS"] = DATABASES["default"].get("OPTIONS", {}) | {
        "charset": "utf8mb4",
        "isolation_level": "read committed",  # no gap locks between upserts of neighbours
        "init_command": "SET sql_mode='STRICT_TRANS_TABLES', time_zone='+00:00'",
        # Below the soft limit of a stage, so that a frozen server fails the stage and not the worker.
        "connect_timeout": 10,
        "read_timeout": 120,
        "write_timeout": 120,
    }
    DATABASES["default"]["TEST"] = {"CHARSET": "utf8mb4"}

# --- secret key -----------------------------------------------------------------------------------------------
SECRET_KEY = secret("DJANGO_SECRET_KEY")
if not SECRET_KEY:
    if not DEBUG and not _is_sqlite:
        raise ImproperlyConfigured("DJANGO_SECRET_KEY is empty: set it, or DJANGO_SECRET_KEY_FILE, to a long random value")
    # On a laptop one is made and kept, so that sessions outlive a restart and all processes share it.
    SECRET_KEY = kept_secret_key(VAR / "secret_key")

# --- Celery: messages are hints, the ledger in the database is the truth ------------------------------------------
BROKER_SOCKET = VAR / "broker.sock"  # of the embedded broker
CELERY_BROKER_URL = secret("CELERY_BROKER_URL", f"redis+socket://{BROKER_SOCKET}")
BROKER_IS_EMBEDDED = CELERY_BROKER_URL.startswith("redis+socket:")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a broker that is away for an hour must not end the worker
BROKER_VISIBILITY_TIMEOUT_SECONDS = 3600
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": BROKER_VISIBILITY_TIMEOUT_SECONDS,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "health_check_interval": 25,
}
if not BROKER_IS_EMBEDDED:  # a unix socket knows neither
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"socket_connect_timeout": 5, "socket_keepalive": True}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 30, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 5}
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
# Acknowledged on receipt: the sweeper, not redelivery, brings a lost run back, so a poison task cannot loop.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True  # without it a one-second task waited behind a long one
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True  # else a reset connection runs the task twice at once
CELERY_TASK_SOFT_TIME_LIMIT = number("ETL_STAGE_SOFT_LIMIT_SECONDS", 600, minimum=1, maximum=86_400)
CELERY_TASK_TIME_LIMIT = CELERY_TASK_SOFT_TIME_LIMIT + 60
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 60
CELERY_WORKER_MAX_TASKS_PER_CHILD = 100
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000  # KiB
CELERY_TASK_TRACK_STARTED = True
CELERY_WORKER_SEND_TASK_EVENTS = CELERY_TASK_SEND_SENT_EVENT = True  # for Flower
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = 30 * 24 * 3600  # the default is a day, and beat installs the clean-up by itself
CELERY_BEAT_SCHEDULER = "callcentersite.beat_scheduler:Scheduler"  # the admin's entries; one that cannot be used ends nothing
CELERY_BEAT_SYNC_EVERY = 1  # a beat killed soon after firing would fire again
# A schedule in CELERY_BEAT_SCHEDULE would overwrite what people change in the admin; a migration seeds it instead.
# One queue a stage, so that slow extraction never starves loading; the sweep must not wait behind either.
CELERY_TASK_DEFAULT_QUEUE = "extract"
CELERY_TASK_QUEUES = [Queue(name) for name in ("extract", "transform", "load", "sweep")]
CELERY_TASK_ROUTES = {
    "etl.extract": {"queue": "extract"},
    "etl.check": {"queue": "extract"},
    "etl.transform": {"queue": "transform"},
    "etl.load": {"queue": "load"},
    "etl.delete": {"queue": "load"},
    "etl.nightly": {"queue": "sweep"},
    "etl.sweep": {"queue": "sweep"},
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # our LOGGING stands

# --- the pipeline ---------------------------------------------------------------------------------------------
# First level: attempts of one request inside the GitHub client.
ETL_MAX_ATTEMPTS = number("ETL_MAX_ATTEMPTS", 3, minimum=1, maximum=100)
ETL_BACKOFF_SECONDS = number("ETL_BACKOFF_SECONDS", 4, maximum=3600)
ETL_BACKOFF_MAX_SECONDS = number("ETL_BACKOFF_MAX_SECONDS", 10, maximum=3600)
# Second level: Celery's retries of a stage, 60 s doubling to 900 s: half an hour of outage for sure.
ETL_STAGE_RETRIES = number("ETL_STAGE_RETRIES", 5, maximum=100)
ETL_STAGE_BACKOFF_SECONDS = number("ETL_STAGE_BACKOFF_SECONDS", 60, minimum=1, maximum=86_400)
ETL_STAGE_BACKOFF_MAX_SECONDS = number("ETL_STAGE_BACKOFF_MAX_SECONDS", 900, minimum=1, maximum=86_400)
# A longer wait than this is postponed in the ledger: a countdown beyond the visibility timeout runs twice.
ETL_LONGEST_COUNTDOWN_SECONDS = BROKER_VISIBILITY_TIMEOUT_SECONDS // 2
ETL_LEASE_SECONDS = number("ETL_LEASE_SECONDS", 300, minimum=1, maximum=86_400)  # longest silence of a living stage
ETL_GRACE_SECONDS = number("ETL_GRACE_SECONDS", 900, minimum=1, maximum=86_400)  # longest wait of a message in the queue
ETL_MAX_RESENDS = number("ETL_MAX_RESENDS", 5, maximum=10)
ETL_SWEEP_SECONDS = number("ETL_SWEEP_SECONDS", 60, minimum=1, maximum=3600)  # seeds the sweeper's entry at the first migrate
ETL_SCHEDULE = schedule("ETL_SCHEDULE", "0 1 * * *")
ETL_MAX_BAD_SHARE = number("ETL_MAX_BAD_PERCENT", 50, maximum=100) / 100  # more of a stream is a changed API, not bad records
ETL_OVERDUE_HOURS = number("ETL_OVERDUE_HOURS", 26, minimum=1, maximum=8760)
ETL_TIME_ZONE = time_zone("ETL_TIME_ZONE")
ETL_ADAPTERS = adapters("ETL_ADAPTERS")  # kinds of sources of your own: docs/contributing.md

# --- GitHub -----------------------------------------------------------------------------------------------------
GITHUB_API_URL = given("GITHUB_API_URL", "https://api.github.com").rstrip("/")
# The token, or the GitHub App, of all sources; and those of single sources, by the name behind the last "_" of GITHUB_TOKEN_NAME.
GITHUB_CREDENTIALS = {name: github_credential(f"_{name}" if name else "") for name in github_credential_names()}
GITHUB_ALLOW_HTTP = flag("GITHUB_ALLOW_HTTP")  # a stand-in on another host; a token over http can be read by everybody
GITHUB_PAGE_SIZE = number("GITHUB_PAGE_SIZE", 100, minimum=1, maximum=100)  # at most; GitHub allows 100
GITHUB_LANES = number("GITHUB_LANES", 4, minimum=1, maximum=16)  # streams of a source that are read side by side
GITHUB_RESERVE_SHARE = number("GITHUB_RESERVE_PERCENT", 10, maximum=90) / 100  # of the hour's budget, kept for people
GITHUB_TIMEOUT_SECONDS = number("GITHUB_TIMEOUT_SECONDS", 30, minimum=1, maximum=3600)
# Enterprise Server: REST under /api/v3, GraphQL under /api/graphql.
GITHUB_GRAPHQL_URL = given("GITHUB_GRAPHQL_URL", GITHUB_API_URL.removesuffix("/v3") + "/graphql")

# --- log store ----------------------------------------------------------------------------------------------------
CASSANDRA_CONTACT_POINTS = listed("CASSANDRA_CONTACT_POINTS")
CASSANDRA_PORT = number("CASSANDRA_PORT", 9042, minimum=1, maximum=65535)
CASSANDRA_KEYSPACE = given("CASSANDRA_KEYSPACE", "iact_logs")
CASSANDRA_LOCAL_DC = given("CASSANDRA_LOCAL_DC", "datacenter1")
CASSANDRA_USERNAME = secret("CASSANDRA_USERNAME")
CASSANDRA_PASSWORD = secret("CASSANDRA_PASSWORD")
# On each read and write. Counts are exact where reads meet writes: LOCAL_QUORUM and QUORUM for both, ALL, or a single copy.
CASSANDRA_CONSISTENCY = given("CASSANDRA_CONSISTENCY", "LOCAL_QUORUM").upper()
# TLS as soon as a CA is named (PEM); certificate and key where the servers ask for ours. They must name the nodes' IP addresses:
# the driver learns the nodes from each other, and those know no names.
CASSANDRA_TLS_CA = given("CASSANDRA_TLS_CA")
CASSANDRA_TLS_CERT = given("CASSANDRA_TLS_CERT")
CASSANDRA_TLS_KEY = given("CASSANDRA_TLS_KEY")
CASSANDRA_TLS_CHECK_HOSTNAME = flag("CASSANDRA_TLS_CHECK_HOSTNAME", default=True)
CASSANDRA_TTL_DAYS = number("CASSANDRA_TTL_DAYS", 90, minimum=1)
CASSANDRA_REPLICATION_FACTOR = number("CASSANDRA_REPLICATION_FACTOR", 1, minimum=1, maximum=100)

# --- log files --------------------------------------------------------------------------------------------------------
ETL_HOST = given("ETL_HOST", socket.gethostname())  # as log sources name this host (`host`)
# Below these folders, once links are resolved: whoever may add a source could else read every file that a worker can.
LOG_ROOTS = folders("LOG_ROOTS", "/var/log")
LOG_MASK_RULES = listed("LOG_MASK_RULES", "url_password,authorization,bearer,cookie,named,option,token,private_key,card,telephone,named_telephone")
if os.environ.get("LOG_MASK_RULES") == "":
    LOG_MASK_RULES = []  # set and empty: nothing is masked (docs/masking.md)
LOG_MASK_PATTERNS = regexes("LOG_MASK_PATTERNS")  # a JSON list of regexes (RE2) beside them; each group of one is a secret

# --- alerts -------------------------------------------------------------------------------------------------------
# Where critical and warning alerts go besides the log. A webhook's address is its password: it may come from a file.
ALERT_EMAILS = listed("ALERT_EMAILS")
ALERT_WEBHOOK_URL = secret("ALERT_WEBHOOK_URL")
vars().update(mail_server(secret("EMAIL_URL", "smtp://localhost:25")))
EMAIL_TIMEOUT = 10  # seconds; a mail server that hangs must not hold a stage
DEFAULT_FROM_EMAIL = SERVER_EMAIL = given("ALERT_FROM", "callcentersite@localhost")

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
        "cassandra": {"level": "CRITICAL"},  # its warnings and tracebacks repeat what the stage's error says
    },
}
