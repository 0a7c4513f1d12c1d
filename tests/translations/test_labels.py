"""The labels of our models and the help of our commands follow the language."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, override

from callcentersite.translated_labels import labels
from dora_metrics.management.base_command import help_texts
from dora_metrics.management.commands.dora_report import Command
from etl_tasks.models import ETLRun, Source


def test_the_labels_of_models_are_translated_when_they_are_shown() -> None:
    field = ETLRun._meta.get_field("logical_date")
    assert isinstance(ETLRun._meta.verbose_name, Promise)
    assert isinstance(field.verbose_name, Promise)
    assert isinstance(field.help_text, Promise)
    status: Any = ETLRun._meta.get_field("status")
    assert all(isinstance(label, Promise) for _value, label in status.choices)


def test_the_plural_of_a_model_is_translated_even_if_django_made_it() -> None:
    with override("es"):
        assert (str(Source._meta.verbose_name), str(Source._meta.verbose_name_plural)) == ("fuente", "fuentes")
        assert str(ETLRun._meta.verbose_name_plural) == "ejecuciones ETL"


def test_a_label_stays_equal_to_its_english_text_so_that_no_migration_is_made() -> None:
    assert Source._meta.get_field("path").help_text == str(gettext_lazy("log source: a glob of the files"))


def test_the_catalogs_get_every_label_and_help_text() -> None:
    texts = {text for text, _where in labels()}
    assert {"ETL run", "log source: a glob of the files", "logical date"} <= texts
    found = list(help_texts(Command()))
    assert any("metrics" in text for text in found)
    assert not any("traceback" in text for text in found)  # Django's own options are Django's to translate
