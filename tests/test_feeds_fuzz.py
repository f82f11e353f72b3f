"""Whatever the bytes are: offers, rejects or a FeedError with a hint, quickly and in bounded memory."""

from __future__ import annotations

import io
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mutations
from effort import within
from lensback import feeds
from lensback.errors import FeedError
from lensback.types import Offer, Rejected

PARTS = st.sampled_from(
    """<offer id="1"> </offer> <offer/> <yml_catalog> </yml_catalog> <shop> <offers> </offers> <rss> </rss>
    <channel> <item> </item> <entry> <price>5</price> <name>Hat</name> <url>https://s.example/1</url> <g:id>
    <![CDATA[ ]]> <!-- --> <!DOCTYPE & &amp; &#0; &nbsp; < > " ' , ; | [ ] { } {"id":1} HDR| TRL|1 id,title,link,price
    id;name;url;price 1,Hat,https://s.example/1,5 0 \ufeff \u2028 \x00 \x1f шапка {BASE}""".split()  # noqa: SIM905 - easier to read
) | st.sampled_from(["\n", "\r", "\t", " "])


def read(data: bytes, **options) -> list[Offer | Rejected]:
    try:
        return list(feeds.read(io.BytesIO(data), **options))
    except FeedError as error:
        if not error.hint:
            raise
        return []


@settings(deadline=None)  # a busy machine is no finding
@given(st.lists(PARTS, max_size=40), st.sampled_from(["utf-8", "cp1251", "utf-16"]))
def test_any_mixture_of_markup(parts: list[str], codec: str):
    for row in read("".join(parts).encode(codec, "replace"), base="http://h"):
        assert isinstance(row, Offer | Rejected)
        if isinstance(row, Rejected):
            assert row.reason


@settings(deadline=None)  # a busy machine is no finding
@given(st.binary(max_size=300), st.sampled_from(["auto", "google", "yml", "table"]))
def test_any_bytes(data: bytes, form: str):
    read(data, format=form)


@settings(deadline=None)  # a busy machine is no finding
@given(st.binary(max_size=200), st.integers(0, 2000))
def test_a_feed_with_a_hole(noise: bytes, at: int):
    offer = (
        '<offer id="{}"><url>https://s.example/1</url><price>50</price><name>Hat</name></offer>\n'
    )
    whole = f"<yml_catalog><shop><offers>{''.join(map(offer.format, range(30)))}</offers></shop></yml_catalog>"
    rows = read(whole.encode()[:at] + noise + whole.encode()[at:])
    assert len(rows) <= 31 + noise.count(b"<")


def test_a_thousand_mutations():
    rng = random.Random(20)
    seeds = mutations.corpus()
    for data in seeds:
        assert mutations.target(b"\x01" + data) in ("read", "FeedError")
    for _ in range(1000):
        with within(300):
            came = mutations.target(mutations.mutate(seeds, rng))
        assert came in ("read", "FeedError", "FeedTruncated")


@pytest.mark.parametrize(
    "unit",
    [
        "<a>",
        "<offer>",
        "<![CDATA[",
        "<!--",
        "&",
        "&#",
        '"',
        "[",
        '[{"a":',
        "<offer a='",
        "<x:y/>",
        ",",
        "]]>",
        "<?",
    ],
)
@pytest.mark.parametrize(
    "head", ["", "<yml_catalog><offers><offer>", "id,title,link,price\n", "[{"]
)
def test_repetition_takes_linear_time(unit: str, head: str):
    with within(300):
        read((head + unit * (300_000 // len(unit))).encode())


def test_a_million_refused_rows_do_not_fill_the_memory():
    def peak(rows: int) -> int:
        data = b"id,title,link,price\n" + b'1,"Hat",,5 EUR\n' * rows
        tracemalloc.start()
        for _ in feeds.read(io.BytesIO(data)):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(40_000) < 1.5 * peak(4_000) + (1 << 20)
