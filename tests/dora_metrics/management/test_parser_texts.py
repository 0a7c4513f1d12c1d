"""What argparse and Django say about a command line is in the language of the commands."""

import argparse
import inspect

import pytest
from django.core.management.base import BaseCommand as DjangoCommand
from django.utils.translation import override

from dora_metrics.management import parser_texts
from dora_metrics.management.base_command import UsageError
from dora_metrics.management.commands.dora_explain import Command as Explain
from dora_metrics.management.commands.dora_report import Command as Report

ARGPARSE_SOURCE = inspect.getsource(argparse)


@pytest.mark.parametrize("text", parser_texts.ARGPARSE)
def test_argparse_has_each_text(text: str) -> None:
    assert repr(text)[1:-1] in ARGPARSE_SOURCE


def test_every_option_of_django_has_a_translated_help() -> None:
    parser = DjangoCommand().create_parser("manage.py", "command")
    texts = {action.help for action in parser._actions if action.help != argparse.SUPPRESS} - set(parser_texts.ARGPARSE)
    assert texts <= set(parser_texts.DJANGO)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--by"], "argumento --by: se esperaba un argumento"),
        (["--by", "decade"], "argumento --by: opción no válida: 'decade' (elija entre "),
        (["--bye"], "argumentos desconocidos: --bye; ¿quería decir --by?"),
    ],
)
def test_a_wrong_argument_is_explained_in_the_language(words: list[str], sentence: str) -> None:
    with override("es"), pytest.raises(UsageError) as refused:
        Report().create_parser("manage.py", "dora_report").parse_args(words)
    assert sentence in str(refused.value)


def test_a_missing_argument_is_explained_in_the_language() -> None:
    with override("es"), pytest.raises(UsageError, match="faltan estos argumentos"):
        Explain().create_parser("manage.py", "dora_explain").parse_args([])


def test_the_help_is_in_the_language(capsys: pytest.CaptureFixture[str]) -> None:
    with override("es"), pytest.raises(SystemExit):
        Report().create_parser("manage.py", "dora_report").parse_args(["--help"])
    shown = capsys.readouterr().out
    assert shown.startswith("uso: manage.py dora_report")
    assert "muestra esta ayuda y termina" in shown
    for english in ("usage:", "show this help", "Verbosity", "options:"):
        assert english not in shown


def test_other_parsers_keep_their_own_texts() -> None:
    with override("es"):
        with parser_texts.translated_argparse():
            pass
        assert argparse.ArgumentParser(prog="x").format_usage().startswith("usage:")
