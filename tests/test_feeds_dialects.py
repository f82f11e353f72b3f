"""What marketplaces, networks and shop software write, as their own specifications, templates and plugins have
it: the price that is paid, what is in stock, the page and the picture.

Sources, by name of the case: Rozetka and Prom (their YML with `price_promo`, `price_old`, `name_ua`,
`stock_quantity`), Epicentr (`availability`), Yandex Market (`disabled`), Hotline (`stock`, `picture`), Heureka and
Zboží.cz (`DELIVERY_DATE`: days, a date, -1), Prisjakt (delta_command, download), OpenAI's product feed, Naver's
engine page 3.0, AWIN (`is_for_sale`), Adtraction, TradeTracker, ShareASale, Impact, Daisycon, belboon, Kelkoo,
billiger.de, Trovaprezzi, Salidzini, RMS of Rakuten Japan, shops of Korea and China.
"""

from __future__ import annotations

import io
import json

import pytest

from lensback import feeds
from lensback.feeds.columns import ColumnMap
from lensback.types import Offer, Rejected

PAGE, IMAGE = "https://s.example/1", "https://s.example/1.jpg"
TRACKED = "https://track.adtraction.com/t/t?url=x"


def yml(inner: str, attributes: str = ' available="true"') -> str:
    return (
        f'<yml_catalog><shop><offers><offer id="1"{attributes}><url>{PAGE}</url><currencyId>UAH</currencyId>'
        f"{inner}<picture>{IMAGE}</picture></offer></offers></shop></yml_catalog>"
    )


def hotline(inner: str) -> str:
    return (
        f"<price><items><item><id>1</id><vendor>A</vendor><name>Кеди</name><url>{PAGE}</url>"
        f"<priceRUAH>990</priceRUAH>{inner}</item></items></price>"
    )


def heureka(inner: str) -> str:
    return (
        f"<SHOP><SHOPITEM><ITEM_ID>1</ITEM_ID><PRODUCTNAME>Kolo</PRODUCTNAME><URL>{PAGE}</URL><IMGURL>{IMAGE}"
        f"</IMGURL><PRICE_VAT>250,50</PRICE_VAT>{inner}</SHOPITEM></SHOP>"
    )


def rss(inner: str) -> str:
    return (
        '<rss xmlns:g="http://base.google.com/ns/1.0" xmlns:pj="https://schema.prisjakt.nu/ns/1.0"><channel><item>'
        f"<g:id>1</g:id><title>Kopp</title><link>{PAGE}</link><g:price>5 SEK</g:price><g:image_link>{IMAGE}</g:image_link>"
        f"{inner}</item></channel></rss>"
    )


def table(columns: dict[str, str], mark: str = "\t") -> str:
    return f"{mark.join(columns)}\n{mark.join(columns.values())}\n"


NAME, PRICE = "<name>Кеди</name>", "<price>790</price>"
TRADETRACKER = (
    f'<products><product ID="1"><name>Kop</name><price currency="EUR">5.00</price><URL>{PAGE}</URL><images><image>'
    f'{IMAGE}</image></images><properties><property name="brand"><value>B</value></property><property name="stock">'
    '<value>0</value></property><property name="fromPrice"><value>7.00</value></property></properties></product></products>'
)
AWIN = {"aw_product_id": "1", "product_name": "Cup", "aw_deep_link": PAGE, "merchant_image_url": IMAGE,
        "search_price": "5", "currency": "EUR", "in_stock": "1"}  # fmt: skip
NAVER = {"id": "1", "title": "컵", "price_pc": "12900", "price_mobile": "12800", "normal_price": "15000", "link": PAGE,
         "mobile_link": PAGE + "m", "image_link": IMAGE, "category_name1": "주방", "class": "U"}  # fmt: skip
OPENAI = {
    "item_id": "1",
    "title": "Cup",
    "url": PAGE,
    "price": "79.99 USD",
    "image_url": IMAGE,
    "group_id": "g",
}
ADTRACTION = {"Sku": "1", "Name": "Kopp", "Price": "50", "Currency": "SEK", "Instock": "no", "ProductUrl": PAGE,
              "ImageUrl": IMAGE, "TrackingUrl": TRACKED, "OriginalPrice": "70"}  # fmt: skip
