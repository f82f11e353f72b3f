"""Ready column maps of XML that is neither YML nor Google's: price comparisons, marketplaces, networks."""

from __future__ import annotations

from dataclasses import replace

from lensback.feeds.columns import ColumnMap, by_alias, words
from lensback.feeds.dialects import CJ, TRADEDOUBLER

KASPI = ColumnMap(
    name="kaspi",
    item="offers/offer",
    fields=words(
        id="@sku",
        title="model",
        url="url link",
        price="price cityprices/cityprice",
        brand="brand",
        image="image picture",
        availability="availabilities/availability/@available",
    ),
    marks=("kaspi_catalog",),
    currency="KZT",
)
"""Prices and stock only: without addresses of pages nothing in it can be offered."""

SKROUTZ = ColumnMap(
    name="skroutz",
    item="product",
    fields=words(
        id="id uid uniqueid @id",
        title="name title",
        url="link url",
        price="price_with_vat price",
        image="image",
        images="additional_imageurl additionalimage additional_image",
        availability="instock isinstock availability",
        quantity="quantity stock",
        brand="manufacturer brand",
        gtin="ean barcode",
        mpn="mpn",
        category="category category_name",
        description="description",
        color="color colour",
        size="size",
    ),
    marks=("product", "price_with_vat"),
    currency="EUR",
)
"""Greek price comparison: Skroutz, BestPrice."""

AWIN_XML = ColumnMap(
    name="awin",
    item="prod",
    fields=words(
        id="@id pid",
        title="text/name",
        url="uri/awtrack uri/mlink",
        target_url="uri/mlink",
        price="price/buynow price/store",
        currency="price/@curr",
        old_price="price/rrp",
        image="uri/mimage uri/awimage uri/awthumb",
        availability="@in_stock",
        quantity="stockquantity",
        brand="brand/brandname",
        gtin="ean upc isbn",
        mpn="mpn",
        category="cat/mcat cat/awcat",
        description="text/desc",
    ),
    tracked=("uri/awtrack",),
    marks=("prod", "awtrack"),
)

HEUREKA = ColumnMap(
    name="heureka",
    item="SHOPITEM",
    fields=words(
        id="item_id",
        title="productname product",
        url="url",
        price="price_vat",
        quantity="stock_quantity quantity stock stock_qty",
        delivery_days="delivery_date",
        image="imgurl",
        images="imgurl_alternative",
        brand="manufacturer",
        gtin="ean",
        mpn="productno",
        item_group_id="itemgroup_id",
        category="categorytext",
        description="description",
    ),
    marks=("shop", "shopitem", "price_vat"),
    category_separator="|",
)
"""Czech and Slovak price comparison (Heureka, Zboží.cz). The currency is the country's: say it."""

CENEO = ColumnMap(
    name="ceneo",
    item="offers/o",
    fields=words(
        id="@id",
        title="name",
        url="@url",
        price="@price",
        image="imgs/main/@url",
        images="imgs/i/@url",
        availability="@avail",
        quantity="@stock",
        brand="attrs/a[producent]",
        gtin="attrs/a[ean]",
        mpn="attrs/a[kod_producenta]",
        category="cat",
        description="desc",
    ),
    marks=("offers", "o", "imgs"),
    currency="PLN",
    category_separator="/",
    # Days until it is sent; on order; "check at the shop"; before it is sold.
    stock=by_alias({"in_stock": "1 3 7 14", "backorder": "90", "unknown": "99", "preorder": "110"}),
)

TRADETRACKER = ColumnMap(
    name="tradetracker",
    item="product",
    fields=words(
        id="@id id",
        title="name",
        url="url",
        price="price",
        currency="price/@currency",
        old_price="properties/property[fromprice]",
        images="images/image image imageurl",
        availability="properties/property[stock] properties/property[availability]",
        brand="properties/property[brand]",
        gtin="properties/property[ean]",
        mpn="properties/property[mpn] properties/property[sku]",
        color="properties/property[color] properties/property[colour]",
        size="properties/property[size]",
        gender="properties/property[gender]",
        material="properties/property[material]",
        category="categories/category/@path categories/category",
        description="description",
    ),
    tracked=("url",),
    marks=("products", "product", "properties", "property"),
)

PROM = ColumnMap(
    name="prom",
    item="items/item",
    fields=words(
        id="@id id code",
        title="name",
        url="url",
        price="priceuah priceruah",
        old_price="oldprice",
        image="image picture",
        availability="available stock presence",
        quantity="quantity_in_stock quantity stock_quantity",
        brand="vendor",
        gtin="barcode",
        mpn="vendorcode code",
        category="categoryname",
        description="description",
    ),
    marks=("items", "item", "priceuah"),
    currency="UAH",
)
"""Ukrainian price lists: Prom, Price.ua; Hotline has another name for the price."""
HOTLINE = replace(PROM, name="hotline", marks=("items", "item", "priceruah"))

XML = (
    *(KASPI, SKROUTZ, TRADEDOUBLER, TRADETRACKER, AWIN_XML, HEUREKA, CENEO, PROM, HOTLINE),
    replace(CJ, item="product"),
)
"""Of XML that is neither YML nor Google's."""
