"""Post a text to an address that somebody has configured: the webhook of a chat, or the address of a heartbeat."""

import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError


class PostFailed(OSError):
    """The server could not be reached, or it refused the request. `status`: its answer; None if there was none.

    The message is the rest of a sentence that begins with what was posted to. It does not contain the URL, because such a URL is as secret as
    a password.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects.

    urllib would follow a redirect with a GET request, which has no body. So the text would not arrive, but would count as sent.
    """

    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def post(url: str, body: bytes, *, content_type: str, timeout_s: float) -> None:
    """Send one POST request. `timeout_s`: how long the server may be silent. Raises PostFailed, without the url in the message."""
    # The scheme is http or https, because the settings and the system checks refuse any other.
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type, "User-Agent": "callcentersite-etl"})  # noqa: S310
    try:
        OPENER.open(request, timeout=timeout_s).close()
    except HTTPError as exc:
        exc.close()
        raise PostFailed(f"answered HTTP {exc.code}", status=exc.code) from None
    except (URLError, OSError, HTTPException, ValueError) as exc:
        raise PostFailed(f"cannot be reached ({type(exc).__name__})") from None
