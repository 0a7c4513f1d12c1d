"""Apache's and nginx's access logs, common and combined, also with a virtual host or the proxies beside the client's address."""

import re
from collections.abc import Iterable
from typing import Any, ClassVar

from etl_tasks.sources.logs.formats.event_times import EventClock
from etl_tasks.sources.logs.formats.field_lengths import HOST_LENGTH, MESSAGE_LENGTH, VALUE_LENGTH, truncated
from etl_tasks.sources.logs.formats.line_format import LineFormat
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation
from etl_tasks.sources.logs.formats.time_notations import ImpossibleTime
from log_store.event import LogEvent

_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
# The time's shape is fixed so that a search through a long user name stays linear. The last quote of the user agent
# may be missing: some servers cut long lines there.
_LINE = re.compile(
    r"(\S+) (\S+) (.+?) \[(\d{1,2}/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    + _QUOTED
    + r" (\d{3}|-) (\d+|-)"
    + f"(?: {_QUOTED}"
    + r' "([^"\\]*(?:\\.[^"\\]*)*)(?:"(.*))?)?',
    re.ASCII,
).fullmatch
_is_address = re.compile(r"\[?(?:\d{1,3}(?:\.\d{1,3}){3}|[\da-fA-F]{0,4}:[\da-fA-F:.]*:[\da-fA-F.%a-z]*)\]?(?::\d+)?", re.ASCII).fullmatch
_is_name = re.compile(r"-|\w[\w-]*(?:\.[\w-]+)*\.?(?::\d+)?").fullmatch
_REQUEST = re.compile(r"([A-Za-z][A-Za-z_-]{0,19}) (\S.*?)(?: HTTP/\d(?:\.\d)?)?", re.ASCII).fullmatch
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_PROTOCOLS = frozenset(("HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"))
_LEVELS = {"4": "warning", "5": "error"}


class Combined(LineFormat):
    continuation: ClassVar[Continuation] = Continuation.NEVER

    def parse(self, line: str) -> tuple[Any, ...]:
        """Host, ident, user, time and the rest. The ident is "-", or what stands in its place: its name and itself."""
        match = _LINE(line)
        if match is None:
            raise BadLine('The line is not in the common or combined log format: host ident user [time] "request" status size.')
        found = match.groups("")
        # "host - user" is what almost every line has.
        if found[1] == "-" and " " not in found[2]:
            return found
        return (*_who(found[0], found[1], found[2].split(" ")), *found[3:])

    def times(self, line: str) -> Iterable[str]:
        return (self.parse(line)[3],)

    def event(self, event_id: str, source: str, record: tuple[Any, ...], rest: str, clock: EventClock) -> LogEvent:
        host, beside, user, written, request, status, size, referrer, user_agent, more = record
        try:
            time = clock.at(written)
        except ImpossibleTime:
            time = clock.inferred("impossible")
        method, path = _asked_for(request)
        # Only a line longer than this can have a value that is.
        fit = truncated if len(request) + len(referrer) + len(user_agent) + len(user) + len(more) > VALUE_LENGTH else _as_it_is
        extra = {}
        if size != "-":
            extra["size"] = size
        if referrer and referrer != "-":
            extra["referrer"] = fit(referrer, VALUE_LENGTH)
        if user_agent and user_agent != "-":
            extra["user_agent"] = fit(user_agent, VALUE_LENGTH)
        if user != "-" and user != '""':
            extra["user"] = fit(user, VALUE_LENGTH)
        if beside != "-":
            extra[beside[0]] = truncated(beside[1], VALUE_LENGTH)
        if host == "-":
            host = ""
        if more and (more := more.strip()):
            extra["rest"] = fit(more, VALUE_LENGTH)
        return LogEvent(
            event_id,
            source,
            time,
            _LEVELS.get(status[0], "info"),
            "",
            host if len(host) <= HOST_LENGTH else truncated(host, HOST_LENGTH),
            "",
            fit(request, MESSAGE_LENGTH),
            method,
            fit(path, VALUE_LENGTH),
            None if status == "-" else int(status),
            None,
            "",
            extra,
        )


def _who(host: str, ident: str, words: list[str]) -> tuple[str, tuple[str, str] | str, str]:
    """Host, name and value of what is beside it, and user, of a line whose user has several words, or that has no - for its ident.

    Raises BadLine if its first words are none of these.
    """
    if host.endswith(","):
        # All that X-Forwarded-For said: the client, then each proxy.
        hosts = [host, ident]
        while hosts[-1].endswith(",") and words:
            hosts.append(words.pop(0))
        host, beside, words = host.rstrip(","), ("forwarded_for", " ".join(hosts)), _without_ident(words)
    elif _is_address(ident) or (len(words) > 1 and words[0] == "-" and _is_name(ident)):
        # A virtual host before the client, as %v:%p or $host write it; or behind its address.
        host, virtual = (host, ident) if _is_address(host) and not _is_address(ident) else (ident, host)
        beside, words = ("vhost", virtual), _without_ident(words)
        if not (_is_name(virtual) or _is_address(virtual)):
            words = []
    else:
        beside = ("ident", ident)
    if not words or not host or (len(words) > 1 and ("-" in words or "" in words)):
        raise BadLine("Before the time stand other words than host, ident and user: leave out what was put before the lines, or write a regex.")
    return host, "-" if beside[1] == "-" else beside, " ".join(words)


def _without_ident(words: list[str]) -> list[str]:
    return words[1:] if len(words) > 1 and words[0] == "-" else words


def _asked_for(request: str) -> tuple[str, str]:
    """Method and path; neither where the request is none."""
    words = request.split(" ")
    if len(words) == 3 and words[0] in _METHODS and words[1] and words[2] in _PROTOCOLS:
        return words[0], words[1]
    asked = _REQUEST(request)
    return (asked[1], asked[2]) if asked else ("", "")


def _as_it_is(text: str, length: int) -> str:
    return text
