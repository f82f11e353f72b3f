"""What is joined into one product, what must not be, and why."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import insert, select, update

from lensback import colors
from lensback.catalogue import offers, pictures, stores
from lensback.catalogue import products as catalogue
from lensback.catalogue.pictures import Downloaded
from lensback.catalogue.products import Member
from lensback.db import Database
from lensback.db import tables as t
from lensback.group import Evidence, _agreed, _Union, group, pair_images
from lensback.gtins import gtin
from lensback.images import ImageStore
from lensback.showings import Doubt
from lensback.types import ImageInfo, Money, Offer, Showing, Tally
from lensback.vectors import VectorStore

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
        offers.write_batch(db, c, key, store, rows, offers.SeenIds())


def show(db: Database, hashes: dict[str, int]) -> None:
    """Gives the image at an address (its end) the picture with this number."""
    todo = [url for url in pictures.to_download(db) if url.url.split("/")[-1] in hashes]
    rows = [
        Downloaded(
            url, ImageInfo(f"{hashes[url.url.split('/')[-1]]:064x}", 9, 9, 9, "image/png", 0)
        )
        for url in todo
    ]
    pictures.record_downloads(db, rows)


def grouped(db: Database, **rules: bool) -> tuple[set[frozenset[str]], Tally]:
    tally = group(db, evidence=Evidence(**rules))
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
    put(db, "a", *(offer(f"{n}", brand="A", mpn="MODEL2", title=f"{n}") for n in (4, 5)))
    put(db, "b", offer("6", brand="A", mpn="MODEL2"))
    assert grouped(db)[1].rejected["brand and MPN: ambiguous in one store"] == 2


def test_the_smallest_stands_for_a_component_in_whatever_order_it_is_linked() -> None:
    union = _Union(6)
    for a, b in ((6, 4), (2, 5), (6, 5)):
        union.join(a, b, "why")
    assert [union.root(key) for key in range(1, 7)] == [1, 2, 3, 2, 2, 2]
    assert [(link.a, link.b) for link in union.links] == [(4, 6), (2, 5), (5, 6)]


def test_prices_that_disagree_are_not_called_words() -> None:
    one, two = (
        Member(n, n, "", "", "", Showing(n, "", "Large leather shoulder bag", "", "", price, "USD"))
        for n, price in ((1, 1000), (2, 9000))
    )
    tally = Tally("group")
    assert not list(_agreed([one, two], (True, Doubt.SOME), tally, "same picture"))
    assert tally.rejected == {"same picture: prices that disagree": 1}


def test_the_same_picture_joins_stores_and_a_placeholder_does_not(db: Database) -> None:
    put(db, "a", offer("1"), offer("2", title="Bag"), offer("3", title="Hat"))
    put(db, "b", offer("4"), offer("5", title="Hut"))
    show(db, {"1.jpg": 1, "4.jpg": 1, "2.jpg": 7, "3.jpg": 7, "5.jpg": 7})
    products, tally = grouped(db)
    assert products == sets("a/1 b/4", "a/2", "a/3", "b/5")
    assert tally.rejected["same picture: words that disagree"] == 1
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


# ---- what was linked is remembered: facts of both sides speak against the next link


def rejected(tally: Tally) -> dict[str, int]:
    return dict(tally.rejected)


def links(db: Database) -> list[tuple[str, str, str, float]]:
    """Every kept reason: the two offers, why, how sure."""
    o, p = t.offers.c, t.product_links.c
    with db.read() as c:
        names = {row.id: row.external_id for row in c.execute(select(o.id, o.external_id))}
        rows = c.execute(select(p.offer_a, p.offer_b, p.reason, p.score)).all()
    return sorted((names[a], names[b], reason, score) for a, b, reason, score in rows)


def test_stores_of_a_joined_product_are_remembered(db: Database) -> None:
    """a/1 = b/2 by GTIN. b/3 has the number of a/1: it would be the second thing of store b."""
    put(db, "a", offer("1", gtin=RED, brand="Acme", mpn="AB-1234"))
    put(db, "b", offer("2", gtin=RED), offer("3", brand="Acme", mpn="AB-1234"))
    found, tally = grouped(db)
    assert found == sets("a/1 b/2", "b/3")
    assert rejected(tally) == {"brand and MPN: two things of one store": 1}


@pytest.mark.parametrize("order", ["abc", "cba"])
def test_brands_of_a_joined_product_are_remembered(db: Database, order: str) -> None:
    """a/1 has no brand, but b/2, that it was joined with, has one."""
    rows = {
        "a": offer("1", gtin=RED),
        "b": offer("2", gtin=RED, brand="Acme"),
        "c": offer("3", brand="Other"),
    }
    for store in order:
        put(db, store, rows[store])
    show(db, {"1.jpg": 1, "2.jpg": 2, "3.jpg": 1})
    found, tally = grouped(db)
    assert found == sets("a/1 b/2", "c/3")
    assert rejected(tally) == {"same picture: two brands": 1}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_colours_of_a_joined_product_are_remembered(db: Database, order: str) -> None:
    """a/1 = b/2, which is the red of group G: it cannot be the blue of G too."""
    rows = {
        "a": [offer("1", gtin=RED, image_urls=("https://s.example/i.jpg",))],
        "b": [
            offer("2", gtin=RED, item_group_id="G", color="red"),
            offer("3", item_group_id="G", color="blue"),
        ],
    }
    for store in order:
        put(db, store, *rows[store])
    show(db, {"i.jpg": 1, "2.jpg": 2, "3.jpg": 1})
    found, tally = grouped(db)
    assert found == sets("a/1 b/2", "b/3")
    assert rejected(tally) == {"same picture: two colours of one item group": 1}


def test_a_gtin_is_one_in_all_its_lengths(db: Database) -> None:
    """UPC-A, EAN-13 and GTIN-14 of one thing, EAN-8 too; a carton, and what has no right check digit, are others."""
    written = [
        *("614141999996", "0614141999996", "00614141999996"),
        *("96385074", "0000096385074"),
        "10614141999993",
    ]
    for at, number in enumerate(written):
        put(db, f"s{at}", offer(str(at), gtin=gtin(number), image_urls=()))
    for at, number in enumerate(("614141999990", "0614141999990", "61414199999")):
        put(db, f"w{at}", offer(f"w{at}", gtin=gtin(number), image_urls=()))
    found, _ = grouped(db)
    assert found == sets("s0/0 s1/1 s2/2", "s3/3 s4/4", "s5/5", "w0/w0", "w1/w1", "w2/w2")


def test_a_gtin_may_stand_for_two_listings_of_one_store(db: Database) -> None:
    """Sizes have GTINs of their own: a/1 and a/2 are one colourway of b, so they are one thing."""
    put(db, "a", offer("1", gtin=RED), offer("2", gtin=BLUE, title="Shirt M"))
    put(
        db, "b",
        offer("3", gtin=RED, item_group_id="G", color="x"),
        offer("4", gtin=BLUE, item_group_id="G", color="x"),
    )  # fmt: skip
    assert grouped(db)[0] == sets("a/1 a/2 b/3 b/4")


def test_a_gtin_joins_whatever_the_colours_are_called(db: Database) -> None:
    put(db, "a", offer("1", gtin=RED, color="red"))
    put(db, "b", offer("2", gtin=RED, color="синий"))
    assert grouped(db)[0] == sets("a/1 b/2")


def test_two_colours_are_the_reason(db: Database) -> None:
    put(db, "a", offer("1", brand="Acme", mpn="AB-1234", color="red"))
    put(db, "b", offer("2", brand="Acme", mpn="AB-1234", color="blue"))
    assert rejected(grouped(db)[1]) == {"brand and MPN: two colours": 1}


def test_equal_brands_and_none_are_no_contradiction(db: Database) -> None:
    put(db, "a", offer("1", brand="Acme"))
    put(db, "b", offer("2", brand="ACME"))
    put(db, "c", offer("3"))
    show(db, {"1.jpg": 1, "2.jpg": 1, "3.jpg": 1})
    assert grouped(db)[0] == sets("a/1 b/2 c/3")


def test_one_contradiction_refuses_one_store_only(db: Database) -> None:
    """The first offer joins with every store that nothing speaks against, before and after."""
    for store, brand in (("a", "Acme"), ("b", "Other"), ("c", "Acme")):
        put(db, store, offer(store, brand=brand))
    show(db, {"a.jpg": 1, "b.jpg": 1, "c.jpg": 1})
    found, tally = grouped(db)
    assert found == sets("a/a c/c", "b/b")
    assert rejected(tally) == {"same picture: two brands": 1}


# ---- every kind of evidence, with its reason


def test_every_reason_is_kept(db: Database) -> None:
    same = ("https://s.example/same.jpg",)
    put(
        db, "a",
        offer("1", item_group_id="G", color="red"),
        offer("2", item_group_id="G", color="red"),
        offer("3", item_group_id="H", image_urls=same),
        offer("4", item_group_id="H", image_urls=same),
        offer("5", title="Hat", image_urls=same),
        offer("6", title="Hat", image_urls=same),
        offer("7", gtin=RED),
        offer("8", brand="Acme", mpn="AB-1234"),
        offer("9", title="Bag"),
        offer("10", title="Shoe"),
    )  # fmt: skip
    put(
        db, "b",
        offer("11", gtin=RED),
        offer("12", brand="Acme", mpn="AB-1234"),
        offer("13", title="Сумка"),
        offer("14", title="Туфли"),
    )  # fmt: skip
    show(db, {"9.jpg": 9, "13.jpg": 9, "10.jpg": 10, "14.jpg": 14})
    catalogue.record_pairs(db, [], [(f"{14:064x}", f"{10:064x}", 0.75)])
    found, tally = grouped(db)
    assert links(db) == [
        ("1", "2", "item group and colour", 1.0),
        ("10", "14", "same photograph", 0.75),
        ("3", "4", "item group and picture", 1.0),
        ("5", "6", "title and picture", 1.0),
        ("7", "11", "GTIN", 1.0),
        ("8", "12", "brand and MPN", 1.0),
        ("9", "13", "same picture", 1.0),
    ]
    assert (tally.done, len(found)) == (7, 7)
    assert tally.notes == {"offers": 14, "reassigned": 14}
    assert tally.stage == "group"
    assert 0 < tally.seconds < 3600


def test_a_product_is_named_by_its_smallest_offer(db: Database) -> None:
    """Only offers whose product changes are written."""
    put(db, "a", offer("1", gtin=RED), offer("2"))
    assert grouped(db)[1].notes == {"offers": 2, "reassigned": 2}
    put(db, "b", offer("3", gtin=RED))
    assert grouped(db)[1].notes["reassigned"] in {1, 2}  # whoever's id is the smaller
    o = t.offers.c
    with db.read() as c:
        rows = c.execute(select(o.external_id, o.offer_id, o.product_id)).all()
    ids = {external: offer_id for external, offer_id, _ in rows}
    named = {external: product_id for external, _, product_id in rows}
    assert named["1"] == named["3"] == "p" + min(ids["1"], ids["3"])
    assert named["2"] == "p" + ids["2"]


def test_a_photograph_must_be_sure_and_shown_once_a_store(db: Database) -> None:
    put(db, "a", offer("1"), offer("2", title="Hat"))
    put(db, "b", offer("3"), offer("4", title="Hut"))
    show(db, {"1.jpg": 1, "3.jpg": 3, "2.jpg": 2, "4.jpg": 4})
    pairs = [(f"{1:064x}", f"{3:064x}", 0.5), (f"{2:064x}", f"{4:064x}", 0.499)]
    catalogue.record_pairs(db, [], [*pairs, (f"{1:064x}", f"{99:064x}", 0.9)])
    assert grouped(db)[0] == sets("a/1 b/3", "a/2", "b/4")
    assert grouped(db, pictures=False)[0] == sets("a/1", "b/3", "a/2", "b/4")


# ---- photographs of several stores


@pytest.fixture(params=["few", "many"])
def shown_twice(
    db: Database, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Database, ImageStore, VectorStore]:
    """Stores a and b show the same photograph (b recompressed), a another one, b a third. Few are
    compared with all, many are sorted into partitions first."""
    monkeypatch.setattr("lensback.group.MANY", 1 if request.param == "many" else 1000)
    images, vectors = ImageStore(tmp_path / "images"), VectorStore(tmp_path / "vectors")
    seeds = (("1", 1), ("2", 1), ("3", 3), ("4", 4), ("5", 1))
    drawn = {name: _drawn(seed) for name, seed in seeds}
    quality = {"2": 60}
    put(db, "a", offer("1"), offer("3", title="Hat"))
    put(db, "b", offer("2"), offer("4", title="Hut"), offer("5", title="Рубашка"))
    rows, hashes = [], {}
    for url in pictures.to_download(db):
        name = url.url.split("/")[-1].removesuffix(".jpg")
        buffer = io.BytesIO()
        drawn[name].save(buffer, "JPEG", quality=quality.get(name, 95))
        info = images.put(buffer.getvalue())
        hashes[name] = info.hash
        rows.append(Downloaded(url, info))
    pictures.record_downloads(db, rows)
    # 1, 2 and 3 look alike to the encoder; 4 is far from all.
    del hashes["5"]  # the very file of 1; sold in one test only
    told = {"1": (1.0, 0.0), "2": (0.99, 0.141), "3": (0.9, 0.436), "4": (-1.0, 0.0)}
    matrix = np.array([told[name] for name in sorted(hashes)], np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    order = [hashes[name] for name in sorted(hashes)]
    vectors.append("f", order, matrix)
    with db.write() as c:
        made = {"fingerprint": "f", "status": "ok"}
        c.execute(update(t.offers).values(active=False).where(t.offers.c.external_id == "5"))
        c.execute(insert(t.embeddings), [{"image_hash": h, **made} for h in order])
    return db, images, vectors


def _drawn(seed: int) -> Image.Image:
    """A picture of its own: soft blobs, as even as a photograph."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return small.resize((160, 160), Image.Resampling.BICUBIC)


