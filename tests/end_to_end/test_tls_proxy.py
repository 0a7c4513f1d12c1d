"""The admin behind nginx, configured as in docs/deploy.md: the login works, and only the proxy's forwarded headers have an effect."""

import base64
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from callcentersite.local_processes import processes
from dora_metrics.models import LoginAttempts
from tests.end_to_end.conftest import database_url
from tests.log_store.secured_cassandra import write_certificates
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
NAME = "dora.example.com"
NGINX = shutil.which(os.environ.get("NGINX") or "nginx")
PRODUCTION = {"DJANGO_ALLOWED_HOSTS": NAME, "DJANGO_HTTPS": "1", "DJANGO_SECRET_KEY": "0123456789abcdef" * 4, "DJANGO_DEBUG": "0"}
# The rest of nginx's configuration, for a single process that needs no privileges.
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""

needs_nginx = pytest.mark.skipif(not NGINX, reason="there is no nginx: scripts/test gets it")


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Site:
    https: int
    http: int
    inside: int
    trusted: ssl.SSLContext

    def ask(self, path: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, source: str = "127.0.0.1") -> Answer:
        """Send a request through the proxy, as a browser does. The Host header contains the port, because it is not 443."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.https, context=self.trusted, timeout=30, source_address=(source, 0))
        own = {"Host": f"{NAME}:{self.https}", "Origin": f"https://{NAME}:{self.https}"} if form else {"Host": f"{NAME}:{self.https}"}
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"https://{NAME}:{self.https}{path}"}
        return answered(connection, path, form=form, headers={**own, **kind, **(headers or {})})

    def ask_inside(self, path: str, *, source: str, headers: Mapping[str, str]) -> Answer:
        """Send a request directly to the application, from `source`, an address of this machine."""
        connection = http.client.HTTPConnection("127.0.0.1", self.inside, timeout=30, source_address=(source, 0))
        return answered(connection, path, headers={"Host": NAME, **headers})


def answered(connection: http.client.HTTPConnection, path: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str]) -> Answer:
    with closing(connection):
        connection.request("POST" if form else "GET", path, body=urlencode(form) if form else None, headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def free_ports(count: int) -> list[int]:
    with ExitStack() as kept:
        return [kept.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


def documented(changes: Mapping[str, str], *, name: str = NAME) -> str:
    """Return nginx's configuration for the host `name` from docs/deploy.md, with the ports and files of this test."""
    found = re.findall(r"```nginx\n(.*?)```", (settings.BASE_DIR / "docs/deploy.md").read_text(), re.S)
    [lines] = [lines for lines in found if f"server_name {name};" in lines]
    for there, here in changes.items():
        assert lines.count(there) == 1, there
        lines = lines.replace(there, here)
    return str(lines)


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[Site]:
    https, plain, inside = free_ports(3)
    write_certificates(tmp_path)
    certificate = f"{tmp_path}/server.pem"
    lines = documented(
        {
            "listen 443": f"listen 127.0.0.1:{https}",
            "listen 80": f"listen 127.0.0.1:{plain}",
            "127.0.0.1:8000": f"127.0.0.1:{inside}",
            "/etc/ssl/certs/dora.example.com.pem": certificate,
            "/etc/ssl/private/dora.example.com.key": certificate,
        }
    )
    (tmp_path / "nginx.conf").write_text(AROUND.format(folder=tmp_path, site=lines))
    commands = {
        "web": [sys.executable, "-m", "gunicorn", "callcentersite.wsgi", "--bind", f"127.0.0.1:{inside}", "--threads", "2", "--no-control-socket"],
        "nginx": [str(NGINX), "-e", "stderr", "-p", str(tmp_path), "-c", f"{tmp_path}/nginx.conf"],
    }
    env = {**PRODUCTION, "DATABASE_URL": database_url(), "FORWARDED_ALLOW_IPS": "127.0.0.1"}
    User.objects.create_superuser("ana", password="a long password")
    with processes(commands, folder=tmp_path, env=env, cwd=settings.BASE_DIR):
        for port in (https, inside):
            wait_for(port, tmp_path)
        yield Site(https, plain, inside, ssl.create_default_context(cafile=tmp_path / "ca.pem"))


