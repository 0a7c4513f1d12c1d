"""The log lines of the demo's services. The lines of a minute depend only on the service and the minute, so they can be written piece by piece."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from demo.team.outages import MINUTE, Outage
from demo.team.profiles import AGENT_DESKTOP, CALL_ROUTING, CRM_SYNC, TEAM, VOICE_BOT, TeamService

DAYS_OF_LINES = 7
NIGHT_SHARE, DAY_HOURS = 0.25, range(7, 20)  # at night, a quarter of the day's calls come in
CALLS_A_MINUTE = {CALL_ROUTING.name: 2.0, AGENT_DESKTOP.name: 2.2, CRM_SYNC.name: 0.8, VOICE_BOT.name: 0.1}
ERRORS_A_MINUTE = (20, 32)  # in an outage; a minute of an incident has at least 20 events
QUEUES = ("Ventas", "Soporte", "Facturación", "Zákaznická linka", "Apoio ao cliente", "خدمة العملاء")
CALLERS = ("Zoë O'Brien", "José Núñez", "<b>ACME</b> & Sons", 'Anna "Ann" Łukasik', "王小明", "نور", "Renée 🙂", "Sr. Muñoz")
PATHS = ("/api/calls?site=porto", "/api/customers/{number}", "/api/replies", "/softphone/token", "/assets/app.js", "/api/shifts/today")
BROWSERS = ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Edg/141.0")
TRACEBACK = """Traceback (most recent call last):
  File "/srv/crm_sync/send.py", line 88, in send_batch
    answer.raise_for_status()
