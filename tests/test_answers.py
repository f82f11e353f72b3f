"""An answer at its address: what comes back, for whom, and when its photo is gone."""

from __future__ import annotations

import html
import io
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from PIL import Image
from sqlalchemy import text

from lensback import grants, verdicts, wire
from lensback.catalogue import stores
from lensback.ledger.shown import shown
from lensback.settings import Settings
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder, photo = publish(tmp_path_factory.mktemp("answers"))
    return folder, photo.read_bytes()


@pytest.fixture(scope="module")
def workspace(made: tuple[Path, bytes]) -> Iterator[Workspace]:
    with Workspace(made[0], Settings(rate_limit=0)) as opened:
        yield opened


@pytest.fixture
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace), follow_redirects=False) as opened:
        yield opened


def search(client: TestClient, photo: bytes, **fields: str) -> wire.Answer:
    sent = client.post("/api/search", files={"photo": ("p.jpg", photo)}, data=fields)
    assert sent.status_code == 200, sent.text
    return wire.Answer.model_validate_json(sent.text)


def cards(page: str) -> list[str]:
    return re.findall(r'data-product="(\w+)"', page)


def test_the_browser_that_searched_gets_all_of_it_back(
    client: TestClient, made: tuple[Path, bytes]
) -> None:
    found = search(client, made[1], store="lavka", order="price", box="0.1,0.1,0.9,0.9")
    page = client.get(f"/answers/{found.search_id}").text
    assert set(cards(page)) == {hit.product_id for hit in found.hits}
    assert 'data-box="0.1,0.1,0.9,0.9"' in page
    assert re.search(r'<option value="lavka" selected>lavka', page)
    assert re.search(r'value="price" selected', page)
    assert f'value="{found.search_id}"' in page
    photo = client.get(f"/answers/{found.search_id}/photo")
    assert photo.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(photo.content)).format == "JPEG"


def test_a_stranger_sees_the_products_and_never_the_photo(
    client: TestClient, made: tuple[Path, bytes]
) -> None:
    found = search(client, made[1], store="lavka")
    client.cookies.clear()
    page = client.get(f"/answers/{found.search_id}").text
    assert set(cards(page)) == {hit.product_id for hit in found.hits}
    assert "lavka" in page
    assert "harbour" not in page
    assert f"/answers/{found.search_id}/photo" not in page
    assert "The photo is not here" in page
    assert client.get(f"/answers/{found.search_id}/photo").status_code == 404


def test_a_store_is_called_by_its_title_wherever_a_shopper_reads_of_it(
    workspace: Workspace, client: TestClient, made: tuple[Path, bytes]
) -> None:
    stores.add(workspace.db, "lavka", title="Лавка & Co")
    try:
        found = search(client, made[1], store="lavka")
        frame = {"user-agent": "Mozilla/5.0 Firefox/140.0", "sec-fetch-mode": "navigate"}
        frame["sec-fetch-dest"] = "iframe"
        client.cookies.clear()
        pages = {
            "a shared answer": client.get(f"/answers/{found.search_id}").text,
            "a thing": client.get(f"/products/{found.hits[0].product_id}").text,
            "the way on": client.get(found.hits[0].offers[0].link, headers=frame).text,
            "the first page": client.get("/").text,
        }
        for name, page in pages.items():
            read = re.sub(r"<[^>]*>", " ", page)
            assert "Лавка &amp; Co" in read, name
            assert not re.search(r"\blavka\b", read), name
    finally:
        stores.add(workspace.db, "lavka", title="")


@pytest.mark.parametrize(
    ("public", "host", "wanted"),
    [
        ("https://find.example/", "find.example", "https://find.example"),
        ("https://find.example", "find.example:666", "https://find.example"),
        ("https://find.example", "inner.example", "https://find.example"),
        ("", "other.example", "http://other.example"),
    ],
)
def test_a_shared_answer_names_the_address_that_the_operator_says(
    made: tuple[Path, bytes], public: str, host: str, wanted: str
) -> None:
    settings = Settings(rate_limit=0, public_url=public, public_hosts=("inner.example",))
    with (
        Workspace(made[0], settings) as workspace,
        TestClient(create_app(workspace), headers={"host": host}) as client,
    ):
        found = search(client, made[1])
        client.cookies.clear()
        page = client.get(f"/answers/{found.search_id}").text
        picture = re.search(r'og:image" content="([^"]*)"', page)
        assert picture
        assert picture[1] == wanted + found.hits[0].image
        assert f"src=&#34;{wanted}/static" in (shown := client.get("/widget").text) or (
            f'src="{wanted}/static' in shown
        )


