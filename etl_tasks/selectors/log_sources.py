"""Which log source the log page opens with."""

from collections.abc import Sequence

from etl_tasks.models import Cursor, Source


def latest_log_source(kinds: Sequence[str]) -> str:
    """Return the name of the log source whose events were collected last; if none was ever collected, the first by name; "" if there is none.

    `kinds`: the kinds of source whose records are log events.
    """
    sources = Source.objects.filter(kind__in=kinds)
    latest = Cursor.objects.filter(source__in=sources).order_by("-moved_at", "source__name").values_list("source__name", flat=True).first()
    return latest or sources.order_by("name").values_list("name", flat=True).first() or ""
