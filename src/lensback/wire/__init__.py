"""The JSON of the API, one pydantic model for each noun: what search makes, /openapi.json describes,
the client reads back, and page, bot and command line show.

Money is exact (`types.Money`) on both sides; numbers are rounded when they are written, not before.
The order of the fields is the order of the keys.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from lensback.errors import Error
from lensback.types import Availability
from lensback.wire.numbers import Amount, Area, Body, Estimated, Share

Verdict = Literal["exact", "similar", "none"]
Depends = Literal["category", "brand", "customer", "region", "voucher", "condition", "exchange"]
"""What cashback may depend on; `condition`: what the program says of it in words."""
DEPENDS_ON = get_args(Depends)
NoCashback = Literal["", "no_program", "paused", "no_link", "no_rate"]
By = Literal["looks", "barcode", "link", "article", "words", "model"]
"""What something was told by: the photo's looks, a bar code in it, a square code with a store's page, the
shopper's words, the model that another hit has in another colour."""


# ---- offers, hits, answers


class Offer(Body):
    """A thing for sale at one store."""

    offer_id: str = Field(examples=["aaaaaaaaaaaaaaaa"])
    store: str = Field(examples=["outlet"])
    store_title: str = Field("", examples=["The Outlet"], description="What people call the store.")
    title: str = Field(examples=["Checked shirt, M"])
    size: str
    color: str
    category: str = Field(examples=["Men > Shirts"])
    price: Amount
    old_price: Amount | None = Field(description="What the store says it cost before.")
    cashback: Estimated
    price_after_cashback: Amount
    availability: Availability
    depends_on: tuple[Depends, ...] = Field(
        (),
        description="What decides how much the cashback will be; GET /api/programs/{store} says it.",
    )
    no_cashback: NoCashback = Field(
        "", description="Why there is no cashback; empty where there is some."
    )
    converted: Amount | None = Field(
        None,
        description="price_after_cashback in the answer's currency by the exchange rates of `rates_on`, "
        "where the price is in another one and there are rates.",
    )
    disclosure: str = Field(description="Advertising disclosure that must be shown, or empty.")
    link: str = Field(description="Where to go to buy it; following it records a click.")
    reachable: bool = Field(
        True,
        description="Whether `link` leads to the store. False where the address lies on none of the domains "
        "of the store's program, or is none: `link` is not found then, so show no button.",
    )

    @property
    def up_to(self) -> bool:
        """Whether the cashback may also be less."""
        return self.cashback.up_to

    @property
    def here(self) -> bool:
        """Whether it can be bought now: in stock, and there is a way to it."""
        return self.reachable and self.availability == "in_stock"

    @property
    def gone(self) -> bool:
        """Whether it cannot be bought: sold out, or there is no way to it."""
        return not self.reachable or self.availability == "out_of_stock"


class PricePoint(Body):
    """A price, and since when."""

    at: str = Field(description="UTC, ISO 8601.")
    price: Amount


class OfferDetail(Offer):
    """An offer with what only its own page needs."""

    product_id: str
    brand: str
    description: str
    on_sale: bool
    images: tuple[str, ...]
    price_history: tuple[PricePoint, ...] = Field(description="Oldest first.")


class Hit(Body):
    """One product, its offers in the order a shopper wants them."""

    product_id: str = Field(examples=["paaaaaaaaaaaaaaaa"])
    title: str = Field(
        examples=["Checked shirt"],
        description="Title, brand and category of its best offer, in the reader's language if "
        "there is one in it.",
    )
    brand: str
    category: str = Field("", examples=["Men > Shirts"])
    similarity: Share = Field(description="Cosine of the two vectors, -1 to 1.")
    probability: Share = Field(description="Calibrated; 0 where calibrated is false.")
    exact: bool
    by: By = Field("looks", description="What it was found by.")
    image: str = Field(examples=["/images/" + "0" * 64])
    offers: tuple[Offer, ...]

    @property
    def image_hash(self) -> str:
        """Hex SHA-256 of the image that was nearest."""
        return self.image.rpartition("/")[2]


class Region(Body):
    """A box of the photo worth searching."""

    box: Area
    label: str = Field(examples=["top"])
    score: Share


