"""The client against a real served workspace."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import uvicorn

from lensback import client as client_module
from lensback import keys
from lensback.client import Client
from lensback.errors import (
    BadImage,
    BadQuery,
    Busy,
    DataError,
    FetchFailed,
    NotFound,
    Unauthorized,
)
from lensback.settings import Settings
from lensback.types import Money
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish
from servers import free_port


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, bytes, Path]]:
    """A service that wants a key: its address, a photo, the file of keys."""
    folder, photo = publish(tmp_path_factory.mktemp("client"))
    port = free_port()
    with Workspace(folder, Settings(search_needs_key=True)) as workspace:
        app = create_app(workspace)
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
        yield f"http://127.0.0.1:{port}", photo.read_bytes(), workspace.keys_path
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(served: tuple[str, bytes, Path]) -> Iterator[Client]:
    path = served[2]
    path.unlink(missing_ok=True)
    with Client(served[0], key=keys.add(path, "test", "search")) as opened:
        yield opened


def test_search_to_similar(client: Client, served: tuple[str, bytes, Path]) -> None:
    answer = client.search(
        served[1], limit=3, stores=["harbour", "lavka"], price_max="100000", currency="RUB"
    )
    assert answer.verdict in {"exact", "similar"}
    assert answer.json["search_id"] == answer.search_id
    offer = answer.hits[0].offers[0]
    assert isinstance(offer.price, Money)
    assert offer.price.minor - offer.cashback.minor == offer.price_after_cashback.minor
    assert offer.link.startswith(f"{served[0]}/go/{offer.offer_id}")
    others = client.similar(offer.offer_id, limit=2)
    assert 1 <= len(others) <= 2
    assert answer.hits[0].product_id not in {hit.product_id for hit in others}
    assert not any(hit.exact for hit in others)
    assert client.product(answer.hits[0].product_id)["offers"]
    assert client.offer(offer.offer_id)["price_history"]
    assert {store["name"] for store in client.stores()} == {"harbour", "lavka"}
    client.vote(answer.search_id, answer.hits[0].product_id, good=True)
    part = client.search(served[1], box=(0.1, 0.1, 0.9, 0.9), color="black", in_stock=True)
    assert part.region == (0.1, 0.1, 0.9, 0.9)
    again = client.search(b"is not sent", again=answer.search_id, box=(0.1, 0.1, 0.9, 0.9))
    assert again.region == part.region
    forgotten = client.search(served[1], again="0" * 16)
    assert forgotten.verdict == client.search(served[1]).verdict


def test_failures_are_our_errors(client: Client, served: tuple[str, bytes, Path]) -> None:
    with pytest.raises(BadImage) as caught:
        client.search(b"not a picture")
    assert caught.value.hint
    with pytest.raises(BadQuery):
        client.search(served[1], limit=1000)
    with pytest.raises(NotFound):
        client.offer("a" * 16)
    with pytest.raises(BadQuery):
        client.offer("../stores")


def test_keys_are_wanted(served: tuple[str, bytes, Path], client: Client) -> None:
    with Client(served[0]) as nobody, pytest.raises(Unauthorized):
        nobody.search(served[1])
    with Client(served[0], key="pk_wrong") as wrong, pytest.raises(Unauthorized):
        wrong.search(served[1])
    keys.remove(served[2], "test")
    with pytest.raises(Unauthorized):
        client.search(served[1])


class Odd(BaseHTTPRequestHandler):
    """Busy for a while, then whatever `said` holds."""

    said: ClassVar[list[tuple[int, dict[str, str], bytes]]] = []

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        status, headers, body = self.said.pop(0)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def odd() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_busy_service_is_asked_again(odd: str) -> None:
    busy = (503, {"Retry-After": "0"}, b"{}")
    Odd.said = [busy, (429, {"Retry-After": "0"}, b"{}"), (200, {}, b'{"stores": []}')]
    with Client(odd) as client:
        assert client.stores() == []
        said = {"error": {"type": "Busy", "message": "full", "hint": "wait"}}
        Odd.said = [busy] * (client_module.TRIES - 1) + [(503, {}, json.dumps(said).encode())]
        with pytest.raises(Busy):
            client.stores()


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (502, b"bad gateway"), (500, b'{"error": 3}')]
)
def test_what_is_no_lensback_is_said(odd: str, status: int, body: bytes) -> None:
    Odd.said = [(status, {}, body)]
    with Client(odd) as client, pytest.raises(DataError):
        client.stores()


def test_nobody_there() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(FetchFailed):
        client.stores()
