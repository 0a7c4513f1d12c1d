"""How the admin shows the values of a row: times with their zone, words instead of icons, links, and JSON as tables."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from django.contrib import admin
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.templatetags import display
from dashboard.templatetags.display import UNKNOWN

LONGEST_CELL = 140
LONGEST_TITLE = 1000  # a browser shows more text than this badly beside the pointer
LONGEST_TEXT = 20_000
MOST_ROWS = 100
MOST_LEVELS = 4  # of JSON that is shown as a table inside a table
SHORT_SHA = 10
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*(Z|[+-]\d\d:?\d\d)")
SHA = re.compile(r"[0-9a-f]{40,64}")

LABELS = {"url": gettext_lazy("address"), "sha": gettext_lazy("commit"), "run_id": gettext_lazy("loaded by"), "page_id": gettext_lazy("read from")}

Show = Callable[[Any], Any]


def shown(field: "models.Field[Any, Any]", *, is_short: bool, is_sortable: bool = False) -> Show:
    """Return a column of the admin that shows the field as a person reads it. `is_short`: for a list, not for the page of one row."""

    def show(row: models.Model) -> Any:
        return value_of(row, field, is_short=is_short)

    show.__name__ = field.name  # by which the admin finds the help text
    show.short_description = LABELS.get(field.name, field.verbose_name)  # type: ignore[attr-defined]
    if is_sortable:
        show.admin_order_field = field.name  # type: ignore[attr-defined]
    return show


def value_of(row: models.Model, field: "models.Field[Any, Any]", *, is_short: bool) -> Any:
    value = getattr(row, field.attname)
    if value is None or value == "":
        return UNKNOWN
    if isinstance(field, models.ForeignKey):
        return row_link(getattr(row, field.name))
    if field.choices:
        return getattr(row, f"get_{field.name}_display")()
    if isinstance(field, models.BooleanField):
        return _("yes") if value else _("no")
    if isinstance(field, models.JSONField):
        return _one_line(value) if is_short else structured(value)
    special: dict[str, Show] = {"url": web_link, "sha": sha_code, "run_id": run_link, "page_id": page_link}
    if field.name in special:
        return special[field.name](value)
    if isinstance(value, float):
        return duration(value) if field.name.endswith("_seconds") else display.number(value)
    if isinstance(value, datetime):
        return instant(value, is_short=is_short)
    if isinstance(value, date):
        return display.day(value)
    if isinstance(value, str):
        return clipped(value) if is_short else text(value)
    return value


# --- single values ----------------------------------------------------------------------------------------------------


def instant(moment: datetime | None, *, is_short: bool = True) -> SafeString | str:
    return display.instant(moment, "minute" if is_short else "second")


def duration(seconds: float | None) -> SafeString | str:
    if seconds is None:
        return UNKNOWN
    return format_html('<span title="{}">{}</span>', _("%(n)s seconds") % {"n": display.number(seconds)}, display.duration(seconds))


def badge(kind: str, word: object, title: object = "") -> SafeString:
    """Return a word in the colours of its kind: ok, warn, bad, info or idle."""
    return format_html('<span class="badge {}" title="{}">{}</span>', kind, title, word)


def badges(*found: SafeString | str) -> SafeString | str:
    return format_html_join(" ", "{}", ((one,) for one in found if one)) or UNKNOWN


def clipped(words: str, longest: int = LONGEST_CELL) -> SafeString | str:
    """Return the first words of a text in one line; the whole text is shown beside the pointer."""
    line = " ".join(words.split())
    if len(line) <= longest:
        return line or UNKNOWN
    cut = line[:longest].rpartition(" ")[0] or line[:longest]
    return format_html('<span title="{}">{}…</span>', words[:LONGEST_TITLE], cut.rstrip(" ,;:.("))


def text(words: str) -> SafeString | str:
    """Return a long text with its line ends."""
    if "\n" not in words and len(words) < LONGEST_CELL:
        return words
    more = len(words) - LONGEST_TEXT
    cut = words[:LONGEST_TEXT] + ("\n" + _("… and %(number)s more characters") % {"number": display.number(more)} if more > 0 else "")
    return format_html("<pre>{}</pre>", cut)


def sha_code(sha: str) -> SafeString | str:
    return format_html('<code title="{}">{}</code>', sha, sha[:SHORT_SHA]) if sha else UNKNOWN


# --- links ------------------------------------------------------------------------------------------------------------


def web_link(url: str, words: object = "") -> SafeString | str:
    """Return a link to a page of the web or of this site; any other text is returned without a link."""
    if url.startswith(("https://", "http://")):
        return format_html('<a href="{}" rel="noopener noreferrer">{}</a>', url, words or clipped(url, 60))
    if url.startswith("/") and not url.startswith(("//", "/\\")):
        return format_html('<a href="{}">{}</a>', url, words or clipped(url, 60))
    return url or UNKNOWN


def row_link(row: models.Model | None, words: object = "") -> SafeString | str:
    """Return a link to the row's page in the admin."""
    if row is None:
        return UNKNOWN
    return admin_link(f"{row._meta.app_label}_{row._meta.model_name}_change", words or str(row), row.pk)