def test_pictures_of_two_stores_are_compared_once(
    shown_twice: tuple[Database, ImageStore, VectorStore],
) -> None:
    db, images, vectors = shown_twice
    told: list[tuple[int, int]] = []
    tally = pair_images(db, images, vectors, "f", progress=lambda *n: told.append(n))
    assert (tally.stage, tally.done, tally.notes) == ("pair", 4, {"pairs": 1})
    assert 0 < tally.seconds < 3600
    assert told == [(4, 4)]
    with db.read() as c:
        pairs = c.execute(select(t.image_pairs)).mappings().all()
        assert len(c.execute(select(t.paired_images)).all()) == 4
    assert len(pairs) == 1
    assert pairs[0]["likeness"] > 0.5
    assert grouped(db)[0] == sets("a/1 b/2", "a/3", "b/4")
    again = pair_images(db, images, vectors, "f")
    assert (again.done, again.notes) == (0, {})


def test_a_picture_that_cannot_be_read_is_like_none(
    shown_twice: tuple[Database, ImageStore, VectorStore],
) -> None:
    db, images, vectors = shown_twice
    for name in next(vectors.hashes("f")):
        images.drop(name)
    tally = pair_images(db, images, vectors, "f")
    assert (tally.done, tally.notes) == (4, {"pairs": 0})


