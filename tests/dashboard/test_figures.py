"""Every figure on a page equals what `dora_report` and `dora_explain` print, or what the ledger has.

The pages are opened as a browser opens them, and their figures are read from the HTML and from the data of the charts. What they are
compared with comes from the two commands, which do not share the code that puts a page together, and from the rows themselves.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from io import StringIO
from itertools import chain
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import Client

from dora_metrics.calculators.quality_flags import MEANING
from dora_metrics.models import Attempt, Change, Delivery, Incident, Service
from dora_metrics.period_input import parse_period
from etl_tasks.models import DeadLetter, ETLRun, Source
from tests.dashboard.figure_worlds import WORLDS, World
from tests.dashboard.page_reader import UNIT_OF, UNKNOWN, Element, page_of, shows
from tests.dashboard.printed_figures import (
    DAY,
    FAIL_RATE,
    FREQUENCY,
    LEAD_TIME,
    METRICS,
    NOTHING,
    PRODUCTION,
    RECOVERY,
    REWORK,
    code,
    counts_in,
    explained,
    flag_word,
    flags_in,
    moved,
    period_before,
    printed,
    reported,
    reported_in,
    spoken,
    tiers_in,
    value_in,
)

STAGES = ("coding", "draft", "pickup", "review", "deploy")
# The tests of a world run in one process, so that it is built once.
EACH_WORLD = [pytest.param(name, marks=pytest.mark.xdist_group(f"figures of the {name} world")) for name in WORLDS]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=EACH_WORLD)
def stored(request: Any, django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[World]:
    printed.cache_clear()
    with django_db_blocker.unblock(), WORLDS[request.param](tmp_path_factory.mktemp("logs")) as world:
        yield world


@pytest.fixture
def world(stored: World, db: None, settings: Any) -> Iterator[World]:
    settings.ETL_TIME_ZONE = stored.time_zone
    caches["overview"].clear()
    with time_machine.travel(stored.now, tick=False):
        yield stored


@pytest.fixture
def reader(world: World, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("lead"))
    return client


# --- reading pages ----------------------------------------------------------------------------------------------------


def numbers_of(text: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)]


def opened(client: Client, path: str, **query: str) -> Element:
    answer = client.get(path, query)
    assert answer.status_code == 200, (path, query, answer.content.decode()[:500])
    return page_of(answer.content.decode())


def value_path(service: str, metric: str, period: str, environment: str = PRODUCTION) -> str:
    path = f"/services/{quote(service)}/{metric}/{period}/"
    return path if environment == PRODUCTION else f"{path}?{urlencode({'environment': environment})}"


# --- the worlds -------------------------------------------------------------------------------------------------------


def test_each_world_has_what_it_is_there_for(world: World) -> None:
    """The demo's world has its six services; the awkward one has every flag, partial days, and values that are unknown for either reason."""
    if world.name == "demo":
        assert Service.objects.count() == 6
        return
    days = list(chain.from_iterable(reported("day", date(2025, 12, 20), date(2026, 2, 11)).values()))
    assert {flag for day in days for flag in day["quality_flags"]} == set(MEANING) - {"not_begun"}
    assert {day["partial"] for day in days} == {True, False}
    for metric in METRICS:
        assert any(value_in(day, metric) is None and "not_collected" not in day["metric_flags"][metric] for day in days) or metric == FREQUENCY
        assert any(value_in(day, metric) for day in days), metric


# --- the overview -----------------------------------------------------------------------------------------------------


def overview_periods(world: World) -> Iterator[tuple[dict[str, str], str]]:
    """Yield what is asked of the overview, and the name of the period that it means."""
    today = world.now.astimezone(ZoneInfo(world.time_zone)).date()
    for days in (7, 30, 90, 365):
        yield {"period": f"{days}d"}, f"{today - days * DAY}..{today - DAY}"
    for period in world.periods:
        first, dots, last = period.partition("..")
        yield ({"from": first, "to": last} if dots else {"period": period}), period


@pytest.mark.parametrize("is_production", [True, False], ids=["production", "another environment"])
def test_the_overview_has_the_values_of_the_report(world: World, reader: Client, is_production: bool) -> None:
    environment = PRODUCTION if is_production else next(iter(world.environments))
    for asked, period in overview_periods(world):
        page = opened(reader, "/", **asked, environment=environment)
        now, before = (reported_in(name, environment) for name in (period, period_before(period)))
        rows = page.one("table", kind="overview").rows
        assert sorted(row[0].all("a")[0].text for row in rows) == sorted(now if is_production else world.environments[environment])
        for row in rows:
            name = row[0].all("a")[0].text
            assert_days_are_told(row[0], now[name], period, name, environment)
            for metric, cell in zip(METRICS, row[1:], strict=True):
                where = f"{metric} of {name} in {period}, {environment}"
                assert_cell(cell, metric, now[name], before[name], where)
                links = [link.attributes["href"] for link in cell.all("a")]
                is_known = not {"not collected", "not begun"} & flags_in(now[name], metric)
                assert links == [value_path(name, metric, period, environment)] * is_known, where
                assert_trend(cell, metric, name, period, environment, where)


