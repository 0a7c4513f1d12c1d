"""Every setting is parsed once, and `manage.py check` reports each value that would not work later."""

import subprocess
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django_celery_beat.models import CrontabSchedule
from hypothesis import example, given
from hypothesis import strategies as st

from callcentersite.environment_variables import CRONTAB_FIELDS
from tests.callcentersite.read_settings import check_messages, read, variables

CASES = settings.BASE_DIR.parent / "shared" / "cases"
NUMBERS = (
    *("ETL_MAX_ATTEMPTS", "ETL_BACKOFF_SECONDS", "ETL_BACKOFF_MAX_SECONDS", "ETL_STAGE_RETRIES", "ETL_STAGE_BACKOFF_SECONDS"),
    *("ETL_STAGE_BACKOFF_MAX_SECONDS", "ETL_LEASE_SECONDS", "ETL_GRACE_SECONDS", "ETL_MAX_RESENDS", "ETL_SWEEP_SECONDS"),
    *("ETL_MAX_BAD_PERCENT", "ETL_OVERDUE_HOURS", "ETL_STAGE_SOFT_LIMIT_SECONDS", "GITHUB_PAGE_SIZE", "GITHUB_LANES"),
    *("GITHUB_RESERVE_PERCENT", "GITHUB_TIMEOUT_SECONDS", "CASSANDRA_PORT", "CASSANDRA_TTL_DAYS", "CASSANDRA_REPLICATION_FACTOR"),
)
FLAGS = ("DJANGO_DEBUG", "DJANGO_HTTPS", "DJANGO_SECURE_COOKIES", "GITHUB_ALLOW_HTTP", "CASSANDRA_TLS_CHECK_HOSTNAME")
# Variables that get no random values, because settings.py creates the folder that they name.
PATHS = {"CALLCENTERSITE_VAR"}


def test_an_empty_environment_has_nothing_to_tell() -> None:
    assert check_messages() == []


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["-1", "ten", "1.5", "1e3", "٣", "9" * 12, "9" * 5000])
def test_a_number_that_is_none_or_too_large_is_refused(name: str, value: str) -> None:
    [sentence] = check_messages(**{name: value})
    assert name in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [("CASSANDRA_PORT", "0"), ("CASSANDRA_PORT", "65536"), ("GITHUB_PAGE_SIZE", "0"), ("GITHUB_PAGE_SIZE", "101"), ("ETL_MAX_BAD_PERCENT", "101")],
)
def test_a_number_beyond_its_limits_is_refused(name: str, value: str) -> None:
    [sentence] = check_messages(**{name: value})
    assert "give a whole number of at least" in sentence


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_1_or_0(name: str) -> None:
    assert check_messages(**{name: "2"}) == [f"{name}='2' does not work: give 1 or 0"]


@pytest.mark.parametrize(
    "value", ["0 1 * * *", "0 1 * * 0", "0 1 15 * *", "0 1 * * sun", "*/15 0-6 1,15 jan-mar mon-fri", "0 1 29 2 *", "  0  1 * * *  "]
)
def test_a_schedule_that_passes_is_the_one_that_runs(value: str) -> None:
    assert check_messages(ETL_SCHEDULE=value) == []
    fields = dict(zip(CRONTAB_FIELDS, read({"ETL_SCHEDULE": value})["ETL_SCHEDULE"].split(), strict=True))
    entry = CrontabSchedule(**fields, timezone="UTC")
    entry.clean_fields()
    assert entry.schedule.remaining_delta(datetime(2026, 11, 26, tzinfo=UTC))


@pytest.mark.parametrize(
    "value",
    [
        "0 1 * *",
        "0 1 * * * *",
        "0 1 * * 7",
        "0 1 * * 5-7",
        "0 1 0 * *",
        "0 1 * 13 *",
        "60 1 * * *",
        "*/0 * * * *",
        "at night",
        "@daily",
        "0 1 31 2 *",
    ],
)
def test_a_schedule_that_could_not_run_is_refused(value: str) -> None:
    [sentence] = check_messages(ETL_SCHEDULE=value)
    assert sentence.startswith(f"ETL_SCHEDULE={value!r}")


FIELD = st.sampled_from(
    ["*", "*/2", "*/7", "*/0", "0", "1", "7", "12", "24", "31", "60", "1-5", "5-1", "5-7", "1,7", "sun", "jan", "sun-tue", "L", "?"]
)


