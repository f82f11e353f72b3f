"""Feeds as they come in real life and as no format describes them: each oddity with its own small file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from lensback import feeds
from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import ColumnMap, addresses
from lensback.feeds.money import money
from lensback.ingest.dry_run import try_feed
from lensback.types import Offer, Rejected

HEAD = "id\ttitle\tlink\tprice\timage_link\n"


def line(n: int, title: str = "Hat") -> str:
    return f"{n}\t{title}\thttps://s.example/{n}\t5 EUR\thttps://s.example/{n}.jpg\n"


def read(text: str | bytes, **options: object) -> list[Offer | Rejected]:
    data = text.encode() if isinstance(text, str) else text
    return list(feeds.read(io.BytesIO(data), **options))  # type: ignore[arg-type]


def offer(text: str | bytes, **options: object) -> Offer:
    (found,) = read(text, **options)
    assert isinstance(found, Offer), found
    return found


def rss(*parts: str) -> str:
    inner = "".join(parts)
    link = "" if "<link>" in inner else "<link>https://s.example/1</link>"
    return f"<rss><channel><item><id>1</id><title>Hat</title>{link}{inner}</item></channel></rss>"


# ---- quotes that nobody closes


@pytest.mark.parametrize("opened", [[7], [7, 8], [7, 8, 2000], [4999]])
def test_a_quote_that_nobody_closes_costs_no_row(opened: list[int]) -> None:
    rows = [line(n, '"Hat' if n in opened else "Hat") for n in range(5000)]
    found = read(HEAD + "".join(rows))
    assert [row.external_id for row in found] == [str(n) for n in range(5000)]
    assert all(isinstance(row, Offer) and row.url.endswith(f"/{row.external_id}") for row in found)


def test_lines_are_true_after_an_open_quote() -> None:
    found = read(HEAD + line(1, '"Hat') + line(2) + "3\tCap\t\t5 EUR\t\n" + line(4))
    (refused,) = [row for row in found if isinstance(row, Rejected)]
    assert (refused.reason, refused.line) == ("no url", 4)


def test_a_field_of_several_lines_stays_one() -> None:
    text = 'id,title,link,price\n1,"Hat,\n\nred, green,\nblue",https://s.example/1,5 EUR\n'
    assert offer(text).title == "Hat, red, green, blue"


def test_a_file_cut_within_an_open_quote_is_cut() -> None:
    found: list[Offer | Rejected] = []
    with pytest.raises(FeedTruncated):
        found.extend(feeds.read(io.BytesIO((HEAD + line(1, '"Hat') + line(2) + "3\tC").encode())))
    text = HEAD + line(1, '"Hat') + line(2) + line(3).rstrip("\n")
    assert len(read(text)) == 3, "without a last line end it is still whole"


# ---- prices


@pytest.mark.parametrize(
    ("raw", "fallback", "shown"),
    [
        ("$12.50", "CAD", "12.50 CAD"),
        ("$12.50", "EUR", "12.50 USD"),
        ("$12.50", "", "12.50 USD"),
        ("129,00 kr", "SEK", "129.00 SEK"),
        ("kr 129", "", "no currency"),
        ("kr 129", "EUR", "no currency"),
        ("R$ 129,90", "", "129.90 BRL"),
        ("CA$12", "", "12.00 CAD"),
        ("Rs. 1,299", "INR", "1299.00 INR"),
        ("1299 р.", "BYN", "1299.00 BYN"),
        ("1299 р.", "", "1299.00 RUB"),
        ("¥1,299", "CNY", "1299.00 CNY"),
        ("ab 12,50 €", "", "12.50 EUR"),
        ("1.299,00 EUR", "", "1299.00 EUR"),
        ("1\u202f299,00\u00a0₽", "", "1299.00 RUB"),
        ("12 pieces", "EUR", "bad price"),
    ],
)
def test_signs_of_several_currencies(raw: str, fallback: str, shown: str) -> None:
    assert str(money(raw, fallback)) == shown


@pytest.mark.parametrize(
    ("dates", "price"),
    [
        ("2020-01-01T00:00+0000/2020-02-01T00:00+0000", "5.00 EUR"),
        ("2020-01-01T13:00-0800/2999-02-01T15:30-0800", "4.00 EUR"),
        ("2999-01-01/2999-02-01", "5.00 EUR"),
        ("some day", "4.00 EUR"),
        ("", "4.00 EUR"),
        ("/2020-02-01T23:59:59Z", "5.00 EUR"),
        ("2999-01-01T00:00Z/", "5.00 EUR"),
        ("2020-01-01/", "4.00 EUR"),
        ("01.01.2020 - 1.2.2020", "5.00 EUR"),
        ("01.01.2020 00:00 / 01.02.2999 23:59", "4.00 EUR"),
        ("2020-01-01 bis 2020-02-01", "5.00 EUR"),
        ("99.99.2020 - 98.98.2020", "4.00 EUR"),
        ("01/01/2020 - 02/01/2020", "4.00 EUR"),
    ],
)
def test_a_sale_that_is_over_is_no_price(dates: str, price: str) -> None:
    sale = f"<sale_price>4 EUR</sale_price><sale_price_effective_date>{dates}</sale_price_effective_date>"
    assert str(offer(rss("<price>5 EUR</price>", sale)).price) == price


def test_the_lowest_price_of_several_offers() -> None:
    """schema.org's AggregateOffer."""
    thing = {"sku": "1", "name": "Hat", "url": "https://s.example/1", "offers": {
        "lowPrice": "12.5", "highPrice": "20", "priceCurrency": "EUR", "availability": "https://schema.org/OutOfStock"}}  # fmt: skip
    (row,) = feeds.read(io.BytesIO(json.dumps([thing]).encode()))
    assert isinstance(row, Offer)
    assert (str(row.price), row.availability) == ("12.50 EUR", "out_of_stock")


