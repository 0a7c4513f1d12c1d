"""The settings: whether they can work, and whether they are safe on a server."""

from collections.abc import Iterator

from django.conf import settings
from django.core import checks
from django.utils.translation import gettext as _

from etl_tasks.doctor.findings import Finding, ok, problem, warning

FEWEST_CHARACTERS, FEWEST_DIFFERENT = 50, 5  # of the secret key, as Django's deployment check asks
INSECURE = "django-insecure-"
LOCAL = {"localhost", "127.0.0.1", "[::1]"}


def check_settings() -> Iterator[Finding]:
    """Check each setting by itself. `manage.py check` runs the same checks."""
    messages = [message for message in checks.run_checks() if not message.is_silenced()]
    for message in messages:
        finding = problem if message.level >= checks.ERROR else warning
        if message.level >= checks.WARNING:
            yield finding(message.id or "check", str(message.msg), str(message.hint or ""))
    if not any(message.level >= checks.WARNING for message in messages):
        yield ok(_("values"), _("every setting can work"))
    yield check_secret_key()
    yield from check_pages()


def check_secret_key() -> Finding:
    key = settings.SECRET_KEY
    if len(key) < FEWEST_CHARACTERS or len(set(key)) < FEWEST_DIFFERENT or key.startswith(INSECURE):
        sentence = _("it is short or easy to guess: whoever knows it can log in as anybody")
        action = _("Set it to a long random value, for example from `openssl rand -hex 32`")
        return (warning if is_laptop() else problem)("DJANGO_SECRET_KEY", sentence, action)
    return ok("DJANGO_SECRET_KEY", _("it is set, long and random"))


def check_pages() -> Iterator[Finding]:
    if settings.DEBUG:
        sentence = _("it is on: error pages show settings and code to everybody")
        yield (warning if is_laptop() else problem)("DJANGO_DEBUG", sentence, _("Set DJANGO_DEBUG=0"))
    else:
        yield ok("DJANGO_DEBUG", _("it is off"))
    hosts = [host for host in settings.ALLOWED_HOSTS if host not in LOCAL]
    if "*" in hosts:
        yield warning("DJANGO_ALLOWED_HOSTS", _("the pages answer under any host name"), _("Name the hosts of the pages"))
    elif not hosts and not is_laptop():
        yield warning("DJANGO_ALLOWED_HOSTS", _("the pages answer on this machine only"), _("Set it to the host name of the pages"))
    else:
        yield ok("DJANGO_ALLOWED_HOSTS", ", ".join(hosts) or _("the pages answer on this machine only, as on a laptop"))
    if hosts and not settings.SESSION_COOKIE_SECURE:
        sentence = _("passwords and cookies cross the network unencrypted")
        yield warning("DJANGO_HTTPS", sentence, _("Put a TLS proxy in front and set DJANGO_HTTPS=1: docs/deploy.md"))


def is_laptop() -> bool:
    """Return whether this is an installation for one person: it uses SQLite."""
    return str(settings.DATABASES["default"]["ENGINE"]).endswith("sqlite3")
