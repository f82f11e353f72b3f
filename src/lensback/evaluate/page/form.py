"""Words and numbers for people: 64 of 100, with its range and the photos it rests on."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass

from markupsafe import Markup

from lensback.evaluate.shares import Share
from lensback.speech import Speech

_STRONG = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"`(.+?)`")


@dataclass(frozen=True, slots=True)
class Form:
    """Writes words and numbers in one language."""

    speech: Speech

    def say(self, text: str, **values: object) -> Markup:
        """The text in this language as markup, with its values escaped, so that a store's title
        never becomes markup: `**x**` is strong, what stands between backticks is code."""
        said = html.escape(self.speech.say(text), quote=False)
        # Strong first, so that asterisks in a value stay asterisks.
        marked = _CODE.sub(r"<code>\1</code>", _STRONG.sub(r"<strong>\1</strong>", said))
        return Markup(self.speech.filled(Markup(marked), values))  # noqa: S704 - escaped above

    def photos(self, n: int) -> str:
        """The number with the form of "photo" that goes with it."""
        return self.speech.plural("{n}\u00a0photo", "{n}\u00a0photos", n)

    def pictures(self, n: int) -> str:
        """The number with the form of "picture" that goes with it."""
        return self.speech.plural("{n}\u00a0picture", "{n}\u00a0pictures", n)

    def products(self, n: int) -> str:
        """The number with the form of "product" that goes with it."""
        return self.speech.plural("{n}\u00a0product", "{n}\u00a0products", n)

    def things(self, n: int) -> str:
        """The number with the form of "thing" that goes with it."""
        return self.speech.plural("{n}\u00a0thing", "{n}\u00a0things", n)

    def cases(self, n: int) -> str:
        """The number with the form of "case" that goes with it."""
        return self.speech.plural("{n}\u00a0case", "{n}\u00a0cases", n)

    def answers(self, n: int) -> str:
        """The number with the form of "answer" that goes with it."""
        return self.speech.plural("{n}\u00a0answer", "{n}\u00a0answers", n)

    def searches(self, n: int) -> str:
        """The number with the form of "search" that goes with it."""
        return self.speech.plural("{n}\u00a0search", "{n}\u00a0searches", n)

    def hundred(self, share: float) -> str:
        """A share as so many of 100: whole, below 10 with one digit more where there is one.

        What is not all is never rounded to 100, what occurs is never rounded to 0.
        """
        value = 100 * share
        if 0 < value < 0.1:
            return f"<\u202f{self.speech.number(0.1)}"
        if value > 99 and share < 1:
            return self.speech.number(math.floor(value * 10) / 10)
        return self.speech.number(round(value, 1) if value < 10 else round(value))

    def share(self, share: Share) -> str:
        """The share with its interval in words: "64 of 100 (56 to 71)"."""
        if not share.known:
            return self.speech.say("not known")
        ends = {"low": self.hundred(share.low), "high": self.hundred(share.high)}
        return self.speech.say("{a} of 100 ({low} to {high})", a=self.hundred(share.value), **ends)

    def counted(self, hits: int, n: int) -> str:
        """What a share rests on in words: "81 of 126 photos"."""
        return self.speech.plural(
            "{hits} of {n}\u00a0photo", "{hits} of {n}\u00a0photos", n, hits=hits
        )

    def ends(self, low: str, high: str) -> str:
        """A range; the same twice is one."""
        return low if low == high else f"{low} … {high}"

    def rounded(self, value: float) -> str:
        """The value with three significant digits."""
        return self.speech.number(_digits(value))

    def money(self, value: float, currency: str) -> str:
        """An amount with three digits that count."""
        return self.speech.about(_digits(value), currency)


def _digits(value: float) -> float:
    """Rounded to three significant digits; whole from 100 on."""
    if value == 0 or not math.isfinite(value):
        return 0.0
    places = 2 - math.floor(math.log10(abs(value)))
    return round(value, max(0, places))
