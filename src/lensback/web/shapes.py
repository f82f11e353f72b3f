"""The API's bodies as schemas: what /openapi.json and /docs say. tests/test_web.py holds real
answers against them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lensback import colors
from lensback.errors import Error


class Shape(BaseModel):
    """A JSON object that the API sends, with these fields and no others."""

    model_config = ConfigDict(extra="forbid")


def _names(kind: type[Error]) -> list[str]:
    """A class of failures and all below it."""
    return [kind.__name__, *(name for child in kind.__subclasses__() for name in _names(child))]


class ErrorBody(Shape):
    """What went wrong, and what to do about it."""

    type: str = Field(
        description=f"What went wrong: {', '.join(_names(Error)[1:])}, or InternalError.",
        examples=["BadImage"],
    )
    message: str = Field(examples=["this is a web page, not a picture"])
    hint: str = Field(description="The one thing to do next, or empty.")


class Failure(Shape):
    """The body of every answer that is no success."""

    error: ErrorBody


FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Failure, "description": "The request is wrong"},
    "5XX": {"model": Failure, "description": "The service cannot answer"},
    422: {"model": Failure, "description": "A parameter makes no sense"},
}
"""What every route may answer with beside its own."""


class Amount(Shape):
    """An exact amount of money: a decimal string and its currency."""

    amount: str = Field(examples=["3456.00"])
    currency: str = Field(examples=["RUB"])


class Cashback(Amount):
    """The cashback of an offer, exact or at most."""

    up_to: bool


class OfferShape(Shape):
    """One offer with its price, cashback and link."""

    offer_id: str
    store: str
    title: str
    size: str
    color: str
    category: str
    price: Amount
    old_price: Amount | None
    cashback: Cashback
    price_after_cashback: Amount
    availability: Literal["in_stock", "out_of_stock", "preorder", "backorder"]
    disclosure: str = Field(description="Advertising disclosure that must be shown, or empty.")
    link: str = Field(description="Where to go to buy it.")


class PricePoint(Shape):
    """The price of an offer from a moment on."""

    at: str = Field(description="UTC, ISO 8601.")
    price: Amount


class OfferDetail(OfferShape):
    """One offer with the history of its price."""

    product_id: str
    brand: str
    description: str
    on_sale: bool
    images: list[str]
    price_history: list[PricePoint] = Field(description="Oldest first.")


class HitShape(Shape):
    """One product of an answer, with its offers."""

    product_id: str
    title: str
    brand: str
    similarity: float = Field(description="Cosine of the two vectors, -1 to 1.")
    probability: float = Field(description="Calibrated; 0 where calibrated is false.")
    exact: bool
    image: str
    offers: list[OfferShape]


class RegionShape(Shape):
    """A box of the photo, what is in it, and how sure the detector is."""

    box: list[float]
    label: str
    score: float


class PhotoShape(Shape):
    """The size of a photo in pixels, upright."""

    width: int
    height: int


_MONEY = {"amount": "3456.00", "currency": "RUB"}
ANSWER: dict[str, Any] = {
    "search_id": "0b9c51f2a77d4e18",
    "verdict": "exact",
    "probability": 0.97,
    "calibrated": True,
    "certified": False,
    "photo": {"width": 1000, "height": 1300},
    "region": [0.1, 0.2, 0.8, 0.9],
    "regions": [{"box": [0.1, 0.2, 0.8, 0.9], "label": "top", "score": 0.8}],
    "hits": [
        {
            "product_id": "paaaaaaaaaaaaaaaa",
            "title": "Checked shirt",
            "brand": "Juniper & Co",
            "similarity": 0.91,
            "probability": 0.97,
            "exact": True,
            "image": "/images/" + "0" * 64,
            "offers": [
                {
                    "offer_id": "aaaaaaaaaaaaaaaa",
                    "store": "outlet",
                    "title": "Checked shirt, M",
                    "size": "M",
                    "color": "sky",
                    "category": "Men > Shirts",
                    "price": _MONEY,
                    "old_price": {"amount": "3990.00", "currency": "RUB"},
                    "cashback": {"amount": "172.80", "currency": "RUB", "up_to": True},
                    "price_after_cashback": {"amount": "3283.20", "currency": "RUB"},
                    "availability": "in_stock",
                    "disclosure": "",
                    "link": "/go/aaaaaaaaaaaaaaaa?search=0b9c51f2a77d4e18",
                }
            ],
        }
    ],
    "timings_ms": {"decode": 9.3, "regions": 4.0, "encode": 5.1, "search": 3.2, "total": 23.0},
    "encoder": "eye",
    "snapshot": "20260101T000000000000-1",
}
"""What an answer looks like; tests/test_web_photo.py holds it against AnswerShape."""


class AnswerShape(Shape):
    """The whole reply to one search."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": ANSWER})

    search_id: str
    verdict: Literal["exact", "similar", "none"]
    probability: float
    calibrated: bool
    certified: bool = Field(description="A tested promise stands behind what is called exact.")
    photo: PhotoShape
    region: list[float] = Field(description="x0, y0, x1, y1 as fractions of width and height.")
    regions: list[RegionShape]
    hits: list[HitShape]
    timings_ms: dict[str, float]
    encoder: str
    snapshot: str


