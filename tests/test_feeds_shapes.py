"""Rows of XML that are read by their shape say what each says alone."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from lensback import feeds
from lensback.feeds import batch, dialects, google
from lensback.feeds.columns import ColumnMap
from lensback.feeds.elements import BASE
from lensback.feeds.markup import GOOGLE_NAMESPACE

G = "{" + GOOGLE_NAMESPACE + "}"
TAGS = [
    *("title", "link", "guid", "description", "enclosure", "content", "price", "picture"),
    *(
        G + name
        for name in ("id", "price", "image_link", "additional_image_link", "size", "shipping")
    ),
    *("{urn:m}title", "{urn:m}content", "{urn:m}group", "{urn:a}link", "product_link"),
]
ATTRIBUTES = [
    *({}, {}, {}, {"currency": "EUR"}, {"url": "https://s.example/e.jpg", "type": "image/jpeg"}),
    *({"href": "https://s.example/h"}, {"rel": "self"}, {BASE: "https://b.example/x/"}),
]
TEXTS = st.sampled_from(
    [None, "", " ", "5", "a b", "p/1.html", "https://s.example/1", "x" * 30_000]
)
TRACKED = ColumnMap("own", {"id": ("id",), "title": ("title",), "url": ("link", "product_link"), "price": ("price",)}, tracked=("link",))  # fmt: skip


@st.composite
def elements(draw: Any) -> Any:
    made = etree.Element(draw(st.sampled_from(TAGS)), draw(st.sampled_from(ATTRIBUTES)))
    made.text = draw(TEXTS)
    if draw(st.integers(0, 7)) == 0:
        etree.SubElement(made, draw(st.sampled_from(TAGS)), draw(st.sampled_from(ATTRIBUTES))).text = draw(TEXTS)  # fmt: skip
    return made


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.lists(elements(), max_size=6), min_size=1, max_size=5),
    st.lists(st.integers(0, 4), max_size=8),
    st.sampled_from([dialects.GOOGLE, TRACKED]),
    st.sampled_from(["", "https://b.example/y/"]),
)
def test_rows_by_shape_are_the_rows(rows: Any, again: list[int], columns: ColumnMap, base: str):
    tree = etree.Element("rows", {BASE: base} if base else {})
    for row in [*rows, *(rows[i] for i in again if i < len(rows))]:
        item = etree.SubElement(tree, "item")
        for element in row:
            item.append(etree.fromstring(etree.tostring(element)))
    reader = google._Rows(columns)
    alone = batch.columns_of([reader._row(row) for row in tree])
    if columns is dialects.GOOGLE:
        google._add_permalinks(alone, list(tree))
    found = reader.columns(list(tree))
    assert {name: list(values) for name, values in found.items()} == {
        name: list(values) for name, values in alone.items() if any(values)
    }


def test_one_shape_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    places = google.Picker.places
    monkeypatch.setattr(
        google.Picker, "places", lambda self, name: asked.append(name) or places(self, name)
    )
    item = "<item><g:id>{}</g:id><title>Hat</title><link>https://s.example/1</link><g:price>5 EUR</g:price></item>"
    rows = "".join(item.format(n) for n in range(5000))
    rss = f'<rss xmlns:g="{GOOGLE_NAMESPACE}"><channel>{rows}</channel></rss>'
    assert len(list(feeds.read(io.BytesIO(rss.encode())))) == 5000
    assert len(asked) == 4


def test_a_usual_feed_is_read_without_what_is_dear_to_load() -> None:
    """The lists of stock, the table of currencies, a client of HTTP: each takes longer than the feed."""
    script = (
        "import io, sys; from lensback import feeds; from lensback.feeds import stock; print("
        "len(list(feeds.read(io.BytesIO(b'id,title,link,price,availability,gtin\\n1,Hat,https://s.example/1,"
        "5.00 EUR,in stock,4006381333931\\n')))), '_lists' in vars(stock.known()), "
        "sorted({'iso4217', 'ssl', 'urllib.request', 'chardet', 'stdnum'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.split(maxsplit=2) == ["1", "False", "[]\n"]
