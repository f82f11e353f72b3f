"""One answer in the page, behind a shared link, in the widget and in the bot: the same groups, likelihoods and
marks. And one answer in every moment that brings it back: photo, box, filters and order as they were."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
import httpx
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from lensback import verdicts
from lensback.bot import cards
from lensback.speech import Speech
from lensback.web.service import Service
from lensback.wire import Answer
from shopper import HostPage, another, browser, page, served, shop, upload

__all__ = ["browser", "page", "served", "shop"]  # fixtures

pytestmark = pytest.mark.slow

Told = list[tuple[str, str, str, bool]]
"""Title, group, likelihood in words, whether it is marked as sold out."""

ON_PAGES = """(sold) => [...document.querySelectorAll('#answer .card')].map((one) => [
  one.querySelector('h3').textContent.trim(), one.classList.contains('exact') ? 'exact' : 'similar',
  (one.querySelector('.likelihood') || {textContent: ''}).textContent.trim(),
  one.classList.contains('away') && one.textContent.includes(sold)])"""
IN_WIDGET = """(sold) => [...document.querySelector('span').shadowRoot.querySelectorAll('ol > li')].map((one) => [
  one.querySelector('p').textContent, one.parentElement.dataset.verdict,
  (one.querySelector('.said') || {textContent: ''}).textContent, one.classList.contains('gone') && one.textContent.includes(sold)])"""


@contextmanager
def sold_out(service: Service, product_id: str) -> Iterator[None]:
    """No store has this product for a while."""
    mine, change = {"p": product_id}, "UPDATE offers SET availability = '{}' WHERE product_id = :p"
    with service.workspace.db.write() as c:
        c.execute(text(change.format("out_of_stock")), mine)
    yield
    with service.workspace.db.write() as c:
        c.execute(text(change.format("in_stock")), mine)


def told_by_api(answer: Answer, speech: Speech) -> Told:
    return [
        (
            hit.title,
            group.verdict,
            speech.say(verdicts.likelihood(hit.probability)),
            verdicts.sold_out(hit),
        )
        for group in verdicts.groups(answer.hits)
        for hit in group.hits
    ]


def asked(address: str, photo: Path, language: str) -> Answer:
    sent = httpx.post(
        f"{address}/api/search", files={"photo": photo.read_bytes()}, data={"limit": "6"},
        headers={"accept-language": language}, timeout=240,
    )  # fmt: skip
    return Answer.model_validate_json(sent.text)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_face_tells_one_answer_alike(
    browser: Browser,
    served: tuple[str, Path, Any],
    shop: str,
    language: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, photo, service = served
    usual, speech = Service.tools, Speech(language)
    lower = lambda self: replace(usual(self), exact_precision=0.5, promise=None)  # noqa: E731
    monkeypatch.setattr(Service, "tools", lower)  # so that one of the hits is exact
    second = asked(address, photo, language).hits[1].product_id
    with sold_out(service, second):
        answer = asked(address, photo, language)
        wanted = told_by_api(answer, speech)
        assert {group for _, group, _, _ in wanted} == {"exact", "similar"}
        assert {sold for *_, sold in wanted} == {True, False}
        sold = speech.say("Sold out")

        context = browser.new_context(locale=language)
        shopper = context.new_page()
        mine = upload(shopper, served)
        expect(shopper.locator("#answer .verdict h2")).to_have_text(
            speech.say(verdicts.HEADLINES["exact"])
        )
        assert [tuple(one) for one in shopper.evaluate(ON_PAGES, sold)][: len(wanted)] == wanted

        somebody = browser.new_context(locale=language)
        reader = somebody.new_page()
        reader.goto(f"{address}/answers/{mine}")
        expect(reader.locator("h1")).to_have_text(speech.say(verdicts.HEADLINES["exact"]))
        assert [tuple(one) for one in reader.evaluate(ON_PAGES, sold)][: len(wanted)] == wanted

        HostPage.body = f"<!doctype html><html lang={language}><body><script src='{address}/static/widget.js'></script>".encode()
        reader.goto(shop)
        with reader.expect_file_chooser() as chooser:
            reader.locator("button").first.click()
        chooser.value.set_files(photo)
        exact, similar = (speech.say(verdicts.HEADLINES[one]) for one in ("exact", "similar"))
        expect(reader.locator("dialog h2")).to_have_text(exact)
        expect(reader.locator("dialog h3")).to_have_text([similar])  # nothing is said twice
        assert [tuple(one) for one in reader.evaluate(IN_WIDGET, sold)] == wanted
        context.close()
        somebody.close()

        # The bot shows one group: the very product; where that is not there, what looks like it.
        assert speech.say(verdicts.HEADLINES["exact"]) in cards.headline(answer, speech)
        for hits in (answer.hits, answer.hits[1:]):
            shown = cards.cards(hits, speech, "https://find.example", calibrated=True)
            group = verdicts.groups(hits)[0]
            said = [(card.caption, sold.lower() in card.caption) for card in shown]
            for (caption, marked), (title, _, likelihood, gone) in zip(
                said, [one for one in wanted if one[1] == group.verdict], strict=False
            ):
                assert title in caption
                assert likelihood in caption
                assert marked == gone


# ---- every moment that brings an answer back

STATE = """() => ({
  products: [...document.querySelectorAll('#answer [data-product]')].map((one) => one.dataset.product),
  box: document.getElementById('crop').getAttribute('aria-valuetext'),
  photo: document.getElementById('shown').naturalWidth > 0,
  dots: [...document.querySelectorAll('#dots .dot')].map((one) => one.dataset.boxes),
  fields: [...document.getElementById('search').elements].filter((one) => one.name && one.name !== 'photo_url'
      && !['file', 'hidden', 'submit'].includes(one.type)).map((one) => [one.name, one.value, one.checked || false]),
})"""


def state(page: Page) -> dict[str, Any]:
    page.wait_for_function("() => document.getElementById('shown').naturalWidth > 0")
    expect(page.locator("#crop")).to_be_visible()
    expect(page.locator("#answer[aria-busy]")).to_have_count(0)
    found: dict[str, Any] = page.evaluate(STATE)
    return found


def away_and_back(page: Page) -> None:
    page.goto(page.url.partition("/answers/")[0] + "/saved")
    page.go_back()


def to_the_first_page_and_the_recent_search(page: Page) -> None:
    mine = page.url.partition("/answers/")[2]
    page.goto(page.url.partition("/answers/")[0])
    page.locator(f"#recent a[href='/answers/{mine}']").click()


def in_another_language(page: Page) -> None:
    for language in ("ru", "en"):
        page.locator(f"[data-language={language}]").click()
        expect(page.locator("html")).to_have_attribute("lang", language)


def from_somewhere_else(page: Page) -> None:
    page.goto("about:blank")
    page.go_back()


def stands(page: Page, search_id: str) -> None:
    wanted = "id => document.getElementById('answer').dataset.search === id"
    page.wait_for_function(wanted, arg=search_id)


MOMENTS: list[Callable[[Page], None]] = [
    lambda page: page.reload() and None,
    away_and_back,
    to_the_first_page_and_the_recent_search,
    in_another_language,
    from_somewhere_else,
]


def test_every_moment_brings_back_photo_box_filters_and_order(
    page: Page, browser: Browser, served: tuple[str, Path, Any]
) -> None:
    first = upload(page, served)
    page.locator("#parts .chip[data-whole]").first.click()
    second = another(page, first)
    plain = state(page)
    page.locator("#filters summary").click()
    page.evaluate(
        """() => {
          const form = document.getElementById('search').elements;
          form.store.value = 'lavka'; form.order.value = 'price'; form.in_stock.checked = true;
          form.price_max.value = '9000'; form.currency.value = 'RUB'; form.price_min.value = '10';
        }"""
    )
    page.locator("[name=price_max]").press("Enter")
    third = another(page, second)
    narrow = state(page)
    said = {name: value for name, value, _ in narrow["fields"]}
    assert (said["store"], said["order"], said["price_max"], said["currency"]) == (
        "lavka",
        "price",
        "9000",
        "RUB",
    )
    assert ["in_stock", "true", True] in narrow["fields"]
    assert narrow["products"]
    assert narrow["box"] == "the whole photo: from the left 0 to 100 %, from the top 0 to 100 %"
    page.go_back()
    stands(page, second)
    assert state(page) == plain
    page.go_forward()
    stands(page, third)
    assert state(page) == narrow
    for moment in MOMENTS:
        moment(page)
        expect(page).to_have_url(re.compile(f"/answers/{third}"))
        assert state(page) == narrow, moment.__name__

    somebody = browser.new_context(locale="en")
    reader = somebody.new_page()
    reader.goto(f"{served[0]}/answers/{third}")
    assert reader.locator(".said-filters .chip").all_inner_texts() == [
        "lavka", "Price from 10 RUB", "Price to 9000 RUB", "Only what is in stock", "Cheapest first",
    ]  # fmt: skip
    shown = (
        "[...document.querySelectorAll('#answer [data-product]')].map((one) => one.dataset.product)"
    )
    assert reader.evaluate(shown) == narrow["products"]
    expect(reader.locator("img[src*='/photo']")).to_have_count(0)
    somebody.close()
