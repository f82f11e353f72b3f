"""What words in a photo say of the thing: an article number names it, its brand and its title's words speak for it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lensback import gtins, images, letters
from lensback.catalogue import coded
from lensback.catalogue.coded import Named
from lensback.db import Database
from lensback.rank import Ranked
from lensback.search.coded import Coded, code_of
from lensback.types import Box, Filter
from lensback.wire import By, Code

ARTICLE, BRAND, TITLE = 0.3, 0.05, 0.1
"""Lift: similarity that a product gains in the order for its article number, for its brand, and for its title where all
of it was read; never in what is shown."""
SURE = 0.7
"""How sure the least sure letter of a number must be, for it to make a product exact."""
DEPTH = 60
"""Products whose words are compared, the likest first."""
LONG = 5
"""Letters of a word from which on one of them may be another, and it may stand within another word: a reader
loses spaces."""
SHORT = 3
"""Letters of the shortest word that counts."""
MAX_NUMBERS = 200


@dataclass(frozen=True, slots=True)
class Printed:
    """What the words of a photo make of what it looks like."""

    ranked: list[Ranked]
    said: Coded = field(default_factory=Coded)
    """What its numbers lead to."""
    words: tuple[str, ...] = ()
    """Those words that speak for the first product, as they were read."""


@dataclass(frozen=True, slots=True)
class _Number:
    """Something in a line that may be a number of a thing."""

    key: str
    text: str
    sure: float
    labelled: bool
    box: Box


def printed(
    db: Database,
    lines: Sequence[images.TextLine],
    ranked: list[Ranked],
    where: Filter,
    line: float,
) -> Printed:
    """The products in order again, by similarity + lift, and what numbers name.

    lift = ARTICLE * (its article number was read) + BRAND * (its brand was read) + TITLE * F, where F is the
    harmonic mean of two shares: of its title's words that were read, and of the words read that its title
    has; a word that n of the N products have counts log((N + 1) / n), one that none has not at all. `line`:
    the similarity from which on a product is near the photo.
    """
    if not lines:
        return Printed(ranked)
    seen, numbers = _Seen.of(lines), list(_numbers(lines))[:MAX_NUMBERS]
    sold = _products_of(db, numbers)
    ids = [one.product_id for one in ranked[:DEPTH]]
    named = [product_id for products in sold.values() for product_id in products]
    known = coded.named(db, list(dict.fromkeys([*ids, *named])))
    backed = {one.product_id for one in ranked if one.similarity >= line}
    backed |= {one for one in named if _of_brand(known.get(one, ()), seen)}
    said = _said(db, numbers, sold, where, backed)
    keys = {one.key for one in numbers}
    read = _Print.of(seen, keys, _rarity(known, ids))
    lifts = {one: _lift(known.get(one, ()), read) for one in ids}
    order = in_order(ranked, {one: lift for one, (lift, _) in lifts.items()})
    first = next(iter(said.first), order[0].product_id if order else "")
    return Printed(order, said, lifts.get(first, (0.0, ()))[1])


@dataclass(frozen=True, slots=True)
class _Seen:
    """The words that were read, by what they look like."""

    words: Mapping[str, str]
    """How a word looks -> how it was read."""
    almost: Mapping[str, str]
    """What a long word looks like with a letter less -> how it looks."""
    lines: tuple[str, ...]
    """What each line looks like, without its spaces."""

    @classmethod
    def of(cls, lines: Sequence[images.TextLine]) -> _Seen:
        words: dict[str, str] = {}
        for one in (word for line in lines for word in line.words):
            for part in letters.parts(one.text):
                words.setdefault(letters.look(part), part)
        almost = {less: word for word in words if len(word) >= LONG for less in letters.near(word)}
        whole = tuple(letters.look("".join(word.text for word in line.words)) for line in lines)
        return cls(words, almost, whole)

    def said(self, word: str) -> str:
        """How a word was read, "" where it was not."""
        if word in self.words or len(word) < LONG:
            return self.words.get(word, "")
        for less in letters.near(word):
            if less in self.almost:
                return self.words[self.almost[less]]
        return word if any(word in line for line in self.lines) else ""


def _numbers(lines: Sequence[images.TextLine]) -> Iterator[_Number]:
    """Whatever may be a number of a thing, from the top: words, and neighbours of one line together."""
    for line in lines:
        pieces = [(part, word.sure) for word in line.words for part in letters.tokens(word.text)]
        parts = [part for part, _ in pieces]
        for begin, end in letters.joined(parts):
            text, sure = " ".join(parts[begin:end]), min(sure for _, sure in pieces[begin:end])
            labelled = begin > 0 and letters.is_label(parts[begin - 1])
            digits = letters.digits(text)
            number = gtins.gtin(digits)
            if number:
                yield _Number("", number, sure, labelled, line.box)
            key = letters.article(text) if begin + 1 == end or _whole(parts, begin, end) else ""
            if key:
                yield _Number(key, text, sure, labelled, line.box)


def _whole(parts: Sequence[str], begin: int, end: int) -> bool:
    """Whether words are a number written with spaces: not digits alone, which are prices and telephones, nor a
    part of one that goes on."""
    beside = [*parts[max(begin - 1, 0) : begin], *parts[end : end + 1]]
    goes_on = any(sign.isdecimal() for part in beside for sign in part)
    return not goes_on and not letters.digits("".join(parts[begin:end]))


def _products_of(db: Database, numbers: Sequence[_Number]) -> dict[_Number, Sequence[str]]:
    """The products of each number that somebody sells."""
    articles = coded.by_articles(db, {one.key for one in numbers if one.key})
    found: dict[_Number, Sequence[str]] = {}
    for one in numbers:
        products = articles.get(one.key, ()) if one.key else coded.by_gtin(db, one.text)
        if products:
            found[one] = products
    return found


def _said(
    db: Database,
    numbers: Sequence[_Number],
    sold: Mapping[_Number, Sequence[str]],
    where: Filter,
    backed: set[str],
) -> Coded:
    """What the numbers lead to. One that a single product has makes it exact if each of its letters is sure, and if
    the product looks like the photo, its brand was read, too, or a word announces the number. Without any of
    these, digits alone are somebody's telephone or order."""
    shown: dict[tuple[str, str], Code] = {}
    first: dict[str, By] = {}
    certain: set[str] = set()
    for one in numbers:
        every = sold.get(one, ())
        kind: Literal["gtin", "article"] = "article" if one.key else "gtin"
        sound = not one.key or one.labelled or bool(backed.intersection(every))
        if not every or one.sure < SURE or (kind, one.text) in shown:
            continue
        if not sound and one.key.isdecimal():
            continue
        kept = coded.passing(db, every, where)
        shown[kind, one.text] = code_of(kind, one.text, one.box, every, kept)
        for product_id in kept:
            first.setdefault(product_id, "article" if one.key else "barcode")
        if len(every) == 1 and sound:
            certain.update(kept)
    return Coded(tuple(shown.values()), first, frozenset(certain))