def admin_link(page: str, words: object, *arguments: object, **query: object) -> SafeString | str:
    """Return a link to a page of the admin, such as "etl_tasks_etlrun_change"; only the words if there is no such page."""
    try:
        address = reverse(f"admin:{page}", args=arguments, current_app=admin.site.name, query=query or None)
    except NoReverseMatch:
        return str(words)
    return format_html('<a href="{}">{}</a>', address, words)


def run_link(run_id: int | None) -> SafeString | str:
    return admin_link("etl_tasks_etlrun_change", _("run %(id)s") % {"id": run_id}, run_id) if run_id else UNKNOWN


def page_link(page_id: int | None) -> SafeString | str:
    return admin_link("etl_tasks_stagedpage_change", _("staged page %(id)s") % {"id": page_id}, page_id) if page_id else UNKNOWN


# --- JSON -------------------------------------------------------------------------------------------------------------


def structured(value: Any, *, cell: Show | None = None, level: int = 0) -> SafeString | str:
    """Return JSON as tables: an object has a row for each key, a list of objects has a row for each, and a list of values is a list.

    `cell`: shows a single value, if not as `scalar` does.
    """
    show = cell or scalar
    if level >= MOST_LEVELS and isinstance(value, dict | list):
        return pretty(value)
    if isinstance(value, dict):
        rows = [(key, structured(one, cell=cell, level=level + 1)) for key, one in list(value.items())[:MOST_ROWS]]
        return _table(rows, more=len(value) - MOST_ROWS) if rows else UNKNOWN
    if isinstance(value, list):
        if value and all(isinstance(one, dict) for one in value):
            return _table_of_objects(value, cell=cell, level=level)
        items = format_html_join("", "<li>{}</li>", ((structured(one, cell=cell, level=level + 1),) for one in value[:MOST_ROWS]))
        return format_html('<ul class="values">{}{}</ul>', items, _more(len(value) - MOST_ROWS, "li")) if value else UNKNOWN
    return show(value)


def scalar(value: Any) -> Any:
    """Return a single value of JSON: times, links and commits as such."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int | float):
        return display.number(value) if isinstance(value, float) else str(value)
    words = str(value)
    if ISO_TIME.fullmatch(words):
        try:
            return instant(datetime.fromisoformat(words), is_short=False)
        except ValueError:
            return words
    if SHA.fullmatch(words):
        return sha_code(words)
    return web_link(words) if words.startswith(("https://", "http://", "/")) else text(words)


def pretty(value: Any) -> SafeString | str:
    return text(json.dumps(value, indent=2, ensure_ascii=False))


def _one_line(value: Any) -> SafeString | str:
    if not value:
        return UNKNOWN
    if isinstance(value, list) and not any(isinstance(one, dict | list) for one in value):
        return clipped(", ".join(map(str, value)))
    return clipped(json.dumps(value, ensure_ascii=False))


def _table(rows: Iterable[tuple[object, object]], *, more: int = 0) -> SafeString:
    body = format_html_join("", '<tr><th scope="row">{}</th><td>{}</td></tr>', rows)
    return format_html('<table class="values"><tbody>{}{}</tbody></table>', body, _more(more, "tr"))


def _table_of_objects(objects: Sequence[Mapping[str, Any]], *, cell: Show | None, level: int) -> SafeString:
    names = list(dict.fromkeys(name for one in objects[:MOST_ROWS] for name in one))
    head = format_html_join("", '<th scope="col">{}</th>', ((name.replace("_", " "),) for name in names))
    rows = ([structured(one.get(name), cell=cell, level=level + 1) for name in names] for one in objects[:MOST_ROWS])
    return table(head, rows, more=len(objects) - MOST_ROWS)


def table(head: SafeString, rows: Iterable[Sequence[object]], *, more: int = 0) -> SafeString:
    body = format_html_join("", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((one,) for one in row)),) for row in rows))
    return format_html('<table class="values"><thead><tr>{}</tr></thead><tbody>{}{}</tbody></table>', head, body, _more(more, "tr"))


def _more(count: int, tag: str) -> SafeString:
    if count <= 0:
        return mark_safe("")
    words = _("… and %(number)s more") % {"number": count}
    return format_html("<tr><td>{}</td></tr>" if tag == "tr" else "<li>{}</li>", words)
