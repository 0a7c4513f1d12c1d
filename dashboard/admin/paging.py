"""The pages of long lists, and their filters. Django's own ask the table for its distinct values, which takes seconds in a large one."""

from collections.abc import Mapping
from typing import Any, cast

from django.contrib.admin import RelatedFieldListFilter, SimpleListFilter
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST_COUNTED = 10_000
MOST_LINKS = 8


class CappedPaginator(Paginator):
    """Counts MOST_COUNTED rows at most, because counting millions takes seconds. Filters and searches find the rows beyond."""

    @cached_property
    def count(self) -> int:
        return min(self._counted, MOST_COUNTED)

    @property
    def has_more(self) -> bool:
        return self._counted > MOST_COUNTED

    @cached_property
    def _counted(self) -> int:
        rows = cast(QuerySet[Any], self.object_list)
        return rows.order_by()[: MOST_COUNTED + 1].count()


class ChoiceFilter(SimpleListFilter):
    """A filter of the column `parameter_name` by the values in `labels`."""

    labels: Mapping[str, Any]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(self.labels.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() in self.labels else queryset


class RelatedFilter(RelatedFieldListFilter):
    """A filter by a related object. With many objects it is a form with a select, which needs no script."""

    template = "admin/related_filter.html"

    def __init__(self, field: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(field, request, *args, **kwargs)
        ignored = (self.lookup_kwarg, self.lookup_kwarg_isnull, "p")
        self.other_parameters = [(name, value) for name, values in request.GET.lists() if name not in ignored for value in values]
        self.has_many_choices = len(self.lookup_choices) > MOST_LINKS
        chosen = self.lookup_val[-1] if isinstance(self.lookup_val, list) else self.lookup_val
        self.options = [(pk, label, str(pk) == chosen) for pk, label in self.lookup_choices]
