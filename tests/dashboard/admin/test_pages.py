"""Every page of the admin opens: with rows and without, for every parameter, with few queries, and with all texts escaped."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dashboard.admin.paging import MOST_COUNTED
from dashboard.admin.rows import DataAdmin
from dora_metrics.models import Service
from etl_tasks.models import DeadLetter, ETLRun, Source
from tests.dashboard.admin.every_row import EVIL, make_every_row

pytestmark = pytest.mark.django_db
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
MOST_QUERIES = 9
HOSTILE = (
    *("o=999", "o=-999.abc.1", "o=1.2.3.4.5", "p=abc", "p=0", "p=-1", "p=99999999999999999999", "e=1", "all=1", "q=%00", "q=%27%22%3B--"),
    *("q=" + "a+" * 2000, "q=9" * 30, "nothing=1", "id__exact=x", "id__exact=99999999999999999999", "pk__in=1,x", "id__gt=%00"),
    *("_facets=True", "_popup=1", "_to_field=id", "_to_field=password", "service__id__exact=abc", "service__id__exact=", "source__id__exact=abc"),
    *("service__deletion_began_at__isnull=maybe", "created_at__gte=yesterday", "created_at__gte=99999-01-01", "created_at__year=0", "state=%00"),
    *(
        "metric=x",
        "period=x",
        "status__exact=x",
        "_changelist_filters=%00%26",
        "is_failed__exact=7",
        "tag__regex=(",
        "title__iregex=(",
        "id__range=1",
    ),
)


def address(model: type[Model], page: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


@pytest.mark.slow
def test_every_page_opens_without_rows(admin_client: Client) -> None:
    for model in MODELS:
        assert admin_client.get(address(model, "changelist")).status_code == 200, model
        may_add = not isinstance(admin.site._registry[model], DataAdmin)
        assert admin_client.get(address(model, "add")).status_code == (200 if may_add else 403), model
        for key in ("0", "x", "%00", "99999999999999999999", "1/2"):
            answer = admin_client.get(f"{address(model, 'changelist')}{key}/change/", follow=True)
            assert answer.status_code in (200, 404), (model, key)


@pytest.mark.slow
def test_every_page_opens_with_rows_that_are_hostile(admin_client: Client) -> None:
    make_every_row()
    for model in MODELS:
        pages = [address(model, "changelist"), *([address(model, "changelist") + "?state=all"] if model is DeadLetter else [])]
        row = None
        for row in model._default_manager.all():
            pages += [address(model, page, row.pk) for page in ("change", "history")]
        assert row is not None, model
        for page in pages:
            answer = admin_client.get(page)
            assert answer.status_code == 200, page
            assert "<script>alert" not in answer.content.decode(), page
            assert 'href="javascript:' not in answer.content.decode().lower(), page
        is_data = isinstance(admin.site._registry[model], DataAdmin)
        assert admin_client.get(address(model, "delete", row.pk)).status_code == (403 if is_data else 200), model
        assert not is_data or admin_client.post(address(model, "change", row.pk), {}).status_code == 403, model


@pytest.mark.slow
def test_no_parameter_makes_a_list_fail(admin_client: Client) -> None:
    make_every_row()
    for model in MODELS:
        for query in HOSTILE:
            answer = admin_client.get(f"{address(model, 'changelist')}?{query}", follow=True)
            assert answer.status_code in (200, 400), (model, query)


@pytest.mark.slow
def test_a_list_takes_the_same_few_queries_for_many_rows_as_for_few(admin_client: Client) -> None:
    counts: dict[type[Model], list[int]] = {model: [] for model in MODELS}
    for names in (["a1", "a2"], [f"b{number}" for number in range(6)]):
        for name in names:
            make_every_row(name)
        for model in MODELS:
            with CaptureQueriesContext(connection) as captured:
                assert admin_client.get(address(model, "changelist")).status_code == 200
            counts[model].append(len(captured))
            assert len(captured) <= MOST_QUERIES, (model, [query["sql"][:200] for query in captured])
    assert [model for model, (few, many) in counts.items() if few != many] == []


@pytest.mark.parametrize("page", ["index", "app_list"])
def test_the_home_and_the_pages_of_apps_open(admin_client: Client, page: str) -> None:
    make_every_row()
    for arguments in [()] if page == "index" else [("etl_tasks",), ("dora_metrics",), ("auth",)]:
        assert admin_client.get(reverse(f"admin:{page}", args=arguments)).status_code == 200


@pytest.mark.slow
def test_a_viewer_sees_words_and_no_icons_where_nothing_can_be_changed(client: Client) -> None:
    source = make_every_row()
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.groups.add(Group.objects.get(name="Viewer"))
    client.force_login(viewer)
    for model, page in admin.site._registry.items():
        if not viewer.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}"):
            continue
        row = model._default_manager.first()
        assert client.get(address(model, "changelist")).status_code == 200
        content = client.get(address(model, "change", row.pk)).content.decode()  # type: ignore[union-attr]
        if type(page).__module__.startswith("dashboard"):
            assert "icon-no" not in content, model
            assert "icon-yes" not in content, model
    page_of_source = client.get(address(Source, "change", source.pk)).content.decode()
    assert "archived" in page_of_source
    assert "March 1, 2026" not in page_of_source


@pytest.mark.slow
def test_no_list_has_an_icon_in_place_of_a_word(admin_client: Client) -> None:
    make_every_row()
    for model in MODELS:
        page = admin_client.get(address(model, "changelist")).content.decode()
        assert "icon-yes" not in page, model
        assert "icon-no" not in page, model


def test_a_long_list_is_counted_up_to_a_limit_and_says_so(admin_client: Client, billing: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.admin.paging.MOST_COUNTED", 3)
    for number in range(5):
        DeadLetter.objects.create(source=billing, run=_run(billing), key=str(number), kind="record", stage="load", error="x")
    page = admin_client.get(address(DeadLetter, "changelist")).content.decode()
    assert "the first 3 of more dead letters; a filter or a search finds the others" in page
    assert MOST_COUNTED == 10_000


def _run(source: Source) -> ETLRun:
    from django.utils.timezone import now

    return ETLRun.objects.create(source=source, pipeline=source.name, trigger="shell", lease_until=now())


def test_a_filter_with_many_choices_is_a_form_without_a_script(admin_client: Client) -> None:
    for number in range(20):
        Source.objects.create(name=f"s{number}", service=Service.objects.create(name=f"s{number}"), kind="github", repository=f"a/s{number}")
    service = Service.objects.get(name="s7")
    page = admin_client.get(address(Source, "changelist"), {"service__id__exact": service.pk, "q": "s"}).content.decode()
    assert f'<option value="{service.pk}" selected>s7</option>' in page
    assert '<input type="hidden" name="q" value="s">' in page
    assert "1 source" in page


def test_evil_is_shown_as_text(admin_client: Client) -> None:
    source = make_every_row()
    page = admin_client.get(address(ETLRun, "change", source.runs.get().pk)).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; it&#x27;s" in page
    assert EVIL not in page


def test_permissions_of_every_kind_exist_for_the_groups() -> None:
    assert Permission.objects.filter(codename="start_etlrun").exists()
