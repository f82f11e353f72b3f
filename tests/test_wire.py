"""The JSON that is promised, byte for byte: from a real search over a real catalogue of ten rows.

`golden/*.json` holds the bodies as they were when the promise was made; what differs from run to run
(ids of searches, timings, the snapshot's name) is replaced by a word first.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import tiny
from lensback.catalogue import stores
from lensback.publish import publish
from lensback.settings import Settings
from lensback.types import Money
from lensback.web import create_app
from lensback.workspace import Workspace, init
from tiny import Row

with warnings.catch_warnings():  # it wants another name of httpx
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

GOLDEN = Path(__file__).parent / "golden"


def drawn(colour: str, stripe: str) -> Image.Image:
    """A thing before a light ground: what an encoder without a model tells apart."""
    picture = Image.new("RGB", (120, 160), "#f4f4f2")
    picture.paste(Image.new("RGB", (64, 96), colour), (28, 32))
    picture.paste(Image.new("RGB", (64, 16), stripe), (28, 72))
    return picture


PICTURES = {
    "red": drawn("#b02030", "#ffffff"),
    "redback": drawn("#b02030", "#f0e0d0"),
    "rose": drawn("#c04858", "#fff0f0"),
    "blue": drawn("#2038a0", "#e8e8ff"),
    "green": drawn("#207838", "#206030"),
}
SHIRT = {"title": "Checked shirt", "brand": "Juniper & Co", "color": "red", "category": "Men > Shirts"}  # fmt: skip
ROWS = [
    Row("outlet", "s1", "shirt", ("red", "redback"), Money(345600, "RUB"), {**SHIRT, "size": "M", "old_price": Money(399000, "RUB")}),
    Row("outlet", "s2", "shirt", ("red",), Money(345600, "RUB"), {**SHIRT, "size": "L", "availability": "out_of_stock"}),
    Row("lavka", "р1", "shirt", ("red",), Money(330050, "RUB"), {**SHIRT, "title": "Рубашка «Клетка»", "brand": "", "size": "48", "disclosure": "Реклама. ООО «Лавка», erid: 2VtzqwABCDEF"}),
    Row("tokyo", "t1", "shirt", ("redback",), Money(5200, "JPY"), {**SHIRT, "size": "M", "availability": "preorder"}),
    Row("tokyo", "t2", "rose", ("rose",), Money(4800, "JPY"), {"title": 'A "rose" <b>', "category": "Women > Tops"}),
    Row("gulf", "g1", "blue", ("blue",), Money(12345, "KWD"), {"title": "Blue", "category": "Shoes > Boots", "url": "https://elsewhere.example/g1"}),
    Row("gulf", "g2", "blue", ("blue",), Money(999, "KWD"), {"title": "Blue", "size": "39"}),
    Row("outlet", "s3", "green", ("green",), Money(5, "RUB"), {"title": "Green", "description": "Leaf", "availability": "backorder"}),
]  # fmt: skip
LINK = {"template": "https://network.example/click?to={url}&subid={subid}"}
PROGRAMS: dict[str, dict[str, Any]] = {
    "outlet": {"network": "generic", "domains": ["outlet.example"], "share": 0.5, "link": LINK, "rates": [{"percent": 10}]},
    "lavka": {"network": "generic", "domains": ["lavka.example"], "share": 0.6, "link": LINK, "rates": [{"customer": "new", "percent": 12}, {"percent": 5.5}]},
    "gulf": {"network": "generic", "domains": ["gulf.example"], "share": 1, "link": LINK, "rates": [{"percent": 3}]},
}  # fmt: skip
"""Certain, up to, and one whose first offer lies outside of its domain: nothing is promised for it."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("wire")
    init(folder)
    settings = Settings(encoder="pixels", index="exact", detector="whole", currency="RUB")
    with Workspace(folder, settings) as workspace:
        encoder = workspace.encoder()
        tiny.write(workspace.db, ROWS, encoder.fingerprint, PROGRAMS)
        tiny.link(workspace.db, ROWS[0], ROWS[2], "image", 0.91)
        hashes = [tiny.hash_of(name) for name in PICTURES]
        workspace.vectors.append(encoder.fingerprint, hashes, encoder.encode([*PICTURES.values()]))
        index = workspace.staging(encoder)
        which = {"fingerprint": encoder.fingerprint, "encoder": "pixels"}
        publish(workspace.db, workspace.vectors, index, **which)
        with TestClient(create_app(workspace)) as opened:
            yield opened


