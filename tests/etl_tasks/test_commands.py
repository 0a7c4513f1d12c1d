"""A command that fails prints one line without a traceback and exits with the status that docs/commands.md lists."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.waiting import wait_until

EMPTY = {
    "DATABASE_URL": "",
    "CELERY_BROKER_URL": "",
    "CASSANDRA_CONTACT_POINTS": "",
    "GITHUB_API_URL": "http://127.0.0.1:9",
    "GITHUB_GRAPHQL_URL": "",
    "ETL_BACKOFF_SECONDS": "0",
    "ETL_BACKOFF_MAX_SECONDS": "0",
}

pytestmark = pytest.mark.slow
NUMBERS = ("dora_report", "dora_export metrics", "dora_explain billing change_lead_time 2026-01", "recompute_metrics")


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v")
    assert manage(folder, "migrate", "--verbosity", "0").returncode == 0
    assert manage(folder, "add_service", "billing", "--repository", "acme/billing").returncode == 0
    return folder


def environment_of(var: Path, **env: str) -> dict[str, str]:
    given = {**os.environ, **EMPTY, **env, "CALLCENTERSITE_VAR": str(var), "PYTHON": sys.executable}
    return {name: value for name, value in given.items() if value}


def manage(var: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, cwd=settings.BASE_DIR, env=environment_of(var, **env), capture_output=True, text=True, check=False)


def pipeline(var: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(settings.BASE_DIR / "scripts/run_etl_pipeline.sh"), *words]
    return subprocess.run(command, env=environment_of(var, **env), capture_output=True, text=True, check=False)


# Run all commands in one process, because most of a command's time is start-up.
MANY = """
import contextlib, io, json, shlex, sys
sys.argv = ["manage.py"]
import os; os.environ["DJANGO_SETTINGS_MODULE"] = "callcentersite.settings"
from callcentersite.command_errors import execute
done = {}
for line in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = execute(["manage.py", *shlex.split(line)])
        except SystemExit as exc:
            status = exc.code
        except BaseException as exc:
            status = repr(exc)
    done[line] = status, out.getvalue(), err.getvalue()