def assert_cell(cell: Element, metric: str, now: Mapping[str, Any], before: Mapping[str, Any], where: str) -> None:
    value, earlier = value_in(now, metric), value_in(before, metric)
    assert shows(cell.one(kind="value").text, value, UNIT_OF[metric]), (where, cell.text, value)
    assert [badge.text for badge in cell.all(kind="tier")] == tiers_in(now, metric), where
    counts = [muted.text for muted in cell.all("span", kind="muted")]
    assert numbers_of(" ".join(counts)) == counts_in(now, metric), (where, counts)
    assert {flag.text for flag in cell.all(kind="flag")} == flags_in(now, metric), where
    changes = [line.text for kind in ("better", "worse", "same", "unknown") for line in cell.all("div", kind=kind)]
    assert_change(" ".join(changes), metric, earlier, value, where)


def assert_change(text: str, metric: str, earlier: float | None, value: float | None, where: str) -> None:
    """The text names the earlier value, and says whether the value is better, worse or unchanged."""
    if earlier is None:
        assert text == ("" if value is None else "no earlier value"), (where, text)
        return
    said, shown = text.rsplit("was ", 1)
    word = moved(metric, earlier, value)
    assert shows(shown, earlier, UNIT_OF[metric]), (where, text, earlier)
    assert re.sub(r"[^a-z]", "", said) == word, (where, text)
    arrow = ("▲" if value > earlier else "▼") if value is not None and word in ("better", "worse") else ""
    assert re.sub(r"[^▲▼]", "", said) == arrow, (where, text)


def assert_days_are_told(cell: Element, numbers: Mapping[str, Any], period: str, name: str, environment: str) -> None:
    """A row says "partial" as the report does, and how many days were collected as the explanation does."""
    told = [flag.text for flag in cell.all(kind="flag")]
    known = [metric for metric in METRICS if not {"not collected", "not begun"} & flags_in(numbers, metric)]
    assert bool(told) == (bool(known) and numbers["partial"]), (name, period, told)
    if told and FREQUENCY in known:
        collected, asked = explained(name, FREQUENCY, period, environment, period)["collected"]["days"], parse_period(period).days
        assert numbers_of(told[0]) == ([collected, asked] if collected < asked else []), (name, period, told)


def assert_trend(cell: Element, metric: str, name: str, period: str, environment: str, where: str) -> None:
    """The small chart has the values of the report by week or month, and its title the lowest, highest and last one."""
    last_day = parse_period(period).end - DAY
    by = "week" if parse_period(period).days <= 100 else "month"
    starts = [parse_period(f"{last_day.isocalendar()[0]}-W{last_day.isocalendar()[1]:02}" if by == "week" else f"{last_day:%Y-%m}").start]
    while len(starts) < 12:
        starts.append((starts[-1] - 7 * DAY) if by == "week" else (starts[-1] - DAY).replace(day=1))
    starts.reverse()
    periods = {one["start"]: one for one in reported(by, starts[0], last_day + DAY, environment)[name]}
    values = [value_in(periods.get(start.isoformat(), NOTHING), metric) for start in starts]
    known = {position: value for position, value in enumerate(values) if value is not None}
    charts = cell.all("svg")
    assert bool(charts) == bool(known), where
    if not charts:
        return
    title = charts[0].one("title").text
    found = re.fullmatch(rf".+, 12 {by}s from (.+): lowest (.+), highest (.+), last (.+)", title)
    assert found, title
    assert datetime.strptime(found[1], "%d %b %Y").date() == starts[0], (where, title)
    for text, value in zip(found.groups()[1:], (min(known.values()), max(known.values()), values[-1]), strict=True):
        assert shows(UNKNOWN if text == "unknown" else text, value, UNIT_OF[metric]), (where, title, values)
    assert drawn(charts[0]) == pytest.approx({position: value / (max(known.values()) or 1) for position, value in known.items()}, abs=0.003), where


def drawn(chart: Element) -> dict[int, float]:
    """Return the height of each point, from 0 to 1, by its position."""
    points = [point.split(",") for drawn_line in chart.all("polyline") for point in drawn_line.attributes["points"].split()]
    points += [[dot.attributes["cx"], dot.attributes["cy"]] for dot in chart.all("circle")]
    return {round((float(x) - 3) / (78 / 11)): (21 - float(y)) / 18 for x, y in points}


@pytest.mark.parametrize("metric", METRICS)
def test_the_overview_is_sorted_by_the_values_of_the_report(world: World, reader: Client, metric: str) -> None:
    for asked, period in overview_periods(world):
        values = {name: value_in(numbers, metric) for name, numbers in reported_in(period, PRODUCTION).items()}
        for sign in ("", "-"):
            rows = opened(reader, "/", **asked, sort=f"{sign}{metric}").one("table", kind="overview").rows
            shown = [values[row[0].all("a")[0].text] for row in rows]
            known = sorted((value for value in shown if value is not None), reverse=bool(sign))
            assert shown == [*known, *[None] * (len(shown) - len(known))], (period, metric)


