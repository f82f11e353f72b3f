"""What stands on the page stays together (photo, box, parts, answer, filters), whatever comes between:
a search that is stopped or overtaken, Enter in a field, a photo that is large or unreadable for the browser."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from PIL import Image
from playwright.sync_api import Page, Route, expect

from test_browser_photo import answered, browser, file_of, page, photo_of, street, upload

__all__ = ["browser", "page", "street"]  # fixtures

pytestmark = pytest.mark.slow


def held(page: Page) -> list[Route]:
    """From now on searches are held back: they stand here."""
    waiting: list[Route] = []
    page.route(
        "**/",
        lambda route: (
            waiting.append(route) if route.request.method == "POST" else route.continue_()
        ),
    )
    return waiting


def together(page: Page) -> dict[str, Any]:
    """What a shopper sees of photo, box, parts and answer."""
    found: dict[str, Any] = page.evaluate("""() => {
      const at = (id) => document.getElementById(id);
      const canvas = document.createElement('canvas');
      canvas.width = canvas.height = 1;
      const pen = canvas.getContext('2d');
      if (at('shown').naturalWidth) pen.drawImage(at('shown'), 0, 0, 1, 1);
      return {
        ink: Math.round(pen.getImageData(0, 0, 1, 1).data[0] / 32),
        box: at('crop').hidden ? '' : at('crop').getAttribute('aria-valuetext'),
        dots: [...document.querySelectorAll('#dots .dot')].map((one) => one.dataset.boxes),
        parts: [...document.querySelectorAll('#parts .chip')].map((one) => [one.dataset.box, one.getAttribute('aria-pressed')]),
        products: [...document.querySelectorAll('#answer [data-product]')].map((one) => one.dataset.product),
        busy: at('answer').hasAttribute('aria-busy') || !at('progress').hidden,
        search: at('search_id').value,
      };
    }""")
    return found


def settled(page: Page, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is seen once nothing changes any more, or once it is as `wanted`: the last look in any case."""
    page.wait_for_function("() => document.getElementById('shown').naturalWidth > 0")
    looks = [together(page)]
    for _ in range(600):
        page.wait_for_timeout(100)
        looks = [*looks[-2:], together(page)]
        if looks[-1] == wanted or (not wanted and looks == looks[-1:] * 3):
            break
    return looks[-1]


@pytest.mark.parametrize("what", ["another photo", "another part", "a filter"])
def test_a_search_that_is_stopped_leaves_all_as_it_was(page: Page, street: str, what: str) -> None:
    upload(page, street, photo_of(0))
    before = settled(page)
    held(page)
    if what == "another photo":
        page.set_input_files("#photo", [file_of(photo_of(5))])
    elif what == "another part":
        page.locator("#parts .chip[aria-pressed=false]").first.tap()
    else:
        page.locator("#filters summary").click()
        page.select_option("select[name=order]", "price")
    expect(page.locator("#progress")).to_be_visible()
    page.locator("#cancel").click()
    expect(page.locator("#said")).to_have_text("Stopped.")
    assert settled(page, before) == before

    page.unroute("**/")
    with page.expect_request(lambda one: one.method == "POST") as sent:
        page.evaluate("document.getElementById('filters').open = true")
        page.select_option("select[name=order]", "price")
    assert before["search"] in (sent.value.post_data or ""), "the next search is of another photo"


def test_back_while_a_search_is_under_way(page: Page, street: str) -> None:
    first = upload(page, street, photo_of(0))
    before = settled(page)
    page.locator("#parts .chip[aria-pressed=false]").first.tap()
    answered(page, first)
    held(page)
    page.locator("#parts .chip[aria-pressed=false]").first.tap()
    expect(page.locator("#progress")).to_be_visible()
    page.go_back()
    page.wait_for_function(
        "id => document.getElementById('answer').dataset.search === id", arg=first
    )
    page.wait_for_function("() => !document.getElementById('answer').hasAttribute('aria-busy')")
    expect(page.locator("#progress")).to_be_hidden()
    assert settled(page, before) == before


def test_a_filter_that_is_refused_loses_no_photo(page: Page, street: str) -> None:
    first = upload(page, street, photo_of(0))
    page.reload()  # from here on the page has no file of it
    before = settled(page)
    page.locator("#filters summary").click()
    page.locator("[name=price_max]").fill("much")
    page.locator("[name=price_max]").blur()
    expect(page.locator("#answer .verdict.failed, #answer .failure")).to_be_visible()
    after = settled(page)
    assert (after["ink"], after["box"], after["search"]) == (before["ink"], before["box"], first)
    page.locator("[name=price_max]").fill("")
    page.locator("[name=price_max]").blur()
    answered(page, first)
    assert settled(page)["products"] == before["products"]


def test_enter_in_a_field_keeps_the_box(page: Page, street: str) -> None:
    first = upload(page, street, photo_of(0))
    page.locator("#parts .chip[aria-pressed=false]").first.tap()
    second = answered(page, first)
    box = page.locator("#crop").get_attribute("aria-valuetext")
    page.locator("#filters summary").click()
    page.locator("[name=q]").fill("red")
    page.locator("[name=q]").press("Enter")
    answered(page, second)
    page.wait_for_timeout(500)
    expect(page.locator("#answer[aria-busy]")).to_have_count(0)
    assert page.locator("#crop").get_attribute("aria-valuetext") == box


def test_a_photo_above_the_limit_is_made_small_first(page: Page, street: str) -> None:
    noise = Image.frombytes("RGB", (700, 700), random.Random(1).randbytes(700 * 700 * 3))
    noise.save(sink := io.BytesIO(), "PNG")
    page.goto(street)
    page.evaluate("document.getElementById('search').dataset.maxBytes = '1000000'")
    page.set_input_files("#photo", [{**file_of(sink.getvalue(), "a.png"), "mimeType": "image/png"}])
    answered(page)


def test_what_is_too_large_however_it_is_sent(page: Page, street: str) -> None:
    upload(page, street, photo_of(0))
    page.evaluate("document.getElementById('search').dataset.maxBytes = '600000'")
    page.set_input_files("#photo", [file_of(random.Random(1).randbytes(700_000))])
    expect(page.locator(".verdict.failed")).to_contain_text("too large")
    expect(page.locator("#answer[aria-busy]")).to_have_count(0)


def test_a_recent_search_shows_what_only_the_server_can_read(page: Page, street: str) -> None:
    import pillow_heif

    pillow_heif.from_pillow(Image.open(io.BytesIO(photo_of(3)))).save(sink := io.BytesIO())
    page.goto(street)
    page.set_input_files(
        "#photo", [{**file_of(sink.getvalue(), "a.heic"), "mimeType": "image/heic"}]
    )
    answered(page)
    page.wait_for_function("() => document.getElementById('shown').naturalWidth > 0")
    recent = "JSON.parse(localStorage.getItem('lensback.recent') || '[]').map((one) => one.picture)"
    page.wait_for_function(f"() => {recent}.every((one) => one) && {recent}.length")
    kept = page.evaluate(recent)
    assert [one[:23] for one in kept] == ["data:image/jpeg;base64,"]
