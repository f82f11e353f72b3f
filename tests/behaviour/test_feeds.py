"""One suite for every member: the same three things, told in each format, are the same offers."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lensback import feeds
from lensback.errors import FeedError, FeedTruncated
from lensback.types import Offer, Rejected

NAMES = ("id", "title", "link", "price", "image_link", "brand", "color", "availability")
GOODS = [
    ("a1", "Red hat", "{BASE}/a1", "10.50", "{BASE}/a1.jpg", "Luma", "Red", "1"),
    ("a2", "Синяя шапка", "{BASE}/a2?x=1&y=2", "1299", "{BASE}/a2.jpg", "Luma", "Blue", "0"),
    ("a3", "Grüne Mütze", "{BASE}/a3", "7.05", "{BASE}/a3.jpg", "Other", "", "1"),
]


def escaped(value: str) -> str:
    return value.replace("&", "&amp;")


def google_rss() -> str:
    items = "".join(
        "<item>{}</item>\n".format(
            "".join(
                f"<g:{name}>{escaped(value + (' EUR' if name == 'price' else ''))}</g:{name}>"
                for name, value in zip(NAMES, row, strict=True)
            )
        )
        for row in GOODS
    )
    return f'<rss xmlns:g="http://base.google.com/ns/1.0"><channel>\n{items}</channel></rss>'


def google_atom() -> str:
    return (
        google_rss()
        .replace("<rss ", '<feed xmlns="http://www.w3.org/2005/Atom" ')
        .replace("</channel></rss>", "</feed>")
        .replace("<channel>", "")
        .replace("item>", "entry>")
    )


def yml() -> str:
    offers = "".join(
        f'<offer id="{i}" available="{"true" if stock == "1" else "false"}"><name>{title}</name>'
        f"<url>{escaped(url)}</url><price>{price}</price><currencyId>EUR</currencyId><picture>{image}</picture>"
        f'<vendor>{brand}</vendor><param name="Color">{color}</param></offer>\n'
        for i, title, url, price, image, brand, color, stock in GOODS
    )
    return f"<yml_catalog><shop><offers>\n{offers}</offers></shop></yml_catalog>"


def delimited(mark: str, names: tuple[str, ...] = NAMES) -> Callable[[], str]:
    def make() -> str:
        lines = [mark.join((*names, "currency"))]
        lines += [mark.join((*row, "EUR")) for row in GOODS]
        return "\n".join(lines) + "\n"

    return make


def json_lines() -> str:
    lines = [dict(zip(NAMES, row, strict=True)) | {"currency": "EUR"} for row in GOODS]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


AWIN = (
    *("aw_product_id", "product_name", "aw_deep_link", "search_price", "merchant_image_url"),
    *("brand_name", "colour", "in_stock"),
)
ADMITAD = ("id", "name", "url", "price", "picture", "vendor", "x", "available")

MEMBERS: dict[str, Callable[[], str]] = {
    "rss": google_rss,
    "atom": google_atom,
    "yml": yml,
    "csv": delimited(","),
    "tsv": delimited("\t"),
    "pipes": delimited("|"),
    "awin": delimited(",", AWIN),
    "admitad": lambda: (
        delimited(";", ADMITAD)()
        .replace("currency", "currencyId;categoryId;param")
        .replace(";EUR\n", ";EUR;;Color:\n")
    ),
    "jsonl": json_lines,
}


def rows(data: bytes, base: str = "https://s.example/shop/") -> list[Offer | Rejected]:
    return list(feeds.read(io.BytesIO(data), base=base))


@pytest.mark.parametrize("member", MEMBERS)
def test_the_same_offers(member: str):
    found = rows(MEMBERS[member]().encode())
    told = [
        (o.external_id, o.title, o.url, str(o.price), o.image_urls, o.brand, o.availability)
        for o in found
    ]
    base = "https://s.example/shop"
    assert told == [
        ("a1", "Red hat", f"{base}/a1", "10.50 EUR", (f"{base}/a1.jpg",), "Luma", "in_stock"),
        (
            "a2",
            "Синяя шапка",
            f"{base}/a2?x=1&y=2",
            "1299.00 EUR",
            (f"{base}/a2.jpg",),
            "Luma",
            "out_of_stock",
        ),
        ("a3", "Grüne Mütze", f"{base}/a3", "7.05 EUR", (f"{base}/a3.jpg",), "Other", "in_stock"),
    ]
    if member != "admitad":
        assert [o.color for o in found] == ["Red", "Blue", ""]
    assert all(o.tracked == (member in ("awin", "admitad")) for o in found)


@pytest.mark.parametrize("member", MEMBERS)
def test_without_a_base_each_row_needs_one(member: str):
    found = rows(MEMBERS[member]().encode(), base="")
    assert [(row.reason, row.external_id) for row in found] == [
        ("needs base", name) for name in ("a1", "a2", "a3")
    ]
    lines = MEMBERS[member]().splitlines()
    assert all(row.external_id in lines[row.line - 1] for row in found)


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_encodings_and_gzip(member: str, codec: str):
    text = MEMBERS[member]()
    assert rows(gzip.compress(text.encode(codec))) == rows(text.encode())


@pytest.mark.parametrize("member", MEMBERS)
def test_line_ends_do_not_matter(member: str):
    text = MEMBERS[member]()
    assert rows(text.replace("\n", "\r\n").encode()) == rows(text.encode())


@pytest.mark.parametrize("member", MEMBERS)
def test_a_missing_field_is_counted_with_its_line(member: str):
    text = MEMBERS[member]().replace("1299 EUR", "").replace("1299", "")
    found = rows(text.encode())
    assert [type(row) for row in found] == [Offer, Rejected, Offer]
    assert (found[1].reason, found[1].external_id) == ("no price", "a2")
    assert "a2" in text.splitlines()[found[1].line - 1]


@pytest.mark.parametrize("member", MEMBERS)
def test_cut_in_the_middle_of_the_last_row(member: str):
    text = MEMBERS[member]()
    cut = text[: text.rindex("a3") + 1].encode()
    found: list[Offer | Rejected] = []
    with pytest.raises(FeedTruncated):
        found.extend(feeds.read(io.BytesIO(cut), base="https://s.example"))
    assert [row.external_id for row in found] == ["a1", "a2"]


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("step", [1, 3, 50])
def test_any_chunking_gives_the_same(member: str, step: int):
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(step)

    data = MEMBERS[member]().encode()
    assert list(feeds.read(Slow(data), base="https://s.example/shop/")) == rows(data)


def drain(data: bytes) -> None:
    """Only offers, rejects and FeedError may come out."""
    with suppress(FeedError):
        for row in feeds.read(io.BytesIO(data), base="https://s.example", max_bytes=1 << 22):
            assert isinstance(row, Offer | Rejected)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\x1f\x8b", b"BZh9", b"PK\x03\x04", b"<rss>", b"<yml_catalog>"]),
)
def test_random_bytes_never_escape(data: bytes, magic: bytes):
    drain(magic + data)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(MEMBERS)),
    st.sampled_from(["plain", "gzip", "zip"]),
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.sampled_from(["cut", "flip", "insert", "repeat"]),
            st.binary(max_size=12),
        ),
        max_size=4,
    ),
)
def test_mutated_feeds_never_escape(
    member: str, container: str, changes: list[tuple[float, str, bytes]]
):
    data = MEMBERS[member]().encode()
    if container == "gzip":
        data = gzip.compress(data)
    elif container == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("f", data)
        data = out.getvalue()
    for place, kind, extra in changes:
        at = int(place * len(data))
        tail = {
            "cut": b"",
            "flip": extra + data[at + len(extra) :],
            "insert": extra + data[at:],
            "repeat": data[max(0, at - 200) :],
        }[kind]
        data = data[:at] + tail
    drain(data)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<rss>",
                "<channel>",
                "<item>",
                "</item>",
                "<offer ",
                "<offer id='1'>",
                "/>",
                "</offer>",
                "<![CDATA[",
                "]]>",
                "<!--",
                "-->",
                "<!DOCTYPE",
                "[",
                "]",
                ">",
                "<",
                "&",
                "&amp;",
                "&#0;",
                "&nbsp;",
                "<?",
                "?>",
                "<yml_catalog>",
                "</yml_catalog>",
                "<price>5</price>",
                "<name>x</name>",
                "<url>https://s.example</url>",
                '"',
                "\n",
                "x:y",
                "<g:id>1</g:id>",
                "\ud800",
                "\x00",
            ]
        ),
        max_size=40,
    )
)
def test_shuffled_markup_never_escapes(tokens: list[str]):
    drain(("<yml_catalog><offers>" + "".join(tokens)).encode("utf-8", "surrogatepass"))
    drain(("<rss><channel>" + "".join(tokens)).encode("utf-8", "surrogatepass"))
