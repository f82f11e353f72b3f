"""The offers of one product as a shopper compares them: one row for each store, its sizes in it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lensback.rank import folded
from lensback.types import Money
from lensback.wire import Offer

_LETTERS = ["XXXS", "XXS", "XS", "S", "M", "L", "XL", "XXL", "2XL", "XXXL", "3XL", "4XL", "5XL"]


@dataclass(frozen=True, slots=True)
class StoreRow:
    """What one store offers of a product."""

    first: Offer
    """The offer that comes first in a shopper's order: in stock, then cheapest."""
    sizes: tuple[Offer, ...]
    """One offer of each size that the store names, small to large; the first in order of each."""
    disclosures: tuple[str, ...]
    """What the advertiser must have said, each once."""
    best: bool = False
    """Whether no other store has it for less."""

    @property
    def dearer_sizes(self) -> bool:
        """Whether some size costs more than `first`."""
        dearest = max((paid(one).minor for one in self.sizes if one.reachable), default=0)
        return dearest > paid(self.first).minor


def paid(offer: Offer) -> Money:
    """What the shopper pays in the end, in the answer's currency where it was converted."""
    return offer.converted or offer.price_after_cashback


def by_store(offers: Sequence[Offer]) -> tuple[StoreRow, ...]:
    """The offers of one product, which come in a shopper's order, as a row for each store in the order
    of their firsts. The best is marked where there is something to compare it with, in one currency."""
    rows = [_row(same) for same in folded(offers, lambda offer: offer.store)]
    here = [row.first for row in rows if row.first.here]
    if len(here) > 1 and len({paid(one).currency for one in here}) == 1:
        cheapest = min(here, key=lambda one: paid(one).minor)
        rows = [
            StoreRow(row.first, row.sizes, row.disclosures, row.first is cheapest) for row in rows
        ]
    return tuple(rows)


def _row(offers: Sequence[Offer]) -> StoreRow:
    sized = folded(
        (one for one in offers if one.size.strip()), lambda one: one.size.strip().upper()
    )
    return StoreRow(
        first=offers[0],
        sizes=tuple(sorted((same[0] for same in sized), key=lambda one: size_key(one.size))),
        disclosures=tuple(dict.fromkeys(one.disclosure for one in offers if one.disclosure)),
    )


def discount(offer: Offer) -> int:
    """Whole percent that the store says it took off; 0 where it says nothing."""
    old, now = offer.old_price, offer.price
    if old is None or old.currency != now.currency or old.minor <= now.minor:
        return 0
    return (old.minor - now.minor) * 100 // old.minor


def size_key(size: str) -> tuple[int, float, str]:
    """S, M, L in that order, then numbers by size, then the rest by name."""
    size = size.strip().upper()
    if size in _LETTERS:
        return 0, _LETTERS.index(size), size
    number = size.replace(",", ".")
    if number.replace(".", "", 1).isascii() and number.replace(".", "", 1).isdigit():
        return 1, float(number), size
    return 2, 0.0, size
