"""What the page keeps in the browser: recent searches, sizes and brands, saved things; and what else may stand
there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from playwright.sync_api import Page, expect

from lensback import grants
from shopper import another, browser, page, served, shop, state, upload

__all__ = ["browser", "page", "served", "shop"]  # fixtures

pytestmark = pytest.mark.slow

GARBAGE = ["{", "null", "5", '"x"', "{}", "[null, 5, {}]", '[{"link": "/answers/ab", "picture": 5}]', '[{"product": "paaaaaaaaaaaaaaaa"}]',
           '[{"product": "paaaaaaaaaaaaaaaa", "title": "x", "amount": "1", "currency": "??"}]', '{"size": 5, "brand": [null, {}]}']  # fmt: skip


def test_whatever_stands_in_the_storage_the_pages_work(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    page.goto(served[0])
    for text in GARBAGE:
        page.evaluate(
            "text => ['recent', 'saved', 'mine'].forEach((key) => localStorage.setItem(`lensback.${key}`, text))",
            text,
        )
        page.goto(f"{served[0]}/saved")
        expect(page.locator("#none-saved")).to_be_visible()
        page.goto(served[0])
        expect(page.locator("#recent")).to_be_hidden()
        expect(page.locator("#yours")).to_be_hidden()
    upload(page, served)
    assert page.evaluate("JSON.parse(localStorage.getItem('lensback.recent')).length") == 1


def test_without_a_storage_the_page_says_what_it_cannot_do(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    upload(page, served)
    page.locator("#filters summary").click()
    page.locator("#remember").click()
    expect(page.locator("#mine-failed")).to_be_visible()
    expect(page.locator("#remember")).not_to_be_checked()
    page.locator(".acts a").first.evaluate("one => location.assign(one.href)")
    page.locator("#save").click()
    expect(page.locator("article [role=alert]")).to_be_visible()
    expect(page.locator("#save")).to_have_attribute("aria-pressed", "false")


def test_sizes_and_brands_are_remembered_if_the_shopper_wants(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    first = upload(page, served)
    plain = state(page)["products"]
    page.locator("#filters summary").click()
    page.select_option("select[name=size]", "S")
    second = another(page, first)
    kept = "localStorage.getItem('lensback.mine')"
    assert page.evaluate(kept) is None, "nobody asked for it"
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.method))
    page.locator("#remember").check()
    expect(page.locator("#yours .chip")).to_have_text(["S"])
    assert "POST" not in sent, "the switch is no filter"
    page.select_option("select[name=size]", "M")
    another(page, second)
    assert page.evaluate(f"JSON.parse({kept})") == {"size": ["M", "S"], "brand": []}

    third = upload(page, served)  # another day, another photo: nothing is left out
    assert state(page)["products"] == plain
    expect(page.locator("#yours .chip")).to_have_text(["M", "S"])
    page.locator("#yours .chip", has_text="S").click()
    another(page, third)
    assert page.locator("select[name=size]").input_value() == "S"
    expect(page.locator("#yours .chip", has_text="S")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.locator("#yours .chip", has_text="S")).to_have_attribute("aria-pressed", "true")
    page.locator("#forget-mine").click()
    assert page.evaluate(f"JSON.parse({kept})") == {"size": [], "brand": []}
    expect(page.locator("#yours")).to_be_hidden()
    expect(page.locator("#remember")).to_be_checked()
    page.locator("#remember").uncheck()
    assert page.evaluate(kept) is None


def test_what_a_browser_saved_is_handed_over_and_the_rest_stays(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    upload(page, served)
    page.locator(".acts a").first.evaluate("one => location.assign(one.href)")
    page.locator("#save").click()
    page.evaluate(
        """() => {
          const kept = JSON.parse(localStorage.getItem('lensback.saved'));
          kept[0].amount = '987654';
          const gone = { ...kept[0], product: 'paaaaaaaaaaaaaaaa', title: 'Nobody sells it' };
          localStorage.setItem('lensback.saved', JSON.stringify([...kept, gone]));
        }"""
    )
    workspace = served[2].workspace
    member = grants.give_pass(workspace.db, workspace.path, "member-9", int(time.time()))
    page.context.add_cookies([{"name": "lensback_user", "value": member, "url": served[0]}])
    page.goto(f"{served[0]}/saved")
    expect(page.locator("#saved > ul .cheaper")).to_contain_text("987,654")
    expect(page.locator("#here-only li")).to_have_count(1)
    expect(page.locator("#here-only li")).to_contain_text("Not sold any more")
    page.locator("#here-only button").click()
    expect(page.locator("#here-only")).to_be_hidden()
    assert page.evaluate("localStorage.getItem('lensback.saved')") == "[]"
