"""api_token create NAME | list | disable NAME: manage the tokens of programs that read the API."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import IntegrityError, transaction

from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import ApiToken


class Command(BaseCommand):
    help = "Create, list or disable the tokens with which programs read the API. Exit status: 0, or 2 for wrong arguments."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            choices=["create", "list", "disable"],
            help="create: print a new token, which is shown only this once; list: show all tokens; disable: switch one off",
        )
        parser.add_argument("name", nargs="?", metavar="NAME", help="create, disable: name of the token, for example the program that uses it")

    def handle(self, *args: Any, **options: Any) -> None:
        name = (options["name"] or "").strip()
        match options["action"]:
            case "list":
                if name:
                    raise UsageError("list takes no name: it shows every token")
                self._list()
            case "create":
                self._create(_required(name, "create"))
            case "disable":
                self._disable(_required(name, "disable"))

    def _create(self, name: str) -> None:
        try:
            with transaction.atomic():
                _, token = ApiToken.create(name)
        except ValidationError as exc:
            raise UsageError.from_validation(exc) from exc
        except IntegrityError:
            raise UsageError(f"there is a token {name!r} already: choose another name") from None
        # Only the token goes to standard output, so that a script can capture it.
        self.stderr.write(f"the token {name!r} is shown this once and cannot be read again:")
        self.stdout.write(token)

    def _list(self) -> None:
        tokens = list(ApiToken.objects.all())
        for token in tokens:
            state = "enabled" if token.is_enabled else "disabled"
            used = f"last used {token.last_used_at:%Y-%m-%d %H:%M} UTC" if token.last_used_at else "never used"
            self.stdout.write(f"{token.name}  {state}  created {token.created_at:%Y-%m-%d}  {used}")
        if not tokens:
            self.stdout.write("no tokens yet: make one with `api_token create NAME`")

    def _disable(self, name: str) -> None:
        if not ApiToken.objects.filter(name=name).update(is_enabled=False):
            raise UsageError(f"there is no token {name!r}: `api_token list` shows them")
        self.stdout.write(f"{name} is disabled")


def _required(name: str, action: str) -> str:
    if not name:
        raise UsageError(f"say whose token: api_token {action} NAME")
    return name