json.dump(done, sys.stdout)
"""


@pytest.fixture(scope="module")
def refused(var: Path) -> dict[str, tuple[int, str, str]]:
    lines = json.dumps([words for words, _, _ in WRONG])
    command = [sys.executable, "-c", MANY]
    done = subprocess.run(command, input=lines, cwd=settings.BASE_DIR, env=environment_of(var), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def assert_one_error(stderr: str, sentence: str) -> None:
    assert "Traceback" not in stderr
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, stderr
    assert sentence in errors[0]
    assert not [word for word in ("UsageError", "CommandError", " b'", "re2.cc", "\x1b") if word in stderr]


WRONG = [
    ("add_service 'a/b' --repository acme/billing", 2, "name: 'a/b' cannot be a name: use letters"),
    ("add_service billing --repository billing", 2, "write it as owner/name"),
    ("add_service billing --repository acme/billing --production (", 2, "is not a regular expression"),
    ("add_service billing --repository acme/billing --deployments jenkins", 2, "invalid choice"),
    ("add_service billing --repository acme/billing --log-error-share 101", 2, "101 is not a percentage"),
    ("add_service billing --repository acme/billing --log-error-share nan", 2, "nan is not a percentage"),
    ("add_service billing --repository acme/billing --log-minute-events 0", 2, "greater than or equal to 1"),
    ("add_service billing --repository acme/billing --log-bad-minutes 0", 2, "greater than or equal to 1"),
    ("add_service billing --repository acme/billing --log-good-minutes 1441", 2, "less than or equal to 1440"),
    ("add_service billing", 2, "--repository"),
    ("add_service billing --repository acme/billing --every 15", 2, "write it as 15m, 1h or nightly"),
    ("add_service billing --repository acme/billing --every 1m", 2, "write at least 5 minutes"),
    ("add_log_source x --service billing --path *.log --format json --every 25h", 2, "less than or equal to 1440"),
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
    ("add_log_source x --service billing --path *.log --format json --time-zone Mars", 2, "is not an IANA time zone"),
    ("add_log_source x --service billing --path *.log --format json --field message", 2, "write it as message=text"),
    ("add_log_source x --service billing --path *.log --format json --field colour=c", 2, "no field 'colour'"),
    ("add_log_source x --service billing --path *.log --format json --deploy-pattern (", 2, "is not a regular expression"),
    ("add_log_source x --service billing --path *.none --format auto", 2, "no file matches"),
    ("add_log_source x --service billing --path README.md --format auto", 2, "of a known format: name the format with --format"),
    ("add_log_source x --service billing --path *.log --format auto --pattern x", 2, "name it with --format"),
    ("etl_preview_log *.none", 1, "No file matches"),
    ("etl_preview_log README.md", 1, "name its format with --format"),
    ("etl_preview_log README.md --format json", 1, "could be read as json"),
    ("etl_preview_log README.md --format regex --pattern (", 2, "is not a regular expression"),
    ("etl_preview_log README.md --source nobody", 2, "there is no log source 'nobody'"),
    ("etl_preview_log README.md --format xml", 2, "invalid choice"),
    ("etl_run --source nobody", 4, "there is no source 'nobody'"),
    ("etl_run --since yesterday", 4, "write it as 2026-02-28"),
    ("etl_run --since 2026-02-01 --until 2026-01-01", 4, "--until 2026-01-01 is not after --since 2026-02-01"),
    ("etl_run", 1, "the broker cannot be reached"),
    ("etl_extract --source nobody", 2, "there is no source 'nobody'"),
    ("etl_extract --run 99", 2, "there is no run 99"),
    ("etl_transform --run 99", 2, "there is no run 99"),
    ("etl_load --run 99", 2, "there is no run 99"),
    ("etl_status --run 99", 2, "there is no run 99"),
    ("check_source nobody", 2, "there is no source 'nobody'"),
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
    ("nosuchcommand", 2, "there is no command 'nosuchcommand'"),
    ("dora_reprot", 2, "did you mean 'dora_report'?"),
    ("dora_report '\x1b[2J'", 2, r"unrecognized arguments: \x1b[2J"),
    ("dora_report --service '\x1b[2J'", 2, r"there is no service '\x1b[2J'"),
    ("dora_report --service 'a\nb'", 2, "there is no service"),
    ("dora_report --service '\udcff'", 2, "is not UTF-8"),
    ("dora_report --service ''", 2, "there is no service ''"),
    ("dora_report --environment ''", 2, "was never deployed to ''"),
    ("dora_report --environment moon", 2, "was never deployed to 'moon'"),
    ("dora_report --from ''", 2, "is not a valid date"),
    ("dora_report --from 9999-12-31", 2, "is too far away"),
    ("dora_report --to 0001-01-01", 2, "is too far away"),
    ("dora_export metrics --environment ''", 2, "was never deployed to ''"),
    ("dora_export changes --environment ''", 2, "are of metrics"),
    ("dora_export changes --to 9999-12-31", 2, "is too far away"),
    ("dora_export changes --from 2026-02-01 --to 2026-02-01", 2, "the period would end before it starts"),
    ("dora_explain nobody change_lead_time 2026-01", 2, "there is no service 'nobody'"),
    ("dora_explain billing speed 2026-01", 2, "invalid choice"),
    ("dora_explain billing change_lead_time 2026-13", 2, "2026-13"),
    ("dora_explain billing change_lead_time ''", 2, "''"),
    ("dora_explain billing change_lead_time 0001-01-01", 2, "0001-01-01"),
    ("dora_explain billing change_lead_time 9999-12", 2, "9999-12"),
    ("dora_explain billing change_lead_time 99999999999999999999-W01", 2, "W01"),
    ("dora_explain billing change_lead_time 2026-01 --environment ''", 2, "was never deployed to ''"),
    ("recompute_metrics --service nobody", 2, "there is no service 'nobody'"),
    ("recompute_metrics --from 2026-02-01 --to 2026-01-01", 2, "the period would end before it starts"),
    ("recompute_metrics --from 0001-01-01", 2, "is too far away"),
    ("api_token create ''", 2, "say whose token"),
    ("api_token disable nobody", 2, "there is no token 'nobody'"),
    ("api_token list somebody", 2, "list takes no name"),
    ("etl_run --since 0001-01-01", 4, "'0001-01-01' is too far away: give a date from 1970-01-01 to 2999-12-31"),
    ("etl_run --until 9999-12-31", 4, "is too far away"),
    ("etl_run --since ''", 4, "is not a valid date"),
    ("etl_run --source ''", 4, "there is no source ''"),
    ("etl_run --colour red", 4, "unrecognized arguments"),
    ("etl_status --run 99999999999999999999", 2, "is not an id"),
    ("etl_status --run 0", 2, "is not an id"),
    ("etl_status --run -1", 2, "is not an id"),
    ("etl_status --run ''", 2, "is not an id"),
    ("etl_status --run one", 2, "is not an id"),
    ("etl_extract --run 99999999999999999999", 2, "is not an id"),
    ("etl_extract --source ''", 2, "there is no source ''"),
    ("etl_extract --run 1 --source billing", 2, "leave --source out"),
    ("etl_transform --run 0", 2, "is not an id"),
    ("etl_load --run one", 2, "is not an id"),
    ("etl_load --colour red", 2, "unrecognized arguments"),
    ("dead_letters show 99999999999999999999", 2, "is not an id"),
    ("dead_letters list --source ''", 2, "there is no source ''"),
    ("dead_letters list --stage ''", 2, "invalid choice"),
    ("dead_letters discard", 2, "say which letters"),
    ("check_source ''", 2, "there is no source ''"),
    ("check_source", 2, "the following arguments are required: NAME"),
    ("add_service '' --repository acme/billing", 2, "name: This field cannot be blank"),
    ("add_service billing --repository ''", 2, "write it as owner/name"),
    ("add_service billing --repository acme/billing --look-back 99999999999999999999", 2, "87840"),
    ("add_service billing --repository acme/billing --look-back -1", 2, "greater than or equal to"),
    ("add_service billing --repository acme/billing --log-error-share 1e999", 2, "inf is not a percentage"),
    ("add_service billing --repository acme/billing --log-minute-events 99999999999999999999", 2, "less than or equal to"),
    ("add_service billing --repository acme/billing --production ''", 2, "cannot be blank"),
    ("add_service billing --repository acme/billing --workflow '['", 2, "is not a regular expression that RE2 reads (missing ]: [)"),
    ("add_service billing --repository acme/billing --incident-label '(?=x)'", 2, "is not a regular expression"),
    ("add_service billing --repository acme/billing --hotfix '*'", 2, "is not a regular expression"),
    ("add_log_source x --service billing --path x --format regex --pattern '('", 2, "is not a regular expression that RE2 reads (missing ): ()"),
    ("add_log_source '' --service billing --path x --format json", 2, "name: "),
    ("add_log_source x --service '' --path x --format json", 2, "there is no service ''"),
    ("add_log_source x --service billing --path x --format ''", 2, "invalid choice"),
    ("etl_preview_log ''", 2, "PATH is empty"),
    ("etl_preview_log README.md --source ''", 2, "there is no log source ''"),
    ("etl_preview_log README.md --format json --time-zone Mars", 2, "is not an IANA time zone"),
    ("log_events --source nobody", 2, "there is no log source 'nobody'"),
    ("log_events --source ''", 2, "there is no log source ''"),
    ("log_events --source billing --limit one", 2, "invalid int value"),
    ("log_events --source billing --limit -1", 2, "--limit is negative"),
    ("log_events", 2, "--source"),
    # names that are nearly right
    ("etl_run --source biling", 4, "there is no source 'biling'; did you mean 'billing'?"),
    ("etl_run --sorce billing", 4, "unrecognized arguments: --sorce billing; did you mean --source?"),
    ("check_source Billing2", 2, "there is no source 'Billing2'; did you mean 'billing'?"),
    ("dead_letters list --source biling", 2, "did you mean 'billing'?"),
    ("dead_letters reply", 2, "invalid choice: 'reply'; did you mean 'replay'?"),
    ("delete_service biling", 2, "there is no service 'biling'; did you mean 'billing'?"),
    ("delete_source biling", 2, "there is no source 'biling'; did you mean 'billing'?"),
    ("dora_report --service biling", 2, "there is no service 'biling'; did you mean 'billing'?"),
    ("dora_report --environment producton", 2, "billing was never deployed to 'producton'; did you mean 'production'?"),
    ("dora_report --format jsn", 2, "did you mean 'json'?"),
    ("dora_export change", 2, "did you mean 'changes'?"),
    ("dora_explain billing lead_time 2026-01", 2, "invalid choice: 'lead_time'; did you mean 'change_lead_time'?"),
    ("recompute_metrics --service biling", 2, "did you mean 'billing'?"),
    ("add_log_source x --service biling --path *.log --format json", 2, "there is no service 'biling'; did you mean 'billing'?"),
    ("add_log_source x --service billing --path *.log --format jsn", 2, "did you mean 'json'?"),
    ("add_log_source x --service billing --path *.log --format json --time-zone Europe/Madird", 2, "did you mean 'Europe/Madrid'?"),
    ("add_source x --service billing --kind githb", 2, "there is no kind 'githb' of source; did you mean 'github'?"),
    ("init_log_store now", 2, "unrecognized arguments"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), WRONG)
def test_wrong_input_is_one_line_and_its_status(refused: dict[str, tuple[int, str, str]], words: str, status: int, sentence: str) -> None:
    found, _, stderr = refused[words]
    assert found == status, stderr
    assert_one_error(stderr, sentence)
    if status in (2, 4):
        assert len(stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("env", "words", "status", "sentence"),
    [
        ({"DATABASE_URL": "mysql://x:y@127.0.0.1:9/z"}, "etl_status", 1, "the database cannot be reached"),
        ({"DATABASE_URL": "mysql://x:y@127.0.0.1:9/z"}, "etl_load", 3, "the database cannot be reached"),
        ({"DATABASE_URL": "postgres://x@y/z"}, "etl_status", 1, "names neither MySQL nor SQLite"),
        ({"DATABASE_URL": "mysql://x:y@127.0.0.1:9/z", "DJANGO_SECRET_KEY": ""}, "etl_status", 1, "DJANGO_SECRET_KEY is empty"),
        ({"ETL_MAX_ATTEMPTS": "three"}, "etl_status", 1, "give a whole number"),
        ({"ETL_TIME_ZONE": "Mars/Olympus"}, "etl_status", 1, "is not an IANA time zone"),
        ({"ETL_TIME_ZONE": "America/Mexico"}, "etl_status", 1, "write, for example, America/Mexico_City"),
        *(({"ETL_TIME_ZONE": "Mars/Olympus"}, words, 1, "is not an IANA time zone") for words in NUMBERS),
        ({"ETL_SCHEDULE": "at night"}, "check", 1, "is not a crontab line"),
        ({"GITHUB_API_URL": "http://github.example"}, "check", 1, "over plain http"),
        ({"LOG_MASK_RULES": "cards"}, "check", 1, "there is no rule 'cards' for masking"),
        ({"LOG_MASK_RULES": "cards"}, "etl_preview_log README.md --format regex --pattern (?P<time>.*)", 1, "there is no rule 'cards' for masking"),
        ({"LOG_MASK_PATTERNS": '["("]'}, "check", 1, "cannot be a rule for masking log lines (missing ): ()"),
        ({"LOG_MASK_PATTERNS": "c-[0-9]+"}, "check", 1, "write a JSON list of regexes"),
        ({"LOG_MASK_PATTERNS": '{"c": 1}'}, "check", 1, "write a JSON list of regexes"),
        ({"LOG_MASK_PATTERNS": "[1]"}, "etl_status", 1, "write a JSON list of regexes"),
        ({"GITHUB_TOKEN": ""}, "etl_extract", 1, "GITHUB_TOKEN is empty"),
        ({"GITHUB_TOKEN_FILE": "/nowhere/token"}, "etl_status", 1, "cannot be read"),
        ({"CASSANDRA_CONTACT_POINTS": "127.0.0.1", "CASSANDRA_PORT": "9"}, "init_log_store", 1, "and CASSANDRA_TLS_CA."),
    ],
)
def test_a_setting_that_cannot_work_is_one_sentence(var: Path, env: dict[str, str], words: str, status: int, sentence: str) -> None:
    done = manage(var, *words.split(), **env)
    assert done.returncode == status, done.stderr
    if words == "check":
        assert sentence in done.stderr
    else:
        assert_one_error(done.stderr, sentence)


def test_a_credential_that_is_not_set_here_is_a_warning_with_the_one_that_was_meant(var: Path) -> None:
    done = manage(var, "add_service", "other", "--repository", "acme/other", "--credential", "ACMEE", GITHUB_TOKEN_ACME="x")
    assert done.returncode == 0
    assert done.stderr == "warning: the credential 'ACMEE' is not in this environment; did you mean 'ACME'?\n"
    missing = manage(var, "check_source", "other", GITHUB_TOKEN_ACME="x")
    assert "the source's credential ACMEE is not in the environment (did you mean ACME?)" in missing.stdout
    assert manage(var, "delete_service", "other", "--yes").returncode == 0


def test_every_command_with_results_for_programs_prints_json(var: Path) -> None:
    """One JSON value on standard output, also if something needs a person."""
    for words in ("api_token list", "check_source billing", "dead_letters list", "delete_service billing", "doctor", "recompute_metrics", "etl_load"):
        done = manage(var, *words.split(), "--json")
        assert json.loads(done.stdout) is not None, words
    created = json.loads(manage(var, "api_token", "create", "grafana", "--json").stdout)
    assert (created["name"], created["is_enabled"], len(created["token"]) > 20) == ("grafana", True, True)
    assert json.loads(manage(var, "api_token", "disable", "grafana", "--json").stdout)["is_enabled"] is False


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
    assert_one_error(done.stderr, "none*.log")


def test_the_pipeline_script_exits_by_the_stage_that_failed(var: Path) -> None:
    done = pipeline(var)
    assert done.returncode == 1, done.stderr
    assert_one_error(done.stderr, "extract failed: ")


def test_the_pipeline_script_prints_each_error_once(var: Path) -> None:
    manage(var, "add_log_source", "nothing", "--service", "billing", "--path", str(var / "none*.log"), "--format", "json")
    done = pipeline(var, GITHUB_TOKEN="")
    assert done.returncode == 1
    assert_one_error(done.stderr, "GITHUB_TOKEN is empty")
    assert [(done.stdout + done.stderr).count(reason) for reason in ("GITHUB_TOKEN is empty", "none*.log")] == [1, 1]
    away = pipeline(var, DATABASE_URL="mysql://x:y@127.0.0.1:9/z")
    assert away.returncode == 1
    assert_one_error(away.stderr, "the database cannot be reached")


def test_the_pipeline_script_refuses_arguments_that_it_would_ignore(var: Path) -> None:
    done = pipeline(var, "--source", "billing")
    assert done.returncode == 4
    assert_one_error(done.stderr, "takes no arguments")


def heed_ctrl_c() -> None:
    """Restore SIGINT's default action. A shell starts background jobs, perhaps this test run, with SIGINT ignored, and children inherit this."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_command_that_is_interrupted_says_so_and_exits_with_130(var: Path) -> None:
    code = "import time; print('begun', flush=True); time.sleep(60)"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment_of(var), text=True, preexec_fn=heed_ctrl_c, **pipes) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "begun\n"
        shell.send_signal(signal.SIGINT)
        _, stderr = shell.communicate(timeout=30)
    assert (shell.returncode, stderr) == (130, "error: interrupted\n")


