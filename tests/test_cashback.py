"""From an offer to the link that pays and to the sale: search, click, report, ledger, in one workspace."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select, text

from lensback import ledger
from lensback.cashback import (
    OfferLink,
    check_program,
    explain,
    offer_link,
    program_link,
    strange_hosts,
    widened,
)
from lensback.catalogue import for_sale, offers, stores
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import ConfigError, NotFound, UnknownName
from lensback.exchange import Rates
from lensback.search import Prices, Query, search
from lensback.settings import Settings
from lensback.types import Money, Offer, StoredOffer
from lensback.web import create_app
from lensback.web.go import checked_address
from lensback.workspace import Workspace
from published import publish
from standin import Asked, Reply, running
from test_cli import flat, lensback

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

SUBID = "4fzzzxjylrx1a2B3c4D5e6"
AWIN = {"advertiser": "1001", "publisher": "45628"}
PROGRAM: dict[str, Any] = {
    "network": "awin",
    "domains": ["shop.example"],
    "share": 0.5,
    "currency": "EUR",
    "hold_days": 30,
    "link": AWIN,
    "rates": [{"percent": 10}],
}
NOWHERE = Path("/nowhere")


def offer(**changes: Any) -> StoredOffer:
    given = {
        "external_id": "1",
        "title": "Hat",
        "url": "https://shop.example/hat?utm_source=feed",
        "price": Money(2000, "EUR"),
    }
    return StoredOffer("a" * 16, "shop", "p" + "a" * 16, Offer(**{**given, **changes}))


def linked(db: Database, stored: StoredOffer, folder: Path = NOWHERE, **program: Any) -> OfferLink:
    feed = "https://shop.example/feed"
    stores.add(db, "shop", feed, program={**PROGRAM, **program} if program is not None else None)
    return offer_link(db, folder, stored, SUBID, int(time.time()))


# ---- one link


def test_without_a_program_it_is_the_offers_own_address(db: Database) -> None:
    stores.add(db, "shop", "https://shop.example/feed")
    link = offer_link(db, NOWHERE, offer(url="https://shop.example/шляпа"), SUBID, 0)
    page = "https://shop.example/%D1%88%D0%BB%D1%8F%D0%BF%D0%B0"
    assert link == OfferLink(page, "", None, {}, None)


def test_through_the_program(db: Database) -> None:
    link = linked(db, offer())
    assert link.url == (
        "https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628"
        f"&clickref={SUBID}&ued=https%3A%2F%2Fshop.example%2Fhat"
    )
    assert (link.network, link.estimate) == ("awin", Money(100, "EUR"))
    assert link.terms_snapshot["share"] == 0.5
    assert link.terms_snapshot["hold_days"] == 30
    assert link.program_id


def test_a_changed_program_keeps_its_id(db: Database) -> None:
    first, second = linked(db, offer()), linked(db, offer(), share=0.8)
    assert first.program_id == second.program_id
    assert (first.terms_snapshot["share"], second.terms_snapshot["share"]) == (0.5, 0.8)
    assert second.estimate == Money(160, "EUR")


@pytest.mark.parametrize(
    ("change", "program", "url", "reason"),
    [
        (
            {},
            {
                "network": "skimlinks",
                "link": {"publisher": "1", "site": "2"},
                "deny_deeplinks": True,
            },
            "https://shop.example/hat",
            "denies deep links",
        ),
        (
            {
                "url": "https://www.awin1.com/pclick.php?p=1&a=666",
                "target_url": "https://shop.example/hat",
            },
            {"network": "generic", "link": {"template": "https://t.example/{url}/{subid}{no}"}},
            "https://shop.example/hat",
            "link.no",
        ),
        (
            {"url": "https://shop.example/" + "x" * 4100},
            {},
            "https://shop.example/" + "x" * 4100,
            "characters",
        ),
        ({}, {"network": "nowhere"}, "https://shop.example/hat", "unknown network"),
        ({}, {"share": 7}, "https://shop.example/hat?utm_source=feed", "share"),
    ],
)
def test_a_program_that_cannot_link_costs_the_cashback_not_the_way(
    change: dict[str, str], program: dict[str, Any], url: str, reason: str, db: Database
) -> None:
    link = linked(db, offer(**change), **program)
    assert (link.url, link.network, link.estimate) == (url, "", None)
    assert reason in link.reason
    assert link.program_id


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/hat",
        "https://shop.example@evil.example/",
        "https://shop.example/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "https://www.awin1.com/pclick.php?p=1&a=666",
        "https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628&ued=https%3A%2F%2Fevil.example",
    ],
)
def test_nobody_is_sent_off_the_programs_domains(url: str, db: Database) -> None:
    with pytest.raises(NotFound):
        linked(db, offer(url=url))


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "https://a.example/\r\nX: y", "/hat"])
def test_an_address_that_is_none_is_not_found(url: str, db: Database) -> None:
    stores.add(db, "shop", "https://shop.example/feed")
    with pytest.raises(NotFound):
        offer_link(db, NOWHERE, offer(url=url), SUBID, 0)


def test_the_disclosure_of_the_offer_travels(db: Database) -> None:
    link = linked(db, offer(disclosure="Реклама. ООО «Лавка» erid: 2VtzqwABCDEF"))
    assert link.url.endswith("ued=https%3A%2F%2Fshop.example%2Fhat%3Ferid%3D2VtzqwABCDEF")


def test_a_network_of_the_workspace(db: Database, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'title = "Mine"\nstatuses = {}\n[link]\nsubid = "s"\nhosts = ["go.example"]\n'
        'template = "https://go.example/?s={subid}&u={url}"\n'
    )
    link = linked(db, offer(), tmp_path, network="mine", link={})
    assert link.url == f"https://go.example/?s={SUBID}&u=https%3A%2F%2Fshop.example%2Fhat"


def test_programs_are_checked_with_their_network() -> None:
    check_program(PROGRAM, NOWHERE)
    with pytest.raises(ConfigError, match=r"link\.publisher"):
        check_program({**PROGRAM, "link": {"advertiser": "1"}}, NOWHERE)
    with pytest.raises(UnknownName):
        check_program({**PROGRAM, "network": "nowhere"}, NOWHERE)


def test_hosts_that_no_program_covers() -> None:
    pages = ["https://www.other.example/1", "https://other.example/2", "https://my.shop.example/3",
             "https://third.example:8443/4", "no address"]  # fmt: skip
    hosts = strange_hosts(pages, [PROGRAM])
    assert hosts == ("other.example", "third.example:8443")
    assert strange_hosts(pages, [{**PROGRAM, "domains": ["shop.example", *hosts]}]) == ()
    line = widened([PROGRAM], hosts)
    assert line == 'domains = ["shop.example", "other.example", "third.example:8443"]'


def test_a_refusal_tells_the_operator_what_mends_it_and_no_shopper(db: Database) -> None:
    beyond = offer(url="https://www.shop-mirror.example/hat")
    with pytest.raises(NotFound) as refused:
        linked(db, beyond)
    assert (
        'write into the program: domains = ["shop.example", "shop-mirror.example"]'
        in refused.value.hint
    )
    assert "lensback store set shop --program FILE" in refused.value.hint
    programs = stores.programs(db, ["shop"])["shop"]
    with pytest.raises(NotFound) as told:
        program_link(NOWHERE, programs, beyond, SUBID, 0)
    assert told.value.hint == "choose another offer"
    with pytest.raises(NotFound) as none:
        linked(db, offer(url="javascript:alert(1)"))
    assert none.value.hint == "choose another offer", "that is no domain to add"


def test_an_explanation(db: Database) -> None:
    linked(db, offer())
    told = explain(db, NOWHERE, "shop", offer())
    assert told.estimate
    assert told.estimate.steps[-1] == "estimate: 1.00 EUR"
    assert "clickref=EXAMPLE" in told.link
    beyond = explain(db, NOWHERE, "shop", offer(url="https://evil.example/hat"))
    assert (beyond.link, beyond.reason) == ("", "the offer's address is not the store's")
    with pytest.raises(UnknownName):
        explain(db, NOWHERE, "nowhere")
    stores.add(db, "bare", "https://bare.example/feed")
    with pytest.raises(NotFound, match="no program"):
        explain(db, NOWHERE, "bare")


# ---- a whole workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two stores that sell the same things for US dollars, `lavka` a little dearer."""
    folder, photo = publish(tmp_path_factory.mktemp("cashback"))
    with Workspace(folder, Settings()) as workspace, workspace.db.write() as c:
        c.execute(text("UPDATE offers SET currency = 'USD', old_price_minor = NULL"))
        c.execute(
            text(
                "UPDATE offers SET price_minor = 1000 + 20 *"
                " (store_id = (SELECT id FROM stores WHERE name = 'lavka'))"
            )
        )
    return folder, photo


