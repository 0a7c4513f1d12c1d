"""What to say when somebody names something that does not exist: which name was probably meant, or which names there are."""

from collections.abc import Iterable
from difflib import get_close_matches

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

MOST_LISTED = 10
LONGEST_COMPARED = 200  # comparing takes quadratic time, and no name is longer


def suggestion(name: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """Return the second half of an error about an unknown name: "did you mean 'billing'?", or else the known names.

    `otherwise`: what to say if no name is similar and none can be listed, or instead of the list.
    """
    names = list(dict.fromkeys(known))
    if meant := closest(name, names):
        return _("did you mean %r?") % meant
    if otherwise or not names:
        return otherwise or _("none has been added yet")
    listed = ", ".join(names[:MOST_LISTED])
    more = len(names) - MOST_LISTED
    if more > 0:
        return ngettext("known: %(names)s and %(more)s more", "known: %(names)s and %(more)s more", more) % {"names": listed, "more": more}
    return _("known: %s") % listed


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`, ignoring case; None if none is."""
    by_lower_case = {one.lower(): one for one in known if one}
    found = get_close_matches(name.lower()[:LONGEST_COMPARED], by_lower_case, n=1)
    return by_lower_case[found[0]] if found else None
