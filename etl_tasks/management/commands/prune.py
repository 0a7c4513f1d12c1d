"""prune [--dry-run]: delete what is older than the settings ETL_KEEP_… say."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from dora_metrics.management.arguments import add_json_argument
from dora_metrics.management.base_command import BaseCommand
from etl_tasks import retention
from etl_tasks.retention import TABLES, Table
from log_store.store import LogStoreUnavailable


class Command(BaseCommand):
    help = (
        "Delete staged pages, runs, closed dead letters and more when they are old. The settings ETL_KEEP_… say after how many days; facts and "
        "metrics stay. With beat and a worker this is done each night. Exit status: 0; 1 if some could not be deleted; 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="delete nothing; print how many rows would be deleted")
        add_json_argument(parser, "print the counts as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            counts = retention.count_old()
        except LogStoreUnavailable as exc:
            raise CommandError(str(exc), returncode=1) from exc
        outcome = retention.Outcome(counts) if options["dry_run"] else self._prune(counts)
        if options["json"]:
            tables = [{"table": table.name, "setting": table.setting, "days": table.days, "rows": outcome.deleted[table.name]} for table in TABLES]
            self.write_json({"is_dry_run": options["dry_run"], "tables": tables, "failed": outcome.failed})
        else:
            for table in TABLES:
                self.stdout.write(_line(table, outcome.deleted[table.name], is_dry_run=options["dry_run"]))
        if outcome.failed:
            names = ", ".join(str(table.label) for table in TABLES if table.name in outcome.failed)
            sentence = _("not everything old was deleted (%(names)s): the log says why; call the command again, it continues where it stopped")
            raise CommandError(sentence % {"names": names}, returncode=1)

    def _prune(self, counts: dict[str, int]) -> retention.Outcome:
        with self.live_display() as display:
            items = {table.name: display.add(str(table.label), total=counts[table.name]) for table in TABLES if counts[table.name]}

            def report(table: Table, count: int) -> None:
                if table.name in items:
                    items[table.name].advance(count)

            return retention.prune(report=report)


def _line(table: Table, count: int, *, is_dry_run: bool) -> str:
    number = number_format(count, use_l10n=True, force_grouping=True)
    values = {"label": table.label, "count": number, "setting": table.setting, "days": getattr(settings, table.setting)}
    if not table.days:
        return _("%(label)s: kept for ever (%(setting)s=0)") % values
    if is_dry_run:
        return _("%(label)s: %(count)s would be deleted (%(setting)s=%(days)s)") % values
    return _("%(label)s: %(count)s deleted (%(setting)s=%(days)s)") % values
