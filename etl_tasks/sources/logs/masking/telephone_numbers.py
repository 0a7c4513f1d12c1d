"""The rules for telephone numbers."""

import re

from etl_tasks.sources.logs.masking.rule import GAP, QUOTES, Rule

_MONTH, _DAY = rb"(?:0[1-9]|1[0-2])", rb"(?:0[1-9]|[12]\d|3[01])"
_date = re.compile(rb"(?:(?:19|20)\d\d([-.])%b\1%b|%b([-.])%b\2(?:19|20)\d\d)(?!\d)" % (_MONTH, _DAY, _DAY, _MONTH)).match
_ip_address = re.compile(rb"(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}(?![.\d])").match
_NAMES = (
    *("phone", r"telefono", r"tel\xc3\xa9fono", r"\btel", "mobile", "movil", r"m\xc3\xb3vil", "celular", "msisdn", "caller(?:[_ -]?id)?", "callee"),
    *(r"\bani", "dnis", "dialed", "dialled", "dialing", "calling", "called"),
    *("(?:from|to|dest|destination)[_ -]?num(?:ber)?", "numero", r"n\xc3\xbamero"),
)


def _is_telephone_number(body: bytes, start: int, end: int) -> bool:
    text = body[start:end]
    if _date(text) or ((address := _ip_address(text)) and all(int(part) <= 255 for part in address[0].split(b"."))):
        return False
    return 7 <= sum(48 <= byte <= 57 for byte in text) <= 15


TELEPHONE = Rule(
    r"(?:^|[^\w+])(\+[1-9](?:[ ().-]{0,2}\d){6,14}|\(\d{2,4}\)[ -]?\d{3,4}[ .-]?\d{3,4}|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})\b",
    _is_telephone_number,
)
# After a word for a telephone, any 7 to 15 digits are taken for a number, even with blanks or punctuation between them.
NAMED_TELEPHONE = Rule(
    r'\b(?:tel|sips?):(\+?\d[\d().-]{5,20}\d)|" ?\\?<(\+?\d{7,15})>'
    rf"|(?:{'|'.join(_NAMES)}){QUOTES}{GAP}[:=]?{GAP}{QUOTES}(\+?\(?\d(?:[ ().-]{{0,2}}\d){{6,14}})\b",
    _is_telephone_number,
)
