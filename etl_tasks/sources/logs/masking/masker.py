"""Mask the secrets of log lines, before the lines are stored anywhere.

Every byte of a secret becomes a *, so that lines keep their lengths and their offsets in the file. A number in JSON becomes zeros or quoted stars,
so that JSON stays JSON. All rules are matched in one search through a whole body (the bytes of a log chunk), which takes linear time.
docs/masking.md lists what each rule covers, and what no rule can recognise.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import re2
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from dora_metrics.patterns import compiled
from etl_tasks.sources.logs.masking import card_numbers, command_lines, credentials, named_secrets, telephone_numbers
from etl_tasks.sources.logs.masking.json_values import end_of_single_quoted, overwrite
from etl_tasks.sources.logs.masking.rule import Rule

# If two rules match at the same place, the one that comes first in LOG_MASK_RULES is used. The default of this setting has the order of this table.
RULES: Mapping[str, Rule] = {
    "url_password": credentials.URL_PASSWORD,
    "authorization": credentials.AUTHORIZATION,
    "bearer": credentials.BEARER,
    "cookie": credentials.COOKIE,
    "named": named_secrets.NAMED,
    "option": command_lines.OPTION,
    "token": credentials.TOKEN,
    "private_key": credentials.PRIVATE_KEY,
    "card": card_numbers.CARD,
    "telephone": telephone_numbers.TELEPHONE,
    "named_telephone": telephone_numbers.NAMED_TELEPHONE,
}


def mask(body: bytes) -> bytes:
    """Return the body with its secrets masked, by LOG_MASK_RULES and LOG_MASK_PATTERNS. Its length and its newlines stay the same.

    Raises ImproperlyConfigured if one of these settings has an invalid rule.
    """
    try:
        masked = masker(tuple(settings.LOG_MASK_RULES), tuple(settings.LOG_MASK_PATTERNS))
    except ValueError as exc:
        raise ImproperlyConfigured(f"log lines cannot be masked: {exc}") from exc
    return masked(body)


@lru_cache(maxsize=8)
def masker(names: Sequence[str], patterns: Sequence[str] = ()) -> Callable[[bytes], bytes]:
    """Return a function that masks a body. `names`: names of RULES. `patterns`: additional regexes of the user.

    Raises ValueError, with a hint, if a name is unknown or RE2 refuses a regex.
    """
    if unknown := [name for name in names if name not in RULES]:
        raise ValueError(f"there is no rule {unknown[0]!r} for masking log lines; the rules are {', '.join(RULES)}")
    rules = [*(RULES[name] for name in names), *(Rule(pattern if _compiled(pattern).groups else f"({pattern})") for pattern in patterns)]
    if not rules:
        return bytes
    by_group: list[Rule] = []
    for rule in rules:
        by_group += [rule] * _compiled(rule.pattern).groups
    # Search for all rules in one pass. More rules take no more time, as long as RE2's automaton stays small.
    union = _compiled("|".join(f"(?:{rule.pattern})" for rule in rules))

    def masked(body: bytes) -> bytes:
        lower = body.lower()
        found = union.search(lower)
        if found is None:
            return body
        masked_body = bytearray(body)
        options: command_lines.Options | None = None
        is_json = b'{"' in body
        while found is not None:
            rule = by_group[found.lastindex - 1]
            start, end = found.span(found.lastindex)
            span: tuple[int, int] | None = (start, end)
            if rule.starts_option:
                options = options or command_lines.Options(body)
                span = options.secret(start)
            if span and is_json and body[span[0] - 1 : span[0]] == b"'":
                span = span[0], end_of_single_quoted(body, *span)
            if span and span[0] < span[1] and (rule.is_secret is None or rule.is_secret(lower, *span)):
                start, end = span
                overwrite(masked_body, start, end, is_json=is_json)
            elif len(pieces := lower[start:end].split(maxsplit=1)) == 2:
                end = start + len(pieces[0])  # this is no secret, but its second word may be one
            found = union.search(lower, max(end, found.start() + 1))
        return bytes(masked_body)

    return masked


def _compiled(pattern: str) -> "re2._Regexp":
    try:
        # The regex is matched with bytes, because a byte that is not UTF-8 must not end a secret.
        return compiled(pattern.encode("latin-1"), is_latin_1=True)
    except UnicodeEncodeError as exc:
        raise ValueError(f"{pattern!r} cannot be a rule for masking log lines (it has letters that Latin-1 lacks)") from exc
    except ValueError as exc:
        raise ValueError(f"{pattern!r} cannot be a rule for masking log lines ({exc}); RE2 has no look-around and no back-references") from exc
