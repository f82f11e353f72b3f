"""The web face on a real small workspace: routes, failures, limits, the page."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import text

from effort import within
from garments import items
from lensback import wire
from lensback.errors import ConfigError
from lensback.settings import Settings
from lensback.sync import sync
from lensback.types import Region
from lensback.web import create_app, limits, pages, run
from lensback.web.gate import Gate
from lensback.workspace import Workspace, init
from world import World

with warnings.catch_warnings():
    # Starlette asks for another HTTP client than the one we depend on; this one works.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

THINGS = items(12)
API = "/api/search"
MAX_BYTES = 400_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A published workspace of two stores, and a photo of a thing that both sell."""
    folder = tmp_path_factory.mktemp("web")
    init(folder / "workspace")
    with World(folder / "world") as world:
        chosen = Settings(allow_hosts=("127.0.0.1",))
        with Workspace(folder / "workspace", chosen) as workspace:
            from lensback.catalogue import stores

            for name, form in (("harbour", "google"), ("lavka", "yml")):
                store = world.store(name, form, THINGS, sizes=("M", "S"), marker=True)
                stores.add(workspace.db, name, store.feed_url, base=world.base)
            assert not sync(workspace).failed
            with workspace.db.write() as c:  # reading a feed would have taken the tags out
                c.execute(text("UPDATE offers SET title = '<script>alert(1)</script> & co'"))
        photo = world.photo(THINGS[0], 3).read_bytes()
    return folder / "workspace", photo


@pytest.fixture(scope="module")
def workspace(made: tuple[Path, bytes]) -> Iterator[Workspace]:
    with Workspace(
        made[0], Settings(search_jobs=2, max_image_bytes=MAX_BYTES, rate_limit=0)
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace), follow_redirects=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def photo(made: tuple[Path, bytes]) -> bytes:
    return made[1]


@pytest.fixture(scope="module")
def answer(client: TestClient, photo: bytes) -> dict[str, Any]:
    return ask(client, photo).json()


def ask(client: Any, photo: bytes, name: str = "photo.jpg", **fields: Any) -> Any:
    return client.post(API, files={"photo": (name, photo)}, data=fields)


def refused(response: Any, status: int, kind: str) -> dict[str, str]:
    """The failure's body; it says what, why, and what to do."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    error: dict[str, str] = response.json()["error"]
    assert error["type"] == kind
    assert error["message"]
    assert error["hint"]
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    return error


@contextmanager
def served(app: Any) -> Iterator[str]:
    """A real server on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=120)
        listener.close()


# ---- the answer


def test_search_finds_the_thing(client: TestClient, photo: bytes) -> None:
    response = ask(client, photo, limit="3")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    found = wire.Answer.model_validate(response.json())
    assert found.verdict in {"exact", "similar"}
    assert len(found.hits) == 3
    offers = found.hits[0].offers
    assert {offer.store for offer in offers} <= {"harbour", "lavka"}
    assert offers[0].link == f"/go/{offers[0].offer_id}?search={found.search_id}"


def test_filters_reach_the_search(client: TestClient, photo: bytes) -> None:
    one = ask(client, photo, store=["lavka"], in_stock="true").json()
    assert {o["store"] for hit in one["hits"] for o in hit["offers"]} == {"lavka"}
    both = ask(client, photo, store="lavka, harbour").json()
    assert {o["store"] for hit in both["hits"] for o in hit["offers"]} == {"lavka", "harbour"}
    assert ask(client, photo, box="0.1,0.1,0.9,0.9").json()["region"] == [0.1, 0.1, 0.9, 0.9]
    cheap = ask(client, photo, price_max="1", currency="usd").json()
    assert (cheap["verdict"], cheap["hits"]) == ("none", [])
    address = client.post(f"{API}?limit=1&store=lavka", files={"photo": photo}).json()
    assert len(address["hits"]) == 1


