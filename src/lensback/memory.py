"""Memory that is freed goes back to the system.

By itself the C library keeps what was freed for the next who asks, pieces of up to 32 MB, in a heap for each thread that
ever asked. Lance's threads take and free megabytes for each batch of rows: a process that goes through a table would hold the
more the larger the table is.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

LARGE = 1 << 20
"""Bytes from which a piece has pages of its own, which go back to the system when it is freed. By itself glibc
raises that line to whatever was freed last."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD in glibc's malloc.h."""


@lru_cache(1)
def keep_little() -> None:
    """Makes this process give large pieces of memory back to the system when they are freed. Does nothing with
    another C library than glibc."""
    try:
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE)
    except (AttributeError, OSError, TypeError):
        return  # another C library: it decides by itself
