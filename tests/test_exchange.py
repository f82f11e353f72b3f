"""Exchange rates: what is read, what is refused, what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback.errors import DataError
from lensback.exchange import Rates, load, read_rates, refresh, usable
from lensback.net import Fetcher
from lensback.types import Money
from standin import Api, Reply, running

EUROPE = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
                 xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
 <gesmes:subject>Reference rates</gesmes:subject>
 <Cube>
  <Cube time="2026-11-20"><Cube currency="USD" rate="9"/></Cube>
  <Cube time="2026-11-23"><Cube currency="USD" rate="1.0800"/><Cube currency="JPY" rate="162"/></Cube>
 </Cube>
</gesmes:Envelope>"""
RUSSIA = """<?xml version="1.0" encoding="windows-1251"?>
<ValCurs Date="24.11.2026" name="Foreign Currency Market">
 <Valute ID="R01235"><CharCode>USD</CharCode><Nominal>1</Nominal><Name>Доллар</Name><Value>95,5000</Value></Valute>
 <Valute ID="R01335"><CharCode>KZT</CharCode><Nominal>100</Nominal><Name>Тенге</Name><Value>19,1000</Value></Valute>
</ValCurs>""".encode("cp1251")
CSV = b"\xef\xbb\xbfdate,currency,rate\n2026-11-22,USD,2\n2026-11-23,USD,1.08\n"
TOML = b'date = 2026-11-23\nbase = "USD"\n[rates]\nEUR = 0.925\nRUB = "95.5"\n'


def test_the_central_bank_of_europe() -> None:
    rates = read_rates(EUROPE)
    assert (rates.day, rates.base) == (date(2026, 11, 23), "EUR")
    assert rates.convert(Money(100, "EUR"), "USD") == Money(108, "USD")
    assert rates.convert(Money(100, "USD"), "EUR") == Money(92, "EUR")  # 92.59 cut
    assert rates.convert(Money(10_000, "USD"), "JPY") == Money(15_000, "JPY")
    assert rates.convert(Money(15_000, "JPY"), "USD") == Money(10_000, "USD")
    assert rates.convert(Money(100, "GBP"), "GBP") == Money(100, "GBP")
    assert rates.convert(Money(100, "GBP"), "EUR") is None
    assert rates.convert(Money(100, "EUR"), "GBP") is None


def test_the_bank_of_russia() -> None:
    rates = read_rates(RUSSIA)
    assert (rates.day, rates.base) == (date(2026, 11, 24), "RUB")
    assert rates.convert(Money(100, "USD"), "RUB") == Money(9550, "RUB")
    assert rates.convert(Money(100_000, "KZT"), "RUB") == Money(19_100, "RUB")
    assert rates.convert(Money(100, "USD"), "KZT") == Money(50_000, "KZT")


def test_tables() -> None:
    assert read_rates(CSV).worth == {"EUR": 1, "USD": 1 / Fraction("1.08")}
    based = b"Date,Currency,Rate,Base\n2026-11-23,EUR,0.5,USD\n"
    assert read_rates(based).convert(Money(100, "USD"), "EUR") == Money(50, "EUR")
    rates = read_rates(TOML)
    assert (rates.day, rates.base) == (date(2026, 11, 23), "USD")
    assert rates.convert(Money(1000, "USD"), "RUB") == Money(95_500, "RUB")


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ValCurs Date="24.11.2026">&b;</ValCurs>'
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>we moved</html>",
        b"{}",
        EUROPE[:300],
        BOMB,
        BOMB.decode().encode("utf-16"),
        BOMB.decode().encode("utf-16-le"),
        b"<x>" * 100_000,
        EUROPE.replace(b"1.0800", b"0"),
        EUROPE.replace(b"1.0800", b"-1"),
        EUROPE.replace(b"1.0800", b"NaN"),
        EUROPE.replace(b"USD", b"dollar"),
        EUROPE.replace(b"2026-11-23", b"yesterday"),
        RUSSIA.replace(b"<Nominal>1<", b"<Nominal>0<"),
        RUSSIA.replace(b"24.11.2026", b"24/11/2026"),
        CSV.replace(b"1.08", b"much"),
        b"date,currency,rate\n",
        b"date,currency,rate\n2026-11-23\n",
        b"date,currency,rate,base\n2026-11-23,USD,1,EUR\n2026-11-23,RUB,1,GBP\n",
        TOML.replace(b"base", b"basis"),
        TOML.replace(b"[rates]", b"[more]"),
        TOML.replace(b"0.925", b"[1]"),
        b'date="x"\nbase="USD"\nrates=5\n',
        b"\xff" * 100,
        b"a" * (5 << 20),
    ],
)
def test_what_are_no_rates(body: bytes) -> None:
    with pytest.raises(DataError):
        read_rates(body)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for text in (body, CSV + body, TOML + body, EUROPE[:-20] + body):
        try:
            rates = read_rates(text)
        except DataError:
            continue
        assert all(worth > 0 for worth in rates.worth.values())


