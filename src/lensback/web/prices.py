"""Prices over time -> a chart: the lowest of several offers, as steps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lensback.speech import Speech
from lensback.types import Money

WIDTH, HEIGHT = 640, 180
EDGE = 12
"""Free space around the line."""


@dataclass(frozen=True, slots=True)
class PricedDay:
    """The lowest price from a day on."""

    day: str
    price: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A line of steps in a box of WIDTH by HEIGHT, and the same as a table."""

    path: str
    """The `d` of an SVG path."""
    steps: tuple[PricedDay, ...]
    """Oldest first."""
    lowest: str
    highest: str
    end: tuple[float, float]
    """Where the line ends: the price of now."""
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def area(self) -> str:
        """What lies under the line, as the `d` of an SVG path."""
        return f"{self.path}V{self.height}H{EDGE}Z"


def chart(histories: Sequence[Sequence[tuple[int, Money]]], speech: Speech) -> Chart | None:
    """The lowest price of some offers over time, each with its (epoch, price), all in one
    currency; None where it never changed."""
    points = lowest(histories)
    if len(points) < 2:
        return None
    prices = [price.minor for _, price in points]
    low, high = min(prices), max(prices)
    first, last = points[0][0], points[-1][0]

    def x(at: int) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (at - first) / max(1, last - first)

    def y(minor: int) -> float:
        return EDGE + (HEIGHT - 2 * EDGE) * (high - minor) / max(1, high - low)

    path = f"M{x(first):.1f} {y(prices[0]):.1f}"
    for at, price in points[1:]:
        path += f"H{x(at):.1f}V{y(price.minor):.1f}"
    currency = points[0][1].currency
    return Chart(
        path=path,
        steps=tuple(PricedDay(speech.date(at), speech.money(price)) for at, price in points),
        lowest=speech.money(Money(low, currency)),
        highest=speech.money(Money(high, currency)),
        end=(round(x(last), 1), round(y(prices[-1]), 1)),
    )


def lowest(histories: Sequence[Sequence[tuple[int, Money]]]) -> list[tuple[int, Money]]:
    """The moments at which the lowest of the prices changed, oldest first.

    >>> eur = lambda minor: Money(minor, "EUR")
    >>> [(at, p.minor) for at, p in lowest([[(1, eur(9)), (4, eur(5))], [(2, eur(7)), (3, eur(8))]])]
    [(1, 9), (2, 7), (3, 8), (4, 5)]
    """
    each = ((at, n, price) for n, one in enumerate(histories) for at, price in one)
    changes = sorted(each, key=lambda change: change[:2])
    now: dict[int, Money] = {}
    found: list[tuple[int, Money]] = []
    for at, n, price in changes:
        now[n] = price
        best = min(now.values(), key=lambda one: one.minor)
        if found and found[-1][0] == at:
            found.pop()
        if not found or found[-1][1] != best:
            found.append((at, best))
    return found
