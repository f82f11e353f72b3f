"""The door, and what each member makes of its own format."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lensback import feeds
from lensback.errors import ConfigError, FeedError, FeedTruncated, UnknownName
from lensback.types import Money, Offer, Rejected


def read(data: str | bytes, **options) -> list[Offer | Rejected]:
    raw = data.encode() if isinstance(data, str) else data
    return list(feeds.read(io.BytesIO(raw), **options))


def one(data: str | bytes, **options) -> Offer:
    (offer,) = read(data, **options)
    assert isinstance(offer, Offer), offer
    return offer


def reject(data: str | bytes, **options) -> Rejected:
    (row,) = read(data, **options)
    assert isinstance(row, Rejected), row
    return row


def rss(*items: str, head: str = '<?xml version="1.0"?>') -> str:
    body = "\n".join(f"<item>{item}</item>" for item in items)
    return (
        f'{head}\n<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0">\n<channel>'
        f"<title>Shop</title>\n{body}\n</channel></rss>"
    )


ITEM = "<g:id>1</g:id><title>Hat</title><link>https://s.example/1</link><g:price>5 EUR</g:price>"


def yml(*offers: str, categories: str = "", head: str = '<?xml version="1.0"?>') -> str:
    return (
        f'{head}\n<!DOCTYPE yml_catalog SYSTEM "shops.dtd">\n<yml_catalog date="2026-01-01">'
        f'<shop><name>S</name><currencies><currency id="RUR" rate="1"/></currencies>'
        f"<categories>{categories}</categories>\n<offers>\n{chr(10).join(offers)}\n"
        "</offers></shop></yml_catalog>\n"
    )


def yml_offer(inner: str = "", attributes: str = 'id="1"') -> str:
    return (
        f"<offer {attributes}><url>https://s.example/1</url><price>100</price>"
        f"<name>Шапка</name>{inner}</offer>"
    )


def test_unknown_format_is_refused_before_anything_is_read():
    with pytest.raises(UnknownName) as caught:
        feeds.read(io.BytesIO(b""), format="xls")
    assert "yml" in caught.value.hint


def test_messages_begin_with_the_name():
    with pytest.raises(FeedError, match=r"^outlet: the feed is empty"):
        read(b" \n", name="outlet")


# --- Google -----------------------------------------------------------------------------------


def test_google_item_field_by_field():
    offer = one(
        rss(
            "<g:additional_image_link>https://s.example/b.jpg</g:additional_image_link>"
            "<g:id>A-1</g:id><g:item_group_id>A</g:item_group_id><title>Coat &amp; hat</title>"
            "<link>https://s.example/a?x=1&amp;y=2</link><g:image_link>https://s.example/a.jpg</g:image_link>"
            "<g:availability>out of stock</g:availability><g:price>52.00 USD</g:price>"
            "<g:sale_price>41.60 USD</g:sale_price><g:brand>Luma</g:brand><g:mpn>M1</g:mpn>"
            "<g:gtin>4006381333931</g:gtin><g:product_type>Men &gt; Coats</g:product_type>"
            "<g:google_product_category>1604</g:google_product_category><g:gender>Male</g:gender>"
            "<g:color>Red</g:color><g:size>XL</g:size><g:condition>Used</g:condition>"
            "<g:adult>no</g:adult><g:age_group>adult</g:age_group><g:material>wool</g:material>"
            "<g:pattern>plain</g:pattern><description>&lt;p&gt;Warm&lt;/p&gt;</description>"
            "<g:shipping><g:price>9.99 USD</g:price></g:shipping>"
        )
    )
    assert offer == Offer(
        external_id="A-1",
        title="Coat & hat",
        url="https://s.example/a?x=1&y=2",
        price=Money(4160, "USD"),
        old_price=Money(5200, "USD"),
        image_urls=("https://s.example/a.jpg", "https://s.example/b.jpg"),
        availability="out_of_stock",
        brand="Luma",
        gtin="4006381333931",
        mpn="M1",
        item_group_id="A",
        color="Red",
        size="XL",
        category="Men > Coats",
        description="Warm",
        gender="male",
        age_group="adult",
        material="wool",
        pattern="plain",
        condition="used",
    )


def test_atom_entries_with_link_elements():
    offer = one(
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">'
        "<title>Shop</title><entry><g:id>7</g:id><title>Hat</title>"
        '<link href="https://s.example/7"/><g:price>5.00 GBP</g:price></entry></feed>'
    )
    assert (offer.url, offer.price) == ("https://s.example/7", Money(500, "GBP"))


def test_plain_elements_and_an_undeclared_prefix():
    plain = ITEM.replace("g:", "")
    assert one(f"<products><product>{plain}</product></products>").title == "Hat"
    assert one(f"<rss><channel><item>{ITEM}<x:y>1</x:y></item></channel></rss>").title == "Hat"


def test_a_bare_ampersand_and_html_entities_survive():
    offer = one(
        rss(
            "<g:id>1</g:id><title>Caf&eacute;&nbsp;&#150; 1 &unknown; &</title>"
            "<link>https://s.example/?alt=media&token=X&b=1</link><g:price>5 EUR</g:price>"
            "<description><![CDATA[Tom & Jerry &amp; <b>co</b> &eacute;]]></description>"
        )
    )
    assert offer.title == "Café – 1 &unknown; &"
    assert offer.url == "https://s.example/?alt=media&token=X&b=1"
    assert offer.description == "Tom & Jerry & co é"


def test_one_broken_row_stays_one():
    broken = ITEM.replace("<title>Hat</title>", "<title>Hat <3</title>")
    rows = read(rss(ITEM, broken, ITEM.replace(">1<", ">3<")))
    assert [type(row) for row in rows] == [Offer, Rejected, Offer]
    assert rows[1].reason == "broken xml"
    assert rows[1].line == 5


def test_lines_are_right_far_into_the_file():
    filler = "<g:shipping_label>\n" + "x" * 3000 + "\n\n</g:shipping_label>"
    items = [ITEM + filler] * 300 + ["<g:id>bad</g:id><title>Hat</title>"]
    text = rss(
        *items, head='<?xml version="1.0"?>\n<!-- a\ncomment & more -->\n<!DOCTYPE rss [\n]>'
    )
    rows = read(text)
    assert len(rows) == 301
    assert rows[-1].reason == "no url"
    assert text.splitlines()[rows[-1].line - 1].startswith("<item><g:id>bad")


# --- YML --------------------------------------------------------------------------------------


def test_yml_offer_field_by_field():
    offer = one(
        yml(
            '<offer id="9" type="vendor.model" available="true" group_id="g1">'
            "<url>https://s.example/9</url><price>4189</price><oldprice>4504.50</oldprice>"
            "<currencyId>RUR</currencyId><categoryId>11</categoryId>"
            "<picture>https://s.example/1.jpg</picture><picture>https://s.example/2.jpg</picture>"
            "<typePrefix>Толстовка</typePrefix><vendor>Luma</vendor><vendorCode>M-9</vendorCode>"
            "<model>Bruno</model><barcode>2000000000008</barcode><barcode>4006381333931</barcode>"
            "<description><![CDATA[<p>Тёплая & мягкая</p><!-- x --><script>no()</script>]]></description>"
            '<param name="Цвет">Синий</param><param name="Размер" unit="INT">XS</param>'
            '<param name="Пол">Мужской</param><param name="Материал">Хлопок</param>'
            '<condition type="preowned"/><adult>true</adult></offer>',
            categories='<category id="1">Одежда</category><category id="11" parentId="1">Худи</category>',
        )
    )
    assert offer == Offer(
        external_id="9",
        title="Толстовка Luma Bruno",
        url="https://s.example/9",
        price=Money(418900, "RUB"),
        old_price=Money(450450, "RUB"),
        image_urls=("https://s.example/1.jpg", "https://s.example/2.jpg"),
        brand="Luma",
        gtin="4006381333931",
        mpn="M-9",
        item_group_id="g1",
        color="Синий",
        size="XS",
        category="Одежда > Худи",
        description="Тёплая & мягкая",
        gender="male",
        material="Хлопок",
        condition="used",
        adult=True,
    )


def test_yml_name_wins_over_the_parts_and_title_stands_in():
    assert one(yml(yml_offer("<vendor>V</vendor><model>M</model>"))).title == "Шапка"
    alone = yml_offer().replace("name>", "title>")
    assert one(yml(alone)).title == "Шапка"


def test_yml_is_in_stock_only_if_attribute_and_element_say_so():
    both = 'id="1" available="true"'
    assert one(yml(yml_offer("", both))).availability == "in_stock"
    for inner in ("<available>false</available>", "<available>Out of stock</available>"):
        assert one(yml(yml_offer(inner, both))).availability == "out_of_stock"


def test_yml_delta_tombstones():
    rows = read(
        yml('<offer id="1" deleted="true"/>', yml_offer(), '<offer deleted="true" id="3" />')
    )
    assert [(row.external_id, row.deleted) for row in rows] == [
        ("1", True),
        ("1", False),
        ("3", True),
    ]


def test_yml_spellings_of_the_old_price():
    for name in ("oldprice", "oldPrice", "old_price"):
        offer = one(yml(yml_offer(f"<{name}>150</{name}>")))
        assert offer.old_price == Money(15000, "RUB")


def test_yml_category_loop_and_unknown_category():
    loop = '<category id="1" parentId="2">A</category><category id="2" parentId="1">B</category>'
    assert one(yml(yml_offer("<categoryId>1</categoryId>"), categories=loop)).category == "B > A"
    assert one(yml(yml_offer("<categoryId>77</categoryId>"))).category == ""


def test_yml_pictures_in_one_element():
    inner = "<picture> https://s.example/1.jpg | https://s.example/2.jpg |</picture>"
    assert one(yml(yml_offer(inner))).image_urls == (
        "https://s.example/1.jpg",
        "https://s.example/2.jpg",
    )


def test_yml_without_a_picture_is_still_an_offer():
    assert one(yml(yml_offer())).image_urls == ()


def test_admitad_links_in_yml_are_tracked():
    link = "https://rzekl.com/g/abc/?ulp=https%3A%2F%2Fs.example%2F1%3Fa%3D1"
    offer = one(yml(yml_offer().replace("https://s.example/1", link)))
    assert (offer.url, offer.tracked, offer.target_url) == (link, True, "https://s.example/1?a=1")


# --- tables -----------------------------------------------------------------------------------

AWIN = (
    "aw_deep_link,product_name,aw_product_id,merchant_product_id,merchant_image_url,aw_image_url,"
    "merchant_category,search_price,currency,merchant_deep_link,colour,in_stock,Fashion:suitable_for,Fashion:size\n"
)


def test_awin():
    offer = one(
        AWIN + 'https://www.awin1.com/pclick.php?p=7,"Hat, red",7,m7,https://s.example/7.jpg,'
        "https://images2.productserve.com/7.jpg,A > B,6.00,GBP,https://s.example/7,Red,0,Female,XL\n"
    )
    assert offer == Offer(
        external_id="7",
        title="Hat, red",
        url="https://www.awin1.com/pclick.php?p=7",
        price=Money(600, "GBP"),
        image_urls=("https://s.example/7.jpg",),
        availability="out_of_stock",
        color="Red",
        size="XL",
        category="A > B",
        gender="female",
        tracked=True,
        target_url="https://s.example/7",
    )


def test_awin_without_its_own_link_and_id():
    offer = one(AWIN + ",Hat,,m7,,https://aw.example/7.jpg,,6,GBP,https://s.example/7,,,,\n")
    assert (offer.external_id, offer.url, offer.tracked) == ("m7", "https://s.example/7", False)
    assert offer.image_urls == ("https://aw.example/7.jpg",)


def test_admitad():
    offer = one(
        "available;categoryId;currencyId;description;id;name;oldprice;param;picture;price;url;vendor;ad_disclosure\n"
        "true;Мужское/Футболки;RUR;;5;Футболка;900;Цвет:Белый|Размер:S|Размер:M;https://s.example/5.jpg;"
        "799.90;https://rzekl.com/g/x/?ulp=https%3A%2F%2Fs.example%2F5;V;Реклама. erid: abc\n"
    )
    assert (offer.category, offer.color, offer.size) == ("Мужское > Футболки", "Белый", "S, M")
    assert (offer.price, offer.old_price) == (Money(79990, "RUB"), Money(90000, "RUB"))
    assert (offer.tracked, offer.target_url) == (True, "https://s.example/5")
    assert offer.disclosure == "Реклама. erid: abc"


def test_google_tsv_with_spaces_in_the_header():
    offer = one(
        "id\ttitle\tlink\timage link\tadditional image link\tprice\tsale price\r\n"
        "1\tHat\thttps://s.example/1\thttps://s.example/1.jpg\t"
        "https://s.example/2.jpg,https://s.example/3.jpg\t10 USD\t8 USD\r\n"
    )
    assert offer.image_urls == tuple(f"https://s.example/{n}.jpg" for n in (1, 2, 3))
    assert offer.price == Money(800, "USD")


def test_meta_comments_and_json_paths():
    offer = one(
        "# ref_application_id 1\n\nid,title,description,availability,condition,price,link,image[0].url,image[1].url\n"
        '1,Hat,"two\nlines",available for order,new,9.99 USD,https://s.example/1,https://s.example/1.jpg,https://s.example/2.jpg\n'
    )
    assert offer.image_urls == ("https://s.example/1.jpg", "https://s.example/2.jpg")
    assert (offer.description, offer.availability) == ("two lines", "backorder")


def test_ragged_rows():
    head = "id,title,link,price,color\n"
    rows = read(
        head + "1,Hat,https://s.example/1,5 EUR\n"  # short: the rest is empty
        "2,Hat,https://s.example/2,5 EUR,red,,\n"  # long with nothing in it
        "3,Hat, red,https://s.example/3,5 EUR,red\n"  # shifted
    )
    assert [type(row) for row in rows] == [Offer, Offer, Rejected]
    assert (rows[2].reason, rows[2].line) == ("bad row", 4)


def test_line_of_a_row_behind_multi_line_fields():
    rows = read('# c\nid,title,link,price\n1,"a\nb",https://s.example/1,5 EUR\n2,Hat,,5 EUR\n')
    assert (rows[1].reason, rows[1].line, rows[1].external_id) == ("no url", 5, "2")


def test_json_lines_flat_and_nested():
    flat = '{"id": "1", "title": "Hat", "link": "https://s.example/1", "price": {"value": 5.5, "currency": "EUR"}}'
    nested = (
        '{"meta": {"id": 2}, "product_basic": {"title": "Cap", "link": "https://s.example/2",'
        ' "price": "6 EUR", "additional_image_link": ["https://s.example/a.jpg", "https://s.example/b.jpg"]}}'
    )
    rows = read(f"{flat}\n\n{nested}\nnot json\n")
    assert (rows[0].price, rows[1].external_id, len(rows[1].image_urls)) == (
        Money(550, "EUR"),
        "2",
        2,
    )
    assert (rows[2].reason, rows[2].line) == ("bad row", 4)


MAP = """
name = "odd"
tracked = ["go"]
currency = "dkk"
category_separator = "/"
[fields]
id = "nr"
title = ["navn", "produktnavn"]
url = ["go", "side"]
price = "nypris"
images = ["pic1", "pic2"]
category = "kategori"
"""


def test_custom_column_map(tmp_path: Path):
    path = tmp_path / "odd.toml"
    path.write_text(MAP)
    columns = feeds.ColumnMap.load(path)
    rows = read(
        "nr;navn;go;side;nypris;pic1;pic2;kategori\n"
        "1;Hat;https://net.example/1;https://s.example/1;49,50;https://s.example/1.jpg;https://s.example/2.jpg;A/B\n"
        "2;Cap;;https://s.example/2;5;;;\n",
        columns=columns,
    )
    assert [(row.url, row.tracked) for row in rows] == [
        ("https://net.example/1", True),
        ("https://s.example/2", False),
    ]
    assert (rows[0].price, rows[0].category) == (Money(4950, "DKK"), "A > B")
    assert len(rows[0].image_urls) == 2


def test_column_map_for_an_xml_dialect(tmp_path: Path):
    path = tmp_path / "odd.toml"
    path.write_text('row = "produkt"\n' + MAP)
    data = (
        '<?xml version="1.0" encoding="iso-8859-1"?><produkter><produkt><nr>1</nr><produktnavn>Sølv</produktnavn>'
        "<side>https://s.example/1</side><nypris>649.00</nypris></produkt></produkter>"
    )
    offer = one(data.encode(), columns=feeds.ColumnMap.load(path))
    assert (offer.title, offer.price) == ("Sølv", Money(64900, "DKK"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[fields", "odd.toml"),
        ("colour = 1", "colour"),
        ("name = 'x'", "'fields'"),
        ("[fields]\nshape = 'x'", "shape"),
        ("[fields]\nid = 1\n", "id"),
        ("[fields]\nid = 'a'\ntitle = 'b'\nurl = 'c'", "price"),
    ],
)
def test_a_wrong_column_map_names_the_key(tmp_path: Path, text: str, names: str):
    path = tmp_path / "odd.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=names):
        feeds.ColumnMap.load(path)


def test_a_missing_column_map():
    with pytest.raises(ConfigError):
        feeds.ColumnMap.load("/nowhere/odd.toml")


# --- what is no feed --------------------------------------------------------------------------

NEWS = (
    "<title>News</title><link>https://s.example/n</link><description>x</description><guid>1</guid>"
)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "empty"),
        ("\ufeff \n", "empty"),
        ("<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        ("<html>", "HTML"),
        ("<?xml version='1.0'?><!-- c --><urlset xmlns='x'><url/></urlset>", "sitemap"),
        ('<?xml version="1.0"?><?mso x?><Workbook xmlns="urn:x"/>', "Excel"),
        (rss(*[NEWS] * 3), "news"),
        ("<goods><good><a>1</a></good></goods>", "goods"),
        ("<!ELEMENT shop (offers)>\n", "DTD"),
        (yml(), "no offer"),
        ("just words\nand more\n", "neither"),
        ("a,b,c,d\n1,2,3,4\n", "column"),
        ("id,title,link,price\n", "no offer"),
        ('{"status": "ok"\n}', "JSON without"),
        ("[]", "JSON without"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
        (b"%PDF-1.7", "PDF"),
        ("# only\n# comments\n", "comments"),
    ],
)
def test_what_is_no_feed_says_what_it_seems(data: str | bytes, says: str):
    with pytest.raises(FeedError, match=says) as caught:
        read(data)
    assert caught.value.hint


def test_a_header_beyond_the_limit_of_a_field():
    with pytest.raises(FeedError, match=r"header|neither"):
        read(b"a" * 200_000 + b",b,c\n", format="table")


def test_sniff_goes_back_and_tells():
    stream = io.BytesIO(
        yml(yml_offer(), head='<?xml version="1.0" encoding="windows-1251"?>').encode("cp1251")
    )
    found = feeds.sniff(stream)
    assert (found.format, found.encoding, found.compression) == ("yml", "cp1251", "")
    assert stream.tell() == 0
    assert feeds.sniff(io.BytesIO(AWIN.encode())).dialect == "awin"
    assert feeds.sniff(io.BytesIO(b"a|b|c|d\n")).delimiter == "|"


# --- truncated --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        rss(ITEM, ITEM, ITEM),
        yml(yml_offer(), yml_offer(), yml_offer()),
        "id,title,link,price\n" + "1,Hat,https://s.example/1,5 EUR\n" * 3,
    ],
    ids=["google", "yml", "table"],
)
def test_truncated_gives_every_whole_row_and_then_says_so(text: str):
    last = text.rindex("https://s.example/1") + 8
    rows: list[object] = []
    with pytest.raises(FeedTruncated) as caught:
        rows.extend(feeds.read(io.BytesIO(text[:last].encode())))
    assert [type(row) for row in rows] == [Offer, Offer]
    assert caught.value.hint


def test_text_behind_the_end_is_no_truncation():
    assert len(read(rss(ITEM) + "\n<!-- made in 0.5 s -->\n")) == 1


# --- hostile ----------------------------------------------------------------------------------


def test_no_entity_of_the_file_is_ever_expanded(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("TOP-SECRET")
    head = (
        '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">'
        f'<!ENTITY x SYSTEM "file://{secret}"><!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p; ]>'
    )
    offer = one(rss(ITEM.replace("Hat", "Hat &b; &x;"), head=head))
    assert offer.title == "Hat &b; &x;"


def test_a_row_without_end_does_not_fill_the_memory():
    huge = "<g:label>" + "x" * (9 << 20)
    with pytest.raises(FeedTruncated):
        read(rss(ITEM, ITEM).replace("</channel></rss>", f"<item>{huge}"))


def test_deep_nesting_is_one_rejected_row():
    deep = "<a>" * 5000 + "</a>" * 5000
    rows = read(rss(ITEM + deep, ITEM))
    assert [type(row) for row in rows] == [Rejected, Offer]
