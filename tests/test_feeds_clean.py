"""The shared cleaning: words, addresses, money."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effort import within
from lensback import gtins
from lensback.feeds import clean, columns, dialects, money, stock
from lensback.types import AVAILABILITIES, Money, Offer, Rejected

ROW = {"id": "1", "title": "Hat", "url": "https://s.example/1", "price": "5 EUR"}


def made(**fields: str) -> Offer | Rejected:
    return clean.offer({**ROW, **fields}, clean.RowRules())


def test_examples_in_the_docstrings():
    for module in (clean, columns, dialects, money, stock):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": " "}, "no id"),
        ({"id": "x" * 201}, "bad id"),
        ({"title": "<b></b>"}, "no title"),
        ({"url": ""}, "no url"),
        ({"url": "ftp://s.example/1"}, "bad url"),
        ({"url": "javascript:alert(1)"}, "bad url"),
        ({"url": "https://user:pw@s.example/1"}, "bad url"),
        ({"url": "https:///x"}, "bad url"),
        ({"url": "https://s.example/" + "x" * 5000}, "bad url"),
        ({"url": "{BASE}/1"}, "needs base"),
        ({"images": "{BASE}/1.jpg"}, "needs base"),
        ({"price": ""}, "no price"),
        ({"price": "0.00 EUR"}, "bad price"),
        ({"price": "-5 EUR"}, "bad price"),
        ({"price": "call us"}, "bad price"),
        ({"price": "10-20 EUR"}, "bad price"),
        ({"price": "5 XXQ"}, "bad price"),
        ({"price": "9" * 30 + " EUR"}, "bad price"),
        ({"price": "5"}, "no currency"),
    ],
)
def test_reasons(fields: dict[str, str], reason: str):
    row = made(**fields)
    assert isinstance(row, Rejected)
    assert row.reason == reason


@pytest.mark.parametrize(
    ("raw", "minor", "code"),
    [
        ("15.00 USD", 1500, "USD"),
        ("370 DKK", 37000, "DKK"),
        ("50DKK", 5000, "DKK"),
        ("18000 XOF", 18000, "XOF"),
        ("1 299,00 ₽", 129900, "RUB"),
        ("1\u00a0299,00\u202fруб.", 129900, "RUB"),
        ("249,90 EUR", 24990, "EUR"),
        ("€ 1.299,50", 129950, "EUR"),
        ("$1,299.50", 129950, "USD"),
        ("1,299 USD", 129900, "USD"),
        ("1.299 EUR", 130, "EUR"),
        ("KWD 12.345", 12345, "KWD"),
        ("1'299.00 CHF", 129900, "CHF"),
        ("1.299.000 IDR", 129900000, "IDR"),
        ("49,- DKK", 4900, "DKK"),
        ("от 500 руб", 50000, "RUB"),
        ("100 RUR", 10000, "RUB"),
    ],
)
def test_prices_as_written(raw: str, minor: int, code: str):
    assert clean.money(raw) == Money(minor, code)


def test_sale_and_old_prices():
    offer = made(sale_price="4.50")
    assert (offer.price, offer.old_price) == (Money(450, "EUR"), Money(500, "EUR"))
    assert made(sale_price="6 EUR").old_price is None
    assert made(sale_price="4 USD").price == Money(500, "EUR")
    assert made(old_price="7").old_price == Money(700, "EUR")
    assert made(old_price="5").old_price is None
    assert made(sale_price="junk", old_price="junk") == made()
    alone = made(price="", sale_price="4 EUR", old_price="6 EUR")
    assert (alone.price, alone.old_price) == (Money(400, "EUR"), Money(600, "EUR"))


@given(st.integers(10**11, 10**13 - 1), st.sampled_from(["", " ", "-"]))
def test_gtin_has_the_check_digit_of_gs1(number: int, between: str):
    """GS1 General Specifications, 7.9.1: from the right 3, 1, 3, 1 …, up to the next ten."""
    text = str(number)
    weighted = sum(int(d) * (3, 1)[n % 2] for n, d in enumerate(reversed(text)))
    good, wrong = f"{text}{-weighted % 10}", f"{text}{(1 - weighted) % 10}"
    assert gtins.gtin(good[:5] + between + good[5:]) == ("" if _of_the_store(good) else good)
    assert gtins.gtin(wrong) == ""


def _of_the_store(digits: str) -> bool:
    """GS1 prefixes 2 and 02, which begin behind the packaging level of 14 digits."""
    return digits.zfill(14)[1:].startswith(("2", "02"))


def test_gtin_of_every_length():
    for digits in ("96385074", "614141007349", "5901234123457", "15901234123454"):
        assert gtins.gtin(digits) == digits
    for digits in ("9638507", "5901234123458", "159012341234541", "٩٦٣٨٥٠٧٤"):
        assert gtins.gtin(digits) == ""


def test_invalid_gtin_is_dropped_not_rejected():
    assert made(gtin="7891234567890").gtin == ""


def test_words():
    assert made(title="  A\tB\x00\u200b\n C ").title == "A B C"
    assert len(made(title="x" * 999).title) == 300
    assert len(made(description="y " * 9999).description) <= 5000
    assert made(gender="Женский", age_group="Kids", condition="б/у", adult="TRUE") == made(
        gender="female", age_group="kids", condition="used", adult="yes"
    )
    assert made(description="&amp;lt;p&amp;gt;x &amp;nbsp; 5 &lt; 6").description.endswith("5 < 6")


def test_addresses():
    assert made(url="//s.example/1").url == "https://s.example/1"
    assert made(url=" https://s.example/a b?x=1&amp;y=2 ").url == "https://s.example/a%20b?x=1&y=2"
    assert made(url="https://карсаман.рф/#!/Красно").url == "https://карсаман.рф/#!/Красно"
    based = clean.offer({**ROW, "images": "{BASE}/i.jpg"}, clean.RowRules(base="http://h:1/"))
    assert based.image_urls == ("http://h:1/i.jpg",)


def test_images_are_told_apart_and_kept_once():
    listed = (
        '["https://s.example/a,1.jpg", "https://s.example/b.jpg"]\nhttps://s.example/b.jpg\nnot one'
    )
    assert made(images=listed).image_urls == (
        "https://s.example/a,1.jpg",
        "https://s.example/b.jpg",
    )


@pytest.mark.parametrize(
    "unit", ["<", "<!--", "<a", "<script", "</script ", "&", "&#", '<a "', " ", "//,"]
)
def test_nasty_text_takes_linear_time(unit: str):
    with within(300):
        made(title=unit * 200_000, description=unit * 200_000, images=unit * 200_000)


@given(st.dictionaries(st.sampled_from(columns.FIELDS), st.text(max_size=60)))
def test_any_row_is_an_offer_or_rejected(row: dict[str, str]):
    found = clean.offer(row, clean.RowRules(base="http://h", currency="EUR"))
    assert isinstance(found, Offer | Rejected)
    if isinstance(found, Offer):
        assert found.availability in AVAILABILITIES
        found.title.encode()
