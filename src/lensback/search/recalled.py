"""A recorded answer, shown again: its products, groups and likelihoods as they were said, at the
prices and with the stock of now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from lensback.catalogue import for_sale
from lensback.catalogue.for_sale import ForSale
from lensback.db import Database
from lensback.errors import BadQuery, UnknownName
from lensback.exchange import Rates
from lensback.ledger.shown import Shown, ShownHit
from lensback.search.answers import hit_of, in_order
from lensback.search.facets import facets_of
from lensback.search.prices import CashbackBasis, Prices, rates_day
from lensback.search.query import Query, filter_of
from lensback.types import Filter
from lensback.wire import Answer, Hit, Photo, Verdict
from lensback.wire import Region as SeenRegion

Rows = Mapping[str, Sequence[ForSale]]


def query_of(said: Shown) -> Query:
    """What was asked for beside the photo, with its box. What a later program does not know any more
    is left out."""
    known = {one.name for one in fields(Query)} - {"box"}
    kept = {name: value for name, value in said.filters.items() if name in known}
    for name in ("stores", "brands", "sizes"):
        kept[name] = tuple(kept.get(name, ()))
    kept["order"] = str(said.filters.get("order", "best"))
    return Query(box=said.box, **kept)


def recalled(
    db: Database,
    said: Shown,
    search_id: str,
    basis: CashbackBasis,
    currency: str = "",
    language: str = "",
) -> Answer:
    """The answer again, for a reader of `language`. Products that nobody sells any more are left out;
    where the filters of then let no offer of a product through today, all of its offers are there."""
    hits = _hits(db, said, search_id, basis, currency, language)
    width, height = said.size
    return Answer(
        search_id=search_id,
        verdict=cast("Verdict", said.verdict),
        probability=max((hit.probability for hit in hits), default=0.0),
        calibrated=said.calibrated,
        certified=False,
        photo=Photo(width=width, height=height),
        region=said.region,
        regions=tuple(SeenRegion(box=r.box, label=r.label, score=r.score) for r in said.regions),
        nothing_to_search=said.nothing,
        left_out=said.left_out,
        hits=tuple(hits),
        total=said.total or len(hits),
        facets=facets_of(db, [one.product_id for one in said.hits]),
        rates_on=rates_day(hits, basis.rates),
        timings_ms={},
        encoder="",
        snapshot="",
    )


def _hits(
    db: Database, said: Shown, search_id: str, basis: CashbackBasis, currency: str, language: str
) -> list[Hit]:
    found = _rows(db, said, currency, basis.rates)
    prices = Prices.of(
        db,
        (row for rows in found.values() for row in rows),
        basis,
        query_of(said).currency or currency,
    )
    ordered = {
        product_id: in_order(rows, prices, currency=currency, search_id=search_id)
        for product_id, rows in found.items()
    }
    pictures = for_sale.images(
        db, [offer.offer_id for offers in ordered.values() for offer in offers]
    )
    return [
        hit_of(
            one.product_id,
            found[one.product_id],
            ordered[one.product_id],
            image_hash=_picture(
                one, [pictures.get(offer.offer_id, ()) for offer in ordered[one.product_id]]
            ),
            probability=one.probability,
            exact=one.exact,
            language=language,
        )
        for one in said.hits
        if one.product_id in found
    ]


def _rows(db: Database, said: Shown, currency: str, rates: Rates | None) -> Rows:
    """The offers on sale of the products shown."""
    wanted = [one.product_id for one in said.hits]
    found = for_sale.rows(db, wanted, _filter(db, said, currency, rates))
    missing = [product_id for product_id in wanted if product_id not in found]
    return {**found, **(for_sale.rows(db, missing, Filter()) if missing else {})}


def _filter(db: Database, said: Shown, currency: str, rates: Rates | None) -> Filter:
    """The filters of then, where they mean something today."""
    try:
        return filter_of(db, query_of(said), currency, rates=rates)
    except (BadQuery, UnknownName):
        return Filter()


def _picture(one: ShownHit, pictures: Sequence[Any]) -> str:
    """The hash of the picture that was shown, else of the first that there is."""
    own = [image for images in pictures for image in images]
    shown = (image for image in own if one.image and image.startswith(one.image))
    return next(shown, own[0] if own else "")