def test_another_language_is_the_same_page(client: TestClient, made: tuple[Path, bytes]) -> None:
    """Whatever the address says: the search that a thing came from, an order."""
    found = search(client, made[1])
    product = found.hits[0].product_id

    def link(page: str) -> str:
        wanted = re.search(r'href="([^"]*)"[^>]*data-language="ru"', page)
        assert wanted, page[:500]
        return html.unescape(wanted[1])

    for path in (
        f"/products/{product}?search={found.search_id}",
        f"/answers/{found.search_id}?order=price",
        "/?lang=en",
        "/saved",
    ):
        page = client.get(path).text
        other = client.get(urljoin(path, link(page))).text
        assert '<html lang="ru"' in other
        for mark in (r'class="likelihood"', r'value="price" selected', r'data-product="\w+"'):
            assert len(re.findall(mark, page)) == len(re.findall(mark, other)), (path, mark)
        client.cookies.delete("language")
    sent = client.post("/", files={"photo": ("p.jpg", made[1])}, headers={"accept": "text/html"})
    other = client.get(urljoin("/", link(sent.text))).text
    assert cards(other) == cards(sent.text) != [], "what a form brought is at its own address"
    assert '<html lang="ru"' in other
    client.cookies.delete("language")
    client.get("/docs?evil=1")
    assert "evil" not in client.get("/docs").text, "what is kept for all holds nothing of one"


@pytest.mark.parametrize("wrong", ["nonsense", "0" * 15, "0" * 17, "G" * 16, "../etc"])
def test_what_is_no_address_of_an_answer(client: TestClient, wrong: str) -> None:
    for end in ("", "/photo"):
        assert client.get(f"/answers/{wrong}{end}").status_code == 404


def test_groups_likelihoods_and_marks_are_those_of_the_answer(
    client: TestClient, made: tuple[Path, bytes]
) -> None:
    sent = client.post("/", files={"photo": ("p.jpg", made[1])}, headers={"accept": "text/html"})
    search_id = re.search(r'data-search="(\w+)"', sent.text)
    assert search_id
    own = client.get(f"/answers/{search_id[1]}").text
    client.cookies.clear()
    other = client.get(f"/answers/{search_id[1]}").text
    for of in (
        r'class="likelihood[^>]*>([^<]*)',
        r'data-product="(\w+)"',
        r'class="card( exact)?"',
    ):
        assert re.findall(of, sent.text)
        assert re.findall(of, own) == re.findall(of, other) == re.findall(of, sent.text)


def test_the_photo_is_gone_with_its_time_and_the_hits_stay(made: tuple[Path, bytes]) -> None:
    with (
        Workspace(made[0], Settings(rate_limit=0, photo_memory_s=600)) as workspace,
        TestClient(app := create_app(workspace)) as client,
    ):
        now, photos = [0.0], app.state.service.memory._photos
        photos._clock = lambda: now[0]
        found = search(client, made[1])
        now[0] = 599
        assert client.get(f"/answers/{found.search_id}/photo").status_code == 200
        now[0] = 601
        assert client.get(f"/answers/{found.search_id}/photo").status_code == 404
        page = client.get(f"/answers/{found.search_id}").text
        assert set(cards(page)) == {hit.product_id for hit in found.hits}
        assert "The photo is not here" in page


def test_after_a_restart_the_database_tells_it(made: tuple[Path, bytes]) -> None:
    with Workspace(made[0], Settings(rate_limit=0)) as workspace:
        with TestClient(create_app(workspace)) as client:
            found = search(client, made[1], box="0.1,0.1,0.9,0.9", in_stock="true")
        said = shown(workspace.db, found.search_id)
        assert said.box == (0.1, 0.1, 0.9, 0.9)
        assert said.filters["in_stock"] is True
        assert [hit.exact for hit in said.hits] == [hit.exact for hit in found.hits]
        assert [r.label for r in said.regions] == [r.label for r in found.regions]
        with TestClient(create_app(workspace)) as client:
            page = client.get(f"/answers/{found.search_id}").text
        assert set(cards(page)) == {hit.product_id for hit in found.hits}
        assert "Only what is in stock" in page


def test_a_record_of_an_older_program_is_still_an_answer(
    workspace: Workspace, client: TestClient, made: tuple[Path, bytes]
) -> None:
    found = search(client, made[1])
    workspace.drain()
    old: Any = f'[["{found.hits[0].product_id}", [], 1, 0.5]]'
    with workspace.db.write() as c:
        c.execute(
            text(
                "UPDATE searches SET search_id = :new, hits = :hits, photo = '{}' WHERE search_id = :id"
            ),
            {"new": "0" * 16, "hits": old, "id": found.search_id},
        )
    page = client.get(f"/answers/{'0' * 16}")
    assert page.status_code == 200
    assert cards(page.text) == [found.hits[0].product_id]


