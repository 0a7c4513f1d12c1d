"""The page that defines every number: docs/metrics.md, or its translation, as a page with an anchor for each heading."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language

from dashboard.access import page
from dashboard.definitions.document import definitions_in


@page("dora_metrics.view_service")
def definitions(request: HttpRequest) -> HttpResponse:
    language = get_language() or "en"
    found = definitions_in(language)
    return render(request, "dashboard/definitions/definitions.html", {"document": found, "is_translated": language.startswith(found.language)})
