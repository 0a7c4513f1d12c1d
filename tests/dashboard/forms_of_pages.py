"""Find the forms and links of a page, with the fields that they send."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit


@dataclass
class Form:
    """A form, or a link with parameters, which is the same to the server. `address`: without parameters."""

    address: str
    method: str = "get"
    fields: list[tuple[str, str]] = field(default_factory=list)

    @property
    def kind(self) -> tuple[str, str, tuple[str, ...]]:
        """Two forms of the same kind differ in their values only."""
        return self.address, self.method, tuple(sorted({name for name, _ in self.fields}))


class _Reader(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__()
        self.base, self.found, self.links = base, list[Form](), list[str]()
        self._form: Form | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "form":
                self._form = Form(self._address(given.get("action", "")), given.get("method", "get").lower())
                self.found.append(self._form)
            case "a" if given.get("href", "").startswith(("/", "?")):
                address, parameters = self._address(given["href"]), parse_qsl(urlsplit(given["href"]).query)
                self.links.append(address)
                if parameters:
                    self.found.append(Form(address, "get", parameters))
            case "select":
                self._select = given.get("name", "")
                self._add(self._select, "")
            case "option":
                self._add(self._select, given.get("value", ""))
            case "input" | "textarea" | "button":
                self._add(given.get("name", ""), given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None

    def _add(self, name: str, value: str) -> None:
        if self._form and name:
            self._form.fields.append((name, value))

    def _address(self, href: str) -> str:
        return urlsplit(urljoin(self.base, href)).path


def forms_and_links(html: str, base: str) -> tuple[list[Form], list[str]]:
    """Return the forms of a page, and the paths of the links on it. `base`: the path of the page."""
    reader = _Reader(base)
    reader.feed(html)
    return reader.found, reader.links