class SimilarShape(Shape):
    """Products that look like one offer."""

    offer_id: str
    hits: list[HitShape] = Field(description="Most alike first; none is exact.")


class ResultShape(Shape):
    """One photo of a batch: its answer, or why there is none."""

    answer: AnswerShape | None = None
    error: ErrorBody | None = None


class BatchShape(Shape):
    """The answers to several photos."""

    results: list[ResultShape] = Field(description="In the order of the photos.")


class LinkShape(Shape):
    """Why two offers are one product."""

    a: str
    b: str
    reason: str
    score: float


class ProductShape(Shape):
    """One product with its offers on sale."""

    product_id: str
    title: str
    brand: str
    images: list[str]
    offers: list[OfferShape]
    links: list[LinkShape] = Field(description="Why these offers are one product.")


class StoreShape(Shape):
    """One connected store and how its last sync went."""

    name: str
    offers: int
    in_stock: int
    images: int
    last_sync: str | None = Field(description="UTC, ISO 8601.")
    status: str


class StoresShape(Shape):
    """All connected stores, by name."""

    stores: list[StoreShape]


class Health(Shape):
    """The process answers: nothing more is looked at."""

    status: Literal["ok"]


class Ready(Shape):
    """Whether searches can be answered, and what each check found."""

    status: Literal["ok"]
    checks: dict[str, str]


_TEXT = {"type": "string"}
SEARCH_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "photo": {
                        "type": "string",
                        "format": "binary",
                        "description": "JPEG, PNG, WebP, AVIF or HEIC, at most 20 MB unless the "
                        "operator says otherwise.",
                    },
                    "box": {
                        **_TEXT,
                        "description": "Search only this part: x0,y0,x1,y1 as fractions of width "
                        "and height.",
                        "example": "0.1,0.2,0.8,0.9",
                    },
                    "limit": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 100,
                        "default": 12,
                        "description": "Most hits, 1 to 100; 12 unless said.",
                    },
                    "store": {**_TEXT, "description": "Repeatable, or a list with commas."},
                    "category": {**_TEXT, "description": "A category as a store names it."},
                    "price_max": {
                        **_TEXT,
                        "description": "Highest price before cashback.",
                        "example": "49.90",
                    },
                    "currency": {
                        **_TEXT,
                        "description": "Currency of price_max; needed where the stores sell in several.",
                        "example": "EUR",
                    },
                    "price_min": {**_TEXT, "description": "Lowest price before cashback."},
                    "color": {
                        **_TEXT,
                        "enum": list(colors.BASIC),
                        "description": "The same, but in this colour.",
                    },
                    "photo_url": {
                        **_TEXT,
                        "description": "The address of a picture, in place of photo.",
                    },
                    "search_id": {
                        **_TEXT,
                        "description": "In place of photo: search the photo of this earlier search "
                        "again, with another box or other filters. Photos are remembered for ten "
                        "minutes unless the operator says otherwise; then 404.",
                    },
                    "in_stock": {
                        "type": "boolean",
                        "default": False,
                        "description": "Only offers that can be bought now.",
                    },
                },
            }
        }
    },
}
_ONE: dict[str, Any] = SEARCH_BODY["content"]["multipart/form-data"]["schema"]["properties"]
BATCH_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["photo"],
                "properties": {
                    **{
                        name: field
                        for name, field in _ONE.items()
                        if name not in {"photo_url", "search_id"}
                    },
                    "photo": {"type": "array", "items": _ONE["photo"], "maxItems": 16},
                },
            }
        }
    },
}