def _of_brand(facts: Iterable[Named], seen: _Seen) -> bool:
    return any(_brand(one.brand, seen) for one in facts)


def _brand(brand: str, seen: _Seen) -> list[str]:
    """The brand's words as they were read, if all of them were."""
    words = letters.words(brand)
    said = [seen.said(word) for word in words]
    return said if all(said) and any(len(word) >= SHORT for word in words) else []


def _rarity(known: Mapping[str, Sequence[Named]], ids: Sequence[str]) -> dict[str, float]:
    """What each word of the products' titles counts: log((N + 1) / n) where n of N products have it."""
    counts: Counter[str] = Counter()
    for one in ids:
        counts.update({word for named in known.get(one, ()) for word in letters.words(named.title)})
    return {word: math.log((len(ids) + 1) / n) for word, n in counts.items()}


@dataclass(frozen=True, slots=True)
class _Print:
    """What was read, to compare with what things are called."""

    seen: _Seen
    keys: set[str]
    """Articles that were read, perhaps."""
    rare: Mapping[str, float]
    heard: float
    """What the words count that were read and that any product's title has."""

    @classmethod
    def of(cls, seen: _Seen, keys: set[str], rare: Mapping[str, float]) -> _Print:
        heard = sum(weight for word, weight in rare.items() if _counts(word) and seen.said(word))
        return cls(seen, keys, rare, heard)


def _counts(word: str) -> bool:
    return len(word) >= SHORT


def _lift(facts: Sequence[Named], read: _Print) -> tuple[float, tuple[str, ...]]:
    """The best lift of a product's offers, and the words that were read for it."""
    return max((_of_offer(one, read) for one in facts), default=(0.0, ()))


def _of_offer(one: Named, read: _Print) -> tuple[float, tuple[str, ...]]:
    own = {one.article, *map(letters.article, letters.tokens(one.title))} - {""}
    brand = _brand(one.brand, read.seen)
    words = list(dict.fromkeys(filter(_counts, letters.words(one.title))))
    said = {word: text for word in words if (text := read.seen.said(word))}
    common = sum(read.rare.get(word, 0.0) for word in said)
    both = read.heard + sum(read.rare.get(word, 0.0) for word in words)
    f = 2 * common / both if both else 0.0
    lift = ARTICLE * bool(own & read.keys) + BRAND * bool(brand) + TITLE * f
    return lift, tuple(dict.fromkeys([*brand, *said.values()])) if lift else ()


def in_order(ranked: Sequence[Ranked], lifts: Mapping[str, float]) -> list[Ranked]:
    """In order again, each moved up by its lift. What had sunk for another reason counts as like the
    photo as what stood above it."""
    level, levels = math.inf, dict[str, float]()
    for one in ranked:
        level = min(level, one.similarity)
        levels[one.product_id] = level + lifts.get(one.product_id, 0.0)
    return sorted(ranked, key=lambda one: -levels[one.product_id])
