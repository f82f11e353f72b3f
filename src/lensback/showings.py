"""What the offers that show one picture say of it: one thing, perhaps several, or none at all.

A placeholder ("no image"), a size chart, a logo or a banner is shown by things that have nothing to
do with each other. The words of their titles tell, and the pixels: such pictures are mostly drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from lensback import colors
from lensback.types import Showing

MANY = 8
"""Unrelated things of one photograph from which it shows none of them."""
MANY_DRAWN = 2
"""The same of a drawn picture."""
MANY_TITLES = 6
"""Different titles, related or not, from which a drawn picture shows no thing."""
PRICE_APART = 5
"""How many times dearer the same thing may be elsewhere."""
PRICE_AGREES = 2
"""The same, where nothing but words calls it the same."""
ENOUGH_WORDS = 3
"""Words of a title that name a thing where the other title says more; two where it says the same, or
adds only words of its own category."""

_STEM = 5
"""Letters of a word that count: endings differ."""
_EMPTY = """
    the and for with from new sale size pack set pcs und mit für der die das neu aus les des pour avec
    una con per los las del para для при без под новый new xxs xxl xxxl
"""
_SMALL = frozenset(_EMPTY.split())


class Relation(StrEnum):
    """What two titles say of each other."""

    ALIKE = "alike"
    OPEN = "open"
    UNLIKE = "unlike"


class Doubt(StrEnum):
    """How much a picture proves that several offers show."""

    NONE = ""
    SOME = "doubtful"
    """Things that have nothing to do with each other show it: the others need words that agree."""
    PLACEHOLDER = "placeholder"
    """It shows no thing."""


def relation(one: Showing, two: Showing) -> Relation:
    """Whether two offers may be of one thing, by their words and prices.

    Words of two alphabets say nothing of each other; a brand is no evidence, because all things of
    a brand share its name.
    """
    if _of_one_group(one, two):
        return Relation.ALIKE
    a, b = _titles(one, two)
    shared = a & b
    if shared and (a == b or any(map(_is_code, shared)) or _mostly(shared, a, b)):
        return Relation.ALIKE
    if _far(one, two):
        return Relation.UNLIKE
    if shared or not a or not b or not _one_alphabet(a, b):
        return Relation.OPEN
    leaf = _words(one.category.rpartition(">")[2])
    return (
        Relation.OPEN
        if leaf and leaf == _words(two.category.rpartition(">")[2])
        else Relation.UNLIKE
    )


def agreed(one: Showing, two: Showing, *, any_price: bool = False) -> bool:
    """Whether words and prices alone call two offers one thing, where the picture that both show says
    nothing: stricter than `relation`, because every contradiction counts. `any_price`: by words alone."""
    if _of_one_group(one, two):
        return True
    a, b = _titles(one, two)
    codes, other_codes = frozenset(filter(_is_code, a)), frozenset(filter(_is_code, b))
    if colors.differ((one.title,), (two.title,)) or _disjoint(codes, other_codes):
        return False
    if not any_price and _far(one, two, PRICE_AGREES):
        return False
    if codes & other_codes:
        return True
    short, full, category = (a, b, two.category) if a <= b else (b, a, one.category)
    named = short <= full and full - short <= _words(category)  # but for what kind of thing it is
    return len(short) >= (2 if named else ENOUGH_WORDS) and short <= full


def _of_one_group(one: Showing, two: Showing) -> bool:
    return one.store == two.store and bool(one.group) and one.group == two.group


def _titles(one: Showing, two: Showing) -> tuple[frozenset[str], frozenset[str]]:
    """The words of both titles that name a thing, without the brands of either."""
    brands = _words(one.brand) | _words(two.brand)
    return _words(one.title) - brands, _words(two.title) - brands


def _disjoint(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether both say something, and nothing in common."""
    return bool(a and b) and not a & b


def _mostly(shared: frozenset[str], a: frozenset[str], b: frozenset[str]) -> bool:
    return len(shared) >= 2 and 2 * len(shared) >= min(len(a), len(b))


def _far(one: Showing, two: Showing, times: int = PRICE_APART) -> bool:
    low, high = sorted((one.price_minor, two.price_minor))
    return one.currency == two.currency and 0 < low * times < high


@lru_cache(maxsize=1 << 12)
def _words(text: str) -> frozenset[str]:
    """The words that name a thing: no colours, sizes, plain numbers or small words."""
    words = re.findall(r"\w+", text.casefold().replace("_", " "))
    return frozenset(
        word if _is_code(word) else word[:_STEM]
        for word in words
        if len(word) >= (2 if word > "\u2e80" else 3)
        and (_is_code(word) or not any(sign.isdigit() for sign in word))
        and word not in _SMALL
        and not colors.basic(word)
    )


def _is_code(word: str) -> bool:
    """A model's number, such as wh1000xm4: letters and digits, four signs and more."""
    digits = sum(sign.isdigit() for sign in word)
    return len(word) >= 4 and 0 < digits < len(word)


def _one_alphabet(a: Iterable[str], b: Iterable[str]) -> bool:
    return bool({_alphabet(word) for word in a} & {_alphabet(word) for word in b})


def _alphabet(word: str) -> int:
    """Latin 0, Greek 1, Cyrillic 2 ...: enough to tell which words could be equal at all."""
    first = next((ord(sign) for sign in word if sign.isalpha()), 0)
    return sum(first >= start for start in (0x370, 0x400, 0x530, 0x590, 0x600, 0x900, 0x2E80))


@dataclass(slots=True)
class Showings:
    """Gathers the things that show one picture, or copies of it; memory is bounded."""

    unlike: list[Showing] = field(default_factory=list)
    """One of each that has nothing to do with those before it."""
    titled: list[Showing] = field(default_factory=list)
    """One of each whose title is not that of another."""

    def add(self, thing: Showing) -> None:
        """Takes one more offer that shows the picture into account."""
        if len(self.titled) < MANY_TITLES:
            found = [relation(known, thing) for known in self.titled]
            if Relation.ALIKE not in found:
                self.titled.append(thing)
        if len(self.unlike) < MANY and all(
            relation(known, thing) is Relation.UNLIKE for known in self.unlike
        ):
            self.unlike.append(thing)

    def several(self) -> bool:
        """Whether the pixels are worth a look: the titles are not all alike."""
        return len(self.titled) > 1

    def doubt(self, drawn: bool) -> Doubt:
        """What the picture proves, which is `drawn` or a photograph."""
        unlike, titles = len(self.unlike), len(self.titled)
        if unlike >= MANY or (drawn and (unlike >= MANY_DRAWN or titles >= MANY_TITLES)):
            return Doubt.PLACEHOLDER
        return Doubt.SOME if unlike > 1 or (drawn and titles > 1) else Doubt.NONE
