"""What a feed says of stock -> one of our availabilities: words of many languages, and counts.

The words stand in `stock.toml`. Where nothing in a text is known, or it contradicts itself, the
answer is `unknown`: a thing is never said to be in stock because nobody understood the store.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property, lru_cache
from importlib.resources import files

from lensback.checked import parse_toml
from lensback.feeds.texts import plain
from lensback.types import AVAILABILITIES

MAX_WORDS = 200

_TOKEN = re.compile(r"[^\W_]+")
_WIDE = re.compile(r"[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff]")  # written without spaces
_NUMBER = re.compile(r"(?<![^\W\d_])[0-9](?:[0-9.,'\u2019 ]*[0-9])?(?:e[+-]?[0-9]{1,3})?(?![0-9])")
_DATE = re.compile(r"\b[0-9]{1,4}[./\-][0-9]{1,2}(?:[./\-][0-9]{1,4}|\.(?![0-9]))")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SPECIAL = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "−": "-", "–": "-"})
_TYPED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
"""How letters are typed where a keyboard lacks them."""
_FEWER = re.compile(
    r"\b(?:(?:less|fewer) than|under|below|weniger als|moins de|menos de|meno di|minder dan|mniej niz"
    r"|mene nez|menej ako|mindre (?:end|an|enn)|mai putin de|kevesebb mint|менее(?: чем)?|меньше(?: чем)?|менше(?: ніж| ніж)?|по малко от)\s(?=[0-9])"
)
"""Before a count, in folded words: `less than 5` is `<5`."""
_ONE = re.compile(r"0*1(?:[.,]0*)?")
_YES, _NO = frozenset("∞+✓✔☑✅○◎△🟢👍"), frozenset("-—–‒−✗✘✕✖❌❎☒×🚫⛔🔴👎")
_PART_OF = re.compile(
    r"(?<![0-9.,])([0-9]+)\s*(?:/|\b(?:out of|of|von|de|di|van|z|ze|av|af|из|з|iz|od|din|από)\b)\s*[0-9]+(?![0-9.,/])"
)
"""`0 of 10`: the first number is what is left."""
_DENIED = re.compile(r"[:：=]\s*[-—–×]+\s*$|^[×]\s|[✗✘✕✖❌🚫⛔🔴]")
"""A sign beside words that turns them round: `In stock: -`."""


def folded(raw: str) -> str:
    """Lower case without accents, in the plain form of every character, one space between words.

    >>> folded("Není SKLADEM"), folded("1\u202f234 шт.")
    ('neni skladem', '1 234 шт.')
    """
    if raw.isascii():
        return " ".join(raw.lower().split())
    wide = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", raw).casefold())
    bare = "".join(c for c in wide if not unicodedata.combining(c))
    if not bare.isascii():
        bare = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in bare)
    return " ".join(bare.translate(_SPECIAL).split())


def tokens(raw: str) -> tuple[str, ...]:
    """The words of a text as they are compared: `Not-in stock!` -> `not`, `in`, `stock`."""
    return tuple(_TOKEN.findall(folded(raw)))


class _Lists:
    """What all words and phrases mean, the store's own among them."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self.whole: dict[str, str] = {}
        self.phrases: dict[tuple[str, ...], str] = {}
        data = _data()
        for state in AVAILABILITIES[:-1]:
            for said in _flat(data[state]):
                self._learn(said, state)
        for said, meant in own.items():
            self._learn(said, meant)
        self.longest = max(map(len, self.phrases))
        self.kinds = {
            kind: frozenset(part for said in _flat(data[kind]) for part in tokens(said))
            for kind in ("no", "not", "filler", "unit", "time", "delivery")
        }
        for said in self.kinds["no"]:
            self.whole.setdefault(said, "out_of_stock")
        joined = {"".join(parts) for parts in self.phrases}.union(*self.kinds.values())
        wide = sorted(filter(_WIDE.search, joined), key=len, reverse=True)
        self.wide = re.compile("|".join(map(re.escape, wide)))

    def _learn(self, said: str, state: str) -> None:
        typed = said.translate(_TYPED)
        for parts in (tokens(said), *((tokens(typed),) if typed != said else ())):
            joined = "".join(parts)
            self.whole[joined] = state
            if not said.startswith("="):
                self.phrases[parts] = self.phrases[(joined,)] = state


