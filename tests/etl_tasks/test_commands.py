"""Wrong input to every command: one sentence, the documented exit status, no traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

EMPTY = {
    "DATABASE_URL": "",
    "CELERY_BROKER_URL": "",
    "CASSANDRA_CONTACT_POINTS": "",
    "GITHUB_API_URL": "http://127.0.0.1:9",
    "GITHUB_GRAPHQL_URL": "",
    "ETL_BACKOFF_SECONDS": "0",
    "ETL_BACKOFF_MAX_SECONDS": "0",
}

NUMBERS = ("dora_report", "dora_export metrics", "dora_explain billing change_lead_time 2026-01", "recompute_metrics")


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v")
    assert manage(folder, "migrate", "--verbosity", "0").returncode == 0
    assert manage(folder, "add_service", "billing", "--repository", "acme/billing").returncode == 0
    return folder


def manage(var: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in {**os.environ, **EMPTY, **env}.items() if value}
    environment["CALLCENTERSITE_VAR"] = str(var)
    return subprocess.run([sys.executable, "manage.py", *words], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("add_service 'a/b' --repository acme/billing", 2, "cannot be a service's name"),
        ("add_service billing --repository billing", 2, "write it as owner/name"),
        ("add_service billing --repository acme/billing --production (", 2, "is no regular expression"),
        ("add_service billing --repository acme/billing --deployments jenkins", 2, "invalid choice"),
        ("add_service billing --repository acme/billing --log-error-share 101", 2, "101 is no percentage"),
        ("add_service billing --repository acme/billing --log-error-share nan", 2, "nan is no percentage"),
        ("add_service billing --repository acme/billing --log-minute-events 0", 2, "greater than or equal to 1"),
        ("add_service billing --repository acme/billing --log-bad-minutes 0", 2, "greater than or equal to 1"),
        ("add_service billing --repository acme/billing --log-good-minutes 1441", 2, "less than or equal to 1440"),
        ("add_service billing", 2, "--repository"),
        ("add_service billing --repository acme/billing --colour red", 2, "unrecognized arguments"),
        ("add_log_source x --service nobody --path *.log --format json", 2, "there is no service 'nobody'"),
        ("add_log_source x --service billing --path *.log --format xml", 2, "invalid choice"),
        ("add_service billing --repository acme/billing --credential acme", 2, "capital letters"),
        ("add_service billing --repository acme/billing --bot=", 2, "--bot is empty"),
        ("add_log_source x --service billing --path= --format json", 2, "--path is empty"),
        ("add_log_source billing --service billing --path *.log --format json", 2, "exists already"),
        ("add_log_source x --service billing --path *.log --format json --pattern x", 2, "the format json has no pattern"),
        ("add_log_source x --service billing --path *.log --format regex", 2, "needs a pattern"),
        ("add_log_source x --service billing --path *.log --format regex --pattern (?P<time>.*)(?=x)", 2, "RE2 reads"),
        ("add_log_source x --service billing --path *.log --format log4j --pattern %d", 2, "has no message"),
        ("add_log_source x --service billing --path *.log --format json --time-zone Mars", 2, "is no IANA time zone"),
        ("add_log_source x --service billing --path *.log --format json --field message", 2, "write it as message=text"),
        ("add_log_source x --service billing --path *.log --format json --field colour=c", 2, "no field 'colour'"),
        ("add_log_source x --service billing --path *.log --format json --deploy-pattern (", 2, "is no regular expression"),
        ("add_log_source x --service billing --path *.none --format auto", 2, "no file matches"),
        ("add_log_source x --service billing --path README.md --format auto", 2, "of a known format: name the format with --format"),
        ("add_log_source x --service billing --path *.log --format auto --pattern x", 2, "name it with --format"),
        ("etl_preview_log *.none", 1, "No file matches"),
        ("etl_preview_log README.md", 1, "name its format with --format"),
        ("etl_preview_log README.md --format json", 1, "could be read as json"),
        ("etl_preview_log README.md --format regex --pattern (", 2, "is no regular expression"),
        ("etl_preview_log README.md --source nobody", 2, "there is no log source 'nobody'"),
        ("etl_preview_log README.md --format xml", 2, "invalid choice"),
        ("etl_run --source nobody", 4, "there is no source 'nobody'"),
        ("etl_run --since yesterday", 4, "write it as 2026-02-28"),
        ("etl_run --since 2026-02-01 --until 2026-01-01", 4, "--until 2026-01-01 is not after --since 2026-02-01"),
        ("etl_run", 1, "the broker cannot be reached"),
        ("etl_extract --source nobody", 2, "there is no source 'nobody'"),
        ("etl_extract --run 99", 1, "there is no run 99"),
        ("etl_transform --run 99", 2, "there is no run 99"),
        ("etl_load --run 99", 3, "there is no run 99"),
        ("etl_status --run 99", 2, "there is no run 99"),
        ("check_source nobody", 1, "there is no source 'nobody'"),
        ("check_source billing", 1, "billing cannot be read as it is set"),
        ("dead_letters replay 99", 2, "there is no dead letter 99"),
        ("dead_letters replay", 2, "say which letters"),
        ("dead_letters burn", 2, "invalid choice"),
        ("dead_letters list --source nobody", 2, "there is no source 'nobody'"),
        ("dora_report --service nobody", 2, "there is no service 'nobody'"),
        ("dora_report --from 2026-13-01", 2, "write it as 2026-02-28"),
        ("dora_report --from 2026-02-01 --to 2026-01-01", 2, "the period would end before it starts"),
        ("dora_report --from 0001-01-01", 2, "is too far away"),
        ("dora_export changes --service nobody", 2, "there is no service 'nobody'; known: billing"),
        ("dora_export changes --from 2026-13-01", 2, "write it as 2026-02-28"),
        ("dora_export metrics --from 2026-02-01 --to 2026-01-01", 2, "the period would end before it starts"),
        ("dora_export commits", 2, "invalid choice"),
        ("dora_export changes --format xml", 2, "invalid choice"),
        ("api_token create", 2, "say whose token"),
        ("api_token burn", 2, "invalid choice"),
    ],
)
def test_wrong_input_is_one_sentence_and_its_status(var: Path, words: str, status: int, sentence: str) -> None:
    done = manage(var, *words.split())
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("env", "words", "status", "sentence"),
    [
        ({"DATABASE_URL": "mysql://x:y@127.0.0.1:9/z"}, "etl_status", 1, "the database cannot be reached"),
        ({"DATABASE_URL": "mysql://x:y@127.0.0.1:9/z"}, "etl_load", 3, "the database cannot be reached"),
        ({"DATABASE_URL": "postgres://x@y/z"}, "etl_status", 1, "names neither MySQL nor SQLite"),
        ({"DATABASE_URL": "mysql://x:y@127.0.0.1:9/z", "DJANGO_SECRET_KEY": ""}, "etl_status", 1, "DJANGO_SECRET_KEY is empty"),
        ({"ETL_MAX_ATTEMPTS": "three"}, "etl_status", 1, "give a whole number"),
        ({"ETL_TIME_ZONE": "Mars/Olympus"}, "etl_status", 1, "is no IANA time zone"),
        *(({"ETL_TIME_ZONE": "Mars/Olympus"}, words, 2, "is no IANA time zone") for words in NUMBERS),
        ({"ETL_SCHEDULE": "at night"}, "check", 1, "is no crontab line"),
        ({"GITHUB_API_URL": "http://github.example"}, "check", 1, "over plain http"),
        ({"LOG_MASK_RULES": "cards"}, "check", 1, "there is no rule 'cards' for masking"),
        ({"LOG_MASK_RULES": "cards"}, "etl_preview_log README.md --format regex --pattern (?P<time>.*)", 1, "there is no rule 'cards' for masking"),
        ({"LOG_MASK_PATTERNS": '["("]'}, "check", 1, "cannot be a rule for masking log lines (missing ): ()"),
        ({"LOG_MASK_PATTERNS": "c-[0-9]+"}, "check", 1, "write a JSON list of regexes"),
        ({"LOG_MASK_PATTERNS": '{"c": 1}'}, "check", 1, "write a JSON list of regexes"),
        ({"LOG_MASK_PATTERNS": "[1]"}, "etl_status", 1, "write a JSON list of regexes"),
        ({"GITHUB_TOKEN": ""}, "etl_extract", 1, "GITHUB_TOKEN is empty"),
        ({"GITHUB_TOKEN_FILE": "/nowhere/token"}, "etl_status", 1, "cannot be read"),
        ({"CASSANDRA_CONTACT_POINTS": "127.0.0.1", "CASSANDRA_PORT": "9"}, "init_log_store", 1, "and CASSANDRA_TLS_CA.\n"),
    ],
)
def test_a_setting_that_cannot_work_is_one_sentence(var: Path, env: dict[str, str], words: str, status: int, sentence: str) -> None:
    done = manage(var, *words.split(), **env)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_an_enterprise_servers_graphql_lies_beside_its_rest(var: Path) -> None:
    words = ("shell", "--no-imports", "-c", "from django.conf import settings; print(settings.GITHUB_GRAPHQL_URL)")
    assert manage(var, *words, GITHUB_API_URL="https://github.example/api/v3").stdout.strip() == "https://github.example/api/graphql"
    assert manage(var, *words, GITHUB_API_URL="https://api.github.com").stdout.strip() == "https://api.github.com/graphql"


def test_no_tables_is_one_sentence(tmp_path: Path) -> None:
    done = manage(tmp_path, "etl_status")
    assert (done.returncode, "run `python manage.py migrate`" in done.stderr) == (1, True)


def test_an_unreadable_log_file_fails_its_stage_with_a_sentence(var: Path, tmp_path: Path) -> None:
    manage(var, "add_log_source", "nothing", "--service", "billing", "--path", str(tmp_path / "none*.log"), "--format", "json")
    done = manage(var, "etl_extract", "--source", "nothing")
    assert done.returncode == 1
    assert "none*.log" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_pipeline_script_exits_by_the_stage_that_failed(var: Path) -> None:
    environment = {name: value for name, value in {**os.environ, **EMPTY}.items() if value} | {
        "CALLCENTERSITE_VAR": str(var),
        "PYTHON": sys.executable,
    }
    done = subprocess.run([settings.BASE_DIR / "scripts/run_etl_pipeline.sh"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_reports_are_json_for_machines(var: Path) -> None:
    report = json.loads(manage(var, "dora_report", "--service", "billing", "--from", "2026-01-01", "--to", "2026-02-01", "--format", "json").stdout)
    [period] = report["periods"]
    assert period["change_lead_time"]["p50"] is None
    assert period["quality_flags"] == ["not_collected"]
    assert isinstance(json.loads(manage(var, "etl_status", "--json").stdout)["sources"], list)