class Code(Body):
    """A bar code, a square code or a printed number of the photo that says which thing it is."""

    kind: Literal["gtin", "page", "article"] = Field(
        description="The number of a product, a store's page, or its maker's article number."
    )
    text: str = Field(examples=["4006381333931"])
    box: Area
    state: Literal["sold", "filtered", "not_sold"] = Field(
        description="On sale; on sale, but the filters leave it out; sold by no connected store."
    )
    ambiguous: bool = Field(description="Several products go by it, so it makes none exact.")
    product_ids: tuple[str, ...] = Field(description="Those of them that the filters let through.")
    looks_like_it: bool | None = Field(
        None,
        description="Whether the photo also looks like it; null where there is none to compare.",
    )


class Photo(Body):
    """The photo that was searched, in pixels."""

    width: int
    height: int


class Facet(Body):
    """A value that hits have, for a filter."""

    value: str
    products: int = Field(description="How many of the hits have it.")


class Facets(Body):
    """What all hits of an answer have, the commonest first: filters worth offering."""

    stores: tuple[Facet, ...] = ()
    categories: tuple[Facet, ...] = ()
    brands: tuple[Facet, ...] = ()
    sizes: tuple[Facet, ...] = ()
    colors: tuple[Facet, ...] = ()
    """Basic colours (`lensback.colors`)."""


class Answer(Body):
    """The whole reply to one photo."""

    search_id: str = Field(examples=["0b9c51f2a77d4e18"])
    verdict: Verdict
    by: By = Field("looks", description="What the verdict rests on.")
    probability: Share = Field(description="The largest of the hits, 0 without any.")
    calibrated: bool
    certified: bool = Field(description="A tested promise stands behind what is called exact.")
    photo: Photo
    region: Area
    regions: tuple[Region, ...] = Field(
        description="What is likely a thing, the searched one first; the whole photo last."
    )
    more_regions: tuple[Region, ...] = Field(
        (), description="What might be a thing, too: worth offering only where it is asked for."
    )
    nothing_to_search: bool = Field(
        False,
        description="The photo shows nothing that could be searched, and nothing on sale is near.",
    )
    left_out: bool = Field(
        False,
        description="Nothing is shown, though something near enough is on sale: filters or words leave it out.",
    )
    codes: tuple[Code, ...] = Field((), description="Codes read in the photo that say what it is.")
    read: tuple[str, ...] = Field(
        (), description="Words read in the photo that speak for the first hit."
    )
    reading: bool = Field(
        False,
        description="Words in the photo are still being read: the same photo asked again has them.",
    )
    hits: tuple[Hit, ...]
    total: int = Field(0, description="Products found; hits are `limit` of them from `offset` on.")
    facets: Facets | None = Field(None, description="Where `facets` was asked for.")
    rates_on: str | None = Field(None, description="Day of the exchange rates used, ISO 8601.")
    timings_ms: dict[str, float] = Field(examples=[{"decode": 9.3, "total": 23.0}])
    encoder: str
    snapshot: str


class Similar(Body):
    """What looks like an offer."""

    offer_id: str
    hits: tuple[Hit, ...] = Field(description="Most alike first; none is exact.")


class Link(Body):
    """Why two offers, by id, are one product."""

    a: str
    b: str
    reason: str
    score: float


class Product(Body):
    """Offers that are the same thing."""

    product_id: str
    title: str
    brand: str
    category: str = ""
    images: tuple[str, ...]
    offers: tuple[Offer, ...]
    links: tuple[Link, ...] = Field(description="Why these offers are one product.")


class Store(Body):
    """A connected store and how its last sync went."""

    name: str
    title: str = Field("", description="What people call it.")
    offers: int
    in_stock: int
    images: int
    last_sync: str | None = Field(description="UTC, ISO 8601.")
    status: str


class Stores(Body):
    """All connected stores, by name."""

    stores: tuple[Store, ...]


# ---- a shopper's cashback


class Click(Body):
    """The way to a store that a shopper took: what proves a claim."""

    id: str
    at: str = Field(description="UTC, ISO 8601.")
    offer_id: str


