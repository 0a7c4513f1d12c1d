"""Links from one fact to another, and rules in words with such links."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from string import Formatter
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.sentences import LogLines, Minute, Sentence

DEPLOYMENT, PULL_REQUEST, ISSUE, LOGS = "deployment ", "pull request ", "issue ", "logs "


@dataclass(frozen=True, slots=True)
class FactLinks:
    """Finds the pages of the facts of one service and environment.

    `repositories`: the id of each repository by the name that the keys of its facts have. A fact is named as rules name it: "deployment
    55", "pull request 7", "pull request acme/billing#7", "issue 12", or "logs" and a minute.
    """

    service: str
    repositories: Mapping[str, int]
    environment: str = PRODUCTION

    def url(self, fact: str) -> str:
        """Return the path of the fact's page; "" for anything that names no fact."""
        path = ""
        if fact.startswith(DEPLOYMENT):
            path = reverse("dashboard:deployment", args=[self.service, fact.removeprefix(DEPLOYMENT)])
        elif fact.startswith((ISSUE, LOGS)):
            path = reverse("dashboard:incident", args=[self.service, fact])
        elif fact.startswith(PULL_REQUEST):
            path = self._change(fact.removeprefix(PULL_REQUEST))
        return f"{path}{self.query}" if path else ""

    @property
    def query(self) -> str:
        """The query of a page about another environment than production."""
        return "" if self.environment == PRODUCTION else "?" + urlencode({"environment": self.environment})

    def _change(self, text: str) -> str:
        name, _separator, number = text.rpartition("#")
        known = self.repositories if name else {"": next(iter(self.repositories.values()), None)}
        repository = known.get(name)
        return reverse("dashboard:change", args=[self.service, repository, int(number)]) if repository and number.isdecimal() else ""


def fact_label(fact: str) -> str:
    """Return the fact's name in the reader's language."""
    for prefix, text in (
        (DEPLOYMENT, _("deployment %s")),
        (PULL_REQUEST, _("pull request %s")),
        (ISSUE, _("issue %s")),
    ):
        if fact.startswith(prefix):
            return text % fact.removeprefix(prefix)
    if fact.startswith(LOGS):
        return _("incident in the logs, %s") % _minute_of_key(fact.removeprefix(LOGS))
    return fact


def _minute_of_key(text: str) -> str:
    """Return a minute as pages show times. `text`: the minute as the key of an incident has it, such as 2026-11-27T13:54Z."""
    try:
        return _minute(datetime.fromisoformat(text))
    except ValueError:
        return text


def _minute(moment: datetime) -> str:
    local = moment.astimezone(ZoneInfo(settings.ETL_TIME_ZONE))
    return f"{date_format(local, _('j M Y'), use_l10n=True)}, {date_format(local, 'H:i')} {local:%Z}"


def linked_fact(fact: str, links: FactLinks) -> SafeString:
    """Return the fact's name as a link to its page, or as plain text if it has no page."""
    url = links.url(fact)
    return format_html('<a href="{}">{}</a>', url, fact_label(fact)) if url else format_html("{}", fact_label(fact))


def linked_sentence(sentence: str, links: FactLinks) -> SafeString:
    """Return a rule or another sentence in the reader's language, with a link for each fact in it."""
    if not isinstance(sentence, Sentence):
        return format_html("{}", sentence)
    parts, position = [], 0
    for literal, field, _spec, _conversion in Formatter().parse(_(sentence.template)):
        parts.append(escape(literal))
        if field is not None:
            parts.append(_linked_value(sentence.values[int(field) if field else position], links))
            position += 1
    return mark_safe("".join(parts))  # noqa: S308  each part is escaped


def _linked_value(value: object, links: FactLinks) -> SafeString:
    if isinstance(value, Minute):
        return format_html("{}", _minute(value.moment))
    if isinstance(value, LogLines):
        return format_html('<a href="{}">{}</a>', value.url, _("log lines")) if safe_url(value.url) else format_html("{}", value)
    if isinstance(value, date):
        return format_html("{}", date_format(value, _("j M Y"), use_l10n=True))
    if isinstance(value, Sentence):
        return linked_sentence(value, links)
    return linked_fact(str(value), links)


def safe_url(url: str) -> str:
    """Return the URL if a link may have it, otherwise "".

    URLs of facts come from GitHub and from whoever writes a deployment's status, so only web addresses and paths of our own pages are
    links.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    is_web = parts.scheme in ("http", "https") and bool(parts.netloc)
    is_own_path = not parts.scheme and not parts.netloc and url.startswith("/") and not url.startswith(("//", "/\\"))
    return url if is_web or is_own_path else ""
