"""A staged page is shown as it came, for those who may see it, and never as anything that a browser runs."""

import hashlib
import json

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils.timezone import now

from dora_metrics.models import Service
from etl_tasks import staged_answers
from etl_tasks.models import ETLRun, Source, StagedPage
from etl_tasks.models.staging import compressed

HOSTILE = b'{"title": "<script>alert(1)</script>", "nodes": [1, 2]}'


def staged(content: bytes, *, kind: str = "github", **more: object) -> StagedPage:
    service = Service.objects.get_or_create(name="billing")[0]
    source = Source.objects.get_or_create(name=f"billing-{kind}", service=service, kind=kind)[0]
    run = ETLRun.objects.create(source=source, pipeline=source.name, trigger="command", lease_until=now())
    columns = {"number": 1, "stream": "issues", "url": "https://api.github.example/graphql", "record_count": 2, "fetched_at": now()} | more
    return StagedPage.objects.create(run=run, body=compressed(content), sha256=hashlib.sha256(content).hexdigest(), **columns)


def path_of(page: StagedPage, *, raw: bool = False) -> str:
    return f"/staged/{page.pk}/{'raw/' if raw else ''}"


def test_json_is_indented_or_as_it_came(lead: Client) -> None:
    page = staged(HOSTILE)
    indented, plain = (lead.get(path_of(page), {"form": form}) for form in ("indented", "raw"))
    assert indented.context["answer"].text == json.dumps(json.loads(HOSTILE), indent=2)
    assert plain.context["answer"].text == HOSTILE.decode()
    for answer in (indented, plain):
        body = answer.content.decode()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
        assert "<script>alert" not in body
        assert page.sha256 in body
        assert "matches" in body
        assert f"run {page.run_id}, page 1" in body


def test_a_download_has_every_byte_and_is_no_page(lead: Client) -> None:
    content = HOSTILE + b"\xff\x00" * 200_000
    answer = lead.get(path_of(staged(content), raw=True))
    assert b"".join(answer.streaming_content) == content
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment; ")
    assert "default-src 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("raw", [False, True])
def test_log_lines_are_shown_only_to_those_who_may_see_log_events(client: Client, db: None, raw: bool) -> None:
    page = staged(b"10:00 ERROR call of Ada failed\n", kind="logs")
    user = User.objects.create_user("reader")
    user.user_permissions.add(Permission.objects.get(codename="view_service"))
    client.force_login(user)
    assert client.get(path_of(page, raw=raw)).status_code == 403
    assert client.get(path_of(staged(HOSTILE), raw=raw)).status_code == 200
    user.user_permissions.add(Permission.objects.get(codename="view_logeventrow"))
    assert client.get(path_of(page, raw=raw)).status_code == 200


def test_what_is_no_json_is_shown_line_by_line_with_escapes_for_what_cannot_be_seen(lead: Client) -> None:
    answer = lead.get(path_of(staged(b"caf\xc3\xa9 \xff \x1b[2J\n\xe2\x80\xaeevil\n", kind="logs")))
    body = answer.content.decode()
    assert not answer.context["answer"].is_json
    assert "café \\xff \\x1b[2J\n\\u202eevil" in body


@pytest.mark.parametrize("content", [b"", b"[", b"[" * 100_000, b'"text"', b"null", b"\x00"])
@pytest.mark.parametrize("form", ["indented", "raw"])
def test_no_content_fails(lead: Client, content: bytes, form: str) -> None:
    assert lead.get(path_of(staged(content)), {"form": form}).status_code == 200


@pytest.mark.parametrize("size", [staged_answers.MOST_SHOWN_BYTES + 1, staged_answers.MOST_INDENTED_BYTES + 1])
def test_only_the_beginning_of_a_long_answer_is_shown(lead: Client, size: int) -> None:
    answer = lead.get(path_of(staged(b"x" * size)))
    assert answer.context["answer"].is_cut
    assert len(answer.context["answer"].text) == staged_answers.MOST_SHOWN_BYTES
    assert "Only the beginning is shown" in answer.content.decode()
    assert answer.context["answer"].is_intact is (True if size <= staged_answers.MOST_INDENTED_BYTES else None)


def test_an_answer_that_differs_from_its_digest_is_marked(lead: Client) -> None:
    page = staged(HOSTILE)
    StagedPage.objects.filter(pk=page.pk).update(sha256="0" * 64)
    assert "does not match" in lead.get(path_of(page)).content.decode()
