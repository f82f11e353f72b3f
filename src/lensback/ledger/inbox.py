"""Journal -> database: batches of searches, clicks, votes and news, each idempotent by its id."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError, StatementError

from lensback import log
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import BadQuery
from lensback.journal import Record
from lensback.ledger import seals, sold
from lensback.ledger.clicks import news_of
from lensback.ledger.record import record_in, settle
from lensback.types import Converter

Body = dict[str, Any]


def apply(
    db: Database,
    records: Sequence[Record],
    refused: Callable[[Record], object] | None = None,
    rates: Converter | None = None,
) -> Counter[str]:
    """Writes a batch in one transaction; returns how many of each kind, `rejected` among them.

    A record that the database refuses is left out and counted, so that it never holds up the
    others; `refused` gets it where it is a sale, which a network was told is safe with us.
    Raises Busy where the database is locked: nothing is written then.
    """
    try:
        with _writing(db, records) as c:
            return _apply(db, c, records, rates)
    except _REFUSED as error:
        if len(records) > 1:
            done: Counter[str] = Counter()
            for record in records:
                done += apply(db, [record], refused, rates)
            return done
        kind = records[0].kind
        log.event("journal record refused", 40, kind=kind, type=type(error).__name__)
        if refused and kind == "news":
            refused(records[0])
        return Counter(rejected=1)


def _writing(db: Database, records: Sequence[Record]) -> AbstractContextManager[Connection]:
    """A transaction of the ledger, unless nothing in the batch touches it. A click does: sales may
    wait for it."""
    times = [record.body.get("at") for record in records if record.kind in {"news", "click"}]
    if not times:
        return db.write()
    return seals.writing(db, max((at for at in times if isinstance(at, int)), default=0))


# BadQuery: a value that the database cannot hold. OverflowError: a number beyond its integers.
_REFUSED = (
    BadQuery,
    IntegrityError,
    StatementError,
    AttributeError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
)


def _apply(
    db: Database, c: Connection, records: Sequence[Record], rates: Converter | None
) -> Counter[str]:
    by_kind: dict[str, list[Body]] = defaultdict(list)
    for record in records:
        by_kind[record.kind].append(record.body)
    # Searches before clicks, clicks before news: each looks up what it belongs to.
    done: Counter[str] = Counter()
    for kind, write in _WRITERS.items():
        if bodies := by_kind.pop(kind, []):
            done[kind] += len(bodies)
            write(db, c, bodies, rates)
    done["rejected"] += sum(map(len, by_kind.values()))
    return +done


def _searches(db: Database, c: Connection, bodies: list[Body], _rates: Converter | None) -> None:
    db.upsert(c, t.searches, bodies, ["search_id"])
    k = t.clicks.c
    ids = [body["search_id"] for body in bodies]
    # A click of another process may have come first.
    early = select(k.click_id, k.search_id, k.offer_id, k.product_id)
    rows = c.execute(early.where(k.search_id.in_(ids), k.rank.is_(None))).mappings().all()
    if rows:
        hits = {body["search_id"]: body["hits"] for body in bodies}
        for row in rows:
            rank = rank_of(hits[row["search_id"]], row["offer_id"], row["product_id"])
            c.execute(update(t.clicks).where(k.click_id == row["click_id"]).values(rank=rank))


def _clicks(db: Database, c: Connection, bodies: list[Body], rates: Converter | None) -> None:
    s = t.searches.c
    wanted = sorted({body["search_id"] for body in bodies if body["search_id"]})
    hits: dict[str, list[Any]] = {}
    for part in chunks(wanted):
        hits |= {
            row.search_id: row.hits
            for row in c.execute(select(s.search_id, s.hits).where(s.search_id.in_(part)))
        }
    for body in bodies:
        found = hits.get(body["search_id"], [])
        body["rank"] = rank_of(found, body["offer_id"], body["product_id"])
        body["salt"] = sold.new_salt()
    db.upsert(c, t.clicks, bodies, ["click_id"])
    _attach(c, bodies, rates)


def _attach(c: Connection, bodies: list[Body], rates: Converter | None) -> None:
    """Sales that were kept aside because their click was not known yet."""
    v = t.conversions.c
    ids = [body["click_id"] for body in bodies]
    aside = select(v.id).where(v.subid.in_(ids), v.click_id.is_(None)).order_by(v.id)
    waiting = list(c.scalars(aside))
    if waiting:
        settle(c, waiting, max(body["at"] for body in bodies), rates)


def _feedback(db: Database, c: Connection, bodies: list[Body], _rates: Converter | None) -> None:
    latest = {(body["search_id"], body["product_id"]): {"voter": "", **body} for body in bodies}
    said = ["vote", "at", "voter"]
    db.upsert(c, t.feedback, list(latest.values()), ["search_id", "product_id"], said)


def _vectors(db: Database, c: Connection, bodies: list[Body], _rates: Converter | None) -> None:
    rows = [{**body, "halves": base64.b64decode(body["halves"])} for body in bodies]
    db.upsert(c, t.searched_vectors, rows, ["search_id"])


def _news(db: Database, c: Connection, bodies: list[Body], rates: Converter | None) -> None:
    news = [(news_of(body), body["at"], body["source"]) for body in bodies]
    done = record_in(db, c, news, rates)
    for reason, count in done.rejected.items():
        log.event("news refused", 30, reason=reason, count=count)


def rank_of(hits: Sequence[Any], offer_id: str, product_id: str) -> int | None:
    """Place of the clicked offer in the answer, from 1; None where it was not in it."""
    for found_product, offer_ids, rank, *_ in hits:
        if offer_id in offer_ids or found_product == product_id:
            return int(rank)
    return None


_WRITERS: dict[str, Callable[[Database, Connection, list[Body], Converter | None], None]] = {
    "search": _searches,
    "click": _clicks,
    "feedback": _feedback,
    "vectors": _vectors,
    "news": _news,
}
