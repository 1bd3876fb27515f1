"""A headless Chromium, driven by Playwright; tests that need one skip where there is none (`make browser` gets one).

    python -m tests.analysis.browser

says which one the tests take; exit code 1 where there is none.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """Path of the machine's own browser, else of the one that Playwright has downloaded before, else None."""
    machines = next((found for name in NAMES if (found := shutil.which(name))), None)
    if machines is not None:
        return machines
    with sync_playwright() as driver:
        own = driver.chromium.executable_path
    return own if Path(own).is_file() else None


CHROMIUM = find()


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


if __name__ == "__main__":
    print(CHROMIUM or "no Chromium")
    sys.exit(CHROMIUM is None)
