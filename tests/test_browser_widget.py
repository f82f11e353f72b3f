"""The widget on somebody else's page, in a real Chromium."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
import numpy as np
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
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
    HostPage.body = f"<!doctype html><html lang=constructor><style>{style}</style><body>{script}".encode()
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


def large_png() -> bytes:
    """More than is sent as it is; half of it is transparent."""
    noise = np.random.default_rng(0).integers(0, 255, (900, 1800, 4), np.uint8)
    noise[:, 900:, 3] = 0
    noise[:, :900, 3] = 255
    sink = io.BytesIO()
    Image.fromarray(noise).save(sink, "PNG")
    return sink.getvalue()


def test_a_large_photo_is_made_small_and_what_is_transparent_white(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    opened(page, served, shop, "")
    with page.expect_request("**/api/search") as sent:
        send(page, {"name": "a.png", "mimeType": "image/png", "buffer": large_png()})
    body = sent.value.post_data_buffer or b""
    begin = body.index(b"\xff\xd8")
    picture = Image.open(io.BytesIO(body[begin : body.rindex(b"\xff\xd9") + 2]))
    assert picture.size == (1600, 800)
    assert np.asarray(picture)[:, 820:].min() > 240


def test_stock_and_what_to_do_are_said(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    """Each offer that is not simply in stock, a thing that nobody has, other currencies; and axe finds nothing."""
    opened(page, served, shop, "")
    changed = {"out_of_stock": "Sold out", "unknown": "Check at the store", "preorder": "Pre-order", "backorder": "Ships later"}  # fmt: skip

    def change(route: Any) -> None:
        answer = route.fetch().json()
        first, second = answer["hits"][:2]
        one = first["offers"][0]
        first["offers"] = [
            {**one, "store": key, "store_title": key, "availability": key}
            for key in list(changed)[:3]
        ]
        first["offers"][1]["converted"] = {"amount": "59.00", "currency": "USD"}
        second["offers"] = [{**one, "availability": "out_of_stock"}]
        answer["hits"] = [{**hit, "exact": False} for hit in answer["hits"]]
        answer["verdict"] = "similar"
        route.fulfill(json=answer, headers={"Access-Control-Allow-Origin": "*"})

    page.route("**/api/search", change)
    send(page, served[1])
    rows = page.locator("dialog ol > li")
    for n, (key, words) in enumerate(list(changed.items())[:3]):
        expect(rows.nth(0).locator(".offer").nth(n)).to_contain_text(f"{key}: ")
        expect(rows.nth(0).locator(".offer").nth(n)).to_contain_text(words)
    expect(rows.nth(0)).to_contain_text("(≈ $59)")
    expect(rows.nth(0)).not_to_have_class("gone")
    expect(rows.nth(1)).to_have_class("gone")
    expect(rows.nth(1).locator(".sold")).to_have_text("Sold out")
    expect(page.locator("dialog")).to_contain_text("None of these is surely the very product.")
    small = page.locator("dialog :is(button, a, summary)").evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map(one => one.getBoundingClientRect()).filter(b => b.height < 43.5).length"
    )
    assert small == 0
    for scheme in ("light", "dark"):
        page.locator("span").first.evaluate(
            "(one, said) => { one.style.colorScheme = said; }", scheme
        )
        found = Axe().run(page).response["violations"]
        own = [
            one["id"]
            for one in found
            if "dialog" in str(one["nodes"]) or "button" in str(one["nodes"])
        ]
        assert own == [], scheme


def test_nothing_found_says_what_to_do(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    opened(page, served, shop, "")
    none = {
        "search_id": "0" * 16,
        "verdict": "none",
        "hits": [],
        "calibrated": True,
        "reading": False,
    }
    page.route(
        "**/api/search",
        lambda route: route.fulfill(json=none, headers={"Access-Control-Allow-Origin": "*"}),
    )
    send(page, served[1])
    expect(page.locator("dialog h2")).to_have_text("We did not find it")
    expect(page.locator("dialog")).to_contain_text("Take the photo closer")


def test_words_that_were_still_being_read_come_later(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    """Asked again by itself; another answer takes the place of the first, an equal one does not."""
    opened(page, served, shop, "")
    page.evaluate(
        "window.answers = []; document.addEventListener('lensback:answer', one => answers.push(one.detail.verdict))"
    )
    asked: list[bool] = []

    def change(route: Any) -> None:
        answer = route.fetch().json()
        asked.append(True)
        answer["reading"] = len(asked) < 3
        if len(asked) < 3:  # the words are there the third time
            answer["hits"] = [{**hit, "exact": False} for hit in answer["hits"]]
            answer["verdict"] = "similar"
        else:
            answer["hits"][0]["exact"], answer["verdict"] = True, "exact"
        route.fulfill(json=answer, headers={"Access-Control-Allow-Origin": "*"})

    page.route("**/api/search", change)
    send(page, served[1])
    expect(page.locator("dialog h2")).to_have_text("Looks like it")
    expect(page.locator("dialog h2")).to_have_text("This very product", timeout=15_000)
    assert page.evaluate("answers") == ["similar", "exact"]
