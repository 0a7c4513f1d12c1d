"""The endpoints of the read-only JSON API under /api/v1/: their parameters and responses.

The queries are in `selectors`. schemas.py defines the fields of a response, and serializers.py fills them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.decorators import user_passes_test
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from ninja import NinjaAPI, Query, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.docs import Swagger
from pydantic import BeforeValidator, Field, InstanceOf

from dora_metrics import explain, models, selectors
from dora_metrics.api import schemas, serializers
from dora_metrics.api.authentication import BearerToken, TooManyTokens, UserSession, may_read
from dora_metrics.api.csv import Columns, csv_lines
from dora_metrics.calculators.periods import RANGE, Period
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import MEANING, NOT_BEGUN
from dora_metrics.lockout import lock_time
from dora_metrics.period_input import DEFAULT_END, DEFAULT_START, PERIOD_FORMATS, check_order, parse_date, parse_period, report_range

# A response has at most this many periods, over all its services. That is enough for 13 years of one service by day.
MOST_PERIODS = 5000
DESCRIPTION = """
DORA metrics, and the deployments, changes and incidents behind them. `docs/metrics.md` defines every number. The API is read-only.

**Access**: a program that sends `Authorization: Bearer TOKEN` (`manage.py api_token create NAME` prints one), or a user
who is logged in and has the permission "Can view service", or is staff.

**Dates** (`from`, `to`) are local dates of the installation's time zone, `to` is exclusive; **times**
are ISO 8601 in UTC; durations are seconds, ratios shares. **Unknown** is `null`, never 0.

**Pages** have at most `limit` rows. `next` is the URL of the next page, relative to this host, and `null` on the last page. Facts are
ordered by time, then by id, so no row is repeated if others are added meanwhile. A page may have fewer rows than its limit without being the last.
**CSV**: `format=csv` returns all rows that match, not one page. Nested fields are flattened, and a cell that begins like a formula
(`=`, `+`, `-`, `@`, tab, carriage return) is prefixed with `'`.

**Quality flags** are notes on the quality of a value. `flags`, next to the rows, says what each of their flags means.
"""


class DocsForReaders(Swagger):
    """The documentation page. Without a session it redirects to the login. Its scripts are ninja's static files on this host."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        return user_passes_test(lambda _user: may_read(request))(super().render_page)(request, api, **kwargs)


api = NinjaAPI(
    title="callcentersite ETL", version="1", description=DESCRIPTION, auth=[UserSession(), BearerToken()], docs=DocsForReaders(), urls_namespace="api"
)


# --- parameters --------------------------------------------------------------------------------------------------------

LocalDate = Annotated[date, BeforeValidator(parse_date, json_schema_input_type=str)]


class PageQuery(Schema):
    service: str | None = Field(None, min_length=1, description="its name; default: all services")
    limit: int = Field(100, ge=1, le=1000, description="the most rows of a page")
    cursor: str | None = Field(None, description="where the page begins; take it from `next`")
    format: Literal["json", "csv"] = Field("json", description="csv returns all rows that match, in one table")


class FactsQuery(PageQuery):
    start: LocalDate | None = Field(None, alias="from", description="local date")
    end: LocalDate | None = Field(None, alias="to", description="local date, exclusive")


class DeploymentsQuery(FactsQuery):
    failed: bool | None = Field(
        None, description="only deployments that count as failed, or only those that do not; if that is unknown, a deployment is in neither"
    )


class IncidentsQuery(FactsQuery):
    open: bool | None = Field(None, description="only open incidents, or only ended ones")


class MetricsQuery(FactsQuery):
    start: LocalDate | None = Field(None, alias="from", description=f"local date; default: {DEFAULT_START}")
    end: LocalDate | None = Field(None, alias="to", description=f"local date, exclusive; default: {DEFAULT_END}")
    by: Literal["day", "week", "month", "range"] = Field(
        "month", description="days, ISO weeks or months; or range: one period from `from` to `to`, only with `service`, computed now"
    )
    environment: str = Field(
        PRODUCTION, min_length=1, description="another environment by its exact name, only with `service`; its metrics are computed now"
    )
    limit: int = Field(100, ge=1, le=1000, description=f"the most services of a page; fewer if they have more than {MOST_PERIODS} periods")


class ExplanationQuery(Schema):
    service: str = Field(min_length=1, description="its name")
    metric: Literal[explain.METRICS] = Field(description="a metric of the report")  # type: ignore[valid-type]
    period: Annotated[InstanceOf[Period], BeforeValidator(parse_period, json_schema_input_type=str)] = Field(description=PERIOD_FORMATS)
    environment: str = Field(PRODUCTION, min_length=1, description="another environment by its exact name")


# --- responses ---------------------------------------------------------------------------------------------------------


