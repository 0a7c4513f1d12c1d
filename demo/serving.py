"""Leave the demo running with its pages. Import this module after Django is set up."""

import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

from django.contrib.auth import get_user_model

from callcentersite.local_processes import keep_running, listener, processes, web_command
from demo.environment import PROJECT, START_SECONDS, Demo, DemoFailed
from demo.login import USER, new_token
from demo.team.profiles import CALL_ROUTING
from etl_tasks.models import Source

WEB_HOST, WEB_PORT = "127.0.0.1", 8000


def serve_until_stopped(
    demo: Demo, started: ExitStack, workers: dict[str, list[str]], running: dict[str, subprocess.Popen[bytes]], *, manage: str
) -> None:
    """Start the pages and the writer of a log, say how to use them, and keep all processes running until Ctrl-C."""
    password = secrets.token_urlsafe(9)
    get_user_model().objects.create_superuser(USER, "demo@example.com", password)
    token = new_token(demo.folder)
    held = started.enter_context(listener(WEB_HOST, WEB_PORT))
    further, sockets = {"web": web_command(held)}, {"web": held}
    if not demo.is_real:
        Source.objects.filter(name=CALL_ROUTING.log_source).update(every_minutes=1)
        further["writer"] = [sys.executable, "-m", "demo.live_log", "--folder", str(demo.logs)]
    running |= started.enter_context(processes(further, folder=demo.folder, env=demo.env, cwd=PROJECT, sockets=sockets))
    address = f"http://{WEB_HOST}:{held.getsockname()[1]}"
    _wait_until_it_answers(demo, f"{address}/healthz")
    _say_how_to_use(demo, address, token=token, password=password, manage=manage, port=held.getsockname()[1])
    keep_running(running, {**workers, **further}, folder=demo.folder, env=demo.env, cwd=PROJECT, sockets=sockets)
    print("\nstopping everything that was started …", flush=True)


def _wait_until_it_answers(demo: Demo, url: str) -> None:
    """Wait until the web process answers. The address is held from the beginning, so a connection waits instead of being refused."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=START_SECONDS).close()
        except urllib.error.HTTPError:
            return  # it answers
        except OSError as exc:
            if time.monotonic() > deadline:
                raise DemoFailed(f"the pages do not answer ({exc}); see {demo.folder / 'web.log'}") from exc
            time.sleep(0.2)
        else:
            return


def _say_how_to_use(demo: Demo, address: str, *, token: str, password: str, manage: str, port: int) -> None:
    taken = f"\n(port {WEB_PORT} is taken by another program, so this is port {port})" if port != WEB_PORT else ""
    grows = f"\n{CALL_ROUTING.log_source} grows, and is read every minute: follow its lines under “Logs”.\n" if not demo.is_real else ""
    print(
        f"""
Open this address. It logs you in as {USER}, once:

  {address}/demo/{token}/
{taken}
Another time: {address}/ with user {USER}, password {password}
{grows}
In a second shell, in {PROJECT}:
  {manage} etl_status
  {manage} dead_letters list
  {manage} etl_run --wait

Ctrl-C stops everything.""",
        flush=True,
    )
