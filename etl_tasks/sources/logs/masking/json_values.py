"""Overwrite secrets with stars so that JSON stays valid JSON of the same length."""

import json
import re

STAR = ord("*")
NEWLINE = ord("\n")

_end_of_text = re.compile(rb'(?<!\\)"|\\+"\s*[,:}\]]').search
_possible_end_of_text = re.compile(rb'\\*"').search
# What may be between two strings in JSON.
_between_texts = re.compile(rb"[,:}\]][\s,:\[\]{}]*+(?:(?:[-+.\de]++|true|false|null)[\s,:\[\]{}]*+)*+").fullmatch
_ends_with_key = re.compile(rb'(?<!\\)"[ \t]*(?::|=>?)[ \t]*"$').search


def is_not_next_json_text(body: bytes, start: int, end: int) -> bool:
    """Return False if what was found as a secret, from `start` to `end`, only separates two strings in JSON.

    This happens if a string ends with the name of a secret, as in {"msg":"enter password:","user":"ana"}.
    """
    is_between = _between_texts(body, start, end) is not None
    return not is_between or body[start - 1 : start] != b'"' or _ends_with_key(body[max(0, start - 20) : start]) is not None


def end_of_single_quoted(body: bytes, start: int, end: int) -> int:
    """Return where a value in single quotes ends. If the JSON string that contains the value ends before the closing quote, the value ends there."""
    found = (_end_of_text if body[end : end + 1] == b"'" else _possible_end_of_text)(body, start, end)
    return found.start() if found else end


def overwrite(body: bytearray, start: int, end: int, *, is_json: bool) -> None:
    """Overwrite the secret from `start` to `end` in place. `is_json`: whether the body contains JSON objects."""
    secret = bytes(body[start:end])
    before, after = body[max(0, start - 40) : start].rstrip(), body[end : end + 40].lstrip()
    is_value = before.endswith(b'":') and not after.startswith(b'"') and not secret.startswith(b'"')
    if is_value or (is_json and before.endswith((b"[", b",")) and after.startswith((b",", b"]"))):
        if secret in (b"null", b"true", b"false"):
            return
        if _is_json_number(secret):
            body[start:end] = _masked_number(len(secret), may_be_quoted=is_value and not before.endswith(b'\\":'))
            return
    for place in range(start, end):
        if body[place] != NEWLINE:
            body[place] = STAR


def _masked_number(length: int, *, may_be_quoted: bool) -> bytes:
    """Return what replaces a number in JSON: stars in quotes if `may_be_quoted`, otherwise a number of zeros, of the same length.

    In JSON inside JSON and in lists, quotes could end the string that contains the number, so they are not used there.
    """
    if may_be_quoted and length > 1:
        return b'"' + b"*" * (length - 2) + b'"'
    return {1: b"0", 2: b"-0"}.get(length, b"0." + b"0" * (length - 2))


def _is_json_number(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), int | float)
    except ValueError:
        return False
