"""A number with its noun, as operators read it: `1 offer`, `2 offers`.

What shoppers read is translated and goes by `speech.plural`; commands, their warnings and the admin's
page speak English.
"""

from __future__ import annotations


def counted(n: int, one: str, many: str = "") -> str:
    """The number and the form of the noun that goes with it; `many` where an s is not enough.

    >>> counted(1, "offer"), counted(0, "offer"), counted(2, "entry", "entries")
    ('1 offer', '0 offers', '2 entries')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"
