"""Keys of facts in URLs. A key may have any characters, such as the slash in "issue acme/billing#12"."""

import re
from urllib.parse import quote, unquote_to_bytes


class FactKeyConverter:
    """Writes a key with `~` and two hexadecimal digits for each byte that is neither a letter, a digit, `-`, `_` nor a point.

    `%` would do the same, but servers and proxies decode it, and then treat a slash or two points as a part of the path.
    """

    regex = r"(?:[\w.-]|~[0-9A-F]{2})+"

    def to_python(self, text: str) -> str:
        """Return the key. Raises ValueError for a text that is no key, which Django answers with 404."""
        return unquote_to_bytes(text.replace("~", "%")).decode()

    def to_url(self, key: str) -> str:
        escaped = quote(key, safe="").replace("~", "%7E").replace("%", "~")
        return escaped if re.search(r"[^.]", escaped) else escaped.replace(".", "~2E")  # "." and ".." name folders
