"""Dead letters in the admin: open ones first, replayed or discarded by POST only, from the list and from the letter's own page, and audited."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from dora_metrics.models import Service
from etl_tasks.models import DeadLetter, ETLRun, Source
from github_stand_in.worlds.world import World
from tests.shared_night import shared_night

pytestmark = pytest.mark.django_db
LIST = "admin:etl_tasks_deadletter_changelist"


@pytest.fixture(scope="module")
def stored_night(django_db_setup: None, django_db_blocker: pytest.FixtureRequest, world: World) -> Iterator[ETLRun]:
    with shared_night(world, django_db_blocker, faults={"bad_record": "Deployments"}) as run:
        yield run


@pytest.fixture
def letter(stored_night: ETLRun, db: None) -> DeadLetter:
    """Return the letter of a record that GitHub spoiled, so a replay fails again."""
    return DeadLetter.objects.filter(kind="record")[0]


def act(client: Client, action: str, *letters: DeadLetter, **form: str) -> str:
    form = {"action": action, "_selected_action": [letter.pk for letter in letters], **form}
    return client.post(reverse(LIST), form, follow=True).content.decode()


def page_of(client: Client, letter: DeadLetter) -> str:
    return client.get(reverse("admin:etl_tasks_deadletter_change", args=[letter.pk])).content.decode()


def test_a_letter_is_replayed_by_post_and_stays_open_if_it_fails_again(admin_client: Client, letter: DeadLetter) -> None:
    assert "stays open" in act(admin_client, "replay", letter)
    letter.refresh_from_db()
    assert (letter.state, letter.attempts) == ("open", 2)


def test_discarding_asks_first_and_then_says_so_and_is_audited(admin_client: Client, letter: DeadLetter) -> None:
    question = act(admin_client, "discard", letter)
    assert "Discard this letter? It is closed, and its data will not be processed." in question
    letter.refresh_from_db()
    assert letter.state == "open"
    assert f"Letter {letter.pk}: discarded" in act(admin_client, "discard", letter, confirmed="yes")
    letter.refresh_from_db()
    assert (letter.state, letter.resolved_by) == ("discarded", "admin:admin")
    assert LogEntry.objects.get().change_message == "discarded"


def test_the_page_of_an_open_letter_offers_both_and_that_of_a_closed_one_none(admin_client: Client, letter: DeadLetter) -> None:
    page = page_of(admin_client, letter)
    for action in ("replay", "discard"):
        assert f'name="action" value="{action}"' in page
    DeadLetter.objects.filter(pk=letter.pk).update(state="discarded")
    assert 'name="action"' not in page_of(admin_client, letter)


def test_the_list_shows_open_letters_unless_another_state_is_chosen(admin_client: Client, letter: DeadLetter) -> None:
    DeadLetter.objects.all().update(state="open")
    assert f"/{letter.pk}/change/" in admin_client.get(reverse(LIST)).content.decode()
    DeadLetter.objects.all().update(state="discarded")
    for state, is_shown in {"": False, "replayed": False, "discarded": True, "all": True, "nonsense": False}.items():
        page = admin_client.get(reverse(LIST), {"state": state} if state else {}).content.decode()
        assert (f"/{letter.pk}/change/" in page) == is_shown, state


def test_without_the_permission_nothing_is_offered_and_nothing_happens(client: Client, letter: DeadLetter) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_deadletter"))
    client.force_login(viewer)
    assert 'name="action"' not in page_of(client, letter)
    act(client, "discard", letter, confirmed="yes")
    letter.refresh_from_db()
    assert letter.state == "open"


def test_a_get_changes_nothing(admin_client: Client, letter: DeadLetter) -> None:
    admin_client.get(reverse(LIST), {"action": "discard", "_selected_action": letter.pk, "confirmed": "yes"})
    letter.refresh_from_db()
    assert letter.state == "open"


def test_an_error_is_cut_between_words_and_shown_as_a_whole_beside_the_pointer(admin_client: Client, letter: DeadLetter) -> None:
    error = "alpha beta gamma " * 10
    DeadLetter.objects.filter(pk=letter.pk).update(error=error)
    page = admin_client.get(reverse(LIST)).content.decode()
    shown = re.search(rf'<span title="{error}">(.*?)…</span>', page)
    assert shown
    assert set(shown[1].split()) == {"alpha", "beta", "gamma"}


@pytest.fixture
def invoices(db: None) -> Source:
    return Source.objects.create(name="invoices", service=Service.objects.create(name="invoices"), kind="github", repository="acme/invoices")


def many(source: Source, count: int) -> None:
    run = ETLRun.objects.create(source=source, pipeline=source.name, trigger="shell", lease_until=now())
    DeadLetter.objects.bulk_create(
        DeadLetter(source=source, run=run, key=str(number), kind="record", stage="load", error="x") for number in range(count)
    )


def test_too_many_letters_for_one_request_are_refused_with_a_sentence(admin_client: Client, invoices: Source) -> None:
    many(invoices, 501)
    page = act(admin_client, "discard", DeadLetter.objects.all()[0], select_across="1")
    assert "Choose at most 500 letters" in page
    page = act(admin_client, "replay", DeadLetter.objects.all()[0], select_across="1")
    assert "Choose at most 50 letters" in page
    assert set(DeadLetter.objects.values_list("state", flat=True)) == {"open"}


def test_all_that_match_are_discarded_and_closed_ones_are_not_among_them(admin_client: Client, invoices: Source) -> None:
    many(invoices, 60)
    closed = DeadLetter.objects.order_by("-pk")[0]
    DeadLetter.objects.filter(pk=closed.pk).update(state="replayed")
    question = act(admin_client, "discard", DeadLetter.objects.all()[0], select_across="1")
    assert f"Discard these {DeadLetter.objects.filter(state='open').count()} letters?" in question
    assert f'value="{closed.pk}"' not in question