@pytest.mark.parametrize(
    ("reads", "said", "asked", "begins"),
    [
        ("ru", "", "", "RUB"),
        ("en-US,ru;q=0.5", "", "", "USD"),
        ("ru;q=0.5,en-US", "", "", "USD"),
        ("de-CH,de;q=0.9,en-US;q=0.8", "", "", "USD"),  # nothing is sold in francs or euros
        ("en", "", "", "USD"),  # that of the first thing
        ("de", "", "", "USD"),
        ("", "", "", "USD"),
        ("ru", "USD", "", "USD"),
        ("ru", "GBP", "", "RUB"),
        ("en-US", "USD", "RUB", "RUB"),
    ],
)
def test_limits_of_the_price_begin_with_the_shoppers_currency(
    made: tuple[Path, bytes], served_by_one: Any, reads: str, said: str, asked: str, begins: str
) -> None:  # fmt: skip
    client = served_by_one(said)
    client.cookies.clear()
    headers = {"Accept": "text/html", "Accept-Language": reads}
    page = client.get("/", headers=headers).text
    selected = re.compile(r"<option selected>([A-Z]{3})</option>")
    if reads in {"en", "de", ""}:
        assert selected.findall(page) == ["RUB"], "as often as the other, and first by its letters"
    fields = {"store": "harbour", "currency": asked}
    found = client.post("/", files={"photo": made[1]}, data=fields, headers=headers).text
    assert selected.findall(found) == [begins]


def test_a_currency_that_was_chosen_is_remembered(
    made: tuple[Path, bytes], served_by_one: Any
) -> None:
    """By the browser, until another one is chosen; what was begun with is not chosen, what nobody sells in is
    not begun with."""
    client = served_by_one("USD")
    client.cookies.clear()
    selected = re.compile(r"<option selected>([A-Z]{3})</option>")

    def begins(**fields: str) -> tuple[list[str], str]:
        headers = {"Accept": "text/html", "Accept-Language": "en-US"}
        if fields:
            client.post("/", files={"photo": made[1]}, data=fields, headers=headers)
        kept = client.cookies.get("currency", "")
        return selected.findall(client.get("/", headers=headers).text), kept

    assert begins() == (["USD"], "")
    assert begins(currency="USD") == (["USD"], "")
    assert begins(currency="rub") == (["RUB"], "RUB")
    assert begins(store="harbour") == (["RUB"], "RUB")
    assert begins(currency="USD") == (["USD"], "USD")
    for odd in ("EUR", "<b>", "x" * 4000):
        client.cookies.clear()
        client.cookies.set("currency", odd)
        assert begins()[0] == ["USD"]


@pytest.fixture(scope="module")
def served_by_one(made: tuple[Path, bytes]) -> Iterator[Any]:
    """A client of the service with a currency of its own, "" for none; each made once."""
    with ExitStack() as stack:

        @cache
        def opened(currency: str) -> TestClient:
            chosen = Settings(rate_limit=0, currency=currency)
            workspace = stack.enter_context(Workspace(made[0], chosen))
            return stack.enter_context(TestClient(create_app(workspace)))

        yield opened


def test_details(client: TestClient, answer: dict[str, Any]) -> None:
    hit = answer["hits"][0]
    product = client.get(f"/api/products/{hit['product_id']}")
    shown = wire.Product.model_validate(product.json())
    assert {o.offer_id for o in shown.offers} == {o["offer_id"] for o in hit["offers"]}
    offer = client.get(f"/api/offers/{shown.offers[0].offer_id}").json()
    assert wire.OfferDetail.model_validate(offer).price_history[0].price == shown.offers[0].price
    stores = client.get("/api/stores")
    assert [s.name for s in wire.Stores.model_validate(stores.json()).stores] == [
        "harbour",
        "lavka",
    ]
    assert "http" not in stores.text, "addresses of feeds are secret"


