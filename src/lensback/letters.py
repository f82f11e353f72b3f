"""Letters as they look: one form for all that a reader of pictures takes for one another, and what an
article number is in it.

A picture says `O` or `0`, `АВ-1` in Cyrillic or `AB-1` in Latin, and nobody can tell by looking. Both what was
read and what stores write are brought to one form before they are compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_MISREAD = dict(zip("OQILSBZ", "0011582", strict=True))
_CYRILLIC = dict(zip("АВЕЁКМНОРСТУХІЅЈЗ", "ABEEKMHOPCTYXISJ3", strict=True))
"""Capitals that are drawn as Latin ones, or as a digit."""
_ALIKE = str.maketrans({**_MISREAD, **{c: _MISREAD.get(x, x) for c, x in _CYRILLIC.items()}})
_TOKEN = re.compile(r"[^\s:;,()\[\]№#|=]+")
_NO_SIGN = re.compile(r"[\W_]+")

MIN_ARTICLE = 6
"""Letters and digits of an article number that says which thing it is; shorter ones are sizes and years."""
MIN_DIGITS = 3
MIN_BARE = 7
"""Digits of one that has no letter."""
MAX_ARTICLE = 40
JOINED = 4
"""Words of one number that is written with spaces, at most."""
LABELS = (
    "ART",
    "ARTNO",
    "ARTNR",
    "ARTICLE",
    "ARTIKEL",
    "АРТ",
    "АРТИКУЛ",
    "STYLE",
    "MODEL",
    "МОДЕЛЬ",
    "REF",
    "SKU",
    "MPN",
    "ITEM",
)
"""Words before an article number, here as they are written; compare them by `look`."""


def look(text: str) -> str:
    """Capital letters and digits of a text, each as the one that stands for all that look like it.

    >>> look("bo-0l 15/Z"), look("АВ 12") == look("AB-12"), look("Ёж")
    ('8001152', True, 'EЖ')
    """
    plain = unicodedata.normalize("NFKC", text).upper()
    return _NO_SIGN.sub("", plain).translate(_ALIKE)


def words(text: str) -> list[str]:
    """The words of a text as they look, in their order; signs part words.

    >>> words("Nike Air-Max 90")
    ['N1KE', 'A1R', 'MAX', '90']
    """
    return [look(part) for part in parts(text)]


def parts(text: str) -> list[str]:
    """The words of a text as they are written; signs part words.

    >>> parts("«Nike» Air-Max")
    ['Nike', 'Air', 'Max']
    """
    return [part for part in _NO_SIGN.split(unicodedata.normalize("NFKC", text)) if part]


def digits(text: str) -> str:
    """The digits of a text that looks like nothing but digits, most of them written so; else "".

    >>> digits("4 OO6381 33393l"), digits("SOLO"), digits("12a")
    ('4006381333931', '', '')
    """
    key = look(text)
    written = sum(sign.isdecimal() for sign in text)
    return key if key.isdecimal() and key.isascii() and 3 * written > 2 * len(key) else ""


def article(raw: str) -> str:
    """An article number as it looks, "" for what is too little to name a thing: less than six signs or three
    digits, or seven digits without a letter. Spaces and hyphens make no difference.

    >>> article("DD1391-100"), article("dd1391 1OO") == article("DD1391-100")
    ('DD1391100', True)
    >>> article("M-42"), article("2024"), article("123456"), article("1234567")
    ('', '', '', '1234567')
    """
    key = look(raw)
    plain = unicodedata.normalize("NFKC", raw)
    digits = sum(sign.isdecimal() for sign in plain)
    letters = any(sign.isalpha() for sign in plain)
    enough = MIN_ARTICLE if letters else MIN_BARE
    return key if enough <= len(key) <= MAX_ARTICLE and digits >= MIN_DIGITS else ""


def tokens(line: str) -> list[str]:
    """What stands between spaces, colons and brackets; a label that is glued to a number by a dot is apart.

    >>> tokens("Art.DD1391-100, (black)"), tokens("Ref: 12-34")
    (['Art', 'DD1391-100', 'black'], ['Ref', '12-34'])
    """
    found: list[str] = []
    for part in _TOKEN.findall(line):
        head, dot, tail = part.partition(".")
        pieces = (head, tail) if dot and look(head) in _LABELS else (part,)
        found += [one for piece in pieces if (one := piece.strip("-._/"))]
    return found


def is_label(token: str) -> bool:
    """Whether a word announces an article number.

    >>> is_label("Арт"), is_label("ART.")
    (True, True)
    """
    return look(token) in _LABELS


_LABELS = frozenset(map(look, LABELS))


def near(word: str) -> set[str]:
    """The word, and what is left of it without any one of its letters: two words with one of these in
    common differ by one letter at most, or by two neighbours.

    >>> bool(near("C0LUMB1A") & near("C0LUM81A")), bool(near("R0XY") & near("R0SE"))
    (True, False)
    """
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}


def joined(parts: Sequence[str]) -> Iterable[tuple[int, int]]:
    """All runs of up to JOINED neighbours: from which, to before which."""
    for begin in range(len(parts)):
        for end in range(begin + 1, min(begin + JOINED, len(parts)) + 1):
            yield begin, end
