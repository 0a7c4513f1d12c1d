"""Find the forms of a page, with what a browser would send. A link with parameters is a form too, because it is the same to the server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit


@dataclass
class Form:
    """`address`: without parameters. `fields`: what a browser sends. `names`: of all fields, also of those that a browser leaves out."""

    address: str
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__()
        self.base, self.found = base, list[Form]()
        self._form: Form | None = None
        self._filled = ""  # the select or textarea whose content follows

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, value = given.get("name", ""), given.get("value", "")
        for link in given.values():  # href, hx-get, and what a script reads
            if link.startswith(("/", "?")) and (fields := dict(parse_qsl(urlsplit(link).query))):
                self.found.append(Form(self._path(link), "get", fields, set(fields)))
        match tag:
            case "form":
                self._form = Form(self._path(given.get("action", "")), given.get("method", "get").lower())
                self.found.append(self._form)
            case "select" | "textarea":
                self._filled = name
                self._add(name, "", is_sent=True)
            case "option":
                self._add(self._filled, value, is_sent="selected" in given)
            case "input" if given.get("type") in ("checkbox", "radio"):
                self._add(name, value or "on", is_sent="checked" in given)
            case "input":
                self._add(name, value, is_sent=given.get("type") != "submit")
            case "button":
                self._add(name, value, is_sent=False)

    def handle_data(self, text: str) -> None:
        if self._filled and self.lasttag == "textarea":
            self._add(self._filled, text, is_sent=True)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag in ("select", "textarea"):
            self._filled = ""

    def _add(self, name: str, value: str, *, is_sent: bool) -> None:
        if self._form and name:
            self._form.names.add(name)
            if is_sent:
                self._form.fields[name] = value

    def _path(self, href: str) -> str:
        return urlsplit(urljoin(self.base, href)).path


def forms_of(html: str, base: str) -> list[Form]:
    """Return the forms of a page. `base`: the path of the page."""
    reader = _Reader(base)
    reader.feed(html)
    return [form for form in reader.found if form.names]


def forms_of_api(schema: Mapping[str, object]) -> list[Form]:
    """Return the requests that the API's description names, without values."""
    paths: Mapping[str, Mapping[str, Mapping[str, list[Mapping[str, str]]]]] = schema["paths"]  # type: ignore[assignment]
    return [
        Form(path, method, names={parameter["name"] for parameter in operation["parameters"]})
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]
