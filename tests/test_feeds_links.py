"""Links and addresses as feeds really write them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback import feeds
from lensback.feeds import clean
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
    ],
)
def test_addresses(raw: str, address: str):
    assert clean.address(raw, "") == address
    if "\n" not in raw:  # there one address ends
        assert clean.pictures(raw, "").urls == (address,)


def test_a_bracket_that_belongs_to_the_address_stays():
    listed = "[https://s.example/a.jpg, https://s.example/b.jpg]"
    assert clean.pictures(listed, "").urls == ("https://s.example/a.jpg", "https://s.example/b.jpg")
    assert clean.pictures("https://s.example/a[1]", "").urls == ("https://s.example/a[1]",)


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
    assert clean.pictures(raw, "").urls == wanted


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
        (f"{GOOD}\n" + "h" * 999, (("no address", "h" * clean.MAX_SAMPLE),)),
    ],
)
def test_image_addresses_that_are_none_are_counted(
    raw: str, left_out: tuple[tuple[str, str], ...]
) -> None:
    found = clean.pictures(raw, "")
    assert found.left_out == left_out
    assert found.urls == ((GOOD,) if raw else ())


@given(st.integers(0, 60), st.integers(0, 60))
def test_no_image_address_is_lost_in_silence(good: int, bad: int) -> None:
    urls = [f"https://s.example/{n}.jpg" for n in range(good)] + [f"bad{n}" for n in range(bad)]
    images = "".join(f"<g:additional_image_link>{u}</g:additional_image_link>" for u in urls)
    text = RSS.format(f"<item><title>Cup</title><link>{PAGE}</link>{REST}{images}</item>")
    offer = read(text)
    assert len(offer.image_urls) == min(good, clean.MAX_IMAGES)
    counted = [reason for reason, _ in offer.images_left_out]
    assert counted.count("no address") == min(bad, clean.MAX_LEFT_OUT)
    if bad + good - len(offer.image_urls) <= clean.MAX_LEFT_OUT:
        assert len(offer.image_urls) + len(counted) == good + bad


@pytest.mark.parametrize(
    "written", ["a=1&#38;b=2", "a=1&#x26;b=2", "a=1&amp;#38;b=2", "a=1&amp;b=2"]
)
def test_an_address_that_is_escaped_once_more(written: str):
    """By row and by batch; the reader of tables has no escapes of its own."""
    table = f"id,title,link,price,image_link\n1,Cup,{PAGE}?{written},5 EUR,{PAGE}.jpg?{written}\n"
    row = read(table)
    assert (row.url, row.image_urls) == (f"{PAGE}?a=1&b=2", (f"{PAGE}.jpg?a=1&b=2",))
    assert clean.address(f"{PAGE}?{written}", "") == row.url
