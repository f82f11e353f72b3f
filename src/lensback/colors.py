"""Colour words of stores as basic colours, to tell "чёрный" and "Black" from "Red"."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Beginnings of words, so that endings (чёрная, schwarzer) do not matter. Berlin and Kay's basic
# colours (1969), and beige and turquoise, which shops name as their own.
_WORDS = {
    "black": "black noir schwarz negro nero чёрн черн",
    "white": "white blanc weiß weiss bianc бел молочн",
    "grey": "gray grey gris grau grigi сер",
    "red": "red rouge rot rojo ross burgundy красн бордо алый алая",
    "orange": "orange naranj оранж",
    "yellow": "yellow jaune gelb amarill giall жёлт желт",
    "green": "green vert grün gruen khaki olive зелён зелен хаки олив",
    "turquoise": "turquoise teal aqua mint бирюз мят",
    "blue": "blue bleu blau azul blu navy син голуб",
    "purple": "purple violet lila lilac viola фиолет сирен лилов",
    "pink": "pink rosa rose fuchsia розов фукси",
    "brown": "brown brun braun marr coffee chocolate коричн шокол кофе",
    "beige": "beige cream ivory sand nude беж крем песочн",
}
BASIC = tuple(_WORDS)
_BEGINNINGS = sorted(
    ((word, color) for color, words in _WORDS.items() for word in words.split()),
    key=lambda pair: -len(pair[0]),
)


def basic(name: str) -> frozenset[str]:
    """The basic colours in a store's colour words; empty where none is known.

    >>> sorted(basic("Чёрный/белый")), sorted(basic("midnight"))
    (['black', 'white'], [])
    """
    words = re.findall(r"[^\W\d_]+", name.casefold())
    found = (next((c for start, c in _BEGINNINGS if word.startswith(start)), "") for word in words)
    return frozenset(color for color in found if color)


def differ(one: Iterable[str], two: Iterable[str]) -> bool:
    """Whether both name basic colours and share none. Unknown words prove nothing."""
    first = frozenset().union(*map(basic, one))
    second = frozenset().union(*map(basic, two))
    return bool(first and second and not first & second)
