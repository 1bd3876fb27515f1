"""The page in a real browser: drawn offline, usable by keyboard, readable when narrow, dark or printed, accessible."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from finebench.analysis.compare.report import write_comparison
from finebench.analysis.report.write import write_report
from tests.analysis.browser import CHROMIUM, chromium, draw_all, open_page
from tests.analysis.fixtures import draw

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `make browser` gets one")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A report with claims of several kinds, and a comparison, by name: the addresses of their pages."""
    made = {}
    folders = []
    for name, seeds in (("a", 3), ("b", 2)):
        folder = draw(tmp_path_factory.mktemp(name), seeds=seeds, tasks=("cola",))
        folder.study["claims"] = [
            {"id": "steady-matches", "says": "matches", "a": "steady", "b": "strong", "margin": 0.05},
            {"id": "strong-is-better", "says": "better", "a": "strong", "b": "flat"},
            {"id": "shaky-varies", "says": "varies_more", "a": "shaky", "b": "strong"},
        ]
        folders.append(folder.write())
    made["report"] = Path(write_report(folders[0]).path).as_uri()
    out = tmp_path_factory.mktemp("compared")
    made["comparison"] = Path(str(write_comparison(*folders, str(out)).path)).as_uri()
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def page(browser: Browser, pages: dict[str, str]) -> Page:
    """The report in a wide window, every figure drawn."""
    opened, seen = open_page(browser, pages["report"])
    draw_all(opened)
    assert seen.messages == []
    return opened


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [("report", "light", 1280), ("report", "dark", 390), ("comparison", "dark", 1280), ("comparison", "light", 390)],
)
def test_every_figure_is_drawn_without_an_error_or_a_request(
    browser: Browser, pages: dict[str, str], name: str, scheme: str, width: int
) -> None:
    opened, seen = open_page(browser, pages[name], width, color_scheme=scheme)
    assert draw_all(opened) > 0
    assert seen.messages == []
    assert [url for url in seen.requests if not url.startswith(("data:", "blob:"))] == [pages[name]]
    assert opened.evaluate("document.documentElement.scrollWidth") <= width  # no sideways scroll of the page
    for chart in opened.locator("figure .chart svg").all():
        assert chart.bounding_box()["width"] <= width  # type: ignore[index]
    problems = [one for one in Axe().run(opened).response["violations"] if one["impact"] != "minor"]
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in problems] == []
    opened.context.close()


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_layers_agree_on_the_titles_of_their_axes(browser: Browser, pages: dict[str, str], name: str) -> None:
    """The grammar joins different titles of one axis with commas."""
    opened, _ = open_page(browser, pages[name])
    figures = json.loads(opened.locator("#charts").text_content() or "")["figures"]
    assert figures
    for figure in figures:
        for axis in ("x", "y"):
            channels = [layer.get("encoding", {}).get(axis) or {} for layer in figure["spec"]["layer"]]
            assert len({one["title"] for one in channels if one.get("title")}) <= 1, (figure["id"], axis)
    opened.context.close()


def test_the_keyboard_reaches_everything_in_reading_order(browser: Browser, pages: dict[str, str]) -> None:
    page, _ = open_page(browser, pages["report"])  # freshly opened: after a scroll, Tab starts from what is in view
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answer"
    order = page.evaluate(
        """[...document.querySelectorAll("a, button, input, summary, [tabindex]")]
           .filter((one) => one.checkVisibility() && one.tabIndex > 0).length"""
    )
    assert order == 0  # the document's own order


def test_a_table_sorts_by_keyboard_and_says_so(page: Page) -> None:
    table = page.locator("#table-runs")
    heads = table.locator("thead th")
    column = heads.all_inner_texts().index("score used")
    head = heads.nth(column)
    for key, said in (("Enter", "ascending"), ("Space", "descending")):
        head.locator("button").focus()
        page.keyboard.press(key)
        assert head.get_attribute("aria-sort") == said
        cells = table.locator(f"tbody tr td:nth-child({column + 1})").all_inner_texts()
        values = [float(text) for text in cells if text != "–"]
        assert len(values) > 50
        assert values == sorted(values, reverse=said == "descending")
    assert table.locator("th[aria-sort]").count() == 1


def test_a_table_filters_by_keyboard_and_says_how_many(page: Page) -> None:
    page.locator("#filter-runs").focus()
    page.keyboard.type("COLA steady 30")
    rows = [row.inner_text() for row in page.locator("#table-runs tbody tr:visible").all()]
    assert rows
    assert all("cola" in row and "steady" in row for row in rows)
    assert page.locator("#count-runs").inner_text().startswith(f"{len(rows)} of ")
    page.locator("#filter-runs").fill("")
    assert re.fullmatch(r"(\d+) of \1 rows", page.locator("#count-runs").inner_text())


def test_a_method_is_picked_by_keyboard_in_every_figure(page: Page) -> None:
    box = page.locator(".pick input").nth(1)
    box.focus()
    page.keyboard.press("Space")
    assert not box.is_checked()
    marks = "[...document.querySelectorAll('#overview svg .mark-symbol path')]"
    faded = f"{marks}.filter((one) => one.getAttribute('opacity') < 0.5).length"
    page.wait_for_function(f"{faded} > 0")
    page.keyboard.press("Space")
    page.wait_for_function(f"{faded} === 0")


def test_hovering_over_a_mark_tells_its_numbers(page: Page) -> None:
    figure = page.locator("figure", has=page.locator("#overview"))
    figure.scroll_into_view_if_needed()
    figure.locator("svg .mark-symbol path").nth(1).hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "95 % from" in page.locator("#vg-tooltip-element").inner_text()


def test_figures_have_words_landmarks_and_headings(page: Page) -> None:
    assert page.locator("main").count() == page.locator("h1").count() == 1
    assert page.locator("nav[aria-label]").count() == 1
    for figure in page.locator("main figure").all():
        assert figure.locator('[role="graphics-document"][aria-label]').count() == 1
        assert len(figure.locator("figcaption details p").text_content() or "") > 20
    for place in page.locator(".scroll").all():
        assert place.get_attribute("tabindex") == "0"
        assert place.get_attribute("aria-label")


def test_verdicts_do_not_rest_on_colour(page: Page) -> None:
    verdicts = page.locator(".verdicts li")
    assert verdicts.count() == 3
    for text in verdicts.all_inner_texts():
        assert re.match(r"[✓✗?]\s(supported|refuted|inconclusive)", text)


def test_print_shows_still_pictures_and_whole_tables(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.locator("figure .chart").first.is_hidden()
    assert page.locator("figure .still").first.is_visible()
    assert page.locator("nav").is_hidden()
    clipped = (
        "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollHeight > one.clientHeight + 2).length"
    )
    assert page.evaluate(clipped) == 0
    page.emulate_media(media="screen")
    page.emulate_media(media=None)


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_on_paper_no_table_is_cut_and_no_number_is_broken(browser: Browser, pages: dict[str, str], name: str) -> None:
    paper, _ = open_page(browser, pages[name], 1047)  # A4 across less its margins, at 96 dots per inch
    paper.emulate_media(media="print")
    wide = "[...document.querySelectorAll('table.data')].filter((one) => one.getBoundingClientRect().width > {})"
    assert paper.evaluate(wide.format(1047) + ".map((one) => one.id)") == []
    broken = "[...document.querySelectorAll('td.num')].filter((one) => getComputedStyle(one).whiteSpace !== 'nowrap')"
    assert paper.evaluate(broken + ".length") == 0
    assert paper.locator("td.num").count() > 20
    paper.context.close()
