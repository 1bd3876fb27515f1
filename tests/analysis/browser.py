"""A headless Chromium of the machine's own, driven by Playwright; tests that need one skip where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
"""Path of the browser, or None; Playwright's own download is not used."""


@dataclass
class Seen:
    """What went wrong while a page was open: console errors and warnings, exceptions, and requests that it made."""

    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; as root it runs only without its sandbox."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser: Browser, uri: str, width: int = 1280, **given: Any) -> tuple[Page, Seen]:
    """The page in a window of its own, and what is seen of it from now on."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **given)
    page, seen = context.new_page(), Seen()
    page.on("console", lambda m: seen.messages.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.messages.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(uri)
    return page, seen


def draw_all(page: Page) -> int:
    """Scroll through the page until every figure that can be seen is drawn; their number."""
    page.evaluate("document.querySelectorAll('main figure').forEach((one) => one.scrollIntoView())")
    drawn = page.locator("figure.drawn")
    for figure in page.locator("main figure").all():
        figure.scroll_into_view_if_needed()
    total = page.locator("main figure").count()
    page.wait_for_function(f"document.querySelectorAll('figure.drawn').length === {total}", timeout=60_000)
    return drawn.count()
