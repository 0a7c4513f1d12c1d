"""The message of an error: in the reader's language where a person reads it, in English where it is stored."""

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import override

from dora_metrics.models import Service
from etl_tasks import inline, ledger
from etl_tasks.errors import reason_text
from etl_tasks.models import DeadLetter, Source
from etl_tasks.pipeline import SourceBusy, run_source
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.known_formats import format_of


def test_the_reason_against_a_format_is_in_the_language_of_the_reader_and_stored_in_english() -> None:
    with override("es"), pytest.raises(ValueError) as refused:  # noqa: PT011 (the sentence is compared below)
        format_of(FormatOptions("json", pattern="x"))
    assert str(refused.value) == "the format json has no pattern: leave it empty, or choose one of python, log4j, regex"
    assert reason_text(refused.value) == str(refused.value)
    with override("es"):
        assert reason_text(refused.value) == "el formato json no tiene patrón: déjelo vacío, o elija uno de python, log4j, regex"


def test_an_error_without_a_template_keeps_its_text() -> None:
    assert reason_text(ValueError("as it is")) == "as it is"
    assert reason_text(ValueError()) == ""


@pytest.mark.django_db
def test_a_form_refuses_settings_in_the_language_of_the_reader() -> None:
    source = Source(
        name="logs", service=Service.objects.create(name="shop"), kind="logs", path="/tmp/x/*.log", log_format="json", log_time_zone="Mars"
    )
    with override("es"), pytest.raises(ValidationError) as refused:
        source.full_clean()
    assert "'Mars' no es una zona horaria IANA" in refused.value.messages[0]


@pytest.mark.django_db
def test_a_stage_that_fails_is_stored_in_english_whatever_language_the_process_has(tmp_path: Path) -> None:
    source = Source.objects.create(
        name="logs", service=Service.objects.create(name="shop"), kind="logs", path=f"{tmp_path}/*.log", log_format="json", log_time_zone="Mars"
    )
    run = ledger.open_run(source, trigger="shell")
    assert run
    with override("es"), pytest.raises(inline.StageFailed):
        inline.run_remaining_stages(run.pk)
    run.refresh_from_db()
    assert run.error == DeadLetter.objects.get().error
    assert "is not an IANA time zone" in run.error


@pytest.mark.django_db
def test_a_busy_source_says_so_in_the_language_of_the_reader() -> None:
    source = Source.objects.create(name="shop", service=Service.objects.create(name="shop"), kind="github", repository="acme/shop")
    ledger.open_run(source, trigger="shell")
    with override("es"), pytest.raises(SourceBusy, match="shop tiene una ejecución en curso: consulte etl_status"):
        run_source("shop")
