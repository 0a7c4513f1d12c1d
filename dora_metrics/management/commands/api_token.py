"""api_token create NAME | list | disable NAME: manage the tokens of programs that read the API."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from dora_metrics.display import minute_text
from dora_metrics.management.arguments import add_json_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import ApiToken
from dora_metrics.name_suggestions import suggestion


class Command(BaseCommand):
    help = "Create, list or disable the tokens with which programs read the API. Exit status: 0, or 2 for wrong arguments."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            choices=["create", "list", "disable"],
            help="create: print a new token, which is shown only this once; list: show all tokens; disable: switch one off",
        )
        parser.add_argument("name", nargs="?", metavar="NAME", help="create, disable: name of the token, for example the program that uses it")
        add_json_argument(parser, "print JSON: the tokens, or the one that was created (with its secret) or disabled")

    def handle(self, *args: Any, **options: Any) -> None:
        name = (options["name"] or "").strip()
        match options["action"]:
            case "list":
                if name:
                    raise UsageError(_("list takes no name: it shows every token"))
                self._list(is_json=options["json"])
            case "create":
                self._create(_required(name, "create"), is_json=options["json"])
            case "disable":
                self._disable(_required(name, "disable"), is_json=options["json"])

    def _create(self, name: str, *, is_json: bool) -> None:
        try:
            with transaction.atomic():
                row, token = ApiToken.create(name)
        except ValidationError as exc:
            raise UsageError.from_validation(exc) from exc
        except IntegrityError:
            raise UsageError(_("there is a token %(name)r already: choose another name") % {"name": name}) from None
        if is_json:
            self.write_json({**token_row(row), "token": token}, indent=None)
            return
        # Only the token goes to standard output, so that a script can capture it.
        self.stderr.write(_("the token %(name)r is shown this once and cannot be read again:") % {"name": name})
        self.stdout.write(token)

    def _list(self, *, is_json: bool) -> None:
        tokens = list(ApiToken.objects.all())
        if is_json:
            self.write_json([token_row(token) for token in tokens])
            return
        for token in tokens:
            state = pgettext("token", "enabled") if token.is_enabled else pgettext("token", "disabled")
            created = _("created %(time)s") % {"time": minute_text(token.created_at)}
            used = _("last used %(time)s") % {"time": minute_text(token.last_used_at)} if token.last_used_at else _("never used")
            self.stdout.write(f"{token.name}  {state}  {created}  {used}")
        if not tokens:
            self.stdout.write(_("no tokens yet: make one with `api_token create NAME`"))

    def _disable(self, name: str, *, is_json: bool) -> None:
        if not ApiToken.objects.filter(name=name).update(is_enabled=False):
            known = ApiToken.objects.values_list("name", flat=True)
            meant = suggestion(name, known, otherwise=_("`api_token list` shows them"))
            raise UsageError(_("there is no token %(name)r; %(meant)s") % {"name": name, "meant": meant})
        if is_json:
            self.write_json(token_row(ApiToken.objects.get(name=name)), indent=None)
        else:
            self.stdout.write(_("%(name)s is disabled") % {"name": name})


def token_row(token: ApiToken) -> dict[str, Any]:
    """Return the token as the JSON object that `--json` prints. The secret is not stored, so it is not in it."""
    return {
        "name": token.name,
        "is_enabled": token.is_enabled,
        "created_at": token.created_at.isoformat(),
        "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
    }


def _required(name: str, action: str) -> str:
    if not name:
        raise UsageError(_("say whose token: api_token %(action)s NAME") % {"action": action})
    return name