READ: dict[str, tuple[str, tuple[str, str, str, str]]] = {
    "Rozetka, a promotion": (yml(f"{PRICE}<price_promo>590</price_promo>{NAME}"), ("590.00 UAH", "790.00 UAH", "in_stock", PAGE)),
    "Rozetka, the old price": (yml(f"{PRICE}<price_old>990</price_old>{NAME}<stock_quantity>0</stock_quantity>"), ("790.00 UAH", "990.00 UAH", "out_of_stock", PAGE)),
    "Prom, a promotion that is none": (yml(f"{PRICE}<price_promo>890</price_promo>{NAME}"), ("790.00 UAH", "None", "in_stock", PAGE)),
    "Epicentr": (yml(f"{PRICE}<availability>out_of_stock</availability>{NAME}", ""), ("790.00 UAH", "None", "out_of_stock", PAGE)),
    "a name in Ukrainian alone": (yml(f"{PRICE}<name_ua>Кеди</name_ua>"), ("790.00 UAH", "None", "in_stock", PAGE)),
    "Yandex Market, disabled": (yml(f"{PRICE}<disabled>true</disabled>{NAME}"), ("790.00 UAH", "None", "out_of_stock", PAGE)),
    "Yandex Market, not disabled": (yml(f"{PRICE}<disabled>false</disabled>{NAME}"), ("790.00 UAH", "None", "in_stock", PAGE)),
    "Hotline": (hotline(f'<stock days="10">Під замовлення</stock><picture>{IMAGE}</picture>'), ("990.00 UAH", "None", "backorder", PAGE)),
    "Heureka, at once": (heureka("<DELIVERY_DATE>0</DELIVERY_DATE>"), ("250.50 CZK", "None", "in_stock", PAGE)),
    "Heureka, in five days": (heureka("<DELIVERY_DATE>5</DELIVERY_DATE>"), ("250.50 CZK", "None", "in_stock", PAGE)),
    "Heureka, from a day on": (heureka("<DELIVERY_DATE>2999-05-05</DELIVERY_DATE>"), ("250.50 CZK", "None", "preorder", PAGE)),
    "Heureka, since a day": (heureka("<DELIVERY_DATE>2001-05-05</DELIVERY_DATE>"), ("250.50 CZK", "None", "in_stock", PAGE)),
    "Zboží, not known": (heureka("<DELIVERY_DATE>-1</DELIVERY_DATE>"), ("250.50 CZK", "None", "unknown", PAGE)),
    "Heureka, none left": (heureka("<DELIVERY_DATE>0</DELIVERY_DATE><STOCK_QTY>0</STOCK_QTY>"), ("250.50 CZK", "None", "out_of_stock", PAGE)),
    "Prisjakt, a download": (rss("<g:availability>download</g:availability>"), ("5.00 SEK", "None", "in_stock", PAGE)),
    "Prisjakt, upsert": (rss("<pj:delta_command>upsert</pj:delta_command>"), ("5.00 SEK", "None", "in_stock", PAGE)),
    "OpenAI, a table": (table(OPENAI | {"availability": "pre_order"}), ("79.99 USD", "None", "preorder", PAGE)),
    "OpenAI, lines": (json.dumps(OPENAI | {"availability": "unknown"}) + "\n", ("79.99 USD", "None", "unknown", PAGE)),
    "Naver": (table(NAVER), ("12900 KRW", "15000 KRW", "in_stock", PAGE)),
    "Kelkoo": (table({"id": "1", "title": "Cup", "product-url": PAGE, "price": "12.50 EUR", "image-url": IMAGE, "availability": "Available on order"}), ("12.50 EUR", "None", "backorder", PAGE)),
    "AWIN, not for sale": (table(AWIN | {"is_for_sale": "0"}), ("5.00 EUR", "None", "out_of_stock", PAGE)),
    "AWIN, for sale": (table(AWIN | {"is_for_sale": "1"}), ("5.00 EUR", "None", "in_stock", PAGE)),
    "Adtraction": (table(ADTRACTION, ";"), ("50.00 SEK", "70.00 SEK", "out_of_stock", TRACKED)),
    "TradeTracker": (TRADETRACKER, ("5.00 EUR", "7.00 EUR", "out_of_stock", PAGE)),
}  # fmt: skip
"""What is read without any help: price, old price, stock, page."""


def said(row: Offer | Rejected) -> tuple[str, str, str, str]:
    assert isinstance(row, Offer), row
    return str(row.price), str(row.old_price), row.availability, row.url


@pytest.mark.parametrize("name", READ)
def test_what_is_read_without_any_help(name: str) -> None:
    text, found = READ[name]
    columns = ColumnMap.parse(f'currency = "{found[0][-3:]}"')
    (row,) = feeds.read(io.BytesIO(text.encode()), columns=columns)
    assert said(row) == found
    assert isinstance(row, Offer)
    assert row.image_urls[:1] in ((IMAGE,), ())
    assert bool(row.image_urls) or "<image" not in text.lower()