@given(st.lists(FIELD, min_size=5, max_size=5).map(" ".join))
def test_any_schedule_is_refused_or_can_be_stored_and_asked_when_it_is_due(value: str) -> None:
    if check_messages(ETL_SCHEDULE=value):
        return
    entry = CrontabSchedule(**dict(zip(CRONTAB_FIELDS, value.split(), strict=True)), timezone="UTC")
    entry.clean_fields()
    assert entry.schedule.remaining_delta(datetime(2026, 11, 26, tzinfo=UTC))


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")
def test_the_shared_cases_of_schedules_pass() -> None:
    done = subprocess.run(["sh", CASES / "schedule_check.sh"], cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)
    assert (done.returncode, "FAIL" in done.stdout) == (0, False), done.stdout


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ETL_TIME_ZONE", "Mars/Olympus", "is not an IANA time zone"),
        ("ETL_TIME_ZONE", "../etc/passwd", "is not an IANA time zone"),
        ("ETL_TIME_ZONE", "Europe", "is not an IANA time zone"),
        ("ETL_LOG_LEVEL", "loud", "write one of DEBUG, INFO"),
        ("DJANGO_ALLOWED_HOSTS", "https://dora.example.com", "write host names without https://"),
        ("DJANGO_ALLOWED_HOSTS", "localhost,dora.example.com:8443", "write host names without https://"),
        ("DJANGO_CSRF_TRUSTED_ORIGINS", "dora.example.com", "does not begin with http:// or https://"),
        ("DJANGO_CSRF_TRUSTED_ORIGINS", "https://dora.example.com/admin", "leave out everything after the host"),
        ("DATABASE_URL", "postgres://u:p@h/etl", "names neither MySQL nor SQLite"),
        ("DATABASE_URL", "mysql2://u:p@h/etl", "names neither MySQL nor SQLite"),
        ("DATABASE_URL", "mysql://u:p@h", "names no database"),
        ("DATABASE_URL", "mysql://u:p@/etl", "names no host"),
        ("DATABASE_URL", "mysql://u:p@h:port/etl", "host or port cannot be read"),
        ("DATABASE_URL", "mysql://u:p@h:99999/etl", "host or port cannot be read"),
        ("DATABASE_URL", "mysql://u:p#q@h/etl", "with %40 for @ in a password"),
        ("DATABASE_URL", "mysql://u:p@h/etl?read_timeout=9", "it has an option other than"),
        ("DATABASE_URL", "mysql://u:p@h/etl?ssl_mode=ON", "ssl_mode must be one of"),
        ("DATABASE_URL", "mysql://[::1/etl", "DATABASE_URL cannot be used"),
        ("DATABASE_URL", "sqlite://", "several processes share the database"),
        ("DATABASE_URL", "sqlite:////nowhere/etl.sqlite3", "/nowhere/etl.sqlite3 cannot be written to"),
        ("DATABASE_URL", "sqlite:////tmp", "/tmp cannot be written to"),
        ("CELERY_BROKER_URL", "amqp://h", "CELERY_BROKER_URL is not a Redis address"),
        ("CELERY_BROKER_URL", "redis://", "names no host"),
        ("CELERY_BROKER_URL", "redis://h:port/0", "host or port cannot be read"),
        ("CELERY_BROKER_URL", "redis://h:6379/queue", "no number of a database"),
        ("CELERY_BROKER_URL", "redis://:p#q@h/0", "CELERY_BROKER_URL is not a Redis address"),
        ("CELERY_BROKER_URL", "rediss://h/0?ssl_cert_reqs=maybe", "Redis does not know its options"),
        ("CELERY_BROKER_URL", "redis+socket:///" + "x" * 108, "has too long a path"),
        ("GITHUB_API_URL", "api.github.com", "GITHUB_API_URL is not a web address"),
        ("GITHUB_API_URL", "https://[::1", "GITHUB_API_URL is not a web address"),
        ("GITHUB_API_URL", "https://github.example:99999", "GITHUB_API_URL is not a web address"),
        ("GITHUB_API_URL", "https://git hub.example", "GITHUB_API_URL is not a web address"),
        ("GITHUB_API_URL", "https://me:secret@github.example", "a name and password before the host are not sent"),
        ("GITHUB_API_URL", "https://github.example?x=1", "it has a query"),
        ("GITHUB_API_URL", "http://github.example", "over plain http"),
        ("GITHUB_GRAPHQL_URL", "ftp://github.example/graphql", "GITHUB_GRAPHQL_URL is not a web address"),
        ("GITHUB_TOKEN", "ghp_one\nghp_two", "characters that no token has"),
        ("GITHUB_TOKEN_BILLING", "ghp_é", "GITHUB_TOKEN_BILLING has characters"),
        ("GITHUB_APP_ID", "7", "is missing, or an id"),
        ("ALERT_WEBHOOK_URL", "hooks.example.com/T0", "ALERT_WEBHOOK_URL is not a web address"),
        ("ALERT_WEBHOOK_URL", "https://hooks..example.com/T0", "it names no host"),
        ("ALERT_WEBHOOK_URL", "https:///T0", "it names no host"),
        ("FLOWER_URL", "flower.example.com", "FLOWER_URL is not a web address"),
        ("FLOWER_URL", "//flower.example.com", "FLOWER_URL is not a web address"),
        ("FLOWER_URL", "javascript:alert(1)", "FLOWER_URL is not a web address"),
        ("FLOWER_URL", "https://operator:secret@flower.example.com", "a name and password before the host are not sent"),
        ("FLOWER_URL", "http://flower.example.com", "browsers send Flower's password unencrypted"),
        ("ALERT_EMAILS", "team@example.com;lead@example.com", "is not an e-mail address"),
        ("ALERT_FROM", "the pipeline", "ALERT_FROM='the pipeline' is not an e-mail address"),
        ("ALERT_FROM", "a@example.com\nBcc: b@example.com", "is not an e-mail address"),
        ("HEARTBEAT_URL", "hc-ping.com/secret", "HEARTBEAT_URL is not a web address"),
        ("METRICS_TOKEN", "sécret", "METRICS_TOKEN has characters that cannot be sent"),
        ("EMAIL_URL", "http://mail.example.com", "EMAIL_URL cannot be read"),
        ("EMAIL_URL", "smtp://", "it names no host"),
        ("EMAIL_URL", "smtp://mail.example.com:mail", "host or port cannot be read"),
        ("EMAIL_URL", "smtp+tls://mail.example.com?email_use_ssl=1", "EMAIL_URL cannot be used"),
        ("CASSANDRA_CONTACT_POINTS", "c1,c2:9042", "'c2:9042' is not a host"),
        ("CASSANDRA_CONTACT_POINTS", "cassandra://c1", "is not a host"),
        ("CASSANDRA_KEYSPACE", "iact-logs", "is not a valid keyspace name"),
        ("LOG_MASK_RULES", "cards", "there is no rule 'cards'"),
        ("LOG_MASK_PATTERNS", "[" * 100_000, "write a JSON list of regexes"),
        ("LOG_MASK_PATTERNS", '["("]', "cannot be a rule for masking"),
    ],
)
def test_what_cannot_work_is_told_with_what_to_do(name: str, value: str, sentence: str) -> None:
    found = check_messages(**{name: value})
    assert sentence in " ".join(found)
    assert "secret" not in " ".join(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://etl:p%40%23@db-1.example.com:3306/etl"),
        ("DATABASE_URL", "mysql://etl:p@[::1]/etl?ssl_mode=REQUIRED"),
        ("DATABASE_URL", "mysql:///etl?unix_socket=/run/mysqld/mysqld.sock"),
        ("CELERY_BROKER_URL", "redis://redis"),
        ("CELERY_BROKER_URL", "redis://user:p%40@10.0.0.1:6379/15"),
        ("CELERY_BROKER_URL", "rediss://redis:6380/0?ssl_cert_reqs=required"),
        ("DJANGO_ALLOWED_HOSTS", "localhost, .example.com, [::1], 10.0.0.1, *"),
        ("DJANGO_CSRF_TRUSTED_ORIGINS", "https://dora.example.com:8443, https://*.example.com"),
        ("GITHUB_API_URL", "https://github.example:8443/api/v3/"),
        ("ALERT_WEBHOOK_URL", "https://hooks.example.com/T0/B0?key=a%20b"),
        ("HEARTBEAT_URL", "https://hc-ping.com/5e0a7c4b?create=1"),
        ("METRICS_TOKEN", "2f7a+/=-_."),
        ("FLOWER_URL", "https://flower.example.com:8443/"),
        ("FLOWER_URL", "http://127.0.0.1:5555"),
        ("FLOWER_URL", "/flower/"),
        ("ALERT_FROM", "The pipeline <etl@example.com>"),
        ("EMAIL_URL", "smtp+tls://user:p%40@mail.example.com:587"),
        ("EMAIL_URL", "consolemail://"),
        ("CASSANDRA_CONTACT_POINTS", "c1, 10.0.0.1, ::1"),
        ("ETL_LOG_LEVEL", "debug"),
        ("ETL_SCHEDULE", ""),
        ("ETL_TIME_ZONE", ""),
        ("DJANGO_ALLOWED_HOSTS", ""),
    ],
)
def test_what_works_is_not_refused(name: str, value: str) -> None:
    assert check_messages(**{name: value}) == []