@pytest.mark.parametrize("gone", ["24", "13", "1234"])
def test_pictures_of_one_store_or_of_none_are_not_compared(
    shown_twice: tuple[Database, ImageStore, VectorStore], gone: str
) -> None:
    """Copies within a store say nothing that its feed does not say better."""
    db, images, vectors = shown_twice
    with db.write() as c:
        o = t.offers.c
        c.execute(update(t.offers).values(active=False).where(o.external_id.in_(list(gone))))
    assert pair_images(db, images, vectors, "f").notes == {"pairs": 0}


def test_no_picture_is_a_pair_with_itself(
    shown_twice: tuple[Database, ImageStore, VectorStore],
) -> None:
    """One file that two stores show is joined as the same picture already."""
    db, images, vectors = shown_twice
    with db.write() as c:
        o = t.offers.c
        c.execute(update(t.offers).values(active=o.external_id.in_(["1", "5"])))
    pair_images(db, images, vectors, "f")
    p = t.image_pairs.c
    with db.read() as c:
        assert all(row.hash_a != row.hash_b for row in c.execute(select(p.hash_a, p.hash_b)))
    assert grouped(db)[0] == sets("a/1 b/5")


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


# Pictures that show no thing


def case(
    db: Database, tmp_path: Path, shops: dict[str, list[tuple[str, str]]], **pngs: Image.Image
) -> tuple[set[frozenset[str]], Tally]:
    """Shops of (title, picture) offers, numbered through; the pictures are files of an image store."""
    images = ImageStore(tmp_path / "images")
    n = 0
    wanted: dict[str, str] = {}
    for shop, rows in shops.items():
        put_rows = []
        for title, picture in rows:
            n += 1
            wanted[f"{n}.jpg"] = picture
            put_rows.append(offer(str(n), title=title))
        put(db, shop, *put_rows)
    rows_ = []
    for url in pictures.to_download(db):
        sink = io.BytesIO()
        pngs[wanted[url.url.split("/")[-1]]].save(sink, "PNG")
        rows_.append(Downloaded(url, images.put(sink.getvalue())))
    pictures.record_downloads(db, rows_)
    tally = group(db, images=images)
    o, found = t.offers.c, dict[str, set[str]]()
    with db.read() as c:
        for row in c.execute(select(o.external_id, o.product_id)):
            found.setdefault(row.product_id, set()).add(row.external_id)
    return {frozenset(members) for members in found.values()}, tally


