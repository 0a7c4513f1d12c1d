"""The client's address, with and without a proxy. Only what a trusted proxy has written counts."""

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from dora_metrics.client_address import client_address

PROXY = "172.30.90.1"


def address(peer: str, forwarded: str | None = None) -> str:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers))


@pytest.fixture(autouse=True)
def proxies(settings: Settings) -> None:
    settings.FORWARDED_ALLOW_IPS = [PROXY, "10.1.0.0/16"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        (PROXY, "203.0.113.7", "203.0.113.7"),
        (PROXY, "203.0.113.7:51234", "203.0.113.7"),
        # two proxies, each of which appends the address before it
        (PROXY, "203.0.113.7, 10.1.2.3", "203.0.113.7"),
        # a unix socket has no address, and only a proxy uses it
        ("", "203.0.113.7", "203.0.113.7"),
        ("::ffff:172.30.90.1", "::ffff:203.0.113.7", "203.0.113.7"),
        # an IPv6 client has a whole network
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        (PROXY, "[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
    ],
)
def test_the_address_of_the_client_is_found(peer: str, forwarded: str | None, expected: str) -> None:
    assert address(peer, forwarded) == expected


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        # not sent by a proxy
        ("203.0.113.7", "10.9.9.9", "203.0.113.7"),
        # sent by the client, before the address that the proxy has appended
        (PROXY, "10.9.9.9, 203.0.113.7", "203.0.113.7"),
        (PROXY, "10.9.9.9, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        (PROXY, "unknown, 203.0.113.7", "203.0.113.7"),
        # no address of a client: all that is known is the proxy
        (PROXY, None, PROXY),
        (PROXY, "", PROXY),
        (PROXY, "203.0.113.7, <script>", PROXY),
        ("", None, ""),
    ],
)
def test_what_a_client_claims_is_not_believed(peer: str, forwarded: str | None, expected: str) -> None:
    assert address(peer, forwarded) == expected


def test_with_an_asterisk_only_the_peer_is_a_proxy(settings: Settings) -> None:
    settings.FORWARDED_ALLOW_IPS = ["*"]
    assert address("192.0.2.1", "10.9.9.9, 203.0.113.7") == "203.0.113.7"
