"""An answer's address in a real Chromium: reload, Back, language, a shared link, a photo that is gone."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect

from browser import chromium
from lensback import grants
from lensback.settings import Settings
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish

pytestmark = pytest.mark.slow


class HostPage(BaseHTTPRequestHandler):
    """Somebody else's page, which may use the API; its body is told by the test."""

    body = b""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), HostPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, shop: str) -> Iterator[tuple[str, Path, Any]]:
    """Address of a small service, a photo of a thing that it sells, and its parts."""
    folder, photo = publish(tmp_path_factory.mktemp("addresses"))
    with Workspace(folder, Settings(rate_limit=0, cors_origins=(shop,))) as workspace:
        app = create_app(workspace)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}", photo, app.state.service
            finally:
                server.should_exit = True
                thread.join(timeout=20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh profile; a script error fails the test."""
    context = browser.new_context(locale="en", viewport={"width": 1280, "height": 900})
    said: list[str] = []
    context.on("weberror", lambda error: said.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert said == []


def upload(page: Page, served: tuple[str, Path, Any]) -> str:
    page.goto(served[0])
    page.set_input_files("#photo", served[1])
    page.wait_for_selector("#answer[data-search] .verdict")
    return searched(page)


def searched(page: Page) -> str:
    expect(page.locator("#answer[aria-busy]")).to_have_count(0)
    return page.locator("#answer").get_attribute("data-search") or ""


def another(page: Page, old: str) -> str:
    page.wait_for_function(
        "id => ![id, ''].includes(document.getElementById('answer').dataset.search)", arg=old
    )
    return searched(page)


def state(page: Page) -> dict[str, Any]:
    """What a shopper sees of an answer."""
    page.wait_for_function("() => document.getElementById('shown').naturalWidth > 0")
    expect(page.locator("#crop")).to_be_visible()
    found: dict[str, Any] = page.evaluate("""() => ({
      products: [...document.querySelectorAll('[data-product]')].map(one => one.dataset.product),
      said: [...document.querySelectorAll('.likelihood')].map(one => one.textContent),
      store: document.querySelector('[name=store]').value,
      cheap: [...document.querySelectorAll('[name=order]')].map(one => one.value),
      box: ['left', 'top', 'width', 'height'].map(side => document.getElementById('crop').style[side]),
    })""")
    assert found["products"]
    return found


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


def test_the_widget_clicks_for_the_member(
    page: Page, served: tuple[str, Path, Any], shop: str
) -> None:
    service = served[2]
    workspace = service.workspace
    made = grants.give_pass(workspace.db, workspace.path, "member-1234", int(time.time()))
    html = (
        "<!doctype html><html lang=constructor><body style='background:#111'><script>"
        f"window.member = async () => '{made}'</script>"
        f"<script src='{served[0]}/static/widget.js' data-pass-from=member></script>"
    )
    HostPage.body = html.encode()
    page.goto(shop)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Find by photo").click()
    chooser.value.set_files(served[1])
    expect(page.locator("dialog h2")).to_have_text(re.compile("very product|Looks like it"))
    expect(page.locator("dialog .said").first).not_to_be_empty()
    assert page.locator("dialog").evaluate("one => getComputedStyle(one).colorScheme") == "dark"
    expect(page.locator("dialog a.go")).to_have_count(0)
    with page.context.expect_event("request", lambda r: "/go/" in r.url) as sent:
        page.locator("dialog form button").first.click()
    assert sent.value.method == "POST"
    assert made not in sent.value.url
