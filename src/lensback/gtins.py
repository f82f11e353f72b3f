"""GTINs, the numbers under bar codes: which are sound, how else one is written, and where one stands in
what a code says."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_LENGTHS = (8, 12, 13, 14)
_RETAIL = frozenset({"EAN13", "EAN8", "UPCA", "UPCE"})
_CARTON = frozenset({"ITF", "ITF14"})
"""Stripes that any number may stand in, shorter ones easily misread: only a whole GTIN counts."""
CARTON_DIGITS = 14
_ELEMENT = re.compile(r"\(0?1\)([0-9]{14})(?![0-9])")
_LINK = re.compile(r"/(?:01|gtin)/([0-9]{8,14})(?:/|$)")


def gtin(raw: str) -> str:
    """8, 12, 13 or 14 digits with a right check digit, or empty.

    Numbers that stores give out themselves (GS1 prefixes 2 and 02) are no GTIN.

    >>> gtin("5 011423 196527"), gtin("7891234567890"), gtin("2000000000008")
    ('5011423196527', '', '')
    """
    digits = raw if raw.isdigit() else raw.strip().replace(" ", "").replace("-", "")
    if len(digits) not in _LENGTHS or not (digits.isascii() and digits.isdigit()):
        return ""
    if not _adds_up(digits):
        return ""
    if len(digits) > 8 and digits.zfill(14)[1:].startswith(("2", "02", "0000000000000")):
        return ""
    return digits


def _adds_up(digits: str) -> bool:
    """Whether the last digit is right: from there on leftwards digits weigh 1 and 3 in turn, and the sum
    ends in zero (GS1 General Specifications, 7.9.1)."""
    values = digits.encode()  # each 48 more than its digit
    zeros = ord("0") * (len(values) + 2 * (len(values) // 2))
    return (sum(values[::-2]) + 3 * sum(values[-2::-2]) - zeros) % 10 == 0


def spellings(number: str) -> tuple[str, ...]:
    """All ways to write one GTIN: zeros in front make the lengths of one another (GS1 General
    Specifications, 3.3.2).

    >>> spellings("614141999996")
    ('614141999996', '0614141999996', '00614141999996')
    """
    bare = number.lstrip("0")
    return tuple(bare.zfill(length) for length in _LENGTHS if len(bare) <= length)


def plain(number: str) -> str:
    """One GTIN as people read it: without the zeros that only fill.

    >>> plain("00614141999996"), plain("0096385074")
    ('614141999996', '96385074')
    """
    return spellings(number)[0]


def in_code(text: str, kind: str) -> str:
    """The GTIN that a code says, or empty: the digits of a retail code, the element (01) of a GS1 code,
    or a GS1 Digital Link.

    `kind` is the format's name in zxing-cpp: EAN13, EAN8, UPCA, UPCE, ITF …

    >>> in_code("(01)09506000134352(17)271200", "DataMatrix")
    '09506000134352'
    >>> in_code("https://brand.example/01/09506000134352/10/AB", "QRCode"), in_code("hello", "QRCode")
    ('09506000134352', '')
    """
    if kind in _RETAIL:  # of a UPC-E the reader gives the number that it stands for
        return gtin(text)
    if kind in _CARTON:
        return gtin(text) if len(text) == CARTON_DIGITS else ""
    if found := _ELEMENT.search(text):
        return gtin(found[1])
    if text[:8].lower().startswith(("http://", "https://")):
        try:
            path = unquote(urlsplit(text).path)
        except ValueError:
            return ""
        return gtin(found[1]) if (found := _LINK.search(path)) else ""
    return ""
