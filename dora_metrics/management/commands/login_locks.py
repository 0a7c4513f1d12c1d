"""login_locks list | unlock NAME | unlock --address ADDRESS | unlock --all: who may not log in for a while, and how to end that."""

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dora_metrics.display import minute_text
from dora_metrics.lockout import lock_time
from dora_metrics.management.arguments import add_json_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import LoginAttempts


class Command(BaseCommand):
    help = "Show the failed logins that count now, or forget them, so that their owners may log in again. Exit status: 0, or 2 for wrong arguments."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["list", "unlock"], help="list: show the failed logins that count now; unlock: forget them")
        parser.add_argument("name", nargs="?", metavar="NAME", help="unlock: the account that may log in again, from everywhere")
        parser.add_argument("--address", metavar="ADDRESS", help="unlock: the address, as `list` shows it, from which people may log in again")
        parser.add_argument("--all", action="store_true", help="unlock: forget all failed logins")
        add_json_argument(parser, "print JSON: the failed logins that count now, or were forgotten")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = {"name": options["name"], "address": options["address"]}
        filters = {field: value for field, value in chosen.items() if value}
        if options["action"] == "list":
            if filters or options["all"]:
                raise UsageError(_("list takes no name: it shows every failed login that counts now"))
            self._show(_counting(), is_json=options["json"])
            return
        if bool(filters) == options["all"]:
            raise UsageError(_("say what to unlock: login_locks unlock NAME, --address ADDRESS or --all"))
        rows = _counting().filter(**filters)
        shown = [_row(one) for one in rows]
        rows.update(failures=0, failed_at=None)
        if options["json"]:
            self.write_json(shown)
        else:
            count = len(shown)
            sentence = ngettext("%(count)d row of failed logins is forgotten", "%(count)d rows of failed logins are forgotten", count)
            self.stdout.write(sentence % {"count": count} if count else _("no such login has failed in the last minutes: nothing to unlock"))

    def _show(self, rows: QuerySet[LoginAttempts], *, is_json: bool) -> None:
        if is_json:
            self.write_json([_row(one) for one in rows])
            return
        for one in rows:
            values = {"name": one.name, "address": one.address, "failures": one.failures, "time": minute_text(one.failed_at) if one.failed_at else ""}
            self.stdout.write(_("%(name)s  from %(address)s  %(failures)d failed, last at %(time)s") % values)
        if not rows:
            self.stdout.write(_("no login has failed in the last minutes"))


def _counting() -> QuerySet[LoginAttempts]:
    return LoginAttempts.objects.filter(failed_at__gt=now() - lock_time()).order_by("name", "address")


def _row(one: LoginAttempts) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "address": one.address,
        "failures": one.failures,
        "failed_at": one.failed_at.isoformat() if one.failed_at else None,
    }
