"""The rule for payment card numbers."""

import re

from etl_tasks.sources.logs.masking.rule import Rule

# The prefixes and lengths of the card networks. Timestamps of 14 or 17 digits do not match, nor do most ids.
_is_card_number = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|220[0-4]\d{12,15}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14,17}|36\d{14}"
    rb"|(?:5[06-8]|6\d)\d{11,17}"
).fullmatch


def _is_card(body: bytes, start: int, end: int) -> bool:
    """Return whether the text from `start` to `end` is a payment card number (ISO/IEC 7812) that passes the Luhn check.

    One in ten of all other numbers (negative numbers, times, ids) passes this check too. So the sign, the prefix and the length are also checked.
    """
    if re.search(rb"(?:^|[\W_])-$", body[max(0, start - 2) : start]):
        return False
    number = re.sub(rb"\D", b"", body[start:end])
    doubled = [digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4) for place, digit in enumerate(map(int, reversed(number.decode())))]
    return _is_card_number(number) is not None and sum(doubled) % 10 == 0 and len(set(number)) > 1


CARD = Rule(r"(?:^|[^\w.])(3[47]\d{2}[ -]?\d{6}[ -]?\d{5}|[2-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,4}(?:[ -]?\d{1,3})?)\b", _is_card)
