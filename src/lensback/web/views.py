"""The answer's JSON -> what the page shows: words for numbers, offers folded into rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lensback.types import WHOLE

Json = Mapping[str, Any]

HEADLINES = {
    "exact": ("This very product", "Compare the prices below and choose a store."),
    "similar": (
        "Looks like it",
        "None of these is surely the very product. The closest come first.",
    ),
    "none": ("We did not find it", "Nothing in the connected stores looks enough like your photo."),
}
UNMEASURED = (
    "This catalogue has not been calibrated yet, so we do not claim to know which of these is "
    "the very product."
)
AVAILABILITY = {
    "in_stock": "In stock",
    "out_of_stock": "Sold out",
    "preorder": "Pre-order",
    "backorder": "Ships later",
}
_LETTERS = ["XXXS", "XXS", "XS", "S", "M", "L", "XL", "XXL", "2XL", "XXXL", "3XL", "4XL", "5XL"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the offers table: sizes of one store at one price."""

    store: str
    sizes: str
    price: str
    old_price: str
    after: str
    """Price after cashback, empty where there is no cashback."""
    availability: str
    in_stock: bool
    disclosure: str
    link: str


@dataclass(frozen=True, slots=True)
class Card:
    """One hit."""

    title: str
    brand: str
    image: str
    likelihood: str
    exact: bool
    rows: tuple[Row, ...]

    @property
    def cashback(self) -> bool:
        return any(row.after for row in self.rows)


@dataclass(frozen=True, slots=True)
class Part:
    """Another region of the photo that could be searched."""

    label: str
    box: str


@dataclass(frozen=True, slots=True)
class View:
    """The whole answer."""

    verdict: str
    headline: str
    explanation: str
    region: str
    parts: tuple[Part, ...]
    cards: tuple[Card, ...]
    total_ms: float
    timings: str
    encoder: str
    snapshot: str


def view(answer: Json) -> View:
    """The contract's answer -> what the page shows."""
    headline, explanation = HEADLINES[answer["verdict"]]
    if answer["verdict"] == "similar" and not answer["calibrated"]:
        explanation = UNMEASURED
    timings = dict(answer["timings_ms"])
    total_ms = timings.pop("total", 0.0)
    return View(
        verdict=answer["verdict"],
        headline=headline,
        explanation=explanation,
        region=_box(answer["region"]),
        parts=_parts(answer),
        cards=tuple(card(hit, calibrated=answer["calibrated"]) for hit in answer["hits"]),
        total_ms=total_ms,
        timings=", ".join(f"{stage} {ms:.1f} ms" for stage, ms in timings.items()),
        encoder=answer["encoder"],
        snapshot=answer["snapshot"],
    )


def card(hit: Json, *, calibrated: bool = True) -> Card:
    """One hit of the answer."""
    return Card(
        title=hit["title"],
        brand=hit["brand"],
        image=hit["image"],
        likelihood=likelihood(hit["probability"]) if calibrated else "",
        exact=hit["exact"],
        rows=rows(hit["offers"]),
    )


def likelihood(probability: float) -> str:
    """A probability in plain words.

    >>> likelihood(0.97), likelihood(0.3)
    ('Almost certainly the same', 'Possibly the same')
    """
    steps = (
        (0.95, "Almost certainly the same"),
        (0.8, "Very likely the same"),
        (0.5, "Probably the same"),
        (0.2, "Possibly the same"),
    )
    return next((words for least, words in steps if probability >= least), "A look-alike")


def rows(offers: Sequence[Json]) -> tuple[Row, ...]:
    """Offers in their order; those that differ in nothing but the size share a row."""
    folded: dict[tuple[object, ...], list[Json]] = {}
    for offer in offers:
        folded.setdefault(_key(offer), []).append(offer)
    return tuple(_row(sorted(same, key=_size_key)) for same in folded.values())


def _key(offer: Json) -> tuple[object, ...]:
    amounts = (offer["price"], offer["price_after_cashback"], offer["old_price"])
    prices = tuple(money(amount) if amount else "" for amount in amounts)
    return offer["store"], offer["availability"], offer["disclosure"], *prices


def _row(same: Sequence[Json]) -> Row:
    first = same[0]
    cashback = float(first["cashback"]["amount"]) > 0
    return Row(
        store=first["store"],
        sizes=", ".join(dict.fromkeys(offer["size"] for offer in same if offer["size"])),
        price=money(first["price"]),
        old_price=money(first["old_price"]) if first["old_price"] else "",
        after=money(first["price_after_cashback"]) if cashback else "",
        availability=AVAILABILITY[first["availability"]],
        in_stock=first["availability"] == "in_stock",
        disclosure=first["disclosure"],
        link=first["link"],
    )


def _size_key(offer: Json) -> tuple[int, float, str]:
    """S, M, L in that order, then numbers by size, then the rest by name."""
    size = str(offer["size"]).strip().upper()
    if size in _LETTERS:
        return 0, _LETTERS.index(size), size
    number = size.replace(",", ".")
    if number.replace(".", "", 1).isascii() and number.replace(".", "", 1).isdigit():
        return 1, float(number), size
    return 2, 0.0, size


def money(amount: Json) -> str:
    """An amount as people write it, with spaces that do not break.

    >>> money({"amount": "3456.00", "currency": "RUB"}).replace("\\u00a0", " ")
    '3 456 RUB'
    """
    whole, _, cents = str(amount["amount"]).partition(".")
    cents = f".{cents}" if cents.strip("0") else ""
    return f"{int(whole):,}".replace(",", "\u00a0") + f"{cents}\u00a0{amount['currency']}"


def _parts(answer: Json) -> tuple[Part, ...]:
    """The regions that were not searched, by names that a person understands."""
    others = [r["box"] for r in answer["regions"] if r["box"] != answer["region"]]
    smaller = [box for box in others if box != list(WHOLE)]
    names = [
        f"part {at}" if len(smaller) > 1 else "another part" for at in range(1, len(smaller) + 1)
    ]
    parts = [Part(name, _box(box)) for name, box in zip(names, smaller, strict=True)]
    return (*parts, *(Part("the whole photo", _box(box)) for box in others if box not in smaller))


def _box(box: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in box)
