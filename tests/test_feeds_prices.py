"""Prices as shops write them: dressed in HTML, with a sign and a code, in the smallest unit."""

from __future__ import annotations

import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback import feeds
from lensback.feeds.columns import ColumnMap
from lensback.feeds.money import money
from lensback.ingest.dry_run import try_feed
from lensback.types import Money, Offer, Rejected

WOO = '<span class="amount"><bdi>18,00&nbsp;<span class="symbol">&euro;</span></bdi></span>'


@pytest.mark.parametrize(
    ("raw", "fallback", "price"),
    [
        ("18,00&nbsp;&euro;", "", "18.00 EUR"),
        ("18,00&amp;nbsp;&amp;#8364;", "", "18.00 EUR"),
        (WOO, "", "18.00 EUR"),
        (WOO.replace("<", "&lt;").replace(">", "&gt;").replace("&nbsp;", "&amp;nbsp;"), "", "18.00 EUR"),
        ("<del>20,00 €</del> <ins>15,00 €</ins>", "", "15.00 EUR"),
        ("12<sup>99</sup> €", "", "12.99 EUR"),
        ("12,<sup>99</sup> €", "", "12.99 EUR"),
        ("$12.50 USD", "", "12.50 USD"),
        ("US $12.50", "", "12.50 USD"),
        ("USD $12.50", "CAD", "12.50 USD"),
        ("$12.50 CAD", "USD", "12.50 CAD"),
        ("C$ 12.50 CAD", "", "12.50 CAD"),
        ("12.50 EUR EUR", "", "12.50 EUR"),
        ("EUR 12.50 €", "", "12.50 EUR"),
        ("12.50 €EUR", "", "12.50 EUR"),
        ("kr 50 SEK", "", "50.00 SEK"),
        ("18,00 € inkl. MwSt", "", "18.00 EUR"),
        ("49.– CHF", "", "49.00 CHF"),
        ("1 299 руб. RUB", "", "1299.00 RUB"),
        ("12.50 $", "AUD", "12.50 AUD"),
        ("１２．５０ EUR", "", "12.50 EUR"),
        ("١٢٫٥٠ AED", "", "12.50 AED"),
        ("129 ريال", "SAR", "129.00 SAR"),
        ("129 ريال", "QAR", "129.00 QAR"),
        ("١٢٩ ج.م", "", "129.00 EGP"),
        ("KD 12.500", "", "12.500 KWD"),
        ("12,500 د.ب", "", "12.500 BHD"),
        ("RM129.90", "", "129.90 MYR"),
        ("KSh 1,200", "", "1200.00 KES"),
        ("₲ 120.000", "", "120000 PYG"),
        ("12,90 € la pièce", "", "12.90 EUR"),
        ("19,90 € pro Stück", "", "19.90 EUR"),
        ("a partire da 19,90 €", "", "19.90 EUR"),
        ("«12.50 EUR»", "", "12.50 EUR"),
        ("'12.50", "EUR", "12.50 EUR"),
        ("1\u202f299,00\u00a0€", "", "1299.00 EUR"),
    ],
)  # fmt: skip
def test_prices_in_any_dress(raw: str, fallback: str, price: str):
    assert str(money(raw, fallback)) == price


@pytest.mark.parametrize(
    "raw",
    [
        "12.50 USD EUR",
        "£12.50 EUR",
        "12 99 EUR",
        "12.50 EUR 13.50 EUR",
        "-5 €",
        "1 2345 €",
        "5 € / 6 $",
        "18 € zzgl. MwSt",
        "EUR",
    ],
)
def test_what_is_unclear_is_no_price(raw: str):
    assert money(raw) in ("bad price", "no currency")


SIGNS = st.sampled_from(
    [("€", "EUR"), ("$", "USD"), ("£", "GBP"), ("zł", "PLN"), ("₽", "RUB"), ("Kč", "CZK")]
)
DRESS = st.sampled_from(
    ["{}", "<b>{}</b>", "&lt;span&gt;{}&lt;/span&gt;", "\u00a0{}\n", "<p class='x'>{}</p>"]
)


