"""etl_preview_log PATH: print the first events of log files as a source would read them, and why other lines cannot be read."""

import os
from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dora_metrics.display import precise_text
from dora_metrics.management.base_command import BaseCommand, UsageError
from etl_tasks.errors import reason_text
from etl_tasks.management import log_format_options
from etl_tasks.management.source_arguments import log_source_named
from etl_tasks.models import Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.allowed_folders import log_roots
from etl_tasks.sources.logs.following import follow
from etl_tasks.sources.logs.format_options import format_options
from etl_tasks.sources.logs.formats.interface import Format
from etl_tasks.sources.logs.formats.known_formats import format_of
from etl_tasks.sources.logs.preview import Reading, count_lines
from log_store.event import LogEvent

EVENTS_SHOWN = 20
UNREAD_SHOWN = 20
MOST_CHARACTERS_SHOWN = 200


class Command(BaseCommand):
    help = (
        "Print the first events of log files as a source would read them, and the lines that cannot be read, with the reason. "
        "Nothing is stored. Exit status: 0; 1 if no event could be read; 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", metavar="PATH", help="a file, or a pattern such as '/var/log/billing/*.log'")
        parser.add_argument("--source", metavar="NAME", help="use the settings of this log source; the other options override them")
        log_format_options.add_format_options(parser, is_required=False)

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["path"].strip():
            raise UsageError(_("PATH is empty: name a file, for example /var/log/billing/app.log"))
        path = os.path.abspath(options["path"])
        log_format_options.check_is_allowed(path)
        source = Source(name="preview", kind=Source.Kind.LOGS)
        if options["source"] is not None:
            source = log_source_named(options["source"])
            if source.kind != Source.Kind.LOGS:
                sentence = _("%(source)s has an adapter of its own, so its lines cannot be previewed here: try check_source %(source)s")
                raise UsageError(sentence % {"source": source})
        options["format"] = options["format"] or source.log_format or log_format_options.AUTO
        try:
            if options["format"] == log_format_options.AUTO:
                guess = log_format_options.guess_format(options, path)
                self.stdout.write(log_format_options.describe_guess(guess))
                self.stdout.write()
                if not guess.read:
                    sentence = _("nothing in %(path)s could be read: name its format with --format") % {"path": path}
                    raise CommandError(sentence, returncode=1)
            follow.paths_of(path, log_roots())
        except FileNotFoundError as exc:
            raise CommandError(str(exc), returncode=1) from exc
        log_format_options.apply_format_options(options, source)
        try:
            log_format = format_of(format_options(source))
        except ValueError as exc:
            raise UsageError(reason_text(exc)) from exc
        self._show(path, source, log_format)

    def _show(self, path: str, source: Source, log_format: Format) -> None:
        counts, time_flags = Counter[str](), Counter[str]()
        unread: list[str] = []
        reading = Reading(path, source, log_format, say=self.stdout.write)
        for where, result in reading:
            if isinstance(result, Good) and not result.is_unparsed:
                counts["read"] += 1
                time_flags[result.fact.extra.get("time_is", "")] += 1
                if counts["read"] <= EVENTS_SHOWN:
                    self.stdout.write(_event_line(result.fact))
                continue
            text, error = (result.data, result.error) if isinstance(result, Bad) else (result.fact.message, result.fact.extra["unparsed"])
            counts["unread"] += 1
            counts["lines unread"] += count_lines(text.encode())
            if counts["unread"] <= UNREAD_SHOWN:
                unread.append(f"{where}: {error} {_short(text)}")
        lines_read = reading.lines - counts["lines unread"]
        events = ngettext("%(count)s event", "%(count)s events", counts["read"]) % {"count": counts["read"]}
        self.stdout.write()
        values = {"read": lines_read, "total": reading.lines, "format": source.log_format, "events": events}
        self.stdout.write(_("%(read)s of %(total)s lines read as %(format)s: %(events)s") % values)
        for flag in sorted(filter(None, time_flags)):
            self.stdout.write(_("%(count)s of them with a time that is %(flag)s") % {"count": time_flags[flag], "flag": flag})
        for line in unread:
            self.stdout.write(_("not read: %(line)s") % {"line": line})
        if counts["unread"] > UNREAD_SHOWN:
            self.stdout.write(_("and %(count)s more places") % {"count": counts["unread"] - UNREAD_SHOWN})
        if not counts["read"]:
            sentence = _("nothing in %(path)s could be read as %(format)s") % {"path": path, "format": source.log_format}
            raise CommandError(sentence, returncode=1)


def _event_line(event: LogEvent) -> str:
    names = ("service", "host", "logger", "method", "path", "status", "duration_ms", "trace_id")
    values = {name: getattr(event, name) for name in names if getattr(event, name) not in ("", None)} | event.extra
    rest = " ".join(f"{name}={_short(str(value))}" for name, value in values.items())
    return f"{precise_text(event.time, time_zone='UTC')} {event.level:8} {_short(event.message)}" + (f"  [{rest}]" if rest else "")


def _short(text: str) -> str:
    """Return the first line, at most MOST_CHARACTERS_SHOWN characters of it, and how many lines follow."""
    first, *more = text[: MOST_CHARACTERS_SHOWN * 10].split("\n")
    shown = first if len(first) <= MOST_CHARACTERS_SHOWN else first[:MOST_CHARACTERS_SHOWN] + "…"
    following = text.count("\n")
    return shown + (ngettext(" (+%(count)s line)", " (+%(count)s lines)", following) % {"count": following} if more else "")
