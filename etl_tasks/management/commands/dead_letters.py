"""dead_letters list|show|replay|discard: list, show, replay or discard dead letters."""

import getpass
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dora_metrics.display import instant_text
from dora_metrics.management.arguments import add_json_argument, id_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from etl_tasks import dead_letters, replay
from etl_tasks.management.source_arguments import check_source_names
from etl_tasks.models import DeadLetter, ETLRun

MOST_LISTED = 200


class Command(BaseCommand):
    help = (
        "List, show, replay or discard dead letters: records, files and stages that could not be processed. A replay works from the staged "
        "copy, in this process. Exit status: 0; 1 if a letter could not be replayed or discarded; 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            choices=["list", "show", "replay", "discard"],
            help="list: open letters; show: all values of a letter; replay: process it again; discard: close it without processing",
        )
        parser.add_argument("ids", nargs="*", type=id_argument, metavar="ID", help="ids of letters")
        parser.add_argument("--stage", choices=ETLRun.Stage.values, help="only letters of this stage")
        parser.add_argument("--source", metavar="NAME", help="only letters of this source")
        parser.add_argument("--all", action="store_true", help="show, replay, discard: every open letter that matches; list: resolved letters, too")
        add_json_argument(parser, "print JSON: the letters, or what became of each letter that was replayed or discarded")

    def handle(self, *args: Any, **options: Any) -> None:
        letters = self.chosen_letters(options)
        match options["action"]:
            case "list":
                self.list(letters, is_json=options["json"])
            case "show":
                self.show(letters, is_json=options["json"])
            case action:
                self.act(action, letters, is_json=options["json"])

    def chosen_letters(self, options: dict[str, Any]) -> QuerySet[DeadLetter]:
        letters = DeadLetter.objects.select_related("source__service", "run", "page").order_by("pk")
        if options["source"] is not None:
            check_source_names([options["source"]])
            letters = letters.filter(source__name=options["source"])
        if options["stage"]:
            letters = letters.filter(stage=options["stage"])
        if ids := options["ids"]:
            letters = letters.filter(pk__in=ids)
            if missing := sorted(set(ids) - set(letters.values_list("pk", flat=True))):
                if options["stage"] or options["source"]:
                    sentence = _("there is no dead letter %(ids)s of this stage or source: `dead_letters list --all` shows them")
                else:
                    sentence = _("there is no dead letter %(ids)s: `dead_letters list --all` shows them")
                raise UsageError(sentence % {"ids": ", ".join(map(str, missing))})
            return letters
        if options["action"] != "list" and not options["all"]:
            raise UsageError(_("say which letters to %(action)s: give their numbers, or --all") % {"action": options["action"]})
        return letters if options["action"] == "list" and options["all"] else letters.filter(state=DeadLetter.State.OPEN)

    def list(self, letters: QuerySet[DeadLetter], *, is_json: bool) -> None:
        if is_json:
            self.write_json([letter_row(letter) for letter in letters])
            return
        total = letters.count()
        for letter in letters[:MOST_LISTED]:
            attempts = ""
            if letter.attempts > 1:
                attempts = ", " + ngettext("%(count)s time", "%(count)s times", letter.attempts) % {"count": letter.attempts}
            if letter.kind == DeadLetter.Kind.STAGE:
                attempts += ", " + _("last in run %(run)s") % {"run": letter.run_id}
            what = f"{letter.source}  {letter.stage} {letter.kind}{attempts}  {letter.error[:160]}"
            self.stdout.write(f"{letter.pk}  {instant_text(letter.timestamp)}  {_state(letter)}  {what}")
        if not total:
            self.stdout.write(_("no open dead letters"))
            return
        counted = ngettext("%(count)s letter", "%(count)s letters", total) % {"count": total}
        shown = ", " + _("of which the first %(count)s are above") % {"count": MOST_LISTED} if total > MOST_LISTED else ""
        then = _("`dead_letters show ID`, then replay or discard")
        self.stdout.write(f"{counted}{shown}; {then}")

    def show(self, letters: QuerySet[DeadLetter], *, is_json: bool) -> None:
        if is_json:
            self.write_json([letter_row(letter) for letter in letters])
            return
        for letter in letters:
            for name, value in letter_row(letter).items():
                self.stdout.write_text(f"{name}: " + str(value).replace("\n", "\n    "))
            self.stdout.write("")

    def act(self, action: str, letters: QuerySet[DeadLetter], *, is_json: bool) -> None:
        by = f"command:{getpass.getuser()}"
        done, act = (_("replayed"), replay.replay_letter) if action == "replay" else (_("discarded"), dead_letters.discard)
        chosen, failures = list(letters), {}
        with self.live_display() as display:
            item = display.add(_("dead letters"), total=max(len(chosen), 1))
            for letter in chosen:
                if failure := failure_of(act, letter, by=by):
                    failures[letter.pk] = failure
                if not is_json and (not failure or len(chosen) > 1):  # the error of a single letter is the command's error
                    self.stdout.write(failure or _("letter %(letter)s: %(done)s") % {"letter": letter.pk, "done": done})
                item.advance()
        if is_json:
            self.write_json([{"id": letter.pk, "is_done": letter.pk not in failures, "error": failures.get(letter.pk, "")} for letter in chosen])
        else:
            values = {"count": len(chosen) - len(failures), "done": done, "failed": len(failures)}
            self.stdout.write(_("%(count)s %(done)s, %(failed)s failed") % values)
        if failures:
            if is_json:
                sentence = _('%(failed)s of %(count)s letters could not be %(done)s: "error" says why')
            else:
                sentence = _("%(failed)s of %(count)s letters could not be %(done)s: the lines above say why")
            several = sentence % {"failed": len(failures), "count": len(chosen), "done": done}
            raise CommandError(next(iter(failures.values())) if len(chosen) == 1 else several, returncode=1)


def _state(letter: DeadLetter) -> str:
    return _(letter.state)


def failure_of(act: Callable[..., None], letter: DeadLetter, *, by: str) -> str:
    """Replay or discard the letter. Return why that failed, or an empty text."""
    try:
        act(letter, by=by)
    except dead_letters.NotOpen as exc:
        return str(exc)
    except replay.ReplayFailed as exc:
        return replay.describe_failure(letter, exc)
    return ""


def letter_row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.pk,
        "timestamp": letter.timestamp.isoformat(),
        "state": letter.state,
        "source": letter.source.name,
        "run": letter.run_id,
        "stage": letter.stage,
        "kind": letter.kind,
        "stream": letter.stream,
        "attempts": letter.attempts,
        "resolved_at": letter.resolved_at.isoformat() if letter.resolved_at else None,
        "resolved_by": letter.resolved_by,
        "error": letter.error,
        "data": letter.data,
    }
