"""The format options of a log source."""

from django.utils.translation import gettext as _

from etl_tasks.models import Source
from etl_tasks.sources.logs.formats.interface import FormatOptions


def format_options(source: Source) -> FormatOptions:
    """Return the options for reading the lines of a source. Raises ValueError if its `log_fields` does not map field names to keys."""
    fields = source.log_fields or {}
    if not isinstance(fields, dict) or not all(isinstance(key, str) and key for key in fields.values()):
        raise ValueError(_('the fields must map names to keys, as {"message": "text"}'))
    return FormatOptions(
        log_format=source.log_format,
        pattern=source.log_pattern,
        time_zone=source.log_time_zone,
        fields=tuple(sorted(fields.items())),
        deploy_pattern=source.deploy_pattern,
        is_strict=source.is_strict,
    )
