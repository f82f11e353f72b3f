"""What a network tells of a sale -> `Conversion`: calls (postbacks) and rows of its reports."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from lensback.errors import PostbackError
from lensback.networks.shape import Network, NewsForm
from lensback.types import Conversion, Money, currency_exponent

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CURRENCY = re.compile(r"[A-Z]{3}")
_LOST = re.compile(r"\[\[\[.*\]\]\]|{.*}|\$\{.*\}|null|none|undefined", re.IGNORECASE)
"""A macro that the network did not fill, or a nothing written out."""
_NO_DAY = re.compile(r"000[01]-0[01]-0[01](\D.*)?")
"""A day that was never set, as .NET and MySQL write it."""
_TIMES = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M:%S")
"""Beside ISO 8601."""
MAX_TEXT = 200
MAX_REASON = 500
MAX_AMOUNT = 10**12
MAX_EPOCH = 4_102_444_800
"""The year 2100: a later time is a mistake, and no calendar should meet it."""


def read_postback(network: Network, fields: Mapping[str, str]) -> Conversion:
    """A call's fields (query or form) as a conversion. Raises PostbackError saying what is wrong.

    Whether the call may be trusted is not decided here.
    """
    return conversion(network, network.postback, fields)


def conversion(network: Network, form: NewsForm, row: Mapping[str, Any]) -> Conversion:
    """A postback or a row of a report, read the way `form` says."""
    read = _Reader(form, row)
    external_id = read.text("external_id")
    if not external_id:
        raise PostbackError(
            f"{network.title} does not say which sale it is",
            hint=f"the network must send {_shown(form, 'external_id')}",
        )
    status = status_of(network, read.text("status"))
    if status == "approved" and _is_paid(form, row):
        status = "paid"
    currency = read.currency()
    return Conversion(
        network=network.name,
        external_id=external_id,
        status=status,
        item=read.text("item"),
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


class _Reader:
    """One row under one form."""

    def __init__(self, form: NewsForm, row: Mapping[str, Any]) -> None:
        self._form = form
        self._row = row

    def text(self, field: str) -> str:
        """The field as text, "" where it is not told."""
        for name in self._names(field):
            parts = [self._one(part) for part in name.split("+")]
            if all(parts):
                found = ":".join(parts)
                if len(found) > MAX_TEXT or _CONTROL.search(found):
                    raise PostbackError(f"{field} is no plain text", hint="check the postback")
                return found
        return ""

    def _names(self, field: str) -> tuple[str, ...]:
        """Their names of our field, in the order to try; ours where the form names none at all."""
        if not self._form.fields:
            return (field,)
        spec = self._form.fields.get(field, ())
        return (spec,) if isinstance(spec, str) else spec

    def _one(self, path: str) -> str:
        value = picked(self._row, path)
        if isinstance(value, bool):
            return "1" if value else "0"
        text = "" if isinstance(value, list | dict) else str(value).strip()
        return "" if _LOST.fullmatch(text) else text

    def reason(self) -> str:
        """Free text of somebody else: what is too long is cut, line ends become blanks."""
        found = next((text for name in self._names("reason") if (text := self._one(name))), "")
        return _CONTROL.sub(" ", found)[:MAX_REASON]

    def currency(self) -> str:
        code = (self.text("currency") or self._form.currency).upper()
        code = "RUB" if code == "RUR" else code
        if code and not _CURRENCY.fullmatch(code):
            raise PostbackError(f"not a currency: {code[:20]!r}", hint="use ISO 4217, e.g. EUR")
        return code

    def money(self, field: str, currency: str) -> Money | None:
        """Rounded down, so that never more is booked than was told. None where not told."""
        text = self.text(field)
        if not text:
            return None
        amount = decimal_of(text, field) / self._form.divisor
        if not currency:
            raise PostbackError(f"{field} has no currency", hint="let the network send it")
        minor = amount.scaleb(currency_exponent(currency)).to_integral_value(ROUND_FLOOR)
        return Money(int(minor), currency)

    def moment(self, field: str) -> int | None:
        text = self.text(field)
        return epoch_of(text, field) if text and not _NO_DAY.fullmatch(text) else None


def _is_paid(form: NewsForm, row: Mapping[str, Any]) -> bool:
    return any(
        str(picked(row, path)).strip().lower() in {value.lower() for value in values}
        for path, values in form.paid_when.items()
    )


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


def decimal_of(text: str, field: str = "amount") -> Decimal:
    """A machine's number: digits, a dot, perhaps a sign. Raises PostbackError."""
    if not re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{0,12})?([eE][+-]?[0-9]{1,2})?", text):
        raise PostbackError(f"{field} is no amount: {text[:30]!r}", hint="use 12.34")
    value = Decimal(text)
    if abs(value) >= MAX_AMOUNT:
        raise PostbackError(f"{field} is too large: {text[:30]!r}", hint="ask the network")
    return value


def epoch_of(text: str, field: str = "time") -> int:
    """UTC epoch seconds of a time: epoch, ISO 8601, or a form networks use; UTC where it does not
    say. Raises PostbackError."""
    if re.fullmatch(r"[0-9]{9,11}|[0-9]{13}", text):
        epoch = int(text) // (1000 if len(text) == 13 else 1)
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            when = _by_form(text, field)
        epoch = math.floor((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    if not 0 <= epoch < MAX_EPOCH:
        raise PostbackError(f"{field} is no time: {text[:30]!r}", hint="use 2026-11-23T10:00:00Z")
    return epoch


def _by_form(text: str, field: str) -> datetime:
    for form in _TIMES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise PostbackError(f"{field} is no time: {text[:30]!r}", hint="use 2026-11-23T10:00:00Z")


def _shown(form: NewsForm, field: str) -> str:
    spec = form.fields.get(field, field)
    return spec if isinstance(spec, str) else " or ".join(spec)