@given(
    st.integers(1, 10**8),
    SIGNS,
    st.sampled_from(
        [
            "{n} {s}",
            "{s}{n}",
            "{n} {c}",
            "{c} {n}",
            "{s}{n} {c}",
            "{c} {n} {s}",
            "{n} {c} {c}",
            "{n}&nbsp;{s}",
        ]
    ),
    st.sampled_from([".", ","]),
    DRESS,
)
def test_a_price_survives_its_dress(
    minor: int, currency: tuple[str, str], order: str, mark: str, dress: str
):
    sign, code = currency
    number = f"{minor // 100}{mark}{minor % 100:02}"
    raw = dress.format(order.format(n=number, s=sign, c=code))
    assert money(raw) == Money(minor, code)


def test_html_in_a_table():
    text = 'id,title,link,price\n1,Cup,https://s.example/1,"18,00&nbsp;&euro;"\n'
    (row,) = feeds.read(io.BytesIO(text.encode()))
    assert isinstance(row, Offer)
    assert str(row.price) == "18.00 EUR"


# --- the smallest unit ----------------------------------------------------------------------------


def api(price: str, old: str, code: str, places: int | str, **more: object) -> bytes:
    prices = {"price": price, "regular_price": old, "sale_price": price}
    prices |= {"currency_code": code, "currency_minor_unit": places}
    thing = {
        "id": 7,
        "name": "Mug &amp; lid",
        "permalink": "https://s.example/mug",
        "prices": prices,
    }
    return json.dumps(
        [thing | {"images": [{"id": 3, "src": "https://s.example/m.jpg"}], **more}]
    ).encode()


@pytest.mark.parametrize(
    ("price", "old", "code", "places", "found"),
    [
        ("1500", "2000", "GBP", 2, ("15.00 GBP", "20.00 GBP")),
        ("5", "5", "EUR", 2, ("0.05 EUR", "None")),
        ("1500", "1500", "JPY", 0, ("1500 JPY", "None")),
        ("12345", "12345", "KWD", 3, ("12.345 KWD", "None")),
    ],
)
def test_the_store_api_of_woocommerce(price: str, old: str, code: str, places: int, found):
    (row,) = feeds.read(io.BytesIO(api(price, old, code, places, is_in_stock=False)))
    assert isinstance(row, Offer)
    assert (str(row.price), str(row.old_price)) == found
    assert (row.title, row.availability) == ("Mug & lid", "out_of_stock")
    assert row.image_urls == ("https://s.example/m.jpg",)


def test_what_is_not_the_declared_unit_is_refused():
    (row,) = feeds.read(io.BytesIO(api("15.00", "20.00", "GBP", 2)))
    assert isinstance(row, Rejected)
    assert row.reason == "bad price"


MAP = '[fields]\nid="nr"\ntitle="t"\nurl="u"\nprice="p"\nold_price="o"\n'


@given(st.integers(1000, 10**9), st.integers(0, 3))
def test_a_map_declares_the_unit(minor: int, places: int):
    columns = ColumnMap.parse(f'currency = "EUR"\nminor_units = {places}\n{MAP}')
    text = f"nr,t,u,p,o\n1,Cup,https://s.example/1,{minor},{minor * 2}\n"
    (row,) = feeds.read(io.BytesIO(text.encode()), columns=columns)
    assert isinstance(row, Offer)
    wanted = [Money.of(_decimal(n, places), "EUR") for n in (minor, 2 * minor)]
    if wanted[0].minor < wanted[1].minor:
        assert [row.price, row.old_price] == wanted


def _decimal(number: int, places: int) -> Decimal:
    return Decimal(number).scaleb(-places)


