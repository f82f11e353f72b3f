"""The widget on somebody else's page, in a real Chromium."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from lensback import grants
from shopper import HostPage, browser, page, served, shop

__all__ = ["browser", "page", "served", "shop"]  # fixtures

pytestmark = pytest.mark.slow


def test_the_widget_asks_nobody_else_whatever_stands_on_its_page(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    """An element of somebody's comment that takes a name of the document's is not the script."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    HostPage.body = (
        "<!doctype html><html lang=en><body><form name=currentScript src='http://evil.example/'></form>"
        "<img name=currentScript src='http://evil.example/x.png'>"
        f"<script src='{served[0]}/static/widget.js'></script>"
    ).encode()
    page.goto(shop)
    expect(page.get_by_role("button", name="Find by photo")).to_have_count(0)
    assert [url for url in asked if "evil" in url] == ["http://evil.example/x.png"]


def opened(
    page: Page, served: tuple[str, Path, Any], shop: str, told: str, style: str = ""
) -> None:
    """Somebody's page with the widget on it, its script tag with these attributes."""
    script = f"<script src='{served[0]}/static/widget.js' {told}></script>"
    HostPage.body = (
        f"<!doctype html><html lang=constructor><style>{style}</style><body>{script}".encode()
    )
    page.goto(shop)


def send(page: Page, photo: Path | dict[str, Any]) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Find by photo").click()
    chooser.value.set_files(photo)  # type: ignore[arg-type]


def pressed(page: Page) -> Any:
    """The request of the first way to a store."""
    with page.context.expect_event("request", lambda r: "/go/" in r.url) as sent:
        page.locator("dialog .go").first.click()
    return sent.value


PASSES = {
    "an attribute": ("data-pass={made}", "", True),
    "a function": ("data-pass-from=member", "window.member = () => '{made}'", True),
    "a promise": ("data-pass-from=member", "window.member = async () => '{made}'", True),
    "a function before the attribute": ("data-pass=old data-pass-from=member", "window.member = () => '{made}'", True),
    "nothing": ("", "", False),
    "a function that fails": ("data-pass-from=member", "window.member = () => { throw new Error() }", False),
    "a promise that fails": ("data-pass-from=member", "window.member = async () => { throw 1 }", False),
    "a function that gives nothing": ("data-pass-from=member", "window.member = async () => null", False),
}  # fmt: skip


@pytest.mark.parametrize("how", PASSES)
def test_whose_clicks_they_are(
    page: Page, served: tuple[str, Path, Any], shop: str, how: str
) -> None:
    """A member's click is posted with the pass, and no address has it; without one it is a plain link."""
    workspace = served[2].workspace
    made = grants.give_pass(workspace.db, workspace.path, "member-1234", int(time.time()))
    told, script, member = PASSES[how]
    page.add_init_script(script.replace("{made}", made))
    opened(page, served, shop, told.replace("{made}", made))
    send(page, served[1])
    expect(page.locator("dialog .go").first).to_be_visible()
    way = pressed(page)
    assert way.method == ("POST" if member else "GET")
    assert ("user=" in (way.post_data or "")) == member
    assert made not in way.url


TWO_STORES = """(() => {
  const asked = window.fetch;
  window.fetch = async (...all) => {
    const response = await asked(...all);
    if (!String(all[0]).includes('api/search')) return response;
    const answer = await response.json();
    const [first, second] = answer.hits[0].offers;
    delete second.reachable;
    answer.hits[0].offers = [{ ...first, store: 'a', reachable: false }, { ...second, store: 'b' }];
    answer.hits.length = 1;
    return new Response(JSON.stringify(answer));
  };
})()"""
"""Of two offers nobody can be sent to the first; the second is of an older service, which does not say."""