def no_image() -> Image.Image:
    blank = Image.new("RGB", (300, 300), "#f0f0f0")
    blank.paste("#bbbbbb", (90, 110, 210, 190))
    blank.paste("#f0f0f0", (96, 116, 204, 184))
    return blank


WORDS = {
    "English": ("Blue evening dress", "Leather wallet"),
    "German": ("Abendkleid lang", "Geldbörse Leder"),
    "Russian": ("Вечернее платье", "Кожаный кошелёк"),
    "Greek": ("Βραδινό φόρεμα", "Δερμάτινο πορτοφόλι"),
    "two alphabets": ("Evening dress", "Кожаный кошелёк"),
}


@pytest.mark.parametrize("words", WORDS)
def test_a_placeholder_of_two_shops_joins_nothing_and_is_not_searched(
    db: Database, tmp_path: Path, words: str
) -> None:
    one, two = WORDS[words]
    shops = {"a": [(one, "blank"), ("Cap", "cap")], "b": [(two, "blank"), ("Scarf", "scarf")]}
    pngs = {"blank": no_image(), "cap": _drawn(5), "scarf": _drawn(6)}
    products, tally = case(db, tmp_path, shops, **pngs)
    assert products == {frozenset({str(n)}) for n in (1, 2, 3, 4)}
    if words != "two alphabets":
        assert tally.notes["placeholders"] == 1
        assert pictures.placeholders(db) == pictures.placeholders(db, "a") == 1


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Runner 3000 sneaker", "Sneaker Runner 3000"),
        ("Chaz hoodie grey", "Chaz Hoodie, hooded sweater"),
        ("Hoodie", "Толстовка"),
        ("WH1000XM4", "Sony headphones WH1000XM4 black"),
    ],
)
def test_one_photograph_of_five_stores_is_evidence(
    db: Database, tmp_path: Path, one: str, two: str
) -> None:
    shops = {f"s{n}": [((one, two)[n % 2], "thing")] for n in range(5)}
    products, tally = case(db, tmp_path, shops, thing=_drawn(5))
    assert products == {frozenset("12345")}
    assert "placeholders" not in tally.notes