# ---- pictures, addresses, links through a network


@pytest.mark.parametrize(
    "written",
    [
        ["https://s.example/1.jpg", "https://s.example/2.jpg"],
        [{"url": "https://s.example/1.jpg", "tag": ["a"]}, {"url": "https://s.example/2.jpg"}],
        [{"src": "https://s.example/1.jpg"}, None, 5, {"src": "https://s.example/2.jpg"}],
    ],
)
def test_lists_of_pictures_in_json(written: list[object]) -> None:
    wanted = ("https://s.example/1.jpg", "https://s.example/2.jpg")
    assert addresses.pictures(json.dumps(written), "").urls == wanted


def test_paths_without_a_host_take_the_stores() -> None:
    text = rss("<link>/p/1</link><price>5 EUR</price><image_link>/i/1.jpg</image_link>")
    found = offer(text, base="https://shop.example/")
    assert (found.url, found.image_urls) == (
        "https://shop.example/p/1",
        ("https://shop.example/i/1.jpg",),
    )
    assert [r.reason for r in read(text) if isinstance(r, Rejected)] == ["bad url"]


@pytest.mark.parametrize(
    "link",
    [
        "https://www.anrdoezrs.net/click-1-2?url=https%3A%2F%2Fs.example%2F1",
        "https://www.awin1.com/cread.php?awinmid=1&amp;ued=https%3A%2F%2Fs.example%2F1",
        "https://click.linksynergy.com/deeplink?id=x&amp;murl=https%3A%2F%2Fs.example%2F1",
        "https://ad.admitad.com/g/x/?ulp=https%3A%2F%2Fs.example%2F1",
    ],
)
def test_a_networks_link_is_known_by_its_host(link: str) -> None:
    found = offer(rss(f"<link>{link}</link><price>5 EUR</price>"))
    assert (found.tracked, found.target_url) == (True, "https://s.example/1")


def test_a_link_that_only_looks_like_a_networks() -> None:
    found = offer(rss("<link>https://s.example/awin1.com/1</link><price>5 EUR</price>"))
    assert (found.tracked, found.target_url) == (False, "")


# ---- what stands before the feed