def test_what_is_sold_no_more_is_said(
    workspace: Workspace, client: TestClient, made: tuple[Path, bytes]
) -> None:
    found = search(client, made[1], store="harbour")
    client.cookies.clear()
    with workspace.db.write() as c:
        c.execute(text("UPDATE offers SET active = false"))
    try:
        page = client.get(f"/answers/{found.search_id}").text
    finally:
        with workspace.db.write() as c:
            c.execute(text("UPDATE offers SET active = true"))
    assert cards(page) == []
    assert "not sold any more" in page


# ---- the page of a product


def test_the_page_of_a_product(
    workspace: Workspace, client: TestClient, made: tuple[Path, bytes]
) -> None:
    found = search(client, made[1])
    hit = found.hits[0]
    told = client.get(f"/api/products/{hit.product_id}").json()
    page = client.get(f"/products/{hit.product_id}?search={found.search_id}").text
    assert f'<h1 dir="auto">{told["title"]}</h1>' in page
    for image in told["images"]:
        assert f'src="{image}"' in page
    for offer in told["offers"]:
        assert offer["link"] in page, "every size of every store can be reached"
    assert f"/answers/{found.search_id}" in page
    assert verdicts.likelihood(hit.probability) in page
    plain = client.get(f"/products/{hit.product_id}").text
    assert "Back to the answer" not in plain
    assert "Price over time" not in plain, "a price that never changed is no chart"
    like = re.findall(r'<article class="card[^"]*" data-product="(\w+)"', plain)
    assert like
    assert hit.product_id not in like


def test_the_price_over_time_is_drawn(
    workspace: Workspace, client: TestClient, made: tuple[Path, bytes]
) -> None:
    product_id = search(client, made[1]).hits[0].product_id
    with workspace.db.write() as c:
        c.execute(
            text(
                "INSERT INTO prices (offer_id, at, price_minor, currency) SELECT id, 1700000000, "
                "price_minor * 3, currency FROM offers WHERE product_id = :id"
            ),
            {"id": product_id},
        )
    page = client.get(f"/products/{product_id}", headers={"accept-language": "en"}).text
    drawn = re.search(r'<path d="M12\.0 12\.0H628\.0V168\.0"', page)
    assert drawn, "from the upper left to the lower right"
    assert "Nov 14, 2023" in page
    assert page.count("<tr>") >= 3


@pytest.mark.parametrize("wrong", ["nonsense", "p" + "a" * 16, "p" + "A" * 16, "p" * 18])
def test_no_such_product(client: TestClient, wrong: str) -> None:
    assert client.get(f"/products/{wrong}").status_code == 404
    assert client.get("/saved").status_code == 200


# ---- a member's click from a page of the host service


def test_a_member_clicks_by_a_form_of_a_known_page_only(made: tuple[Path, bytes]) -> None:
    shop = "https://shop.example"
    with (
        Workspace(made[0], Settings(rate_limit=0, cors_origins=(shop,))) as workspace,
        TestClient(create_app(workspace), follow_redirects=False) as client,
    ):
        offer = search(client, made[1]).hits[0].offers[0]
        member = grants.give_pass(workspace.db, workspace.path, "member-1234", int(time.time()))
        person = {"user-agent": "Mozilla/5.0 Firefox/140.0", "sec-fetch-mode": "navigate"}

        def clicks(origin: str, given: str, dest: str = "document") -> list[str]:
            with workspace.db.write() as c:
                c.execute(text("DELETE FROM clicks"))
            sent = client.post(
                offer.link,
                data={"user": given},
                headers={**person, "origin": origin, "sec-fetch-dest": dest},
            )
            good = origin == shop and dest == "document"
            assert sent.status_code == (303 if good else 200), sent.text
            workspace.drain()
            with workspace.db.read() as c:
                return list(c.scalars(text("SELECT user_token FROM clicks")))

        assert clicks(shop, member) == ["member-1234"]
        assert clicks(shop, "nonsense") == [""]
        for stranger in ("https://evil.example", "null", "", "*", f"{shop}.evil.example"):
            assert clicks(stranger, member) == []
        for target in ("iframe", "empty", "object"):
            assert clicks(shop, member, target) == [], "a frame or a script of it is no person"
