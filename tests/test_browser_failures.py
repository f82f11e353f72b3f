"""What goes wrong is said, in view and in the reader's language, on the page and in the widget."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from playwright.sync_api import Page, expect

from shopper import (
    HostPage,
    another,
    browser,
    failing,
    page,
    phone,
    served,
    shop,
    state,
    upload,
)

__all__ = ["browser", "page", "phone", "served", "shop"]  # fixtures

pytestmark = pytest.mark.slow

AGAIN = ("Try again", "Попробовать ещё раз")
HTML = "<html><head><title>Bad Gateway</title></head><body><center><h1>nginx</h1></center></body></html>"
SAID: list[tuple[int, str, tuple[str, str], bool]] = [
    (0, "", ("cannot be reached", "недоступен"), True),
    (400, "", ("cannot be understood", "непонятно"), False),
    (403, HTML, ("not allowed", "не разрешено"), False),
    (404, HTML, ("nothing at this address", "ничего нет"), False),
    (408, "", ("too long to arrive", "слишком долго"), True),
    (413, HTML, ("too large", "большое"), False),
    (415, "", ("not a picture", "не картинка"), False),
    (422, '{"error": 1}', ("cannot be understood", "непонятно"), False),
    (429, HTML, ("a lot in a short time", "Слишком много запросов"), True),
    (500, "", ("went wrong on our side", "на нашей стороне"), True),
    (502, HTML, ("not ready", "не готов"), True),
    (503, "", ("not ready", "не готов"), True),
    (504, HTML, ("not ready", "не готов"), True),
    (599, "", ("cannot be read", "не удалось прочитать"), True),
    (200, "", ("cannot be read", "не удалось прочитать"), True),
    (200, HTML[:40], ("cannot be read", "не удалось прочитать"), True),
]
"""Status (0: no connection), body, what is said in both languages, whether the same is offered again."""


@pytest.mark.parametrize("phone", ["en", "ru"], indirect=True)
def test_every_failure_is_said_with_the_one_thing_to_do(
    phone: Page, served: tuple[str, Path, Any]
) -> None:
    phone.goto(served[0])
    at = 1 if phone.locator("html").get_attribute("lang") == "ru" else 0
    note = phone.locator("#answer .verdict.failed")
    for status, body, words, again in SAID:
        phone.route("**/", failing(status, body))
        with phone.expect_file_chooser() as chooser:
            phone.locator("#photo").evaluate("one => one.click()")
        chooser.value.set_files(served[1])  # the same photo each time
        expect(note).to_contain_text(re.compile(words[at]), timeout=120_000)
        expect(note).to_be_in_viewport()
        expect(phone.locator("#answer[aria-busy]")).to_have_count(0)
        expect(phone.locator("#progress")).to_be_hidden()
        expect(phone.locator("#shown")).to_be_visible()
        expect(note.get_by_role("button", name=AGAIN[at])).to_have_count(int(again))
        expect(phone.locator("#said")).to_contain_text(re.compile(words[at]))
        phone.unroute("**/")
    note.get_by_role("button", name=AGAIN[at]).click()
    expect(phone.locator("#answer[data-search] .card").first).to_be_visible()
    # Slow: nothing comes at all.
    phone.goto(served[0])
    phone.evaluate(
        "() => { const of = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, 'timeout');"
        "Object.defineProperty(XMLHttpRequest.prototype, 'timeout', { set() { of.set.call(this, 300); } }); }"
    )
    phone.route("**/", lambda route: None if route.request.method == "POST" else route.continue_())
    phone.set_input_files("#photo", served[1])
    expect(note).to_contain_text(("takes too long", "слишком долго")[at])
    expect(note.get_by_role("button", name=AGAIN[at])).to_have_count(1)


def test_an_answer_comes_back_from_behind_a_failure(
    page: Page, served: tuple[str, Path, Any]
) -> None:
    """Whatever failed: a filter, another photo, twice in a row. Words that are still being read do not take the
    failure's place unasked."""
    upload(page, served)
    before, note = state(page), page.locator("#answer .verdict.failed")
    back = note.get_by_role("button", name="Back to the answer")
    page.locator("#answer").evaluate("one => { one.dataset.reading = ''; }")
    page.locator("#filters summary").click()
    for status in (503, 429, 0):
        page.route("**/", failing(status, HTML))
        if status == 503:
            page.locator("#crop").press("Shift+ArrowLeft")  # no field changes
        else:
            page.locator("[name=order]").select_option("price")
        expect(note).to_be_visible()
        if status == 429:
            note.get_by_role("button", name="Try again").click()
            expect(page.locator("#answer[aria-busy]")).to_have_count(0)
        page.unroute("**/")
        if status == 503:
            page.wait_for_timeout(1300)  # words would have been asked for by now
        expect(back).to_have_count(1)
        back.click()
        expect(note).to_have_count(0)
        assert state(page) == before
    page.set_input_files("#photo", __file__)
    expect(note).to_contain_text("not a picture")
    back.click()
    expect(note).to_have_count(0)
    assert state(page) == before
    page.locator("[name=order]").select_option("price")
    another(page, "")
    page.set_input_files("#photo", __file__)
    back.click()
    assert page.locator("[name=order]").input_value() == "price"


WIDGET: list[tuple[int, str, tuple[str, str]]] = [
    (0, "", ("cannot be reached", "недоступен")),
    (400, "", ("cannot be understood", "непонятно")),
    (401, '{"error": {"type": "Unauthorized", "message": "a key"}}', ("did not work", "получилось")),
    (413, HTML, ("too large", "большое")),
    (415, '{"error": {"type": "BadImage", "message": "<b>no"}}', ("not a picture", "не картинка")),
    (422, "null", ("cannot be understood", "непонятно")),
    (429, '{"message": "of somebody else"}', ("a lot in a short time", "Слишком много")),
    (500, "[]", ("on our side", "на нашей стороне")),
    (502, HTML, ("not ready", "не готов")),
    (503, '{"error": {"type": "constructor"}}', ("not ready", "не готов")),
    (200, "", ("did not work", "получилось")),
    (200, '{"verdict": "exact", "hits', ("did not work", "получилось")),
    (200, "null", ("did not work", "получилось")),
]  # fmt: skip


@pytest.mark.parametrize("phone", ["en", "ru"], indirect=True)
def test_the_widget_says_every_failure(
    phone: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    language = phone.evaluate("navigator.language")
    at = int(language == "ru")
    html = f"<!doctype html><html lang={language}><body><script src='{served[0]}/static/widget.js'></script>"
    HostPage.body = html.encode()
    phone.goto(shop)
    title = phone.locator("dialog h2")
    for number, (status, body, words) in enumerate(WIDGET):
        phone.unroute("**/api/search")
        phone.route("**/api/search", failing(status, body))
        if number:  # the button does it again
            phone.locator("dialog").get_by_role("button", name=AGAIN[at]).click()
        else:
            with phone.expect_file_chooser() as chooser:
                phone.locator("button").first.click()
            chooser.value.set_files(served[1])
        expect(title).to_have_text(re.compile(words[at]))
        expect(phone.locator("dialog b")).to_have_count(0)
    phone.unroute("**/api/search")
    phone.locator("dialog").get_by_role("button", name=AGAIN[at]).click()
    expect(phone.locator("dialog img").first).to_be_visible()
