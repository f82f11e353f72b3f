"""Exchange rates of a day: read from a file or an address, kept in the workspace, refused when old.

Understood: the XML of the European Central Bank and of the Bank of Russia, CSV with the columns
`date,currency,rate[,base]`, and TOML with `date`, `base` and a table `rates`. A rate says how much
of the currency one unit of the base buys.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree as ET

from pydantic import BeforeValidator, Field

from lensback.checked import checked, parse_toml
from lensback.decimals import decimal_of, fraction_of
from lensback.durable import replace_file
from lensback.errors import ConfigError, DataError, FetchError, StateError, TooLarge
from lensback.livefile import LiveFile
from lensback.net import Fetcher
from lensback.types import Money, Tally, currency_exponent

MAX_BYTES = 4 << 20
_CODE = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Rates:
    """Worth of one unit of each currency, in units of `base`, on `day`."""

    day: date
    base: str
    worth: Mapping[str, Annotated[Fraction, BeforeValidator(fraction_of), Field(gt=0)]]

    def convert(self, money: Money, currency: str) -> Money | None:
        """The amount in another currency, rounded down; None without a rate of both."""
        if money.currency == currency:
            return money
        if money.currency not in self.worth or currency not in self.worth:
            return None
        shift = currency_exponent(currency) - currency_exponent(money.currency)
        factor = self.worth[money.currency] / self.worth[currency] * Fraction(10) ** shift
        return Money(math.floor(money.minor * factor), currency)

    def age_days(self, at: float | None = None) -> int:
        """Days since the day of the rates; negative before it."""
        return (datetime.fromtimestamp(at or time.time(), UTC).date() - self.day).days

    def as_text(self) -> str:
        """To be kept; `load` reads it again."""
        worth = {code: str(value) for code, value in sorted(self.worth.items())}
        return json.dumps({"day": str(self.day), "base": self.base, "worth": worth}, indent=1)


def usable(rates: Rates | None, max_age_days: int, at: float | None = None) -> Rates | None:
    """The rates where they are fresh enough to estimate money by, else None."""
    if rates is None:
        return None
    # One day ahead is the next working day's rate, which banks publish in the evening.
    return rates if -1 <= rates.age_days(at) <= max_age_days else None


def load(path: Path) -> Rates | None:
    """The rates that the last refresh left, None where there are none. Raises DataError,
    ConfigError for a file that may not be read."""
    return _followed(path).get()


@lru_cache(maxsize=8)
def _followed(path: Path) -> LiveFile[Rates | None]:
    return LiveFile(_kept, path)


def _kept(data: bytes | None) -> Rates | None:
    told, hint = "the kept exchange rates are broken: ", "run: lensback sync"
    return checked(Rates, data, told, hint=hint, error=DataError) if data is not None else None


def refresh(fetcher: Fetcher, source: str, path: Path, max_age_days: int) -> Tally:
    """Reads the rates anew (an address, or a file) and keeps them at `path`.

    Never fails: a source that does not answer leaves the old rates, with a hint while these are
    fresh and with a warning when they are too old to be used.
    """
    tally = Tally("rates")
    begin = time.perf_counter()
    try:
        rates = read_rates(_fetched(fetcher, source))
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda part: part.write_text(rates.as_text(), "utf-8"))
        tally.done = len(rates.worth)
        trouble = ""
    except (FetchError, DataError, TooLarge, StateError, OSError) as error:
        trouble = f"the exchange rates were not read: {error}"
    tally.seconds = time.perf_counter() - begin
    _tell(tally, path, max_age_days, trouble)
    return tally


def _tell(tally: Tally, path: Path, max_age_days: int, trouble: str) -> None:
    try:
        kept = load(path)
    except DataError:
        kept = None
    if kept is not None:
        tally.notes["day"] = str(kept.day)
    if usable(kept, max_age_days) is None:
        why = trouble or "the exchange rates of the source are old"
        tally.notes["warning"] = f"{why}; no amount is converted"
    elif trouble:
        tally.notes["hint"] = f"{trouble}; the older ones stay"


def _fetched(fetcher: Fetcher, source: str) -> bytes:
    if source.startswith(("http://", "https://")):
        return fetcher.fetch(source, max_bytes=MAX_BYTES).body
    with Path(source).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def read_rates(body: bytes) -> Rates:
    """A rates file, whatever it is of the known kinds. Raises DataError."""
    if len(body) > MAX_BYTES:
        raise DataError("too large for exchange rates", hint="check the setting rates")
    head = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    reader: Callable[[bytes], Rates] = _xml if head == b"<" else _text
    try:
        rates = reader(body)
    except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError, csv.Error) as error:
        raise _unreadable(str(error)) from error
    if len(rates.worth) < 2:
        raise _unreadable("it names no rate")
    return rates


def _unreadable(why: str) -> DataError:
    return DataError(
        f"the exchange rates cannot be read: {why[:200]}",
        hint="give XML of the ECB or the Bank of Russia, CSV or TOML; see docs/programs.md",
    )


def _xml(body: bytes) -> Rates:
    # No document types, so no entities that grow; no NUL, so no UTF-16 that would hide one.
    if b"\0" in body or b"<!" in body.replace(b"<!--", b""):
        raise ValueError("document types are not read")
    try:
        root = ET.fromstring(body)  # noqa: S314 - without a document type nothing can expand
    except (ET.ParseError, LookupError) as error:
        raise ValueError(str(error)) from error
    return _russia(root) if root.tag == "ValCurs" else _europe(root)


def _europe(root: ET.Element) -> Rates:
    """The newest day of `<Cube time=…><Cube currency=… rate=…/>`: units for one euro."""
    days = [cube for cube in root.iter() if cube.tag.endswith("Cube") and cube.get("time")]
    if not days:
        raise ValueError("no day with rates")
    newest = max(days, key=lambda cube: date.fromisoformat(cube.get("time", "")))
    worth = {"EUR": Fraction(1)}
    for cube in newest:
        worth[_code(cube.get("currency", ""))] = 1 / _number(cube.get("rate", ""))
    return Rates(date.fromisoformat(newest.get("time", "")), "EUR", worth)


def _russia(root: ET.Element) -> Rates:
    """`<Valute><CharCode/><Nominal/><Value/>`: roubles for so many units."""
    worth = {"RUB": Fraction(1)}
    for entry in root.iter("Valute"):
        value, nominal = entry.findtext("Value", ""), entry.findtext("Nominal", "1")
        worth[_code(entry.findtext("CharCode", ""))] = _number(value) / _number(nominal)
    day = datetime.strptime(root.get("Date", ""), "%d.%m.%Y").replace(tzinfo=UTC).date()
    return Rates(day, "RUB", worth)


def _text(body: bytes) -> Rates:
    text = body.decode("utf-8-sig")
    try:
        values = parse_toml(text.encode(), "rates")
    except ConfigError:
        return _table(text)
    base = _code(str(values["base"]))
    worth = {_code(code): 1 / _number(str(rate)) for code, rate in values["rates"].items()}
    day = values["date"]
    day = day.date() if isinstance(day, datetime) else day
    return Rates(
        day if isinstance(day, date) else date.fromisoformat(str(day)),
        base,
        {**worth, base: Fraction(1)},
    )


def _table(text: str) -> Rates:
    """CSV; of several days the newest counts. Without a column `base` it is EUR."""
    rows = [
        {str(key).strip().lower(): value for key, value in row.items()}
        for row in csv.DictReader(io.StringIO(text), strict=True)
    ]
    if not rows or not {"date", "currency", "rate"} <= set(rows[0]):
        raise ValueError("no columns date, currency and rate")
    newest = max(date.fromisoformat(row["date"].strip()) for row in rows)
    today = [row for row in rows if date.fromisoformat(row["date"].strip()) == newest]
    bases = {_code((row.get("base") or "EUR").strip()) for row in today}
    if len(bases) != 1:
        raise ValueError("several bases")
    base = bases.pop()
    worth = {_code(row["currency"].strip()): 1 / _number(row["rate"]) for row in today}
    return Rates(newest, base, {**worth, base: Fraction(1)})


def _code(text: str) -> str:
    if not _CODE.fullmatch(text):
        raise ValueError(f"not a currency: {text[:20]!r}")
    return text


def _number(text: str) -> Fraction:
    value = decimal_of(text.replace(",", "."))
    if not Decimal("1e-9") < value < Decimal("1e12"):
        raise ValueError(f"not a rate: {text[:20]!r}")
    return Fraction(value)