@pytest.mark.parametrize("is_production", [True, False], ids=["production", "another environment"])
def test_the_export_has_the_values_of_the_report(world: World, reader: Client, is_production: bool) -> None:
    environment = PRODUCTION if is_production else next(iter(world.environments))
    for asked, period in overview_periods(world):
        now, before = (reported_in(name, environment) for name in (period, period_before(period)))
        answer = reader.get("/overview.csv", {**asked, "environment": environment})
        rows = list(csv.DictReader(StringIO(answer.getvalue().decode(), newline="")))  # type: ignore[attr-defined]
        assert sorted(row["service"] for row in rows) == sorted(now)
        for row in rows:
            name = row["service"]
            assert row["environment"].removeprefix("'") == environment
            assert (row["first_day"], row["last_day"]) == (f"{parse_period(period).start}", f"{parse_period(period).end - DAY}")
            for metric in METRICS:
                for column, value in ((metric, value_in(now[name], metric)), (f"{metric}_before", value_in(before[name], metric))):
                    assert row[column] == ("" if value is None else str(value)), (period, name, column)
                assert row[f"{metric}_tier"] == ("".join(tiers_in(now[name], metric)))
                assert row[f"{metric}_n"] == "".join(str(count) for count in counts_in(now[name], metric)[-1:]), (period, name, metric)
                assert {flag_word(flag) for flag in row[f"{metric}_flags"].split()} == flags_in(now[name], metric)


# --- a service --------------------------------------------------------------------------------------------------------


def charts_of(page: Element) -> dict[str, dict[str, Any]]:
    scripts = page.all("script", type="application/json")
    return {
        script.attributes["id"].removeprefix("data-"): json.loads(script.text) for script in scripts if script.attributes["id"].startswith("data-")
    }


def of_report(periods: Sequence[Mapping[str, Any]], metric: str, *keys: str) -> list[Any]:
    found = []
    for period in periods:
        value = period[metric]
        for key in keys:
            value = value[key]
        found.append(value)
    return found


def asked_of_services(world: World) -> Iterator[tuple[str, str, dict[str, str], str, list[dict[str, Any]]]]:
    """Yield each service and environment, with what is asked of its page and the periods of the report."""
    for by, first, last in world.ranges:
        end = date.fromisoformat(last) + DAY
        for environment, names in {PRODUCTION: None, **world.environments}.items():
            for name, periods in reported(by, date.fromisoformat(first), end, environment).items():
                if names is None or name in names:
                    yield name, by, {"by": by, "from": first, "to": last}, environment, periods


def test_the_page_of_a_service_has_the_values_of_the_report(world: World, reader: Client) -> None:
    for name, by, asked, environment, periods in asked_of_services(world):
        page = opened(reader, f"/services/{quote(name)}/", **asked, environment=environment)
        where = f"{name} by {by} from {asked['from']}, {environment}"
        links = {metric: [value_path(name, metric, code(period, by), environment) for period in periods] for metric in METRICS}
        assert_charts(charts_of(page), periods, by, links, where)
        marks = marks_of(name, periods, world) if environment == PRODUCTION else {}
        for chart in charts_of(page).values():
            assert {mark["kind"]: mark["counts"] for mark in chart["marks"]} == marks, where
        assert_values_table(page.one("table", kind="values"), periods, by, where)
        assert_stages_table(page.one("main").one("details").one("table"), periods, where)
        assert_latest_values(page, periods, by, name, environment)


def assert_charts(charts: Mapping[str, Any], periods: Sequence[Mapping[str, Any]], by: str, links: Mapping[str, Any], where: str) -> None:
    for metric in METRICS:
        keys = ("p50", "p75", "p90") if UNIT_OF[metric] == "seconds" else ("value",)
        shown = [series["values"] for series in charts[metric]["series"]]
        assert shown == [of_report(periods, metric, key) for key in keys], f"{metric} of {where}"
        assert charts[metric]["missing"] == ["not_collected" in period["metric_flags"][metric] for period in periods], f"{metric} of {where}"
        assert charts[metric]["links"] == links[metric], f"{metric} of {where}"
    assert [series["values"] for series in charts["stages"]["series"]] == [of_report(periods, LEAD_TIME, "stages", stage, "p50") for stage in STAGES]
    deploy_days = of_report(periods, FREQUENCY, "deploy_days_per_week")
    assert charts[FREQUENCY]["deploy_days"] == (deploy_days if any(days is not None for days in deploy_days) else None), where
    for chart in charts.values():
        assert chart["labels"] == [code(period, by) for period in periods], where
        assert chart["partial"] == [period["partial"] for period in periods], where


def marks_of(name: str, periods: Sequence[Mapping[str, Any]], world: World) -> dict[str, list[int]]:
    """Return how many incidents began and how many failed deployments finished in each period, from their rows."""
    zone = ZoneInfo(world.time_zone)
    began = Incident.objects.filter(service__name=name).values_list("started_at", flat=True)
    failed = Attempt.objects.filter(service__name=name, is_failed=True).values_list("finished_at", flat=True)
    found = {}
    for kind, moments in (("incidents", began), ("failed_deployments", failed)):
        days = [f"{moment.astimezone(zone):%Y-%m-%d}" for moment in moments]
        found[kind] = [sum(period["start"] <= day < period["end"] for day in days) for period in periods]
    return found


