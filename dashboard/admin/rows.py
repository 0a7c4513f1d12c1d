"""The base classes of the admin's pages: values that people can read, lists that open fast, and pages of rows that nobody may change."""

from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.text import capfirst

from dashboard.admin.paging import CappedPaginator
from dashboard.admin.values import Show, shown
from dashboard.templatetags.display import UNKNOWN

FIRST_AND_LAST = {"service": -2, "repository": -1, "gone_at": 1, "url": 2, "node_id": 3, "run_id": 4, "page_id": 5}  # the order on the page of a row
LONGEST_SEARCH = 200  # a database refuses a statement with thousands of words
LOOKUPS = frozenset({"exact", "gte", "lt", "isnull"})  # those of the filters; some others fail on values that they cannot take


class PreparedList(ChangeList):
    """A list whose rows are completed together, so that columns need no query for each row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_popup:
            self.title = capfirst(str(self.opts.verbose_name_plural))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list) if self.result_count else []  # a second search for nothing would take as long as the first
        cast(ReadableAdmin, self.model_admin).prepare(self.result_list)


class SafeList(admin.ModelAdmin):
    """The base of lists that no address makes fail: it refuses parameters that no filter uses, and searches for so many words only."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        _path, found, last = lookup.rpartition("__")
        return (not found or last in LOOKUPS) and super().lookup_allowed(lookup, value, request)

    def get_search_results(self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str) -> tuple[models.QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, search_term.replace("\x00", "")[:LONGEST_SEARCH])


class ReadableAdmin(SafeList):
    """Shows the values of fields as dashboard/admin/values.py does: in lists, and where they cannot be changed.

    A list is read with few queries whatever the number of rows. `sortable`: the columns that a list can be sorted by; sorting a large
    table takes an index. `fetched`: related rows that the list shows. They are fetched by a query of their own, because with a join
    MySQL may sort the whole table.
    """

    sortable: ClassVar[tuple[str, ...]] = ()
    fetched: ClassVar[tuple[str, ...]] = ()
    empty_value_display = UNKNOWN
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_select_related: ClassVar[Any] = ()

    def prepare(self, rows: Sequence[Any]) -> None:
        """Add to the rows of a list what its columns show besides fields."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PreparedList

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).prefetch_related(*self.fetched)

    def get_list_display(self, request: HttpRequest) -> Any:
        return [self._shown(name, is_short=True) for name in super().get_list_display(request)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [self._shown(name, is_short=False) for name in super().get_readonly_fields(request, obj)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets. Fields that cannot be changed are columns of `shown`; for who may only look, these are all fields."""
        may_change = self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)
        fixed = None if not may_change else {name for name in super().get_readonly_fields(request, obj) if isinstance(name, str)}

        def converted(names: Iterable[Any]) -> list[Any]:
            return [
                converted(name) if isinstance(name, list | tuple) else self._shown(name, is_short=False) if fixed is None or name in fixed else name
                for name in names
            ]

        return [(title, {**options, "fields": converted(options["fields"])}) for title, options in self.sections(request, obj)]

    def sections(self, request: HttpRequest, obj: Any) -> Any:
        """Return the fieldsets as Django's `get_fieldsets` does."""
        return super().get_fieldsets(request, obj)

    def _shown(self, name: Any, *, is_short: bool) -> Any:
        if not isinstance(name, str) or hasattr(type(self), name):
            return name
        return _column(cast(Hashable, self.model), name, is_short=is_short, is_sortable=name in self.sortable)


@cache
def _column(model: Any, name: str, *, is_short: bool, is_sortable: bool) -> Show | str:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    return shown(field, is_short=is_short, is_sortable=is_sortable) if isinstance(field, models.Field) and not field.many_to_many else name


class DataAdmin(ReadableAdmin):
    """The base of the pages whose rows only the pipeline writes: they show every column, and nobody can change anything.

    `left_out`: columns that the page of a row leaves out.
    """

    left_out: ClassVar[tuple[str, ...]] = ()
    actions: Any = None

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.fields:
            return self.fields
        names = [field.name for field in self.model._meta.concrete_fields if field.name not in ("id", *self.left_out)]
        return sorted(names, key=lambda name: FIRST_AND_LAST.get(name, 0))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class RarelyUsed(ReadableAdmin):
    """The base of pages that the lists of pages leave out while their model has no rows."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) and self.model in _used_models(self.admin_site, request)


def _used_models(site: admin.AdminSite, request: HttpRequest) -> set[type[models.Model]]:
    """Return those rarely used models that have rows. One query for each request finds all of them."""
    if not hasattr(request, "used_models"):
        rare = {f"has_{model._meta.model_name}": model for model, page in site._registry.items() if isinstance(page, RarelyUsed)}
        user = get_user_model().objects.filter(pk=request.user.pk or 0)  # any table with a row
        found = user.values(**{name: models.Exists(model._default_manager.all()) for name, model in rare.items()}).first() or {}
        request.used_models = {model for name, model in rare.items() if found.get(name)}  # type: ignore[attr-defined]
    used: set[type[models.Model]] = request.used_models  # type: ignore[attr-defined]
    return used


def page_address(name: str, *arguments: object) -> str | None:
    """Return the address of a page outside the admin, such as "dashboard:run"; None if the arguments cannot be part of an address."""
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return None
