"""Many stores at once: fifty broken ones of the generated web, each in another way, touch no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import broken_web
from lensback.catalogue import stores
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.errors import Error, Stopped
from lensback.ingest import Limits, Roads, Skipped, ingest_all, many
from lensback.net import Fetcher
from lensback.types import Tally

ROADS = Roads(jobs=24, per_host=6)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not broken_web.free_port_is_loopback(), reason="127.0.0.0/8 does not answer here"
    ),
]


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Database]:
    db = Database(sqlite_url(tmp_path / "catalogue.db"))
    db.migrate()
    yield db
    db.close()


def fetcher(**changes: Any) -> Fetcher:
    given = {"user_agent": "t", "allow_hosts": ("127.0.0.0/8",), "timeout_s": 4.0, "retries": 0}
    return Fetcher(**{**given, "min_rate": 500.0, **changes})


def on_sale(db: Database, store: str) -> set[tuple[str, int]]:
    o = t.offers.c
    query = select(o.external_id, o.price_minor).join(t.stores)
    with db.read() as c:
        rows = c.execute(query.where(t.stores.c.name == store, o.active))
        return {(row.external_id, row.price_minor) for row in rows}


def synced(db: Database, web: Any, spool: Path, **options: Any) -> dict[str, Any]:
    limits = Limits(max_bytes=8 << 20, max_drop=0.5, budget_s=30)
    names = [shop.name for shop in web.shops]
    with fetcher() as one:
        found = ingest_all(db, one, names, spool=spool, limits=limits, roads=ROADS, **options)
        return dict(found)


def test_fifty_broken_stores_touch_no_other(catalogue: Database, tmp_path: Path) -> None:
    with broken_web.Web(90, 50, largest=60) as web:
        for shop in web.shops:
            stores.add(catalogue, shop.name, web.url(shop))
        first = synced(catalogue, web, tmp_path / "spool")
        good = [shop for shop in web.shops if not shop.way]
        assert len({shop.way for shop in web.shops if shop.way}) == 50
        for shop in web.shops:
            assert isinstance(first[shop.name], Error if shop.way else Tally), shop
        for shop in good:
            wanted = {(key, round(float(price) * 100)) for key, _, price in web.rows(shop)}
            assert on_sale(catalogue, shop.name) == wanted, shop
        for shop in web.shops:
            if shop.way and shop.way not in ("cut xml", "gzip cut"):
                assert on_sale(catalogue, shop.name) == set(), shop
        states = {state.name: state for state in stores.overview(catalogue)}
        for shop in web.shops:
            state = states[shop.name]
            assert state.health == ("failing" if shop.way else "fresh")
            assert bool(state.message and state.todo) == bool(shop.way), state

        again = synced(catalogue, web, tmp_path / "spool")
        for shop in good:
            came = again[shop.name]
            assert isinstance(came, Skipped) or came.notes["feed"] == "unchanged"
        web.version = 60
        changed = web.rows(good[0]) != web.rows(good[0], 0)
        third = synced(catalogue, web, tmp_path / "spool", trust=True)
        assert changed
        for shop in good:
            wanted = {(key, round(float(price) * 100)) for key, _, price in web.rows(shop)}
            assert on_sale(catalogue, shop.name) == wanted, (shop, third[shop.name])
    assert not list((tmp_path / "spool").glob("*.tmp"))


def test_those_that_ended_do_not_wait_for_a_slow_store(
    catalogue: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "PATIENCE_S", 0.2)
    with broken_web.Web(3, 0, largest=9) as web:
        web.shops[2] = broken_web.Shop(2, "drip", 5, slow=False, tags=False)
        for shop in web.shops:
            stores.add(catalogue, shop.name, web.url(shop))
        both = [shop.offers for shop in web.shops[:2]]
        seen: list[list[int]] = []
        limits = Limits(max_bytes=8 << 20, max_drop=0.5, budget_s=600)
        with fetcher(timeout_s=600.0) as one:  # the slow one would be read for ten minutes

            def meanwhile() -> None:
                seen.append([len(on_sale(catalogue, shop.name)) for shop in web.shops[:2]])
                if seen[-1] == both:
                    threading.Timer(1.5, one.halt.set).start()  # some more looks

            names = [shop.name for shop in web.shops]
            options = {"spool": tmp_path, "limits": limits, "roads": ROADS, "meanwhile": meanwhile}
            with pytest.raises(Stopped):
                dict(ingest_all(catalogue, one, names, **options))
        assert seen[-1] == both
        assert len(seen) <= 2, "once for each that ended"


def test_a_network_that_answers_is_not_closed_by_its_worst_stores(
    catalogue: Database, tmp_path: Path
) -> None:
    """Five stores of one host, four of which hang up: the fifth is read, now and the next time."""
    with broken_web.Web(5, 0, largest=9) as web:
        for n in range(1, 5):
            web.shops[n] = broken_web.Shop(n, "silent", 5, slow=False, tags=False)
        for shop in web.shops:
            stores.add(catalogue, shop.name, web.url(shop))
        for _ in range(2):
            came = synced(catalogue, web, tmp_path)
            assert isinstance(came["store-0000"], Tally)
            assert all(isinstance(came[f"store-000{n}"], Error) for n in range(1, 5))