def assert_stages_table(table: Element, periods: Sequence[Mapping[str, Any]], where: str) -> None:
    for cells, period in zip(table.rows, reversed(periods), strict=True):
        for stage, cell in zip(STAGES, cells[1:], strict=True):
            numbers = period[LEAD_TIME]["stages"][stage]
            count = cell.one("span").text
            assert shows(cell.text.removesuffix(count).strip(), numbers["p50"], "seconds"), (where, stage, cell.text)
            assert numbers_of(count) == [number for number in [numbers["n"]] if number is not None], (where, stage, cell.text)


def assert_values_table(table: Element, periods: Sequence[Mapping[str, Any]], by: str, where: str) -> None:
    for cells, period in zip(table.rows, reversed(periods), strict=True):
        assert cells[0].text == spoken(period, by) + " partial" * period["partial"]
        for metric, cell in zip(METRICS, cells[1:], strict=False):
            assert shows(cell.one("a").text, value_in(period, metric), UNIT_OF[metric]), (where, metric, cell.text, period[metric])
            assert [badge.text for badge in cell.all(kind="tier")] == tiers_in(period, metric), where
            assert numbers_of(" ".join(part.text for part in cell.all(kind="counts"))) == counts_in(period, metric), (where, metric, cell.text)
        assert {flag.text for flag in cells[-1].all(kind="flag")} == {flag_word(flag) for flag in period["quality_flags"]}, where


def assert_latest_values(page: Element, periods: Sequence[Mapping[str, Any]], by: str, name: str, environment: str) -> None:
    """The values above the charts are those of the last whole period, and are compared with the period before, whether that is shown or not."""
    whole = [period for period in periods if not period["partial"] and period[FREQUENCY]["deployments"] is not None]
    tiles = page.all(kind="tile")
    assert len(tiles) == (5 if whole else 0), (name, by)
    if not whole:
        return
    latest = code(whole[-1], by)
    assert page.one("h2", id="latest").text.partition(" (")[0] == f"Last whole period: {spoken(whole[-1], by)}"
    before = reported_in(period_before(latest), environment)[name]
    for metric, tile in zip(METRICS, tiles, strict=True):
        where = (name, metric, latest, environment, tile.text)
        value, earlier = value_in(whole[-1], metric), value_in(before, metric)
        assert shows(tile.one(kind="big").one("a").text, value, UNIT_OF[metric]), where
        assert [badge.text for badge in tile.all(kind="tier")] == tiers_in(whole[-1], metric), where
        counts, change = tile.all("p", kind="small")
        assert numbers_of(counts.text) == counts_in(whole[-1], metric), where
        assert_change(change.text, metric, earlier, value, str(where))


def test_without_dates_the_page_of_a_service_begins_with_the_first_number_and_ends_with_today(world: World, reader: Client) -> None:
    today = world.now.astimezone(ZoneInfo(world.time_zone)).date()
    for by, days in (("day", 60), ("week", 182), ("month", 366)):
        start = parse_period(
            {"day": f"{today + DAY - days * DAY}", "week": "{}-W{:02}".format(*(today + DAY - days * DAY).isocalendar())}.get(
                by, f"{today + DAY - days * DAY:%Y-%m}"
            )
        ).start
        for name, periods in reported(by, start, today + DAY).items():
            charts = charts_of(opened(reader, f"/services/{quote(name)}/", by=by))
            known = [any(counts_in(period, metric) for metric in METRICS) for period in periods]
            shown = periods[known.index(True) :] if any(known) else []
            assert [chart["labels"] for chart in charts.values()] == [[code(period, by) for period in shown]] * len(charts), (name, by)
            for metric in METRICS if shown else ():
                assert charts[metric]["series"][0]["values"] == [value_in(period, metric) for period in shown], (name, by, metric)


def test_a_comparison_has_the_values_of_the_report_of_each_service(world: World, reader: Client) -> None:
    for by, first, last in world.ranges:
        every = reported(by, date.fromisoformat(first), date.fromisoformat(last) + DAY)
        for names in (list(every)[:6], list(every)[-6:]):
            page = page_of(reader.get("/compare/", {"service": names, "by": by, "from": first, "to": last}).content.decode())
            charts = charts_of(page)
            for metric in METRICS:
                shown = {series["name"]: series["values"] for series in charts[metric]["series"]}
                assert shown == {name: [value_in(period, metric) for period in every[name]] for name in names}, (metric, by)
                assert charts[metric]["partial"] == [
                    any(one["partial"] for one in column) for column in zip(*(every[name] for name in names), strict=True)
                ]
            tables = page.all("table", kind="values")
            for name, table in zip(names, tables, strict=True):
                assert_values_table(table, every[name], by, f"{name} by {by}")


# --- a value and the facts behind it ----------------------------------------------------------------------------------


def asked_of_values(world: World) -> Iterator[tuple[str, str, str]]:
    for environment, names in {PRODUCTION: Service.objects.values_list("name", flat=True), **world.environments}.items():
        for name in names:
            for period in world.values:
                yield name, period, environment