def ask(client: TestClient, name: str = "red", **fields: Any) -> str:
    files = {"photo": ("p.png", tiny.png(PICTURES[name]))}
    response = client.post("/api/search", files=files, data=fields)
    assert response.status_code == 200, response.text
    return response.text


def settled(body: str) -> str:
    """Without what differs from run to run."""
    body = re.sub(r'"search_id":"[0-9a-f]{16}"', '"search_id":"SEARCH"', body)
    body = re.sub(r"\?search=[0-9a-f]{16}", "?search=SEARCH", body)
    body = re.sub(r'"timings_ms":\{("\w+":)[^}]*\}', _times, body)
    body = re.sub(r'"at":"[^"]*"', '"at":"TIME"', body)
    return re.sub(r'"snapshot":"[^"]*"', '"snapshot":"SNAPSHOT"', body)


def _times(found: re.Match[str]) -> str:
    return re.sub(r"(:)[0-9.e-]+", r"\1MS", found[0])


def bodies(client: TestClient) -> dict[str, str]:
    answer = ask(client)
    shirt = tiny.product_of("shirt")
    batch = [("photo", ("p.png", tiny.png(PICTURES["blue"]))), ("photo", ("p.png", b"no picture"))]
    return {
        "answer": answer,
        "answer_filtered": ask(client, "rose", store="tokyo", in_stock="true", box="0.1,0.1,0.95,0.9"),
        "answer_none": ask(client, "green", price_max="0.01", currency="RUB"),
        "product": client.get(f"/api/products/{shirt}").text,
        "offer": client.get(f"/api/offers/{ROWS[0].offer_id}").text,
        "offer_plain": client.get(f"/api/offers/{ROWS[5].offer_id}").text,
        "similar": client.get(f"/api/offers/{ROWS[0].offer_id}/similar?limit=2").text,
        "batch": client.post("/api/search/batch", files=batch, data={"limit": "1"}).text,
        "failure": client.get("/api/offers/nothing").text,
    }  # fmt: skip


def test_bodies_are_what_they_were(client: TestClient) -> None:
    for name, body in bodies(client).items():
        kept = (GOLDEN / f"{name}.json").read_text("utf-8")
        assert settled(body) + "\n" == kept, name
        assert json.loads(body), name


def test_titles_are_those_that_the_reader_understands(client: TestClient) -> None:
    shirt = tiny.product_of("shirt")
    for language, title in (("ru", "Рубашка «Клетка»"), ("en-GB", "Checked shirt")):
        said = {"Accept-Language": language}
        files = {"photo": ("p.png", tiny.png(PICTURES["red"]))}
        answer = client.post("/api/search", files=files, headers=said).json()
        assert (answer["hits"][0]["title"], answer["hits"][0]["category"]) == (
            title,
            "Men > Shirts",
        )
        product = client.get(f"/api/products/{shirt}", headers=said)
        assert (product.json()["title"], product.json()["category"]) == (title, "Men > Shirts")
        assert "Accept-Language" in product.headers["vary"]
        page = client.post("/", files=files, headers=said).text
        assert f">{title}</h3>" in page


def test_a_store_is_called_by_its_title_wherever_people_read_it(client: TestClient) -> None:
    db = client.app.state.service.workspace.db  # type: ignore[attr-defined]
    old = "https://lavka.example/feed.xml"
    try:
        stores.add(db, "lavka", old, title="Лавка & сыновья")
        lavka = ROWS[2].offer_id
        answer = json.loads(ask(client))
        told = [(o["store"], o["store_title"]) for o in answer["hits"][0]["offers"]]
        assert ("lavka", "Лавка & сыновья") in told
        assert ("outlet", "outlet") in told
        offer = client.get(f"/api/offers/{lavka}").json()
        assert (offer["store"], offer["store_title"]) == ("lavka", "Лавка & сыновья")
        files = {"photo": ("p.png", tiny.png(PICTURES["red"]))}
        page = client.post("/", files=files, data={"store": "lavka"}).text
        assert '<option value="lavka" selected>Лавка &amp; сыновья</option>' in page
        assert "Лавка &amp; сыновья: " in page
        client.app.state.service._overviews.clear()  # type: ignore[attr-defined]
        known = {s["name"]: s["title"] for s in client.get("/api/stores").json()["stores"]}
        assert (known["lavka"], known["outlet"]) == ("Лавка & сыновья", "outlet")
    finally:
        stores.add(db, "lavka", old)
