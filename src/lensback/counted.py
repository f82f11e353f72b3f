"""A number with its noun, as operators read it: `1 offer`, `2 offers`; and a moment by
how long ago it was.

What shoppers read is translated and goes by `speech.plural`; commands, their warnings and the admin's
page speak English.
"""

from __future__ import annotations

import time


def counted(n: int, one: str, many: str = "") -> str:
    """The number and the form of the noun that goes with it; `many` where an s is not enough.

    >>> counted(1, "offer"), counted(0, "offer"), counted(2, "entry", "entries")
    ('1 offer', '0 offers', '2 entries')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"


def age_s(epoch: int) -> int:
    """Seconds since a moment, never negative: clocks go back."""
    return max(0, int(time.time()) - epoch)


def ago(epoch: int | None) -> str:
    """ "5 min ago"; "never" for None."""
    if epoch is None:
        return "never"
    seconds = age_s(epoch)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def coming(epoch: int | None) -> str:
    """ "in 5 min"; "now"; empty for None."""
    if epoch is None:
        return ""
    seconds = epoch - int(time.time())
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"in {seconds // size} {unit}"
    return "now"
