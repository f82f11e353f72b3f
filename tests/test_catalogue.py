"""Stores, offers, pictures and products in a real database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from lensback.catalogue import for_sale, offers, pictures, products, stores
from lensback.catalogue.pictured import pictured
from lensback.catalogue.pictures import Downloaded
from lensback.db import Database
from lensback.db import tables as t
from lensback.db.lists import among, listed
from lensback.errors import BadQuery, NotFound, UnknownName
from lensback.types import Filter, ImageInfo, Money, Offer


def offer(external_id: str, **values: object) -> Offer:
    made = Offer(
        external_id=external_id,
        title=f"Thing {external_id}",
        url=f"https://shop.example/{external_id}",
        price=Money(1000, "USD"),
        image_urls=(f"https://shop.example/{external_id}.jpg",),
    )
    return replace(made, **values)  # type: ignore[arg-type]


def write(
    db: Database, store: str, *rows: Offer, seen: offers.SeenIds | None = None
) -> offers.Written:
    store_id = stores.store_id(db, store)
    with db.write() as c:
        return offers.write_batch(db, c, store_id, store, rows, seen or offers.SeenIds())


@pytest.fixture
def shop(db: Database) -> Database:
    stores.add(db, "shop", "https://shop.example/feed.xml")
    return db


def image(n: int) -> ImageInfo:
    return ImageInfo(f"{n:064x}", 10, 10, 100, "image/jpeg", (1 << 64) - 1 - n)


def test_add_again_changes_the_feed_and_keeps_offers(shop: Database) -> None:
    write(shop, "shop", offer("1"))
    feed = stores.feed(shop, "shop")
    stores.remember(shop, feed.feed, etag="e", last_modified="m", content_hash="h")
    stores.add(
        shop, "shop", "https://shop.example/other.xml", base="http://b", program={"network": "x"}
    )
    again = stores.feed(shop, "shop")
    assert (again.feed.url, again.base, again.content_hash) == (
        "https://shop.example/other.xml",
        "http://b",
        "",
    )
    assert offers.counts(shop)["shop"] == 1


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "x" * 81])
def test_store_names(db: Database, name: str) -> None:
    with pytest.raises(BadQuery):
        stores.add(db, name, "https://x.example")


def test_unknown_store_lists_the_known(shop: Database) -> None:
    for act in (
        lambda: stores.remove(shop, "nope"),
        lambda: stores.feed(shop, "nope"),
        lambda: stores.check_names(shop, ["nope"]),
        lambda: stores.store_id(shop, "nope"),
    ):
        with pytest.raises(UnknownName) as raised:
            act()
        assert raised.value.hint == "known: shop"


def test_only_changed_rows_are_written(shop: Database) -> None:
    first = write(shop, "shop", offer("1"), offer("2"))
    assert (first.seen, first.changed, first.duplicates) == (2, 2, [])
    again = write(shop, "shop", offer("1"), offer("2", price=Money(900, "USD")))
    assert (again.seen, again.changed) == (2, 1)
    wanted = offers.offer_id("shop", "2")
    assert [money.minor for _, money in offers.price_history(shop, wanted)] == [1000, 900]
    # A new title is no new price.
    write(shop, "shop", offer("2", price=Money(900, "USD"), title="Else"))
    assert len(offers.price_history(shop, wanted)) == 2
    assert offers.get(shop, wanted).offer.title == "Else"


def test_duplicates_in_a_batch_and_across_batches(shop: Database) -> None:
    seen = offers.SeenIds()
    first = write(shop, "shop", offer("1"), offer("1", title="Late"), seen=seen)
    assert first.duplicates == ["1"]
    second = write(shop, "shop", offer("1", title="Later"), offer("3"), seen=seen)
    assert second.duplicates == ["1"]
    assert offers.get(shop, offers.offer_id("shop", "1")).offer.title == "Thing 1"


def test_round_trip_of_every_field(shop: Database) -> None:
    full = offer(
        "1", old_price=Money(1500, "USD"), availability="preorder", brand="B", gtin="4006381333931",
        mpn="M", item_group_id="G", color="красный", size="L", category="A > B", description="d",
        gender="male", age_group="adult", material="m", pattern="p", condition="used", adult=True,
        tracked=True, target_url="https://t.example", disclosure="erid: 1",
        image_urls=("https://a.example/2.jpg", "https://a.example/1.jpg"),
    )  # fmt: skip
    write(shop, "shop", full)
    stored = offers.get(shop, offers.offer_id("shop", "1"))
    assert stored.offer == full
    assert (stored.store, stored.active, stored.image_hashes) == ("shop", True, ())


def test_delta_deletes_and_a_later_feed_revives(shop: Database) -> None:
    write(shop, "shop", offer("1"))
    assert write(shop, "shop", offer("1", deleted=True)).removed == 1
    assert write(shop, "shop", offer("1", deleted=True)).removed == 0
    assert not offers.get(shop, offers.offer_id("shop", "1")).active
    assert write(shop, "shop", offer("1")).changed == 1
    assert offers.get(shop, offers.offer_id("shop", "1")).active


def test_offer_not_found(shop: Database) -> None:
    with pytest.raises(NotFound):
        offers.get(shop, "nope")
    with pytest.raises(NotFound):
        products.find(shop, "pnope")


@given(st.lists(st.integers(0, 5000)))
def test_seen_is_a_set(keys: list[int]) -> None:
    seen, known = offers.SeenIds(), set[int]()
    for key in keys:
        assert seen.add(key) == (key not in known)
        known.add(key)
    assert all((key in seen) == (key in known) for key in range(0, 5001, 7))


def test_categories_match_parts_of_a_path(shop: Database) -> None:
    write(
        shop,
        "shop",
        offer("1", category="Men > Tops > Hoodies"),
        offer("2", category="Women > Tops"),
        offer("3", category="Laptops"),
    )
    known = offers.categories(shop)
    assert offers.category_paths(known, "tops") == ("Men > Tops > Hoodies", "Women > Tops")
    assert offers.category_paths(known, "men > Tops") == ("Men > Tops > Hoodies",)
    assert offers.category_paths(known, "Top") == ()
    assert offers.category_paths(known, " > ") == ()


def test_downloads_are_retried_with_growing_pauses(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [int(pictures.time.time())]
    monkeypatch.setattr(pictures.time, "time", lambda: now[0])
    write(shop, "shop", offer("1"), offer("2"))
    good, bad = pictures.to_download(shop)
    rows = [Downloaded(good, image(1)), Downloaded(bad, None, "FetchFailed: 404")]
    pictures.record_downloads(shop, rows)
    assert pictures.counts(shop) == {"ok": 1, "failed": 1, "images": 1}
    assert pictures.failures(shop) == {"FetchFailed: 404": 1}
    pauses = []
    for _ in range(14):
        waited = 0
        while not (due := list(pictures.to_download(shop))):
            assert pictures.count_to_download(shop) == 0
            assert pictures.count_to_download(shop, anyway=True) == 1
            now[0] += 3600
            waited += 1
        pauses.append(waited)
        pictures.record_downloads(shop, [Downloaded(due[0], None, "FetchFailed: 404")])
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 168, 168, 168, 168]
    (again,) = pictures.to_download(shop, anyway=True)
    pictures.record_downloads(shop, [Downloaded(again, image(2))])
    assert list(pictures.to_download(shop, anyway=True)) == []


def test_what_we_refused_is_tried_at_every_sync_and_a_retry_after_is_kept(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(shop, "shop", offer("1"), offer("2"))
    for _ in range(5):
        todo = {u.url[-5]: u for u in pictures.to_download(shop)}
        rows = [Downloaded(todo["1"], None, "FetchRefused: private", counts=False)]
        if "2" in todo:
            rows.append(Downloaded(todo["2"], None, "FetchFailed: 503", wait_s=7200.0))
        pictures.record_downloads(shop, rows)
    now = pictures.time.time()
    for later, due in ((0, ["1"]), (7100, ["1"]), (7300, ["1", "2"]), (-9e6, ["1", "2"])):
        monkeypatch.setattr(pictures.time, "time", lambda later=later: now + later)
        assert [u.url[-5] for u in pictures.to_download(shop)] == due, later


def test_nobody_fetches_for_offers_off_sale(shop: Database) -> None:
    write(shop, "shop", offer("1"))
    write(shop, "shop", offer("1", deleted=True))
    assert list(pictures.to_download(shop)) == []


def test_one_image_for_many_offers_and_to_dos(shop: Database) -> None:
    same = ("https://a.example/x.jpg", "https://a.example/x.jpg")
    write(shop, "shop", offer("1", image_urls=same), offer("2", image_urls=same[:1]))
    (todo,) = pictures.to_download(shop)
    pictures.record_downloads(shop, [Downloaded(todo, image(7))])
    assert list(pictures.to_embed(shop, "f")) == [image(7).hash]
    pictures.record_embeddings(shop, "f", {image(7).hash: ""})
    assert list(pictures.to_embed(shop, "f")) == []
    assert pictures.count_to_embed(shop, "g") == pictures.count_embedded(shop, "f") == 1


def test_what_offers_say_of_pictures(shop: Database) -> None:
    stores.add(shop, "pier", "https://pier.example/feed.xml")
    one, two, three = (f"https://a.example/{n}.jpg" for n in "123")
    usd = {"price": Money(1000, "USD"), "old_price": Money(2000, "USD")}
    write(
        shop,
        "shop",
        offer("a", image_urls=(one,), category="Hats", **usd),
        offer(
            "a again", image_urls=(one, two), category="Hats > Caps", availability="out_of_stock"
        ),
        offer("gone", image_urls=(three,), category="Shoes"),
        offer("ungrouped", image_urls=(two,), category="Bags"),
    )
    write(shop, "pier", offer("b", image_urls=(one,), category="Hats", price=Money(900, "EUR")))
    write(shop, "shop", offer("gone", deleted=True))
    todo = {each.url: each for each in pictures.to_download(shop)}
    pictures.record_downloads(
        shop, [Downloaded(todo[url], image(n)) for n, url in enumerate((one, two), 1)]
    )
    with shop.read() as c:
        keys = {name: key for key, name, _ in products.active_ids(c)}
    named = {sku: offers.offer_id(store, sku) for store, sku in
             (("shop", "a"), ("shop", "a again"), ("pier", "b"))}  # fmt: skip
    products.assign(
        shop,
        [(keys[named[sku]], keys[named["a" if sku != "b" else "b"]]) for sku in named],
    )
    first, second, none = image(1).hash, image(2).hash, image(9).hash
    a, b = "p" + named["a"], "p" + named["b"]
    found = pictured(shop, [first, second, none])
    assert found.products == found.passing == {first: sorted([a, b]), second: [a]}
    assert found.categories == {first: ["Hats", "Hats > Caps"], second: ["Bags", "Hats > Caps"]}
    for where, passing in {
        Filter(stores=("pier",)): {first: [b]},
        Filter(stores=("shop",), in_stock=True): {first: [a]},
        Filter(discount=20): {first: [a]},  # of the others nothing is known
        Filter(price_max=Money(950, "EUR")): {first: [b]},
        Filter(stores=("nowhere",)): {},
    }.items():
        filtered = pictured(shop, [first, second, none], where)
        assert filtered.passing == passing
        assert (filtered.products, filtered.categories) == (found.products, found.categories)
    assert pictured(shop, []).categories == pictured(shop, [none]).products == {}


@pytest.mark.parametrize(
    "texts", [[], ["x"], ["it's", 'a "b"', "c\\d", "ё, 帽子", "[1, 2]", "{}", ""] * 300]
)
def test_a_list_is_one_parameter(shop: Database, texts: list[str]) -> None:
    """Whatever stands in it."""
    write(shop, "shop", *(offer(f"{n}", brand=text) for n, text in enumerate(dict.fromkeys(texts))))
    write(shop, "shop", offer("other", brand="another"))
    o = t.offers.c
    query = select(o.brand).where(among(o.brand, "brands", shared=shop.shared)).order_by(o.id)
    with shop.read() as c:
        found = c.scalars(query, {"brands": listed(texts, shared=shop.shared)}).all()
    assert found == list(dict.fromkeys(texts))


def test_searchable_rows_fold_sizes_and_keep_price_range(shop: Database) -> None:
    url = ("https://a.example/x.jpg",)
    rows = [
        offer("1", image_urls=url, price=Money(500, "USD"), size="S"),
        offer("2", image_urls=url, price=Money(700, "USD"), size="M"),
        offer("3", image_urls=url, availability="out_of_stock"),
    ]
    write(shop, "shop", *rows)
    (todo,) = pictures.to_download(shop)
    pictures.record_downloads(shop, [Downloaded(todo, image(1))])
    pictures.record_embeddings(shop, "f", {image(1).hash: ""})
    with shop.read() as c:
        keys = [(key, name) for key, name, _ in products.active_ids(c)]
    products.assign(shop, [(key, keys[0][0]) for key, _ in keys])
    with shop.read() as c:
        found = sorted(
            pictures.searchable(c, "f", lambda *key: hash(key)), key=lambda row: row.in_stock
        )
    assert [(row.in_stock, row.price_low, row.price_high) for row in found] == [
        (False, 1000, 1000),
        (True, 500, 700),
    ]
    product_id = "p" + keys[0][1]
    shown = pictured(shop, [image(1).hash], Filter(stores=("shop",))).passing
    assert shown == {image(1).hash: [product_id]}
    cheap = Filter(price_max=Money(600, "USD"))
    assert [row.size for row in for_sale.rows(shop, [product_id], cheap)[product_id]] == ["S"]
    assert for_sale.rows(shop, [product_id], Filter(price_max=Money(600, "EUR"))) == {}
    # An id that an earlier grouping gave leads to the offer's product of today.
    other = next(name for _, name in keys if "p" + name != product_id)
    assert products.find(shop, "p" + other)[0] == product_id


def test_removing_a_store_forgets_its_offers(shop: Database) -> None:
    write(shop, "shop", offer("1"))
    stores.remove(shop, "shop")
    assert stores.overview(shop) == []
    assert offers.counts(shop).total() == 0


def test_overview(shop: Database) -> None:
    feed = stores.feed(shop, "shop").feed
    (state,) = stores.overview(shop)
    assert (state.status, state.last_sync, state.offers) == ("never synced", None, 0)
    run = stores.begin_run(shop, feed.id)
    stores.begin_run(shop, feed.id)
    stores.finish_run(shop, run + 1, "ok", offers=1, rejected={"no price": 2})
    write(shop, "shop", offer("1"), offer("2", availability="out_of_stock"))
    (state,) = stores.overview(shop)
    assert (state.status, state.offers, state.in_stock, state.images) == ("ok", 2, 1, 2)
