"""The report's words in each language: one TOML file each, the same keys in all of them.

`{name}` is a value; `{n#photos}` is a number with the form of a noun that it asks for; `**x**`
is strong, and what stands between backticks is code. Values are escaped, so that a store's title never becomes markup.
"""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from lensback.errors import UnknownName

LANGUAGES = ("en", "ru")
_PLACE = re.compile(r"\{(\w+)(?:#(\w+))?\}")
_STRONG = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"`(.+?)`")
NARROW = "\u202f"
"""A space that no line is broken at, between thousands."""


class Html(str):
    """Text that is markup already: templates do not escape it again."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language."""

    language: str
    texts: Mapping[str, str]
    nouns: Mapping[str, tuple[str, ...]]

    def __call__(self, key: str, /, **values: object) -> Html:
        """The text of a key with its values, as markup. A key that is missing raises KeyError:
        tests ask for every one."""
        text = html.escape(self.texts[key], quote=False)
        # Strong first, so that asterisks in a value stay asterisks.
        text = _CODE.sub(r"<code>\1</code>", _STRONG.sub(r"<strong>\1</strong>", text))
        return Html(_PLACE.sub(lambda found: html.escape(self._value(found, values)), text))

    def has(self, key: str) -> bool:
        return key in self.texts

    def _value(self, found: re.Match[str], values: Mapping[str, object]) -> str:
        value = values[found[1]]
        if found[2] is None:
            return self.number(value) if isinstance(value, int | float) else str(value)
        if not isinstance(value, int):
            raise TypeError(f"{found[0]} wants a whole number")
        return f"{self.number(value)}\u00a0{self.noun(found[2], value)}"

    def noun(self, name: str, n: int) -> str:
        """The form of a noun that goes with a number.

        >>> words("ru").noun("photos", 3), words("en").noun("photos", 1)
        ('снимка', 'photo')
        """
        return self.nouns[name][plural(n, self.language)]

    def number(self, value: float) -> str:
        """A number for people: thousands apart, three digits that count.

        >>> words("en").number(1234567), words("ru").number(0.1234)
        ('1\\u202f234\\u202f567', '0,123')
        """
        if isinstance(value, int) or abs(value) >= 100:
            text = f"{round(value):,}"
        else:
            places = 0 if value == round(value) else 1 if abs(value) >= 10 else 2
            places = 3 if 0 < abs(value) < 0.2 else places
            text = f"{value:,.{places}f}"
            text = text.rstrip("0").rstrip(".") if places else text
        text = text.replace("-", "\u2212")
        if self.language == "ru":
            return text.replace(",", NARROW).replace(".", ",")
        return text.replace(",", NARROW)

    def decimal(self, value: float, *, signed: bool = False) -> str:
        """Three digits after the point, as experts write a share.

        >>> words("en").decimal(0.5), words("ru").decimal(-0.25, signed=True)
        ('0.500', '\u22120,250')
        """
        text = f"{value:{'+' if signed else ''}.3f}".replace("-", "\u2212")
        return text.replace(".", ",") if self.language == "ru" else text


def plural(n: int, language: str) -> int:
    """Index of the form: English one, other; Russian one, few, many (CLDR).

    >>> [plural(n, "ru") for n in (1, 21, 2, 24, 5, 11, 112, 0)]
    [0, 0, 1, 1, 2, 2, 2, 2]
    """
    n = abs(n)
    if language == "en":
        return 0 if n == 1 else 1
    if n % 10 == 1 and n % 100 != 11:
        return 0
    return 1 if n % 10 in {2, 3, 4} and n % 100 not in {12, 13, 14} else 2


@cache
def words(language: str) -> Words:
    """The words of a language. Raises UnknownName for one that we do not speak."""
    if language not in LANGUAGES:
        raise UnknownName("language", language, list(LANGUAGES))
    source = files(__package__).joinpath(f"{language}.toml").read_text("utf-8")
    tables = tomllib.loads(source)
    nouns = {name: tuple(forms) for name, forms in tables.pop("nouns").items()}
    return Words(language, dict(_flat(tables)), nouns)


def _flat(tables: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in tables.items():
        key = f"{above}.{name}" if above else name
        found += _flat(value, key) if isinstance(value, Mapping) else [(key, value)]
    return found