@pytest.mark.parametrize("metric", METRICS)
def test_the_page_of_a_value_has_the_numbers_of_its_explanation(world: World, reader: Client, metric: str) -> None:
    for name, period, environment in asked_of_values(world):
        where = f"{metric} of {name} in {period}, {environment}"
        page = opened(reader, value_path(name, metric, period), **({} if environment == PRODUCTION else {"environment": environment}))
        found = explained(name, metric, period, environment, period_before(period))
        numbers = reported_in(period, environment)[name]
        card, others = page.one("section", **{"aria-labelledby": "the-value"}), page.one("section", **{"aria-labelledby": "same-period"})
        assert found["value"] == value_in(numbers, metric), where
        assert shows(card.one(kind="big").text, found["value"], UNIT_OF[metric]), (where, card.text)
        assert [badge.text for badge in card.all(kind="tier")] == tiers_in(numbers, metric), where
        for other, cells in zip(METRICS, others.one("table").rows, strict=True):
            assert shows(cells[1].text, value_in(numbers, other), UNIT_OF[other]), (where, other, cells[1].text)
            assert cells[2].text == ("".join(tiers_in(numbers, other))), (where, other)
        assert (
            {flag.text for flag in card.all("span", kind="flag")} == {flag_word(flag) for flag in found["quality_flags"]} == flags_in(numbers, metric)
        ), where
        assert_arithmetic(card, found, metric, parse_period(period).days, where)
        assert_numbers(card, found, numbers, metric, where)
        assert_movement(page.one("section", id="why"), found, metric, where)
        assert_members(reader, page, found, metric, where, value_path(name, metric, period), environment)


def assert_arithmetic(card: Element, found: Mapping[str, Any], metric: str, days: int, where: str) -> None:
    sentence, told = card.all("p")[1].text, [line.text for line in card.all("p", kind="muted")]
    collected = found["collected"]
    if not collected:
        assert (sentence, told) == (sentence, []), where
        assert sentence.startswith("unknown: "), (where, sentence)
        return
    assert [numbers_of(line)[:2] for line in told] == ([[collected["days"], days]] if collected["days"] < days else []), (where, told)
    sums = found["sums"]
    if UNIT_OF[metric] == "seconds":
        assert numbers_of(sentence) == ([sums["n"]] if sums.get("n") else []), (where, sentence)
        return
    counted = {FREQUENCY: "deployments", FAIL_RATE: "failed", REWORK: "unplanned"}[metric]
    whole = collected["days"] if metric == FREQUENCY else sums.get("deployments", 0)
    assert numbers_of(sentence) == [sums.get(counted, 0), whole], (where, sentence)


def assert_numbers(card: Element, found: Mapping[str, Any], numbers: Mapping[str, Any], metric: str, where: str) -> None:
    lists = card.all("dl", kind="numbers")
    assert bool(lists) == bool(found["collected"]), where
    if not lists:
        return
    shown, details = list(lists[0].terms.values()), found["numbers"]
    if metric == FREQUENCY:
        expected = [(details["deploy_days"], "count"), (details["deploy_days_per_week"], "count")]
    elif metric == FAIL_RATE:
        expected = [(count, "count") for count in details["reasons"].values()]
        expected += [(details["unlinked_incidents"], "count"), (details["devlake_value"], "share")]
    elif metric == REWORK:
        expected = [(details["unplanned"], "count"), (details["deployments"], "count")]
    else:
        expected = [(numbers[metric]["p75"], "seconds"), (numbers[metric]["p90"], "seconds")]
        expected += [(details["n_bots" if metric == LEAD_TIME else "n_open"], "count")]
    if metric == RECOVERY:
        mean, count = shown.pop().removesuffix(")").split(" (")
        restored = details["mean_time_to_restore"]
        assert shows(mean, restored["mean"], "seconds"), (where, mean, restored)
        assert shows(count, restored["n"], "count"), (where, count, restored)
    assert len(shown) == len(expected), where
    for text, (value, unit) in zip(shown, expected, strict=True):
        assert shows(text, value, unit), (where, text, value)
    if metric == LEAD_TIME:
        for stage, cells in zip(STAGES, card.one("table", kind="stages").rows, strict=True):
            assert shows(cells[1].text, details["stages"][stage]["p50"], "seconds"), (where, stage, cells[1].text)
            assert shows(cells[2].text, details["stages"][stage]["n"], "count"), (where, stage, cells[2].text)


