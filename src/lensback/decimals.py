"""Numbers as others write them -> decimals within bounds.

`1e999999999` is a decimal of eleven letters; written out, or made a fraction, it takes all memory. So
nothing from outside becomes a Decimal or a Fraction but here.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

MAX_CHARS = 60
MAX_DIGITS = 40
PLACES = 15
"""Digits before the point, at most: more money than there is."""
FINE = 120
"""Digits after the point, at most."""
_FRACTION = re.compile(r"[0-9]{1,200}/[0-9]{1,200}")


def decimal_of(text: object) -> Decimal:
    """The number that a text, or what has one, says. Raises ValueError for everything else: no number,
    infinite, beyond `PLACES` digits or finer than `FINE`."""
    written = str(text).strip() if not isinstance(text, Decimal) else text
    if isinstance(written, str) and len(written) > MAX_CHARS:
        raise ValueError("no number: too long")
    try:
        return bounded(Decimal(written))
    except InvalidOperation as error:
        raise ValueError(f"no number: {text!r}") from error


def fraction_of(text: object) -> Fraction:
    """The exact number that a text says, as a decimal or as `1/3`. Raises ValueError as `decimal_of`, and for
    what is divided by 0."""
    written = str(text)
    try:
        return Fraction(written if _FRACTION.fullmatch(written) else decimal_of(text))
    except ZeroDivisionError as error:
        raise ValueError("must not be divided by 0") from error


def bounded(value: Decimal) -> Decimal:
    """The value itself. Raises ValueError where working with it could take more than it is worth."""
    if not value.is_finite():
        raise ValueError("must be finite")
    _, digits, exponent = value.as_tuple()
    if len(digits) > MAX_DIGITS or not -FINE <= int(exponent) <= PLACES:
        raise ValueError(f"must have at most {MAX_DIGITS} digits and no large exponent")
    if value and value.adjusted() >= PLACES:
        raise ValueError(f"must be below 1{PLACES * '0'}")
    return value