@pytest.fixture
def workspace(made: tuple[Path, Path]) -> Iterator[Workspace]:
    with Workspace(made[0], Settings(allow_hosts=("127.0.0.1",), rate_limit=0)) as opened:
        with opened.db.write() as c:
            c.execute(t.programs.delete())
        yield opened


def give(workspace: Workspace, store: str, **program: Any) -> None:
    feed = stores.feed(workspace.db, store).feed
    domains = [f"{store}.example"]
    values = {**PROGRAM, "domains": domains, "currency": "USD", **program}
    stores.add(workspace.db, store, feed.url, format=feed.format, program=values)


def first_hit(workspace: Workspace, photo: Path) -> list[dict[str, Any]]:
    answer = search(photo.read_bytes(), Query(limit=3), workspace.tools()).model_dump(mode="json")
    found: list[dict[str, Any]] = answer["hits"][0]["offers"]
    assert {one["store"] for one in found} == {"harbour", "lavka"}
    return found


def test_offers_are_ordered_by_price_after_cashback(
    workspace: Workspace, made: tuple[Path, Path]
) -> None:
    plain = first_hit(workspace, made[1])
    assert plain[0]["store"] == "harbour"
    assert all(one["cashback"]["amount"] == "0.00" for one in plain)
    give(workspace, "lavka")
    paid = first_hit(workspace, made[1])
    assert paid[0]["store"] == "lavka"
    assert paid[0]["price"] == {"amount": "10.20", "currency": "USD"}
    assert paid[0]["cashback"] == {"amount": "0.51", "currency": "USD", "up_to": False}
    assert paid[0]["price_after_cashback"] == {"amount": "9.69", "currency": "USD"}
    give(workspace, "lavka", rates=[{"percent": 10, "customer": "new"}, {"percent": 1}])
    assert first_hit(workspace, made[1])[0]["cashback"]["up_to"] is True