def assert_members(reader: Client, page: Element, found: Mapping[str, Any], metric: str, where: str, path: str, environment: str) -> None:
    """The list, on all its pages, has each member of the explanation once, with the time and the number by which it counts."""
    counted = {FAIL_RATE: "failed", REWORK: "unplanned"}.get(metric, "")
    members = sorted(found["members"], key=lambda member: member["at"], reverse=True)
    tabs = [numbers_of(tab.one(kind="num").text)[0] for tab in page.one(id="facts").all("ul", kind="tabs") for tab in tab.all("a")]
    if counted and members:
        assert tabs[:2] == [len(members), sum(bool(member["counts"].get(counted)) for member in members)], (where, tabs)
        if metric == FAIL_RATE:
            assert Counter(tabs[2:]) == Counter(found["numbers"]["reasons"].values()), (where, tabs)
    rows: list[list[Element]] = []
    pages = 1 + max(0, len(members) - 1) // 50
    for number in range(1, pages + 1):
        query = {"page": str(number)} | ({} if environment == PRODUCTION else {"environment": environment})
        shown = page if number == 1 else opened(reader, path, **query)
        rows += [cells for table in shown.one(id="facts").all("table") for cells in table.rows]
        for told in shown.one(id="facts").all(kind="pager"):
            assert numbers_of(told.one(kind="num").text) == [50 * number - 49, min(50 * number, len(members)), len(members)], where
    assert Counter(_member_shown(cells) for cells in rows) == Counter(_member_expected(member) for member in members), where
    assert [cells[0].moments for cells in rows] == [[datetime.fromisoformat(member["at"])] for member in members], where
    by_key: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for member in members:
        by_key.setdefault(_member_expected(member), []).append(member["counts"])
    for cells in rows:
        text = cells[-3].text
        assert any(_counts_as(text, counts, metric) for counts in by_key[_member_shown(cells)]), (where, text, by_key[_member_shown(cells)])


def _member_shown(cells: Sequence[Element]) -> tuple[datetime, str, str]:
    """Return when the fact counts, and its kind and key as the address of its page has them."""
    parts = cells[-4].all("a")[0].attributes["href"].partition("?")[0].strip("/").split("/")
    return cells[0].moments[0], parts[2], parts[-1]


def _member_expected(member: Mapping[str, Any]) -> tuple[datetime, str, str]:
    key = re.split("[ #]", member["key"])[-1] if member["kind"] == "change" else escaped(member["key"])
    return datetime.fromisoformat(member["at"]), f"{member['kind']}s", key


def _counts_as(text: str, counts: Mapping[str, Any], metric: str) -> bool:
    words = re.sub(r"^\W+ ", "", text)
    if "seconds" in counts:
        return shows(text, counts["seconds"], "seconds")
    if "mean_time_to_restore.seconds" in counts:
        return shows(text.removesuffix(" to restore"), counts["mean_time_to_restore.seconds"], "seconds")
    for name, expected in (("n_bots", "left out"), ("n_open", "open"), ("unlinked_incidents", "not linked")):
        if name in counts:
            return words == expected
    if metric == FREQUENCY:
        return words == "1 deployment"
    if metric == FAIL_RATE:
        return words == ("failed" if counts.get("failed") else "did not fail")
    return words == ("unplanned" if counts.get("unplanned") else "planned")


def assert_movement(why: Element, found: Mapping[str, Any], metric: str, where: str) -> None:
    moved_by = found["movement"]
    tables = [table for table in why.all("table") if not any(table in part.all("table") for part in why.all("details"))]
    if moved_by["revisions"]:
        for cells, revision in zip(tables.pop().rows, moved_by["revisions"], strict=True):
            assert cells[0].moments == [datetime.fromisoformat(revision["revised_at"])], where
            for cell, value in zip(cells[2:4], (revision["before"], revision["after"]), strict=True):
                assert shows(cell.text, value, UNIT_OF[metric]), (where, cell.text, value)
            assert numbers_of(cells[4].text) == [number for number in [revision["run"]] if number], where
    difference = moved_by["difference"]
    lines = why.all("p", kind="movement")
    assert bool(lines) == (difference is not None), (where, why.text[:300])
    if not lines:
        return
    before, after = re.findall(r": (\S+(?: \S+)*?) \(", lines[0].text)[:2]
    assert shows(before, moved_by["before"], UNIT_OF[metric]), (where, lines[0].text)
    assert shows(after, found["value"], UNIT_OF[metric]), (where, lines[0].text)
    unit = "points" if UNIT_OF[metric] == "share" else UNIT_OF[metric]
    assert shows(lines[0].one("strong").text, difference, unit), (where, lines[0].text, difference)
    movers = [cells for table in why.all("details")[0].all("table") for cells in table.rows]
    for cells, fact in zip(movers, moved_by["facts"][:20], strict=True):
        amount = fact["amount"]
        assert cells[0].text == "all of it" if amount is None else shows(cells[0].text, amount, unit), (where, cells[0].text, amount)
        assert cells[1].moments == [datetime.fromisoformat(fact["at"])], where
    assert numbers_of(why.all("details")[0].one("summary").text) == [len(moved_by["facts"])], where
    if UNIT_OF[metric] != "seconds":
        [effects] = tables
        *groups, volume, total = [*effects.rows, [cell for cell in effects.one("tfoot").one("tr").children if isinstance(cell, Element)]]
        for cells, group in zip(groups, moved_by["groups"], strict=True):
            assert [numbers_of(cell.text)[0] for cell in cells[1:3]] == [group["before"], group["after"]], (where, group)
            assert shows(cells[3].text, group["amount"], unit), (where, cells[3].text, group)
        assert [numbers_of(cell.text)[0] for cell in volume[1:3]] == moved_by["denominators"], where
        assert shows(volume[3].text, moved_by["volume"], unit), (where, volume[3].text, moved_by["volume"])
        assert shows(total[3].text, difference, unit), where
        return
    sides = moved_by["distributions"]
    names = list(sides["before"]["percentiles"])
    expected = [("n", "count"), *((name, "seconds") for name in names), ("above", "count")]
    for cells, (key, unit_of_row) in zip(tables[0].rows, expected, strict=True):
        for cell, side in zip(cells[1:], (sides["before"], sides["after"]), strict=True):
            value = side["percentiles"][key] if key in names else side[key]
            assert shows(cell.text, value, unit_of_row), (where, key, cell.text, value)
    for table in tables[1:]:
        for cells, stage in zip(table.rows, moved_by["stages"], strict=True):
            assert cells[0].text.lower() == stage["stage"], where
            for cell, key in zip(cells[1:], ("before", "after", "difference"), strict=True):
                assert shows(cell.text, stage[key], "seconds"), (where, key, cell.text, stage)


