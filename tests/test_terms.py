"""Terms of programs: what is estimated is never more than what the rules pay."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback import exchange
from lensback.errors import ConfigError
from lensback.terms import (
    Terms,
    Uncertainty,
    cashback,
    commission,
    estimate,
    parse,
    possible,
    words,
)
from lensback.types import Money, currency_exponent

AT = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp())
BASIC = {"network": "awin", "domains": ["shop.example"], "share": 0.5, "currency": "RUB"}
PRICE = Money(345_600, "RUB")


def terms(*rates: dict[str, Any], **more: Any) -> Terms:
    return parse({**BASIC, "rates": list(rates), **more})


def said(program: Terms, category: str = "Women > Shoes > Boots", price: Money = PRICE) -> Any:
    found = estimate(program, price, category, AT)
    return str(found.cashback), found.up_to


@pytest.mark.parametrize(
    ("program", "category", "estimated"),
    [
        # one rule for everything: nothing is open
        (terms({"percent": 10}), "Women", ("172.80 RUB", False)),
        (terms({"percent": 10}), "", ("172.80 RUB", False)),
        (terms({"fixed": 500}), "Women", ("250.00 RUB", False)),
        (terms({"fixed": 0}), "Women", ("0.00 RUB", False)),
        (terms({"percent": 10}, cap=0), "Women", ("0.00 RUB", False)),
        # no rule, no promise
        (terms(), "Women", ("0.00 RUB", True)),
        # the category is mapped
        (
            terms({"category": ["Shoes"], "percent": 10}, {"percent": 1}),
            "Women > Shoes > Boots",
            ("172.80 RUB", False),
        ),
        (
            terms({"category": ["Women > Shoes"], "percent": 10}, {"percent": 1}),
            "women > SHOES > Boots",
            ("172.80 RUB", False),
        ),
        # no rule names it: the rule for the rest, but not for certain
        (
            terms({"category": ["Shoes"], "percent": 10}, {"percent": 1}),
            "Women > Dresses",
            ("17.28 RUB", True),
        ),
        (terms({"category": ["Shoes"], "percent": 10}), "Dresses", ("0.00 RUB", True)),
        # a part of a word is no category
        (terms({"category": ["Shoe"], "percent": 10}), "Shoes", ("0.00 RUB", True)),
        # the store says no category: any rule may apply
        (
            terms({"category": ["Shoes"], "percent": 10}, {"percent": 1}),
            "",
            ("172.80 RUB", True),
        ),
        # two categories of one rule: one is enough
        (
            terms({"category": ["Bags", "Shoes"], "percent": 10}, {"percent": 1}),
            "Shoes",
            ("172.80 RUB", False),
        ),
        (
            terms({"category": ["Shoes", "Bags"], "percent": 10}, {"percent": 1}),
            "Women > Shoes",
            ("172.80 RUB", False),
        ),
        # whoever buys, some rule pays the same: a rule without a condition holds for all
        (
            terms(
                {"percent": 10, "customer": "new"},
                {"percent": 10, "customer": "returning", "voucher": True},
                {"percent": 10},
            ),
            "Women",
            ("172.80 RUB", False),
        ),
        (
            terms({"percent": 10, "region": "RU", "voucher": True}, {"percent": 10}),
            "Women",
            ("172.80 RUB", False),
        ),
        (
            terms({"percent": 10, "voucher": True}, {"percent": 10, "voucher": False}),
            "Women",
            ("172.80 RUB", False),
        ),
        (
            terms({"percent": 10, "customer": "new"}, {"percent": 10, "customer": "returning"}),
            "Women",
            ("172.80 RUB", False),
        ),
        # ... and where one is left out, nothing is certain
        (
            terms({"percent": 10, "customer": "new"}, {"percent": 10, "customer": "vip"}),
            "Women",
            ("172.80 RUB", True),
        ),
        (terms({"percent": 10, "voucher": False}), "Women", ("172.80 RUB", True)),
        # what only the purchase shows
        (
            terms({"percent": 10, "customer": "new"}, {"percent": 2}),
            "Women",
            ("172.80 RUB", True),
        ),
        (terms({"percent": 10, "region": "RU"}), "Women", ("172.80 RUB", True)),
        (
            terms({"percent": 1, "voucher": True}, {"percent": 2}),
            "Women",
            ("34.56 RUB", True),
        ),
        # the first rule that holds pays, the ones behind it never
        (terms({"percent": 1}, {"percent": 50}), "Women", ("17.28 RUB", False)),
        # least, most, cap
        (terms({"percent": 1, "min": 100}), "Women", ("50.00 RUB", False)),
        (terms({"percent": 50, "max": 100}), "Women", ("50.00 RUB", False)),
        (terms({"percent": 50}, cap=99.99), "Women", ("49.99 RUB", False)),
        # without tax
        (terms({"percent": 10}, net_of=0.2), "Women", ("144.00 RUB", False)),
        # both ends of an order, and the cap above them
        (terms({"percent": 1, "min": 10, "max": 20}), "Women", ("10.00 RUB", False)),
        (terms({"percent": 1, "min": 100}, cap=80), "Women", ("40.00 RUB", False)),
        (terms({"fixed": 500, "max": 100}), "Women", ("50.00 RUB", False)),
        (terms({"fixed": 500}, net_of=0.2), "Women", ("250.00 RUB", False)),
        # days
        (
            terms({"percent": 1, "since": "2026-11-24", "until": "2026-11-24"}),
            "W",
            ("17.28 RUB", False),
        ),
        (terms({"percent": 1, "until": "2026-11-24"}), "Women", ("17.28 RUB", False)),
        (terms({"percent": 1, "since": "2026-11-24"}), "Women", ("17.28 RUB", False)),
        (terms({"percent": 1, "until": "2026-11-23"}), "Women", ("0.00 RUB", True)),
        (terms({"percent": 1, "since": "2026-11-25"}), "Women", ("0.00 RUB", True)),
    ],
)
def test_what_is_estimated(program: Terms, category: str, estimated: tuple[str, bool]) -> None:
    assert said(program, category) == estimated


def test_never_more_than_the_price() -> None:
    assert said(terms({"fixed": 5000}, share=1), price=Money(100, "RUB")) == ("1.00 RUB", False)


def test_everything_is_rounded_down() -> None:
    one = terms({"percent": 3.33}, share=0.333)
    assert said(one, price=Money(999, "RUB")) == ("0.10 RUB", False)  # 33.26 -> 33 -> 10.98
    assert said(one, price=Money(10, "RUB"))[0] == "0.00 RUB"


class Rates:
    """One rate, or none."""

    def __init__(self, rate: Fraction | None) -> None:
        self.rate = rate

    def convert(self, money: Money, currency: str) -> Money | None:
        if self.rate is None:
            return None
        shift = currency_exponent(currency) - currency_exponent(money.currency)
        return Money(int(money.minor * self.rate * Fraction(10) ** shift), currency)


def test_another_currency() -> None:
    """Per cents need no rate; amounts do, and then the promise is "up to" or nothing."""
    price = Money(10_000, "USD")
    free = terms({"percent": 10})
    assert said(free, price=price) == ("5.00 USD", False)
    for rule in ({"fixed": 1000}, {"percent": 10, "max": 1000}, {"percent": 10, "min": 100}):
        program = terms(rule)
        assert said(program, price=price) == ("0.00 USD", True)
        assert estimate(program, price, "x", AT, Rates(None)).cashback.minor == 0
        converted = estimate(program, price, "x", AT, Rates(Fraction(1, 95)))
        assert converted.up_to
        assert converted.cashback.minor > 0
        assert any("today" in step for step in converted.steps)
    fixed = estimate(terms({"fixed": 1000}), price, "x", AT, Rates(Fraction(1, 95)))
    assert fixed.cashback == Money(526, "USD")  # 10.526… -> 10.52, half of it 5.26


@pytest.mark.parametrize(
    ("program", "category", "rates", "steps"),
    [
        (
            terms({"percent": 10}),
            "Women",
            None,
            (
                "rule: 10 %",
                "that is a commission of 345.60 RUB",
                "the shopper's 50 % of it: 172.80 RUB",
                "estimate: 172.80 RUB",
            ),
        ),
        (terms(), "Women", None, ("no cashback: no rule pays for certain",)),
        (
            terms({"percent": 0}),
            "",
            None,
            (
                "rule: 0 %",
                "that is a commission of 0.00 RUB",
                "the shopper's 50 % of it: 0.00 RUB",
                "no cashback",
            ),
        ),
        (
            terms({"category": ["Shoes", "Bags"], "percent": 10}, {"fixed": 1, "voucher": True}),
            "Toys",
            None,
            (
                "perhaps: 1 RUB with a voucher",
                "that is a commission of 1.00 RUB",
                "the shopper's 50 % of it: 0.50 RUB",
                "estimate: up to 0.50 RUB, because no rule pays for certain; no rule names the category",
            ),
        ),
        (
            terms({"category": ["Shoes"], "percent": 10}, {"percent": 1}, share=1),
            "",
            None,
            (
                "perhaps: 10 % in Shoes",
                "that is a commission of 345.60 RUB",
                "the shopper's 100 % of it: 345.60 RUB",
                "perhaps: 1 %",
                "that is a commission of 34.56 RUB",
                "the shopper's 100 % of it: 34.56 RUB",
                (
                    "estimate: up to 345.60 RUB, because the category is not known; "
                    "the network decides which rule it is"
                ),
            ),
        ),
        (
            terms({"percent": 10, "min": 2}, {"percent": 5}, currency="EUR"),
            "Women",
            None,
            (
                "rule: 10 % at least 2 EUR",
                "no fresh rate for 2.00 EUR in RUB",
                "no cashback: a rule cannot be compared",
            ),
        ),
        (
            terms({"fixed": 2}, currency="EUR"),
            "Women",
            None,
            (
                "rule: 2 EUR",
                "no fresh rate for 2.00 EUR in RUB",
                "no cashback: a rule cannot be compared",
            ),
        ),
        (
            terms({"percent": 10, "customer": "new"}, {"percent": 10, "customer": "returning"}),
            "Women",
            None,
            (
                "perhaps: 10 % for new customers",
                "that is a commission of 345.60 RUB",
                "the shopper's 50 % of it: 172.80 RUB",
                "perhaps: 10 % for returning customers",
                "that is a commission of 345.60 RUB",
                "the shopper's 50 % of it: 172.80 RUB",
                "estimate: 172.80 RUB",
            ),
        ),
        (
            terms({"fixed": "2.009"}, currency="EUR", cap=1),
            "Women",
            Fraction(95),
            (
                "rule: 2.009 EUR at most 1 EUR an order",
                "2.00 EUR is 190.00 RUB today",
                "1.00 EUR is 95.00 RUB today",
                "that is a commission of 95.00 RUB",
                "the shopper's 50 % of it: 47.50 RUB",
                "estimate: up to 47.50 RUB, because exchange rates move until the sale is paid",
            ),
        ),
    ],
)
def test_every_step_of_a_promise(
    program: Terms, category: str, rates: Fraction | None, steps: tuple[str, ...]
) -> None:
    found = estimate(program, PRICE, category, AT, Rates(rates) if rates else None)
    assert found.steps == ("the price is 3456.00 RUB", *steps)


@pytest.mark.parametrize(
    ("rule", "said_"),
    [
        ({"percent": "8.50"}, "8.5 %"),
        ({"percent": 10}, "10 %"),
        ({"percent": 100}, "100 %"),
        ({"fixed": "7.50"}, "7.50 RUB"),
        ({"percent": 1, "category": ["A > B", "C"]}, "1 % in A > B or C"),
        ({"percent": 1, "customer": "new"}, "1 % for new customers"),
        ({"percent": 1, "region": "KZ"}, "1 % in KZ"),
        ({"percent": 1, "voucher": True}, "1 % with a voucher"),
        ({"percent": 1, "voucher": False}, "1 % without a voucher"),
        ({"percent": 1, "min": 2, "max": 3}, "1 % at least 2 RUB at most 3 RUB"),
        ({"percent": 1, "min": 0, "max": 0}, "1 % at least 0 RUB at most 0 RUB"),
        (
            {"percent": 1, "since": "2026-11-01", "until": "2026-12-31"},
            "1 % from 2026-11-01 until 2026-12-31",
        ),
    ],
)
def test_a_rule_in_words(rule: dict[str, Any], said_: str) -> None:
    program = terms(rule)
    assert words(program, program.rates[0]) == said_
    capped = terms(rule, cap="9.90")
    assert " at most 9.90 RUB an order" in words(capped, capped.rates[0])


def test_the_rules_that_may_pay() -> None:
    """In order, each once; one that others always come before is not among them."""
    program = terms(
        {"percent": 3, "customer": "new"},
        {"percent": 2, "customer": "returning"},
        {"percent": 9},
        {"percent": 3, "customer": "new"},
    )
    found, doubts = possible(program, "Women", AT)
    assert [rule.percent for rule in found] == [3, 2]
    assert found[0] is program.rates[0]
    assert doubts == []
    program = terms({"percent": 3, "customer": "new"}, {"percent": 9})
    assert [rule.percent for rule in possible(program, "Women", AT)[0]] == [3, 9]
    twice = terms({"percent": 1}, {"percent": 1})
    assert len(possible(twice, "Women", AT)[0]) == 1
    program = terms({"percent": 3, "region": "RU"}, {"percent": 2, "region": "KZ"})
    assert possible(program, "x", AT) == (list(program.rates), [Uncertainty.NOTHING_CERTAIN])


@pytest.mark.parametrize(
    ("path", "category", "fits"),
    [
        ("Shoes", "Shoes", True),
        ("Shoes", "Women > Shoes", True),
        ("Shoes", "Women > Shoes > Boots", True),
        (" women>SHOES ", "Women > Shoes > Boots", True),
        ("Shoes > Boots", "Women > Shoes > Boots", True),
        ("Women > Boots", "Women > Shoes > Boots", False),
        ("Women > Shoes > Boots > Red", "Women > Shoes > Boots", False),
        ("Shoe", "Shoes", False),
        ("Shoes", " > ", False),
        ("Shoes", "", False),
    ],
)
def test_a_category_lies_in_a_rules(path: str, category: str, fits: bool) -> None:
    program = terms({"category": [path], "percent": 10})
    (rule,) = program.rates
    assert (rule in possible(program, category, AT)[0]) is (fits or not category.strip(" >"))
    assert (Uncertainty.CATEGORY_UNNAMED in possible(program, category, AT)[1]) is (
        bool(category) and not fits
    )


def test_days_are_those_of_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule until the 24th holds to the last second of that day, one since the 25th from then,
    wherever the machine stands."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        _utc_days()
    time.tzset()


def _utc_days() -> None:
    program = terms({"percent": 1, "until": "2026-11-24"}, {"percent": 2, "since": "2026-11-25"})
    midnight = int(datetime(2026, 11, 25, tzinfo=UTC).timestamp())
    for at, percent in ((midnight - 1, 1), (midnight, 2)):
        assert [rule.percent for rule in possible(program, "x", at)[0]] == [percent]


def test_a_commission_by_hand() -> None:
    """999 at 3.33 % is 33.2667: rounded down once, at the end; without 20 % tax 27.72."""
    price = Money(999, "RUB")
    for net_of, minor in ((0, 33), (0.2, 27)):
        program, steps = terms({"percent": 3.33}, net_of=net_of), list[str]()
        assert commission(program, program.rates[0], price, None, steps) == Money(minor, "RUB")
        net = ["without 20 % tax the price is 8.32 RUB"] if net_of else []
        assert steps == [*net, f"that is a commission of 0.{minor} RUB"]
        assert commission(program, program.rates[0], price, None) == Money(minor, "RUB")
    program = terms({"fixed": 10}, currency="EUR")
    assert commission(program, program.rates[0], price, None) is None
    assert commission(program, program.rates[0], price, Rates(None)) is None
    bounded = terms({"percent": 1, "max": 10}, currency="EUR")
    assert commission(bounded, bounded.rates[0], price, None) is None


@pytest.mark.parametrize(
    ("paid", "share", "price", "back"),
    [(100, "0.5", 1000, 50), (99, "0.5", 1000, 49), (5000, "1", 100, 100), (-100, "0.5", 1000, 0)],
)
def test_the_shoppers_part(paid: int, share: str, price: int, back: int) -> None:
    found = cashback(Money(paid, "RUB"), Decimal(share), Money(price, "RUB"))
    assert found == Money(back, "RUB")


def test_what_a_program_need_not_say() -> None:
    bare = parse({"network": "awin", "domains": ["shop.example"], "share": "0.5"})
    assert bare == Terms("awin", ("shop.example",), Decimal("0.5"))
    assert (bare.currency, bare.rates, bare.net_of, bare.cap) == ("EUR", (), 0, None)
    assert (bare.hold_days, bare.claim_days, bare.deny_deeplinks) == (0, 0, False)
    assert (bare.landing, bare.tracking_hosts, bare.erid, bare.link) == ("", (), "", {})
    (rule,) = parse({**BASIC, "rates": [{"percent": 1}]}).rates
    assert (rule.fixed, rule.category, rule.customer, rule.region) == (None, (), "", "")
    assert (rule.voucher, rule.min, rule.max, rule.since, rule.until) == (None,) * 5


def test_days_of_a_toml_file_are_read() -> None:
    """TOML has days of its own: they come as dates, not as text."""
    day = date(2026, 11, 24)
    (rule,) = parse({**BASIC, "rates": [{"percent": 1, "since": day, "until": day}]}).rates
    assert (rule.since, rule.until) == (day, day)


@pytest.mark.parametrize(
    "change",
    [
        {"share": 0},
        {"share": 1},
        {"net_of": 0},
        {"net_of": 1},
        {"cap": 0},
        {"cap": 10**9},
        {"cap": "0.000001"},
        {"hold_days": 0},
        {"hold_days": 1000},
        {"claim_days": 1000},
        {"rates": [{"percent": 0}, {"percent": 100}]},
        {"rates": [{"fixed": 0}]},
        {"rates": [{"percent": 1, "min": 2, "max": 2}]},
        {"rates": [{"percent": 1, "min": 2}, {"percent": 1, "max": 0}]},
        {"rates": [{"percent": 1, "since": "2026-01-01", "until": "2026-01-01"}]},
    ],
)
def test_the_bounds_belong_to_it(change: dict[str, Any]) -> None:
    parse({**BASIC, **change})


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"share": "-0.01"}, "share"),
        ({"share": "1.01"}, "share"),
        ({"net_of": "-0.01"}, "net_of"),
        ({"net_of": "1.01"}, "net_of"),
        ({"cap": 10**9 + 1}, "cap"),
        ({"cap": "0.0000001"}, "cap"),
        ({"hold_days": 1001}, "hold_days"),
        ({"claim_days": 1001}, "claim_days"),
        ({"claim_days": -1}, "claim_days"),
        ({"rates": [{"percent": "-0.01"}]}, "rates.0.percent"),
        ({"rates": [{"percent": "100.01"}]}, "rates.0.percent"),
        ({"rates": [{"fixed": -1}]}, "rates.0.fixed"),
        ({"rates": [{"percent": 1, "category": ["a", ""]}]}, "rates.0.category"),
        ({"rates": [{"percent": 1}, {"percent": 1, "fixed": 1}]}, "rates.1"),
        ({"currency": "EURO"}, "currency"),
    ],
)
def test_beyond_the_bounds(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse({**BASIC, **change})
    assert f"program key '{key}" in refused.value.message
    assert refused.value.hint.endswith("ee docs/programs.md")


def test_the_steps_say_how() -> None:
    program = terms(
        {"category": ["Shoes"], "percent": 8.5, "max": 250, "customer": "new"}, net_of=0.2
    )
    steps = estimate(program, PRICE, "Shoes", AT).steps
    assert steps == (
        "the price is 3456.00 RUB",
        "perhaps: 8.5 % in Shoes for new customers at most 250 RUB",
        "without 20 % tax the price is 2880.00 RUB",
        "that is a commission of 244.80 RUB",
        "the shopper's 50 % of it: 122.40 RUB",
        "estimate: up to 122.40 RUB, because no rule pays for certain",
    )
    assert words(program, program.rates[0]) == steps[1].removeprefix("perhaps: ")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"network": None}, "network"),
        ({"domains": []}, "domains"),
        ({"domains": "shop.example"}, "domains"),
        ({"share": 1.5}, "share"),
        ({"share": "NaN"}, "share"),
        ({"share": "half"}, "share"),
        ({"currency": "rub"}, "currency"),
        ({"rate": 5}, "rate"),
        ({"hold_days": -1}, "hold_days"),
        ({"claim_days": 1.5}, "claim_days"),
        ({"cap": -1}, "cap"),
        ({"net_of": 2}, "net_of"),
        ({"link": {"a": {"b": 1}}}, "link.a"),
        ({"rates": [{}]}, "rates.0"),
        ({"rates": [{"percent": 1, "fixed": 1}]}, "rates.0"),
        ({"rates": [{"percent": 101}]}, "rates.0.percent"),
        ({"rates": [{"percent": float("inf")}]}, "rates.0.percent"),
        ({"rates": [{"percent": 1}, {"percent": 1, "unknown": 1}]}, "rates.1.unknown"),
        ({"rates": [{"percent": 1, "min": 2, "max": 1}]}, "rates.0.min"),
        ({"rates": [{"percent": 1, "since": "2026-02-01", "until": "2026-01-01"}]}, "0.since"),
        ({"rates": [{"percent": 1, "until": "soon"}]}, "rates.0.until"),
        ({"rates": [{"percent": 1, "category": [" "]}]}, "rates.0.category"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        parse({**BASIC, **change})


# ---- the promise, against every possible shopper


@dataclass(frozen=True, slots=True)
class Shopper:
    """What the purchase shows, and where the network files the thing."""

    customer: str
    region: str
    voucher: bool
    filed: str


CATEGORIES = ["", "Shoes", "Shoes > Boots", "Bags", "Toys"]
amounts = st.integers(0, 50_000).map(lambda n: str(Decimal(n) / 100))
rules = st.fixed_dictionaries(
    {},
    optional={
        "category": st.lists(st.sampled_from(CATEGORIES[1:]), min_size=1, max_size=2),
        "customer": st.sampled_from(["new", "returning"]),
        "region": st.sampled_from(["RU", "KZ"]),
        "voucher": st.booleans(),
        "since": st.sampled_from(["2026-11-01", "2026-11-24", "2026-12-01"]),
        "until": st.sampled_from(["2026-12-31", "2026-12-02"]),
        "min": st.just("1.50"),
        "max": st.sampled_from(["1.50", "20", "77.77"]),
    },
).flatmap(
    lambda rule: st.one_of(
        st.integers(0, 10_000).map(lambda n: {**rule, "percent": str(Decimal(n) / 100)}),
        amounts.map(lambda n: {**rule, "fixed": n}),
    )
)
programs = st.fixed_dictionaries(
    {
        "rates": st.lists(rules, max_size=5),
        "share": st.integers(0, 1000).map(lambda n: str(Decimal(n) / 1000)),
    },
    optional={"cap": amounts, "net_of": st.sampled_from(["0.1", "0.2", "0.07"])},
)
shoppers = st.builds(
    Shopper,
    customer=st.sampled_from(["new", "returning"]),
    region=st.sampled_from(["RU", "KZ", "DE"]),
    voucher=st.booleans(),
    filed=st.sampled_from(CATEGORIES),
)


def pays(
    program: dict[str, Any], price: Money, one: Shopper, unit: Fraction = Fraction(100)
) -> Fraction:
    """What the shopper gets under the written rules, exact and unrounded, worked out anew here.
    `unit`: how many of the price's smallest coins one unit of the program's currency is."""
    today = "2026-11-24"
    for rule in program["rates"]:
        if "category" in rule and not any(
            one.filed == c or one.filed.startswith(f"{c} >") or one.filed.endswith(f"> {c}")
            for c in rule["category"]
        ):
            continue
        if rule.get("customer", one.customer) != one.customer:
            continue
        if rule.get("region", one.region) != one.region:
            continue
        if rule.get("voucher", one.voucher) != one.voucher:
            continue
        if not rule.get("since", today) <= today <= rule.get("until", today):
            continue
        if "percent" in rule:
            net = Fraction(price.minor) / (1 + Fraction(program.get("net_of", "0")))
            paid = net * Fraction(rule["percent"]) / 100
        else:
            paid = Fraction(rule["fixed"]) * unit
        if "min" in rule:
            paid = max(paid, Fraction(rule["min"]) * unit)
        if "max" in rule:
            paid = min(paid, Fraction(rule["max"]) * unit)
        if "cap" in program:
            paid = min(paid, Fraction(program["cap"]) * unit)
        return paid * Fraction(program["share"])
    return Fraction(0)


@given(
    program=programs,
    minor=st.integers(0, 1_000_000),
    category=st.sampled_from(CATEGORIES),
    one=shoppers,
)
def test_no_promise_is_more_than_the_rules_pay(
    program: dict[str, Any], minor: int, category: str, one: Shopper
) -> None:
    price = Money(minor, "RUB")
    found = estimate(parse({**BASIC, **program}), price, category, AT)
    everyone = [
        Shopper(customer, region, voucher, filed)
        for customer in ("new", "returning")
        for region in ("RU", "KZ", "DE")
        for voucher in (True, False)
        for filed in ([category] if category else CATEGORIES)
    ]
    best = max(pays(program, price, who) for who in everyone)
    assert 0 <= found.cashback.minor <= min(best, Fraction(minor))
    if not found.up_to:
        # Where the store's category is known, it is the one that the network files the thing under.
        buyer = Shopper(one.customer, one.region, one.voucher, category or one.filed)
        assert found.cashback.minor <= pays(program, price, buyer)
        # ... and it is not stingy: less than the price, it is the whole of what is paid.
        if pays(program, price, buyer) < minor:
            assert pays(program, price, buyer) - found.cashback.minor < 2


DIGITS = {"JPY": 0, "RUB": 2, "KWD": 3}


@given(
    program=programs,
    minor=st.integers(0, 1_000_000),
    theirs=st.sampled_from(sorted(DIGITS)),
    ours=st.sampled_from(sorted(DIGITS)),
    worth=st.fixed_dictionaries({code: st.fractions("1/300", 300) for code in DIGITS}),
)
def test_no_promise_in_another_currency_is_more_than_the_rules_pay(
    program: dict[str, Any], minor: int, theirs: str, ours: str, worth: dict[str, Fraction]
) -> None:
    """Currencies without cents and with three digits, in the program and in the price."""
    price, rates = Money(minor, ours), exchange.Rates(date(2026, 11, 24), "EUR", worth)
    found = estimate(parse({**BASIC, **program, "currency": theirs}), price, "Shoes", AT, rates)
    unit = worth[theirs] / worth[ours] * 10 ** DIGITS[ours]
    everyone = [
        Shopper(customer, region, voucher, "Shoes")
        for customer in ("new", "returning")
        for region in ("RU", "KZ", "DE")
        for voucher in (True, False)
    ]
    paid = [pays(program, price, who, unit) for who in everyone]
    assert found.cashback.currency == ours
    assert 0 <= found.cashback.minor <= min(*paid, Fraction(minor)) or (
        found.up_to and found.cashback.minor <= min(max(paid), Fraction(minor))
    )
