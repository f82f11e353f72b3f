"""Links and addresses as feeds really write them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback import feeds
from lensback.feeds import addresses
from lensback.ingest.collect import beside
from lensback.types import Offer

ATOM = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0" xmlns:m="http://search.yahoo.com/mrss/">{}</feed>'
RSS = (
    '<rss xmlns:g="http://base.google.com/ns/1.0" xmlns:atom="http://www.w3.org/2005/Atom" '
    'xmlns:media="http://search.yahoo.com/mrss/"><channel>{}</channel></rss>'
)
REST = "<g:id>1</g:id><g:price>5 EUR</g:price>"
PAGE = "https://s.example/cup"


def read(text: str) -> Offer:
    (row,) = feeds.read(io.BytesIO(text.encode()))
    assert isinstance(row, Offer), row
    return row


OTHERS = [
    '<link rel="self" href="https://s.example/1.atom"/>',
    '<link rel="edit" href="https://s.example/edit/1"/>',
    '<link rel="enclosure" type="image/jpeg" href="https://s.example/1.jpg"/>',
    '<link rel="alternate" type="application/json" href="https://s.example/1.json"/>',
    '<link rel="related" href="https://s.example/2"/>',
]
PAGES = [
    f'<link href="{PAGE}"/>',
    f'<link rel="alternate" href="{PAGE}"/>',
    f'<link rel="alternate" type="text/html" href="{PAGE}"/>',
]


@given(st.permutations(OTHERS), st.sampled_from(PAGES), st.integers(0, len(OTHERS)))
def test_the_page_among_the_links_of_an_entry(others: list[str], page: str, at: int):
    links = "".join([*others[:at], page, *others[at:]])
    assert read(ATOM.format(f"<entry><title>Cup</title>{links}{REST}</entry>")).url == PAGE


@given(st.permutations(["<title>Cup</title>", f"<link>{PAGE}</link>", REST,
    '<atom:link rel="self" href="https://s.example/feed.xml"/>', '<atom:link href="https://s.example/other"/>',
    "<media:title>Picture 17</media:title>", "<media:description>shot</media:description>"]))  # fmt: skip
def test_other_namespaces_do_not_speak_for_the_row(parts: list[str]):
    row = read(RSS.format(f"<item>{''.join(parts)}</item>"))
    assert (row.title, row.url) == ("Cup", PAGE)


def test_another_namespace_speaks_where_the_row_is_silent():
    text = RSS.format(
        f'<item><media:title>Cup</media:title><atom:link href="{PAGE}"/>{REST}</item>'
    )
    assert (read(text).title, read(text).url) == ("Cup", PAGE)


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("\u200bhttps://s.example/a.jpg\ufeff", "https://s.example/a.jpg"),
        ("https://s.example/a\u200d.jpg", "https://s.example/a.jpg"),
        ("\u00a0https://s.example/a.jpg\u00a0", "https://s.example/a.jpg"),
        ("https://s.example/a b\u00a0c.jpg", "https://s.example/a%20b%C2%A0c.jpg"),
        ("https://s.example/a\n.jpg", "https://s.example/a.jpg"),
        ("https:\\\\s.example\\a\\b.jpg?x=\\y", "https://s.example/a/b.jpg?x=\\y"),
        ("https:\\/\\/s.example\\/a.jpg", "https://s.example/a.jpg"),
        ("<https://s.example/a.jpg>", "https://s.example/a.jpg"),
        ("https://s.example/a{1}|2.jpg", "https://s.example/a%7B1%7D%7C2.jpg"),
        ("https://s.example/50%.jpg", "https://s.example/50%.jpg"),
        ("https://s.example/кот.jpg", "https://s.example/кот.jpg"),
        ("'https://s.example/a.jpg'", "https://s.example/a.jpg"),
        ('"https://s.example/a.jpg"', "https://s.example/a.jpg"),
        ("«https://s.example/a.jpg»", "https://s.example/a.jpg"),
        ("https:/s.example/a.jpg", "https://s.example/a.jpg"),
        ("HTTP:s.example:8080/a.jpg", "HTTP://s.example:8080/a.jpg"),
        ("https%3A%2F%2Fs.example%2Fa.jpg%3Fx%3D1", "https://s.example/a.jpg?x=1"),
        ("https://s.example/a<b>.jpg", "https://s.example/a%3Cb%3E.jpg"),
    ],
)
def test_addresses(raw: str, address: str):
    assert addresses.address(raw, "") == address
    if "\n" not in raw:  # there one address ends
        assert addresses.pictures(raw, "").urls == (address,)


def test_a_bracket_that_belongs_to_the_address_stays():
    listed = "[https://s.example/a.jpg, https://s.example/b.jpg]"
    assert addresses.pictures(listed, "").urls == (
        "https://s.example/a.jpg",
        "https://s.example/b.jpg",
    )
    assert addresses.pictures("https://s.example/a[1]", "").urls == ("https://s.example/a[1]",)


IANA = "http://www.iana.org/assignments/relation/"


@pytest.mark.parametrize(
    ("other", "page"),
    [
        ('<link REL="self" href="https://s.example/x"/>', f'<link rel="Alternate" href="{PAGE}"/>'),
        (f'<link rel="{IANA}self" href="https://s.example/x"/>', f'<link rel="{IANA}alternate" href="{PAGE}"/>'),
        ('<link rel=" self " href="https://s.example/x"/>', f'<link href=" {PAGE} "/>'),
    ],
)  # fmt: skip
def test_relations_as_they_are_written(other: str, page: str):
    assert read(ATOM.format(f"<entry><title>Cup</title>{other}{page}{REST}</entry>")).url == PAGE


@pytest.mark.parametrize("where", ["feed", "entry", "link"])
def test_a_relative_link_and_its_base(where: str):
    base = {where: ' xml:base="https://s.example/shop/"'}
    entry = f'<entry{base.get("entry", "")}><title>Cup</title><link{base.get("link", "")} href="../cup"/>{REST}</entry>'
    assert read(ATOM.replace("<feed", f"<feed{base.get('feed', '')}").format(entry)).url == PAGE


@pytest.mark.parametrize(
    "raw",
    [
        "['https://s.example/a.jpg?x=1&y=2', 'https://s.example/b.jpg']",
        "{https://s.example/a.jpg?x=1&y=2,https://s.example/b.jpg}",
        "https&#x3A;&#x2F;&#x2F;s.example/a.jpg?x=1&amp;amp;y=2\nhttps&#58;//s.example/b.jpg",
        "\u202ahttps://s.example/a.jpg?x=1&y=2\u202c\nhttps://s.example/b.jpg",
    ],
)
def test_lists_and_escapes_of_other_tools(raw: str):
    wanted = ("https://s.example/a.jpg?x=1&y=2", "https://s.example/b.jpg")
    assert addresses.pictures(raw, "").urls == wanted


BETWEEN = [", ", ";", "|", " ", "\t", ",,", "||", "^", "~~", "*", "#", "::", " | ", " - ", " – ", "<br>", "<BR />", "\\n", "%2C", "&#44;", "、", "，", "；", "','", '","']  # fmt: skip


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize(("left", "right"), [("", ""), ("[", "]"), ("(", ")"), ("{", "}")])
def test_whatever_stands_between_two_pictures(between: str, left: str, right: str):
    quote = between[0] if between in ("','", '","') else ""
    raw = f"{left}{quote}https://s.example/a.jpg{between}https://s.example/b.jpg{quote}{right}"
    assert addresses.pictures(raw, "").urls == (
        "https://s.example/a.jpg",
        "https://s.example/b.jpg",
    )
    in_table = table("https://s.example/1", raw.replace('"', '""'))
    assert read(in_table).image_urls == addresses.pictures(raw, "").urls


def test_an_address_inside_of_another_is_no_second_one():
    for raw in (
        "https://c.example/w_1/https://s.example/a.jpg",
        "https://c.example/?u=https://s.example/a",
    ):
        assert addresses.pictures(raw, "").urls == (raw,)


PERMALINKS = [
    (f"<guid>{PAGE}</guid>", PAGE),
    (f'<guid isPermaLink="true">{PAGE}</guid>', PAGE),
    (f'<guid isPermaLink=" False ">{PAGE}</guid>', "no url"),
    ("<guid>cup-1</guid>", "no url"),
    (f"<guid>{PAGE}/old</guid><link>{PAGE}</link>", PAGE),
    (f"<link> </link><guid>{PAGE}</guid>", PAGE),
]


@pytest.mark.parametrize(("parts", "found"), PERMALINKS)
def test_a_guid_is_the_page_where_no_link_is(parts: str, found: str) -> None:
    (row,) = feeds.read(
        io.BytesIO(RSS.format(f"<item><title>Cup</title>{REST}{parts}</item>").encode())
    )
    assert (row.url if isinstance(row, Offer) else row.reason) == found


@pytest.mark.parametrize(
    ("said", "found"),
    [(PAGE, PAGE), ("tag:s.example,2026:cup", "no url"), ("urn:uuid:1", "no url")],
)
def test_an_id_of_atom_is_the_page_where_no_link_is(said: str, found: str) -> None:
    entry = f"<entry><title>Cup</title><id>{said}</id>{REST}</entry>"
    (row,) = feeds.read(io.BytesIO(ATOM.format(entry).encode()))
    assert (row.url if isinstance(row, Offer) else row.reason) == found
    linked = f'<entry><title>Cup</title><id>{PAGE}/id</id><link href="{PAGE}"/>{REST}</entry>'
    assert read(ATOM.format(linked)).url == PAGE


# --- addresses of pictures that cannot be taken -----------------------------------------------------

GOOD = "https://s.example/a.jpg"


@pytest.mark.parametrize(
    ("raw", "left_out"),
    [
        (GOOD, ()),
        ("", ()),
        (f"{GOOD}\n  \n{GOOD}", ()),
        (f"{GOOD}\nno picture", (("no address", "no picture"),)),
        (f"{GOOD}\nimages/a.jpg", (("no address", "images/a.jpg"),)),
        (f"{GOOD}\nftp://s.example/a.jpg", (("no address", "ftp://s.example/a.jpg"),)),
        (f"{GOOD}\ndata:image/png;base64", (("no address", "data:image/png;base64"),)),
        (f"{GOOD}\n" + "h" * 999, (("no address", "h" * addresses.MAX_SAMPLE),)),
    ],
)
def test_image_addresses_that_are_none_are_counted(
    raw: str, left_out: tuple[tuple[str, str], ...]
) -> None:
    found = addresses.pictures(raw, "")
    assert found.left_out == left_out
    assert found.urls == ((GOOD,) if raw else ())


@given(st.integers(0, 60), st.integers(0, 60))
def test_no_image_address_is_lost_in_silence(good: int, bad: int) -> None:
    urls = [f"https://s.example/{n}.jpg" for n in range(good)] + [f"bad{n}" for n in range(bad)]
    images = "".join(f"<g:additional_image_link>{u}</g:additional_image_link>" for u in urls)
    text = RSS.format(f"<item><title>Cup</title><link>{PAGE}</link>{REST}{images}</item>")
    offer = read(text)
    assert len(offer.image_urls) == min(good, addresses.MAX_IMAGES)
    counted = [reason for reason, _ in offer.images_left_out]
    assert counted.count("no address") == min(bad, addresses.MAX_LEFT_OUT)
    if bad + good - len(offer.image_urls) <= addresses.MAX_LEFT_OUT:
        assert len(offer.image_urls) + len(counted) == good + bad


@pytest.mark.parametrize(
    "written", ["a=1&#38;b=2", "a=1&#x26;b=2", "a=1&amp;#38;b=2", "a=1&amp;b=2"]
)
def test_an_address_that_is_escaped_once_more(written: str):
    """By row and by batch; the reader of tables has no escapes of its own."""
    table = f"id,title,link,price,image_link\n1,Cup,{PAGE}?{written},5 EUR,{PAGE}.jpg?{written}\n"
    row = read(table)
    assert (row.url, row.image_urls) == (f"{PAGE}?a=1&b=2", (f"{PAGE}.jpg?a=1&b=2",))
    assert addresses.address(f"{PAGE}?{written}", "") == row.url


# --- relative addresses ---------------------------------------------------------------------------

SHOP, FEED = "https://s.example/shop", "https://s.example/feeds/google.xml"
RELATIVE = [
    # raw, with --base, with only the feed's address
    ("/p/1", f"{SHOP}/p/1", "https://s.example/p/1"),
    ("p/1", f"{SHOP}/p/1", "https://s.example/feeds/p/1"),
    ("./p/1", f"{SHOP}/p/1", "https://s.example/feeds/p/1"),
    ("../p/1", "https://s.example/p/1", "https://s.example/p/1"),
    ("?id=1", f"{SHOP}/?id=1", f"{FEED}?id=1"),
    ("p/1?a=b&amp;c=d#x", f"{SHOP}/p/1?a=b&c=d#x", "https://s.example/feeds/p/1?a=b&c=d#x"),
    ("cup.html", f"{SHOP}/cup.html", "https://s.example/feeds/cup.html"),
    ("шапки/зимняя", f"{SHOP}/шапки/зимняя", "https://s.example/feeds/шапки/зимняя"),
    (" p\\1 ", f"{SHOP}/p/1", "https://s.example/feeds/p/1"),
    ("//cdn.example/p/1", "https://cdn.example/p/1", "https://cdn.example/p/1"),
    ("www.other.example/p/1", "https://www.other.example/p/1", "https://www.other.example/p/1"),
    ("www.s.example/p/1", "https://www.s.example/p/1", "https://www.s.example/p/1"),
    ("s.example/p/1", "https://s.example/p/1", "https://s.example/p/1"),
    ("https://o.example/p/1", "https://o.example/p/1", "https://o.example/p/1"),
    *((none, "", "") for none in ("n/a", "N/A", "-", "none", "нет", "no link", "mailto:a@s.example",
      "javascript:void(0)", "ftp://s.example/1", "#", "tel:+49 1", "http:/p", "&nbsp;")),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "by_base", "by_feed"), RELATIVE)
def test_relative_addresses(raw: str, by_base: str, by_feed: str) -> None:
    for base, feed, wanted in (
        (SHOP, "", by_base),
        (SHOP + "/", FEED, by_base),
        ("", FEED, by_feed),
    ):
        assert addresses.address(raw, base, feed) == wanted
    alone = raw.strip().startswith(("//", "www.", "https:"))
    assert bool(addresses.address(raw, "")) == alone


def table(link: str, image: str) -> str:
    return f'id,title,link,price,image_link\n1,Cup,{link},5 EUR,"{image}"\n'


def in_rss(link: str, image: str, base: str = "") -> str:
    base = f' xml:base="{base}"' if base else ""
    return (
        f"<rss{base}><channel><item><title>Cup</title><link>{link}</link><g:id>1</g:id><g:price>5 EUR</g:price>"
        f"<g:image_link>{image}</g:image_link></item></channel></rss>"
    )


@pytest.mark.parametrize("made", [table, in_rss])
@pytest.mark.parametrize(
    "where", [{"base": SHOP}, {"address": FEED}, {"base": SHOP, "address": FEED}, {}]
)
def test_a_row_of_relative_addresses(made: object, where: dict[str, str]) -> None:
    text = made("p/1", "img/1.jpg")  # type: ignore[operator]
    (row,) = feeds.read(io.BytesIO(text.encode()), **where)
    if not where:
        assert not isinstance(row, Offer)
        assert row.reason == "bad url"
        return
    at = "https://s.example/shop" if "base" in where else "https://s.example/feeds"
    assert isinstance(row, Offer)
    assert (row.url, row.image_urls) == (f"{at}/p/1", (f"{at}/img/1.jpg",))


def test_xml_base_stands_above_both() -> None:
    text = in_rss("p/1", "../img/1.jpg", "https://x.example/y/")
    (row,) = feeds.read(io.BytesIO(text.encode()), base=SHOP, address=FEED)
    assert isinstance(row, Offer)
    assert row.url == "https://x.example/y/p/1"
    assert row.image_urls == ("https://x.example/img/1.jpg",)


def test_a_list_of_relative_pictures() -> None:
    for listed in (
        "a/1.jpg, a/2.jpg",
        "a/1.jpg|a/2.jpg",
        "/shop/a/1.jpg;/shop/a/2.jpg",
        '["a/1.jpg","a/2.jpg"]',
    ):
        found = addresses.pictures(listed, "https://s.example", "")
        assert [url.rsplit("/", 1)[1] for url in found.urls] == ["1.jpg", "2.jpg"], listed
    assert addresses.pictures("no picture, sorry", SHOP).left_out


@pytest.mark.parametrize(
    ("feed", "address"),
    [
        ("https://u:secret@s.example/f/x.xml?token=abc", "https://s.example/f/x.xml"),
        ("https://p.example/apikey/0123456789/fid/1", ""),
        ("ftp://s.example/x.xml", ""),
        ("/srv/x.xml", ""),
    ],
)
def test_no_secret_of_the_feeds_address_gets_into_links(feed: str, address: str) -> None:
    assert beside(feed) == address


# --- pictures elsewhere, amounts with their currency beside ---------------------------------------

MRSS = 'xmlns:media="http://search.yahoo.com/mrss/"'
ONE_ITEM = '<rss xmlns:g="http://base.google.com/ns/1.0"><channel><item><title>Cup</title><link>{}</link>{}{}</item></channel></rss>'
PICTURED = [
    ('<enclosure url="https://s.example/a.jpg" type="image/jpeg" length="1"/>', ["a"]),
    ('<enclosure url="https://s.example/a.mp4" type="video/mp4"/>', []),
    (f'<media:content {MRSS} url="https://s.example/a.jpg" medium="image"/>', ["a"]),
    (f'<media:content {MRSS} url="https://s.example/a.jpg?w=9"/>', ["a"]),
    (f'<media:thumbnail {MRSS} url="https://s.example/a.jpg"/>', ["a"]),
    (f'<media:group {MRSS}><media:content url="https://s.example/a.jpg" type="image/png"/></media:group>', ["a"]),
    (f'<g:image_link>https://s.example/b.jpg</g:image_link><media:content {MRSS} url="https://s.example/a.jpg"/>', ["b"]),
    ("<g:image_link>https://s.example/b.jpg</g:image_link><g:image_link>https://s.example/a.jpg</g:image_link>", ["b", "a"]),
    (f'<media:content {MRSS} url="https://s.example/a.pdf"/>', []),
]  # fmt: skip


@pytest.mark.parametrize(("inner", "found"), PICTURED)
def test_where_rss_has_its_pictures(inner: str, found: list[str]) -> None:
    urls = read(ONE_ITEM.format(PAGE, REST, inner)).image_urls
    assert [url.partition("?")[0] for url in urls] == [f"https://s.example/{x}.jpg" for x in found]


@pytest.mark.parametrize("name", ["currency", "currencyCode", "currencyId"])
def test_an_amount_has_its_currency_in_an_attribute(name: str) -> None:
    price = (
        f'<g:id>1</g:id><g:price {name}="SEK">129,90</g:price><g:size currency="EUR">40</g:size>'
    )
    row = read(ONE_ITEM.format(PAGE, price, ""))
    assert (str(row.price), row.size) == ("129.90 SEK", "40")


@pytest.mark.parametrize(
    "inner",
    ["<pictures><picture>{0}</picture><picture>{1}</picture></pictures>", "<image>{0}</image><image>{1}</image>",
     "<images><image>{0}</image><image>{1}</image></images>", "<picture>{0}</picture><pictures>{1}</pictures>"],
)  # fmt: skip
def test_where_yml_has_its_pictures(inner: str) -> None:
    pictures = ("https://s.example/a.jpg", "https://s.example/b.jpg")
    text = (
        "<yml_catalog><shop><offers><offer id='1'><url>https://s.example/1</url><price>5</price>"
        f"<currencyId>RUB</currencyId><name>Cup</name>{inner.format(*pictures)}<presence>false</presence>"
        "</offer></offers></shop></yml_catalog>"
    )
    row = read(text)
    assert (row.image_urls, row.availability) == (pictures, "out_of_stock")


@pytest.mark.parametrize("depth", range(5))
def test_json_in_one_line_whose_offers_lie_deep(depth: int) -> None:
    text = '[{"id":1,"title":"Cup","link":"https://s.example/cup","price":"5 EUR","images":[{"src":"x"}]}]'
    for n in range(depth):
        text = f'{{"level{n}": {text}, "count": 1}}'
    assert read(text).url == PAGE
