"""The formats of networks and marketplaces, and column maps for the rest."""

from __future__ import annotations

import io
import json

import pytest

from lensback import feeds
from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import ColumnMap
from lensback.types import Money, Offer, Rejected


def read(data: str | bytes, **options) -> list[Offer | Rejected]:
    raw = data.encode() if isinstance(data, str) else data
    return list(feeds.read(io.BytesIO(raw), **options))


def one(data: str | bytes, **options) -> Offer:
    (offer,) = read(data, **options)
    assert isinstance(offer, Offer), offer
    return offer


# --- YML: the other types ---------------------------------------------------------------------

TYPES = {
    "book": "<author>A. B.</author><name>Книга</name>",
    "audiobook": "<author>A. B.</author><name>Книга</name><format>mp3</format>",
    "artist.title": "<artist>X</artist><title>Книга</title><media>DVD</media>",
    "tour": "<worldRegion>Африка</worldRegion><name>Книга</name><days>7</days>",
    "event-ticket": "<name>Книга</name><place>Зал</place><date>2026-01-01</date>",
    "medicine": "<name>Книга</name><pharma/>",
    "alco": "<name>Книга</name><barcode>4006381333931</barcode>",
    "vendor.model": "<typePrefix>Книга</typePrefix><vendor/><model/>",
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_yml_offer(kind: str):
    offer = one(
        f'<yml_catalog><shop><offers><offer id="1" type="{kind}" available="true">'
        f"<url>https://s.example/1</url><price>20</price><currencyId>RUR</currencyId>{TYPES[kind]}"
        "<delivery-options><option cost='1' days='2'/></delivery-options>"
        "</offer></offers></shop></yml_catalog>"
    )
    assert (offer.title, offer.price) == ("Книга", Money(2000, "RUB"))


# --- Rakuten ----------------------------------------------------------------------------------


def rakuten(*rows: str, count: int | None = None) -> str:
    count = len(rows) if count is None else count
    return "\n".join(["HDR|123|Shop|01/02/2026 10:00:00", *rows, f"TRL|{count}"]) + "\n"


def rakuten_row(number: str, more: str = "") -> str:
    return (
        f'{number}|Hat, "red"|SKU{number}|Clothing|Hats~~Warm hats|'
        f"https://click.linksynergy.com/link?id=x&offerid={number}|https://s.example/{number}.jpg||"
        f"Short|Long text|||8.00|10.00|||Brand||hat,red|MPN1|Maker||in stock|4006381333931|60|USD||{more}"
    )


def test_rakuten():
    offer = one(rakuten(rakuten_row("7")))
    assert offer == Offer(
        external_id="7",
        title='Hat, "red"',
        url="https://click.linksynergy.com/link?id=x&offerid=7",
        price=Money(800, "USD"),
        old_price=Money(1000, "USD"),
        image_urls=("https://s.example/7.jpg",),
        brand="Brand",
        gtin="4006381333931",
        mpn="MPN1",
        category="Hats > Warm hats",
        description="Long text",
        tracked=True,
    )


def test_rakuten_delta():
    delta = rakuten(rakuten_row("1", "|" * 11 + "U"), rakuten_row("2", "|" * 11 + "D"))
    assert [(row.external_id, row.deleted) for row in read(delta)] == [("1", False), ("2", True)]


@pytest.mark.parametrize(
    "text",
    [rakuten(rakuten_row("1"), count=2), rakuten(rakuten_row("1")).replace("TRL|1\n", "")],
    ids=["too few rows", "no trailer"],
)
def test_rakuten_truncated(text: str):
    rows: list[object] = []
    with pytest.raises(FeedTruncated):
        rows.extend(feeds.read(io.BytesIO(text.encode())))
    assert len(rows) == 1


def test_rakuten_rows_that_are_none():
    rows = read(rakuten("1|too|short", rakuten_row("2")))
    assert (rows[0].reason, rows[0].line) == ("bad row", 2)
    assert rows[1].external_id == "2"


# --- Admitad ----------------------------------------------------------------------------------


def test_admitad_deltas():
    table = (
        "id;name;price;currencyId;categoryId;url;deleted\n"
        "1;Hat;50;RUB;A/B;https://ad.admitad.com/g/x/?ulp=https%3A%2F%2Fs.example%2F1;\n2;;;;;;true\n"
    )
    offer, gone = read(table)
    assert (offer.tracked, offer.target_url) == (True, "https://s.example/1")
    assert (gone.external_id, gone.deleted) == ("2", True)


# --- CJ, Tradedoubler, AWIN -------------------------------------------------------------------


def test_cj_with_its_own_names_and_with_google_names():
    old = one(
        "PROGRAMNAME|NAME|SKU|BUYURL|IMAGEURL|PRICE|SALEPRICE|CURRENCY|INSTOCK|MANUFACTURER\n"
        "Shop|Hat|7|https://www.anrdoezrs.net/click-1-2?url=x|https://s.example/7.jpg|10.00|8.00|USD|yes|B\n"
    )
    assert (old.external_id, old.price, old.tracked) == ("7", Money(800, "USD"), True)
    new = one(
        "ID,TITLE,LINK,IMAGE_LINK,PRICE\n7,Hat,https://s.example/7,https://s.example/7.jpg,8 USD\n"
    )
    assert (new.external_id, new.image_urls) == ("7", ("https://s.example/7.jpg",))


TRADEDOUBLER = """<?xml version="1.0" encoding="UTF-8"?>
<result><products><product><name>Hat</name><brand>B</brand><description>Warm</description>
<productImage height="10">https://s.example/7.jpg</productImage>
<fields><field name="additional_image_link_1">https://s.example/7b.jpg</field>
<field name="condition">used</field></fields>
<offers><offer id="td7"><productUrl>https://clk.tradedoubler.com/click?p=1</productUrl>
<sourceProductUrl>https://s.example/7</sourceProductUrl><availability>in stock</availability>
<priceHistory><price currency="SEK" date="1">99.50</price></priceHistory></offer></offers>
</product></products></result>"""


def test_tradedoubler_xml():
    offer = one(TRADEDOUBLER)
    assert (offer.external_id, offer.title, offer.brand) == ("td7", "Hat", "B")
    assert (offer.price, offer.condition) == (Money(9950, "SEK"), "used")
    assert offer.image_urls == ("https://s.example/7.jpg", "https://s.example/7b.jpg")
    assert (offer.tracked, offer.target_url) == (True, "https://s.example/7")


def test_tradedoubler_json():
    document = {
        "productHeader": {"totalHits": 1},
        "products": [
            {
                "name": "Hat",
                "brand": "B",
                "productImage": {"url": "https://s.example/7.jpg"},
                "fields": [
                    {"name": "additional_image_link_1", "value": "https://s.example/7b.jpg"}
                ],
                "offers": [
                    {
                        "id": "td7",
                        "productUrl": "https://clk.tradedoubler.com/click?p=1",
                        "sourceProductUrl": "https://s.example/7",
                        "priceHistory": [{"price": {"value": "99.50", "currency": "SEK"}}],
                    }
                ],
            }
        ],
    }
    for text in (json.dumps(document), json.dumps(document, indent=2)):
        offer = one(text)
        assert (offer.external_id, offer.price, offer.tracked) == ("td7", Money(9950, "SEK"), True)
        assert offer.image_urls == ("https://s.example/7.jpg", "https://s.example/7b.jpg")


def test_awin_enhanced_lines():
    offer = one(
        '{"meta":{"advertiser_id":1001,"advertiser_name":"Shop"},"product_basic":{"id":"7","title":"Hat",'
        '"link":"https://s.example/7","image_link":"https://s.example/7.jpg"},'
        '"product_price":{"price":{"value":9.5,"currency":"GBP"}},"brand":{"name":"B"}}\n'
    )
    assert (offer.title, offer.price, offer.brand) == ("Hat", Money(950, "GBP"), "B")


def test_awin_xml():
    offer = one(
        '<cafProductFeed><datafeed id="1"><prod id="7" in_stock="no"><brand><brandName>B</brandName></brand>'
        '<cat><mCat>A &gt; B</mCat></cat><price curr="GBP"><buynow>9.50</buynow></price>'
        "<text><name>Hat</name></text><uri><awTrack>https://www.awin1.com/pclick.php?p=7</awTrack>"
        "<mImage>https://s.example/7.jpg</mImage><mLink>https://s.example/7</mLink></uri></prod></datafeed>"
        "</cafProductFeed>"
    )
    assert (offer.external_id, offer.price, offer.tracked) == ("7", Money(950, "GBP"), True)
    assert (offer.target_url, offer.availability) == ("https://s.example/7", "out_of_stock")


# --- marketplaces -----------------------------------------------------------------------------


def test_kaspi_has_no_addresses():
    rows = read(
        '<kaspi_catalog xmlns="kaspiShopping"><offers>\n<offer\n sku="a"><model>Phone</model>'
        '<availabilities><availability available="no"/></availabilities><price>350000</price></offer>'
        "</offers></kaspi_catalog>"
    )
    assert [(row.reason, row.line, row.external_id) for row in rows] == [("no url", 2, "a")]


def test_skroutz():
    offer = one(
        "<mywebstore><created_at>x</created_at><products><product><id>7</id><name>Hat</name>"
        "<link>https://s.example/7</link><image>https://s.example/7.jpg</image>"
        "<additional_imageurl>https://s.example/8.jpg</additional_imageurl><instock>N</instock>"
        "<price_with_vat>9.50</price_with_vat><manufacturer>B</manufacturer></product></products></mywebstore>"
    )
    assert (offer.price, offer.brand, offer.availability) == (
        Money(950, "EUR"),
        "B",
        "out_of_stock",
    )
    assert len(offer.image_urls) == 2


# --- JSON -------------------------------------------------------------------------------------

ITEM = {"id": 1, "title": "Hat", "link": "https://s.example/1", "price": "5.50 EUR"}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("wrap", [lambda items: items, lambda items: {"ok": True, "items": items}])
def test_json_documents(indent: int | None, wrap):
    items = [ITEM | {"id": n} for n in range(3000)]
    rows = read(json.dumps(wrap(items), indent=indent))
    assert [row.external_id for row in rows] == [str(n) for n in range(3000)]
    assert rows[7].price == Money(550, "EUR")


def test_json_documents_that_break_off():
    text = json.dumps([ITEM | {"id": n} for n in range(3000)])
    for cut in (text[: len(text) // 2], text.replace('"id": 1500', '"id": oops')):
        rows: list[object] = []
        with pytest.raises(FeedTruncated):
            rows.extend(feeds.read(io.BytesIO(cut.encode())))
        assert 1400 < len(rows) < 1600


def test_json_lines_of_refused_rows():
    text = "[\n" + ",\n".join([json.dumps(ITEM), json.dumps(ITEM | {"link": ""}), "7"]) + "\n]\n"
    assert [(row.reason, row.line) for row in read(text)[1:]] == [("no url", 3), ("bad row", 4)]


def test_meta_lists_in_json_and_in_paths():
    offer = one(
        "id,title,price,link,image_link,additional_image_link\n"
        '1,Hat,5 EUR,https://s.example/1,https://s.example/1.jpg,"[""https://s.example/2.jpg"",""https://s.example/3.jpg""]"\n'
    )
    assert len(offer.image_urls) == 3


# --- column maps ------------------------------------------------------------------------------

PATHS = """
item = "products/product"
[fields]
id = "@code"
title = "info/name"
url = "info/link/@href"
price = "price"
currency = "price/@currency"
images = "media/picture"
color = "attribute[Colour]"
"""


def test_paths_and_attributes():
    offer = one(
        '<shop><product>not this one</product><products><product code="7"><info><name>Hat</name>'
        '<link href="https://s.example/7"/></info><price currency="PLN">9,50</price><media><picture>'
        "https://s.example/a.jpg</picture><picture>https://s.example/b.jpg</picture></media>"
        '<attribute name="Colour">red</attribute></product></products></shop>',
        columns=ColumnMap.parse(PATHS),
    )
    assert (offer.external_id, offer.title, offer.url) == ("7", "Hat", "https://s.example/7")
    assert (offer.price, offer.color) == (Money(950, "PLN"), "red")
    assert len(offer.image_urls) == 2


def test_a_table_without_a_header():
    columns = ColumnMap.parse(
        'header = ["nr", "name", "go", "cost"]\ncurrency = "EUR"\n'
        '[fields]\nid = "nr"\ntitle = "name"\nurl = "go"\nprice = "cost"\n'
    )
    rows = read("1;Hat;https://s.example/1;5\n2;Cap;;6\n", columns=columns)
    assert (rows[0].title, rows[1].line) == ("Hat", 2)


UNKNOWN = """<varer><vare><varenummer>7</varenummer><navn>Hue</navn><link>https://s.example/7</link>
<pris valuta="DKK">49,50</pris><billede>https://s.example/7.jpg</billede></vare>
<vare><varenummer>8</varenummer><navn>Hat</navn><link>https://s.example/8</link>
<pris valuta="DKK">59,50</pris><billede>https://s.example/8.jpg</billede></vare></varer>"""


def test_an_unknown_dialect_comes_with_a_map_that_reads_it():
    with pytest.raises(FeedError, match="varer") as caught:
        read(UNKNOWN)
    hint, _, toml = caught.value.hint.partition("\n\n")
    assert "--columns" in hint
    rows = read(UNKNOWN, columns=ColumnMap.parse(toml))
    assert [(row.title, str(row.price)) for row in rows] == [
        ("Hue", "49.50 DKK"),
        ("Hat", "59.50 DKK"),
    ]
    assert rows[0].image_urls == ("https://s.example/7.jpg",)


def test_an_unknown_table_comes_with_a_map_too():
    text = "nr;navn;vareurl;pris;valuta\n7;Hue;https://s.example/7;49,50;DKK\n"
    with pytest.raises(FeedError, match="lacks") as caught:
        read(text)
    toml = caught.value.hint.partition("\n\n")[2]
    assert one(text, columns=ColumnMap.parse(toml)).price == Money(4950, "DKK")


def test_a_format_that_is_named_must_be_the_format():
    for form, data in (("yml", "id,title,link,price\n"), ("table", UNKNOWN)):
        with pytest.raises(FeedError) as caught:
            read(data, format=form)
        assert "auto" in caught.value.hint
