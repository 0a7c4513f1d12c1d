"""Errors that no command has caught are one line, in the language of the commands."""

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import override

from callcentersite.command_errors import execute
from dora_metrics.management.base_command import UsageError


def test_an_unknown_command_is_named_in_the_language(capsys: pytest.CaptureFixture[str]) -> None:
    with override("es"):
        assert execute(["manage.py", "etl_rum"]) == 2
    assert capsys.readouterr().err == "error: no existe el comando 'etl_rum'; ¿quería decir 'etl_run'?\n"


def test_a_field_that_is_refused_has_its_name_in_the_language() -> None:
    with override("es"):
        assert str(UsageError.from_validation(ValidationError({"log_time_zone": "X", "__all__": "Y"}))) == "zona horaria del registro: X; Y"