class Words:
    """Everything that is known of how stores speak of stock. Call it with a row's texts."""

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        """`own`: a column map's texts -> state. They stand above the list that comes with us."""
        self._given = dict(own or {})
        self._own = {"".join(tokens(said)): state for said, state in self._given.items()}
        self.of = lru_cache(8192)(self._of)
        """`state_of` one text, remembered."""

    @cached_property
    def _lists(self) -> _Lists:
        """Made for the first text that is not usual: it takes longer than to read a small feed."""
        return _Lists(self._given)

    def __call__(self, words: str, count: str = "") -> str:
        """One of AVAILABILITIES for what a row says in words, and for its count. A row that says nothing is
        for sale; where both speak it is in stock only if neither denies it.

        >>> known()("Available in 1 to 3 days", "0"), known()("", "4 pcs"), known()("")
        ('out_of_stock', 'in_stock', 'in_stock')
        """
        said = self.of(words) if words else ""
        if not count:
            return said or "in_stock"
        counted = self.of(count)
        if said in ("", "unknown") or (said == "in_stock" and counted == "out_of_stock"):
            return counted if counted != "unknown" else said or counted
        return said

    def _of(self, raw: str) -> str:
        if not self._own:
            if raw.isdigit() and raw.isascii():  # what nearly all counts look like
                return "in_stock" if raw.strip("0") else _OUT
            if usual := USUAL.get(raw):
                return usual
        return self.by_lists(raw)

    def by_lists(self, raw: str) -> str:
        """What a text says by the lists, and by the store's own."""
        said = plain(raw[: 4 * MAX_WORDS], MAX_WORDS)
        if "://" in said:
            said = re.split(r"[/#]", said.rstrip("/#"))[-1]
        said = said.strip()
        if not said:
            return "in_stock"
        signs = set(said) - {" "}
        if signs <= _YES or signs <= _NO:
            return "in_stock" if signs <= _YES else "out_of_stock"
        said = _DENIED.sub(" no ", said)
        whole = "".join(tokens(said))
        if found := self._own.get(whole) or self._lists.whole.get(whole):
            return found
        words = folded(_CAMEL.sub(" ", said))
        if _WIDE.search(words):  # its known parts, a space between them
            words = self._lists.wide.sub(lambda part: f" {part[0]} ", words.replace(" ", ""))
        return self._spoken(" ".join(words.split()))

    def _spoken(self, said: str) -> str:
        """Of several words, or of a count with or without words."""
        said = _FEWER.sub("<", _PART_OF.sub(r"\1", said))
        undated = _DATE.sub(" ", said)
        numbers = list(_NUMBER.finditer(undated))
        states, left, before_out = self._phrases_in(_TOKEN.findall(_NUMBER.sub(" ", undated)))
        if later := states & {"preorder", "backorder"}:
            return _denied(states) if left & self._lists.kinds["no"] else max(later)
        if _OUT in states:
            return (
                "unknown" if "in_stock" in states or before_out & self._lists.kinds["not"] else _OUT
            )
        strange = left - self._lists.kinds["no"] - self._neutral(bool(numbers))
        if left & self._lists.kinds["no"]:
            return "unknown" if strange and not states else _OUT
        timed = bool(numbers) and bool(left & self._lists.kinds["time"])
        if strange - (self._lists.kinds["delivery"] if timed else frozenset()) or undated != said:
            return "unknown"  # a day: in stock from then, or until then
        if numbers and not timed:
            return _counted(undated, numbers)
        return "in_stock" if states or timed else "unknown"

    def _neutral(self, counting: bool) -> frozenset[str]:
        known = self._lists.kinds["filler"] | self._lists.kinds["unit"]
        return known | self._lists.kinds["time"] if counting else known

    def _phrases_in(self, parts: list[str]) -> tuple[set[str], set[str], set[str]]:
        """States of the phrases, the words that are in none, and those of them that stand right
        before a phrase for sold out. A mere *no* beside "in stock" turns that round
        (`Няма на склад`, `in_stock: false`)."""
        states: set[str] = set()
        denied = False
        left: set[str] = set()
        before_out: set[str] = set()
        last = ""
        nothing = False  # the phrase before this word says that there is none
        at = 0
        while at < len(parts):
            for size in range(min(self._lists.longest, len(parts) - at), 0, -1):
                if state := self._lists.phrases.get(tuple(parts[at : at + size])):
                    no = not self._lists.kinds["no"].isdisjoint(parts[at : at + size])
                    mere = state == _OUT and size == 1 and no
                    denied |= mere
                    # "Товара нет | в наличии" says one thing, in two phrases that we know
                    states |= set() if mere or (nothing and state == "in_stock") else {state}
                    nothing = state == _OUT and no
                    before_out |= {last} if state == _OUT else set()
                    last = ""
                    at += size
                    break
            else:
                nothing = False
                last = parts[at]
                left.add(last)
                at += 1
        return states - {"in_stock"} | {_OUT} if denied else states, left, before_out


_OUT = "out_of_stock"
USUAL = {
    **dict.fromkeys(
        ("in stock", "in_stock", "true", "yes", "https://schema.org/InStock"), "in_stock"
    ),
    **dict.fromkeys(("out of stock", "out_of_stock", "false", "no"), _OUT),
    "preorder": "preorder",
    "backorder": "backorder",
}
"""What most feeds say; the lists say the same of it."""


def _denied(states: set[str]) -> str:
    return _OUT if _OUT in states else "unknown"


def _counted(said: str, numbers: list[re.Match[str]]) -> str:
    """Of counts: what is more than none is in stock; counts that differ in that say nothing."""
    found = {_is_some(said, number, i == 0) for i, number in enumerate(numbers)}
    if len(found) > 1 or None in found:
        return "unknown"
    return "in_stock" if True in found else _OUT


def _is_some(said: str, number: re.Match[str], first: bool) -> bool | None:
    """Whether a count is more than none. None: it may be either (`0+`)."""
    some = any(digit in "123456789" for digit in number[0].partition("e")[0])
    before, after = said[: number.start()].rstrip(), said[number.end() :].strip()
    if before.endswith("-") and first and not before[:-1].strip(" :=(+"):
        return False
    if first and after == "-":  # as SAP writes what is less than none
        return False
    if before.endswith((">", "> =", ">=", "≥")):
        return some or before.endswith(">")
    if before.endswith("<"):
        return some and _ONE.fullmatch(number[0]) is None
    return None if after.startswith("+") and not some else some


def _flat(table: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for listed in table.values():
        yield from listed


@cache
def _data() -> dict[str, dict[str, list[str]]]:
    return parse_toml((files("lensback.feeds") / "stock.toml").read_bytes(), "stock.toml")


@cache
def known() -> Words:
    """What we know ourselves, without a column map."""
    return Words()