def test_excel_says_its_delimiter() -> None:
    text = "sep=;\r\nid;title;link;price\r\n1;Hat;https://s.example/1;5,00 EUR\r\n2;Cap;;1 EUR\r\n"
    found, refused = read(text)
    assert str(found.price) == "5.00 EUR"  # type: ignore[union-attr]
    assert refused.line == 4  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "noise",
    [
        "<br />\n<b>Warning</b>: Undefined in <b>/x.php</b> on line <b>1</b><br />\n",
        "PHP Notice:  Undefined index: a in /x.php on line 3\n\n",
    ],
)
def test_what_php_says_before_the_document(noise: str) -> None:
    text = noise + '<?xml version="1.0"?>\n' + rss("<price>5 EUR</price>")
    assert offer(text).title == "Hat"
    (refused,) = read(text.replace("5 EUR", "-"))
    assert isinstance(refused, Rejected)
    assert refused.line == text.count("\n") + 1


def test_a_letter_from_the_server_is_no_feed() -> None:
    with pytest.raises(FeedError, match=r"error message of the server.*invalid token"):
        read('{"error": "invalid token", "code": 401}')


# ---- more dialects

CENEO = (
    '<?xml version="1.0"?><offers version="1"><o id="10" url="https://s.example/1" price="9,50"'
    ' avail="1" stock="0"><cat><![CDATA[Odzież/Czapki]]></cat><name><![CDATA[Czapka]]></name><imgs>'
    '<main url="https://s.example/1.jpg"/><i url="https://s.example/2.jpg"/></imgs><attrs>'
    '<a name="Producent">V</a><a name="EAN">4006381333931</a></attrs></o></offers>'
)
PROM = (
    '<price date="2026-01-01 00:00"><catalog><category id="1">A</category></catalog><items>'
    '<item id="10"><name>Шапка</name><categoryId>1</categoryId><priceuah>100.00</priceuah>'
    "<url>https://s.example/1</url><image>https://s.example/1.jpg</image><vendor>V</vendor>"
    "<available>true</available></item></items></price>"
)
HEUREKA = (
    "<SHOP><SHOPITEM><ITEM_ID>10</ITEM_ID><PRODUCTNAME>Čepice</PRODUCTNAME><URL>https://s.example/1"
    "</URL><IMGURL>https://s.example/1.jpg</IMGURL><PRICE_VAT>1 299,00</PRICE_VAT><MANUFACTURER>V"
    "</MANUFACTURER><CATEGORYTEXT>A | B</CATEGORYTEXT><DELIVERY><DELIVERY_PRICE>120</DELIVERY_PRICE>"
    "</DELIVERY></SHOPITEM></SHOP>"
)
CJ_XML = (
    "<catalog><product><programname>S</programname><name>Hat</name><sku>10</sku><currency>USD"
    "</currency><price>12.00</price><buyurl>https://www.anrdoezrs.net/click-1-2</buyurl><imageurl>"
    "https://s.example/1.jpg</imageurl><instock>yes</instock></product></catalog>"
)


@pytest.mark.parametrize(
    ("text", "dialect", "price", "stock"),
    [
        (CENEO, "ceneo", "9.50 PLN", "out_of_stock"),
        (PROM, "prom", "100.00 UAH", "in_stock"),
        (PROM.replace("priceuah", "priceRUAH"), "hotline", "100.00 UAH", "in_stock"),
        (CJ_XML, "cj", "12.00 USD", "in_stock"),
    ],
)
def test_price_lists_of_countries_and_networks(
    text: str, dialect: str, price: str, stock: str
) -> None:
    found = offer(text)
    assert (found.external_id, str(found.price), found.availability) == ("10", price, stock)
    assert found.image_urls[0] == "https://s.example/1.jpg"
    assert feeds.sniff(io.BytesIO(text.encode())).dialect == dialect


def test_heureka_is_read_once_its_currency_is_said() -> None:
    (refused,) = read(HEUREKA)
    assert isinstance(refused, Rejected)
    assert refused.reason == "no currency"
    dry_run = try_feed(io.BytesIO(HEUREKA.encode()))
    said = dry_run.columns.replace('# currency = "EUR"', 'currency = "CZK"')
    found = offer(HEUREKA, columns=ColumnMap.parse(said))
    assert str(found.price) == "1299.00 CZK"