def wait_for(port: int, folder: Path) -> None:
    """Wait until a process listens on the port."""
    wait_until(lambda: is_listening(port), explain=lambda: "\n".join(f"{path.name}: {path.read_text()[-3000:]}" for path in folder.glob("*.log")))


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@needs_nginx
def test_the_login_works_behind_the_documented_proxy_and_nobody_else_is_believed(site: Site) -> None:
    # The login sets cookies that are sent over HTTPS only.
    page = site.ask("/admin/login/")
    assert page.status == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=2592000"
    cookies = SimpleCookie(page.headers["Set-Cookie"])
    assert cookies["csrftoken"]["secure"]
    form = {"username": "ana", "password": "a long password", "csrfmiddlewaretoken": cookies["csrftoken"].value, "next": "/admin/"}
    done = site.ask("/admin/login/", form=form, headers={"Cookie": f"csrftoken={cookies['csrftoken'].value}"})
    assert (done.status, done.headers["Location"]) == (302, "/admin/"), done.body[:2000]
    session = SimpleCookie("; ".join(done.headers.get_all("Set-Cookie") or []))
    assert session["sessionid"]["secure"]
    assert site.ask("/admin/", headers={"Cookie": f"sessionid={session['sessionid'].value}"}).status == 200

    # A form of another site is refused.
    forged = site.ask("/admin/login/", form=form, headers={"Cookie": f"csrftoken={form['csrfmiddlewaretoken']}", "Origin": "https://evil.example"})
    assert forged.status == 403

    # Forwarded headers that a browser sends have no effect.
    for claim in ({"X-Forwarded-Host": "evil.example"}, {"X-Forwarded-Proto": "http"}, {"X-Forwarded-For": "127.0.0.1"}):
        assert site.ask("/admin/login/", headers=claim).status == 200
    assert site.ask("/admin/login/", headers={"Host": "evil.example"}).status == 400

    # Who guesses passwords is locked out, whatever the headers say, and nobody else is: the proxy tells the address of each client.
    wrong = form | {"password": "a guess"}
    token = {"Cookie": f"csrftoken={form['csrfmiddlewaretoken']}"}
    guesses = [site.ask("/admin/login/", form=wrong, headers=token | {"X-Forwarded-For": f"10.0.0.{n}"}, source="127.0.0.3").status for n in range(7)]
    assert guesses == [200] * 5 + [429] * 2
    assert site.ask("/login/", form=form, headers=token, source="127.0.0.3").status == 429
    assert site.ask("/login/", form=form, headers=token, source="127.0.0.4").status == 302
    assert set(LoginAttempts.objects.values_list("address", flat=True)) == {"127.0.0.1", "127.0.0.3", "127.0.0.4"}

    # HTTP is redirected to HTTPS, by the proxy and by the application.
    connection = http.client.HTTPConnection("127.0.0.1", site.http, timeout=30)
    moved = answered(connection, "/admin/", headers={"Host": NAME})
    assert (moved.status, moved.headers["Location"]) == (301, f"https://{NAME}/admin/")
    assert site.ask_inside("/admin/login/", source="127.0.0.1", headers={}).status == 301

    # X-Forwarded-Proto is accepted from the proxy's address only.
    claim = {"X-Forwarded-Proto": "https"}
    assert site.ask_inside("/admin/login/", source="127.0.0.1", headers=claim).status == 200
    assert site.ask_inside("/admin/login/", source="127.0.0.2", headers=claim).status == 301

    # Monitors inside the network need no https and no known name. From outside nobody reads the numbers.
    assert site.ask_inside("/healthz", source="127.0.0.2", headers={"Host": "172.30.90.7"}).status == 200
    assert site.ask_inside("/metrics", source="127.0.0.2", headers={"Host": "web"}).status == 200
    assert site.ask("/metrics").status == 403
    assert set(json.loads(site.ask("/readyz").body)) == {"status"}


@needs_nginx
def test_flower_behind_the_documented_proxy_asks_for_its_password_and_hides_its_metrics(tmp_path: Path) -> None:
    https, inside = free_ports(2)
    write_certificates(tmp_path)
    certificate = f"{tmp_path}/server.pem"
    lines = documented(
        {
            "listen 443": f"listen 127.0.0.1:{https}",
            "127.0.0.1:5555": f"127.0.0.1:{inside}",
            "/etc/ssl/certs/flower.example.com.pem": certificate,
            "/etc/ssl/private/flower.example.com.key": certificate,
        },
        name="flower.example.com",
    )
    (tmp_path / "nginx.conf").write_text(AROUND.format(folder=tmp_path, site=lines))
    commands = {
        "flower": [sys.executable, "-m", "celery", "-A", "callcentersite", "flower", f"--port={inside}"],
        "nginx": [str(NGINX), "-e", "stderr", "-p", str(tmp_path), "-c", f"{tmp_path}/nginx.conf"],
    }
    # There is no broker at this address. Flower does not need one here.
    env = {"FLOWER_BASIC_AUTH": "operator:secret", "CALLCENTERSITE_VAR": str(tmp_path), "CELERY_BROKER_URL": "redis://127.0.0.1:9/0"}
    password = {"Authorization": f"Basic {base64.b64encode(b'operator:secret').decode()}"}
    trusted = ssl.create_default_context(cafile=tmp_path / "ca.pem")

    def ask(path: str, headers: Mapping[str, str]) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", https, context=trusted, timeout=30)
        return answered(connection, path, headers={"Host": f"flower.example.com:{https}", **headers}).status

    with processes(commands, folder=tmp_path, env=env, cwd=settings.BASE_DIR):
        for port in (inside, https):
            wait_for(port, tmp_path)
        assert [ask(path, {}) for path in ("/", "/tasks", "/api/tasks", "/metrics")] == [401, 401, 401, 404]
        assert [ask(path, password) for path in ("/tasks", "/static/css/flower.css")] == [200, 200]
        assert [ask(path, password) for path in ("/metrics", "//metrics", "/%6detrics")] == [404, 404, 404]


def test_check_deploy_is_silent_with_the_documented_settings(tmp_path: Path) -> None:
    env = {**os.environ, **PRODUCTION, "CALLCENTERSITE_VAR": str(tmp_path), "DATABASE_URL": ""}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    env.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)  # the tests' browser sets it for this process
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
