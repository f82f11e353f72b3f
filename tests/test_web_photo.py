"""What becomes of a photo after its answer: remembered for minutes, asked again, explained, kept or not."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from garments import draw
from lensback.encoders import open_encoder
from lensback.errors import NotFound
from lensback.search import heat
from lensback.settings import Settings
from lensback.types import WHOLE
from lensback.web import assets, create_app, kept, service
from lensback.web.memory import Memory, photos_of_this_process
from lensback.web.why import painted
from lensback.workspace import Workspace
from published import THINGS, publish
from servers import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

API = "/api/search"
BOX = "0.2,0.2,0.8,0.8"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder, photo = publish(tmp_path_factory.mktemp("photo"))
    return folder, photo.read_bytes()


@pytest.fixture(scope="module")
def client(made: tuple[Path, bytes]) -> Iterator[TestClient]:
    with (
        Workspace(made[0], Settings(rate_limit=0)) as workspace,
        TestClient(create_app(workspace)) as opened,
    ):
        yield opened


def ask(client: Any, photo: bytes, **fields: str) -> Any:
    return client.post(API, files={"photo": ("photo.jpg", photo)}, data=fields)


def again(client: Any, search_id: str, **fields: str) -> Any:
    parts = {name: (None, value) for name, value in {"search_id": search_id, **fields}.items()}
    return client.post(API, files=parts)


def told(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(hit["product_id"], hit["similarity"]) for hit in answer["hits"]]


# ---- remembered


def test_memory_forgets_by_time_and_by_size() -> None:
    memory = Memory(photos_of_this_process(10, max_bytes=100))
    memory.keep("a", b"x" * 60, WHOLE, "me", "a")
    memory.keep("b", b"x" * 40, WHOLE, "me", "b")
    memory.keep("c", b"x", WHOLE, "me", "c")  # no room: the oldest goes
    with pytest.raises(NotFound) as caught:
        memory.get("a", "me")
    assert caught.value.hint == "send the photo again"
    assert memory.get("b", "me").photo
    memory.keep("huge", b"x" * 101, WHOLE, "me", "huge")
    with pytest.raises(NotFound):
        memory.get("huge", "me")
    assert memory.get("c", "me").photo == b"x"
    short = Memory(photos_of_this_process(0.1))
    short.keep("a", b"x", WHOLE, "me", "a")
    time.sleep(0.15)
    with pytest.raises(NotFound):
        short.get("a", "me")


@pytest.mark.parametrize("kind", ["HEIF", "TIFF", "JPEG"])
def test_what_browsers_cannot_draw_is_there_as_soon_as_its_answer(
    client: TestClient, made: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Decoded once: a photo of 12 megapixels takes longer to decode than all the rest of its answer. What they
    draw is not drawn for them beforehand."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    sink, plain = io.BytesIO(), Image.open(io.BytesIO(made[1])).resize((1600, 1200))
    plain.save(sink, kind)
    first = client.post(API, files={"photo": sink.getvalue()}).json()
    part = {"search_id": first["search_id"], "box": BOX}
    second = client.post(API, data=part, files={"none": b""}).json()
    stranger = {"Lensback-Browser": "s" * 43}

    async def never(*_: Any) -> bytes:
        raise NotFound("decoded again")

    monkeypatch.setattr(service.Service, "placed", never)
    for found in (first, second):
        mine = f"/answers/{found['search_id']}/photo"
        assert client.get(mine, headers=stranger).status_code == 404
        photo = client.get(mine)
        assert photo.status_code == (404 if kind == "JPEG" else 200)
        if kind != "JPEG":
            with Image.open(io.BytesIO(photo.content)) as shown:
                assert (shown.format, shown.size) == ("JPEG", (1024, 768))
                wanted = np.asarray(plain.resize((64, 48)), float)
                assert np.abs(np.asarray(shown.resize((64, 48)), float) - wanted).mean() < 8


def test_another_part_without_the_photo(client: TestClient, made: tuple[Path, bytes]) -> None:
    first = ask(client, made[1]).json()
    second = again(client, first["search_id"], box=BOX)
    assert second.status_code == 200
    assert second.json()["search_id"] != first["search_id"]
    assert second.json()["region"] == [0.2, 0.2, 0.8, 0.8]
    assert told(second.json()) == told(ask(client, made[1], box=BOX).json())
    third = again(client, second.json()["search_id"], store="lavka").json()
    assert {o["store"] for hit in third["hits"] for o in hit["offers"]} == {"lavka"}


def test_a_photo_goes_before_a_search(client: TestClient, made: tuple[Path, bytes]) -> None:
    assert ask(client, made[1], search_id="0" * 16).status_code == 200


def test_a_forgotten_photo_is_said(client: TestClient, made: tuple[Path, bytes]) -> None:
    response = again(client, "0" * 16)
    assert response.status_code == 404
    assert response.json()["error"]["hint"] == "send the photo again"
    assert response.json()["error"]["type"] == "NotFound"
    for language, words in (
        ("en", "photo is forgotten by now. Choose it again"),
        ("ru", "фото уже забыто. Выберите его"),
    ):
        reads = {"Accept": "text/html", "Accept-Language": language}
        page = client.post("/", files={"search_id": (None, "0" * 16)}, headers=reads)
        assert page.status_code == 404
        assert words in page.text, "what a page without a script says"
    with (
        Workspace(made[0], Settings(photo_memory_s=0)) as workspace,
        TestClient(create_app(workspace)) as other,
    ):
        assert again(other, ask(other, made[1]).json()["search_id"]).status_code == 404


def test_the_page_asks_again_without_a_script(client: TestClient, made: tuple[Path, bytes]) -> None:
    page = client.post("/", files={"photo": ("a.jpg", made[1])}).text
    search_id = page.split('name="search_id" id="search_id" value="')[1].split('"')[0]
    assert '<button type="submit" name="box"' in page
    form = {"search_id": search_id, "box": BOX, "store": "lavka", "photo_url": ""}
    parts: list[Any] = [(name, (None, value)) for name, value in form.items()]
    empty_file = ("photo", ("", b"", "application/octet-stream"))
    next_page = client.post("/", files=[*parts, empty_file])
    assert next_page.status_code == 200
    assert 'data-region="0.2,0.2,0.8,0.8"' in next_page.text


# ---- why


def test_heat_lies_where_the_thing_is() -> None:
    encoder = open_encoder("eye", Path("nowhere"))
    thing = draw(THINGS[0], side_px=200)
    vector = encoder.encode([thing])[0]
    scene = Image.new("RGB", (400, 200), (235, 235, 230))
    scene.paste(thing, (0, 0))
    found = heat(scene, vector, encoder)
    assert found.shape == (7, 7)
    assert found.max() == pytest.approx(1)
    assert found.min() >= 0
    assert found[:, :3].sum() > 3 * found[:, 4:].sum()


def test_heat_is_painted_in_its_place() -> None:
    found = np.ones((7, 7), np.float32)
    layer = np.asarray(painted(found, (0.5, 0.0, 1.0, 0.5), (1000, 500)))
    assert layer.shape == (128, 256, 4)
    assert layer[:64, 128:, 3].min() > 150
    assert layer[64:, :, 3].max() == layer[:, :128, 3].max() == 0


def test_why(client: TestClient, made: tuple[Path, bytes]) -> None:
    answer = ask(client, made[1]).json()
    address = answer["hits"][0]["image"].removeprefix("/images/")
    response = client.get(f"{API}/{answer['search_id']}/why/{address}")
    assert response.status_code == 200
    layer = Image.open(io.BytesIO(response.content))
    photo = Image.open(io.BytesIO(made[1]))
    assert layer.mode == "RGBA"
    assert layer.width / layer.height == pytest.approx(photo.width / photo.height, rel=0.02)
    assert np.asarray(layer)[..., 3].max() > 100
    for path in (f"{'0' * 16}/why/{address}", f"{answer['search_id']}/why/{'0' * 64}", "x/why/y"):
        assert client.get(f"{API}/{path}").status_code == 404


# ---- kept


def with_metadata(photo: bytes) -> bytes:
    image = Image.open(io.BytesIO(photo))
    exif = Image.Exif()
    exif[0x010F] = "PHONE-MAKER"
    exif.get_ifd(0x8825)[1] = "N"
    sink = io.BytesIO()
    image.save(sink, "JPEG", exif=exif, comment=b"at-home", icc_profile=b"profile-of-mine")
    return sink.getvalue()


def test_nothing_is_kept_unless_the_operator_says_so(made: tuple[Path, bytes]) -> None:
    assert not (made[0] / kept.FOLDER).exists()


def test_what_is_kept_has_no_metadata(made: tuple[Path, bytes]) -> None:
    photo = with_metadata(made[1])
    assert b"PHONE-MAKER" in photo
    settings = Settings(keep_photos_days=2)
    with Workspace(made[0], settings) as workspace, TestClient(create_app(workspace)) as client:
        search_id = ask(client, photo).json()["search_id"]
        again(client, search_id, box=BOX)  # the same photo is kept once
        assert "kept here for 2 days" in client.get("/").text
    (path,) = (made[0] / kept.FOLDER).iterdir()
    assert path.name == f"{search_id}.jpg"
    written = path.read_bytes()
    assert not [w for w in (b"PHONE-MAKER", b"at-home", b"profile-of", b"Exif") if w in written]
    assert Image.open(io.BytesIO(written)).size == Image.open(io.BytesIO(photo)).size
    path.with_name(f".{path.name}.12.tmp").write_bytes(written)  # a process was killed
    day = 86_400
    assert kept.sweep(made[0], 2, now=time.time() + day) == 0
    assert kept.sweep(made[0], 2, now=time.time() + 2 * day + 60) == 2
    assert not list((made[0] / kept.FOLDER).iterdir())


# ---- addresses, sizes


def test_the_description_has_examples_and_names_the_failures(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Answer"]["properties"]["search_id"]["examples"] == ["0b9c51f2a77d4e18"]
    said = schemas["Problem"]["properties"]["type"]["description"]
    assert {"BadImage", "Busy", "TooMany", "UnknownName"} <= set(re.findall(r"\w+", said))


def test_the_first_version_has_an_address(client: TestClient, made: tuple[Path, bytes]) -> None:
    assert client.get("/api/v1/stores").json() == client.get("/api/stores").json()
    assert client.post("/api/v1/search", files={"photo": made[1]}).status_code == 200
    assert client.get("/api/v2/stores").status_code == 404


def test_text_is_compressed_and_pictures_are_not(
    client: TestClient, made: tuple[Path, bytes]
) -> None:
    answer = ask(client, made[1])
    assert answer.headers["content-encoding"] == "gzip"
    assert client.get("/").headers["content-encoding"] == "gzip"
    image = client.get(answer.json()["hits"][0]["image"])
    assert "content-encoding" not in image.headers
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_static_files_are_kept_by_browsers(client: TestClient) -> None:
    page = client.get("/").text
    addresses = re.findall(r'"(/static/[^"]+\?v=\w+)"', page)
    assert {one.partition("?")[0] for one in addresses} >= {
        "/static/search-page.css",
        "/static/search-page.js",
    }
    for address in addresses:
        found = client.get(address)
        assert "immutable" in found.headers["cache-control"]
        assert client.get(address.partition("?")[0]).headers["cache-control"] == "no-cache"
        tag = {"If-None-Match": found.headers["etag"]}
        assert client.get(address, headers=tag).status_code == 304


def test_the_one_script_that_stands_in_a_page_is_allowed_by_its_hash(client: TestClient) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    (inline,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


def test_what_is_loaded_as_one_is_its_parts_in_order(client: TestClient) -> None:
    for name, parts in assets.JOINED.items():
        joined = client.get(f"/static/{name}").text
        at = [joined.index(client.get(f"/static/{part}").text) for part in parts]
        assert at == sorted(at)


# ---- the end


def test_a_stop_under_load_loses_no_request(made: tuple[Path, bytes]) -> None:
    """SIGTERM while eight clients ask: whatever was taken is answered whole."""
    port = free_port()
    command = [sys.executable, "-m", "lensback", "serve", "--port", str(port)]
    env = {**os.environ, "LENSBACK_WORKSPACE": str(made[0]), "LENSBACK_RATE_LIMIT": "0"}
    process = subprocess.Popen(command, env=env)
    outcome: Counter[str] = Counter()
    stopping = threading.Event()
    try:
        ready(port)
        threads = [
            threading.Thread(target=keep_asking, args=(port, made[1], outcome, stopping))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 240
        while outcome["answered"] <= 8 and time.monotonic() < end:
            time.sleep(0.05)
        stopping.set()
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(240)
        assert process.wait(240) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait()
    assert outcome["answered"] > 8
    assert outcome["cut off"] == 0, outcome


def ready(port: int) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=120).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError


def keep_asking(port: int, photo: bytes, outcome: Counter[str], stopping: threading.Event) -> None:
    """One connection a request: a kept-alive one may be closed by either side between two."""
    while True:
        late = stopping.is_set()
        with socket.socket() as raw:
            raw.settimeout(240)
            try:
                raw.connect(("127.0.0.1", port))
            except ConnectionRefusedError:
                return
            status, whole = exchange(raw, photo)
        if not status and late:
            return  # connected after the end, before the port was closed: never taken
        outcome["answered" if status in {200, 503} and whole else "cut off"] += 1


def exchange(raw: socket.socket, photo: bytes) -> tuple[int, bool]:
    """Status and whether the whole body came; 0 where nothing did."""
    head = b'--y\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    body = head + photo + b"\r\n--y--\r\n"
    start = (
        f"POST {API} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=y\r\n\r\n"
    )
    received = b""
    try:
        raw.sendall(start.encode() + body)
        while chunk := raw.recv(65_536):
            received += chunk
    except OSError:
        pass
    if not received:
        return 0, False
    headers, _, content = received.partition(b"\r\n\r\n")
    length = int(headers.lower().split(b"content-length:")[1].split()[0])
    return int(received.split()[1]), len(content) == length


def test_the_catalogue_is_counted_once_for_all_who_ask(
    made: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each publish, by one; the others have what was there before, and the very first wait."""
    counting: Queue[int] = Queue()
    go_on, real = threading.Event(), service.palette_of

    def palette_of(db: Any) -> Any:
        counting.put(1)
        assert go_on.wait(240)
        return real(db)

    monkeypatch.setattr(service, "palette_of", palette_of)
    with Workspace(made[0], Settings()) as workspace, ThreadPoolExecutor(4) as pool:
        index = SimpleNamespace(snapshot=workspace.index.snapshot)
        over: Any = SimpleNamespace(db=workspace.db, index=index)
        opened = replace(service.Service.over(workspace), workspace=over)
        first = [pool.submit(opened.front) for _ in range(3)]
        counting.get(timeout=240)
        go_on.set()
        fronts = [one.result(240) for one in first]
        assert counting.empty()
        assert fronts[0].stores
        assert fronts[0] == fronts[1] == fronts[2]
        go_on.clear()
        index.snapshot = SimpleNamespace(id="another")
        slow = pool.submit(opened.front)
        counting.get(timeout=240)
        assert pool.submit(opened.front).result(240) == fronts[0], "nobody else waits"
        assert not slow.done()
        go_on.set()
        assert slow.result(240) == opened.front()
        assert counting.empty()