@pytest.mark.parametrize("picture", ["photograph", "drawing"])
def test_thirty_sizes_of_one_thing_are_no_placeholder(
    db: Database, tmp_path: Path, picture: str
) -> None:
    shops = {"a": [(f"Runner sneaker {30 + n / 2:g} EU", "one") for n in range(30)]}
    _, tally = case(db, tmp_path, shops, one=_drawn(5) if picture == "photograph" else no_image())
    assert "placeholders" not in tally.notes


THINGS = (
    "Dress",
    "Wallet",
    "Jacket",
    "Trousers",
    "Scarf",
    "Umbrella",
    "Kettle",
    "Lamp",
    "Sandals",
    "Notebook",
)


def test_a_photograph_of_a_brand_shown_by_unrelated_things_is_no_thing(
    db: Database, tmp_path: Path
) -> None:
    shops = {"a": [(word, "brand") for word in THINGS], "b": [("Dress", "brand"), ("Hat", "hat")]}
    products, tally = case(db, tmp_path, shops, brand=_drawn(5), hat=_drawn(6))
    assert len(products) == 12
    assert tally.notes["placeholders"] == 1


def test_a_photograph_joins_no_things_whose_words_speak_against_it(
    db: Database, tmp_path: Path
) -> None:
    shops = {"a": [("Evening dress", "one")], "b": [("Leather wallet", "one")]}
    products, tally = case(db, tmp_path, shops, one=_drawn(5))
    assert products == sets("a/1", "b/2") or products == {frozenset("1"), frozenset("2")}
    assert tally.rejected["same picture: words that disagree"] == 1
    assert "placeholders" not in tally.notes


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("Evening dress", "Вечернее платье", False),  # a picture of the brand, beside their own
        ("Evening dress", "Leather wallet", False),
        ("Evening dress of silk", "Silk evening dress", True),
        ("Runner RS2000", "Кроссовки RS2000", True),
    ],
)
@pytest.mark.parametrize("main", [0, 1, 2])
def test_what_is_shown_among_others_joins_only_what_words_join(
    db: Database, one: str, two: str, same: bool, main: int
) -> None:
    """`main`: how many of the two show the shared picture first."""
    for n, title in enumerate((one, two)):
        urls = [f"https://s{n}.example/{n}shared.jpg", f"https://s{n}.example/{n}own.jpg"]
        put(
            db,
            f"s{n}",
            offer(str(n), title=title, image_urls=tuple(urls[:: 1 if n < main else -1])),
        )
    show(db, {"0shared.jpg": 1, "1shared.jpg": 1, "0own.jpg": 2, "1own.jpg": 3})
    found, _ = grouped(db)
    joined = same or (main == 2 and two == "Вечернее платье")
    assert found == (sets("s0/0 s1/1") if joined else sets("s0/0", "s1/1"))


