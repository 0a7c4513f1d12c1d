"""Alert receivers: e-mail, and a webhook in Slack's format. A receiver that fails does not stop anything else."""

import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core import mail

from callcentersite.checks import check_alerts
from dora_metrics.alerts import critical_alert, notify, warning_alert
from tests.http_servers import served

CONTEXT = {"stage": "load", "error": "Cassandra is away", "run": 7}


class Hook(HTTPServer):
    """A chat webhook that records its requests. It answers with `statuses` in turn, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, object]] = []
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/T0/secret"


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def hook(settings, retries_at_once) -> Iterator[Hook]:
    with served(Hook()) as server:
        settings.ALERT_WEBHOOK_URL = server.url
        yield server


def test_a_critical_alert_is_mailed_to_all(settings):
    settings.ALERT_EMAILS = ["team@example.com", "lead@example.com"]
    critical_alert.send(sender=None, message="billing: load failed, run 7", context=CONTEXT)
    [letter] = mail.outbox
    assert letter.to == ["team@example.com", "lead@example.com"]
    assert letter.subject == "[callcentersite] critical: billing: load failed, run 7"
    assert letter.body == "[critical] billing: load failed, run 7\nerror: Cassandra is away\nrun: 7\nstage: load"


def test_a_message_of_several_lines_cannot_add_a_header(settings):
    settings.ALERT_EMAILS = ["team@example.com"]
    warning_alert.send(sender=None, message="one\r\nBcc: all@example.com", context={})
    assert mail.outbox[0].subject == "[callcentersite] warning: one  Bcc: all@example.com"


def test_the_webhook_gets_slacks_shape_and_the_parts(hook: Hook):
    warning_alert.send(sender=None, message="slow", context={**CONTEXT, "odd": object})
    [body] = hook.bodies
    assert str(body["text"]).startswith("[warning] slow\nerror: Cassandra is away\n")
    assert (body["level"], body["message"]) == ("warning", "slow")
    assert {**body["context"], "odd": 0} == {**CONTEXT, "odd": 0}  # type: ignore[dict-item]


def test_without_an_address_nobody_is_told(settings):
    critical_alert.send(sender=None, message="m", context=CONTEXT)
    assert mail.outbox == []


def test_a_webhook_that_fails_is_tried_again(hook: Hook):
    hook.statuses = [500, 429]
    critical_alert.send(sender=None, message="m", context=CONTEXT)
    assert len(hook.bodies) == 3


def test_a_webhook_that_is_down_is_logged_without_its_address_and_mail_still_goes(hook: Hook, settings, caplog):
    settings.ALERT_EMAILS = ["team@example.com"]
    hook.statuses = [500, 500, 500]
    with caplog.at_level(logging.ERROR):
        notify(critical_alert, sender=None, message="m", context=CONTEXT)
    [record] = [record for record in caplog.records if record.message == "alert_receiver_failed"]
    assert "HTTP 500" in record.error  # type: ignore[attr-defined]
    assert "secret" not in str(vars(record))
    assert len(mail.outbox) == 1


def test_nothing_listens_there(settings, retries_at_once, caplog):
    settings.ALERT_WEBHOOK_URL = "http://127.0.0.1:9/secret"
    with caplog.at_level(logging.ERROR):
        notify(warning_alert, sender=None, message="m", context=CONTEXT)
    assert "cannot be reached" in caplog.text or any("cannot be reached" in str(vars(record)) for record in caplog.records)


def test_a_redirect_is_a_failure_since_the_alert_would_be_lost_on_the_way(hook: Hook, caplog):
    hook.statuses = [301, 302, 307]
    with caplog.at_level(logging.ERROR):
        assert notify(critical_alert, sender=None, message="m", context=CONTEXT) is False
    assert any("HTTP 307" in str(vars(record)) for record in caplog.records)
    assert len(hook.bodies) == 3


@pytest.mark.parametrize("url", ["https://hooks.example/T0/SECRET KEY", "https://h:abc/SECRET", "http://[::1/SECRET"])
def test_an_address_that_cannot_be_one_is_refused_by_check_and_never_logged(settings, retries_at_once, caplog, url):
    settings.ALERT_WEBHOOK_URL = url
    assert [error.id for error in check_alerts()] == ["etl.E007"]
    with caplog.at_level(logging.ERROR):
        assert notify(critical_alert, sender=None, message="m", context=CONTEXT) is False
    assert "SECRET" not in caplog.text + str([vars(record) for record in caplog.records])


def test_it_counts_as_told_where_one_way_works_or_none_is_set(hook: Hook, settings):
    assert notify(critical_alert, sender=None, message="m", context=CONTEXT) is True
    settings.ALERT_EMAILS = ["team@example.com"]
    hook.statuses = [500, 500, 500]
    assert notify(critical_alert, sender=None, message="m", context=CONTEXT) is True
    settings.ALERT_EMAILS, settings.ALERT_WEBHOOK_URL = [], ""
    assert notify(critical_alert, sender=None, message="m", context=CONTEXT) is True
