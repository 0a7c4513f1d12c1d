"""The rule for secrets in command-line options: --password hunter2, mysql -phunter2, curl -u ana:hunter2.

The meaning of a short option depends on the program. So a short option is masked only after the name of a program that takes a secret with it.
The words of a command may be separated by blanks, or be in a list: ["--password", "hunter2"], also in JSON inside JSON.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

from etl_tasks.sources.logs.masking.json_values import is_not_next_json_text
from etl_tasks.sources.logs.masking.rule import Rule

# The rule matches only the start of an option. Which bytes are the secret depends on the program, and on whether the option is in capitals, so the
# class Options finds them.
OPTION = Rule(r"""(?:^|[\s"'\[,(])(--?)[a-z]""", is_not_next_json_text, starts_option=True)

# The last words of long options that take a secret. If the value is written after =, the rule `named` covers most of them too.
LONG_OPTIONS = (
    *("password", "passwd", "passphrase", "storepass", "keypass", "srcstorepass", "deststorepass"),
    *("pass", "pwd", "secret", "token", "api-?key", "access-?key", "account-?key", "secret-?key", "oauth2-bearer", "pin", "otp"),
)
_ALSO_WITH_ONE_HYPHEN = LONG_OPTIONS[:7]
# Names of variables that hold a secret. The rule `named` uses them.
ASSIGNED = ("sshpass", "redis(?:cli)?_auth", "storage_key")

_EITHER, _ATTACHED, _SEPARATE = "either", "attached", "separate"
# Each row has the names of programs, an option, how its value follows, and a text. The text says which part of the value is secret: with "",
# the whole value; with ":" or "%", the part after this text; with "=", the whole value if it contains =, else nothing.
_OPTIONS: Sequence[tuple[str, str, str, str]] = (
    (r"mysql\w*|mariadb(?:-\w+)?", "p", _ATTACHED, ""),  # `mysql -p name` prompts for a password, and name is a database
    (r"(?:redis|valkey|keydb)-cli", "a", _EITHER, ""),
    (r"sshpass|mongo\w*", "p", _EITHER, ""),
    (r"login", "p", _EITHER, ""),  # the subcommand of docker, podman, helm registry and az
    (r"ldap\w+", "w", _EITHER, ""),
    (r"sqlcmd|bcp|ipmitool|zip|unzip", "P", _EITHER, ""),
    (r"7z[ar]?|rar|unrar", "p", _ATTACHED, ""),
    (r"curl", "u", _EITHER, ":"),
    (r"curl", "U", _EITHER, ":"),
    (r"curl", "b", _EITHER, "="),
    (r"curl", "-user", _SEPARATE, ":"),
    (r"curl", "-proxy-user", _SEPARATE, ":"),
    (r"curl", "-cookie", _SEPARATE, "="),
    (r"https?", "a", _EITHER, ":"),
    (r"ab", "A", _EITHER, ":"),
    (r"ab", "P", _EITHER, ":"),
    (r"smbclient|rpcclient", "U", _EITHER, "%"),
)
# Programs without secret options. An option after such a name belongs to this program, as the second -p in `sshpass -p secret ssh -p 22`.
_OTHERS = r"ssh|scp|sftp|rsync|psql|pg_\w+|docker|podman|kubectl|sudo|grep|mkdir|ls|cp|nc|xargs|tee|java|python[\d.]*|wget"
_NAMES = "|".join(dict.fromkeys(programs for programs, _, _, _ in _OPTIONS))
# This also matches the operators |, && and ;, after which another command begins. Its program is not known yet.
_PROGRAMS = re.compile(rf"""\||&&|\s;\s|(?:^|[\s/"'\[,(=;])({_NAMES}|{_OTHERS})(?:\.exe)?(?=[\s"'\\,\]]|$)""".encode())
_BY_OPTION: dict[bytes, tuple[tuple[Callable[[bytes], object], bytes, str, bytes], ...]] = {}
for _programs, _option, _how, _before in _OPTIONS:
    _letter = _option[0].encode()
    _rule = (re.compile(_programs.encode()).fullmatch, _option.encode(), _how, _before.encode())
    _BY_OPTION[_letter] = (*_BY_OPTION.get(_letter, ()), _rule)
_LOOKED_BACK_BYTES = 2000

# A value may be in quotes, or in escaped quotes (in JSON inside JSON), and then ends at the same quotes. Without quotes, it ends with the word.
_QUOTED = rb"""\\"((?:[^"\\\n]|\\\\\\"|\\\\[^"\n]|\\[^"\\\n])*+)|\\{2,}"([^"\\\n]*+)|"((?:[^"\\\n]|\\.)*+)|'((?:[^'\\\n]|\\.)*+)"""
_WORD = rb"""([^\s"'\\;&|()<>]++)"""
_ITEM = rb"""([^\s"'\\,\[\]{}]++)"""
_FOLLOWING = (
    rb"(?:(?P<blank>=|[ \t]++=?)(?:" + _QUOTED + rb"|" + _WORD + rb")|(?P<comma>\\*[\"']?[ \t]*,[ \t]*)(?:" + _QUOTED + rb"|" + _ITEM + rb"))"
)
_long = re.compile(
    rf"(?i:--(?:[a-z0-9]+[-_]){{0,6}}?(?:{'|'.join(LONG_OPTIONS)})|-(?:{'|'.join(_ALSO_WITH_ONE_HYPHEN)}))".encode() + _FOLLOWING
).match
_name = re.compile(rb"-(-?[A-Za-z][A-Za-z0-9-]*)").match
_following = re.compile(_FOLLOWING).match
_attached = re.compile(rb"(?:" + _QUOTED + rb"|" + _WORD + rb")").match
_is_a_key = re.compile(rb"""\\*["'][ \t]*:""").match
_is_reference = re.compile(rb"(?:env|file|fd):").match


class Options:
    """Finds the secrets of options in one body. A line is searched for program names only once, because it may have many options."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._line = range(0)
        self._places: list[int] = []
        self._programs: list[bytes] = []

    def secret(self, start: int) -> tuple[int, int] | None:
        """Return the start and end of an option's secret, or None if it has no secret. `start`: where the hyphens of the option begin."""
        body = self._body
        if found := _long(body, start):
            span = _span(body, start, found)
            return None if span is None or _is_reference(body, span[0]) else span
        name = _name(body, start)
        if name is None:
            return None
        rules = _BY_OPTION.get(name[1][:1], ()) + (_BY_OPTION.get(name[1][-1:], ()) if len(name[1]) > 1 else ())
        program = self._program_before(start) if rules else b""
        for is_program, option, how, before in rules if program else ():
            if is_program(program) and (found := _value(body, name, option, how)):
                span = _span(body, start, found)
                return None if span is None else _part_after(body, span, before)
        return None

    def _program_before(self, start: int) -> bytes:
        """Return the last name of a program before the option at `start`, in the same line and command. Returns b"" if there is none."""
        if start not in self._line:
            begin, end = self._body.rfind(b"\n", 0, start) + 1, self._body.find(b"\n", start)
            self._line = range(begin, end if end >= 0 else len(self._body))
            found = list(_PROGRAMS.finditer(self._body, self._line.start, self._line.stop))
            self._places, self._programs = [match.end() for match in found], [match[1] or b"" for match in found]
        place = bisect_right(self._places, start)
        return self._programs[place - 1] if place else b""


def _value(body: bytes, name: re.Match[bytes], option: bytes, how: str) -> re.Match[bytes] | None:
    """Match the value of an option in one of the forms -p x, -px, or -sSp x (with the letters of other options before it).

    `name`: the match of the option as it is written in the line. `option`: the program's option in _OPTIONS, which takes the secret. `how`: which
    of the forms are allowed.
    """
    written, end = name[1], name.end()
    is_short = not written.startswith(b"-")
    following = _following(body, end) if how != _ATTACHED and (written == option or (is_short and written.endswith(option))) else None
    if following and (written == option or not written.startswith(option)):
        return following
    if how == _SEPARATE or not written.startswith(option) or (how == _ATTACHED and written == option and _following(body, end)):
        return None
    return _attached(body, name.start() + 1 + len(option))


def _span(body: bytes, start: int, found: re.Match[bytes]) -> tuple[int, int] | None:
    """Return the start and end of the value that was found for the option at `start`.

    Returns None if the value is empty, is another option or is a key of a JSON object, or if it follows a comma without quotes outside a list.
    """
    begin, end = next(found.span(group) for group in range(found.re.groups, 0, -1) if found[group] is not None)
    comma = found.groupdict().get("comma")
    if begin == end or body[begin : begin + 1] == b"-" or (comma and _is_a_key(body, end)):
        return None
    if comma and comma.lstrip(b"\\")[:1] == b"," and not _is_in_a_list(body, start):
        return None
    return begin, end


def _is_in_a_list(body: bytes, start: int) -> bool:
    begin = max(body.rfind(b"\n", 0, start) + 1, start - _LOOKED_BACK_BYTES)
    return body.rfind(b"[", begin, start) > body.rfind(b"]", begin, start)


def _part_after(body: bytes, span: tuple[int, int], before: bytes) -> tuple[int, int] | None:
    """Return the start and end of the secret in a value, such as the password in user:password. `before`: the text before the secret.

    If `before` is =, the value is a cookie and is secret as a whole. A value without = is the name of a file, and None is returned.
    """
    begin, end = span
    if not before:
        return span
    place = body.find(before, begin, end)
    if place < 0 or place + 1 == end:
        return None
    return span if before == b"=" else (place + 1, end)