class Problem(Schema):
    detail: str = Field(description="one sentence that says what is wrong and what to do")


class Page(Schema):
    next: str | None = Field(description="the URL of the next page, relative to this host; null on the last page")


class FlaggedPage(Page):
    flags: dict[str, str] = Field(description="the meaning of each quality flag on this page")


class Services(Page):
    items: list[schemas.Service]


class Metrics(FlaggedPage):
    reports: list[schemas.Report] = Field(description="objects as of `dora_report --format json`")


class Deployments(FlaggedPage):
    items: list[schemas.Deployment]


class Changes(FlaggedPage):
    items: list[schemas.Change]


class Incidents(FlaggedPage):
    items: list[schemas.Incident]


PROBLEMS = {401: Problem, 404: Problem, 422: Problem, 429: Problem}
WITH_CSV = {"responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}}
Answer = Mapping[str, Any] | HttpResponse | StreamingHttpResponse


@api.exception_handler(AuthenticationError)
def refuse(request: HttpRequest, exc: AuthenticationError) -> HttpResponse:
    response = api.create_response(request, {"detail": str(exc)}, status=401)
    response["WWW-Authenticate"] = "Bearer"
    return response


@api.exception_handler(TooManyTokens)
def refuse_guessing(request: HttpRequest, exc: TooManyTokens) -> HttpResponse:
    sentence = f"too many unknown tokens came from your address: wait {settings.LOGIN_LOCK_MINUTES} minutes"
    response = api.create_response(request, {"detail": sentence}, status=429)
    response["Retry-After"] = str(int(lock_time().total_seconds()))
    return response


@api.exception_handler(ValidationError)
def explain_validation_error(request: HttpRequest, exc: ValidationError) -> HttpResponse:
    """Answer with one sentence instead of ninja's list of objects."""
    return api.create_response(request, {"detail": "; ".join(map(_sentence, exc.errors))}, status=422)


def _sentence(error: Mapping[str, Any]) -> str:
    name = error["loc"][-1] if error["loc"] else ""
    return f"{name}: {error['msg'].removeprefix('Value error, ')}"


# --- endpoints ---------------------------------------------------------------------------------------------------------


@api.get("/services", tags=["services"], response={200: Services} | PROBLEMS, openapi_extra=WITH_CSV, summary="Services")
def services(request: HttpRequest, query: Query[PageQuery]) -> Answer:
    """All services, ordered by name, with the settings that determine their numbers and the spans that have been collected."""
    _refuse_unknown(request, query)
    return _answer(request, query, selectors.services_with_coverage(_service(query)), serializers.SERVICES)


@api.get("/metrics", tags=["metrics"], response={200: Metrics} | PROBLEMS, openapi_extra=WITH_CSV, summary="The five metrics by period")
def metrics(request: HttpRequest, query: Query[MetricsQuery]) -> Answer:
    """One report for each service, ordered by name. A report is the object that `dora_report --format json` prints.

    In CSV there is one row for each period. A period has `quality_flags`. `flags`, next to the reports, says what each of these
    flags means.
    """
    _refuse_unknown(request, query)
    service, now = _service(query), timezone.now()
    today = now.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date()
    start, end = report_range(query.start, query.end, by=query.by, today=today)
    _check_order(start, end)
    _check_environment(service, query.environment)
    if query.by == RANGE and service is None:
        raise HttpError(422, "by=range is computed while you wait: name the service, too")
    count = len(selectors.begun_periods(start, end, query.by, today=today))
    if count > MOST_PERIODS:
        raise HttpError(422, f"from {start} to {end} are {count} periods by {query.by}: ask for at most {MOST_PERIODS} at a time")
    limit = min(query.limit, max(1, MOST_PERIODS // max(1, count)))
    found = selectors.services_by_name(service)

    def reports(of: Sequence[models.Service]) -> list[dict[str, Any]]:
        return selectors.reports(of, start=start, end=end, by=query.by, environment=query.environment, time_zone=settings.ETL_TIME_ZONE, now=now)

    if query.format == "csv":
        return _csv(request, serializers.periods(report for page in found.pages(limit) for report in reports(page)), serializers.PERIOD_COLUMNS)
    shown, after = found.page(limit, _position(found, query.cursor))
    answer = reports(shown)
    flags = _flag_meanings(period for report in answer for period in report["periods"]) if count else {NOT_BEGUN: MEANING[NOT_BEGUN]}
    return {"reports": answer, "flags": flags, "next": _next(request, after)}


@api.get("/deployments", tags=["facts"], response={200: Deployments} | PROBLEMS, openapi_extra=WITH_CSV, summary="Deployments")
def deployments(request: HttpRequest, query: Query[DeploymentsQuery]) -> Answer:
    """The production deployments that count, ordered by finish. Each row says whether the deployment failed or was unplanned, and why."""
    return _answer(request, query, selectors.deployments(_fact_filter(request, query), failed=query.failed), serializers.DEPLOYMENTS)


@api.get("/changes", tags=["facts"], response={200: Changes} | PROBLEMS, openapi_extra=WITH_CSV, summary="Changes")
def changes(request: HttpRequest, query: Query[FactsQuery]) -> Answer:
    """Merged pull requests of people and bots, ordered by merge.

    Each row has the deployment that first carried the change, and its lead time.
    """
    return _answer(request, query, selectors.changes(_fact_filter(request, query)), serializers.CHANGES)


@api.get("/incidents", tags=["facts"], response={200: Incidents} | PROBLEMS, openapi_extra=WITH_CSV, summary="Incidents")
def incidents(request: HttpRequest, query: Query[IncidentsQuery]) -> Answer:
    """Incidents, ordered by start. Each row has the deployment that caused the incident, and how the two were linked."""
    return _answer(request, query, selectors.incidents(_fact_filter(request, query), is_open=query.open), serializers.INCIDENTS)


@api.get("/explain", tags=["metrics"], response={200: schemas.Explanation} | PROBLEMS, summary="The facts behind one value")
def explanation(request: HttpRequest, query: Query[ExplanationQuery]) -> Answer:
    """The deployments, changes and incidents that count in one value, with the rules by which each counts.

    `members` lists these facts. `sums` has the totals of their `counts`, which equal the numbers of the report.
    """
    _refuse_unknown(request, query)
    service = _named_service(query.service)
    _check_environment(service, query.environment)
    return explain.explanation(service, metric=query.metric, period=query.period, environment=query.environment)


def _answer(request: HttpRequest, query: PageQuery, found: selectors.Keyset[Any], kind: serializers.Kind) -> Answer:
    if query.format == "csv":
        return _csv(request, (kind.row(row) for row in found), kind.columns)
    shown, after = found.page(query.limit, _position(found, query.cursor))
    items = [kind.row(row) for row in shown]
    return {"items": items, "flags": _flag_meanings(items), "next": _next(request, after)}


def _csv(request: HttpRequest, found: Iterable[serializers.Row], columns: Columns) -> StreamingHttpResponse:
    name = request.path.rpartition("/")[2]
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingHttpResponse(csv_lines(found, columns), content_type="text/csv; charset=utf-8", headers=headers)


def _flag_meanings(flagged: Iterable[serializers.Row]) -> dict[str, str]:
    flags = sorted({flag for row in flagged for flag in row.get("quality_flags", ())})
    return {flag: MEANING[flag] for flag in flags if flag in MEANING}  # a worker of a newer version may have stored others


def _next(request: HttpRequest, after: selectors.Position | None) -> str | None:
    return f"{request.path}?{urlencode({**request.GET.dict(), 'cursor': str(after)})}" if after else None


def _position(found: selectors.Keyset[Any], cursor: str | None) -> selectors.Position | None:
    try:
        return found.position(cursor) if cursor is not None else None
    except ValueError as exc:
        raise HttpError(422, str(exc)) from exc


def _fact_filter(request: HttpRequest, query: FactsQuery) -> selectors.FactFilter:
    _refuse_unknown(request, query)
    _check_order(query.start, query.end)
    return selectors.FactFilter(service=_service(query), start=query.start, end=query.end)


def _refuse_unknown(request: HttpRequest, query: Schema) -> None:
    """Refuse unknown parameters, and a cursor for CSV.

    Otherwise a misspelt filter would be ignored, and the response would be wrong.
    """
    if request.GET.get("format") == "csv" and "cursor" in request.GET:
        raise HttpError(422, "format=csv gives all rows that match: leave the cursor out")
    known = {field.alias or name for name, field in type(query).model_fields.items()}
    if unknown := sorted(set(request.GET) - known):
        raise HttpError(422, f"there is no parameter {', '.join(map(repr, unknown))}; known: {', '.join(sorted(known))}")


def _service(query: PageQuery) -> models.Service | None:
    return _named_service(query.service) if query.service else None


def _named_service(name: str) -> models.Service:
    try:
        return selectors.services(name)[0]
    except selectors.UnknownService as exc:
        raise HttpError(404, str(exc)) from exc


def _check_order(start: date | None, end: date | None) -> None:
    try:
        check_order(start, end)
    except ValueError as exc:
        raise HttpError(422, str(exc)) from exc


def _check_environment(service: models.Service | None, environment: str) -> None:
    if environment == PRODUCTION:
        return
    if service is None:
        raise HttpError(422, f"environment {environment!r} is computed while you wait: name the service, too")
    try:
        selectors.check_environment(service, environment)
    except selectors.UnknownEnvironment as exc:
        raise HttpError(404, str(exc)) from exc
