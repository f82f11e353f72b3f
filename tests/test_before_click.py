"""What a shopper is told before the click and after it: page, product sheet, shared answer, and `/go`."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from lensback import grants
from lensback.catalogue import named, offers, stores
from lensback.programs.facts import SIGN_IN, STEPS
from lensback.settings import Settings
from lensback.tokens import digest
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

USER, HOST_KEY = "user-4711", "k" * 40
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "Accept": "text/html",
    "Accept-Language": "en",
}
RATES = [{"percent": "10", "category": ["Shoes"]}, {"percent": "4", "customer": "new"}]
NOTES = {"en": ["No <gift> cards."], "ru": ["Кроме подарочных карт."]}


def terms(host: str, **changes: object) -> dict[str, object]:
    return {
        "network": "generic", "domains": [host], "share": "0.5", "currency": "RUB", "hold_days": 30,
        "claim_days": 20, "rates": RATES, "notes": NOTES,
        "link": {"template": "https://track.example/c?s={subid}&to={url}"}, **changes,
    }  # fmt: skip


def give(workspace: Workspace, **changes: object) -> None:
    """`harbour` pays by these terms, `lavka` has no program."""
    page = offers.pages(workspace.db, "harbour", 1)[0]
    host = re.match(r"https?://([^/]+)", page)
    assert host
    feed = next(s for s in stores.overview(workspace.db, only="harbour"))
    stores.add(workspace.db, "harbour", feed.feed_url, program=terms(host[1], **changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder, photo = publish(tmp_path_factory.mktemp("before"))
    return folder, photo.read_bytes()


@pytest.fixture(scope="module")
def workspace(made: tuple[Path, bytes]) -> Iterator[Workspace]:
    settings = Settings(
        host_key_hash=digest(HOST_KEY), rate_limit=0, sign_in_url="https://host.example/in"
    )
    with Workspace(made[0], settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace), follow_redirects=False, headers=BROWSER) as opened:
        yield opened


def signed_in(client: TestClient, workspace: Workspace) -> None:
    good = grants.give_pass(workspace.db, workspace.path, USER, int(time.time()))
    client.cookies.set("lensback_user", good)


def sheet(page: str, store: str) -> str:
    """What the store's terms say."""
    found = re.search(rf'<div class="terms" id="terms-{store}" popover(.*?)</div>', page, re.DOTALL)
    return found[1] if found else ""


def test_every_page_with_prices_tells_rate_conditions_dates_and_steps(
    client: TestClient, workspace: Workspace, made: tuple[Path, bytes]
) -> None:
    give(workspace)
    client.cookies.clear()
    answer = client.post("/", files={"photo": ("p.jpg", made[1])})
    row = next(named.every(workspace.db, "harbour"))
    shared = re.search(r'data-search="([0-9a-f]{16})"', answer.text)
    assert shared
    client.cookies.clear()
    pages = {
        "answer": answer.text,
        "shared": client.get(f"/answers/{shared[1]}").text,
        "product": client.get(f"/products/{row.product_id}").text,
        "similar": client.get(f"/similar/{row.offer_id}").text,
    }
    for name, page in pages.items():
        told = sheet(page, "harbour")
        for words in (
            "up to 5\xa0%", "How much it will be depends", "5\xa0%, in Shoes", "2\xa0%, for new customers",
            "Confirmed by the store in about 30 days.", "Paid out after that",
            "claim it within 20 days", "No &lt;gift&gt; cards.", SIGN_IN, *STEPS,
        ):  # fmt: skip
            assert words in told, (name, words)
        assert 'href="https://host.example/in"' in told, name
        assert sheet(page, "lavka") == "", name
        assert re.search(
            r'<button type="button" class="earn-of" popovertarget="terms-harbour">', page
        ), name
        assert page.count('<p class="sign-in">') == 2, (name, "once on the page, once in the sheet")
    assert "This store pays no cashback through us." in pages["product"]
    assert "Кроме подарочных карт." in sheet(
        client.get(f"/products/{row.product_id}", headers={"Accept-Language": "ru"}).text, "harbour"
    )


def test_who_is_signed_in_is_not_told_to(client: TestClient, workspace: Workspace) -> None:
    give(workspace)
    row = next(named.every(workspace.db, "harbour"))
    signed_in(client, workspace)
    page = client.get(f"/products/{row.product_id}").text
    client.cookies.clear()
    assert SIGN_IN not in page
    assert STEPS[0] in sheet(page, "harbour")


@pytest.mark.parametrize("changes", [{"paused": True}, {"rates": []}, {"share": "0"}], ids=str)
def test_a_store_that_pays_nothing_opens_no_sheet_and_says_why(
    client: TestClient, workspace: Workspace, changes: dict[str, object]
) -> None:
    give(workspace, **changes)
    row = next(named.every(workspace.db, "harbour"))
    page = client.get(f"/products/{row.product_id}").text
    assert sheet(page, "harbour") == ""
    assert "popovertarget" not in page
    assert "sign-in" not in page
    assert "pays no cashback" in page or "No rate of this store" in page


@pytest.mark.parametrize("seconds", [0.0, 1.5])
@pytest.mark.parametrize("who", ["member", "nobody", "host", "unpaid"])
def test_after_the_click_a_page_says_so_where_it_is_true_and_wanted(
    made: tuple[Path, bytes], who: str, seconds: float
) -> None:
    settings = Settings(host_key_hash=digest(HOST_KEY), rate_limit=0, activated_s=seconds)
    with Workspace(made[0], settings) as opened:
        give(opened, paused=who == "unpaid")
        offer_id = next(named.every(opened.db, "harbour")).offer_id
        with TestClient(create_app(opened), follow_redirects=False, headers=BROWSER) as client:
            host = {"Authorization": f"Bearer {HOST_KEY}", "X-User-Token": USER}
            if who in {"member", "unpaid"}:
                signed_in(client, opened)
            reply = client.get(f"/go/{offer_id}", headers=host if who == "host" else {})
    if who != "member" or not seconds:
        assert reply.status_code == 302
        assert "refresh" not in reply.headers
        return
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    wait, _, address = reply.headers["refresh"].partition(";url=")
    assert wait == "1.5"
    assert address.startswith("https://track.example/c?s=")
    assert "Cashback activated" in reply.text
    assert address.replace("&", "&amp;") in reply.text, "a way on for who does not want to wait"
    assert "<script" not in reply.text