@pytest.mark.parametrize(
    "text", [rss("<pj:delta_command>remove</pj:delta_command>"), table(NAVER | {"class": "D"})]
)
def test_what_a_delta_takes_away(text: str) -> None:
    (row,) = feeds.read(io.BytesIO(text.encode()))
    assert isinstance(row, Offer)
    assert (row.external_id, row.deleted) == ("1", True)


def test_the_tracked_address_and_the_store_s_own() -> None:
    (row,) = feeds.read(io.BytesIO(table(ADTRACTION, ";").encode()))
    assert isinstance(row, Offer)
    assert (row.tracked, row.url, row.target_url) == (True, TRACKED, PAGE)
    (row,) = feeds.read(io.BytesIO(TRADETRACKER.encode()))
    assert isinstance(row, Offer)
    assert row.tracked


GUESSED: dict[str, tuple[dict[str, str], tuple[str, str, str, str]]] = {
    "ShareASale": ({"ProductID": "1", "Name": "Cup", "Link": PAGE, "Thumbnail": "https://s.example/t.jpg", "BigImage": IMAGE, "Price": "5.00", "RetailPrice": "7.00", "Status": "soldout"}, ("5.00 USD", "7.00 USD", "out_of_stock", PAGE)),
    "Impact": ({"Unique Merchant SKU": "1", "Product Name": "Cup", "Product URL": PAGE, "Image URL": IMAGE, "Current Price": "5.00", "Original Price": "7.00", "Stock Availability": "OutOfStock"}, ("5.00 USD", "7.00 USD", "out_of_stock", PAGE)),
    "Daisycon": ({"daisycon_unique_id": "1", "title": "Kop", "link": PAGE, "image_link_1": IMAGE, "price": "5.00", "price_old": "7.00", "in_stock": "false", "in_stock_amount": "0"}, ("5.00 EUR", "7.00 EUR", "out_of_stock", PAGE)),
    "belboon": ({"belboon_productnumber": "1", "productname": "Tasse", "currentprice": "5.00", "oldprice": "7.00", "deeplinkurl": PAGE, "imagesmallurl": "https://s.example/t.jpg", "imagebigurl": IMAGE, "availability": "nicht auf Lager"}, ("5.00 EUR", "7.00 EUR", "out_of_stock", PAGE)),
    "billiger.de": ({"aid": "1", "brand": "B", "name": "Tasse", "price": "12,50", "link": PAGE, "image": IMAGE, "dlv_time": "ausverkauft"}, ("12.50 EUR", "None", "out_of_stock", PAGE)),
    "Trovaprezzi": ({"Name": "Tazza", "Price": "12,50", "OriginalPrice": "15,00", "Code": "1", "Link": PAGE, "Stock": "Non disponibile", "Image": IMAGE}, ("12.50 EUR", "15.00 EUR", "out_of_stock", PAGE)),
    "Salidzini": ({"name": "Krūze", "link": PAGE, "price": "12.50", "image": IMAGE, "in_stock": "0"}, ("12.50 EUR", "None", "out_of_stock", PAGE)),
    "Allegro": ({"ID oferty": "1", "Tytuł oferty": "Kubek", "Cena PL": "12,50", "Liczba sztuk": "0", "Link": PAGE, "Zdjęcia": IMAGE}, ("12.50 PLN", "None", "out_of_stock", PAGE)),
    "Rakuten Japan": ({"商品管理番号（商品URL）": "1", "商品名": "カップ", "商品ページURL": PAGE, "販売価格": "1980", "表示価格": "2980", "在庫数": "0", "商品画像URL": IMAGE}, ("1980 JPY", "2980 JPY", "out_of_stock", PAGE)),
    "Korea": ({"상품코드": "1", "상품명": "컵", "상품URL": PAGE, "판매가": "12900", "정가": "15000", "재고수량": "0", "이미지URL": IMAGE}, ("12900 KRW", "15000 KRW", "out_of_stock", PAGE)),
    "China": ({"商品编号": "1", "商品名称": "杯", "商品链接": PAGE, "售价": "12.90", "原价": "15.00", "库存": "0", "图片链接": IMAGE}, ("12.90 CNY", "15.00 CNY", "out_of_stock", PAGE)),
}  # fmt: skip
"""What nobody reads unasked, and what the column map that is proposed makes of it."""


@pytest.mark.parametrize("name", GUESSED)
def test_what_is_proposed_is_right(name: str) -> None:
    columns, found = GUESSED[name]
    data = table(columns).encode()
    proposal = feeds.propose_columns(io.BytesIO(data))
    assert proposal
    proposed = ColumnMap.parse(f'currency = "{found[0][-3:]}"\n{proposal.toml()}')
    (row,) = feeds.read(io.BytesIO(data), columns=proposed)
    assert said(row) == found
    assert isinstance(row, Offer)
    assert row.image_urls == (IMAGE,)
