"""An answer -> what the page shows: words for numbers, offers folded into lines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from lensback import colors
from lensback.rank import folded, sizes
from lensback.speech import N_, Speech
from lensback.types import WHOLE, Box
from lensback.verdicts import CLOSEST, HEADLINES
from lensback.wire import Answer, Hit, Offer

EXPLANATIONS = {
    "exact": N_("Compare the prices below and choose a store."),
    "similar": CLOSEST,
    "none": N_("Nothing in the connected stores looks enough like your photo."),
}
UNMEASURED = N_(
    "This catalogue has not been calibrated yet, so we do not claim to know which of these is "
    "the very product."
)
AVAILABILITY = {
    "in_stock": N_("In stock"),
    "out_of_stock": N_("Sold out"),
    "preorder": N_("Pre-order"),
    "backorder": N_("Ships later"),
    "unknown": N_("Check at the store"),
}
LIKELIHOOD = (
    (0.95, N_("Almost certainly the same")),
    (0.8, N_("Very likely the same")),
    (0.5, N_("Probably the same")),
    (0.2, N_("Possibly the same")),
    (0.0, N_("A look-alike")),
)
MOST_REGIONS = 8
"""Regions to choose from, beside the whole photo."""
LABELS = {
    "top": N_("top"),
    "outerwear": N_("outerwear"),
    "dress": N_("dress"),
    "trousers": N_("trousers"),
    "skirt": N_("skirt"),
    "shoes": N_("shoes"),
    "bag": N_("bag"),
    "hat": N_("hat"),
    "eyewear": N_("eyewear"),
    "belt": N_("belt"),
    "scarf": N_("scarf"),
    "jewellery": N_("jewellery"),
    "watch": N_("watch"),
    "whole": N_("the whole photo"),
    "given": N_("your box"),
}
"""Region labels in words."""
UNNAMED = N_("an item")
COLORS = {
    "black": N_("black"),
    "white": N_("white"),
    "grey": N_("grey"),
    "red": N_("red"),
    "orange": N_("orange"),
    "yellow": N_("yellow"),
    "green": N_("green"),
    "turquoise": N_("turquoise"),
    "blue": N_("blue"),
    "purple": N_("purple"),
    "pink": N_("pink"),
    "brown": N_("brown"),
    "beige": N_("beige"),
}
SORTS = {
    "best": N_("Best match first"),
    "price": N_("Cheapest first"),
    "cashback": N_("Most cashback first"),
}
_LETTERS = ["XXXS", "XXS", "XS", "S", "M", "L", "XL", "XXL", "2XL", "XXXL", "3XL", "4XL", "5XL"]


@dataclass(frozen=True, slots=True)
class OfferLine:
    """One line of the offers table: sizes of one store at one price."""

    store: str
    sizes: str
    price: str
    old_price: str
    cashback: str
    """Empty where there is none."""
    up_to: bool
    after: str
    """Price after cashback, empty where there is no cashback."""
    availability: str
    in_stock: bool
    disclosure: str
    link: str


@dataclass(frozen=True, slots=True)
class Card:
    """One hit as the page shows it."""

    product_id: str
    title: str
    brand: str
    image: str
    likelihood: str
    exact: bool
    lines: tuple[OfferLine, ...]
    offer_id: str
    """The first offer: what "similar to this" starts from."""

    @property
    def cashback(self) -> bool:
        """Whether any of its offers pays cashback."""
        return any(line.after for line in self.lines)


@dataclass(frozen=True, slots=True)
class RegionChoice:
    """A region of the photo that was or could be searched."""

    label: str
    box: str
    chosen: bool
    whole: bool


@dataclass(frozen=True, slots=True)
class AnswerView:
    """The whole answer as the page shows it."""

    search_id: str
    verdict: str
    headline: str
    explanation: str
    region: str
    regions: tuple[RegionChoice, ...]
    exact: tuple[Card, ...]
    similar: tuple[Card, ...]
    stores: tuple[str, ...]
    """Stores, categories and basic colours that the hits have: filters worth offering."""
    categories: tuple[str, ...]
    colors: tuple[str, ...]
    total_ms: float
    timings: str
    encoder: str
    snapshot: str


def answer_view(answer: Answer, speech: Speech, sort: str = "best") -> AnswerView:
    """An answer in words, its hits in the order `sort`, one of SORTS."""
    explanation = EXPLANATIONS[answer.verdict]
    if answer.verdict == "similar" and not answer.calibrated:
        explanation = UNMEASURED
    timings = dict(answer.timings_ms)
    total_ms = timings.pop("total", 0.0)
    cards = [card(hit, speech, calibrated=answer.calibrated) for hit in in_order(answer.hits, sort)]
    offers = [offer for hit in answer.hits for offer in hit.offers]
    named = Counter(offer.color for offer in offers)
    return AnswerView(
        search_id=answer.search_id,
        verdict=answer.verdict,
        headline=speech.say(HEADLINES[answer.verdict]),
        explanation=speech.say(explanation),
        region=_box(answer.region),
        regions=region_choices(answer, speech),
        exact=tuple(card for card in cards if card.exact),
        similar=tuple(card for card in cards if not card.exact),
        stores=_common(Counter(offer.store for offer in offers)),
        categories=_common(Counter(offer.category for offer in offers)),
        colors=_common(_basic_colors(named)),
        total_ms=total_ms,
        timings=", ".join(f"{stage} {ms:.1f} ms" for stage, ms in timings.items()),
        encoder=answer.encoder,
        snapshot=answer.snapshot,
    )


def in_order(hits: Sequence[Hit], sort: str) -> list[Hit]:
    """Hits as the shopper wants them; the exact ones stay first, whatever the order.

    Amounts of different currencies are not compared: those of the first hit's go first.
    """
    if sort not in {"price", "cashback"} or not hits:
        return list(hits)
    currency = hits[0].offers[0].price.currency

    def key(hit: Hit) -> tuple[bool, bool, Decimal]:
        offer = hit.offers[0]
        amount = offer.price_after_cashback.amount
        if sort == "cashback":
            amount = -offer.cashback.amount
        return not hit.exact, offer.price.currency != currency, amount

    return sorted(hits, key=key)


def _basic_colors(named: Counter[str]) -> Counter[str]:
    """Basic colour -> offers that have it, from the stores' own words."""
    found: Counter[str] = Counter()
    for words, n in named.items():
        for color in sorted(colors.basic(words)):
            found[color] += n
    return found


