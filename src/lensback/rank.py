"""candidates -> hits: one per product, with a match probability, offers in a shopper's order.

Pure sums, each term named: see `Calibration.probability` and `offer_key`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from lensback import colors
from lensback.types import Candidate, Money

if TYPE_CHECKING:
    from lensback.wire import Hit, Offer

_LETTER_SIZE = re.compile(r"(\d)?(X*)([SML])(?![A-Z])")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is said of questions that a calibration was not fitted on: either half of the products by the
    fit of the other. Coverage stands beside precision: a calibration that says nothing is never wrong."""

    exact_from: float
    sold: int
    """Questions whose product is there."""
    exact: int
    """Of all questions, products taken out and not: those called exact, and those rightly."""
    exact_right: int
    far: int
    """Distorted other views of what is on sale (`calibrate.ask`), and those told `none`."""
    far_none: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How similarity and margin become the probability that a hit is the very product.

    p = 1 / (1 + exp(-(bias + similarity_weight * similarity + margin_weight * margin))),
    a logistic regression (Platt scaling with two features) fitted by `lensback calibrate`.
    """

    fingerprint: str
    bias: float
    similarity_weight: float
    margin_weight: float
    none_below: float
    """Similarity under which nothing is near: hardly any photo of a thing on sale lies below."""
    cases: int = 0
    kind: str = ""
    """What it was fitted on: `other views and distorted copies`, or `distorted copies` alone."""
    images: int = 0
    """Images in the catalogue when it was fitted: a larger catalogue has nearer look-alikes."""
    created_at: str = ""
    reference: tuple[int, ...] = ()
    """Questions by match probability, ten equal steps: what searches should look like."""
    held_out: HeldOut | None = None
    """How good it is on questions that it was not fitted on; None in older ones."""
    none_below_of: Mapping[str, float] = field(default_factory=dict, hash=False)
    """The same line for kinds of things that are known well enough (`lensback.lines`)."""

    def line(self, kinds: Collection[str]) -> float:
        """Similarity under which a picture of these kinds is not near; the lowest of several kinds."""
        return min(
            (self.none_below_of.get(kind, self.none_below) for kind in kinds),
            default=self.none_below,
        )

    def probability(self, similarity: float, margin: float) -> float:
        """Between 0 and 1; `margin` is the lead over the best other product, negative behind it."""
        return 1 / (1 + math.exp(-max(-60.0, self.logit(similarity, margin))))

    def logit(self, similarity: float, margin: float) -> float:
        """Logarithm of the odds that it is the very product: any number, 0 where it may be or not."""
        return self.bias + self.similarity_weight * similarity + self.margin_weight * margin

    def as_json(self) -> dict[str, object]:
        """The weights by name, as they are kept in the calibration's file."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """Identity of what it says of a similarity and a margin."""
        said = json.dumps(self.as_json(), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A product found, before its offers are read."""

    product_id: str
    image_hash: str
    similarity: float
    margin: float


def nearer(lists: Iterable[Sequence[Candidate]]) -> list[Candidate]:
    """Each image once, by its similarity to the vector that it is nearest to, best first; `lists` are the
    candidates of each vector."""
    best: dict[str, float] = {}
    for candidates in lists:
        for one in candidates:
            best[one.image_hash] = max(one.similarity, best.get(one.image_hash, -math.inf))
    order = sorted(best.items(), key=lambda pair: -pair[1])
    return [Candidate(image_hash, similarity) for image_hash, similarity in order]


def by_product(
    candidates: Sequence[Candidate],
    products: Mapping[str, Sequence[str]],
    rivals: Sequence[Ranked] = (),
) -> list[Ranked]:
    """The best image of each product, best first, with its lead over the best other product.

    `products` tells the products that show an image. `rivals` are the best of the whole
    catalogue where the candidates were filtered: what a filter leaves alone is not for that
    reason more likely the very thing. Without any other product the margin is 0: no evidence.
    """
    best: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda c: (-c.similarity, c.image_hash)):
        for product_id in products.get(candidate.image_hash, ()):
            best.setdefault(product_id, candidate)
    field = {rival.product_id: rival.similarity for rival in rivals}
    for product_id, candidate in best.items():
        field[product_id] = max(candidate.similarity, field.get(product_id, -math.inf))
    top = sorted(field.items(), key=lambda pair: -pair[1])
    ranked = []
    for product_id, candidate in best.items():
        other = next((s for p, s in top if p != product_id), candidate.similarity)
        margin = candidate.similarity - other
        ranked.append(Ranked(product_id, candidate.image_hash, candidate.similarity, margin))
    return ranked


def price_after_cashback(price: Money, cashback: Money) -> Money:
    """What the shopper pays in the end, never less than nothing. Both are of one currency."""
    return Money(max(price.minor - cashback.minor, 0), price.currency)


def offer_key(offer: Offer, currency: str) -> tuple[bool, int, bool, str, int, str]:
    """Sort key: what nobody can be sent to last, in stock first, then what may be, the preferred currency
    first, then price after cashback.

    Amounts of two currencies are compared where they were converted; without a rate that would be a
    guess.
    """
    price = offer.converted or offer.price_after_cashback
    return (
        not offer.reachable,
        {"in_stock": 0, "unknown": 1}.get(offer.availability, 2),
        price.currency != currency,
        price.currency,
        price.minor,
        offer.offer_id,
    )


def in_order(offers: Iterable[Offer], currency: str = "") -> tuple[Offer, ...]:
    """Offers as a shopper wants to see them."""
    return tuple(sorted(offers, key=lambda offer: offer_key(offer, currency)))


ORDERS = ("best", "price", "cashback")
LOOK_AHEAD = 4
"""Places behind a hit that is sold out where the same thing in stock is looked for: a page of an answer needs
so many hits more to be read, and nothing beyond them changes it."""


def hits_in_order(hits: Sequence[Hit], order: str) -> list[Hit]:
    """Hits as the shopper wants them, `order` one of ORDERS: as they are, but that what is sold out gives
    way to the same thing in stock; or the exact ones first, then by the amount, and what is sold out last.

    Amounts of different currencies are compared where they were converted; else currencies stay apart, the
    commonest first.
    """
    if order == "best" or not hits:
        exact = iter(sorted((hit for hit in hits if hit.exact), key=_gone))
        alike = iter(_giving_way([hit for hit in hits if not hit.exact]))
        return [next(exact) if hit.exact else next(alike) for hit in hits]
    told = Counter(_comparable(hit.offers[0]).currency for hit in hits)
    place = {currency: n for n, (currency, _) in enumerate(told.most_common())}

    def key(hit: Hit) -> tuple[bool, bool, int, Decimal]:
        offer = hit.offers[0]
        paid = _comparable(offer)
        amount = paid.amount if order == "price" else -_share(offer)
        return not hit.exact, _gone(hit), place[paid.currency], amount

    return sorted(hits, key=key)


def _giving_way(hits: list[Hit]) -> list[Hit]:
    """Look-alikes, but that one in stock comes before the same thing sold out, which stood up to LOOK_AHEAD
    before it."""
    for at in range(len(hits)):
        behind = range(at + 1, min(at + 1 + LOOK_AHEAD, len(hits)))
        if _gone(hits[at]):
            n = next((n for n in behind if not _gone(hits[n]) and _same(hits[at], hits[n])), at)
            hits.insert(at, hits.pop(n))
    return hits


def _same(one: Hit, two: Hit) -> bool:
    """Whether two products are one thing to a shopper, though nothing proved it: called the same by more than
    one word, or shown by the same picture, and not said to be of different colours."""
    words, others = (hit.title.casefold().split() for hit in (one, two))
    named = len(words) > 1 and words == others and one.brand.casefold() == two.brand.casefold()
    pictured = bool(one.image_hash) and one.image == two.image
    return (named or pictured) and not colors.differ(
        *([offer.color for offer in hit.offers] for hit in (one, two))
    )


def _gone(hit: Hit) -> bool:
    return hit.offers[0].gone


def _comparable(offer: Offer) -> Money:
    return offer.converted or offer.price_after_cashback


def _share(offer: Offer) -> Decimal:
    """Its cashback, in the currency that its price was converted into."""
    after, converted = offer.price_after_cashback, offer.converted
    if converted is None or not after.minor:
        return offer.cashback.amount
    return offer.cashback.amount * converted.amount / after.amount


def folded(offers: Iterable[Offer], alike: Callable[[Offer], Hashable]) -> list[tuple[Offer, ...]]:
    """Offers for which `alike` says the same, together, in the order of the first of each."""
    groups: dict[Hashable, list[Offer]] = {}
    for offer in offers:
        groups.setdefault(alike(offer), []).append(offer)
    return [tuple(group) for group in groups.values()]


def sizes(offers: Iterable[Offer]) -> str:
    """Their sizes, each once, from small to large: "S, M, L", "38, 39.5, 40"."""
    return ", ".join(sorted({offer.size for offer in offers if offer.size}, key=_size_key))


def _size_key(size: str) -> tuple[int, float, str]:
    """Letters before numbers before words.

    >>> sorted(["one size", "10", "9,5", "XL", "2XS", "M", "XXL", "EU 38", "S/M"], key=_size_key)
    ['2XS', 'S/M', 'M', 'XL', 'XXL', '9,5', '10', 'EU 38', 'one size']
    """
    text = size.strip().upper()
    if letters := _LETTER_SIZE.match(text):
        count, more, letter = letters.groups()
        far = int(count or 0) or len(more) + 1 if letter != "M" else 0
        far = far + 1 if count else far
        return 0, float(-far if letter == "S" else far), text
    if number := _NUMBER.search(text):
        return 1, float(number[0].replace(",", ".")), text
    return 2, 0.0, text