@pytest.mark.parametrize(
    ("thing", "price"),
    [
        ({"sku": "1", "caption": "Cup", "href": "https://s.example/1", "price_cents": "1500", "curr": "EUR"}, "15.00 EUR"),
        ({"sku": "1", "naam": "Cup", "href": "https://s.example/1", "prijs": "1500", "curr": "EUR", "minor_unit": "2"}, "15.00 EUR"),
        ({"sku": "1", "naam": "Cup", "href": "https://s.example/1", "prijs": "1500", "price_varies": "false", "curr": "EUR"}, "15.00 EUR"),
        ({"sku": "1", "naam": "Cup", "href": "https://s.example/1", "prijs": "1500", "curr": "EUR"}, "1500.00 EUR"),
    ],
)  # fmt: skip
def test_a_proposed_map_is_not_wrong_by_a_power_of_ten(thing: dict[str, str], price: str):
    thing = {{"caption": "titel"}.get(name, name): value for name, value in thing.items()}
    dry_run = try_feed(io.BytesIO(json.dumps([thing, thing]).encode()))
    assert dry_run.guessed
    assert [str(offer.price) for offer in dry_run.shown][:1] == [price]


@pytest.mark.parametrize(
    ("raw", "fallback", "price"),
    [
        (".99", "EUR", "0.99 EUR"),
        ("$.99", "", "0.99 USD"),
        ("0,500 KWD", "", "0.500 KWD"),
        ("12€50", "", "12.50 EUR"),
        ("1.299€99", "", "1299.99 EUR"),
        ("12,34,567.00 INR", "", "1234567.00 INR"),
        ("12.000 ₫", "", "12000 VND"),
        ("$ 12.990", "CLP", "12990 CLP"),
        ("12.990 Ft", "", "12990.00 HUF"),
        ("1500.000 JPY", "", "1500 JPY"),
        ("Rp 1.290.000", "", "1290000.00 IDR"),
        ("12,800円(税込)", "", "12800 JPY"),
        ("税込12,800円", "", "12800 JPY"),
        ("\u200f١٢٫٥٠\u00a0ر.س.\u200f", "", "12.50 SAR"),
        ("1.299,90 TL KDV dahil", "", "1299.90 TRY"),
        ("Από 12,50 € με ΦΠΑ", "", "12.50 EUR"),
        ("12,50 zł brutto", "", "12.50 PLN"),
        ("12,50 € *", "", "12.50 EUR"),
        ("18,00 € inkl. 19% MwSt", "", "18.00 EUR"),
        ("12.50 EUR (20% VAT incl.)", "", "12.50 EUR"),
        ("12.50 US Dollars", "", "12.50 USD"),
        ("990 гривень", "", "990.00 UAH"),
        ("1 299:-", "SEK", "1299.00 SEK"),
        ("Rs 1,299.00/-", "INR", "1299.00 INR"),
        ("<![CDATA[12.50 EUR]]>", "", "12.50 EUR"),
        ("&lt;![CDATA[12.50]]&gt; EUR", "", "12.50 EUR"),
    ],
)
def test_prices_as_other_countries_write_them(raw: str, fallback: str, price: str):
    assert str(money(raw, fallback)) == price


@pytest.mark.parametrize(
    "raw",
    ["1.299.00", "1,299,00", "1.29,99", "1.299,00,50", "12..5", "12 €13", "12 € 13 €", "12.50€50"],
)
def test_a_second_number_or_a_group_that_is_none_is_no_price(raw: str):
    assert money(raw, "EUR") == "bad price"


def test_cdata_left_in_a_table():
    text = "id,title,link,price\n" + ",".join(
        f"<![CDATA[{value}]]>" for value in ("7", "Cup &amp; lid", "https://s.example/1", "5 EUR")
    )
    (row,) = feeds.read(io.BytesIO(text.encode()))
    assert isinstance(row, Offer)
    found = (row.external_id, row.title, row.url, str(row.price))
    assert found == ("7", "Cup & lid", "https://s.example/1", "5.00 EUR")