def test_an_offer_that_nobody_can_be_sent_to_has_no_button(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    page.add_init_script(TWO_STORES)
    opened(page, served, shop, "")
    send(page, served[1])
    lines = page.locator("dialog .offer")
    expect(lines).to_have_count(2)
    expect(lines.nth(0)).to_contain_text("This offer cannot be opened at the moment.")
    expect(lines.nth(0).locator(".go")).to_have_count(0)
    expect(lines.nth(1).locator(".go")).to_have_count(1)


@pytest.mark.parametrize(
    ("told", "style", "system", "scheme"),
    [
        ("data-theme=dark", "", "light", "dark"),
        ("data-theme=light", "body { background: #000 }", "dark", "light"),
        ("", "body { background: #101014 }", "light", "dark"),
        ("", "body { background: rgb(250 250 250) }", "dark", "light"),
        ("", "html { background: #222 } body { background: rgb(255 255 255 / .1) }", "light", "dark"),
        ("", "html { color-scheme: light dark }", "dark", "dark"),
        ("", "", "dark", "light"),
    ],
)  # fmt: skip
def test_it_is_as_light_or_dark_as_its_page(
    page: Page, served: tuple[str, Path, Any], shop: str, told: str, style: str, system: Any, scheme: str
) -> None:  # fmt: skip
    page.emulate_media(color_scheme=system)
    opened(page, served, shop, told, style)
    page.route("**/api/search", lambda route: None)  # it is shown while it waits
    send(page, served[1])
    dialog = page.locator("dialog")
    assert dialog.evaluate("one => getComputedStyle(one).colorScheme") == scheme
    light = "one => getComputedStyle(one).backgroundColor.match(/\\d+/g).map(Number)[0] > 128"
    assert dialog.evaluate(light) == (scheme == "light")


LARGE = """async () => {
  const canvas = new OffscreenCanvas(1800, 900);
  const pen = canvas.getContext('2d');
  const noise = pen.createImageData(900, 900);
  for (let at = 0; at < noise.data.length; at += 65536) crypto.getRandomValues(noise.data.subarray(at, at + 65536));
  for (let at = 3; at < noise.data.length; at += 4) noise.data[at] = 255;
  pen.putImageData(noise, 0, 0); // the other half is transparent
  const list = new DataTransfer();
  list.items.add(new File([await canvas.convertToBlob()], 'a.png', { type: 'image/png' }));
  const input = document.querySelector('span').shadowRoot.querySelector('input');
  const asked = window.fetch;
  const sent = new Promise((done) => { window.fetch = (url, how) => { done(how.body.get('photo')); return asked(url, how); }; });
  input.files = list.files;
  input.dispatchEvent(new Event('change'));
  const picture = await createImageBitmap(await sent);
  const seen = new OffscreenCanvas(1, 1).getContext('2d');
  seen.drawImage(picture, -picture.width * 3 / 4, -picture.height / 2);
  return [list.files.length, (await sent).type, picture.width, picture.height, ...seen.getImageData(0, 0, 1, 1).data];
}"""
"""Sends a picture of more than goes as it is: what was chosen still, and what was sent."""


def test_a_large_photo_is_made_small_and_what_is_transparent_white(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    opened(page, served, shop, "")
    _, kind, width, height, *pixel = page.evaluate(LARGE)
    assert (kind, width, height) == ("image/jpeg", 1600, 800)
    assert min(pixel) > 240


def answer_of(served: tuple[str, Path, Any]) -> dict[str, Any]:
    """What the API answers to the photo."""
    sent = {"photo": served[1].read_bytes()}
    answer = httpx.post(f"{served[0]}/api/search", files=sent, data={"limit": "6"}, timeout=240)
    found: dict[str, Any] = answer.json()
    return found


def instead(page: Page, *answers: dict[str, Any]) -> None:
    """These are answered, one after the other; the last one to all that is asked then."""
    left = list(answers)
    allowed = {"Access-Control-Allow-Origin": "*"}
    page.route(
        "**/api/search",
        lambda route: route.fulfill(
            json=left.pop(0) if len(left) > 1 else left[0], headers=allowed
        ),
    )


STOCK = {"out_of_stock": "Sold out", "unknown": "Check at the store", "preorder": "Pre-order"}


def test_stock_and_what_to_do_are_said(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    """Each offer that is not simply in stock, a thing that nobody has, other currencies; axe finds nothing,
    and all can be tapped."""
    answer = answer_of(served)
    first, second = answer["hits"][:2]
    one = first["offers"][0]
    first["offers"] = [
        {**one, "store": key, "store_title": key, "availability": key} for key in STOCK
    ]
    first["offers"][1]["converted"] = {"amount": "59.00", "currency": "USD"}
    second["offers"] = [{**one, "availability": "out_of_stock"}]
    hits = [{**hit, "exact": False} for hit in answer["hits"]]
    opened(page, served, shop, "")
    instead(page, {**answer, "hits": hits, "verdict": "similar"})
    send(page, served[1])
    rows = page.locator("dialog ol > li")
    for n, (key, words) in enumerate(STOCK.items()):
        expect(rows.nth(0).locator(".offer").nth(n)).to_contain_text(f"{key}: ")
        expect(rows.nth(0).locator(".offer").nth(n)).to_contain_text(words)
    expect(rows.nth(0)).to_contain_text("(≈ $59)")
    assert rows.nth(0).get_attribute("class") is None
    expect(rows.nth(1)).to_have_class("gone")
    expect(rows.nth(1).locator(".sold")).to_have_text("Sold out")
    expect(page.locator("dialog")).to_contain_text("None of these is surely the very product.")
    assert page.locator("dialog :is(button, a, summary)").evaluate_all(
        "all => all.filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 43.5).map(one => one.outerHTML)"
    ) == []  # fmt: skip
    for scheme in ("light", "dark"):
        page.locator("span").first.evaluate(
            "(one, said) => { one.style.colorScheme = said; }", scheme
        )
        found = Axe().run(page).response["violations"]
        ours = [one["id"] for one in found if "shadow" in str(one) or "dialog" in str(one["nodes"])]
        assert ours == [], scheme


def test_nothing_found_says_what_to_do(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    opened(page, served, shop, "")
    instead(page, {**answer_of(served), "verdict": "none", "hits": []})
    send(page, served[1])
    expect(page.locator("dialog h2")).to_have_text("We did not find it")
    expect(page.locator("dialog")).to_contain_text("Take the photo closer")


ASKED = """
  window.asked = [];
  const ask = window.fetch;
  window.fetch = async (url, how) => {
    const reply = await ask(url, how);
    if (!String(url).endsWith('/api/search')) return reply;
    window.asked.push([[...how.body.keys()].join(' '), reply.status]);
    const answer = await reply.json();
    return new Response(JSON.stringify({ ...answer, reading: window.asked.length === 1 }), { status: reply.status });
  };
"""
"""Writes down what the widget sends; the first answer still reads words in the photo."""


def test_an_answer_is_asked_for_again_without_its_photo(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    """By the answer's id, of the real service, which knows no cookie of this page."""
    page.add_init_script(ASKED)
    opened(page, served, shop, "")
    send(page, served[1])
    page.wait_for_function("window.asked.length === 2")
    assert page.evaluate("window.asked") == [["photo limit", 200], ["search_id limit", 200]]
    expect(page.locator("dialog .go").first).to_be_visible()


def test_words_that_were_still_being_read_come_later(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    """Asked again by itself; another answer takes the place of the first, an equal one does not."""
    answer = answer_of(served)
    later = {**answer, "verdict": "exact", "hits": [{**hit, "exact": not n} for n, hit in enumerate(answer["hits"])]}  # fmt: skip
    first = {**answer, "verdict": "similar", "hits": [{**hit, "exact": False} for hit in answer["hits"]], "reading": True}  # fmt: skip
    opened(page, served, shop, "")
    page.evaluate(
        "window.told = []; document.addEventListener('lensback:answer', one => told.push(one.detail.verdict))"
    )
    instead(page, first, first, later)
    send(page, served[1])
    expect(page.locator("dialog h2")).to_have_text("Looks like it")
    expect(page.locator("dialog h2")).to_have_text("This very product", timeout=120_000)
    assert page.evaluate("told") == ["similar", "exact"]