PAGES = (
    "https://{store}.example/hat",
    "http://www.{store}.example:8443/hat",
    "https://{store}.example/шляпа",
    "https://evil.example/hat",
    "//evil.example",
    "javascript:alert(1)",
    "https://{store}.example@evil.example/",
    "https://evil.example\\.{store}.example/",
    "https://{store}.example:99999/hat",
    "https://{store}.example/hat\nset-cookie: a=b",
    "https://{store}.example/" + "ш" * 1400,  # longer than a browser is sent to, once it is encoded
    "https://{store}.example/" + "%" * 3000,
    "",
)
TOLD: dict[str, dict[str, Any] | None] = {
    "no program": None,
    "a program": {},
    "a paused one": {"paused": True},
    "another's domains": {"domains": ["other.example"]},
    "no link can be made": {"deny_deeplinks": True},
    "of an unknown network": {"network": "nowhere"},
    "that cannot be read": {"share": 7},
}


@pytest.mark.parametrize("told", TOLD)
def test_an_answer_says_which_links_lead_nowhere(workspace: Workspace, told: str) -> None:
    """Whatever a feed names and whatever the program is: `reachable` says what the click will find."""
    program, o = TOLD[told], t.offers.c
    with workspace.db.read() as c:
        query = select(o.offer_id, o.url, o.target_url).join(t.stores)
        before = c.execute(query.where(t.stores.c.name == "harbour").order_by(o.id)).first()
    assert before
    if program is not None:
        give(workspace, "harbour", **program)
    change = t.offers.update().where(o.offer_id == before.offer_id)
    seen = set()
    try:
        for url, target in [(url, "") for url in PAGES] + [("", url) for url in PAGES]:
            own = {"url": url.format(store="harbour"), "target_url": target.format(store="harbour")}
            with workspace.db.write() as c:
                c.execute(change.values(own))
            row = for_sale.row(workspace.db, before.offer_id)
            prices = Prices.of(workspace.db, [row], workspace.cashback)
            stored = offers.get(workspace.db, before.offer_id)
            try:
                way = offer_link(workspace.db, workspace.networks, stored, SUBID, 0)
                checked_address(way.url)
            except NotFound:
                leads = False
            else:
                leads = True
            assert prices.offer(row).reachable is prices.reaches(row) is leads, own
            seen.add(leads)
    finally:
        with workspace.db.write() as c:
            c.execute(change.values(url=before.url, target_url=before.target_url))
    assert seen == {True, False} or told == "another's domains"


