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


# ---- what goes wrong is said, in view and in the reader's language

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


@pytest.fixture
def phone(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A phone of a reader of the language that is asked for; a script error fails the test."""
    size = {"width": 390, "height": 844}
    context = browser.new_context(locale=request.param, viewport=size, has_touch=True)  # type: ignore[arg-type]
    said: list[str] = []
    context.on("weberror", lambda error: said.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert said == []


def failing(status: int, body: str) -> Any:
    """What takes the place of the service for what a form sends."""

    def fail(route: Any) -> None:
        if route.request.method != "POST":
            route.continue_()
        elif not status:
            route.abort()
        else:
            allowed = {"Access-Control-Allow-Origin": "*"}
            route.fulfill(status=status, body=body, content_type="text/html", headers=allowed)

    return fail


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
        expect(note).to_contain_text(re.compile(words[at]), timeout=10_000)
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


# ---- what stands behind the #, and in the browser's storage, is anybody's


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
