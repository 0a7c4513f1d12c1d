"""Check that Flower needs a login or listens only on this machine.

The check reads Flower's final options, whether they come from the command line, FLOWER_… variables or flowerconfig.py.
"""

import socket
from ipaddress import ip_address

from flower.options import options


def missing_login() -> str:
    """Return an error message if Flower would listen on the network without a login, else an empty string."""
    if options.unix_socket or _is_loopback(options.address) or options.auth or _has_passwords(options.basic_auth):
        return ""
    return (
        f"Flower would listen on {options.address or 'every address'} without a login, and whoever reaches it may stop workers: "
        "set FLOWER_BASIC_AUTH=user:password, or leave out --address, so that it listens on 127.0.0.1"
    )


def _is_loopback(address: str) -> bool:
    try:
        found = socket.getaddrinfo(address, None) if address else []
    except OSError:
        return False
    return bool(found) and all(ip_address(str(sockaddr[0])).is_loopback for *_, sockaddr in found)


def _has_passwords(logins: list[str] | None) -> bool:
    return bool(logins) and all(name and password for name, _, password in (login.partition(":") for login in logins or ()))
