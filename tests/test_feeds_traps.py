"""Every trap that was met in real feeds, each with a small feed that has it."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
from pathlib import Path

import pytest

from lensback import feeds
from lensback.errors import FeedError, FeedTruncated
from lensback.types import Money, Offer, Rejected


def read(data: str | bytes, **options) -> list[Offer | Rejected]:
    raw = data.encode() if isinstance(data, str) else data
    return list(feeds.read(io.BytesIO(raw), **options))


def yml(*offers: str, head: str = '<?xml version="1.0"?>', currencies: str = "") -> str:
    listed = "\n".join(offers)
    return (
        f"{head}<yml_catalog><shop>{currencies}<offers>\n{listed}\n</offers></shop></yml_catalog>"
    )


def offer(number: int = 1, **parts: str) -> str:
    told = {"url": f"https://s.example/{number}", "price": "50", "currencyId": "RUB", "name": "Hat"}
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in (told | parts).items() if value)
    return f'<offer id="{number}">{inner}</offer>'


def test_bare_ampersands_in_addresses():
    (row,) = read(yml(offer(url="https://s.example/?alt=media&token=X&b=1&amp;c=2")))
    assert row.url == "https://s.example/?alt=media&token=X&b=1&c=2"


def test_html_entities_do_not_hide_the_rest():
    (row,) = read(yml(offer(name="Caf&eacute;&nbsp;&laquo;A&raquo; &#8470;7 &amp;nbsp;end")))
    assert row.title == "Café «A» №7 end"


def test_ampersands_in_cdata_are_left_alone():
    inner = "<![CDATA[R&D &amp; co <offer id='x'> </offers>]]>"
    (row,) = read(yml(offer(description=inner)))
    assert row.description == "R&D & co"


@pytest.mark.parametrize("kind", ["SYSTEM", "PUBLIC 'x'"])
def test_no_external_entity_is_read(kind: str, tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP-SECRET")
    head = f"<!DOCTYPE yml_catalog [<!ENTITY x {kind} '{secret.as_uri()}'>]>"
    (row,) = read(yml(offer(name="Hat &x;"), head=head))
    assert row.title == "Hat &x;"


def test_billion_laughs_cost_nothing():
    entities = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))
    head = f"<!DOCTYPE yml_catalog [<!ENTITY l0 'lol'>{entities}]>"
    (row,) = read(yml(offer(name="Hat &l11;"), head=head))
    assert row.title == "Hat &l11;"


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress], ids=["plain", "gzip"])
def test_a_truncated_file_says_so_after_its_whole_rows(pack):
    data = yml(*[offer(n, description="x" * 500) for n in range(2000)]).encode()
    packed = pack(data)
    rows: list[object] = []
    with pytest.raises(FeedTruncated):
        rows.extend(feeds.read(io.BytesIO(packed[: len(packed) * 3 // 4])))
    assert rows
    assert all(isinstance(row, Offer) for row in rows)
    assert len({row.title for row in rows}) == 1  # no half-filled last one


def test_only_the_closing_tag_is_missing():
    with pytest.raises(FeedTruncated):
        read(yml(offer()).removesuffix("</offers></shop></yml_catalog>"))


def test_latin_1_that_is_really_utf_8():
    head = '<?xml version="1.0" encoding="iso-8859-1"?>'
    (row,) = read(yml(offer(name="Kenwood spiraliseringstilbehør"), head=head))
    assert row.title == "Kenwood spiraliseringstilbehør"


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "windows-1251"])
def test_byte_order_marks_and_old_code_pages(codec: str):
    head = f'<?xml version="1.0" encoding="{codec.removesuffix("-sig")}"?>'
    (row,) = read(yml(offer(name="Шапка"), head=head).replace("\n", "\r\n").encode(codec))
    assert row.title == "Шапка"


def test_utf_16_without_a_mark():
    for codec in ("utf-16-le", "utf-16-be"):
        (row,) = read(yml(offer(name="Шапка")).encode(codec))
        assert row.title == "Шапка"
    assert codecs.BOM_UTF16_LE not in yml(offer()).encode("utf-16-le")


def test_duplicate_ids_come_out_twice_for_ingest_to_count():
    assert [row.external_id for row in read(yml(offer(1), offer(1)))] == ["1", "1"]


def test_a_missing_address_is_a_reject_with_its_line():
    rows = read(yml(offer(1), offer(2, url=""), "<!-- a\nb -->", offer(3, url=" ")))
    assert [(row.reason, row.line) for row in rows[1:]] == [("no url", 3), ("no url", 6)]


def test_old_roubles_are_roubles():
    currencies = (
        '<currencies><currency id="RUR" rate="1"/><currency id="USD" rate="90"/></currencies>'
    )
    rows = read(yml(offer(currencyId=""), offer(2, currencyId="RUR"), currencies=currencies))
    assert [row.price for row in rows] == [Money(5000, "RUB")] * 2


def test_a_price_of_one_where_all_cost_that():
    rows = read(yml(*[offer(n, price="1") for n in range(1, 8)]))
    assert {row.reason for row in rows} == {"placeholder price"}
    assert [row.line for row in rows] == [2, 3, 4, 5, 6, 7, 8]


def test_a_real_price_of_one_among_others():
    rows = read(yml(offer(1, price="1"), *[offer(n) for n in range(2, 20)]))
    assert rows[0].price == Money(100, "RUB")


@pytest.mark.parametrize(
    ("price", "minor", "code"),
    [("50DKK", 5000, "DKK"), ("370 DKK", 37000, "DKK"), ("18000 XOF", 18000, "XOF")],
)
def test_prices_with_their_currency(price: str, minor: int, code: str):
    (row,) = read(f"id,title,link,price\n1,Hat,https://s.example/1,{price}\n")
    assert row.price == Money(minor, code)


def test_no_price_and_title_for_name():
    (row,) = read(yml(offer(name="", title="Gearbox", price="")))
    assert (row.reason, row.external_id) == ("no price", "1")


def test_dirty_numbers_are_dropped_not_the_offer():
    dirty = ("7891234567890", "2000000000008", "0000000000000", "12345", "ABC", "4006381333932")
    for number in dirty:
        (row,) = read(yml(offer(barcode=number)))
        assert row.gtin == ""
    (row,) = read(yml(offer(barcode="4006381333931")))
    assert row.gtin == "4006381333931"


def test_several_currencies_in_one_feed():
    prices = ("10.00 USD", "10.00 EUR", "10.00 TRY", "1000 XOF", "1.250 KWD")
    lines = [f"{n},Hat,https://s.example/{n},{price}" for n, price in enumerate(prices)]
    rows = read("id,title,link,price\n" + "\n".join(lines) + "\n")
    assert [str(row.price) for row in rows] == [
        "10.00 USD",
        "10.00 EUR",
        "10.00 TRY",
        "1000 XOF",
        "1.250 KWD",
    ]


def test_comments_inside_offers_and_cyrillic_elements():
    inner = "<!-- <price>1</price> & --><Снятые_запчасти>да</Снятые_запчасти>"
    (row,) = read(yml(offer().replace("</offer>", inner + "</offer>")))
    assert row.price == Money(5000, "RUB")


def test_control_characters_and_broken_bytes_cost_a_character_not_a_row():
    told = "Шапка зимняя, тёплая, с ушами"
    data = yml(offer(1, name="H\x0bat\x00", description=told), offer(2, name="Cap")).encode()
    data = data.replace(b"Cap", b"Ca\xffp")
    assert [row.title for row in read(data)] == ["Hat", "Ca\ufffdp"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            '<?xml version="1.0" encoding="windows-1252"?><urlset><url><loc>x</loc></url></urlset>',
            "sitemap",
        ),
        ("<sitemapindex><sitemap/></sitemapindex>", "sitemap index"),
        (
            "<rss><channel><item turbo='true'><link>https://s.example/1</link></item></channel></rss>",
            "news",
        ),
        ('<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?><Workbook/>', "Excel"),
        ("<!ELEMENT yml_catalog (shop)>\n<!ATTLIST offer id CDATA #IMPLIED>", "DTD"),
        ('<?xml version="1.0"?>\n<!-- dtd -->\n<!ELEMENT shop (offers)>', "DTD"),
        ("<dataset><row a='1'/><row a='2'/></dataset>", "dataset"),
        ("<!DOCTYPE html><html><body>Login</body></html>", "HTML"),
    ],
)
@pytest.mark.parametrize("form", ["auto", "google"])
def test_what_poses_as_a_feed(data: str, says: str, form: str):
    if form == "google" and says == "dataset":
        says = "no offer"
    with pytest.raises(FeedError, match=says) as caught:
        read(data, format=form)
    assert caught.value.hint


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


def test_a_zip_gives_its_one_feed():
    data = yml(offer()).encode()
    packed = zipped(readme__txt=b"hello", logo__png=b"x", feed__xml=data)
    assert len(read(packed)) == 1
    assert len(read(zipped(export__txt=data))) == 1


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"a__csv": b"x", "b__csv": b"y"}, "2 files"),
        ({"logo__png": b"x", "terms__pdf": b"y"}, "no file that could be a feed: logo.png"),
    ],
)
def test_a_zip_that_is_not_clear(members: dict[str, bytes], says: str):
    with pytest.raises(FeedError, match=says):
        read(zipped(**members))


def test_a_bomb_is_refused_long_before_the_cap():
    bomb = gzip.compress(b"id,title,link,price\n" + b"x" * (32 << 20))
    with pytest.raises(FeedError, match="times its size"):
        read(bomb)


def test_lines_are_true_far_beyond_what_a_parser_counts():
    filler = "\n" * 1000
    rows = read(yml(*[offer(n, description=filler) for n in range(80)], offer(99, url="")))
    assert rows[-1].line == 80 * 1001 + 2
    assert (80 * 1001 + 2) > 65535


def test_a_row_that_begins_over_several_lines_is_told_by_its_first():
    rows = read(yml("<offer\n\n id='1'\n><name>Hat</name></offer>", offer(2, url="")))
    assert [row.line for row in rows] == [2, 6]