def is_ready(group: int) -> bool:
    """Return whether the script's awk filter for error lines is running in this process group. The filter ignores SIGINT."""
    fields = [stat.read_text().partition("(")[2].rpartition(")") for stat in Path("/proc").glob("[0-9]*/stat")]
    return any("awk" in name and int(rest.split()[2]) == group for name, _, rest in fields)


def test_the_pipeline_script_ends_when_it_is_interrupted(var: Path, tmp_path: Path) -> None:
    """A terminal sends SIGINT to the script and its children on Ctrl-C."""
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport sys, time\ntry:\n    open({str(tmp_path / 'begun')!r}, 'a').write(sys.argv[2])\n"
        "    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('error: interrupted', file=sys.stderr)\n    sys.exit(130)\n"
    )
    python.chmod(0o755)
    environment = {**environment_of(var), "PYTHON": str(python)}
    command = [str(settings.BASE_DIR / "scripts/run_etl_pipeline.sh")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_ctrl_c) as script:
        wait_until(lambda: (tmp_path / "begun").exists() and (tmp_path / "begun").read_text() and is_ready(script.pid))
        os.killpg(script.pid, signal.SIGINT)
        _, stderr = script.communicate(timeout=30)
    assert (script.returncode, stderr, (tmp_path / "begun").read_text()) == (130, "error: interrupted\n", "etl_extract")


