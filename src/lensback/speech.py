"""The languages of page and bot: texts from one catalogue (gettext), numbers and money by locale (Babel)."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal
from babel.support import NullTranslations, Translations

LANGUAGES = {"en": "English", "ru": "Русский"}
"""English is in the code; every other language is `locale/<language>.po`."""
_CODE = re.compile(r"^(-?[A-Z]{3})(?=\d)")


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for "translate this later"
    return text


@dataclass(frozen=True, slots=True)
class Speech:
    """One language: `say` and `plural` (`_` and `_n` in templates) for texts, the rest for numbers."""

    language: str

    def say(self, text: str) -> str:
        return str(_translations(self.language).gettext(text))

    def plural(self, one: str, many: str, n: int) -> str:
        return str(_translations(self.language).ngettext(one, many, n))

    def number(self, value: int) -> str:
        return str(format_decimal(value, locale=_locale(self.language)))

    def money(self, amount: Mapping[str, Any]) -> str:
        """An amount of the API as people of this language write it; whole amounts without cents.

        >>> Speech("en").money({"amount": "3456.00", "currency": "RUB"})
        'RUB\\xa03,456'
        >>> Speech("ru").money({"amount": "8.50", "currency": "EUR"})
        '8,50\\xa0€'
        """
        value = Decimal(str(amount["amount"]))
        whole = value == value.to_integral_value()
        text = format_currency(
            value,
            str(amount["currency"]),
            locale=_locale(self.language),
            format=_whole_pattern(self.language) if whole else None,
            currency_digits=not whole,
        )
        # English sets a code hard against the number; CLDR wants a space there, Babel adds none.
        return _CODE.sub("\\1\u00a0", str(text))

    def date(self, epoch: int) -> str:
        return str(format_date(datetime.fromtimestamp(epoch, UTC), locale=_locale(self.language)))


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(language)


@cache
def _whole_pattern(language: str) -> str:
    """The locale's currency pattern without its decimals."""
    pattern = _locale(language).currency_formats["standard"].pattern
    return str(pattern).split(";")[0].replace(".00", "")


@cache
def _translations(language: str) -> NullTranslations:
    """Compiled in memory: a translator edits one text file, and there is nothing to build."""
    if language == "en":
        return NullTranslations()
    text = files("lensback").joinpath("locale", f"{language}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(text), locale=language))
    compiled.seek(0)
    return Translations(compiled)