PRODUCT = {
    "@type": "Product",
    "sku": "1",
    "name": "Hat",
    "image": ["https://s.example/1.jpg"],
    "brand": {"@type": "Brand", "name": "V"},
    "offers": {
        "@type": "Offer",
        "price": 12.5,
        "priceCurrency": "EUR",
        "availability": "https://schema.org/OutOfStock",
        "url": "https://s.example/1",
    },
}
CONTENT_API = {
    "offerId": "1",
    "title": "Hat",
    "link": "https://s.example/1",
    "imageLink": "https://s.example/1.jpg",
    "price": {"value": "12.50", "currency": "EUR"},
    "availability": "out of stock",
    "brand": "V",
}


@pytest.mark.parametrize("item", [PRODUCT, CONTENT_API], ids=["schema.org", "content api"])
def test_json_with_other_names(item: dict[str, object]) -> None:
    found = offer(json.dumps([item, item][:1]))
    assert (found.external_id, str(found.price), found.brand) == ("1", "12.50 EUR", "V")
    assert (found.availability, found.image_urls) == ("out_of_stock", ("https://s.example/1.jpg",))


def test_json_of_unknown_names_comes_with_a_map() -> None:
    text = json.dumps([{"artnr": "1", "navn": "Hat", "vareurl": "https://s.example/1", "pris": 5}])
    with pytest.raises(FeedError) as told:
        read(text)
    assert 'id = "artnr"' in told.value.hint
    dry_run = try_feed(io.BytesIO(text.encode()))
    assert dry_run.guessed
    assert list(dry_run.refused) == ["no currency"]


def test_stock_counts_of_yml() -> None:
    row = (
        '<offer id="{}"><url>https://s.example/1</url><price>5</price><currencyId>UAH</currencyId>'
        "<name>Hat</name><{name}>{count}</{name}></offer>"
    )
    rows = [
        row.format(n, name=name, count=count)
        for n, (name, count) in enumerate([("stock_quantity", 0), ("count", 3), ("quantity", 0)])
    ]
    text = f"<yml_catalog><shop><offers>{''.join(rows)}</offers></shop></yml_catalog>"
    stocks = [row.availability for row in read(text) if isinstance(row, Offer)]
    assert stocks == ["out_of_stock", "in_stock", "out_of_stock"]


def test_the_real_feeds_are_read_as_the_table_in_the_docs_says(data: Path) -> None:
    """Spot checks of docs/feeds-measured.md against the files themselves."""
    page = (Path(__file__).parents[1] / "docs" / "feeds-measured.md").read_text("utf-8")
    table = [row.split("|") for row in page.splitlines() if row.startswith("| `")]
    assert len(table) == len(
        [path for path in (data / "feeds").iterdir() if path.name != "README.md"]
    )
    for cells in table:
        name, found = cells[1].strip().strip("`"), cells[2].strip()
        if found.startswith("refused") or "guessed" in found:
            continue
        with (data / "feeds" / name).open("rb") as stream:
            rows = list(feeds.read(stream, base="https://base.example"))
        offers = sum(isinstance(row, Offer) for row in rows)
        assert (offers, len(rows)) == (int(cells[4]), int(cells[3])), name


def test_woocommerces_export_is_proposed_with_its_stock_and_its_price() -> None:
    """Its columns as WC_Product_CSV_Exporter names them; `Stock` is empty where nobody counts."""
    table = (
        b'ID,Type,SKU,Name,"In stock?",Stock,"Sale price","Regular price",Images,"External URL"\n'
        b"1,simple,a,Hat,0,,,12.5,https://s.example/1.jpg,https://s.example/p/1\n"
    )
    fields = feeds.propose_columns(io.BytesIO(table)).fields
    assert (fields["availability"], fields["quantity"]) == (("In stock?",), ("Stock",))
    assert (fields["price"], fields["sale_price"]) == (("Regular price",), ("Sale price",))
