"""This machine: disk space and the folders of log files; and who is told about problems."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import mail
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from etl_tasks.doctor.findings import Finding, ok, problem, warning
from etl_tasks.models import Source

LEAST_FREE_BYTES, LITTLE_FREE_BYTES = 200 << 20, 2 << 30


def check_disk() -> Iterator[Finding]:
    """Check the folder of local files and, on SQLite, that of the database."""
    folders = {Path(settings.VAR)}
    if str(settings.DATABASES["default"]["ENGINE"]).endswith("sqlite3"):
        folders.add(Path(settings.DATABASES["default"]["NAME"]).parent)
    for folder in sorted(folders):
        yield disk_finding(folder)


def disk_finding(folder: Path) -> Finding:
    name = str(folder)
    try:
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        return problem(name, _("its disk cannot be looked at (%(reason)s)") % {"reason": exc.strerror}, _("Make the folder readable"))
    sentence = _("%(size)s are free") % {"size": filesizeformat(free)}
    if not os.access(folder, os.W_OK):
        return problem(name, _("it cannot be written to"), _("Give this user the permission to write"))
    if free < LEAST_FREE_BYTES:
        return problem(name, sentence, _("Free some disk space: without it, nothing can be stored"))
    if free < LITTLE_FREE_BYTES:
        return warning(name, sentence, _("Free some disk space soon"))
    return ok(name, sentence)


def check_log_roots() -> Iterator[Finding]:
    """Check the folders of LOG_ROOTS, as this process sees them. `check_sources` asks the workers about the files themselves."""
    paths = list(Source.objects.filter(is_enabled=True, host__in=("", settings.ETL_HOST)).exclude(path="").values_list("path", flat=True))
    for root in settings.LOG_ROOTS:
        name = f"LOG_ROOTS {root}"
        is_used = any(path.startswith(root.rstrip("/") + "/") for path in paths)
        if os.path.isdir(root) and os.access(root, os.X_OK):
            yield ok(name, _("this host can read it"))
        elif is_used:
            yield ok(name, _("this process cannot read it; the workers, which read its files, were asked about each source"))
        else:
            yield ok(name, _("this host does not have it, and no source needs it here"))


def check_alerts() -> Iterator[Finding]:
    """Check that somebody is told about problems. The mail server is asked, but no message is sent."""
    if not settings.ALERT_EMAILS and not settings.ALERT_WEBHOOK_URL:
        action = _("Set ALERT_EMAILS or ALERT_WEBHOOK_URL; until then, alerts are only in the log")
        yield warning(_("alerts"), _("nobody gets them"), action)
    if settings.ALERT_EMAILS:
        yield _mail_server()
    if settings.ALERT_WEBHOOK_URL:
        yield ok("ALERT_WEBHOOK_URL", _("it is set; it was not tried, because that would post a message"))
    if settings.HEARTBEAT_URL:
        yield ok("HEARTBEAT_URL", _("it is set: a night that does not end well is noticed even if this server is down"))
    else:
        yield ok("HEARTBEAT_URL", _("it is not set: if this whole server is down, nobody is told"))


def _mail_server() -> Finding:
    name = "EMAIL_URL"
    connection = mail.get_connection()
    try:
        connection.open()
        connection.close()
    except Exception as exc:  # noqa: BLE001  smtplib and the network raise various exceptions, and their texts may contain the password
        sentence = _("the mail server does not accept a connection (%(error)s): alerts by e-mail are lost") % {"error": type(exc).__name__}
        return problem(name, sentence, _("Check host, port, user and password in EMAIL_URL"))
    return ok(name, _("the mail server accepts a connection"))
