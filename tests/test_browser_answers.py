"""An answer's address in a real Chromium: reload, Back, language, a shared link, a photo that is gone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from playwright.sync_api import Browser, BrowserContext, Page, expect

from lensback.web.service import Service
from shopper import another, browser, page, searched, served, shop, state, upload

__all__ = ["browser", "page", "served", "shop"]  # fixtures

pytestmark = pytest.mark.slow


def filtered(page: Page) -> str:
    """One more search of the photo on the page, with a store and an order."""
    first = searched(page)
    page.locator("#filters summary").click()
    page.select_option("select[name=store]", "lavka")
    second = another(page, first)
    page.locator("select[name=order]").select_option("price")
    return another(page, second)


def test_an_answer_comes_back_as_it_was(page: Page, served: tuple[str, Path, Any]) -> None:
    first = upload(page, served)
    plain = state(page)
    expect(page).to_have_url(f"{served[0]}/answers/{first}")
    third = filtered(page)
    narrow = state(page)
    expect(page).to_have_url(f"{served[0]}/answers/{third}")
    assert (narrow["store"], narrow["cheap"]) == ("lavka", ["price"])

    page.reload()
    assert state(page) == narrow
    page.go_back()
    page.go_back()
    expect(page).to_have_url(f"{served[0]}/answers/{first}")
    page.wait_for_function("() => document.querySelector('[name=store]').value === ''")
    assert state(page) == plain
    page.go_forward()
    page.go_forward()
    page.wait_for_function("() => document.querySelector('[name=store]').value === 'lavka'")
    assert state(page) == narrow

    page.goto(
        f"{served[0]}/similar/{page.locator('[data-product] a.link').first.get_attribute('href').rpartition('/')[2]}"
    )
    page.go_back()
    assert state(page) == narrow

    page.locator("[data-language=ru]").click()
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    russian = state(page)
    assert russian["said"] != narrow["said"]
    assert {**russian, "said": narrow["said"]} == narrow

    # And it goes on from there: the photo is not sent again.
    page.select_option("select[name=store]", "harbour")
    another(page, third)
    expect(page.locator(".card .store").first).to_contain_text("harbour")


def test_back_to_the_first_page_is_the_first_page(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    upload(page, served)
    page.go_back()
    expect(page.locator("#answer .verdict")).to_have_count(0)
    expect(page.locator("#stage")).to_be_hidden()
    expect(page.locator(".hello")).to_be_visible()


def test_a_photo_that_is_gone(page: Page, served: tuple[str, Path, Any]) -> None:
    mine = upload(page, served)
    shown = page.locator("[data-product]").count()
    served[2].memory._photos._seconds = 0.0
    try:
        page.locator("#parts .chip[data-whole]").first.click()  # the page still has its file
        another(page, mine)
        page.goto(f"{served[0]}/answers/{mine}")
        assert page.locator("[data-product]").count() == shown
        # This browser kept a small copy for its own list of searches; without it the page says so.
        expect(page.locator("#photo-of")).to_be_visible()
        page.evaluate("localStorage.clear()")
        page.reload()
        expect(page.locator("#without")).to_be_visible()
        expect(page.locator("#with")).to_be_hidden()
    finally:
        served[2].memory._photos._seconds = 600.0


def test_a_shared_link_says_what_it_shows(
    page: Page, browser: Browser, served: tuple[str, Path, Any]
) -> None:
    mine = upload(page, served)
    other: BrowserContext = browser.new_context(locale="ru")
    reader = other.new_page()
    reader.goto(f"{served[0]}/answers/{mine}")
    expect(reader.locator("h1")).to_have_text(re.compile("Похожее|Та самая вещь"))
    title = reader.locator("[data-product] h3").first.inner_text()
    assert title in (
        reader.locator("meta[property='og:description']").get_attribute("content") or ""
    )
    expect(reader.locator("#without")).to_be_visible()
    expect(reader.locator("img[src*='/photo']")).to_have_count(0)
    other.close()


def test_the_way_to_the_content_asks_nothing_anew(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    mine = upload(page, served)
    before = state(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{served[0]}/answers/{mine}#main")
    page.go_back()
    page.go_forward()
    assert state(page) == before
    assert [url for url in asked if "/answers/" in url] == []
    page.go_back()
    page.go_back()  # another page, indeed
    expect(page.locator("#answer .verdict")).to_have_count(0)


@pytest.mark.parametrize(
    "behind", ["%", "photo=%E0%A4%A", "photo=data:image/jpeg;base64,AAAA", "photo=javascript:1"]
)
def test_a_link_that_was_cut_breaks_no_page(
    page: Page, served: tuple[str, Path, Any], behind: str
) -> None:
    mine = upload(page, served)
    served[2].memory._photos._seconds = 0.0
    try:
        page.goto("about:blank")
        page.goto(f"{served[0]}/answers/{mine}#{behind}")
        expect(page.locator("#photo-of")).to_be_visible()  # this browser has a copy of its own
        assert page.evaluate("document.getElementById('photo-of').naturalWidth") > 0
        page.evaluate("localStorage.clear()")
        page.reload()
        expect(page.locator("#without")).to_be_visible()
        expect(page.locator("#with")).to_be_hidden()
    finally:
        served[2].memory._photos._seconds = 600.0


def test_words_that_were_still_being_read_come_later(
    page: Page, served: tuple[str, Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again by itself: an equal answer changes nothing, another one takes the place of the first, and Back
    does not lead to that."""
    usual, asked = Service.find, []

    async def find(self: Service, request: Any, sent: Any, still: Any) -> Any:
        asked.append(sent.again)
        answer = await usual(self, request, sent, still)
        late = len(asked) > 2  # the words are read now
        return (
            answer if late else answer.model_copy(update={"reading": True, "hits": answer.hits[1:]})
        )

    monkeypatch.setattr(Service, "find", find)
    first = upload(page, served)
    before = [one.get_attribute("data-product") for one in page.locator("[data-product]").all()]
    steps = page.evaluate("history.length")
    second = another(page, first)
    after = [one.get_attribute("data-product") for one in page.locator("[data-product]").all()]
    assert asked == ["", first, first], "the photo is sent once"
    assert after[1:] == before
    assert page.url == f"{served[0]}/answers/{second}"
    assert page.evaluate("history.length") == steps
    page.go_back()
    page.wait_for_function("() => !document.querySelector('#answer .verdict')")
    page.wait_for_timeout(1200)
    assert len(asked) == 3, "what was read is not asked for again"


def test_nobody_who_is_writing_is_asked_for_by_half(
    page: Page, served: tuple[str, Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words of the photo come late, while the shopper writes a price: his field stays his."""
    usual, asked = Service.find, []

    async def find(self: Service, request: Any, sent: Any, still: Any) -> Any:
        asked.append(sent.again)
        answer = await usual(self, request, sent, still)
        return answer.model_copy(update={"reading": True, "hits": answer.hits[len(asked) - 1 :]})

    monkeypatch.setattr(Service, "find", find)
    page.add_init_script("""const usual = window.setTimeout;
      window.setTimeout = (work, ms) => (ms === 1000 ? ((window.later = work), 0) : usual(work, ms));""")
    upload(page, served)
    page.wait_for_function("() => window.later")
    price = page.locator("[name=price_max]")
    price.evaluate("one => { one.value = '4'; }")
    page.evaluate("later()")
    assert len(asked) == 1
    assert price.input_value() == "4"
    price.evaluate("one => { one.value = ''; }")
    page.evaluate("later()")
    assert len(asked) == 2
