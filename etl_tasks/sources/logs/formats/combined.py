"""The common and the combined access log of Apache and nginx, also with a virtual host or with the addresses of proxies."""

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
# The time has a fixed form, so that the search for it takes linear time even if the user name is long. The closing quote of the user agent may
# be missing, because some servers cut long lines there.
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
        """Return the values of the line: host, ident (the client's own name for its user), user, time and so on.

        Ident is "-" if the line has none. Otherwise it is a pair: a key of the event's `extra`, and its value. This may be another value than
        ident, such as a virtual host.
        """
        match = _LINE(line)
        if match is None:
            raise BadLine('The line is not in the common or combined log format: host ident user [time] "request" status size.')
        found = match.groups("")
        # Almost every line begins with "host - user".
        if found[1] == "-" and " " not in found[2]:
            return found
        return (*_client_and_user(found[0], found[1], found[2].split(" ")), *found[3:])

    def times(self, line: str) -> Iterable[str]:
        return (self.parse(line)[3],)

    def event(self, event_id: str, source: str, record: tuple[Any, ...], rest: str, clock: EventClock) -> LogEvent:
        host, beside_host, user, written, request, status, size, referrer, user_agent, more = record
        try:
            time = clock.at(written)
        except ImpossibleTime:
            time = clock.inferred("impossible")
        method, path = _method_and_path(request)
        # If all these values together are not longer than VALUE_LENGTH, none of them has to be cut.
        fit = truncated if len(request) + len(referrer) + len(user_agent) + len(user) + len(more) > VALUE_LENGTH else _unchanged
        extra = {}
        if size != "-":
            extra["size"] = size
        if referrer and referrer != "-":
            extra["referrer"] = fit(referrer, VALUE_LENGTH)
        if user_agent and user_agent != "-":
            extra["user_agent"] = fit(user_agent, VALUE_LENGTH)
        if user != "-" and user != '""':
            extra["user"] = fit(user, VALUE_LENGTH)
        if beside_host != "-":
            extra[beside_host[0]] = truncated(beside_host[1], VALUE_LENGTH)
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


def _client_and_user(host: str, ident: str, words: list[str]) -> tuple[str, tuple[str, str] | str, str]:
    """Return the host, what is beside it, and the user, for a line that does not begin with "host - user".

    What is beside the host is returned as a pair (key of `extra`, value), or as "-" if there is nothing. `words`: the words between ident and the
    time. Raises BadLine if the words before the time are something else.
    """
    if host.endswith(","):
        # The line begins with all addresses of X-Forwarded-For: that of the client, then that of each proxy.
        hosts = [host, ident]
        while hosts[-1].endswith(",") and words:
            hosts.append(words.pop(0))
        host, beside, words = host.rstrip(","), ("forwarded_for", " ".join(hosts)), _without_ident(words)
    elif _is_address(ident) or (len(words) > 1 and words[0] == "-" and _is_name(ident)):
        # There is a virtual host, written by %v:%p or $host, before or after the client's address.
        host, virtual = (host, ident) if _is_address(host) and not _is_address(ident) else (ident, host)
        beside, words = ("vhost", virtual), _without_ident(words)
        if not (_is_name(virtual) or _is_address(virtual)):
            words = []
    else:
        beside = ("ident", ident)
    if not words or not host or (len(words) > 1 and ("-" in words or "" in words)):
        raise BadLine("The words before the time are not host, ident and user: leave out what was put before the lines, or write a regex.")
    return host, "-" if beside[1] == "-" else beside, " ".join(words)


def _without_ident(words: list[str]) -> list[str]:
    return words[1:] if len(words) > 1 and words[0] == "-" else words


def _method_and_path(request: str) -> tuple[str, str]:
    """Return the method and the path of a request. Both are empty if it is no HTTP request."""
    words = request.split(" ")
    if len(words) == 3 and words[0] in _METHODS and words[1] and words[2] in _PROTOCOLS:
        return words[0], words[1]
    match = _REQUEST(request)
    return (match[1], match[2]) if match else ("", "")


def _unchanged(text: str, length: int) -> str:
    return text
