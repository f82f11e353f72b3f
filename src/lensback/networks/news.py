"""What a network tells of a sale -> `Conversion`: calls (postbacks) and rows of its reports."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from lensback.decimals import decimal_of
from lensback.errors import PostbackError
from lensback.networks.shape import Network, NewsForm
from lensback.types import Conversion, Money, currency_exponent, minor_units

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Halves of letters (JSON can write them) are no text either: no database takes them, and the sale would be
lost after it was answered for."""
_LOST = re.compile(
    r"""\[.*\] | [$#%@]?\{.*\} | !!!.*!!! | <.*> | (?P<sign>[%#$@]|__)(?!\s).*(?P=sign)
    | \$[a-z_][\w.]* | \$\(.*\) | (?P<mark>[*~|^]|::|--)[a-z_][\w.-]*(?P=mark)
    | null | none | nil | undefined | \(null\) | n/a""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""A macro that the network did not fill, or a nothing written out."""
_HOLE = re.compile(
    r"\[\[\w+\]\]|\{\w{2,}\}|!!!\w+!!!|%%\w+%%|\[[A-Za-z_]{2,}\]|\$[A-Za-z_]{2,}|\*[a-z_]{2,}\*"
)
"""The same within a text: `77:[[[order_id]]]` names no sale."""
_NO_DAY = re.compile(r"000[01]-0[01]-0[01](\D.*)?")
"""A day that was never set, as .NET and MySQL write it."""
_TIMES = (
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
    "%Y-%m-%d %H:%M:%S UTC",
    "%Y-%m-%d %H:%M:%S GMT",
    "%d.%m.%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y",
    "%a %b %d %Y %H:%M:%S GMT%z (UTC)",
    "%a %b %d %Y %H:%M:%S GMT 0000 (UTC)",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a, %d %b %Y %H:%M:%S %z",
)
"""Beside ISO 8601. What ends with the name of a zone is of it, whatever zone the network's other times are of."""
MAX_TEXT = 200
MAX_REASON = 500
MAX_AMOUNT = 10**12
MAX_EPOCH = 4_102_444_800
"""The year 2100: a later time is a mistake, and no calendar should meet it."""


def read_postback(network: Network, fields: Mapping[str, str]) -> Conversion | None:
    """A call's fields (query or form) as a conversion, None where it tells of no sale. Raises PostbackError
    saying what is wrong.

    Whether the call may be trusted is not decided here.
    """
    form = network.postback
    held = fields.get(form.inside) if form.inside else None
    row = fields if held is None else _unpacked(form.inside, held)
    return conversion(network, form, row) if is_sale(form, row) else None


def is_sale(form: NewsForm, row: Mapping[str, Any]) -> bool:
    """Whether a row or call tells of a sale: some networks show what pays nothing in the same report."""
    return not _holds(form.skip_when, row)


def _unpacked(name: str, text: str) -> Mapping[str, Any]:
    """The fields that a network sends as JSON in one field."""
    try:
        values = json.loads(text, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise PostbackError(f"{name} is not JSON", hint="check the postback") from error
    if not isinstance(values, dict):
        raise PostbackError(f"{name} is not an object", hint="check the postback")
    return values


def conversion(
    network: Network, form: NewsForm, row: Mapping[str, Any], currency: str = ""
) -> Conversion:
    """A postback or a row of a report, read the way `form` says; `currency` is of the report."""
    read = _Reader(form, row, currency)
    external_id = read.text("external_id")
    if not external_id:
        raise PostbackError(
            f"{network.title} does not say which sale it is",
            hint=f"the network must send {_shown(form, 'external_id')}",
        )
    status = status_of(network, read.text("status"))
    if status == "pending" and _holds(form.approved_when, row):
        status = "approved"
    if status == "approved" and _holds(form.paid_when, row) and _means_money(network, form):
        status = "paid"
    if _holds(form.declined_when, row):
        status = "declined"
    currency = read.currency()
    return Conversion(
        network=network.name,
        external_id=external_id,
        status=status,
        item=read.text("item"),
        part=read.text("part"),
        subid=read.text("subid"),
        commission=read.money("commission", currency),
        order_value=read.money("order_value", currency),
        order_id=read.text("order_id"),
        reason=read.reason(),
        ordered_at=read.moment("ordered_at"),
        changed_at=read.moment("changed_at"),
    )


def status_of(network: Network, theirs: str) -> str:
    """Their word for a state as ours. Raises PostbackError for a word nobody knows or checked."""
    key = theirs.strip().lower()
    ours = network.statuses.get(key)
    if ours is None:
        known = ", ".join(network.statuses)
        raise PostbackError(
            f"{network.title} has no status {theirs[:40]!r}", hint=f"known: {known}"
        )
    mark = next((m for m in (f"statuses.{key}", "statuses") if m in network.unchecked), None)
    if mark:
        raise PostbackError(
            f"what {theirs[:40]!r} means at {network.title} is not checked",
            hint=f'ask the network, then write checked = ["{mark}"] into networks/{network.name}.toml',
        )
    return ours


def _means_money(network: Network, form: NewsForm) -> bool:
    """Whether it was checked that what the network calls paid is money that we have."""
    place = "postback" if form is network.postback else "poll.news"
    return f"{place}.paid_when" not in network.unchecked


class _Reader:
    """One row under one form."""

    def __init__(self, form: NewsForm, row: Mapping[str, Any], currency: str) -> None:
        self._form = form
        self._row = row
        self._currency = currency or form.currency

    def text(self, field: str) -> str:
        """The field as text, "" where it is not told."""
        for name in self._names(field):
            parts = [self._one(part) for part in name.split("+")]
            if all(parts):
                found = ":".join(parts)
                if len(found) > MAX_TEXT or _CONTROL.search(found):
                    raise PostbackError(f"{field} is no plain text", hint="check the postback")
                return found
        return self._form.default.get(field, "")

    def _names(self, field: str) -> tuple[str, ...]:
        """Their names of our field, in the order to try; ours where the form names none at all."""
        if not self._form.fields:
            return (field,)
        spec = self._form.fields.get(field, ())
        return (spec,) if isinstance(spec, str) else spec

    def _one(self, path: str) -> str:
        texts = (_text_of(value) for value in picked_all(self._row, path))
        return next((text for text in texts if text), "")

    def reason(self) -> str:
        """Free text of somebody else: what is too long is cut, line ends become blanks."""
        told = (_words(picked(self._row, name)) for name in self._names("reason"))
        found = next((text for text in told if text), "")
        return _CONTROL.sub(" ", found or self._form.default.get("reason", ""))[:MAX_REASON]

    def currency(self) -> str:
        code = (self.text("currency") or self._currency).upper()
        code = "RUB" if code == "RUR" else code
        if code and code not in minor_units():  # XXX and XTS are codes, and no money
            raise PostbackError(f"not a currency: {code[:20]!r}", hint="use ISO 4217, e.g. EUR")
        return code

    def money(self, field: str, currency: str) -> Money | None:
        """Rounded down, so that never more is booked than was told. None where not told."""
        told = self._amounts(field)
        if not told:
            return None
        amount = sum(number_of(text, field) for text in told) / Decimal(self._form.divisor)
        if not currency:
            raise PostbackError(f"{field} has no currency", hint="let the network send it")
        minor = amount.scaleb(currency_exponent(currency)).to_integral_value(ROUND_FLOOR)
        return Money(int(minor), currency)

    def _amounts(self, field: str) -> list[str]:
        """One amount, or those of all items where the name says `items.*.amount`."""
        for name in self._names(field):
            if "*" in name:
                if told := [t for value in picked_all(self._row, name) if (t := _text_of(value))]:
                    return told
            elif text := self._one(name):
                return [text]
        return [text] if (text := self._form.default.get(field, "")) else []

    def moment(self, field: str) -> int | None:
        text = self.text(field)
        if not text or _NO_DAY.fullmatch(text):
            return None
        return epoch_of(text, field, self._form.time_zone)


def _text_of(value: Any) -> str:
    """What a value says, "" where it says nothing or has a hole."""
    if isinstance(value, bool):
        return "1" if value else "0"
    text = _words(value)
    return "" if any(_HOLE.search(form) for form in _forms(text)) else text


def _words(value: Any) -> str:
    text = "" if isinstance(value, list | dict) else str(value).strip()
    return "" if any(_LOST.fullmatch(form) for form in _forms(text)) else text


def _forms(text: str) -> Iterator[str]:
    """A text, and what it is where it was encoded once more on its way: `%7Bsubid%7D`, `&lt;u1&gt;`."""
    yield text
    if "%" in text or "&" in text:
        yield html.unescape(unquote(text)).strip()


def _holds(when: Mapping[str, tuple[str, ...]], row: Mapping[str, Any]) -> bool:
    """True where a field has one of its values; `*` stands for any that is told."""
    for path, values in when.items():
        text = str(picked(row, path)).strip()
        if text.lower() in {value.lower() for value in values}:
            return True
        if "*" in values and _text_of(text) and not _NO_DAY.fullmatch(text):
            return True
    return False


def picked(row: Any, path: str) -> Any:
    """The value at a dotted path of nested mappings and lists, None where there is none."""
    if isinstance(row, Mapping) and path in row:
        return row[path]
    for part in path.split("."):
        if isinstance(row, Mapping):
            row = row.get(part)
        elif isinstance(row, list) and part.isdecimal() and int(part) < len(row):
            row = row[int(part)]
        else:
            return None
    return row


def picked_all(row: Any, path: str) -> list[Any]:
    """The values at a path with at most one `*`, which stands for every item of a list; a call's
    JSON has become flat names like `items.0.amount`."""
    if ".*." not in path:
        return [picked(row, path)]
    head, tail = path.split(".*.", 1)
    items = picked(row, head)
    if isinstance(items, list):
        return [picked(item, tail) for item in items]
    name = re.compile(rf"{re.escape(head)}\.\d+\.{re.escape(tail)}")
    return [row[key] for key in row if name.fullmatch(key)]


def number_of(text: str, field: str = "amount") -> Decimal:
    """A machine's number: digits, a dot, perhaps a sign. Raises PostbackError."""
    if not re.fullmatch(
        r"[+-]?([0-9]{1,15}(\.[0-9]{0,12})?|\.[0-9]{1,12})([eE][+-]?[0-9]{1,2})?", text
    ):
        raise PostbackError(f"{field} is no amount: {text[:30]!r}", hint="use 12.34")
    try:
        value = decimal_of(text)
    except ValueError as error:
        raise PostbackError(
            f"{field} is too large: {text[:30]!r}", hint="ask the network"
        ) from error
    if abs(value) >= MAX_AMOUNT:
        raise PostbackError(f"{field} is too large: {text[:30]!r}", hint="ask the network")
    return value


def epoch_of(text: str, field: str = "time", zone: str = "UTC") -> int:
    """UTC epoch seconds of a time: epoch, ISO 8601, or a form networks use; of `zone` where it
    does not say. Raises PostbackError."""
    if re.fullmatch(r"[0-9]{9,11}|[0-9]{13}", text):
        epoch = int(text) // (1000 if len(text) == 13 else 1)
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            when = _by_form(text, field)
        if not when.tzinfo:
            when = when.replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))
        epoch = math.floor(when.timestamp())
    if not 0 <= epoch < MAX_EPOCH:
        raise PostbackError(f"{field} is no time: {text[:30]!r}", hint="use 2026-11-23T10:00:00Z")
    return epoch


def _by_form(text: str, field: str) -> datetime:
    for form in _TIMES:
        try:
            when = datetime.strptime(text, form)  # noqa: DTZ007 - its zone is put in above
        except ValueError:
            continue
        named = form.endswith(("GMT", "UTC", "(UTC)")) and not when.tzinfo
        return when.replace(tzinfo=UTC) if named else when
    raise PostbackError(f"{field} is no time: {text[:30]!r}", hint="use 2026-11-23T10:00:00Z")


def _shown(form: NewsForm, field: str) -> str:
    spec = form.fields.get(field, field)
    return spec if isinstance(spec, str) else " or ".join(spec)
