"""How much work something is, measured against this machine: a slow one, and one with other things to do,
takes longer for both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FEW_S = 0.002
"""What a piece takes on no machine of today."""


def piece_s() -> float:
    """Processor seconds of a fixed amount of Python, some seven milliseconds on a machine of 2024."""
    begin, total, text = time.thread_time(), 0, "a1" * 50
    for n in range(12_000):
        total += len(text.replace("a", "bb")) + (n * n) % 7
    return time.thread_time() - begin


@contextmanager
def within(most: float, clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
    """Fails where the block is more work of this thread (or by another clock of the processor) than so
    many pieces; 150 are about a second."""
    begin = clock()
    yield
    spent = clock() - begin
    if spent > most * FEW_S:
        piece = max(piece_s() for _ in range(3))
        assert spent < most * piece, f"{spent / piece:.0f} pieces of work"