@given(
    minor=st.integers(0, 10**12),
    worth=st.fractions("1/1000", 1000),
    other=st.fractions("1/1000", 1000),
)
def test_a_conversion_never_gains(minor: int, worth: Fraction, other: Fraction) -> None:
    rates = Rates(date(2026, 11, 23), "EUR", {"USD": worth, "JPY": other})
    there = rates.convert(Money(minor, "USD"), "JPY")
    assert there
    assert there.minor * other <= Fraction(minor, 100) * worth < (there.minor + 1) * other
    back = rates.convert(there, "USD")
    assert back
    assert back.minor <= minor


def test_old_rates_are_not_used() -> None:
    rates = read_rates(EUROPE)
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    for days, good in ((-2, False), (-1, True), (0, True), (7, True), (8, False)):
        at = (noon + timedelta(days=days)).timestamp()
        assert (usable(rates, 7, at) is rates) is good
    assert usable(None, 7) is None


# ---- refreshing


def csv_of(day: date, rate: str = "1.08") -> bytes:
    return f"date,currency,rate\n{day},USD,{rate}\n".encode()


TODAY = datetime.now(UTC).date()


@pytest.fixture
def api() -> Iterator[Api]:
    with running() as server:
        yield server


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher(user_agent="test", allow_hosts=["127.0.0.1"], retries=0, timeout_s=30)


def test_rates_are_fetched_and_kept(api: Api, fetcher: Fetcher, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rates.json"
    assert load(path) is None
    api.answer = lambda _asked: Reply(csv_of(TODAY))
    tally = refresh(fetcher, f"{api.url}/rates.csv", path, 7)
    assert (tally.done, tally.notes) == (2, {"day": str(TODAY)})
    kept = load(path)
    assert kept
    assert kept.convert(Money(100, "EUR"), "USD") == Money(108, "USD")
    api.answer = lambda _asked: Reply(csv_of(TODAY, "1.10"))
    refresh(fetcher, f"{api.url}/rates.csv", path, 7)
    again = load(path)
    assert again
    assert again.convert(Money(100, "EUR"), "USD") == Money(110, "USD")


@pytest.mark.parametrize("reply", [Reply({}, 500), Reply(b"<html>"), Reply(b"x" * (5 << 20))])
def test_a_source_that_fails_leaves_the_old_ones(
    reply: Reply,
    api: Api,
    fetcher: Fetcher,
    tmp_path: Path,
) -> None:
    path = tmp_path / "rates.json"
    api.answer = lambda _asked: reply
    first = refresh(fetcher, api.url, path, 7)
    assert "no amount is converted" in str(first.notes["warning"])
    path.write_text(read_rates(csv_of(TODAY)).as_text())
    second = refresh(fetcher, api.url, path, 7)
    assert "warning" not in second.notes
    assert "the older ones stay" in str(second.notes["hint"])
    path.write_text(read_rates(csv_of(TODAY - timedelta(days=30))).as_text())
    third = refresh(fetcher, api.url, path, 7)
    assert "no amount is converted" in str(third.notes["warning"])


def test_a_source_that_is_old_is_told(fetcher: Fetcher, tmp_path: Path) -> None:
    source = tmp_path / "rates.csv"
    source.write_bytes(csv_of(TODAY - timedelta(days=30)))
    tally = refresh(fetcher, str(source), tmp_path / "rates.json", 7)
    assert "are old" in str(tally.notes["warning"])
    assert "warning" in refresh(fetcher, str(tmp_path / "no"), tmp_path / "r.json", 7).notes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"day": 1}',
        "[]",
        '{"day":"2026-11-23","base":"EUR","worth":{"USD":"1/0"}}',
        '{"day":"2026-11-23","base":"EUR","worth":{"USD":"-1/2"}}',
        '{"day":"2026-11-23","base":"EUR","worth":{"USD":"much"}}',
    ],
)
def test_a_kept_file_that_is_broken(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(text)
    with pytest.raises(DataError, match="broken"):
        load(path)


def test_a_private_address_is_no_source(tmp_path: Path) -> None:
    with Fetcher(user_agent="test", retries=0) as closed:
        tally = refresh(closed, "http://127.0.0.1:9/rates.xml", tmp_path / "r.json", 7)
    assert "private address" in str(tally.notes["warning"])
