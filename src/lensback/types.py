"""The nouns of Lensback as frozen dataclasses. No I/O, no third-party import but numpy (for vectors)
and the table of currencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, lru_cache
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""float32 [dim], unit length."""
Vectors = NDArray[np.float32]
"""float32 [n, dim], each row of unit length."""
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of width and height, 0 <= x0 < x1 <= 1."""

Progress = Callable[[int, int], None]
"""Called with (done, total); total is 0 where it is not known."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

Availability = Literal["in_stock", "out_of_stock", "preorder", "backorder", "unknown"]
AVAILABILITIES: tuple[Availability, ...] = get_args(Availability)

WITHDRAWN = {"ANG": 2, "BGN": 2}
"""Currencies that ISO 4217 gave up of late: stores' feeds name them for a while yet."""
USUAL_UNITS = {"JPY": 0, **dict.fromkeys(("EUR", "GBP", "PLN", "RUB", "SEK", "UAH", "USD"), 2)}
"""Digits after the decimal point of what most prices are in, as ISO 4217 has them; to read its table
takes longer than a small feed."""
MAX_PRICE_MINOR = 1 << 53
"""Smallest units of a currency from which no price is believed: beyond it numbers of JSON are not exact."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in integer minor units (cents, kopecks) of an ISO 4217 currency."""

    minor: int
    currency: str

    @classmethod
    def of(cls, amount: Decimal, currency: str) -> Money:
        """Rounds half up to the currency's smallest unit."""
        scaled = amount.scaleb(currency_exponent(currency))
        return cls(int(scaled.quantize(Decimal(1), rounding=ROUND_HALF_UP)), currency)

    @property
    def amount(self) -> Decimal:
        """The amount in whole units of the currency, exact."""
        return Decimal(self.minor).scaleb(-currency_exponent(self.currency))

    def as_json(self) -> dict[str, Any]:
        """`{"amount": "3456.00", "currency": "RUB"}`: what the API sends."""
        return {"amount": _decimal(self.minor, self.currency), "currency": self.currency}

    def __str__(self) -> str:
        return f"{_decimal(self.minor, self.currency)} {self.currency}"


@lru_cache(maxsize=8192)
def _decimal(minor: int, currency: str) -> str:
    """As text with all digits; the sizes of a shirt ask for the same few amounts again and again."""
    places = currency_exponent(currency)
    return f"{Decimal(minor).scaleb(-places):.{places}f}"


class Converter(Protocol):
    """Exchange rates of a day, see `lensback.exchange`."""

    def convert(self, money: Money, currency: str) -> Money | None:
        """The amount in another currency, rounded down; None without a rate."""
        ...


@cache
def minor_units() -> Mapping[str, int]:
    """Every currency of ISO 4217 that has a smallest unit -> digits after the decimal point."""
    from iso4217 import Currency  # reads its table at import: only where money is

    found = {each.code: each.exponent for each in Currency if each.exponent is not None}
    return {**WITHDRAWN, **found}


@lru_cache(1024)
def currency_exponent(currency: str) -> int:
    """Digits after the decimal point, ISO 4217; 2 for a code that it does not know.

    >>> [currency_exponent(c) for c in ("RUB", "JPY", "KWD")]
    [2, 0, 3]
    """
    usual = USUAL_UNITS.get(currency)
    return minor_units().get(currency, 2) if usual is None else usual


@dataclass(frozen=True, slots=True)
class Offer:
    """One row of a feed: a thing for sale at one store. Field names follow Google Merchant."""

    external_id: str
    title: str
    url: str
    price: Money
    image_urls: tuple[str, ...] = ()
    old_price: Money | None = None
    availability: str = "in_stock"
    brand: str = ""
    gtin: str = ""
    """Valid check digit, or empty."""
    mpn: str = ""
    item_group_id: str = ""
    color: str = ""
    size: str = ""
    category: str = ""
    """A path, parts joined by ` > `."""
    description: str = ""
    gender: str = ""
    age_group: str = ""
    material: str = ""
    pattern: str = ""
    condition: str = "new"
    adult: bool = False
    deleted: bool = False
    """A delta feed says this offer is gone."""
    tracked: bool = False
    """`url` already goes through an affiliate network: only a sub-id may be added."""
    target_url: str = ""
    """The store's own page where the feed gives it beside a tracked `url`."""
    disclosure: str = ""
    """Advertising disclosure (erid) that must travel with the link."""
    stock_words: str = ""
    """What the feed says of stock where nobody knows what it means; counted, never stored."""
    images_left_out: tuple[tuple[str, str], ...] = ()
    """Of each image address that could not be taken: the reason and the address; never stored."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row that could not become an offer: counted, never raised. `line` is 1-based, 0 if unknown."""

    reason: str
    line: int = 0
    external_id: str = ""
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Store:
    """A merchant whose offers are sold here, as an operator connected it."""

    name: str
    id: int = 0
    title: str = ""
    base: str = ""
    """What `{BASE}` in the feed's URLs stands for."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A store's file of offers, and how it is read."""

    store: str
    url: str
    id: int = 0
    format: str = "auto"
    columns: str = ""
    """Path of a TOML column map, or empty."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known of one stored picture. `hash` is the hex SHA-256 of its bytes."""

    hash: str
    width: int
    height: int
    bytes: int
    mime: str
    phash: int
    """64-bit perceptual hash, unsigned."""