@pytest.mark.parametrize(
    ("raw", "fallback", "price"),
    [
        ("1.299,-", "EUR", "1299.00 EUR"),
        ("kr 1.299,-", "NOK", "1299.00 NOK"),
        ("1.299.-- CHF", "", "1299.00 CHF"),
        ("49.95.-", "CHF", "49.95 CHF"),
        ("£12 .50", "", "12.50 GBP"),
        ("£12. 50", "", "12.50 GBP"),
        ("12 lei 50", "", "12.50 RON"),
        ("12 lei 50 bani", "", "12.50 RON"),
        ("12 руб. 50 коп.", "", "12.50 RUB"),
        ("от 1 990 ₽", "", "1990.00 RUB"),
        ("за 1 990 ₽/шт.", "", "1990.00 RUB"),
        ("Rs. 1,29,999/-", "INR", "129999.00 INR"),
        ("Rs 1,299/-", "PKR", "1299.00 PKR"),
        ("¥1,980(税込)", "", "1980 JPY"),
        ("1 299:90 kr", "SEK", "1299.90 SEK"),
        ("1 299:-", "SEK", "1299.00 SEK"),
        ("12,50 €/Stück", "", "12.50 EUR"),
        ("€12.50 each", "", "12.50 EUR"),
        ("1299,00 Kč s DPH", "", "1299.00 CZK"),
        ("12 500 so'm", "", "12500.00 UZS"),
        ("12,500 KWD", "", "12.500 KWD"),
        ("12,500 BHD", "", "12.500 BHD"),
        ("OMR 12,500", "", "12.500 OMR"),
        ("12,500 TND", "", "12.500 TND"),
        ("JOD 12,500", "", "12.500 JOD"),
        ("1 250,500 TND", "", "1250.500 TND"),
        ("1,250.500 KWD", "", "1250.500 KWD"),
        ("1.250,500", "KWD", "1250.500 KWD"),
        ("1,234,567 JOD", "", "1234567.000 JOD"),
        ("25,000 IQD", "", "25000.000 IQD"),
        ("12.505", "EUR", "12.51 EUR"),
    ],
)  # fmt: skip
def test_prices_of_many_countries(raw: str, fallback: str, price: str) -> None:
    assert str(money(raw, fallback)) == price


@pytest.mark.parametrize(
    "raw",
    [
        "12 € 15 €",
        "12.50 € 10",
        "12 €/kg",
        "12 € / m²",
        "1299 Kč bez DPH",
        "2 for 5 €",
        "12$ 50%",
        "12 € + 20% VAT",
        "12 € excl. 20% VAT",
        "12 € 20% off",
    ],
)
def test_a_price_for_something_else_is_none(raw: str) -> None:
    assert money(raw) == "bad price"


THIRDS = st.sampled_from(["KWD", "BHD", "OMR", "TND", "JOD", "LYD"])


@given(st.integers(1, 10**9), THIRDS, st.sampled_from([",", "."]), st.booleans())
def test_three_decimals_survive_either_mark(minor: int, code: str, mark: str, before: bool) -> None:
    number = f"{minor // 1000}{mark}{minor % 1000:03}"
    assert money(f"{code} {number}" if before else f"{number} {code}") == Money(minor, code)