ClaimState = Literal["open", "sent", "accepted", "refused"]


class Claim(Body):
    """What a shopper tells of a purchase that is missing, or was declined wrongly."""

    claim_id: str
    state: ClaimState = Field(description="`sent`: to the network; then it is decided.")
    order_id: str = Field(description="The store's number of the order.")
    ordered_on: str = Field(description="A day.")
    amount: Amount = Field(description="What was paid for the things.")
    opened_at: str = Field(description="UTC, ISO 8601.")
    sent_at: str | None
    decided_at: str | None
    answer: str = Field(description="What the network said, or empty.")


class Declined(Body):
    """Why a store declined a sale, and what the shopper can do."""

    code: str
    text: str
    advice: str
    claim: bool = Field(description="Whether a claim is taken now.")
    claim_from: str | None = Field(None, description="The first day of a claim.")
    claim_until: str | None = Field(description="The last day of a claim.")
    claimed: Claim | None = Field(None, description="The claim that was opened.")


class Sale(Body):
    """One purchase of a shopper."""

    sale_id: str
    store: str
    store_title: str = Field("", description="What people call the store.")
    title: str
    state: Literal["pending", "approved", "payable", "paid", "review", "declined"] = Field(
        description="`approved`: the store agreed; `payable`: the network has paid us; `paid`: handed "
        "over; `review`: set aside until somebody has looked at it."
    )
    cashback: Amount | None = Field(description="None while its currency is not known.")
    owed: Amount | None = Field(description="Paid out, and then taken back by the store.")
    ordered_at: str | None = Field(description="A day.")
    expected: str | None = Field(description="The day on which the store should have decided.")
    click: Click
    declined: Declined | None = Field(None, description="Only of a declined sale.")


class Visit(Body):
    """A way to a store that no sale is known of yet."""

    store: str
    store_title: str = Field("", description="What people call the store.")
    title: str
    click: Click
    claim: bool = Field(description="Whether a claim is taken now.")
    claim_from: str | None = Field(None, description="The first day of a claim.")
    claim_until: str | None = Field(description="The last day of a claim.")
    claimed: Claim | None = Field(None, description="The claim that was opened.")


class Totals(Body):
    """What the ledger holds for a shopper, in each currency."""

    pending: tuple[Amount, ...]
    approved: tuple[Amount, ...]
    payable: tuple[Amount, ...] = Field(description="What the network has paid us.")
    paid: tuple[Amount, ...]
    review: tuple[Amount, ...] = Field(description="Set aside until somebody has looked at it.")
    owed: tuple[Amount, ...] = Field(description="Set off against the next cashback.")


class ShopperCashback(Body):
    """All that a shopper bought through us."""

    sales: tuple[Sale, ...] = Field(description="Newest first.")
    more: bool = Field(description="There are older ones.")
    visits: tuple[Visit, ...]
    totals: Totals
    pass_: str = Field(alias="pass", description="Makes a browser this shopper's for 30 days.")
    page: str = Field(description="The same as a page, for the shopper.")


# ---- failures, operation


def _names(kind: type[Error]) -> list[str]:
    """A class of failures and all below it."""
    return [kind.__name__, *(name for child in kind.__subclasses__() for name in _names(child))]


class Problem(Body):
    """What went wrong, and what to do."""

    type: str = Field(
        description=f"What went wrong: {', '.join(_names(Error)[1:])}, or InternalError.",
        examples=["BadImage"],
    )
    message: str = Field(examples=["this is a web page, not a picture"])
    hint: str = Field(description="The one thing to do next, or empty.")


class Failure(Body):
    """The body of every answer that is none."""

    error: Problem


class BatchResult(Body):
    """One photo of a batch: its answer, or why there is none; only one of the two is there."""

    answer: Answer | None = None
    error: Problem | None = None


class Batch(Body):
    """The answers to several photos."""

    results: tuple[BatchResult, ...] = Field(description="In the order of the photos.")


class Health(Body):
    """The process answers: nothing more is looked at."""

    status: Literal["ok"]


class Ready(Body):
    """All parts are there."""

    status: Literal["ok"]
    checks: dict[str, str]