def test_what_is_out_of_stock_stays_behind(workspace: Workspace, made: tuple[Path, Path]) -> None:
    give(workspace, "lavka")
    change = "UPDATE offers SET availability = :now WHERE store_id = (SELECT id FROM stores WHERE name = 'lavka')"
    with workspace.db.write() as c:
        c.execute(text(change), {"now": "out_of_stock"})
    try:
        found = first_hit(workspace, made[1])
        assert [one["store"] for one in found[:1]] == ["harbour"]
        assert found[-1]["price_after_cashback"]["amount"] == "9.69"
    finally:
        with workspace.db.write() as c:
            c.execute(text(change), {"now": "in_stock"})


@pytest.mark.parametrize(
    "program",
    [
        {"domains": ["other.example"]},
        {"share": 7},
        {"network": "nowhere"},
        {"link": {}},
        {"currency": "EUR", "rates": [{"fixed": 5}]},
        {"rates": []},
        {"share": 0},
    ],
)
def test_there_is_no_cashback_that_no_link_can_bring(
    program: dict[str, Any],
    workspace: Workspace,
    made: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    give(workspace, "lavka", **program)
    with caplog.at_level(logging.ERROR):
        found = first_hit(workspace, made[1])
    assert found[0]["store"] == "harbour"
    assert all(one["cashback"]["amount"] == "0.00" for one in found)
    assert all(one["price"] == one["price_after_cashback"] for one in found)


def test_another_currency_needs_fresh_rates(workspace: Workspace, made: tuple[Path, Path]) -> None:
    give(workspace, "lavka", currency="EUR", rates=[{"fixed": 1}])
    today = datetime.now(UTC).date()
    worth = {"EUR": Fraction(1), "USD": Fraction(1, 2)}
    workspace.rates_path.write_text(Rates(today, "EUR", worth).as_text())
    try:
        cashback = next(
            one["cashback"] for one in first_hit(workspace, made[1]) if one["store"] == "lavka"
        )
        assert cashback == {"amount": "1.00", "currency": "USD", "up_to": True}
        old = today - timedelta(days=8)
        workspace.rates_path.write_text(Rates(old, "EUR", worth).as_text())
        assert all(one["cashback"]["amount"] == "0.00" for one in first_hit(workspace, made[1]))
        workspace.rates_path.write_text("broken")
        assert all(one["cashback"]["amount"] == "0.00" for one in first_hit(workspace, made[1]))
    finally:
        workspace.rates_path.unlink()


def test_details_say_the_same(workspace: Workspace, made: tuple[Path, Path]) -> None:
    give(workspace, "lavka")
    best = first_hit(workspace, made[1])[0]
    stored = offers.get(workspace.db, best["offer_id"])
    row = for_sale.row(workspace.db, stored.offer_id)
    priced = Prices.of(workspace.db, [row], workspace.cashback).offer(row)
    assert (priced.cashback, priced.up_to) == (Money(51, "USD"), False)
    with TestClient(create_app(workspace), follow_redirects=False) as client:
        one = client.get(f"/api/offers/{stored.offer_id}").json()
        assert (one["cashback"], one["price_after_cashback"]) == (
            best["cashback"],
            best["price_after_cashback"],
        )
        product = client.get(f"/api/products/{stored.product_id}").json()
        assert product["offers"][0]["store"] == "lavka"
        assert product["offers"][0]["cashback"] == best["cashback"]


def test_from_the_click_to_the_ledger(workspace: Workspace, made: tuple[Path, Path]) -> None:
    """Search, click, the network's report: the shopper gets what was estimated."""
    give(workspace, "lavka")
    best = first_hit(workspace, made[1])[0]
    with TestClient(create_app(workspace), follow_redirects=False) as client:
        gone = client.get(best["link"], headers={"User-Agent": "Mozilla/5.0"})
    assert gone.status_code == 302
    query = parse_qs(urlsplit(gone.headers["location"]).query)
    assert gone.headers["location"].startswith("https://www.awin1.com/cread.php?awinmid=1001&")
    assert query["ued"][0].startswith("https://lavka.example/item?id=")
    assert "utm_source" not in query["ued"][0]
    (subid,) = query["clickref"]
    workspace.drain()
    with workspace.db.read() as c:
        click = c.execute(select(t.clicks).where(t.clicks.c.click_id == subid)).mappings().one()
    assert (click["network"], click["estimate_minor"], click["terms"]["share"]) == ("awin", 51, 0.5)

    def answer(asked: Asked) -> Reply:
        good = asked.headers["authorization"] == "Bearer secret"
        row = {
            "id": 1,
            "commissionStatus": "approved",
            "commissionAmount": {"amount": 1.02, "currency": "USD"},
            "clickRefs": {"clickRef": subid},
            "transactionDate": "2026-11-24T10:00:00",
        }
        return Reply([row, {"id": 2, "commissionStatus": "sideways"}] if good else {}, 200)

    with running() as api:
        api.answer = answer
        table = f'[awin]\npublisher = "45628"\ntoken = "secret"\napi = "{api.url}"\n'
        (made[0] / "networks.toml").write_text(table)
        (made[0] / "networks.toml").chmod(0o600)
        (made[0] / "lensback.toml").write_text('allow_hosts = ["127.0.0.1"]\nretries = 0\n')
        since = (datetime.now(UTC) - timedelta(days=3)).date()
        where = ("--since", since, "--workspace", made[0])
        told = lensback("conversions", "pull", "awin", *where)
    assert told.code == 0, told.err
    assert "1 news, 0 known already, 1 refused" in told.out
    assert "AWIN has no status 'sideways'" in told.out
    with workspace.db.read() as c:
        sale = (
            c.execute(select(t.conversions).where(t.conversions.c.subid == subid)).mappings().one()
        )
    assert (sale["status"], sale["commission_minor"], sale["cashback_minor"]) == (
        "approved",
        102,
        51,
    )
    assert ledger.audit(workspace.db).as_json()["proven"] is True


# ---- the command line


def test_commands(workspace: Workspace, made: tuple[Path, Path], tmp_path: Path) -> None:
    where = ("--workspace", made[0])
    feed = ("--feed", stores.feed(workspace.db, "lavka").feed.url)
    file = tmp_path / "lavka.toml"
    head = 'network = "awin"\ndomains = ["lavka.example"]\nshare = 0.5\ncurrency = "USD"\n'
    link = '[link]\nadvertiser = "1001"\npublisher = "45628"\n'
    file.write_text(head + link + '[[rates]]\npercent = "many"\n')
    refused = lensback("store", "add", "lavka", *feed, "--program", file, *where)
    assert refused.code == 2
    assert "program key 'rates.0.percent'" in flat(refused.err)
    assert stores.programs(workspace.db, ["lavka"]) == {}
    file.write_text(
        head + link + '[[rates]]\npercent = 8.5\ncategory = ["Юбки"]\n[[rates]]\npercent = 2\n'
    )
    assert lensback("store", "add", "lavka", *feed, "--program", file, *where).code == 0
    with workspace.db.read() as c:
        wanted = select(t.offers.c.offer_id).where(t.offers.c.category == "Юбки").limit(1)
        offer_id = c.execute(wanted).scalar_one()
    shown = lensback("program", "show", "lavka", "--offer", offer_id, *where)
    assert shown.code == 0, shown.err
    for line in (
        "the price is 10.20 USD",
        "rule: 8.5 % in Юбки",
        "that is a commission of 0.86 USD",
        "the shopper's 50 % of it: 0.43 USD",
        "estimate: 0.43 USD",
        "link: https://www.awin1.com/cread.php?awinmid=1001",
    ):
        assert line in shown.out
    told = lensback("program", "show", "lavka", "--offer", offer_id, "--json", *where).json
    assert told["estimate"]["amount"] == "0.43"
    assert told["terms"]["share"] == "0.5"
    assert lensback("program", "show", "harbour", *where).code == 2
    assert lensback("program", "show", "nowhere", *where).code == 2
    assert lensback("program", "show", "harbour", "--offer", offer_id, *where).code == 2
    listed = lensback("network", "list", "--json", *where).json
    assert {"admitad", "awin", "generic"} <= {one["name"] for one in listed}
    assert "tradetracker" in lensback("network", "list", *where).out
    cj = lensback("network", "show", "cj", *where)
    assert "not checked: poll.news.currency: the amounts in US dollars are read" in cj.out
    assert lensback("network", "show", "cj", "--json", *where).json["unchecked"]
    assert "known: actionpay, admitad" in flat(lensback("network", "show", "nowhere", *where).err)
