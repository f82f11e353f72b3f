"""`products.json` of a Shopify store, in the shapes that its storefronts and its Admin API publish.

Fields after the Product resource of shopify.dev (Admin REST and the Ajax API's `/products/HANDLE.js`)
and after what storefronts answer under `/products.json`.
"""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from lensback import feeds
from lensback.errors import FeedError
from lensback.feeds import ColumnMap
from lensback.ingest.dry_run import try_feed
from lensback.types import Offer, Rejected

SHOP = "https://shop.example/products.json?limit=250"
IN_EUROS = ColumnMap.parse('currency = "EUR"')


def image(number: int, *variants: int) -> dict[str, Any]:
    src = f"https://cdn.shopify.com/s/files/1/0001/{number}.jpg?v=17"
    return {"id": number, "position": number, "product_id": 7, "variant_ids": list(variants), "src": src, "width": 900, "height": 1200}  # fmt: skip


def variant(number: int, color: str, size: str, price: str = "19.90", **more: Any) -> dict[str, Any]:  # fmt: skip
    return {
        "id": number, "title": f"{color} / {size}", "option1": color, "option2": size, "option3": None,
        "sku": f"SKU-{number}", "requires_shipping": True, "taxable": True, "featured_image": None, "available": True,
        "price": price, "grams": 200, "compare_at_price": None, "position": 1, "product_id": 7, **more,
    }  # fmt: skip


def product(*variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": 7, "title": "Linen shirt", "handle": "linen-shirt", "body_html": "<p>Airy &amp; light.</p>",
        "published_at": "2026-01-02T10:00:00+01:00", "vendor": "Marlo", "product_type": "Shirts", "tags": ["linen", "summer"],
        "variants": list(variants), "images": [image(1), image(2, 71), image(3, 72)],
        "options": [{"name": "Color", "position": 1, "values": ["Red", "Blue"]}, {"name": "Size", "position": 2, "values": ["S", "M"]}],
        **more,
    }  # fmt: skip


def read(value: Any, columns: ColumnMap | None = IN_EUROS) -> list[Offer | Rejected]:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return list(feeds.read(io.BytesIO(data), columns=columns, address=SHOP))


def offers(value: Any) -> list[Offer]:
    found = read(value)
    assert all(isinstance(row, Offer) for row in found), found
    return [row for row in found if isinstance(row, Offer)]


def test_each_variant_is_an_offer_with_the_page_that_shows_it() -> None:
    red, blue = offers({"products": [product(
        variant(71, "Red", "S", "19.90", compare_at_price="29.90", barcode="4006381333931"),
        variant(72, "Blue", "M", "24.90", available=False),
    )]})  # fmt: skip
    assert (red.external_id, blue.external_id) == ("71", "72")
    assert red.url == "https://shop.example/products/linen-shirt?variant=71"
    assert blue.url == "https://shop.example/products/linen-shirt?variant=72"
    assert (str(red.price), str(red.old_price), str(blue.price)) == ("19.90 EUR", "29.90 EUR", "24.90 EUR")  # fmt: skip
    assert blue.old_price is None
    assert (red.availability, blue.availability) == ("in_stock", "out_of_stock")
    assert {red.title, blue.title} == {"Linen shirt"}
    assert (red.brand, red.category, red.description) == ("Marlo", "Shirts", "Airy & light.")
    assert (red.color, red.size, blue.color, blue.size) == ("Red", "S", "Blue", "M")
    assert {red.item_group_id, blue.item_group_id} == {"7"}
    assert (red.mpn, red.gtin, blue.gtin) == ("SKU-71", "4006381333931", "")


def names(offer: Offer) -> list[str]:
    return [url.rpartition("/")[2].partition(".")[0] for url in offer.image_urls]


def test_a_variant_has_its_own_pictures_first_and_never_another_ones() -> None:
    red, blue = offers({"products": [product(variant(71, "Red", "S"), variant(72, "Blue", "M", featured_image=image(9, 72)))]})  # fmt: skip
    assert names(red) == ["2", "1"]
    assert names(blue) == ["9", "3", "1"]
    only = product(variant(73, "Green", "S"), images=[image(2, 71), image(3, 72)])
    (green,) = offers({"products": [only]})
    assert names(green) == ["2", "3"], "another colour is better than no picture"


@pytest.mark.parametrize(
    ("option", "field"),
    [("Colour", "color"), ("Farbe", "color"), ("Цвет", "color"), ("Taille", "size"), ("Größe", "size"), ("Размер", "size"), ("Material", "material")],
)  # fmt: skip
def test_options_are_read_by_their_names_in_other_languages(option: str, field: str) -> None:
    one = product(variant(1, "X", "Y"), options=[{"name": option}, {"name": "Title"}])
    (found,) = offers({"products": [one]})
    assert getattr(found, field) == "X"
    assert [getattr(found, name) for name in ("color", "size", "material") if name != field] == ["", ""]  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("form", ["document", "array", "lines", "one"])