def test_thumbnails_are_kept_by_browsers(client: TestClient, answer: dict[str, Any]) -> None:
    address = answer["hits"][0]["image"]
    first = client.get(address)
    assert first.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(first.content)).size) <= 320
    assert "immutable" in first.headers["cache-control"]
    etag = first.headers["etag"]
    assert not etag.startswith("W/")
    for sent in (etag, f'"other", W/{etag}'):
        again = client.get(address, headers={"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200


def test_go_leads_to_the_store_only(
    client: TestClient, answer: dict[str, Any], workspace: Workspace
) -> None:
    offer = answer["hits"][0]["offers"][0]
    response = client.get(offer["link"] + "&url=https://evil.example/")
    assert response.status_code == 302
    assert "example" in response.headers["location"]
    assert "evil.example" not in response.headers["location"]
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "strict-origin"
    with changed_url(workspace, offer["offer_id"], "javascript:alert(1)"):
        refused(client.get(offer["link"]), 404, "NotFound")
    with changed_url(workspace, offer["offer_id"], "http://[broken"):
        refused(client.get(offer["link"]), 404, "NotFound")
    with changed_url(workspace, offer["offer_id"], "https://магазин.рф/a b\r\nSet-Cookie: x=1"):
        sent = client.get(offer["link"])
        assert "set-cookie" not in sent.headers


@contextmanager
def changed_url(workspace: Workspace, offer_id: str, url: str) -> Iterator[None]:
    change = text("UPDATE offers SET url = :url WHERE offer_id = :offer_id")
    with workspace.db.read() as c:
        old = c.execute(
            text("SELECT url FROM offers WHERE offer_id = :offer_id"), {"offer_id": offer_id}
        ).scalar_one()
    for at, value in enumerate((url, old)):
        with workspace.db.write() as c:
            c.execute(change, {"url": value, "offer_id": offer_id})
        if at == 0:
            yield


# ---- bad photos


def bomb(side_px: int = 60_000) -> bytes:
    """A PNG of a few hundred kilobytes that would be gigabytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    size = side_px.to_bytes(4, "big") * 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size + b"\x08\x02\x00\x00\x00")
        + chunk(b"IDAT", zlib.compress(bytes(10_000_000), 9))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("photo.jpg", b"this is only text"),
        ("photo.jpg", b"<html><body>404</body></html>"),
        ("photo.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("photo.pdf", b"%PDF-1.7\n"),
        ("photo.png", b"\x89PNG\r\n\x1a\n"),
        ("photo.jpg", b"\xff\xd8\xff"),
        ("empty.jpg", b""),
        ("../../etc/passwd\x00.jpg", b"\x00" * 1000),
    ],
)
def test_what_is_no_picture_is_refused(client: TestClient, name: str, data: bytes) -> None:
    refused(ask(client, data, name), 415, "BadImage")
    refused(ask(client, data, name, q="boots"), 415, "BadImage")  # no words stand in for it


def test_a_bomb_is_refused(client: TestClient) -> None:
    with within(300, time.process_time):
        refused(ask(client, bomb()), 413, "TooLarge")


def test_a_truncated_photo_is_answered_or_refused(client: TestClient, photo: bytes) -> None:
    for share in range(1, 40):
        response = ask(client, photo[: len(photo) * share // 40])
        if response.status_code != 200:
            refused(response, 415, "BadImage")


def test_formats(client: TestClient, photo: bytes) -> None:
    image = Image.open(io.BytesIO(photo))
    for kind in ("PNG", "WEBP", "AVIF"):
        sink = io.BytesIO()
        image.save(sink, kind)
        assert len(sink.getvalue()) <= MAX_BYTES
        assert ask(client, sink.getvalue(), "wrong.name").status_code == 200


# ---- sizes


def test_a_huge_photo_is_refused_by_its_length(client: TestClient) -> None:
    error = refused(ask(client, bytes(MAX_BYTES + 100_000)), 413, "TooLarge")
    assert "400000 bytes" in error["hint"]
    refused(ask(client, bytes(MAX_BYTES + 1)), 413, "TooLarge")  # inside the overhead


def test_a_length_that_lies_is_counted(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
        for _ in range(100):
            yield bytes(100_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(client.post(API, content=chunks(), headers=headers), 413, "TooLarge")


def test_uploads_stay_in_memory(
    client: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rollover(self: object) -> None:
        raise AssertionError("an upload was written to disk")

    noise = Image.effect_noise((1700, 1700), 100).convert("RGB")
    sink = io.BytesIO()
    noise.save(sink, "JPEG", quality=95)
    assert len(sink.getvalue()) > 1_500_000
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
    large = Workspace(workspace.path, Settings())
    with large, TestClient(create_app(large)) as other:
        assert ask(other, sink.getvalue()).status_code == 200


# ---- bad parameters


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("box", "NaN,0,1,1"),
        ("box", "0.9,0.1,0.1,0.9"),
        ("box", "0.1,0.2,0.8"),
        ("box", "0,0,1,1,1"),
        ("box", "a,b,c,d"),
        ("box", "0,0,1e400,1"),
        ("box", "-1,0,1,1"),
        ("box", "0.5,0.5,0.5,0.5"),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "101"),
        ("limit", "99999999999999999999"),
        ("limit", "abc"),
        ("limit", "1.5"),
        ("category", "No such category"),
        ("category", ">"),
        ("category", "a\x00b"),
        ("category", "x" * 300),
        ("price_max", "cheap"),
        ("price_max", "NaN"),
        ("price_max", "sNaN"),
        ("price_max", "Infinity"),
        ("price_max", "-5"),
        ("price_max", "1e400"),
        ("price_max", "10"),  # in which of the two currencies?
        ("currency", "EURO"),
        ("currency", "€"),
        ("in_stock", "perhaps"),
        ("limit", ["1", "2"]),
    ],
)
def test_a_parameter_that_makes_no_sense(
    client: TestClient, photo: bytes, field: str, value: Any
) -> None:
    refused(ask(client, photo, **{field: value}), 422, "BadQuery")


def test_an_unknown_store_lists_the_known(client: TestClient, photo: bytes) -> None:
    for name in ("nowhere", "'; DROP TABLE offers; --", "../harbour"):
        error = refused(ask(client, photo, store=name), 404, "UnknownName")
        assert "harbour" in error["hint"]


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "No photo was chosen."), ("ru", "Фото не выбрано.")]
)
def test_a_page_that_was_sent_nothing_says_so(client: TestClient, lang: str, words: str) -> None:
    asked = {"Accept": "text/html", "Accept-Language": lang}
    page = client.post("/", data={"q": ""}, files={"photo": ("", b"")}, headers=asked)
    assert page.status_code == 422
    assert words in page.text


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"data": {"photo": "text"}},
        {"json": {"photo": "x"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=y"}},
        {"content": b"--y\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=y"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=" + "y" * 99}},
        {"files": {"picture": b"x"}},
        {"files": {"photo": ("", b"")}},
        {"files": {"photo": (None, b"text")}},
        {"files": [("photo", b"a"), ("photo", b"b")]},
        {"files": [("photo", b"a")] * 9},
        {"files": {"photo": b"a"}, "data": {f"f{n}": "x" for n in range(99)}},
        {"files": {"photo": b"a"}, "data": {"store": "x" * 9000}},
    ],
)
def test_a_form_without_a_photo(client: TestClient, sent: dict[str, Any]) -> None:
    refused(client.post(API, **sent), 422, "BadQuery")


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
QUIET = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@QUIET
@given(
    fields=st.dictionaries(
        st.sampled_from(
            ["box", "limit", "store", "category", "price_max", "currency", "in_stock", "x"]
        ),
        WORDS | st.floats().map(str) | st.integers().map(str),
    )
)
@example(fields={"price_max": "1e-999999999999999999999"})
@example(fields={"price_max": "9" * 200})
@example(fields={"limit": "٣"})
@example(fields={"box": "1_0,0,0.5,0.5"})
def test_any_parameter_gets_an_answer(
    client: TestClient, photo: bytes, fields: dict[str, str]
) -> None:
    for response in (
        ask(client, photo, **fields),
        client.post(API, params=fields, files={"photo": photo}),
    ):
        assert response.status_code in {200, 404, 422}
        if response.status_code != 200:
            refused(response, response.status_code, response.json()["error"]["type"])


@QUIET
@given(seed=st.integers(0, 10**6), edits=st.integers(1, 6))
def test_a_mangled_form_gets_an_answer(
    client: TestClient, photo: bytes, seed: int, edits: int
) -> None:
    chance = random.Random(seed)
    head = b'--y\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    body = bytearray(head + photo[:3000] + b"\r\n--y--\r\n")
    for _ in range(edits):
        body[chance.choice([chance.randrange(len(head)), chance.randrange(len(body))])] = (
            chance.randrange(256)
        )
    del body[chance.randrange(1, len(body)) :]
    headers = {"Content-Type": "multipart/form-data; boundary=y"}
    response = client.post(API, content=bytes(body), headers=headers)
    assert response.status_code in {200, 415, 422}


# ---- routes


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/api/products/p" + "a" * 16,
        "/api/products/x",
        "/api/products/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/api/offers/" + "a" * 16,
        "/api/offers/a%00b",
        "/api/offers/' OR 1=1",
        "/images/" + "0" * 64,
        "/images/..%2f..%2fcatalogue.db",
        "/images/%2e%2e",
        "/images/" + "z" * 64,
        "/go/" + "a" * 16,
        "/go/https:%2f%2fevil.example",
        "/go//evil.example",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/none.css",
        "/healthz/",
    ],
)
def test_what_is_not_there(client: TestClient, path: str) -> None:
    refused(client.get(path), 404, "NotFound")


def test_wrong_methods(client: TestClient) -> None:
    error = refused(client.get(API), 405, "MethodNotAllowed")
    assert error["hint"] == "use POST"
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        refused(client.request(method, "/api/stores"), 405, "MethodNotAllowed")


def test_head_is_get_without_a_body(client: TestClient, answer: dict[str, Any]) -> None:
    for path in ("/", "/healthz", answer["hits"][0]["image"]):
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")
        assert int(response.headers["content-length"]) > 0


def test_readiness(client: TestClient, workspace: Workspace, tmp_path: Path) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = wire.Ready.model_validate(client.get("/readyz").json())
    assert ready.checks["index"] == workspace.tools().snapshot.id
    init(tmp_path / "new")
    with Workspace(tmp_path / "new", Settings()) as empty, TestClient(create_app(empty)) as other:
        assert other.get("/healthz").status_code == 200
        response = other.get("/readyz")
        assert "published" in refused(response, 503, "StateError")["message"]
        assert response.headers["retry-after"] == "30"


def test_a_broken_set_up_is_not_ready_and_tells_no_paths(made: tuple[Path, bytes]) -> None:
    broken = Settings(database="sqlite:////nonexistent/secret/catalogue.db")
    with Workspace(made[0], broken) as workspace, TestClient(create_app(workspace)) as other:
        for response in (other.get("/readyz"), ask(other, made[1])):
            refused(response, 503, "StateError")
            assert "secret" not in response.text
    unknown = Settings(index="nonsense")
    with Workspace(made[0], unknown) as workspace, TestClient(create_app(workspace)) as other:
        refused(other.get("/readyz"), 503, "StateError")
        refused(ask(other, made[1]), 503, "StateError")


def test_the_unexpected_is_a_plain_500(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("/secret/path")

    app = create_app(workspace)
    monkeypatch.setattr(type(app.state.service), "front", fail)
    response = TestClient(app, raise_server_exceptions=False).get("/")
    refused(response, 500, "InternalError")
    assert "secret" not in response.text


def test_one_line_per_request(
    client: TestClient, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lensback"):
        response = client.post(API, files={"photo": ("me-at-home.jpg", photo)})
        client.get("/go/" + "a" * 16, headers={"X-Request-ID": "bad id\x7f"})
        client.get("/nope", headers={"X-Request-ID": "trace-1"})
    lines = [r.fields for r in caplog.records if r.getMessage() == "request"]
    assert [(x["method"], x["route"], x["status"]) for x in lines] == [
        ("POST", API, 200),
        ("GET", "/go/{offer_id}", 404),
        ("GET", "-", 404),
    ]
    assert lines[0]["request_id"] == response.headers["x-request-id"]
    assert lines[1]["request_id"] != "bad id\x7f"
    assert lines[2]["request_id"] == "trace-1"
    assert "me-at-home" not in caplog.text


# ---- limits


class Held:
    """A detector that waits, as a slow search would."""

    name = fingerprint = "held"

    def __init__(self) -> None:
        self.release = threading.Event()

    def find(self, image: Image.Image) -> list[Region]:
        self.release.wait(240)
        return [Region((0.0, 0.0, 1.0, 1.0))]


def test_more_than_all_places_are_busy(made: tuple[Path, bytes]) -> None:
    with Workspace(made[0], Settings(search_jobs=1)) as workspace:
        held = Held()
        app = create_app(workspace)
        with served(app) as base, ThreadPoolExecutor(20) as pool:
            assert httpx.get(f"{base}/readyz", timeout=120).status_code == 200
            vars(workspace)["detector"] = held
            inside = [pool.submit(ask_once, base, made[1]) for _ in range(9)]  # 1 works, 8 wait
            gate = app.state.service.gate
            wait_for(lambda: gate.taken == 9)
            beyond = [pool.submit(ask_once, base, made[1]) for _ in range(5)]
            for response in [future.result() for future in beyond]:
                refused(response, 503, "Busy")
                assert response.headers["retry-after"] == "1"
            assert httpx.get(f"{base}/healthz", timeout=120).status_code == 200
            held.release.set()
            assert [future.result().status_code for future in inside] == [200] * 9
            wait_for(lambda: gate.taken == 0)


def ask_once(base: str, photo: bytes) -> httpx.Response:
    with httpx.Client(base_url=base, timeout=120) as real:
        response: httpx.Response = ask(real, photo)
    return response


def wait_for(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_place_is_free_again_after_a_failure() -> None:
    async def go() -> None:
        gate = Gate(1, 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await gate.run(lambda: 1 / 0)
            assert await gate.run(lambda: 7) == 7
        gate.close()

    asyncio.run(go())


def test_a_client_that_goes_away_leaves_no_trace(workspace: Workspace, photo: bytes) -> None:
    app = create_app(workspace)
    with served(app) as base:
        host, port = base.removeprefix("http://").split(":")
        arrivals = app.state.service.arrivals
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(
                b"POST /api/search HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
                b"Content-Type: multipart/form-data; boundary=y\r\n\r\n--y\r\n"
            )
            wait_for(lambda: len(arrivals._here) == 1)
        wait_for(lambda: not arrivals._here)
        assert ask_once(base, photo).status_code == 200


def test_a_slow_upload_is_given_up(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lensback.web.limits.UPLOAD_S", 0.2)

    app = create_app(workspace)

    def chunks() -> Iterator[bytes]:
        yield b"--y\r\n"
        while not given_up:
            time.sleep(0.01)
        yield b"\r\n"

    given_up: list[object] = []
    real_slow = limits.too_slow
    monkeypatch.setattr(limits, "too_slow", lambda: given_up.append(1) or real_slow())
    headers = {"Content-Type": "multipart/form-data; boundary=y"}
    with served(app) as base, httpx.Client(base_url=base, timeout=120) as real:
        response = real.post(API, content=chunks(), headers=headers)
        assert "took longer" in refused(response, 400, "TooSlow")["message"]


def test_large_uploads_over_a_real_connection(workspace: Workspace) -> None:
    """The answer arrives, not a reset connection."""
    with served(create_app(workspace)) as base, httpx.Client(base_url=base, timeout=120) as real:
        refused(ask(real, bytes(30_000_000)), 413, "TooLarge")

        def chunks() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
            yield from (bytes(1_000_000) for _ in range(30))

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        refused(real.post(API, content=chunks(), headers=headers), 413, "TooLarge")


# ---- the page


def test_the_page_works_without_scripts(client: TestClient, photo: bytes) -> None:
    home = client.get("/")
    assert home.headers["content-type"].startswith("text/html")
    assert 'enctype="multipart/form-data"' in home.text
    files = {"photo": ("a.jpg", photo)}
    page = client.post("/", files=files, data={"store": "lavka", "in_stock": "true"})
    assert page.status_code == 200
    assert 'class="card' in page.text
    assert '<option value="lavka" selected>lavka</option>' in page.text
    assert 'data-region="' in page.text
    everywhere = client.post("/", files=files).text
    assert "<script>alert" not in everywhere
    assert "&lt;script&gt;alert(1)" in everywhere


def test_the_page_needs_nothing_from_elsewhere(client: TestClient, photo: bytes) -> None:
    for page in (client.get("/"), client.post("/", files={"photo": photo}), client.get("/docs")):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "style=" not in page.text
        assert "<style" not in page.text
        assert 'src="http' not in page.text
        assert "onclick" not in page.text
    assert client.get("/static/app.js").status_code == 200


def test_failures_are_pages_for_people(client: TestClient, photo: bytes) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml"}
    gone = client.get("/go/" + "a" * 16, headers=browser)
    assert gone.status_code == 404
    assert "Back to the search" in gone.text
    bad = client.post("/", files={"photo": b"text"}, headers=browser)
    assert bad.status_code == 415
    assert 'id="answer"' in bad.text
    refused(client.get("/api/offers/x", headers=browser), 404, "NotFound")


def test_an_empty_workspace_has_a_friendly_page(tmp_path: Path, photo: bytes) -> None:
    init(tmp_path)
    with Workspace(tmp_path, Settings()) as empty, TestClient(create_app(empty)) as other:
        home = other.get("/")
        assert home.status_code == 200
        assert "lensback sync" in home.text
        refused(ask(other, photo), 503, "StateError")
        assert other.get("/api/stores").json() == {"stores": []}


def test_what_is_the_same_for_all_is_written_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [client.get(path).text for path in ("/openapi.json", "/docs")]
    monkeypatch.setattr(client.app, "openapi", lambda: pytest.fail("made anew for a caller"))
    assert [client.get(path).text for path in ("/openapi.json", "/docs")] == before


def test_docs_name_the_address_that_they_are_asked_by(
    client: TestClient, made: tuple[Path, bytes]
) -> None:
    """The example can be pasted; of an address that somebody made up nothing is kept for others."""
    line = "limit=3 {}/api/search"
    for host in ("127.0.0.1:4711", "find.example", *(f"h{n}.example" for n in range(40))):
        page = client.get("/docs", headers={"Host": host}).text
        assert line.format(f"http://{host}") in page
        assert page.count("/api/search</code></pre>") == 1
    assert line.format("http://testserver") in client.get("/docs").text
    assert len(client.app.state.kept) <= pages.MOST_KEPT + 1  # type: ignore[attr-defined]
    named = Settings(public_url="https://find.example/", public_hosts=("testserver",))
    with Workspace(made[0], named) as behind, TestClient(create_app(behind)) as proxied:
        assert line.format("https://find.example") in proxied.get("/docs").text


def test_docs_say_every_route(client: TestClient) -> None:
    spec = client.get("/openapi.json").json()
    page = client.get("/docs").text
    written = (Path(__file__).parents[1] / "docs" / "api.md").read_text("utf-8")
    assert {"/api/search", "/go/{offer_id}", "/readyz"} <= set(spec["paths"])
    for path, methods in spec["paths"].items():
        assert path in page
        assert path in written
        for operation in methods.values():
            assert operation["description"]
    assert "HTTPValidationError" not in json.dumps(spec)


# ---- the server


@pytest.mark.parametrize("workers", [1, 2])
def test_run_serves_and_stops(made: tuple[Path, bytes], workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = f"from pathlib import Path; from lensback.web import run; run(Path({str(made[0])!r}), '127.0.0.1', {port}, {workers})"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ})
    try:
        wait_for(lambda: alive(f"http://127.0.0.1:{port}/readyz"), 120)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=240)
        with client:
            found = ask(client, made[1])
            assert found.status_code == 200
            photo = f"http://127.0.0.1:{port}/answers/{found.json()['search_id']}/photo"
            mine = dict(client.cookies)
        # Each by a connection of its own: whichever worker takes it has the photo.
        assert [httpx.get(photo, cookies=mine, timeout=240).status_code for _ in range(8)] == [
            200
        ] * 8
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)
    finally:
        process.kill()
        process.wait()


def alive(url: str) -> bool:
    try:
        return httpx.get(url, timeout=120).status_code == 200
    except httpx.TransportError:
        return False


def test_run_says_what_is_wrong(made: tuple[Path, bytes], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError) as caught:
        run(made[0], "127.0.0.1", taken.getsockname()[1])
    assert "--port" in caught.value.hint
    with pytest.raises(ConfigError):
        run(made[0], "no.such.host.invalid", 8000)
    with pytest.raises(ConfigError):
        run(tmp_path / "nothing", "127.0.0.1", 0)
