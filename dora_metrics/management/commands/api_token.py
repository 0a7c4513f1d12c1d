"""api_token create NAME | list | disable NAME: who may read the API without a session."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import IntegrityError, transaction

from dora_metrics.management.arguments import Command as Base
from dora_metrics.management.arguments import Refusal, not_valid
from dora_metrics.models import ApiToken


class Command(Base):
    help = "Make, list or disable tokens that read the API. Exit status 0, or 2 for bad input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["create", "list", "disable"])
        parser.add_argument("name", nargs="?", metavar="NAME", help="create, disable: who or what reads with it")

    def handle(self, *args: Any, **options: Any) -> None:
        name = (options["name"] or "").strip()
        match options["action"]:
            case "list":
                if name:
                    raise Refusal("list takes no name: it shows every token")
                self._list()
            case "create":
                self._create(_checked(name, "create"))
            case "disable":
                self._disable(_checked(name, "disable"))

    def _create(self, name: str) -> None:
        try:
            with transaction.atomic():
                _, token = ApiToken.create(name)
        except ValidationError as exc:
            raise not_valid(exc) from exc
        except IntegrityError:
            raise Refusal(f"there is a token {name!r} already: take another name") from None
        # The token alone goes to standard output, so that a script can take it from there.
        self.stderr.write(f"the token of {name!r}; it is shown this once and cannot be read again:")
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
            raise Refusal(f"there is no token {name!r}: `api_token list` shows them")
        self.stdout.write(f"{name} is disabled")


def _checked(name: str, action: str) -> str:
    if not name:
        raise Refusal(f"say whose token: api_token {action} NAME")
    return name
