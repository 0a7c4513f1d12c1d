"""Take pictures of the main pages of a running demo, light and dark, wide and narrow (`scripts/screenshots`)."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, Page, Response, StorageState, ViewportSize, sync_playwright

from demo.environment import PROJECT

WIDTHS = {1366: 900, 390: 844}
SCHEMES = ("light", "dark")
TALLEST = 4000  # pixels; a longer page is cut
DEMO_SECONDS = 600
DOCS_FOLDER = PROJECT / "docs/images"
# The pictures that the README and docs show. Each begins at the top of its page, or at the first heading with this text.
IN_DOCS = {"overview": "", "service": "", "value": "Why did it move", "operations": "nights", "logs": ""}
DOCS_SIZE = ViewportSize(width=1280, height=640)
LARGEST_IN_DOCS = 150_000  # bytes
ADDRESS = re.compile(r"^  (http://\S+/demo/\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shot:
    """A page. `path`: its address, or that of a page from which the first link that matches `link` is followed."""

    name: str
    path: str
    link: str = ""


def shots(now: datetime) -> list[Shot]:
    month = f"{now:%Y-%m}"
    failures = f"/services/agent-desktop/change_fail_rate/{month}/"
    return [
        Shot("overview", "/"),
        Shot("service", "/services/call-routing/"),
        Shot("service-worse", "/services/agent-desktop/"),
        Shot("service-young", "/services/voice-bot/"),
        Shot("compare", "/compare/?service=call-routing&service=agent-desktop&service=billing"),
        Shot("value", failures),
        Shot("lead-time", f"/services/call-routing/change_lead_time/{month}/"),
        Shot("deployment", failures, link=r"/deployments/"),
        Shot("incident", failures, link=r"/incidents/"),
        Shot("change", f"/services/call-routing/change_lead_time/{month}/", link=r"/changes/"),
        Shot("staged-page", failures, link=r"/staged/\d+/"),
        Shot("operations", "/operations/"),
        Shot("runs", "/operations/runs/"),
        Shot("run", "/operations/", link=r"/operations/runs/\d+/$"),
        Shot("source", "/operations/", link=r"/operations/sources/\d+/$"),
        Shot("letters", "/operations/letters/"),
        Shot("letter", "/operations/letters/", link=r"/operations/letters/\d+/$"),
        Shot("logs", "/logs/?source=agent-desktop-logs"),
        Shot("log-event", "/logs/?source=call-routing-logs", link=r"/logs/event/"),
        Shot("setup", "/setup/"),
        Shot("definitions", "/definitions/"),
        Shot("admin", "/admin/"),
        Shot("not-found", "/nothing-here/"),
    ]


class Camera:
    """Takes the pictures. `complaints`: console errors, policy violations and error answers, each with its page."""

    def __init__(self, browser: Browser, base: str, state: StorageState) -> None:
        self.browser, self.base, self.state = browser, base, state
        self.complaints: list[str] = []
        self._name = ""

    def take(self, wanted: list[Shot], folder: Path) -> None:
        for width, height in WIDTHS.items():
            for scheme in SCHEMES:
                context = self.browser.new_context(
                    base_url=self.base,
                    storage_state=self.state,
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    locale="en-GB",
                )
                context.on("console", lambda message: self._complain(message.text) if message.type == "error" else None)
                context.on("weberror", lambda error: self._complain(str(error.error)))
                context.on("response", self._look_at)
                page = context.new_page()
                for shot in wanted:
                    self._name = f"{shot.name}-{width}-{scheme}"
                    if self._open(page, shot):
                        tall = min(TALLEST, int(page.evaluate("document.documentElement.scrollHeight")))
                        clip = {"x": 0, "y": 0, "width": width, "height": max(tall, height)}
                        page.screenshot(path=folder / f"{self._name}.png", full_page=True, clip=clip)  # type: ignore[arg-type]
                        self._check_width(page, width)
                context.close()

    def take_for_docs(self, wanted: list[Shot], folder: Path) -> None:
        """Take the part of each page that IN_DOCS names, in the light scheme."""
        context = self.browser.new_context(base_url=self.base, storage_state=self.state, viewport=DOCS_SIZE, locale="en-GB")
        page = context.new_page()
        folder.mkdir(parents=True, exist_ok=True)
        for shot in wanted:
            self._name = shot.name
            path = folder / f"{shot.name}.png"
            if self._open(page, shot):
                if heading := IN_DOCS[shot.name]:
                    page.get_by_role("heading", name=heading).first.evaluate("one => one.scrollIntoView()")
                page.screenshot(path=path)
                if path.stat().st_size > LARGEST_IN_DOCS:
                    self._complain(f"the picture has {path.stat().st_size:,} bytes; at most {LARGEST_IN_DOCS:,} are wanted")
        context.close()

    def _open(self, page: Page, shot: Shot) -> bool:
        page.goto(shot.path)
        if shot.link:
            links = page.eval_on_selector_all("main a[href]", "all => all.map(one => new URL(one.getAttribute('href'), location).pathname)")
            target = next((link for link in links if re.search(shot.link, link)), None)
            if target is None:
                self._complain(f"no link matches {shot.link}")
                return False
            page.goto(target)
        # Pages that refresh themselves never become idle; their charts are drawn within a second.
        page.wait_for_load_state("load")
        page.wait_for_timeout(700)
        return True

    def _check_width(self, page: Page, width: int) -> None:
        if (found := page.evaluate("document.documentElement.scrollWidth")) > width:
            self._complain(f"the page is {found} pixels wide")

    def _look_at(self, response: Response) -> None:
        if response.status >= 400 and not self._name.startswith("not-found"):
            self._complain(f"{response.status} {response.url}")

    def _complain(self, text: str) -> None:
        if not self._name.startswith("not-found"):
            self.complaints.append(f"{self._name}: {text}")


@contextmanager
def running_demo() -> Iterator[str]:
    """Start a demo in a temporary folder, yield the address that logs in, and stop it."""
    with tempfile.TemporaryDirectory(prefix="screenshots-") as var, (Path(var) / "output").open("w+") as output:
        env = {**os.environ, "CALLCENTERSITE_VAR": var}
        process = subprocess.Popen([sys.executable, "-m", "demo", "--serve"], cwd=PROJECT, env=env, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + DEMO_SECONDS
            while not (found := ADDRESS.search(Path(output.name).read_text())):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"screenshots: the demo did not start:\n{Path(output.name).read_text()}")
                time.sleep(0.5)
            yield found[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def photograph(address: str, folder: Path | None, wanted: list[Shot]) -> list[str]:
    """Take the pictures into the folder, or those of the documentation if it is None. Return the complaints."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("screenshots: there is no Chromium: call scripts/browser, or install it by hand")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        camera = Camera(browser, address.partition("/demo/")[0], context.storage_state())
        if folder is None:
            camera.take_for_docs([shot for shot in wanted if shot.name in IN_DOCS], DOCS_FOLDER)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            camera.take(wanted, folder)
        browser.close()
    return camera.complaints


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=PROJECT / "var/screenshots", help="where the pictures go; default: var/screenshots")
    parser.add_argument("--docs", action="store_true", help="take only the pictures of the documentation, into docs/images")
    parser.add_argument("--address", help="the address that a running demo has printed; without it, a demo is started")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this page; may be repeated")
    options = parser.parse_args()
    wanted = [shot for shot in shots(datetime.now(UTC)) if not options.only or shot.name in options.only]
    folder = None if options.docs else options.folder.absolute()
    if options.address:
        complaints = photograph(options.address, folder, wanted)
    else:
        with running_demo() as address:
            complaints = photograph(address, folder, wanted)
    print(f"screenshots: {folder or DOCS_FOLDER}")
    for complaint in complaints:
        print(f"screenshots: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
