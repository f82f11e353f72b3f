"""Numbers from outside: what is read, what is refused, and that nothing else makes decimals of texts."""

from __future__ import annotations

import ast
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effort import within
from lensback import exchange
from lensback.checked import parse_toml
from lensback.decimals import FINE, PLACES, bounded, decimal_of, fraction_of
from lensback.errors import BadQuery, ConfigError, DataError, PostbackError
from lensback.networks import answers, news
from lensback.programs import written
from lensback.search import query
from lensback.terms import parse
from lensback.types import Money
from lensback.web.claims import bought

SRC = Path(__file__).parents[1] / "src" / "lensback"
HUGE = (
    *("1e999999999", "1e-999999999", "0e999999999", "-1E+999999999", "9" * 5000, "0." + "0" * 5000 + "1"),
    *("1e99999999999999999999", "1e-99999999999999999999", "1" + "0" * 40, "1e16", "0.1e-500"),
    *("NaN", "sNaN", "NaN123", "Infinity", "-inf", "", "e", "1e", "0x10", "1,5", "1 0", "--1", "\ud8001"),
)  # fmt: skip
OURS = {
    "decimals.py": {"written", "written if _FRACTION.fullmatch(written) else decimal_of(text)"},
    "exchange.py": {"value"},
    "terms.py": {"rule.percent", "share", "terms.net_of"},
    "types.py": {"self.minor", "minor"},
    "speech.py": {"amount"},
    "ledger/pay.py": {"found[2]"},
    "ledger/holds.py": {"same.minor", "whole.numerator"},
    "networks/news.py": {"self._form.divisor"},
    "networks/programs.py": {"found[0]", "rule.get('from_price', '0')"},
    "feeds/money.py": {"found[1]", "f'{whole}.{part}'"},
    "feeds/propose.py": {"raw"},
}
"""What becomes a Decimal or a Fraction elsewhere: our own numbers, and what a pattern of bounded length let through."""


@pytest.mark.parametrize("text", HUGE)
def test_what_is_no_number_or_too_much_of_one_is_refused(text: str) -> None:
    with within(75), pytest.raises(ValueError, match=r"number|must"):
        decimal_of(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("49.90", "49.90"), (" 5 ", "5"), (".5", "0.5"), ("5.", "5"), ("-1.5e-7", "-0.00000015"),
     ("1e14", "100000000000000"), (0.1, "0.1"), (7, "7"), ("٤٩", "49"), (Decimal("2.5"), "2.5")],
)  # fmt: skip
def test_what_people_and_machines_write_is_read(text: object, value: str) -> None:
    assert decimal_of(text) == Decimal(value)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text("0123456789eE+-._ NaInfty٤", max_size=80),
        st.builds("{}e{}".format, st.integers(), st.integers()),
        st.decimals(allow_nan=None).map(str),
        st.text(max_size=30),
    )
)
def test_what_is_read_is_cheap_to_work_with(text: str) -> None:
    try:
        value = decimal_of(text)
    except ValueError:
        return
    assert abs(value) < 10**PLACES
    assert bounded(value) == value
    assert len(f"{value.normalize():f}") < PLACES + FINE + 5
    assert Fraction(value).denominator <= 10**FINE
    Money.of(value, "KWD")


def test_nothing_else_makes_decimals_of_texts() -> None:
    """Every `Decimal(...)` and `Fraction(...)` of the package that is not of a constant is known here."""
    found: dict[str, set[str]] = {}
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in {
                "Decimal",
                "Fraction",
            }:
                continue
            if not all(isinstance(given, ast.Constant) for given in node.args):
                name = str(path.relative_to(SRC))
                found.setdefault(name, set()).add(ast.unparse(node.args[0]))
    assert found == OURS


# ---- at each door


@pytest.mark.parametrize("text", HUGE)
def test_every_door_refuses_it_in_its_own_words(text: str) -> None:
    if text not in {"1,5", "1 0"}:  # what people write there
        with pytest.raises(BadQuery):
            bought({"ordered_on": "2026-11-24", "currency": "EUR", "amount": text or "x"})
    if text != "1,5":
        with pytest.raises(ValueError, match=r"number|must"):
            exchange._number(text or "x")
    if text:
        with pytest.raises(BadQuery):
            query._price(None, text, "EUR", "")  # type: ignore[arg-type]
    shown = written.canonical({"percent": text, "rates": [{"min": text}]})
    assert len(json.dumps(shown)) < 40_000
    assert isinstance(written.as_toml({"share": text.replace("\ud800", "")}), str)


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "1e-200", "0e999999999"])
@pytest.mark.parametrize("key", ["share", "net_of", "cap", "percent", "fixed", "min", "from_price"])
def test_terms_have_no_such_number(key: str, text: str) -> None:
    rate = {"percent": "5", **({key: text} if key not in {"share", "net_of", "cap"} else {})}
    if key == "fixed":
        del rate["percent"]
    terms = {"network": "generic", "domains": ["a.example"], "share": "0.5", "rates": [rate]}
    if key in {"share", "net_of", "cap"}:
        terms[key] = text
    with pytest.raises(ConfigError, match=key):
        parse(terms)


@pytest.mark.parametrize("number", ["1e999999999999999999999", "1e999999999", "1e-999999999"])
def test_a_network_with_such_a_number_loses_a_row_and_no_report(number: str) -> None:
    body = f'{{"rows": [{{"amount": {number}}}, {{"amount": 12.50}}]}}'.encode()
    first, second = answers.values_of(body, "json", "Generic")["rows"]
    with pytest.raises(PostbackError):
        news.number_of(str(first["amount"]))
    assert news.number_of(str(second["amount"])) == Decimal("12.50")


@pytest.mark.parametrize(
    "body",
    [b'base = "EUR"\ndate = 2026-11-28\n[rates]\nUSD = ' + b"9" * 5000,
     b"a = " + b"[" * 5000,
     b'<ValCurs Date="28.11.2026"><Valute><CharCode>USD</CharCode><Value>1e999999999</Value></Valute></ValCurs>',
     b"date,currency,rate\n2026-11-28,USD,1e-999999999\n"],
    ids=["digits", "nesting", "large", "small"],
)  # fmt: skip
def test_rates_with_such_numbers_are_unreadable(body: bytes) -> None:
    with pytest.raises(DataError):
        exchange.read_rates(body)
    with pytest.raises(ConfigError):
        parse_toml(body, "rates")


def test_kept_rates_are_read_as_they_were_written() -> None:
    for kept, value in (("5/4", Fraction(5, 4)), ("1", Fraction(1)), ("1.25", Fraction(5, 4))):
        assert fraction_of(kept) == value
    for kept in ("1e999999999", "1/0", "x", "1/1e9"):
        with pytest.raises(ValueError, match=r"number|must"):
            fraction_of(kept)
