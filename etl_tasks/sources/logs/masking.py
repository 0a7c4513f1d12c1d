"""Secrets out of log lines, before anything of them is stored.

Every byte of a secret becomes a *, so that the lines keep their lengths and their offsets in the file, and JSON stays JSON.
The rules run on a linear-time engine over a whole body at once. docs/masking.md lists what each of them covers, and what none can.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import re2
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from dora_metrics.patterns import compiled
from etl_tasks.sources.logs.masking_command_lines import ASSIGNED, Options

STAR = ord("*")
NEWLINE = ord("\n")

_QUOTE = r"""\\*["']"""  # not a \ by itself: it begins what stars behind it would break
_QUOTES = f"(?:{_QUOTE})*"
# A value: in quotes up to the same quote, in the quotes of JSON inside JSON, or bare up to what ends one in a query, a list or a sentence.
_VALUE = "|".join(
    (
        r'\\"((?:[^"\\\n]|\\\\\\"|\\\\[^"\n]|\\[^"\\\n])*)',
        r'\\{2,}"([^"\\\n]*)',
        r'"((?:[^"\\\n]|\\.)*)',
        r"'((?:[^'\\\n]|\\.)*)",
        r"""([^\s"'\\&,;(){}\[\]<>]+)""",
    )
)
# Of a digest: name="value", its quotes perhaps in JSON.
_PAIR = r"""[\w-]+=(?:\\+"(?:[^"\\\n]|\\+[^"\\\n])*\\+"|"(?:[^"\\\n]|\\.)*"|[^\s"'\\,;]+)"""
_GAP = r"[ \t]{0,8}"  # not \s: a key at the end of a line says nothing about the next
_BREAK = r"(?:\s|\\+[rn])"
_IS = rf"{_QUOTES}{_GAP}[:=]>?{_GAP}(?:\[{_GAP})?"
# Of a header that may be in JSON: not what comes behind a text that ends with the header's name.
_FIRST = r"""[^\s"'\\,;:{}\[\]]"""
_BARE = rf"""{_FIRST}[^\s"'\\,;{{}}\[\]]*"""


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern`: RE2 over lower-cased lines, each of its groups a secret, or all of it if it has none.

    `is_one`: what a match must be besides. `announces_option`: a match is where an option begins; what is secret of it, `Options` knows.
    """

    pattern: str
    is_one: Callable[[bytes, int, int], bool] | None = None
    announces_option: bool = False


# How the numbers of the networks begin, and how long they are. Times of fourteen or seventeen digits are none, nor are most ids.
_CARD = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|220[0-4]\d{12,15}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14,17}|36\d{14}"
    rb"|(?:5[06-8]|6\d)\d{11,17}"
).fullmatch
_MONTH, _DAY = rb"(?:0[1-9]|1[0-2])", rb"(?:0[1-9]|[12]\d|3[01])"
_DATE = re.compile(rb"(?:(?:19|20)\d\d([-.])%b\1%b|%b([-.])%b\2(?:19|20)\d\d)(?!\d)" % (_MONTH, _DAY, _DAY, _MONTH)).match
_ADDRESS = re.compile(rb"(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}(?![.\d])").match


def _passes_luhn(body: bytes, start: int, end: int) -> bool:
    """Whether the digits are a payment card's, ISO/IEC 7812, and not a negative number, a time or an id: a tenth of these pass the sum."""
    if re.search(rb"(?:^|[\W_])-$", body[max(0, start - 2) : start]):
        return False
    number = re.sub(rb"\D", b"", body[start:end])
    doubled = [digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4) for place, digit in enumerate(map(int, reversed(number.decode())))]
    return _CARD(number) is not None and sum(doubled) % 10 == 0 and len(set(number)) > 1


def _is_telephone(body: bytes, start: int, end: int) -> bool:
    text = body[start:end]
    if _DATE(text) or ((address := _ADDRESS(text)) and all(int(part) <= 255 for part in address[0].split(b"."))):
        return False
    return 7 <= sum(48 <= byte <= 57 for byte in text) <= 15


_ENDS_A_TEXT = re.compile(rb'(?<!\\)"|\\+"\s*[,:}\]]').search
_MAY_END_A_TEXT = re.compile(rb'\\*"').search
# What is between two texts of JSON.
_BETWEEN = re.compile(rb"[,:}\]][\s,:\[\]{}]*+(?:(?:[-+.\de]++|true|false|null)[\s,:\[\]{}]*+)*+").fullmatch
_ENDS_A_NAME = re.compile(rb'(?<!\\)"[ \t]*(?::|=>?)[ \t]*"$').search


def _is_no_json(body: bytes, start: int, end: int) -> bool:
    """False behind the quote that ends a text of JSON, which the name of a secret was the end of: {"msg":"enter password:","user":"ana"}."""
    return _BETWEEN(body, start, end) is None or body[start - 1 : start] != b'"' or _ENDS_A_NAME(body[max(0, start - 20) : start]) is not None


_NAMES = (
    *("password", "passwd", "passphrase", "secret", "token", "api[_-]?key", "(?:access|private|secret|account)[_-]?key", "credentials?"),
    *ASSIGNED,
    *("sess(?:ion)?[_-]?id", "session[_-]?key", r"contrase(?:n|\xc3\xb1|\xf1)a"),
    # So short that they end other words, too.
    *(rf"(?:\b|_){name}" for name in ("pass", "pwd", "clave", "jwt", "pin", "nip", "otp", "cvv2?", "cvc2?", "cvn")),
)
_TELEPHONES = (
    *("phone", r"telefono", r"tel\xc3\xa9fono", r"\btel", "mobile", "movil", r"m\xc3\xb3vil", "celular", "msisdn", "caller(?:[_ -]?id)?", "callee"),
    *(
        r"\bani",
        "dnis",
        "dialed",
        "dialled",
        "dialing",
        "calling",
        "called",
        "(?:from|to|dest|destination)[_ -]?num(?:ber)?",
        "numero",
        r"n\xc3\xbamero",
    ),
)

RULES: Mapping[str, Rule] = {
    "url_password": Rule(r"""://[^\s/:@"'<>?#]*:([^\s@/"'<>]+)@"""),
    "authorization": Rule(
        rf"authorization{_IS}{_QUOTES}"
        rf"(?:digest[ \t]+({_PAIR}(?:[ \t]*,[ \t]*{_PAIR})*|{_BARE})|"
        rf"(?:(?:basic|bearer|token|negotiate|ntlm|apikey)[ \t]+)?({_BARE}))"
    ),
    "bearer": Rule(r"\b(?:bearer|basic)[ \t]+([a-z0-9._~+/-]{16,}=*)"),
    # Behind a colon up to the line's end; cookie=… has other pairs beside it.
    "cookie": Rule(
        rf"\b(?:set-)?cookie(?:{_QUOTE}{_GAP}:{_GAP}(?:\[{_GAP})?{_QUOTE}|{_GAP}:{_GAP}(?:\[{_GAP})?|{_QUOTES}{_GAP}=>?{_GAP}{_QUOTE})"
        rf"""(?:{_QUOTES}({_FIRST}[^\r\n"'\\]*))"""
        rf"""|\b(?:set-)?cookie{_GAP}=>?{_GAP}([^\s;"'\\]+(?:;[ \t]*[^\s;"'\\]+)*)"""
    ),
    # PASSWORD 'x' and IDENTIFIED BY 'x' are SQL.
    "named": Rule(rf"(?:{'|'.join(_NAMES)}){_IS}(?:{_VALUE})|(?:password|identified by){_GAP}'((?:[^'\\\n]|\\.)*)'", _is_no_json),
    # Only that an option begins; what it says depends on the program, and on its case.
    "option": Rule(r"""(?:^|[\s"'\[,(])(--?)[a-z]""", _is_no_json, announces_option=True),
    "token": Rule(
        r"\b(gh[pousr]_[a-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[a-z]-[\w-]{10,}|[spr]k_(?:live|test)_\w{10,}"
        r"|a[ks]ia[0-9a-z]{16}|aiza[\w-]{35}|ya29\.[\w-]{20,}|npm_[a-z0-9]{36}|eyj[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*)"
    ),
    # Up to its end; without one, as far as its lines have the length of a key's.
    "private_key": Rule(
        r"-----begin [a-z0-9 ]{0,40}private key(?: block)?-----"
        rf"(?:((?:[^\x22-]|-{{1,4}}[^\x22-])+?)-----end|((?:{_BREAK}*[a-z0-9+/=]{{40,}})+(?:{_BREAK}+[a-z0-9+/=]+{_BREAK})?))"
    ),
    "card": Rule(r"(?:^|[^\w.])(3[47]\d{2}[ -]?\d{6}[ -]?\d{5}|[2-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,4}(?:[ -]?\d{1,3})?)\b", _passes_luhn),
    "telephone": Rule(
        r"(?:^|[^\w+])(\+[1-9](?:[ ().-]{0,2}\d){6,14}|\(\d{2,4}\)[ -]?\d{3,4}[ .-]?\d{3,4}|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})\b",
        _is_telephone,
    ),
    # With a word beside it that says so: as any run of digits then.
    "named_telephone": Rule(
        r'\b(?:tel|sips?):(\+?\d[\d().-]{5,20}\d)|" ?\\?<(\+?\d{7,15})>'
        rf"|(?:{'|'.join(_TELEPHONES)}){_QUOTES}{_GAP}[:=]?{_GAP}{_QUOTES}(\+?\(?\d(?:[ ().-]{{0,2}}\d){{6,14}})\b",
        _is_telephone,
    ),
}


def mask(body: bytes) -> bytes:
    """The same number of bytes, with the same newlines, and no secret that the rules of the settings know. Raises ImproperlyConfigured."""
    try:
        masked = masker(tuple(settings.LOG_MASK_RULES), tuple(settings.LOG_MASK_PATTERNS))
    except ValueError as exc:
        raise ImproperlyConfigured(f"log lines cannot be masked: {exc}") from exc
    return masked(body)


@lru_cache(maxsize=8)
def masker(names: Sequence[str], patterns: Sequence[str] = ()) -> Callable[[bytes], bytes]:
    """`names`: of RULES; `patterns`: more, of a user. Raises ValueError, with what to do, for a name or a pattern that cannot be."""
    if unknown := [name for name in names if name not in RULES]:
        raise ValueError(f"there is no rule {unknown[0]!r} for masking log lines; there are {', '.join(RULES)}")
    rules = [*(RULES[name] for name in names), *(Rule(pattern if _compiled(pattern).groups else f"({pattern})") for pattern in patterns)]
    if not rules:
        return bytes
    by_group: list[Rule] = []
    for rule in rules:
        by_group += [rule] * _compiled(rule.pattern).groups
    # One pass for all of them: their number costs nothing, as long as the engine's automaton stays small.
    union = _compiled("|".join(f"(?:{rule.pattern})" for rule in rules))

    def masked(body: bytes) -> bytes:
        lower = body.lower()
        found = union.search(lower)
        if found is None:
            return body
        hidden = bytearray(body)
        options: Options | None = None
        is_json = b'{"' in body
        while found is not None:
            rule = by_group[found.lastindex - 1]
            start, end = found.span(found.lastindex)
            span: tuple[int, int] | None = (start, end)
            if rule.announces_option:
                options = options or Options(body)
                span = options.secret(start)
            if span and is_json and body[span[0] - 1 : span[0]] == b"'":
                span = span[0], _to_the_end_of_a_text(body, *span)
            if span and span[0] < span[1] and (rule.is_one is None or rule.is_one(lower, *span)):
                start, end = span
                _hide(hidden, start, end, is_json=is_json)
            elif len(pieces := lower[start:end].split(maxsplit=1)) == 2:
                end = start + len(pieces[0])  # its second half may be one by itself
            found = union.search(lower, max(end, found.start() + 1))
        return bytes(hidden)

    return masked


def _to_the_end_of_a_text(body: bytes, start: int, end: int) -> int:
    """Where a value between single quotes ends at the latest: the text of JSON that it is in may end before its second quote comes."""
    found = (_ENDS_A_TEXT if body[end : end + 1] == b"'" else _MAY_END_A_TEXT)(body, start, end)
    return found.start() if found else end


def _compiled(pattern: str) -> "re2._Regexp":
    try:
        # By bytes: a byte that is not UTF-8 inside a secret must not end it.
        return compiled(pattern.encode("latin-1"), is_latin_1=True)
    except UnicodeEncodeError as exc:
        raise ValueError(f"{pattern!r} cannot be a rule for masking log lines (it has letters that Latin-1 lacks)") from exc
    except ValueError as exc:
        raise ValueError(f"{pattern!r} cannot be a rule for masking log lines ({exc}); RE2 has no look-around and no back-references") from exc


def _hide(body: bytearray, start: int, end: int, *, is_json: bool) -> None:
    secret = bytes(body[start:end])
    before, behind = body[max(0, start - 40) : start].rstrip(), body[end : end + 40].lstrip()
    is_value = before.endswith(b'":') and not behind.startswith(b'"') and not secret.startswith(b'"')
    if is_value or (is_json and before.endswith((b"[", b",")) and behind.startswith((b",", b"]"))):
        if secret in (b"null", b"true", b"false"):
            return
        if _is_json_number(secret):
            body[start:end] = _hidden_number(len(secret), has_quotes=is_value and not before.endswith(b'\\":'))
            return
    for place in range(start, end):
        if body[place] != NEWLINE:
            body[place] = STAR


def _hidden_number(length: int, *, has_quotes: bool) -> bytes:
    """Between quotes it is no number any more, but JSON still; but they would end a text, which JSON inside JSON is, and a list may be in."""
    if has_quotes and length > 1:
        return b'"' + b"*" * (length - 2) + b'"'
    return {1: b"0", 2: b"-0"}.get(length, b"0." + b"0" * (length - 2))


def _is_json_number(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), int | float)
    except ValueError:
        return False
