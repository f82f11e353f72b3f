"""The page in a real Chromium: both languages, phone and desktop, without scripts, without a network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from browser import chromium
from published import publish
from servers import free_port

pytestmark = pytest.mark.slow

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
WORDS = {
    "en": ("This very product", "Looks like it", "Kept in this browser only."),
    "ru": ("Та самая вещь", "Похожее", "Хранятся только в этом браузере."),
}
PAGE_BYTES = 150_000
SPY = """window.sent = []; const real = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = async function (body) {
  const photo = body?.get?.('photo');
  if (body?.get) window.sent.push(
    { photo: photo?.size ?? 0, start: photo ? (await photo.text()).slice(0, 5000) : '' });
  return real.call(this, body);
};"""
"""Notes what the page sends: Playwright does not show the files of a form."""


class HostPage(BaseHTTPRequestHandler):
    """Somebody else's page: `/http://…` carries the widget of that address."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        script = f'<script src="{self.path[1:]}/static/widget.js" async></script>'
        html = f"<!doctype html><html lang=en><title>shop</title><p>{script}</p></html>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(html)))
        self.end_headers()
        self.wfile.write(html)


@pytest.fixture(scope="module")
def shop() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HostPage)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, shop: ThreadingHTTPServer
) -> Iterator[tuple[str, Path]]:
    """Address of a served small workspace, and a photo of a thing that it sells."""
    workspace, photo = publish(tmp_path_factory.mktemp("browser"))
    port = free_port()
    command = [sys.executable, "-m", "lensback", "serve", "--port", str(port)]
    env = {
        **os.environ,
        "LENSBACK_WORKSPACE": str(workspace),
        "LENSBACK_LOG_LEVEL": "error",
        "LENSBACK_CORS_ORIGINS": json.dumps([f"http://localhost:{shop.server_address[1]}"]),
    }
    process = subprocess.Popen(command, env=env)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(f"{address}/readyz")
        yield address, photo
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=240) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait()


