"""What a product is called, and where it belongs: what its best offer says.

The best offer is the one whose title tells this reader most. In this order:

1. a title in the reader's language, by its letters; then one in its alphabet;
2. one that is more than the name of a category or of the brand;
3. the one of most different words, the offer's own size and what is beyond WORDS_COUNTED left out;
4. the shorter, and at last the smaller offer id.

Prices and stock have no part in it, so that a product keeps its name while they change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lensback.catalogue.for_sale import ForSale

WORDS_COUNTED = 12
"""Different words after which a title tells nothing more: stores stuff them for search engines."""
_ALPHABETS = {
    "Latn": r"A-Za-z\u00aa-\u024f\u1e00-\u1eff",
    "Cyrl": r"\u0400-\u052f",
    "Grek": r"\u0370-\u03ff\u1f00-\u1fff",
    "Hebr": r"\u0590-\u05ff",
    "Arab": r"\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
    "Armn": r"\u0530-\u058f",
    "Geor": r"\u10a0-\u10ff\u1c90-\u1cbf",
    "Deva": r"\u0900-\u097f",
    "Thai": r"\u0e00-\u0e7f",
    "Hang": r"\uac00-\ud7af\u1100-\u11ff",
    "Kore": r"\uac00-\ud7af\u1100-\u11ff",
    "Jpan": r"\u3040-\u30ff\u31f0-\u31ff\u4e00-\u9fff",
    "Hans": r"\u4e00-\u9fff",
    "Hant": r"\u4e00-\u9fff",
}
"""ISO 15924 code of a script -> the letters that give it away."""
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""A word, or a sign of a writing without spaces."""
_STEM = 5
_LETTERS = {"en": "A-Za-z", "ru": "А-Яа-яЁё"}
"""Letters of a language, where others that use its alphabet have more."""


@dataclass(frozen=True, slots=True)
class Caption:
    """What stands over a product's offers."""

    title: str
    brand: str
    category: str


def caption(rows: Sequence[ForSale], language: str = "") -> Caption:
    """What these offers of one product, one at least, are called for a reader of `language`
    (ISO 639); empty: of any. Title, brand and category come from the best offer; a brand or a
    category that it lacks comes from the next that has one."""
    names = frozenset().union(*(_names(row.category, row.brand) for row in rows))

    def key(row: ForSale) -> tuple[int, bool, int, int, str]:
        said = _stems(row.title)
        bare = any(said <= name for name in names)
        told = min(len(_words(row.title) - _words(row.size)), WORDS_COUNTED)
        return -_nearness(row.title, language), bare, -told, len(row.title), row.offer_id

    ordered = sorted(rows, key=key)
    return Caption(
        title=ordered[0].title,
        brand=_first(row.brand for row in ordered),
        category=_first(row.category for row in ordered),
    )


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


@lru_cache(4096)
def _names(category: str, brand: str) -> frozenset[frozenset[str]]:
    """The words of each step of a category's path, of the whole path, and of the brand."""
    steps = (*category.split(" > "), category, brand)
    return frozenset(_stems(step) for step in steps if step)


@lru_cache(1 << 14)
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))


def _stems(text: str) -> frozenset[str]:
    """The words without most of their endings: a shirt is one of the shirts."""
    return frozenset(word[:_STEM] for word in _words(text))


@lru_cache(1 << 14)
def _nearness(title: str, language: str) -> int:
    """2: in the language's letters, 1: in its alphabet, 0: in another.

    >>> [_nearness(title, "ru") for title in ("Куртка Nike", "Куртка зелёна Київ", "Nike jacket")]
    [2, 1, 0]
    >>> [_nearness(title, "en") for title in ("Red jacket", "Jäckchen", "Куртка Nike")]
    [2, 1, 0]
    """
    script = _script(language)
    alphabet, latin = _ALPHABETS.get(script, ""), _ALPHABETS["Latn"]
    if not alphabet:
        return 0
    foreign = re.sub(rf"[\W\d_]|[{alphabet}]", "", title)
    if script == "Latn":
        own = not foreign
    else:  # names of models stand in Latin letters everywhere
        own = bool(re.search(rf"[{alphabet}]", title)) and not re.sub(rf"[{latin}]", "", foreign)
    if not own:
        return 0
    known = _LETTERS.get(language)
    ours = (
        re.sub(r"[\W\d_]", "", title) if script == "Latn" else re.sub(rf"[\W\d_{latin}]", "", title)
    )
    return 1 if known and re.search(rf"[^{known}]", ours) else 2


@lru_cache(64)
def _script(language: str) -> str:
    from lensback.speech import script  # only where somebody reads: it brings the languages' data

    return script(language)
