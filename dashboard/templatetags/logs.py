"""How the log pages show levels."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

register = template.Library()

# The class of badge, the sign and the word of each level.
LEVELS = {
    "debug": ("idle", "·", gettext_lazy("debug")),
    "info": ("info", "i", gettext_lazy("info")),
    "warning": ("warn", "!", gettext_lazy("warning")),
    "error": ("bad", "✕", gettext_lazy("error")),
    "critical": ("bad", "‼", gettext_lazy("critical")),
    "unknown": ("idle", "?", gettext_lazy("unknown")),
}


@register.simple_tag
def level_badge(level: str) -> SafeString:
    """Return the badge of a log event's level."""
    kind, sign, word = LEVELS.get(level, ("idle", "?", level))
    return format_html('<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>', kind, sign, word)
