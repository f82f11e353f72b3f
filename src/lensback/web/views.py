"""An answer -> what the page shows: words for numbers, a line for each store. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lensback.comparison import StoreRow, by_store, discount, size_key
from lensback.programs import facts
from lensback.search import MAX_LIMIT, Query
from lensback.speech import N_, Speech
from lensback.types import WHOLE, Box
from lensback.verdicts import (
    AVAILABILITY,
    HEADLINES,
    LABELS,
    LIKELIHOOD,
    NO_WAY,
    UNNAMED,
    explanation,
    likelihood,
    reasons,
    sold_out,
)
from lensback.wire import Answer, Facet, Facets, Hit, Offer, Region

MOST_REGIONS = 8
"""Regions to choose from, beside the whole photo."""
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


@dataclass(frozen=True, slots=True)
class SizeChip:
    """One size at one store."""

    size: str
    link: str
    """Empty where it leads nowhere."""
    in_stock: bool
    price: str
    """Empty where it is the row's."""


@dataclass(frozen=True, slots=True)
class OfferLine:
    """One line of the offers table: what one store asks, and the sizes that it has."""

    store: str
    """What people call it."""
    store_name: str
    chips: tuple[SizeChip, ...]
    price: str
    dearer_sizes: bool
    """The price is the lowest of several."""
    about: str
    """What is paid in the end in the answer's currency, by exchange rates; empty where it is that one."""
    old_price: str
    discount: int
    """Whole percent, 0 where there is none."""
    cashback: str
    """Empty where there is none."""
    up_to: bool
    depends_on: tuple[str, ...]
    """Codes of what decides how much it will be."""
    depends: str
    """The same as a sentence, empty where nothing does."""
    why_not: str
    """Why there is none, empty where there is some."""
    after: str
    """Price after cashback, empty where there is no cashback."""
    availability: str
    in_stock: bool
    best: bool
    """No other store asks less."""
    disclosure: str
    link: str
    """Empty where it leads nowhere."""
    no_way: str
    """What stands in its place then."""


@dataclass(frozen=True, slots=True)
class Card:
    """One hit as the page shows it."""

    product_id: str
    title: str
    brand: str
    image: str
    likelihood: str
    likely: bool
    """Whether that says more than the heading "Looks like it"."""
    exact: bool
    sold_out: bool
    """No store has it."""
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
    reasons: tuple[str, ...]
    """What codes in the photo have to do with it."""
    region: str
    regions: tuple[RegionChoice, ...]
    doubtful: tuple[RegionChoice, ...]
    """What might be a thing, too; offered behind "More"."""
    exact: tuple[Card, ...]
    similar: tuple[Card, ...]
    stores: tuple[str, ...]
    """What its hits have, all that were found: filters worth offering."""
    categories: tuple[str, ...]
    brands: tuple[str, ...]
    sizes: tuple[str, ...]
    colors: tuple[str, ...]
    sentence: str
    """What a screen reader says of it."""
    shown: int
    total: int
    """Products found; more than are shown, where there are more to show."""
    reading: bool
    """Whether words in the photo are still being read: asked again the answer has them."""
    left_out: bool
    """Whether only the filters, or the words, left nothing to show."""
    rates_on: str
    """The day of the exchange rates, where some were used."""

    @property
    def more(self) -> bool:
        """Whether there is more to show, within what one answer may have."""
        return self.shown < min(self.total, MAX_LIMIT)


def answer_view(answer: Answer, speech: Speech) -> AnswerView:
    """An answer in words."""
    cards = [card(hit, speech, calibrated=answer.calibrated) for hit in answer.hits]
    facets = answer.facets or Facets()
    regions, doubtful = region_choices(answer, speech)
    return AnswerView(
        search_id=answer.search_id,
        verdict=answer.verdict,
        headline=speech.say(HEADLINES[answer.verdict]),
        explanation=speech.say(explanation(answer)),
        reasons=reasons(answer, speech),
        region=box_text(answer.region),
        regions=regions,
        doubtful=doubtful,
        exact=tuple(card for card in cards if card.exact),
        similar=tuple(card for card in cards if not card.exact),
        stores=_values(facets.stores),
        categories=_values(facets.categories),
        brands=_values(facets.brands),
        sizes=tuple(sorted(_values(facets.sizes), key=size_key)),
        colors=_values(facets.colors),
        shown=len(answer.hits),
        total=answer.total,
        reading=answer.reading,
        left_out=answer.left_out,
        rates_on=_day(answer.rates_on, speech),
        sentence=sentence(answer, speech),
    )


def sentence(answer: Answer, speech: Speech) -> str:
    """The answer in one sentence."""
    headline = speech.say(HEADLINES[answer.verdict])
    if not answer.hits:
        return f"{headline}."
    things = speech.plural("{n} thing", "{n} things", len(answer.hits))
    return f"{headline}: {things}."


def _values(facets: Sequence[Facet]) -> tuple[str, ...]:
    return tuple(one.value for one in facets)


def _day(said: str | None, speech: Speech) -> str:
    """An ISO day in words, "" for none."""
    if not said:
        return ""
    return speech.date(int(datetime.fromisoformat(said).replace(tzinfo=UTC).timestamp()))