def wait_until_ready(url: str, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=120).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A fresh profile; a script error or a broken policy fails the test."""
    how = getattr(request, "param", DESKTOP)
    context = browser.new_context(**{"locale": "en", **how})
    context.add_init_script(SPY)
    said: list[str] = []
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    yield context
    context.close()
    # What the server refused is in the console too; that is not the page's fault.
    refused = ("Failed to load resource", "An unknown error occurred when fetching the script")
    assert [line for line in said if not line.startswith(refused)] == []


def upload(page: Page, served: tuple[str, Path]) -> None:
    page.goto(served[0])
    page.set_input_files("#photo", served[1])
    page.wait_for_selector("#answer[data-search] .verdict")
    expect(page.locator("#answer[aria-busy]")).to_have_count(0)


def changed(page: Page, old: str) -> None:
    """Waits for another answer."""
    page.wait_for_function(
        "id => ![id, ''].includes(document.getElementById('answer').dataset.search)", arg=old
    )
    expect(page.locator("#answer[aria-busy]")).to_have_count(0)


def searched(page: Page) -> str:
    return page.locator("#answer").get_attribute("data-search") or ""


LOOKS = [
    pytest.param({**shape, "locale": language}, id=f"{name}-{language}")
    for name, shape in (("desktop", DESKTOP), ("phone", PHONE))
    for language in WORDS
]


@pytest.mark.parametrize("opened", LOOKS, indirect=True)
def test_upload_pick_filter_go(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    upload(page, served)
    language = page.locator("html").get_attribute("lang") or ""
    exact, similar, _ = WORDS[language]
    expect(page.locator(".verdict h2")).to_have_text(
        exact if page.locator(".card.exact").count() else similar
    )
    expect(page.locator("#crop")).to_be_visible()

    first = searched(page)
    page.locator("#parts .chip[data-whole]").first.click()
    changed(page, first)
    expect(page.locator("#parts .chip[aria-pressed=true]")).to_have_count(1)

    second = searched(page)
    page.locator("#filters summary").click()
    page.select_option("select[name=store]", "lavka")
    changed(page, second)
    stores = page.locator(".card .store bdi").all_inner_texts()
    assert stores
    assert set(stores) == {"lavka"}

    link = page.locator(".card a.button").first.get_attribute("href") or ""
    assert link.startswith("/go/")
    assert f"search={searched(page)}" in link
    gone = httpx.get(served[0] + link, follow_redirects=False, timeout=120)
    assert gone.status_code == 302


@pytest.mark.parametrize(
    "opened", [{**PHONE, "locale": "ru"}, {**DESKTOP, "color_scheme": "dark"}], indirect=True
)
def test_axe_finds_nothing_serious(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    page.goto(served[0])
    assert serious(page) == []
    upload(page, served)
    page.locator("#filters summary").click()
    assert serious(page) == []
    page.locator(".card .more summary").first.click()
    page.locator(".card .acts a[href^='/similar/']").first.click()
    page.wait_for_url("**/similar/*")
    assert serious(page) == []


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


def test_the_keyboard_moves_the_box(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    upload(page, served)
    first = searched(page)
    page.locator("#crop").focus()
    page.keyboard.press("Shift+ArrowLeft")
    changed(page, first)
    # The things found in the photo are still there to choose; none of them is what is searched now.
    expect(page.locator("#parts .chip[aria-pressed=false]").first).to_be_visible()
    expect(page.locator("#parts .chip[aria-pressed=true]")).to_have_count(0)


def test_a_finger_drags_a_corner(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    upload(page, served)
    first = searched(page)
    frame = page.locator("#frame").bounding_box()
    corner = page.locator(".handle.nw").bounding_box()
    assert frame
    assert corner
    page.mouse.move(corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.4, frame["y"] + frame["height"] * 0.4, steps=4)
    page.mouse.up()
    changed(page, first)
    left, top = page.locator("#crop").evaluate(
        "e => [parseFloat(e.style.left), parseFloat(e.style.top)]"
    )
    assert 30 < left < 50
    assert 30 < top < 50


def test_colors_and_order_act_at_once(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    upload(page, served)
    first = searched(page)
    page.locator("#filters summary").click()
    page.select_option("select[name=order]", "price")
    changed(page, first)
    second = searched(page)
    expect(page.locator("#colors input")).not_to_have_count(14)  # only colours that are sold
    page.locator("#colors .swatch:not(.any) input").first.check(force=True)
    changed(page, second)
    assert page.locator("#answer .verdict").count() == 1
    bytes_of_photo = [one["photo"] for one in page.evaluate("window.sent")]
    assert bytes_of_photo[0] > 1000
    assert bytes_of_photo[1:] == [0, 0], "the photo was sent again"


def test_why_and_votes(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    upload(page, served)
    page.locator(".card .more summary").first.click()
    page.locator("[data-why]").first.click()
    expect(page.locator("#heat")).to_be_visible(timeout=120_000)
    page.locator("[data-why]").first.click()
    expect(page.locator("#heat")).to_be_hidden()
    with page.expect_response("**/api/feedback") as voted:
        page.locator("[data-vote=up]").first.click()
    assert voted.value.ok
    expect(page.locator("#said")).to_have_text("Thank you, noted.")
    expect(page.locator("[data-vote=up]").first).to_have_attribute("aria-pressed", "true")


def test_a_forgotten_photo_is_sent_again(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    upload(page, served)
    first = searched(page)
    page.evaluate("document.getElementById('search_id').value = '0'.repeat(16)")
    page.locator("#parts .chip[data-whole]").first.click()
    changed(page, first)
    expect(page.locator("#answer .verdict.failed")).to_have_count(0)


def test_a_large_photo_is_made_small_before_it_is_sent(
    opened: BrowserContext, served: tuple[str, Path], tmp_path: Path
) -> None:
    noise = Image.effect_noise((3000, 2000), 60).convert("RGB")
    exif = Image.Exif()
    exif[0x010F] = "PHONE-MAKER"
    noise.save(tmp_path / "large.jpg", quality=95, exif=exif)
    assert (tmp_path / "large.jpg").stat().st_size > 3_000_000
    page = opened.new_page()
    page.goto(served[0])
    page.set_input_files("#photo", tmp_path / "large.jpg")
    page.wait_for_function("() => window.sent.length")
    (sent,) = page.evaluate("window.sent")
    assert 10_000 < sent["photo"] < 2_000_000
    assert "PHONE-MAKER" not in sent["start"]


def test_recent_searches_stay_in_the_browser(
    opened: BrowserContext, served: tuple[str, Path]
) -> None:
    page = opened.new_page()
    upload(page, served)
    mine = searched(page)
    page.goto(served[0])
    entry = page.locator("#recent li a").first
    expect(entry).to_be_visible()
    assert entry.get_attribute("href") == f"/answers/{mine}"
    page.locator("#forget").click()
    expect(page.locator("#recent")).to_be_hidden()
    page.reload()
    expect(page.locator("#recent")).to_be_hidden()


def test_a_shared_answer_has_no_photo_unless_asked(
    browser: Browser, opened: BrowserContext, served: tuple[str, Path]
) -> None:
    opened.grant_permissions(["clipboard-read", "clipboard-write"])
    page = opened.new_page()
    upload(page, served)
    page.evaluate("navigator.share = undefined")
    page.locator("#share").click()
    expect(page.locator("#shared")).to_have_text("The link is copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "#" not in link
    page.locator("#with-photo").check()
    page.locator("#share").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.includes('#photo='))")
    link = page.evaluate("navigator.clipboard.readText()")
    somebody = browser.new_context(locale="en")
    other = somebody.new_page()
    wait_until_ready(link.split("#")[0])  # records are a moment late
    other.goto(link)
    expect(other.locator("#photo-of")).to_be_visible()
    assert other.locator(".card").count() > 0
    somebody.close()


def test_without_a_script(browser: Browser, served: tuple[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en")
    page = context.new_page()
    page.goto(served[0])
    page.set_input_files("#photo", served[1])
    page.locator("#filters summary").click()
    page.select_option("select[name=store]", "harbour")
    page.locator("button[type=submit]:visible").first.click()
    expect(page.locator(".verdict h2")).to_be_visible()
    assert set(page.locator(".card .store bdi").all_inner_texts()) == {"harbour"}
    expect(page.locator(".chip[aria-pressed=true]")).to_have_attribute("value", re.compile(","))
    page.locator("details.doubtful summary").click()  # what the detector does not believe in
    expect(page.locator("details.doubtful .chip").first).to_be_visible()
    page.locator(".chip[data-whole]").click()  # another part of the photo that the server remembers
    expect(page.locator(".verdict h2")).to_be_visible()
    assert set(page.locator(".card .store bdi").all_inner_texts()) == {"harbour"}
    context.close()


def test_a_broken_network_is_said(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    page.goto(served[0])
    opened.set_offline(True)
    page.set_input_files("#photo", served[1])
    expect(page.locator(".verdict.failed")).to_contain_text("cannot be reached")
    opened.set_offline(False)
    page.locator(".verdict.failed button").click()
    page.wait_for_selector("#answer[data-search] .card")


def test_what_is_no_picture_is_said(
    opened: BrowserContext, served: tuple[str, Path], tmp_path: Path
) -> None:
    page = opened.new_page()
    page.goto(served[0])
    (tmp_path / "a.jpg").write_text("not a picture")
    with page.expect_response("**/") as response:
        page.set_input_files("#photo", tmp_path / "a.jpg")
    assert response.value.status == 415
    expect(page.locator(".verdict.failed")).to_contain_text("not a picture that we can read")


def test_a_chosen_language_is_remembered(opened: BrowserContext, served: tuple[str, Path]) -> None:
    page = opened.new_page()
    page.goto(served[0])
    page.locator("[data-language=ru]").click()
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    page.goto(served[0])
    expect(page.locator("html")).to_have_attribute("lang", "ru")


def test_the_page_is_light_and_stands_still(
    opened: BrowserContext, served: tuple[str, Path]
) -> None:
    """Bytes without pictures, and the sum of layout shifts (CLS) from opening to answer."""
    page = opened.new_page()
    sizes: dict[str, int] = {}
    page.on(
        "response",
        lambda r: (
            sizes.update({r.url: len(r.body())})
            if "/images/" not in r.url and "blob:" not in r.url
            else None
        ),
    )
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "e => { if (!e.hadRecentInput) window.shift += e.value; }))"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    page.goto(served[0])
    page.wait_for_load_state("networkidle")
    assert 5_000 < sum(sizes.values()) < PAGE_BYTES, sizes
    assert page.evaluate("window.shift") < 0.02
    # The answer may take the place of the first page, but what it shows must then stand.
    page.set_input_files("#photo", served[1])
    page.wait_for_selector("#answer[data-search] .verdict")
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100))))"
    )  # what the change itself moved has been told
    page.evaluate("window.shift = 0")
    page.wait_for_load_state("networkidle")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(500)
    assert page.evaluate("window.shift") < 0.02


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_widget_on_another_page(
    browser: Browser, served: tuple[str, Path], shop: ThreadingHTTPServer, host: str
) -> None:
    """A host page of an allowed origin gets answers; the same page of another origin does not."""
    context = browser.new_context(locale="en")
    page = context.new_page()
    page.goto(f"http://{host}:{shop.server_address[1]}/{served[0]}")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Find by photo").click()
    chooser.value.set_files(served[1])
    title = page.locator("dialog h2")
    if host == "localhost":
        expect(title).to_have_text(re.compile("very product|Looks like it"))
        link = page.locator("dialog a.go").first.get_attribute("href") or ""
        assert link.startswith(f"{served[0]}/go/")
        page.get_by_role("button", name="Close").click()
        expect(page.locator("dialog")).to_be_hidden()
    else:
        expect(title).to_contain_text("cannot be reached")
    context.close()