def test_every_way_in_which_products_are_written(form: str, indent: int | None) -> None:
    a, b = product(variant(71, "Red", "S")), product(variant(81, "Red", "M"), id=8, handle="b")
    if form == "lines":
        data = b"".join(json.dumps(each).encode() + b"\n" for each in (a, b))
    elif form == "one":
        data = json.dumps({"product": a}).encode()
    else:
        value: Any = {"products": [a, b]} if form == "document" else [a, b]
        data = json.dumps(value, indent=indent).encode()
    found = offers(data)
    assert [each.external_id for each in found] == (["71"] if form == "one" else ["71", "81"])


def test_the_ajax_form_writes_cents() -> None:
    script = {
        "id": 7, "title": "Cup", "handle": "cup", "description": "Blue", "type": "Mugs", "vendor": "Marlo", "price": 1990, "price_varies": False,
        "available": True, "images": ["//cdn.shopify.com/s/1.jpg"], "featured_image": "//cdn.shopify.com/s/1.jpg", "options": ["Color"],
        "url": "/products/cup", "variants": [{"id": 1, "option1": "Blue", "price": 1990, "compare_at_price": 2590, "available": True, "sku": "c"}],
    }  # fmt: skip
    (cup,) = offers([script])
    assert (str(cup.price), str(cup.old_price)) == ("19.90 EUR", "25.90 EUR")
    assert (cup.category, cup.color) == ("Mugs", "Blue")
    assert cup.image_urls == ("https://cdn.shopify.com/s/1.jpg",)


@pytest.mark.parametrize(
    ("product_says", "variant_says", "state"),
    [
        ({}, {"available": True}, "in_stock"), ({}, {"available": False}, "out_of_stock"),
        ({"status": "active"}, {"inventory_management": "shopify", "inventory_policy": "deny", "inventory_quantity": 0}, "out_of_stock"),
        ({"status": "active"}, {"inventory_management": "shopify", "inventory_policy": "deny", "inventory_quantity": -2}, "out_of_stock"),
        ({"status": "active"}, {"inventory_management": "shopify", "inventory_policy": "deny", "inventory_quantity": 3}, "in_stock"),
        ({"status": "active"}, {"inventory_management": "shopify", "inventory_policy": "continue", "inventory_quantity": 0}, "in_stock"),
        ({"status": "active"}, {"inventory_management": None, "inventory_policy": "deny", "inventory_quantity": 0}, "in_stock"),
        ({"status": "draft"}, {"available": True}, "out_of_stock"), ({"status": "archived"}, {}, "out_of_stock"),
    ],
)  # fmt: skip
def test_stock(product_says: dict[str, Any], variant_says: dict[str, Any], state: str) -> None:
    one = variant(1, "Red", "S")
    del one["available"]
    (found,) = offers({"products": [product(one | variant_says, **product_says)]})
    assert found.availability == state


def test_without_a_currency_it_is_said_what_to_do() -> None:
    dry_run = try_feed(io.BytesIO(json.dumps({"products": [product(variant(1, "Red", "S"))]}).encode()), address=SHOP)  # fmt: skip
    assert dry_run.refused["no currency"].count == 1
    assert any("currency" in warning for warning in dry_run.warnings())


def test_an_own_map_reads_the_product_as_it_stands() -> None:
    text = '[fields]\nid = "id"\ntitle = "title"\nurl = "handle"\nprice = "variants/price"\n'
    found = read({"products": [product(variant(1, "Red", "S"), variant(2, "Blue", "S"))]}, ColumnMap.parse('currency = "EUR"\n' + text))  # fmt: skip
    assert [row.external_id for row in found] == ["7"], "one row, whatever becomes of it"


@pytest.mark.parametrize(
    "odd",
    [
        {"variants": []}, {"variants": None}, {"variants": "x"}, {"variants": [None, 3]}, {"handle": ""}, {"title": None},
        {"images": None}, {"images": [None, 3, {"src": 4}]}, {"options": "x"}, {"options": [None, {"name": 3}]}, {"options": None},
    ],
)  # fmt: skip
def test_what_is_odd_costs_its_row_at_most(odd: dict[str, Any]) -> None:
    whole = product(variant(90, "Red", "S"), id=9)
    found = read({"products": [whole, product(variant(71, "Red", "S")) | odd, whole | {"id": 10, "variants": [variant(91, "Red", "S")]}]})  # fmt: skip
    ids = [row.external_id for row in found if isinstance(row, Offer)]
    assert ids[0] == "90"
    assert ids[-1] == "91"


def test_a_product_that_is_cut_off_is_told() -> None:
    data = json.dumps({"products": [product(variant(1, "Red", "S")), product(variant(2, "Red", "S"))]}).encode()  # fmt: skip
    with pytest.raises(FeedError):
        read(data[:-400])
