"""Answers, offers and products as the JSON of the contract."""

from __future__ import annotations

from lensback import rank
from lensback.types import (
    Answer,
    Box,
    Hit,
    Money,
    Product,
    StoredOffer,
)


def answer_json(answer: Answer) -> dict[str, object]:
    """The answer of the contract."""
    return {
        "search_id": answer.search_id,
        "verdict": answer.verdict,
        "probability": round(answer.probability, 4),
        "calibrated": answer.calibrated,
        "certified": answer.certified,
        "photo": {"width": answer.width, "height": answer.height},
        "region": _rounded(answer.region),
        "regions": [
            {"box": _rounded(r.box), "label": r.label, "score": round(r.score, 4)}
            for r in answer.regions
        ],
        "hits": [hit_json(hit, answer.search_id) for hit in answer.hits],
        "timings_ms": dict(answer.timings_ms),
        "encoder": answer.encoder,
        "snapshot": answer.snapshot,
    }


def _rounded(box: Box) -> list[float]:
    return [round(value, 4) for value in box]


def hit_json(hit: Hit, search_id: str = "") -> dict[str, object]:
    """A hit as every face shows it."""
    return {
        "product_id": hit.product.product_id,
        "title": hit.product.title,
        "brand": hit.product.brand,
        "similarity": round(hit.similarity, 4),
        "probability": round(hit.probability, 4),
        "exact": hit.exact,
        "image": f"/images/{hit.image_hash}",
        "offers": [offer_json(stored, search_id) for stored in hit.product.offers],
    }


def offer_json(stored: StoredOffer, search_id: str = "") -> dict[str, object]:
    """An offer as every face shows it. Cashback is nothing without a program."""
    offer = stored.offer
    cashback = stored.cashback or Money(0, offer.price.currency)
    tail = f"?search={search_id}" if search_id else ""
    return {
        "offer_id": stored.offer_id,
        "store": stored.store,
        "title": offer.title,
        "size": offer.size,
        "color": offer.color,
        "category": offer.category,
        "price": offer.price.as_json(),
        "old_price": offer.old_price.as_json() if offer.old_price else None,
        "cashback": {**cashback.as_json(), "up_to": stored.up_to},
        "price_after_cashback": rank.price_after_cashback(stored).as_json(),
        "availability": offer.availability,
        "disclosure": offer.disclosure,
        "link": f"/go/{stored.offer_id}{tail}",
    }


def product_json(
    product: Product, links: list[dict[str, object]], currency: str = ""
) -> dict[str, object]:
    """A product with its offers, its images, and the reasons that hold it together."""
    ordered = rank.in_order(product.offers, currency)
    shown = dict.fromkeys(h for stored in ordered for h in stored.image_hashes)
    return {
        "product_id": product.product_id,
        "title": product.title,
        "brand": product.brand,
        "images": [f"/images/{image_hash}" for image_hash in shown],
        "offers": [offer_json(stored) for stored in ordered],
        "links": links,
    }
