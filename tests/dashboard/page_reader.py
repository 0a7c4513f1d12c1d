"""Read a page as a browser does: its elements, its tables, and the figures in its texts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser

VOID = {"br", "circle", "hr", "img", "input", "link", "meta", "polyline", "rect"}
UNKNOWN = "–"
UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
SIGNS = {"+": 1, "−": -1, "±": 0}
NUMBER = r"(?P<sign>[+−±])?(?P<number>\d[\d,]*(?:\.\d+)?)"
FORMS = {
    "seconds": rf"{NUMBER} (?P<unit>s|min|h|d)",
    "share": rf"{NUMBER}%",
    "per_day": rf"{NUMBER} a day",
    "points": rf"{NUMBER} points",
    "count": NUMBER,
}
UNIT_OF = {
    "deployment_frequency": "per_day",
    "change_lead_time": "seconds",
    "change_fail_rate": "share",
    "failed_deployment_recovery_time": "seconds",
    "deployment_rework_rate": "share",
}


@dataclass(eq=False)
class Element:
    tag: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    def walk(self) -> Iterator["Element"]:
        """Yield the element and everything in it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str = "", *, kind: str = "", **attributes: str) -> list["Element"]:
        """Return the elements inside that have the tag, the class `kind`, and the attributes."""
        return [
            one
            for one in self.walk()
            if one is not self
            and (not tag or one.tag == tag)
            and (not kind or kind in one.attributes.get("class", "").split())
            and all(one.attributes.get(name) == value for name, value in attributes.items())
        ]

    def one(self, tag: str = "", *, kind: str = "", **attributes: str) -> "Element":
        found = self.all(tag, kind=kind, **attributes)
        assert len(found) == 1, f"{len(found)} elements are {tag or 'any'}.{kind} {attributes}"
        return found[0]

    @property
    def text(self) -> str:
        """The text inside, with single spaces."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child._texts()
                yield " " if child.tag in ("br", "div", "dd", "dt", "li", "p", "td", "th", "tr") else ""

    @property
    def rows(self) -> list[list["Element"]]:
        """The cells of each row in the table's bodies."""
        lines = [line for part in self.all("tbody") for line in part.all("tr")]
        return [[cell for cell in line.children if isinstance(cell, Element)] for line in lines]

    @property
    def terms(self) -> dict[str, str]:
        """The descriptions in the list by their terms."""
        parts = [child for child in self.children if isinstance(child, Element)]
        return {term.text: description.text for term, description in zip(parts[::2], parts[1::2], strict=True)}

    @property
    def moments(self) -> list[datetime]:
        """The exact times that are shown inside."""
        return [datetime.fromisoformat(one.attributes["datetime"]) for one in self.all("time")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        closed = self.open.pop()
        assert closed.tag == tag, f"</{tag}> where <{closed.tag}> is open"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def page_of(html: str) -> Element:
    """Return the page. Fails if elements are not closed in order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, [element.tag for element in reader.open]
    return reader.open[0]


def shows(text: str, value: float | None, unit: str) -> bool:
    """Return whether the text shows the value, rounded (not cut off) and as precise as pages promise; a dash shows None.

    `unit`: a key of FORMS. Promised are a tenth of a percent, a hundredth of a deployment a day and of a count, and a duration
    whose error is below five percent. A text with a sign shows a difference.
    """
    if value is None or text == UNKNOWN:
        return value is None and text == UNKNOWN
    found = re.fullmatch(FORMS[unit], text)
    if not found:
        return False
    sign, number = found["sign"], float(found["number"].replace(",", ""))
    if sign and SIGNS[sign] != (value > 0) - (value < 0):
        return False
    if sign is None and value < 0:
        return False
    decimals = len(found["number"].partition(".")[2])
    size = {"seconds": UNIT_SECONDS[found["unit"]] if unit == "seconds" else 1.0, "share": 0.01, "points": 0.01}.get(unit, 1.0)
    if unit == "seconds":
        step = size * 10**-decimals
        tolerance = step / 2 if step <= max(abs(value) / 9.5, 0.1) else 0.0
    else:
        tolerance = {"share": 0.0005, "points": 0.0005, "per_day": 0.005, "count": 0.005}[unit]
    return abs(number * size - abs(value)) <= tolerance * (1 + 1e-6) + 1e-9