def _common(words: Counter[str], most: int = 8) -> tuple[str, ...]:
    return tuple(word for word, _ in words.most_common() if word)[:most]


def card(hit: Hit, speech: Speech, *, calibrated: bool = True) -> Card:
    """One hit of the answer."""
    return Card(
        product_id=hit.product_id,
        title=hit.title,
        brand=hit.brand,
        image=hit.image,
        likelihood=speech.say(likelihood(hit.probability)) if calibrated else "",
        exact=hit.exact,
        lines=offer_lines(hit.offers, speech),
        offer_id=hit.offers[0].offer_id if hit.offers else "",
    )


def likelihood(probability: float) -> str:
    """A probability in plain words (English; the page translates them).

    >>> likelihood(0.97), likelihood(0.3)
    ('Almost certainly the same', 'Possibly the same')
    """
    return next((words for least, words in LIKELIHOOD if probability >= least), LIKELIHOOD[-1][1])


def offer_lines(offers: Sequence[Offer], speech: Speech) -> tuple[OfferLine, ...]:
    """Offers in their order; those that differ in nothing but the size share a line."""
    return tuple(
        _line(sorted(same, key=_size_key), speech) for same in folded(offers, _all_but_size)
    )


def _all_but_size(offer: Offer) -> tuple[object, ...]:
    amounts = (offer.price, offer.price_after_cashback, offer.old_price)
    return offer.store, offer.availability, offer.disclosure, *amounts


def _line(same: Sequence[Offer], speech: Speech) -> OfferLine:
    first = same[0]
    paid = first.cashback.minor > 0
    return OfferLine(
        store=first.store,
        sizes=sizes(same),
        price=speech.money(first.price),
        old_price=speech.money(first.old_price) if first.old_price else "",
        cashback=speech.money(first.cashback) if paid else "",
        up_to=first.up_to,
        after=speech.money(first.price_after_cashback) if paid else "",
        availability=speech.say(AVAILABILITY[first.availability]),
        in_stock=first.availability == "in_stock",
        disclosure=first.disclosure,
        link=first.link,
    )


def _size_key(offer: Offer) -> tuple[int, float, str]:
    """S, M, L in that order, then numbers by size, then the rest by name."""
    size = offer.size.strip().upper()
    if size in _LETTERS:
        return 0, _LETTERS.index(size), size
    number = size.replace(",", ".")
    if number.replace(".", "", 1).isascii() and number.replace(".", "", 1).isdigit():
        return 1, float(number), size
    return 2, 0.0, size


def region_choices(answer: Answer, speech: Speech) -> tuple[RegionChoice, ...]:
    """The searched region, the likeliest others, the whole photo; equal names are numbered."""
    regions = list({_box(r.box): r for r in reversed(answer.regions)}.values())[::-1]
    regions = [*regions[: min(MOST_REGIONS, len(regions) - 1)], regions[-1]]
    words = [speech.say(LABELS.get(r.label, UNNAMED)) for r in regions]
    seen: Counter[str] = Counter()
    choices = []
    for region, word in zip(regions, words, strict=True):
        seen[word] += 1
        name = f"{word} {seen[word]}" if words.count(word) > 1 else word
        box = _box(region.box)
        choices.append(RegionChoice(name, box, box == _box(answer.region), box == _box(WHOLE)))
    return tuple(choices)


def _box(box: Box) -> str:
    return ",".join(f"{round(value, 4):g}" for value in box)
