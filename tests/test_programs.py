"""What a shopper is told of a program before the click; paused programs and the second choice."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import tiny
from lensback import grants, terms
from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.programs import facts
from lensback.settings import Settings
from lensback.speech import Speech
from lensback.tokens import digest
from lensback.types import Money
from lensback.web import create_app
from lensback.wire import DEPENDS_ON
from lensback.workspace import Workspace, init
from tiny import Row

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

AT = int(time.time())
PRICE = Money(100_000, "RUB")
HOST_KEY = "k" * 40
USER = "user-4711"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
LINK = {"template": "https://{net}.example/click?to={{url}}&subid={{subid}}"}


def program(net: str = "first", **more: Any) -> dict[str, Any]:
    link = {"template": LINK["template"].format(net=net)}
    made = {"network": "generic", "domains": ["outlet.example"], "share": "0.5", "currency": "RUB"}
    return {**made, "link": link, "rates": [{"percent": "10"}], **more}


def said(**more: Any) -> terms.Estimate:
    brand = more.pop("brand", "")
    category = more.pop("category", "Women > Shoes")
    price = more.pop("price", PRICE)
    return terms.estimate(terms.parse(program(**more)), price, category, AT, None, brand)


# ---- estimates: brands, other conditions, dearer orders, pauses


@pytest.mark.parametrize(
    ("rates", "brand", "cashback", "up_to", "depends_on"),
    [
        ([{"percent": 8, "brand": ["Nike"]}, {"percent": 2}], "Nike", "40.00", False, ()),
        ([{"percent": 8, "brand": ["Nike"]}, {"percent": 2}], "NIKE, Inc.", "40.00", False, ()),
        ([{"percent": 8, "brand": ["nike"]}, {"percent": 2}], "Nike Kids", "40.00", False, ()),
        ([{"percent": 8, "brand": ["Nike"]}, {"percent": 2}], "Nikeland", "10.00", False, ()),
        ([{"percent": 8, "brand": ["Nike"]}, {"percent": 2}], "Puma", "10.00", False, ()),
        ([{"percent": 8, "brand": ["A", "B"]}, {"percent": 2}], "b", "40.00", False, ()),
        ([{"percent": 8, "brand": ["Nike"]}, {"percent": 2}], "", "40.00", True, ("brand",)),
        ([{"percent": 0, "brand": ["Nike"]}, {"percent": 2}], "Nike", "0.00", False, ()),
        ([{"percent": 8, "when": "new buyer"}, {"percent": 2}], "", "40.00", True, ("condition",)),
        ([{"percent": 8, "when": "a"}, {"percent": 9, "when": "b"}], "", "45.00", True, ("condition",)),
        ([{"percent": 8, "customer": "new"}, {"percent": 2}], "", "40.00", True, ("customer",)),
        ([{"percent": 8, "region": "RU"}], "", "40.00", True, ("region",)),
        ([{"percent": 8, "voucher": False}], "", "40.00", True, ("voucher",)),
        ([{"percent": 8, "category": ["Bags"]}, {"percent": 2}], "", "10.00", True, ("category",)),
        ([{"percent": 8, "from_price": 1000}, {"percent": 2}], "", "40.00", False, ()),
        ([{"percent": 8, "from_price": "1000.01"}, {"percent": 2}], "", "10.00", False, ()),
        ([{"fixed": 50, "currency": "USD"}, {"percent": 2}], "", "0.00", False, ()),
    ],
)  # fmt: skip
def test_what_an_estimate_depends_on(
    rates: list[dict[str, Any]], brand: str, cashback: str, up_to: bool, depends_on: tuple[str, ...]
) -> None:
    found = said(rates=rates, brand=brand)
    shown = (str(found.cashback), found.up_to, found.depends_on)
    if rates[0].get("fixed"):  # cannot be compared: nothing is promised
        assert found.cashback.minor == 0
        assert found.depends_on == ("exchange",)
    else:
        assert shown == (f"{cashback} RUB", up_to, depends_on)


def test_a_dearer_order_is_held_against_the_price_without_tax() -> None:
    rates = [{"percent": 10, "from_price": 1000}, {"percent": 1}]
    assert str(said(rates=rates, net_of="0.2").cashback) == "4.16 RUB"
    dear = said(rates=rates, net_of="0.2", price=Money(120_000, "RUB"))
    assert str(dear.cashback) == "50.00 RUB"


def test_a_paused_program_promises_nothing() -> None:
    found = said(paused=True)
    assert (found.cashback.minor, found.up_to, found.depends_on) == (0, False, ())
    assert found.steps[-1] == "no cashback: the program is paused"


def test_every_code_is_described() -> None:
    assert set(terms.DEPENDS) == set(facts.DEPENDS) == set(DEPENDS_ON)


# ---- the facts


FULL = program(
    share="0.6",
    net_of="0.2",
    currency="EUR",
    cap=30,
    hold_days=45,
    track_hours=72,
    claim_days=60,
    notes={"en": ["No gift cards."], "ru": ["Кроме подарочных карт."]},
    rates=[
        {"percent": "8.5", "category": ["Shoes", "Bags"], "customer": "new", "max": 20},
        {"percent": "7", "customer": "returning", "voucher": False, "region": "DE"},
        {"percent": "6", "voucher": True, "when": "Member price", "until": "2099-12-31"},
        {"percent": 0, "brand": ["Nike"]},
        {"fixed": "2.50", "currency": "USD", "from_price": 100},
        {"percent": 5, "since": "2099-01-01"},
        {"percent": "1.5"},
    ],
)


def told(language: str, **more: Any) -> Any:
    found = stores.StoredProgram("outlet", "generic", {**FULL, **more}, 1)
    return facts.of_store("outlet", [found], Path("/none"), AT, Speech(language), signed_in=False)


def test_the_facts_in_english() -> None:
    """85 % of … : 8.5 × 0.6 / 1.2 = 4.25; everything cut, never more than is paid."""
    found = told("en")
    assert (found.pays, found.up_to, found.headline) == (True, True, "up to 4.25\xa0%")
    assert [(rate.percent, rate.excluded) for rate in found.rates] == [
        ("4.25", False), ("3.5", False), ("3", False), ("0", True), (None, False), ("0.75", False),
    ]  # fmt: skip
    assert [rate.text for rate in found.rates] == [
        "4.25\xa0%, in Shoes, Bags, for new customers, at most €12 an order",
        "3.5\xa0%, for customers who have bought there before, for orders from DE, without a promo code",
        "3\xa0%, with a promo code, Member price, until 2099-12-31",
        "no cashback, brand: Nike",
        "$1.50, for orders of $100 and more",
        "0.75\xa0%",
    ]
    assert found.rates[0].most == Money(1200, "EUR")
    assert found.rates[5].most == Money(1800, "EUR"), "the cap of the program"
    assert found.rates[4].amount == Money(150, "USD")
    assert found.notes == ("No gift cards.",)
    assert (found.track_hours, found.hold_days, found.claim_days) == (72, 45, 60)
    assert found.timing == (
        "Usually seen within 3 days.",
        "Confirmed by the store in about 45 days.",
        "Paid out after that, once the store has paid for it.",
        "If it does not show, claim it within 60 days of the click.",
    )
    assert found.steps[0] == found.sign_in
    assert found.sign_in.startswith("Sign in first, or nothing is credited")


def test_the_facts_in_russian_leave_no_english_word() -> None:
    found = told("ru")
    texts = [found.headline, found.sign_in, *found.timing, *found.steps, *found.notes]
    ours = [rate.text for rate in found.rates]
    for text in [*texts, *ours]:
        rest = re.sub(r"Shoes|Bags|Nike|DE|Member price|USD|EUR|€|\$", "", text)
        assert not re.search(r"[A-Za-z]{2,}", rest), text
    for code in ("no_program", "paused", "no_link", "no_rate"):
        assert re.search("[а-я]", Speech("ru").say(facts.WHY_NOT[code]))
    for code in facts.DEPENDS:
        assert not re.search(r"[A-Za-z]{2,}", facts.depends_in_words([code], Speech("ru")))


@pytest.mark.parametrize(
    ("hours", "text"),
    [(1, "Usually seen within 1 hour."), (47, "Usually seen within 47 hours."),
     (48, "Usually seen within 2 days."), (49, "Usually seen within 3 days.")],
)  # fmt: skip
def test_hours_and_days(hours: int, text: str) -> None:
    found = told("en", track_hours=hours, hold_days=0, claim_days=0)
    assert found.timing == (text,)
    assert (found.hold_days, found.claim_days) == (None, None)


@pytest.mark.parametrize(
    ("more", "headline", "up_to"),
    [
        ({"rates": [{"percent": 10}], "net_of": 0}, "6\xa0%", False),
        ({"rates": [{"percent": 10, "customer": "new"}], "net_of": 0}, "up to 6\xa0%", True),
        ({"rates": [{"percent": 10, "max": 5}], "net_of": 0}, "6\xa0%", False),
        ({"rates": [{"fixed": 5}]}, "€3", False),
        ({"rates": [{"fixed": 5}, {"fixed": 6, "when": "x"}]}, "up to €3.60", True),
    ],
)
def test_the_headline(more: dict[str, Any], headline: str, up_to: bool) -> None:
    found = told("en", **more)
    assert (found.headline, found.up_to) == (headline, up_to)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"paused": True}, "paused"),
        ({"network": "nobody"}, "no_link"),
        ({"rates": []}, "no_rate"),
        ({"rates": [{"percent": 0}]}, "no_rate"),
        ({"share": 0}, "no_rate"),
        ({"rates": [{"percent": 5, "until": "2020-01-01"}]}, "no_rate"),
    ],
)
def test_why_nothing_is_paid(more: dict[str, Any], code: str) -> None:
    found = told("en", **more)
    assert (found.pays, found.no_cashback, found.headline) == (False, code, "")
    assert found.why == facts.WHY_NOT[code]


# ---- over HTTP, with a store that has two programs


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("programs") / "w"
    init(folder)
    settings = Settings(
        encoder="pixels", index="exact", detector="whole", host_key_hash=digest(HOST_KEY)
    )
    with Workspace(folder, settings) as opened:
        rows = [Row("outlet", "s1", "shirt", ("red",), PRICE, {"title": "Shirt", "brand": "Nike"})]
        tiny.write(opened.db, rows, "f", {"outlet": program()})
        stores.add(opened.db, "plain", "https://plain.example/feed.xml")
        yield opened


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace), follow_redirects=False, headers=BROWSER) as opened:
        yield opened


def connect(workspace: Workspace, first: dict[str, Any], *others: dict[str, Any]) -> str:
    feed = stores.overview(workspace.db, only="outlet")[0].feed_url
    stores.add(workspace.db, "outlet", feed, program=first, fallbacks=others)
    with workspace.db.read() as c:
        return str(c.execute(select(t.offers.c.offer_id)).scalar_one())


def last_click(workspace: Workspace) -> Any:
    workspace.drain()
    with workspace.db.read() as c:
        return (
            c.execute(select(t.clicks).order_by(t.clicks.c.at.desc(), t.clicks.c.click_id))
            .mappings()
            .all()
        )


PAUSED = program("first", paused=True)
SECOND = program("second", share="0.2")
STRANGE = program("first", domains=["outlet.example"], deny_deeplinks=True)


@pytest.mark.parametrize(
    ("programs", "host", "amount", "code"),
    [
        ([program()], "first.example", "50.00", ""),
        ([program(), SECOND], "first.example", "50.00", ""),
        ([PAUSED], "outlet.example", "0.00", "paused"),
        ([PAUSED, SECOND], "second.example", "20.00", ""),
        ([PAUSED, {**SECOND, "paused": True}], "outlet.example", "0.00", "paused"),
        ([STRANGE, SECOND], "second.example", "20.00", ""),
        ([STRANGE], "outlet.example", "0.00", "no_link"),
        ([{**program(), "network": "nobody"}, SECOND], "second.example", "20.00", ""),
    ],
    ids=["one", "first", "paused", "fallback", "all paused", "no deep links", "no link", "broken"],
)
def test_the_first_program_that_pays_is_taken(
    client: TestClient, workspace: Workspace, programs: list[Any], host: str, amount: str, code: str
) -> None:
    """What the offer promises, where the click leads, and what the click keeps are of one program."""
    offer_id = connect(workspace, *programs)
    shown = client.get(f"/api/offers/{offer_id}").json()
    assert (shown["cashback"]["amount"], shown["no_cashback"]) == (amount, code)
    before = {click["click_id"] for click in last_click(workspace)}
    gone = client.get(f"/go/{offer_id}")
    assert gone.status_code == 302
    assert gone.headers["location"].split("/")[2] == host
    (click,) = [one for one in last_click(workspace) if one["click_id"] not in before]
    promised = None if amount == "0.00" else int(amount.replace(".", ""))
    assert click["estimate_minor"] == promised
    assert click["network"] == ("" if promised is None else "generic")
    found = client.get("/api/programs/outlet").json()
    if code != "no_link":  # that is of this offer, not of the program
        assert (found["pays"], found["no_cashback"]) == (not code, code)
        assert bool(found["rates"]) == (not code)


def test_programs_keep_their_places_and_ids(workspace: Workspace) -> None:
    connect(workspace, program(), SECOND)
    first, second = stores.programs(workspace.db, ["outlet"])["outlet"]
    connect(workspace, PAUSED, SECOND)
    again = stores.programs(workspace.db, ["outlet"])["outlet"]
    assert [one.id for one in again] == [first.id, second.id]
    assert again[0].terms["paused"] is True
    connect(workspace, program())
    assert [one.id for one in stores.programs(workspace.db, ["outlet"])["outlet"]] == [first.id]


def test_facts_over_http(client: TestClient, workspace: Workspace) -> None:
    connect(workspace, FULL)
    found = client.get("/api/programs/outlet", params={"lang": "ru"})
    assert found.headers["cache-control"] == "no-store"
    assert found.json()["headline"].startswith("до 4,25")
    assert found.json()["signed_in"] is False
    several = client.get("/api/programs", params={"store": ["plain", "outlet", "plain"]}).json()
    assert [one["store"] for one in several["programs"]] == ["plain", "outlet"]
    assert several["programs"][0]["no_cashback"] == "no_program"
    for path, status in (
        ("/api/programs/nobody", 404), ("/api/programs/%00", 404), ("/api/programs", 422),
        ("/api/programs?store=../x", 404), ("/api/programs?" + "store=plain&" * 51, 422),
    ):  # fmt: skip
        assert client.get(path).status_code == status, path


def test_who_is_signed_in(client: TestClient, workspace: Workspace) -> None:
    connect(workspace, FULL)
    good = grants.give_pass(workspace.db, workspace.path, USER, AT)
    known = {"X-User-Token": USER, "Authorization": f"Bearer {HOST_KEY}"}
    for headers, query, signed in (
        ({}, {}, False), ({}, {"user": good}, False), ({"Sec-Fetch-Site": "same-origin"}, {"user": good}, True), ({}, {"user": good[:-1] + "x"}, False),
        (known, {}, True), ({**known, "Authorization": "Bearer guess"}, {}, False),
        ({"Cookie": f"lensback_user={good}"}, {}, True),
    ):  # fmt: skip
        found = client.get("/api/programs/outlet", params=query, headers=headers).json()
        assert found["signed_in"] is signed
        assert (found["sign_in"] in found["steps"]) is (not signed)


def test_an_api_key_is_no_guess_at_the_hosts(client: TestClient, workspace: Workspace) -> None:
    many = workspace.settings.guess_limit + 5
    for _ in range(many):
        headers = {"Authorization": "Bearer pk_search"}
        assert client.get("/api/programs/outlet", headers=headers).status_code == 200
    known = {"X-User-Token": USER, "Authorization": f"Bearer {HOST_KEY}"}
    assert client.get("/api/programs/outlet", headers=known).json()["signed_in"] is True