def test_deployments_changes_and_incidents_have_the_times_of_their_rows(world: World, reader: Client) -> None:
    for name in Service.objects.values_list("name", flat=True):
        for attempt in Attempt.objects.filter(service__name=name).order_by("-finished_at")[:10]:
            page = opened(reader, f"/services/{quote(name)}/deployments/{escaped(attempt.key)}/")
            carried = Delivery.objects.filter(service__name=name, deployment=attempt.key)
            assert numbers_of(page.one("h2", id="changes").text) == [carried.count()], (name, attempt.key)
            shown = [cells[2].text for table in page.one(**{"aria-labelledby": "changes"}).all("table") for cells in table.rows]
            seconds = sorted(carried.values_list("lead_time_seconds", flat=True))
            assert len(shown) == len(seconds)
            assert all(any(shows(text, each, "seconds") for text in shown) for each in seconds), (name, attempt.key, shown, seconds)
        for delivery in Delivery.objects.filter(service__name=name).select_related("change").order_by("-deployed_at")[:10]:
            assert_timeline(opened(reader, f"/services/{quote(name)}/changes/{delivery.change.repository_id}/{delivery.change.number}/"), delivery)
        for incident in Incident.objects.filter(service__name=name).order_by("-started_at")[:10]:
            card = opened(reader, f"/services/{quote(name)}/incidents/{escaped(incident.key)}/").one(**{"aria-labelledby": "span"})
            assert [moment.replace(microsecond=0) for moment in card.moments] == [
                moment.replace(microsecond=0) for moment in (incident.started_at, incident.ended_at) if moment
            ]
            lasted = [(incident.ended_at - incident.started_at).total_seconds()] if incident.ended_at else []
            assert len(card.all(kind="big")) == len(lasted)
            assert all(shows(part.text, seconds, "seconds") for part, seconds in zip(card.all(kind="big"), lasted, strict=True)), (name, incident.key)


def escaped(key: str) -> str:
    return quote(key, safe="").replace("~", "%7E").replace("%", "~")


def assert_timeline(page: Element, delivery: Delivery) -> None:
    change: Change = delivery.change
    card = page.one(**{"aria-labelledby": "timeline"})
    assert shows(card.one(kind="big").text, delivery.lead_time_seconds, "seconds"), (change, card.text)
    shown = {stage.text.split(":")[0].lower(): stage.one("strong").text for stage in card.all("span", kind="stage")}
    known = {stage: seconds for stage, seconds in delivery.stages.items() if seconds is not None}
    assert set(shown) <= set(known), (change, shown)
    for stage, text in shown.items():
        assert shows(text, known[stage], "seconds"), (change, stage, text, known)
    assert change.merged_at in card.moments
    assert delivery.deployed_at in card.moments


# --- operations -------------------------------------------------------------------------------------------------------


def test_the_page_of_a_run_has_the_counts_of_the_ledger(world: World, reader: Client) -> None:
    for run in ETLRun.objects.all():
        page = opened(reader, f"/operations/runs/{run.pk}/")
        missing = run.extracted - run.loaded - run.skipped - run.dead_lettered
        final = [] if run.status in ("success", "partial") or not missing else [missing]
        shown = numbers_of(page.one("p", kind="balance").text)
        assert shown == [run.extracted, run.loaded, run.skipped, run.dead_lettered, *final], run
        assert run.status not in ("success", "partial") or missing == 0
        for cells, stage in zip(page.one(**{"aria-labelledby": "stages-title"}).one("table").rows, run.stage_times, strict=True):
            assert [moment for cell in cells for moment in cell.moments] == [moment for moment in (stage.began_at, stage.ended_at) if moment]
            assert stage.began_at is None or shows(cells[-1].text, stage.seconds, "seconds"), (run, cells[-1].text)
        letters = run.dead_letters.all()
        for section in page.all(**{"aria-labelledby": "letters-title"}):
            assert numbers_of(section.one("h2").text)[0] == letters.count(), run
            assert sum(numbers_of(cells[0].text)[0] for cells in section.one("table").rows) == letters.count(), run
        assert bool(page.all(**{"aria-labelledby": "letters-title"})) == letters.exists()
        staged = page.one(**{"aria-labelledby": "pages-title"})
        assert numbers_of(staged.one("h2").text) == [run.pages.count()], run
        expected = list(run.pages.order_by("-number").values_list("number", "record_count")[:20])
        rows = [cells for table in staged.all("table") for cells in table.rows]
        assert [(numbers_of(cells[0].text)[0], numbers_of(cells[2].text)[0]) for cells in rows] == expected, run


