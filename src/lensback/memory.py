"""Memory that is freed goes back to the system.

By itself the C library keeps what was freed for the next who asks, pieces of up to 32 MB, in a heap for each thread that
ever asked. Lance's threads take and free megabytes for each batch of rows, and those that read feeds for each batch of offers: a
process that goes through a table or a feed would hold the more the larger it is.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

LARGE = 1 << 20
"""Bytes from which a piece has pages of its own, which go back to the system when it is freed. By itself glibc
raises that line to whatever was freed last."""
HEAPS = 2
"""Heaps that all threads share. By itself glibc makes eight for each processor, and what was freed in one is of no
use to the others."""
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
"""M_MMAP_THRESHOLD and M_ARENA_MAX in glibc's malloc.h."""


@lru_cache(1)
def keep_little() -> None:
    """Makes this process give large pieces of memory back to the system when they are freed, and use what is left of
    the small ones for whoever asks next. Does nothing with another C library than glibc."""
    try:
        change = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library: it decides by itself
    change(_MMAP_THRESHOLD, LARGE)
    change(_ARENA_MAX, HEAPS)
