"""A JSON column that is read quickly, and whose texts are equal if their values were written in the same order."""

from typing import Any

import msgspec
from django.db import models


class JSONField(models.JSONField):
    """Django's JSONField, except that msgspec decodes and encodes the text.

    This matters for a service's metrics, which read tens of thousands of texts. Bulk writes encode with msgspec, too, so one value is one text.
    """

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if self.encoder is None and isinstance(value, (list, dict)):
            return msgspec.json.encode(value).decode()
        return super().get_db_prep_save(value, connection)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if self.decoder is None and isinstance(value, str) and isinstance(expression, models.expressions.Col):
            try:
                return msgspec.json.decode(value)
            except (msgspec.DecodeError, ValueError):
                pass  # Python's decoder, which Django uses, also takes NaN, for example
        return super().from_db_value(value, expression, connection)

    def deconstruct(self) -> Any:
        """Return what Django's field returns, so that migrations do not refer to this class."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