def test_the_list_of_runs_has_the_counts_of_the_ledger(world: World, reader: Client) -> None:
    tables = opened(reader, "/operations/runs/").all("table", kind="runs")
    rows = [cells for table in tables for cells in table.rows]
    runs = list(ETLRun.objects.order_by("-pk"))
    for cells, run in zip(rows, runs, strict=True):
        counts = [run.pk, run.extracted, run.loaded, run.skipped, run.dead_lettered]
        assert [numbers_of(cells[column].text)[0] for column in (0, 6, 7, 8, 9)] == counts
        assert shows(cells[5].text, run.duration_seconds, "seconds"), (run, cells[5].text)
        assert run.status in cells[2].text


def test_the_grid_of_nights_has_the_outcome_of_each_run(world: World, reader: Client) -> None:
    page = opened(reader, "/operations/nights/")
    tables = page.all("table", kind="nights")
    days = [head.text for table in tables for head in table.one("thead").all("th")[1:]]
    shown: dict[tuple[str, str], str] = {}
    for cells in chain.from_iterable(table.rows for table in tables):
        for day, cell in zip(days, cells[1:], strict=True):
            if cell.all("a"):
                link = cell.one("a").attributes
                shown[cells[0].one("a").text, day] = f"{link['href']} {link['aria-label'].rpartition(': ')[2]}"
            elif "missing" in cell.text:
                shown[cells[0].one("a").text, day] = "missing"
    expected = {}
    for run in ETLRun.objects.select_related("source"):
        expected[run.source.name, f"{run.logical_date:%-d%b}"] = f"/operations/runs/{run.pk}/ {run.status}"
    last = max((run.logical_date for run in ETLRun.objects.all() if run.logical_date), default=None)
    absent = [source.name for source in Source.objects.all() if last and not source.runs.filter(logical_date=last).exists()]
    assert {key: state for key, state in shown.items() if state != "missing"} == expected
    assert sorted(name for (name, day), state in shown.items() if state == "missing" and last and day == f"{last:%-d%b}") == sorted(absent)
    heads = [opened(reader, path).one("main").text for path in ("/", "/operations/")]
    good = ETLRun.objects.filter(logical_date=last, status__in=("success", "partial")).count()
    for text in heads if expected else ():
        assert f"{good} of {Source.objects.count()} sources collected" in text


def test_the_nights_took_as_long_as_the_stages_of_their_runs(world: World, reader: Client) -> None:
    page = opened(reader, "/operations/durations/")
    spent: Counter[tuple[str, str]] = Counter()
    for run in ETLRun.objects.all():
        for stage in run.stage_times:
            spent[f"{run.logical_date:%-d %b}", stage.stage] += stage.seconds or 0.0  # type: ignore[assignment]
    rows = page.one("table").rows
    for cells in rows:
        seconds = [spent[cells[0].text, stage] for stage in ("extract", "transform", "load")]
        for cell, value in zip(cells[1:], [*seconds, sum(seconds)], strict=True):
            assert shows(cell.text, value, "seconds"), (cells[0].text, cell.text, value)
    assert {day for day, _stage in spent} <= {cells[0].text for cells in rows}
    [chart] = [json.loads(script.text) for script in page.all("script", type="application/json") if script.attributes["id"] == "durations-data"]
    for series, stage in zip(chart["series"], ("extract", "transform", "load"), strict=True):
        assert series["values"] == pytest.approx([spent[label, stage] for label in chart["labels"]], abs=0.0501)


def test_letters_are_counted_by_cause_as_they_are_stored(world: World, reader: Client) -> None:
    for state in ("open", "replayed", "discarded", "all"):
        letters = DeadLetter.objects.all() if state == "all" else DeadLetter.objects.filter(state=state)
        causes = Counter((letter.source.name, letter.kind, letter.stage, letter.error) for letter in letters.select_related("source"))
        page = opened(reader, "/operations/letters/", state=state)
        rows = [cells for table in page.one("main").all("table") for cells in table.rows]
        assert sorted((cells[1].text, numbers_of(cells[3].text)[0]) for cells in rows) == sorted((cause[0], count) for cause, count in causes.items())
        if rows:
            assert f"{len(letters)} letter{'s' * (len(letters) > 1)}, {len(causes)} cause{'s' * (len(causes) > 1)}" in page.one("main").text
    for source in Source.objects.all():
        page = opened(reader, f"/operations/sources/{source.pk}/")
        count = source.dead_letters.filter(state="open").count()
        assert page.one(**{"aria-labelledby": "settings-title"}).one("dl").terms["Open dead letters"] == (str(count) if count else "none")
        rows = page.one(**{"aria-labelledby": "runs-title"}).all("table")[-1].rows
        assert [numbers_of(cells[5].text)[0] for cells in rows] == list(source.runs.order_by("-pk").values_list("extracted", flat=True)[:10])