@pytest.mark.parametrize(
    ("redirection", "status", "stderr"), [("| true", 0, ""), (">&-", 0, ""), ("> /dev/full", 1, "error: the output: No space left on device\n")]
)
def test_output_that_nobody_reads_ends_a_command_without_a_traceback(var: Path, redirection: str, status: int, stderr: str) -> None:
    script = f"set -o pipefail; {shlex.quote(sys.executable)} manage.py api_token list {redirection}"
    done = subprocess.run(["bash", "-c", script], cwd=settings.BASE_DIR, env=environment_of(var), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, stderr)


def test_the_documentation_and_the_commands_agree_on_exit_statuses(var: Path) -> None:
    table = (settings.BASE_DIR / "docs/commands.md").read_text()
    names = [path.stem for app in ("etl_tasks", "dora_metrics") for path in (settings.BASE_DIR / app / "management/commands").glob("[a-z]*.py")]
    assert [name for name in names if f"`{name}`" not in table] == []


def test_reports_are_json_for_machines(var: Path) -> None:
    report = json.loads(manage(var, "dora_report", "--service", "billing", "--from", "2026-01-01", "--to", "2026-02-01", "--format", "json").stdout)
    [period] = report["periods"]
    assert period["change_lead_time"]["p50"] is None
    assert period["quality_flags"] == ["not_collected"]
    assert isinstance(json.loads(manage(var, "etl_status", "--json").stdout)["sources"], list)
