"""Ready column maps: how the networks and marketplaces that we know name their columns.

Where no public list of columns was to be had (Rakuten's order of columns, AWIN's XML) the map is
what publishers commonly report; a map of your own stands above it.
"""

from __future__ import annotations

from dataclasses import replace

from lensback.feeds.columns import ColumnMap, by_alias, words

GOOGLE = ColumnMap(
    name="google",
    fields=words(
        id="id guid item_id offer_id product_id sku",
        title="title name",
        url="link url product_url product_link",
        price="price",
        currency="currency price_currency",
        sale_price="sale_price saleprice",
        sale_dates="sale_price_effective_date",
        old_price="old_price oldprice price_old",
        minor_unit="currency_minor_unit minor_unit",
        image="image_link image image_url picture",
        images="additional_image_link additional_image_links additional_image_urls",
        availability="availability in_stock instock is_in_stock stock_status",
        quantity="quantity_to_sell_on_facebook inventory sell_on_google_quantity quantity stock_quantity stock qty",
        brand="brand",
        gtin="gtin ean barcode",
        mpn="mpn",
        item_group_id="item_group_id group_id",
        color="color colour",
        size="size",
        category="product_type google_product_category category fb_product_category",
        description="description summary content",
        gender="gender",
        age_group="age_group",
        material="material",
        pattern="pattern",
        condition="condition",
        adult="adult",
        disclosure="ad_disclosure",
        deleted="delta_command",
    ),
    marks=("id", "title", "price"),
)
"""Google Merchant names, for RSS, Atom, plain XML, TSV, CSV and JSON lines. Meta uses the same, OpenAI nearly,
and Prisjakt adds the command of a delta."""

OPENAI = replace(GOOGLE, name="openai", marks=("item_id", "title", "price"))
"""Its product feed names the id and the pictures otherwise."""

META = ColumnMap(
    name="meta",
    fields=GOOGLE.fields,
    marks=("id", "title", "price", "condition", "fb_product_category"),
)

AWIN = ColumnMap(
    name="awin",
    fields=words(
        id="aw_product_id merchant_product_id",
        title="product_name",
        url="aw_deep_link merchant_deep_link",
        target_url="merchant_deep_link",
        price="search_price store_price display_price",
        currency="currency",
        old_price="product_price_old rrp_price",
        # AWIN's own proxied thumbnails come last: they are small.
        image="merchant_image_url large_image image_url alternate_image alternate_image_two"
        " alternate_image_three alternate_image_four aw_image_url merchant_thumb_url aw_thumb_url",
        images="alternate_image_two alternate_image_three alternate_image_four",
        availability="in_stock stock_status is_for_sale",
        quantity="stock_quantity size_stock_amount is_for_sale",
        brand="brand_name",
        gtin="product_gtin ean upc isbn",
        mpn="mpn model_number",
        item_group_id="parent_product_id",
        color="colour",
        size="fashion:size size",
        category="merchant_product_category_path merchant_category category_name",
        description="description product_short_description",
        gender="fashion:suitable_for",
        age_group="fashion:suitable_for",
        material="fashion:material",
        pattern="fashion:pattern",
        condition="condition",
    ),
    tracked=("aw_deep_link",),
    marks=("aw_product_id", "product_name"),
)

ADMITAD = ColumnMap(
    name="admitad",
    fields=words(
        id="id",
        title="name",
        url="url",
        price="price",
        currency="currencyId",
        old_price="oldprice old_price",
        image="picture",
        images="pictures",
        availability="available",
        quantity="quantity stock_quantity count quantity_in_stock",
        brand="vendor",
        gtin="barcode",
        mpn="vendorCode model",
        item_group_id="group_id",
        category="categoryId",
        description="description",
        disclosure="ad_disclosure",
        params="param",
        deleted="deleted",
    ),
    tracked=("url",),
    marks=("currencyId", "categoryId", "name"),
    category_separator="/",
)

CJ = ColumnMap(
    name="cj",
    fields=words(
        id="sku id",
        title="name title",
        url="buyurl link",
        price="price retailprice",
        currency="currency",
        sale_price="saleprice",
        old_price="retailprice",
        image="imageurl",
        availability="instock availability",
        quantity="quantity inventory stock_quantity",
        brand="manufacturer brand",
        gtin="upc isbn gtin",
        mpn="manufacturerid mpn",
        category="advertisercategory thirdpartycategory",
        description="description",
        condition="condition",
    ),
    tracked=("buyurl",),
    marks=("sku", "buyurl", "price"),
)
"""CJ's older product catalogue; its newer ones have Google's names."""

TRADEDOUBLER_CSV = ColumnMap(
    name="tradedoubler",
    fields=words(
        id="tdproductid sourceproductid sku",
        title="name",
        url="producturl",
        target_url="sourceproducturl",
        price="price",
        currency="currency",
        old_price="previousprice",
        image="imageurl productimage",
        availability="availability",
        quantity="instock stock quantity",
        brand="brand manufacturer",
        gtin="ean upc isbn",
        mpn="mpn model",
        category="merchantcategoryname tdcategoryname",
        description="description shortdescription",
        condition="condition",
        size="size",
        color="color",
    ),
    tracked=("producturl",),
    marks=("name", "producturl", "price"),
)

ADTRACTION = ColumnMap(
    name="adtraction",
    fields=words(
        id="sku",
        title="name",
        url="trackingurl producturl",
        target_url="producturl",
        price="price",
        currency="currency",
        old_price="originalprice",
        image="imageurl",
        availability="instock",
        brand="brand",
        gtin="ean",
        mpn="manufacturerarticlenumber",
        category="category",
        description="description",
    ),
    tracked=("trackingurl",),
    marks=("name", "producturl", "trackingurl", "price"),
)
"""Nordic; the store's page and the tracked address stand side by side."""

