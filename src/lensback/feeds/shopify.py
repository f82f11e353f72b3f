"""`products.json` of a Shopify store: a product with its variants becomes a row for each variant.

The shapes, as the platform writes them: `/products.json` (`{"products": […]}`, prices as text),
`/products/HANDLE.json` (`{"product": {…}}`) and `/products/HANDLE.js` (the product itself, its prices
whole numbers of cents, which `price_varies` gives away). The page of a product is `/products/HANDLE`,
that of a variant has `?variant=ID` behind it. None names the currency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from lensback.feeds.propose import target_of

Row = dict[str, str]
"""Names of Google Merchant -> text, as `dialects.GOOGLE` knows them."""
_MADE_OF = ("color", "size", "material")
_CLOSED = {"draft", "archived"}


def rows(item: Mapping[str, Any]) -> list[Row]:
    """A row for each variant of a product; none where the object is no product of Shopify."""
    inner = item.get("product")
    product = inner if isinstance(inner, dict) else item
    variants = product.get("variants")
    if not isinstance(variants, list) or not (_page(product) and _text(product, "title")):
        return []
    return [_row(product, one) for one in variants if isinstance(one, dict)]


def _row(product: Mapping[str, Any], variant: Mapping[str, Any]) -> Row:
    number, prices = _text(variant, "id"), "price_varies" in product
    image, *more = [*dict.fromkeys(_images(product, variant))] or [""]
    made = {
        "id": number,
        "title": _text(product, "title"),
        "link": f"{_page(product)}?variant={number}" if number else _page(product),
        "price": _text(variant, "price"),
        "old_price": _text(variant, "compare_at_price"),
        "minor_unit": "2" if prices else "",
        "image_link": image,
        "additional_image_link": "\n".join(more),
        "availability": _stock(product, variant),
        "brand": _text(product, "vendor"),
        "product_type": _text(product, "product_type") or _text(product, "type"),
        "description": _text(product, "body_html") or _text(product, "description"),
        "item_group_id": _text(product, "id"),
        "gtin": _text(variant, "barcode"),
        "mpn": _text(variant, "sku"),
    }
    return made | dict(_options(product, variant))


def _page(product: Mapping[str, Any]) -> str:
    handle = _text(product, "handle")
    return f"/products/{quote(handle)}" if handle else ""


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _stock(product: Mapping[str, Any], variant: Mapping[str, Any]) -> str:
    """What the storefront says (`available`); an export of the shop's own says how many are left, and
    whether that counts."""
    if _text(product, "status") in _CLOSED or variant.get("available") is False:
        return "out of stock"
    counts = variant.get("inventory_management") and variant.get("inventory_policy") == "deny"
    left = _text(variant, "inventory_quantity")
    if "available" not in variant and counts and left:
        return "in stock" if left.isdecimal() and int(left) > 0 else "out of stock"
    return "in stock"


def _images(product: Mapping[str, Any], variant: Mapping[str, Any]) -> Iterator[str]:
    """Those of the variant first, then those of no variant: another one's show another colour."""
    yield _address(variant.get("featured_image"))
    listed = product.get("images")
    images = listed if isinstance(listed, list) else []
    owners = [_owners(image) for image in images]
    number = variant.get("id")
    for image, whose in zip(images, owners, strict=True):
        if number in whose or (whose and number is None):
            yield _address(image)
    for image, whose in zip(images, owners, strict=True):
        if not whose:
            yield _address(image)
    if not any(number in whose or not whose for whose in owners):  # better another colour than none
        yield from map(_address, images)


def _owners(image: Any) -> list[Any]:
    found = image.get("variant_ids") if isinstance(image, dict) else None
    return found if isinstance(found, list) else []


def _address(image: Any) -> str:
    if isinstance(image, dict):
        return _text(image, "src")
    return image if isinstance(image, str) else ""


def _options(product: Mapping[str, Any], variant: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What `option1` to `option3` of a variant say, by the names of the product's options."""
    listed = product.get("options")
    for at, option in enumerate(listed if isinstance(listed, list) else [], 1):
        name = option if isinstance(option, str) else _text(option, "name") if isinstance(option, dict) else ""  # fmt: skip
        target = target_of(name) if name else None
        if target in _MADE_OF:
            yield target, _text(variant, f"option{at}")
