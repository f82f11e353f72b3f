"""A small service and a shopper before it, for tests in a real browser: fixtures and what is done on the page."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
import uvicorn
from playwright.sync_api import Browser, Page, expect

from browser import chromium
from lensback.settings import Settings
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish


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
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
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
                thread.join(timeout=240)


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