# --- amounts in JSON ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "found"),
    [
        ({"amount": 1999, "currency": "EUR", "minorUnit": 2}, "19.99 EUR"),
        ({"amount": "1999", "currency_code": "EUR", "minor_unit": "2"}, "19.99 EUR"),
        ({"value": 1999, "currency": "EUR", "decimalPlaces": 2}, "19.99 EUR"),
        ({"amount": 12345, "currency": "KWD", "exponent": 3}, "12.345 KWD"),
        ({"amount": 1999, "currency": "JPY", "minorUnit": 0}, "1999 JPY"),
        ({"amount": 5, "currency": "EUR", "decimals": 2}, "0.05 EUR"),
        ({"type": "centPrecision", "currencyCode": "EUR", "centAmount": 1999, "fractionDigits": 2}, "19.99 EUR"),
        ({"centAmount": 1999, "currencyCode": "JPY"}, "1999 JPY"),
        ({"unit_amount": 1999, "currency": "eur"}, "19.99 EUR"),
        ({"amountMicros": "19990000", "currencyCode": "USD"}, "19.99 USD"),
        ({"units": "19", "nanos": 990000000, "currencyCode": "USD"}, "19.99 USD"),
        ({"amount": 1999, "currency": {"code": "EUR", "base": 10, "exponent": 2}, "scale": 2}, "19.99 EUR"),
        ({"amount": 1999, "currency": {"code": "EUR", "base": 10, "exponent": 2}}, "19.99 EUR"),
        ({"amount": "19.99", "currencyCode": "EUR"}, "19.99 EUR"),
        ({"value": "19.99", "currency": "EUR"}, "19.99 EUR"),
        ({"amount": "19.99", "currency": "EUR", "minorUnit": 2}, "bad price"),
        ({"amount": 1999.5, "currency": "EUR", "minorUnit": 2}, "bad price"),
    ],
)  # fmt: skip
def test_amounts_in_json_are_read_in_their_own_unit(amount: dict[str, object], found: str) -> None:
    thing = {"id": "1", "title": "Cup", "link": "https://s.example/1", "price": amount}
    lines = json.dumps(thing) + "\n" + json.dumps(thing | {"id": "2"}) + "\n"
    rows = list(feeds.read(io.BytesIO(lines.encode())))
    assert {str(row.price) if isinstance(row, Offer) else row.reason for row in rows} == {found}


@pytest.mark.parametrize(
    ("more", "price"),
    [
        ({"prijs": "1999", "html": "<b>19,99&nbsp;€</b>"}, "19.99 EUR"),
        ({"prijs": "1999", "prijs_tekst": "19,99"}, "19.99 EUR"),
        ({"prijs": "1999", "weight": "19.99"}, "1999.00 EUR"),
        ({"prijs": "1999", "html": "€ 1.999,00"}, "1999.00 EUR"),
        ({"prijs": {"amount": 1999, "currency": "EUR", "minorUnit": 2}}, "19.99 EUR"),
        ({"prijs": "12500", "curr": "KWD", "prijs_tekst": "12.500"}, "12.500 KWD"),
    ],
)  # fmt: skip
def test_a_guess_looks_at_the_price_that_is_written_out_beside(
    more: dict[str, object], price: str
) -> None:
    thing = {"sku": "1", "titel": "Cup", "href": "https://s.example/1", "curr": "EUR", **more}
    dry_run = try_feed(io.BytesIO(json.dumps([thing, thing]).encode()))
    assert dry_run.guessed
    assert str(dry_run.shown[0].price) == price
    told = any("whole number" in warning for warning in dry_run.warnings())
    assert told == price.endswith(".00 EUR")


@pytest.mark.parametrize("form", ["csv", "json", "xml"])
@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("3100", True), ("3100 EUR", True), ("EUR 3100", True), ("310000", True),
        ("3 100,00", False), ("3\u00a0100,00", False), ("3.100,00", False), ("3,100.00", False), ("3100.00", False), ("3100,0", False),
        ("3 100", False), ("3'100.–", False), ("3100,-", False), ("3100 €", False), ("€3100", False), ("3 100 руб.", False),
    ],
)  # fmt: skip
def test_only_bare_digits_may_be_cents(form: str, written: str, told: bool) -> None:
    """Whoever groups thousands, writes decimals or a sign counts no cents."""
    row = {
        "artnr": "1",
        "titel": "Cup",
        "href": "https://s.example/1",
        "curr": "EUR",
        "prijs": written,
    }
    rows = [row, row | {"artnr": "2"}]
    if form == "json":
        text = json.dumps(rows)
    elif form == "csv":
        text = "\n".join([";".join(row), *(";".join(each.values()) for each in rows)]) + "\n"
    else:
        inner = ("".join(f"<{n}>{v}</{n}>" for n, v in each.items()) for each in rows)
        text = f"<all>{''.join(f'<one>{each}</one>' for each in inner)}</all>"
    dry_run = try_feed(io.BytesIO(text.encode()))
    assert dry_run.guessed
    assert dry_run.offers == 2
    assert any("whole number" in warning for warning in dry_run.warnings()) == told