@dataclass(frozen=True, slots=True)
class Region:
    """A box of a photo worth searching."""

    box: Box
    label: str = "item"
    score: float = 1.0
    likely: bool = True
    """Whether it is a thing rather than not, for all that the detector knows; of the whole photo:
    whether it shows any thing."""
    sure: bool = True
    """Whether that is so likely that it counts even where nothing on sale is near."""


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Prices in one currency, both ends counting; None: no limit."""

    currency: str
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which offers count. Empty means no limit; one offer must meet all of it at once."""

    stores: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    """Full category paths; `catalogue.category_paths` finds them from a shopper's word."""
    in_stock: bool = False
    currency: str = ""
    price_max: Money | None = None
    price_min: Money | None = None
    colors: tuple[str, ...] = ()
    """Colour words as stores write them. The index knows no colours: the catalogue checks them, and
    brands, sizes and discounts."""
    brands: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    """Both as stores write them."""
    discount: int = 0
    """Least percent that a store says it took off."""
    elsewhere: tuple[PriceRange, ...] = ()
    """The limits of `price_min` and `price_max` in other currencies: an offer within one of them counts,
    too."""

    @property
    def beside_index(self) -> bool:
        """Whether it asks for what the index does not know: then more images must be looked at."""
        return bool(self.colors or self.brands or self.sizes or self.discount)

    @property
    def empty(self) -> bool:
        """Whether it lets every offer through."""
        return self == Filter()


@dataclass(frozen=True, slots=True)
class Showing:
    """What one offer says of itself where it shows a picture."""

    store: int
    group: str
    title: str
    brand: str = ""
    category: str = ""
    price_minor: int = 0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One searchable row: an image at a store in one category, stock state and price range.

    Offers that differ in none of it (the sizes of a shirt) share a row, so that a filter
    is answered exactly inside the index. `row_id` is a stable 63-bit hash of the identity
    (image_hash, store, category, in_stock, currency).
    """

    row_id: int
    image_hash: str
    store: str
    category: str
    in_stock: bool
    currency: str
    price_low: int
    """Lowest price among its offers, minor units."""
    price_high: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """One image that the index found, before ranking. `similarity` is the cosine, -1 to 1."""

    image_hash: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Identity of a published index."""

    id: str
    encoder: str
    """Name to open the encoder by; `fingerprint` proves that it is still the same one."""
    fingerprint: str
    dim: int
    rows: int
    recall: float
    """recall@10 against the exact scan, measured before publishing."""
    location: str = ""
    """What the index needs to open it again: a table version, a folder."""
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class StoredOffer:
    """An offer as the catalogue holds it."""

    offer_id: str
    store: str
    product_id: str
    offer: Offer
    image_hashes: tuple[str, ...] = ()
    active: bool = True


def top_category(category: str) -> str:
    """The last part of a category path: the word a store uses for the thing itself.

    >>> top_category("Men > Tops > Jackets")
    'Jackets'
    """
    return category.rsplit(">", 1)[-1].strip()


STATUSES = ("pending", "approved", "declined", "paid")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a network says of one recorded sale (or one item of it), by postback or by polling.

    `(network, external_id, item)` names the sale; the same news may come many times and in
    any order. An absent amount means "not told", never zero.
    """

    network: str
    external_id: str
    status: str
    """One of STATUSES."""
    item: str = ""
    """Part of the sale where a network reports items, or empty."""
    part: str = ""
    """The id of one of several rows that add up to the sale (the sale, its corrections), or empty."""
    subid: str = ""
    """Our click id, as the network gives it back; empty where it was lost."""
    commission: Money | None = None
    """What the network owes the service; negative for a correction."""
    order_value: Money | None = None
    order_id: str = ""
    reason: str = ""
    """Why it was declined, in the network's words."""
    ordered_at: int | None = None
    """UTC epoch seconds of the order."""
    changed_at: int | None = None
    """UTC epoch seconds of this state at the network; orders news that comes late."""
    by_operator: bool = False
    """Our operator's word that the network has paid, not the network's own."""


@dataclass(slots=True)
class Tally:
    """What each stage returns: done, skipped, rejected by reason, seconds."""

    stage: str
    done: int = 0
    skipped: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    notes: dict[str, str | int | float] = field(default_factory=dict)

    @property
    def rejects(self) -> int:
        """How many were rejected, of all reasons."""
        return sum(self.rejected.values())

    def add(self, other: Tally) -> None:
        """Counts what another run of the stage did, too, and its seconds; of a note that both have numbers add
        up."""
        self.done, self.skipped = self.done + other.done, self.skipped + other.skipped
        self.seconds += other.seconds
        self.rejected.update(other.rejected)
        for name, said in other.notes.items():
            own = self.notes.get(name, said)
            both = isinstance(said, int) and isinstance(own, int) and name in self.notes
            self.notes[name] = int(own) + int(said) if both else own

    def as_json(self) -> dict[str, object]:
        """The tally as `--json` prints it."""
        return {
            "stage": self.stage,
            "done": self.done,
            "skipped": self.skipped,
            "rejected": dict(sorted(self.rejected.items())),
            "seconds": round(self.seconds, 3),
            **({"notes": self.notes} if self.notes else {}),
        }
