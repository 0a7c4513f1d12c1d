"""doctor: check every setting, credential and server, and say in words what to do."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dora_metrics.management.arguments import add_json_argument
from dora_metrics.management.base_command import BaseCommand
from etl_tasks.doctor import Area, Finding, Level, examine, worst

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


class Command(BaseCommand):
    help = (
        "Check every setting, credential and server, and say in words what is wrong and what to do. Nothing is stored or changed, and no secret is "
        "printed. Exit status: 0; 1 if something needs a person."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_json_argument(parser, "print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        found: list[Area] = []
        with self.live_display() as display:
            item = display.add(_("checking"))
            for area in examine(lambda name: item.update(note=name)):
                found.append(area)
                if not options["json"]:
                    self._write(area)
        findings = [finding for area in found for finding in area.findings]
        if options["json"]:
            self.write_json(report(found))
        counts = {level: sum(finding.level == level for finding in findings) for level in Level}
        problems = ngettext("%(count)s problem", "%(count)s problems", counts[Level.PROBLEM]) % {"count": counts[Level.PROBLEM]}
        warnings = ngettext("%(count)s warning", "%(count)s warnings", counts[Level.WARNING]) % {"count": counts[Level.WARNING]}
        if not options["json"]:
            self.stdout.write(f"{problems}, {warnings}, " + _("%(count)s ok") % {"count": counts[Level.OK]})
        if counts[Level.PROBLEM]:
            where = _('"findings" says what') if options["json"] else _("the lines above say what")
            needs = ngettext("%(count)s thing needs a person", "%(count)s things need a person", counts[Level.PROBLEM])
            raise CommandError(f"{needs % {'count': counts[Level.PROBLEM]}}: {where}", returncode=1)

    def _write(self, area: Area) -> None:
        if not area.findings:
            return
        self.stdout.write(area.name)
        for finding in area.findings:
            action = f". {finding.action}" if finding.action else ""
            self.write_level(finding, f"{finding.name}: {finding.sentence}{action}")

    def write_level(self, finding: Finding, text: str) -> None:
        level = {Level.OK: _("ok"), Level.WARNING: _("warning"), Level.PROBLEM: _("PROBLEM")}[finding.level]
        self.write_labelled(f"  {level.ljust(8)}", text, colour=COLOURS[finding.level])


def report(areas: list[Area]) -> dict[str, Any]:
    """Return the JSON object of `doctor --json`."""
    findings = [(area.name, finding) for area in areas for finding in area.findings]
    return {
        "checked_at": now().isoformat(),
        "time_zone": settings.ETL_TIME_ZONE,
        "level": worst(finding for _area, finding in findings),
        "findings": [
            {"area": area, "name": finding.name, "level": finding.level, "sentence": finding.sentence, "action": finding.action}
            for area, finding in findings
        ],
    }
