"""Numbers for people: 64 of 100, with its range and the photos it rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lensback.evaluate.shares import Share
from lensback.evaluate.words import Html, Words

SHARES = {
    "first", "lower", "empty_sold", "misled", "told", "clicked", "ordered", "declined",
    "commission_rate", "sold", "click_first", "click_lower", "click_alike", "order_right",
    "order_alike", "cashback_share",
}  # fmt: skip
"""Inputs that are shares."""


@dataclass(frozen=True, slots=True)
class Form:
    """Writes numbers in one language."""

    w: Words

    def hundred(self, share: float) -> str:
        """A share as so many of 100: whole, below 10 with one digit more where there is one.

        What is not all is never rounded to 100, what occurs is never rounded to 0.
        """
        value = 100 * share
        if 0 < value < 0.1:
            return f"<\u202f{self.w.number(0.1)}"
        if value > 99 and share < 1:
            return self.w.number(math.floor(value * 10) / 10)
        return self.w.number(round(value, 1) if value < 10 else round(value))

    def share(self, share: Share) -> Html:
        """ "64 of 100 (56 to 71)"."""
        if not share.known:
            return self.w("page.not_known")
        ends = {"low": self.hundred(share.low), "high": self.hundred(share.high)}
        return self.w("share.full", a=self.hundred(share.value), **ends)

    def counted(self, share: Share, what: str = "n") -> Html:
        """ "81 of 126 photos"."""
        return self.w(f"share.{what}", hits=share.hits, n=share.n)

    def ends(self, low: str, high: str) -> str:
        """A range; the same twice is one."""
        return low if low == high else f"{low} … {high}"

    def amount(self, name: str, value: float) -> str:
        """An input: a share in percent, the rest as it is."""
        if name in SHARES:
            return f"{self.hundred(value)}\u00a0%"
        return self.w.number(_digits(value))

    def money(self, value: float) -> str:
        """Three digits that count."""
        return self.w.number(_digits(value))


def _digits(value: float) -> float:
    """Rounded to three significant digits; whole from 100 on."""
    if value == 0 or not math.isfinite(value):
        return 0.0
    places = 2 - math.floor(math.log10(abs(value)))
    return round(value, max(0, places))
