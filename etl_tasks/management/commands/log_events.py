"""log_events --source S [--from T] [--to T]: print events from the log store."""

from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dora_metrics.display import minute_text, precise_text
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.terminal_escaping import printable_json
from etl_tasks.management.source_arguments import log_source_named
from log_store.counts import hour_of
from log_store.event import LogEvent
from log_store.opening import open_log_store
from log_store.search import LEVEL_CHOICES, InvalidQuery, query_of
from log_store.store import LogQuery, LogStore, LogStoreUnavailable, around, event_at, position

EVENTS_PER_READ = 1000


class Command(BaseCommand):
    help = (
        "Print the log events of a source, newest first. TIME is a date or an ISO 8601 time, in ETL_TIME_ZONE unless it has an offset: 2026-02-28, "
        "2026-02-28T01:30 or 2026-02-28T01:30:00+01:00. "
        "Exit status: 0; 1 if the log store does not answer; 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--source", required=True, metavar="NAME", help="name of the source")
        parser.add_argument("--from", dest="start", default="", metavar="TIME", help="first time; default: a day before --to")
        parser.add_argument("--to", dest="end", default="", metavar="TIME", help="end, exclusive; default: now")
        parser.add_argument("--level", default="", metavar="|".join(LEVEL_CHOICES), help="only this level and worse ones")
        parser.add_argument("--contains", default="", metavar="TEXT", help="only events with TEXT in the message, path or trace id, ignoring case")
        parser.add_argument("--limit", type=int, default=100, metavar="N", help="most events to print; 0 prints all; default: 100")
        parser.add_argument("--format", choices=["table", "jsonl"], default="table", help="default: table")
        other = parser.add_mutually_exclusive_group()
        other.add_argument("--counts", action="store_true", help="print the number of events per hour and level instead")
        other.add_argument(
            "--around", metavar="POSITION", help="print an event and its neighbours instead, oldest first; --format jsonl prints positions"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] < 0:
            raise UsageError(_("--limit is negative: 0 prints all events, 100 the newest hundred"))
        if options["counts"] and options["contains"]:
            raise UsageError(_("--counts are kept by level alone: leave --contains out"))
        log_source_named(options["source"])
        try:
            query = query_of(
                options["source"],
                known=[options["source"]],
                start=options["start"],
                end=options["end"],
                level=options["level"],
                contains=options["contains"],
                now=now(),
            )
            self._print(open_log_store(), query, options)
        except InvalidQuery as exc:
            raise UsageError(str(exc)) from exc
        except LogStoreUnavailable as exc:
            raise CommandError(str(exc), returncode=1) from exc

    def _print(self, store: LogStore, query: LogQuery, options: dict[str, Any]) -> None:
        if options["counts"]:
            self._print_counts(store, query, is_json=options["format"] == "jsonl")
            return
        print_event = self._print_json if options["format"] == "jsonl" else self._print_row
        if options["around"]:
            for event in self._around(store, query.source, options["around"]):
                print_event(event)
            return
        left, following = options["limit"] or None, ""
        while True:
            page = store.read(query, after=following, limit=min(left or EVENTS_PER_READ, EVENTS_PER_READ))
            for event in page.events:
                print_event(event)
            following = page.following
            left = left - len(page.events) if left else None
            if not following or left == 0:
                return

    def _around(self, store: LogStore, source: str, event_position: str) -> list[LogEvent]:
        try:
            event = event_at(store, source, event_position)
        except ValueError as exc:
            raise InvalidQuery(_("%(error)s: take it from --format jsonl, or from the event's page") % {"error": exc}) from exc
        if event is None:
            values = {"source": source, "position": event_position}
            raise InvalidQuery(_("%(source)s has no event at %(position)s: it may have expired") % values)
        return around(store, event)

    def _print_row(self, event: LogEvent) -> None:
        where = " ".join(part for part in (event.host, event.logger) if part)
        self.stdout.write_text(f"{precise_text(event.time)} {event.level:<8} {where + ': ' if where else ''}{event.message}")

    def _print_json(self, event: LogEvent) -> None:
        self.stdout.write(printable_json(msgspec.json.encode({"position": position(event), **msgspec.structs.asdict(event)}).decode()))

    def _print_counts(self, store: LogStore, query: LogQuery, *, is_json: bool) -> None:
        for (hour, level), events in sorted(store.counts(query.source, hour_of(query.start), query.end).items()):
            if query.levels and level not in query.levels:
                continue
            row = {"hour": hour.isoformat(), "level": level, "events": events}
            self.stdout.write(msgspec.json.encode(row).decode() if is_json else f"{minute_text(hour)} {level:<8} {events:>10}")
