"""A company's proxy and certificates, which environment variables name."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests
from pytest_django import Settings

from etl_tasks.errors import RetriableError
from etl_tasks.sources.github.client import GitHub
from tests.http_servers import served


class Proxy(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def test_requests_go_through_the_proxy_of_the_environment_except_to_hosts_that_need_none(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(Proxy):
        asked: list[str] = []

    settings.GITHUB_ALLOW_HTTP, settings.ETL_MAX_ATTEMPTS = True, 1
    settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL = "http://github.invalid", "http://github.invalid/graphql"
    with served(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        assert GitHub().get("http://github.invalid/rate_limit").json() == {}
        monkeypatch.setenv("NO_PROXY", "github.invalid")
        with pytest.raises(RetriableError, match="cannot be reached"):
            GitHub().get("http://github.invalid/rate_limit")
    assert Handler.asked == ["http://github.invalid/rate_limit"]


def test_the_certificates_of_the_environment_are_used_and_the_environment_is_read_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ETL_MAX_ATTEMPTS = 1
    settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL = "https://127.0.0.1:9", "https://127.0.0.1:9/graphql"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/company.pem")
    sent: list[Any] = []

    def send(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        sent.append(options["verify"])
        raise requests.ConnectionError

    monkeypatch.setattr(requests.Session, "send", send)
    github = GitHub()
    for _ in range(2):
        with pytest.raises(RetriableError, match="cannot be reached"):
            github.get("https://127.0.0.1:9/rate_limit")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/other.pem")
    assert sent == ["/etc/company.pem"] * 2