@pytest.mark.parametrize(
    ("one", "two", "times", "same"),
    [
        ("Classic wool trousers", "Classic cotton trousers", 1, False),
        ("Checked silk bag", "Checked silk scarf", 1, False),
        ("Checked linen scarf X928", "Linen scarf K3953", 1, False),
        ("Red linen summer scarf", "Blue linen summer scarf", 1, False),
        ("Skirt", "Skirt", 1, False),  # the name of a kind, and no thing
        ("Linen coat", "Plain linen coat", 1, False),
        ("Plain linen coat", "Plain linen coat, lined", 1, True),
        ("Fusion backpack", "Сумки Fusion backpack", 1, True),  # of the category "Сумки", see below
        ("Fusion backpack", "Чехол Fusion backpack", 1, False),
        ("Striped linen skirt", "Linen skirt, striped", 1.9, True),
        ("Striped linen skirt", "Linen skirt, striped", 2.1, False),
        ("Runner RS2000", "Sneaker for men RS2000", 1.9, True),
        ("Runner RS2000", "Sneaker for men RS2000", 2.1, False),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_words_that_are_the_only_evidence_must_agree_in_all(
    db: Database, one: str, two: str, times: float, same: bool, swapped: bool
) -> None:
    """A picture of the brand, beside each offer's own: it proves nothing by itself."""
    for n, title in enumerate((two, one) if swapped else (one, two)):
        urls = (f"https://s{n}.example/{n}own.jpg", f"https://s{n}.example/{n}shared.jpg")
        price = Money(round(1000 * (times if n else 1)), "USD")
        told = {"image_urls": urls, "price": price, "category": "Аксессуары > Сумки"}
        put(db, f"s{n}", offer(str(n), title=title, **told))
    show(db, {"0shared.jpg": 1, "1shared.jpg": 1, "0own.jpg": 2, "1own.jpg": 3})
    found, _ = grouped(db)
    assert found == (sets("s0/0 s1/1") if same else sets("s0/0", "s1/1"))


def test_a_picture_that_shows_a_thing_again_is_searched_again(db: Database, tmp_path: Path) -> None:
    shops = {"a": [("Evening dress", "one")], "b": [("Leather wallet", "one")]}
    case(db, tmp_path, shops, one=no_image())
    assert pictures.placeholders(db) == 1
    with db.write() as c:
        c.execute(update(t.offers).values(title="Evening dress"))
    group(db, images=ImageStore(tmp_path / "images"))
    assert pictures.placeholders(db) == 0