httpx.HTTPStatusError: Client error '413 Payload Too Large' for url 'https://crm.example.com/api/contacts/batch'"""


class LineWriter:
    """Writes the lines of one service's log.

    `deployments`: those that only this log knows, as (end, commit, whether it succeeded). `calls_a_minute`: replaces the usual number.
    """

    def __init__(
        self,
        service: TeamService,
        outages: Sequence[Outage],
        *,
        deployments: Sequence[tuple[datetime, str, bool]] = (),
        calls_a_minute: float | None = None,
    ) -> None:
        self.service, self.deployments, self.calls_a_minute = service, deployments, calls_a_minute
        self.outages = [outage for outage in outages if outage.repository == service.repositories[0].repository]

    def lines(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, str]]:
        """Yield the lines from `since` to `until` (exclusive) with their times, in the order of these."""
        minute = since.replace(second=0, microsecond=0)
        while minute < until:
            yield from ((when, text) for when, text in sorted(self._minute(minute)) if since <= when < until)
            minute += MINUTE

    def _minute(self, minute: datetime) -> Iterator[tuple[datetime, str]]:
        randomness = random.Random(f"{self.service.name} {minute.isoformat()}")
        line = LINES[self.service.name]
        share = 1.0 if minute.hour in DAY_HOURS else NIGHT_SHARE
        expected = self.calls_a_minute or CALLS_A_MINUTE[self.service.name] * share
        for _ in range(int(expected) + (randomness.random() < expected % 1)):
            when = minute + timedelta(milliseconds=randomness.randrange(60_000))
            yield when, line(when, randomness, None)
        for outage in self.outages:
            if outage.covers(minute):
                for _ in range(randomness.randint(*ERRORS_A_MINUTE)):
                    when = minute + timedelta(milliseconds=randomness.randrange(60_000))
                    yield when, line(when, randomness, outage)
            if minute == outage.ended and self.service is CALL_ROUTING:
                # The process was killed by the rollback while it wrote this line.
                yield minute, _json_line(minute, randomness, None)[:97]
        for end, oid, is_success in self.deployments:
            if minute <= end < minute + MINUTE:
                yield end, f'ts={_iso(end)} level=info msg="deployed {oid[:12]} to production: {"success" if is_success else "failure"}"'


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_line(when: datetime, randomness: random.Random, outage: Outage | None) -> str:
    call, queue = randomness.randint(10**7, 10**8), randomness.choice(QUEUES)
    line = {"time": _iso(when), "level": "info", "logger": "routing.queue"}
    chance = randomness.random()
    if outage:
        line |= {"level": "error" if chance < 0.8 else "warning", "message": randomness.choice(outage.errors).format(call=call, queue=queue)}
    elif chance < 0.004:
        line |= {"level": "error", "message": f"call {call}: the trunk of Zaragoza answered 503 Service Unavailable"}
    elif chance < 0.03:
        line |= {"level": "warning", "message": f"queue {queue}: the longest wait is {randomness.randint(3, 9)} minutes"}
    elif chance < 0.05:
        line |= {"level": "debug", "message": "GET /presence/agents Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZ2VudCJ9.c2lnbmF0dXJl"}
    elif chance < 0.5:
        line |= {"message": f"call {call} from +34 6{randomness.randint(10**7, 10**8 - 1)} waits in {queue}", "caller": randomness.choice(CALLERS)}
    else:
        line |= {"message": f"call {call} answered after {randomness.randint(2, 140)} s by agent {randomness.randint(4100, 4190)}"}
    return json.dumps({**line, "call": call}, ensure_ascii=False)


def _access_line(when: datetime, randomness: random.Random, outage: Outage | None) -> str:
    path = randomness.choice(PATHS).format(number=randomness.randint(1000, 99999))
    status = "200"
    if outage and randomness.random() < 0.7:
        path, status = randomness.choice(("/api/session", "/login", "/api/calls?site=porto")), randomness.choice(outage.errors)
    elif randomness.random() < 0.03:
        status = randomness.choice(("304", "401", "404"))
    agent = f"agent{randomness.randint(4100, 4190)}"
    return (
        f"10.20.{randomness.randint(1, 6)}.{randomness.randint(2, 250)} - {agent} [{when:%d/%b/%Y:%H:%M:%S} +0000] "
        f'"GET {path} HTTP/1.1" {status} {randomness.randint(180, 40_000)} "-" "{randomness.choice(BROWSERS)}"'
    )


def _python_line(when: datetime, randomness: random.Random, outage: Outage | None) -> str:
    contact, chance = randomness.randint(10**5, 10**6), randomness.random()
    begin = f"{when:%Y-%m-%d %H:%M:%S},{when.microsecond // 1000:03d}"
    if outage:
        error = randomness.choice(outage.errors).format(contact=contact)
        return f"{begin} ERROR crm_sync.send: {error}" + (f"\n{TRACEBACK}" if chance < 0.15 else "")
    if chance < 0.02:
        return f"{begin} WARNING crm_sync.merge: contact {contact} looks like {contact + 1}, but has another contract"
    if chance < 0.5:
        return f"{begin} INFO crm_sync.feed: {randomness.randint(1, 60)} changes read"
    return f"{begin} INFO crm_sync.send: contact {contact} updated in {randomness.randint(40, 400)} ms"


def _logfmt_line(when: datetime, randomness: random.Random, outage: Outage | None) -> str:
    said = randomness.choice(("opening hours", "invoice", "address", "speak to a person", "cancel"))
    confidence, language = randomness.randint(55, 99) / 100, randomness.choice(("es", "cs", "pt"))
    return f'ts={_iso(when)} level=info msg="intent found" intent="{said}" confidence={confidence} language={language}'


LINES: dict[str, Callable[[datetime, random.Random, Outage | None], str]] = {
    CALL_ROUTING.name: _json_line,
    AGENT_DESKTOP.name: _access_line,
    CRM_SYNC.name: _python_line,
    VOICE_BOT.name: _logfmt_line,
}


def writers(outages: Sequence[Outage], deployments: Sequence[tuple[datetime, str, bool]]) -> list[LineWriter]:
    """Return a writer for each service that has a log. `deployments`: those of the voice bot."""
    return [LineWriter(service, outages, deployments=deployments if service is VOICE_BOT else ()) for service in TEAM if service.log]


def first_line(service: TeamService, now: datetime) -> datetime:
    """Return the time at which the service's log begins."""
    days = service.repositories[0].days if service is VOICE_BOT else DAYS_OF_LINES
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)


def append(writer: LineWriter, folder: Path, since: datetime, until: datetime) -> None:
    """Append the lines from `since` to `until` to the service's file."""
    path = folder / writer.service.log
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for _, text in writer.lines(since, until))
