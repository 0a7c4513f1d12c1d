"""Add a kind of source with an adapter and an entry in ETL_ADAPTERS. The adapter and its input file are those of docs/contributing.md."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
import time_machine
from django.conf import settings as project
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from dora_metrics import selectors
from dora_metrics.models import Deployment, Service
from etl_tasks import inline, ledger, pipeline
from etl_tasks.errors import FatalError
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.sources.registry import adapter_of, kinds_with_log_events, labels
from tests.etl_tasks.test_stages import night

pytestmark = pytest.mark.django_db
PAGE = (project.BASE_DIR / "docs" / "contributing.md").read_text()
MODULE = "acme_etl.csv_deployments"
SINCE = "since=2026-02-01T00:00:00+00:00"


def fenced(language: str) -> str:
    """Return the only code block in this language in docs/contributing.md."""
    [block] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return block


@pytest.fixture(scope="module", autouse=True)
def example_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the documented adapter importable."""
    folder = tmp_path_factory.mktemp("package")
    package, _, module = MODULE.partition(".")
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    (folder / package / f"{module}.py").write_text(fenced("python"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture(autouse=True)
def csv_kind(settings):
    settings.ETL_ADAPTERS = {"csv": f"{MODULE}.CsvDeployments"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "deploys.csv"
    file.write_text(fenced("csv"))
    return file


def added(path: Path) -> Source:
    call_command("add_source", "shop-deploys", "--service=shop", "--kind=csv", f"--path={path}", "--option", SINCE, stdout=StringIO())
    return Source.objects.get(name="shop-deploys")


def test_the_documented_adapter_passes_the_linter():
    for check in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *check, "--stdin-filename", "acme_etl/csv_deployments.py", "-"]
        done = subprocess.run(ruff, cwd=project.BASE_DIR, input=fenced("python"), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_documented_command_adds_the_source(path):
    [line] = re.findall(r"^m (add_source .*)$", PAGE, re.MULTILINE)
    call_command(*shlex.split(line.replace("/srv/shop/deploys.csv", str(path))), stdout=StringIO())
    assert Source.objects.get(name="shop-deploys").options == {"since": "2026-02-01T00:00:00+00:00"}


def test_its_deployments_become_a_metric_and_its_bad_record_a_dead_letter(path):
    run = night(added(path))
    assert (run.status, run.extracted, run.loaded, run.dead_lettered) == ("partial", 4, 3, 1)
    assert list(Deployment.objects.order_by("external_id").values_list("external_id", "state")) == [(1, "success"), (2, "failure"), (3, "success")]
    assert DeadLetter.objects.get().error.startswith("Invalid isoformat string")
    service = Service.objects.get(name="shop")
    month = {"start": datetime(2026, 2, 1).date(), "end": datetime(2026, 3, 1).date(), "by": "month", "environment": "production"}
    [february] = selectors.report(service, **month, time_zone="UTC", now=timezone.now())["periods"]
    assert february["deployment_frequency"]["deployments"] == 2


def test_a_second_night_and_a_resumed_one_load_nothing_twice(path):
    source = added(path)
    night(source)
    assert (night(source).loaded, Deployment.objects.count()) == (0, 3)
    run = ledger.open_run(source, trigger="shell")
    assert run
    inline.run_stage(run.pk, "extract")
    ETLRun.objects.filter(pk=run.pk).update(stage="extract")
    inline.run_remaining_stages(run.pk)
    run.refresh_from_db()
    assert (run.status, run.extracted) == ("partial", 4)


def test_its_night_is_opened_beside_those_of_other_kinds(path, sent_runs):
    source = added(path)
    Source.objects.create(name="calls", service=source.service, kind=Source.Kind.LOGS, path="/var/log/*.log", log_format="json")
    with time_machine.travel(datetime(2026, 3, 1, 2, tzinfo=UTC)):
        assert {run.source.name for run in pipeline.open_night(pipeline.local_today())} == {"calls", "shop-deploys"}


def test_form_and_command_check_it_by_its_adapter(path, admin_client):
    service = Service.objects.create(name="shop")
    form = {
        "name": "deploys",
        "service": service.pk,
        "kind": "csv",
        "path": "/srv/deploys.txt",
        "log_time_zone": "UTC",
        "log_fields": "{}",
        "options": "{}",
    }
    page = admin_client.post(reverse("admin:etl_tasks_source_add"), form).content.decode()
    assert "is not a CSV file" in page
    assert "csv: deployments from a CSV file" in page
    assert admin_client.post(reverse("admin:etl_tasks_source_add"), form | {"path": str(path), "is_enabled": "on"}).status_code == 302
    with pytest.raises(CommandError, match="is not a CSV file"):
        call_command("add_source", "other", "--service=shop", "--kind=csv", "--path=/srv/deploys.txt")
    with pytest.raises(CommandError, match="path: a source of kind csv needs it"):
        call_command("add_source", "other", "--service=shop", "--kind=csv")
    assert list(Source.objects.values_list("name", flat=True)) == ["deploys"]
    assert admin_client.get(reverse("admin:etl_tasks_source_changelist")).status_code == 200


def test_check_source_tries_it(path):
    out = StringIO()
    added(path)
    call_command("check_source", "shop-deploys", stdout=out)
    assert "has 4 deployments" in out.getvalue()
    path.write_text("id,commit\n")
    with pytest.raises(CommandError, match="cannot be read as it is set"):
        call_command("check_source", "shop-deploys", stdout=out)
    assert "has no column environment, finished, started, state" in out.getvalue()


def test_a_file_that_is_gone_fails_the_run_with_a_sentence(path):
    source = added(path)
    path.unlink()
    with pytest.raises(inline.StageFailed, match="No such file"):
        night(source)


@pytest.mark.parametrize("kind", ["", "csv2", "GITHUB", "logs "])
def test_a_kind_that_nobody_registered_is_refused_with_a_sentence(kind):
    source = Source(name="deploys", service=Service.objects.create(name="shop"), kind=kind, path="/srv/x.csv")
    refusal = rf"no adapter reads sources of kind '{kind}'; (known: logs, github, csv|did you mean '(logs|github|csv)'\?)"
    with pytest.raises(ValidationError, match=f"{refusal}|cannot be blank"):
        source.full_clean()
    with pytest.raises(FatalError, match=f"deploys: {refusal}"):
        adapter_of(source)


@pytest.mark.parametrize("made_by", ["no.such.module.Adapter", f"{MODULE}.Other"])
def test_an_adapter_that_cannot_be_made_fails_its_own_source_only(path, settings, admin_client, made_by):
    source = added(path)
    settings.ETL_ADAPTERS = {"csv": made_by}
    with pytest.raises(inline.StageFailed, match=r"the adapter of kind csv, .*, cannot be made"):
        night(source)
    with pytest.raises(ValidationError, match="cannot be made"):
        source.full_clean()
    out = StringIO()
    with pytest.raises(CommandError, match="cannot be read as it is set"):
        call_command("check_source", "shop-deploys", stdout=out)
    assert "cannot be made" in out.getvalue()
    act = {"action": "test_connection", "_selected_action": [source.pk]}
    assert "cannot be made" in admin_client.post(reverse("admin:etl_tasks_source_changelist"), act, follow=True).content.decode()
    for page in ("etl_tasks_source_changelist", "etl_tasks_source_add"):
        assert admin_client.get(reverse(f"admin:{page}")).status_code == 200
    assert admin_client.get(reverse("dashboard:logs")).status_code == 200


def test_the_registry_knows_what_people_choose_by_and_whose_records_are_log_events():
    assert labels() == {"logs": "log files", "github": "a GitHub repository", "csv": "deployments from a CSV file"}
    assert kinds_with_log_events() == ["logs"]


def test_what_reads_logs_brings_no_http_client():
    code = """
import django, sys
django.setup()
from etl_tasks import stages
from etl_tasks.models import Source
from etl_tasks.sources.registry import adapter_of
adapter_of(Source(kind="logs"))
print("requests" in sys.modules)
"""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "callcentersite.settings"}
    done = subprocess.run([sys.executable, "-c", code], cwd=project.BASE_DIR, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
