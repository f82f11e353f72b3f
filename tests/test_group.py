"""What is joined into one product, what must not be, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from lensback import colors
from lensback.catalogue import offers, pictures, stores
from lensback.catalogue.pictures import Downloaded
from lensback.db import Database
from lensback.db import tables as t
from lensback.group import Rules, group
from lensback.types import ImageInfo, Money, Offer, Tally

RED, BLUE = "4006381333931", "4006381333948"


def offer(external_id: str, **values: object) -> Offer:
    base: dict[str, object] = {
        "title": "Shirt",
        "url": "https://s.example/x",
        "price": Money(1000, "USD"),
        "image_urls": (f"https://s.example/{external_id}.jpg",),
    }
    return Offer(external_id, **(base | values))  # type: ignore[arg-type]


def put(db: Database, store: str, *rows: Offer) -> None:
    key = stores.add(db, store, f"https://{store}.example").id
    with db.write() as c:
        offers.write_batch(db, c, key, store, rows, offers.Seen())


def show(db: Database, hashes: dict[str, int]) -> None:
    """Gives the image at an address (its end) the picture with this number."""
    todo = [url for url in pictures.to_download(db, 3) if url.url.split("/")[-1] in hashes]
    rows = [
        Downloaded(
            url, ImageInfo(f"{hashes[url.url.split('/')[-1]]:064x}", 9, 9, 9, "image/png", 0)
        )
        for url in todo
    ]
    pictures.record_downloads(db, rows)


def grouped(db: Database, **rules: bool) -> tuple[set[frozenset[str]], Tally]:
    tally = group(db, rules=Rules(**rules))
    o = t.offers.c
    found: dict[str, set[str]] = {}
    with db.read() as c:
        for store, external_id, product_id in c.execute(
            select(t.stores.c.name, o.external_id, o.product_id).join(t.stores).where(o.active)
        ):
            found.setdefault(product_id, set()).add(f"{store}/{external_id}")
    assert tally.done == len(found)
    return {frozenset(members) for members in found.values()}, tally


def sets(*members: str) -> set[frozenset[str]]:
    return {frozenset(m.split()) for m in members}


def test_sizes_of_a_colourway_join_and_colours_stay_apart(db: Database) -> None:
    put(
        db, "a",
        offer("1", item_group_id="G", color="Красный", size="S"),
        offer("2", item_group_id="G", color="красный ", size="M"),
        offer("3", item_group_id="G", color="синий"),
        offer("4", item_group_id="H", color="красный"),
    )  # fmt: skip
    assert grouped(db)[0] == sets("a/1 a/2", "a/3", "a/4")


def test_same_title_and_picture_in_two_colours_stay_apart(db: Database) -> None:
    same = ("https://s.example/same.jpg",)
    put(
        db, "a",
        offer("1", color="red", image_urls=same, size="S"),
        offer("2", color="red", image_urls=same, size="M"),
        offer("3", color="blue", image_urls=same),
        offer("4", color="red", image_urls=same, title="Trousers"),
    )  # fmt: skip
    assert grouped(db)[0] == sets("a/1 a/2", "a/3", "a/4")


def test_gtin_joins_stores_but_never_two_colours(db: Database) -> None:
    put(db, "a", offer("r", gtin=RED, color="red"), offer("b", gtin=BLUE, color="blue"))
    put(db, "b", offer("1", gtin=RED, item_group_id="G", color="x"),
        offer("2", gtin=BLUE, item_group_id="G", color="x"))  # fmt: skip
    products, tally = grouped(db)
    assert all(not {"a/r", "a/b"} <= members for members in products)
    assert len(products) == 2
    assert any(why.startswith("GTIN") for why in tally.rejected)


@pytest.mark.parametrize(
    ("one", "two", "joined"),
    [
        ("Black", "чёрный", True),
        ("red", "синий", False),
        ("midnight", "navy", True),
        ("", "red", True),
    ],
)
def test_a_style_number_joins_only_what_may_be_one_colour(
    db: Database, one: str, two: str, joined: bool
) -> None:
    put(db, "a", offer("1", brand="Acme", mpn="AB-1234", color=one))
    put(db, "b", offer("2", brand="ACME", mpn="ab 1234", color=two))
    assert (grouped(db)[0] == sets("a/1 b/2")) is joined
    assert grouped(db, codes=False)[0] == sets("a/1", "b/2")


def test_cyrillic_numbers_and_brands_fold_their_case(db: Database) -> None:
    put(db, "a", offer("1", brand="ЗАРЯ", mpn="ТЮ-4417"))
    put(db, "b", offer("2", brand="Заря", mpn="тю4417"))
    assert grouped(db)[0] == sets("a/1 b/2")


def test_a_number_that_one_store_uses_twice_proves_nothing(db: Database) -> None:
    put(db, "a", offer("1", brand="A", mpn="MODEL1", title="x"),
        offer("2", brand="A", mpn="MODEL1", title="y"))  # fmt: skip
    put(db, "b", offer("3", brand="A", mpn="MODEL1"))
    products, tally = grouped(db)
    assert products == sets("a/1", "a/2", "b/3")
    assert tally.rejected["brand and MPN: ambiguous in one store"] == 1


def test_the_same_picture_joins_stores_and_a_placeholder_does_not(db: Database) -> None:
    put(db, "a", offer("1"), offer("2", title="Bag"), offer("3", title="Hat"))
    put(db, "b", offer("4"), offer("5", title="Hut"))
    show(db, {"1.jpg": 1, "4.jpg": 1, "2.jpg": 7, "3.jpg": 7, "5.jpg": 7})
    products, tally = grouped(db)
    assert products == sets("a/1 b/4", "a/2", "a/3", "b/5")
    assert tally.rejected["same picture: ambiguous in one store"] == 1
    assert grouped(db, pictures=False)[0] == sets("a/1", "a/2", "a/3", "b/4", "b/5")


def test_two_brands_in_one_picture_stay_apart(db: Database) -> None:
    put(db, "a", offer("1", brand="Acme"))
    put(db, "b", offer("2", brand="Other"))
    show(db, {"1.jpg": 1, "2.jpg": 1})
    assert grouped(db)[0] == sets("a/1", "b/2")


def test_grouping_again_writes_nothing_and_keeps_reasons(db: Database) -> None:
    put(
        db,
        "a",
        offer("1", item_group_id="G", color="red"),
        offer("2", item_group_id="G", color="red"),
    )
    assert grouped(db)[1].notes["reassigned"] == 2
    products, tally = grouped(db)
    assert (products, tally.notes["reassigned"]) == (sets("a/1 a/2"), 0)
    with db.read() as c:
        assert list(c.scalars(select(t.product_links.c.reason))) == ["item group and colour"]


def test_nothing_to_group(db: Database) -> None:
    products, tally = grouped(db)
    assert (products, tally.done) == (set(), 0)


@given(st.text(), st.text())
def test_colours_differ_symmetrically_and_never_from_themselves(one: str, two: str) -> None:
    assert colors.differ([one], [two]) == colors.differ([two], [one])
    assert not colors.differ([one], [one])


def test_basic_colours() -> None:
    assert colors.basic("Тёмно-синий / белый") == {"blue", "white"}
    assert colors.differ(["Black"], ["белая"])
    assert not colors.differ(["Black", "White"], ["белая"])
    assert not colors.differ(["heather"], ["red"])
