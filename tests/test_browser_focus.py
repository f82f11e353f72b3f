"""Who cannot see the page: after whatever is done the focus is somewhere, what came is said, and everything has a
name of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from playwright.sync_api import Page, Route, expect

from shopper import HostPage, another, browser, failing, page, searched, served, shop, upload

__all__ = ["browser", "page", "served", "shop"]  # fixtures

pytestmark = pytest.mark.slow

FOCUSED = """() => { const one = document.activeElement;
  return one === document.body ? 'nothing' : one.id || one.name || one.className || one.tagName; }"""


def focused(page: Page) -> str:
    return str(page.evaluate(FOCUSED))


def held(page: Page) -> list[Route]:
    """From now on searches wait here."""
    waiting: list[Route] = []
    page.route(
        "**/",
        lambda route: (
            waiting.append(route) if route.request.method == "POST" else route.continue_()
        ),
    )
    return waiting


def test_more_things_are_met_where_they_begin(page: Page, served: tuple[str, Path, Any]) -> None:
    first = upload(page, served)
    page.evaluate(
        """() => {
          [...document.querySelectorAll('#answer .cards > li')].slice(1).forEach((one) => one.remove());
          const more = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Show more'});
          more.dataset.more = '12';
          document.getElementById('answer').append(more);
          more.focus();
        }"""
    )
    page.keyboard.press("Enter")
    another(page, first)
    second = "document.activeElement === document.querySelectorAll('#answer .card h3')[1]"
    assert page.evaluate(second), focused(page)


def test_a_slow_search_is_said_and_stopping_it_keeps_the_focus(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    page.goto(served[0])
    held(page)
    page.set_input_files("#photo", served[1])
    expect(page.locator("#said")).to_have_text("Searching…")
    expect(page.locator("#progress")).to_be_visible()
    page.locator("#cancel").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text("Stopped.")
    assert focused(page) == "photo", "nothing stood here before"
    page.unroute("**/")
    first = upload(page, served)
    waiting = held(page)
    page.locator("#parts .chip[data-whole]").first.press("Enter")
    expect(page.locator("#progress")).to_be_visible()
    page.locator("#cancel").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_be_hidden()
    assert focused(page) == "answer"
    for route in waiting:
        route.abort()
    page.unroute("**/")
    # An answer that comes while the focus is on "Stop" takes it along.
    waiting = held(page)
    page.evaluate("document.getElementById('filters').open = true")
    page.locator("[name=order]").select_option("price")
    expect(page.locator("#progress")).to_be_visible()
    page.locator("#cancel").focus()
    waiting[-1].continue_()
    another(page, first)
    assert focused(page) == "crop"


def test_what_is_forgotten_or_tapped_keeps_the_focus(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    page.add_init_script(
        "localStorage.setItem('lensback.mine', JSON.stringify({size: ['S'], brand: []}))"
    )
    first = upload(page, served)
    page.locator("#yours .chip").press("Enter")
    another(page, first)
    assert page.evaluate("document.activeElement.closest('#yours') !== null"), focused(page)
    page.goto(served[0])
    page.locator("#forget").press("Enter")
    expect(page.locator("#recent")).to_be_hidden()
    assert focused(page) == "photo"


def test_recent_searches_are_told_apart(page: Page, served: tuple[str, Path, Any]) -> None:
    upload(page, served)
    title = page.locator("#answer [data-product] h3").first.inner_text().strip()
    page.goto(served[0])
    alt = page.locator("#recent img").get_attribute("alt") or ""
    assert re.fullmatch(rf"(Looks like it|This very product): {re.escape(title)}", alt)


def test_the_box_has_the_name_of_its_thing_until_it_is_moved(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    first = upload(page, served)
    page.locator("#parts .chip[data-whole]").first.click()
    another(page, first)
    box = page.locator("#crop")
    whole = "the whole photo: from the left 0 to 100 %, from the top 0 to 100 %"
    expect(box).to_have_attribute("aria-valuetext", whole)
    box.press("Shift+ArrowLeft")
    expect(box).to_have_attribute(
        "aria-valuetext", "from the left 0 to 98 %, from the top 0 to 100 %"
    )


def test_a_saved_thing_that_is_removed_leaves_the_focus_in_the_list(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    page.goto(served[0])
    page.evaluate(
        """() => localStorage.setItem('lensback.saved', JSON.stringify(['a', 'b', 'c'].map((one) => (
          {product: `p${one.repeat(16)}`, title: one, image: '', amount: '1234.00', currency: 'RUB', here: true}))))"""
    )
    page.goto(f"{served[0]}/saved")
    names = page.locator(".saved button")
    expect(names).to_have_count(3)
    names.nth(1).press("Enter")
    expect(page.locator("#said")).to_have_text("Removed: b")
    label = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(label) == "Remove: c"
    page.keyboard.press("Enter")
    assert page.evaluate(label) == "Remove: a"
    page.keyboard.press("Enter")
    expect(page.locator("#none-saved")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('#none-saved') !== null"), focused(page)


def test_menus_close_by_escape_and_by_a_tap_beside(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    """On the answer, on the page of a thing, on look-alikes."""
    upload(page, served)
    like = page.locator(".acts a[href^='/similar/']").first.get_attribute("href")
    thing = page.locator(".acts a").first.get_attribute("href")
    for address in ("", like, thing):
        if address:
            page.goto(f"{served[0]}{address}")
        menus = page.locator("details.more summary")
        menus.nth(0).press("Enter")
        expect(page.locator("details.more[open]")).to_have_count(1)
        page.keyboard.press("Tab")
        page.keyboard.press("Escape")
        expect(page.locator("details.more[open]")).to_have_count(0)
        assert menus.nth(0).evaluate("one => one === document.activeElement")
        menus.nth(0).click()
        menus.nth(1).click()
        expect(page.locator("details.more[open]")).to_have_count(1)
        page.locator(".verdict h2, h1:not(.hello h1)").first.click()
        expect(page.locator("details.more[open]")).to_have_count(0)


def test_a_picture_of_a_store_that_does_not_come_leaves_its_place_empty(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    page.route("**/images/**", lambda route: route.fulfill(status=404))
    upload(page, served)
    expect(page.locator("#answer .pic img").first).to_have_css("visibility", "hidden")
    box = page.locator("#answer .pic").first.bounding_box()
    assert box
    assert box["height"] > 100


def test_another_language_is_no_end_of_a_search(page: Page, served: tuple[str, Path, Any]) -> None:
    page.goto(served[0])
    waiting = held(page)
    page.set_input_files("#photo", served[1])
    expect(page.locator("#progress")).to_be_visible()
    page.locator("[data-language=ru]").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    waiting[0].continue_()
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    expect(page.locator("#answer[data-search] .card").first).to_be_visible()
    expect(page.locator("#crop")).to_be_visible()
    # Where nothing came of the search its failure stays, in the language of now.
    page.unroute("**/")
    page.route("**/", failing(503, ""))
    first = searched(page)
    page.evaluate("document.getElementById('filters').open = true")
    page.locator("[name=order]").select_option("price")
    expect(page.locator("#answer .failed")).to_be_visible()
    assert searched(page) == first
    expect(page.locator("html")).to_have_attribute("lang", "ru")


def test_a_shared_link_is_heard(page: Page, served: tuple[str, Path, Any]) -> None:
    upload(page, served)
    page.evaluate("navigator.share = async () => {}")
    page.locator("#share").press("Enter")
    expect(page.locator("#said")).to_have_text("The link is copied.")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_widget_says_its_language_on_a_page_of_another(
    page: Page, served: tuple[str, Path, Any], shop: str, language: str
) -> None:
    HostPage.body = (
        f"<!doctype html><html lang=ar dir=rtl><body><script data-language={language} src='{served[0]}/static/widget.js'></script>"
    ).encode()
    page.goto(shop)
    host = page.locator("span").first
    expect(host).to_have_attribute("lang", language)
    expect(host).to_have_attribute("dir", "ltr")
