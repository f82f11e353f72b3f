"""photo -> answer: decode, find the region, encode, search, rank."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from PIL import Image

from lensback import images, log, rank
from lensback.catalogue import offers, products, stores
from lensback.db import Database
from lensback.detectors import Detector
from lensback.encoders import Encoder
from lensback.errors import BadQuery, StaleIndex
from lensback.indexes import Index
from lensback.rank import Calibration
from lensback.types import (
    WHOLE,
    Answer,
    Box,
    Candidate,
    Filter,
    Hit,
    Money,
    Product,
    Region,
    Snapshot,
    StoredOffer,
)

MAX_LIMIT = 100
MIN_BOX = 0.02
RIVALS = 24
"""Best images of the whole catalogue against which a filtered search is held."""


@dataclass(frozen=True, slots=True)
class Query:
    """What the shopper asked for beside the photo, as given."""

    box: Box | None = None
    limit: int = 12
    stores: tuple[str, ...] = ()
    category: str = ""
    price_max: str = ""
    currency: str = ""
    in_stock: bool = False


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything opened that one search needs."""

    db: Database
    index: Index
    snapshot: Snapshot
    encoder: Encoder
    detector: Detector
    calibration: Calibration | None
    exact_precision: float
    candidates: int
    currency: str
    max_bytes: int
    max_pixels: int


def search(photo: bytes, query: Query, tools: Tools) -> Answer:
    """Answers one photo. Raises BadImage, TooLarge, BadQuery, UnknownName, StaleIndex."""
    if tools.encoder.fingerprint != tools.snapshot.fingerprint:
        raise StaleIndex(
            f"the index was made by another version of encoder {tools.snapshot.encoder!r}",
            hint="run: lensback sync",
        )
    timings: dict[str, float] = {}
    with log.timed("total", timings):
        where = filter_of(tools.db, query, tools.currency, tools.snapshot.id)
        with log.timed("decode", timings):
            picture, size = images.decode_measured(
                photo,
                side_px=_side_px(query, tools.encoder),
                max_bytes=tools.max_bytes,
                max_pixels=tools.max_pixels,
            )
        with log.timed("regions", timings):
            regions = _regions(picture, query, tools.detector)
        with log.timed("encode", timings):
            vector = tools.encoder.encode([images.crop(picture, regions[0].box)])[0]
        with log.timed("search", timings):
            found = tools.index.search(vector, max(tools.candidates, 4 * query.limit), where)
            # What the filter leaves out still competes for being the very product.
            others = [] if where.empty else tools.index.search(vector, RIVALS, Filter())
            _check_snapshot(tools)
        with log.timed("rank", timings):
            rivals = rank.by_product(others, _shows(tools.db, others, Filter()))
            ranked = rank.by_product(found, _shows(tools.db, found, where), rivals)
            verdict, hits = _hits(ranked[: query.limit], where, tools)
    return Answer(
        search_id=secrets.token_hex(8),
        verdict=verdict,
        probability=max((hit.probability for hit in hits), default=0.0),
        width=size[0],
        height=size[1],
        region=regions[0].box,
        regions=tuple(regions),
        hits=tuple(hits),
        timings_ms=timings,
        encoder=tools.encoder.fingerprint,
        snapshot=tools.snapshot.id,
        calibrated=tools.calibration is not None,
    )


def _check_snapshot(tools: Tools) -> None:
    """Raises StaleIndex where a sync published another encoder's index since `tools` was made."""
    now = tools.index.snapshot
    if now is None or now.fingerprint != tools.snapshot.fingerprint:
        raise StaleIndex("the index was just replaced", hint="search again")


def _shows(db: Database, found: Sequence[Candidate], where: Filter) -> dict[str, list[str]]:
    return offers.products_of_images(db, [candidate.image_hash for candidate in found], where)


def _side_px(query: Query, encoder: Encoder) -> int:
    """Pixels worth decoding: a small box of a photo still has to fill the encoder's input."""
    share = min(query.box[2] - query.box[0], query.box[3] - query.box[1]) if query.box else 0.5
    return round(encoder.side_px / max(share, MIN_BOX))


def _regions(picture: Image.Image, query: Query, detector: Detector) -> list[Region]:
    if query.box:
        return [Region(query.box, "given"), Region(WHOLE, "whole", 0.0)]
    return detector.find(picture)


def _hits(ranked: list[rank.Ranked], where: Filter, tools: Tools) -> tuple[str, list[Hit]]:
    """The verdict and the hits it leaves. Nothing is exact without a calibration."""
    calibration = tools.calibration
    if not ranked or (calibration and ranked[0].similarity < calibration.none_below):
        return "none", []
    found = products.get(tools.db, [r.product_id for r in ranked], where)
    hits = []
    for r in ranked:
        product = found.get(r.product_id)
        if product is None:  # taken off sale between two statements
            continue
        probability = calibration.probability(r.similarity, r.margin) if calibration else 0.0
        ordered = rank.in_order(product.offers, tools.currency)
        hits.append(
            Hit(
                product=products.product_of(r.product_id, ordered),
                similarity=r.similarity,
                probability=probability,
                exact=calibration is not None and probability >= tools.exact_precision,
                image_hash=r.image_hash,
            )
        )
    if not hits:
        return "none", []
    return ("exact" if any(hit.exact for hit in hits) else "similar"), hits


