from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from lensback.types import Filter, Money, Tally


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
