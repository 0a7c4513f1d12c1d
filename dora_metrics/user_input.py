"""What people ask for, in a command or a URL. What cannot be used raises ValueError with one sentence for them."""

from datetime import date

# Within what every database and time zone can hold.
FIRST, LAST = date(1970, 1, 1), date(2999, 12, 31)


def date_of(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no date: write it as 2026-02-28") from None
    if not FIRST <= day <= LAST:
        raise ValueError(f"{text!r} is too far away: give a date from {FIRST} to {LAST}")
    return day


def check_order(start: date | None, end: date | None, *, names: tuple[str, str] = ("from", "to")) -> None:
    """`names`: what the two are called where they were asked for."""
    if start and end and end <= start:
        raise ValueError(f"{names[1]} {end} is not after {names[0]} {start}: the period would end before it starts")