def filter_of(db: Database, query: Query, currency: str = "", snapshot: str = "") -> Filter:
    """The shopper's words as a Filter. Raises BadQuery or UnknownName for words that mean nothing."""
    if not 1 <= query.limit <= MAX_LIMIT:
        raise BadQuery(f"limit is {query.limit}", hint=f"use 1 to {MAX_LIMIT}")
    check_box(query.box)
    wanted = tuple(stores.check_names(db, list(query.stores))) if query.stores else ()
    categories: tuple[str, ...] = ()
    if query.category:
        categories = offers.category_paths(_categories(db, snapshot), query.category)
    if query.category and not categories:
        raise BadQuery(
            f"no offer has the category {query.category!r}",
            hint="use a category as a store names it, for example one seen in an answer",
        )
    return Filter(
        stores=wanted,
        categories=categories,
        in_stock=query.in_stock,
        price_max=_price(db, query.price_max, query.currency or currency, snapshot),
    )


@lru_cache(maxsize=4)
def _categories(db: Database, _snapshot: str) -> tuple[str, ...]:
    """Read once per snapshot: at 200,000 offers it takes a fifth of a second."""
    return offers.categories(db)


@lru_cache(maxsize=4)
def _currencies(db: Database, _snapshot: str) -> tuple[str, ...]:
    return tuple(offers.currencies(db))


def check_box(box: Box | None) -> None:
    """Raises BadQuery for a box that is not one."""
    if box is None:
        return
    x0, y0, x1, y1 = box
    inside = all(0 <= value <= 1 for value in box)  # also False for NaN
    if not (inside and x1 - x0 >= MIN_BOX and y1 - y0 >= MIN_BOX):
        raise BadQuery(
            f"not a box: {','.join(f'{value:g}' for value in box)}",
            hint="use x0,y0,x1,y1 as fractions of width and height, x0 < x1 and y0 < y1",
        )


def parse_box(text: str) -> Box | None:
    """`x0,y0,x1,y1` -> Box; "" -> None."""
    if not text.strip():
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        hint = "use x0,y0,x1,y1 as fractions of width and height, for example 0.1,0.2,0.8,0.9"
        raise BadQuery(f"not a box: {text[:60]!r}", hint=hint) from error
    check_box((x0, y0, x1, y1))
    return x0, y0, x1, y1


def _price(db: Database, amount: str, currency: str, snapshot: str) -> Money | None:
    if not amount:
        return None
    try:
        value = Decimal(amount)
    except InvalidOperation as error:
        raise BadQuery(f"not a price: {amount[:30]!r}", hint="use a number, e.g. 49.90") from error
    if not value.is_finite() or not 0 <= value < 10**12:
        raise BadQuery(f"not a price: {amount[:30]!r}", hint="use a number, e.g. 49.90")
    sold = _currencies(db, snapshot)
    if currency and currency.upper() not in sold:
        listed = ", ".join(sold) or "none yet"
        raise BadQuery(f"no offer is in {currency[:10]!r}", hint=f"currencies here: {listed}")
    known = [currency.upper()] if currency else sold
    if len(known) > 1:
        raise BadQuery(
            "the stores sell in several currencies: say which one the price limit is in",
            hint=f"add the currency: {', '.join(known)}",
        )
    return Money.of(value, known[0]) if known else None


def answer_json(answer: Answer) -> dict[str, object]:
    """The answer of the contract."""
    return {
        "search_id": answer.search_id,
        "verdict": answer.verdict,
        "probability": round(answer.probability, 4),
        "calibrated": answer.calibrated,
        "photo": {"width": answer.width, "height": answer.height},
        "region": _rounded(answer.region),
        "regions": [
            {"box": _rounded(r.box), "label": r.label, "score": round(r.score, 4)}
            for r in answer.regions
        ],
        "hits": [_hit_json(hit, answer.search_id) for hit in answer.hits],
        "timings_ms": dict(answer.timings_ms),
        "encoder": answer.encoder,
        "snapshot": answer.snapshot,
    }


def _rounded(box: Box) -> list[float]:
    return [round(value, 4) for value in box]


def _hit_json(hit: Hit, search_id: str) -> dict[str, object]:
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
    """An offer as every face shows it. Cashback is nothing until a programme says otherwise."""
    offer = stored.offer
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
        "cashback": {**Money(0, offer.price.currency).as_json(), "up_to": True},
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
