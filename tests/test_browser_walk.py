"""By keyboard and ear alone, home → answer → box → filters → thing → saved → back: docs/page.md tells this
walk step by step."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from playwright.sync_api import Browser, Page, expect

from shopper import browser, served, shop
from test_browser_photo import answered

__all__ = ["browser", "served", "shop"]  # fixtures

pytestmark = pytest.mark.slow

FOCUS = """() => {
  const one = document.activeElement;
  const labels = one.labels && one.labels.length ? one.labels[0].innerText : '';
  return (one.getAttribute('aria-label') || labels || one.innerText || one.id || one.tagName).trim().split('\\n')[0];
}"""


def tab_to(page: Page, wanted: str, key: str = "Tab", most: int = 40) -> list[str]:
    """Presses the key until the focus is on what is called so; every stop on the way, that one last."""
    stops = []
    for _ in range(most):
        page.keyboard.press(key)
        stops.append(page.evaluate(FOCUS))
        if re.match(wanted, stops[-1]):
            return stops
    raise AssertionError(f"no way to {wanted!r}: {stops}")


def headings(page: Page) -> list[tuple[int, str]]:
    """Level and words of each heading, in the order that a screen reader meets them."""
    tree = page.locator("body").aria_snapshot()
    return [
        (int(level), text) for text, level in re.findall(r'heading "(.*?)" \[level=(\d)\]', tree)
    ]


def stepwise(found: list[tuple[int, str]]) -> bool:
    """One h1 before all others, and no level left out on the way down."""
    levels = [level for level, _ in found]
    down = all(b - a <= 1 for a, b in itertools.pairwise(levels))
    return bool(levels) and levels[0] == 1 and levels.count(1) == 1 and down


def in_order(page: Page, *words: str) -> None:
    """That a screen reader meets these in this order."""
    tree = page.locator("body").aria_snapshot()
    at = -1
    for word in words:
        found = tree.find(word, at + 1)
        assert found > at, (word, tree)
        at = found


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en")
    yield context.new_page()
    context.close()


def test_the_walk(page: Page, served: tuple[str, Path, Any]) -> None:
    page.goto(served[0])
    assert tab_to(page, "Skip") == ["Skip to the content"]
    page.keyboard.press("Enter")
    assert tab_to(page, "Choose a photo")[0] in {"Take a photo", "Choose a photo"}
    in_order(page, "banner", "Main", "main", "Find the thing", "Choose a photo", "contentinfo")
    assert stepwise(headings(page))

    # The answer: focus on it, one sentence in the live region, and what came in an order to be read.
    page.set_input_files("#photo", served[1])
    first = answered(page)
    assert page.evaluate("document.activeElement.id") == "answer"
    expect(page.locator("#said")).to_have_text(re.compile(r"^[^.]+\.$"))
    assert page.locator("[aria-live], [role=status], [role=alert]:visible").count() == 1
    in_order(
        page,
        "What is searched",
        "Things in the photo",
        "Filters and order",
        "The same, but in",
        'heading "',
    )
    assert stepwise(headings(page))

    # The box: arrows move it, the focus stays, the next answer comes by itself.
    tab_to(page, "What is searched", "Shift+Tab")
    before = page.locator("#crop").get_attribute("aria-valuetext")
    page.keyboard.press("ArrowDown")
    second = answered(page, first)
    assert page.locator("#crop").get_attribute("aria-valuetext") != before
    assert page.evaluate("document.activeElement.id") == "crop"

    # Filters: opened, another order, and the focus is still on it.
    stops = tab_to(page, "Filters and order")
    assert not [stop for stop in stops if stop in {"BODY", "HTML"}], stops
    page.keyboard.press("Enter")
    tab_to(page, "Order")
    page.keyboard.press("ArrowDown")
    third = answered(page, second)
    assert page.evaluate("document.activeElement.name") == "order"

    # A thing: its page, saved, found among the saved things.
    if tab_to(page, "More: |All about it", most=80)[-1].startswith("More"):
        page.keyboard.press("Enter")
        tab_to(page, "All about it")
    page.keyboard.press("Enter")
    page.wait_for_url("**/products/*")
    assert stepwise(headings(page))
    in_order(page, "Pictures", 'heading "', 'link "To store', 'button "Save', "Looks like it")
    tab_to(page, "Save$")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Saved")).to_have_attribute("aria-pressed", "true")
    title = page.locator("h1").inner_text()
    tab_to(page, "Saved things", "Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/saved")
    expect(page.get_by_role("link", name=title)).to_be_visible()
    tab_to(page, f"Remove: {re.escape(title)}")

    # Back to the answer as it was left: photo, box, order.
    page.go_back()
    page.go_back()
    page.wait_for_url(f"**/answers/{third}")
    expect(page.locator("#crop")).to_be_visible()
    assert page.locator("[name=order]").input_value() == "price"
    assert page.locator("#answer").get_attribute("data-search") == third


def test_a_walk_that_leads_nowhere_is_seen(page: Page, served: tuple[str, Path, Any]) -> None:
    page.goto(served[0])
    page.evaluate("document.getElementById('photo').tabIndex = -1")
    with pytest.raises(AssertionError, match="no way to"):
        tab_to(page, "Choose a photo", most=12)
    found: list[Any] = [(1, "a"), (3, "b")]
    assert not stepwise(found)
    assert not stepwise([(2, "a")])
