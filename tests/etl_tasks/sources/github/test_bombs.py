"""Answers that are small on the way and large in memory, and answers that break a decoder. None of them ends a worker."""

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from pytest_django import Settings

from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.sources.github.client import GitHub

SIZE = 400 << 20


class Hostile(BaseHTTPRequestHandler):
    encoding, body = "", b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        if self.encoding:
            self.send_header("Content-Encoding", self.encoding)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def hostile(settings: Settings) -> Iterator[type[Hostile]]:
    class Handler(Hostile):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        settings.GITHUB_API_URL = f"http://127.0.0.1:{server.server_address[1]}"
        settings.GITHUB_GRAPHQL_URL = f"{settings.GITHUB_API_URL}/graphql"
        settings.ETL_MAX_ATTEMPTS = 1
        yield Handler
        server.shutdown()


@pytest.fixture
def client(hostile: type[Hostile]) -> Iterator[GitHub]:
    github = GitHub()
    yield github
    github._session.close()


def zeros(kind: str) -> bytes:
    piece = b"\0" * (1 << 20)
    compressor = {
        "gzip": lambda: zlib.compressobj(9, wbits=31),
        "deflate": lambda: zlib.compressobj(9),
    }[kind]()
    return b"".join(compressor.compress(piece) for _ in range(SIZE >> 20)) + compressor.flush()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_an_answer_that_unpacks_to_hundreds_of_megabytes_is_refused_in_limited_memory(hostile: type[Hostile], client: GitHub, kind: str) -> None:
    hostile.encoding, hostile.body = kind, zeros(kind)
    assert len(hostile.body) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises((FatalError, RetriableError)) as refused:
            client.query("query { viewer { login } }", {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "larger than" in str(refused.value) or "cannot be reached" in str(refused.value)
    assert peak < 100 << 20


def test_an_answer_that_is_packed_many_times_is_refused(hostile: type[Hostile], client: GitHub) -> None:
    body = b"{}"
    for _ in range(40):
        body = gzip.compress(body, 1)
    hostile.encoding, hostile.body = ", ".join(["gzip"] * 40), body
    with pytest.raises(RetriableError, match="cannot be reached"):
        client.query("query { viewer { login } }", {})


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 100_000, b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"9" * 100_000])
def test_an_answer_that_json_cannot_decode_is_no_json(hostile: type[Hostile], client: GitHub, body: bytes) -> None:
    """Before, thousands of nested lists ended the stage with a RecursionError."""
    hostile.body = body
    answer = client.query("query { viewer { login } }", {})
    assert (answer.body, answer.json()) == (body, None)


def test_a_token_that_comes_back_is_not_kept(hostile: type[Hostile], client: GitHub, settings: Settings) -> None:
    """Before, an error page of a proxy that repeated the request's headers was stored with the token."""
    token = settings.GITHUB_CREDENTIALS[""]["token"]
    hostile.body = b'{"data": {"said": "Authorization: Bearer %s"}}' % token.encode()
    answer = client.query("query { viewer { login } }", {})
    assert answer.json()["data"]["said"] == f"Authorization: Bearer {'*' * len(token)}"
    hostile.body = b'{"data": null, "errors": [{"message": "Bearer %s is refused"}]}' % token.encode()
    with pytest.raises(FatalError) as refused:
        client.query("query { viewer { login } }", {})
    assert token not in str(refused.value)
    assert "is refused" in str(refused.value)


def test_the_client_shows_no_token(settings: Settings) -> None:
    github = GitHub()
    token = settings.GITHUB_CREDENTIALS[""]["token"]
    shown = [repr(github), str(github), repr(github._credential), repr(github._session.headers)]
    assert token
    assert not [text for text in shown if token in text]
