"""A real Chromium that looks at pages, and says what went wrong on them."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import needs
from playwright.sync_api import Page, sync_playwright

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Visit:
    """A page of a browser, and all that it complained of or asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.requests.append(request.url))
        self.failed: list[str] = []
        self._pending = 0
        page.on("request", lambda request: self._count(1))
        page.on("requestfinished", lambda request: self._count(-1))
        page.on("requestfailed", lambda request: self._count(-1))
        page.on("requestfailed", lambda request: self.failed.append(request.url))

    def _count(self, change: int) -> None:
        self._pending += change

    def open(self, url: str) -> None:
        """Opens a page anew, even if only what stands after "#" differs, and waits for it."""
        self.page.goto("about:blank")
        self.page.goto(url)
        self.settle()

    def settle(self) -> None:
        """Waits until the page's scripts have loaded what they want, and a moment to show it."""
        quiet = 0
        while quiet < 3:
            self.page.wait_for_timeout(25)
            quiet = 0 if self._pending else quiet + 1

    def look_over(self) -> None:
        """Scrolls to the end and back, so that what waits to be seen is drawn."""
        height = self.page.evaluate("document.documentElement.scrollHeight")
        for place in range(0, height, 700):
            self.page.evaluate("place => scrollTo(0, place)", place)
            self.page.wait_for_timeout(20)
        self.settle()
        self.page.evaluate("scrollTo(0, 0)")

    def _dialog(self, dialog: Any) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def chromium() -> Iterator[Any]:
    """Starts the system's Chromium, with an empty profile."""
    program = needs("chromium", "apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS])
        yield browser
        browser.close()


@contextmanager
def visit(browser: Any, width: int = 1280, theme: str = "light", **more: Any) -> Iterator[Visit]:
    """Opens an empty page; `more` is said to Playwright's `new_context`."""
    viewport = {"width": width, "height": 900}
    context = browser.new_context(viewport=viewport, color_scheme=theme, **more)
    yield Visit(context.new_page())
    context.close()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder to this machine, and gives its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kind(url: str) -> str:
    """Returns the kind of a page, by its URL.

    >>> kind("runs/01m6.html"), kind("models/fare/v1.html"), kind("code/a-b.html")
    ('runs/page', 'models/name/page', 'code/difference')
    """
    *folders, name = url.split("/")
    if not folders:
        return name.removesuffix(".html")
    if folders[0] == "code":
        return "code/difference" if "-" in name else "code/page"
    return "/".join([folders[0], *("name" for _ in folders[1:]), "page"])


def examples(site: Path) -> dict[str, list[str]]:
    """Returns the URLs of the smallest and the largest page of every kind."""
    found: dict[str, list[str]] = {}
    for url in sorted(pages(site), key=lambda url: (site / url).stat().st_size):
        found.setdefault(kind(url), []).append(url)
    return {name: urls if len(urls) < 3 else [urls[0], urls[-1]] for name, urls in found.items()}


def pages(site: Path) -> list[str]:
    """Returns the URLs of all pages of a site, relative to it."""
    return sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