def card(hit: Hit, speech: Speech, *, calibrated: bool = True) -> Card:
    """One hit of the answer."""
    return Card(
        product_id=hit.product_id,
        title=hit.title,
        brand=hit.brand,
        image=hit.image,
        likelihood=speech.say(likelihood(hit.probability)) if calibrated else "",
        likely=likelihood(hit.probability) != LIKELIHOOD[-1][1],
        exact=hit.exact,
        sold_out=sold_out(hit),
        lines=offer_lines(hit.offers, speech),
        offer_id=hit.offers[0].offer_id if hit.offers else "",
    )


def offer_lines(offers: Sequence[Offer], speech: Speech) -> tuple[OfferLine, ...]:
    """A line for each store, in the order of the offers."""
    return tuple(_line(row, speech) for row in by_store(offers))


def _line(row: StoreRow, speech: Speech) -> OfferLine:
    first = row.first
    has_cashback = first.cashback.minor > 0
    return OfferLine(
        store=first.store_title,
        store_name=first.store,
        chips=tuple(_chip(one, row, speech) for one in row.sizes),
        price=speech.money(first.price),
        dearer_sizes=row.dearer_sizes,
        about=_converted(first, speech),
        old_price=speech.money(first.old_price) if first.old_price else "",
        discount=discount(first),
        cashback=speech.money(first.cashback) if has_cashback else "",
        up_to=first.up_to,
        depends_on=first.depends_on,
        depends=facts.depends_in_words(first.depends_on, speech) if has_cashback else "",
        why_not=speech.say(facts.WHY_NOT[first.no_cashback])
        if first.reachable and first.no_cashback
        else "",
        after=speech.money(first.price_after_cashback) if has_cashback else "",
        availability=speech.say(AVAILABILITY[first.availability]),
        in_stock=first.availability == "in_stock",
        best=row.best,
        disclosure=" · ".join(row.disclosures),
        link=first.link if first.reachable else "",
        no_way="" if first.reachable else speech.say(NO_WAY),
    )


def _converted(offer: Offer, speech: Speech) -> str:
    told = offer.converted
    return speech.about(float(told.amount), told.currency) if told else ""


def _chip(offer: Offer, row: StoreRow, speech: Speech) -> SizeChip:
    same = offer.price == row.first.price
    return SizeChip(
        size=offer.size.strip(),
        link=offer.link if offer.reachable else "",
        in_stock=offer.availability != "out_of_stock",
        price="" if same else speech.money(offer.price),
    )


def filter_words(query: Query, speech: Speech) -> tuple[str, ...]:
    """What an answer was limited to and ordered by, in words; empty where by nothing."""
    words = [f"“{query.words}”"] if query.words else []
    words += [*query.stores, query.category, *query.brands]
    words += [speech.say("Size {size}", size=size) for size in query.sizes]
    if query.discount:
        words.append(speech.say("From {n} % off", n=query.discount))
    if query.price_min:
        words.append(speech.say("Price from {amount}", amount=_limit(query.price_min, query)))
    if query.price_max:
        words.append(speech.say("Price to {amount}", amount=_limit(query.price_max, query)))
    if query.color:
        words.append(speech.say(COLORS.get(query.color, query.color)))
    if query.in_stock:
        words.append(speech.say("Only what is in stock"))
    if query.order != "best":
        words.append(speech.say(SORTS[query.order]))
    return tuple(filter(None, words))


def _limit(amount: str, query: Query) -> str:
    return f"{amount} {query.currency}".strip()


def region_choices(
    answer: Answer, speech: Speech
) -> tuple[tuple[RegionChoice, ...], tuple[RegionChoice, ...]]:
    """The searched region, the likeliest others, the whole photo; and what is offered behind "More".
    Equal names are numbered through both, so that none stands twice; the one that is the only one in sight has
    no number."""
    regions = list({box_text(r.box): r for r in reversed(answer.regions)}.values())[::-1]
    if regions:  # none in an older record
        regions = [*regions[: min(MOST_REGIONS, len(regions) - 1)], regions[-1]]
    known = {box_text(r.box) for r in regions}
    doubtful = [r for r in answer.more_regions if box_text(r.box) not in known][:MOST_REGIONS]
    both = _choices(regions, doubtful, answer, speech)
    return both[: len(regions)], both[len(regions) :]


def _choices(
    regions: Sequence[Region], doubtful: Sequence[Region], answer: Answer, speech: Speech
) -> tuple[RegionChoice, ...]:
    both = [*regions, *doubtful]
    words = [speech.say(LABELS.get(r.label, UNNAMED)) for r in both]
    seen: Counter[str] = Counter()
    choices = []
    for region, word in zip(both, words, strict=True):
        seen[word] += 1
        alone = seen[word] == 1 and 1 in {words.count(word), words[: len(regions)].count(word)}
        name = word if alone else f"{word} {seen[word]}"
        box = box_text(region.box)
        choices.append(
            RegionChoice(name, box, box == box_text(answer.region), box == box_text(WHOLE))
        )
    return tuple(choices)


def box_text(box: Box) -> str:
    """A box as forms send it: `0.1,0.2,0.8,0.9`."""
    return ",".join(f"{round(value, 4):g}" for value in box)
