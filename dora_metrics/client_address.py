"""The address of the client that sent a request, also behind a proxy, and without believing what the client says about itself."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

ANYBODY = "*"


def client_address(request: HttpRequest) -> str:
    """Return the address of the client, or the network of an IPv6 client: who has one IPv6 address usually has all of its /64.

    A proxy in FORWARDED_ALLOW_IPS appends to X-Forwarded-For the address from which it got the request. So the list is read from its end, and
    the first address that is not such a proxy is the client's. What stands before it was sent by the client, which may write anything.
    """
    found = peer = _parsed(request.META.get("REMOTE_ADDR", ""))
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    while forwarded and _is_proxy(found, is_peer=found is peer):
        before = _parsed(forwarded.pop())
        if before is None:
            break
        found = before
    return _group(found)


def _is_proxy(address: IPv4Address | IPv6Address | None, *, is_peer: bool) -> bool:
    """Return whether what this address forwards is believed. `is_peer`: whether the connection comes from there.

    A connection without an address is a unix socket's, and a proxy's, as gunicorn assumes, too. * stands for every peer.
    """
    if is_peer and (address is None or ANYBODY in settings.FORWARDED_ALLOW_IPS):
        return True
    return any(address in ip_network(proxy) for proxy in settings.FORWARDED_ALLOW_IPS if proxy != ANYBODY)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    for form in (text, text.rpartition(":")[0].strip("[]")):  # some proxies append the port
        try:
            found = ip_address(form)
        except ValueError:
            continue
        return getattr(found, "ipv4_mapped", None) or found
    return None


def _group(address: IPv4Address | IPv6Address | None) -> str:
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address or "")
