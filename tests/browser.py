"""A real Chromium that looks at pages, and says what went wrong on them."""

from __future__ import annotations

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
def visit(browser: Any, width: int = 1280, theme: str = "light") -> Iterator[Visit]:
    """Opens an empty page."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    yield Visit(context.new_page())
    context.close()


def pages(site: Path) -> list[str]:
    """Returns the URLs of all pages of a site, relative to it."""
    return sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
