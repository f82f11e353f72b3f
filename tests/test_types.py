from __future__ import annotations

from decimal import Decimal

import pytest
from babel.core import get_global
from babel.numbers import get_currency_precision, get_territory_currencies
from hypothesis import given
from hypothesis import strategies as st

from lensback.types import USUAL_UNITS, Filter, Money, Tally, currency_exponent, minor_units


@given(st.integers(-(10**12), 10**12), st.sampled_from(["RUB", "JPY", "KWD", "USD"]))
def test_money_keeps_every_minor_unit(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert Money.of(money.amount, currency) == money
    assert Money.of(Decimal(money.as_json()["amount"]), currency) == money


def test_money_rounds_half_up() -> None:
    assert Money.of(Decimal("0.005"), "USD") == Money(1, "USD")
    assert Money.of(Decimal(1999), "JPY") == Money(1999, "JPY")
    assert str(Money(123456, "RUB")) == "1234.56 RUB"
    assert str(Money(1500, "JPY")) == "1500 JPY"


def test_empty_filter_and_tally() -> None:
    assert Filter().empty
    assert not Filter(in_stock=True).empty
    tally = Tally("ingest", done=3)
    tally.rejected["no price"] += 2
    assert tally.rejects == 2
    assert tally.as_json()["rejected"] == {"no price": 2}


# Babel's data (CLDR) shows fewer digits of most of these than ISO 4217 counts, because nobody pays
# the small ones any more: money is kept as ISO 4217 says. Copied from its table of 2026-01-01.
OF_ISO_4217 = {
    **dict.fromkeys(("AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "PKR", "RSD"), 2),
    **dict.fromkeys(("SOS", "SYP", "XAD", "YER", "IDR", "HUF", "MRU"), 2),
    "IQD": 3,
    "UYW": 4,
    "CLF": 4,
    "UGX": 0,
}


def test_minor_units_against_a_second_source() -> None:
    """CLDR, but for the currencies that it is known, or was, to show otherwise."""
    for code, digits in minor_units().items():
        wanted = OF_ISO_4217.get(code, get_currency_precision(code))
        assert (code, digits) == (code, wanted)
    assert all(currency_exponent(code) == digits for code, digits in OF_ISO_4217.items())


def test_the_usual_units_are_those_of_the_table() -> None:
    assert {code: minor_units()[code] for code in USUAL_UNITS} == USUAL_UNITS


def test_every_currency_that_people_pay_with_is_known() -> None:
    paid = {
        code
        for land in get_global("territory_currencies")
        for code in get_territory_currencies(land)
    }
    unknown = paid - set(minor_units())
    assert unknown == set(), "CLDR says that they are in use today"
    assert not {"XXX", "XTS", "XAU"} & set(minor_units()), "no money"


@pytest.mark.parametrize("code", ["???", "", "eur"])
def test_an_unknown_code_has_two_digits(code: str) -> None:
    assert currency_exponent(code) == 2