def test_a_secret_that_begins_with_a_dollar_is_itself() -> None:
    assert read({"CASSANDRA_PASSWORD": "$ecret", "ecret": "another"})["CASSANDRA_PASSWORD"] == "$ecret"


def test_a_file_of_a_secret_that_is_no_text_is_refused(tmp_path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe\x00")
    assert "it is not UTF-8 text" in check_messages(GITHUB_TOKEN_FILE=str(tmp_path / "token"))[0]
    assert "Is a directory" in check_messages(GITHUB_TOKEN_FILE=str(tmp_path))[0]


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    assert "the folder cannot be made" in check_messages(CALLCENTERSITE_VAR="/dev/null/var")[0]


ODD = st.one_of(
    st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=60),
    st.sampled_from(
        ["$HOME", "$$", "[", "[[", "{}", "://", "x://[", "http://[::1", "mysql://", "sqlite:", "redis://%", ",,", "0" * 20, "\x1b[2J", "\n"]
    ),
)


@given(st.sampled_from(sorted(variables() - PATHS)), ODD)
@example("ALERT_FROM", ",")
def test_no_value_of_any_setting_ends_in_another_error_than_a_sentence(name: str, value: str) -> None:
    assert all(sentence.strip() for sentence in check_messages(**{name: value}))
