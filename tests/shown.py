"""Offers, hits and answers as a face gets them, for tests of the faces."""

from __future__ import annotations

from typing import Any

from lensback import wire
from lensback.rank import price_after_cashback
from lensback.types import WHOLE, Money
from lensback.wire.numbers import Cashback


def offer(offer_id: str = "x", *, back: int = 0, up_to: bool = True, **changes: Any) -> wire.Offer:
    """Ten euro in stock, unless said otherwise; `back`: cashback in minor units."""
    price = changes.pop("price", Money(1000, "EUR"))
    cashback = Cashback(back, price.currency, up_to)
    plain = {
        "store": "harbour",
        "store_title": changes.get("store", "harbour"),
        "title": "Hat",
        "size": "",
        "color": "red",
        "category": "Shoes",
        "old_price": None,
        "availability": "in_stock",
        "disclosure": "",
        "link": f"/go/{offer_id}",
        "price_after_cashback": price_after_cashback(price, cashback),
    }
    return wire.Offer(offer_id=offer_id, price=price, cashback=cashback, **{**plain, **changes})


def hit(*offers: wire.Offer, **changes: Any) -> wire.Hit:
    plain = {
        "product_id": "p1",
        "title": "Hat",
        "brand": "Marlo",
        "similarity": 0.8123,
        "probability": 0.9312,
        "exact": False,
        "image": "/images/00",
    }
    return wire.Hit(offers=offers, **{**plain, **changes})


def answer(*hits: wire.Hit, **changes: Any) -> wire.Answer:
    plain = {
        "search_id": "s",
        "verdict": "similar",
        "probability": 0.9,
        "calibrated": True,
        "certified": False,
        "photo": wire.Photo(width=10, height=10),
        "region": WHOLE,
        "regions": (),
        "timings_ms": {"decode": 1.4, "total": 20.0},
        "encoder": "f",
        "snapshot": "n",
    }
    return wire.Answer(hits=hits, **{**plain, **changes})