NAVER = ColumnMap(
    name="naver",
    fields=words(
        id="id",
        title="title",
        url="link",
        price="price_pc",
        old_price="normal_price",
        image="image_link",
        images="add_image_link",
        brand="brand maker",
        gtin="barcode",
        mpn="manufacture_define_number",
        item_group_id="group_id",
        category="category_name4 category_name3 category_name2 category_name1",
        condition="condition",
        deleted="class",
    ),
    marks=("id", "title", "price_pc", "link"),
    currency="KRW",
)
"""The engine page (EP 3.0) of Naver Shopping, Korea; a summary of changes says `class` I, U or D."""

_RAKUTEN_COLUMNS = (
    "product_id product_name sku primary_category secondary_category product_url product_image_url"
    " buy_url short_description long_description discount discount_type sale_price retail_price"
    " begin_date end_date brand shipping keywords mpn manufacturer_name shipping_information"
    " availability upc class_id currency m1 pixel attribute_1 attribute_2 attribute_3 attribute_4"
    " attribute_5 attribute_6 attribute_7 attribute_8 attribute_9 attribute_10 modification"
)
RAKUTEN = ColumnMap(
    name="rakuten",
    fields=words(
        id="product_id sku",
        title="product_name",
        url="product_url buy_url",
        price="retail_price sale_price",
        currency="currency",
        sale_price="sale_price",
        image="product_image_url",
        availability="availability",
        quantity="quantity",
        brand="brand manufacturer_name",
        gtin="upc",
        mpn="mpn",
        category="secondary_category primary_category",
        description="long_description short_description",
        deleted="modification",
    ),
    tracked=("product_url",),
    category_separator="~~",
    header=tuple(_RAKUTEN_COLUMNS.split()),
)
"""Between `HDR|` and `TRL|`; a delta has one column more: I, U or D."""

READY = (AWIN, ADMITAD, META, GOOGLE, OPENAI, NAVER, CJ, ADTRACTION, TRADEDOUBLER_CSV)
"""Of tables, most telling first."""

TRADEDOUBLER = ColumnMap(
    name="tradedoubler",
    item="product",
    fields={
        **words(
            id="offers/offer/@id offers/offer/id offers/id offers/offer/@sourceproductid"
            " offers/sourceproductid @id id",
            title="name",
            url="offers/offer/producturl offers/producturl producturl",
            target_url="offers/offer/sourceproducturl offers/sourceproducturl sourceproducturl",
            price="offers/offer/pricehistory/price offers/pricehistory/price"
            " offers/offer/price offers/price price",
            currency="offers/offer/pricehistory/price/@currency"
            " offers/pricehistory/price/currency offers/offer/price/@currency currency",
            image="productimage productimage/url imageurl",
            availability="offers/offer/availability offers/availability",
            quantity="offers/offer/instock offers/instock",
            brand="brand manufacturer",
            gtin="identifiers/ean identifiers/upc ean",
            mpn="identifiers/mpn mpn",
            category="categories/category/@name categories/name",
            description="description shortdescription",
            condition="offers/offer/condition offers/condition fields/field[condition] condition",
            color="fields/field[color] fields/field[colour] color colour",
            size="size fields/field[size]",
            gender="fields/field[gender] gender",
        ),
        "images": tuple(
            name.format(n)
            for n in range(1, 10)
            for name in ("fields/field[additional_image_link_{}]", "additional_image_link_{}")
        ),
    },
    tracked=("offers/offer/producturl", "offers/producturl", "producturl"),
    marks=("product", "offers", "producturl"),
)
"""XML, and JSON with the same names."""

SCHEMA_ORG = ColumnMap(
    name="schema.org",
    fields=words(
        id="sku productid @id offers/sku mpn",
        title="name",
        url="offers/url url @id",
        price="offers/price offers/lowprice offers/pricespecification/price",
        currency="offers/pricecurrency offers/pricespecification/pricecurrency",
        image="image",
        availability="offers/availability",
        quantity="offers/inventorylevel",
        brand="brand",
        gtin="gtin gtin13 gtin14 gtin12 gtin8",
        mpn="mpn",
        item_group_id="inproductgroupwithid",
        color="color",
        size="size",
        category="category",
        description="description",
        material="material",
        pattern="pattern",
        condition="offers/itemcondition itemcondition",
    ),
    marks=("name", "offers/pricecurrency"),
)
"""JSON-LD, as shops write it into their pages: one Product an object."""

WOOCOMMERCE = ColumnMap(
    name="woocommerce",
    fields=words(
        id="id",
        title="name",
        url="permalink",
        price="prices/price",
        old_price="prices/regular_price",
        currency="prices/currency_code",
        minor_unit="prices/currency_minor_unit",
        images="images/src",
        availability="is_in_stock",
        brand="brands/name",
        category="categories/name",
        description="short_description description",
    ),
    marks=("permalink", "prices/price", "prices/currency_minor_unit"),
)
"""The Store API of WooCommerce: prices in the smallest unit, which it names."""

PARAMS = by_alias(
    {
        "color": "цвет|color|colour|колір|түс|цвет товара|основной цвет|цвет производителя",
        "size": "размер|size|розмір|размер одежды|размер обуви|размер производителя"
        "|российский размер",
        "gender": "пол|gender|sex|стать|для кого",
        "material": "материал|состав|material|composition|матеріал|склад|ткань",
        "pattern": "узор|рисунок|принт|pattern|орнамент",
        "age_group": "возраст|age|age_group|возрастная группа",
    },
    "|",
)
"""Names of YML and Admitad parameters -> field."""
