"""Words as they are compared: what people and stores write, in Russian and in English, without endings.

One way for both databases: they keep and look up what comes from here, and know no language themselves.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Protocol

from lensback import colors

MOST_TERMS = 16
"""Words of one question; what a person writes has fewer."""
_WORD = re.compile(r"[^\W_]+")
_LONGEST = 60
_FILLERS = frozenset(
    [
        "a",
        "an",
        "the",
        "with",
        "without",
        "in",
        "on",
        "of",
        "for",
        "and",
        "or",
        "to",
        "by",
        "из",
        "с",
        "со",
        "в",
        "во",
        "на",
        "для",
        "и",
        "или",
        "под",
        "от",
        "по",
        "к",
        "без",
        "не",
    ]
)
_CYRILLIC = re.compile("[а-я]")
_LATIN = re.compile("[a-z]+")


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - the library's name


@cache
def _stemmer(language: str) -> _Stemmer:
    import snowballstemmer

    made: _Stemmer = snowballstemmer.stemmer(language)
    return made


def stems_of(text: str) -> list[str]:
    """The words of a text in their order, small, each without its ending; letters and digits only.

    >>> stems_of("Красная куртка с ёлками, NIKE Air-Max 90")
    ['красн', 'куртк', 'с', 'елк', 'nike', 'air', 'max', '90']
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")
    # Of numbers there is no end: they would drive the words out of what is remembered.
    return [word[:_LONGEST] if word.isdecimal() else _stem(word) for word in _WORD.findall(plain)]


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    if len(word) > _LONGEST:
        return word[:_LONGEST]
    if _CYRILLIC.search(word):
        return _stemmer("russian").stemWord(word)
    return _stemmer("english").stemWord(word) if _LATIN.fullmatch(word) else word


def terms_of(question: str) -> tuple[tuple[str, ...], ...]:
    """What a question asks for: each term as the words of which any one is enough. A colour is asked for
    in any language; words that only hold others together ask for nothing.

    >>> terms_of("red shoes with a zip")
    (('red', 'c0red'), ('shoe',), ('zip',))
    >>> terms_of(" -\\" *")
    ()
    """
    plain = unicodedata.normalize("NFKC", question).casefold().replace("ё", "е")
    asked = [word for word in _WORD.findall(plain) if word not in _FILLERS]
    terms = ((_stem(word), *map(color_term, sorted(colors.basic(word)))) for word in asked)
    return tuple(dict.fromkeys(terms))[:MOST_TERMS]


def color_term(basic: str) -> str:
    """The word that stands for a basic colour in every language; nobody writes it."""
    return f"c0{basic}"
